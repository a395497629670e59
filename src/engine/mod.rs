//! The hot path: training steps and evaluations over buffers that were all allocated before the first batch.
//!
//! An [`Engine`] owns the threads and the workspace for one network and batch size; the [`State`] that it trains belongs
//! to the caller. It knows no files and prints nothing. A [`Predictor`] takes raw values for a model. Use the engine directly to write a
//! training loop of your own; use
//! [`crate::train::Trainer`] for epochs, validation and the best epoch.
//!
//! To read the code from the top down: `step` is the training step, `backpropagation` and `update` are its two phases with OpenBLAS,
//! `packed` has those of the Rust backend, `evaluation` is what runs without training, `forward` is one layer, `context` is what they
//! all share, with the table of who writes what. `partition` defines the words chunk, block, panel and tile.

mod augmenting;
mod backpropagation;
mod barrier;
mod broken;
mod buffer;
mod chunk_counter;
mod clock;
mod context;
mod evaluation;
mod forward;
mod gather;
mod halt;
mod hidden;
mod kernels;
mod norm;
mod normalized;
mod optimizer;
mod options;
mod outputs;
mod packed;
mod partition;
mod predictor;
mod region_norms;
mod regions;
mod score;
mod shared;
mod speed;
mod state;
mod step;
mod update;
mod workers;
mod workspace;

use std::ops::ControlFlow;

pub use crate::gemm::MAX_THREADS;
pub use crate::isa::Isa;
pub use broken::Broken;
pub use buffer::{Buffer, require_memory};
pub use clock::{Phases, Spent};
pub use kernels::adam::{Adam, AdamStep};
pub use kernels::sgd::Sgd;
pub use optimizer::{Averaging, Step, Steps};
pub use options::{EngineOptions, default_threads};
pub use predictor::{Predictions, Predictor};
pub use score::Score;
pub use speed::{memory_gbs, peak_gflops, product_gflops, read_gbs};
pub use state::State;

use crate::data::{Augment, Dataset, ImageShape};
use crate::error::{Error, Result};
use crate::gemm::Backend;
use crate::model::{Layout, Model, Norm, Spec, Tensor};
use crate::task::{Loss, TargetScale};
use augmenting::WorkerAugmenter;
use chunk_counter::ChunkCounter;
use context::{Context, Params, Recipe};
use halt::Halt;
use optimizer::Vectors;
use packed::PackedNetwork;
use partition::Partition;
use shared::Shared;
use step::{Pass, Report};
use workers::{Member, Workers};
use workspace::{EVALUATION_ROWS, Workspace};

/// The result of a pass over training samples.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Trained {
    /// The score of the samples that were trained on, each before its own step.
    pub score: Score,
    /// The number of steps taken.
    pub steps: u64,
    /// Where the last step met a number that is not finite; the trained state is then useless.
    pub broken: Option<Broken>,
}

/// The threads and buffers that train and evaluate one network.
#[derive(Debug)]
pub struct Engine {
    spec: Spec,
    loss: Loss,
    /// As they were given.
    options: EngineOptions,
    /// One for each output of a regression; empty for classes.
    scales: Vec<TargetScale>,
    layout: Layout,
    backend: Backend,
    isa: Isa,
    workers: Workers,
    workspace: Workspace,
    /// With the Rust backend, what a step works on.
    packed: Option<PackedNetwork>,
    /// The samples of a pass in another order.
    sorted: Vec<u32>,
    /// Per worker, if images are augmented in training.
    augmenters: Vec<WorkerAugmenter>,
    /// With batch norm, the parameters of an evaluation, into whose weights it is multiplied.
    folded: Option<Buffer>,
}

impl Engine {
    /// Starts the threads and allocates everything that steps and evaluations need. The targets of a regression are learned as
    /// they are, unless [`Engine::with_targets`] says otherwise.
    ///
    /// # Errors
    /// If a size is out of range or overflows, if memory cannot be allocated, or if a thread cannot be started.
    pub fn new(spec: &Spec, options: EngineOptions) -> Result<Self> {
        Self::with_isa(spec, options, Isa::detect())
    }

