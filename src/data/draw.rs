//! Draws the rows of parts, so that every class has its share in each.

use super::Parts;
use crate::error::{Error, Result};
use crate::rng::{Purpose, Rng};

/// How many rows come from the training file, and after them from a validation file; the rest comes from a test file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    pub train: usize,
    pub val: usize,
}

/// What a split looks at: the rows of a data set, or of a table that is none yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    /// What messages call the data.
    pub name: &'a str,
    pub n: usize,
    /// The class of each row; empty without classes.
    pub labels: &'a [u32],
    pub n_classes: usize,
    pub files: Option<Files>,
    /// The parts, where the caller has named their rows.
    pub parts: Option<&'a Parts>,
    /// Whether fractions keep the order of the file.
    pub keeps_order: bool,
}

/// The parts of [`super::Split::Auto`].
pub(super) fn automatic(rows: &Rows<'_>, seed: u64) -> Parts {
    let n = rows.n;
    let range = |from: usize, to: usize| (from as u32..to as u32).collect();
    match rows.files.filter(|files| files.train < n) {
        Some(Files { train, val }) if val > 0 => Parts {
            train: range(0, train),
            val: range(train, train + val),
            test: range(train + val, n),
        },
        Some(Files { train, .. }) => {
            let val = (train / 12).max(usize::from(train > 1));
            let drawn =
                stratified(rows, 0..train, Counts { train: train - val, val, test: 0 }, seed);
            Parts { test: range(train, n), ..drawn }
        }
        None => {
            let tenth = (n / 10).max(usize::from(n > 2));
            stratified(rows, 0..n, Counts { train: n - 2 * tenth, val: tenth, test: tenth }, seed)
        }
    }
}

/// The parts of [`super::Split::Fold`].
pub(super) fn fold(rows: &Rows<'_>, number: usize, of: usize, seed: u64) -> Result<Parts> {
    if of < 2 || !(1..=of).contains(&number) {
        return Err(Error::usage(format!(
            "split `fold:{number}/{of}`: expected one of at least two folds, numbered from 1"
        )));
    }
    // a test file stays what it is: nothing is to be chosen by it
    let n =
        rows.files.map(|files| files.train + files.val).filter(|&n| n < rows.n).unwrap_or(rows.n);
    if n < of {
        return Err(Error::usage(format!(
            "split `fold:{number}/{of}`: {of} folds of {n} samples; expected at most as many folds as samples"
        )));
    }
    // each class is dealt where the one before it has ended, so that the folds are equally large
    let dealt = shuffled_classes(rows, 0..n, seed).concat();
    let (test, others): (Vec<_>, Vec<_>) =
        dealt.into_iter().enumerate().partition(|(place, _)| place % of == number - 1);
    let unnumbered = |rows: Vec<(usize, u32)>| rows.into_iter().map(|(_, row)| row);
    let mut test: Vec<u32> = unnumbered(test).collect();
    test.sort_unstable();
    let mut others: Vec<u32> = unnumbered(others).collect();
    others.sort_unstable();
    let val = (others.len() / 12).max(usize::from(others.len() > 1));
    let counts = Counts { train: others.len() - val, val, test: 0 };
    Ok(Parts { test, ..stratified(rows, others.iter().map(|&row| row as usize), counts, seed) })
}

/// The rows of each class in random order.
fn shuffled_classes(rows: &Rows<'_>, of: impl Iterator<Item = usize>, seed: u64) -> Vec<Vec<u32>> {
    // without classes, all samples are drawn alike
    let mut of_class = vec![Vec::new(); rows.n_classes.max(1)];
    for row in of {
        let class = rows.labels.get(row).map_or(0, |&class| class as usize);
        of_class[class].push(row as u32);
    }
    for (class, rows) in of_class.iter_mut().enumerate() {
        Rng::new(seed, Purpose::Split, class as u64).shuffle(rows);
    }
    of_class
}

/// The sizes of the parts.
pub(super) struct Counts {
    pub train: usize,
    pub val: usize,
    pub test: usize,
}

/// A training, a validation and a test part of some rows, in each of which the classes are in proportion.
pub(super) fn stratified(
    rows: &Rows<'_>,
    of: impl ExactSizeIterator<Item = usize>,
    counts: Counts,
    seed: u64,
) -> Parts {
    let left = of.len() - counts.val - counts.test;
    let mut of_class = shuffled_classes(rows, of, seed);
    let (test, val) = (draw(&mut of_class, counts.test), draw(&mut of_class, counts.val));
    let train = match counts.train == left {
        false => draw(&mut of_class, counts.train),
        true => {
            let mut train = of_class.concat();
            train.sort_unstable();
            train
        }
    };
    Parts { train, val, test }
}

/// Takes `count` rows from the ends of the classes, of each as many as its share, rounded so that their sum is right: up where
/// the fraction is largest, of equal fractions in the first classes.
fn draw(of_class: &mut [Vec<u32>], count: usize) -> Vec<u32> {
    let total: usize = of_class.iter().map(Vec::len).sum();
    let share = |rows: &Vec<u32>| rows.len() as u128 * count as u128;
    let mut counts: Vec<usize> =
        of_class.iter().map(|rows| (share(rows) / total.max(1) as u128) as usize).collect();
    let missing = count - counts.iter().sum::<usize>();
    let mut classes: Vec<usize> = (0..of_class.len()).collect();
    classes.sort_by_key(|&class| std::cmp::Reverse(share(&of_class[class]) % total.max(1) as u128));
    classes.into_iter().take(missing).for_each(|class| counts[class] += 1);
    let taken =
        of_class.iter_mut().zip(counts).map(|(rows, count)| rows.split_off(rows.len() - count));
    let mut rows = taken.collect::<Vec<_>>().concat();
    rows.sort_unstable();
    rows
}
