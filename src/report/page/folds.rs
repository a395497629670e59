//! The part of a page about the folds of a cross-validation.

use maud::{Markup, html};

use super::sweep_charts::DRAWN;
use crate::report::folds::deviation;
use crate::report::format::{duration, number};
use crate::task::Metric;
use crate::train::FoldScores;

/// What each combination of settings came to, the best first.
pub fn over_folds(folds: &[FoldScores], metric: Metric) -> Markup {
    let text =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| metric.text(value));
    html! {
        p.muted { (metric.title()) " of each fold, by a run that was trained on the others; the best epoch was chosen by a part of those" }
        div.scroll { table {
            tr {
                @if folds.len() > 1 { th.left { "settings" } }
                th { "mean" } th { "standard deviation" }
                @for number in 1..=folds[0].values.len() { th { "fold " (number) } }
                th { "loss" } th { "time" }
            }
            @for (i, scores) in folds.iter().enumerate().take(DRAWN) {
                tr.best[i == 0 && folds.len() > 1] {
                    @if folds.len() > 1 { td.left { (scores.settings) } }
                    td { (text(scores.mean())) }
                    td { (scores.sd().map_or_else(|| "-".to_owned(), |sd| deviation(metric, sd))) }
                    @for value in &scores.values { td { (text(*value)) } }
                    td { (scores.loss().map_or_else(|| "-".to_owned(), number)) }
                    td { (duration(scores.seconds)) }
                }
            }
        } }
    }
}
