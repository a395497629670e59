//! The learned factors of the inputs: `x s` forward, and in phase 2 the gradient of `s`, the sum over the samples of `dx x`, with `dx` the gradient by what the first layer
//! reads. For both backends: the factors stay in flat vectors, and matrices come in pieces of some columns. The table of who writes what is in [`super::context`].
#![allow(unsafe_code)]

use std::ops::Range;

use super::context::Context;
use super::kernels::rows::multiply_columns;
use super::optimizer::{Change, Use, Vectors};
use super::partition::even_range;
use super::shared::Shared;

/// The most columns in a piece whose gradient is made at once.
pub const MOST_COLUMNS: usize = 32;

/// Multiplies values (rows, columns) of some inputs by their factors, and keeps what they were. A row may have more columns than there are inputs.
pub fn apply(context: &Context<'_>, inputs: Range<usize>, values: &mut [f32], kept: &mut [f32]) {
    let Some(scales) = context.layout.input_scales() else { return };
    kept.copy_from_slice(values);
    let n = inputs.len();
    let first = scales.range.start;
    let own = first + inputs.start..scales.range.end.min(first + inputs.end);
    // SAFETY: phase 1: nobody writes parameters.
    let factors = unsafe { context.params.read(own) };
    multiply_columns(context.isa, values, factors, n);
}

/// The factors learn, from sums over the batch that `sums` adds to a slice of zeros for some inputs: at most `unit` of them, a multiple of `unit` from the first. Flat vectors are
/// used; with clipping, the end of the gradient and of the sums of squares.
pub fn learn(
    context: &Context<'_>,
    worker: usize,
    usage: &Use<'_>,
    unit: usize,
    sums: impl Fn(Range<usize>, &mut [f32]),
) {
    for_each_unit(context, worker, unit, |inputs| {
        let Some(tensor) = context.layout.input_scales().filter(|scales| usage.wants(scales))
        else {
            return;
        };
        let gradient = &mut [0.0; MOST_COLUMNS][..inputs.len()];
        sums(inputs.clone(), gradient);
        let first = tensor.range.start;
        let range = first + inputs.start..first + inputs.end;
        // SAFETY: phase 2: these inputs are this worker's.
        unsafe {
            match usage {
                Use::Store(grads) => grads.write(range).copy_from_slice(gradient),
                Use::Measure(grads, squares) => {
                    grads.write(at_end(*grads, context, &inputs)).copy_from_slice(gradient);
                    let squares = squares.write(at_end(*squares, context, &inputs));
                    for (square, gradient) in squares.iter_mut().zip(&*gradient) {
                        *square = f64::from(*gradient) * f64::from(*gradient);
                    }
                }
                Use::Change(vectors, change) => {
                    if !vectors.change(context.isa, tensor, range, gradient, change) {
                        context.halt.set_broken_weights(0);
                    }
                }
            }
        }
    });
}

/// Changes the factors by gradients that were stored, multiplied by a factor.
pub fn change_all(
    context: &Context<'_>,
    worker: usize,
    (grads, factor): (Shared<'_, f32>, f32),
    vectors: Vectors<'_>,
    change: Change,
) {
    learn(context, worker, &Use::Change(vectors, change), MOST_COLUMNS, |inputs, gradient| {
        // SAFETY: a phase in which nobody writes gradients of these inputs.
        let stored = unsafe { grads.read(at_end(grads, context, &inputs)) };
        gradient.iter_mut().zip(stored).for_each(|(to, gradient)| *to = factor * gradient);
    });
}

/// Calls `work` with each piece of the inputs that a worker has.
fn for_each_unit(
    context: &Context<'_>,
    worker: usize,
    unit: usize,
    work: impl FnMut(Range<usize>),
) {
    let n = context.spec.n_in();
    let own = even_range(n.div_ceil(unit), worker, context.offsets.partition.workers);
    own.map(|i| i * unit..n.min((i + 1) * unit)).for_each(work);
}

/// Where the values of some inputs are at the end of a vector.
fn at_end<T>(vector: Shared<'_, T>, context: &Context<'_>, inputs: &Range<usize>) -> Range<usize> {
    let first = vector.len() - context.spec.n_in();
    first + inputs.start..first + inputs.end
}
