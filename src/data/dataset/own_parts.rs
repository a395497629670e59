//! Parts that data brings along: other samples below its own, or rows that the caller names.

use std::ops::Range;
use std::sync::OnceLock;

use super::{Dataset, Features, Files, MAX_SAMPLES};
use crate::data::{Part, Parts};
use crate::error::{Error, Result};
use crate::memory::require_bytes;

impl Dataset {
    /// The same samples with a validation part of their own, which takes the place of one that they have. [`Split::Auto`] keeps it:
    /// then all other samples are the training part, and there is no test part unless [`Dataset::with_test`] gives one.
    ///
    /// Classes and targets are matched by name. The values are appended to those of this data set.
    ///
    /// # Errors
    /// If `valid` has other features, images or targets, a class that this data lacks, or weights where this has none; if one of them
    /// comes from a table, because [`Tables`](crate::data::Tables) learn from the training part alone; if the parts are given as rows.
    ///
    /// ```
    /// use densely::data::{Dataset, Split};
    /// use ndarray::array;
    ///
    /// let train = Dataset::from_arrays(array![[0.0], [1.0], [2.0], [3.0]], vec![0, 0, 1, 1])?;
    /// let valid = Dataset::from_arrays(array![[0.5], [2.5]], vec![0, 1])?;
    /// let parts = Split::Auto.apply(&train.with_valid(valid)?, 0)?;
    /// assert_eq!((parts.train.len(), &parts.val[..]), (4, &[4, 5][..]));
    /// # Ok::<(), densely::Error>(())
    /// ```
    ///
    /// [`Split::Auto`]: crate::data::Split::Auto
    pub fn with_valid(self, valid: Self) -> Result<Self> {
        self.with_part(valid, Part::Val)
    }

    /// The same samples with a test part of their own; otherwise as [`Dataset::with_valid`]. Without a validation part, a twelfth of the
    /// rest validates.
    ///
    /// # Errors
    /// As [`Dataset::with_valid`].
    pub fn with_test(self, test: Self) -> Result<Self> {
        self.with_part(test, Part::Test)
    }

    /// The same samples, divided as the caller says; samples in no part are unused. [`Split::Auto`](crate::data::Split::Auto), which is
    /// the default of a training, keeps these parts, and other splits are rejected.
    ///
    /// The parts belong to the data: they count in its [`fingerprint`](Dataset::fingerprint), so that a run resumes only with the same
    /// rows.
    ///
    /// # Errors
    /// If a row is out of range or occurs twice, the training part is empty, or the samples come from a table, whose rows
    /// [`Tables::parts`](crate::data::Tables::parts) divides.
    pub fn with_parts(self, parts: Parts) -> Result<Self> {
        if self.prepare.is_some() {
            return Err(self.was_prepared());
        }
        self.divided(parts)
    }

    /// [`Dataset::with_parts`], also of a table.
    pub(crate) fn divided(mut self, parts: Parts) -> Result<Self> {
        parts.check(self.len())?;
        (self.parts, self.usual_split) = (Some(parts), None);
        self.fingerprint = OnceLock::new();
        Ok(self)
    }

    fn was_prepared(&self) -> Error {
        Error::invalid(
            &self.name[..],
            "it is a table that was prepared from its own training part; expected parts when the table is loaded",
        )
    }

    fn with_part(mut self, other: Self, part: Part) -> Result<Self> {
        let name = part.name();
        if let Some(table) = [&self, &other].into_iter().find(|data| data.prepare.is_some()) {
            return Err(table.was_prepared());
        }
        if self.parts.is_some() {
            let problem =
                format!("a {name} part, and parts that are given as rows; expected one of them");
            return Err(Error::invalid(self.name, problem));
        }
        if other.has_own_parts() {
            let problem =
                format!("it has parts of its own; expected the samples of one, the {name} part");
            return Err(Error::invalid(other.name, problem));
        }
        self.require_same_form(&other, name)?;
        let other = other.matched_to(&self.classes, "one of the training part")?;
        let n = self.len();
        let Files { train, val } = self.files.unwrap_or(Files { train: n, val: 0 });
        let rows = match part {
            Part::Val => train..train + val,
            _ => train + val..n,
        };
        if n - rows.len() + other.len() > MAX_SAMPLES {
            let problem = format!("more than {MAX_SAMPLES} samples with those of {}", other.name);
            return Err(Error::invalid(self.name, problem));
        }
        let size = if matches!(self.features, Features::U8(_)) { 1 } else { 4 };
        let bytes = (self.features.len() as u64 + other.features.len() as u64) * size;
        require_bytes(bytes, &format!("the {name} part beside the others"), "expected less data")?;
        let val = if part == Part::Val { other.len() } else { val };
        (self.files, self.usual_split) = (Some(Files { train, val }), None);
        self.splice(rows, other);
        Ok(self)
    }

    /// Puts other samples in the place of some rows.
    fn splice(&mut self, rows: Range<usize>, other: Self) {
        let of = |width: usize| rows.start * width..rows.end * width;
        let n_targets = self.target_names.len();
        self.n_samples = self.n_samples - rows.len() + other.n_samples;
        match (&mut self.features, other.features) {
            (Features::U8(own), Features::U8(other)) => {
                drop(own.splice(of(self.n_features), other))
            }
            (Features::F32(own), Features::F32(other)) => {
                drop(own.splice(of(self.n_features), other));
            }
            _ => unreachable!("the kinds of values were compared"),
        }
        self.names.splice(rows.clone(), other.names);
        if !self.classes.is_empty() {
            self.labels.splice(of(1), other.labels);
        }
        self.targets.splice(of(n_targets), other.targets);
        if let (Some(own), Some(other)) = (&mut self.weights, other.weights) {
            own.splice(of(1), other);
        }
        (self.occupancy, self.fingerprint) = (OnceLock::new(), OnceLock::new());
    }

    /// Whether it has files, other samples or rows for another part than the training part.
    pub(crate) fn has_own_parts(&self) -> bool {
        self.parts.is_some() || self.files.is_some_and(|files| files.train < self.len())
    }

    /// Rejects samples that cannot stand below these.
    fn require_same_form(&self, other: &Self, part: &str) -> Result<()> {
        let values = |data: &Self| match (&data.features, data.image, data.channels) {
            (_, Some((height, width)), 1) => format!("grey images of {height}x{width}"),
            (_, Some((height, width)), n) => {
                format!("images of {height}x{width} with {n} values a pixel")
            }
            (Features::U8(_), None, _) => format!("{} pixels", data.n_features),
            (Features::F32(_), None, _) => format!("{} numbers", data.n_features),
        };
        let labels = |data: &Self| match (&data.target_names[..], data.has_labels()) {
            (_, false) => "no labels".to_owned(),
            ([], true) => "classes".to_owned(),
            (names, _) => format!("the targets {}", names.join(", ")),
        };
        let weights = |data: &Self| match data.weights {
            Some(_) => "weights".to_owned(),
            None => "no weights".to_owned(),
        };
        let same: [&dyn Fn(&Self) -> String; 3] = [&values, &labels, &weights];
        match same.into_iter().map(|of| (of(other), of(self))).find(|(found, own)| found != own) {
            None => Ok(()),
            Some((found, own)) => Err(Error::invalid(
                &other.name[..],
                format!("the {part} part has {found}; expected {own}, as in the training part"),
            )),
        }
    }
}
