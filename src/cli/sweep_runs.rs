//! Trains the runs of a sweep or a cross-validation, and shows how they come along.

use std::io::{IsTerminal as _, stdout};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use super::asked::Asked;
use super::flags::OutputOptions;
use super::no_effect::note_settings_without_effect;
use super::signals::Signals;
use super::sweep_host::Host;
use super::{make_absolute, print_note, print_raw, print_result, say_command};
use crate::data::{Dataset, Parts, SourceData, Split};
use crate::error::{Error, Result};
use crate::gemm::Backend;
use crate::report::{Plan, SweepTerminal};
use crate::store::names::GRID;
use crate::store::{SweepConfig, SweepDir};
use crate::task::Metric;
use crate::text::{first_ones, plural, shell};
use crate::train::setting::SettingValue as _;
use crate::train::{
    RunResult, SweepRun, TrainConfig, epoch_seconds, rank, shared_metric, sweep, total_seconds,
};

/// What a command trains, and what it is called.
pub struct Command<'a> {
    /// `sweep` or `cv`.
    pub name: &'static str,
    pub asked: &'a Asked,
    /// What was asked for, checked as far as that is possible without the data.
    pub config: SweepConfig,
    pub output: OutputOptions,
    /// Whether only the configuration is to be shown.
    pub print_config: bool,
    /// Flags that the printed command repeats.
    pub flags: String,
}

/// Runs that have all come to their end.
pub struct Finished {
    pub config: SweepConfig,
    pub source: SourceData,
    pub runs: Vec<SweepRun>,
    /// The best first.
    pub results: Vec<RunResult>,
    /// What ranks them.
    pub metric: Metric,
    pub directory: SweepDir,
    pub path: PathBuf,
    pub signals: Signals,
    /// Whether standard output took everything; a full disk does not end the runs.
    pub printed: anyhow::Result<()>,
}

impl Command<'_> {
    /// Trains all runs; `None` if only the configuration was to be shown.
    pub fn train(self) -> anyhow::Result<Option<Finished>> {
        let Self { name, asked, mut config, output, print_config, flags } = self;
        config.grid.follow_optimizer(|key| asked.has(key));
        let follows_data = config.options.source().may_be_table()?;
        if print_config && !follows_data {
            print_result(&asked.shown(&config.to_toml()?))?;
            return Ok(None);
        }
        let key = config.key();
        let has_folds = config.grid.folds.folds.is_some();
        let first = config.grid.first()?;
        let source = config.options.source();
        if has_folds && let Some(file) = source.valid.as_ref().or(source.test.as_ref()) {
            return Err(Error::usage(format!(
                "{file} is a part of its own (--valid, --test), beside folds, which validate and test; expected DATA alone"
            ))
            .into());
        }
        let source = source.open()?;
        if let Some(folds) = config.grid.folds.folds.filter(|&folds| folds > source.n_samples()) {
            let n = source.n_samples();
            let expected = format!("at most {n}, as there are {}", plural(n, "sample"));
            return Err(Error::argument("folds", folds.to_string(), expected).into());
        }
        let load = |run: &TrainConfig| source.load(run.split, run.split_seed);
        let (data, notices) = load(&first)?;
        if !(output.quiet || print_config) {
            notices.iter().for_each(|notice| print_note(notice));
        }
        asked.adapt(config.grid.base_mut(), &data, |_| false)?;
        if data.prepare().is_some() {
            config.grid.follow(&data, |key| asked.has(key))?;
        }
        if print_config {
            print_result(&asked.shown(&config.to_toml()?))?;
            return Ok(None);
        }
        if !has_folds {
            config.grid.resolve("split", |config| {
                config.split = config.split.resolved(&data);
                Ok(())
            })?;
        }
        let mut runs =
            runs(&config, &data, load, output.quiet).map_err(|error| asked.locate(error))?;
        if !output.quiet {
            let configs: Vec<&TrainConfig> = runs.iter().map(|run| &run.config).collect();
            note_settings_without_effect(asked, &configs);
        }
        let metric = shared_metric(&runs, data.is_regression());
        if !(output.quiet || has_folds)
            && runs.iter().any(|run| run.config.split != runs[0].config.split)
        {
            print_note(
                "runs with different splits are validated on different samples, which the ranking ignores",
            );
        }
        let path = match &output.out {
            Some(path) => PathBuf::from(path),
            None => default_directory(name, &key),
        };
        let directory = SweepDir::open(&path, &config, &data)?;
        directory.keep_names(&mut runs);
        let signals = Signals::watch()?;
        // JSON lines on the same terminal would run into bars
        let bars = !(output.json && stdout().is_terminal());
        let terminal = |backend| {
            let plan = plan(&runs, &data, &directory, |threads| config.grid.jobs_for(threads));
            SweepTerminal::new(&runs, data.name(), metric, backend, plan, bars)
        };
        let backend = Backend::of(runs[0].config.backend)?;
        let host = Host {
            runs: &runs,
            source: &source,
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
            let mut event = json!({
                "event": "start", "runs": runs.len(), "data": data.name(), "sweep_dir": sweep_dir,
            });
            if let Some(folds) = config.grid.folds.folds {
                event["folds"] = folds.into();
            }
            host.print(&event);
        }
        // of a table, every fold has data of its own, and the first would stay in memory to the end
        drop(data);
        let swept = sweep(&runs, |threads| config.grid.jobs_for(threads), &&host);
        let Host { results, terminal, failure, .. } = host;
        let mut printed = match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        };
        terminal.iter().for_each(SweepTerminal::finish);
        if let (Err(Error::Stopped), Some(interrupted)) = (&swept, signals.received()) {
            if output.json {
                let event = json!({ "event": "stopped", "sweep_dir": sweep_dir });
                printed = printed.and(print_raw(&event.to_string()));
            }
            let command = format!(
                "densely {name} --config {} --out {}{}{flags}",
                shell(&path.join(GRID)),
                shell(&path),
                more_flags(&config, &output)
            );
            let saved = format!("{interrupted}; the states of all runs are saved, continue with:");
            say_command(&saved, &command);
            printed?;
            return Err(interrupted.into());
        }
        swept?;
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        rank(&mut results, &runs);
        drop(terminal);
        Ok(Some(Finished {
            config,
            source,
            runs,
            results,
            metric,
            directory,
            path,
            signals,
            printed,
        }))
    }
}

