//! Examples in memory with classes or targets: the one form that training, evaluation and prediction read.

mod arrays;
mod classes;
mod fingerprint;
mod names;
mod own_parts;
mod permuted;
mod targets;

pub(crate) use names::SampleNames;

use std::sync::{Arc, OnceLock};

use super::draw::{Files, Rows};
use super::prepare::{Prepare, Prepared};
use super::{Occupancy, Parts, Split};
use crate::error::{Error, Result};

/// The feature values of all samples, row-major (samples, features).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Features {
    /// Pixels; the network sees `x / 255`.
    U8(Vec<u8>),
    /// Values that the network sees unchanged.
    F32(Vec<f32>),
}

impl Features {
    /// The number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A value as it is stored.
    pub(super) fn value(&self, at: usize) -> f32 {
        match self {
            Self::U8(values) => f32::from(values[at]),
            Self::F32(values) => values[at],
        }
    }
}

/// Examples with a class each, or with numbers to estimate, and perhaps a weight.
#[derive(Clone, Debug)]
pub struct Dataset {
    name: String,
    features: Features,
    n_samples: usize,
    /// A class for each sample; empty for a regression.
    labels: Vec<u32>,
    /// (samples, targets), row-major; empty for classes.
    targets: Vec<f32>,
    target_names: Vec<String>,
    /// One for each sample.
    weights: Option<Vec<f32>>,
    n_features: usize,
    classes: Vec<String>,
    image: Option<(usize, usize)>,
    /// Values of a pixel.
    channels: usize,
    files: Option<Files>,
    /// The rows of each part, where the caller has named them.
    parts: Option<Parts>,
    /// Whether [`Split::Fractions`] keep the order of the samples.
    keeps_order: bool,
    usual_split: Option<Split>,
    /// What made the features of a table's rows.
    prepare: Option<Arc<Prepare>>,
    /// A hash of what the features were before they became principal components.
    unprojected: Option<u128>,
    /// The split and its seed whose training part that was learnt from; `None` if it was not learnt from this data.
    fitted_to: Option<(Split, u64)>,
    /// What people call the samples.
    names: SampleNames,
    occupancy: OnceLock<Occupancy>,
    fingerprint: OnceLock<String>,
}

impl Dataset {
    /// Checks that features and labels have matching lengths. The classes are `0..=max(labels)`.
    pub(crate) fn new(
        name: impl Into<String>,
        features: Features,
        labels: Vec<u32>,
        n_features: usize,
    ) -> Result<Self> {
        let n_classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
        let mut data = Self::of_features(name.into(), features, labels.len(), n_features)?;
        data.classes = (0..n_classes).map(|class| class.to_string()).collect();
        data.labels = labels;
        Ok(data)
    }

    /// Examples with a class each, one of these.
    pub(crate) fn of_classes(
        name: impl Into<String>,
        features: Features,
        n_features: usize,
        labels: Vec<u32>,
        classes: Vec<String>,
    ) -> Result<Self> {
        let mut data = Self::of_features(name.into(), features, labels.len(), n_features)?;
        if labels.iter().any(|&label| label as usize >= classes.len()) {
            return Err(Error::invalid(data.name, "a label is none of the classes"));
        }
        (data.labels, data.classes) = (labels, classes);
        Ok(data)
    }

    /// Rows of a table to predict, whose classes or targets are not known.
    ///
    /// # Errors
    /// If there are no rows.
    pub fn of_inputs(name: impl Into<String>, prepared: Prepared) -> Result<Self> {
        let n_features = prepared.inputs.len() / prepared.n_rows.max(1);
        let features = Features::F32(prepared.inputs);
        Self::of_features(name.into(), features, prepared.n_rows, n_features)
    }

    /// Samples without classes or targets. Checks that there is a feature vector for each.
    pub(crate) fn of_features(
        name: String,
        features: Features,
        n_samples: usize,
        n_features: usize,
    ) -> Result<Self> {
        let n_values = features.len();
        if n_samples == 0 || n_features == 0 {
            let problem = format!("expected samples, found {n_samples} of {n_features} features");
            return Err(Error::invalid(name, problem));
        }
        if n_samples.checked_mul(n_features) != Some(n_values) || n_samples > MAX_SAMPLES {
            let problem = format!(
                "expected {n_features} values for each of {n_samples} samples and at most {MAX_SAMPLES} samples, \
                 found {n_values} values"
            );
            return Err(Error::invalid(name, problem));
        }
        Ok(Self {
            name,
            features,
            n_samples,
            labels: Vec::new(),
            targets: Vec::new(),
            target_names: Vec::new(),
            weights: None,
            n_features,
            classes: Vec::new(),
            image: None,
            channels: 1,
            files: None,
            parts: None,
            keeps_order: false,
            usual_split: None,
            prepare: None,
            unprojected: None,
            fitted_to: None,
            names: SampleNames::default(),
            occupancy: OnceLock::new(),
            fingerprint: OnceLock::new(),
        })
    }

