//! The parts of a data set: training, validation, test.

use super::Dataset;
use crate::error::{Error, Result};
use crate::text::{first_ones, plural};

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// The part to train on.
    Train,
    /// The part that chooses the best epoch.
    Val,
    /// The part to measure the final model on.
    Test,
    /// Every sample of the data set, used or not.
    All,
}

impl Part {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Val => "validation",
            Self::Test => "test",
            Self::All => "whole",
        }
    }
}

/// The rows of each part, as indices into the data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Rows to train on.
    pub train: Vec<u32>,
    /// Rows to validate on.
    pub val: Vec<u32>,
    /// Rows to test on.
    pub test: Vec<u32>,
}

/// Of more samples than these, one is hardly meant to be the training part.
const MOST_TINY: usize = 10;

impl Parts {
    /// The part to measure a model on: the test part; where it is empty the validation part, or else the training part.
    pub fn measurable(&self) -> Part {
        match (&self.test[..], &self.val[..]) {
            ([], []) => Part::Train,
            ([], _) => Part::Val,
            _ => Part::Test,
        }
    }

    /// Rejects parts of other data than `n` rows.
    ///
    /// # Errors
    /// If a row is out of range or occurs twice, or the training part is empty.
    pub(crate) fn check(&self, n: usize) -> Result<()> {
        let refuse = |problem: String| Err(Error::usage(format!("parts: {problem}")));
        if self.train.is_empty() {
            return refuse("no rows to train on; expected at least one".to_owned());
        }
        let mut seen = vec![false; n];
        for &row in [&self.train, &self.val, &self.test].into_iter().flatten() {
            match seen.get_mut(row as usize) {
                None => return refuse(format!("row {row}; expected rows below {n}")),
                Some(true) => {
                    return refuse(format!("row {row} twice; expected every row at most once"));
                }
                Some(seen) => *seen = true,
            }
        }
        Ok(())
    }

    /// The same parts of the rows that are kept: `keep` has a value for each row.
    pub(crate) fn kept(&self, keep: &[bool]) -> Self {
        let mut next = 0;
        let numbers: Vec<u32> = keep
            .iter()
            .map(|&keep| {
                next += u32::from(keep);
                next - u32::from(keep)
            })
            .collect();
        let of = |rows: &[u32]| {
            let rows = rows.iter().map(|&row| row as usize).filter(|&row| keep[row]);
            rows.map(|row| numbers[row]).collect()
        };
        Self { train: of(&self.train), val: of(&self.val), test: of(&self.test) }
    }

    /// A line for each part that has no samples of some classes of `data`, unless the part is empty.
    pub fn lacking(&self, data: &Dataset) -> Vec<String> {
        let parts = [(Part::Train, &self.train), (Part::Val, &self.val), (Part::Test, &self.test)];
        let lacking = |(part, rows): (Part, &Vec<u32>)| {
            let name = part.name();
            let mut has = vec![false; data.n_classes()];
            let classes = rows.iter().filter_map(|&row| data.labels().get(row as usize));
            classes.for_each(|&class| has[class as usize] = true);
            let classes = data.classes().iter().zip(has);
            let missing: Vec<&str> =
                classes.filter(|(_, has)| !has).map(|(class, _)| &class[..]).collect();
            let (count, shown) = (missing.len(), first_ones(&missing));
            match count {
                0 => None,
                1 => Some(format!("the {name} part has no sample of class {shown}")),
                2..=8 => Some(format!("the {name} part has no sample of the classes {shown}")),
                _ => Some(format!("the {name} part has no sample of {count} classes: {shown}")),
            }
        };
        let lacking = parts.into_iter().filter(|(_, rows)| !rows.is_empty()).filter_map(lacking);
        let is_tiny = self.train.len() == 1 && data.len() > MOST_TINY;
        let tiny = is_tiny.then(|| {
            let all = plural(data.len(), "sample");
            format!(
                "the training part is 1 of {all}; in a split, whole numbers count samples, and fractions have a point: 1.0,0.0,0.0"
            )
        });
        tiny.into_iter().chain(lacking).collect()
    }

    /// Rejects weights that leave nothing to train on, or to validate on.
    ///
    /// # Errors
    /// If all weights of the training part, or of a validation part, are 0.
    pub(crate) fn require_weight(&self, data: &Dataset) -> Result<()> {
        for (rows, part) in [(&self.train, Part::Train), (&self.val, Part::Val)] {
            if !rows.is_empty() && data.weight_of(rows) == 0.0 {
                let part = part.name();
                let problem =
                    format!("all weights of the {part} part are 0; expected some above 0");
                return Err(Error::invalid(data.name(), problem));
            }
        }
        Ok(())
    }

    /// The rows of one part of a data set of `n` samples.
    pub fn rows(&self, part: Part, n: usize) -> Vec<u32> {
        match part {
            Part::Train => self.train.clone(),
            Part::Val => self.val.clone(),
            Part::Test => self.test.clone(),
            Part::All => (0..n as u32).collect(),
        }
    }
}
