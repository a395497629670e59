//! With OpenBLAS: norms of regions of a layer, forward and backward, and the gradients of what they learn. The table of who writes what is in [`super::context`].
#![allow(unsafe_code)]

use std::ops::Range;

use super::context::{Context, Params, rows_of};
use super::forward::{self, params};
use super::kernels::norm::{add_column_products, add_column_sums};
use super::norm::{
    BatchNorm, NORM_ROWS, RowSums, Running, Statistics, batch_norm as normalize,
    batch_norm_gradient as differentiate,
};
use super::regions::{Region, write_region};
use crate::model::Norm;

/// The part of a range that belongs to some columns.
fn part(range: &Range<usize>, columns: &Range<usize>) -> Range<usize> {
    range.start + columns.start..range.start + columns.end
}

/// Normalises a region of the products of a layer, which is all rows of some columns; without the shifts. `share` is what running statistics take over.
pub fn batch_norm(context: &Context<'_>, l: usize, region: &Region, share: f32) {
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
            let update = Running::Update { share };
            let usage = if l < context.frozen { Running::Apply } else { update };
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
