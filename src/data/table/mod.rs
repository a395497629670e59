//! Tables: typed columns as a file has them, before anything is learnt from them.
//!
//! A [`Table`] holds numbers and texts in chunks of rows, so that several threads can read a file, and so that what is made of a table
//! can free it chunk by chunk.

mod append;
mod build;
mod delimited;

use std::collections::HashMap;
use std::sync::Arc;

pub(super) use append::merge;
pub use delimited::{ReadOptions, ReadTable, TableStream, read_csv, read_csv_bytes};
pub(super) use delimited::{Value, decoded, unreadable, value_of_cell};

use super::Features;
use crate::error::{Error, Result};

/// The code of a text that is missing.
pub const MISSING: u32 = u32::MAX;

/// From here on, 32-bit numbers leave whole numbers out: 2^24.
pub(crate) const LARGEST_EXACT: f32 = 16_777_216.0;

/// Tables from arrays and sparse rows have at most so many columns, each of which has a name: a file of a few bytes could ask for any
/// number of them.
pub(super) const MOST_COLUMNS: usize = 1 << 20;

/// What a cell of a column holds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// Numbers; NaN where one is missing.
    Number,
    /// Texts: a cell is the position of its text among these levels, or [`MISSING`].
    Text(Vec<String>),
}

/// A number as the text that names its class or its level: the shortest digits that are read back as the same number.
pub(in crate::data) fn digits(number: f32) -> String {
    // -0 is 0
    (number + 0.0).to_string()
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its cells hold.
    pub kind: Kind,
}

/// Some rows of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Row-major (rows, columns of numbers), in the order of the columns.
    pub numbers: Features,
    /// Row-major (rows, columns of texts), in the order of the columns.
    pub codes: Vec<u32>,
    /// The number of rows.
    pub n_rows: usize,
}

/// Columns of numbers and texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    name: String,
    columns: Vec<Column>,
    /// Shared by copies of the table, until one of them changes it.
    chunks: Vec<Arc<Chunk>>,
    n_rows: usize,
    rows_before: usize,
    /// Of each column, its position among those of its kind.
    places: Vec<usize>,
    n_numbers: usize,
}

impl Table {
    /// A table from chunks that fit the columns.
    ///
    /// # Errors
    /// If a chunk has another number of values than its rows and the columns ask for, a code is out of range, or two columns have
    /// the same name.
    pub fn new<C: Into<Arc<Chunk>>>(
        name: impl Into<String>,
        columns: Vec<Column>,
        chunks: Vec<C>,
    ) -> Result<Self> {
        let name = name.into();
        let chunks: Vec<Arc<Chunk>> = chunks.into_iter().map(Into::into).collect();
        let mut names: HashMap<&str, usize> = HashMap::new();
        for (i, column) in columns.iter().enumerate() {
            if let Some(first) = names.insert(&column.name, i) {
                let problem =
                    format!("columns {} and {} are both named `{}`", first + 1, i + 1, column.name);
                return Err(Error::invalid(name, format!("{problem}; expected names that differ")));
            }
        }
        let levels: Vec<usize> = columns
            .iter()
            .filter_map(|column| match &column.kind {
                Kind::Text(levels) => Some(levels.len()),
                Kind::Number => None,
            })
            .collect();
        let (n_texts, n_numbers) = (levels.len(), columns.len() - levels.len());
        for chunk in &chunks {
            let numbers = chunk.numbers.len();
            if numbers != chunk.n_rows * n_numbers || chunk.codes.len() != chunk.n_rows * n_texts {
                let problem = format!(
                    "{numbers} numbers and {} texts in {} rows; expected {n_numbers} and {n_texts} a row",
                    chunk.codes.len(),
                    chunk.n_rows
                );
                return Err(Error::invalid(name, problem));
            }
            let fits = |row: &[u32]| {
                row.iter().zip(&levels).all(|(&code, &n)| code == MISSING || (code as usize) < n)
            };
            if n_texts > 0 && !chunk.codes.chunks_exact(n_texts).all(fits) {
                return Err(Error::invalid(name, "a code of a text is out of range"));
            }
        }
        let n_rows = chunks.iter().map(|chunk| chunk.n_rows).sum();
        let (mut n_numbers, mut n_texts) = (0, 0);
        let place = |column: &Column| {
            let count = match column.kind {
                Kind::Number => &mut n_numbers,
                Kind::Text(_) => &mut n_texts,
            };
            *count += 1;
            *count - 1
        };
        let places = columns.iter().map(place).collect();
        Ok(Self { name, columns, chunks, n_rows, rows_before: 0, places, n_numbers })
    }

