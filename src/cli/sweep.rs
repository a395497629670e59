//! `densely sweep`.

use std::io::{IsTerminal as _, stdout};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Value, json};

use super::asked::Asked;
use super::flags::{FileArgs, OutputOptions, SettingFlags, SweepOptions};
use super::signals::Signals;
use super::sweep_end::{Ended, add_values};
use super::{
    load, make_absolute, print_next, print_note, print_raw, print_result, print_text, say_command,
};
use crate::data::Dataset;
use crate::engine::Score;
use crate::error::{Error, Result};
use crate::gemm::Backend;
use crate::report::{Plan, Stream, SweepTerminal, Text};
use crate::store::names::{GRID, RESULTS_CSV};
use crate::store::{RunDir, SweepConfig, SweepDir};
use crate::task::Metric;
use crate::text::shell;
use crate::train::{
    Divergence, EpochEnd, Observer, Opened, Progress, RankedRuns, Request, RunResult, Status,
    SweepHost, SweepRun, TrainConfig, Trainer, epoch_seconds, rank, shared_metric, sweep,
    total_seconds,
};

/// Train every combination of settings and rank them
///
/// A setting may have several values, separated by a comma, or by a semicolon where one value may contain commas. Each run
/// has a directory of its own, as if `densely train` had made it. The ranking is by the metric on the validation part:
/// accuracy, or RMSE where the targets are numbers. Only the winner is measured on the test part, because a choice by that
/// part would make its figures worthless. Stopped or killed, the same command resumes it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    settings: SettingFlags<true>,

    #[command(flatten)]
    file: FileArgs,
}

const EXAMPLES: &str = "\
Examples:
  densely sweep --patience 10
  densely sweep --hidden '128,64,28;64,32' --activations relu --lr 0.01,0.001 --epochs 10
  densely sweep --hidden 256 --lr 0.003 --batch-size 100 --seed 0,1,2,3,4 --test-all
  densely sweep /usr/share/datasets/fashion-mnist --config sweep.toml --jobs 2";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let start = Instant::now();
    let asked = Asked::new(&args.settings, &args.file)?;
    let (output, options): (OutputOptions, SweepOptions) = (asked.get()?, asked.get()?);
    let mut config = config(&asked)?;
    let follows_data = config.options.source().may_be_table()?;
    if args.file.print_config && !follows_data {
        return print_result(config.to_toml()?.trim_end());
    }
    let key = config.key();
    let first = config.grid.first()?;
    let data = load(&config.options, &first, output.quiet || args.file.print_config)?;
    if data.prepare().is_some() {
        config.grid.base_mut().follow(&data, |key| asked.has(key))?;
    }
    if args.file.print_config {
        return print_result(config.to_toml()?.trim_end());
    }
    config.grid.resolve("split", |config| {
        config.split = config.split.resolved(&data);
        Ok(())
    })?;
    let runs = runs(&config, &data, output.quiet)?;
    let metric = shared_metric(&runs, data.is_regression());
    if !output.quiet && runs.iter().any(|run| run.config.split != runs[0].config.split) {
        print_note(
            "runs with different splits are validated on different samples, which the ranking ignores",
        );
    }
    let path = match &output.out {
        Some(path) => PathBuf::from(path),
        None => default_directory(&key),
    };
    let directory = SweepDir::open(&path, &config, &data)?;
    let signals = Signals::watch()?;
    // JSON lines on the same terminal would run into bars
    let bars = !(output.json && stdout().is_terminal());
    let terminal = |backend| {
        let plan = plan(&runs, &data, &directory, |threads| config.grid.jobs_for(threads));
        SweepTerminal::new(&runs, data.name(), metric, backend, plan, bars)
    };
    let backend = Backend::of(config.grid.base().backend)?;
    let host = Host {
        runs: &runs,
        metric,
        signals: &signals,
        directory: &directory,
        terminal: (!output.quiet).then(|| terminal(backend)),
        json: output.json,
        results: Mutex::default(),
        trained: AtomicBool::new(false),
        failure: Mutex::default(),
    };
    let sweep_dir = path.display().to_string();
    if output.json {
        let (runs, data) = (runs.len(), data.name());
        host.print(&json!({
            "event": "start", "runs": runs, "data": data, "sweep_dir": sweep_dir,
        }));
    }
    let swept = sweep(&runs, &data, |threads| config.grid.jobs_for(threads), &&host);
    let Host { results, terminal, failure, .. } = host;
    // a full disk behind standard output does not end the runs
    let mut host_output = match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    };
    terminal.iter().for_each(SweepTerminal::finish);
    if let (Err(Error::Stopped), Some(interrupted)) = (&swept, signals.received()) {
        if output.json {
            host_output = host_output
                .and(print_raw(&json!({ "event": "stopped", "sweep_dir": sweep_dir }).to_string()));
        }
        let command = format!(
            "densely sweep --config {} --out {}{}",
            shell(&path.join(GRID)),
            shell(&path),
            more_flags(&config, &output, &options)
        );
        let saved = format!("{interrupted}; the states of all runs are saved, continue with:");
        say_command(&saved, &command);
        host_output?;
        return Err(interrupted.into());
    }
    swept?;
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    rank(&mut results, &runs);
    let tested = if options.test_all { results.len() } else { 1 };
    for result in results.iter_mut().take(tested).filter(|result| result.is_ranked()) {
        (result.test, result.test_r2) = test(&directory, &runs[result.number], &data)?;
    }
    directory.write_results(&results, &runs)?;
    let ended = Ended {
        metric,
        results: &results,
        runs: &runs,
        path: &path,
        seconds: start.elapsed().as_secs_f64(),
    };
    let printed = match output.json {
        true => print_raw(&ended.json().to_string()),
        false => print_text(&ended.text(Stream::Out.width())),
    };
    host_output = host_output.and(printed);
    let winner = ended.winner().map(|winner| directory.run_path(&runs[winner.number]));
    let (failures, has_winner, count) = (ended.failures(), winner.is_some(), runs.len());
    if !output.no_report && has_winner {
        signals.stop_before_report("sweep", &path)?;
        let ranked = RankedRuns::new(runs, results)?;
        let page =
            super::report::of_sweep(&directory, &path, &config.options.data, &data, &ranked)?;
        if !output.json {
            host_output = host_output.and(print_text(&Text::from("report: ").path(&page)));
        }
    }
    if let Some(winner) = winner.filter(|_| !(output.quiet || output.json)) {
        let scores = match metric.is_regression() {
            true => "the winner: errors per target",
            false => "the winner: scores per class",
        };
        print_next(&[
            (format!("densely eval {}", shell(&winner)), scores),
            (format!("densely runs {}", shell(&path)), "all runs"),
        ]);
    }
    match (failures, has_winner) {
        (_, false) => {
            anyhow::bail!("none of the {count} runs has come to a result; {RESULTS_CSV} says why")
        }
        (Some(failures), true) => anyhow::bail!("{failures}"),
        (None, true) => host_output,
    }
}

