//! A sweep on the terminal: a bar for each run in training, one for the whole sweep with the leader, a line when a run is done.
//!
//! Where standard error is not a terminal, there are only the lines.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use console::measure_text_width;

use super::format::{duration, grouped, plural};
use super::live::{Live, bar};
use super::progress::REDRAW;
use super::run_row::{NAME, named, status_word, validation_head};
use super::say;
use super::style::{Paint, Stream, Text, cut};
use super::table::{Column, Layout};
use crate::engine::Isa;
use crate::gemm::Backend;
use crate::task::Metric;
use crate::train::{EpochRecord, Progress, RunResult, Status, SweepRun};

/// The runs that have ended, with a metric of this name; their names follow.
const fn columns_of(metric: &'static str) -> [Column; 4] {
    [
        Column::right("run", 0, 7, 0),
        Column::right(metric, 2, 10, 0),
        Column::right("best epoch", 2, 10, 1),
        Column::right("seconds", 2, 8, 2),
    ]
}

/// The columns where a metric ranks.
fn columns(metric: Metric) -> &'static [Column] {
    match metric {
        Metric::Accuracy => const { &columns_of(validation_head(Metric::Accuracy)) },
        Metric::LogLoss => const { &columns_of(validation_head(Metric::LogLoss)) },
        Metric::MacroF1 => const { &columns_of(validation_head(Metric::MacroF1)) },
        Metric::Auc => const { &columns_of(validation_head(Metric::Auc)) },
        Metric::Rmse => const { &columns_of(validation_head(Metric::Rmse)) },
        Metric::Mae => const { &columns_of(validation_head(Metric::Mae)) },
        Metric::R2 => const { &columns_of(validation_head(Metric::R2)) },
        Metric::Loss => const { &columns_of(validation_head(Metric::Loss)) },
    }
}

/// What lies ahead of a sweep.
#[derive(Debug)]
pub struct Plan {
    /// The epochs that each run has left, at most.
    pub epochs: Vec<usize>,
    /// The estimated seconds of an epoch of each run, where there is an estimate.
    pub epoch_seconds: Option<Vec<f64>>,
    /// The estimated seconds of all of them.
    pub seconds: Option<f64>,
}

/// Shows a sweep on standard error.
#[derive(Debug)]
pub struct SweepTerminal<'a> {
    runs: &'a [SweepRun],
    /// What ranks them.
    metric: Metric,
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    live: Live,
    next_draw: Instant,
    running: BTreeMap<usize, Running>,
    /// The epochs that each run has left, and the work of one of them: its seconds, or the parameters of its network.
    epochs: Vec<usize>,
    work: Vec<f64>,
    ended: usize,
    /// The best value of the metric so far, and the run that has it.
    leader: Option<(f64, usize)>,
    /// The work that this process has done.
    done: f64,
}

/// A run in training.
#[derive(Debug, Default)]
struct Running {
    /// Of its last epoch.
    epoch: usize,
    value: Option<f64>,
    seconds: Option<f64>,
    /// The share of the epoch that is going on, and the share with which this process began it.
    share: f64,
    first_share: Option<f64>,
}

impl<'a> SweepTerminal<'a> {
    /// Shows what is about to run and is ranked by `metric`, and afterwards bars if they are wanted.
    pub fn new(
        runs: &'a [SweepRun],
        data: &str,
        metric: Metric,
        backend: Backend,
        plan: Plan,
        bars_are_wanted: bool,
    ) -> Self {
        let text = format!(
            "densely {}: {}, {}\n{data}: {}",
            env!("CARGO_PKG_VERSION"),
            backend.describe(),
            Isa::detect().name(),
            announcement(runs, &plan),
        );
        say(Text::from(text).wrapped(Stream::Err.width(), 2));
        let parameters = || runs.iter().map(|run| run.parameters as f64).collect();
        let state = State {
            live: Live::new(bars_are_wanted),
            next_draw: Instant::now(),
            running: BTreeMap::new(),
            epochs: plan.epochs,
            work: plan.epoch_seconds.unwrap_or_else(parameters),
            ended: 0,
            leader: None,
            done: 0.0,
        };
        let terminal = Self { runs, metric, start: Instant::now(), state: Mutex::new(state) };
        terminal.with_state(|state| drop(state.columns(metric)));
        terminal
    }

    fn with_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A run begins or resumes.
    pub fn begins(&self, number: usize) {
        self.with_state(|state| {
            state.running.insert(number, Running::default());
            self.draw(state);
        });
    }

