//! Checks files against their checksums, and those of a run against each other.

use std::path::Path;

use super::metrics::epoch_lines;
use super::names::{BEST, CHECKPOINT, CONFIG, LAST, METRICS, PREVIOUS, RESULTS};
use super::run_dir::{read_checkpoint, read_config};
use super::{Checkpoint, RunConfig, RunDir, SweepDir};
use crate::error::{Error, Result};
use crate::files;
use crate::model::Model;
use crate::train::TrainerState;

/// What was found whole: the names of files, and what was checked.
pub type Verified = Vec<(String, String)>;

/// Checks a model, a checkpoint, or all files of the run in a directory.
///
/// # Errors
/// The first file that is damaged, missing, or says something else than the newest checkpoint.
pub fn verify_path(path: &Path) -> Result<Verified> {
    if path.is_dir() {
        return verify_run(path);
    }
    let bytes = files::read(path)?;
    let what = match Checkpoint::from_bytes(&bytes) {
        Ok(checkpoint) => of_checkpoint(&checkpoint.into_state()?.1),
        Err(as_checkpoint) => match Model::load(path, &[]) {
            Ok(model) => of_model(&model, &bytes),
            // a file that says that it is a checkpoint is judged as one
            Err(_) if contains(&bytes, b"densely-checkpoint") => {
                return Err(Error::invalid_file(path, as_checkpoint.to_string()));
            }
            Err(as_model) => return Err(as_model),
        },
    };
    Ok(vec![(path.display().to_string(), what)])
}

fn verify_run(path: &Path) -> Result<Verified> {
    if !RunDir::is_one(path) {
        let problem = "expected a model, a checkpoint or the directory of a run";
        return Err(Error::invalid_file(path, problem));
    }
    let mut verified = Vec::new();
    let mut note = |name: &str, what: String| verified.push((name.to_owned(), what));
    let require = |name: &str| match path.join(name).is_file() {
        true => Ok(path.join(name)),
        false => Err(missing(&path.join(name))),
    };
    let config_file = require(CONFIG)?;
    let config = read_config(&config_file)?;
    let mut newest: Option<(RunConfig, TrainerState)> = None;
    if path.join(PREVIOUS).is_file() {
        require(CHECKPOINT)?;
    }
    for name in [CHECKPOINT, PREVIOUS] {
        let file = path.join(name);
        if !file.is_file() {
            continue;
        }
        let (found, state) = read_checkpoint(&file)?;
        note(name, of_checkpoint(&state));
        newest.get_or_insert((found, state));
    }
    let (found, state) =
        newest.ok_or_else(|| Error::invalid_file(path, "the run has no checkpoint yet"))?;
    RunDir::require_agreement(&config_file, &config, &found)?;
    let (epochs, begun) = (config.train.epochs, state.epochs_begun());
    if epochs < begun {
        let problem = format!(
            "epochs is {epochs}, but the run has begun epoch {begun}; expected at least {begun}"
        );
        return Err(Error::invalid_file(&config_file, problem));
    }
    note(CONFIG, "agrees with the checkpoint".to_owned());
    for (name, params) in [(BEST, state.best_params()), (LAST, state.optimizer().weights())] {
        let file = path.join(name);
        // there is none before the end of the first epoch
        if state.epoch() == 0 && !file.is_file() {
            continue;
        }
        let bytes = files::read(&require(name)?)?;
        let model = Model::load(&file, &[])?;
        // within an epoch the checkpoint is ahead of the models
        if state.partial().is_none() && state.diverged().is_none() && model.params() != params {
            let problem = format!(
                "its weights are not those of {CHECKPOINT}; `densely train --resume` writes it anew"
            );
            return Err(Error::invalid_file(&file, problem));
        }
        note(name, of_model(&model, &bytes));
    }
    let metrics = require(METRICS)?;
    if files::read_text(&metrics)? != epoch_lines(state.history())? {
        let problem = format!(
            "its epochs are not those of {CHECKPOINT}; `densely train --resume` writes it anew"
        );
        return Err(Error::invalid_file(&metrics, problem));
    }
    note(METRICS, "agrees with the checkpoint".to_owned());
    let results = path.join(RESULTS);
    // the runs of a sweep have theirs in its table
    if state.is_finished() && SweepDir::around(path).is_none() {
        require(RESULTS)?;
    }
    if results.is_file() {
        let text = files::read_text(&results)?;
        let value: serde_json::Value = serde_json::from_str(&text)
            .map_err(|error| Error::invalid_file(&results, format!("expected JSON: {error}")))?;
        if state.is_finished() && value["best_epoch"].as_u64() != Some(state.best_epoch() as u64) {
            let problem = format!("its best epoch is not that of {CHECKPOINT}");
            return Err(Error::invalid_file(&results, problem));
        }
        note(RESULTS, "agrees with the checkpoint".to_owned());
    }
    Ok(verified)
}

fn missing(file: &Path) -> Error {
    Error::invalid_file(file, "it is missing; `densely train --resume` writes it anew")
}

fn of_checkpoint(state: &TrainerState) -> String {
    let (epoch, step) = (state.epochs_begun(), state.optimizer().steps());
    format!("its checksum is right; epoch {epoch}, step {step}")
}

fn of_model(model: &Model, bytes: &[u8]) -> String {
    match (model.metadata(), contains(bytes, b"checksum")) {
        (Some(_), true) => "its checksum is right".to_owned(),
        (Some(_), false) => "readable; an earlier version wrote it without a checksum".to_owned(),
        (None, _) => "readable; another program wrote it, without a checksum".to_owned(),
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).take(1 << 20).any(|window| window == text)
}
