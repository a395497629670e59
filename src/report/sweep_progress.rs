//! A sweep on the terminal: a bar for each run in training, one for the whole sweep with the leader, a line when a run is done.
//!
//! Where standard error is not a terminal, there are only the lines.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::format::{duration, grouped, percent, plural};
use super::say;
use crate::engine::Isa;
use crate::gemm::Backend;
use crate::train::{EpochRecord, RunResult, Status, SweepRun};

const HEADER: &str = "    run  validation  best epoch   seconds  settings";

/// Shows a sweep on standard error.
#[derive(Debug)]
pub struct SweepTerminal<'a> {
    runs: &'a [SweepRun],
    bars: MultiProgress,
    all: ProgressBar,
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: BTreeMap<usize, ProgressBar>,
    /// The epochs that this process has trained of each of them.
    epochs: BTreeMap<usize, usize>,
    ended: usize,
    /// The best validation accuracy so far, and the run that has it.
    leader: Option<(f64, usize)>,
    /// The work of the epochs that this process has trained, and that of the epochs that are left: of each, the parameters of its
    /// network.
    done: f64,
    left: f64,
}

impl<'a> SweepTerminal<'a> {
    /// Shows what is about to run.
    pub fn new(runs: &'a [SweepRun], data: &str, backend: Backend) -> Self {
        let bars = MultiProgress::new();
        let all = bars.add(ProgressBar::new(runs.len() as u64));
        if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar} {msg}") {
            all.set_style(style.progress_chars("━╸ "));
        }
        let epochs = runs.first().map_or(0, |run| run.config.epochs);
        say(&format!(
            "densely {}: {}, {}\n{data}: {} of at most {} each\n{HEADER}",
            env!("CARGO_PKG_VERSION"),
            backend.describe(),
            Isa::detect().name(),
            plural(runs.len(), "run"),
            plural(epochs, "epoch"),
        ));
        let work = |run: &SweepRun| run.parameters as f64 * run.config.epochs as f64;
        let state = State { left: runs.iter().map(work).sum(), ..State::default() };
        Self { runs, bars, all, start: Instant::now(), state: Mutex::new(state) }
    }

    fn with_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A run begins or resumes.
    pub fn begins(&self, number: usize) {
        let run = &self.runs[number];
        let bar = ProgressBar::new(run.config.epochs as u64).with_prefix(run.name.clone());
        let bar = self.bars.insert_before(&self.all, bar);
        if let Ok(style) = ProgressStyle::with_template("{prefix:32!} {bar:20} {msg}") {
            bar.set_style(style.progress_chars("━╸ "));
        }
        self.with_state(|state| {
            self.all.set_prefix(format!("{:>7}", format!("{}/{}", state.ended, self.runs.len())));
            self.all.tick(); // visible from the beginning
            state.running.insert(number, bar);
        });
    }

    /// An epoch of a run is over.
    pub fn epoch(&self, number: usize, record: &EpochRecord) {
        self.with_state(|state| {
            if let Some(bar) = state.running.get(&number) {
                bar.set_position(record.epoch as u64);
                bar.set_message(format!(
                    "{}/{}  val {}  {:.2} s",
                    record.epoch,
                    self.runs[number].config.epochs,
                    record.val_accuracy.map_or_else(|| "-".to_owned(), percent),
                    record.seconds
                ));
            }
            *state.epochs.entry(number).or_default() += 1;
            let work = self.runs[number].parameters as f64;
            state.done += work;
            state.left -= work;
            self.show(state);
        });
    }

    /// Brings the bar of the whole sweep up to date.
    fn show(&self, state: &State) {
        self.all.set_prefix(format!("{:>7}", format!("{}/{}", state.ended, self.runs.len())));
        self.all.set_position(state.ended as u64);
        let mut words = Vec::new();
        if let Some((accuracy, number)) = state.leader {
            words.push(format!("best {} {}", percent(accuracy), self.runs[number].name));
        }
        if state.done > 0.0 && state.left > 0.0 {
            let seconds = self.start.elapsed().as_secs_f64() * state.left / state.done;
            words.push(format!("at most {} left", duration(seconds)));
        }
        self.all.set_message(words.join("  "));
    }

    /// A run has ended.
    pub fn ended(&self, result: &RunResult) {
        let run = &self.runs[result.number];
        self.with_state(|state| {
            if let Some(bar) = state.running.remove(&result.number) {
                bar.finish_and_clear();
            }
            state.ended += 1;
            let accuracy = result.best().and_then(|best| best.val_accuracy);
            let best = state.leader.map_or(f64::NEG_INFINITY, |(best, _)| best);
            if let Some(accuracy) = accuracy.filter(|accuracy| *accuracy > best) {
                state.leader = Some((accuracy, result.number));
            }
            let line = row(result, &format!("{}/{}", state.ended, self.runs.len()), &run.name);
            if self.all.is_hidden() {
                say(&line);
            } else {
                self.all.println(line);
            }
            // the epochs that it needed no more, or that an earlier process had trained
            let skipped =
                run.config.epochs.saturating_sub(state.epochs.remove(&result.number).unwrap_or(0));
            state.left -= run.parameters as f64 * skipped as f64;
            self.show(state);
        });
    }

    /// Removes the bars.
    pub fn finish(&self) {
        self.all.finish_and_clear();
    }
}

/// A run that has ended as a row under [`HEADER`].
fn row(result: &RunResult, count: &str, name: &str) -> String {
    let outcome = match (result.status, &result.error) {
        (Status::Failed, error) => {
            return format!("{count:>7}  failed      {name}: {}", error.as_deref().unwrap_or("?"));
        }
        (Status::Diverged, _) => "  diverged",
        (Status::Done | Status::Unfinished, _) => "",
    };
    let accuracy = result.best().and_then(|best| best.val_accuracy);
    format!(
        "{count:>7}  {:>10}  {:>10}  {:>8.1}  {name}{outcome}",
        accuracy.map_or_else(|| "-".to_owned(), percent),
        format!("{}/{}", result.best_epoch, result.history.len()),
        result.seconds(),
    )
}

/// The ranking as a table for people: the first `shown` runs.
pub fn ranking(results: &[RunResult], runs: &[SweepRun], shown: usize) -> String {
    let mut text = " rank  validation      loss  best epoch  parameters       time  run".to_owned();
    for (i, result) in results.iter().take(shown).enumerate() {
        let (best, run) = (result.best(), &runs[result.number]);
        let number = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| format!("{x:.4}"));
        let status = match result.status {
            Status::Done => "",
            Status::Diverged => "  diverged",
            Status::Failed => "  failed",
            Status::Unfinished => "  unfinished",
        };
        text += &format!(
            "\n{:>5}  {:>10}  {:>8}  {:>10}  {:>10}  {:>9}  {}{status}",
            i + 1,
            best.and_then(|best| best.val_accuracy).map_or_else(|| "-".to_owned(), percent),
            number(best.and_then(|best| best.val_loss)),
            format!("{}/{}", result.best_epoch, result.history.len()),
            grouped(run.parameters as u64),
            duration(result.seconds()),
            run.name,
        );
    }
    if results.len() > shown {
        text += &format!("\n  and {} more", results.len() - shown);
    }
    text
}
