//! Learns from the training rows of a table.

use super::roles::listed;
use super::squash::quantile_of;
use super::{Input, Missing, Pca, Prepare, Roles, Scale, Squash, TableOptions, resolution};
use crate::data::table::{Column, Kind, MISSING, Table};
use crate::error::{Error, Result};

/// The most levels of a column that become inputs: the most frequent ones.
const MOST_LEVELS: usize = 200;

/// Texts with more levels than this, of which most occur once, are names or keys.
const KEY_LEVELS: usize = 20;

/// What one pass over the training rows finds out about a column of numbers.
#[derive(Clone, Copy, Debug)]
struct Moments {
    count: usize,
    missing: usize,
    least: f64,
    largest: f64,
    /// The first value: sums are taken of the distances from it, so that they keep their digits.
    origin: f64,
    sum: f64,
    squares: f64,
}

impl Moments {
    const NONE: Self = Self {
        count: 0,
        missing: 0,
        least: f64::INFINITY,
        largest: f64::NEG_INFINITY,
        origin: 0.0,
        sum: 0.0,
        squares: 0.0,
    };

    fn add(&mut self, value: f32) {
        if value.is_nan() {
            self.missing += 1;
            return;
        }
        let value = f64::from(value);
        if self.count == 0 {
            self.origin = value;
        }
        self.count += 1;
        (self.least, self.largest) = (self.least.min(value), self.largest.max(value));
        let distance = value - self.origin;
        self.sum += distance;
        self.squares += distance * distance;
    }

    /// Mean and standard deviation, where `fill` takes the place of what is missing.
    fn mean_and_deviation(&self, fill: f64) -> (f64, f64) {
        let (n, extra) = ((self.count + self.missing) as f64, self.missing as f64);
        let distance = fill - self.origin;
        let mean = (self.sum + extra * distance) / n;
        let variance = (self.squares + extra * distance * distance) / n - mean * mean;
        (self.origin + mean, variance.max(0.0).sqrt())
    }
}

