//! The two phases of a step on panels. The table of who writes what is in `engine::context`.
#![allow(unsafe_code)]

use std::ops::Range;

use super::gather::{Gathered, gather};
use super::layout::{MASK_BITS, PackedLayer, gradient_panels, samples_block};
use super::lists::{list_inputs, list_samples};
use super::{Packed, convert};
use crate::engine::clock::Clock;
use crate::engine::context::Context;
use crate::engine::kernels::adam::{AdamStep, adam_step};
use crate::engine::kernels::{activation, rows as row_kernels};
use crate::engine::partition::{Chunks, blocks};
use crate::engine::score::Score;
use crate::engine::workers::Member;
use crate::gemm::panels::{MAX_TILE_ROWS, Tile, count_product};

/// What phase 2 does with a gradient.
#[derive(Clone, Copy)]
pub enum Rule {
    /// Applies it at once.
    Adam(AdamStep),
    /// Stores it where the first moments lie.
    Store,
}

/// Phase 1 for one worker: its assigned chunk of the batch, then drawn chunks until none is left. Writes the `dz` of every layer that learns.
pub fn forward_backward(
    context: &Context<'_>,
    packed: &Packed<'_>,
    member: &Member<'_>,
    batch: &[u32],
    phase: usize,
    clock: &mut Clock,
) {
    if member.number() == 0 {
        context.chunk_counter.reset_next(phase);
    }
    let scale = context.gradient_scale(batch);
    let chunks = context.offsets.partition.batch(batch.len());
    let draw = || Some(chunks.first_drawn() + context.chunk_counter.draw(phase, chunks.drawn())?);
    let mut next = chunks.assigned_to(member.number()).or_else(draw);
    while let Some(chunk) = next {
        let mut score = Score::default();
        for rows in blocks(chunks.rows(chunk), packed.layout.rows_block) {
            let block = Rows { context, packed, worker: member.number(), rows };
            score += block.pass(batch, scale, clock);
        }
        context.set_score(chunk, score);
        next = draw();
    }
}

/// A block of rows of the batch that one worker takes through all layers.
struct Rows<'a> {
    context: &'a Context<'a>,
    packed: &'a Packed<'a>,
    worker: usize,
    rows: Range<usize>,
}

