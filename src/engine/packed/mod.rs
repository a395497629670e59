//! The step on panels: the network and the batch lie as the products of `gemm::panels` read them, so that nothing is packed, and
//! values that are zero are left out.
//!
//! Files and callers have flat row-major vectors. [`PackedNetwork::load`] and [`PackedNetwork::store`] convert at the two ends of a pass.
//! Between them the parameters and moments lie in panels, the weights that the backward pass needs also transposed, which the update keeps
//! equal.
//!
//! What a step computes does not depend on who computes it: a sum over inputs or outputs takes them in their order, one over samples in blocks
//! of a fixed size, and a value that is left out would have added 0. It depends on how many workers there are only where layers above the first
//! are split by outputs (`by_outputs`), which in a deterministic step they are not.
#![allow(unsafe_code)]

mod backpropagation;
mod by_outputs;
mod convert;
mod gather;
mod layout;
mod lists;
mod order;
mod rows;
mod update;
mod zeros;

use crate::data::Dataset;
use crate::engine::Buffer;
use crate::engine::partition::Partition;
use crate::engine::shared::Shared;
use crate::error::Result;
use crate::gemm::panels::Tiles;
use crate::isa::Isa;
use crate::memory::{too_large, try_reserve};
use crate::model::{Layout, Spec};
use layout::{PackedLayer, PackedLayout};
use order::InputOrder;

pub use backpropagation::forward_backward;
pub use layout::EVALUATION_BLOCK;
pub use rows::Rows;
pub use update::{Rule, weight_gradients};

/// The buffers of a step on panels.
#[derive(Debug)]
pub struct PackedNetwork {
    tiles: &'static Tiles,
    layout: PackedLayout,
    params: Buffer,
    m: Buffer,
    v: Buffer,
    transposed: Buffer,
    arena: Buffer,
    masks: Vec<u16>,
    /// A worker's after the other.
    lists: Vec<u32>,
    order: InputOrder,
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
    pub params: Shared<'a, f32>,
    pub m: Shared<'a, f32>,
    pub v: Shared<'a, f32>,
    pub transposed: Shared<'a, f32>,
    pub arena: Shared<'a, f32>,
    pub masks: Shared<'a, u16>,
    pub lists: Shared<'a, u32>,
    pub order: InputOrder,
    pub skips_zeros: bool,
}

impl PackedNetwork {
    /// Buffers for batches of up to `batch` samples.
    ///
    /// # Errors
    /// If sizes overflow or memory cannot be allocated.
    pub fn new(
        spec: &Spec,
        flat: &Layout,
        batch: usize,
        frozen: usize,
        partition: Partition,
        isa: Isa,
    ) -> Result<Self> {
        let tiles = Tiles::of(isa);
        let layout = PackedLayout::new(spec, flat, batch, frozen, partition, tiles)?;
        let vector = || Buffer::zeros(layout.params_len, "the network in panels");
        Ok(Self {
            params: vector()?,
            m: vector()?,
            v: vector()?,
            transposed: Buffer::zeros(layout.transposed_len, "the network in panels")?,
            arena: Buffer::zeros(layout.arena_len, "the workspace")?,
            masks: zeros_of(layout.masks_len)?,
            lists: zeros_of(layout.list_len * partition.workers)?,
            order: InputOrder::Given,
            skips_zeros: false,
            knows_zeros: true,
            counts: zeros_of(spec.n_out())?,
            tiles,
            layout,
        })
    }

    /// Chooses how the inputs of a data set lie, and whether their zeros are left out.
    pub fn begin(&mut self, data: &Dataset, batch: &[u32]) {
        self.order = InputOrder::of(data);
        self.skips_zeros =
            zeros::may_pay(data) && zeros::pay(data, batch, self.tiles.max_sparse_rows());
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
        let sorts = !data.is_regression() && zeros::may_pay(data);
        if sorts {
            order::sort_by_label(sorted, &mut self.counts, order, data.labels(), batch_size);
        }
        sorts
    }

    /// Takes over parameters to evaluate them.
    pub fn load_to_evaluate(&mut self, flat: &Layout, params: &[f32]) {
        let Self { tiles, layout, .. } = self;
        for (l, (layer, from)) in layout.layers.iter().zip(flat.layers()).enumerate() {
            let order = if l == 0 { self.order } else { InputOrder::Given };
            convert::load(tiles, layer, order, &mut self.params, from, params);
        }
    }

    /// Takes over parameters, and moments if the pass needs them; all are flat vectors.
    pub fn load(&mut self, flat: &Layout, params: &[f32], moments: Option<(&[f32], &[f32])>) {
        self.load_to_evaluate(flat, params);
        let Self { tiles, layout, .. } = self;
        for (l, (layer, from)) in layout.layers.iter().zip(flat.layers()).enumerate() {
            let order = if l == 0 { self.order } else { InputOrder::Given };
            if let Some((m, v)) = moments {
                convert::load(tiles, layer, order, &mut self.m, from, m);
                convert::load(tiles, layer, order, &mut self.v, from, v);
            }
            if !layer.transposed.is_empty() {
                for (to, from) in (0..layer.in_panels)
                    .flat_map(|to| (0..layer.out_panels).map(move |from| (to, from)))
                {
                    let w = Shared::new(&mut self.params);
                    let transposed = Shared::new(&mut self.transposed);
                    // SAFETY: both vectors are borrowed mutably.
                    unsafe { convert::transpose(tiles, layer, transposed, w, to, from) };
                }
            }
        }
    }

    /// Hands back the parameters and moments of the layers that learn.
    pub fn store(
        &self,
        flat: &Layout,
        frozen: usize,
        params: &mut [f32],
        m: &mut [f32],
        v: &mut [f32],
    ) {
        for (to, from) in [(params, &self.params), (m, &self.m), (v, &self.v)] {
            self.store_vector(flat, frozen, to, from);
        }
    }

    /// Hands back the gradients that [`Rule::Store`] left in the place of the first moments.
    pub fn store_gradients(&self, flat: &Layout, frozen: usize, grads: &mut [f32]) {
        self.store_vector(flat, frozen, grads, &self.m);
    }

    fn store_vector(&self, flat: &Layout, frozen: usize, to: &mut [f32], from: &[f32]) {
        let layers = self.layout.layers.iter().zip(flat.layers()).enumerate();
        for (l, (layer, flat)) in layers.skip(frozen) {
            let order = if l == 0 { self.order } else { InputOrder::Given };
            convert::store(self.tiles, layer, order, from, flat, to);
        }
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

    pub fn share(&mut self) -> Packed<'_> {
        Packed {
            tiles: self.tiles,
            layout: &self.layout,
            params: Shared::new(&mut self.params),
            m: Shared::new(&mut self.m),
            v: Shared::new(&mut self.v),
            transposed: Shared::new(&mut self.transposed),
            arena: Shared::new(&mut self.arena),
            masks: Shared::new(&mut self.masks),
            lists: Shared::new(&mut self.lists),
            order: self.order,
            skips_zeros: self.skips_zeros,
        }
    }
}

/// A vector of `len` zeros.
fn zeros_of<T: Clone + Default>(len: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    try_reserve(&mut values, len).map_err(|_| too_large(len, "the workspace"))?;
    values.resize(len, T::default());
    Ok(values)
}

#[cfg(test)]
mod tests;
