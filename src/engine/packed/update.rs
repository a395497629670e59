//! Phase 2 of a step on panels: weight gradients, and what becomes of them while they are in the cache. The table of who writes what is in
//! `engine::context`.
#![allow(unsafe_code)]

use std::ops::Range;

use super::layout::{MASK_BITS, PackedLayer, block_panels};
use super::lists::list_samples;
use super::{Packed, convert};
use crate::engine::clock::count_multiply_adds;
use crate::engine::context::Context;
use crate::engine::input_scales;
use crate::engine::kernels::norm::{add_column_products, add_column_sums};
use crate::engine::kernels::rows;
use crate::engine::optimizer::{Change, Use};
use crate::engine::partition::{Chunks, blocks};
use crate::engine::shared::Shared;
use crate::gemm::panels::{PANELS, SPARSE_ROWS, Tile, count_product};
use crate::isa;
use crate::model::{Norm, Tensor};

/// Phase 2 for one worker: its assigned inputs of every layer that learns, then drawn ones until none is left.
pub fn weight_gradients<'a>(
    context: &'a Context<'_>,
    packed: &'a Packed<'_>,
    worker: usize,
    batch: usize,
    usage: &'a Use<'_>,
    phase: usize,
) {
    for_each_part(context, packed, worker, phase, |l, part| {
        let layer =
            Learning { context, packed, worker, batch, usage, l, layer: &packed.layout.layers[l] };
        if usage.wants(context.layout.weight(l)) {
            part.for_each_block(packed, |in_panels, out_panels| {
                layer.learn_block(in_panels, out_panels)
            });
        }
        if part.biases.start == 0 && !part.biases.is_empty() {
            count_product(); // once for the layer
        }
        if usage.wants(context.layout.bias(l)) {
            layer.learn_biases(part.biases.clone());
        }
        part.biases.for_each(|panel| layer.learn_norm(panel));
    });
}

/// Phase 2 of the factors of the inputs.
pub fn learn_input_scales(
    context: &Context<'_>,
    packed: &Packed<'_>,
    worker: usize,
    batch: usize,
    usage: &Use<'_>,
) {
    let layout = packed.layout;
    input_scales::learn(context, worker, usage, layout.width, |inputs, gradient| {
        let of_panel = |buffer: &Range<usize>| {
            let panel = inputs.start / layout.width;
            // SAFETY: phase 2: nobody writes these buffers.
            unsafe {
                packed
                    .arena
                    .read(layout.at(buffer.start, panel, 0)..layout.at(buffer.start, panel, batch))
            }
        };
        let mut sums = [0.0; MAX_WIDTH];
        let sums = &mut sums[..layout.width];
        let (dx, x) = (of_panel(&layout.input_gradient), of_panel(&layout.unscaled));
        add_column_products(context.isa, sums, dx, x);
        gradient.copy_from_slice(&sums[..inputs.len()]);
    });
}

