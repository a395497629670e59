//! A thread that writes a run's models and checkpoints while the training continues.
//!
//! Writing the state of a large network and waiting until the disk has it takes as long as some dozen steps. The training
//! thread only copies the state. At most one copy is on its way to the disk, and the next one waits for it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use super::metrics::epoch_lines;
use super::names::{BEST, CHECKPOINT, LAST, METRICS, PREVIOUS};
use super::{Checkpoint, RunOptions};
use crate::error::{Error, Result};
use crate::files;
use crate::model::Model;
use crate::train::{Divergence, Trainer, TrainerState};

/// What to write of a state; with `last`, the figures of the epochs too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection {
    pub best: bool,
    pub last: bool,
    pub checkpoint: bool,
}

/// A copy of a run's state.
struct Copy {
    checkpoint: Checkpoint,
    /// Everything of a model except its parameters.
    model: Model,
}

/// The training thread's end of the thread that writes.
#[derive(Debug)]
pub struct Saver {
    jobs: Option<SyncSender<(Box<Copy>, Selection)>>,
    results: Receiver<(Box<Copy>, Result<()>)>,
    thread: Option<JoinHandle<()>>,
    /// Here unless the thread has it.
    copy: Option<Box<Copy>>,
    /// Why the last write failed, and what it was to write.
    failure: Option<Error>,
    missed: Selection,
    /// What the copy has that no write was asked for yet.
    pending: Selection,
    path: PathBuf,
}

impl std::fmt::Debug for Copy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Copy").finish_non_exhaustive()
    }
}

impl Saver {
    /// Starts the thread for a run's directory, with a first copy of the state.
    ///
    /// # Errors
    /// If the operating system refuses a thread.
    pub fn new(path: &Path, options: &RunOptions, trainer: &Trainer<'_>) -> Result<Self> {
        let (jobs, inbox) = sync_channel::<(Box<Copy>, Selection)>(1);
        let (outbox, results) = sync_channel(1);
        let directory = path.to_owned();
        let work = move || {
            for (copy, selection) in inbox {
                let result = copy.write(&directory, selection);
                if outbox.send((copy, result)).is_err() {
                    break;
                }
            }
        };
        let thread = Builder::new().name("densely-saver".to_owned()).spawn(work);
        let thread = thread.map_err(|error| {
            Error::invalid("threads", format!("cannot start the one that saves: {error}"))
        })?;
        let checkpoint = Checkpoint::of(options, trainer.state());
        let copy = Some(Box::new(Copy { checkpoint, model: trainer.model_without_params() }));
        Ok(Self {
            jobs: Some(jobs),
            results,
            thread: Some(thread),
            copy,
            failure: None,
            missed: Selection::default(),
            pending: Selection::default(),
            path: path.to_owned(),
        })
    }

    /// Copies the state of the end of an epoch, whose models are to be written with the next write.
    ///
    /// # Errors
    /// Why an earlier write failed, if this state cannot be written either.
    pub fn keep(&mut self, state: &TrainerState, is_best: bool) -> Result<()> {
        self.take(state)?;
        self.pending = self.pending.and(Selection { best: is_best, last: true, checkpoint: false });
        Ok(())
    }

    /// Copies the state, and has a checkpoint written, with the models that are to be written.
    ///
    /// # Errors
    /// As [`Saver::keep`].
    pub fn save(&mut self, state: &TrainerState) -> Result<()> {
        // the parameters within an epoch are not a model of a finished one: those of the copy are
        if state.partial().is_some() && self.pending.any() {
            self.send(Selection::default())?;
        }
        self.take(state)?;
        self.send(Selection { checkpoint: true, ..Selection::default() })
    }

