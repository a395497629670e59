//! Divides a data set into training, validation and test parts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::draw::{Counts, Rows, automatic, fold, stratified};
use super::{Dataset, Parts};
use crate::error::{Error, Result};

/// How to divide a data set. The rows of a part are in file order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Split {
    /// What suits the data. Parts whose rows are given stay. A validation file and a test file are the parts of their names. Data with a test file alone keeps that
    /// as its test part, and a twelfth of the rest, drawn at random from every class in proportion, validates; with a validation file
    /// alone, there is no test part. All other data is divided as 0.8, 0.1, 0.1, in the same way. Of MNIST a new run
    /// makes [`Split::Pooled`] of it; see [`Split::resolved`].
    #[default]
    Auto,
    /// Training, validation and test as 50 : 5 : 15 of all samples in file order: 50,000 / 5,000 / 15,000 of MNIST.
    Pooled,
    /// The test file is the test part; the last twelfth of the training file is held out for validation.
    Canonical,
    /// These numbers of samples for training, validation and test, in file order; the rest is unused.
    Counts([usize; 3]),
    /// These fractions of all samples, rounded down; the rest is unused. Tables and arrays are shuffled first, so that every class has
    /// its share in each part; IDX files keep their order.
    Fractions([f64; 3]),
    /// One of several folds, for cross-validation: the samples are dealt to the folds, so that every class has its share in each, and
    /// those of this fold are the test part. A twelfth of the others, drawn as by [`Split::Auto`], validates, so that nothing
    /// that chose the weights is in the test part. A test file of the data is left out.
    Fold {
        /// Which one, from 1.
        number: usize,
        /// How many there are.
        of: usize,
    },
}

impl Split {
    /// What a new run makes of a split: convention decides what [`Split::Auto`] means for MNIST. A run that resumes keeps what
    /// it began with.
    #[must_use]
    pub fn resolved(self, data: &Dataset) -> Self {
        match self {
            Self::Auto => data.usual_split().unwrap_or(Self::Auto),
            other => other,
        }
    }

    /// Divides `data` into parts. `seed` decides what [`Split::Auto`] and [`Split::Fold`] draw, and [`Split::Fractions`] of
    /// tables and arrays.
    ///
    /// # Errors
    /// [`Error::Usage`] if there are too few samples, the training part would be empty, or the split is `canonical` and
    /// the data has no test file.
    pub fn apply(self, data: &Dataset, seed: u64) -> Result<Parts> {
        self.parts_of(&data.rows(), seed)
    }

    /// Whether it draws samples of `data`, so that a seed matters.
    pub fn draws(self, data: &Dataset) -> bool {
        match self {
            Self::Auto => data.rows().parts.is_none(),
            Self::Fold { .. } => true,
            Self::Fractions(_) => !data.rows().keeps_order,
            _ => false,
        }
    }

