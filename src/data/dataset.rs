//! Labelled examples in memory: the one form that training, evaluation and prediction read.

use std::collections::HashMap;
use std::sync::OnceLock;

use ndarray::ArrayView2;
use xxhash_rust::xxh3::Xxh3;

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
}

/// Labelled examples.
#[derive(Clone, Debug)]
pub struct Dataset {
    name: String,
    features: Features,
    labels: Vec<u32>,
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
        let n_values = features.len();
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
        let classes = (0..n_classes).map(|class| class.to_string()).collect();
        Ok(Self {
            name,
            features,
            labels,
            n_features,
            classes,
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

    /// The split that convention asks for, where it does.
    pub fn usual_split(&self) -> Option<Split> {
        self.usual_split
    }

    /// A 128-bit hash (XXH3) of everything that a training depends on: the sizes, the shape of the images, where the training
    /// file ends, the names of the classes, the labels and the values. It tells data sets apart, but is not cryptographic.
    /// Computed on the first call.
    pub fn fingerprint(&self) -> String {
        self.fingerprint.get_or_init(|| format!("xxh3-2:{:032x}", self.hash())).clone()
    }

    /// Whether a fingerprint is that of this data, also one that densely wrote before image shapes were part of it.
    pub fn has_fingerprint(&self, fingerprint: &str) -> bool {
        match fingerprint.starts_with("xxh3:") {
            true => {
                self.earlier_hash().is_some_and(|hash| fingerprint == format!("xxh3:{hash:032x}"))
            }
            false => fingerprint == self.fingerprint(),
        }
    }

    fn hash(&self) -> u128 {
        let mut hash = Xxh3::new();
        let (height, width) = self.image.unwrap_or_default();
        // no file is that long: the maximum stands for none
        let file = self.train_file_len.map_or(u64::MAX, |len| len as u64);
        for size in [self.len(), self.n_features, self.n_classes(), height, width] {
            hash.update(&(size as u64).to_le_bytes());
        }
        hash.update(&file.to_le_bytes());
        for class in &self.classes {
            hash.update(&(class.len() as u64).to_le_bytes());
            hash.update(class.as_bytes());
        }
        self.hash_values(&mut hash, self.labels.iter().copied());
        hash.digest128()
    }

    /// The fingerprint of format 1: of the sizes, the labels as numbers, and the values.
    fn earlier_hash(&self) -> Option<u128> {
        let classes: Option<Vec<u32>> =
            self.classes.iter().map(|class| class.parse().ok()).collect();
        let classes = classes?;
        let n_classes = classes.iter().max().map_or(0, |&class| class as usize + 1);
        let mut hash = Xxh3::new();
        for size in [self.len(), self.n_features, n_classes] {
            hash.update(&(size as u64).to_le_bytes());
        }
        self.hash_values(&mut hash, self.labels.iter().map(|&label| classes[label as usize]));
        Some(hash.digest128())
    }

    fn hash_values(&self, hash: &mut Xxh3, labels: impl Iterator<Item = u32>) {
        for label in labels {
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
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    /// The fingerprint of format 1 of three bytes 7 with the labels 1, 3, 1.
    const EARLIER: &str = "xxh3:b5cfe0067df53f5287b7f75012e26904";

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

    fn labelled(labels: &[u32]) -> Dataset {
        Dataset::new("test", Features::U8(vec![7; labels.len()]), labels.to_vec(), 1).unwrap()
    }

    #[test]
    fn the_fingerprint_depends_on_the_shape_and_where_the_training_file_ends() {
        let data = || Dataset::new("test", Features::U8(vec![1; 12]), vec![0, 1, 2], 4).unwrap();
        let all = [
            data(),
            data().with_images((2, 2), 3),
            data().with_images((1, 4), 3),
            data().with_images((2, 2), 2),
            data().with_classes_of(&["0", "1", "2", "3"].map(str::to_owned)).unwrap(),
        ];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert_eq!(a.fingerprint() == b.fingerprint(), i == j, "{i} {j}");
                assert_eq!(a.has_fingerprint(&b.fingerprint()), i == j);
            }
        }
    }

    #[test]
    fn earlier_fingerprints_are_recognised() {
        // as the version before wrote it, of 3 samples with the labels 1, 3, 1
        let data = labelled(&[1, 3, 1]);
        let earlier = format!("xxh3:{:032x}", data.earlier_hash().unwrap());
        assert_eq!(earlier, EARLIER);
        assert!(data.with_occurring_classes().has_fingerprint(EARLIER));
        assert!(!labelled(&[1, 3, 3]).has_fingerprint(EARLIER));
    }

    #[test]
    fn classes_are_those_that_occur_and_keep_their_names() {
        let data = labelled(&[5, 2, 5, 26]).with_occurring_classes();
        assert_eq!(
            (data.labels(), data.classes()),
            (&[1, 0, 1, 2][..], &["2", "5", "26"].map(str::to_owned)[..])
        );
        let model = ["26", "1", "5", "2"].map(str::to_owned);
        let matched = data.clone().with_classes_of(&model).unwrap();
        assert_eq!((matched.labels(), matched.n_classes()), (&[2, 3, 2, 0][..], 4));
        let error = data.with_classes_of(&model[..3]).unwrap_err().to_string();
        assert!(
            error.contains("class 2 is not known to the model; expected one of 26, 1, 5"),
            "{error}"
        );
    }

    #[test]
    fn labels_that_cannot_be_meant_are_noticed() {
        let warning =
            |labels: &[u32]| labelled(labels).with_occurring_classes().warnings().join("");
        assert!(warning(&[4, 4, 4]).contains("all 3 labels of test are 4"));
        assert!(warning(&[9, 4, 7, 7]).contains("3 classes in 4 samples"));
        assert_eq!(warning(&[0, 1]), "");
        assert_eq!(warning(&[0, 1, 2, 0, 1, 2]), "");
    }
}