    fn with_isa(spec: &Spec, options: EngineOptions, isa: Isa) -> Result<Self> {
        let EngineOptions { backend, threads, batch_size, deterministic, loss, frozen, .. } =
            options;
        options.check_recipe()?;
        let most = backend.max_threads();
        if !(1..=most).contains(&threads) {
            let name = backend.name();
            return Err(Error::usage(format!(
                "{threads} threads: expected 1 to {most} with the backend {name}"
            )));
        }
        let hidden = spec.layers().len() - 1;
        if frozen > hidden {
            return Err(Error::usage(format!(
                "{frozen} frozen layers: expected at most {hidden}, the hidden ones; the output layer learns"
            )));
        }
        backend.require_addresses(threads)?;
        let mut layout = Layout::new(spec)?;
        layout.freeze(frozen);
        let partition = Partition { workers: threads, fixed: deterministic };
        // the workers first: OpenBLAS maps its buffers when they prepare
        let workers = Workers::new(threads, move || backend.prepare_thread())?;
        let packed = match backend {
            Backend::Rust => {
                let averages = options.averaging.is_some();
                Some(PackedNetwork::new(
                    spec, &layout, batch_size, frozen, averages, partition, isa,
                )?)
            }
            Backend::Blas(_) => None,
        };
        let folded = match spec.norm() {
            Norm::Batch => Some(Buffer::zeros(layout.len(), "the network to evaluate")?),
            _ => None,
        };
        let mut workspace = Workspace::new(spec, &layout, batch_size, packed.is_some(), partition)?;
        if options.clip_norm.is_some() && batch_size > 0 {
            let (len, parts) = match &packed {
                Some(packed) => (packed.params_len(), packed.squares_len()),
                None => (layout.len(), update::squares_before(&layout, layout.layers().len())),
            };
            workspace = workspace.with_gradient(len, parts)?;
        }
        let outputs = if loss.is_regression() { 0..spec.n_out() } else { 0..0 };
        let scales = outputs.map(|output| TargetScale::unscaled(output.to_string())).collect();
        Ok(Self {
            spec: spec.clone(),
            loss,
            options,
            scales,
            layout,
            backend,
            isa,
            workers,
            workspace,
            packed,
            sorted: Vec::new(),
            folded,
            augmenters: Vec::new(),
        })
    }

