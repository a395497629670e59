//! A run as JSON, an object a line.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::json;

use crate::engine::Isa;
use crate::error::{Error, Result};
use crate::store::{RunConfig, RunOptions, done_event, epoch_line};
use crate::task::Choice;
use crate::train::{Divergence, EpochEnd, Observer, Outcome, Request, Trainer};

/// Writes `start`, an `epoch` for each, and `done`; `stopped` as the last line if the run was stopped, `diverged` if its
/// numbers stopped being finite. Non-finite numbers are null.
#[derive(Debug)]
pub struct JsonLines<W> {
    out: W,
    options: RunOptions,
    run_dir: PathBuf,
    /// Why nothing more can be written.
    failure: Option<Error>,
}

#[derive(Serialize)]
struct Start<'a> {
    event: &'static str,
    version: &'static str,
    #[serde(flatten)]
    config: &'a RunConfig,
    parameters: usize,
    train_samples: usize,
    val_samples: usize,
    test_samples: usize,
    /// The backend in words: library, version, kernels.
    backend_description: String,
    cpu: &'static str,
    run_dir: String,
}

#[derive(Serialize)]
struct Diverged<'a> {
    event: &'static str,
    #[serde(flatten)]
    divergence: &'a Divergence,
    /// Always null: it is not a number, or the weights that it would be of are not.
    train_loss: Option<f64>,
    message: String,
}

fn to_line(event: &impl Serialize) -> Result<String> {
    match serde_json::to_string(event) {
        Ok(line) => Ok(line + "\n"),
        Err(error) => Err(Error::invalid("JSON output", error.to_string())),
    }
}

impl<W: Write> JsonLines<W> {
    /// Writes to `out`. `options` and `run_dir` are for the first line: what the run remembers besides its settings, and
    /// where its files are.
    pub fn new(out: W, options: RunOptions, run_dir: PathBuf) -> Self {
        Self { out, options, run_dir, failure: None }
    }

    /// Why a line could not be written, if one could not: neither a reader that has gone away nor a full disk stops a training.
    pub fn into_failure(self) -> Option<Error> {
        self.failure
    }

    fn write(&mut self, line: &str) -> Result<()> {
        if self.failure.is_some() {
            return Ok(());
        }
        match self.out.write_all(line.as_bytes()).and_then(|()| self.out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                self.failure = Some(Error::io("write", "standard output".as_ref())(error));
            }
            _ => {}
        }
        Ok(())
    }
}

impl<W: Write> Observer for JsonLines<W> {
    fn start(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        let parts = trainer.parts();
        let mut config = RunConfig::of(trainer.config().clone());
        config.options = self.options.clone();
        config.train.threads = Some(trainer.threads());
        (config.train.loss, config.train.metric) =
            (Choice::Of(trainer.task().loss()), Choice::Of(trainer.metric()));
        let line = to_line(&Start {
            event: "start",
            version: env!("CARGO_PKG_VERSION"),
            config: &config,
            parameters: trainer.parameters(),
            train_samples: parts.train.len(),
            val_samples: parts.val.len(),
            test_samples: parts.test.len(),
            backend_description: trainer.backend().describe(),
            cpu: Isa::detect().name(),
            run_dir: self.run_dir.display().to_string(),
        })?;
        self.write(&line)?;
        match trainer.state().diverged() {
            Some(divergence) => self.diverged(&divergence),
            None => Ok(()),
        }
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> Result<()> {
        self.write(&epoch_line(end.record)?)
    }

    fn save(&mut self, trainer: &Trainer<'_>, reason: Request) -> Result<()> {
        if reason != Request::Stop {
            return Ok(());
        }
        let state = trainer.state();
        let line = to_line(&json!({
            "event": "stopped",
            "epoch": state.epochs_begun(),
            "step": state.optimizer().steps(),
            "run_dir": self.run_dir.display().to_string(),
        }))?;
        self.write(&line)
    }

    fn diverged(&mut self, divergence: &Divergence) -> Result<()> {
        let message = divergence.to_string();
        self.write(&to_line(&Diverged {
            event: "diverged",
            divergence,
            train_loss: None,
            message,
        })?)
    }

    fn done(&mut self, outcome: &Outcome) -> Result<()> {
        let line = to_line(&done_event(outcome, &self.run_dir))?;
        self.write(&line)
    }
}
