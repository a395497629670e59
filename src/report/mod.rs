//! Observers of a run: what a person, a program or a later session gets to see of it. None of them trains.

mod classification;
mod format;
mod json;
mod predictions;
mod progress;
mod run_dir;

pub use classification::{ClassScore, Confusion};
pub use format::{description, grouped, percent, summary};
pub use json::JsonLines;
pub use predictions::{PredictionFormat, Predictions};
pub use progress::Terminal;
pub use run_dir::RunDir;
