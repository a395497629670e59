//! The events of a run, and the trait of their observers.

use serde::{Deserialize, Serialize};

use super::{Divergence, Trainer};
use crate::engine::Score;
use crate::error::Result;

/// The figures of one epoch. Losses are in nats, accuracies in 0..=1.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Counts from 1.
    pub epoch: usize,
    /// Sample-weighted mean over the batches, each before its own step.
    #[serde(with = "non_finite_is_null")]
    pub train_loss: f64,
    /// Likewise.
    pub train_accuracy: f64,
    /// Of the validation part after the epoch; `None` if it is empty.
    #[serde(with = "non_finite_is_null_option")]
    pub val_loss: Option<f64>,
    /// Likewise.
    pub val_accuracy: Option<f64>,
    /// The training pass alone: shuffling, gathering, steps.
    pub seconds: f64,
    /// Training samples divided by `seconds`.
    #[serde(with = "non_finite_is_null")]
    pub samples_per_second: f64,
}

impl EpochRecord {
    /// Whether its figures can come from training: shares within 0..=1, a finite time.
    pub(super) fn is_plausible(&self) -> bool {
        let is_share = |x: f64| (0.0..=1.0).contains(&x);
        is_share(self.train_accuracy)
            && self.val_accuracy.is_none_or(is_share)
            && is_plausible_time(self.seconds)
    }

    /// Whether the epoch beats another one: a lower validation 0-1 loss, or an equal one with a lower loss. Without a
    /// validation part, later is better.
    pub fn is_better_than(&self, best: &Self) -> bool {
        let (Some(new_accuracy), Some(best_accuracy)) = (self.val_accuracy, best.val_accuracy)
        else {
            return true;
        };
        let comparable =
            |loss: Option<f64>| loss.filter(|loss| !loss.is_nan()).unwrap_or(f64::INFINITY);
        let loss_is_lower = comparable(self.val_loss) < comparable(best.val_loss);
        new_accuracy > best_accuracy || (new_accuracy == best_accuracy && loss_is_lower)
    }
}

/// Whether a time can have been measured.
pub(super) fn is_plausible_time(seconds: f64) -> bool {
    (0.0..=1e12).contains(&seconds)
}

/// How far an epoch has come.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Of the samples that were trained on so far, each before its own step.
    pub score: Score,
    /// Samples of the whole epoch.
    pub total: u64,
}

/// What an observer asks of the trainer after a step. Of several observers' requests, the greatest in this order counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// Continue.
    #[default]
    Continue,
    /// Offer the state to the observers, by [`Observer::save`], and continue.
    Save,
    /// Offer the state to the observers, and stop with [`crate::Error::Stopped`].
    Stop,
}

/// The end of an epoch.
#[non_exhaustive]
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
#[non_exhaustive]
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
    /// Why the run ended before its last epoch, if its numbers stopped being finite.
    pub diverged: Option<Divergence>,
    /// From the start of this process's part of the run to its end, evaluations and files included.
    pub seconds: f64,
}

/// An observer of a run. The methods that it leaves out do nothing.
///
/// An error ends the run: an observer that writes files returns what the operating system said.
pub trait Observer {
    /// Before the first epoch of this process.
    fn start(&mut self, _trainer: &Trainer<'_>) -> Result<()> {
        Ok(())
    }

    /// After every step; called often, on the training thread.
    fn step(&mut self, _epoch: usize, _progress: Progress) {}

    /// Called after every step and between two epochs; often, on the training thread.
    fn request(&mut self) -> Request {
        Request::Continue
    }

    /// An observer asked to save: the state lies between two steps, perhaps within an epoch.
    fn save(&mut self, _trainer: &Trainer<'_>, _reason: Request) -> Result<()> {
        Ok(())
    }

    /// After every epoch and its validation.
    fn epoch(&mut self, _end: &EpochEnd<'_>) -> Result<()> {
        Ok(())
    }

    /// A step produced a number that is not finite, and the run is over. The best epoch before is kept; the current weights
    /// are useless.
    fn diverged(&mut self, _divergence: &Divergence) -> Result<()> {
        Ok(())
    }

    /// After the test.
    fn done(&mut self, _outcome: &Outcome) -> Result<()> {
        Ok(())
    }
}

/// No observer.
impl Observer for () {}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn start(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        (**self).start(trainer)
    }

    fn step(&mut self, epoch: usize, progress: Progress) {
        (**self).step(epoch, progress);
    }

    fn request(&mut self) -> Request {
        (**self).request()
    }

    fn save(&mut self, trainer: &Trainer<'_>, reason: Request) -> Result<()> {
        (**self).save(trainer, reason)
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> Result<()> {
        (**self).epoch(end)
    }

    fn diverged(&mut self, divergence: &Divergence) -> Result<()> {
        (**self).diverged(divergence)
    }

    fn done(&mut self, outcome: &Outcome) -> Result<()> {
        (**self).done(outcome)
    }
}

/// Several observers, called in their order.
impl Observer for Vec<Box<dyn Observer + '_>> {
    fn start(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.start(trainer))
    }

    fn step(&mut self, epoch: usize, progress: Progress) {
        self.iter_mut().for_each(|observer| observer.step(epoch, progress));
    }

    fn request(&mut self) -> Request {
        self.iter_mut().map(|observer| observer.request()).max().unwrap_or_default()
    }

    fn save(&mut self, trainer: &Trainer<'_>, reason: Request) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.save(trainer, reason))
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.epoch(end))
    }

    fn diverged(&mut self, divergence: &Divergence) -> Result<()> {
        self.iter_mut().try_for_each(|observer| observer.diverged(divergence))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record(val_accuracy: Option<f64>, val_loss: Option<f64>) -> EpochRecord {
        EpochRecord {
            epoch: 1,
            train_loss: 0.0,
            train_accuracy: 0.0,
            val_loss,
            val_accuracy,
            seconds: 1.0,
            samples_per_second: 1.0,
        }
    }

    #[test]
    fn the_best_epoch_has_the_lowest_0_1_loss_then_the_lowest_loss() {
        let best = record(Some(0.9), Some(0.5));
        for (accuracy, loss, better) in [
            (0.91, 0.9, true),
            (0.89, 0.1, false),
            (0.9, 0.4, true),
            (0.9, 0.5, false),
            (0.9, f64::NAN, false),
        ] {
            assert_eq!(record(Some(accuracy), Some(loss)).is_better_than(&best), better);
        }
        let diverged = record(Some(0.9), Some(f64::NAN));
        assert!(best.is_better_than(&diverged));
        assert!(!diverged.is_better_than(&diverged));
        assert!(record(None, None).is_better_than(&record(None, None)));
    }
}
