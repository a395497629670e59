//! The runs of a sweep and what they come to.

use serde::Serialize;

use super::{EpochRecord, TrainConfig, Trainer, TrainerState};
use crate::engine::Score;
use crate::error::Error;
use crate::task::Metric;

/// A run of a sweep.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SweepRun {
    /// Its number and what sets it apart: the name of its directory.
    pub name: String,
    /// What its directory was called by earlier versions.
    pub(crate) former_name: String,
    /// Its settings, resolved.
    pub config: TrainConfig,
    /// The number of its network's parameters.
    pub parameters: usize,
    /// Its place in a cross-validation, if it is part of one: it is then compared by its test part.
    pub fold: Option<Fold>,
}

impl SweepRun {
    /// A run with its settings and the number of its parameters.
    pub fn new(name: String, config: TrainConfig, parameters: usize) -> Self {
        Self { former_name: name.clone(), name, config, parameters, fold: None }
    }

    /// Its worker threads.
    pub fn threads(&self) -> usize {
        self.config.threads.unwrap_or(1)
    }
}

/// Where a run of a cross-validation belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fold {
    /// The fold that tests it, from 1.
    pub number: usize,
    /// How many folds there are.
    pub of: usize,
    /// The number of its settings, from 0: the runs of all folds share it.
    pub combination: usize,
    /// What sets those settings apart; empty where there is one combination.
    pub settings: String,
}

/// How a run ended.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All epochs, or until patience ran out.
    Done,
    /// Its numbers stopped being finite; the best epoch before that is kept.
    Diverged,
    /// It could not be trained; see [`RunResult::error`].
    Failed,
    /// It has not come to its end yet.
    Unfinished,
}

/// The result of a run.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct RunResult {
    pub(crate) number: usize,
    /// How it ended.
    pub status: Status,
    /// Why it failed, or where it diverged.
    pub error: Option<String>,
    /// The finished epochs.
    pub history: Vec<EpochRecord>,
    /// The epoch that was kept, from 1; 0 if there is none.
    pub best_epoch: usize,
    /// The score of the kept weights on the test part, where it was measured.
    pub test: Option<Score>,
    /// The coefficient of determination of the kept weights on the test part, where it was measured.
    pub test_r2: Option<f64>,
    /// The metric that chose the kept weights and its value on the test part, where it was measured.
    pub test_metric: Option<(Metric, f64)>,
}

impl RunResult {
    /// Its number in the grid, from 0.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The figures of the epoch that was kept.
    pub fn best(&self) -> Option<&EpochRecord> {
        self.best_epoch.checked_sub(1).and_then(|best| self.history.get(best))
    }

    /// Whether it can win: the validation loss of its kept epoch is a number.
    pub fn is_ranked(&self) -> bool {
        self.best().and_then(|best| best.val_loss).is_some_and(f64::is_finite)
    }

    /// The value of a metric on the validation part, of the epoch that was kept.
    pub fn value(&self, metric: Metric) -> Option<f64> {
        self.best().and_then(|best| best.value(metric))
    }

    /// The value of a metric on the test part, of the kept weights, where it was measured.
    pub fn test_value(&self, metric: Metric) -> Option<f64> {
        let measured = self.test_metric.filter(|&(measured, _)| measured == metric);
        match metric {
            Metric::R2 => self.test_r2,
            metric => self.test.and_then(|test| test.value(metric)),
        }
        .or(measured.map(|(_, value)| value))
    }

    /// Measures the kept weights on the test part: `test`, `test_r2` and `test_metric`.
    pub fn measure(&mut self, trainer: &mut Trainer<'_>) {
        (self.test, self.test_r2) = (trainer.test(), trainer.test_r2());
        self.test_metric = trainer.test_metric().map(|value| (trainer.metric(), value));
    }

    /// The time of all training passes.
    pub fn seconds(&self) -> f64 {
        self.history.iter().fold(0.0, |sum, record| sum + record.seconds)
    }

    /// The result of a run whose state is this.
    pub fn of(number: usize, state: &TrainerState) -> Self {
        Self {
            number,
            status: match state {
                state if state.diverged.is_some() => Status::Diverged,
                state if state.is_finished() => Status::Done,
                _ => Status::Unfinished,
            },
            error: state.diverged.map(|divergence| divergence.to_string()),
            history: state.history.clone(),
            best_epoch: state.best_epoch,
            test: None,
            test_r2: None,
            test_metric: None,
        }
    }

    /// The result of a run that cannot be trained, or read.
    pub fn failed(number: usize, error: &Error) -> Self {
        Self {
            number,
            status: Status::Failed,
            error: Some(error.to_string()),
            history: Vec::new(),
            best_epoch: 0,
            test: None,
            test_r2: None,
            test_metric: None,
        }
    }
}
