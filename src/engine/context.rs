//! What every phase of a job needs: the network, the data and the buffers that the workers share.
//!
//! # Who writes what
//!
//! Where gradients are clipped, phase 2 comes in two parts with a barrier between: the first writes gradients and their sums of squares, the second reads all of
//! these sums, and writes the rest.
//!
//! Every `SAFETY` comment in the phases rests on this table, and on a [`Member`](super::workers::Member) existing once per
//! worker and job, so that "own" means one thread. "Own rows" are those of a chunk that is assigned to the worker or that it
//! has drawn, which happens to each chunk once in a phase.
//!
//! | buffer | phase 1 | phase 2 |
//! |---|---|---|
//! | `params` | read by all | own rows of `w` and `b` written |
//! | `m`, `v`, `average`, `grads`, their sums of squares | - | own rows written |
//! | `input`, `slope`, `dz` of a layer split by rows | own rows written and read | read by all |
//! | the same of a layer split by columns | own columns written; after a barrier, read by all | read by all |
//! | a worker's gradient block and its columns | its own | its own |
//! | the score of a chunk | written by the worker that has the chunk | read by worker 0 |
//!
//! With the Rust backend, the buffers are those of `packed`, and phase 2 divides inputs instead of rows of `w`. Before the first phase and after the last
//! each worker converts what it owns (`PackedLayout::owned`) between flat vectors and panels, with a barrier between:
//!
//! | buffer | phase 1 | phase 2 |
//! |---|---|---|
//! | `params` in panels | read by all | the weights of own inputs written, or the biases |
//! | `m`, `v`, `average` and gradients in panels, sums of squares | - | the same |
//! | transposed weights | read by all | those of own inputs written |
//! | `input`, `slope`, `dz` in panels, masks | own rows written and read | read by all |
//! | a worker's lists, gradient block and outputs | its own | its own |
//!
//! Of a layer that is split by outputs:
//!
//! | buffer | phase 1 | phase 2 |
//! |---|---|---|
//! | everything in panels of parameters | read, those of own outputs | written, those of own outputs |
//! | `input` of the first layer, masks | a worker's own | its own |
//! | `input` of the layer above, `slope` | own panels written; after a barrier, read by all | read by all |
//! | `dz` of the last such layer | own rows written; after a barrier, own panels read | own panels read |
//! | `dz` of the others | own panels written and read | own panels read |
//! | a worker's parts of input gradients | written; after a barrier, read by all | - |
//!
//! With batch norm, of hidden layers in either backend:
//!
//! | buffer | phase 1 | phase 2 |
//! |---|---|---|
//! | running statistics | own units written, read by nobody else | own units copied to the average |
//! | `input` of the layer above, `slope`, `dz`, normed products, inverse deviations, gradients of the norm | own units written; after a barrier, read by all | read by all |
//!
//! With layer norm, own rows of these. The buffers of a worker that augments images are its own.
//!
//! Where inputs are multiplied by learned factors:
//!
//! | buffer | phase 1 | phase 2 |
//! |---|---|---|
//! | the factors and what belongs to them, in flat vectors | read by all | those of own inputs written |
//! | inputs before that, gradients by what came of it | own rows, or own columns, written and read | read by all |
//!
//! An evaluation has neither phase: `params` are read by all (with panels after each worker has converted what it owns, and a barrier), and a worker's evaluation buffers are its own. With the Rust backend these are own rows of
//! the buffers of the batch, `EVALUATION_BLOCK` for each worker.
//!
//! The functions of `step`, `backpropagation`, `update`, `evaluation` and `forward` trust each other to keep to the table.
//! [`Engine`](super::Engine) alone starts a job, always with one of the functions that `step` and `evaluation` list as jobs,
//! so the code that has to be trusted is that of this directory.
#![allow(unsafe_code)]

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2};

use super::augmenting::WorkerAugmenter;
use super::chunk_counter::ChunkCounter;
use super::halt::Halt;
use super::kernels::loss::{Labels, softmax_cross_entropy};
use super::kernels::regression::{Truth as Targets, regression_loss};
use super::optimizer::Averaging;
use super::packed::Packed;
use super::partition::Chunks;
use super::score::Score;
use super::shared::Shared;
use super::workspace::{ChunkScore, Offsets, WorkerState};
use crate::data::Dataset;
use crate::gemm::Backend;
use crate::isa::Isa;
use crate::model::{Activation, Layout, Spec, matrix};
use crate::task::{Loss, TargetScale};

