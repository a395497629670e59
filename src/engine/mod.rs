//! The hot path: a fixed walk over buffers that were all allocated before the first batch.
//!
//! An [`Engine`] owns the threads and the workspace for one network and batch size; the [`State`] that it trains belongs
//! to the caller. It knows no files and prints nothing. Use it directly to write a training loop of your own; use
//! [`crate::train::Trainer`] for epochs, validation and the best epoch.

mod access;
mod backpropagation;
mod barrier;
mod broken;
mod buffer;
mod clock;
mod evaluation;
mod forward;
mod gather;
mod kernels;
mod pieces;
mod shared;
mod speed;
mod step;
mod update;
mod workers;
mod workspace;

use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use ndarray::Array2;

pub use crate::isa::Isa;
pub use broken::Broken;
pub use buffer::{Buffer, require_memory};
pub use clock::Phases;
pub use kernels::adam::{Adam, AdamStep};
pub use kernels::loss::Score;
pub use speed::{peak_gflops, product_gflops};

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::gemm::Backend;
use crate::model::{Layout, Spec};
use evaluation::Output;
use pieces::{Partition, Turns};
use shared::Shared;
use step::{Halt, Params, Pass, Report, Step};
use workers::{Member, Workers};
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
    /// Whether the result is not to depend on `threads`: the work is then cut into pieces of fixed sizes.
    pub deterministic: bool,
}

impl EngineOptions {
    /// The best backend of this build and a thread per core.
    pub fn new(batch_size: usize) -> Self {
        let backend = Backend::auto();
        Self { backend, threads: default_threads(), batch_size, deterministic: false }
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
    pub(crate) params: Buffer,
    /// First moments.
    pub(crate) m: Buffer,
    /// Second moments.
    pub(crate) v: Buffer,
    /// Adam steps taken.
    pub(crate) steps: u64,
}

impl State {
    /// The state before the first step.
    ///
    /// # Errors
    /// If the memory cannot be had.
    pub fn new(params: &[f32]) -> Result<Self> {
        Ok(Self {
            params: Buffer::copy_of(params, "the network")?,
            m: Buffer::zeros(params.len(), "the optimizer")?,
            v: Buffer::zeros(params.len(), "the optimizer")?,
            steps: 0,
        })
    }

    /// Weights and biases.
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// First moments.
    pub fn m(&self) -> &[f32] {
        &self.m
    }

    /// Second moments.
    pub fn v(&self) -> &[f32] {
        &self.v
    }

    /// Adam steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }
}

/// How a pass over training samples ended.
#[derive(Clone, Copy, Debug)]
pub struct Trained {
    /// Of the samples that were trained on, each before its own step.
    pub score: Score,
    /// Steps taken.
    pub steps: u64,
    /// Where the last step met a number that is not finite; the state that was trained is of no use then.
    pub broken: Option<Broken>,
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
        let EngineOptions { backend, threads, batch_size, deterministic } = options;
        if !(1..=MAX_THREADS).contains(&threads) {
            return Err(Error::usage(format!("{threads} threads: expected 1 to {MAX_THREADS}")));
        }
        if batch_size == 0 {
            return Err(Error::usage("batch size 0: expected at least 1"));
        }
        let layout = Layout::new(spec)?;
        let partition = Partition { workers: threads, fixed: deterministic };
        let workspace = Workspace::new(spec, &layout, batch_size, partition)?;
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

    /// Where the time of the last [`Engine::train`] went, on the thread that called it.
    pub fn phases(&self) -> Phases {
        self.workspace.slots[0].phases
    }

    /// Trains on the samples of `order`, batch after batch; the last batch may be smaller.
    ///
    /// Each batch is one Adam step on the mean loss of its own samples. `on_step` is called on this thread behind each, with
    /// the score of its samples before it, and may end the pass there: going on later with the rest of the order computes
    /// the same. A step that meets a number that is not finite ends the pass as well.
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
        mut on_step: impl FnMut(Score) -> ControlFlow<()>,
    ) -> Trained {
        let places = &self.workspace.places;
        assert!((1..=places.batch).contains(&batch_size), "batch size {batch_size}");
        if places.partition.picking_pays(batch_size.min(order.len())) {
            data.occupancy(); // looked up here and not in the first step
        }
        let State { params, m, v, steps } = state;
        let len = self.layout.len();
        assert!(
            params.len() == len && m.len() == len && v.len() == len,
            "train: the state has not the layout's length"
        );
        let pass = Pass {
            order,
            batch_size,
            adam,
            first_step: *steps + 1,
            params: Shared::new(params),
            m: Shared::new(m),
            v: Shared::new(v),
        };
        let halt = Halt::default();
        let mut trained = Trained { score: Score::default(), steps: 0, broken: None };
        self.run(
            Params::Trained(pass.params),
            data,
            &halt,
            |step, member, report| step.train(member, &pass, report),
            &mut |score| {
                trained.score += score;
                trained.steps += 1;
                if !score.loss_sum.is_finite() || on_step(score).is_break() {
                    halt.ask();
                }
            },
        );
        *steps += trained.steps;
        let last = order.chunks(batch_size).nth((trained.steps as usize).saturating_sub(1));
        trained.broken = match trained.score.loss_sum.is_finite() {
            true => halt.broken_weights().map(|layer| Broken::Weights { layer }),
            false => Some(self.broken_outputs(last.map_or(0, <[u32]>::len))),
        };
        trained
    }

