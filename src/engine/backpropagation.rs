//! Phase 1 of the step: gather, forward, loss, backward. The table of who writes what is in [`super::context`].
#![allow(unsafe_code)]

use std::ops::Range;

use ndarray::{ArrayViewMut2, s};

use super::clock::{Clock, Phase, count_multiply_adds};
use super::context::{Context, rows_of};
use super::forward::{self, GatheredColumns};
use super::gather::gather_samples;
use super::kernels::activation;
use super::kernels::columns::Columns;
use super::partition::even_range;
use super::score::Score;
use super::workers::Member;
use crate::gemm::gemm;
use crate::model::{LayerLayout, matrix};

/// Values of a cache line: a layer is split by columns between lines.
const LINE: usize = 16;

/// The rows and columns of a layer's (batch, n) matrices that one worker computes.
struct Region {
    rows: Range<usize>,
    columns: Range<usize>,
}

/// Splits layer after layer into regions, one for each worker: by rows, or by columns.
struct Regions<'a> {
    member: &'a Member<'a>,
    batch: usize,
    /// The worker's rows of the batch, for layers that are split by rows.
    rows: Range<usize>,
    /// Whether wide layers are split by columns.
    splits_columns: bool,
    /// Whether the layer before was.
    by_columns: bool,
}

impl Regions<'_> {
    /// The worker's region of the next layer, which has `width` columns. What the worker needs of the layer before has been
    /// written: where other workers write it, this passes a barrier first, and the time until then counts as `phase`.
    fn next(&mut self, width: usize, clock: &mut Clock, phase: Phase) -> Region {
        let (before, workers) = (self.by_columns, self.member.count());
        self.by_columns = self.splits_columns && width >= self.batch.max(LINE * workers);
        if before || self.by_columns {
            clock.lap(phase);
            self.member.synchronise();
            clock.lap(|phases| &mut phases.wait);
        }
        match self.by_columns {
            true => {
                let lines = even_range(width.div_ceil(LINE), self.member.number(), workers);
                let columns = lines.start * LINE..(lines.end * LINE).min(width);
                Region { rows: 0..self.batch, columns }
            }
            false => Region { rows: self.rows.clone(), columns: 0..width },
        }
    }
}

/// Phase 1 for one worker: its assigned chunk of the batch, then drawn chunks until none is left.
pub fn forward_backward(
    context: &Context<'_>,
    member: &Member<'_>,
    batch: &[u32],
    phase: usize,
    clock: &mut Clock,
) {
    let worker = member.number();
    let nonzero_columns = forward::find_nonzero_columns(context, worker, batch);
    let splits_columns = context.offsets.partition.splits_columns(batch.len());
    context.for_each_batch_chunk(worker, batch.len(), phase, |rows| {
        let regions =
            Regions { member, batch: batch.len(), rows, splits_columns, by_columns: false };
        forward_backward_chunk(context, regions, batch, nonzero_columns, clock)
    });
}

/// Phase 1 for a chunk of the batch: writes the worker's region of the `dz` of every layer that learns, and returns the score of the
/// chunk.
fn forward_backward_chunk(
    context: &Context<'_>,
    mut regions: Regions<'_>,
    batch: &[u32],
    columns: Option<&Columns>,
    clock: &mut Clock,
) -> Score {
    let (chunk, layers) = (regions.rows.clone(), context.layout.layers());
    gather_rows(context, &batch[chunk.clone()], &chunk, columns);
    clock.lap(|phases| &mut phases.gather);
    let scratch = context.offsets.workers[regions.member.number()].gathered_w.clone();
    // SAFETY: a worker's own buffer, which has had no other use in phase 1 since the chunk before was finished.
    let scratch = unsafe { context.arena.write(scratch) };
    let mut gathered = columns.map(|columns| GatheredColumns { columns, scratch });
    for (l, layer) in layers.iter().enumerate() {
        let region = regions.next(layer.n_out, clock, |phases| &mut phases.forward);
        forward_region(context, l, &region, gathered.take());
    }
    let Region { rows, .. } = regions.next(0, clock, |phases| &mut phases.forward);
    let score = loss_of_rows(context, batch, &rows);
    clock.lap(|phases| &mut phases.forward);
    // nobody needs the `dz` of a frozen layer
    for (l, layer) in layers.iter().enumerate().skip(context.frozen + 1).rev() {
        let region = regions.next(layer.n_in, clock, |phases| &mut phases.backward);
        backward_region(context, l, &region);
    }
    clock.lap(|phases| &mut phases.backward);
    score
}