/// Everything that the workers of one job share.
pub struct Context<'a> {
    pub spec: &'a Spec,
    pub loss: Loss,
    /// How many layers, counted from the inputs, no step changes.
    pub frozen: usize,
    /// Of the outputs of a regression; empty for classes.
    pub scales: &'a [TargetScale],
    pub layout: &'a Layout,
    pub backend: Backend,
    pub isa: Isa,
    pub offsets: &'a Offsets,
    pub data: &'a Dataset,
    pub arena: Shared<'a, f32>,
    pub worker_states: Shared<'a, WorkerState>,
    pub scores: Shared<'a, ChunkScore>,
    /// Per worker, if images are augmented in training; else empty.
    pub augmenters: Shared<'a, WorkerAugmenter>,
    pub chunk_counter: &'a ChunkCounter,
    pub halt: &'a Halt,
    pub params: Params<'a>,
    /// Of a job that trains.
    pub recipe: Recipe<'a>,
    /// What steps work on with the Rust backend.
    pub packed: Option<&'a Packed<'a>>,
}

/// What a step does beside the gradient and the optimizer.
#[derive(Clone, Copy)]
pub struct Recipe<'a> {
    /// Of noise and dropout.
    pub seed: u64,
    /// The probability that is spread over all classes instead of the label.
    pub label_smoothing: f32,
    pub averaging: Option<Averaging>,
    /// The largest norm of a gradient.
    pub clip_norm: Option<f64>,
    /// With such a norm, the whole gradient, as long as the vectors that a step changes, and the sums of squares of its parts.
    pub grads: Shared<'a, f32>,
    pub squares: Shared<'a, f64>,
}

/// The parameters as a job sees them.
#[derive(Clone, Copy)]
pub enum Params<'a> {
    /// Not changed by the job.
    Fixed(&'a [f32]),
    /// Changed by phase 2.
    Trained(Shared<'a, f32>),
}

impl<'a> Params<'a> {
    /// The parameters of a range.
    ///
    /// # Safety
    /// Phase 2 does not change them while the result lives.
    pub unsafe fn read(&self, range: Range<usize>) -> &'a [f32] {
        match self {
            Self::Fixed(params) => &params[range],
            // SAFETY: the caller's promise.
            Self::Trained(params) => unsafe { params.read(range) },
        }
    }
}

