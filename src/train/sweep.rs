//! Trains many runs, some of them at a time.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use super::{Observer, RunResult, Status, SweepRun, Trainer, TrainerState};
use crate::data::Dataset;
use crate::error::{Error, Result};

/// Keeps the files of a sweep's runs and observes them. Called from several threads at once.
pub trait SweepHost: Sync {
    /// What keeps and observes a run.
    type Observer: Observer;

    /// The data of a run: of a table, what was prepared for the run's split.
    ///
    /// # Errors
    /// What is wrong with the data; the run then counts as failed.
    fn data(&self, run: &SweepRun) -> Result<Arc<Dataset>>;

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
/// No result depends on how many are trained at a time. None is tested, except those of a cross-validation.
///
/// # Errors
/// What [`SweepHost::ended`] returns, and [`Error::Stopped`] if a run was stopped; the errors of a run are part of its result.
pub fn sweep<H: SweepHost>(
    runs: &[SweepRun],
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
                let run = AssertUnwindSafe(|| train(number, &runs[number], host));
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
fn train<H: SweepHost>(number: usize, run: &SweepRun, host: &H) -> Result<RunResult> {
    let Opened { state, mut observer } = host.open(number, run)?;
    if let Some(state) = state.as_ref().filter(|state| state.is_finished() && run.fold.is_none()) {
        return Ok(RunResult::of(number, state));
    }
    let data = host.data(run)?;
    let mut trainer = match state {
        Some(state) => Trainer::resume(state, &data)?,
        None => Trainer::new(run.config.clone(), &data)?,
    };
    if !trainer.state().is_finished() {
        match trainer.train(&mut observer) {
            Ok(()) | Err(Error::Stopped) => {}
            Err(error) => return Err(error),
        }
    }
    let mut result = RunResult::of(number, trainer.state());
    if run.fold.is_some() && result.status != Status::Unfinished && result.best_epoch > 0 {
        result.measure(&mut trainer);
    }
    Ok(result)
}
