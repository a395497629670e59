//! Observers of a run: what a person, a program or a later session gets to see of it. None of them trains.

mod classification;
mod format;
mod json;
mod page;
mod predictions;
mod progress;
mod run_dir;
mod saver;
mod sweep_dir;
mod sweep_progress;

pub use classification::{ClassScore, Confusion};
pub use format::{description, duration, grouped, percent, plural, summary};
pub use json::JsonLines;
pub use page::{REPORT, RankedRuns, ranked_runs, write_run_report, write_sweep_report};
pub use predictions::{PredictionFormat, Predictions};
pub use progress::Terminal;
pub use run_dir::{RunDir, Standing};
pub use sweep_dir::{SweepDir, add_tests};
pub use sweep_progress::{SweepTerminal, ranking};

/// Writes a line to standard error. A reader that has gone away, or a full disk behind it, is no reason to stop.
pub fn say(text: &str) {
    use std::io::Write as _;
    drop(writeln!(std::io::stderr(), "{text}"));
}