    /// [`Split::apply`] to rows.
    pub(crate) fn parts_of(self, rows: &Rows<'_>, seed: u64) -> Result<Parts> {
        let n = rows.n;
        if let Some(parts) = rows.parts {
            return match self {
                Self::Auto => Ok(parts.clone()),
                _ => Err(Error::usage(format!(
                    "split `{self}`: the rows of the parts of {} are given; expected `auto`, which keeps them",
                    rows.name
                ))),
            };
        }
        let (train, val, test) = match self {
            Self::Auto => return Ok(automatic(rows, seed)),
            Self::Fold { number, of } => return fold(rows, number, of, seed),
            Self::Pooled => {
                let (train, val) = (proportion(n, 50, 70), proportion(n, 5, 70));
                (train, val, n - train - val)
            }
            Self::Canonical => {
                let Some(file) = rows.files.map(|files| files.train).filter(|&file| file < n)
                else {
                    return Err(Error::usage(format!(
                        "split `canonical`: {} has no test file of its own; expected one, or another split",
                        rows.name
                    )));
                };
                let val = file / 12;
                (file - val, val, n - file)
            }
            Self::Counts([train, val, test]) => (train, val, test),
            Self::Fractions(fractions) => {
                let [train, val, test] = fractions.map(|fraction| {
                    // 0.7 * 10 may be 6.999999999999999, which means 7
                    (fraction * n as f64 + 1e-6).floor() as usize
                });
                (train, val, test)
            }
        };
        let total = train.checked_add(val).and_then(|sum| sum.checked_add(test));
        if total.is_none_or(|total| total > n) {
            return Err(Error::usage(format!(
                "split `{self}`: {train} + {val} + {test} samples asked for, {} has {n}",
                rows.name
            )));
        }
        if train == 0 {
            return Err(Error::usage(format!(
                "split `{self}`: the training part is empty; expected at least 1 of the {n} samples of {}",
                rows.name
            )));
        }
        if matches!(self, Self::Fractions(_)) && !rows.keeps_order {
            return Ok(stratified(rows, 0..n, Counts { train, val, test }, seed));
        }
        let range = |start: usize, len: usize| (start as u32..(start + len) as u32).collect();
        Ok(Parts { train: range(0, train), val: range(train, val), test: range(train + val, test) })
    }
}

fn proportion(n: usize, numerator: u128, denominator: u128) -> usize {
    (n as u128 * numerator / denominator) as usize
}

impl FromStr for Split {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |problem: &str| {
            Error::usage(format!(
                "split `{text}`: {problem}; expected `auto`, `pooled`, `canonical`, three counts such as \
                 50000,5000,15000, three fractions such as 0.8,0.1,0.1, or a fold such as fold:2/5"
            ))
        };
        if let Some(fold) = text.strip_prefix("fold:") {
            let numbers = fold.split_once('/').and_then(|(number, of)| {
                Some((number.trim().parse::<usize>().ok()?, of.trim().parse().ok()?))
            });
            return match numbers {
                Some((number, of)) if of >= 2 && (1..=of).contains(&number) => {
                    Ok(Self::Fold { number, of })
                }
                Some(_) => Err(refuse("there is no such fold")),
                None => Err(refuse("not two numbers")),
            };
        }
        match text {
            "auto" => return Ok(Self::Auto),
            "pooled" => return Ok(Self::Pooled),
            "canonical" => return Ok(Self::Canonical),
            _ => {}
        }
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let [train, val, test] = parts[..] else {
            return Err(refuse("not three numbers"));
        };
        let parts = [train, val, test];
        if !text.contains('.') {
            let mut counts = [0; 3];
            for (count, part) in counts.iter_mut().zip(parts) {
                *count = part.parse().map_err(|_| refuse("not whole numbers"))?;
            }
            return Ok(Self::Counts(counts));
        }
        let mut fractions = [0.0; 3];
        for (fraction, part) in fractions.iter_mut().zip(parts) {
            *fraction = part.parse().map_err(|_| refuse("not numbers"))?;
        }
        if !fractions.iter().all(|fraction| (0.0..=1.0).contains(fraction)) {
            return Err(refuse("a fraction is outside 0..=1"));
        }
        if fractions.iter().sum::<f64>() > 1.0 + 1e-9 {
            return Err(refuse("the fractions add up to more than 1"));
        }
        Ok(Self::Fractions(fractions))
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Pooled => f.write_str("pooled"),
            Self::Canonical => f.write_str("canonical"),
            Self::Counts([train, val, test]) => write!(f, "{train},{val},{test}"),
            Self::Fold { number, of } => write!(f, "fold:{number}/{of}"),
            // without an exponent, and with a decimal point to distinguish them from counts
            Self::Fractions(fractions) => {
                let [train, val, test] = fractions.map(|x| match x.fract() {
                    0.0 => format!("{x}.0"),
                    _ => x.to_string(),
                });
                write!(f, "{train},{val},{test}")
            }
        }
    }
}

impl From<Split> for String {
    fn from(split: Split) -> Self {
        split.to_string()
    }
}

impl TryFrom<String> for Split {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests;
