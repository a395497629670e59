//! The hot path: a fixed walk over buffers that were all allocated before the first batch.
//!
//! An [`Engine`] owns the threads and the workspace for one network and batch size; the [`State`] that it trains belongs
//! to the caller. It knows no files and prints nothing. Use it directly to write a training loop of your own; use
//! [`crate::train::Trainer`] for epochs, validation and the best epoch.

mod barrier;
mod buffer;
mod kernels;
mod shared;
mod step;
mod workers;
mod workspace;

use std::sync::Mutex;

use ndarray::Array2;

pub use buffer::Buffer;
pub use kernels::Isa;
pub use kernels::adam::{Adam, AdamStep};
pub use kernels::loss::Score;

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::gemm::Backend;
use crate::model::{Layout, Spec};
use shared::Shared;
use step::{Params, Step, Update};
use workers::{Meeting, Workers};
use workspace::{EVALUATION_ROWS, Workspace};

/// More threads than this are refused: builds of OpenBLAS reserve buffers for a limited number of callers.
pub const MAX_THREADS: usize = 64;

/// What an [`Engine`] is made for.
#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Who computes the matrix products.
    pub backend: Backend,
    /// Workers, the calling thread included: 1 to [`MAX_THREADS`].
    pub threads: usize,
    /// Samples per batch at most.
    pub batch_size: usize,
}

impl EngineOptions {
    /// The best backend of this build and a thread per core.
    pub fn new(batch_size: usize) -> Self {
        Self { backend: Backend::auto(), threads: default_threads(), batch_size }
    }
}

/// A thread per core that this process may use, up to [`MAX_THREADS`].
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS)
}

/// What training changes: the parameters and Adam's moments, each a flat vector of the [`Layout`]'s length.
#[derive(Clone, Debug)]
pub struct State {
    /// Weights and biases.
    pub params: Buffer,
    /// First moments.
    pub m: Buffer,
    /// Second moments.
    pub v: Buffer,
    /// Adam steps taken.
    pub steps: u64,
}

impl State {
    /// The state before the first step.
    ///
    /// # Errors
    /// If the memory cannot be had.
    pub fn new(params: &[f32]) -> Result<Self> {
        Ok(Self {
            params: Buffer::copy_of(params, "the parameters")?,
            m: Buffer::zeros(params.len(), "Adam's first moments")?,
            v: Buffer::zeros(params.len(), "Adam's second moments")?,
            steps: 0,
        })
    }
}

/// How far a pass over the training examples has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Loss, accuracy and number of the samples seen so far.
    pub score: Score,
    /// Samples of the whole pass.
    pub total: u64,
}

/// Threads and buffers for one network.
#[derive(Debug)]
pub struct Engine {
    spec: Spec,
    layout: Layout,
    backend: Backend,
    isa: Isa,
    workers: Workers,
    workspace: Workspace,
}

impl Engine {
    /// Starts the threads and allocates everything that steps and evaluations will need.
    ///
    /// # Errors
    /// If a size is out of range or overflows, or the memory or the threads cannot be had.
    pub fn new(spec: &Spec, options: EngineOptions) -> Result<Self> {
        let EngineOptions { backend, threads, batch_size } = options;
        if !(1..=MAX_THREADS).contains(&threads) {
            return Err(Error::usage(format!("{threads} threads: expected 1 to {MAX_THREADS}")));
        }
        if batch_size == 0 {
            return Err(Error::usage("batch size 0: expected at least 1"));
        }
        let layout = Layout::new(spec)?;
        let workspace = Workspace::new(spec, &layout, batch_size, threads)?;
        let workers = Workers::new(threads, move || backend.prepare_thread())?;
        Ok(Self { spec: spec.clone(), layout, backend, isa: Isa::detect(), workers, workspace })
    }

    /// The network that this engine is for.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The offset table of the flat vectors.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Trains on the samples of `order`, batch after batch; the last batch may be smaller.
    ///
    /// Each batch is one Adam step on the mean loss of its own samples. `on_step` is called on this thread after each.
    /// Returns the score of all samples as they were trained on: each before its own step.
    ///
    /// # Panics
    /// If the state or the data do not fit the network, `batch_size` is 0 or larger than the engine was made for, or a
    /// row is out of range.
    pub fn train(
        &mut self,
        state: &mut State,
        adam: &Adam,
        data: &Dataset,
        order: &[u32],
        batch_size: usize,
        mut on_step: impl FnMut(Progress),
    ) -> Score {
        assert!((1..=self.workspace.places.batch).contains(&batch_size), "batch size {batch_size}");
        let mut total = Score::default();
        let State { params, m, v, steps } = state;
        let len = self.layout.len();
        assert!(
            params.len() == len && m.len() == len && v.len() == len,
            "train: the state has not the layout's length"
        );
        let (params, m, v) = (Shared::new(params), Shared::new(m), Shared::new(v));
        let first_step = *steps + 1;
        self.run(
            Params::Trained(params),
            data,
            |step, worker, meeting, mut after_step: Option<&mut dyn FnMut(Score)>| {
                for (t, batch) in (first_step..).zip(order.chunks(batch_size)) {
                    step.forward_backward(worker, batch);
                    meeting.wait();
                    let update = Update::Adam { params, m, v, step: adam.step(t) };
                    step.update(worker, batch.len(), &update);
                    if let Some(after_step) = &mut after_step {
                        after_step(step.total_score());
                    }
                    meeting.wait();
                }
            },
            &mut |score| {
                total += score;
                on_step(Progress { score: total, total: order.len() as u64 });
            },
        );
        *steps += order.len().div_ceil(batch_size) as u64;
        total
    }

