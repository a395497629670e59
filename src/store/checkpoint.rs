//! Checkpoints: a run's whole state as a safetensors file.
//!
//! The vectors are tensors; everything else is JSON under one metadata key.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};

use super::{RunConfig, RunOptions};
use crate::checksum;
use crate::data::prepare::Prepare;
use crate::engine::{Buffer, State};
use crate::error::{Error, Result};
use crate::files;
use crate::train::{Divergence, EpochRecord, PartialEpoch, TrainerState};

const METADATA_KEY: &str = crate::model::CHECKPOINT_KEY;
const FORMAT_VERSION: u32 = 7;
/// Earlier versions lack settings, which have their defaults there.
const OLDEST_VERSION: u32 = 3;

/// The contents of a checkpoint: plain data, which [`Checkpoint::into_state`] checks.
///
/// ```
/// use densely::data::Dataset;
/// use densely::store::{Checkpoint, RunOptions};
/// use densely::train::{TrainConfig, Trainer};
/// use ndarray::array;
///
/// let data = Dataset::from_arrays(array![[0.0], [1.0], [2.0], [3.0]].view(), &[0, 0, 1, 1])?;
/// let mut config = TrainConfig::default();
/// config.split = "4,0,0".parse()?;
/// let trainer = Trainer::new(config, &data)?;
/// let bytes = Checkpoint::of(&RunOptions::default(), trainer.state()).to_bytes()?;
/// let (_, state) = Checkpoint::from_bytes(&bytes)?.into_state()?;
/// let resumed = Trainer::resume(state, &data)?;
/// assert_eq!(resumed.config(), trainer.config());
/// # Ok::<(), densely::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The resolved settings of the run.
    pub config: RunConfig,
    /// [`crate::data::Dataset::fingerprint`] of the data.
    pub data_fingerprint: String,
    /// Worker threads that the run was trained with.
    pub threads: usize,
    /// Steps of the optimizer.
    pub steps: u64,
    /// The finished epochs, in order.
    pub history: Vec<EpochRecord>,
    /// What is done of the epoch after them, if it has begun.
    pub partial: Option<PartialEpoch>,
    /// The epoch whose parameters are kept, from 1; 0 before the first.
    pub best_epoch: usize,
    /// Why the run is over before its last epoch, if it is. The rest is then the last state that was saved before.
    pub diverged: Option<Divergence>,
    /// What made inputs of the rows of a table; `None` for other data.
    pub prepare: Option<Arc<Prepare>>,
    /// Weights and biases.
    pub params: Buffer,
    /// First moments.
    pub m: Buffer,
    /// Second moments.
    pub v: Buffer,
    /// The moving average of the parameters; empty if there is none.
    pub average: Buffer,
    /// The parameters that are kept.
    pub best_params: Buffer,
}

/// The part that is JSON.
#[derive(Serialize, Deserialize)]
struct Header {
    format_version: u32,
    config: RunConfig,
    data_fingerprint: String,
    threads: usize,
    steps: u64,
    history: Vec<EpochRecord>,
    partial: Option<PartialEpoch>,
    best_epoch: usize,
    diverged: Option<Divergence>,
    #[serde(default)]
    has_average: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prepare: Option<Prepare>,
}

/// Read first, so that another version is rejected by its number, not by what is new in it.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

impl Checkpoint {
    /// A copy of a state.
    pub fn of(options: &RunOptions, state: &TrainerState) -> Self {
        let State { params, m, v, average, steps } = state.optimizer.clone();
        Self {
            config: RunConfig { options: options.clone(), train: state.config.clone() },
            data_fingerprint: state.data_fingerprint.clone(),
            threads: state.threads,
            steps,
            history: state.history.clone(),
            partial: state.partial,
            best_epoch: state.best_epoch,
            diverged: state.diverged,
            prepare: state.prepare.clone(),
            params,
            m,
            v,
            average,
            best_params: state.best_params.clone(),
        }
    }

    /// Becomes a copy of another state of the same run, in the memory that it has.
    ///
    /// # Panics
    /// If the networks differ in size.
    pub(super) fn copy_from(&mut self, state: &TrainerState) {
        let State { params, m, v, average, steps } = &state.optimizer;
        self.config.train.clone_from(&state.config);
        self.data_fingerprint.clone_from(&state.data_fingerprint);
        self.params.copy_from_slice(params);
        self.m.copy_from_slice(m);
        self.v.copy_from_slice(v);
        self.average.copy_from_slice(average);
        (self.steps, self.threads) = (*steps, state.threads);
        self.history.clone_from(&state.history);
        self.partial = state.partial;
        self.best_params.copy_from_slice(&state.best_params);
        (self.best_epoch, self.diverged) = (state.best_epoch, state.diverged);
    }

    /// The state, to resume from, and what else the run remembers.
    ///
    /// # Errors
    /// If no run can have reached it.
    pub fn into_state(self) -> Result<(RunOptions, TrainerState)> {
        let Self { params, m, v, average, steps, threads, .. } = self;
        let state = TrainerState {
            config: self.config.train,
            data_fingerprint: self.data_fingerprint,
            threads,
            optimizer: State { params, m, v, average, steps },
            history: self.history,
            partial: self.partial,
            best_params: self.best_params,
            best_epoch: self.best_epoch,
            diverged: self.diverged,
            prepare: self.prepare,
        };
        state.check()?;
        Ok((self.config.options, state))
    }

