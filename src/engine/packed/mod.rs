//! The step on panels: the network and the batch lie as the products of `gemm::panels` read them, so that nothing is packed, and
//! values that are zero are left out.
//!
//! Files and callers have flat row-major vectors. [`Packed::load`] and [`Packed::store`] convert at the two ends of a pass, each worker most of what it will
//! change. Between them the parameters and moments lie in panels, the weights that the backward pass needs also transposed, which the update keeps
//! equal.
//!
//! What a step computes does not depend on who computes it: a sum over inputs or outputs takes them in their order, one over samples
//! is made of the sums of blocks of a fixed size, in their order, and a value that is left out would have added 0. It depends on how many workers there are only where layers above the first
//! are split by outputs (`by_outputs`), which in a deterministic step they are not.
#![allow(unsafe_code)]

mod backpropagation;
mod by_outputs;
mod convert;
mod gather;
mod layout;
mod lists;
mod normalized;
mod order;
mod rows;
mod update;
mod zeros;

use bytemuck::Zeroable;

use crate::data::Dataset;
use crate::engine::optimizer::Vectors;
use crate::engine::partition::Partition;
use crate::engine::shared::Shared;
use crate::engine::{Buffer, require_memory};
use crate::error::Result;
use crate::gemm::panels::{SPARSE_ROWS, Tiles};
use crate::isa::Isa;
use crate::memory::{too_large, try_zeroed};
use crate::model::{Layout, Spec};
use convert::Conversion;
use layout::{PackedLayer, PackedLayout};
use order::InputOrder;

pub use backpropagation::forward_backward;
pub use layout::EVALUATION_BLOCK;
pub use normalized::forward_hidden;
pub use rows::Rows;
pub use update::{change_all, learn_input_scales, weight_gradients};

/// The buffers of a step on panels.
#[derive(Debug)]
pub struct PackedNetwork {
    tiles: &'static Tiles,
    layout: PackedLayout,
    params: Buffer,
    /// The moments, empty if nothing but evaluations is wanted.
    m: Buffer,
    v: Buffer,
    /// The moving average of the parameters; empty if there is none.
    average: Buffer,
    transposed: Buffer,
    arena: Buffer,
    masks: Vec<u16>,
    /// A worker's after the other.
    lists: Vec<u32>,
    order: InputOrder,
    /// Whether inputs lie in their order, because steps of training disturb them or multiply them by factors of their own.
    keeps_order: bool,
    /// Whether steps add noise to the inputs.
    adds_noise: bool,
    /// Whether zeros of the inputs are left out.
    skips_zeros: bool,
    /// Whether the masks say which blocks of the input buffer may hold other values than 0.
    knows_zeros: bool,
    /// What sorting by label counts.
    counts: Vec<u32>,
}

/// The same as the workers of a job share it.
pub struct Packed<'a> {
    pub tiles: &'static Tiles,
    pub layout: &'a PackedLayout,
    pub vectors: Vectors<'a>,
    pub transposed: Shared<'a, f32>,
    pub arena: Shared<'a, f32>,
    pub masks: Shared<'a, u16>,
    pub lists: Shared<'a, u32>,
    pub order: InputOrder,
    pub skips_zeros: bool,
}

impl PackedNetwork {
    /// Buffers for batches of up to `batch` samples: 0 if nothing but evaluations is wanted.
    ///
    /// # Errors
    /// If sizes overflow or memory cannot be allocated.
    pub fn new(
        spec: &Spec,
        flat: &Layout,
        batch: usize,
        frozen: usize,
        averages: bool,
        partition: Partition,
        isa: Isa,
    ) -> Result<Self> {
        let tiles = Tiles::of(isa);
        let layout = PackedLayout::new(spec, flat, batch, frozen, partition, tiles)?;
        let moments = if batch == 0 { 0 } else { layout.params_len };
        let average = if averages { moments } else { 0 };
        // together: none of them is touched before the first pass
        let len =
            [layout.params_len, moments, moments, average, layout.transposed_len, layout.arena_len];
        let len = len.into_iter().fold(0, usize::saturating_add);
        require_memory(len, "the network in panels with its workspace")?;
        let vector = |len| Buffer::zeros(len, "the network in panels");
        Ok(Self {
            params: vector(layout.params_len)?,
            m: vector(moments)?,
            v: vector(moments)?,
            average: vector(average)?,
            transposed: Buffer::zeros(layout.transposed_len, "the network in panels")?,
            arena: Buffer::zeros(layout.arena_len, "the workspace")?,
            masks: zeros_of(layout.masks_len)?,
            lists: zeros_of(layout.list_len * partition.workers)?,
            order: InputOrder::Given,
            keeps_order: !spec.inputs().is_none() || spec.scales_inputs(),
            adds_noise: spec.inputs().noise > 0.0,
            skips_zeros: false,
            knows_zeros: true,
            counts: zeros_of(spec.n_out())?,
            tiles,
            layout,
        })
    }

    /// Chooses how the inputs of a data set lie, and whether their zeros are left out.
    pub fn begin(&mut self, data: &Dataset, batch: &[u32]) {
        self.order = if self.keeps_order { InputOrder::Given } else { InputOrder::of(data) };
        self.skips_zeros =
            !self.adds_noise && zeros::may_pay(data) && zeros::pay(data, batch, SPARSE_ROWS);
        if self.skips_zeros && !self.knows_zeros {
            self.masks.fill(u16::MAX);
        }
        self.knows_zeros = self.skips_zeros;
    }

