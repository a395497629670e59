//! The directory of a sweep: its grid, a directory for each run, and the results so far.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::page::RankedRuns;
use super::predictions::csv_field;
use super::run_dir::{GRID, RunDir, Standing, difference};
use crate::engine::Score;
use crate::error::{Error, Result};
use crate::files::{self, Lock, Survives};
use crate::train::{RunResult, Status, SweepRun, TrainConfig, TrainerState};

const CSV: &str = "results.csv";
const JSON: &str = "results.jsonl";

/// Keeps a sweep's files.
#[derive(Debug)]
pub struct SweepDir {
    path: PathBuf,
    /// Locked while a sweep goes on.
    _lock: Option<Lock>,
}

/// A line of the results.
#[derive(Serialize)]
struct Row<'a> {
    rank: usize,
    hidden: String,
    activations: String,
    lr: f64,
    batch_size: usize,
    seed: u64,
    val_accuracy: Option<f64>,
    val_loss: Option<f64>,
    parameters: usize,
    init: String,
    weight_decay: f64,
    best_epoch: Option<usize>,
    epochs: usize,
    seconds: f64,
    threads: usize,
    status: Status,
    test_accuracy: Option<f64>,
    test_loss: Option<f64>,
    test_samples: Option<u64>,
    run: &'a str,
    error: Option<&'a str>,
}

impl SweepDir {
    /// Makes the directory for a sweep, or goes on in it. `grid` is the sweep's configuration, as TOML.
    ///
    /// # Errors
    /// [`Error::Usage`] if it holds another sweep or a run; otherwise what the operating system says.
    pub fn open(path: &Path, grid: &str) -> Result<Self> {
        let file = path.join(GRID);
        let is_new = file.symlink_metadata().is_err();
        if is_new {
            drop(RunDir::create(path)?); // refuses the directory of a run
        }
        let lock = files::lock(path)?;
        files::remove_temporaries(path);
        if file.symlink_metadata().is_ok() {
            let found = files::read(&file)?;
            if found != grid.as_bytes() {
                return Err(Error::usage(format!(
                    "{} holds another sweep{}; expected the same grid, or another --out",
                    path.display(),
                    difference(&String::from_utf8_lossy(&found), grid)
                )));
            }
        } else {
            files::write_atomic(&file, grid.as_bytes(), Survives::Machine)?;
        }
        let directory = Self { path: path.to_owned(), _lock: Some(lock) };
        if !path.join(CSV).exists() {
            directory.write_results(&[], &[])?; // what cannot be written is to be known before hours of training
        }
        Ok(directory)
    }

