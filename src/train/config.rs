//! The settings that decide what a training computes.

use serde::{Deserialize, Serialize};

use super::schedule::{Optimizer, Plan, Schedule, Warmup};
use super::setting::{Configuration, Sweep, settings};
use crate::data::{Augment, Dataset, ImageShape, Parts, Split};
use crate::engine::{Adam, Averaging, EngineOptions, MAX_THREADS, Sgd};
use crate::error::{Error, Result};
use crate::gemm::BackendChoice;
use crate::model::{Activation, INPUT_SCALES, Init, MAX_MEMBERS, Norm, Spec, Tensor};
use crate::task::{Choice, Loss, Metric, Task};

/// The headings under which help lists settings.
pub mod group {
    /// Where data is, and what its columns are for.
    pub const DATA: &str = "Data";
    /// Sizes, activations, initial weights.
    pub const NETWORK: &str = "Network";
    /// Adam's and other constants, the learning rate, the batch.
    pub const OPTIMIZER: &str = "Optimizer";
    /// Epochs, parts, randomness.
    pub const RUN: &str = "Run";
    /// Threads and backends.
    pub const MACHINE: &str = "Machine";
    /// Files, progress.
    pub const OUTPUT: &str = "Output";
}

/// The order in which help lists the headings.
#[cfg(feature = "cli")]
pub const GROUPS: [&str; 6] =
    [group::DATA, group::NETWORK, group::OPTIMIZER, group::RUN, group::MACHINE, group::OUTPUT];

use group::{MACHINE, NETWORK, OPTIMIZER, RUN};

/// Training is in f32: what is 0 or infinite there cannot be meant.
fn is_positive(x: f64) -> bool {
    x > 0.0 && (x as f32).is_normal()
}

/// Whether noise can have it as its standard deviation.
fn is_deviation(x: f64) -> bool {
    (0.0..1e30).contains(&x)
}

