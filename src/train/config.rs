//! The settings of a training run.

use serde::{Deserialize, Serialize};

use super::CheckpointEvery;
use crate::data::Split;
use crate::engine::{Adam, MAX_THREADS, default_threads};
use crate::error::{Error, Result};
use crate::gemm::BackendChoice;
use crate::model::{Activation, Init};

/// Everything that decides what a run computes, but for the data itself.
///
/// The order of the fields is the order in `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// What [`crate::data::load`] was given. Carried along for whoever repeats the run; the trainer takes its data as
    /// an argument.
    pub data: String,
    /// Sizes of the hidden layers.
    pub hidden: Vec<usize>,
    /// An activation per hidden layer, or one for all, or none for the defaults.
    pub activations: Vec<Activation>,
    /// Initial weights.
    pub init: Init,
    /// Learning rate.
    pub lr: f64,
    /// Decay of Adam's first moment.
    pub beta1: f64,
    /// Decay of Adam's second moment.
    pub beta2: f64,
    /// Added to the root of Adam's second moment.
    pub eps: f64,
    /// Decoupled weight decay over all parameters.
    pub weight_decay: f64,
    /// Samples per step.
    pub batch_size: usize,
    /// Passes over the training part.
    pub epochs: usize,
    /// Stop after so many epochs without a better one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Training, validation and test parts.
    pub split: Split,
    /// Decides everything random.
    pub seed: u64,
    /// Whether every epoch sees the samples in a new order.
    pub shuffle: bool,
    /// Worker threads.
    pub threads: usize,
    /// Whether the result is not to depend on `threads`.
    pub deterministic: bool,
    /// Who computes the matrix products.
    pub backend: BackendChoice,
    /// The model file that the run starts from, carried along likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init_from: Option<String>,
    /// When the state is saved within an epoch; never, if it is `None`. It changes nothing in what is computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<CheckpointEvery>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        let Adam { lr, beta1, beta2, eps, weight_decay } = Adam::default();
        Self {
            data: "mnist".to_owned(),
            hidden: vec![512, 256, 128],
            activations: Vec::new(),
            init: Init::Auto,
            lr,
            beta1,
            beta2,
            eps,
            weight_decay,
            batch_size: 500,
            epochs: 20,
            patience: None,
            split: Split::Pooled,
            seed: 0,
            shuffle: true,
            threads: default_threads(),
            deterministic: false,
            backend: BackendChoice::Auto,
            init_from: None,
            checkpoint_every: None,
        }
    }
}

/// No system opens a longer path.
const LONGEST_PATH: usize = 4096;

impl TrainConfig {
    /// Refuses what cannot be meant; each message names the flag.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn check(&self) -> Result<()> {
        // training is in f32: what is 0 or infinite there cannot be meant
        let positive = |x: f64| x > 0.0 && (x as f32).is_normal();
        let decay = |x: f64| (0.0..1.0).contains(&x);
        let checks = [
            (
                self.data.len() > LONGEST_PATH,
                format!(
                    "data: a name of {} bytes; expected at most {LONGEST_PATH}",
                    self.data.len()
                ),
            ),
            (
                self.hidden.contains(&0),
                format!("--hidden {:?}: expected sizes of at least 1", self.hidden),
            ),
            (!decay(self.beta1), format!("--beta1 {}: expected 0 or more, below 1", self.beta1)),
            (
                !positive(self.lr) || !positive(self.lr / (1.0 - self.beta1)),
                format!("--lr {:e}: expected a positive number, from 1e-37 to 1e37", self.lr),
            ),
            (!decay(self.beta2), format!("--beta2 {}: expected 0 or more, below 1", self.beta2)),
            (
                !positive(self.eps),
                format!("--eps {:e}: expected a positive number, from 1e-37 to 1e38", self.eps),
            ),
            (
                !(self.weight_decay >= 0.0 && self.lr * self.weight_decay < 1.0),
                format!(
                    "--weight-decay {}: expected 0 or more, and below 1 when multiplied by --lr",
                    self.weight_decay
                ),
            ),
            (self.batch_size == 0, "--batch-size 0: expected at least 1".to_owned()),
            (self.epochs == 0, "--epochs 0: expected at least 1".to_owned()),
            (self.patience == Some(0), "--patience 0: expected at least 1".to_owned()),
            (
                !(1..=MAX_THREADS).contains(&self.threads),
                format!("--threads {}: expected 1 to {MAX_THREADS}", self.threads),
            ),
        ];
        match checks.into_iter().find(|(wrong, _)| *wrong) {
            Some((_, message)) => Err(Error::Usage(message)),
            None => Ok(()),
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
    fn impossible_settings_name_their_flag() {
        let default = TrainConfig::default();
        default.check().unwrap();
        for (config, flag) in [
            (TrainConfig { data: "x".repeat(5000), ..default.clone() }, "data: a name of 5000"),
            (TrainConfig { hidden: vec![3, 0], ..default.clone() }, "--hidden"),
            (TrainConfig { lr: -1.0, ..default.clone() }, "--lr"),
            (TrainConfig { lr: f64::NAN, ..default.clone() }, "--lr"),
            (TrainConfig { lr: 1e39, ..default.clone() }, "--lr"),
            (TrainConfig { lr: 1e-60, ..default.clone() }, "--lr 1e-60"),
            (TrainConfig { eps: 1e-50, ..default.clone() }, "--eps 1e-50"),
            (TrainConfig { beta1: 1.0, ..default.clone() }, "--beta1"),
            (TrainConfig { beta2: -0.1, ..default.clone() }, "--beta2"),
            (TrainConfig { eps: 0.0, ..default.clone() }, "--eps"),
            (TrainConfig { weight_decay: -1.0, ..default.clone() }, "--weight-decay"),
            (TrainConfig { weight_decay: 1e9, ..default.clone() }, "--weight-decay"),
            (TrainConfig { batch_size: 0, ..default.clone() }, "--batch-size 0"),
            (TrainConfig { epochs: 0, ..default.clone() }, "--epochs 0"),
            (TrainConfig { patience: Some(0), ..default.clone() }, "--patience"),
            (TrainConfig { threads: 0, ..default.clone() }, "--threads 0"),
            (TrainConfig { threads: 65, ..default.clone() }, "--threads 65"),
        ] {
            let message = config.check().unwrap_err().to_string();
            assert!(message.starts_with(flag), "{message}");
        }
    }
}
