//! The outputs of models, and what they mean on a page.

use ndarray::Array2;

use crate::data::Dataset;
use crate::engine::{Engine, Score};
use crate::model::Model;
use crate::report::{Classes, Errors, Measured, Outputs, Samples};

/// The outputs of models for some rows.
pub struct RawOutputs {
    /// (rows, outputs): probabilities, or values in the targets' units.
    pub values: Array2<f32>,
    /// (rows, classes); empty for numbers.
    pub logits: Array2<f32>,
}

impl RawOutputs {
    /// Those of a model.
    pub fn of(engine: &mut Engine, model: &Model, data: &Dataset, rows: &[u32]) -> Self {
        let logits = match data.is_regression() {
            true => Array2::zeros((0, 0)),
            false => engine.logits(model.params(), data, rows),
        };
        Self { values: engine.predict(model.params(), data, rows), logits }
    }

    /// What they mean for these samples.
    pub fn measured(self, data: &Dataset, samples: Samples, score: Score) -> Measured {
        let outputs = match data.is_regression() {
            true => {
                let names = data.target_names().to_vec();
                let truth = data.targets_of(&samples.rows);
                Outputs::Numbers(Errors::new(names, self.values.view(), &truth))
            }
            false => {
                let truth: Vec<u32> =
                    samples.rows.iter().map(|&row| data.labels()[row as usize]).collect();
                let classes = data.classes().to_vec();
                Outputs::Classes(Classes::new(classes, self.logits.view(), self.values, &truth))
            }
        };
        Measured { samples, score, outputs }
    }
}