settings! {
    /// Everything that decides what a training computes, apart from its data.
    ///
    /// ```
    /// use densely::train::TrainConfig;
    ///
    /// let mut config = TrainConfig::default();
    /// config.hidden = vec![64, 32];
    /// config.epochs = 5;
    /// config.check()?;
    /// # Ok::<(), densely::Error>(())
    /// ```
    pub struct TrainConfig {
        /// Sizes of the hidden layers; empty for softmax regression
        hidden: Vec<usize> = vec![512, 256, 128], {
            value_name: "N,N,...", group: NETWORK, sweep: Sweep::Semicolons, run_name: Some(""),
            check: |c| !c.hidden.contains(&0), expected: "sizes of at least 1",
        }
        /// One activation for all hidden layers, or one each
        activations: Vec<Activation> = Vec::new(), {
            value_name: "A,A,...", group: NETWORK, sweep: Sweep::Semicolons, run_name: Some(""),
            default: Some("relu,selu,tanh for three hidden layers, relu for any other number"),
        }
        /// Initial weights; auto is He, LeCun or Glorot by activation; normal also draws biases, and starts the output layer at 0
        init: Init = Init::Auto, {
            value_name: "INIT", group: NETWORK, sweep: Sweep::Commas, run_name: Some(""),
        }
        /// Leave the first N layers as they are, with random weights or those of --init-from; the others learn faster
        freeze: Option<usize> = None, {
            value_name: "N", group: NETWORK, sweep: Sweep::Commas, default: Some("0"),
        }
        /// Changes the images of a training at random in each epoch: shift, flip, affine, elastic, or several such as affine,elastic, each with a strength such as affine:0.5
        augment: Augment = Augment::default(), {
            value_name: "KIND,...", group: RUN, sweep: Sweep::Semicolons,
        }
        /// Train K networks at once on the same batches, each with weights, noise and masks of its own, and predict by the mean of their probabilities or values
        ensemble: usize = 1, {
            value_name: "K", group: NETWORK, sweep: Sweep::Commas,
            check: |c| (1..=MAX_MEMBERS).contains(&c.ensemble), expected: "1 to 1000",
        }
        /// What normalises the products of hidden layers before their activations: batch norm over the samples of a batch, or layer norm over the units of a sample
        norm: Norm = Norm::None, {
            value_name: "NORM", group: NETWORK, sweep: Sweep::Commas,
        }
        /// Whether norms learn their gains; off leaves them at 1, so that no layer outgrows its noise, and suits relu, after which a gain is one of the next layer's weights
        norm_gain: bool = true, {
            value_name: "on|off", group: NETWORK, sweep: Sweep::Commas,
        }
        /// At the end of each epoch, compute the statistics by which batch norm predicts anew, from 10,000 samples without noise, dropout and augmentation; off keeps
        /// averages over the steps, as PyTorch does. Use it with noise
        clean_statistics: bool = false, {
            value_name: "on|off", group: NETWORK, sweep: Sweep::Commas, implied: Some("on"),
        }
        /// Multiply each input by a factor that is learned, with X times the learning rate; all are 1 at first, and inputs that do not help fade
        input_scales: Option<f64> = None, {
            value_name: "X", group: NETWORK, sweep: Sweep::Commas, default: Some("none"),
            check: |c| c.input_scales.is_none_or(is_positive), expected: "a positive number, from 1e-37 to 1e38",
        }
        /// The probability that a value after an activation is dropped in training: one for all hidden layers, or one each
        dropout: Vec<f64> = Vec::new(), {
            value_name: "F,F,...", group: NETWORK, sweep: Sweep::Semicolons, default: Some("none"),
            check: |c| c.dropout.iter().all(|x| (0.0..1.0).contains(x)), expected: "0 or more each, below 1",
        }
        /// The same of the inputs
        input_dropout: f64 = 0.0, {
            value_name: "F", group: NETWORK, sweep: Sweep::Commas,
            check: |c| (0.0..1.0).contains(&c.input_dropout), expected: "0 or more, below 1",
        }
        /// The standard deviation of Gaussian noise before an activation in training: one for all hidden layers, or one each
        noise: Vec<f64> = Vec::new(), {
            value_name: "F,F,...", group: NETWORK, sweep: Sweep::Semicolons, default: Some("none"),
            check: |c| c.noise.iter().copied().all(is_deviation), expected: "0 or more each, below 1e30",
        }
        /// The same of the inputs
        input_noise: f64 = 0.0, {
            value_name: "F", group: NETWORK, sweep: Sweep::Commas,
            check: |c| is_deviation(c.input_noise), expected: "0 or more, below 1e30",
        }
        /// What changes the weights: adam, or sgd with momentum
        optimizer: OptimizerKind = OptimizerKind::Adam, {
            value_name: "NAME", group: OPTIMIZER, sweep: Sweep::Commas, run_name: Some(""),
        }
        /// Learning rate: the highest one of a schedule
        lr: f64 = Adam::default().lr, {
            value_name: "X", group: OPTIMIZER, sweep: Sweep::Commas, run_name: Some("lr"),
            default: Some("0.001, with sgd 0.05"),
            check: |c| is_positive(c.lr) && (!(0.0..1.0).contains(&c.beta1) || is_positive(c.lr / (1.0 - c.beta1))),
            expected: "a positive number, from 1e-37 to 1e37",
        }
        /// Divide the learning rate of a layer's weights by the root of the number of its inputs (neural tangent parametrisation). Use it with --init normal and
        /// a rate of about 0.04
        ntk_rates: bool = false, {
            value_name: "on|off", group: OPTIMIZER, sweep: Sweep::Commas, implied: Some("on"),
        }
        /// What the learning rate of biases is multiplied by
        bias_rate: f64 = 1.0, {
            value_name: "X", group: OPTIMIZER, sweep: Sweep::Commas,
            check: |c| (0.0..=1e6).contains(&c.bias_rate), expected: "0 to 1e6",
        }
        /// Decay of Adam's first moment
        beta1: f64 = Adam::default().beta1, {
            value_name: "X", group: OPTIMIZER, sweep: Sweep::Commas,
            check: |c| (0.0..1.0).contains(&c.beta1), expected: "0 or more, below 1",
        }
        /// Decay of Adam's second moment
        beta2: f64 = Adam::default().beta2, {
            value_name: "X", group: OPTIMIZER, sweep: Sweep::Commas,
            check: |c| (0.0..1.0).contains(&c.beta2), expected: "0 or more, below 1",
        }
        /// Added to the root of Adam's second moment
        eps: f64 = Adam::default().eps, {
            value_name: "X", group: OPTIMIZER, sweep: Sweep::Commas,
            check: |c| is_positive(c.eps), expected: "a positive number, from 1e-37 to 1e38",
        }
        /// Decoupled weight decay (AdamW) of all parameters
        weight_decay: f64 = Adam::default().weight_decay, {
            value_name: "X", group: OPTIMIZER, sweep: Sweep::Commas, run_name: Some("wd"),
            check: |c| c.weight_decay >= 0.0 && c.lr * c.weight_decay < 1.0,
            expected: "0 or more, and below 1 when multiplied by the learning rate",
        }
        /// How much of its velocity sgd keeps in each step
        momentum: f64 = Sgd::default().momentum, {
            value_name: "X", group: OPTIMIZER, sweep: Sweep::Commas,
            check: |c| (0.0..1.0).contains(&c.momentum), expected: "0 or more, below 1",
        }
        /// Nesterov's momentum for sgd
        nesterov: bool = false, {
            value_name: "on|off", group: OPTIMIZER, sweep: Sweep::Commas, implied: Some("on"),
        }
        /// How the learning rate changes over the planned epochs: constant; cosine or linear down to 0, or only after a first share, such as linear:0.5; log-cosine
        /// in four waves; one-cycle up and down; or step:N:F, multiplied by F after every N epochs
        schedule: Schedule = Schedule::Constant, {
            value_name: "SCHEDULE", group: OPTIMIZER, sweep: Sweep::Commas, run_name: Some(""),
        }
        /// Raise the learning rate from 0 over the first N steps, or over a share of the training such as 0.05
        warmup: Option<Warmup> = None, {
            value_name: "N|F", group: OPTIMIZER, sweep: Sweep::Commas, default: Some("none"),
        }
        /// The largest norm of a step's gradient; a longer one is scaled down to it
        clip_norm: Option<f64> = None, {
            value_name: "X", group: OPTIMIZER, sweep: Sweep::Commas, run_name: Some("clip"), default: Some("none"),
            check: |c| c.clip_norm.is_none_or(is_positive), expected: "a positive number, from 1e-37 to 1e38",
        }
        /// Validate and keep an exponential moving average of the weights, of which each step keeps the share F, such as 0.999
        ema: Option<f64> = None, {
            value_name: "F", group: OPTIMIZER, sweep: Sweep::Commas, default: Some("none"),
            check: |c| c.ema.is_none_or(|ema| (0.0..1.0).contains(&ema)), expected: "0 or more, below 1",
        }
        /// Samples per step
        batch_size: usize = 500, {
            value_name: "N", group: OPTIMIZER, sweep: Sweep::Commas, run_name: Some("b"),
            check: |c| c.batch_size > 0, expected: "at least 1",
        }
        /// Passes over the training part
        epochs: usize = 20, {
            value_name: "N", group: RUN, sweep: Sweep::Commas, resume: true,
            check: |c| c.epochs > 0, expected: "at least 1",
        }
        /// Stop after N epochs without a better one. A training with a schedule runs to its end unless this is given
        patience: Option<usize> = None, {
            value_name: "N", group: RUN, sweep: Sweep::Commas, default: Some("none"),
            check: |c| c.patience != Some(0), expected: "at least 1",
        }
        /// Of epochs with equal metrics, keep the latest instead of the one with the lowest loss
        latest_best: bool = false, {
            value_name: "on|off", group: RUN, sweep: Sweep::Commas, implied: Some("on"),
        }
        /// What training minimises: cross-entropy for classes; mse, mae, huber, poisson (counts and rates) or quantile:Q (such as
        /// quantile:0.9) for numbers
        loss: Choice<Loss> = Choice::Auto, {
            value_name: "LOSS", group: RUN, sweep: Sweep::Commas, run_name: Some(""),
            default: Some("auto: cross-entropy for classes, mse for numbers"),
        }
        /// The probability that the training loss of classes spreads over all of them; the validation loss does not
        label_smoothing: f64 = 0.0, {
            value_name: "F", group: RUN, sweep: Sweep::Commas, run_name: Some("smoothing"),
            check: |c| (0.0..1.0).contains(&c.label_smoothing), expected: "0 or more, below 1",
        }
        /// What chooses the best epoch, ends the patience and ranks runs, on the validation part: accuracy, log-loss, macro-f1 or auc
        /// for classes, rmse, mae, r2 or loss for numbers
        metric: Choice<Metric> = Choice::Auto, {
            value_name: "METRIC", group: RUN, sweep: Sweep::Commas,
            default: Some("auto: accuracy for classes; rmse for numbers, and the loss for a quantile"),
        }
        /// Training, validation and test parts: auto (files of their own, or else a tenth each, drawn from every class; mnist is
        /// pooled), pooled (50:5:15 of all), canonical (the official test images), N,N,N samples, F,F,F fractions, or fold:K/N, of which
        /// cv trains all
        split: Split = Split::Auto, {
            value_name: "SPLIT", group: RUN, sweep: Sweep::Semicolons,
        }
        /// Decides which samples --split draws
        split_seed: u64 = 0, {
            value_name: "N", group: RUN, sweep: Sweep::Commas, run_name: Some("splitseed"),
        }
        /// Decides everything random
        seed: u64 = 0, {
            value_name: "N", group: RUN, sweep: Sweep::Commas, run_name: Some("seed"),
        }
        /// Whether each epoch sees the samples in a new order
        shuffle: bool = true, {
            value_name: "on|off", group: RUN, sweep: Sweep::Commas,
        }
        /// Worker threads
        threads: Option<usize> = None, {
            value_name: "N", group: MACHINE, sweep: Sweep::Absent,
            default: Some("one per core, fewer where a step has little work"),
            check: |c| c.threads.is_none_or(|threads| (1..=MAX_THREADS).contains(&threads)), expected: THREADS_EXPECTED,
        }
        /// Make the result independent of the number of threads, at some cost in speed
        deterministic: bool = false, {
            value_name: "on|off", group: MACHINE, sweep: Sweep::Commas, implied: Some("on"),
        }
        /// What computes the matrix products; auto is pure Rust on a CPU with AVX2, OpenBLAS on others and for 16 million parameters and more in batches below 256
        backend: BackendChoice = BackendChoice::Auto, {
            value_name: "BACKEND", group: MACHINE, sweep: Sweep::Commas,
        }
    }
}

