//! Phase 2 of a step on panels: weight gradients, and what becomes of them while they are in the cache. The table of who writes what is in
//! `engine::context`.
#![allow(unsafe_code)]

use std::ops::Range;

use super::layout::{MASK_BITS, PackedLayer, block_panels};
use super::lists::list_samples;
use super::{Packed, convert};
use crate::engine::clock::count_multiply_adds;
use crate::engine::context::Context;
use crate::engine::kernels::adam::{AdamStep, adam_step};
use crate::engine::kernels::rows;
use crate::engine::partition::{Chunks, blocks};
use crate::gemm::panels::{PANELS, SPARSE_ROWS, Tile, count_product};
use crate::isa;
use crate::model::Tensor;

/// What phase 2 does with a gradient.
#[derive(Clone, Copy)]
pub enum Rule {
    /// Applies it at once.
    Adam(AdamStep),
    /// Stores it where the first moments lie.
    Store,
}

/// Phase 2 for one worker: its assigned inputs of every layer that learns, then drawn ones until none is left.
pub fn weight_gradients(
    context: &Context<'_>,
    packed: &Packed<'_>,
    worker: usize,
    batch: usize,
    rule: Rule,
    phase: usize,
) {
    let (layout, layers) = (packed.layout, &packed.layout.layers);
    // by inputs, a unit is a panel of them, and the last one is the biases; by outputs, it is a panel of these with its biases
    let by_outputs = |l: usize| l < layout.split;
    let chunks = |l: usize| match by_outputs(l) {
        true => Chunks::assigned(layers[l].out_panels, layout.workers.len()),
        false => Chunks::of_units(layers[l].in_panels + 1, layout.workers.len()),
    };
    context.for_each_layer_chunk(worker, phase, chunks, |l, units| {
        let layer = Learning { context, packed, worker, batch, rule, l, layer: &layers[l] };
        let (in_panels, out_panels) = (0..layers[l].in_panels, 0..layers[l].out_panels);
        let (in_panels, out_panels, biases) = match by_outputs(l) {
            true => (in_panels, units.clone(), units),
            false => {
                let has_biases = units.end > in_panels.end && !units.is_empty();
                let biases = if has_biases { out_panels.clone() } else { 0..0 };
                (units.start..units.end.min(in_panels.end), out_panels, biases)
            }
        };
        let (most_in, most_out) = block_panels(layout.width);
        let (weight, bias) = (context.layout.weight(l), context.layout.bias(l));
        if layer.learns(weight) {
            for in_panels in blocks(in_panels, most_in) {
                for out_panels in blocks(out_panels.clone(), most_out) {
                    layer.learn_block(&in_panels, out_panels);
                }
            }
        }
        if biases.start == 0 && !biases.is_empty() {
            count_product(); // once for the layer
        }
        if layer.learns(bias) {
            layer.learn_biases(biases);
        }
    });
}

/// A block of a layer's weights: some inputs and some panels of outputs. Its gradient is `[out_panels][inputs][L]`.
struct Block {
    inputs: Range<usize>,
    out_panels: Range<usize>,
    gradient: *mut f32,
}

/// A layer in phase 2.
struct Learning<'a> {
    context: &'a Context<'a>,
    packed: &'a Packed<'a>,
    worker: usize,
    batch: usize,
    rule: Rule,
    l: usize,
    layer: &'a PackedLayer,
}

