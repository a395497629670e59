//! What people and programs look at: the terminal, JSON lines, pages and pictures.
//!
//! [`Terminal`], [`SweepTerminal`] and [`JsonLines`] follow a run or a sweep while it happens. Pages are made afterwards, from
//! records and files. Nothing here trains.

mod classification;
mod format;
mod json;
mod page;
mod predictions;
mod progress;
mod sweep_progress;

pub use classification::Confusion;
pub use format::{duration, grouped, percent, plural, summary};
pub use json::JsonLines;
pub use page::{Measured, RunRecord, SweepRecord, write_run_report, write_sweep_report};
pub use predictions::{PredictionFormat, Predictions};
pub use progress::Terminal;
pub use sweep_progress::{SweepTerminal, ranking};

/// Writes lines to standard error, without control characters. If its reader has gone away or its disk is full, the work goes on.
pub fn say(text: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stderr(), "{}", crate::text::lines(text)));
}
