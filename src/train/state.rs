//! The whole state of a run, between two steps.

use std::collections::HashMap;
use std::fmt;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::observer::is_plausible_time;
use super::{EpochRecord, TrainConfig};
use crate::engine::{Broken, Buffer, Score, State};
use crate::error::{Error, Result};
use crate::files;

/// Everything that the rest of a run depends on, besides the data. A run that is continued from it, on the same data,
/// machine and build, goes on bit for bit as if it had never stopped.
///
/// Nothing random is in it: an epoch's order is a function of the seed and the epoch's number.
#[derive(Clone, Debug)]
pub struct TrainerState {
    /// The resolved settings of the run.
    pub config: TrainConfig,
    /// [`crate::data::Dataset::fingerprint`] of the data.
    pub data_fingerprint: String,
    /// Parameters, moments and the step count.
    pub optimizer: State,
    /// The finished epochs, in order.
    pub history: Vec<EpochRecord>,
    /// What is done of the epoch behind them, if it has begun.
    pub partial: Option<PartialEpoch>,
    /// The parameters that are kept so far; those before the first step at first.
    pub best_params: Buffer,
    /// The epoch that they come from; 0 before the first.
    pub best_epoch: usize,
    /// Why the run is over before its last epoch, if it is. In a saved state, everything else is as it was when it was saved
    /// last before that.
    pub diverged: Option<Divergence>,
}

/// An epoch that is not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartialEpoch {
    /// Of the samples that were trained on, which are the first ones of the epoch's order.
    pub score: Score,
    /// The time that the training took.
    pub seconds: f64,
}

impl PartialEpoch {
    fn is_plausible(&self) -> bool {
        let Score { loss_sum, correct, samples } = self.score;
        loss_sum.is_finite() && correct <= samples && is_plausible_time(self.seconds)
    }
}

/// The end of a run whose numbers stopped being finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// From 1.
    pub epoch: usize,
    /// The optimizer's step, counted from 1 over all epochs.
    pub step: u64,
    /// What it met.
    #[serde(flatten)]
    pub broken: Broken,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, step, broken } = self;
        let remedy = match broken {
            Broken::Outputs { .. } => "a lower --lr helps",
            Broken::Weights { .. } => {
                "a lower --lr helps, or inputs that are not larger than some tens"
            }
        };
        write!(f, "the training diverged in step {step} (epoch {epoch}): {broken}; {remedy}")
    }
}

/// The part that is text.
#[derive(Serialize, Deserialize)]
struct Header {
    format_version: u32,
    config: TrainConfig,
    data_fingerprint: String,
    steps: u64,
    history: Vec<EpochRecord>,
    partial: Option<PartialEpoch>,
    best_epoch: usize,
    diverged: Option<Divergence>,
    /// Of the vectors, in the order in which they are written: XXH3 of their little-endian bytes.
    checksum: u64,
}

/// Read first, so that another version is refused by its number, not by what is new in it.
#[derive(Deserialize)]
struct Version {
    format_version: u32,
}

const METADATA_KEY: &str = "densely-checkpoint";
const FORMAT_VERSION: u32 = 2;
/// More than any machine takes, and far from where their number overflows.
const MOST_STEPS: u64 = 1 << 53;

impl TrainerState {
    /// The number of finished epochs.
    pub fn epoch(&self) -> usize {
        self.history.len()
    }

    /// Whether the run has come to its end: all epochs are done, patience has run out, or it has diverged.
    pub fn is_finished(&self) -> bool {
        let stale = self.epoch() - self.best_epoch;
        let no_patience = self.config.patience.is_some_and(|patience| stale >= patience);
        let between_epochs = self.partial.is_none();
        self.diverged.is_some()
            || (between_epochs && (self.epoch() >= self.config.epochs || no_patience))
    }

    /// Becomes a copy of another state of the same run, in the memory that it has.
    ///
    /// # Panics
    /// If the networks differ in size.
    pub fn copy_from(&mut self, other: &Self) {
        let Self { config, data_fingerprint, optimizer, history, partial, .. } = self;
        config.clone_from(&other.config);
        data_fingerprint.clone_from(&other.data_fingerprint);
        optimizer.params.copy_from_slice(&other.optimizer.params);
        optimizer.m.copy_from_slice(&other.optimizer.m);
        optimizer.v.copy_from_slice(&other.optimizer.v);
        optimizer.steps = other.optimizer.steps;
        history.clone_from(&other.history);
        *partial = other.partial;
        self.best_params.copy_from_slice(&other.best_params);
        (self.best_epoch, self.diverged) = (other.best_epoch, other.diverged);
    }

