//! The directory of a run.
//!
//! `config.toml` and `metrics.jsonl` are there before the first epoch, so that a bad path fails in the first second.
//! `checkpoint.safetensors` holds the trainer's whole state from the start; it is replaced after epochs, at most once a second,
//! within epochs where that is asked for, and at the end, and the one before it stays. The models and `metrics.jsonl` are
//! replaced with it. Every file is complete whenever it exists. One process at a time writes here.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::metrics::epoch_lines;
use super::names::{BEST, CHECKPOINT, CONFIG, DAMAGED, GRID, LAST, METRICS, PREVIOUS, RESULTS};
use super::results::done_event;
use super::saver::{Saver, Selection};
use super::{Checkpoint, CheckpointEvery, RunConfig, RunOptions};
use crate::error::{Error, Occupant, Result};
use crate::files::{self, Lock};
use crate::model::Layout;
use crate::train::{
    Divergence, EpochEnd, Observer, Outcome, Progress, RankedRuns, Request, RunResult, SweepRun,
    Trainer, TrainerState,
};

/// The least time between the checkpoints of two epochs.
const LEAST_TIME: Duration = Duration::from_secs(1);

/// Keeps a run's files.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    options: RunOptions,
    saver: Option<Saver>,
    /// What the checkpoint on the disk, or on its way there, is of: when it was written, and the optimizer's steps.
    last_checkpoint: Option<(Instant, u64)>,
    /// The optimizer's steps.
    steps: u64,
    /// The configuration in the checkpoint that was read.
    found: Option<RunConfig>,
    lock: Lock,
}

/// What the files of a run say.
#[derive(Debug)]
#[non_exhaustive]
pub struct SavedRun {
    /// The resolved settings.
    pub config: RunConfig,
    /// The state of the last checkpoint; `None` before the first.
    pub state: Option<TrainerState>,
    /// What is wrong with its files and did not prevent reading them, a line each.
    pub notices: Vec<String>,
}

impl RunDir {
    /// Makes the directory for a new run. `options` is kept in its `config.toml`.
    ///
    /// # Errors
    /// [`Error::Occupied`] if it holds a run already, or another process is in it; otherwise what the operating system says.
    pub fn create(path: &Path, options: RunOptions) -> Result<Self> {
        Self::require_vacant(path)?;
        fs::create_dir_all(path).map_err(Error::io("create", path))?;
        let run_dir = Self::locked(path, options)?;
        Self::require_vacant(path)?; // another process may have been faster
        Ok(run_dir)
    }

    /// Rejects a directory that holds a run or a sweep.
    ///
    /// # Errors
    /// [`Error::Occupied`].
    pub(super) fn require_vacant(path: &Path) -> Result<()> {
        let is_there = |name: &&str| path.join(name).symlink_metadata().is_ok();
        let occupied = |occupant| Err(Error::Occupied { path: path.to_owned(), occupant });
        if is_there(&GRID) {
            return occupied(Occupant::Sweep);
        }
        match [CONFIG, METRICS, CHECKPOINT, PREVIOUS, BEST, LAST].iter().any(is_there) {
            true => occupied(Occupant::Run),
            false => Ok(()),
        }
    }

    fn locked(path: &Path, options: RunOptions) -> Result<Self> {
        let lock = files::lock(path)?;
        files::remove_temporaries(path);
        Ok(Self {
            path: path.to_owned(),
            options,
            saver: None,
            last_checkpoint: None,
            steps: 0,
            found: None,
            lock,
        })
    }

    /// Whether a directory holds a run.
    pub fn is_one(path: &Path) -> bool {
        [CONFIG, CHECKPOINT, PREVIOUS].iter().any(|name| path.join(name).symlink_metadata().is_ok())
    }

    /// Whether there is something to resume from in a directory.
    pub fn has_checkpoint(path: &Path) -> bool {
        [CHECKPOINT, PREVIOUS].iter().any(|name| path.join(name).exists())
    }

