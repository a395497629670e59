//! The whole state of a run, between two epochs.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};

use super::{EpochRecord, TrainConfig};
use crate::engine::{Buffer, State};
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
    /// The parameters that are kept so far; those before the first step at first.
    pub best_params: Buffer,
    /// The epoch that they come from; 0 before the first.
    pub best_epoch: usize,
}

/// The part that is text.
#[derive(Serialize, Deserialize)]
struct Header {
    format_version: u32,
    config: TrainConfig,
    data_fingerprint: String,
    steps: u64,
    history: Vec<EpochRecord>,
    best_epoch: usize,
}

const METADATA_KEY: &str = "densely-checkpoint";
const FORMAT_VERSION: u32 = 1;

impl TrainerState {
    /// The number of finished epochs.
    pub fn epoch(&self) -> usize {
        self.history.len()
    }

    /// Whether the training loss has stopped being a number: no later epoch can mend that.
    pub fn has_diverged(&self) -> bool {
        self.history.last().is_some_and(|record| !record.train_loss.is_finite())
    }

    /// Whether the run has come to its end: all epochs are done, patience has run out, or it has diverged.
    pub fn is_finished(&self) -> bool {
        let stale = self.epoch() - self.best_epoch;
        self.epoch() >= self.config.epochs
            || self.has_diverged()
            || self.config.patience.is_some_and(|patience| stale >= patience)
    }

    /// All of it as bytes, for [`TrainerState::from_bytes`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let header = Header {
            format_version: FORMAT_VERSION,
            config: self.config.clone(),
            data_fingerprint: self.data_fingerprint.clone(),
            steps: self.optimizer.steps,
            history: self.history.clone(),
            best_epoch: self.best_epoch,
        };
        let json = serde_json::to_string(&header).map_err(unwritable)?;
        let State { params, m, v, .. } = &self.optimizer;
        let vectors = [("best_params", &self.best_params), ("m", m), ("params", params), ("v", v)];
        let bytes = vectors.map(|(name, vector)| (name, files::le_bytes(vector)));
        let views = bytes.iter().map(|(name, bytes)| {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
            view.map(|view| (*name, view)).map_err(unwritable)
        });
        let views = views.collect::<Result<Vec<_>>>()?;
        serialize(views, Some(HashMap::from([(METADATA_KEY.to_owned(), json)]))).map_err(unwritable)
    }

    /// Reads what [`TrainerState::to_bytes`] wrote.
    ///
    /// # Errors
    /// If the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let json = metadata.metadata().as_ref().and_then(|map| map.get(METADATA_KEY));
        let json = json.ok_or_else(|| damaged("expected a densely checkpoint"))?;
        let header: Header = serde_json::from_str(json).map_err(damaged)?;
        if header.format_version != FORMAT_VERSION {
            return Err(damaged(format!(
                "format version {}, expected {FORMAT_VERSION}",
                header.format_version
            )));
        }
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
        let best_params = vector("best_params")?;
        if [m.len(), v.len(), best_params.len()] != [params.len(); 3] {
            return Err(damaged("its vectors differ in length"));
        }
        let epochs = header.history.iter().map(|record| record.epoch);
        if !epochs.eq(1..=header.history.len()) || header.best_epoch > header.history.len() {
            return Err(damaged("its epochs are not consecutive"));
        }
        Ok(Self {
            config: header.config,
            data_fingerprint: header.data_fingerprint,
            optimizer: State { params, m, v, steps: header.steps },
            history: header.history,
            best_params,
            best_epoch: header.best_epoch,
        })
    }
}

fn damaged(error: impl std::fmt::Display) -> Error {
    Error::invalid("checkpoint", format!("damaged or not a checkpoint: {error}"))
}

fn unwritable(error: impl std::fmt::Display) -> Error {
    Error::invalid("checkpoint", format!("cannot be written: {error}"))
}