    /// The first layer whose outputs were not finite in a batch whose loss was not. Data sets hold finite numbers.
    fn broken_outputs(&self, rows: usize) -> Broken {
        let (arena, layers) = (&self.workspace.arena, self.layout.layers());
        let above = self.workspace.places.layers.iter().zip(layers).skip(1);
        let mut outputs =
            above.map(|(place, layer)| &arena[place.input.clone()][..rows * layer.n_in]);
        let hidden = outputs.position(|outputs| outputs.iter().any(|x| !x.is_finite()));
        Broken::Outputs { layer: hidden.unwrap_or(layers.len() - 1) }
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
        let grads = Shared::new(grads);
        self.run(
            Params::Fixed(params),
            data,
            &Halt::default(),
            |step, member, report| step.gradient(member, rows, grads, report),
            &mut |score| total = score,
        );
        total
    }

    /// Loss and accuracy over the samples of `rows`.
    ///
    /// # Panics
    /// If the parameters or the data do not fit the network, or a row is out of range.
    pub fn evaluate(&mut self, params: &[f32], data: &Dataset, rows: &[u32]) -> Score {
        let chunks = rows.len().div_ceil(EVALUATION_ROWS);
        let scores: Vec<_> = (0..chunks).map(|_| Mutex::new(Score::default())).collect();
        self.run(
            Params::Fixed(params),
            data,
            &Halt::default(),
            |step, member, _| step.evaluate(member, rows, &scores),
            &mut |_| (),
        );
        let mut total = Score::default();
        for score in scores {
            total += score.into_inner().unwrap_or_else(PoisonError::into_inner);
        }
        total
    }

    /// The probabilities of the classes for the samples of `rows`: (rows, n_out).
    ///
    /// # Panics
    /// As [`Engine::evaluate`].
    pub fn predict(&mut self, params: &[f32], data: &Dataset, rows: &[u32]) -> Array2<f32> {
        self.outputs(params, data, rows, Output::Probabilities)
    }

    /// What [`Engine::predict`] takes the softmax of: (rows, n_out). Ranks like [`Engine::evaluate`] also where
    /// probabilities round to equal ones.
    ///
    /// # Panics
    /// As [`Engine::evaluate`].
    pub fn logits(&mut self, params: &[f32], data: &Dataset, rows: &[u32]) -> Array2<f32> {
        self.outputs(params, data, rows, Output::Logits)
    }

    fn outputs(
        &mut self,
        params: &[f32],
        data: &Dataset,
        rows: &[u32],
        output: Output,
    ) -> Array2<f32> {
        let n_out = self.spec.n_out();
        let Some(len) = rows.len().checked_mul(n_out) else {
            panic!("{} rows of {n_out} outputs overflow", rows.len())
        };
        let mut values = vec![0.0; len];
        let out: Vec<_> = values.chunks_mut(EVALUATION_ROWS * n_out).map(Mutex::new).collect();
        self.run(
            Params::Fixed(params),
            data,
            &Halt::default(),
            |step, member, _| step.predict(member, rows, &out, output),
            &mut |_| (),
        );
        drop(out);
        match Array2::from_shape_vec((rows.len(), n_out), values) {
            Ok(values) => values,
            Err(_) => unreachable!("the vector was made with this length"),
        }
    }

    /// Runs a job on all workers; `report` is handed to worker 0, which is the calling thread.
    fn run(
        &mut self,
        params: Params<'_>,
        data: &Dataset,
        halt: &Halt,
        job: impl Fn(&Step<'_>, &Member<'_>, Report<'_>) + Sync,
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
            slots: Shared::new(&mut workspace.slots),
            scores: Shared::new(&mut workspace.scores),
            turns: &Turns::default(),
            halt,
            params,
        };
        backend.prepare_thread(); // this thread may not be the one that made the engine
        workers.run(|me| job(&step, me, Some(report)), &|me| job(&step, me, None));
    }
}
