//! Which run of several is the best.

use std::collections::HashMap;

use super::folds::{FoldScores, fold_scores};
use super::{EpochRecord, RunResult, SweepRun, TrainConfig};
use crate::error::{Error, Result};
use crate::task::{Loss, Metric};

/// Orders results from the best to the worst: by the runs' metric on the validation part, then validation loss, then fewer
/// parameters, then the order of the grid. A run without a finished epoch, or whose validation loss is not a number, comes last.
///
/// Where the runs have several metrics, none of them compares all: the one that is the default then ranks.
///
/// The runs of a cross-validation are ordered by what their combinations came to, as [`fold_scores`] orders them, then by fold.
pub fn rank(results: &mut [RunResult], runs: &[SweepRun]) {
    let metric = ranking_metric(results, runs);
    let folds = fold_scores(results, runs, metric);
    let place: HashMap<usize, usize> =
        folds.iter().zip(0..).map(|(scores, place)| (scores.combination, place)).collect();
    let place = |result: &RunResult| {
        let fold = runs[result.number].fold.as_ref()?;
        Some((place.get(&fold.combination).copied()?, fold.number))
    };
    let key = |result: &RunResult| {
        let best = result.best().filter(|_| result.is_ranked());
        let value = best.and_then(|best| best.value(metric)).unwrap_or(f64::NAN);
        (value, best.and_then(|best| best.val_loss).unwrap_or(f64::NAN))
    };
    results.sort_by(|a, b| {
        let ((value_a, loss_a), (value_b, loss_b)) = (key(a), key(b));
        let parameters = |result: &RunResult| runs[result.number].parameters;
        if let (Some(a), Some(b)) = (place(a), place(b)) {
            return a.cmp(&b);
        }
        metric
            .order(value_a, value_b)
            .then(Metric::LogLoss.order(loss_a, loss_b))
            .then(parameters(a).cmp(&parameters(b)))
            .then(a.number.cmp(&b.number))
    });
}

/// The rank of each of the results that [`rank`] has ordered, from 1; `None` for what has come to no result. The runs of a
/// combination of settings on several folds share one, as soon as all of them are there.
pub fn ranks(results: &[RunResult], runs: &[SweepRun]) -> Vec<Option<usize>> {
    let folds = fold_scores(results, runs, ranking_metric(results, runs));
    let complete = folds.iter().filter(|scores| scores.mean().is_some());
    let places: HashMap<usize, usize> =
        complete.zip(1..).map(|(scores, rank)| (scores.combination, rank)).collect();
    let rank = |(place, result): (usize, &RunResult)| match &runs[result.number].fold {
        Some(fold) => places.get(&fold.combination).copied(),
        None => result.is_ranked().then_some(place + 1),
    };
    results.iter().enumerate().map(rank).collect()
}

/// What ranks results: see [`shared_metric`].
pub fn ranking_metric(results: &[RunResult], runs: &[SweepRun]) -> Metric {
    let mut records = results.iter().flat_map(|result| &result.history);
    let is_regression = records.next().is_some_and(EpochRecord::is_regression);
    shared_metric(results.iter().map(|result| &runs[result.number]), is_regression)
}

/// The metric that all runs share, or else the default of their task; losses that differ are not compared.
pub fn shared_metric<'a>(
    runs: impl IntoIterator<Item = &'a SweepRun>,
    is_regression: bool,
) -> Metric {
    let default = Metric::default_for(is_regression);
    let mut runs = runs.into_iter().map(|run| &run.config);
    let Some(first) = runs.next() else { return default };
    let metric = first.metric_for(is_regression);
    let loss = |config: &TrainConfig| config.loss.or_else(|| Loss::default_for(is_regression));
    let is_shared = |config: &TrainConfig| {
        config.metric_for(is_regression) == metric
            && (metric != Metric::Loss || loss(config) == loss(first))
    };
    if runs.all(is_shared) { metric } else { default }
}

/// Several runs and their results, the best first.
#[derive(Debug)]
pub struct RankedRuns {
    runs: Vec<SweepRun>,
    results: Vec<RunResult>,
}

impl RankedRuns {
    /// Ranks results.
    ///
    /// # Errors
    /// If no run has a finished epoch, or a result is of no run.
    pub fn new(runs: Vec<SweepRun>, mut results: Vec<RunResult>) -> Result<Self> {
        if results.iter().any(|result| result.number >= runs.len()) {
            return Err(Error::usage("a result has no run; expected a number of the runs"));
        }
        if results.iter().all(|result| result.history.is_empty()) {
            return Err(Error::usage("no run there has a finished epoch; expected at least one"));
        }
        rank(&mut results, &runs);
        Ok(Self { runs, results })
    }

    /// The runs, by number.
    pub fn runs(&self) -> &[SweepRun] {
        &self.runs
    }

    /// The results, in the order of their ranks; there is at least one.
    pub fn results(&self) -> &[RunResult] {
        &self.results
    }

    /// What ranks them: the metric that all runs share, or else the default of their task.
    pub fn metric(&self) -> Metric {
        ranking_metric(&self.results, &self.runs)
    }

    /// What each combination of settings came to over its folds, the best first; empty without folds.
    pub fn fold_scores(&self) -> Vec<FoldScores> {
        fold_scores(&self.results, &self.runs, self.metric())
    }

    /// The ranks of the results: see [`ranks`].
    pub fn ranks(&self) -> Vec<Option<usize>> {
        ranks(&self.results, &self.runs)
    }

    /// The run of a result.
    pub fn run_of(&self, result: &RunResult) -> &SweepRun {
        &self.runs[result.number]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Choice;
    use crate::train::Status;

    fn result(number: usize, accuracy: Option<f64>, loss: f64) -> RunResult {
        let record = EpochRecord {
            epoch: 1,
            train_loss: 0.1,
            train_accuracy: Some(0.9),
            val_loss: Some(loss),
            val_accuracy: accuracy,
            ..EpochRecord::default()
        };
        RunResult {
            number,
            status: Status::Done,
            error: None,
            history: vec![record],
            best_epoch: 1,
            test: None,
            test_r2: None,
            test_metric: None,
        }
    }

    #[test]
    fn ties_are_broken_by_loss_then_size_then_order() {
        let sizes = [10, 20, 10, 5, 5, 5, 5];
        let runs = sizes
            .map(|parameters| SweepRun::new(String::new(), TrainConfig::default(), parameters));
        let failed = RunResult::failed(5, &Error::usage("no"));
        let mut results = vec![
            failed,
            result(4, None, 0.0),
            result(0, Some(0.9), 0.5),
            result(1, Some(0.9), 0.4),
            result(2, Some(0.9), 0.4),
            result(3, Some(0.95), 9.0),
            result(6, Some(0.9), f64::NAN),
        ];
        rank(&mut results, &runs);
        let order: Vec<usize> = results.iter().map(|result| result.number).collect();
        assert_eq!(order, [3, 2, 1, 0, 4, 5, 6]);
        let runs = runs.map(|mut run| {
            run.config.metric = Choice::Of(Metric::LogLoss);
            run
        });
        rank(&mut results, &runs);
        let order: Vec<usize> = results.iter().map(|result| result.number).collect();
        assert_eq!(order, [4, 2, 1, 0, 3, 5, 6]);
    }
}
