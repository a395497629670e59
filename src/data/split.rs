//! Divides a data set into training, validation and test parts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Dataset;
use crate::error::{Error, Result};

/// How to divide a data set. All parts are consecutive rows in file order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Split {
    /// Training, validation and test as 50 : 5 : 15 of all samples: 50,000 / 5,000 / 15,000 of MNIST.
    #[default]
    Pooled,
    /// The test file is the test part; the last twelfth of the training file is held out for validation.
    Canonical,
    /// These numbers of samples for training, validation and test; the rest is unused.
    Counts([usize; 3]),
    /// These fractions of all samples, rounded down; the rest is unused.
    Fractions([f64; 3]),
}

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

impl Split {
    /// Divides `data` into parts.
    ///
    /// # Errors
    /// [`Error::Usage`] if there are too few samples, the training part would be empty, or the split is `canonical` and
    /// the data has no test file.
    pub fn apply(self, data: &Dataset) -> Result<Parts> {
        let n = data.len();
        let (train, val, test) = match self {
            Self::Pooled => {
                let (train, val) = (proportion(n, 50, 70), proportion(n, 5, 70));
                (train, val, n - train - val)
            }
            Self::Canonical => {
                let Some(file) = data.train_file_len().filter(|&file| file < n) else {
                    return Err(Error::usage(format!(
                        "split `canonical`: {} has no test file of its own; expected one, or another split",
                        data.name()
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
                data.name()
            )));
        }
        if train == 0 {
            return Err(Error::usage(format!(
                "split `{self}`: the training part is empty; expected at least 1 of the {n} samples of {}",
                data.name()
            )));
        }
        let range = |start: usize, len: usize| (start as u32..(start + len) as u32).collect();
        Ok(Parts { train: range(0, train), val: range(train, val), test: range(train + val, test) })
    }
}

impl Parts {
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

fn proportion(n: usize, numerator: u128, denominator: u128) -> usize {
    (n as u128 * numerator / denominator) as usize
}

impl FromStr for Split {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |problem: &str| {
            Error::usage(format!(
                "split `{text}`: {problem}; expected `pooled`, `canonical`, three counts such as \
                 50000,5000,15000, or three fractions such as 0.8,0.1,0.1"
            ))
        };
        match text {
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
            Self::Pooled => f.write_str("pooled"),
            Self::Canonical => f.write_str("canonical"),
            Self::Counts([train, val, test]) => write!(f, "{train},{val},{test}"),
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
mod tests {
    use super::super::Features;
    use super::*;

    fn images(n: usize, train_len: usize) -> Dataset {
        Dataset::new("test", Features::U8(vec![0; n]), vec![0; n], 1)
            .unwrap()
            .with_images((1, 1), train_len)
    }

    fn sizes(split: &str, data: &Dataset) -> (usize, usize, usize) {
        let parts = split.parse::<Split>().unwrap().apply(data).unwrap();
        let all: Vec<u32> = [&parts.train[..], &parts.val, &parts.test].concat();
        assert!(all.iter().copied().eq(0..all.len() as u32), "consecutive, in file order");
        (parts.train.len(), parts.val.len(), parts.test.len())
    }

    #[test]
    fn mnist_is_split_as_documented() {
        let mnist = images(70_000, 60_000);
        assert_eq!(sizes("pooled", &mnist), (50_000, 5_000, 15_000));
        assert_eq!(sizes("canonical", &mnist), (55_000, 5_000, 10_000));
        assert_eq!(sizes("100,0,7", &mnist), (100, 0, 7));
        assert_eq!(sizes("0.8,0.1,0.1", &mnist), (56_000, 7_000, 7_000));
    }

    #[test]
    fn other_sizes_keep_the_proportions() {
        assert_eq!(sizes("pooled", &images(14, 12)), (10, 1, 3));
        assert_eq!(sizes("canonical", &images(30, 25)), (23, 2, 5));
        assert_eq!(sizes("0.7,0.2,0.1", &images(10, 10)), (7, 2, 1));
        assert_eq!(sizes("1.0,0,0", &images(10, 10)), (10, 0, 0));
    }

    #[test]
    fn impossible_splits_say_why() {
        let message = |split: &str| {
            let split = split.parse::<Split>();
            split.and_then(|split| split.apply(&images(10, 10))).unwrap_err().to_string()
        };
        assert!(message("8,2,1").contains("8 + 2 + 1 samples asked for, test has 10"));
        assert!(message("0,2,1").contains("the training part is empty"));
        assert!(message("canonical").contains("no test file"));
        assert!(message("18446744073709551615,1,1").contains("asked for"));
        assert!(message("0.8,0.2,0.2").contains("more than 1"));
        assert!(message("1.5,-0.5,0").contains("outside"));
        assert!(message("nan.,0,0").contains("not numbers"));
        for odd in ["", "8,2", "a,b,c", "1,2,3,4", "-1,2,3"] {
            assert!(message(odd).contains("expected `pooled`"), "{odd}");
        }
    }

    #[test]
    fn text_round_trips() {
        for text in
            ["pooled", "canonical", "5,0,2", "0.8,0.1,0.1", "1.0,0.0,0.0", "0.0000001,0.5,0.0"]
        {
            assert_eq!(text.parse::<Split>().unwrap().to_string(), text);
        }
    }
}