    /// A step of a run is over.
    pub fn step(&self, number: usize, epoch: usize, progress: Progress) {
        self.with_state(|state| {
            let now = Instant::now();
            if state.live.is_hidden() || now < state.next_draw {
                return;
            }
            if let Some(running) = state.running.get_mut(&number) {
                running.epoch = epoch - 1;
                running.share = progress.score.samples as f64 / progress.total as f64;
                running.first_share.get_or_insert(running.share);
            }
            self.draw(state);
        });
    }

    /// An epoch of a run is over.
    pub fn epoch(&self, number: usize, record: &EpochRecord) {
        self.with_state(|state| {
            if let Some(running) = state.running.get_mut(&number) {
                *running = Running {
                    epoch: record.epoch,
                    value: record.value(self.metric),
                    seconds: Some(record.seconds),
                    share: 0.0,
                    first_share: Some(0.0),
                };
            }
            state.epochs[number] = state.epochs[number].saturating_sub(1);
            state.done += state.work[number];
            self.draw(state);
        });
    }

    /// Draws the bars: one for each run in training, and one for the whole sweep.
    fn draw(&self, state: &mut State) {
        state.next_draw = Instant::now() + REDRAW;
        let seconds = self.start.elapsed().as_secs_f64();
        let left = state.left(seconds);
        let State { live, running, ended, leader, .. } = state;
        live.draw(|width| {
            let mut lines: Vec<Text> =
                running.iter().map(|(&number, run)| self.bar_of(number, run, width)).collect();
            let share = *ended as f64 / self.runs.len() as f64;
            let mut parts = Vec::new();
            if let Some((value, number)) = *leader {
                let name = cut(&self.runs[number].name, name_width(width));
                parts.push((1, format!("best {}", self.metric.text(value))));
                parts.push((2, name));
            }
            parts.extend(left.map(|left| (0, format!("at most {} left", duration(left)))));
            let prefix = format!("{:>7}", format!("{ended}/{}", self.runs.len()));
            lines.push(bar(&prefix, share, &parts, width));
            lines
        });
    }

    fn bar_of(&self, number: usize, running: &Running, width: usize) -> Text {
        let (run, columns) = (&self.runs[number], name_width(width));
        let epochs = run.config.epochs;
        let name = cut(&run.name, columns);
        let names = self.runs.iter().map(|run| measure_text_width(&run.name));
        let longest = names.max().unwrap_or(0).min(columns);
        let blanks = " ".repeat(longest.saturating_sub(measure_text_width(&name)));
        let mut parts = vec![(0, format!("{}/{epochs}", running.epoch))];
        parts.extend(running.value.map(|value| (1, format!("val {}", self.metric.text(value)))));
        parts.extend(running.seconds.map(|seconds| (2, format!("{seconds:.2} s"))));
        let share = (running.epoch as f64 + running.share) / epochs as f64;
        bar(&format!("{name}{blanks}"), share, &parts, width)
    }

    /// A run has ended, or was stopped.
    pub fn ended(&self, result: &RunResult) {
        let run = &self.runs[result.number];
        self.with_state(|state| {
            state.running.remove(&result.number);
            let is_over = result.status != Status::Unfinished;
            let best = state.leader.map_or(f64::NAN, |(best, _)| best);
            if let Some(value) = result.value(self.metric)
                && self.metric.is_better(value, best)
            {
                state.leader = Some((value, result.number));
            }
            if is_over {
                state.ended += 1;
                // the epochs that it needed no more, or that an earlier process had trained
                state.epochs[result.number] = 0;
            }
            if is_over || !result.history.is_empty() {
                let layout = state.columns(self.metric);
                let count = format!("{}/{}", state.ended, self.runs.len());
                let value = result.value(self.metric).map(|value| self.metric.text(value));
                let row = row(&layout, Stream::Err.width(), result, value, (&count, &run.name));
                state.live.print(&row);
            }
            self.draw(state);
        });
    }

    /// Removes the bars.
    pub fn finish(&self) {
        self.with_state(|state| state.live.clear());
    }
}

impl State {
    /// The seconds that are left at most; `None` as long as nothing is known.
    fn left(&self, seconds: f64) -> Option<f64> {
        let going_on = |(&number, running): (&usize, &Running)| {
            (running.share - running.first_share.unwrap_or(running.share)) * self.work[number]
        };
        let begun: f64 = self.running.iter().map(going_on).sum();
        let all: f64 = self.epochs.iter().zip(&self.work).map(|(&n, work)| n as f64 * work).sum();
        let (done, left) = (self.done + begun, all - begun);
        (done > 0.0 && left > 0.0 && seconds > 1.0).then(|| seconds * left / done)
    }

