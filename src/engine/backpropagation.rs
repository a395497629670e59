//! Phase 1 of the step: gather, forward, loss, backward. The table of who writes what is in [`super::context`].
#![allow(unsafe_code)]

use std::ops::Range;

use ndarray::s;

use super::clock::{Clock, Phase, count_multiply_adds};
use super::context::{Context, rows_of};
use super::forward::{self, GatheredColumns};
use super::gather::gather_samples;
use super::hidden::{Training, Units};
use super::input_scales;
use super::kernels::columns::Columns;
use super::partition::even_range;
use super::region_norms;
use super::regions::{LINE, Region, write_region};
use super::score::Score;
use super::workers::Member;
use crate::gemm::gemm;
use crate::model::{LayerLayout, Norm, matrix};

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
            clock.meet(self.member);
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
    training: Training<'_>,
    phase: usize,
    clock: &mut Clock,
) {
    let (worker, batch) = (member.number(), training.batch);
    let nonzero_columns = forward::find_nonzero_columns(context, worker, batch);
    // layer norm needs all columns of a row
    let splits_columns =
        context.spec.norm() == Norm::None && context.offsets.partition.splits_columns(batch.len());
    context.for_each_batch_chunk(worker, batch.len(), phase, |rows| {
        let regions =
            Regions { member, batch: batch.len(), rows, splits_columns, by_columns: false };
        forward_backward_chunk(context, regions, training, nonzero_columns, clock)
    });
}

/// Phase 1 for a chunk of the batch: writes the worker's region of the `dz` of every layer that learns, and returns the score of the
/// chunk.
fn forward_backward_chunk(
    context: &Context<'_>,
    mut regions: Regions<'_>,
    training: Training<'_>,
    columns: Option<&Columns>,
    clock: &mut Clock,
) -> Score {
    let (chunk, layers) = (regions.rows.clone(), context.layout.layers());
    gather_rows(context, regions.member.number(), training, &chunk, columns);
    clock.lap(|phases| &mut phases.gather);
    let scratch = context.offsets.workers[regions.member.number()].gathered_w.clone();
    // SAFETY: a worker's own buffer, which has had no other use in phase 1 since the chunk before was finished.
    let scratch = unsafe { context.arena.write(scratch) };
    let mut gathered = columns.map(|columns| GatheredColumns { columns, scratch });
    for (l, layer) in layers.iter().enumerate() {
        let region = regions.next(layer.n_out, clock, |phases| &mut phases.forward);
        forward_region(context, l, &region, training, gathered.take());
    }
    let Region { rows, .. } = regions.next(0, clock, |phases| &mut phases.forward);
    let score = loss_of_rows(context, training.batch, &rows);
    clock.lap(|phases| &mut phases.forward);
    // nobody needs the `dz` of a frozen layer
    for (l, layer) in layers.iter().enumerate().skip(context.frozen + 1).rev() {
        let region = regions.next(layer.n_in, clock, |phases| &mut phases.backward);
        backward_region(context, l, &region);
    }
    if context.learns_input_scales() {
        let region = regions.next(layers[0].n_in, clock, |phases| &mut phases.backward);
        input_gradient(context, &region);
    }
    clock.lap(|phases| &mut phases.backward);
    score
}

/// Writes the input of the first layer for some rows of the batch.
pub fn gather_rows(
    context: &Context<'_>,
    worker: usize,
    training: Training<'_>,
    rows: &Range<usize>,
    columns: Option<&Columns>,
) {
    let samples = &training.batch[rows.clone()];
    let (buffer, n_in) = (&context.offsets.layers[0].input, context.spec.n_in());
    // SAFETY: phase 1, own rows, the only reference.
    let input = unsafe { context.arena.write(rows_of(buffer, n_in, rows)) };
    // SAFETY: phase 1, the worker's own number, the only use.
    let augmenting = unsafe { context.augmenting(worker, Some(training)) };
    gather_samples(context.isa, input, context.data, samples, augmenting);
    let training = training.disturbed(rows.clone());
    context.disturb_inputs(Units { layer: None, first: 0, count: n_in, training }, input);
    if context.spec.scales_inputs() {
        // SAFETY: phase 1, own rows.
        let kept = unsafe { context.arena.write(rows_of(&context.offsets.unscaled, n_in, rows)) };
        input_scales::apply(context, 0..n_in, input, kept);
    }
    if let Some(columns) = columns {
        input.chunks_exact_mut(n_in).for_each(|row| columns.gather_in_place(context.isa, row));
    }
}