    /// Opens the directory of a run that has been started, to resume it.
    ///
    /// # Errors
    /// If there is no run, a file of it is damaged, or another process is in it.
    pub fn open(path: &Path) -> Result<(Self, SavedRun)> {
        Self::require_run(path)?;
        let mut run_dir = Self::locked(path, RunOptions::default())?;
        let (saved, found) = Self::read_with_checkpoint_config(path)?;
        if !saved.notices.is_empty() {
            // out of the way: the next checkpoint would take its name from it and put it in the place of the good one
            drop(fs::rename(path.join(CHECKPOINT), path.join(DAMAGED)));
        }
        run_dir.options = saved.config.options.clone();
        run_dir.found = found;
        Ok((run_dir, saved))
    }

    /// Reads the files of a run, in which another process may be training.
    ///
    /// # Errors
    /// If there is no run, or a file of it is damaged.
    pub fn read(path: &Path) -> Result<SavedRun> {
        Self::require_run(path)?;
        Ok(Self::read_with_checkpoint_config(path)?.0)
    }

    /// What the files say, and the settings in the checkpoint.
    fn read_with_checkpoint_config(path: &Path) -> Result<(SavedRun, Option<RunConfig>)> {
        let (file, previous) = (path.join(CHECKPOINT), path.join(PREVIOUS));
        let newest = match exists(&file)? {
            true => Some(read_checkpoint(&file)),
            false => None,
        };
        let mut notices = Vec::new();
        let (found, state) = match newest {
            Some(Ok(read)) => read,
            // damaged, or lost between two renames
            other if exists(&previous)? => match (read_checkpoint(&previous), other) {
                (Ok((found, state)), other) => {
                    let problem = match other {
                        Some(Err(error)) => error.to_string(),
                        _ => format!("{} is missing", file.display()),
                    };
                    let epoch = state.epochs_begun();
                    notices.push(format!(
                        "{problem}; the checkpoint before it is taken instead, of epoch {epoch}"
                    ));
                    (found, state)
                }
                (Err(_), Some(Err(error))) | (Err(error), _) => return Err(error),
            },
            Some(Err(error)) => return Err(error),
            None => {
                let config = read_config(&path.join(CONFIG))?;
                return Ok((SavedRun { config, state: None, notices }, None));
            }
        };
        let config = Self::agreed_config(path, &found)?;
        Ok((SavedRun { config, state: Some(state), notices }, Some(found)))
    }

    /// The settings of a run that has a checkpoint. Its settings file may be missing, and have other values of the settings
    /// that a resume may change.
    fn agreed_config(path: &Path, checkpoint: &RunConfig) -> Result<RunConfig> {
        let file = path.join(CONFIG);
        let Ok(found) = read_config(&file) else { return Ok(checkpoint.clone()) };
        Self::require_agreement(&file, &found, checkpoint)
            .map_err(|error| Error::usage(error.to_string()))?;
        Ok(found)
    }

    /// Rejects a settings file with another value of a setting that a resume may not change.
    ///
    /// # Errors
    /// What differs from the settings in the checkpoint.
    pub(super) fn require_agreement(
        file: &Path,
        found: &RunConfig,
        checkpoint: &RunConfig,
    ) -> Result<()> {
        match found.difference(checkpoint, |key| !RunConfig::may_change(key)) {
            None => Ok(()),
            Some(difference) => Err(Error::invalid(
                file.display().to_string() + " is not that of its checkpoint",
                format!(
                    "{}; expected the settings that the run began with (for others, start a new run)",
                    difference.trim_start_matches(": ")
                ),
            )),
        }
    }

