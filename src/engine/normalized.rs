//! With OpenBLAS: phase 1 of networks with batch norm.
//!
//! Batch norm needs all samples of a unit: hidden layers are split by columns, with a barrier after each, forward and backward. The output layer and the loss are split by
//! rows. No sum depends on the number of workers.
#![allow(unsafe_code)]

use std::ops::Range;

use super::backpropagation::{
    backward_region, forward_region, gather_rows, input_gradient, loss_of_rows,
};
use super::clock::Clock;
use super::context::Context;
use super::forward::{self, GatheredColumns};
use super::hidden::Training;
use super::partition::even_range;
use super::regions::{LINE, Region};
use super::workers::Member;

/// The lines of columns in a region, where regions have a fixed size.
const FIXED_LINES: usize = 4;

/// A worker's columns of a layer in one region; or where nothing may depend on the number of workers, in regions of a fixed size, in turn.
fn regions(
    context: &Context<'_>,
    member: &Member<'_>,
    batch: usize,
    width: usize,
) -> impl Iterator<Item = Region> {
    let (worker, workers, lines) = (member.number(), member.count(), width.div_ceil(LINE));
    let (count, most) = match context.offsets.partition.fixed {
        true => (lines.div_ceil(FIXED_LINES), FIXED_LINES),
        false => (workers, lines),
    };
    let of = move |i: usize| match most == lines {
        true => even_range(lines, i, count),
        false => i * most..lines.min((i + 1) * most),
    };
    let region = move |lines: Range<usize>| Region {
        rows: 0..batch,
        columns: lines.start * LINE..(lines.end * LINE).min(width),
    };
    let own = (worker..count).step_by(workers).map(of).map(region);
    own.filter(|region| !region.columns.is_empty())
}

/// The hidden layers forward for one worker, which all pass.
pub fn forward_hidden(
    context: &Context<'_>,
    member: &Member<'_>,
    training: Training<'_>,
    clock: &mut Clock,
) {
    let (worker, workers, batch) = (member.number(), member.count(), training.batch.len());
    let layers = context.layout.layers();
    let columns = forward::find_nonzero_columns(context, worker, training.batch);
    gather_rows(context, worker, training, &even_range(batch, worker, workers), columns);
    clock.lap(|phases| &mut phases.gather);
    let scratch = context.offsets.workers[worker].gathered_w.clone();
    // SAFETY: a worker's own buffer, which has no other use in phase 1.
    let scratch = unsafe { context.arena.write(scratch) };
    let mut gathered = columns.map(|columns| GatheredColumns { columns, scratch });
    clock.meet(member);
    for (l, layer) in layers[..layers.len() - 1].iter().enumerate() {
        for region in regions(context, member, batch, layer.n_out) {
            let gathered = gathered.as_mut().filter(|_| l == 0).map(GatheredColumns::again);
            forward_region(context, l, &region, training, gathered);
        }
        clock.lap(|phases| &mut phases.forward);
        clock.meet(member);
    }
}

/// Phase 1 for one worker, between barriers that all pass.
pub fn forward_backward(
    context: &Context<'_>,
    member: &Member<'_>,
    training: Training<'_>,
    phase: usize,
    clock: &mut Clock,
) {
    forward_hidden(context, member, training, clock);
    let (worker, batch) = (member.number(), training.batch.len());
    let layers = context.layout.layers();
    let last = layers.len() - 1;
    context.for_each_batch_chunk(worker, batch, phase, |rows| {
        let region = Region { rows, columns: 0..layers[last].n_out };
        forward_region(context, last, &region, training, None);
        loss_of_rows(context, training.batch, &region.rows)
    });
    clock.lap(|phases| &mut phases.forward);
    for l in (context.frozen + 1..=last).rev() {
        clock.meet(member);
        let regions = regions(context, member, batch, layers[l].n_in);
        regions.for_each(|region| backward_region(context, l, &region));
        clock.lap(|phases| &mut phases.backward);
    }
    if context.learns_input_scales() {
        clock.meet(member);
        let regions = regions(context, member, batch, layers[0].n_in);
        regions.for_each(|region| input_gradient(context, &region));
        clock.lap(|phases| &mut phases.backward);
    }
}