    /// The columns that fit now; writes the header over those that were not there before.
    fn columns(&mut self, metric: Metric) -> Layout<'static> {
        let layout = Layout::new(columns(metric), before_names(Stream::Err.width()));
        self.live.print_head(&layout, "  settings");
        layout
    }
}

/// `45 runs, at most 9,000 epochs, about 52 min 10 s`
fn announcement(runs: &[SweepRun], plan: &Plan) -> String {
    let all: usize = runs.iter().map(|run| run.config.epochs).sum();
    let left: usize = plan.epochs.iter().sum();
    let mut text = format!("{}, at most {}", plural(runs.len(), "run"), plural(all, "epoch"));
    if left < all {
        text += &format!("; {} of them left", grouped(left as u64));
    }
    if let Some(seconds) = plan.seconds.filter(|_| left > 0) {
        let patience = runs.iter().any(|run| run.config.patience.is_some());
        let most = if patience { "at most " } else { "" };
        text += &format!(", {most}about {}", duration(seconds));
    }
    text
}

/// The columns of a bar that the name of a run may take.
fn name_width(width: usize) -> usize {
    (width * 2 / 5).clamp(8, 32)
}

/// What is left for the columns before names.
fn before_names(width: Option<usize>) -> Option<usize> {
    width.map(|width| width.saturating_sub(NAME + 2))
}

/// A run that has ended as a row, with its value of the metric.
fn row(
    layout: &Layout<'_>,
    width: Option<usize>,
    result: &RunResult,
    value: Option<String>,
    (count, name): (&str, &str),
) -> Text {
    if result.status == Status::Failed {
        let why = result.error.as_deref().unwrap_or("?");
        let text = Text::from(format!("{count:>7}  "))
            .with(Paint::Error, "failed")
            .with(Paint::Plain, format!("      {name}: {why}"));
        return text.wrapped(width, 9);
    }
    let cells = layout.row([
        count.to_owned(),
        value.unwrap_or_else(|| "-".to_owned()),
        format!("{}/{}", result.best_epoch, result.history.len()),
        format!("{:.1}", result.seconds()),
    ]);
    Text::from(cells + &named(layout, width, name, status_word(result.status)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::train::TrainConfig;

    pub fn runs() -> Vec<SweepRun> {
        let run = |name: &str| {
            let config = TrainConfig::default().with(|config| config.epochs = 200);
            SweepRun::new(name.to_owned(), config, 1_863_690)
        };
        vec![run("01_784-784-784_lr0.01_b100"), run("02_784-784-784_lr0.01_b500")]
    }

    #[test]
    fn rows_fit_with_the_word_after_the_name() {
        let mut result = RunResult::failed(0, &crate::Error::usage("no reason"));
        for status in [Status::Done, Status::Diverged, Status::Unfinished] {
            result.status = status;
            for width in 36..110 {
                let width = Some(width);
                let layout = Layout::new(columns(Metric::Accuracy), before_names(width));
                let line =
                    row(&layout, width, &result, None, ("1/45", "01_784-784-784_lr1e30_b100"))
                        .plain();
                assert!(Some(measure_text_width(&line)) <= width, "{width:?}: {line}");
            }
        }
        result.status = Status::Failed;
        let layout = Layout::new(columns(Metric::Accuracy), before_names(Some(40)));
        let lines =
            row(&layout, Some(40), &result, None, ("1/45", "01_784-784-784_lr1e30_b100")).plain();
        assert!(lines.lines().all(|line| measure_text_width(line) <= 40), "{lines}");
    }

    #[test]
    fn a_sweep_is_announced_with_its_epochs_and_an_estimate() {
        let runs = runs();
        let plan = |epochs: [usize; 2], seconds| Plan {
            epochs: epochs.to_vec(),
            epoch_seconds: None,
            seconds,
        };
        let text = announcement(&runs, &plan([200, 200], Some(4200.0)));
        assert_eq!(text, "2 runs, at most 400 epochs, about 1 h 10 min");
        let text = announcement(&runs, &plan([0, 150], Some(100.0)));
        assert_eq!(text, "2 runs, at most 400 epochs; 150 of them left, about 1 min 40 s");
        assert_eq!(
            announcement(&runs, &plan([0, 0], Some(0.0))),
            "2 runs, at most 400 epochs; 0 of them left"
        );
        assert_eq!(announcement(&runs, &plan([200, 200], None)), "2 runs, at most 400 epochs");
    }
}
