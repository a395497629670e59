//! What models say of a part of the data, on a page.

use maud::{Markup, html};

use super::axis::significant;
use super::html::figure;
use super::numbers::{predictions, residuals};
use super::picture::Picture;
use super::run_classes::Classes;
use super::run_numbers::numbers_sections;
use super::samples::Samples;
use crate::data::Dataset;
use crate::engine::Score;
use crate::error::Result;
use crate::report::Errors;
use crate::report::format::scores;
use crate::task::Metric;

/// The outputs of a model for a part of the data.
pub struct Measured {
    /// The part and its samples.
    pub samples: Samples,
    /// The sums over them.
    pub score: Score,
    /// What they mean.
    pub outputs: Outputs,
}

/// The outputs of a model, by its task.
pub enum Outputs {
    /// Of classes.
    Classes(Classes),
    /// Of numbers.
    Numbers(Errors),
}

impl Measured {
    /// Pictures of the outputs; `labels` names the classes.
    pub fn pictures(&self, labels: &[String], data: &Dataset) -> Result<Vec<Picture>> {
        match &self.outputs {
            Outputs::Classes(classes) => classes.pictures(&self.samples, labels, data),
            Outputs::Numbers(errors) => Ok(vec![predictions(errors)?, residuals(errors)?]),
        }
    }

    /// The scores and the loss, for the top of a page.
    pub fn figures(&self) -> Markup {
        let part = self.samples.part;
        html! {
            @for (metric, value) in self.scores() {
                (figure(&format!("{part} {}", metric.title()), &metric.text(value)))
            }
            (figure(&format!("{part} loss"), &significant(self.score.loss())))
        }
    }

    /// The part of a page about the outputs.
    pub fn sections(
        &self,
        labels: &[String],
        data: &Dataset,
        shown: &dyn Fn(&str) -> Option<Markup>,
    ) -> Markup {
        match &self.outputs {
            Outputs::Classes(classes) => classes.sections(&self.samples, labels, data, shown),
            Outputs::Numbers(errors) => numbers_sections(errors, &self.samples, data, shown),
        }
    }

    /// What people compare.
    fn scores(&self) -> Vec<(Metric, f64)> {
        match &self.outputs {
            Outputs::Numbers(errors) => scores(&self.score, Some(errors.r2()), true),
            Outputs::Classes(classes) => {
                let f1 = classes.confusion.macro_f1().map(|f1| (Metric::MacroF1, f1));
                let auc = classes.auc().map(|auc| (Metric::Auc, auc));
                scores(&self.score, None, false).into_iter().chain(f1).chain(auc).collect()
            }
        }
    }
}
