//! The directory of a sweep: its grid, a directory for each run, and the results so far.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::config::{DATA, difference};
use super::csv::csv_field;
use super::names::{GRID, RESULTS_CSV, RESULTS_JSON};
use super::{RunConfig, RunDir, RunOptions, SavedRun, SweepConfig};
use crate::data::Dataset;
use crate::engine::Score;
use crate::error::{Error, Occupant, Result};
use crate::files::{self, Lock};
use crate::train::setting::Configuration as _;
use crate::train::{RankedRuns, RunResult, SweepRun, TrainConfig, TrainerState};

/// The comment at the top of `sweep.toml` that says what the data is, wherever it is.
const FINGERPRINT: &str = "# data fingerprint: ";

/// Keeps a sweep's files.
#[derive(Debug)]
pub struct SweepDir {
    path: PathBuf,
    options: RunOptions,
    /// Held while a sweep is training.
    _lock: Option<Lock>,
}

impl SweepDir {
    /// Makes the directory for a sweep, or opens it to resume one.
    ///
    /// # Errors
    /// [`Error::Occupied`] if it holds another sweep or a run; otherwise what the operating system says.
    pub fn open(path: &Path, config: &SweepConfig, data: &Dataset) -> Result<Self> {
        let file = path.join(GRID);
        if file.symlink_metadata().is_err() {
            RunDir::require_vacant(path)?;
            std::fs::create_dir_all(path).map_err(Error::io("create", path))?;
        }
        let lock = files::lock(path)?;
        files::remove_temporaries(path);
        if file.symlink_metadata().is_ok() {
            let text = files::read_text(&file)?;
            let found = parsed(&file, &text)?;
            let known = text.lines().find_map(|line| line.strip_prefix(FINGERPRINT));
            if let Some(known) = known.filter(|known| !data.has_fingerprint(known)) {
                let difference = format!(" on other data, with the fingerprint {known}");
                let occupant = Occupant::OtherSweep(difference);
                return Err(Error::Occupied { path: path.to_owned(), occupant });
            }
            let table = |config: &SweepConfig| {
                let mut table = toml::Table::try_from(config)
                    .map_err(|error| Error::usage(error.to_string()))?;
                if known.is_some() {
                    table.remove(DATA);
                }
                Ok::<_, Error>(table)
            };
            if let Some(difference) = difference(&table(&found)?, &table(config)?) {
                let occupant = Occupant::OtherSweep(difference);
                return Err(Error::Occupied { path: path.to_owned(), occupant });
            }
            if found.options.data != config.options.data {
                write_config(&file, config, data)?;
            }
        } else {
            RunDir::require_vacant(path)?; // another process may have been faster
            write_config(&file, config, data)?;
        }
        let directory =
            Self { path: path.to_owned(), options: config.options.clone(), _lock: Some(lock) };
        if !path.join(RESULTS_CSV).exists() {
            // what cannot be written is to be known before hours of training
            directory.write_results(&[], &[])?;
        }
        Ok(directory)
    }

    /// Opens a sweep to look at it, and reads its configuration.
    ///
    /// # Errors
    /// If its configuration cannot be read.
    pub fn at(path: &Path) -> Result<(Self, SweepConfig)> {
        let config = Self::read_config(path)?;
        Ok((Self { path: path.to_owned(), options: config.options.clone(), _lock: None }, config))
    }

