//! What `densely eval` says of a model.

use serde_json::{Value, json};

use super::{finite, print_note, print_raw, print_text};
use crate::engine::Score;
use crate::report::{
    Confusion, Errors, Important, Paint, Stream, Text, number, percent, plural, scores,
    shown_scores,
};
use crate::task::Metric;

/// A part of some data that has been measured.
pub struct Ended<'a> {
    /// What the user calls the data.
    pub source: &'a str,
    /// The part, or `all`.
    pub part: &'static str,
    /// The sums over its samples.
    pub score: Score,
    /// What matters to the model, if somebody asked.
    pub importance: Option<&'a Important>,
    /// Whether programs read it.
    pub json: bool,
}

impl Ended<'_> {
    /// Adds what matters to an object for programs.
    fn add_importance(&self, line: &mut Value) {
        if let Some(important) = self.importance {
            line["importance_metric"] = json!(important.metric.name());
            line["importance"] = json!(important.columns);
        }
    }

    /// What matters, as a table.
    fn important(&self, width: Option<usize>) -> Text {
        match self.importance {
            None => Text::default(),
            Some(important) => Text::from("\n\n").then(important.table(width)),
        }
    }

    /// Prints how well classes are recognised. `auc` is the area under the ROC curve, NaN where it is undefined.
    pub fn classes(&self, confusion: &Confusion, auc: f64) -> anyhow::Result<()> {
        let score = self.score;
        let counted = confusion.counts().sum();
        if counted < score.samples {
            print_note(&format!(
                "without a class, because the model's outputs are not finite: {}, counted as wrong",
                plural((score.samples - counted) as usize, "sample")
            ));
        }
        if self.json {
            let counts: Vec<Vec<u64>> =
                confusion.counts().rows().into_iter().map(|row| row.to_vec()).collect();
            let mut line = json!({
                "loss": finite(score.loss()),
                "accuracy": score.accuracy(),
                "samples": score.samples,
                "macro_f1": confusion.macro_f1(),
                "auc": finite(auc),
                "data": self.source,
                "part": self.part,
                "classes": confusion.classes(),
                "confusion": counts,
            });
            self.add_importance(&mut line);
            return print_raw(&line.to_string());
        }
        let width = Stream::Out.width();
        let auc = match auc.is_finite() {
            true => format!(", {} {}", Metric::Auc.title(), Metric::Auc.text(auc)),
            false => String::new(),
        };
        let samples = plural(score.samples as usize, "sample");
        let summary = Text::from("accuracy ")
            .with(Paint::Best, percent(score.accuracy()))
            .with(Paint::Plain, format!(", loss {}{auc}, on {samples}\n\n", number(score.loss())));
        let text = summary.wrapped(width, 2).then(confusion.tables(width));
        print_text(&text.then(self.important(width)))
    }

    /// Prints how far predictions are from the truth.
    pub fn numbers(&self, errors: &Errors) -> anyhow::Result<()> {
        let (score, r2) = (self.score, errors.r2());
        if let Some(warning) = errors.warning() {
            print_note(&warning);
        }
        if self.json {
            let mut line = json!({
                "loss": finite(score.loss()),
                "rmse": finite(score.rmse()),
                "mae": finite(score.mae()),
                "r2": finite(r2),
                "samples": score.samples,
                "data": self.source,
                "part": self.part,
            });
            if errors.names().len() > 1 {
                line["targets"] = json!(errors.scores());
            }
            self.add_importance(&mut line);
            return print_raw(&line.to_string());
        }
        let width = Stream::Out.width();
        let samples = plural(score.samples as usize, "sample");
        let values = scores(&score, Some(r2), true);
        let loss = format!(", loss {}, on {samples}\n\n", number(score.loss()));
        let summary = shown_scores("", "", &values).with(Paint::Plain, loss);
        let text = summary.wrapped(width, 2).then(errors.table(width));
        print_text(&text.then(self.important(width)))
    }
}