impl Prepare {
    /// Learns from the training rows of a table. Columns from which nothing can be learnt are left out; the lines say which, and how
    /// to keep them.
    ///
    /// # Errors
    /// If nothing is left, a number is missing where that is an error, or more principal components are asked for than there are inputs or
    /// training rows.
    pub fn fit(
        table: &Table,
        roles: &Roles,
        options: &TableOptions,
        train: &[u32],
    ) -> Result<(Self, Vec<String>)> {
        let mut is_train = vec![false; table.n_rows()];
        train.iter().for_each(|&row| is_train[row as usize] = true);
        let moments = moments(table, &is_train);
        let (mut inputs, mut constant, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        let mut squash = (options.scale == Scale::Smooth).then(Squash::default);
        let mut notices = Vec::new();
        for &column in roles.inputs.iter().chain(&roles.targets) {
            if let Column { name, kind: Kind::Number } = &table.columns()[column] {
                let Moments { least, largest, .. } = moments[table.place(column)];
                let is_whole = || table.numbers(column).all(|x| x.is_nan() || x.fract() == 0.0);
                notices.extend(resolution::notice(name, (least, largest), is_whole));
            }
        }
        for &column in &roles.inputs {
            let name = &table.columns()[column].name;
            match &table.columns()[column].kind {
                Kind::Number => {
                    let found = &moments[table.place(column)];
                    if found.missing > 0 && options.missing == Missing::Error {
                        return Err(missing_number(table, column));
                    }
                    let is_constant =
                        found.count == 0 || found.least == found.largest && found.missing == 0;
                    match is_constant && !options.keep_constant {
                        true => constant.push(&name[..]),
                        false => {
                            let input = number(table, column, found, options, &is_train);
                            if let Some(squash) = &mut squash {
                                squash_number(squash, table, column, &input, &is_train);
                            }
                            inputs.push(input);
                        }
                    }
                }
                Kind::Text(levels) => {
                    let (counts, missing) = level_counts(table, column, levels.len(), &is_train);
                    let occurring = counts.iter().filter(|&&count| count > 0).count();
                    let rows: usize = counts.iter().sum();
                    let asked_for = options.categorical.contains(name);
                    if occurring + usize::from(missing > 0) < 2 {
                        constant.push(name);
                    } else if !asked_for && occurring > KEY_LEVELS && 2 * occurring > rows {
                        keys.push(&name[..]);
                    } else {
                        if occurring > MOST_LEVELS {
                            notices.push(format!(
                                "`{name}` has {occurring} levels; the {MOST_LEVELS} most frequent ones are inputs"
                            ));
                        }
                        let kept = most_frequent(levels, &counts);
                        let input = Input::Category {
                            column: name.clone(),
                            contrast: squash.is_some() && kept.len() == 2,
                            missing: squash.is_none() && missing > 0,
                            levels: kept,
                        };
                        if let Some(squash) = &mut squash {
                            squash_levels(squash, &input, levels, &counts, rows + missing);
                        }
                        inputs.push(input);
                    }
                }
            }
        }
        if !constant.is_empty() {
            notices.push(format!(
                "left out, because the training part has one value there: {}",
                listed(&constant)
            ));
        }
        if !keys.is_empty() {
            notices.push(format!(
                "left out, because the texts hardly repeat: {} (--categorical keeps them)",
                listed(&keys)
            ));
        }
        if inputs.is_empty() {
            let problem = format!(
                "no column is left to learn from; expected one with at least two values; {}",
                notices.join("; ")
            );
            return Err(Error::invalid(table.name(), problem));
        }
        let target = roles.target(table);
        let weight = roles.weight.map(|column| table.columns()[column].name.clone());
        let mut prepare = Self { inputs, target, weight, squash, pca: None };
        if let Some(k) = options.pca {
            prepare.pca = Some(Pca::fit(&prepare, table, &is_train, k)?);
        }
        Ok((prepare, notices))
    }
}

fn missing_number(table: &Table, column: usize) -> Error {
    let row = table.numbers(column).position(f32::is_nan).unwrap_or_default();
    Error::invalid(
        table.name(),
        format!(
            "`{}` has no number in row {}; expected one, or --missing impute",
            table.columns()[column].name,
            row + 1
        ),
    )
}

/// Of all columns of numbers, over the training rows.
fn moments(table: &Table, is_train: &[bool]) -> Vec<Moments> {
    let width = table.n_numbers();
    let mut all = vec![Moments::NONE; width];
    let mut rows = is_train.iter();
    for chunk in table.chunks() {
        for (row, _) in (0..chunk.n_rows).zip(&mut rows).filter(|(_, is_train)| **is_train) {
            for (i, moments) in all.iter_mut().enumerate() {
                moments.add(chunk.numbers.value(row * width + i));
            }
        }
    }
    all
}

fn number(
    table: &Table,
    column: usize,
    found: &Moments,
    options: &TableOptions,
    is_train: &[bool],
) -> Input {
    let robust = options.scale == Scale::Robust;
    let sorted = (found.missing > 0 || robust).then(|| sorted(table, column, is_train));
    let quantile = |q: f64| sorted.as_ref().map_or(0.0, |sorted| quantile(sorted, q));
    let fill = quantile(0.5);
    let (mean, deviation) = found.mean_and_deviation(fill);
    let (center, scale) = match options.scale {
        // what bends all inputs scales them too
        Scale::None | Scale::Smooth => (0.0, 1.0),
        Scale::Unit => (found.least, found.largest - found.least),
        Scale::Auto | Scale::Standard => (mean, deviation),
        Scale::Robust => (fill, quantile(0.75) - quantile(0.25)),
    };
    // quartiles that are equal, or one value beside missing ones
    let fallback = [scale, deviation, found.largest - found.least, 1.0];
    let scale = fallback.into_iter().find(|scale| *scale > 0.0 && scale.is_finite());
    Input::Number {
        column: table.columns()[column].name.clone(),
        fill: (options.missing == Missing::Impute).then_some(match sorted {
            Some(_) => fill,
            None => mean,
        }),
        center,
        scale: scale.unwrap_or(1.0),
        indicator: found.missing > 0,
    }
}

/// The numbers of a column in the training rows, by size.
fn sorted(table: &Table, column: usize, is_train: &[bool]) -> Vec<f32> {
    let rows = table.numbers(column).zip(is_train);
    let mut values: Vec<f32> =
        rows.filter(|(value, train)| **train && !value.is_nan()).map(|(x, _)| x).collect();
    values.sort_unstable_by(f32::total_cmp);
    values
}

/// Learns how to bend the inputs of a column of numbers.
fn squash_number(
    squash: &mut Squash,
    table: &Table,
    column: usize,
    input: &Input,
    is_train: &[bool],
) {
    let Input::Number { fill, indicator, .. } = input else { return };
    let mut counts: Vec<(f64, usize)> = Vec::new();
    let sorted = sorted(table, column, is_train);
    let rows = is_train.iter().filter(|is_train| **is_train).count();
    let missing = rows - sorted.len();
    for value in sorted.into_iter().map(f64::from) {
        match counts.last_mut() {
            Some((last, count)) if *last == value => *count += 1,
            _ => counts.push((value, 1)),
        }
    }
    if let (Some(fill), true) = (*fill, missing > 0) {
        let at = counts.partition_point(|(value, _)| *value < fill);
        counts.insert(at, (fill, missing));
    }
    squash.push(&counts);
    if *indicator {
        squash.push(&[(0.0, rows - missing), (1.0, missing)]);
    }
}

/// Learns how to bend the inputs of a category, by how often its levels occur in so many rows.
fn squash_levels(
    squash: &mut Squash,
    input: &Input,
    levels: &[String],
    counts: &[usize],
    rows: usize,
) {
    let Input::Category { levels: kept, contrast, .. } = input else { return };
    let count = |level: &String| {
        levels.iter().position(|other| other == level).map_or(0, |code| counts[code])
    };
    let counts: Vec<usize> = kept.iter().map(count).collect();
    match (contrast, &counts[..]) {
        (true, &[first, second]) => {
            squash.push(&[(-1.0, second), (0.0, rows - first - second), (1.0, first)]);
        }
        _ => counts.iter().for_each(|&count| squash.push(&[(0.0, rows - count), (1.0, count)])),
    }
}

/// A quantile of sorted values, between two of them by linear interpolation.
fn quantile(sorted: &[f32], q: f64) -> f64 {
    quantile_of(sorted.len(), q, |rank| f64::from(sorted[rank]))
}

/// How often each level occurs in the training rows, and how many texts are missing.
fn level_counts(
    table: &Table,
    column: usize,
    levels: usize,
    is_train: &[bool],
) -> (Vec<usize>, usize) {
    let (mut counts, mut missing) = (vec![0; levels], 0);
    for (code, _) in table.codes(column).zip(is_train).filter(|(_, is_train)| **is_train) {
        match code {
            MISSING => missing += 1,
            code => counts[code as usize] += 1,
        }
    }
    (counts, missing)
}

/// The levels that occur, at most [`MOST_LEVELS`] of the most frequent, by alphabet.
fn most_frequent(levels: &[String], counts: &[usize]) -> Vec<String> {
    let mut occurring: Vec<(&String, usize)> =
        levels.iter().zip(counts.iter().copied()).filter(|(_, count)| *count > 0).collect();
    occurring.sort_by_key(|&(level, count)| (std::cmp::Reverse(count), level));
    let mut names: Vec<String> =
        occurring.into_iter().take(MOST_LEVELS).map(|(level, _)| level.clone()).collect();
    names.sort();
    names
}
