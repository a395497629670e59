//! Examples in memory with classes or targets: the one form that training, evaluation and prediction read.

mod fingerprint;
mod targets;

use std::collections::HashMap;
use std::sync::OnceLock;

use ndarray::ArrayView2;

use super::{Occupancy, Split};
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
    train_file_len: Option<usize>,
    usual_split: Option<Split>,
    occupancy: OnceLock<Occupancy>,
    fingerprint: OnceLock<String>,
}

impl Dataset {
    /// Examples from `x` (samples, features) and a class per sample. The classes are `0..=max(labels)`.
    ///
    /// # Errors
    /// If there are no samples or no features, the lengths differ, or a value is not finite.
    pub fn from_arrays(x: ArrayView2<'_, f32>, labels: &[u32]) -> Result<Self> {
        require_finite("feature", x)?;
        let values = x.iter().copied().collect();
        Self::new("arrays", Features::F32(values), labels.to_vec(), x.ncols())
    }

    /// Examples from pixels `x` (samples, features) and a class per sample. The network sees the pixels divided by 255.
    ///
    /// # Errors
    /// If there are no samples or no features, or the lengths differ.
    pub fn from_pixels(x: ArrayView2<'_, u8>, labels: &[u32]) -> Result<Self> {
        let values = x.iter().copied().collect();
        Self::new("arrays", Features::U8(values), labels.to_vec(), x.ncols())
    }

    /// Checks that features and labels have matching lengths. The classes are `0..=max(labels)`.
    pub(crate) fn new(
        name: impl Into<String>,
        features: Features,
        labels: Vec<u32>,
        n_features: usize,
    ) -> Result<Self> {
        let n_classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
        let mut data = Self::sized(name.into(), features, labels.len(), n_features)?;
        data.classes = (0..n_classes).map(|class| class.to_string()).collect();
        data.labels = labels;
        Ok(data)
    }

    /// Examples without classes or targets yet. Checks that there is a feature vector for each.
    fn sized(
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
                "expected {n_features} values for each of {n_samples} labels and at most {MAX_SAMPLES} samples, \
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
            train_file_len: None,
            usual_split: None,
            occupancy: OnceLock::new(),
            fingerprint: OnceLock::new(),
        })
    }

    /// Records that the features are images of `size` (height, width), row by row, and that the first `train_len` samples
    /// came from the training file.
    pub(crate) fn with_images(mut self, size: (usize, usize), train_len: usize) -> Self {
        self.image = Some(size);
        self.train_file_len = Some(train_len);
        self
    }

    /// Records which split convention asks for.
    #[cfg(any(feature = "embedded-mnist", test))]
    pub(crate) fn with_usual_split(mut self, split: Split) -> Self {
        self.usual_split = Some(split);
        self
    }

    /// Numbers the classes that occur from 0 on, in order; their names stay the numbers that the labels were.
    pub(crate) fn with_occurring_classes(mut self) -> Self {
        let mut numbers = vec![u32::MAX; self.classes.len()];
        self.labels.iter().for_each(|&label| numbers[label as usize] = 0);
        let occurring = numbers.iter_mut().filter(|number| **number == 0);
        (0..).zip(occurring).for_each(|(next, number)| *number = next);
        self.labels.iter_mut().for_each(|label| *label = numbers[*label as usize]);
        let mut occurs = numbers.iter().map(|&number| number != u32::MAX);
        self.classes.retain(|_| occurs.next() == Some(true));
        self
    }

    /// The same samples with the classes of a model, matched by name.
    ///
    /// # Errors
    /// If a class is not among them.
    pub fn with_classes_of(mut self, classes: &[String]) -> Result<Self> {
        if self.classes == classes {
            return Ok(self);
        }
        let of_model: HashMap<&str, u32> =
            classes.iter().zip(0..).map(|(class, number)| (&class[..], number)).collect();
        let numbers = self.classes.iter().map(|class| of_model.get(&class[..]).copied());
        let Some(numbers) = numbers.collect::<Option<Vec<u32>>>() else {
            let unknown = self.classes.iter().find(|class| !classes.contains(class));
            let problem = format!(
                "class {} is not known to the model; expected one of {}",
                unknown.map_or("", |class| class),
                listed(classes)
            );
            return Err(Error::invalid(self.name, problem));
        };
        self.labels.iter_mut().for_each(|label| *label = numbers[*label as usize]);
        self.classes = classes.to_vec();
        self.fingerprint = OnceLock::new();
        Ok(self)
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

    /// How many samples at the front came from the training file; `None` unless the data came from files of images.
    pub fn train_file_len(&self) -> Option<usize> {
        self.train_file_len
    }

    /// The split that convention asks for, where it does.
    pub fn usual_split(&self) -> Option<Split> {
        self.usual_split
    }
}

/// Rejects values that are not finite.
fn require_finite(what: &str, x: ArrayView2<'_, f32>) -> Result<()> {
    match x.indexed_iter().find(|(_, x)| !x.is_finite()) {
        None => Ok(()),
        Some(((sample, column), value)) => Err(Error::invalid(
            "data set",
            format!("{what} {column} of sample {sample} is {value}; expected finite numbers"),
        )),
    }
}

/// Names in a row, shortened where there are many.
fn listed(names: &[String]) -> String {
    match names {
        [first, .., last] if names.len() > 20 => format!("{first} to {last}"),
        _ => names.join(", "),
    }
}

/// Sample numbers have 32 bits.
const MAX_SAMPLES: usize = u32::MAX as usize;

#[cfg(test)]
mod tests;
