//! The jobs without training: scores and predictions, a chunk of samples at a time in a worker's own buffers. The table of who
//! writes what is in [`super::context`].
#![allow(unsafe_code, clippy::mut_from_ref)]

use std::sync::{Mutex, PoisonError};

use super::context::{Context, matrix_mut};
use super::forward;
use super::gather::gather_samples;
use super::kernels::loss::softmax;
use super::kernels::regression::values;
use super::packed::{EVALUATION_BLOCK, Rows};
use super::score::Score;
use super::step::load_params;
use super::workers::Member;
use super::workspace::EVALUATION_ROWS;
use crate::isa::Isa;
use crate::model::{Norm, matrix};
use crate::task::{Loss, TargetScale};

/// What a prediction holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// What the last layer computes.
    Raw,
    /// Probabilities of classes, or values in the targets' units.
    Meaning,
}

/// Job: the scores of some samples, one in `out` for each chunk of [`EVALUATION_ROWS`]. All members of a crew run it at once,
/// with equal arguments.
pub fn evaluate(context: &Context<'_>, member: &Member<'_>, rows: &[u32], out: &[Mutex<Score>]) {
    load_params(context, member, None, false);
    draw_chunks(context, rows, out, |samples, out| {
        for_each_outputs(context, member.number(), samples, |samples, _, outputs| {
            *out += context.loss(outputs, samples, 1.0, 0.0);
        });
    });
}

/// Job: the outputs for some samples, or what they mean: `out` has a slice (samples, n_out) for each chunk of
/// [`EVALUATION_ROWS`]. All members of a crew run it at once, with equal arguments.
pub fn predict(
    context: &Context<'_>,
    member: &Member<'_>,
    rows: &[u32],
    out: &[Mutex<&mut [f32]>],
    output: Output,
) {
    let n_out = context.spec.n_out();
    load_params(context, member, None, false);
    draw_chunks(context, rows, out, |samples, out| {
        for_each_outputs(context, member.number(), samples, |_, first, outputs| {
            if output == Output::Meaning {
                meaning(context.isa, outputs, n_out, context.loss, context.scales);
            }
            out[first * n_out..][..outputs.len()].copy_from_slice(outputs);
        });
    });
}

/// Makes of outputs (rows, n_out) the probabilities of classes, or values in the targets' units.
pub fn meaning(isa: Isa, outputs: &mut [f32], n_out: usize, loss: Loss, scales: &[TargetScale]) {
    match loss {
        Loss::CrossEntropy => softmax(isa, outputs, n_out),
        loss => values(outputs, loss, scales),
    }
}

/// Draws chunk after chunk and works on each: no result depends on which worker computes it.
fn draw_chunks<T>(
    context: &Context<'_>,
    rows: &[u32],
    out: &[Mutex<T>],
    work: impl Fn(&[u32], &mut T),
) {
    while let Some(chunk) = context.chunk_counter.draw(0, out.len()) {
        let start = chunk * EVALUATION_ROWS;
        let samples = &rows[start..(start + EVALUATION_ROWS).min(rows.len())];
        work(samples, &mut out[chunk].lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Runs the samples of a chunk forward on the worker with this number, which calls; hands on some of them at a time, with the number of the first among them and their
/// outputs (samples, n_out). Where one is not finite, all of its sample are NaN: such a sample has no class and no value.
fn for_each_outputs(
    context: &Context<'_>,
    worker: usize,
    samples: &[u32],
    mut work: impl FnMut(&[u32], usize, &mut [f32]),
) {
    let mut work = |samples: &[u32], first: usize, outputs: &mut [f32]| {
        for row in outputs.chunks_exact_mut(context.spec.n_out()) {
            if !row.iter().all(|z| z.is_finite()) {
                row.fill(f32::NAN);
            }
        }
        work(samples, first, outputs);
    };
    match context.packed {
        Some(packed) => {
            for (i, samples) in samples.chunks(EVALUATION_BLOCK).enumerate() {
                let rows = packed.layout.evaluation_rows(worker, samples.len());
                let rows = Rows { context, packed, worker, rows, training: None };
                work(samples, i * EVALUATION_BLOCK, rows.evaluate(samples));
            }
        }
        // SAFETY: the worker's own number; the outputs before are no longer used; this is an evaluation.
        None => work(samples, 0, unsafe { outputs(context, worker, samples) }),
    }
}

/// Runs at most [`EVALUATION_ROWS`] samples forward on one worker with OpenBLAS; returns their outputs (samples, n_out).
///
/// # Safety
/// `worker` is the number of the member that calls; what an earlier call returned is no longer used; nobody writes the
/// parameters.
unsafe fn outputs<'a>(context: &'a Context<'_>, worker: usize, samples: &[u32]) -> &'a mut [f32] {
    assert!(
        samples.len() <= EVALUATION_ROWS,
        "outputs: {} samples; expected at most {EVALUATION_ROWS}",
        samples.len()
    );
    let offsets = &context.offsets.workers[worker];
    let buffer = |which: usize, n: usize| {
        let range = offsets.evaluation[which % 2].clone();
        // SAFETY: a worker's own buffers, used alternately: the one that is returned has no other use now.
        let buffer = unsafe { context.arena.write(range) };
        &mut buffer[..samples.len() * n]
    };
    gather_samples(context.isa, buffer(0, context.spec.n_in()), context.data, samples, None);
    for (l, layer) in context.layout.layers().iter().enumerate() {
        let (rows, n_in, n_out) = (samples.len(), layer.n_in, layer.n_out);
        let keeps_slope = !context.activation(l).derivative_follows_from_value();
        let z = buffer(l + 1, n_out);
        let input = matrix(buffer(l, n_in), rows, n_in);
        let outputs = 0..n_out;
        forward::products(context, l, matrix_mut(z, rows, n_out), input, &outputs, None);
        let has_layer_norm = context.spec.layers()[l].norm == Norm::Layer;
        if has_layer_norm {
            let range = offsets.evaluation_slope.clone();
            // SAFETY: as above, and before the slope is written.
            let normed = unsafe { context.arena.write(range) };
            let inverses = &mut [0.0; EVALUATION_ROWS][..rows];
            forward::layer_norm(context, l, z, &mut normed[..rows * n_out], inverses);
        }
        let slope = keeps_slope.then(|| {
            let range = offsets.evaluation_slope.clone();
            // SAFETY: a worker's own buffer, written by one layer at a time.
            let buffer = unsafe { context.arena.write(range) };
            matrix_mut(&mut buffer[..rows * n_out], rows, n_out)
        });
        let z = matrix_mut(z, rows, n_out);
        forward::activate(context, l, z, slope, &outputs, None, has_layer_norm);
    }
    buffer(context.layout.layers().len(), context.spec.n_out())
}
