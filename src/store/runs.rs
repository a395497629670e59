//! Finds runs: the one that a path names, the latest one, and all those in a directory.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

use super::metrics::read_metrics;
use super::names::{BEST, CHECKPOINT, CONFIG, GRID, METRICS, RESULTS};
use super::sweep_rows::ended_rows;
use super::{RunConfig, RunDir, SweepDir};
use crate::error::{Error, Result};
use crate::files;
use crate::task::Metric;
use crate::train::{EpochRecord, shared_metric};

/// Where runs are by default.
pub const RUNS: &str = "runs";

/// The word for the run that was trained last.
pub const LATEST: &str = "latest";

/// The directory that a path names: `latest` is the run in `runs/` that was trained last, unless there is a file of that name.
///
/// # Errors
/// If there is no run.
pub fn run_path(path: &Path) -> Result<PathBuf> {
    if path.as_os_str() != OsStr::new(LATEST) || path.symlink_metadata().is_ok() {
        return Ok(path.to_owned());
    }
    let runs = Path::new(RUNS);
    let entries = match runs.is_dir() {
        true => entries(runs)?,
        false => Vec::new(),
    };
    let latest = entries
        .into_iter()
        .filter(|path| RunDir::is_one(path))
        .max_by_key(|path| last_trained(path));
    latest.ok_or_else(|| {
        Error::usage(format!(
            "`{LATEST}`: there is no run in {RUNS}/; expected a path, or one run there"
        ))
    })
}

/// The model file that a path names: the file itself, or the best model of the run in a directory.
///
/// # Errors
/// If there is no run, or it has not kept a model yet.
pub fn model_path(path: &Path) -> Result<PathBuf> {
    let path = run_path(path)?;
    if !path.is_dir() {
        return Ok(path);
    }
    let model = path.join(BEST);
    if model.is_file() {
        return Ok(model);
    }
    let problem = match (RunDir::is_one(&path), SweepDir::is_one(&path)) {
        (true, _) => why_no_model(&path)?,
        (_, true) => {
            "found a sweep, expected a model, or the directory of one of its runs".to_owned()
        }
        _ => "expected a model file or the directory of a run, found another directory".to_owned(),
    };
    Err(Error::invalid_file(&path, problem))
}

/// Why the directory of a run holds no model, and what to do.
fn why_no_model(path: &Path) -> Result<String> {
    let state = RunDir::read(path)?.state;
    Ok(match state.map(|state| (state.epoch(), state.diverged())) {
        Some((1.., _)) => {
            format!("its {BEST} is missing; `densely train --resume` writes it anew")
        }
        Some((0, Some(divergence))) => {
            format!("the run has no {BEST}, because {divergence}; start a new run")
        }
        _ => format!("the run has no {BEST} yet; continue it with `densely train --resume`"),
    })
}

/// The settings of the run whose directory a model lies in; `None` if it lies elsewhere.
///
/// # Errors
/// If the settings cannot be read.
pub fn config_beside(model: &Path) -> Result<Option<RunConfig>> {
    let file = model.with_file_name(CONFIG);
    match file.symlink_metadata().is_ok() {
        true => super::run_dir::read_config(&file).map(Some),
        false => Ok(None),
    }
}

/// What is in a directory of a run or a sweep, as far as it can be told without reading its checkpoint.
#[derive(Debug)]
#[non_exhaustive]
pub struct Listed {
    /// Where it is.
    pub path: PathBuf,
    /// When it was trained last.
    pub changed: SystemTime,
    /// What it is.
    pub kind: ListedKind,
}

/// A run or a sweep in a list.
#[derive(Debug)]
#[non_exhaustive]
pub enum ListedKind {
    /// A run.
    Run {
        /// Its settings.
        config: Box<RunConfig>,
        /// The figures of its finished epochs.
        history: Vec<EpochRecord>,
        /// What it came to: the contents of its `results.json`.
        results: Option<Value>,
    },
    /// A sweep.
    Sweep {
        /// Where its data comes from.
        data: String,
        /// All its runs.
        runs: usize,
        /// How many of them have begun.
        begun: usize,
        /// How many have come to their end.
        ended: usize,
        /// What ranks its runs, and the best value of it on the validation part; none of a cross-validation.
        best: Option<(Metric, f64)>,
        /// What ranks the combinations of a cross-validation, and the best mean of it over the folds.
        mean: Option<(Metric, f64)>,
    },
    /// Its files cannot be read.
    Unreadable(Error),
}

