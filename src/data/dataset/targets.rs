//! Targets that are numbers, and weights of samples.

use std::sync::OnceLock;

use ndarray::{CowArray, Ix2};

use super::{Dataset, Features};
use crate::data::row_major;
use crate::error::{Error, Result};

impl Dataset {
    /// Examples from `x` (samples, features) with numbers to estimate, `y` (samples, targets), in their own units. A training
    /// standardises them by its training part; see [`crate::task::Regression::fit`]. The targets are named `target`, or
    /// `target_0`, `target_1` and so on where there are several. Arrays are taken or copied as by [`Dataset::from_arrays`].
    ///
    /// # Errors
    /// If there are no samples, features or targets, the lengths differ, or a value is not finite.
    pub fn from_targets<'a>(
        x: impl Into<CowArray<'a, f32, Ix2>>,
        y: impl Into<CowArray<'a, f32, Ix2>>,
    ) -> Result<Self> {
        let (x, y) = (x.into(), y.into());
        super::arrays::require_finite("feature", x.view())?;
        if x.nrows() != y.nrows() {
            let problem = format!("{} rows of features, {} of targets", x.nrows(), y.nrows());
            return Err(Error::invalid("data set", problem + "; expected as many"));
        }
        let names = match y.ncols() {
            1 => vec!["target".to_owned()],
            n => (0..n).map(|target| format!("target_{target}")).collect(),
        };
        let n_features = x.ncols();
        let (features, targets) = (Features::F32(row_major(x)), row_major(y));
        Self::new_regression("arrays", features, n_features, targets, names)
    }

    /// The same examples with other names of their targets, one for each column.
    ///
    /// # Errors
    /// If there are not as many names as targets, or they come from a table.
    pub fn with_target_names<S: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        if names.len() != self.target_names.len() || self.prepare.is_some() {
            return Err(Error::usage(format!(
                "target names: {}; expected {}, one for each target of arrays",
                names.len(),
                self.target_names.len()
            )));
        }
        self.target_names = names;
        self.fingerprint = OnceLock::new();
        Ok(self)
    }

    /// Checks that features and targets have matching lengths and that targets are finite. `targets` is row-major
    /// (samples, targets), in their own units, with a name for each column.
    pub(crate) fn new_regression(
        name: impl Into<String>,
        features: Features,
        n_features: usize,
        targets: Vec<f32>,
        target_names: Vec<String>,
    ) -> Result<Self> {
        let (name, n_targets) = (name.into(), target_names.len());
        if n_targets == 0 || !targets.len().is_multiple_of(n_targets) {
            let problem = format!("{} values of {n_targets} targets", targets.len());
            return Err(Error::invalid(name, problem + "; expected one of each for every sample"));
        }
        if let Some(at) = targets.iter().position(|y| !y.is_finite()) {
            let (sample, target) = (at / n_targets, &target_names[at % n_targets]);
            let problem = format!("target {target} of sample {sample} is {}", targets[at]);
            return Err(Error::invalid(name, problem + "; expected finite numbers"));
        }
        let samples = targets.len() / n_targets;
        let mut data = Self::of_features(name, features, samples, n_features)?;
        (data.targets, data.target_names) = (targets, target_names);
        Ok(data)
    }

    /// The same examples with a weight for each sample, which multiplies its loss; a batch's loss is divided by the sum of its
    /// weights. Only ratios of weights matter.
    ///
    /// # Errors
    /// If there is not one for each sample, one is negative or not finite, or all are 0.
    pub fn with_weights(mut self, weights: Vec<f32>) -> Result<Self> {
        let refuse = |problem: String| Err(Error::invalid(self.name.clone(), problem));
        if weights.len() != self.len() {
            return refuse(format!("{} weights, expected {}", weights.len(), self.len()));
        }
        if let Some(at) = weights.iter().position(|w| !w.is_finite() || *w < 0.0) {
            return refuse(format!("weight {at} is {}; expected 0 or more", weights[at]));
        }
        if weights.iter().all(|&w| w == 0.0) {
            return refuse("all weights are 0; expected some above 0".to_owned());
        }
        self.weights = Some(weights);
        self.fingerprint = OnceLock::new();
        Ok(self)
    }

    /// Whether the targets are numbers to estimate, not classes.
    pub fn is_regression(&self) -> bool {
        !self.target_names.is_empty()
    }

    /// The numbers to estimate, row-major (samples, targets), in their own units; empty where samples have classes.
    pub fn targets(&self) -> &[f32] {
        &self.targets
    }

    /// The name of each target; empty where samples have classes.
    pub fn target_names(&self) -> &[String] {
        &self.target_names
    }

    /// The number of outputs of a network for this data: one for each class, or one for each target.
    pub fn n_outputs(&self) -> usize {
        self.classes.len() + self.target_names.len()
    }

    /// The weight of each sample; `None` where all are equal.
    pub fn weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }

    /// The sum of the weights of some samples: their number where there are no weights.
    pub(crate) fn weight_of(&self, rows: &[u32]) -> f64 {
        match &self.weights {
            None => rows.len() as f64,
            Some(weights) => rows.iter().map(|&row| f64::from(weights[row as usize])).sum(),
        }
    }

    /// The targets of some samples, row-major (rows, targets).
    pub fn targets_of(&self, rows: &[u32]) -> Vec<f32> {
        let n = self.target_names.len();
        rows.iter().flat_map(|&row| &self.targets[row as usize * n..][..n]).copied().collect()
    }

    /// Warnings of [`Dataset::warnings`] about targets that are numbers.
    pub(super) fn target_warnings(&self) -> Vec<String> {
        let n = self.target_names.len();
        let is_constant =
            |t: usize| self.targets.iter().skip(t).step_by(n).all(|&y| y == self.targets[t]);
        let constant = self.target_names.iter().enumerate().filter(|&(t, _)| is_constant(t));
        let warn = |(t, target): (usize, &String)| {
            let (samples, value) = (self.len(), self.targets[t]);
            format!(
                "all {samples} values of {target} in {} are {value}: there is nothing to learn",
                self.name
            )
        };
        constant.map(warn).collect()
    }
}