impl Rows<'_> {
    fn pass(&self, batch: &[u32], scale: f32, clock: &mut Clock) -> Score {
        let Self { context, packed, rows, .. } = self;
        let samples = &batch[rows.clone()];
        let to = Gathered {
            layout: packed.layout,
            arena: packed.arena,
            masks: packed.skips_zeros.then_some(packed.masks),
            row: rows.start,
        };
        gather(context.isa, &to, context.data, packed.order, samples);
        clock.lap(|phases| &mut phases.gather);
        let layers = packed.layout.layers.len();
        (0..layers).for_each(|l| self.forward(l));
        let score = self.loss(samples, scale);
        clock.lap(|phases| &mut phases.forward);
        // nobody needs the `dz` of a frozen layer
        (context.frozen + 1..layers).rev().for_each(|l| self.backward(l));
        clock.lap(|phases| &mut phases.backward);
        score
    }

    /// `z = a w^T`, then `a = f(z + b)`, panel by panel.
    fn forward(&self, l: usize) {
        let Self { context, packed, rows, .. } = self;
        let (layout, layer) = (packed.layout, &packed.layout.layers[l]);
        let output = layout.layers.get(l + 1).map_or(&layer.dz, |above| &above.input);
        let activation = context.activation(l);
        let lists = (l == 0 && packed.skips_zeros).then(|| self.list_inputs());
        count_product();
        for panel in 0..layer.out_panels {
            let weights = layer.n_in * layout.width;
            let w = layer.w.start + panel * weights;
            let w = packed.params.pointer(w..w + weights).cast_const();
            self.multiply(&layer.input, layer.n_in, w, output, panel, lists);
            let b = layer.b.start + panel * layout.width;
            // SAFETY: phase 1: nobody writes parameters; own rows of two buffers.
            let (b, z, slope) = unsafe {
                (
                    packed.params.read(b..b + layout.width),
                    packed.arena.write(self.of_panel(output, panel)),
                    match layer.slope.is_empty() {
                        true => &mut [][..],
                        false => packed.arena.write(self.of_panel(&layer.slope, panel)),
                    },
                )
            };
            debug_assert_eq!(z.len(), rows.len() * layout.width);
            activation::forward(context.isa, z, slope, b, activation);
        }
    }

    /// The range of the arena with these rows of a panel of a buffer.
    fn of_panel(&self, buffer: &Range<usize>, panel: usize) -> Range<usize> {
        let layout = self.packed.layout;
        let range = layout.at(buffer.start, panel, self.rows.start)
            ..layout.at(buffer.start, panel, self.rows.end);
        assert!(range.end <= buffer.end, "rows {:?} are outside a buffer", self.rows);
        range
    }

    /// `C = A B` for these rows and one panel of columns: A has `k` columns and is in the buffer `a`, C in the buffer `c`. `b` has `k` rows of a
    /// panel's width. With lists, A is the input of the first layer, and only the values of k in a tile's list count.
    fn multiply(
        &self,
        a: &Range<usize>,
        k: usize,
        b: *const f32,
        c: &Range<usize>,
        panel: usize,
        lists: Option<Lists<'_>>,
    ) {
        let (packed, layout) = (self.packed, self.packed.layout);
        let functions = packed.tiles.rows;
        let c = self.of_panel(c, panel);
        let a_panels = k.div_ceil(layout.width);
        assert!(layout.at(a.start, a_panels, 0) <= a.end, "{k} columns are outside a buffer");
        let (a, c) = (packed.arena.pointer(a.clone()), packed.arena.pointer(c));
        let most = if lists.is_some() { sparse_rows(functions.len()) } else { functions.len() };
        let tile_rows = || blocks(self.rows.clone(), most);
        // SAFETY of what follows: own rows of A and C, which was checked; `b` reaches as far as the caller says; the functions are those
        // of this CPU.
        let tile = |rows: &Range<usize>, k: &Range<usize>| Tile {
            a: unsafe { a.add(layout.at(0, k.start / layout.width, rows.start)) },
            a_panel_step: layout.capacity * layout.width,
            b: unsafe { b.add(k.start * layout.width) },
            c: unsafe { c.add((rows.start - self.rows.start) * layout.width) },
            k: k.len(),
            indices: std::ptr::null(),
            accumulate: k.start > 0,
        };
        match lists {
            None => {
                for k in layout.weight_blocks(k) {
                    for rows in tile_rows() {
                        unsafe { (functions[rows.len() - 1].along)(&tile(&rows, &k)) };
                    }
                }
            }
            Some(lists) => {
                for (rows, list) in tile_rows().zip(lists.iter()) {
                    let functions = &functions[rows.len() - 1];
                    match list.len() > k - k / 8 {
                        true => unsafe { (functions.along)(&tile(&rows, &(0..k))) },
                        false => {
                            let (k, indices) = (list.len(), list.as_ptr());
                            let tile = Tile { k, indices, ..tile(&rows, &(0..0)) };
                            unsafe { (functions.along_sparse)(&tile) };
                        }
                    }
                }
            }
        }
    }

    /// For each tile of these rows, the inputs that are not zero in all of it.
    fn list_inputs(&self) -> Lists<'_> {
        let Self { context, packed, worker, rows } = self;
        let layout = packed.layout;
        let own = worker * layout.list_len..(worker + 1) * layout.list_len;
        // SAFETY: a worker's own list; phase 1, own rows of the masks: the words of other rows are not used, but may be written by others
        // meanwhile, so that only those of these rows are read.
        let list = unsafe { packed.lists.write(own) };
        let (size, mut counts) = (layout.layers[0].n_in + 8, [0; MAX_LISTS]);
        let tiles = blocks(rows.clone(), sparse_rows(packed.tiles.max_rows()));
        for ((rows, list), count) in tiles.zip(list.chunks_mut(size)).zip(&mut counts) {
            *count = list_inputs(
                context.isa,
                list,
                packed.masks,
                layout.capacity,
                layout.mask_blocks,
                rows,
            );
        }
        Lists { list, size, counts }
    }

    /// The score of these rows; overwrites their outputs with the `dz` of the output layer.
    fn loss(&self, samples: &[u32], scale: f32) -> Score {
        let Self { context, packed, worker, .. } = self;
        let Some(layer) = packed.layout.layers.last() else { return Score::default() };
        let (width, n_out) = (packed.layout.width, layer.n_out);
        let scratch = packed.layout.workers[*worker].1.start;
        // SAFETY: a worker's own buffer; below, own rows, one panel at a time.
        let outputs = unsafe { packed.arena.write(scratch..scratch + samples.len() * n_out) };
        let panels =
            || (0..layer.out_panels).map(|panel| (panel * width, self.of_panel(&layer.dz, panel)));
        for (first, range) in panels() {
            let count = width.min(n_out - first);
            // SAFETY: as above.
            let from = unsafe { packed.arena.read(range) };
            for (to, from) in outputs.chunks_exact_mut(n_out).zip(from.chunks_exact(width)) {
                to[first..first + count].copy_from_slice(&from[..count]);
            }
        }
        let score = context.loss(outputs, samples, scale);
        for (first, range) in panels() {
            let count = width.min(n_out - first);
            // SAFETY: as above.
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
        let Self { context, packed, .. } = self;
        let (layout, layer, below) =
            (packed.layout, &packed.layout.layers[l], &packed.layout.layers[l - 1]);
        let activation = context.activation(l - 1);
        let kept = match activation.derivative_follows_from_value() {
            true => &layer.input,
            false => &below.slope,
        };
        count_product();
        for panel in 0..layer.in_panels {
            let weights = layer.n_out * layout.width;
            let w = layer.transposed.start + panel * weights;
            let w = packed.transposed.pointer(w..w + weights).cast_const();
            self.multiply(&layer.dz, layer.n_out, w, &below.dz, panel, None);
            // SAFETY: phase 1, own rows of two buffers.
            let (da, kept) = unsafe {
                (
                    packed.arena.write(self.of_panel(&below.dz, panel)),
                    packed.arena.read(self.of_panel(kept, panel)),
                )
            };
            activation::backward(context.isa, da, kept, activation);
        }
    }
}