/// Writes a region of what leaves a layer: of the input of the next layer, or of the logits.
pub fn forward_region(
    context: &Context<'_>,
    l: usize,
    region: &Region,
    training: Training<'_>,
    gathered: Option<GatheredColumns<'_>>,
) {
    let (layer, offsets) = (&context.layout.layers()[l], &context.offsets.layers[l]);
    let output = context.offsets.output(l);
    // SAFETY: phase 1, the worker's own region.
    let z = unsafe { write_region(context, output, layer.n_out, region) };
    // SAFETY: phase 1: these rows were written before `Regions::next` returned the region, by this worker, or by others before
    // the barrier in `Regions::next`; they are not written again.
    let input = unsafe { context.arena.read(rows_of(&offsets.input, layer.n_in, &region.rows)) };
    let input = matrix(input, region.rows.len(), layer.n_in);
    forward::products(context, l, z, input, &region.columns, gathered);
    let norm = context.spec.layers()[l].norm;
    match norm {
        Norm::Batch => region_norms::batch_norm(context, l, region, training.share),
        Norm::Layer => region_norms::layer_norm(context, l, &region.rows),
        _ => {}
    }
    let keeps_slope = !offsets.slope.is_empty();
    // SAFETY: phase 1, own regions of two buffers.
    let (z, slope) = unsafe {
        let slope = keeps_slope.then(|| write_region(context, &offsets.slope, layer.n_out, region));
        (write_region(context, output, layer.n_out, region), slope)
    };
    let step = training.disturbed(region.rows.clone());
    forward::activate(context, l, z, slope, &region.columns, step, norm != Norm::None);
}

/// The score of some rows; overwrites their outputs with the `dz` of the output layer.
pub fn loss_of_rows(context: &Context<'_>, batch: &[u32], rows: &Range<usize>) -> Score {
    let (last, n_out) = (context.layout.layers().len() - 1, context.spec.n_out());
    let buffer = &context.offsets.layers[last].dz;
    // SAFETY: phase 1, own rows, the only reference.
    let outputs = unsafe { context.arena.write(rows_of(buffer, n_out, rows)) };
    let (scale, smoothing) = (context.gradient_scale(batch), context.recipe.label_smoothing);
    context.loss(outputs, &batch[rows.clone()], scale, smoothing)
}

/// Writes a region of the gradient by what the first layer reads, of which the factors of the inputs learn.
pub fn input_gradient(context: &Context<'_>, region: &Region) {
    let LayerLayout { n_in, n_out, .. } = context.layout.layers()[0];
    // SAFETY: phase 1, the worker's own region; the rows of `dz` were written before, as in `backward_region`.
    let (mut dx, dz) = unsafe {
        (
            write_region(context, &context.offsets.input_gradient, n_in, region),
            context.arena.read(rows_of(&context.offsets.layers[0].dz, n_out, &region.rows)),
        )
    };
    let w = context.w(0);
    let w = w.slice(s![.., region.columns.clone()]);
    count_multiply_adds(dx.len() * n_out);
    gemm(context.backend, dx.view_mut(), matrix(dz, region.rows.len(), n_out), w, 0.0);
}

/// Writes a region of the `dz` of the layer below: `da = dz w`, then `da * f'(z)`.
pub fn backward_region(context: &Context<'_>, l: usize, region: &Region) {
    let LayerLayout { n_in, n_out, .. } = context.layout.layers()[l];
    let (offsets, below) = (&context.offsets.layers[l], &context.offsets.layers[l - 1]);
    let kept = match context.spec.layers()[l - 1].keeps_slope() {
        false => &offsets.input,
        true => &below.slope,
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
        context.differentiate(l - 1, da, kept);
    } else {
        for (da, kept) in da.rows_mut().into_iter().zip(kept.chunks_exact(n_in)) {
            let da = da.into_slice().unwrap_or_default();
            context.differentiate(l - 1, da, &kept[region.columns.clone()]);
        }
    }
    match context.spec.layers()[l - 1].norm {
        Norm::Batch => region_norms::batch_norm_gradient(context, l - 1, region),
        Norm::Layer => region_norms::layer_norm_gradient(context, l - 1, &region.rows),
        _ => {}
    }
}