    /// The file's bytes, for [`Checkpoint::from_bytes`].
    ///
    /// # Errors
    /// If a setting cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut vectors = vec![("params", &self.params), ("m", &self.m), ("v", &self.v)];
        if !self.average.is_empty() {
            vectors.push(("average", &self.average));
        }
        if !self.best_is_last() {
            vectors.push(("best_params", &self.best_params));
        }
        let bytes: Vec<_> =
            vectors.into_iter().map(|(name, vector)| (name, files::le_bytes(vector))).collect();
        let header = Header {
            format_version: FORMAT_VERSION,
            config: self.config.clone(),
            data_fingerprint: self.data_fingerprint.clone(),
            threads: self.threads,
            steps: self.steps,
            history: self.history.clone(),
            partial: self.partial,
            best_epoch: self.best_epoch,
            diverged: self.diverged,
            has_average: !self.average.is_empty(),
            prepare: self.prepare.as_deref().cloned(),
        };
        let json = checksum::sealed(&header, &self.vectors()).map_err(unwritable)?;
        let tensors = bytes.iter().map(|(name, bytes)| {
            let tensor = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
            tensor.map(|tensor| (*name, tensor)).map_err(unwritable)
        });
        let texts = HashMap::from([(METADATA_KEY.to_owned(), json)]);
        serialize(tensors.collect::<Result<Vec<_>>>()?, Some(texts)).map_err(unwritable)
    }

    /// What the checksum is of, in order.
    fn vectors(&self) -> Vec<&[f32]> {
        let mut vectors: Vec<&[f32]> = vec![&self.params, &self.m, &self.v, &self.best_params];
        // an empty one would change the checksums of earlier versions
        vectors.extend((!self.average.is_empty()).then_some(&*self.average));
        vectors
    }

    /// What predictions are made with, as [`State::weights`].
    pub(super) fn weights(&self) -> &Buffer {
        if self.average.is_empty() { &self.params } else { &self.average }
    }

    /// Whether the parameters that are kept are the last ones, so that they are written once. In the library, those of a run
    /// that has diverged are from after the last epoch.
    pub(super) fn best_is_last(&self) -> bool {
        self.best_epoch == self.history.len() && self.partial.is_none() && self.diverged.is_none()
    }

    /// Reads what [`Checkpoint::to_bytes`] wrote.
    ///
    /// # Errors
    /// If the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let json = metadata.metadata().as_ref().and_then(|map| map.get(METADATA_KEY));
        let json = json.ok_or_else(|| damaged("expected a densely checkpoint"))?;
        let Version { format_version } = serde_json::from_str(json).map_err(damaged)?;
        if !(OLDEST_VERSION..=FORMAT_VERSION).contains(&format_version) {
            return Err(Error::invalid(
                "checkpoint",
                format!(
                    "format version {format_version}, expected {OLDEST_VERSION} to {FORMAT_VERSION}; resume it with the densely that wrote it"
                ),
            ));
        }
        let (value, seal) = checksum::opened(json).map_err(damaged)?;
        let header: Header = serde_json::from_str(json).map_err(damaged)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let vector = |name: &str| -> Result<Buffer> {
            let tensor = tensors.tensor(name).map_err(damaged)?;
            if tensor.dtype() != Dtype::F32 {
                return Err(damaged(format!("{name} is {:?}, expected F32", tensor.dtype())));
            }
            let (words, _) = tensor.data().as_chunks();
            let mut buffer = Buffer::zeros(words.len(), "the checkpoint")?;
            buffer.iter_mut().zip(words).for_each(|(x, word)| *x = f32::from_le_bytes(*word));
            Ok(buffer)
        };
        let (params, m, v) = (vector("params")?, vector("m")?, vector("v")?);
        let mut checkpoint = Self {
            config: header.config,
            data_fingerprint: header.data_fingerprint,
            threads: header.threads,
            steps: header.steps,
            history: header.history,
            partial: header.partial,
            best_epoch: header.best_epoch,
            diverged: header.diverged,
            prepare: header.prepare.map(Arc::new),
            params,
            m,
            v,
            average: match header.has_average {
                true => vector("average")?,
                false => Buffer::zeros(0, "the checkpoint")?,
            },
            best_params: Buffer::zeros(0, "the checkpoint")?,
        };
        checkpoint.best_params = match checkpoint.best_is_last() {
            true => Buffer::copy_of(checkpoint.weights(), "the checkpoint")?,
            false => vector("best_params")?,
        };
        checksum::verify(&seal, &value, &checkpoint.vectors()).map_err(damaged)?;
        Ok(checkpoint)
    }
}

fn damaged(error: impl fmt::Display) -> Error {
    Error::invalid("checkpoint", format!("damaged or not a checkpoint: {error}"))
}

fn unwritable(error: impl fmt::Display) -> Error {
    Error::invalid("checkpoint", format!("cannot be written: {error}"))
}
