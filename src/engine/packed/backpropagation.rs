//! Phase 1 of a step on panels: gather, forward, loss, backward. The table of who writes what is in `engine::context`.
#![allow(unsafe_code)]

use std::ops::Range;

use super::Packed;
use super::gather::{Gathered, gather};
use super::layout::MASK_BITS;
use super::lists::list_inputs;
use super::zeros::sparse_rows;
use crate::engine::clock::Clock;
use crate::engine::context::Context;
use crate::engine::kernels::activation;
use crate::engine::partition::blocks;
use crate::engine::score::Score;
use crate::engine::workers::Member;
use crate::gemm::panels::{Tile, count_product};

/// Phase 1 for one worker: its assigned chunk of the batch, then drawn chunks until none is left. Writes the `dz` of every layer that learns.
pub fn forward_backward(
    context: &Context<'_>,
    packed: &Packed<'_>,
    member: &Member<'_>,
    batch: &[u32],
    phase: usize,
    clock: &mut Clock,
) {
    let (worker, scale) = (member.number(), context.gradient_scale(batch));
    context.for_each_batch_chunk(worker, batch.len(), phase, |chunk| {
        let mut score = Score::default();
        for rows in blocks(chunk, packed.layout.rows_block) {
            score += Rows { context, packed, worker, rows }.pass(batch, scale, clock);
        }
        score
    });
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
        count_product();
        let w = |panel: usize| {
            let weights = layer.n_in * layout.width;
            let start = layer.w.start + panel * weights;
            packed.params.pointer(start..start + weights).cast_const()
        };
        let skips_zeros = l == 0 && packed.skips_zeros;
        if skips_zeros {
            for k in layout.sparse_blocks(layer.n_in) {
                let lists = self.list_inputs(&k);
                for panel in 0..layer.out_panels {
                    self.multiply_listed(&layer.input, &k, w(panel), output, panel, &lists);
                }
            }
        }
        for panel in 0..layer.out_panels {
            if !skips_zeros {
                self.multiply(&layer.input, layer.n_in, w(panel), output, panel);
            }
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
    /// panel's width.
    fn multiply(&self, a: &Range<usize>, k: usize, b: *const f32, c: &Range<usize>, panel: usize) {
        let tile = self.tile(a, k, b, c, panel);
        let functions = self.packed.tiles.rows;
        for k in self.packed.layout.weight_blocks(k) {
            for rows in blocks(self.rows.clone(), functions.len()) {
                // SAFETY: as `tile` says; the functions are those of this CPU.
                unsafe { (functions[rows.len() - 1].along)(&tile(&rows, &k)) };
            }
        }
    }

    /// The same for one block of `k`, with the values that the lists name: A is the input of the first layer. The first block overwrites C, later
    /// ones are added.
    fn multiply_listed(
        &self,
        a: &Range<usize>,
        k: &Range<usize>,
        b: *const f32,
        c: &Range<usize>,
        panel: usize,
        lists: &Lists<'_>,
    ) {
        let tile = self.tile(a, k.end, b, c, panel);
        let functions = self.packed.tiles.rows;
        for (rows, list) in
            blocks(self.rows.clone(), sparse_rows(functions.len())).zip(lists.iter())
        {
            let functions = &functions[rows.len() - 1];
            let tile = tile(&rows, k);
            if list.is_empty() && tile.accumulate {
                continue;
            }
            let (function, tile) = match list.len() > k.len() - k.len() / 8 {
                true => (functions.along, tile),
                false => {
                    let (k, indices) = (list.len(), list.as_ptr());
                    (functions.along_sparse, Tile { k, indices, ..tile })
                }
            };
            // SAFETY: as `tile` says; the functions are those of this CPU; the list holds numbers below `k.len()`.
            unsafe { function(&tile) };
        }
    }

    /// Makes the tile of some of these rows and of a block of `k`, for [`Rows::multiply`], whose arguments it takes. Own rows of A and C are within
    /// their buffers; `b` reaches as far as the caller says.
    fn tile(
        &self,
        a: &Range<usize>,
        k: usize,
        b: *const f32,
        c: &Range<usize>,
        panel: usize,
    ) -> impl Fn(&Range<usize>, &Range<usize>) -> Tile {
        let (arena, layout) = (self.packed.arena, self.packed.layout);
        let a_panels = k.div_ceil(layout.width);
        assert!(layout.at(a.start, a_panels, 0) <= a.end, "{k} columns are outside a buffer");
        let c = arena.pointer(self.of_panel(c, panel));
        let (a, first) = (arena.pointer(a.clone()), self.rows.start);
        move |rows, k| Tile {
            a: a.wrapping_add(layout.at(0, k.start / layout.width, rows.start)),
            a_panel_step: layout.capacity * layout.width,
            b: b.wrapping_add(k.start * layout.width),
            c: c.wrapping_add((rows.start - first) * layout.width),
            k: k.len(),
            indices: std::ptr::null(),
            accumulate: k.start > 0,
        }
    }

    /// For each tile of these rows, the inputs of a block that are not zero in all of it, counted from the block's first.
    fn list_inputs(&self, k: &Range<usize>) -> Lists<'_> {
        let Self { context, packed, worker, rows } = self;
        let layout = packed.layout;
        let own = worker * layout.list_len..(worker + 1) * layout.list_len;
        // SAFETY: a worker's own list; the lists before are no longer used.
        let list = unsafe { packed.lists.write(own) };
        let (size, mut counts) = (k.len() + 8 + MASK_BITS, [0; MAX_LISTS]);
        let tiles = blocks(rows.clone(), sparse_rows(packed.tiles.max_rows()));
        let masks = k.start / MASK_BITS..k.end.div_ceil(MASK_BITS);
        for ((rows, list), count) in tiles.zip(list.chunks_mut(size)).zip(&mut counts) {
            // phase 1, own rows of the masks
            *count =
                list_inputs(context.isa, list, packed.masks, layout.capacity, masks.clone(), rows);
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
            self.multiply(&layer.dz, layer.n_out, w, &below.dz, panel);
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