    fn read_config(path: &Path) -> Result<SweepConfig> {
        let file = path.join(GRID);
        parsed(&file, &files::read_text(&file)?)
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

    /// Makes the directory of a run, or opens it with the state that the run has reached, to resume it.
    ///
    /// # Errors
    /// If it holds a run with other settings, a file of it is damaged, or another process is in it.
    pub fn open_run(&self, run: &SweepRun) -> Result<(RunDir, Option<TrainerState>)> {
        let path = self.run_path(run);
        if !RunDir::is_one(&path) {
            return Ok((RunDir::create(&path, self.options.clone())?, None));
        }
        let (mut run_dir, saved) = RunDir::open(&path)?;
        let state = self.own(run, saved)?.state;
        if state.as_ref().is_none_or(|state| !state.is_finished()) {
            let options = run_dir.options_mut();
            options.checkpoint_every = self.options.checkpoint_every;
            options.data.clone_from(&self.options.data);
        }
        Ok((run_dir, state))
    }

    /// What a run has reached; another process may be training it.
    ///
    /// # Errors
    /// If there is no run with its settings, or a file of it is damaged.
    pub fn read_run(&self, run: &SweepRun) -> Result<SavedRun> {
        self.own(run, RunDir::read(&self.run_path(run))?)
    }

    /// Rejects a run that is not the sweep's.
    fn own(&self, run: &SweepRun, saved: SavedRun) -> Result<SavedRun> {
        let expected = RunConfig { options: self.options.clone(), train: run.config.clone() };
        // a machine with another number of cores resumes with the threads that the run began with
        let matters = |key: &str| !["backend", "threads", "checkpoint_every", DATA].contains(&key);
        match saved.config.difference(&expected, matters) {
            None => Ok(saved),
            Some(difference) => Err(Error::invalid_file(
                &self.run_path(run),
                format!(
                    "the run there is not the sweep's{difference}; move it away, or choose another directory for the sweep"
                ),
            )),
        }
    }

    /// The runs that have been started, as far as they have come, and those that cannot be read, ranked. Their scores on the
    /// test part are those that [`SweepDir::write_results`] wrote, where it did.
    ///
    /// # Errors
    /// If no run has a finished epoch.
    pub fn ranked_runs(&self, runs: &[SweepRun]) -> Result<RankedRuns> {
        let mut results = Vec::new();
        for (number, run) in runs.iter().enumerate() {
            if !self.run_path(run).exists() {
                continue;
            }
            match self.read_run(run).map(|saved| saved.state) {
                Ok(Some(state)) if state.epoch() > 0 || state.is_finished() => {
                    results.push(RunResult::of(number, &state));
                }
                Ok(_) => {}
                Err(error) => results.push(RunResult::failed(number, &error)),
            }
        }
        let tested = files::read_text(&self.path.join(RESULTS_JSON)).unwrap_or_default();
        add_tests(&mut results, runs, &tested);
        RankedRuns::new(runs.to_vec(), results)
    }

    /// Writes the results, in the order of their ranks, as a table and as JSON lines.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn write_results(&self, results: &[RunResult], runs: &[SweepRun]) -> Result<()> {
        let varied = varied(runs);
        let rows: Vec<Row> = (results.iter().enumerate())
            .map(|(i, result)| row(i + 1, result, &runs[result.number], &varied))
            .collect();
        let mut json = String::new();
        for row in &rows {
            let line = serde_json::to_string(row);
            json += &line.map_err(|error| Error::invalid(RESULTS_JSON, error.to_string()))?;
            json.push('\n');
        }
        let lines = rows.first().map(Row::keys).into_iter().chain(rows.iter().map(Row::csv_line));
        let csv: String = lines.map(|line| line + "\n").collect();
        let write = |name: &str, text: &str| {
            files::write_if_changed(&self.path.join(name), text.as_bytes())
        };
        write(RESULTS_CSV, &csv)?;
        write(RESULTS_JSON, &json)
    }
}

fn write_config(file: &Path, config: &SweepConfig, data: &Dataset) -> Result<()> {
    let text = format!("{FINGERPRINT}{}\n{}", data.fingerprint(), config.to_toml()?);
    files::write_atomic(file, text.as_bytes())
}

fn parsed(file: &Path, text: &str) -> Result<SweepConfig> {
    SweepConfig::from_toml(text).map_err(|error| Error::invalid_file(file, error.to_string()))
}

/// Adds the scores on the test part from the text of `results.jsonl`; a line that no sweep writes is left out.
pub fn add_tests(results: &mut [RunResult], runs: &[SweepRun], text: &str) {
    let positions: HashMap<&str, usize> =
        results.iter().enumerate().map(|(i, result)| (&runs[result.number].name[..], i)).collect();
    for row in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let position = row["run"].as_str().and_then(|name| positions.get(name));
        let (Some(&position), Some(accuracy), Some(loss), Some(samples)) = (
            position,
            row["test_accuracy"].as_f64().filter(|share| (0.0..=1.0).contains(share)),
            row["test_loss"].as_f64(),
            row["test_samples"].as_u64().filter(|&samples| (1..=MOST_SAMPLES).contains(&samples)),
        ) else {
            continue;
        };
        let correct = (accuracy * samples as f64).round() as u64;
        results[position].test = Some(Score::new(loss * samples as f64, correct, samples));
    }
}

/// Samples are numbered in 32 bits.
const MOST_SAMPLES: u64 = u32::MAX as u64;

/// A line of the results: names and values, in order.
struct Row(Vec<(String, Value)>);

/// The settings that every row has, before the scores and after them; others follow where they vary.
const FIRST_SETTINGS: [&str; 5] = ["hidden", "activations", "lr", "batch_size", "seed"];
const OTHER_SETTINGS: [&str; 2] = ["init", "weight_decay"];

/// The settings in which the runs differ, besides those that every row has.
fn varied(runs: &[SweepRun]) -> Vec<&'static str> {
    let always = |key: &str| FIRST_SETTINGS.contains(&key) || OTHER_SETTINGS.contains(&key);
    let differs = |get: fn(&TrainConfig) -> Option<toml::Value>| {
        runs.windows(2).any(|pair| get(&pair[0].config) != get(&pair[1].config))
    };
    let others = TrainConfig::SETTINGS.iter().filter(|setting| !always(setting.key));
    let others = others.filter(|setting| setting.key != "threads" && differs(setting.get));
    others.map(|setting| setting.key).collect()
}

