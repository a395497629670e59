//! The part of a run's page about numbers.

use maud::{Markup, html};

use super::axis::significant;
use super::html::section;
use super::numbers::left_out;
use super::run_classes::values;
use super::samples::Samples;
use crate::data::Dataset;
use crate::report::Errors;
use crate::report::format::plural;
use crate::task::Metric;

/// The worst predictions in the table.
const SHOWN: usize = 20;

/// The scores of each target, predictions against the truth, the errors, the worst predictions.
pub fn numbers_sections(
    errors: &Errors,
    measured: &Samples,
    data: &Dataset,
    shown: &dyn Fn(&str) -> Option<Markup>,
) -> Markup {
    let samples = plural(measured.rows.len(), "sample");
    html! {
        (section("Scores", &html! {
            p.muted {
                (samples) " of the " (measured.part) " part, in the units of the target; bias is the mean of predicted - true, and deviation is the standard deviation of the truth, the RMSE of a model that always answers the mean"
            }
            @if let Some(warning) = errors.warning() { p.muted { (warning) } }
            (scores(errors))
        }))
        @if let Some(plot) = shown("predictions") {
            (section("Predictions against the truth", &html! {
                p.muted {
                    "on the dashed line a prediction is right"
                    @if let Some(left_out) = left_out(errors) { "; " (left_out) }
                }
                (plot)
            }))
        }
        @if let Some(plot) = shown("residuals") {
            (section("Errors", &plot))
        }
        (section("The worst predictions", &html! {
            @if errors.names().len() > 1 {
                p.muted { "errors by the standard deviation of their target" }
            }
            (worst(errors, measured, data))
        }))
    }
}

fn scores(errors: &Errors) -> Markup {
    let shown = |metric: Metric, value: Option<f64>| {
        value.map_or_else(|| "-".to_owned(), |value| metric.text(value))
    };
    html! {
        div.scroll { table {
            tr { th { "target" } th { "RMSE" } th { "MAE" } th { "R2" } th { "bias" } th { "largest error" } th { "deviation" } }
            @for score in errors.scores() {
                tr {
                    td { (score.target) }
                    td { (shown(Metric::Rmse, score.rmse)) }
                    td { (shown(Metric::Mae, score.mae)) }
                    td { (shown(Metric::R2, score.r2)) }
                    td { (shown(Metric::Mae, score.bias)) }
                    td { (shown(Metric::Mae, score.largest)) }
                    td { (Metric::Rmse.text(score.deviation)) }
                }
            }
        } }
    }
}

fn worst(errors: &Errors, measured: &Samples, data: &Dataset) -> Markup {
    let several = errors.names().len() > 1;
    html! {
        div.scroll { table {
            tr {
                th { (data.sample_noun()) }
                @if several { th { "target" } }
                th { "predicted" } th { "true" } th { "error" } th.left { "values" }
            }
            @for (i, target) in errors.worst(SHOWN) {
                @let (truth, predicted) = errors.pairs(target)[i];
                tr {
                    td { (data.sample_name(measured.rows[i])) }
                    @if several { td { (errors.names()[target]) } }
                    td { (significant(predicted)) }
                    td { (significant(truth)) }
                    td { (significant(predicted - truth)) }
                    td.left { (values(data, measured.rows[i])) }
                }
            }
        } }
    }
}