/// Writes the input of the first layer for some rows of the batch.
fn gather_rows(
    context: &Context<'_>,
    samples: &[u32],
    rows: &Range<usize>,
    columns: Option<&Columns>,
) {
    let (buffer, n_in) = (&context.offsets.layers[0].input, context.spec.n_in());
    // SAFETY: phase 1, own rows, the only reference.
    let input = unsafe { context.arena.write(rows_of(buffer, n_in, rows)) };
    gather_samples(context.isa, input, context.data, samples);
    if let Some(columns) = columns {
        input.chunks_exact_mut(n_in).for_each(|row| columns.gather_in_place(context.isa, row));
    }
}

/// Writes a region of what leaves a layer: of the input of the next layer, or of the logits.
fn forward_region(
    context: &Context<'_>,
    l: usize,
    region: &Region,
    gathered: Option<GatheredColumns<'_>>,
) {
    let (layer, offsets) = (&context.layout.layers()[l], &context.offsets.layers[l]);
    let output = context.offsets.layers.get(l + 1).map_or(&offsets.dz, |above| &above.input);
    let keeps_slope = !offsets.slope.is_empty();
    // SAFETY: phase 1, own regions of two buffers.
    let (z, slope) = unsafe {
        let slope = keeps_slope.then(|| write_region(context, &offsets.slope, layer.n_out, region));
        (write_region(context, output, layer.n_out, region), slope)
    };
    // SAFETY: phase 1: these rows were written before `Regions::next` returned the region, by this worker, or by others before
    // the barrier in `Regions::next`; they are not written again.
    let input = unsafe { context.arena.read(rows_of(&offsets.input, layer.n_in, &region.rows)) };
    let input = matrix(input, region.rows.len(), layer.n_in);
    forward::layer_forward(context, l, z, slope, input, &region.columns, gathered);
}

/// The score of some rows; overwrites their outputs with the `dz` of the output layer.
fn loss_of_rows(context: &Context<'_>, batch: &[u32], rows: &Range<usize>) -> Score {
    let (last, n_out) = (context.layout.layers().len() - 1, context.spec.n_out());
    let buffer = &context.offsets.layers[last].dz;
    // SAFETY: phase 1, own rows, the only reference.
    let outputs = unsafe { context.arena.write(rows_of(buffer, n_out, rows)) };
    context.loss(outputs, &batch[rows.clone()], context.gradient_scale(batch))
}

/// Writes a region of the `dz` of the layer below: `da = dz w`, then `da * f'(z)`.
fn backward_region(context: &Context<'_>, l: usize, region: &Region) {
    let LayerLayout { n_in, n_out, .. } = context.layout.layers()[l];
    let (offsets, below) = (&context.offsets.layers[l], &context.offsets.layers[l - 1]);
    let activation = context.activation(l - 1);
    let kept = match activation.derivative_follows_from_value() {
        true => &offsets.input,
        false => &below.slope,
    };
    // SAFETY: phase 1, the worker's own region.
    let mut da = unsafe { write_region(context, &below.dz, n_in, region) };
    // SAFETY: phase 1: these rows were written before `Regions::next` returned the region, by this worker, or by others before
    // the barrier in `Regions::next`; they are not written again.
    let (dz, kept) = unsafe {
        (
            context.arena.read(rows_of(&offsets.dz, n_out, &region.rows)),
            context.arena.read(rows_of(kept, n_in, &region.rows)),
        )
    };
    let w = context.w(l);
    let w = w.slice(s![.., region.columns.clone()]);
    count_multiply_adds(da.len() * n_out);
    gemm(context.backend, da.view_mut(), matrix(dz, region.rows.len(), n_out), w, 0.0);
    if region.columns.len() == n_in
        && let Some(da) = da.as_slice_mut()
    {
        return activation::backward(context.isa, da, kept, activation);
    }
    for (da, kept) in da.rows_mut().into_iter().zip(kept.chunks_exact(n_in)) {
        let da = da.into_slice().unwrap_or_default();
        activation::backward(context.isa, da, &kept[region.columns.clone()], activation);
    }
}

/// A region of a buffer with `n` columns, to write.
///
/// # Safety
/// In phase 1, for the worker's own region, and while no other reference to it is in use.
unsafe fn write_region<'a>(
    context: &'a Context<'_>,
    buffer: &Range<usize>,
    n: usize,
    region: &Region,
) -> ArrayViewMut2<'a, f32> {
    // SAFETY: the caller's promise.
    unsafe { context.arena.write_columns(rows_of(buffer, n, &region.rows), n, &region.columns) }
}
