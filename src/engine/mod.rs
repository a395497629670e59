//! The hot path: training steps and evaluations over buffers that were all allocated before the first batch.
//!
//! An [`Engine`] owns the threads and the workspace for a network and batch size; the [`State`] that it trains belongs
//! to the caller. It knows no files and prints nothing. A [`Predictor`] takes raw values for a model. Use the engine directly to write a
//! training loop of your own; use
//! [`crate::train::Trainer`] for epochs, validation and the best epoch.
//!
//! An [`Engine`] has an engine for one network (`network`), or several for an ensemble, one for each member that is trained at the same time (`ensemble`).
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
mod ensemble;
mod evaluation;
mod forward;
mod gather;
mod halt;
mod hidden;
mod input_scales;
mod kernels;
mod network;
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
use crate::model::{Layout, Model, Spec, Tensor};
use crate::task::TargetScale;
use ensemble::Crew;
use network::{Changed, NetworkEngine};
use workspace::EVALUATION_ROWS;

/// The result of a pass over training samples.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Trained {
    /// The score of the samples that were trained on, each before its own step; of an ensemble the mean over its members.
    pub score: Score,
    /// The number of steps taken.
    pub steps: u64,
    /// Where the last step met a number that is not finite; the trained state is then useless.
    pub broken: Option<Broken>,
}

/// The threads and buffers that train and evaluate a network, or an ensemble of networks.
///
/// The members of an ensemble are trained on the same batches, several at a time, each on threads of its own; noise, masks and augmentation differ. Their probabilities are
/// averaged, or their values.
#[derive(Debug)]
pub struct Engine {
    spec: Spec,
    layout: Layout,
    /// One for each member of an ensemble that is trained at the same time; one for a network alone.
    engines: Vec<NetworkEngine>,
    /// The threads that take the members of an ensemble side by side.
    crew: Option<Crew>,
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
        let mut layout = Layout::new(spec)?;
        let (crew, engines) = match spec.members() {
            1 => (None, vec![NetworkEngine::new(spec, options, isa)?]),
            _ => {
                let (crew, engines) = ensemble::start(spec, options, isa)?;
                (Some(crew), engines)
            }
        };
        layout.freeze(options.frozen);
        Ok(Self { spec: spec.clone(), layout, engines, crew })
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
        for engine in &mut self.engines {
            engine.set_targets(targets.clone())?;
        }
        Ok(self)
    }

    /// The same engine, whose steps of training augment images of this shape. Which seed and epoch they are drawn by, the options and [`Steps::epoch`] say.
    ///
    /// # Errors
    /// If the network has other inputs.
    pub fn with_augmentation(mut self, augment: Augment, shape: ImageShape) -> Result<Self> {
        for engine in &mut self.engines {
            engine.augment(augment, shape)?;
        }
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
        for k in 0..self.layout.members() {
            for engine in &mut self.engines {
                engine.set_tensors(self.layout.member_tensors(k))?;
            }
        }
        Ok(self)
    }

    /// The network that this engine trains and evaluates, or the ensemble.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The offset table of the flat vectors.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What the last [`Engine::train`] spent in each phase, on the thread that called it.
    pub fn phases(&self) -> Phases {
        self.worker_phases().next().unwrap_or_default()
    }

    /// What the last [`Engine::train`] spent in each phase, on each worker; the first is the thread that called it. Of an ensemble, in the last stretch that the worker's engine trained.
    pub fn worker_phases(&self) -> impl Iterator<Item = Phases> {
        self.engines.iter().flat_map(NetworkEngine::worker_phases)
    }

    /// Trains on the samples of `order`, batch after batch; the last batch may be smaller.
    ///
    /// Each batch is one step of the optimizer on the mean loss of its own samples, each times its weight if the data has weights, divided by
    /// the sum of these weights. After each step, `on_step` is called on this thread with
    /// the score that the samples had before it, and may end the pass: a later pass over the rest of `order` computes the same
    /// as one that was not interrupted. An ensemble ends a little later, and reports every step that it took. A step that meets a number that is not finite ends the pass as well.
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
        on_step: impl FnMut(Score) -> ControlFlow<()>,
    ) -> Trained {
        let State { params, m, v, average, steps: taken } = state;
        let vectors = Changed { params, m, v, average, steps: *taken };
        let trained = match (&mut self.crew, &mut self.engines[..]) {
            (None, [network]) => network.train(vectors, steps, data, order, batch_size, on_step),
            (Some(crew), engines) => {
                let pass = ensemble::Pass { steps, data, order, batch_size };
                crew.train(engines, &self.layout, vectors, &pass, on_step)
            }
            _ => unreachable!("several engines have a crew"),
        };
        *taken += trained.steps;
        trained
    }

    /// Makes the running statistics of batch norms the means over batches of `rows`, computed without noise, dropout and augmentation, as evaluations see samples
    /// (Wu and Johnson, 2021, arXiv 2105.07576, section 3). Nothing else of `params` changes. A last, smaller batch is left out. Without batch norm, nothing happens.
    ///
    /// A step leaves running statistics of what it computes itself. If that is noisy, deviations in it are larger than in evaluations.
    ///
    /// # Panics
    /// If lengths or data do not fit the network, or if `batch_size` is 0 or larger than the engine's.
    pub fn average_statistics(
        &mut self,
        params: &mut [f32],
        data: &Dataset,
        rows: &[u32],
        batch_size: usize,
    ) {
        assert_eq!(params.len(), self.layout.len(), "params do not have the layout's length");
        match (&mut self.crew, &mut self.engines[..]) {
            (None, [network]) => network.average_statistics(params, data, rows, batch_size),
            (Some(crew), engines) => {
                crew.each_member(engines, &self.layout, params, |engine, params| {
                    engine.average_statistics(params, data, rows, batch_size);
                });
            }
            _ => unreachable!("several engines have a crew"),
        }
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
        let len = self.layout.len();
        assert_eq!(grads.len(), len, "gradient: grads do not have the length of the layout");
        assert_eq!(params.len(), len, "gradient: params do not have the length of the layout");
        let mut total = Score::default();
        for k in 0..self.layout.members() {
            let own = self.layout.member(k);
            if let Some(crew) = &self.crew {
                crew.prepare(&mut self.engines[0], &self.layout, k);
            }
            let (grads, params) = (&mut grads[own.clone()], &params[own]);
            total += self.engines[0].gradient(grads, params, data, rows);
        }
        total.mean_of(self.layout.members(), 0)
    }
}
