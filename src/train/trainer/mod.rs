//! The epoch loop.

mod access;

use std::ops::ControlFlow;
use std::time::Instant;

use super::measure::{measure, measure_r2, measure_targets};
use super::{
    Divergence, EpochEnd, EpochRecord, Observer, Outcome, PartialEpoch, Progress, Request,
    TrainConfig, TrainerState,
};
use crate::data::{Dataset, ImageShape, Parts, epoch_order};
use crate::engine::{
    Broken, Buffer, Engine, EngineOptions, Score, State, Trained, default_threads, require_memory,
};
use crate::error::{Error, Result};
use crate::gemm::Backend;
use crate::model::{Layout, Metadata, Model, Spec, initialize};
use crate::task::{Metric, Task};

/// The most samples of an epoch of which clean statistics of batch norms are computed.
const STATISTICS_ROWS: usize = 10_000;

/// How many vectors of the parameters' length are in memory at most: the parameters, two moments, the best parameters, a copy
/// of those four that is being saved, and the bytes of a checkpoint or a model; with the Rust backend four in panels: the parameters, two moments, and the
/// weights transposed.
const COPIES: usize = 16;

/// How many more with a moving average of the parameters: that, a copy that is being saved with its bytes, and one in panels.
const COPIES_OF_AVERAGE: usize = 4;

/// And with clipping: a whole gradient.
const COPIES_OF_GRADIENT: usize = 1;

/// Refuses a network whose training takes more memory than the machine has.
fn require_training_memory(config: &TrainConfig, parameters: usize) -> Result<()> {
    let average = if config.ema.is_some() { COPIES_OF_AVERAGE } else { 0 };
    let gradient = if config.clip_norm.is_some() { COPIES_OF_GRADIENT } else { 0 };
    let copies = COPIES + average + gradient;
    require_memory(copies * parameters, "the network with its optimizer and checkpoint")
}

/// Arithmetic that is worth a thread, in floating-point operations a step. A core computes it in 50 microseconds; what a thread more costs in each step is the
/// meetings of all, a microsecond each, and what others wrote, ten microseconds for 250 kB from a core that shares no cache. With a quarter of it two threads
/// were faster than one in each of nine networks (Zen 4); where other programs run, threads wait longer for one another.
const FLOPS_PER_THREAD: usize = 4_000_000;

/// The number of threads for a network: as many as were asked for, or as there are cores, but no more than its steps have work for. Two
/// that were asked for are never too many, nor is one for each member of an ensemble: members do not wait for one another.
fn threads_for(
    asked: Option<usize>,
    backend: Backend,
    layout: &Layout,
    batch_size: usize,
) -> usize {
    let flops = layout.len().saturating_mul(6).saturating_mul(batch_size);
    let useful = (flops / FLOPS_PER_THREAD).max(layout.members());
    match asked {
        Some(threads) => threads.min(useful.max(2)),
        None => default_threads().min(backend.max_threads()).min(useful),
    }
}

/// A run over one data set.
///
/// ```
/// use densely::data::{Dataset, Split};
/// use densely::train::{TrainConfig, Trainer};
/// use ndarray::Array2;
///
/// // two interleaved classes: the sign of the product of the two features
/// let x = Array2::from_shape_fn((1000, 2), |(i, j)| ((i * (7 + 5 * j)) % 199) as f32 / 99.0 - 1.0);
/// let labels: Vec<u32> = x.rows().into_iter().map(|row| u32::from(row[0] * row[1] > 0.0)).collect();
/// let data = Dataset::from_arrays(x.view(), &labels)?;
/// let split = Split::Fractions([0.8, 0.1, 0.1]);
/// let mut config = TrainConfig::default();
/// config.hidden = vec![32, 32];
/// (config.batch_size, config.epochs, config.split) = (50, 60, split);
/// let mut trainer = Trainer::new(config, &data)?;
/// let outcome = trainer.run(&mut ())?;
/// assert!(outcome.val_accuracy.unwrap() > 0.9);
/// # Ok::<(), densely::Error>(())
/// ```
#[derive(Debug)]
pub struct Trainer<'d> {
    state: TrainerState,
    data: &'d Dataset,
    parts: Parts,
    spec: Spec,
    task: Task,
    metric: Metric,
    metadata: Metadata,
    backend: Backend,
    engine: Engine,
    /// The samples of the current epoch, and that epoch: 0 before the first.
    order: Vec<u32>,
    order_of: usize,
}

/// Why the trainer pauses between two steps.
enum Pause {
    Epoch { is_best: bool },
    Asked(Request),
    Diverged(Divergence),
}

