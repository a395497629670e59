//! Tables from arrays and columns in memory.

use std::collections::HashMap;
use std::sync::Arc;

use ndarray::{CowArray, Ix2};

use super::{Chunk, Column, Kind, MISSING, Table};
use crate::data::{Features, row_major};
use crate::error::{Error, Result};

impl Table {
    /// A table of numbers, `x` (rows, columns), with a name for each column; NaN is missing. Messages call it `name`. An array that is
    /// given away is taken without a copy if it is row-major; a view is copied. [`Table::with_texts`] and [`Table::with_numbers`] add
    /// columns.
    ///
    /// # Errors
    /// If there is not a name for each column, or two names are the same.
    ///
    /// ```
    /// use densely::data::table::Table;
    /// use ndarray::array;
    ///
    /// let table = Table::from_array("flats", ["rooms", "area"], array![[2.0, 50.0], [3.0, f32::NAN]])?
    ///     .with_texts("city", ["Oslo", "Rome"])?;
    /// assert_eq!((table.n_rows(), table.columns().len()), (2, 3));
    /// # Ok::<(), densely::Error>(())
    /// ```
    pub fn from_array<'a, S: Into<String>>(
        name: impl Into<String>,
        columns: impl IntoIterator<Item = S>,
        x: impl Into<CowArray<'a, f32, Ix2>>,
    ) -> Result<Self> {
        let (name, x) = (name.into(), x.into());
        let number = |column: S| Column { name: column.into(), kind: Kind::Number };
        let columns: Vec<Column> = columns.into_iter().map(number).collect();
        let (n_rows, n_columns) = x.dim();
        if columns.len() != n_columns {
            let problem =
                format!("{} names of columns; expected {n_columns}, one for each", columns.len());
            return Err(Error::invalid(name, problem));
        }
        let chunk = Chunk { numbers: Features::F32(row_major(x)), codes: Vec::new(), n_rows };
        Self::new(name, columns, vec![chunk])
    }

    /// A table without columns; the first one that is added says how many rows there are. Messages call it `name`.
    pub fn empty(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            columns: Vec::new(),
            chunks: Vec::new(),
            n_rows: 0,
            rows_before: 0,
            places: Vec::new(),
            n_numbers: 0,
        }
    }

    /// The same table with another column of numbers, the last one, a value for each row; NaN is missing. The other numbers are
    /// copied, because those of a row lie side by side.
    ///
    /// # Errors
    /// If there is not a value for each row, or the name is taken.
    pub fn with_numbers(
        self,
        column: impl Into<String>,
        values: impl Into<Vec<f32>>,
    ) -> Result<Self> {
        let (column, values) = (column.into(), values.into());
        let mut table = self.with_rows(&column, values.len())?;
        let (width, mut rest) = (table.n_numbers, &values[..]);
        for chunk in table.chunks.iter_mut().map(Arc::make_mut) {
            let (here, after) = rest.split_at(chunk.n_rows);
            rest = after;
            let old = std::mem::replace(&mut chunk.numbers, Features::U8(Vec::new()));
            chunk.numbers = Features::F32(match (width, &old) {
                (0, _) => here.to_vec(),
                (_, Features::F32(old)) => beside(old.iter().copied(), width, here),
                (_, Features::U8(old)) => beside(old.iter().copied().map(f32::from), width, here),
            });
        }
        table.add(Column { name: column, kind: Kind::Number })
    }

    /// The same table with another column of texts, the last one, a value for each row; an empty text is missing.
    ///
    /// # Errors
    /// If there is not a value for each row, or the name is taken.
    pub fn with_texts<S: AsRef<str>>(
        self,
        column: impl Into<String>,
        values: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        let column = column.into();
        let (mut levels, mut known) = (Vec::new(), HashMap::new());
        let mut code = |text: S| match text.as_ref() {
            "" => MISSING,
            text => *known.entry(text.to_owned()).or_insert_with(|| {
                levels.push(text.to_owned());
                levels.len() as u32 - 1
            }),
        };
        let codes: Vec<u32> = values.into_iter().map(&mut code).collect();
        let mut table = self.with_rows(&column, codes.len())?;
        let (width, mut rest) = (table.columns.len() - table.n_numbers, &codes[..]);
        for chunk in table.chunks.iter_mut().map(Arc::make_mut) {
            let (here, after) = rest.split_at(chunk.n_rows);
            rest = after;
            chunk.codes = match width {
                0 => here.to_vec(),
                _ => beside(chunk.codes.iter().copied(), width, here),
            };
        }
        table.add(Column { name: column, kind: Kind::Text(levels) })
    }

    /// Rejects another number of rows than there are; without columns, there are as many as asked for.
    fn with_rows(mut self, column: &str, n_rows: usize) -> Result<Self> {
        if self.columns.is_empty() {
            let none = || Features::F32(Vec::new());
            let chunk = Chunk { numbers: none(), codes: Vec::new(), n_rows };
            self.chunks = vec![Arc::new(chunk)];
            self.n_rows = n_rows;
        }
        if n_rows != self.n_rows {
            let problem = format!(
                "{n_rows} values of `{column}`; expected {}, one for each row",
                self.n_rows
            );
            return Err(Error::invalid(self.name, problem));
        }
        Ok(self)
    }

    /// The chunks have its values already.
    fn add(mut self, column: Column) -> Result<Self> {
        self.columns.push(column);
        Self::new(self.name, self.columns, self.chunks)
    }
}

