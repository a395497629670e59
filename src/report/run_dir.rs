//! The directory of a run.
//!
//! `config.toml` and `metrics.jsonl` are there before the first epoch, so that a bad path fails in the first second.
//! `best.safetensors` and `last.safetensors` follow each epoch and are complete whenever they exist. `checkpoint.safetensors`
//! holds the trainer's whole state, from the start on; it is replaced behind an epoch, at most once a second, within
//! epochs where that is asked for, and at the end. One process at a time writes here.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::json::epoch_line;
use super::saver::{Saver, Selection};
use crate::error::{Error, Result};
use crate::files::{self, Lock, Survives};
use crate::train::{
    CheckpointEvery, Divergence, EpochEnd, EpochRecord, Observer, Outcome, Progress, Request,
    TrainConfig, Trainer, TrainerState,
};

/// The settings of a sweep, which has a directory of its own kind.
pub const GRID: &str = "sweep.toml";

const CONFIG: &str = "config.toml";
const METRICS: &str = "metrics.jsonl";
pub const BEST: &str = "best.safetensors";
pub const LAST: &str = "last.safetensors";
pub const CHECKPOINT: &str = "checkpoint.safetensors";

/// The least time between two checkpoints, if nothing else is asked for.
const LEAST_TIME: Duration = Duration::from_secs(1);

/// Keeps a run's files.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    checkpoint_every: Option<CheckpointEvery>,
    saver: Option<Saver>,
    /// What the checkpoint on the disk, or on its way there, is of: when it was written, and the optimizer's steps.
    last_checkpoint: Option<(Instant, u64)>,
    /// The optimizer's steps.
    steps: u64,
    /// The configuration in the checkpoint that was read.
    found: Option<TrainConfig>,
    /// Bytes of the metrics.
    metrics_bytes: u64,
    lock: Lock,
}

/// The files of a run as they stand.
#[derive(Debug)]
pub struct Standing {
    /// The resolved settings.
    pub config: TrainConfig,
    /// The state of the last checkpoint; `None` before the first.
    pub state: Option<TrainerState>,
}

impl RunDir {
    /// Makes the directory for a new run.
    ///
    /// # Errors
    /// [`Error::Usage`] if it holds a run already, or another process is in it; otherwise what the operating system says.
    pub fn create(path: &Path) -> Result<Self> {
        Self::refuse_run(path)?;
        fs::create_dir_all(path).map_err(Error::io("create", path))?;
        let run_dir = Self::locked(path)?;
        Self::refuse_run(path)?; // another process may have been faster
        Ok(run_dir)
    }

    fn refuse_run(path: &Path) -> Result<()> {
        if path.join(GRID).symlink_metadata().is_ok() {
            return Err(Error::usage(format!(
                "{} holds a sweep; expected another --out",
                path.display()
            )));
        }
        let files = [CONFIG, METRICS, CHECKPOINT, BEST, LAST];
        match files.iter().any(|name| path.join(name).symlink_metadata().is_ok()) {
            true => Err(Error::usage(format!(
                "{} already holds a run; go on with it by `--resume {0}`, or choose another `--out`",
                path.display()
            ))),
            false => Ok(()),
        }
    }

    fn locked(path: &Path) -> Result<Self> {
        let lock = files::lock(path)?;
        files::remove_temporaries(path);
        Ok(Self {
            path: path.to_owned(),
            checkpoint_every: None,
            saver: None,
            last_checkpoint: None,
            steps: 0,
            found: None,
            metrics_bytes: 0,
            lock,
        })
    }

    /// Whether a directory holds a run.
    pub fn is_one(path: &Path) -> bool {
        [CONFIG, CHECKPOINT].iter().any(|name| path.join(name).symlink_metadata().is_ok())
    }

    /// Whether there is something to go on with in a directory.
    pub fn has_checkpoint(path: &Path) -> bool {
        path.join(CHECKPOINT).exists()
    }

    /// Opens the directory of a run that has been started, to go on with it.
    ///
    /// # Errors
    /// If there is no run, a file of it is damaged, or another process is in it.
    pub fn open(path: &Path) -> Result<(Self, Standing)> {
        Self::require_run(path)?;
        let mut run_dir = Self::locked(path)?;
        let standing = Self::read(path)?;
        run_dir.found = standing.state.as_ref().map(|state| state.config.clone());
        Ok((run_dir, standing))
    }

