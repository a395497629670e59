//! `metrics.jsonl`: the figures of a run's epochs, an object a line.

use serde::Serialize;

use super::names::METRICS;
use crate::error::{Error, Result};
use crate::train::EpochRecord;

#[derive(Serialize)]
struct Epoch<'a> {
    event: &'static str,
    #[serde(flatten)]
    record: &'a EpochRecord,
}

/// The line of an epoch, with its end of line. `--json` prints the same.
pub fn epoch_line(record: &EpochRecord) -> Result<String> {
    match serde_json::to_string(&Epoch { event: "epoch", record }) {
        Ok(line) => Ok(line + "\n"),
        Err(error) => Err(Error::invalid(METRICS, error.to_string())),
    }
}

/// The lines of the epochs.
pub fn epoch_lines(history: &[EpochRecord]) -> Result<String> {
    history.iter().map(epoch_line).collect()
}