    /// Has the models of the copy written, and what is selected.
    ///
    /// # Errors
    /// Why an earlier write failed, if this one fails too.
    pub fn send(&mut self, selection: Selection) -> Result<()> {
        self.wait()?;
        let selection = selection.and(std::mem::take(&mut self.pending));
        if let (true, Some(jobs)) = (selection.any(), &self.jobs)
            && let Some(copy) = self.copy.take()
        {
            self.missed = selection;
            jobs.send((copy, selection)).map_err(|_| self.gone())?;
        }
        Ok(())
    }

    /// Makes the copy one of this state. After a write that failed, it is written at once: the disk may have space again.
    fn take(&mut self, state: &TrainerState) -> Result<()> {
        let failed = self.wait().is_err();
        let missed = std::mem::take(&mut self.missed);
        let (gone, path) = (self.gone(), &self.path);
        let copy = self.copy.as_deref_mut().ok_or(gone)?;
        copy.checkpoint.copy_from(state);
        match failed {
            false => Ok(()),
            true => {
                let last = missed.last && state.partial().is_none();
                copy.write(path, Selection { last, best: missed.best, checkpoint: true })
            }
        }
    }

    /// Whether a write has failed that no call has reported yet.
    pub fn has_failed(&mut self) -> bool {
        if self.copy.is_none()
            && let Ok(returned) = self.results.try_recv()
        {
            self.take_back(returned);
        }
        self.failure.is_some()
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// Why the last write failed.
    pub fn flush(&mut self) -> Result<()> {
        self.wait()
    }

    /// Writes a checkpoint of the last state that was copied, with the reason why the run ends.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub fn diverged(&mut self, divergence: Divergence) -> Result<()> {
        let failed = self.wait().is_err();
        let missed = if failed { self.missed } else { Selection::default() };
        let pending = std::mem::take(&mut self.pending);
        let (gone, path) = (self.gone(), &self.path);
        let copy = self.copy.as_deref_mut().ok_or(gone)?;
        copy.checkpoint.diverged = Some(divergence);
        copy.write(
            path,
            missed.and(pending).and(Selection { checkpoint: true, ..Selection::default() }),
        )
    }

    /// Waits until the thread returns the copy; reports a failure once.
    fn wait(&mut self) -> Result<()> {
        if self.copy.is_none() {
            let returned = self.results.recv().map_err(|_| self.gone())?;
            self.take_back(returned);
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    fn take_back(&mut self, (copy, result): (Box<Copy>, Result<()>)) {
        self.copy = Some(copy);
        self.failure = result.err();
    }

    fn gone(&self) -> Error {
        Error::invalid_file(&self.path, "the thread that saves has ended: a defect of densely")
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Selection {
    fn any(self) -> bool {
        self.best || self.last || self.checkpoint
    }

    fn and(self, other: Self) -> Self {
        Self {
            best: self.best || other.best,
            last: self.last || other.last,
            checkpoint: self.checkpoint || other.checkpoint,
        }
    }
}

impl Copy {
    fn write(&self, directory: &Path, selection: Selection) -> Result<()> {
        let Self { checkpoint, model } = self;
        let write = |name: &str, bytes: &[u8]| files::write_atomic(&directory.join(name), bytes);
        // models first: wherever a checkpoint has an epoch, the epoch's models are there too
        let both = selection.best && checkpoint.best_is_last();
        if selection.best && !both {
            write(BEST, &model.bytes_with(&checkpoint.best_params)?)?;
        }
        if selection.last || both {
            let bytes = model.bytes_with(checkpoint.weights())?;
            if both {
                write(BEST, &bytes)?;
            }
            write(LAST, &bytes)?; // best is last, so that these are its weights too
        }
        if selection.last || selection.checkpoint {
            let lines = epoch_lines(&checkpoint.history)?;
            files::write_if_changed(&directory.join(METRICS), lines.as_bytes())?;
        }
        if selection.checkpoint {
            let bytes = checkpoint.to_bytes()?;
            let previous = directory.join(PREVIOUS);
            files::write_atomic_and_keep(&directory.join(CHECKPOINT), &bytes, &previous)?;
        }
        Ok(())
    }
}