    /// Reads the files of a run, which may be going on.
    ///
    /// # Errors
    /// If there is no run, or a file of it is damaged.
    pub fn read(path: &Path) -> Result<Standing> {
        Self::require_run(path)?;
        let checkpoint = path.join(CHECKPOINT);
        if !exists(&checkpoint)? {
            return Ok(Standing { config: read_config(&path.join(CONFIG))?, state: None });
        }
        let state = TrainerState::from_bytes(&files::read(&checkpoint)?);
        let state = state.map_err(|error| match error {
            Error::Invalid { problem, .. } => Error::invalid_file(&checkpoint, problem),
            other => other,
        })?;
        let config = Self::agreed_config(path, &state)?;
        Ok(Standing { config, state: Some(state) })
    }

    /// The settings of a run that has a checkpoint. Its settings file may be missing, and name another number of epochs, or
    /// other times to save.
    fn agreed_config(path: &Path, state: &TrainerState) -> Result<TrainConfig> {
        let Ok(found) = read_config(&path.join(CONFIG)) else { return Ok(state.config.clone()) };
        let TrainConfig { epochs, checkpoint_every, .. } = state.config;
        if (TrainConfig { epochs, checkpoint_every, ..found.clone() }) == state.config {
            return Ok(found);
        }
        let table = |config: &TrainConfig| toml::to_string(config).unwrap_or_default();
        Err(Error::usage(format!(
            "{}/{CONFIG} is not that of its checkpoint{}; expected the settings that the run began with (for others: a new \
             run, by --config)",
            path.display(),
            difference(&table(&found), &table(&state.config))
        )))
    }