impl Context<'_> {
    /// Whether the gradient of the factors of the inputs is computed: no layer is frozen then.
    pub fn learns_input_scales(&self) -> bool {
        self.layout.input_scales().is_some() && self.frozen == 0
    }

    /// The weights of a layer (n_out, n_in), for phase 1 and evaluations.
    pub fn w(&self, l: usize) -> ArrayView2<'_, f32> {
        let layer = &self.layout.layers()[l];
        // SAFETY: nobody writes parameters in phase 1 or in an evaluation.
        matrix(unsafe { self.params.read(layer.w()) }, layer.n_out, layer.n_in)
    }

    /// The activation of a layer.
    pub fn activation(&self, l: usize) -> Activation {
        self.spec.layers()[l].activation
    }

    /// The score of some samples; overwrites their outputs (samples, n_out) with the gradient of `scale` times their loss, in which `smoothing` of a label's
    /// probability is spread over all classes.
    pub fn loss(&self, outputs: &mut [f32], samples: &[u32], scale: f32, smoothing: f32) -> Score {
        let truth = Truth { data: self.data, scales: self.scales, n_out: self.spec.n_out() };
        loss_of(self.isa, self.loss, &truth, outputs, samples, (scale, smoothing))
    }

    /// What the gradients of a batch's losses are multiplied by: 1 / the sum of its weights. Every worker adds up the weights of the whole
    /// batch, in its order: cheaper than a barrier, and the same for all.
    pub fn gradient_scale(&self, batch: &[u32]) -> f32 {
        match self.data.weight_of(batch) {
            0.0 => 0.0,
            weight => (1.0 / weight) as f32,
        }
    }

    /// Phase 1 for one worker: calls `work` with the rows of its assigned chunk of a batch, then with those of drawn chunks until none
    /// is left, and keeps the score of each.
    pub fn for_each_batch_chunk(
        &self,
        worker: usize,
        batch: usize,
        phase: usize,
        mut work: impl FnMut(Range<usize>) -> Score,
    ) {
        if worker == 0 {
            self.chunk_counter.reset_next(phase);
        }
        let chunks = self.offsets.partition.batch(batch);
        let draw = || Some(chunks.first_drawn() + self.chunk_counter.draw(phase, chunks.drawn())?);
        let mut next = chunks.assigned_to(worker).or_else(draw);
        while let Some(chunk) = next {
            self.set_score(chunk, work(chunks.rows(chunk)));
            next = draw();
        }
    }

    /// Phase 2 for one worker: calls `work` with its assigned chunk of every layer that learns, then with drawn chunks until none is
    /// left. `chunks` are those of a layer.
    pub fn for_each_layer_chunk(
        &self,
        worker: usize,
        phase: usize,
        chunks: impl Fn(usize) -> Chunks,
        mut work: impl FnMut(usize, Range<usize>),
    ) {
        if worker == 0 {
            self.chunk_counter.reset_next(phase);
        }
        let learning = self.frozen..self.layout.layers().len();
        for l in learning.clone() {
            if let Some(assigned) = chunks(l).assigned_to(worker) {
                work(l, chunks(l).rows(assigned));
            }
        }
        // the drawn chunks of all layers are numbered one layer after the other; many layers have none
        let drawn_counts = || learning.clone().map(|l| (l, chunks(l).drawn()));
        let drawn_count = drawn_counts().map(|(_, drawn)| drawn).sum();
        while let Some(mut number) = self.chunk_counter.draw(phase, drawn_count) {
            for (l, drawn) in drawn_counts() {
                if number < drawn {
                    work(l, chunks(l).rows(chunks(l).first_drawn() + number));
                    break;
                }
                number -= drawn;
            }
        }
    }

    /// Stores the score of a chunk of the batch; for phase 1.
    fn set_score(&self, chunk: usize, score: Score) {
        // SAFETY: phase 1, where a chunk has one worker; worker 0 reads the score after the next barrier.
        unsafe { self.scores.write(chunk..chunk + 1)[0].0 = score };
    }

    /// The sum of the scores of a batch, in the order of its chunks; after phase 1, and before the next one begins.
    pub fn batch_score(&self, batch: usize) -> Score {
        let chunks = self.offsets.partition.batch(batch).count();
        let mut total = Score::default();
        // SAFETY: scores are written in phase 1, and this is not phase 1.
        let scores = unsafe { self.scores.read(0..chunks) };
        scores.iter().for_each(|score| total += score.0);
        total
    }
}

/// What outputs are compared with.
pub struct Truth<'a> {
    pub data: &'a Dataset,
    /// Of the outputs of a regression.
    pub scales: &'a [TargetScale],
    pub n_out: usize,
}

/// See [`Context::loss`].
pub fn loss_of(
    isa: Isa,
    loss: Loss,
    truth: &Truth<'_>,
    outputs: &mut [f32],
    samples: &[u32],
    (scale, smoothing): (f32, f32),
) -> Score {
    let &Truth { data, scales, n_out } = truth;
    let weights = data.weights();
    match loss {
        Loss::CrossEntropy => {
            let truth = Labels { labels: data.labels(), weights, smoothing };
            softmax_cross_entropy(isa, outputs, truth, samples, n_out, scale)
        }
        loss => {
            let truth = Targets { targets: data.targets(), weights, scales };
            regression_loss(isa, outputs, truth, loss, samples, scale)
        }
    }
}

/// The range of some rows of a buffer with `n` columns. It lies within the buffer, so that no worker that has rows of one
/// buffer reaches another buffer.
///
/// # Panics
/// If the buffer has no such rows.
pub fn rows_of(buffer: &Range<usize>, n: usize, rows: &Range<usize>) -> Range<usize> {
    match rows.end.checked_mul(n) {
        Some(end) if rows.start <= rows.end && end <= buffer.len() => {
            buffer.start + rows.start * n..buffer.start + end
        }
        _ => panic!("rows {rows:?} of {n} values are outside a buffer of {} values", buffer.len()),
    }
}

/// A contiguous slice as a row-major matrix to write.
///
/// # Panics
/// If the slice does not have `rows * columns` values.
pub fn matrix_mut(values: &mut [f32], rows: usize, columns: usize) -> ArrayViewMut2<'_, f32> {
    let len = values.len();
    match ArrayViewMut2::from_shape((rows, columns), values) {
        Ok(view) => view,
        Err(_) => panic!("{len} values do not fill a matrix of {rows}x{columns}"),
    }
}
