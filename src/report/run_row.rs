//! What the rows of runs share, in the ranking and in the progress of a sweep.

use console::measure_text_width;

use super::style::cut;
use super::table::Layout;
use crate::task::Metric;
use crate::train::Status;

/// Columns are left out until this much of a name fits; a longer name is cut.
pub const NAME: usize = 26;

/// The head of the column of a metric on the validation part.
pub const fn validation_head(metric: Metric) -> &'static str {
    match metric {
        Metric::Accuracy => "validation",
        Metric::LogLoss | Metric::Loss => "val loss",
        Metric::MacroF1 => "macro F1",
        Metric::Auc => "val AUC",
        Metric::Rmse => "val RMSE",
        Metric::Mae => "val MAE",
        Metric::R2 => "val R2",
    }
}

/// The word after the name of a run, with the blanks before it; nothing for a run that is done.
pub fn status_word(status: Status) -> &'static str {
    match status {
        Status::Done => "",
        Status::Diverged => "  diverged",
        Status::Failed => "  failed",
        Status::Unfinished => "  unfinished",
    }
}

/// A name after the columns of a table, and a word after that; the name is cut to what is left of the line.
pub fn named(layout: &Layout<'_>, width: Option<usize>, name: &str, word: &str) -> String {
    let name = match width {
        Some(width) => {
            let taken = layout.total() + 2 + measure_text_width(word);
            cut(name, width.saturating_sub(taken).max(1))
        }
        None => name.to_owned(),
    };
    format!("  {name}{word}")
}
