//! A layer forward, and the columns of the first layer's input that are not zero throughout a batch. The table of who writes
//! what is in [`super::context`].
#![allow(unsafe_code)]

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, s};

use super::clock::count_multiply_adds;
use super::context::Context;
use super::hidden::Units;
use super::kernels::columns::Columns;
use super::kernels::norm::add_biases_and_sum_rows;
use super::norm::{NORM_ROWS, RowSums};
use super::partition::blocks;
use crate::gemm::gemm;
use crate::model::matrix;

/// The columns that the first layer's input has been gathered to, and a scratch buffer for the same columns of the weights.
pub struct GatheredColumns<'a> {
    pub columns: &'a Columns,
    pub scratch: &'a mut [f32],
}

impl GatheredColumns<'_> {
    /// The same for another use.
    pub fn again(&mut self) -> GatheredColumns<'_> {
        GatheredColumns { columns: self.columns, scratch: self.scratch }
    }
}

/// `z = input w^T` for some outputs of a layer.
///
/// `input` is (rows, n_in), `z` is (rows, outputs). With `gathered`, the first columns of `input` are those of `gathered.columns`, and the others are zero throughout the
/// batch.
pub fn products(
    context: &Context<'_>,
    l: usize,
    mut z: ArrayViewMut2<'_, f32>,
    input: ArrayView2<'_, f32>,
    outputs: &Range<usize>,
    gathered: Option<GatheredColumns<'_>>,
) {
    let layer = &context.layout.layers()[l];
    if let Some(GatheredColumns { columns, scratch }) = gathered {
        let count = columns.count();
        count_multiply_adds(input.nrows() * count * outputs.len());
        let input = input.slice(s![.., ..count]);
        for block in blocks(outputs.clone(), scratch.len() / count) {
            let w = params(context, layer.w_rows(block.clone()));
            let gathered_w = &mut scratch[..block.len() * count];
            for (to, w) in gathered_w.chunks_exact_mut(count).zip(w.chunks_exact(layer.n_in)) {
                columns.gather(context.isa, to, w);
            }
            let w = matrix(gathered_w, block.len(), count).reversed_axes();
            let z = z.slice_mut(s![.., block.start - outputs.start..block.end - outputs.start]);
            gemm(context.backend, z, input, w, 0.0);
        }
    } else {
        count_multiply_adds(input.len() * outputs.len());
        let w = matrix(params(context, layer.w_rows(outputs.clone())), outputs.len(), layer.n_in);
        gemm(context.backend, z, input, w.reversed_axes(), 0.0);
    }
}

/// What becomes of the products `z` of some outputs of a layer, (rows, outputs) as `slope` is, if it is kept: see [`Context::activate`]. In a step of training, its number and
/// the samples of the rows are given. `adds_shifts` says whether the products have been normalised.
pub fn activate(
    context: &Context<'_>,
    l: usize,
    mut z: ArrayViewMut2<'_, f32>,
    mut slope: Option<ArrayViewMut2<'_, f32>>,
    outputs: &Range<usize>,
    training: Option<(u64, &[u32])>,
    adds_shifts: bool,
) {
    let layer = &context.layout.layers()[l];
    let b = match adds_shifts {
        true => {
            let start = layer.norm(1).start;
            params(context, start + outputs.start..start + outputs.end)
        }
        false => params(context, layer.b_rows(outputs.clone())),
    };
    let units = Units { layer: Some(l), first: outputs.start, count: outputs.len(), training };
    if let Some(z) = z.as_slice_mut() {
        let slope = slope.and_then(ArrayViewMut2::into_slice).unwrap_or_default();
        return context.activate(units, z, slope, b);
    }
    for (i, z) in z.rows_mut().into_iter().enumerate() {
        let slope = slope.as_mut().and_then(|slope| slope.row_mut(i).into_slice());
        let training = training.map(|(step, samples)| (step, &samples[i..=i]));
        let z = z.into_slice().unwrap_or_default();
        context.activate(Units { training, ..units }, z, slope.unwrap_or_default(), b);
    }
}

/// Layer norm of products `z` (rows, n_out), without its shifts. `normed` is as long, and `inverses` has a value for each row.
pub fn layer_norm(
    context: &Context<'_>,
    l: usize,
    z: &mut [f32],
    normed: &mut [f32],
    inverses: &mut [f32],
) {
    let (layer, isa) = (&context.layout.layers()[l], context.isa);
    let (n, b, gains) = (layer.n_out, params(context, layer.b()), params(context, layer.norm(0)));
    let blocks = z.chunks_mut(NORM_ROWS * n).zip(normed.chunks_mut(NORM_ROWS * n));
    for ((z, normed), inverses) in blocks.zip(inverses.chunks_mut(NORM_ROWS)) {
        let (mut sums, rows) = (RowSums::new(), z.len() / n);
        add_biases_and_sum_rows(isa, sums.first(rows), z, b, n);
        sums.divide(rows, n);
        sums.add_squares(isa, z, n, n);
        sums.finish(inverses, n);
        sums.normalize(isa, z, normed, gains, n);
    }
}

/// Parameters, for phase 1 and evaluations.
pub fn params<'a>(context: &'a Context<'_>, range: Range<usize>) -> &'a [f32] {
    // SAFETY: nobody writes parameters in phase 1 or in an evaluation, except running statistics, which nobody reads so.
    unsafe { context.params.read(range) }
}

/// Finds the columns of the input that are not zero throughout the batch, for phase 1; returns what [`nonzero_columns`] does.
pub fn find_nonzero_columns<'a>(
    context: &'a Context<'_>,
    worker: usize,
    batch: &[u32],
) -> Option<&'a Columns> {
    // SAFETY: phase 1, a worker's own state, the only reference.
    let columns = unsafe { &mut context.worker_states.write(worker..worker + 1)[0].columns };
    let is_noisy = context.spec.inputs().noise > 0.0 || context.augmenters.len() > 0;
    let look = !is_noisy && context.offsets.partition.looks_for_zero_columns(batch.len());
    columns.choose(|words| match look {
        true => context.data.occupancy().union_of(words, batch),
        false => words.fill(0),
    });
    nonzero_columns(context, worker)
}

/// The columns that [`find_nonzero_columns`] found in phase 1, to which the first layer's input has been gathered; `None`
/// where gathering them does not pay.
pub fn nonzero_columns<'a>(context: &'a Context<'_>, worker: usize) -> Option<&'a Columns> {
    // SAFETY: a worker's own state, whose columns `find_nonzero_columns` alone writes, once in phase 1 and before the result of
    // this function is used.
    let columns = unsafe { &context.worker_states.read(worker..worker + 1)[0].columns };
    let n_in = context.spec.n_in();
    (1..=n_in - n_in / 16).contains(&columns.count()).then_some(columns)
}