    fn require_run(path: &Path) -> Result<()> {
        if path.join(GRID).is_file() {
            return Err(Error::Occupied { path: path.to_owned(), occupant: Occupant::Sweep });
        }
        if path.is_file() {
            return Err(Error::usage(format!(
                "{} is a file; expected the directory of an earlier run",
                path.display()
            )));
        }
        if exists(&path.join(CONFIG))?
            || exists(&path.join(CHECKPOINT))?
            || exists(&path.join(PREVIOUS))?
        {
            return Ok(());
        }
        Err(Error::usage(format!(
            "{} holds no run: there is no {CONFIG}; expected the directory of an earlier run",
            path.display()
        )))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What its `config.toml` says besides the settings of the training.
    pub(crate) fn options_mut(&mut self) -> &mut RunOptions {
        &mut self.options
    }

    /// The contents of `config.toml`.
    pub fn config(&self, trainer: &Trainer<'_>) -> RunConfig {
        RunConfig { options: self.options.clone(), train: trainer.config().clone() }
    }

    /// Whether a checkpoint is to be written now: within an epoch, or at the end of one.
    fn is_due(&self, epoch_ends: bool) -> bool {
        let Some((at, steps)) = self.last_checkpoint else { return true };
        let since = at.elapsed();
        match self.options.checkpoint_every {
            _ if steps == self.steps => false,
            _ if epoch_ends && since >= LEAST_TIME => true,
            Some(CheckpointEvery::Time(time)) => since >= time,
            Some(CheckpointEvery::Steps(every)) => steps / every < self.steps / every,
            None => false,
        }
    }

    /// The thread that saves, which starts with a copy of the trainer's state.
    fn saver(&mut self, trainer: &Trainer<'_>) -> Result<&mut Saver> {
        self.lock.check()?;
        match &mut self.saver {
            Some(saver) => Ok(saver),
            none => Ok(none.insert(Saver::new(&self.path, &self.options, trainer)?)),
        }
    }

    /// Copies the trainer's state and has a checkpoint written.
    fn save_checkpoint(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        self.saver(trainer)?.save(trainer.state())?;
        self.last_checkpoint = Some((Instant::now(), trainer.state().optimizer().steps()));
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.saver.as_mut().map_or(Ok(()), Saver::flush)
    }

    /// Makes the files agree with the trainer's state; leaves those that agree already untouched.
    fn agree(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        let state = trainer.state();
        let write =
            |name: &str, bytes: &[u8]| files::write_if_changed(&self.path.join(name), bytes);
        write(CONFIG, self.config(trainer).to_toml()?.as_bytes())?;
        write(METRICS, epoch_lines(state.history())?.as_bytes())?;
        if state.epoch() > 0 {
            write(BEST, &trainer.best_model().to_bytes()?)?;
        }
        if state.epoch() > 0 && state.partial().is_none() {
            write(LAST, &trainer.last_model().to_bytes()?)?;
        }
        Ok(())
    }
}

/// The settings and the state in a checkpoint.
pub(super) fn read_checkpoint(file: &Path) -> Result<(RunConfig, TrainerState)> {
    let of_file = |error: Error| match error {
        Error::Invalid { problem, .. } => Error::invalid_file(file, problem),
        other => other,
    };
    let checkpoint = Checkpoint::from_bytes(&files::read(file)?).map_err(of_file)?;
    let found = checkpoint.config.clone();
    let (_, state) = checkpoint.into_state().map_err(of_file)?;
    Ok((found, state))
}

fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(Error::io("look at", path))
}

/// Reads a resolved configuration.
pub(super) fn read_config(path: &Path) -> Result<RunConfig> {
    let config = RunConfig::from_toml(&files::read_text(path)?);
    config.map_err(|error| Error::invalid_file(path, error.to_string()))
}