settings! {
    /// How the runs of a sweep share the machine.
    pub struct Sharing {
        /// Runs at a time
        jobs: Option<usize> = None, {
            value_name: "N", group: MACHINE,
            default: Some("as many as there are cores where networks are small, one where they are large"),
            check: |c| c.jobs.is_none_or(|jobs| (1..=MAX_THREADS).contains(&jobs)), expected: THREADS_EXPECTED,
        }
        /// Worker threads of each run
        threads: Option<usize> = None, {
            value_name: "N", group: MACHINE, default: Some("the cores, divided among the runs at a time"),
            check: |c| c.threads.is_none_or(|threads| (1..=MAX_THREADS).contains(&threads)), expected: THREADS_EXPECTED,
        }
    }
}

settings! {
    /// Whether the runs of a sweep are a cross-validation.
    pub struct Folds {
        /// Train each combination once for each of K folds, which tests it, and rank by the mean over the folds
        folds: Option<usize> = None, {
            value_name: "K", group: RUN, default: Some("none"),
            check: |c| c.folds.is_none_or(|folds| (2..=MAX_FOLDS).contains(&folds)), expected: "2 to 1000",
        }
    }
}

settings! {
    /// What runs with sgd have in a sweep that varies the optimizer, where it was not given for all runs. No flags.
    pub struct SgdRuns {
        /// Learning rate of the runs with sgd
        sgd_lr: Option<f64> = None, {
            value_name: "X", group: OPTIMIZER,
            check: |c| c.sgd_lr.is_none_or(is_positive), expected: "a positive number, from 1e-37 to 1e37",
        }
        /// Weight decay of the runs with sgd
        sgd_weight_decay: Option<f64> = None, {
            value_name: "X", group: OPTIMIZER,
            check: |c| c.sgd_weight_decay.is_none_or(|decay| decay >= 0.0), expected: "0 or more",
        }
    }
}