/// The most tiles in a block of rows.
const MAX_LISTS: usize = 64;

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

/// Phase 2 for one worker: its assigned inputs of every layer that learns, then drawn ones until none is left.
pub fn weight_gradients(
    context: &Context<'_>,
    packed: &Packed<'_>,
    worker: usize,
    batch: usize,
    rule: Rule,
    phase: usize,
) {
    if worker == 0 {
        context.chunk_counter.reset_next(phase);
    }
    let layers = &packed.layout.layers;
    let workers = context.offsets.partition.workers;
    // a unit is a panel of inputs; the last one is the biases
    let chunks = |l: usize| Chunks::of_units(layers[l].in_panels + 1, workers);
    let learning = context.frozen..layers.len();
    let work = |l: usize, units: Range<usize>| {
        let layer = Learning { context, packed, worker, batch, rule, l, layer: &layers[l] };
        let panels = units.start..units.end.min(layers[l].in_panels);
        for panels in blocks(panels, gradient_panels(&layers[l], packed.layout.width)) {
            layer.learn_weights(panels);
        }
        if units.end > layers[l].in_panels && !units.is_empty() {
            layer.learn_biases();
        }
    };
    for l in learning.clone() {
        if let Some(assigned) = chunks(l).assigned_to(worker) {
            count_product();
            work(l, chunks(l).rows(assigned));
        }
    }
    let drawn_counts = || learning.clone().map(|l| (l, chunks(l).drawn()));
    let drawn_count: usize = drawn_counts().map(|(_, drawn)| drawn).sum();
    while let Some(mut number) = context.chunk_counter.draw(phase, drawn_count) {
        for (l, drawn) in drawn_counts() {
            if number < drawn {
                work(l, chunks(l).rows(chunks(l).first_drawn() + number));
                break;
            }
            number -= drawn;
        }
    }
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
    /// The gradients of the weights of some panels of inputs, and what the rule does with them.
    fn learn_weights(&self, panels: Range<usize>) {
        let Self { packed, layer, .. } = self;
        let width = packed.layout.width;
        let inputs = panels.start * width..layer.n_in.min(panels.end * width);
        let values = inputs.len() * width;
        let buffer = packed.layout.workers[self.worker].0.start;
        let buffer = buffer..buffer + layer.out_panels * values;
        let gradient = packed.arena.pointer(buffer.clone());
        let mut first = 0;
        while first < self.batch {
            let samples = first..self.batch.min(first + samples_block(width));
            match self.l == 0 && packed.skips_zeros {
                true => self.add_products_without_zeros(gradient, &inputs, &samples),
                false => self.add_products(gradient, &inputs, &samples),
            }
            first = samples.end;
        }
        for out_panel in 0..layer.out_panels {
            let start = layer.w.start + (out_panel * layer.n_in + inputs.start) * width;
            // SAFETY: a worker's own buffer.
            let gradient = unsafe { packed.arena.read(buffer.clone()) };
            self.apply(start..start + values, &gradient[out_panel * values..][..values]);
        }
        if !layer.transposed.is_empty() && matches!(self.rule, Rule::Adam(_)) {
            for panel in panels {
                // SAFETY: phase 2: the weights of these inputs are this worker's.
                unsafe {
                    convert::transpose_panel(
                        packed.tiles,
                        layer,
                        packed.transposed,
                        packed.params,
                        panel,
                    );
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

    /// `dw += a^T dz` over some samples, for some inputs and all outputs: `gradient` is `[out_panels][inputs][L]`. The first samples overwrite.
    fn add_products(&self, gradient: *mut f32, inputs: &Range<usize>, samples: &Range<usize>) {
        for out_panel in 0..self.layer.out_panels {
            for tile in self.tiles(inputs, self.packed.tiles.max_rows()) {
                let functions = &self.packed.tiles.rows[tile.len() - 1];
                let tile = self.tile(gradient, inputs, samples, out_panel, &tile);
                // SAFETY: phase 2: nobody writes `input` and `dz`; the gradient is the worker's own. `tile` has checked the ranges; the
                // functions are those of this CPU.
                unsafe { (functions.across)(&tile) };
            }
        }
    }

    /// The same, without the samples in which all inputs of a tile are zero.
    fn add_products_without_zeros(
        &self,
        gradient: *mut f32,
        inputs: &Range<usize>,
        samples: &Range<usize>,
    ) {
        let Self { packed, layer, .. } = self;
        let (layout, most) = (packed.layout, sparse_rows(packed.tiles.max_rows()));
        let own = self.worker * layout.list_len..(self.worker + 1) * layout.list_len;
        // SAFETY: a worker's own list.
        let list = unsafe { packed.lists.write(own) };
        for first in inputs.clone().step_by(layout.width) {
            let panel = first..inputs.end.min(first + layout.width);
            let mut counts = [0; MAX_TILES];
            let size = samples.len() + 1;
            for ((tile, list), count) in
                self.tiles(&panel, most).zip(list.chunks_mut(size)).zip(&mut counts)
            {
                *count = self.list_samples(list, &tile, samples);
            }
            for out_panel in 0..layer.out_panels {
                for ((tile, list), &count) in
                    self.tiles(&panel, most).zip(list.chunks(size)).zip(&counts)
                {
                    let functions = &packed.tiles.rows[tile.len() - 1];
                    let tile = self.tile(gradient, inputs, samples, out_panel, &tile);
                    // SAFETY: as in `add_products`; the list holds numbers below those of the samples.
                    match count > samples.len() - samples.len() / 8 {
                        true => unsafe { (functions.across)(&tile) },
                        false => unsafe {
                            let indices = list.as_ptr();
                            (functions.across_sparse)(&Tile { k: count, indices, ..tile });
                        },
                    }
                }
            }
        }
    }

    /// Lists the samples, counted from the first, in which not all inputs of a tile are zero.
    fn list_samples(&self, list: &mut [u32], tile: &Range<usize>, samples: &Range<usize>) -> usize {
        let layout = self.packed.layout;
        let block = tile.start / MASK_BITS;
        let next = (block + 1).min(layout.mask_blocks - 1);
        let words = |block: usize| {
            let start = block * layout.capacity;
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
        gradient: *mut f32,
        inputs: &Range<usize>,
        samples: &Range<usize>,
        out_panel: usize,
        tile: &Range<usize>,
    ) -> Tile {
        let Self { packed, layer, .. } = self;
        let layout = packed.layout;
        let width = layout.width;
        let rows = |buffer: &Range<usize>, panel: usize| {
            let range = layout.at(buffer.start, panel, samples.start)
                ..layout.at(buffer.start, panel, samples.end);
            assert!(range.end <= buffer.end, "samples {samples:?} are outside a buffer");
            packed.arena.pointer(range)
        };
        let a = rows(&layer.input, tile.start / width);
        let row = out_panel * inputs.len() + tile.start - inputs.start;
        Tile {
            // SAFETY: within the first of the rows; within a block of the gradient, which has `inputs` rows for each panel of outputs.
            a: unsafe { a.add(tile.start % width) },
            a_panel_step: 0,
            b: rows(&layer.dz, out_panel),
            // SAFETY: as above.
            c: unsafe { gradient.add(row * width) },
            k: samples.len(),
            indices: std::ptr::null(),
            accumulate: samples.start > 0,
        }
    }

    /// The gradients of the biases, the column sums of `dz`, and what the rule does with them.
    fn learn_biases(&self) {
        let Self { context, packed, layer, batch, .. } = self;
        let layout = packed.layout;
        let buffer = layout.workers[self.worker].0.start;
        for panel in 0..layer.out_panels {
            let rows =
                layout.at(layer.dz.start, panel, 0)..layout.at(layer.dz.start, panel, *batch);
            // SAFETY: phase 2: nobody writes `dz`; a worker's own buffer, which is at least a panel wide.
            let (dz, gradient) = unsafe {
                (packed.arena.read(rows), packed.arena.write(buffer..buffer + layout.width))
            };
            row_kernels::column_sums(context.isa, gradient, dz, layout.width, 0);
            let start = layer.b.start + panel * layout.width;
            self.apply(start..start + layout.width, gradient);
        }
    }

    /// What the rule does with the gradients of a range of the packed parameters.
    fn apply(&self, range: Range<usize>, gradient: &[f32]) {
        let Self { context, packed, rule, .. } = self;
        // SAFETY: phase 2: the inputs of a unit, or the biases, are this worker's; three different vectors.
        let m = unsafe { packed.m.write(range.clone()) };
        match rule {
            Rule::Store => m.copy_from_slice(gradient),
            Rule::Adam(step) => {
                // SAFETY: as above.
                let (w, v) = unsafe { (packed.params.write(range.clone()), packed.v.write(range)) };
                if !adam_step(context.isa, w, m, v, gradient, *step) {
                    context.halt.set_broken_weights(self.l);
                }
            }
        }
    }
}

/// The most rows in a tile that leaves zeros out, of those that tiles may have: with fewer rows, more is zero throughout a tile, and with 12 vectors
/// of sums the multiplications are still what takes the time.
pub fn sparse_rows(max_rows: usize) -> usize {
    max_rows.min(6)
}

/// The most tiles in a panel.
const MAX_TILES: usize = 8;

const _: () = assert!(MAX_TILE_ROWS <= 16);
