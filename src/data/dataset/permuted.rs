//! Samples of which one column is shuffled, to see what a model makes of it.

use std::ops::Range;
use std::sync::OnceLock;

use super::{Dataset, Features};
use crate::error::Result;
use crate::memory::require_memory;

impl Dataset {
    /// A copy of some samples, with what they are and what they weigh.
    ///
    /// # Errors
    /// If memory is short.
    pub(crate) fn taken(&self, rows: &[u32]) -> Result<Self> {
        let n = self.n_features;
        require_memory(rows.len().saturating_mul(n), "the samples")?;
        fn of<T: Copy>(values: &[T], n: usize, rows: &[u32]) -> Vec<T> {
            rows.iter().flat_map(|&row| &values[row as usize * n..][..n]).copied().collect()
        }
        let features = match &self.features {
            Features::U8(pixels) => Features::U8(of(pixels, n, rows)),
            Features::F32(values) => Features::F32(of(values, n, rows)),
        };
        let mut taken = Self::of_features(self.name.clone(), features, rows.len(), n)?;
        if !self.labels.is_empty() {
            taken.labels = of(&self.labels, 1, rows);
        }
        let targets = self.target_names.len();
        taken.targets = if targets == 0 { Vec::new() } else { of(&self.targets, targets, rows) };
        taken.weights = self.weights.as_ref().map(|weights| of(weights, 1, rows));
        (taken.classes, taken.target_names) = (self.classes.clone(), self.target_names.clone());
        Ok(taken)
    }

    /// Gives each sample some inputs of another: those of the sample `order[i]` of `from`, of which this is a copy.
    ///
    /// # Panics
    /// If `order` is not as long as there are samples, or the copy is one of other samples.
    pub(crate) fn set_inputs(&mut self, inputs: &Range<usize>, from: &Self, order: &[u32]) {
        assert_eq!(order.len(), self.n_samples, "set_inputs: the order has another length");
        fn set<T: Copy>(to: &mut [T], from: &[T], n: usize, inputs: &Range<usize>, order: &[u32]) {
            for (to, &row) in to.chunks_exact_mut(n).zip(order) {
                to[inputs.clone()].copy_from_slice(&from[row as usize * n..][..n][inputs.clone()]);
            }
        }
        match (&mut self.features, &from.features) {
            (Features::U8(to), Features::U8(from)) => set(to, from, self.n_features, inputs, order),
            (Features::F32(to), Features::F32(from)) => {
                set(to, from, self.n_features, inputs, order);
            }
            _ => panic!("set_inputs: a copy of other samples"),
        }
        (self.occupancy, self.fingerprint) = (OnceLock::new(), OnceLock::new());
    }
}
