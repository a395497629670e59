//! The events of a run, and the trait of their observers.

use serde::Serialize;

use super::{Divergence, EpochRecord, Trainer};
use crate::engine::Score;
use crate::error::Result;
use crate::task::Metric;

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

/// The errors of one target, in its own units.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetErrors {
    /// The target's name.
    pub target: String,
    /// The root mean squared error; `None` if it is not finite.
    pub rmse: Option<f64>,
    /// The mean absolute error; `None` if it is not finite.
    pub mae: Option<f64>,
    /// The coefficient of determination; `None` if the target is constant.
    pub r2: Option<f64>,
}

/// How a run ended.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The epoch whose weights were kept: the best one, or the last one without a validation part.
    pub best_epoch: usize,
    /// The last epoch that was trained.
    pub last_epoch: usize,
    /// The metric that chose it; whether it is one of a regression tells which figures apply.
    pub metric: Metric,
    /// Validation accuracy of the epoch that was kept; `None` for a regression.
    pub val_accuracy: Option<f64>,
    /// Root mean squared error on the validation part, of the epoch that was kept, in the targets' units; `None` for classes.
    pub val_rmse: Option<f64>,
    /// The value of the metric on the validation part, of the epoch that was kept; `None` without a validation part.
    pub val_metric: Option<f64>,
    /// Score of the kept weights on the test part; `None` if it is empty.
    pub test: Option<Score>,
    /// The coefficient of determination of the kept weights on the test part; `None` for classes, or if the part is empty.
    pub test_r2: Option<f64>,
    /// The value of the metric on the test part, of the kept weights; `None` if it is empty.
    pub test_metric: Option<f64>,
    /// The errors of each target on the test part, where there are several: their units may differ.
    pub test_targets: Vec<TargetErrors>,
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