    /// All of it as bytes, for [`TrainerState::from_bytes`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let State { params, m, v, .. } = &self.optimizer;
        let mut vectors = vec![("params", params), ("m", m), ("v", v)];
        if !self.best_is_last() {
            vectors.push(("best_params", &self.best_params));
        }
        let bytes: Vec<_> =
            vectors.into_iter().map(|(name, vector)| (name, files::le_bytes(vector))).collect();
        let mut checksum = Xxh3::new();
        bytes.iter().for_each(|(_, bytes)| checksum.update(bytes));
        let header = Header {
            format_version: FORMAT_VERSION,
            config: self.config.clone(),
            data_fingerprint: self.data_fingerprint.clone(),
            steps: self.optimizer.steps,
            history: self.history.clone(),
            partial: self.partial,
            best_epoch: self.best_epoch,
            diverged: self.diverged,
            checksum: checksum.digest(),
        };
        let json = serde_json::to_string(&header).map_err(unwritable)?;
        let tensors = bytes.iter().map(|(name, bytes)| {
            let tensor = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
            tensor.map(|tensor| (*name, tensor)).map_err(unwritable)
        });
        let texts = HashMap::from([(METADATA_KEY.to_owned(), json)]);
        serialize(tensors.collect::<Result<Vec<_>>>()?, Some(texts)).map_err(unwritable)
    }

    /// Whether the parameters that are kept are the last ones, so that they need not be written twice.
    pub(crate) fn best_is_last(&self) -> bool {
        self.best_epoch == self.epoch() && self.partial.is_none()
    }

    /// Reads what [`TrainerState::to_bytes`] wrote.
    ///
    /// # Errors
    /// If the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let json = metadata.metadata().as_ref().and_then(|map| map.get(METADATA_KEY));
        let json = json.ok_or_else(|| damaged("expected a densely checkpoint"))?;
        let Version { format_version } = serde_json::from_str(json).map_err(damaged)?;
        if format_version != FORMAT_VERSION {
            return Err(Error::invalid(
                "checkpoint",
                format!(
                    "format version {format_version}, expected {FORMAT_VERSION}; go on with the densely that wrote it"
                ),
            ));
        }
        let header: Header = serde_json::from_str(json).map_err(damaged)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let mut checksum = Xxh3::new();
        let mut vector = |name: &str| -> Result<Buffer> {
            let tensor = tensors.tensor(name).map_err(damaged)?;
            if tensor.dtype() != Dtype::F32 {
                return Err(damaged(format!("{name} is {:?}, expected F32", tensor.dtype())));
            }
            checksum.update(tensor.data());
            let (words, _) = tensor.data().as_chunks();
            let mut buffer = Buffer::zeros(words.len(), "the checkpoint")?;
            buffer.iter_mut().zip(words).for_each(|(x, word)| *x = f32::from_le_bytes(*word));
            Ok(buffer)
        };
        let (params, m, v) = (vector("params")?, vector("m")?, vector("v")?);
        let mut state = Self {
            config: header.config,
            data_fingerprint: header.data_fingerprint,
            best_params: Buffer::zeros(0, "the checkpoint")?,
            optimizer: State { params, m, v, steps: header.steps },
            history: header.history,
            partial: header.partial,
            best_epoch: header.best_epoch,
            diverged: header.diverged,
        };
        state.best_params = match state.best_is_last() {
            true => Buffer::copy_of(&state.optimizer.params, "the checkpoint")?,
            false => vector("best_params")?,
        };
        // a fuzzer would not come past it
        if !cfg!(fuzzing) && checksum.digest() != header.checksum {
            return Err(damaged("its checksum is not that of its contents"));
        }
        state.check()?;
        Ok(state)
    }

    /// Refuses what no run can have saved.
    fn check(&self) -> Result<()> {
        let State { params, m, v, .. } = &self.optimizer;
        if [m.len(), v.len(), self.best_params.len()] != [params.len(); 3] {
            return Err(damaged("its vectors differ in length"));
        }
        let epochs = self.history.iter().map(|record| record.epoch);
        if !epochs.eq(1..=self.history.len()) || self.best_epoch > self.history.len() {
            return Err(damaged("its epochs are not consecutive"));
        }
        if self.history.is_empty() != (self.best_epoch == 0) {
            return Err(damaged("an epoch is kept that is none of its epochs"));
        }
        if let Some(record) = self.history.iter().find(|record| !record.is_plausible()) {
            return Err(damaged(format!("the figures of epoch {} are out of range", record.epoch)));
        }
        if self.partial.is_some_and(|partial| !partial.is_plausible()) {
            return Err(damaged("the figures of the epoch that has begun are out of range"));
        }
        let steps = self.optimizer.steps;
        if steps > MOST_STEPS {
            return Err(damaged(format!("{steps} steps, expected at most {MOST_STEPS}")));
        }
        let vectors = [params, m, v, &self.best_params];
        if vectors.into_iter().any(|vector| vector.iter().any(|x| !x.is_finite())) {
            return Err(damaged("it holds numbers that are not finite"));
        }
        Ok(())
    }
}

fn damaged(error: impl fmt::Display) -> Error {
    Error::invalid("checkpoint", format!("damaged or not a checkpoint: {error}"))
}

fn unwritable(error: impl fmt::Display) -> Error {
    Error::invalid("checkpoint", format!("cannot be written: {error}"))
}
