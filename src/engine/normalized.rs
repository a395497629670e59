//! With OpenBLAS: phase 1 of networks with batch norm, and norms of regions of a layer.
//!
//! Batch norm needs all samples of a unit: hidden layers are split by columns, with a barrier after each, forward and backward. The output layer and the loss are split by
//! rows. No sum depends on the number of workers.
#![allow(unsafe_code)]

use std::ops::Range;

use super::backpropagation::{
    LINE, Region, backward_region, forward_region, gather_rows, loss_of_rows, write_region,
};
use super::clock::Clock;
use super::context::{Context, Params, rows_of};
use super::forward::{self, GatheredColumns};
use super::hidden::Training;
use super::kernels::norm::{add_column_products, add_column_sums};
use super::norm::{
    BatchNorm, NORM_ROWS, RowSums, Running, Statistics, batch_norm as normalize,
    batch_norm_gradient as differentiate,
};
use super::partition::even_range;
use super::workers::Member;
use crate::model::Norm;

/// The lines of columns in a region, where regions have a fixed size.
const FIXED_LINES: usize = 4;

/// Phase 1 for one worker, between barriers that all pass.
pub fn forward_backward(
    context: &Context<'_>,
    member: &Member<'_>,
    training: Training<'_>,
    phase: usize,
    clock: &mut Clock,
) {
    let (worker, workers, batch) = (member.number(), member.count(), training.batch.len());
    let layers = context.layout.layers();
    let last = layers.len() - 1;
    let columns = forward::find_nonzero_columns(context, worker, training.batch);
    gather_rows(context, worker, training, &even_range(batch, worker, workers), columns);
    clock.lap(|phases| &mut phases.gather);
    let meet = |clock: &mut Clock| {
        member.synchronise();
        clock.lap(|phases| &mut phases.wait);
    };
    // a worker's columns in one region; or where nothing may depend on the number of workers, in regions of a fixed size, in turn
    let regions = |width: usize| {
        let lines = width.div_ceil(LINE);
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
    };
    let scratch = context.offsets.workers[worker].gathered_w.clone();
    // SAFETY: a worker's own buffer, which has no other use in phase 1.
    let scratch = unsafe { context.arena.write(scratch) };
    let mut gathered = columns.map(|columns| GatheredColumns { columns, scratch });
    meet(clock);
    for (l, layer) in layers[..last].iter().enumerate() {
        for region in regions(layer.n_out) {
            let gathered = gathered.as_mut().filter(|_| l == 0).map(GatheredColumns::again);
            forward_region(context, l, &region, training, gathered);
        }
        clock.lap(|phases| &mut phases.forward);
        meet(clock);
    }
    context.for_each_batch_chunk(worker, batch, phase, |rows| {
        let region = Region { rows, columns: 0..layers[last].n_out };
        forward_region(context, last, &region, training, None);
        loss_of_rows(context, training.batch, &region.rows)
    });
    clock.lap(|phases| &mut phases.forward);
    for l in (context.frozen + 1..=last).rev() {
        meet(clock);
        regions(layers[l].n_in).for_each(|region| backward_region(context, l, &region));
        clock.lap(|phases| &mut phases.backward);
    }
}

/// Parameters, for phase 1.
fn params<'a>(context: &'a Context<'_>, range: Range<usize>) -> &'a [f32] {
    // SAFETY: nobody writes these in phase 1.
    unsafe { context.params.read(range) }
}

/// The part of a range that belongs to some columns.
fn part(range: &Range<usize>, columns: &Range<usize>) -> Range<usize> {
    range.start + columns.start..range.start + columns.end
}

/// Normalises a region of the products of a layer, which is all rows of some columns; without the shifts.
pub fn batch_norm(context: &Context<'_>, l: usize, region: &Region) {
    let (layer, offsets) = (&context.layout.layers()[l], &context.offsets.layers[l]);
    let (n, columns, norm) = (layer.n_out, &region.columns, &offsets.norm);
    let of_units = |start: usize| part(&(start..start), columns);
    // SAFETY: phase 1, own columns of several buffers.
    let (mut z, mut normed, inverses, means) = unsafe {
        (
            write_region(context, context.offsets.output(l), n, region),
            write_region(context, &norm.normed, n, region),
            context.arena.write(of_units(norm.inverses.start)),
            context.arena.write(of_units(norm.grads.start)),
        )
    };
    let running = [2, 3].map(|which| part(&layer.norm(which), columns));
    let mut unused = Vec::new();
    let (running, running_use) = match context.params {
        Params::Trained(vector) => {
            let usage = if l < context.frozen { Running::Apply } else { Running::Update };
            // SAFETY: phase 1, own columns of running statistics, which nobody else reads.
            (running.map(|range| unsafe { vector.write(range) }), usage)
        }
        Params::Fixed(values) if l < context.frozen => {
            unused.extend(running.iter().flat_map(|range| &values[range.clone()]));
            let (means, variances) = unused.split_at_mut(columns.len());
            ([means, variances], Running::Apply)
        }
        Params::Fixed(_) => ([&mut [][..], &mut []], Running::Keep),
    };
    let norm = BatchNorm {
        gains: params(context, part(&layer.norm(0), columns)),
        biases: params(context, part(&layer.b(), columns)),
        running,
        running_use,
    };
    let mut statistics = Statistics { means, inverses };
    normalize(context.isa, region.rows.len(), norm, &mut statistics, &mut |work| {
        for (z, normed) in z.rows_mut().into_iter().zip(normed.rows_mut()) {
            work(z.into_slice().unwrap_or_default(), normed.into_slice().unwrap_or_default());
        }
    });
}