    /// Records that the features are images of `size` (height, width), row by row, and that the first `train_len` samples
    /// came from the training file. Fractions of them keep their order.
    pub(crate) fn with_images(mut self, size: (usize, usize), train_len: usize) -> Self {
        self.image = Some(size);
        self.files = Some(Files { train: train_len, val: 0 });
        self.keeps_order = true;
        self
    }

    /// Records that the features are images of `size` (height, width), row by row, with as many values a pixel side by side.
    pub(crate) fn with_image_size(mut self, size: (usize, usize), channels: usize) -> Self {
        (self.image, self.channels) = (Some(size), channels);
        self
    }

    /// Records which samples come from which file.
    pub(crate) fn with_files(mut self, files: Files) -> Self {
        self.files = Some(files);
        self
    }

    /// Records what made the features, and what tells them apart if they are principal components.
    pub(crate) fn with_prepare(mut self, prepare: Arc<Prepare>, unprojected: Option<u128>) -> Self {
        (self.prepare, self.unprojected) = (Some(prepare), unprojected);
        self
    }

    /// Records whose training part that was learnt from.
    pub(crate) fn fitted_to(mut self, split: Split, split_seed: u64) -> Self {
        self.fitted_to = Some((split, split_seed));
        self
    }

    /// Records which split convention asks for.
    #[cfg(any(feature = "embedded-mnist", test))]
    pub(crate) fn with_usual_split(mut self, split: Split) -> Self {
        self.usual_split = Some(split);
        self
    }

    /// What a user should know before a training, a line each: labels that cannot be what was meant.
    pub fn warnings(&self) -> Vec<String> {
        if self.is_regression() {
            return self.target_warnings();
        }
        let (samples, classes) = (self.len(), self.n_classes());
        let mut warnings = Vec::new();
        if classes == 1 {
            warnings.push(format!(
                "all {samples} labels of {} are {}: there is nothing to learn",
                self.name, self.classes[0]
            ));
        } else if classes > 2 && 2 * classes > samples {
            warnings.push(format!(
                "{} has {classes} classes in {samples} samples; every value of the labels is a class here, which does not \
                 suit numbers that are to be estimated",
                self.name
            ));
        }
        warnings
    }

    /// A short name for people, such as `mnist`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.n_samples
    }

    /// Always false: an empty data set is rejected when it is made.
    pub fn is_empty(&self) -> bool {
        self.n_samples == 0
    }

    /// Features per sample.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// The number of classes: every label is below it. 0 for a regression.
    pub fn n_classes(&self) -> usize {
        self.classes.len()
    }

    /// The name of each class.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The feature values.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The class of each sample; empty for a regression.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Which values are not zero. Computed on the first call.
    pub fn occupancy(&self) -> &Occupancy {
        self.occupancy.get_or_init(|| Occupancy::of(self))
    }

    /// Height and width, if the features are the pixels of an image.
    pub fn image(&self) -> Option<(usize, usize)> {
        self.image
    }

    /// Values of a pixel, if the features are those of an image: 1 for grey, 3 for red, green and blue.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// How many samples at the front came from the training file; `None` unless the data came from files.
    pub fn train_file_len(&self) -> Option<usize> {
        self.files.map(|files| files.train)
    }

    /// What made the features of a table's rows; `None` for images and arrays.
    pub fn prepare(&self) -> Option<&Arc<Prepare>> {
        self.prepare.as_ref()
    }

    /// What a split looks at.
    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows {
            name: &self.name,
            n: self.len(),
            labels: &self.labels,
            n_classes: self.n_classes(),
            files: self.files,
            parts: self.parts.as_ref(),
            keeps_order: self.keeps_order,
        }
    }

    /// Rejects another split than the one that a table was prepared for, whose training part it would mix with the others.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub(crate) fn require_split(&self, split: Split, seed: u64) -> Result<()> {
        match self.fitted_to.filter(|&fitted| fitted != (split, seed)) {
            None => Ok(()),
            Some((fitted, fitted_seed)) => Err(Error::usage(format!(
                "split `{split}`, seed {seed}: {} was prepared from the training part of the split `{fitted}`, seed \
                 {fitted_seed}; expected one split for a table",
                self.name
            ))),
        }
    }

    /// The split that convention asks for, where it does.
    pub fn usual_split(&self) -> Option<Split> {
        self.usual_split
    }
}

/// Sample numbers have 32 bits.
const MAX_SAMPLES: usize = u32::MAX as usize;

#[cfg(test)]
mod tests;
