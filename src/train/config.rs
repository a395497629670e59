//! The settings that decide what a training computes.

use super::setting::{Configuration, Sweep, settings};
use crate::data::{Dataset, Parts, Split};
use crate::engine::{Adam, MAX_THREADS};
use crate::error::{Error, Result};
use crate::gemm::BackendChoice;
use crate::model::{Activation, Init};
use crate::task::{Choice, Loss, Metric, Task};

/// The headings under which help lists settings.
pub mod group {
    /// Where data is, and what its columns are for.
    pub const DATA: &str = "Data";
    /// Sizes, activations, initial weights.
    pub const NETWORK: &str = "Network";
    /// Adam's constants, the batch.
    pub const OPTIMIZER: &str = "Optimizer (Adam)";
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
        /// Initial weights; auto is He, LeCun or Glorot by activation
        init: Init = Init::Auto, {
            value_name: "INIT", group: NETWORK, sweep: Sweep::Commas, run_name: Some(""),
        }
        /// Leave the first N layers as they are, with random weights or those of --init-from; the others learn faster
        freeze: Option<usize> = None, {
            value_name: "N", group: NETWORK, sweep: Sweep::Commas, default: Some("0"),
        }
        /// Adam's learning rate
        lr: f64 = Adam::default().lr, {
            value_name: "X", group: OPTIMIZER, sweep: Sweep::Commas, run_name: Some("lr"),
            check: |c| is_positive(c.lr) && (!(0.0..1.0).contains(&c.beta1) || is_positive(c.lr / (1.0 - c.beta1))),
            expected: "a positive number, from 1e-37 to 1e37",
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
        /// Stop after N epochs without a better one
        patience: Option<usize> = None, {
            value_name: "N", group: RUN, sweep: Sweep::Commas, default: Some("none"),
            check: |c| c.patience != Some(0), expected: "at least 1",
        }
        /// What training minimises: cross-entropy for classes; mse, mae, huber, poisson (counts and rates) or quantile:Q (such as
        /// quantile:0.9) for numbers
        loss: Choice<Loss> = Choice::Auto, {
            value_name: "LOSS", group: RUN, sweep: Sweep::Commas, run_name: Some(""),
            default: Some("auto: cross-entropy for classes, mse for numbers"),
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

/// More folds than this are taken for a mistake.
const MAX_FOLDS: usize = 1000;

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

    /// The optimizer's part.
    pub fn adam(&self) -> Adam {
        Adam {
            lr: self.lr,
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            weight_decay: self.weight_decay,
        }
    }
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