    /// Looks at a sweep without going on in it.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), _lock: None }
    }

    /// The configuration of the sweep.
    pub fn grid_path(&self) -> PathBuf {
        self.path.join(GRID)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a directory holds a sweep.
    pub fn is_one(path: &Path) -> bool {
        path.join(GRID).is_file()
    }

    /// The directory of a run.
    pub fn run_path(&self, run: &SweepRun) -> PathBuf {
        self.path.join(&run.name)
    }

    /// Makes the directory of a run, or opens it with the state that the run has reached, to go on with it.
    ///
    /// # Errors
    /// If it holds a run with other settings, a file of it is damaged, or another process is in it.
    pub fn open_run(&self, run: &SweepRun) -> Result<(RunDir, Option<TrainerState>)> {
        let path = self.run_path(run);
        if !RunDir::is_one(&path) {
            return Ok((RunDir::create(&path)?, None));
        }
        let (run_dir, standing) = RunDir::open(&path)?;
        Ok((run_dir, self.own_state(run, standing)?))
    }

    /// The state that a run has reached; it may be going on.
    ///
    /// # Errors
    /// If there is none with its settings, or a file of it is damaged.
    pub fn read_run(&self, run: &SweepRun) -> Result<Option<TrainerState>> {
        self.own_state(run, RunDir::read(&self.run_path(run))?)
    }

    fn own_state(&self, run: &SweepRun, standing: Standing) -> Result<Option<TrainerState>> {
        let config = standing.config;
        // a machine with another number of cores goes on with the threads that the run began with
        let TrainConfig { backend, threads, checkpoint_every, .. } = config;
        let expected = TrainConfig { backend, threads, checkpoint_every, ..run.config.clone() };
        if config != expected {
            let table = |config: &TrainConfig| toml::to_string(config).unwrap_or_default();
            let problem = difference(&table(&config), &table(&run.config));
            return Err(Error::invalid_file(
                &self.run_path(run),
                format!(
                    "the run there is not the sweep's{problem}; move it away, or choose another --out"
                ),
            ));
        }
        Ok(standing.state)
    }

    /// The runs that have been started, as they stand, and those that cannot be read, ranked.
    ///
    /// # Errors
    /// If no run has a finished epoch.
    pub fn ranked_runs(&self, runs: &[SweepRun]) -> Result<RankedRuns> {
        let mut results = Vec::new();
        for (number, run) in runs.iter().enumerate() {
            if !self.run_path(run).exists() {
                continue;
            }
            match self.read_run(run) {
                Ok(Some(state)) if state.epoch() > 0 || state.is_finished() => {
                    results.push(RunResult::of(number, &state));
                }
                Ok(_) => {}
                Err(error) => results.push(RunResult::failed(number, &error)),
            }
        }
        RankedRuns::new(runs.to_vec(), results)
    }

    /// Adds the scores on the test part that an earlier [`SweepDir::write_results`] wrote; what is not there, or cannot be
    /// read, is left out.
    pub fn read_tests(&self, results: &mut [RunResult], runs: &[SweepRun]) {
        let text = files::read_text(&self.path.join(JSON)).unwrap_or_default();
        add_tests(results, runs, &text);
    }

    /// Writes the results, in the order of their ranks, as a table and as JSON lines.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn write_results(&self, results: &[RunResult], runs: &[SweepRun]) -> Result<()> {
        let rows = results.iter().enumerate();
        let rows: Vec<Row<'_>> =
            rows.map(|(i, result)| Row::new(i + 1, result, &runs[result.number])).collect();
        let unwritable = |error: serde_json::Error| Error::invalid(JSON, error.to_string());
        let (mut csv, mut json) = (String::new(), String::new());
        for row in &rows {
            let line = serde_json::to_string(row).map_err(unwritable)?;
            let value = serde_json::to_value(row).map_err(unwritable)?;
            let fields: Vec<String> = Row::KEYS.iter().map(|key| csv_value(&value[key])).collect();
            csv += &(fields.join(",") + "\n");
            json += &(line + "\n");
        }
        let csv = format!("{}\n{csv}", Row::KEYS.join(","));
        files::write_if_changed(&self.path.join(CSV), csv.as_bytes(), Survives::Process)?;
        files::write_if_changed(&self.path.join(JSON), json.as_bytes(), Survives::Process)
    }
}

/// [`SweepDir::read_tests`] from the text of `results.jsonl`; a line that no sweep writes is left out.
pub fn add_tests(results: &mut [RunResult], runs: &[SweepRun], text: &str) {
    let places: HashMap<&str, usize> =
        results.iter().enumerate().map(|(i, result)| (&runs[result.number].name[..], i)).collect();
    for row in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let place = row["run"].as_str().and_then(|name| places.get(name));
        let (Some(&place), Some(accuracy), Some(loss), Some(samples)) = (
            place,
            row["test_accuracy"].as_f64().filter(|share| (0.0..=1.0).contains(share)),
            row["test_loss"].as_f64(),
            row["test_samples"].as_u64().filter(|&samples| (1..=MOST_SAMPLES).contains(&samples)),
        ) else {
            continue;
        };
        let correct = (accuracy * samples as f64).round() as u64;
        results[place].test = Some(Score { loss_sum: loss * samples as f64, correct, samples });
    }
}