/// More folds than this are taken for a mistake.
const MAX_FOLDS: usize = 1000;

const _: () = assert!(MAX_MEMBERS == 1000, "the message above names it");

const THREADS_EXPECTED: &str = "1 to 1024";
const _: () = assert!(MAX_THREADS == 1024, "the message above names it");

impl TrainConfig {
    /// The same configuration with some settings changed.
    ///
    /// ```
    /// use densely::train::TrainConfig;
    ///
    /// let config = TrainConfig::default().with(|c| (c.epochs, c.lr) = (5, 0.01));
    /// assert_eq!((config.epochs, config.lr), (5, 0.01));
    /// ```
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Rejects impossible settings.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] for the first one.
    pub fn check(&self) -> Result<()> {
        Configuration::check(self)
    }

    /// Rejects settings that this data, or its network, cannot have.
    ///
    /// # Errors
    /// [`crate::Error::Argument`] or [`crate::Error::Usage`] for the first one.
    pub(crate) fn check_for(&self, data: &Dataset) -> Result<()> {
        self.spec(data.n_features(), data.n_outputs())?;
        if !self.augment.is_none() {
            ImageShape::of(data, self.augment)?;
        }
        if self.label_smoothing > 0.0 && data.is_regression() {
            let found = self.label_smoothing.to_string();
            return Err(Error::argument(
                "label_smoothing",
                found,
                "0, because numbers have no classes to smooth",
            ));
        }
        if self.norm == Norm::Batch && self.batch_size == 1 {
            let expected = "2 or more with batch norm, which compares the samples of a batch; a layer norm takes any";
            return Err(Error::argument("batch_size", "1", expected));
        }
        Ok(())
    }

    /// Divides a data set into the parts of a run.
    ///
    /// # Errors
    /// As [`Split::apply`]; also if a table was prepared for another split.
    pub fn parts(&self, data: &Dataset) -> Result<Parts> {
        data.require_split(self.split, self.split_seed)?;
        self.split.apply(data, self.split_seed)
    }

    /// What the outputs of a network for this data mean, divided into these parts: the loss, and how targets are standardised by
    /// the training part.
    ///
    /// # Errors
    /// If the loss does not fit the data; as [`Task::of`].
    pub fn task(&self, data: &Dataset, parts: &Parts) -> Result<Task> {
        Task::of(data, &parts.train, self.loss)
    }

    /// What chooses: the metric that is asked for, or that suits the loss.
    pub(crate) fn metric_for(&self, is_regression: bool) -> Metric {
        let loss = || self.loss.or_else(|| Loss::default_for(is_regression));
        self.metric.or_else(|| Metric::suited_to(loss()))
    }

    /// How many layers, counted from the inputs, are left as they are.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are not as many hidden layers; the output layer always learns.
    pub(crate) fn frozen(&self) -> Result<usize> {
        let (frozen, hidden) = (self.freeze.unwrap_or(0), self.hidden.len());
        match frozen <= hidden {
            true => Ok(frozen),
            false => Err(Error::argument(
                "freeze",
                frozen.to_string(),
                format!("at most {hidden}, the number of hidden layers; the output layer learns"),
            )),
        }
    }

    /// The optimizer and the learning rate of each step, where an epoch has so many samples.
    pub(crate) fn plan(&self, samples: usize) -> Plan {
        let Self { lr, weight_decay, schedule, warmup, .. } = *self;
        let optimizer = match self.optimizer {
            OptimizerKind::Adam => {
                let Self { beta1, beta2, eps, .. } = *self;
                Optimizer::Adam(Adam { lr, beta1, beta2, eps, weight_decay })
            }
            OptimizerKind::Sgd => {
                let Self { momentum, nesterov, .. } = *self;
                let sgd = Sgd::default();
                Optimizer::Sgd(sgd.with(|sgd| {
                    (sgd.lr, sgd.momentum, sgd.nesterov, sgd.weight_decay) =
                        (lr, momentum, nesterov, weight_decay);
                }))
            }
        };
        let epoch_steps = samples.div_ceil(self.batch_size.max(1)) as u64;
        let steps = epoch_steps.saturating_mul(self.epochs as u64);
        Plan { optimizer, schedule, warmup, epoch_steps, steps }
    }

    /// Whether the learning rate of a step depends on how many epochs are planned, so that a resumed run cannot change their number.
    pub(crate) fn plans_epochs(&self) -> bool {
        self.schedule != Schedule::Constant || matches!(self.warmup, Some(Warmup::Share(_)))
    }

    /// The network, with the disturbances of training.
    ///
    /// # Errors
    /// As [`Spec::new`], [`Spec::with_noise`] and [`Spec::with_dropout`].
    pub(crate) fn spec(&self, n_in: usize, n_out: usize) -> Result<Spec> {
        let spec = Spec::new(n_in, &self.hidden, &self.activations, n_out)?;
        let spec = spec.with_norm(self.norm).with_input_scales(self.input_scales.is_some());
        self.disturb(spec.with_members(self.ensemble)?)
    }

    /// A network with the disturbances of a training.
    ///
    /// # Errors
    /// As [`Spec::with_noise`] and [`Spec::with_dropout`].
    pub(crate) fn disturb(&self, spec: Spec) -> Result<Spec> {
        let spec = spec.with_noise(self.input_noise, &self.noise)?;
        spec.with_dropout(self.input_dropout, &self.dropout)
    }

    /// How a tensor of the network learns.
    pub(crate) fn set_rates(&self, tensor: &mut Tensor) {
        let kind = tensor.name.split_once("layers.").map_or("", |(_, name)| name);
        if tensor.name.ends_with(INPUT_SCALES) {
            // they are 1 at first, and decay would be multiplied by their rate
            (tensor.rate, tensor.decay) = (self.input_scales.unwrap_or(1.0), 0.0);
        } else if kind.ends_with("norm.weight") {
            tensor.trained &= self.norm_gain;
        } else if kind.ends_with(".bias") {
            tensor.rate = self.bias_rate;
        } else if kind.ends_with(".weight") && self.ntk_rates {
            // the optimizer multiplies weight decay by the rate: it stays as it is
            let root = (tensor.shape[1] as f64).sqrt();
            (tensor.rate, tensor.decay) = (1.0 / root, root);
        }
    }

    /// What a step does beside the optimizer.
    pub(crate) fn set_recipe(&self, options: &mut EngineOptions) {
        options.seed = self.seed;
        options.label_smoothing = self.label_smoothing;
        options.clip_norm = self.clip_norm;
        options.averaging = self.ema.map(|decay| Averaging { decay });
    }

    /// Chooses the learning rate for an optimizer whose usual one is another, unless `is_given` says that the user has.
    pub fn follow_optimizer(&mut self, is_given: impl Fn(&str) -> bool) {
        if self.optimizer == OptimizerKind::Sgd && !is_given("lr") {
            self.lr = SGD_RATE;
        }
    }
}

