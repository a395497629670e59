//! Many runs over one data set, some of them at a time, and their ranking.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use serde::Serialize;

use super::{EpochRecord, Observer, TrainConfig, Trainer, TrainerState};
use crate::data::Dataset;
use crate::engine::Score;
use crate::error::{Error, Result};
use crate::task::Metric;

/// A run of a sweep.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SweepRun {
    /// Its number and what sets it apart: the name of its directory.
    pub name: String,
    /// Its settings, resolved.
    pub config: TrainConfig,
    /// The number of its network's parameters.
    pub parameters: usize,
}

impl SweepRun {
    /// A run with its settings and the number of its parameters.
    pub fn new(name: String, config: TrainConfig, parameters: usize) -> Self {
        Self { name, config, parameters }
    }

    /// Its worker threads.
    pub fn threads(&self) -> usize {
        self.config.threads.unwrap_or(1)
    }
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
        }
    }
}

/// Orders results from the best to the worst: by the runs' metric on the validation part, then validation loss, then fewer
/// parameters, then the order of the grid. A run without a finished epoch, or whose validation loss is not a number, comes last.
///
/// Where the runs have several metrics, none of them compares all: the one that is the default then ranks.
pub fn rank(results: &mut [RunResult], runs: &[SweepRun]) {
    let metric = ranking_metric(results, runs);
    let key = |result: &RunResult| {
        let best = result.best().filter(|_| result.is_ranked());
        let value = best.and_then(|best| best.value(metric)).unwrap_or(f64::NAN);
        (value, best.and_then(|best| best.val_loss).unwrap_or(f64::NAN))
    };
    results.sort_by(|a, b| {
        let ((value_a, loss_a), (value_b, loss_b)) = (key(a), key(b));
        let parameters = |result: &RunResult| runs[result.number].parameters;
        metric
            .order(value_a, value_b)
            .then(Metric::LogLoss.order(loss_a, loss_b))
            .then(parameters(a).cmp(&parameters(b)))
            .then(a.number.cmp(&b.number))
    });
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
    let is_shared = |config: &TrainConfig| {
        config.metric_for(is_regression) == metric
            && (metric != Metric::Loss || config.loss == first.loss)
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

    /// The run of a result.
    pub fn run_of(&self, result: &RunResult) -> &SweepRun {
        &self.runs[result.number]
    }
}

/// Keeps the files of a sweep's runs and observes them. Called from several threads at once.
pub trait SweepHost: Sync {
    /// What keeps and observes a run.
    type Observer: Observer;

    /// A run is about to begin, or to resume from the state that it reached earlier. A finished one is only read.
    ///
    /// # Errors
    /// What is wrong with the run's files; the run then counts as failed.
    fn open(&self, number: usize, run: &SweepRun) -> Result<Opened<Self::Observer>>;

    /// A run has ended. One that an observer stopped is [`Status::Unfinished`], and the sweep ends after it.
    ///
    /// # Errors
    /// An error ends the sweep.
    fn ended(&self, result: RunResult) -> Result<()>;
}

/// A run's earlier state, and its observer.
pub struct Opened<O> {
    /// `None` before the first checkpoint.
    pub state: Option<TrainerState>,
    /// Keeps and observes it.
    pub observer: O,
}

/// Trains all runs: those with fewer threads first, of each kind as many at a time as `jobs` says for its threads.
///
/// No result depends on how many are trained at a time. None is tested.
///
/// # Errors
/// What [`SweepHost::ended`] returns, and [`Error::Stopped`] if a run was stopped; the errors of a run are part of its result.
pub fn sweep<H: SweepHost>(
    runs: &[SweepRun],
    data: &Dataset,
    jobs: impl Fn(usize) -> usize,
    host: &H,
) -> Result<()> {
    let mut kinds: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (number, run) in runs.iter().enumerate() {
        kinds.entry(run.threads()).or_default().push(number);
    }
    for (threads, numbers) in kinds {
        let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let failure = Mutex::new(None);
        let work = || {
            while !stop.load(Relaxed)
                && let Some(&number) = numbers.get(next.fetch_add(1, Relaxed))
            {
                // even a defect in one run does not stop the others
                let run = AssertUnwindSafe(|| train(number, &runs[number], data, host));
                let result = catch_unwind(run).unwrap_or_else(|_| {
                    Err(Error::invalid(
                        &*runs[number].name,
                        "the training panicked: a defect of densely",
                    ))
                });
                let result = result.unwrap_or_else(|error| RunResult::failed(number, &error));
                let stopped = match result.status {
                    Status::Unfinished => Err(Error::Stopped),
                    _ => Ok(()),
                };
                if let Err(error) = host.ended(result).and(stopped) {
                    stop.store(true, Relaxed);
                    if let Ok(mut failure) = failure.lock() {
                        failure.get_or_insert(error);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..jobs(threads).min(numbers.len()) {
                scope.spawn(work);
            }
            work();
        });
        if let Ok(Some(error)) = failure.into_inner() {
            return Err(error);
        }
    }
    Ok(())
}

/// One run, from the state that it reached earlier.
fn train<H: SweepHost>(
    number: usize,
    run: &SweepRun,
    data: &Dataset,
    host: &H,
) -> Result<RunResult> {
    let Opened { state, mut observer } = host.open(number, run)?;
    let mut trainer = match state {
        Some(state) if state.is_finished() => return Ok(RunResult::of(number, &state)),
        Some(state) => Trainer::resume(state, data)?,
        None => Trainer::new(run.config.clone(), data)?,
    };
    match trainer.train(&mut observer) {
        Ok(()) | Err(Error::Stopped) => {}
        Err(error) => return Err(error),
    }
    Ok(RunResult::of(number, trainer.state()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Choice;

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
        }
    }

    #[test]
    fn ties_are_broken_by_loss_then_size_then_order() {
        let sizes = [10, 20, 10, 5, 5, 5, 5];
        let runs = sizes.map(|parameters| SweepRun {
            name: String::new(),
            config: TrainConfig::default(),
            parameters,
        });
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