impl Learning<'_> {
    /// Whether phase 2 needs the gradient of a tensor.
    fn learns(&self, tensor: &Tensor) -> bool {
        tensor.trained || matches!(self.rule, Rule::Store)
    }

    /// The gradients of a block of the weights, and what the rule does with them.
    fn learn_block(&self, in_panels: &Range<usize>, out_panels: Range<usize>) {
        let Self { packed, layer, .. } = self;
        let width = packed.layout.width;
        let inputs = in_panels.start * width..layer.n_in.min(in_panels.end * width);
        let values = inputs.len() * width;
        let buffer = packed.layout.workers[self.worker].gradient.start;
        let buffer = buffer..buffer + out_panels.len() * values;
        let block = Block { inputs, out_panels, gradient: packed.arena.pointer(buffer.clone()) };
        let mut first = 0;
        while first < self.batch {
            let samples = first..self.batch.min(first + packed.layout.samples_block);
            match self.l == 0 && packed.skips_zeros {
                true => self.add_products_without_zeros(&block, &samples),
                false => self.add_products(&block, &samples),
            }
            first = samples.end;
        }
        // SAFETY: a worker's own buffer, which was written through the pointer above.
        let gradient = unsafe { packed.arena.read(buffer) };
        for (out_panel, gradient) in block.out_panels.zip(gradient.chunks_exact(values)) {
            let start = layer.w.start + (out_panel * layer.n_in + block.inputs.start) * width;
            self.apply(self.context.layout.weight(self.l), start..start + values, gradient);
            if !layer.transposed.is_empty() && matches!(self.rule, Rule::Adam(_)) {
                for in_panel in in_panels.clone() {
                    let (params, transposed) = (packed.params, packed.transposed);
                    // SAFETY: phase 2: the weights of these inputs are this worker's.
                    unsafe {
                        convert::transpose(
                            packed.tiles,
                            layer,
                            transposed,
                            params,
                            in_panel,
                            out_panel,
                        );
                    }
                }
            }
        }
    }

    /// The tiles of some inputs: ranges within one panel.
    fn tiles(&self, inputs: &Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
        let width = self.packed.layout.width;
        let end = inputs.end;
        inputs
            .clone()
            .step_by(width)
            .flat_map(move |first| blocks(first..end.min(first + width), most))
    }

    /// `dw += a^T dz` over some samples, for a block of the weights. The first samples overwrite.
    fn add_products(&self, block: &Block, samples: &Range<usize>) {
        let columns = block.out_panels.len() * self.packed.layout.width;
        count_multiply_adds(block.inputs.len() * samples.len() * columns);
        for out_panel in block.out_panels.clone() {
            for tile in self.tiles(&block.inputs, self.packed.tiles.max_rows()) {
                self.prefetch_state(out_panel, &tile, samples);
                let functions = &self.packed.tiles.rows[tile.len() - 1];
                let tile = self.tile(block, samples, &(out_panel..out_panel + 1), &tile);
                // SAFETY: phase 2: nobody writes `input` and `dz`; the gradient is the worker's own. `tile` has checked the ranges; the
                // functions are those of this CPU.
                unsafe { (functions.across)(&tile) };
            }
        }
    }

    /// The same, without the samples in which all inputs of a tile are zero.
    fn add_products_without_zeros(&self, block: &Block, samples: &Range<usize>) {
        let packed = self.packed;
        let (layout, most) = (packed.layout, SPARSE_ROWS);
        let own = self.worker * layout.list_len..(self.worker + 1) * layout.list_len;
        // SAFETY: a worker's own list.
        let list = unsafe { packed.lists.write(own) };
        for first in block.inputs.clone().step_by(layout.width) {
            let panel = first..block.inputs.end.min(first + layout.width);
            let mut counts = [0; MAX_TILES];
            let size = samples.len() + 8;
            for ((tile, list), count) in
                self.tiles(&panel, most).zip(list.chunks_mut(size)).zip(&mut counts)
            {
                *count = self.list_samples(list, &tile, samples);
                count_multiply_adds(tile.len() * *count * block.out_panels.len() * layout.width);
            }
            for out_panels in blocks(block.out_panels.clone(), PANELS) {
                for ((tile, list), &count) in
                    self.tiles(&panel, most).zip(list.chunks(size)).zip(&counts)
                {
                    for out_panel in out_panels.clone() {
                        self.prefetch_state(out_panel, &tile, samples);
                    }
                    let functions = &packed.tiles.sparse[tile.len() - 1][out_panels.len() - 1];
                    let tile = Tile {
                        b_panel_step: layout.capacity * layout.width,
                        c_panel_step: block.inputs.len() * layout.width,
                        k: count,
                        indices: list.as_ptr(),
                        ..self.tile(block, samples, &out_panels, &tile)
                    };
                    // SAFETY: as in `add_products`, of both panels; the list holds numbers below those of the samples.
                    unsafe { (functions.across)(&tile) };
                }
            }
        }
    }

    /// With the last samples, asks for the parameters and moments of a tile, which the update is about to read: they come into the cache while
    /// the gradient is computed.
    fn prefetch_state(&self, out_panel: usize, tile: &Range<usize>, samples: &Range<usize>) {
        let (packed, width) = (self.packed, self.packed.layout.width);
        if samples.end == self.batch {
            let start = self.layer.w.start + (out_panel * self.layer.n_in + tile.start) * width;
            let range = start..start + tile.len() * width;
            for vector in [packed.params, packed.m, packed.v] {
                isa::prefetch_to_write(
                    vector.pointer(range.clone()),
                    size_of::<f32>() * range.len(),
                );
            }
        }
    }

    /// Lists the samples, counted from the first, in which not all inputs of a tile are zero.
    fn list_samples(&self, list: &mut [u32], tile: &Range<usize>, samples: &Range<usize>) -> usize {
        let layout = self.packed.layout;
        let block = tile.start / MASK_BITS;
        let next = (block + 1).min(layout.mask_blocks - 1);
        let words = |block: usize| {
            let start = (layout.first_mask_block(self.worker) + block) * layout.capacity;
            start + samples.start..start + samples.end
        };
        // SAFETY: phase 2: nobody writes masks.
        let (low, high) =
            unsafe { (self.packed.masks.read(words(block)), self.packed.masks.read(words(next))) };
        let wanted = ((1u32 << tile.len()) - 1) << (tile.start % MASK_BITS);
        list_samples(self.context.isa, list, low, high, wanted)
    }

    fn tile(
        &self,
        block: &Block,
        samples: &Range<usize>,
        out_panels: &Range<usize>,
        tile: &Range<usize>,
    ) -> Tile {
        let Self { packed, layer, .. } = self;
        let layout = packed.layout;
        let width = layout.width;
        let rows = |buffer: &Range<usize>, panels: &Range<usize>| {
            let range = layout.at(buffer.start, panels.start, samples.start)
                ..layout.at(buffer.start, panels.end - 1, samples.end);
            assert!(range.end <= buffer.end, "samples {samples:?} are outside a buffer");
            packed.arena.pointer(range)
        };
        let in_panel = tile.start / width;
        let a = rows(layout.input(self.l, self.worker), &(in_panel..in_panel + 1));
        let row = (out_panels.start - block.out_panels.start) * block.inputs.len() + tile.start
            - block.inputs.start;
        Tile {
            // SAFETY: within the first of the rows; within a block of the gradient, which has `inputs` rows for each panel of outputs.
            a: unsafe { a.add(tile.start % width) },
            a_panel_step: 0,
            b: rows(&layer.dz, out_panels),
            b_panel_step: 0,
            c_panel_step: 0,
            // SAFETY: as above.
            c: unsafe { block.gradient.add(row * width) },
            k: samples.len(),
            indices: std::ptr::null(),
            accumulate: samples.start > 0,
        }
    }

    /// The gradients of the biases of some panels, the column sums of `dz`, and what the rule does with them.
    fn learn_biases(&self, panels: Range<usize>) {
        let Self { context, packed, layer, batch, .. } = self;
        let layout = packed.layout;
        let buffer = layout.workers[self.worker].gradient.start;
        for panel in panels {
            let rows =
                layout.at(layer.dz.start, panel, 0)..layout.at(layer.dz.start, panel, *batch);
            // SAFETY: phase 2: nobody writes `dz`; a worker's own buffer, which is at least a panel wide.
            let (dz, gradient) = unsafe {
                (packed.arena.read(rows), packed.arena.write(buffer..buffer + layout.width))
            };
            let sums = &mut [0.0; MAX_WIDTH][..layout.width];
            let mut first = true;
            for dz in dz.chunks(layout.samples_block * layout.width) {
                // the sums of a block, added to those of the blocks before
                match std::mem::take(&mut first) {
                    true => rows::column_sums(context.isa, gradient, dz, layout.width, 0),
                    false => {
                        rows::column_sums(context.isa, sums, dz, layout.width, 0);
                        rows::add(context.isa, gradient, sums);
                    }
                }
            }
            let start = layer.b.start + panel * layout.width;
            self.apply(context.layout.bias(self.l), start..start + layout.width, gradient);
        }
    }

    /// What the rule does with the gradients of a range of the packed values of a tensor.
    fn apply(&self, tensor: &Tensor, range: Range<usize>, gradient: &[f32]) {
        let Self { context, packed, rule, .. } = self;
        // SAFETY: phase 2: the inputs of a unit, or the biases, are this worker's; three different vectors.
        let m = unsafe { packed.m.write(range.clone()) };
        match rule {
            Rule::Store => m.copy_from_slice(gradient),
            Rule::Adam(step) => {
                let step = step.of(tensor.rate, tensor.decay);
                // SAFETY: as above.
                let (w, v) = unsafe { (packed.params.write(range.clone()), packed.v.write(range)) };
                if !adam_step(context.isa, w, m, v, gradient, step) {
                    context.halt.set_broken_weights(self.l);
                }
            }
        }
    }
}

/// The most columns in a panel, and the most tiles that leave zeros out in one.
const MAX_WIDTH: usize = 32;
const MAX_TILES: usize = MAX_WIDTH.div_ceil(SPARSE_ROWS);