/// The learning rate of stochastic gradient descent, where none is given.
pub(super) const SGD_RATE: f64 = 0.05;

/// What changes the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OptimizerKind {
    /// Adam, with decoupled weight decay.
    #[default]
    Adam,
    /// Stochastic gradient descent with momentum, with decoupled weight decay.
    Sgd,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_settings_are_named() {
        let default = TrainConfig::default();
        default.check().unwrap();
        for (config, expected) in [
            (TrainConfig { hidden: vec![3, 0], ..default.clone() }, "hidden is 3,0;"),
            (TrainConfig { lr: -1.0, ..default.clone() }, "lr is -1;"),
            (TrainConfig { lr: f64::NAN, ..default.clone() }, "lr is NaN;"),
            (TrainConfig { lr: 1e39, ..default.clone() }, "lr is 1e39;"),
            (TrainConfig { lr: 1e37, beta1: 0.999, ..default.clone() }, "lr is 1e37;"),
            (TrainConfig { lr: 1e-60, ..default.clone() }, "lr is 1e-60;"),
            (TrainConfig { eps: 1e-50, ..default.clone() }, "eps is 1e-50;"),
            (TrainConfig { beta1: 1.0, ..default.clone() }, "beta1 is 1;"),
            (TrainConfig { beta2: -0.1, ..default.clone() }, "beta2 is -0.1;"),
            (TrainConfig { eps: 0.0, ..default.clone() }, "eps is 0;"),
            (TrainConfig { weight_decay: -1.0, ..default.clone() }, "weight_decay is -1;"),
            (TrainConfig { weight_decay: 1e9, ..default.clone() }, "weight_decay is 1e9;"),
            (TrainConfig { dropout: vec![0.5, 1.0], ..default.clone() }, "dropout is 0.5,1;"),
            (TrainConfig { input_dropout: -0.1, ..default.clone() }, "input_dropout is -0.1;"),
            (TrainConfig { noise: vec![f64::NAN], ..default.clone() }, "noise is NaN;"),
            (TrainConfig { input_noise: -1.0, ..default.clone() }, "input_noise is -1;"),
            (TrainConfig { momentum: 1.0, ..default.clone() }, "momentum is 1;"),
            (TrainConfig { clip_norm: Some(0.0), ..default.clone() }, "clip_norm is 0;"),
            (TrainConfig { ema: Some(1.0), ..default.clone() }, "ema is 1;"),
            (TrainConfig { label_smoothing: 1.0, ..default.clone() }, "label_smoothing is 1;"),
            (TrainConfig { batch_size: 0, ..default.clone() }, "batch_size is 0;"),
            (TrainConfig { epochs: 0, ..default.clone() }, "epochs is 0;"),
            (TrainConfig { patience: Some(0), ..default.clone() }, "patience is 0;"),
            (TrainConfig { threads: Some(0), ..default.clone() }, "threads is 0;"),
            (TrainConfig { threads: Some(1025), ..default.clone() }, "threads is 1025;"),
        ] {
            let message = config.check().unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn tensors_learn_as_the_settings_say() {
        let spec = Spec::new(9, &[4], &[], 3).unwrap().with_norm(Norm::Batch);
        let spec = spec.with_input_scales(true).with_members(2).unwrap();
        let layout = crate::model::Layout::new(&spec).unwrap();
        let found = |config: &TrainConfig, name: &str| {
            let mut tensor = layout.tensors().iter().find(|one| one.name == name).unwrap().clone();
            config.set_rates(&mut tensor);
            (tensor.trained, tensor.rate, tensor.decay)
        };
        let config = TrainConfig::default();
        for tensor in layout.tensors() {
            let decay = if tensor.name.ends_with(INPUT_SCALES) { 0.0 } else { 1.0 };
            assert_eq!(found(&config, &tensor.name), (tensor.trained, 1.0, decay));
        }
        let config = config.with(|c| {
            (c.input_scales, c.ntk_rates, c.bias_rate) = (Some(6.0), true, 0.1);
            c.norm_gain = false;
        });
        for (name, expected) in [
            ("members.0.inputs.scale", (true, 6.0, 0.0)),
            ("members.1.inputs.scale", (true, 6.0, 0.0)),
            ("members.0.layers.0.weight", (true, 1.0 / 3.0, 3.0)),
            ("members.1.layers.1.weight", (true, 0.5, 2.0)),
            ("members.1.layers.1.bias", (true, 0.1, 1.0)),
            ("members.0.layers.0.norm.weight", (false, 1.0, 1.0)),
            ("members.0.layers.0.norm.bias", (true, 0.1, 1.0)),
        ] {
            assert_eq!(found(&config, name), expected, "{name}");
        }
    }

    #[test]
    fn whatever_changes_the_result_can_be_swept() {
        let shared: Vec<&str> = TrainConfig::SETTINGS
            .iter()
            .filter(|setting| setting.sweep.separator().is_none())
            .map(|setting| setting.key)
            .collect();
        // how many threads a run has is the sweep's own affair: it follows from the sizes of the networks
        assert_eq!(shared, ["threads"]);
    }
}