/// What lies ahead: the epochs that are left, and an estimate of their time.
fn plan(
    runs: &[SweepRun],
    data: &Dataset,
    directory: &SweepDir,
    jobs: impl Fn(usize) -> usize,
) -> Plan {
    let epochs = directory.epochs_left(runs);
    let left = runs.iter().zip(&epochs).filter(|(_, left)| **left > 0);
    let epoch_seconds = match left.count() {
        0 => None,
        _ => epoch_seconds(runs, data, &jobs),
    };
    let total = |seconds: &Vec<f64>| total_seconds(runs, &epochs, seconds, &jobs);
    Plan { seconds: epoch_seconds.as_ref().map(total), epochs, epoch_seconds }
}

/// The flags that `sweep.toml` does not keep.
fn more_flags(config: &SweepConfig, output: &OutputOptions, options: &SweepOptions) -> String {
    let mut flags = String::new();
    if let Some(every) = config.options.checkpoint_every {
        let text = crate::train::setting::SettingValue::text(&every);
        flags += &format!(" --checkpoint-every {}", shell(Path::new(&text)));
    }
    let switches = [
        (options.test_all, " --test-all"),
        (output.no_report, " --no-report"),
        (output.json, " --json"),
        (output.quiet, " --quiet"),
    ];
    flags.extend(switches.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag));
    flags
}

/// What was asked for, checked as far as that is possible without the data.
fn config(asked: &Asked) -> Result<SweepConfig> {
    let mut config = SweepConfig::default();
    asked.apply(|table| config.take_from(table))?;
    make_absolute(&mut config.options)?;
    config.grid.resolve("backend", |config| {
        config.backend = Backend::of(config.backend)?.choice();
        Ok(())
    })?;
    config.grid.runs(1, 1).map_err(|error| asked.locate(error))?;
    Ok(config)
}

/// The runs on the data. Each has a validation part, which ranks it.
fn runs(config: &SweepConfig, data: &Dataset, quiet: bool) -> Result<Vec<SweepRun>> {
    let runs = config.grid.runs(data.n_features(), data.n_outputs())?;
    let (mut splits, mut aims) = (Vec::new(), Vec::new());
    for config in runs.iter().map(|run| &run.config) {
        let TrainConfig { split, split_seed, loss, metric, .. } = config;
        if !aims.contains(&(*loss, *metric)) {
            aims.push((*loss, *metric));
            config.task(data, &config.parts(data)?)?.metric(*metric)?;
        }
        if splits.contains(&(*split, *split_seed)) {
            continue;
        }
        splits.push((*split, *split_seed));
        data.require_split(*split, *split_seed)?;
        let parts = split.apply(data, *split_seed)?;
        if parts.val.is_empty() {
            return Err(Error::usage(format!(
                "split `{split}`: a sweep ranks by the validation part; expected a split that has one"
            )));
        }
        if !quiet {
            parts.lacking(data).iter().for_each(|note| print_note(note));
        }
    }
    Ok(runs)
}

/// The score of the model that a run has kept on the test part, and of a regression its coefficient of determination.
fn test(
    directory: &SweepDir,
    run: &SweepRun,
    data: &Dataset,
) -> Result<(Option<Score>, Option<f64>)> {
    let Some(state) = directory.read_run(run)?.state else { return Ok((None, None)) };
    let mut trainer = Trainer::resume(state, data)?;
    Ok((trainer.test(), trainer.test_r2()))
}

/// Keeps the runs' files, and shows what happens.
struct Host<'a> {
    runs: &'a [SweepRun],
    /// What ranks them.
    metric: Metric,
    signals: &'a Signals,
    directory: &'a SweepDir,
    terminal: Option<SweepTerminal<'a>>,
    json: bool,
    results: Mutex<Vec<RunResult>>,
    /// Whether there is anything new to write.
    trained: AtomicBool,
    /// Why standard output takes no more lines.
    failure: Mutex<Option<anyhow::Error>>,
}

impl Host<'_> {
    fn print(&self, event: &Value) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            *failure = print_raw(&event.to_string()).err();
        }
    }
}

impl<'a> SweepHost for &'a Host<'a> {
    type Observer = Watch<'a>;

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
struct Watch<'a> {
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

/// `runs/sweep-<hash>`: the same command resumes in the same directory.
fn default_directory(key: &str) -> PathBuf {
    let hash = xxhash_rust::xxh3::xxh3_64(key.as_bytes());
    PathBuf::from("runs").join(format!("sweep-{:08x}", hash as u32))
}