/// The rows of a matrix of `width` columns, each with another value after it.
fn beside<T: Copy>(mut old: impl Iterator<Item = T>, width: usize, values: &[T]) -> Vec<T> {
    let mut all = Vec::with_capacity(values.len() * (width + 1));
    for &value in values {
        all.extend(old.by_ref().take(width));
        all.push(value);
    }
    all
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    #[test]
    fn columns_are_added_in_any_order() {
        let x = array![[1.0, 2.0], [3.0, f32::NAN]];
        let at = x.as_ptr();
        let table = Table::from_array("t", ["a", "b"], x).unwrap();
        let Features::F32(values) = &table.chunks()[0].numbers else { panic!() };
        assert_eq!(values.as_ptr(), at, "the array was copied");
        let table = table.with_texts("c", ["x", ""]).unwrap();
        let table = table.with_numbers("d", vec![5.0, 6.0]).unwrap();
        let table = table.with_texts("e", vec!["z".to_owned(), "z".to_owned()]).unwrap();
        assert_eq!(table.numbers(0).collect::<Vec<_>>(), [1.0, 3.0]);
        assert!(table.numbers(1).nth(1).unwrap().is_nan());
        assert_eq!(table.codes(2).collect::<Vec<_>>(), [0, MISSING]);
        assert_eq!(table.numbers(3).collect::<Vec<_>>(), [5.0, 6.0]);
        assert_eq!(table.codes(4).collect::<Vec<_>>(), [0, 0]);
        let alone = Table::empty("t").with_texts("a", ["x", "y", "x"]).unwrap();
        assert_eq!((alone.n_rows(), alone.codes(0).last()), (3, Some(0)));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let table = || Table::from_array("t", ["a", "b"], Array2::zeros((3, 2))).unwrap();
        let error = table().with_numbers("c", vec![1.0]).unwrap_err().to_string();
        assert!(error.contains("1 values of `c`; expected 3"), "{error}");
        let error = table().with_texts("b", ["", "", ""]).unwrap_err().to_string();
        assert!(error.contains("both named `b`"), "{error}");
        let error = Table::from_array("t", ["a"], Array2::zeros((3, 2))).unwrap_err().to_string();
        assert!(error.contains("1 names of columns; expected 2"), "{error}");
    }
}