    /// Puts the samples of a pass in `sorted`, each batch sorted by its labels, where that lets more zeros be left out. Returns whether it does.
    pub fn sort(
        &mut self,
        sorted: &mut Vec<u32>,
        data: &Dataset,
        order: &[u32],
        batch_size: usize,
    ) -> bool {
        let sorts = !self.adds_noise && !data.is_regression() && zeros::may_pay(data);
        if sorts {
            order::sort_by_label(sorted, &mut self.counts, order, data.labels(), batch_size);
        }
        sorts
    }

    /// The first layer whose outputs are not finite for a batch of `rows` samples whose loss was not.
    pub fn broken_outputs(&self, rows: usize) -> usize {
        let layout = &self.layout;
        let is_broken = |layer: &PackedLayer| {
            (0..layer.in_panels).any(|panel| {
                let first = layout.at(layer.input.start, panel, 0);
                self.arena[first..first + rows * layout.width].iter().any(|x| !x.is_finite())
            })
        };
        let hidden = layout.layers.iter().skip(1).position(is_broken);
        hidden.unwrap_or(layout.layers.len() - 1)
    }

    /// The length of a vector of parameters or gradients in panels.
    pub fn params_len(&self) -> usize {
        self.layout.params_len
    }

    /// The number of sums of squares of a gradient.
    pub fn squares_len(&self) -> usize {
        self.layout.squares_len
    }

    pub fn share(&mut self) -> Packed<'_> {
        Packed {
            tiles: self.tiles,
            layout: &self.layout,
            vectors: Vectors {
                params: Shared::new(&mut self.params),
                m: Shared::new(&mut self.m),
                v: Shared::new(&mut self.v),
                average: Shared::new(&mut self.average),
            },
            transposed: Shared::new(&mut self.transposed),
            arena: Shared::new(&mut self.arena),
            masks: Shared::new(&mut self.masks),
            lists: Shared::new(&mut self.lists),
            order: self.order,
            skips_zeros: self.skips_zeros,
        }
    }
}

impl Packed<'_> {
    /// Takes over what a worker owns of flat parameters, and of the other vectors if they are given; `transposes` says whether the pass goes backward. All
    /// members of a crew do it at once, before a barrier.
    ///
    /// # Safety
    /// Nobody writes the flat vectors, or reaches the packed ones but as here, until all members have returned.
    pub unsafe fn load(
        &self,
        flat: &Layout,
        worker: usize,
        params: &[f32],
        others: Option<&Vectors<'_>>,
        transposes: bool,
    ) {
        for (l, conversion) in self.conversions(flat) {
            let owned = self.layout.owned(l, worker);
            // SAFETY: what a worker owns is its own; the caller promises the rest.
            unsafe {
                conversion.load(&owned, self.vectors.params, params);
                if let Some(others) = others {
                    for (to, from) in self.vectors.others().into_iter().zip(others.others()) {
                        if from.len() > 0 {
                            conversion.load(&owned, to, from.read(0..flat.len()));
                        }
                    }
                }
                let layer = conversion.layer;
                if transposes && !layer.transposed.is_empty() {
                    for in_panel in owned.in_panels.clone() {
                        for out_panel in owned.out_panels.clone() {
                            let (params, transposed) = (self.vectors.params, self.transposed);
                            convert::transpose(
                                self.tiles, layer, transposed, params, in_panel, out_panel,
                            );
                        }
                    }
                }
            }
        }
    }

    /// Hands back what a worker owns of what the layers that learn have changed. All members of a crew do it at once, after a barrier.
    ///
    /// # Safety
    /// Nobody writes the packed vectors, or reaches the flat ones but as here, until all members have returned.
    pub unsafe fn store(&self, flat: &Layout, worker: usize, to: &Vectors<'_>) {
        // SAFETY: the caller's promise.
        unsafe {
            self.store_vector(flat, worker, to.params, self.vectors.params);
            for (to, from) in to.others().into_iter().zip(self.vectors.others()) {
                if to.len() > 0 {
                    self.store_vector(flat, worker, to, from);
                }
            }
        }
    }

    /// Hands back what a worker owns of a vector.
    ///
    /// # Safety
    /// As [`Packed::store`].
    pub unsafe fn store_vector(
        &self,
        flat: &Layout,
        worker: usize,
        to: Shared<'_, f32>,
        from: Shared<'_, f32>,
    ) {
        for (l, conversion) in self.conversions(flat).skip(flat.frozen_layers()) {
            // SAFETY: nobody writes the packed vectors; what the worker owns of the flat one.
            unsafe {
                let from = from.read(0..self.layout.params_len);
                conversion.store(&self.layout.owned(l, worker), from, to);
            }
        }
    }

    fn conversions<'a>(
        &'a self,
        flat: &'a Layout,
    ) -> impl Iterator<Item = (usize, Conversion<'a>)> {
        let layers = self.layout.layers.iter().zip(flat.layers()).enumerate();
        layers.map(|(l, (layer, flat_layer))| {
            let order = if l == 0 { self.order } else { InputOrder::Given };
            (l, Conversion { tiles: self.tiles, layer, flat_layer, order })
        })
    }
}

/// A vector of `len` zeros, whose pages come where they are first written.
fn zeros_of<T: Zeroable>(len: usize) -> Result<Vec<T>> {
    try_zeroed(len).map_err(|()| too_large(len, "the workspace"))
}

#[cfg(test)]
mod tests;
