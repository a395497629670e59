//! Phase 2 of the step: weight gradients, and the optimizer on each block of a gradient while it is in the cache. The table of who
//! writes what is in [`super::context`].
#![allow(unsafe_code, clippy::mut_from_ref)]

use std::ops::Range;

use ndarray::s;

use super::clock::count_multiply_adds;
use super::context::{Context, matrix_mut, rows_of};
use super::forward;
use super::input_scales;
use super::kernels::columns::Columns;
use super::kernels::norm::add_column_products;
use super::kernels::rows as kernels;
use super::optimizer::{Change, Use, Vectors};
use super::partition::blocks;
use super::region_norms;
use super::shared::Shared;
use super::workspace::gradient_rows;
use crate::gemm::gemm;
use crate::model::{Layout, Tensor, matrix};

/// Phase 2 for one worker: its assigned chunk of every layer that learns, then drawn chunks until none is left.
pub fn weight_gradients<'a>(
    context: &'a Context<'_>,
    worker: usize,
    batch: usize,
    usage: &Use<'a>,
    phase: usize,
) {
    for_each_rows(context, worker, phase, |l, rows| {
        gradient_of_rows(context, worker, batch, usage, l, rows);
    });
}

/// Calls `work` with the rows of each layer that learns that a worker has in this phase, assigned or drawn.
fn for_each_rows(
    context: &Context<'_>,
    worker: usize,
    phase: usize,
    work: impl FnMut(usize, Range<usize>),
) {
    let chunks = |l: usize| context.offsets.partition.layer(context.layout.layers()[l].n_out);
    context.for_each_layer_chunk(worker, phase, chunks, work);
}

/// Phase 2 for some rows of a layer's `w` and entries of its `b`: computes their gradients and uses them as `usage` says.
fn gradient_of_rows<'a>(
    context: &'a Context<'_>,
    worker: usize,
    batch: usize,
    usage: &Use<'a>,
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
        for (which, tensor) in learning(context, l).iter().enumerate() {
            if !usage.wants(tensor) {
                continue;
            }
            let range = rows_of_tensor(tensor, n_out, &block);
            // SAFETY: phase 2, rows of a chunk that this worker has, assigned or drawn; the gradient before is no longer used.
            let gradient = unsafe { gradient_buffer(context, worker, usage, &range) };
            if which == 1 {
                kernels::column_sums(context.isa, gradient, dz, n_out, block.start);
            } else if which > 1 {
                region_norms::vector_gradient(context, l, which - 2, &block, batch, gradient);
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
                        change(context, usage, l, tensor, start..start + n_in, row);
                    }
                    measure(context, usage, l, &block, which, gradient);
                    continue;
                }
            }
            measure(context, usage, l, &block, which, gradient);
            change(context, usage, l, tensor, range, gradient);
        }
        average_running_statistics(context, usage, l, &block);
    }
}

/// The tensors of a layer that learn by gradients: `w`, `b`, and the gains and shifts of a norm.
fn learning<'a>(context: &'a Context<'_>, l: usize) -> &'a [Tensor] {
    let tensors = context.layout.tensors_of(l);
    &tensors[..tensors.len().min(4)]
}

/// The range of a tensor that belongs to some outputs.
fn rows_of_tensor(tensor: &Tensor, n_out: usize, rows: &Range<usize>) -> Range<usize> {
    let (start, n) = (tensor.range.start, tensor.range.len() / n_out);
    start + rows.start * n..start + rows.end * n
}

