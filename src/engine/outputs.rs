//! What an engine computes without training: scores and outputs.

use std::sync::{Mutex, PoisonError};

use ndarray::Array2;

use super::context::{Context, Params, Truth, loss_of};
use super::evaluation::{self, Output, meaning};
use super::halt::Halt;
use super::network::NetworkEngine;
use super::step::Report;
use super::workers::Member;
use super::workspace::EVALUATION_ROWS;
use super::{Engine, Score};
use crate::data::Dataset;
use crate::model::fold;

/// The rows of an ensemble whose outputs wait to be scored.
const SCORED_ROWS: usize = 64 * EVALUATION_ROWS;

impl Engine {
    /// The score of the samples of `rows`: their loss, and their accuracy or their errors.
    ///
    /// # Panics
    /// If the parameters or the data do not fit the network, or if a row is out of range.
    pub fn evaluate(&mut self, params: &[f32], data: &Dataset, rows: &[u32]) -> Score {
        self.engines[0].require_truth(data);
        match &mut self.crew {
            None => self.engines[0].evaluate(params, data, rows),
            Some(_) => {
                let mut total = Score::default();
                for rows in rows.chunks(SCORED_ROWS) {
                    let mut outputs = self.logits(params, data, rows);
                    total += self.engines[0].score_of(&mut outputs, data, rows);
                }
                total
            }
        }
    }

    /// The probabilities of the classes for the samples of `rows`, (rows, n_out); for a regression, the estimated values in the
    /// targets' units. The classes or targets of `data` do not matter.
    ///
    /// # Panics
    /// As [`Engine::evaluate`].
    pub fn predict(&mut self, params: &[f32], data: &Dataset, rows: &[u32]) -> Array2<f32> {
        match &mut self.crew {
            None => self.engines[0].outputs(params, data, rows, Output::Meaning),
            Some(_) => {
                let mut outputs = self.logits(params, data, rows);
                self.engines[0].interpret(&mut outputs);
                outputs
            }
        }
    }

    /// The logits, of which [`Engine::predict`] takes the softmax, (rows, n_out). They rank the classes as [`Engine::evaluate`]
    /// does, even where probabilities round to equal numbers. Of a regression, the standardised outputs.
    ///
    /// # Panics
    /// As [`Engine::evaluate`].
    pub fn logits(&mut self, params: &[f32], data: &Dataset, rows: &[u32]) -> Array2<f32> {
        let Self { engines, crew, layout, .. } = self;
        match crew {
            None => engines[0].outputs(params, data, rows, Output::Raw),
            Some(crew) => crew.outputs(engines, layout, params, data, rows),
        }
    }
}

impl NetworkEngine {
    /// The score of some samples.
    fn evaluate(&mut self, params: &[f32], data: &Dataset, rows: &[u32]) -> Score {
        self.begin_evaluation(params, data, rows);
        let chunks = rows.len().div_ceil(EVALUATION_ROWS);
        let scores: Vec<_> = (0..chunks).map(|_| Mutex::new(Score::default())).collect();
        self.run_evaluation(params, data, |context, member, _| {
            evaluation::evaluate(context, member, rows, &scores);
        });
        let mut total = Score::default();
        for score in scores {
            total += score.into_inner().unwrap_or_else(PoisonError::into_inner);
        }
        total
    }

    /// The score of samples whose outputs (rows, n_out) are known; overwrites these.
    fn score_of(&self, outputs: &mut Array2<f32>, data: &Dataset, rows: &[u32]) -> Score {
        let mut total = Score::default();
        let outputs = outputs.as_slice_mut().unwrap_or_default();
        let n_out = self.spec.n_out();
        let Self { isa, loss, scales, .. } = self;
        // as an evaluation adds it up
        for (outputs, samples) in
            outputs.chunks_mut(EVALUATION_ROWS * n_out).zip(rows.chunks(EVALUATION_ROWS))
        {
            let truth = Truth { data, scales, n_out };
            total += loss_of(*isa, *loss, &truth, outputs, samples, (1.0, 0.0));
        }
        total
    }

    /// Makes of outputs (rows, n_out) what they mean.
    fn interpret(&self, outputs: &mut Array2<f32>) {
        let outputs = outputs.as_slice_mut().unwrap_or_default();
        meaning(self.isa, outputs, self.spec.n_out(), self.loss, &self.scales);
    }

    /// What an evaluation needs to know of the data, which it checks.
    fn begin_evaluation(&mut self, params: &[f32], data: &Dataset, rows: &[u32]) {
        self.require_fit(data);
        assert_eq!(params.len(), self.layout.len(), "params do not have the layout's length");
        if let Some(packed) = &mut self.packed {
            packed.begin(data, rows);
        }
        if let Some(folded) = &mut self.folded {
            folded.copy_from_slice(params);
            fold(folded, &self.spec, &self.layout);
        }
    }

    /// Runs a job that evaluates, with what [`NetworkEngine::begin_evaluation`] has prepared.
    fn run_evaluation(
        &mut self,
        params: &[f32],
        data: &Dataset,
        job: impl Fn(&Context<'_>, &Member<'_>, Report<'_>) + Sync,
    ) {
        let folded = self.folded.take();
        let params = folded.as_deref().unwrap_or(params);
        self.run(Params::Fixed(params), data, &Halt::default(), job, &mut |_| ());
        self.folded = folded;
    }

    /// The outputs for some samples, (rows, n_out), or what they mean.
    pub fn outputs(
        &mut self,
        params: &[f32],
        data: &Dataset,
        rows: &[u32],
        output: Output,
    ) -> Array2<f32> {
        let n_out = self.spec.n_out();
        let Some(len) = rows.len().checked_mul(n_out) else {
            panic!("{} rows of {n_out} outputs overflow", rows.len())
        };
        self.begin_evaluation(params, data, rows);
        let mut values = vec![0.0; len];
        let out: Vec<_> = values.chunks_mut(EVALUATION_ROWS * n_out).map(Mutex::new).collect();
        self.run_evaluation(params, data, |context, member, _| {
            evaluation::predict(context, member, rows, &out, output);
        });
        drop(out);
        match Array2::from_shape_vec((rows.len(), n_out), values) {
            Ok(values) => values,
            Err(_) => unreachable!("the vector was created with this length"),
        }
    }
}