impl<'d> Trainer<'d> {
    /// A run from random weights. `config.split` divides the data; rows of the caller's own, or other data as a validation part, belong
    /// to the data: see [`Dataset::with_parts`] and [`Dataset::with_valid`].
    ///
    /// # Errors
    /// If the data has no labels, a setting is impossible, the data cannot be split as asked, or the system refuses memory or threads.
    pub fn new(mut config: TrainConfig, data: &'d Dataset) -> Result<Self> {
        config.check()?;
        data.require_labels()?;
        let spec = config.spec(data.n_features(), data.n_outputs())?;
        config.activations = spec.activations();
        config.split = config.split.resolved(data);
        let layout = Layout::new(&spec)?;
        require_training_memory(&config, layout.len())?;
        let mut params = Buffer::zeros(layout.len(), "the network")?;
        initialize(&mut params, &spec, &layout, config.init, config.seed)?;
        let state = TrainerState {
            config,
            data_fingerprint: data.fingerprint(),
            threads: 0,
            optimizer: State::new(&params)?,
            history: Vec::new(),
            partial: None,
            best_params: params,
            best_epoch: 0,
            diverged: None,
            prepare: data.prepare().cloned(),
        };
        Self::assemble(state, spec, data)
    }

    /// A run from the weights of a model, which also determines sizes and activations. The targets of a regression are
    /// standardised by this run's training part: a model whose metadata says how its own were starts with its output layer rescaled,
    /// so that its predictions are what they were; its outputs have to be logarithms where those of the loss are. For other classes or targets, see [`Model::with_new_head`].
    ///
    /// # Errors
    /// As [`Trainer::new`]; also if the model's inputs or classes are not those of the data.
    pub fn from_model(mut config: TrainConfig, model: &Model, data: &'d Dataset) -> Result<Self> {
        let spec = model.spec();
        (config.hidden, config.activations) = (spec.hidden(), spec.activations());
        (config.norm, config.ensemble) = (spec.norm(), spec.members());
        let rate = config.input_scales.unwrap_or(1.0);
        config.input_scales = spec.scales_inputs().then_some(rate);
        config.split = config.split.resolved(data);
        config.check()?;
        require_training_memory(&config, model.params().len())?;
        let other_task =
            model.metadata().is_some() && model.task().is_regression() != data.is_regression();
        if spec.n_in() != data.n_features() || spec.n_out() != data.n_outputs() || other_task {
            let kind = |is_regression| if is_regression { "targets" } else { "classes" };
            return Err(Error::usage(format!(
                "the model has {} inputs and {} {}, {} has {} features and {} {}; expected the same",
                spec.n_in(),
                spec.n_out(),
                kind(other_task != data.is_regression()),
                data.name(),
                data.n_features(),
                data.n_outputs(),
                kind(data.is_regression())
            )));
        }
        let state = TrainerState {
            config,
            data_fingerprint: data.fingerprint(),
            threads: 0,
            optimizer: State::new(model.params())?,
            history: Vec::new(),
            partial: None,
            best_params: Buffer::copy_of(model.params(), "the network")?,
            best_epoch: 0,
            diverged: None,
            prepare: data.prepare().cloned(),
        };
        let spec = state.config.disturb(spec.clone())?;
        let mut trainer = Self::assemble(state, spec, data)?;
        if let Some((own, problem)) = model.other_outputs(trainer.task.loss()) {
            return Err(Error::usage(format!(
                "the model {problem}; expected the loss {own}, or a new output layer"
            )));
        }
        if let Some(params) = model.rescaled_for(&trainer.task)? {
            trainer.state.optimizer = State::new(&params)?;
            if trainer.state.config.ema.is_some() {
                trainer.state.optimizer.start_average()?;
            }
            trainer.state.best_params.copy_from_slice(&params);
        }
        Ok(trainer)
    }

    /// A run that resumes from a state.
    ///
    /// # Errors
    /// As [`Trainer::new`]; also if the data is not what the state was trained on.
    pub fn resume(state: TrainerState, data: &'d Dataset) -> Result<Self> {
        let config = &state.config;
        config.check()?;
        state.require_data(data)?;
        let spec = config.spec(data.n_features(), data.n_outputs())?;
        let expected = Layout::new(&spec)?.len();
        if state.optimizer.params.len() != expected {
            return Err(Error::invalid(
                "checkpoint",
                format!(
                    "{} parameters, expected {expected} for its own configuration",
                    state.optimizer.params.len()
                ),
            ));
        }
        Self::assemble(state, spec, data)
    }