    /// What messages call it: the file that it was read from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many rows of the file come before the first of these; for messages.
    pub(crate) fn rows_before(&self) -> usize {
        self.rows_before
    }

    /// The columns, in the order of the file.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The rows, chunk after chunk.
    pub fn chunks(&self) -> &[Arc<Chunk>] {
        &self.chunks
    }

    /// Whether each row has a value in all of these columns.
    pub fn complete_rows(&self, columns: &[usize]) -> Vec<bool> {
        let mut complete = vec![true; self.n_rows];
        for &column in columns {
            match self.columns[column].kind {
                Kind::Number => {
                    let missing = self.numbers(column).map(f32::is_nan);
                    complete.iter_mut().zip(missing).for_each(|(all, missing)| *all &= !missing);
                }
                Kind::Text(_) => {
                    let missing = self.codes(column).map(|code| code == MISSING);
                    complete.iter_mut().zip(missing).for_each(|(all, missing)| *all &= !missing);
                }
            }
        }
        complete
    }

    /// Keeps the rows for which `keep` is true; it has one for each row.
    ///
    /// # Panics
    /// If it has not.
    pub fn retain(&mut self, keep: &[bool]) {
        assert_eq!(keep.len(), self.n_rows, "retain: `keep` needs one for each row");
        let n_numbers = self.n_numbers();
        let n_texts = self.columns.len() - n_numbers;
        let mut rest = keep;
        for chunk in &mut self.chunks {
            let (here, after) = rest.split_at(chunk.n_rows);
            rest = after;
            if here.iter().all(|keep| *keep) {
                continue;
            }
            let chunk = Arc::make_mut(chunk);
            match &mut chunk.numbers {
                Features::U8(values) => retain_rows(values, n_numbers, here),
                Features::F32(values) => retain_rows(values, n_numbers, here),
            }
            retain_rows(&mut chunk.codes, n_texts, here);
            chunk.n_rows = here.iter().filter(|keep| **keep).count();
        }
        self.n_rows = self.chunks.iter().map(|chunk| chunk.n_rows).sum();
    }

    /// The columns and the chunks, to be taken apart.
    pub fn into_chunks(self) -> (Vec<Column>, Vec<Arc<Chunk>>) {
        (self.columns, self.chunks)
    }
}

/// Keeps some rows of a row-major matrix.
fn retain_rows<T: Copy>(values: &mut Vec<T>, width: usize, keep: &[bool]) {
    let mut kept = 0;
    for row in (0..keep.len()).filter(|&row| keep[row]) {
        values.copy_within(row * width..(row + 1) * width, kept * width);
        kept += 1;
    }
    values.truncate(kept * width);
}

impl Table {
    /// The position of the column of a name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// The position of a column among those of numbers, or among those of texts.
    pub fn place(&self, column: usize) -> usize {
        self.places[column]
    }

    /// How many columns hold numbers.
    pub fn n_numbers(&self) -> usize {
        self.n_numbers
    }

    /// The values of a column of numbers, row by row.
    ///
    /// # Panics
    /// If the column holds texts.
    pub fn numbers(&self, column: usize) -> impl Iterator<Item = f32> {
        assert_eq!(self.columns[column].kind, Kind::Number, "numbers: a column of texts");
        let (place, width) = (self.place(column), self.n_numbers());
        self.chunks.iter().flat_map(move |chunk| {
            (0..chunk.n_rows).map(move |row| chunk.numbers.value(row * width + place))
        })
    }

    /// The codes of a column of texts, row by row.
    ///
    /// # Panics
    /// If the column holds numbers.
    pub fn codes(&self, column: usize) -> impl Iterator<Item = u32> {
        assert_ne!(self.columns[column].kind, Kind::Number, "codes: a column of numbers");
        let (place, width) = (self.place(column), self.columns.len() - self.n_numbers());
        self.chunks
            .iter()
            .flat_map(move |chunk| chunk.codes.iter().skip(place).step_by(width).copied())
    }
}