fn row(rank: usize, result: &RunResult, run: &SweepRun, varied: &[&'static str]) -> Row {
    let best = result.best();
    let finite = |x: f64| x.is_finite().then_some(x);
    let setting = |key: &str| -> Value {
        let Some(setting) = TrainConfig::setting(key) else { return Value::Null };
        match (setting.get)(&run.config) {
            // lists read as they are written on the command line
            Some(toml::Value::Array(_)) => (setting.text)(&run.config).into(),
            Some(value) => json!(value),
            None => Value::Null,
        }
    };
    let settings = |keys: &[&str]| -> Vec<(String, Value)> {
        keys.iter().map(|&key| (key.to_owned(), setting(key))).collect()
    };
    let mut columns = vec![("rank".to_owned(), json!(rank))];
    columns.extend(settings(&FIRST_SETTINGS));
    let mut push = |name: &str, value: Value| columns.push((name.to_owned(), value));
    push("val_accuracy", json!(best.and_then(|best| best.val_accuracy)));
    push("val_loss", json!(best.and_then(|best| best.val_loss).and_then(finite)));
    push("parameters", json!(run.parameters));
    columns.extend(settings(&OTHER_SETTINGS));
    let mut push = |name: &str, value: Value| columns.push((name.to_owned(), value));
    push("best_epoch", json!(best.map(|best| best.epoch)));
    push("epochs", json!(result.history.len()));
    push("seconds", json!(result.seconds()));
    push("threads", json!(run.threads()));
    push("status", json!(result.status));
    push("test_accuracy", json!(result.test.map(|test| test.accuracy())));
    push("test_loss", json!(result.test.and_then(|test| finite(test.loss()))));
    push("test_samples", json!(result.test.map(|test| test.samples)));
    push("run", json!(run.name));
    push("error", json!(result.error));
    for (key, value) in settings(varied) {
        let taken = columns.iter().any(|(name, _)| *name == key); // `epochs` are those that were trained
        columns.push((if taken { format!("{key}_setting") } else { key }, value));
    }
    Row(columns)
}

impl Row {
    /// The first line of the table.
    fn keys(&self) -> String {
        self.0.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>().join(",")
    }

    fn csv_line(&self) -> String {
        self.0.iter().map(|(_, value)| csv_value(value)).collect::<Vec<_>>().join(",")
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
        map.end()
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

    fn config(lr: f64) -> SweepConfig {
        let mut config = SweepConfig::default();
        config.grid.vary("lr", [lr]).unwrap();
        config
    }

    fn data() -> Dataset {
        Dataset::from_arrays(ndarray::array![[0.0], [1.0]].view(), &[0, 1]).unwrap()
    }

    #[test]
    fn another_grid_is_rejected_and_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("sweep");
        SweepDir::open(&path, &config(0.1), &data()).unwrap();
        SweepDir::open(&path, &config(0.1), &data()).unwrap();
        // as an earlier version wrote it
        fs::write(path.join(GRID), "epochs = 200\nlr = [0.1]\n").unwrap();
        SweepDir::open(&path, &config(0.1), &data()).unwrap();
        let message = SweepDir::open(&path, &config(0.2), &data()).unwrap_err().to_string();
        assert!(message.contains("holds another sweep: lr is 0.1, not 0.2"), "{message}");
        let run = root.path().join("run");
        fs::create_dir(&run).unwrap();
        fs::write(run.join("config.toml"), "").unwrap();
        let error = SweepDir::open(&run, &config(0.1), &data()).unwrap_err();
        assert!(matches!(error, Error::Occupied { occupant: Occupant::Run, .. }), "{error}");
    }

    #[test]
    fn results_are_tables_in_the_order_of_the_ranks() {
        let root = tempfile::tempdir().unwrap();
        let sweep = SweepDir::open(root.path(), &config(0.1), &data()).unwrap();
        let run = |beta1| {
            let config =
                TrainConfig { hidden: vec![7, 5], lr: 0.25, beta1, ..TrainConfig::default() };
            SweepRun::new("1".to_owned(), config, 123)
        };
        let failed = RunResult::failed(0, &Error::usage("no, \"never\""));
        sweep.write_results(std::slice::from_ref(&failed), &[run(0.9), run(0.5)]).unwrap();
        let csv = fs::read_to_string(root.path().join(RESULTS_CSV)).unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        let head = "rank,hidden,activations,lr,batch_size,seed,val_accuracy,val_loss,parameters,";
        assert!(lines[0].starts_with(head) && lines[0].ends_with(",run,error,beta1"), "{csv}");
        assert!(lines[1].starts_with("1,\"7,5\",,0.25,500,0,,,123,auto,"), "{csv}");
        assert!(lines[1].ends_with(",failed,,,,1,\"no, \"\"never\"\"\",0.9"), "{csv}");
        let json = fs::read_to_string(root.path().join(RESULTS_JSON)).unwrap();
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["hidden"], "7,5");
        assert_eq!(value.as_object().unwrap().len(), lines[0].split(',').count());
    }
}