    fn assemble(mut state: TrainerState, spec: Spec, data: &'d Dataset) -> Result<Self> {
        let config = &mut state.config;
        config.check_for(data)?;
        let parts = config.parts(data)?;
        let task = config.task(data, &parts)?;
        let metric = task.metric(config.metric)?;
        parts.require_weight(data)?;
        config.plan(parts.train.len()).check()?;
        let batch_size = config.batch_size.min(parts.train.len());
        let layout = Layout::new(&spec)?;
        // by what was asked for, as in a sweep
        let parameters = layout.member(0).len();
        let backend = Backend::for_training(config.backend, parameters, config.batch_size)?;
        config.backend = backend.choice();
        if state.threads == 0 {
            state.threads = threads_for(config.threads, backend, &layout, batch_size);
        }
        let frozen = config.frozen()?;
        let options = EngineOptions::new(batch_size).with(|options| {
            (options.backend, options.threads) = (backend, state.threads);
            (options.deterministic, options.frozen) = (config.deterministic, frozen);
            options.loss = task.loss();
            config.set_recipe(options);
        });
        if config.ema.is_some() && state.optimizer.average.is_empty() {
            state.optimizer.start_average()?;
        }
        if let Some(PartialEpoch { score, .. }) = state.partial {
            let (batch, samples) = (options.batch_size as u64, parts.train.len() as u64);
            if score.samples >= samples || !score.samples.is_multiple_of(batch) {
                return Err(Error::invalid(
                    "checkpoint",
                    format!(
                        "{} samples into an epoch of {samples} in batches of {batch}; expected whole batches",
                        score.samples
                    ),
                ));
            }
        }
        let mut engine = Engine::new(&spec, options)?.with_targets(task.targets().to_vec())?;
        engine = engine.with_tensors(|tensor| config.set_rates(tensor))?;
        if !config.augment.is_none() {
            let shape = ImageShape::of(data, config.augment)?;
            engine = engine.with_augmentation(config.augment, shape)?;
        }
        let metadata =
            Metadata::of(data, config.split, config.split_seed, state.data_fingerprint.clone());
        let metadata = metadata.with_task(&task);
        let order = Vec::with_capacity(parts.train.len());
        let order_of = 0;
        Ok(Self {
            state,
            data,
            parts,
            spec,
            task,
            metric,
            metadata,
            backend,
            engine,
            order,
            order_of,
        })
    }

    /// Trains to the end and tests the weights that were kept.
    ///
    /// A run that diverges is not an error: it returns the best epoch before that, and [`Outcome::diverged`] says why it ended.
    ///
    /// # Errors
    /// What an observer returns; [`Error::Stopped`] if one asked to stop.
    pub fn run(&mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        let start = Instant::now();
        self.train(observer)?;
        let kept_something = self.state.best_epoch > 0;
        let test = if kept_something { self.test() } else { None };
        let test_r2 = test.and_then(|_| self.test_r2());
        let test_metric = test.and_then(|score| match self.metric {
            Metric::R2 => test_r2,
            metric => score.value(metric).or_else(|| self.test_metric()),
        });
        let test_targets = match test {
            Some(_) => {
                let params = &self.state.best_params;
                measure_targets(&mut self.engine, params, self.data, &self.parts.test)
            }
            None => Vec::new(),
        };
        let state = &self.state;
        let outcome = Outcome {
            best_epoch: state.best_epoch,
            last_epoch: state.epoch(),
            metric: self.metric,
            val_accuracy: state.best().and_then(|best| best.val_accuracy),
            val_rmse: state.best().and_then(|best| best.val_rmse),
            val_metric: state.best().and_then(|best| best.value(self.metric)),
            test,
            test_r2,
            test_metric,
            test_targets,
            diverged: state.diverged,
            seconds: start.elapsed().as_secs_f64(),
        };
        observer.done(&outcome)?;
        Ok(outcome)
    }

    /// Trains to the end: all epochs, or until patience runs out or a number stops being finite. Does not test, and does not
    /// call [`Observer::done`].
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn train(&mut self, observer: &mut dyn Observer) -> Result<()> {
        observer.start(self)?;
        let mut request = observer.request();
        while !self.state.is_finished() {
            let pause = match request {
                Request::Continue => self.advance(observer),
                asked => Pause::Asked(asked),
            };
            request = Request::Continue;
            match pause {
                Pause::Epoch { is_best } => {
                    let Some(record) = self.state.history.last() else { break };
                    observer.epoch(&EpochEnd { record, is_best, trainer: self })?;
                    request = observer.request();
                }
                Pause::Asked(asked) => {
                    observer.save(self, asked)?;
                    if asked == Request::Stop {
                        return Err(Error::Stopped);
                    }
                }
                Pause::Diverged(divergence) => {
                    self.state.diverged = Some(divergence);
                    observer.diverged(&divergence)?;
                }
            }
        }
        Ok(())
    }