/// Changes all parameters by gradients that were stored, multiplied by a factor: a phase of its own.
pub fn change_all(
    context: &Context<'_>,
    packed: &Packed<'_>,
    worker: usize,
    (grads, factor): (Shared<'_, f32>, f32),
    change: Change,
    phase: usize,
) {
    let usage = &Use::Change(packed.vectors, change);
    for_each_part(context, packed, worker, phase, |l, part| {
        let layer = Learning {
            context,
            packed,
            worker,
            batch: 0,
            usage,
            l,
            layer: &packed.layout.layers[l],
        };
        let scaled = |range: Range<usize>| {
            // SAFETY: a phase in which what belongs to these inputs and outputs is this worker's.
            let gradient = unsafe { grads.write(range) };
            if factor != 1.0 {
                rows::scale(context.isa, gradient, factor);
            }
            &*gradient
        };
        if usage.wants(context.layout.weight(l)) {
            part.for_each_block(packed, |in_panels, out_panels| {
                for out_panel in out_panels {
                    let range = layer.weights(in_panels, out_panel);
                    layer.use_weights(in_panels, out_panel, scaled(range));
                }
            });
        }
        for panel in part.biases {
            for which in 0..layer.vectors() {
                if usage.wants(&context.layout.tensors_of(l)[1 + which]) {
                    layer.use_vector(which, panel, scaled(layer.vector(which, panel)));
                }
            }
            layer.average_running_statistics(panel);
        }
    });
}

/// Some weights of a layer, and the biases of some panels of its outputs.
struct Part {
    in_panels: Range<usize>,
    out_panels: Range<usize>,
    biases: Range<usize>,
}

impl Part {
    /// Calls `work` with each block of the weights.
    fn for_each_block(
        &self,
        packed: &Packed<'_>,
        mut work: impl FnMut(&Range<usize>, Range<usize>),
    ) {
        let (most_in, most_out) = block_panels(packed.layout.width);
        for in_panels in blocks(self.in_panels.clone(), most_in) {
            for out_panels in blocks(self.out_panels.clone(), most_out) {
                work(&in_panels, out_panels);
            }
        }
    }
}

/// Calls `work` with each part of a layer that learns that a worker has in this phase, assigned or drawn.
fn for_each_part(
    context: &Context<'_>,
    packed: &Packed<'_>,
    worker: usize,
    phase: usize,
    mut work: impl FnMut(usize, Part),
) {
    let (layout, layers) = (packed.layout, &packed.layout.layers);
    // by inputs, a unit is a panel of them, and the last one is the biases; by outputs, it is a panel of these with its biases
    let by_outputs = |l: usize| l < layout.split;
    let chunks = |l: usize| match by_outputs(l) {
        true => Chunks::assigned(layers[l].out_panels, layout.workers.len()),
        false => Chunks::of_units(layers[l].in_panels + 1, layout.workers.len()),
    };
    context.for_each_layer_chunk(worker, phase, chunks, |l, units| {
        let (in_panels, out_panels) = (0..layers[l].in_panels, 0..layers[l].out_panels);
        let part = match by_outputs(l) {
            true => Part { in_panels, out_panels: units.clone(), biases: units },
            false => {
                let has_biases = units.end > in_panels.end && !units.is_empty();
                let biases = if has_biases { out_panels.clone() } else { 0..0 };
                Part { in_panels: units.start..units.end.min(in_panels.end), out_panels, biases }
            }
        };
        work(l, part);
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
    /// The number of samples; 0 where gradients are known.
    batch: usize,
    usage: &'a Use<'a>,
    l: usize,
    layer: &'a PackedLayer,
}

impl Learning<'_> {
    /// The gradients of a block of the weights, and what is done with them.
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
            self.use_weights(in_panels, out_panel, gradient);
        }
    }

    /// Where the weights between some panels of inputs and a panel of outputs are in a packed vector.
    fn weights(&self, in_panels: &Range<usize>, out_panel: usize) -> Range<usize> {
        let Self { packed, layer, .. } = self;
        let width = packed.layout.width;
        let inputs = in_panels.start * width..layer.n_in.min(in_panels.end * width);
        let start = layer.w.start + out_panel * layer.n_in * width;
        start + inputs.start * width..start + inputs.end * width
    }

    /// The number of tensors with a value for each output that learn: the biases, and the gains and shifts of a norm.
    fn vectors(&self) -> usize {
        1 + self.layer.norm.tensors.len().min(2)
    }

    /// Where a panel of one of these tensors is in a packed vector, and then of running statistics.
    fn vector(&self, which: usize, panel: usize) -> Range<usize> {
        let width = self.packed.layout.width;
        let start = match which {
            0 => self.layer.b.start,
            _ => self.layer.norm.tensors[which - 1].start,
        };
        start + panel * width..start + (panel + 1) * width
    }

    /// Uses the gradient of the weights between some panels of inputs and a panel of outputs.
    fn use_weights(&self, in_panels: &Range<usize>, out_panel: usize, gradient: &[f32]) {
        let Self { context, packed, layer, usage, .. } = self;
        let range = self.weights(in_panels, out_panel);
        self.use_gradient(context.layout.weight(self.l), range, gradient);
        match usage {
            Use::Change(vectors, _) if !layer.transposed.is_empty() => {
                for in_panel in in_panels.clone() {
                    let (tiles, transposed) = (packed.tiles, packed.transposed);
                    // SAFETY: phase 2: the weights of these inputs are this worker's.
                    unsafe {
                        convert::transpose(
                            tiles,
                            layer,
                            transposed,
                            vectors.params,
                            in_panel,
                            out_panel,
                        );
                    }
                }
            }
            Use::Measure(_, squares) => {
                let width = packed.layout.width;
                for (in_panel, gradient) in in_panels.clone().zip(gradient.chunks(width * width)) {
                    self.measure(*squares, in_panel, out_panel, gradient);
                }
            }
            _ => {}
        }
    }

    /// Uses the gradient of a panel of a tensor with a value for each output.
    fn use_vector(&self, which: usize, panel: usize, gradient: &[f32]) {
        let tensor = &self.context.layout.tensors_of(self.l)[1 + which];
        self.use_gradient(tensor, self.vector(which, panel), gradient);
        if let Use::Measure(_, squares) = self.usage {
            self.measure(*squares, self.layer.in_panels + which, panel, gradient);
        }
    }

    /// Uses the gradients of the gains and shifts of a panel with a norm.
    fn learn_norm(&self, panel: usize) {
        let Self { context, packed, layer, batch, usage, .. } = self;
        let (layout, norm) = (packed.layout, &layer.norm);
        let rows = |buffer: &Range<usize>| {
            layout.at(buffer.start, panel, 0)..layout.at(buffer.start, panel, *batch)
        };
        for which in 1..self.vectors() {
            if !usage.wants(&context.layout.tensors_of(self.l)[1 + which]) {
                continue;
            }
            // SAFETY: phase 2: nobody writes these buffers.
            let read = |range: Range<usize>| unsafe { packed.arena.read(range) };
            let mut sums = [0.0; MAX_WIDTH];
            let gradient = match context.spec.layers()[self.l].norm {
                Norm::Batch => {
                    let panels = (which - 1) * layer.out_panels + panel;
                    let start = norm.grads.start + panels * layout.width;
                    read(start..start + layout.width)
                }
                _ => {
                    let (sums, dy) = (&mut sums[..layout.width], read(rows(&norm.grads)));
                    match which {
                        1 => add_column_products(context.isa, sums, dy, read(rows(&norm.normed))),
                        _ => add_column_sums(context.isa, sums, dy),
                    }
                    &*sums
                }
            };
            self.use_vector(which, panel, gradient);
        }
        self.average_running_statistics(panel);
    }

    /// Puts the running statistics of a panel where the moving average of the parameters is, if there is one: they are averages themselves.
    fn average_running_statistics(&self, panel: usize) {
        if let Use::Change(vectors, _) = self.usage
            && vectors.average.len() > 0
        {
            for which in self.vectors()..1 + self.layer.norm.tensors.len() {
                let range = self.vector(which, panel);
                // SAFETY: phase 2: what belongs to these outputs is this worker's.
                unsafe {
                    vectors.average.write(range.clone()).copy_from_slice(vectors.params.read(range))
                };
            }
        }
    }

    /// Stores the sum of squares of the gradient between two panels, or of a panel of biases.
    fn measure(
        &self,
        squares: Shared<'_, f64>,
        in_panel: usize,
        out_panel: usize,
        gradient: &[f32],
    ) {
        let at = self.layer.squares.start + in_panel * self.layer.out_panels + out_panel;
        // SAFETY: phase 2: what belongs to these inputs and outputs is this worker's.
        unsafe { squares.write(at..at + 1)[0] = rows::sum_of_squares(self.context.isa, gradient) };
    }

    /// Stores the gradient of a range of the packed values of a tensor, or changes them by it.
    fn use_gradient(&self, tensor: &Tensor, range: Range<usize>, gradient: &[f32]) {
        let Self { context, usage, .. } = self;
        match usage {
            Use::Store(grads) | Use::Measure(grads, _) => {
                // SAFETY: phase 2: the inputs of a unit, or the biases, are this worker's.
                unsafe { grads.write(range) }.copy_from_slice(gradient);
            }
            Use::Change(vectors, change) => {
                // SAFETY: as above.
                if !unsafe { vectors.change(context.isa, tensor, range, gradient, change) } {
                    context.halt.set_broken_weights(self.l);
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
        if samples.end == self.batch && matches!(self.usage, Use::Change(..)) {
            let start = self.layer.w.start + (out_panel * self.layer.n_in + tile.start) * width;
            let range = start..start + tile.len() * width;
            for vector in [packed.vectors.params, packed.vectors.m, packed.vectors.v] {
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

    /// The gradients of the biases of some panels, the column sums of `dz`, and what is done with them.
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
            self.use_vector(0, panel, gradient);
        }
    }
}

/// The most columns in a panel, and the most tiles that leave zeros out in one.
const MAX_WIDTH: usize = 32;
const MAX_TILES: usize = MAX_WIDTH.div_ceil(SPARSE_ROWS);