    /// An engine for a model: with the loss that it was trained by, and its targets. The loss of `options` is ignored.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn of_model(model: &Model, options: EngineOptions) -> Result<Self> {
        let task = model.task();
        let engine = Self::new(model.spec(), EngineOptions { loss: task.loss(), ..options })?;
        engine.with_targets(task.targets().to_vec())
    }

    /// The same engine with targets that are standardised: steps and losses see `(y - center) / scale`; errors and predictions
    /// are in the targets' units.
    ///
    /// # Errors
    /// If the loss is one for numbers and there is not one for each output, or there are some for classes.
    pub fn with_targets(mut self, targets: Vec<TargetScale>) -> Result<Self> {
        if targets.len() != self.scales.len() {
            return Err(Error::argument(
                "targets",
                format!("{} of them", targets.len()),
                format!("{}, for the loss {}", self.scales.len(), self.loss),
            ));
        }
        self.scales = targets;
        Ok(self)
    }

    /// The same engine, whose steps of training augment images of this shape. Which seed and epoch they are drawn by, the options and [`Steps::epoch`] say.
    ///
    /// # Errors
    /// If the network has other inputs.
    pub fn with_augmentation(mut self, augment: Augment, shape: ImageShape) -> Result<Self> {
        if shape.n_values() != self.spec.n_in() {
            let (found, n_in) = (shape.n_values(), self.spec.n_in());
            let found = format!("{augment} of images of {found} values");
            return Err(Error::argument("augment", found, format!("{n_in} values")));
        }
        let workers = 0..self.workspace.offsets.partition.workers;
        self.augmenters = workers.map(|_| WorkerAugmenter::new(augment, shape)).collect();
        Ok(self)
    }

    /// The same engine with other learning rates, weight decays or fixed values for some tensors: calls `change` for each. Names, shapes and places stay as they are.
    /// Leading layers without a tensor that is trained cost no backward pass.
    ///
    /// # Errors
    /// If a rate or decay is negative or not finite, if nothing is trained, or a layer that the options have frozen.
    ///
    /// ```
    /// use densely::engine::{Engine, EngineOptions};
    /// use densely::model::Spec;
    ///
    /// let engine = Engine::new(&Spec::new(4, &[8], &[], 3)?, EngineOptions::new(10))?;
    /// // no weight decay of biases, as is common
    /// let engine = engine.with_tensors(|tensor| {
    ///     if tensor.name.ends_with(".bias") {
    ///         tensor.decay = 0.0;
    ///     }
    /// })?;
    /// assert_eq!(engine.layout().tensors()[1].decay, 0.0);
    /// # Ok::<(), densely::Error>(())
    /// ```
    pub fn with_tensors(mut self, mut change: impl FnMut(&mut Tensor)) -> Result<Self> {
        let least = self.layout.frozen_layers();
        for tensor in self.layout.tensors_mut() {
            let mut changed = tensor.clone();
            change(&mut changed);
            for (what, factor) in [("rate", changed.rate), ("decay", changed.decay)] {
                if !(factor.is_finite() && factor >= 0.0) {
                    let name = &tensor.name;
                    return Err(Error::usage(format!(
                        "the {what} of {name} is {factor}; expected 0 or more"
                    )));
                }
            }
            (tensor.trained, tensor.rate, tensor.decay) =
                (changed.trained, changed.rate, changed.decay);
        }
        let frozen = self.layout.frozen_layers();
        if frozen < least || frozen == self.layout.layers().len() {
            let expected = format!("{least} to {}", self.layout.layers().len() - 1);
            return Err(Error::argument("frozen layers", frozen.to_string(), expected));
        }
        // steps write those of tensors that are trained alone, and add up all
        self.workspace.squares.fill(0.0);
        Ok(self)
    }

    /// The network that this engine trains and evaluates.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The offset table of the flat vectors.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What the last [`Engine::train`] spent in each phase, on the thread that called it.
    pub fn phases(&self) -> Phases {
        self.workspace.worker_states[0].phases
    }

    /// What the last [`Engine::train`] spent in each phase, on each worker; the first is the thread that called it.
    pub fn worker_phases(&self) -> impl Iterator<Item = Phases> {
        self.workspace.worker_states.iter().map(|state| state.phases)
    }

    /// Trains on the samples of `order`, batch after batch; the last batch may be smaller.
    ///
    /// Each batch is one step of the optimizer on the mean loss of its own samples, each times its weight if the data has weights, divided by
    /// the sum of these weights. After each step, `on_step` is called on this thread with
    /// the score that the samples had before it, and may end the pass: a later pass over the rest of `order` computes the same
    /// as one that was not interrupted. A step that meets a number that is not finite ends the pass as well.
    ///
    /// # Panics
    /// If the state or the data do not fit the network, if `batch_size` is 0 or larger than the engine's, or if a row is out of
    /// range.
    pub fn train(
        &mut self,
        state: &mut State,
        steps: &dyn Steps,
        data: &Dataset,
        order: &[u32],
        batch_size: usize,
        mut on_step: impl FnMut(Score) -> ControlFlow<()>,
    ) -> Trained {
        let offsets = &self.workspace.offsets;
        assert!(offsets.batch > 0, "train: the engine was made to evaluate; expected a batch size");
        assert!(
            (1..=offsets.batch).contains(&batch_size),
            "train: batch size {batch_size}; expected 1 to {}",
            offsets.batch
        );
        self.require_fit(data);
        self.require_truth(data);
        let largest = batch_size.min(order.len());
        if self.packed.is_none() && offsets.partition.looks_for_zero_columns(largest) {
            data.occupancy(); // computed here, not in the first step
        }
        let State { params, m, v, average, steps: taken_steps } = state;
        let len = self.layout.len();
        assert!(
            params.len() == len && m.len() == len && v.len() == len,
            "train: params, m and v have {}, {} and {} values; expected {len} each",
            params.len(),
            m.len(),
            v.len()
        );
        let averaged = if self.options.averaging.is_some() { len } else { 0 };
        assert_eq!(average.len(), averaged, "train: the state's average has another length");
        let mut sorted = std::mem::take(&mut self.sorted);
        let mut taken = order;
        if let Some(packed) = &mut self.packed {
            if packed.sort(&mut sorted, data, order, batch_size) {
                taken = &sorted;
            }
            packed.begin(data, &taken[..largest]);
        }
        let pass = Pass {
            order: taken,
            batch_size,
            steps,
            first_step: *taken_steps + 1,
            vectors: Vectors {
                params: Shared::new(params),
                m: Shared::new(m),
                v: Shared::new(v),
                average: Shared::new(average),
            },
        };
        let halt = Halt::default();
        let mut trained = Trained { score: Score::default(), steps: 0, broken: None };
        self.run(
            Params::Trained(pass.vectors.params),
            data,
            &halt,
            |context, member, report| step::train(context, member, &pass, report),
            &mut |score| {
                trained.score += score;
                trained.steps += 1;
                if !score.loss_sum.is_finite() || on_step(score).is_break() {
                    halt.request();
                }
            },
        );
        self.sorted = sorted;
        *taken_steps += trained.steps;
        let last = order.chunks(batch_size).nth((trained.steps as usize).saturating_sub(1));
        trained.broken = match trained.score.loss_sum.is_finite() {
            true => halt.broken_weights().map(|layer| Broken::Weights { layer }),
            false => Some(self.broken_outputs(last.map_or(0, <[u32]>::len))),
        };
        trained
    }

    /// The first layer whose outputs are not finite, after a batch whose loss was not. Data sets hold only finite numbers.
    fn broken_outputs(&self, rows: usize) -> Broken {
        if let Some(packed) = &self.packed {
            return Broken::Outputs { layer: packed.broken_outputs(rows) };
        }
        let (arena, layers) = (&self.workspace.arena, self.layout.layers());
        let above = self.workspace.offsets.layers.iter().zip(layers).skip(1);
        let mut outputs =
            above.map(|(offsets, layer)| &arena[offsets.input.clone()][..rows * layer.n_in]);
        let hidden = outputs.position(|outputs| outputs.iter().any(|x| !x.is_finite()));
        Broken::Outputs { layer: hidden.unwrap_or(layers.len() - 1) }
    }

    /// Writes the gradient of the mean loss over `rows` to `grads`, which is laid out like the parameters; takes no step. Noise and dropout are those
    /// of a step with the number 0, always the same. What
    /// belongs to frozen layers is left as it is. Returns the score of the rows.
    ///
    /// # Panics
    /// If the lengths or the data do not fit the network, or if there are no rows or more than the engine's batch size.
    pub fn gradient(
        &mut self,
        grads: &mut [f32],
        params: &[f32],
        data: &Dataset,
        rows: &[u32],
    ) -> Score {
        let (batch, len) = (self.workspace.offsets.batch, self.layout.len());
        let found = rows.len();
        assert!((1..=batch).contains(&found), "gradient: {found} rows; expected 1 to {batch}");
        self.require_fit(data);
        self.require_truth(data);
        assert_eq!(grads.len(), len, "gradient: grads do not have the length of the layout");
        assert_eq!(params.len(), len, "gradient: params do not have the length of the layout");
        if let Some(packed) = &mut self.packed {
            packed.begin(data, rows);
        }
        let mut total = Score::default();
        let shared = Shared::new(grads);
        self.run(
            Params::Fixed(params),
            data,
            &Halt::default(),
            |context, member, report| step::gradient(context, member, rows, shared, report),
            &mut |score| total = score,
        );
        total
    }

    /// Panics unless `data` has what the loss compares the outputs with.
    fn require_truth(&self, data: &Dataset) {
        assert!(data.has_labels(), "the data has no labels to compare outputs with");
        let (n_out, loss) = (self.spec.n_out(), self.loss);
        if loss.is_regression() {
            let found = data.target_names().len();
            assert_eq!(found, n_out, "the data has {found} targets, the network {n_out} outputs");
        } else {
            assert!(!data.is_regression(), "the data has targets, the loss {loss} needs classes");
        }
    }

    /// Panics unless `data` has the inputs of the network, and no more classes than it has outputs.
    fn require_fit(&self, data: &Dataset) {
        let (features, classes) = (data.n_features(), data.n_classes());
        assert_eq!(features, self.spec.n_in(), "the data's features are not the network's inputs");
        let n_out = self.spec.n_out();
        assert!(classes <= n_out, "the data has {classes} classes, the network {n_out} outputs");
    }

    /// Runs a job on all workers; only worker 0, the calling thread, receives `report`.
    fn run(
        &mut self,
        params: Params<'_>,
        data: &Dataset,
        halt: &Halt,
        job: impl Fn(&Context<'_>, &Member<'_>, Report<'_>) + Sync,
        report: &mut dyn FnMut(Score),
    ) {
        let Self { spec, loss, scales, layout, backend, isa, workers, workspace, .. } = self;
        let recipe = Recipe {
            seed: self.options.seed,
            label_smoothing: self.options.label_smoothing as f32,
            averaging: self.options.averaging,
            clip_norm: self.options.clip_norm,
            grads: Shared::new(&mut workspace.grads),
            squares: Shared::new(&mut workspace.squares),
        };
        let packed = self.packed.as_mut().map(PackedNetwork::share);
        let context = Context {
            spec,
            loss: *loss,
            frozen: layout.frozen_layers(),
            scales,
            layout,
            backend: *backend,
            isa: *isa,
            offsets: &workspace.offsets,
            data,
            arena: Shared::new(&mut workspace.arena),
            worker_states: Shared::new(&mut workspace.worker_states),
            scores: Shared::new(&mut workspace.scores),
            augmenters: Shared::new(&mut self.augmenters),
            chunk_counter: &ChunkCounter::default(),
            halt,
            params,
            recipe,
            packed: packed.as_ref(),
        };
        backend.prepare_thread(); // this thread may not be the one that created the engine
        workers.run(|member| job(&context, member, Some(report)), &|member| {
            job(&context, member, None)
        });
    }
}
