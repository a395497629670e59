//! What a run tells those who watch it.

use serde::{Deserialize, Serialize};

use super::Trainer;
use crate::engine::{Progress, Score};
use crate::error::Result;

/// The figures of one epoch. Losses are in nats, accuracies in 0..=1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counts from 1.
    pub epoch: usize,
    /// Sample-weighted mean over the batches, each before its own step.
    #[serde(with = "non_finite_is_null")]
    pub train_loss: f64,
    /// Likewise.
    pub train_accuracy: f64,
    /// Of the validation part behind the epoch; `None` if it is empty.
    #[serde(with = "non_finite_is_null_option")]
    pub val_loss: Option<f64>,
    /// Likewise.
    pub val_accuracy: Option<f64>,
    /// The training pass alone: shuffling, gathering, steps.
    pub seconds: f64,
    /// Training samples by `seconds`.
    #[serde(with = "non_finite_is_null")]
    pub samples_per_second: f64,
}

/// The end of an epoch.
#[derive(Debug)]
pub struct EpochEnd<'a> {
    /// Its figures.
    pub record: &'a EpochRecord,
    /// Whether it is the best one so far.
    pub is_best: bool,
    /// The trainer, ready for the next epoch.
    pub trainer: &'a Trainer<'a>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The epoch whose weights were kept: the best one, or the last one without a validation part.
    pub best_epoch: usize,
    /// The last epoch that was trained.
    pub last_epoch: usize,
    /// Validation accuracy of the epoch that was kept.
    pub val_accuracy: Option<f64>,
    /// Score of the kept weights on the test part; `None` if it is empty.
    pub test: Option<Score>,
    /// From the start of this process's part of the run to its end, evaluations and files included.
    pub seconds: f64,
}

/// Someone who watches a run. Every method does nothing unless it is written.
///
/// An error ends the run: an observer that writes files returns what the operating system said.
pub trait Observer {
    /// Before the first epoch of this process.
    fn start(&mut self, _trainer: &Trainer<'_>) -> Result<()> {
        Ok(())
    }

    /// Behind every step; called often, on the training thread.
    fn step(&mut self, _epoch: usize, _progress: Progress) {}

    /// Behind every epoch and its validation.
    fn epoch(&mut self, _end: &EpochEnd<'_>) -> Result<()> {
        Ok(())
    }

    /// Behind the test.
    fn done(&mut self, _outcome: &Outcome) -> Result<()> {
        Ok(())
    }
}

/// Nobody watches.
impl Observer for () {}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn start(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        (**self).start(trainer)
    }

    fn step(&mut self, epoch: usize, progress: Progress) {
        (**self).step(epoch, progress);
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> Result<()> {
        (**self).epoch(end)
    }

    fn done(&mut self, outcome: &Outcome) -> Result<()> {
        (**self).done(outcome)
    }
}

/// Several watch, in their order.
impl Observer for Vec<Box<dyn Observer + '_>> {
    fn start(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.start(trainer))
    }

    fn step(&mut self, epoch: usize, progress: Progress) {
        self.iter_mut().for_each(|observer| observer.step(epoch, progress));
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.epoch(end))
    }

    fn done(&mut self, outcome: &Outcome) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.done(outcome))
    }
}

/// JSON has no NaN and no infinity: they are written as null, and null is read as NaN.
mod non_finite_is_null {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(value).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
    }
}

/// The same for a figure that may be missing, which is null as well.
mod non_finite_is_null_option {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.filter(|value| value.is_finite()).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        Option::deserialize(deserializer)
    }
}
