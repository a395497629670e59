//! Data sets from arrays: with classes, with the names of classes, or without labels.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::sync::OnceLock;

use ndarray::{ArrayView2, CowArray, Ix2};

use super::{Dataset, Features};
use crate::data::row_major;
use crate::error::{Error, Result};

impl Dataset {
    /// Examples from `x` (samples, features) and a class per sample. The classes are `0..=max(labels)`;
    /// [`Dataset::with_classes`] declares others.
    ///
    /// An array that is given away is taken without a copy if it is row-major; a view is copied.
    ///
    /// # Errors
    /// If there are no samples or no features, the lengths differ, or a value is not finite.
    ///
    /// ```
    /// use densely::data::Dataset;
    /// use ndarray::array;
    ///
    /// let x = array![[0.0, 1.5], [2.0, 0.5], [1.0, 1.0]];
    /// let copied = Dataset::from_arrays(x.view(), &[0, 1, 1])?;
    /// let taken = Dataset::from_arrays(x, vec![0, 1, 1])?.with_classes(["cat", "dog", "bird"])?;
    /// assert_eq!((copied.n_classes(), taken.n_classes()), (2, 3));
    /// # Ok::<(), densely::Error>(())
    /// ```
    pub fn from_arrays<'a>(
        x: impl Into<CowArray<'a, f32, Ix2>>,
        labels: impl Into<Cow<'a, [u32]>>,
    ) -> Result<Self> {
        let x = x.into();
        require_finite("feature", x.view())?;
        let n_features = x.ncols();
        Self::new("arrays", Features::F32(row_major(x)), labels.into().into_owned(), n_features)
    }

    /// Examples from pixels `x` (samples, features) and a class per sample. The network sees the pixels divided by 255. Otherwise as
    /// [`Dataset::from_arrays`].
    ///
    /// # Errors
    /// If there are no samples or no features, or the lengths differ.
    pub fn from_pixels<'a>(
        x: impl Into<CowArray<'a, u8, Ix2>>,
        labels: impl Into<Cow<'a, [u32]>>,
    ) -> Result<Self> {
        let x = x.into();
        let n_features = x.ncols();
        Self::new("arrays", Features::U8(row_major(x)), labels.into().into_owned(), n_features)
    }

    /// Examples from `x` (samples, features) and the name of each sample's class. The classes are the names that occur, by alphabet;
    /// [`Dataset::with_classes_of`] declares others, or another order. `x` is taken or copied as by [`Dataset::from_arrays`].
    ///
    /// # Errors
    /// As [`Dataset::from_arrays`].
    pub fn from_named<'a, S: AsRef<str>>(
        x: impl Into<CowArray<'a, f32, Ix2>>,
        labels: &[S],
    ) -> Result<Self> {
        let x = x.into();
        require_finite("feature", x.view())?;
        let names: BTreeSet<&str> = labels.iter().map(AsRef::as_ref).collect();
        let classes: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let class = |label: &S| classes.binary_search_by(|class| class[..].cmp(label.as_ref()));
        let labels = labels.iter().map(|label| class(label).unwrap_or_default() as u32).collect();
        let n_features = x.ncols();
        Self::of_classes("arrays", Features::F32(row_major(x)), n_features, labels, classes)
    }

    /// Samples to predict, `x` (samples, features), without classes or targets. Nothing can be trained or measured on them. `x` is taken or
    /// copied as by [`Dataset::from_arrays`].
    ///
    /// # Errors
    /// If there are no samples or no features, or a value is not finite.
    pub fn unlabelled<'a>(x: impl Into<CowArray<'a, f32, Ix2>>) -> Result<Self> {
        let x = x.into();
        require_finite("feature", x.view())?;
        let (n_samples, n_features) = x.dim();
        Self::of_features("arrays".to_owned(), Features::F32(row_major(x)), n_samples, n_features)
    }

    /// Pixels to predict, `x` (samples, features); otherwise as [`Dataset::unlabelled`].
    ///
    /// # Errors
    /// If there are no samples or no features.
    pub fn unlabelled_pixels<'a>(x: impl Into<CowArray<'a, u8, Ix2>>) -> Result<Self> {
        let x = x.into();
        let (n_samples, n_features) = x.dim();
        Self::of_features("arrays".to_owned(), Features::U8(row_major(x)), n_samples, n_features)
    }

    /// The same samples with these classes: the label `i` stands for `classes[i]`. A class that no sample has gets an output too.
    ///
    /// # Errors
    /// If a label has no class, two classes have one name, the samples have no classes, or they come from a table, whose classes
    /// [`TableOptions::classes`](crate::data::prepare::TableOptions::classes) declares.
    pub fn with_classes<S: Into<String>>(
        mut self,
        classes: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let classes: Vec<String> = classes.into_iter().map(Into::into).collect();
        let refuse = |problem: String| Err(Error::usage(format!("classes: {problem}")));
        if self.prepare.is_some() {
            return refuse(format!("{} is a table; expected them when it is loaded", self.name));
        }
        if self.n_classes() == 0 {
            return refuse(format!("the samples of {} have none; expected one each", self.name));
        }
        if classes.len() < self.n_classes() {
            let last = self.n_classes() - 1;
            return refuse(format!(
                "{} names for the labels 0 to {last}; expected one each",
                classes.len()
            ));
        }
        let mut seen = HashSet::new();
        if let Some(again) = classes.iter().find(|class| !seen.insert(&class[..])) {
            return refuse(format!("`{again}` twice; expected names that differ"));
        }
        self.classes = classes;
        self.fingerprint = OnceLock::new();
        Ok(self)
    }

    /// Whether the samples have classes or targets.
    pub fn has_labels(&self) -> bool {
        self.n_outputs() > 0
    }

    /// Rejects samples from which nothing can be learnt.
    ///
    /// # Errors
    /// If they have neither classes nor targets.
    pub(crate) fn require_labels(&self) -> Result<()> {
        match self.has_labels() {
            true => Ok(()),
            false => Err(Error::invalid(
                &self.name[..],
                "the samples have no labels; expected classes or targets to learn",
            )),
        }
    }
}

/// Rejects values that are not finite.
pub(super) fn require_finite(what: &str, x: ArrayView2<'_, f32>) -> Result<()> {
    match x.indexed_iter().find(|(_, x)| !x.is_finite()) {
        None => Ok(()),
        Some(((sample, column), value)) => Err(Error::invalid(
            "data set",
            format!("{what} {column} of sample {sample} is {value}; expected finite numbers"),
        )),
    }
}
