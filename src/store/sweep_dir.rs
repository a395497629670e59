//! The directory of a sweep: its grid, a directory for each run, and the results so far.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::config::{PLACES, difference};
use super::metrics::read_metrics;
use super::names::{GRID, RESULTS_CSV, RESULTS_JSON};
use super::sweep_rows::{Figures, Row, add_tests, ended_rows, row, varied};
use super::{RunConfig, RunDir, RunOptions, SavedRun, SweepConfig};
use crate::data::Dataset;
use crate::error::{Error, Occupant, Result};
use crate::files::{self, Lock};
use crate::train::{RankedRuns, RunResult, SweepRun, TrainerState, ranks};

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
            let table = |config: &SweepConfig| {
                let mut table = toml::Table::try_from(config)
                    .map_err(|error| Error::usage(error.to_string()))?;
                table.retain(|key, _| known.is_none() || !PLACES.contains(&key));
                Ok::<_, Error>(table)
            };
            if let Some(difference) = difference(&table(&found)?, &table(config)?) {
                let occupant = Occupant::OtherSweep(difference);
                return Err(Error::Occupied { path: path.to_owned(), occupant });
            }
            if let Some(known) = known.filter(|known| !data.has_fingerprint(known)) {
                let difference = format!(" on other data, with the fingerprint {known}");
                let occupant = Occupant::OtherSweep(difference);
                return Err(Error::Occupied { path: path.to_owned(), occupant });
            }
            let places = |config: &SweepConfig| {
                let RunOptions { data, valid, test, .. } = config.options.clone();
                (data, valid, test)
            };
            if places(&found) != places(config) {
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

    /// The directory of the sweep that the run in a directory is part of, if it is.
    pub fn around(run: &Path) -> Option<PathBuf> {
        let run = run.canonicalize().ok()?;
        run.parent().filter(|parent| Self::is_one(parent)).map(Path::to_owned)
    }

    /// Gives runs whose directories were made by an earlier version the names of these.
    pub fn keep_names(&self, runs: &mut [SweepRun]) {
        for run in runs {
            let former = self.path.join(&run.former_name);
            if !self.run_path(run).exists() && former.exists() {
                run.name.clone_from(&run.former_name);
            }
        }
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
            options.valid.clone_from(&self.options.valid);
            options.test.clone_from(&self.options.test);
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
        let matters = |key: &str| {
            !["backend", "threads", "checkpoint_every"].contains(&key) && !PLACES.contains(&key)
        };
        match saved.config.difference(&expected, matters) {
            None => Ok(saved),
            Some(difference) => Err(Error::invalid_file(
                &self.run_path(run),
                format!(
                    "the run there is none of these{difference}; move it away, choose another directory, or give {GRID} the settings that it began with"
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
        let (mut problem, mut known) = (None, false);
        for (number, run) in runs.iter().enumerate() {
            let path = self.run_path(run);
            if !path.exists() || path.is_dir() && !RunDir::is_one(&path) {
                continue; // it has not begun, or only its directory has been made
            }
            known = true;
            match self.read_run(run).map(|saved| saved.state) {
                Ok(Some(state)) if state.epoch() > 0 || state.is_finished() => {
                    results.push(RunResult::of(number, &state));
                }
                Ok(_) => {}
                Err(error) => {
                    results.push(RunResult::failed(number, &error));
                    problem.get_or_insert(error);
                }
            }
        }
        // a table without any figures would not say why
        if let Some(problem) = problem.filter(|_| results.iter().all(|run| run.history.is_empty()))
        {
            return Err(problem);
        }
        if !known && self.holds_runs() {
            let file = self.path.join(GRID);
            let problem = "none of the runs in the directory has these settings; expected those that they began with";
            return Err(Error::invalid_file(&file, problem));
        }
        let tested = files::read_text(&self.path.join(RESULTS_JSON)).unwrap_or_default();
        add_tests(&mut results, runs, &tested);
        RankedRuns::new(runs.to_vec(), results)
    }

    /// Whether there is a directory of a run in it, of whatever name.
    fn holds_runs(&self) -> bool {
        let entries = std::fs::read_dir(&self.path).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| RunDir::has_checkpoint(&entry.path()))
    }

    /// The epochs that each run has left at most, as far as that can be told without reading its checkpoint.
    pub fn epochs_left(&self, runs: &[SweepRun]) -> Vec<usize> {
        let ended = ended_rows(&self.path);
        let ended: HashSet<&str> = ended.iter().filter_map(|row| row["run"].as_str()).collect();
        let left = |run: &SweepRun| match ended.contains(&run.name[..]) {
            true => 0,
            false => {
                let done = read_metrics(&self.run_path(run)).map_or(0, |history| history.len());
                run.config.epochs.saturating_sub(done)
            }
        };
        runs.iter().map(left).collect()
    }

    /// Writes the results, in the order of their ranks, as a table and as JSON lines. What has come to no result has no rank.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn write_results(&self, results: &[RunResult], runs: &[SweepRun]) -> Result<()> {
        let (varied, figures) = (varied(runs), Figures::of(results));
        let rows: Vec<Row> = (results.iter().zip(ranks(results, runs)))
            .map(|(result, rank)| row(rank, result, &runs[result.number], &varied, &figures))
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

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::*;
    use crate::train::{EpochRecord, TrainConfig};

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
        assert!(
            message.contains("holds another sweep or cross-validation: lr is 0.1, not 0.2"),
            "{message}"
        );
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
        assert!(lines[1].starts_with(",\"7,5\",,0.25,500,0,,,123,auto,"), "{csv}");
        assert!(lines[1].ends_with(",failed,,,,1,\"no, \"\"never\"\"\",0.9"), "{csv}");
        let json = fs::read_to_string(root.path().join(RESULTS_JSON)).unwrap();
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["hidden"], "7,5");
        assert_eq!(value.as_object().unwrap().len(), lines[0].split(',').count());
    }
    #[test]
    fn results_of_a_regression_have_its_figures_and_are_read_back() {
        let root = tempfile::tempdir().unwrap();
        let sweep = SweepDir::open(root.path(), &config(0.1), &data()).unwrap();
        let record = EpochRecord {
            epoch: 1,
            train_rmse: Some(3.0),
            val_loss: Some(0.5),
            val_rmse: Some(2.0),
            val_mae: Some(1.5),
            ..EpochRecord::default()
        };
        let mut result = RunResult::failed(0, &Error::usage("no"));
        (result.history, result.best_epoch) = (vec![record], 1);
        let mut score = crate::engine::Score::new(2.0, 0, 4);
        (score.squared_error_sum, score.absolute_error_sum) = (16.0, 6.0);
        (result.test, result.test_r2) = (Some(score), Some(0.25));
        let runs = [SweepRun::new("1".to_owned(), TrainConfig::default(), 123)];
        sweep.write_results(&[result.clone()], &runs).unwrap();
        let text = fs::read_to_string(root.path().join(RESULTS_JSON)).unwrap();
        let row: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&row["val_rmse"], &row["val_mae"], &row["test_rmse"]),
            (&2.0.into(), &1.5.into(), &2.0.into())
        );
        assert!(!text.contains("accuracy"), "{text}");
        let csv = fs::read_to_string(root.path().join(RESULTS_CSV)).unwrap();
        let head = "rank,hidden,activations,lr,batch_size,seed,val_rmse,val_loss,parameters,";
        assert!(csv.starts_with(head), "{csv}");
        (result.test, result.test_r2) = (None, None);
        add_tests(std::slice::from_mut(&mut result), &runs, &text);
        assert_eq!((result.test, result.test_r2), (Some(score), Some(0.25)));
    }
}