/// The runs of some directories, ranked, and the data of each by number.
///
/// # Errors
/// If one of them holds no run, or a run without a finished epoch that has not diverged.
pub fn read_runs(directories: &[PathBuf]) -> Result<(RankedRuns, Vec<String>)> {
    let (mut runs, mut results, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for directory in directories {
        let SavedRun { config, state, .. } = RunDir::read(directory)?;
        let begun = |state: &TrainerState| state.epoch() > 0 || state.diverged().is_some();
        let Some(state) = state.filter(begun) else {
            let problem = "the run has no finished epoch; continue it with `densely train --resume`, or leave it out";
            return Err(Error::invalid_file(directory, problem));
        };
        results.push(RunResult::of(runs.len(), &state));
        // how many values learn nothing does not depend on the numbers of inputs and outputs
        let layout = Layout::new(&config.train.spec(1, 1)?)?;
        let parameters = state.optimizer().params().len() - (layout.len() - layout.parameters());
        let train = config.train.with(|train| train.threads = Some(state.threads()));
        runs.push(SweepRun::new(directory.display().to_string(), train, parameters));
        data.push(config.options.data);
    }
    Ok((RankedRuns::new(runs, results)?, data))
}

impl Observer for RunDir {
    /// A killed run may have written models and metrics after its last checkpoint.
    fn start(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        let state = trainer.state();
        self.steps = state.optimizer().steps();
        if !state.is_finished() {
            files::require_writable(&self.path)?; // to be known before an epoch of training
            drop(fs::remove_file(self.path.join(RESULTS))); // those of an earlier end
        }
        self.agree(trainer)?;
        let config = self.config(trainer);
        let unchanged = self.found.as_ref() == Some(&config);
        let same_epochs =
            self.found.as_ref().is_some_and(|found| found.train.epochs == config.train.epochs);
        if unchanged || (state.is_finished() && same_epochs) {
            self.last_checkpoint = Some((Instant::now(), self.steps));
        }
        if state.is_finished() && self.last_checkpoint.is_some() {
            return Ok(());
        }
        match self.last_checkpoint {
            None => self.save_checkpoint(trainer),
            Some(_) => self.saver(trainer).map(drop),
        }
    }

    fn step(&mut self, _epoch: usize, _progress: Progress) {
        self.steps += 1;
    }

    fn request(&mut self) -> Request {
        let failed = self.saver.as_mut().is_some_and(Saver::has_failed);
        match failed || (self.options.checkpoint_every.is_some() && self.is_due(false)) {
            true => Request::Save,
            false => Request::Continue,
        }
    }

    /// Within an epoch, or because the run is to stop.
    fn save(&mut self, trainer: &Trainer<'_>, reason: Request) -> Result<()> {
        let steps = trainer.state().optimizer().steps();
        let is_new = self.last_checkpoint.is_none_or(|(_, saved)| saved != steps);
        let failed = self.saver.as_mut().is_some_and(Saver::has_failed);
        match is_new || failed {
            true => self.save_checkpoint(trainer)?,
            false => self.saver(trainer)?.send(Selection::default())?,
        }
        match reason {
            Request::Stop => self.flush(),
            _ => Ok(()),
        }
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> Result<()> {
        let state = end.trainer.state();
        self.saver(end.trainer)?.keep(state, end.is_best)?;
        if self.is_due(true) || state.is_finished() {
            self.save_checkpoint(end.trainer)?;
        }
        if state.is_finished() {
            self.flush()?;
            self.agree(end.trainer)?; // a file that was removed meanwhile is there again
        }
        Ok(())
    }

    /// Writes `results.json`, unless it says what the outcome says.
    fn done(&mut self, outcome: &Outcome) -> Result<()> {
        self.flush()?;
        let file = self.path.join(RESULTS);
        let results = done_event(outcome, &self.path);
        let timeless = |mut value: serde_json::Value| {
            let object = value.as_object_mut();
            object.into_iter().for_each(|object| {
                ["seconds", "run_dir"].iter().for_each(|key| drop(object.remove(*key)))
            });
            value
        };
        let found = files::read_text(&file).ok().and_then(|text| serde_json::from_str(&text).ok());
        match found.map(timeless) == Some(timeless(results.clone())) {
            true => Ok(()),
            false => files::write_atomic(&file, format!("{results}\n").as_bytes()),
        }
    }

    fn diverged(&mut self, divergence: &Divergence) -> Result<()> {
        self.saver.as_mut().map_or(Ok(()), |saver| saver.diverged(*divergence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_a_run_is_refused_and_one_without_cannot_be_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b");
        assert!(RunDir::open(&path).unwrap_err().to_string().contains("holds no run"));
        RunDir::create(&path, RunOptions::default()).unwrap();
        RunDir::create(&path, RunOptions::default()).unwrap();
        fs::write(path.join(CONFIG), RunConfig::default().to_toml().unwrap()).unwrap();
        let error = RunDir::create(&path, RunOptions::default()).unwrap_err();
        assert!(matches!(error, Error::Occupied { occupant: Occupant::Run, .. }), "{error}");
        let (_, saved) = RunDir::open(&path).unwrap();
        assert_eq!(saved.config, RunConfig::default());
        assert!(saved.state.is_none());
        fs::write(path.join(CONFIG), "lr = 'fast'").unwrap();
        assert!(RunDir::open(&path).unwrap_err().to_string().contains("config.toml"));
        fs::write(path.join(CHECKPOINT), "no").unwrap();
        assert!(RunDir::open(&path).unwrap_err().to_string().contains(CHECKPOINT));
    }
}
