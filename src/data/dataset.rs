//! Labelled examples in memory: the one form that training, evaluation and prediction read.

use std::sync::OnceLock;

use ndarray::ArrayView2;
use xxhash_rust::xxh3::Xxh3;

use super::Occupancy;
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

/// Labelled examples.
#[derive(Clone, Debug)]
pub struct Dataset {
    name: String,
    features: Features,
    labels: Vec<u32>,
    n_features: usize,
    n_classes: usize,
    image: Option<(usize, usize)>,
    train_file_len: Option<usize>,
    occupancy: OnceLock<Occupancy>,
    fingerprint: OnceLock<String>,
}

impl Dataset {
    /// Examples from `x` (samples, features) and a class per sample. The classes are `0..=max(labels)`.
    ///
    /// # Errors
    /// If there are no samples or no features, the lengths differ, or a value is not finite.
    pub fn from_arrays(x: ArrayView2<'_, f32>, labels: &[u32]) -> Result<Self> {
        if let Some(((sample, feature), value)) = x.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(Error::invalid(
                "data set",
                format!("feature {feature} of sample {sample} is {value}; expected finite numbers"),
            ));
        }
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
        let name = name.into();
        let n_values = match &features {
            Features::U8(values) => values.len(),
            Features::F32(values) => values.len(),
        };
        if labels.is_empty() || n_features == 0 {
            let problem =
                format!("expected samples, found {} of {n_features} features", labels.len());
            return Err(Error::invalid(name, problem));
        }
        if labels.len().checked_mul(n_features) != Some(n_values) || labels.len() > MAX_SAMPLES {
            let problem = format!(
                "expected {n_features} values for each of {} labels and at most {MAX_SAMPLES} samples, \
                 found {n_values} values",
                labels.len()
            );
            return Err(Error::invalid(name, problem));
        }
        let n_classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
        Ok(Self {
            name,
            features,
            labels,
            n_features,
            n_classes,
            image: None,
            train_file_len: None,
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

    /// A short name for people, such as `mnist`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Always false: an empty data set is rejected when it is made.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Features per sample.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// The number of classes: every label is below it.
    pub fn n_classes(&self) -> usize {
        self.n_classes
    }

    /// The feature values.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The class of each sample.
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

    /// A 128-bit hash (XXH3) of the sizes, the labels and the values. It tells data sets apart, but is not cryptographic.
    /// Computed on the first call.
    pub fn fingerprint(&self) -> String {
        self.fingerprint.get_or_init(|| self.compute_fingerprint()).clone()
    }

    fn compute_fingerprint(&self) -> String {
        let mut hash = Xxh3::new();
        for size in [self.len(), self.n_features, self.n_classes] {
            hash.update(&(size as u64).to_le_bytes());
        }
        for label in &self.labels {
            hash.update(&label.to_le_bytes());
        }
        match &self.features {
            Features::U8(values) => hash.update(values),
            Features::F32(values) => {
                for value in values {
                    hash.update(&value.to_le_bytes());
                }
            }
        }
        format!("xxh3:{:032x}", hash.digest128())
    }
}

/// Sample numbers have 32 bits.
const MAX_SAMPLES: usize = u32::MAX as usize;

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    #[test]
    fn arrays_become_a_data_set() {
        let x = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
        let data = Dataset::from_arrays(x.t(), &[2, 0, 1]).unwrap();
        assert_eq!((data.len(), data.n_features(), data.n_classes()), (3, 2, 3));
        assert_eq!(data.features(), &Features::F32(vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
    }

    #[test]
    fn arrays_that_do_not_fit_are_rejected() {
        let message = |x: Array2<f32>, labels: &[u32]| {
            Dataset::from_arrays(x.view(), labels).unwrap_err().to_string()
        };
        assert!(message(array![[1.0], [2.0]], &[0]).contains("found 2"));
        assert!(message(array![[f32::NAN]], &[0]).contains("feature 0 of sample 0 is NaN"));
        assert!(message(Array2::zeros((0, 3)), &[]).contains("expected samples"));
        assert!(message(Array2::zeros((2, 0)), &[0, 1]).contains("expected samples"));
    }

    #[test]
    fn the_fingerprint_depends_on_sizes_labels_and_values() {
        let of = |values: &[u8], labels: &[u32], n_features| {
            Dataset::new("test", Features::U8(values.to_vec()), labels.to_vec(), n_features)
                .unwrap()
                .fingerprint()
        };
        let base = of(&[1, 2, 3, 4], &[0, 1], 2);
        assert_eq!(base, of(&[1, 2, 3, 4], &[0, 1], 2));
        assert_ne!(base, of(&[1, 2, 3, 5], &[0, 1], 2));
        assert_ne!(base, of(&[1, 2, 3, 4], &[1, 0], 2));
        assert_ne!(base, of(&[1, 2, 3, 4], &[0, 1, 1, 1], 1));
    }
}