/// Checks what was asked for as far as that is possible without the data.
pub fn checked(mut config: SweepConfig, asked: &Asked) -> Result<SweepConfig> {
    asked.apply(|table| config.take_from(table))?;
    make_absolute(&mut config.options)?;
    let varies = config.grid.varies_in("backend");
    config.grid.resolve("backend", |config| {
        let backend = Backend::of(config.backend)?;
        // alone, `auto` is what it is for the network of each run; beside others it is the one of this CPU, so that no run is there twice
        if varies {
            config.backend = backend.choice();
        }
        Ok(())
    })?;
    config.grid.runs(1, 1).map_err(|error| asked.locate(error))?;
    Ok(config)
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
fn more_flags(config: &SweepConfig, output: &OutputOptions) -> String {
    let mut flags = String::new();
    if let Some(every) = config.options.checkpoint_every {
        flags += &format!(" --checkpoint-every {}", shell(Path::new(&every.text())));
    }
    let switches =
        [(output.no_report, " --no-report"), (output.json, " --json"), (output.quiet, " --quiet")];
    flags.extend(switches.into_iter().filter(|(on, _)| *on).map(|(_, flag)| flag));
    flags
}

/// The runs on the data of the first one. Each has a validation part, which chooses its best epoch.
fn runs(
    config: &SweepConfig,
    data: &Dataset,
    load: impl Fn(&TrainConfig) -> Result<(Arc<Dataset>, Vec<String>)>,
    quiet: bool,
) -> Result<Vec<SweepRun>> {
    let runs = config.grid.runs(data.n_features(), data.n_outputs())?;
    let (mut splits, mut aims): (Vec<(Split, u64)>, Vec<_>) = (Vec::new(), Vec::new());
    for SweepRun { config, fold, .. } in &runs {
        config.check_for(data)?;
        let TrainConfig { split, split_seed, loss, metric, .. } = config;
        let has_new_aim = !aims.contains(&(*loss, *metric));
        // folds differ in their samples alone: the first one stands for all
        let is_first = fold.as_ref().is_none_or(|fold| fold.number == 1);
        let has_new_split = is_first && !splits.contains(&(*split, *split_seed));
        if !(has_new_aim || has_new_split) {
            continue;
        }
        let data = load(config)?.0;
        let parts = split.apply(&data, *split_seed)?;
        if has_new_aim {
            aims.push((*loss, *metric));
            config.task(&data, &parts)?.metric(*metric)?;
        }
        if !has_new_split {
            continue;
        }
        splits.push((*split, *split_seed));
        if parts.val.is_empty() {
            return Err(Error::usage(format!(
                "split `{split}`: the validation part, which chooses epochs, is empty; expected more samples, or another split"
            )));
        }
        if !quiet {
            let n = parts.train.len() + parts.val.len() + parts.test.len();
            if fold.is_some() && n < data.len() {
                let left_out = plural(data.len() - n, "sample");
                print_note(&format!("the folds leave out the test file, {left_out}"));
            }
            let notes = match fold {
                None => parts.lacking(&data),
                Some(fold) => rare_classes(&data, &parts, fold.of).into_iter().collect(),
            };
            notes.iter().for_each(|note| print_note(note));
        }
    }
    Ok(runs)
}

/// Names the classes with fewer samples than there are folds: some folds cannot test them, and where a class has one sample alone,
/// the network that is tested on it has never seen it. `parts` are those of any fold.
fn rare_classes(data: &Dataset, parts: &Parts, folds: usize) -> Option<String> {
    let mut counts = vec![0usize; data.n_classes()];
    let rows = [&parts.train, &parts.val, &parts.test].into_iter().flatten();
    rows.filter_map(|&row| data.labels().get(row as usize)).for_each(|&c| counts[c as usize] += 1);
    let rare: Vec<String> = (data.classes().iter().zip(counts))
        .filter(|&(_, count)| count < folds)
        .map(|(class, count)| format!("{class} ({count})"))
        .collect();
    (!rare.is_empty()).then(|| {
        format!(
            "fewer samples than the {folds} folds, not all of which can test them: the classes {}",
            first_ones(&rare)
        )
    })
}

/// `runs/sweep-<hash>`: the same command resumes in the same directory.
fn default_directory(name: &str, key: &str) -> PathBuf {
    let hash = xxhash_rust::xxh3::xxh3_64(key.as_bytes());
    PathBuf::from("runs").join(format!("{name}-{:08x}", hash as u32))
}
