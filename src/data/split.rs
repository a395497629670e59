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
mod tests {
    use super::super::Features;
    use super::*;

    fn images(n: usize, train_len: usize) -> Dataset {
        Dataset::new("test", Features::U8(vec![0; n]), vec![0; n], 1)
            .unwrap()
            .with_images((1, 1), train_len)
    }

    fn sizes(split: &str, data: &Dataset) -> (usize, usize, usize) {
        let parts = split.parse::<Split>().unwrap().apply(data, 0).unwrap();
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

    /// `counts[k]` samples of class `k`, sorted by class; the first `train_len` are those of the training file.
    fn sorted_by_class(counts: &[usize], train_len: Option<usize>) -> Dataset {
        let labels: Vec<u32> = counts
            .iter()
            .enumerate()
            .flat_map(|(class, &count)| std::iter::repeat_n(class as u32, count))
            .collect();
        let data = Dataset::new("sorted", Features::U8(vec![0; labels.len()]), labels, 1).unwrap();
        match train_len {
            Some(len) => data.with_images((1, 1), len),
            None => data,
        }
    }

    fn of_class(rows: &[u32], data: &Dataset, class: u32) -> usize {
        rows.iter().filter(|&&row| data.labels()[row as usize] == class).count()
    }

    #[test]
    fn auto_gives_every_part_its_share_of_every_class() {
        let counts = [50, 50, 50, 7, 1000];
        let data = sorted_by_class(&counts, None);
        let parts = Split::Auto.apply(&data, 0).unwrap();
        let sizes = [parts.train.len(), parts.val.len(), parts.test.len()];
        assert_eq!(sizes, [1157 - 2 * 115, 115, 115]);
        let mut all = [&parts.train[..], &parts.val, &parts.test].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1157), "every row once");
        for (class, count) in counts.into_iter().enumerate() {
            for (rows, share) in [(&parts.train, 0.8), (&parts.val, 0.1), (&parts.test, 0.1)] {
                let (found, expected) =
                    (of_class(rows, &data, class as u32) as f64, share * count as f64);
                assert!((found - expected).abs() <= 2.0, "class {class}: {found} of {expected}");
            }
        }
        assert!(parts.train.is_sorted() && parts.val.is_sorted() && parts.test.is_sorted());
        assert_eq!(parts, Split::Auto.apply(&data, 0).unwrap());
        assert_ne!(parts, Split::Auto.apply(&data, 1).unwrap());
        assert!(parts.lacking(&data).is_empty());
    }

    #[test]
    fn auto_keeps_a_test_file_and_the_convention_of_the_data() {
        let data = sorted_by_class(&[60, 60, 12], Some(120));
        let parts = Split::Auto.apply(&data, 3).unwrap();
        assert!(parts.test.iter().copied().eq(120..132));
        assert_eq!((parts.train.len(), parts.val.len()), (110, 10));
        assert_eq!([0, 1].map(|class| of_class(&parts.val, &data, class)), [5, 5]);
        assert_eq!(
            parts.lacking(&data),
            [
                "the training part has no sample of class 2",
                "the validation part has no sample of class 2",
                "the test part has no sample of the classes 0, 1"
            ]
        );
        let mnist = images(70, 60).with_usual_split(Split::Pooled);
        assert_eq!(Split::Auto.resolved(&mnist), Split::Pooled);
        assert_eq!(Split::Auto.resolved(&data), Split::Auto);
        assert_eq!(Split::Canonical.resolved(&mnist), Split::Canonical);
        for n in 1..30 {
            let parts = Split::Auto.apply(&sorted_by_class(&[n], None), 0).unwrap();
            let sizes = [parts.train.len(), parts.val.len(), parts.test.len()];
            assert_eq!(sizes.iter().sum::<usize>(), n);
            assert!(sizes[0] > 0 && (n < 3 || sizes.iter().all(|&size| size > 0)), "{sizes:?}");
        }
    }

    #[test]
    fn folds_test_every_sample_once_with_its_class_in_proportion() {
        let data = sorted_by_class(&[50, 23, 7], None);
        let mut tested = Vec::new();
        for number in 1..=5 {
            let split = Split::Fold { number, of: 5 };
            let parts = split.apply(&data, 3).unwrap();
            assert_eq!(parts, split.apply(&data, 3).unwrap());
            assert_eq!((parts.test.len(), parts.val.len()), (16, 64 / 12));
            for (class, count) in [(0, 50.0), (1, 23.0), (2, 7.0)] {
                let found = of_class(&parts.test, &data, class) as f64;
                assert!((found - count / 5.0).abs() < 1.0, "class {class}: {found}");
            }
            let mut all = [&parts.train[..], &parts.val, &parts.test].concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..80), "every row once");
            tested.extend(parts.test);
        }
        tested.sort_unstable();
        assert!(tested.into_iter().eq(0..80));
        let of_seed = |seed| Split::Fold { number: 1, of: 5 }.apply(&data, seed).unwrap();
        assert_ne!(of_seed(3), of_seed(4));
    }

    #[test]
    fn folds_leave_a_test_file_out_and_need_a_sample_each() {
        let data = sorted_by_class(&[20, 12], Some(20));
        let parts = Split::Fold { number: 2, of: 4 }.apply(&data, 0).unwrap();
        assert_eq!((parts.train.len(), parts.val.len(), parts.test.len()), (14, 1, 5));
        assert!([parts.train, parts.val, parts.test].concat().iter().all(|&row| row < 20));
        let two = Split::Fold { number: 1, of: 2 };
        let parts = two.apply(&images(2, 2), 0).unwrap();
        assert_eq!((parts.train.len(), parts.val.len(), parts.test.len()), (1, 0, 1));
        let message = |number, of| {
            Split::Fold { number, of }.apply(&images(2, 2), 0).unwrap_err().to_string()
        };
        assert!(message(1, 3).contains("3 folds of 2 samples"), "{}", message(1, 3));
        for (number, of) in [(0, 2), (3, 2), (1, 1), (0, 0)] {
            assert!(message(number, of).contains("numbered from 1"), "{number} of {of}");
        }
    }

    #[test]
    fn impossible_splits_say_why() {
        let message = |split: &str| {
            let split = split.parse::<Split>();
            split.and_then(|split| split.apply(&images(10, 10), 0)).unwrap_err().to_string()
        };
        assert!(message("8,2,1").contains("8 + 2 + 1 samples asked for, test has 10"));
        assert!(message("0,2,1").contains("the training part is empty"));
        assert!(message("canonical").contains("no test file"));
        assert!(message("18446744073709551615,1,1").contains("asked for"));
        assert!(message("0.8,0.2,0.2").contains("more than 1"));
        assert!(message("1.5,-0.5,0").contains("outside"));
        assert!(message("nan.,0,0").contains("not numbers"));
        assert!(message("fold:0/5").contains("no such fold"));
        assert!(message("fold:6/5").contains("no such fold"));
        assert!(message("fold:1/1").contains("no such fold"));
        for odd in ["", "8,2", "a,b,c", "1,2,3,4", "-1,2,3", "fold:3", "fold:a/b"] {
            assert!(message(odd).contains("expected `auto`, `pooled`"), "{odd}");
        }
    }

    #[test]
    fn text_round_trips() {
        for text in [
            "auto",
            "pooled",
            "canonical",
            "5,0,2",
            "0.8,0.1,0.1",
            "1.0,0.0,0.0",
            "0.0000001,0.5,0.0",
            "fold:2/5",
        ] {
            assert_eq!(text.parse::<Split>().unwrap().to_string(), text);
        }
    }
}
