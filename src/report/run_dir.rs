//! The directory of a run.
//!
//! `config.toml` and `metrics.jsonl` are there before the first epoch, so that a bad path fails in the first second.
//! `best.safetensors` and `last.safetensors` follow each epoch and are complete whenever they exist. `checkpoint.safetensors`
//! holds the trainer's whole state; it is replaced at most once a second, and at the end.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::json::epoch_line;
use crate::error::{Error, Result};
use crate::files::{self, Survives};
use crate::train::{EpochEnd, Observer, TrainConfig, Trainer, TrainerState};

const CONFIG: &str = "config.toml";
const METRICS: &str = "metrics.jsonl";
const BEST: &str = "best.safetensors";
const LAST: &str = "last.safetensors";
const CHECKPOINT: &str = "checkpoint.safetensors";

/// Time between two checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// Keeps a run's files.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    metrics: Option<File>,
    last_checkpoint: Option<Instant>,
}

impl RunDir {
    /// Makes the directory for a new run.
    ///
    /// # Errors
    /// [`Error::Usage`] if it holds a run already; otherwise what the operating system says.
    pub fn create(path: &Path) -> Result<Self> {
        let files = [CONFIG, METRICS, CHECKPOINT, BEST, LAST];
        if files.iter().any(|name| path.join(name).symlink_metadata().is_ok()) {
            return Err(Error::usage(format!(
                "{} already holds a run; go on with it by `--resume {0}`, or choose another `--out`",
                path.display()
            )));
        }
        fs::create_dir_all(path).map_err(Error::io("create", path))?;
        Ok(Self { path: path.to_owned(), metrics: None, last_checkpoint: None })
    }

    /// Whether a directory holds a run.
    pub fn is_one(path: &Path) -> bool {
        path.join(CONFIG).symlink_metadata().is_ok()
    }

    /// Opens the directory of a run that has been started: its configuration, and its state if it got that far.
    ///
    /// # Errors
    /// If there is no run, or a file of it is damaged.
    pub fn open(path: &Path) -> Result<(Self, TrainConfig, Option<TrainerState>)> {
        let config_path = path.join(CONFIG);
        let there = |path: &Path| match path.try_exists() {
            Ok(there) => Ok(there),
            Err(error) => Err(Error::io("look at", path)(error)),
        };
        if !there(&config_path)? {
            return Err(Error::usage(format!(
                "{} holds no run: there is no {CONFIG}; expected the directory of an earlier `densely train`",
                path.display()
            )));
        }
        let checkpoint = path.join(CHECKPOINT);
        let state = if there(&checkpoint)? {
            let bytes = files::read(&checkpoint)?;
            let state = TrainerState::from_bytes(&bytes).map_err(|error| match error {
                Error::Invalid { problem, .. } => Error::invalid_file(&checkpoint, problem),
                other => other,
            })?;
            Some(state)
        } else {
            None
        };
        let config = match &state {
            Some(state) => state.config.clone(),
            None => read_config(&config_path)?,
        };
        Ok((Self { path: path.to_owned(), metrics: None, last_checkpoint: None }, config, state))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The model that was kept.
    pub fn best_model(&self) -> PathBuf {
        self.path.join(BEST)
    }

    fn write_checkpoint(&mut self, state: &TrainerState) -> Result<()> {
        let bytes = state.to_bytes()?;
        files::write_atomic(&self.path.join(CHECKPOINT), &bytes, Survives::Machine)?;
        self.last_checkpoint = Some(Instant::now());
        Ok(())
    }
}

/// Writes a file unless it holds just this.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    match fs::read(path) {
        Ok(found) if found == bytes => Ok(()),
        _ => files::write_atomic(path, bytes, Survives::Machine),
    }
}

/// Reads a resolved configuration.
fn read_config(path: &Path) -> Result<TrainConfig> {
    let text = String::from_utf8(files::read(path)?)
        .map_err(|_| Error::invalid_file(path, "expected UTF-8 text"))?;
    toml::from_str(&text).map_err(|error| Error::invalid_file(path, error.message()))
}

impl Observer for RunDir {
    /// Makes the files agree with the trainer's state. A killed run has written models and metrics behind its last
    /// checkpoint; what agrees already is left untouched.
    fn start(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        let state = trainer.state();
        let config = toml::to_string(trainer.config())
            .map_err(|error| Error::invalid(CONFIG, error.to_string()))?;
        let metrics = state.history.iter().map(epoch_line).collect::<Result<String>>()?;
        write_if_changed(&self.path.join(CONFIG), config.as_bytes())?;
        write_if_changed(&self.path.join(METRICS), metrics.as_bytes())?;
        if state.epoch() > 0 {
            write_if_changed(&self.path.join(BEST), &trainer.best_model().to_bytes()?)?;
            write_if_changed(&self.path.join(LAST), &trainer.last_model().to_bytes()?)?;
            write_if_changed(&self.path.join(CHECKPOINT), &state.to_bytes()?)?;
        }
        let path = self.path.join(METRICS);
        let metrics = File::options().append(true).open(&path).map_err(Error::io("open", &path))?;
        self.metrics = Some(metrics);
        Ok(())
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> Result<()> {
        let trainer = end.trainer;
        let last = trainer.last_model();
        if end.is_best {
            last.save(&self.path.join(BEST))?;
        }
        last.save(&self.path.join(LAST))?;
        if let Some(metrics) = &mut self.metrics {
            let line = epoch_line(end.record)?;
            let written = metrics.write_all(line.as_bytes());
            written.map_err(Error::io("append to", &self.path.join(METRICS)))?;
        }
        let due = self.last_checkpoint.is_none_or(|last| last.elapsed() >= CHECKPOINT_EVERY);
        if due || trainer.state().is_finished() {
            self.write_checkpoint(trainer.state())?;
        }
        Ok(())
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
        let (_, config, state) = RunDir::open(&path).unwrap();
        assert_eq!(config, TrainConfig::default());
        assert!(state.is_none());
        fs::write(path.join(CONFIG), "lr = 'fast'").unwrap();
        assert!(RunDir::open(&path).unwrap_err().to_string().contains("config.toml"));
        fs::write(path.join(CHECKPOINT), "no").unwrap();
        assert!(RunDir::open(&path).unwrap_err().to_string().contains(CHECKPOINT));
    }
}