/// Makes the `dz` of a region of a layer, all rows of some columns, of the gradient by what its norm has made.
pub fn batch_norm_gradient(context: &Context<'_>, l: usize, region: &Region) {
    let (layer, offsets) = (&context.layout.layers()[l], &context.offsets.layers[l]);
    let (n, columns, norm) = (layer.n_out, &region.columns, &offsets.norm);
    let grads = [1, 2].map(|which| {
        let start = norm.grads.start + which * n;
        part(&(start..start), columns)
    });
    // SAFETY: phase 1, own columns of several buffers.
    let (mut dz, mut normed, inverses, grads) = unsafe {
        (
            write_region(context, &offsets.dz, n, region),
            write_region(context, &norm.normed, n, region),
            context.arena.read(part(&norm.inverses, columns)),
            grads.map(|range| context.arena.write(range)),
        )
    };
    let gains = params(context, part(&layer.norm(0), columns));
    differentiate(context.isa, region.rows.len(), gains, inverses, grads, &mut |work| {
        for (dz, normed) in dz.rows_mut().into_iter().zip(normed.rows_mut()) {
            work(dz.into_slice().unwrap_or_default(), normed.into_slice().unwrap_or_default());
        }
    });
}

/// Normalises some rows of the products of a layer over its units; without the shifts.
pub fn layer_norm(context: &Context<'_>, l: usize, rows: &Range<usize>) {
    let (n, offsets) = (context.layout.layers()[l].n_out, &context.offsets.layers[l]);
    // SAFETY: phase 1, own rows of several buffers.
    let (z, normed, inverses) = unsafe {
        (
            context.arena.write(rows_of(context.offsets.output(l), n, rows)),
            context.arena.write(rows_of(&offsets.norm.normed, n, rows)),
            context.arena.write(rows_of(&offsets.norm.inverses, 1, rows)),
        )
    };
    forward::layer_norm(context, l, z, normed, inverses);
}

/// Makes the `dz` of some rows of a layer of the gradient by what its layer norm has made, of which it keeps a copy.
pub fn layer_norm_gradient(context: &Context<'_>, l: usize, rows: &Range<usize>) {
    let (layer, offsets) = (&context.layout.layers()[l], &context.offsets.layers[l]);
    let (n, norm, isa) = (layer.n_out, &offsets.norm, context.isa);
    // SAFETY: phase 1, own rows of several buffers.
    let (dz, normed, inverses, copy) = unsafe {
        (
            context.arena.write(rows_of(&offsets.dz, n, rows)),
            context.arena.read(rows_of(&norm.normed, n, rows)),
            context.arena.read(rows_of(&norm.inverses, 1, rows)),
            context.arena.write(rows_of(&norm.grads, n, rows)),
        )
    };
    copy.copy_from_slice(dz);
    let gains = params(context, layer.norm(0));
    let blocks = dz.chunks_mut(NORM_ROWS * n).zip(normed.chunks(NORM_ROWS * n));
    for ((dz, normed), inverses) in blocks.zip(inverses.chunks(NORM_ROWS)) {
        let mut sums = RowSums::new();
        sums.add_products(isa, dz, normed, gains);
        sums.divide(inverses.len(), n);
        sums.project(isa, dz, normed, gains, inverses);
    }
}

/// Writes the gradients of the gains (0) or shifts (1) of some units of a layer with a norm, for phase 2.
pub fn vector_gradient(
    context: &Context<'_>,
    l: usize,
    which: usize,
    units: &Range<usize>,
    batch: usize,
    sums: &mut [f32],
) {
    let (n, offsets) = (context.layout.layers()[l].n_out, &context.offsets.layers[l]);
    let norm = &offsets.norm;
    let arena = context.arena;
    if context.spec.layers()[l].norm == Norm::Batch {
        let start = norm.grads.start + (1 + which) * n;
        // SAFETY: phase 2: nobody writes this buffer.
        let grads = unsafe { arena.read(start + units.start..start + units.end) };
        return sums.copy_from_slice(grads);
    }
    // SAFETY: phase 2: nobody writes these buffers.
    let (dy, normed) = unsafe {
        (
            arena.read(rows_of(&norm.grads, n, &(0..batch))),
            arena.read(rows_of(&norm.normed, n, &(0..batch))),
        )
    };
    sums.fill(0.0);
    for (dy, normed) in dy.chunks_exact(n).zip(normed.chunks_exact(n)) {
        let (dy, normed) = (&dy[units.clone()], &normed[units.clone()]);
        match which {
            0 => add_column_products(context.isa, sums, dy, normed),
            _ => add_column_sums(context.isa, sums, dy),
        }
    }
}