/// Samples are numbered in 32 bits.
const MOST_SAMPLES: u64 = u32::MAX as u64;

impl<'a> Row<'a> {
    /// The columns of the table.
    const KEYS: [&'static str; 21] = [
        "rank",
        "hidden",
        "activations",
        "lr",
        "batch_size",
        "seed",
        "val_accuracy",
        "val_loss",
        "parameters",
        "init",
        "weight_decay",
        "best_epoch",
        "epochs",
        "seconds",
        "threads",
        "status",
        "test_accuracy",
        "test_loss",
        "test_samples",
        "run",
        "error",
    ];

    fn new(rank: usize, result: &'a RunResult, run: &'a SweepRun) -> Self {
        let (config, best) = (&run.config, result.best());
        let joined = |values: Vec<String>| values.join(",");
        let finite = |x: f64| x.is_finite().then_some(x);
        Self {
            rank,
            hidden: joined(config.hidden.iter().map(ToString::to_string).collect()),
            activations: joined(config.activations.iter().map(ToString::to_string).collect()),
            lr: config.lr,
            batch_size: config.batch_size,
            seed: config.seed,
            val_accuracy: best.and_then(|best| best.val_accuracy),
            val_loss: best.and_then(|best| best.val_loss).and_then(finite),
            parameters: run.parameters,
            init: config.init.to_string(),
            weight_decay: config.weight_decay,
            best_epoch: best.map(|best| best.epoch),
            epochs: result.history.len(),
            seconds: result.seconds(),
            threads: config.threads,
            status: result.status,
            test_accuracy: result.test.map(|test| test.accuracy()),
            test_loss: result.test.and_then(|test| finite(test.loss())),
            test_samples: result.test.map(|test| test.samples),
            run: &run.name,
            error: result.error.as_deref(),
        }
    }
}

/// A value as a field of a table; nothing for null.
fn csv_value(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => csv_field(text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::train::TrainConfig;

    #[test]
    fn another_grid_is_refused_and_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("sweep");
        SweepDir::open(&path, "lr = [0.1]\n").unwrap();
        SweepDir::open(&path, "lr = [0.1]\n").unwrap();
        let message = SweepDir::open(&path, "lr = [0.2]\n").unwrap_err().to_string();
        assert!(message.contains("holds another sweep: lr is [0.1], not [0.2];"), "{message}");
        let run = root.path().join("run");
        fs::create_dir(&run).unwrap();
        fs::write(run.join("config.toml"), "").unwrap();
        assert!(SweepDir::open(&run, "").unwrap_err().to_string().contains("already holds a run"));
    }

    #[test]
    fn results_are_tables_in_the_order_of_the_ranks() {
        let root = tempfile::tempdir().unwrap();
        let sweep = SweepDir::open(root.path(), "").unwrap();
        let config = TrainConfig { hidden: vec![7, 5], lr: 0.25, ..TrainConfig::default() };
        let runs = [SweepRun { name: "1".to_owned(), config, parameters: 123 }];
        let failed = RunResult {
            number: 0,
            status: Status::Failed,
            error: Some("no, \"never\"".to_owned()),
            history: Vec::new(),
            best_epoch: 0,
            test: None,
        };
        sweep.write_results(&[failed], &runs).unwrap();
        let csv = fs::read_to_string(root.path().join(CSV)).unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        let head = "rank,hidden,activations,lr,batch_size,seed,val_accuracy,val_loss,parameters,";
        assert!(lines[0].starts_with(head), "{csv}");
        assert!(lines[1].starts_with("1,\"7,5\",,0.25,500,0,,,123,auto,"), "{csv}");
        assert!(lines[1].ends_with(",failed,,,,1,\"no, \"\"never\"\"\""), "{csv}");
        let json = fs::read_to_string(root.path().join(JSON)).unwrap();
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["hidden"], "7,5");
        assert_eq!(value.as_object().unwrap().len(), Row::KEYS.len());
    }
}
