//! `metrics.jsonl`: the figures of a run's epochs, an object a line.

use std::path::Path;

use serde::Serialize;

use super::names::METRICS;
use crate::error::{Error, Result};
use crate::files;
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

/// The figures of the finished epochs of the run in a directory; none where the file is missing. A line that no run writes is left
/// out.
pub fn read_metrics(run: &Path) -> Result<Vec<EpochRecord>> {
    let metrics = run.join(METRICS);
    match metrics.is_file() {
        true => {
            let text = files::read_text(&metrics)?;
            Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
        }
        false => Ok(Vec::new()),
    }
}

/// The lines of the epochs.
pub fn epoch_lines(history: &[EpochRecord]) -> Result<String> {
    history.iter().map(epoch_line).collect()
}
