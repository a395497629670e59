//! Rows of the batch that one worker takes through layers: the pieces of phase 1 and of evaluations. The table of who writes what is in
//! `engine::context`.
#![allow(unsafe_code, clippy::mut_from_ref)]

use std::ops::Range;

use super::Packed;
use super::gather::{Gathered, gather, gather_augmented};
use super::layout::{EVALUATION_BLOCK, MASK_BITS, MOST_ROWS};
use super::lists::list_inputs;
use crate::engine::clock::{Clock, count_multiply_adds};
use crate::engine::context::Context;
use crate::engine::hidden::{Training, Units};
use crate::engine::input_scales;
use crate::engine::partition::blocks;
use crate::engine::score::Score;
use crate::gemm::panels::{PANELS, SPARSE_ROWS, Tile, count_product};
use crate::isa;
use crate::model::Norm;

/// A block of rows of the batch that one worker takes through all layers that are split by rows.
pub struct Rows<'a> {
    pub context: &'a Context<'a>,
    pub packed: &'a Packed<'a>,
    pub worker: usize,
    pub rows: Range<usize>,
    /// The batch of a training, if it is one.
    pub training: Option<Training<'a>>,
}

impl Rows<'_> {
    /// Takes the samples of these rows through all layers that are split by rows, forward and backward.
    pub fn pass(&self, batch: &[u32], scale: f32, clock: &mut Clock) -> Score {
        let Self { context, packed, rows, .. } = self;
        let split = packed.layout.split;
        if split == 0 {
            self.gather(&batch[rows.clone()]);
            clock.lap(|phases| &mut phases.gather);
        }
        let layers = &packed.layout.layers;
        (split..layers.len()).for_each(|l| self.forward(l, 0..layers[l].out_panels));
        let score = self.loss(&batch[rows.clone()], scale);
        clock.lap(|phases| &mut phases.forward);
        // nobody needs the `dz` of a frozen layer
        (split.max(context.frozen + 1)..layers.len()).rev().for_each(|l| self.backward(l));
        if context.learns_input_scales() {
            self.gradient_by_inputs(0..layers[0].in_panels);
        }
        clock.lap(|phases| &mut phases.backward);
        score
    }

    /// Gathers the samples of these rows.
    pub fn gather(&self, samples: &[u32]) {
        let Self { context, packed, worker, rows, .. } = self;
        let to = Gathered {
            layout: packed.layout,
            arena: packed.arena,
            masks: packed.skips_zeros.then_some(packed.masks),
            worker: *worker,
            row: rows.start,
        };
        // SAFETY: phase 1, the worker's own number, the only use.
        let augmenting = unsafe { context.augmenting(*worker, self.training) };
        match augmenting {
            None => gather(context.isa, &to, context.data, packed.order, samples),
            Some(augmenting) => {
                gather_augmented(context.isa, &to, context.data, packed.order, samples, augmenting);
            }
        }
        if self.training.is_some() && !context.spec.inputs().is_none() {
            let input = packed.layout.input(0, *worker);
            for panel in 0..packed.layout.layers[0].in_panels {
                // SAFETY: phase 1, own rows.
                let values = unsafe { packed.arena.write(self.of_panel(input, panel)) };
                context.disturb_inputs(self.units(None, panel), values);
            }
        }
        if self.training.is_some() && context.spec.scales_inputs() {
            let (input, kept) = (packed.layout.input(0, *worker), &packed.layout.unscaled);
            for panel in 0..packed.layout.layers[0].in_panels {
                // SAFETY: phase 1, own rows of two buffers.
                let (values, kept) = unsafe {
                    (
                        packed.arena.write(self.of_panel(input, panel)),
                        packed.arena.write(self.of_panel(kept, panel)),
                    )
                };
                let first = panel * packed.layout.width;
                input_scales::apply(context, first..first + packed.layout.width, values, kept);
            }
        }
    }

    /// The units of a panel of a layer's outputs, or of the inputs, in these rows.
    fn units(&self, layer: Option<usize>, panel: usize) -> Units<'_> {
        let count = self.packed.layout.width;
        let training = self.training.and_then(|training| training.disturbed(self.rows.clone()));
        Units { layer, first: panel * count, count, training }
    }

    /// Takes the samples of an evaluation through all layers; returns their outputs, row-major.
    pub fn evaluate(&self, samples: &[u32]) -> &mut [f32] {
        self.gather(samples);
        for (l, layer) in self.packed.layout.layers.iter().enumerate() {
            self.forward(l, 0..layer.out_panels);
        }
        self.outputs()
    }

    /// A layer for some panels of outputs, all of them if it has a layer norm: `z = a w^T`, and what becomes of it.
    pub fn forward(&self, l: usize, panels: Range<usize>) {
        match self.context.spec.layers()[l].norm {
            Norm::Layer => {
                self.products(l, panels.clone(), |_| ());
                self.layer_norm(l);
                panels.for_each(|panel| self.finish(l, panel));
            }
            _ => self.products(l, panels, |panel| self.finish(l, panel)),
        }
    }

    /// `z = a w^T` for some panels of outputs, one by one; calls `finish` with each.
    pub fn products(&self, l: usize, panels: Range<usize>, finish: impl Fn(usize)) {
        let Self { packed, worker, .. } = self;
        let (layout, layer) = (packed.layout, &packed.layout.layers[l]);
        let (input, output) = (layout.input(l, *worker), layout.output(l));
        count_product();
        let w = |panels: &Range<usize>| {
            let weights = layer.n_in * layout.width;
            let start = layer.w.start;
            let range = start + panels.start * weights..start + panels.end * weights;
            packed.vectors.params.pointer(range).cast_const()
        };
        let skips_zeros = l == 0 && packed.skips_zeros;
        if skips_zeros {
            for k in layout.sparse_blocks(layer.n_in) {
                let lists = self.list_inputs(&k);
                count_multiply_adds(self.listed(&lists) * panels.len() * layout.width);
                for panels in blocks(panels.clone(), PANELS) {
                    self.multiply_listed(input, &k, w(&panels), output, panels, &lists);
                }
            }
        }
        for panel in panels {
            if !skips_zeros {
                self.multiply(input, 0..layer.n_in, w(&(panel..panel + 1)), output, panel);
            }
            finish(panel);
        }
    }

    /// Makes the activations of a panel of products.
    pub fn finish(&self, l: usize, panel: usize) {
        let Self { context, packed, .. } = self;
        let (layout, layer) = (packed.layout, &packed.layout.layers[l]);
        let follows = context.activation(l).derivative_follows_from_value();
        let shifts = layer.norm.tensors.get(1).filter(|_| self.adds_shifts(l));
        let b = shifts.unwrap_or(&layer.b).start + panel * layout.width;
        // SAFETY: phase 1: nobody writes these parameters; own rows, or own panels, of two buffers.
        let (b, z, slope) = unsafe {
            (
                packed.vectors.params.read(b..b + layout.width),
                packed.arena.write(self.of_panel(layout.output(l), panel)),
                match layer.slope.is_empty() || self.training.is_none() && follows {
                    true => &mut [][..],
                    false => packed.arena.write(self.of_panel(&layer.slope, panel)),
                },
            )
        };
        context.activate(self.units(Some(l), panel), z, slope, b);
    }

    /// The range of the arena with these rows of a panel of a buffer.
    pub fn of_panel(&self, buffer: &Range<usize>, panel: usize) -> Range<usize> {
        let layout = self.packed.layout;
        let range = layout.at(buffer.start, panel, self.rows.start)
            ..layout.at(buffer.start, panel, self.rows.end);
        assert!(range.end <= buffer.end, "rows {:?} are outside a buffer", self.rows);
        range
    }

    /// `C = A B` for these rows and one panel of columns: the columns `k` of A, which is in the buffer `a`, and C in the buffer `c`. `b` has rows
    /// of a panel's width, the first for the first column of A. Columns begin with a panel of A.
    fn multiply(
        &self,
        a: &Range<usize>,
        k: Range<usize>,
        b: *const f32,
        c: &Range<usize>,
        panel: usize,
    ) {
        let tile = self.tile(a, k.clone(), b, c, panel..panel + 1);
        let (functions, width) = (self.packed.tiles.rows, self.packed.layout.width);
        let tiles = self.rows.len().div_ceil(functions.len());
        count_multiply_adds(self.rows.len() * k.len() * width);
        for k in self.packed.layout.weight_blocks(k) {
            // the next block of weights follows this one
            let bytes = k.len() * width * size_of::<f32>();
            let share = (bytes / tiles).next_multiple_of(64);
            let mut next = b.wrapping_add(k.end * width).cast::<u8>();
            for rows in blocks(self.rows.clone(), functions.len()) {
                isa::prefetch_later(next, share);
                next = next.wrapping_add(share);
                // SAFETY: as `tile` says; the functions are those of this CPU.
                unsafe { (functions[rows.len() - 1].along)(&tile(&rows, &k)) };
            }
        }
    }

    /// The same for one block of `k` and as many panels of columns as a tile has, with the values that the lists name: A is the input of the first
    /// layer. The first block overwrites C, later ones are added.
    fn multiply_listed(
        &self,
        a: &Range<usize>,
        k: &Range<usize>,
        b: *const f32,
        c: &Range<usize>,
        panels: Range<usize>,
        lists: &Lists<'_>,
    ) {
        let layout = self.packed.layout;
        let first = self.tile(a, 0..k.end, b, c, panels.clone());
        let tiles = blocks(self.rows.clone(), SPARSE_ROWS);
        for (rows, list) in tiles.zip(lists.iter()) {
            let functions = &self.packed.tiles.sparse[rows.len() - 1][panels.len() - 1];
            let tile = Tile {
                b_panel_step: layout.layers[0].n_in * layout.width,
                c_panel_step: layout.capacity * layout.width,
                k: list.len(),
                indices: list.as_ptr(),
                ..first(&rows, k)
            };
            if !list.is_empty() || !tile.accumulate {
                // SAFETY: as `tile` says, of both panels; the functions are those of this CPU; the list holds numbers below `k.len()`.
                unsafe { (functions.along)(&tile) };
            }
        }
    }

    /// Makes the tile of some of these rows and of a block of `k`, for [`Rows::multiply`], whose arguments it takes; the first block overwrites C. Own rows of A and C are within
    /// their buffers; `b` reaches as far as the caller says.
    fn tile(
        &self,
        a: &Range<usize>,
        k: Range<usize>,
        b: *const f32,
        c: &Range<usize>,
        panels: Range<usize>,
    ) -> impl Fn(&Range<usize>, &Range<usize>) -> Tile + use<'_> {
        let (arena, layout) = (self.packed.arena, self.packed.layout);
        let a_panels = k.end.div_ceil(layout.width);
        assert!(layout.at(a.start, a_panels, 0) <= a.end, "columns {k:?} are outside a buffer");
        let begin = k.start;
        // from the first of these rows in the first panel to the last of them in the last one
        let [from, to] = [panels.start, panels.end - 1].map(|panel| self.of_panel(c, panel));
        let c = arena.pointer(from.start..to.end);
        let (a, first) = (arena.pointer(a.clone()), self.rows.start);
        move |rows, k| Tile {
            a: a.wrapping_add(layout.at(0, k.start / layout.width, rows.start)),
            a_panel_step: layout.capacity * layout.width,
            b: b.wrapping_add(k.start * layout.width),
            b_panel_step: 0,
            c_panel_step: 0,
            c: c.wrapping_add((rows.start - first) * layout.width),
            k: k.len(),
            indices: std::ptr::null(),
            accumulate: k.start > begin,
        }
    }

    /// For each tile of these rows, the inputs of a block that are not zero in all of it, counted from the block's first.
    fn list_inputs(&self, k: &Range<usize>) -> Lists<'_> {
        let Self { context, packed, worker, rows, .. } = self;
        let layout = packed.layout;
        let own = worker * layout.list_len..(worker + 1) * layout.list_len;
        // SAFETY: a worker's own list; the lists before are no longer used.
        let list = unsafe { packed.lists.write(own) };
        let (size, mut counts) = (k.len() + 8 + MASK_BITS, [0; MAX_LISTS]);
        let tiles = blocks(rows.clone(), SPARSE_ROWS);
        let first = layout.first_mask_block(*worker);
        let masks = first + k.start / MASK_BITS..first + k.end.div_ceil(MASK_BITS);
        for ((rows, list), count) in tiles.zip(list.chunks_mut(size)).zip(&mut counts) {
            // phase 1, own rows of the masks
            *count =
                list_inputs(context.isa, list, packed.masks, layout.capacity, masks.clone(), rows);
        }
        Lists { list, size, counts }
    }

    /// How many values of these rows their tiles take: the rows of each tile by the inputs in its list.
    fn listed(&self, lists: &Lists<'_>) -> usize {
        let tiles = blocks(self.rows.clone(), SPARSE_ROWS);
        tiles.zip(lists.iter()).map(|(rows, list)| rows.len() * list.len()).sum()
    }

    /// The outputs of these rows, row-major, in a buffer of this worker's.
    pub fn outputs(&self) -> &mut [f32] {
        let Self { packed, worker, rows, .. } = self;
        let (width, n_out) = (packed.layout.width, packed.layout.n_out());
        let buffer = packed.layout.workers[*worker].outputs.start;
        // SAFETY: a worker's own buffer, of which no earlier part is in use; below, own rows, one panel at a time.
        let outputs = unsafe { packed.arena.write(buffer..buffer + rows.len() * n_out) };
        for (first, range) in self.output_panels() {
            let count = width.min(n_out - first);
            // SAFETY: as above.
            let from = unsafe { packed.arena.read(range) };
            for (to, from) in outputs.chunks_exact_mut(n_out).zip(from.chunks_exact(width)) {
                to[first..first + count].copy_from_slice(&from[..count]);
            }
        }
        outputs
    }

    /// For each panel of the output layer, its first column and where these rows of it lie.
    fn output_panels(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let layout = self.packed.layout;
        let layers = layout.layers.last().into_iter();
        layers.flat_map(move |layer| {
            (0..layer.out_panels)
                .map(move |panel| (panel * layout.width, self.of_panel(&layer.dz, panel)))
        })
    }

    /// The score of these rows; overwrites their outputs with the `dz` of the output layer.
    pub fn loss(&self, samples: &[u32], scale: f32) -> Score {
        let Self { context, packed, .. } = self;
        let (width, n_out) = (packed.layout.width, packed.layout.n_out());
        let outputs = self.outputs();
        let score = context.loss(outputs, samples, scale, context.recipe.label_smoothing);
        for (first, range) in self.output_panels() {
            let count = width.min(n_out - first);
            // SAFETY: own rows, one panel at a time.
            let to = unsafe { packed.arena.write(range) };
            for (to, from) in to.chunks_exact_mut(width).zip(outputs.chunks_exact(n_out)) {
                to[..count].copy_from_slice(&from[first..first + count]);
                to[count..].fill(0.0);
            }
        }
        score
    }

    /// The `dz` of the layer below: `da = dz w`, then `da * f'(z)`, panel by panel.
    fn backward(&self, l: usize) {
        let (layers, n_out) = (&self.packed.layout.layers, self.packed.layout.layers[l].n_out);
        count_product();
        for panel in 0..layers[l].in_panels {
            self.input_gradient(l, 0..n_out, &layers[l - 1].dz, panel);
            self.multiply_by_slope(l, panel);
        }
        if self.context.spec.layers()[l - 1].norm == Norm::Layer {
            self.layer_norm_gradient(l - 1);
        }
    }

    /// The gradient by some panels of what the first layer reads, of which the factors of the inputs learn.
    pub fn gradient_by_inputs(&self, panels: Range<usize>) {
        let (layout, n_out) = (self.packed.layout, self.packed.layout.layers[0].n_out);
        count_product();
        panels.for_each(|panel| self.input_gradient(0, 0..n_out, &layout.input_gradient, panel));
    }

    /// `da = dz w` for one panel of inputs, summed over some outputs, which begin with a panel; overwrites it in a buffer.
    pub fn input_gradient(&self, l: usize, outputs: Range<usize>, to: &Range<usize>, panel: usize) {
        let packed = self.packed;
        let layer = &packed.layout.layers[l];
        let weights = layer.n_out * packed.layout.width;
        let w = layer.transposed.start + panel * weights;
        let w = packed.transposed.pointer(w..w + weights).cast_const();
        self.multiply(&layer.dz, outputs, w, to, panel);
    }

    /// Makes `dz = da * f'(z)` of one panel of the inputs of layer `l`, in the `dz` of the layer below.
    pub fn multiply_by_slope(&self, l: usize, panel: usize) {
        let Self { context, packed, .. } = self;
        let (layer, below) = (&packed.layout.layers[l], &packed.layout.layers[l - 1]);
        let kept = match context.spec.layers()[l - 1].keeps_slope() {
            false => &layer.input,
            true => &below.slope,
        };
        // SAFETY: phase 1, own rows, or own panels, of two buffers.
        let (da, kept) = unsafe {
            (
                packed.arena.write(self.of_panel(&below.dz, panel)),
                packed.arena.read(self.of_panel(kept, panel)),
            )
        };
        context.differentiate(l - 1, da, kept);
    }
}

/// The most tiles that leave zeros out in a block of rows.
const MAX_LISTS: usize = MOST_ROWS.div_ceil(SPARSE_ROWS);
const _: () = assert!(EVALUATION_BLOCK <= MOST_ROWS);

/// Lists of the inputs that are not zero, one for each tile of a block of rows.
#[derive(Clone, Copy)]
struct Lists<'a> {
    list: &'a [u32],
    size: usize,
    counts: [usize; MAX_LISTS],
}

impl Lists<'_> {
    fn iter(&self) -> impl Iterator<Item = &[u32]> {
        self.list.chunks(self.size).zip(&self.counts).map(|(list, &count)| &list[..count])
    }
}