    /// The gradient of the mean loss over `rows`, written to `grads` (laid out like the parameters); no step is taken.
    ///
    /// # Panics
    /// If the lengths or the data do not fit the network, or there are no rows or more than a batch.
    pub fn gradient(
        &mut self,
        grads: &mut [f32],
        params: &[f32],
        data: &Dataset,
        rows: &[u32],
    ) -> Score {
        assert!((1..=self.workspace.places.batch).contains(&rows.len()), "{} rows", rows.len());
        assert_eq!(grads.len(), self.layout.len(), "gradient: grads have not the layout's length");
        let mut total = Score::default();
        let update = Update::Store { grads: Shared::new(grads) };
        self.run(
            Params::Fixed(params),
            data,
            |step, worker, meeting, after| {
                step.forward_backward(worker, rows);
                meeting.wait();
                step.update(worker, rows.len(), &update);
                if let Some(after) = after {
                    after(step.total_score());
                }
            },
            &mut |score| total = score,
        );
        total
    }

    /// Loss and accuracy over the samples of `rows`.
    ///
    /// # Panics
    /// If the parameters or the data do not fit the network, or a row is out of range.
    pub fn evaluate(&mut self, params: &[f32], data: &Dataset, rows: &[u32]) -> Score {
        let mut total = Score::default();
        let workers = self.workers.count();
        self.run(
            Params::Fixed(params),
            data,
            |step, worker, meeting, after| {
                let mut score = Score::default();
                for samples in rows.chunks(EVALUATION_ROWS).skip(worker).step_by(workers) {
                    score += step.score(worker, samples);
                }
                step.set_score(worker, score);
                meeting.wait();
                if let Some(after) = after {
                    after(step.total_score());
                }
            },
            &mut |score| total = score,
        );
        total
    }

    /// The probabilities of the classes for the samples of `rows`: (rows, n_out).
    ///
    /// # Panics
    /// As [`Engine::evaluate`].
    pub fn predict(&mut self, params: &[f32], data: &Dataset, rows: &[u32]) -> Array2<f32> {
        let n_out = self.spec.n_out();
        let workers = self.workers.count();
        let mut probabilities = Array2::zeros((rows.len(), n_out));
        let Some(out) = probabilities.as_slice_mut() else {
            unreachable!("a new array is contiguous");
        };
        let out: Vec<_> = out.chunks_mut(EVALUATION_ROWS * n_out).map(Mutex::new).collect();
        self.run(
            Params::Fixed(params),
            data,
            |step, worker, _, _| {
                let chunks = rows.chunks(EVALUATION_ROWS).zip(&out);
                for (samples, out) in chunks.skip(worker).step_by(workers) {
                    let mut out = out.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    out.copy_from_slice(step.probabilities(worker, samples));
                }
            },
            &mut |_| (),
        );
        drop(out);
        probabilities
    }

    /// Runs a job on all workers; `report` is handed to worker 0, which is the calling thread.
    fn run(
        &mut self,
        params: Params<'_>,
        data: &Dataset,
        job: impl Fn(&Step<'_>, usize, &Meeting<'_>, Option<&mut dyn FnMut(Score)>) + Sync,
        report: &mut dyn FnMut(Score),
    ) {
        let Self { spec, layout, backend, isa, workers, workspace } = self;
        if let Params::Fixed(params) = params {
            assert_eq!(params.len(), layout.len(), "the parameters have not the layout's length");
        }
        assert_eq!(data.n_features(), spec.n_in(), "the data has not the network's inputs");
        assert!(data.n_classes() <= spec.n_out(), "the data has more classes than the network");
        let step = Step {
            spec,
            layout,
            backend: *backend,
            isa: *isa,
            places: &workspace.places,
            data,
            arena: Shared::new(&mut workspace.arena),
            scores: Shared::new(&mut workspace.scores),
            params,
        };
        workers.run(|meeting| job(&step, 0, meeting, Some(report)), &|worker, meeting| {
            job(&step, worker, meeting, None)
        });
    }
}
