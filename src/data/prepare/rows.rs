//! The rows of a table that are prepared at a time, and what they become.

use std::ops::Range;

use crate::data::table::Chunk;

/// What a table has become.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Prepared {
    /// Row-major (rows, inputs).
    pub inputs: Vec<f32>,
    /// The number of rows.
    pub n_rows: usize,
    /// The class of each row; empty without a target or for numbers.
    pub labels: Vec<u32>,
    /// Row-major (rows, targets) in their own units; empty without a target or for classes.
    pub targets: Vec<f32>,
    /// The weight of each row; empty if there are none.
    pub weights: Vec<f32>,
    /// A hash of what the inputs were before they were projected on principal components, if they were: of the same table it is the
    /// same on every CPU, whose last bits of the components may differ.
    pub(crate) unprojected: Option<u128>,
    /// For each of [`super::Prepare::inputs`], how many rows have a level that the training part does not have.
    pub unknown: Vec<usize>,
}

/// Rows of a chunk, with the number of values of each kind in a row.
pub(super) struct Rows<'a> {
    chunk: &'a Chunk,
    n_numbers: usize,
    n_texts: usize,
    pub(super) range: Range<usize>,
}

impl<'a> Rows<'a> {
    /// All rows of a chunk.
    pub(super) fn of(chunk: &'a Chunk, n_numbers: usize, n_texts: usize) -> Self {
        Self { chunk, n_numbers, n_texts, range: 0..chunk.n_rows }
    }

    /// Some of the chunk's rows.
    pub(super) fn part(&self, range: Range<usize>) -> Self {
        Self { range, ..*self }
    }

    pub(super) fn numbers(&self, place: usize) -> impl Iterator<Item = f32> {
        let width = self.n_numbers;
        self.range.clone().map(move |row| self.chunk.numbers.value(row * width + place))
    }

    pub(super) fn codes(&self, place: usize) -> impl Iterator<Item = u32> {
        let width = self.n_texts;
        self.range.clone().map(move |row| self.chunk.codes[row * width + place])
    }
}