    /// The score of the weights that are kept on the test part; `None` if it is empty.
    pub fn test(&mut self) -> Option<Score> {
        let rows = self.parts.test.clone();
        let params = &self.state.best_params;
        (!rows.is_empty()).then(|| self.engine.evaluate(params, self.data, &rows))
    }

    /// The coefficient of determination of the weights that are kept on the test part; `None` if it is empty or there are classes.
    pub fn test_r2(&mut self) -> Option<f64> {
        let rows = self.parts.test.clone();
        (self.task.is_regression() && !rows.is_empty())
            .then(|| measure_r2(&mut self.engine, &self.state.best_params, self.data, &rows))
    }

    /// The metric that chooses epochs, of the weights that are kept on the test part; `None` if that is empty, or [`Trainer::test`]
    /// and [`Trainer::test_r2`] have it.
    pub fn test_metric(&mut self) -> Option<f64> {
        let Self { state, data, parts, engine, metric, .. } = self;
        (*metric != Metric::R2 && !parts.test.is_empty())
            .then(|| measure(*metric, engine, &state.best_params, data, &parts.test))
            .flatten()
    }

    /// Trains until the end of the epoch, or until there is a reason to pause.
    fn advance(&mut self, observer: &mut dyn Observer) -> Pause {
        let Self { state, data, parts, engine, order, order_of, .. } = self;
        let TrainerState { config, optimizer, history, partial, .. } = state;
        let epoch = history.len() + 1;
        let start = Instant::now();
        if *order_of != epoch {
            epoch_order(order, &parts.train, config.shuffle, config.seed, epoch);
            *order_of = epoch;
        }
        let PartialEpoch { score, seconds } = partial.get_or_insert_default();
        let rest = &order[score.samples as usize..];
        let batch_size = config.batch_size.min(order.len());
        let plan = config.plan(order.len());
        let total = order.len() as u64;
        let mut request = Request::Continue;
        let trained = engine.train(optimizer, &plan, data, rest, batch_size, |step| {
            let mut sum = *score;
            sum += step;
            if sum.loss_sum.is_finite() {
                *score = sum; // what is kept of a run that diverges is what was before
            }
            observer.step(epoch, Progress { score: *score, total });
            // an ensemble takes some more steps
            request = request.max(observer.request());
            match request {
                Request::Continue => ControlFlow::Continue(()),
                Request::Save | Request::Stop => ControlFlow::Break(()),
            }
        });
        *seconds += start.elapsed().as_secs_f64();
        match trained {
            Trained { broken: Some(broken), .. } => {
                Pause::Diverged(Divergence { epoch, step: optimizer.steps, broken })
            }
            _ if score.samples < total => Pause::Asked(request),
            _ => self.finish_epoch(),
        }
    }

    /// Validates, and keeps the weights if they are the best so far.
    fn finish_epoch(&mut self) -> Pause {
        let Self { state, data, parts, engine, task, metric, .. } = self;
        let TrainerState { config, optimizer, history, partial, .. } = state;
        let PartialEpoch { score, mut seconds } = partial.take().unwrap_or_default();
        if config.clean_statistics {
            let start = Instant::now();
            // from all over the epoch: samples that are not shuffled may be sorted
            let stride = self.order.len().div_ceil(STATISTICS_ROWS);
            let rows: Vec<u32> = self.order.iter().copied().step_by(stride).collect();
            let batch_size = config.batch_size.min(rows.len());
            engine.average_statistics(optimizer.weights_mut(), data, &rows, batch_size);
            seconds += start.elapsed().as_secs_f64();
        }
        let val =
            (!parts.val.is_empty()).then(|| engine.evaluate(optimizer.weights(), data, &parts.val));
        if val.is_some_and(|val| !val.loss_sum.is_finite()) {
            let layer = self.spec.layers().len() - 1;
            let (epoch, step) = (history.len() + 1, optimizer.steps);
            return Pause::Diverged(Divergence { epoch, step, broken: Broken::Outputs { layer } });
        }
        let epoch = history.len() + 1;
        let mut record = EpochRecord::of(epoch, task.is_regression(), score, val, seconds);
        let last_step = optimizer.steps.saturating_sub(1);
        record.lr = Some(config.plan(parts.train.len()).rate(last_step));
        if !parts.val.is_empty()
            && let Some(value) = measure(*metric, engine, optimizer.weights(), data, &parts.val)
        {
            record.set_value(*metric, value);
        }
        let best = state.best_epoch.checked_sub(1).map(|best| &history[best]);
        let is_best = best.is_none_or(|best| match config.latest_best {
            false => record.is_better_than(best, *metric),
            true => record.is_as_good_as(best, *metric),
        });
        history.push(record);
        if is_best {
            state.best_epoch = history.len();
            state.best_params.copy_from_slice(optimizer.weights());
        }
        Pause::Epoch { is_best }
    }
}