/// The runs and sweeps in a directory, or the directory itself if it is a run; the latest first.
///
/// # Errors
/// If the directory cannot be read.
pub fn list(directory: &Path) -> Result<Vec<Listed>> {
    let paths = match RunDir::is_one(directory) {
        true => vec![directory.to_owned()],
        false => entries(directory)?,
    };
    let mut listed: Vec<Listed> = paths.into_iter().filter_map(read).collect();
    listed.sort_by(|a, b| b.changed.cmp(&a.changed).then_with(|| b.path.cmp(&a.path)));
    Ok(listed)
}

fn read(path: PathBuf) -> Option<Listed> {
    let changed = last_trained(&path);
    if path.join(GRID).is_file() {
        let kind = read_sweep(&path).unwrap_or_else(ListedKind::Unreadable);
        return Some(Listed { path, changed, kind });
    }
    if !RunDir::is_one(&path) {
        return None;
    }
    let read = || -> Result<ListedKind> {
        let config = Box::new(super::run_dir::read_config(&path.join(CONFIG))?);
        let history = read_metrics(&path)?;
        let results = files::read_text(&path.join(RESULTS)).ok();
        let results = results.and_then(|text| serde_json::from_str(&text).ok());
        let results = results.or_else(|| results_of_sweep(&path));
        Ok(ListedKind::Run { config, history, results })
    };
    let kind = read().unwrap_or_else(ListedKind::Unreadable);
    Some(Listed { path, changed, kind })
}

/// What the results of a sweep say, and the files of the runs that have not come to their end.
fn read_sweep(path: &Path) -> Result<ListedKind> {
    let (_, config) = SweepDir::at(path)?;
    let runs = config.grid.runs(1, 1)?.len();
    let ended = ended_rows(path);
    let names: HashSet<&str> = ended.iter().filter_map(|row| row["run"].as_str()).collect();
    let mut histories = Vec::new();
    for run in entries(path)?.into_iter().filter(|run| RunDir::is_one(run)) {
        let name = run.file_name().map(OsStr::to_string_lossy).unwrap_or_default();
        // the figures of those that have ended are in the results
        histories.push(match names.contains(&name[..]) {
            true => Vec::new(),
            false => read_metrics(&run)?,
        });
    }
    let records = || histories.iter().flatten();
    let is_regression = ended.iter().any(|row| row.get(Metric::Rmse.key("val")).is_some())
        || records().any(EpochRecord::is_regression);
    let metric = shared_metric(&config.grid.runs(1, 1)?, is_regression);
    let key = metric.key("val");
    let values = ended.iter().filter_map(|row| row[&key].as_f64());
    let values = values.chain(records().filter_map(|record| record.value(metric)));
    let best =
        values.reduce(|best, value| if metric.is_better(value, best) { value } else { best });
    let (data, begun) = (config.options.data, histories.len());
    let (best, mean) = match config.grid.folds.folds {
        None => (best.map(|best| (metric, best)), None),
        Some(folds) => {
            let first = ended.iter().filter(|row| row["rank"] == 1);
            let values: Vec<f64> =
                first.filter_map(|row| row[metric.key("test")].as_f64()).collect();
            let mean = values.iter().sum::<f64>() / folds as f64;
            (None, (values.len() == folds).then_some((metric, mean)))
        }
    };
    Ok(ListedKind::Sweep { data, runs, begun, ended: ended.len(), best, mean })
}

/// What the results of the sweep around a run say of it.
fn results_of_sweep(run: &Path) -> Option<Value> {
    let name = run.file_name()?.to_string_lossy();
    let row = ended_rows(run.parent()?).into_iter().find(|row| row["run"] == *name)?;
    let diverged = row["status"] == "diverged";
    let mut results = serde_json::json!({
        "epochs": row["epochs"],
        "diverged": if diverged { row["error"].clone() } else { Value::Null },
    });
    // scores have the same names in both
    let scores = row.as_object()?.iter();
    for (key, value) in
        scores.filter(|(key, _)| key.starts_with("val_") || key.starts_with("test_"))
    {
        results[key] = value.clone();
    }
    Some(results)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let paths = fs::read_dir(directory).map_err(Error::io("list", directory))?;
    Ok(paths.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect())
}

/// When the files that training writes were changed last.
pub fn last_trained(path: &Path) -> SystemTime {
    let time = |name: &str| fs::metadata(path.join(name)).and_then(|found| found.modified()).ok();
    let times = [CONFIG, METRICS, CHECKPOINT, BEST, GRID].into_iter().filter_map(time);
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}
