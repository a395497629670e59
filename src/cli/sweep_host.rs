//! Keeps the files of the runs of a sweep or a cross-validation, and shows what happens.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use super::print_raw;
use super::signals::Signals;
use super::sweep_end::{add_test_values, add_values};
use crate::data::{Dataset, SourceData};
use crate::error::Result;
use crate::report::SweepTerminal;
use crate::store::{RunDir, SweepDir};
use crate::task::Metric;
use crate::train::{
    Divergence, EpochEnd, Observer, Opened, Progress, Request, RunResult, Status, SweepHost,
    SweepRun, Trainer, rank,
};

/// Keeps the runs' files, and shows what happens.
pub struct Host<'a> {
    pub runs: &'a [SweepRun],
    pub source: &'a SourceData,
    /// What ranks them.
    pub metric: Metric,
    pub signals: &'a Signals,
    pub directory: &'a SweepDir,
    pub terminal: Option<SweepTerminal<'a>>,
    pub json: bool,
    pub results: Mutex<Vec<RunResult>>,
    /// Whether there is anything new to write.
    pub trained: AtomicBool,
    /// Why standard output takes no more lines.
    pub failure: Mutex<Option<anyhow::Error>>,
}

impl Host<'_> {
    /// Writes a line, unless standard output has refused one.
    pub fn print(&self, event: &Value) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            *failure = print_raw(&event.to_string()).err();
        }
    }
}

impl<'a> SweepHost for &'a Host<'a> {
    type Observer = Watch<'a>;

    fn data(&self, run: &SweepRun) -> Result<Arc<Dataset>> {
        Ok(self.source.load(run.config.split, run.config.split_seed)?.0)
    }

    fn open(&self, number: usize, run: &SweepRun) -> Result<Opened<Watch<'a>>> {
        let (run_dir, state) = self.directory.open_run(run)?;
        if state.as_ref().is_none_or(|state| !state.is_finished()) {
            self.trained.store(true, Ordering::Relaxed);
            self.terminal.iter().for_each(|terminal| terminal.begins(number));
        }
        let terminal = self.terminal.as_ref();
        let signals = self.signals.clone();
        Ok(Opened { state, observer: Watch { run_dir, signals, terminal, number } })
    }

    fn ended(&self, result: RunResult) -> Result<()> {
        self.terminal.iter().for_each(|terminal| terminal.ended(&result));
        if self.json {
            let best = result.best();
            let mut event = json!({
                "event": "run",
                "run": self.runs[result.number].name,
                "status": result.status,
                "error": result.error,
                "best_epoch": best.map(|best| best.epoch),
                "epochs": result.history.len(),
                "val_loss": best.and_then(|best| best.val_loss).filter(|loss| loss.is_finite()),
                "seconds": result.seconds(),
            });
            add_values(&mut event, Some(&result), self.metric);
            if let Some(fold) = &self.runs[result.number].fold {
                event["fold"] = fold.number.into();
                add_test_values(&mut event, &result, self.metric);
            }
            self.print(&event);
        }
        if result.status == Status::Unfinished && result.history.is_empty() {
            return Ok(()); // it was stopped before it came to anything
        }
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.push(result);
        rank(&mut results, self.runs);
        match self.trained.load(Ordering::Relaxed) {
            true => self.directory.write_results(&results, self.runs),
            false => Ok(()), // the results on the disk are of this sweep, and more complete
        }
    }
}

/// Keeps and observes one run.
pub struct Watch<'a> {
    run_dir: RunDir,
    signals: Signals,
    terminal: Option<&'a SweepTerminal<'a>>,
    number: usize,
}

impl Observer for Watch<'_> {
    fn start(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        self.run_dir.start(trainer)
    }

    fn step(&mut self, epoch: usize, progress: Progress) {
        self.run_dir.step(epoch, progress);
        self.terminal.iter().for_each(|terminal| terminal.step(self.number, epoch, progress));
    }

    fn request(&mut self) -> Request {
        self.run_dir.request().max(self.signals.request())
    }

    fn save(&mut self, trainer: &Trainer<'_>, reason: Request) -> Result<()> {
        self.run_dir.save(trainer, reason)
    }

    fn diverged(&mut self, divergence: &Divergence) -> Result<()> {
        self.run_dir.diverged(divergence)
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> Result<()> {
        self.run_dir.epoch(end)?;
        self.terminal.iter().for_each(|terminal| terminal.epoch(self.number, end.record));
        Ok(())
    }
}