/// Puts the running statistics of some outputs where the moving average of the parameters is, if there is one: they are averages themselves.
fn average_running_statistics(
    context: &Context<'_>,
    usage: &Use<'_>,
    l: usize,
    rows: &Range<usize>,
) {
    if let Use::Change(vectors, _) = usage
        && vectors.average.len() > 0
    {
        for tensor in context.layout.tensors_of(l).iter().skip(4) {
            let range = rows_of_tensor(tensor, context.layout.layers()[l].n_out, rows);
            // SAFETY: phase 2, rows of a chunk that this worker has.
            unsafe {
                let statistics = vectors.params.read(range.clone());
                vectors.average.write(range).copy_from_slice(statistics);
            }
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
    usage: &Use<'a>,
    range: &Range<usize>,
) -> &'a mut [f32] {
    match usage {
        // SAFETY: phase 2, own rows.
        Use::Store(grads) | Use::Measure(grads, _) => unsafe { grads.write(range.clone()) },
        Use::Change(..) => {
            let block = context.offsets.workers[worker].gradient.clone();
            // SAFETY: a worker's own buffer, which nothing else uses: the caller's promise.
            let block = unsafe { context.arena.write(block) };
            &mut block[..range.len()]
        }
    }
}

/// Changes a range of a tensor of a layer by its gradient, if that is what it is for.
fn change(
    context: &Context<'_>,
    usage: &Use<'_>,
    l: usize,
    tensor: &Tensor,
    range: Range<usize>,
    gradient: &[f32],
) {
    if let Use::Change(vectors, change) = usage {
        // SAFETY: phase 2, rows of a chunk that this worker has, of different vectors.
        if !unsafe { vectors.change(context.isa, tensor, range, gradient, change) } {
            context.halt.set_broken_weights(l);
        }
    }
}

/// Stores the sums of squares of the gradients of some rows of a tensor, if they are wanted.
fn measure(
    context: &Context<'_>,
    usage: &Use<'_>,
    l: usize,
    rows: &Range<usize>,
    which: usize,
    gradient: &[f32],
) {
    if let Use::Measure(_, squares) = usage {
        let n_out = context.layout.layers()[l].n_out;
        let first = squares_before(context.layout, l) + which * n_out;
        // SAFETY: phase 2, rows of a chunk that this worker has.
        let squares = unsafe { squares.write(first + rows.start..first + rows.end) };
        let gradients = gradient.chunks_exact(gradient.len() / rows.len());
        for (square, gradient) in squares.iter_mut().zip(gradients) {
            *square = kernels::sum_of_squares(context.isa, gradient);
        }
    }
}

/// Where the sums of squares of a layer's gradients begin: one for each row of `w`, then one for each bias, gain and shift. Of one layer more than there
/// are, their number.
pub fn squares_before(layout: &Layout, l: usize) -> usize {
    layout.layers()[..l].iter().map(|layer| 4 * layer.n_out).sum()
}

/// Phase 2 of the factors of the inputs.
pub fn learn_input_scales(context: &Context<'_>, worker: usize, batch: usize, usage: &Use<'_>) {
    let n_in = context.spec.n_in();
    // SAFETY: phase 2: nobody writes these buffers.
    let read = |buffer| unsafe { context.arena.read(rows_of(buffer, n_in, &(0..batch))) };
    let (dx, x) = (read(&context.offsets.input_gradient), read(&context.offsets.unscaled));
    input_scales::learn(context, worker, usage, input_scales::MOST_COLUMNS, |inputs, gradient| {
        for (dx, x) in dx.chunks_exact(n_in).zip(x.chunks_exact(n_in)) {
            add_column_products(context.isa, gradient, &dx[inputs.clone()], &x[inputs.clone()]);
        }
    });
}

/// Changes all parameters by gradients that were stored, multiplied by a factor: a phase of its own.
pub fn change_all(
    context: &Context<'_>,
    worker: usize,
    (grads, factor): (Shared<'_, f32>, f32),
    vectors: Vectors<'_>,
    step: Change,
    phase: usize,
) {
    let usage = Use::Change(vectors, step);
    for_each_rows(context, worker, phase, |l, chunk| {
        let layer = &context.layout.layers()[l];
        for rows in blocks(chunk, gradient_rows(layer.n_in)) {
            for tensor in learning(context, l) {
                if usage.wants(tensor) {
                    let range = rows_of_tensor(tensor, layer.n_out, &rows);
                    // SAFETY: rows of a chunk that this worker has in this phase.
                    let gradient = unsafe { grads.write(range.clone()) };
                    if factor != 1.0 {
                        kernels::scale(context.isa, gradient, factor);
                    }
                    change(context, &usage, l, tensor, range, gradient);
                }
            }
            average_running_statistics(context, &usage, l, &rows);
        }
    });
}
