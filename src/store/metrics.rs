//! `metrics.jsonl`: the figures of a run's epochs, an object a line.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::names::METRICS;
use crate::error::{Error, Result};
use crate::files::{self, Durability};
use crate::train::EpochRecord;

/// The file of one run.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    /// The length of what was written so far.
    bytes: u64,
}

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

impl Metrics {
    /// The file in a run's directory, which may not exist yet.
    pub fn in_directory(directory: &Path) -> Self {
        Self { path: directory.join(METRICS), bytes: 0 }
    }

    /// Adds the line of the last epoch. If the file is not what was written so far, for example removed, writes it anew.
    pub fn append(&mut self, history: &[EpochRecord]) -> Result<()> {
        let Some(last) = history.last() else { return Ok(()) };
        let line = epoch_line(last)?;
        let is_whole = fs::metadata(&self.path).is_ok_and(|found| found.len() == self.bytes);
        if !is_whole {
            return self.write(history);
        }
        let append = |mut file: File| {
            let written = file.write_all(line.as_bytes());
            if written.is_err() {
                drop(file.set_len(self.bytes)); // no part of a line
            }
            written
        };
        let file = File::options().append(true).open(&self.path);
        file.and_then(append).map_err(Error::io("append to", &self.path))?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Replaces the file, unless it holds just this.
    pub fn write(&mut self, history: &[EpochRecord]) -> Result<()> {
        let lines = history.iter().map(epoch_line).collect::<Result<String>>()?;
        files::write_if_changed(&self.path, lines.as_bytes(), Durability::Synced)?;
        self.bytes = lines.len() as u64;
        Ok(())
    }
}