    fn require_run(path: &Path) -> Result<()> {
        if path.is_file() {
            return Err(Error::usage(format!(
                "{} is a file; expected the directory of an earlier `densely train`",
                path.display()
            )));
        }
        if exists(&path.join(CONFIG))? || exists(&path.join(CHECKPOINT))? {
            return Ok(());
        }
        Err(Error::usage(format!(
            "{} holds no run: there is no {CONFIG}; expected the directory of an earlier `densely train`",
            path.display()
        )))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The model that was kept.
    pub fn best_model(&self) -> PathBuf {
        self.path.join(BEST)
    }

    /// Whether a checkpoint is to be written now: within an epoch, or at the end of one.
    fn is_due(&self, epoch_ends: bool) -> bool {
        let Some((at, steps)) = self.last_checkpoint else { return true };
        let since = at.elapsed();
        match self.checkpoint_every {
            _ if steps == self.steps => false,
            _ if epoch_ends && since >= LEAST_TIME => true,
            Some(CheckpointEvery::Time(time)) => since >= time,
            Some(CheckpointEvery::Steps(every)) => steps / every < self.steps / every,
            None => false,
        }
    }

    /// Copies the trainer's state and lets it be written, as far as is asked for.
    fn hand_over(&mut self, trainer: &Trainer<'_>, selection: Selection) -> Result<()> {
        self.lock.check()?;
        let saver = match &mut self.saver {
            Some(saver) => saver,
            none => none.insert(Saver::new(&self.path, trainer)?),
        };
        saver.save(trainer.state(), selection)?;
        if selection.checkpoint {
            self.last_checkpoint = Some((Instant::now(), trainer.state().optimizer.steps));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.saver.as_mut().map_or(Ok(()), Saver::flush)
    }

    /// Adds the line of an epoch. If the file is not what was written so far, for example removed, it is written anew.
    fn append_metrics(&mut self, history: &[EpochRecord]) -> Result<()> {
        let path = self.path.join(METRICS);
        let Some(last) = history.last() else { return Ok(()) };
        let line = epoch_line(last)?;
        let is_whole = fs::metadata(&path).is_ok_and(|found| found.len() == self.metrics_bytes);
        if is_whole {
            let file = File::options().append(true).open(&path);
            let append = |mut file: File| {
                let written = file.write_all(line.as_bytes());
                if written.is_err() {
                    drop(file.set_len(self.metrics_bytes)); // no part of a line
                }
                written
            };
            file.and_then(append).map_err(Error::io("append to", &path))?;
            self.metrics_bytes += line.len() as u64;
            return Ok(());
        }
        self.write_metrics(history)
    }

    fn write_metrics(&mut self, history: &[EpochRecord]) -> Result<()> {
        let lines = history.iter().map(epoch_line).collect::<Result<String>>()?;
        files::write_if_changed(&self.path.join(METRICS), lines.as_bytes(), Survives::Machine)?;
        self.metrics_bytes = lines.len() as u64;
        Ok(())
    }

    /// Makes the files agree with the trainer's state; what agrees already is left untouched.
    fn agree(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        let state = trainer.state();
        let config = toml::to_string(trainer.config())
            .map_err(|error| Error::invalid(CONFIG, error.to_string()))?;
        files::write_if_changed(&self.path.join(CONFIG), config.as_bytes(), Survives::Machine)?;
        self.write_metrics(&state.history)?;
        if state.epoch() > 0 {
            files::write_if_changed(
                &self.path.join(BEST),
                &trainer.best_model().to_bytes()?,
                Survives::Machine,
            )?;
        }
        if state.epoch() > 0 && state.partial.is_none() {
            files::write_if_changed(
                &self.path.join(LAST),
                &trainer.last_model().to_bytes()?,
                Survives::Machine,
            )?;
        }
        Ok(())
    }
}

fn exists(path: &Path) -> Result<bool> {
    path.try_exists().map_err(Error::io("look at", path))
}

/// Reads a resolved configuration.
fn read_config(path: &Path) -> Result<TrainConfig> {
    toml::from_str(&files::read_text(path)?)
        .map_err(|error| Error::invalid_file(path, error.message()))
}

/// Which settings differ between two configurations.
pub fn difference(found: &str, asked: &str) -> String {
    let (Ok(found), Ok(asked)) = (found.parse::<toml::Table>(), asked.parse::<toml::Table>())
    else {
        return ": its file is damaged".to_owned();
    };
    let keys: std::collections::BTreeSet<&String> = found.keys().chain(asked.keys()).collect();
    let shown = |value: Option<&toml::Value>| {
        value.map_or_else(|| "not set".to_owned(), toml::Value::to_string)
    };
    let different = keys.into_iter().filter(|key| found.get(*key) != asked.get(*key));
    let texts: Vec<String> = different
        .map(|key| format!("{key} is {}, not {}", shown(found.get(key)), shown(asked.get(key))))
        .collect();
    format!(": {}", texts.join("; "))
}

impl Observer for RunDir {
    /// A killed run may have written models and metrics behind its last checkpoint.
    fn start(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        let state = trainer.state();
        self.steps = state.optimizer.steps;
        self.checkpoint_every = trainer.config().checkpoint_every;
        if !state.is_finished() {
            files::require_writable(&self.path)?; // to be known before an epoch of training
        }
        self.agree(trainer)?;
        if self.found.as_ref() == Some(&state.config) {
            self.last_checkpoint = Some((Instant::now(), self.steps));
        }
        if state.is_finished() && self.last_checkpoint.is_some() {
            return Ok(());
        }
        let checkpoint = self.last_checkpoint.is_none();
        self.hand_over(trainer, Selection { checkpoint, ..Selection::default() })
    }

    fn step(&mut self, _epoch: usize, _progress: Progress) {
        self.steps += 1;
    }

    fn request(&mut self) -> Request {
        let failed = self.saver.as_mut().is_some_and(Saver::has_failed);
        match failed || (self.checkpoint_every.is_some() && self.is_due(false)) {
            true => Request::Save,
            false => Request::Continue,
        }
    }

    /// Within an epoch, or because the run is to stop.
    fn save(&mut self, trainer: &Trainer<'_>, reason: Request) -> Result<()> {
        let steps = trainer.state().optimizer.steps;
        let checkpoint = self.last_checkpoint.is_none_or(|(_, saved)| saved != steps);
        self.hand_over(trainer, Selection { checkpoint, ..Selection::default() })?;
        match reason {
            Request::Stop => self.flush(),
            _ => Ok(()),
        }
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> Result<()> {
        let state = end.trainer.state();
        self.lock.check()?;
        self.append_metrics(&state.history)?;
        let checkpoint = self.is_due(true) || state.is_finished();
        self.hand_over(end.trainer, Selection { best: end.is_best, last: true, checkpoint })?;
        if state.is_finished() {
            self.flush()?;
            self.agree(end.trainer)?; // a file that was removed meanwhile is there again
            [BEST, LAST].iter().try_for_each(|name| files::sync(&self.path.join(name)))?;
        }
        Ok(())
    }

    fn done(&mut self, _outcome: &Outcome) -> Result<()> {
        self.flush()
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
        RunDir::create(&path).unwrap();
        RunDir::create(&path).unwrap();
        fs::write(path.join(CONFIG), toml::to_string(&TrainConfig::default()).unwrap()).unwrap();
        let message = RunDir::create(&path).unwrap_err().to_string();
        assert!(message.contains("--resume"), "{message}");
        let (_, standing) = RunDir::open(&path).unwrap();
        assert_eq!(standing.config, TrainConfig::default());
        assert!(standing.state.is_none());
        fs::write(path.join(CONFIG), "lr = 'fast'").unwrap();
        assert!(RunDir::open(&path).unwrap_err().to_string().contains("config.toml"));
        fs::write(path.join(CHECKPOINT), "no").unwrap();
        assert!(RunDir::open(&path).unwrap_err().to_string().contains(CHECKPOINT));
    }
}
