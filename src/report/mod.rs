//! What people and programs look at: the terminal, JSON lines, pages and pictures.
//!
//! [`Terminal`], [`SweepTerminal`] and [`JsonLines`] follow a run or a sweep while it happens. Pages are made afterwards, from
//! records and files. Nothing here trains.

mod classification;
mod curves;
mod errors;
mod folds;
mod format;
mod importance;
mod json;
mod live;
mod page;
mod predictions;
mod progress;
mod ranking;
mod row_predictions;
mod run_row;
mod style;
mod sweep_progress;
mod table;

pub use classification::Confusion;
pub use errors::Errors;
pub use folds::folds_table;
pub use format::{
    date, duration, grouped, number, percent, plural, scores, shown_scores, summary, with_chosen,
};
pub use importance::Important;
pub use json::JsonLines;
#[cfg(unix)]
pub use live::erase_in_signal_handler;
pub use page::{
    Classes, Measured, Outputs, RunRecord, Samples, SweepRecord, sheet, write_run_report,
    write_sweep_report,
};
pub use predictions::{PredictionFormat, Predictions};
pub use progress::Terminal;
pub use ranking::ranking;
pub use row_predictions::RowPredictions;
pub use style::{Paint, Stream, Text, cut, respect_dumb_terminal};
pub use sweep_progress::{Plan, SweepTerminal};
pub use table::{Column, Layout};

/// Writes lines to standard error. If its reader has gone away or its disk is full, the work goes on.
pub fn say(text: impl Into<Text>) {
    use std::io::Write as _;
    drop(writeln!(std::io::stderr(), "{}", text.into().for_stream(Stream::Err)));
}
