//! Phase 2 of the step: weight gradients, and Adam on each block of a gradient while it is in the cache. The table of who
//! writes what is in [`super::context`].
#![allow(unsafe_code, clippy::mut_from_ref)]

use std::ops::Range;

use ndarray::s;

use super::clock::count_multiply_adds;
use super::context::{Context, matrix_mut, rows_of};
use super::forward;
use super::kernels::adam::{AdamStep, adam_step};
use super::kernels::columns::Columns;
use super::kernels::rows;
use super::partition::blocks;
use super::shared::Shared;
use super::workspace::gradient_rows;
use crate::gemm::gemm;
use crate::model::{Tensor, matrix};

/// What phase 2 does with a gradient.
pub enum Update<'a> {
    /// Applies it at once.
    Adam { params: Shared<'a, f32>, m: Shared<'a, f32>, v: Shared<'a, f32>, step: AdamStep },
    /// Stores it.
    Store { grads: Shared<'a, f32> },
}

/// Phase 2 for one worker: its assigned chunk of every layer that learns, then drawn chunks until none is left.
pub fn weight_gradients<'a>(
    context: &'a Context<'_>,
    worker: usize,
    batch: usize,
    update: &Update<'a>,
    phase: usize,
) {
    let chunks = |l: usize| context.offsets.partition.layer(context.layout.layers()[l].n_out);
    context.for_each_layer_chunk(worker, phase, chunks, |l, rows| {
        gradient_of_rows(context, worker, batch, update, l, rows);
    });
}

/// Phase 2 for some rows of a layer's `w` and entries of its `b`: computes their gradients and uses them as `update` says.
fn gradient_of_rows<'a>(
    context: &'a Context<'_>,
    worker: usize,
    batch: usize,
    update: &Update<'a>,
    l: usize,
    chunk: Range<usize>,
) {
    let (layer, offsets) = (&context.layout.layers()[l], &context.offsets.layers[l]);
    let (n_in, n_out) = (layer.n_in, layer.n_out);
    let columns = if l == 0 { forward::nonzero_columns(context, worker) } else { None };
    let used = columns.map_or(n_in, Columns::count);
    // SAFETY: phase 2: nobody writes these buffers.
    let (input, dz) = unsafe {
        (
            context.arena.read(rows_of(&offsets.input, n_in, &(0..batch))),
            context.arena.read(rows_of(&offsets.dz, n_out, &(0..batch))),
        )
    };
    let (input, dz_matrix) = (matrix(input, batch, n_in), matrix(dz, batch, n_out));
    let input = input.slice(s![.., ..used]);
    for block in blocks(chunk, gradient_rows(n_in)) {
        // dw = dz^T input; db = the column sums of dz
        let dz_block = dz_matrix.slice(s![.., block.clone()]);
        let ranges = [layer.w_rows(block.clone()), layer.b_rows(block.clone())];
        let tensors = [context.layout.weight(l), context.layout.bias(l)];
        for (is_bias, (range, tensor)) in ranges.into_iter().zip(tensors).enumerate() {
            if matches!(update, Update::Adam { .. }) && !tensor.trained {
                continue;
            }
            // SAFETY: phase 2, rows of a chunk that this worker has, assigned or drawn; the gradient before is no longer used.
            let gradient = unsafe { gradient_buffer(context, worker, update, &range) };
            if is_bias == 1 {
                rows::column_sums(context.isa, gradient, dz, n_out, block.start);
            } else {
                let mut dw = matrix_mut(gradient, block.len(), n_in);
                let dw = dw.slice_mut(s![.., ..used]);
                count_multiply_adds(dw.len() * batch);
                gemm(context.backend, dw, dz_block.t(), input, 0.0);
                if let Some(columns) = columns {
                    // row by row: a scattered row is still in the first-level cache when it is applied
                    let starts = range.clone().step_by(n_in);
                    for (start, row) in starts.zip(gradient.chunks_exact_mut(n_in)) {
                        columns.scatter_in_place(context.isa, row);
                        apply(context, update, (l, tensor), start..start + n_in, row);
                    }
                    continue;
                }
            }
            apply(context, update, (l, tensor), range, gradient);
        }
    }
}

/// The buffer for the gradient of a range of the parameters: that range of `grads`, or the front of the worker's block.
///
/// # Safety
/// In phase 2, by the worker of that number, for its own rows, and while no other result of this function is in use.
///
/// # Panics
/// If the worker's block has fewer values than the range.
unsafe fn gradient_buffer<'a>(
    context: &'a Context<'_>,
    worker: usize,
    update: &Update<'a>,
    range: &Range<usize>,
) -> &'a mut [f32] {
    match update {
        // SAFETY: phase 2, own rows.
        Update::Store { grads } => unsafe { grads.write(range.clone()) },
        Update::Adam { .. } => {
            let block = context.offsets.workers[worker].gradient.clone();
            // SAFETY: a worker's own buffer, which nothing else uses: the caller's promise.
            let block = unsafe { context.arena.write(block) };
            &mut block[..range.len()]
        }
    }
}

/// Applies the gradient of a range of a tensor of a layer, if `update` is Adam.
fn apply(
    context: &Context<'_>,
    update: &Update<'_>,
    (l, tensor): (usize, &Tensor),
    range: Range<usize>,
    gradient: &[f32],
) {
    if let Update::Adam { params, m, v, step } = update {
        // SAFETY: phase 2, rows of a chunk that this worker has, of three different vectors.
        let (w, m, v) =
            unsafe { (params.write(range.clone()), m.write(range.clone()), v.write(range)) };
        if !adam_step(context.isa, w, m, v, gradient, step.of(tensor.rate, tensor.decay)) {
            context.halt.set_broken_weights(l);
        }
    }
}
