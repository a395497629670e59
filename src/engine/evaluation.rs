//! Forward alone: scores and predictions, a few hundred samples at a time in buffers of the worker's own.
#![allow(unsafe_code, clippy::mut_from_ref)]

use std::sync::{Mutex, PoisonError};

use super::access::matrix_mut;
use super::gather::gather;
use super::kernels::loss::{Score, softmax, softmax_cross_entropy};
use super::step::Step;
use super::workers::Member;
use super::workspace::EVALUATION_ROWS;
use crate::model::matrix;

/// What a prediction is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Logits,
    Probabilities,
}

/// The jobs without training. Each is to be run by all members of one crew at once, with equal arguments.
impl Step<'_> {
    /// The scores of some samples; `out` has a place for each [`EVALUATION_ROWS`] of them.
    pub fn evaluate(&self, member: &Member<'_>, rows: &[u32], out: &[Mutex<Score>]) {
        let (labels, n_out) = (self.data.labels(), self.spec.n_out());
        self.draw_chunks(rows, out, |samples, out| {
            // SAFETY: the member's own number; the logits before are used up; this is an evaluation.
            let logits = unsafe { self.logits(member.number(), samples) };
            *out = softmax_cross_entropy(self.isa, logits, labels, samples, n_out, 1.0);
        });
    }

    /// The logits of some samples, or the probabilities of the classes; `out` has a piece (samples, n_out) for each
    /// [`EVALUATION_ROWS`] of them.
    pub fn predict(
        &self,
        member: &Member<'_>,
        rows: &[u32],
        out: &[Mutex<&mut [f32]>],
        output: Output,
    ) {
        self.draw_chunks(rows, out, |samples, out| {
            // SAFETY: as in `evaluate`.
            let logits = unsafe { self.logits(member.number(), samples) };
            if output == Output::Probabilities {
                softmax(self.isa, logits, self.spec.n_out());
            }
            out.copy_from_slice(logits);
        });
    }

    /// Works on chunk after chunk, whoever comes first: no result depends on who computes it.
    fn draw_chunks<T>(&self, rows: &[u32], out: &[Mutex<T>], work: impl Fn(&[u32], &mut T)) {
        while let Some(chunk) = self.turns.draw(0, out.len()) {
            let start = chunk * EVALUATION_ROWS;
            let samples = &rows[start..(start + EVALUATION_ROWS).min(rows.len())];
            work(samples, &mut out[chunk].lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Forward alone, for one worker and at most [`EVALUATION_ROWS`] samples; returns their logits (samples, n_out).
    ///
    /// # Safety
    /// `worker` is the number of the member that calls; what an earlier call returned is not used any more; nobody writes the
    /// parameters.
    unsafe fn logits(&self, worker: usize, samples: &[u32]) -> &mut [f32] {
        assert!(samples.len() <= EVALUATION_ROWS, "logits: {} samples", samples.len());
        let places = &self.places.workers[worker];
        let buffer = |which: usize, n: usize| {
            let place = places.evaluation[which % 2].clone();
            // SAFETY: a worker's own buffers, used by turns: the one that is lent has no other use now.
            let buffer = unsafe { self.arena.write(place) };
            &mut buffer[..samples.len() * n]
        };
        gather(self.isa, buffer(0, self.spec.n_in()), self.data, samples);
        for (l, layer) in self.layout.layers().iter().enumerate() {
            let (rows, n_in, n_out) = (samples.len(), layer.n_in, layer.n_out);
            let keeps_slope = !self.activation(l).derivative_follows_from_value();
            let slope = keeps_slope.then(|| {
                let place = places.evaluation_slope.clone();
                // SAFETY: a worker's own buffer, written by one layer at a time.
                let buffer = unsafe { self.arena.write(place) };
                &mut buffer[..rows * n_out]
            });
            let slope = slope.map(|slope| matrix_mut(slope, rows, n_out));
            let z = matrix_mut(buffer(l + 1, n_out), rows, n_out);
            let input = matrix(buffer(l, n_in), rows, n_in);
            self.layer_forward(l, z, slope, input, &(0..n_out), None);
        }
        buffer(self.layout.layers().len(), self.spec.n_out())
    }
}
