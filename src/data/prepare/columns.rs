//! What the columns of a row held, from the inputs that it became.

use super::{Input, Prepare};

/// What a row has in a column, as far as its inputs tell.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cell<'a> {
    /// A number, to the precision of `f32`.
    Number(f64),
    /// A text.
    Level(&'a str),
    /// Nothing.
    Missing,
    /// A text that the training part does not have.
    Unknown,
}

impl Prepare {
    /// The columns of a row and what it has in them, from its inputs; nothing where the inputs are principal components.
    pub fn cells<'a>(&'a self, inputs: &[f32]) -> Vec<(&'a str, Cell<'a>)> {
        if self.pca.is_some() {
            return Vec::new();
        }
        let mut rest = inputs;
        let mut cells = Vec::with_capacity(self.inputs.len());
        for input in &self.inputs {
            let Some((own, others)) = rest.split_at_checked(input.width()) else { break };
            rest = others;
            cells.push((input.column(), cell(input, own)));
        }
        cells
    }
}

fn cell<'a>(input: &'a Input, values: &[f32]) -> Cell<'a> {
    match input {
        Input::Number { center, scale, .. } => match values {
            [_, missing, ..] if *missing == 1.0 => Cell::Missing,
            [value, ..] => Cell::Number(f64::from(*value) * scale + center),
            [] => Cell::Missing,
        },
        Input::Category { levels, .. } => match values.iter().position(|value| *value == 1.0) {
            Some(level) => levels.get(level).map_or(Cell::Missing, |level| Cell::Level(level)),
            None => Cell::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Roles, TableOptions};
    use super::*;
    use crate::data::Features;
    use crate::data::table::{Chunk, Column, Kind, MISSING, Table};

    #[test]
    fn the_columns_come_back() {
        let column = |name: &str, kind| Column { name: name.to_owned(), kind };
        let levels = ["x", "z"].map(str::to_owned).to_vec();
        let columns = vec![
            column("a", Kind::Number),
            column("t", Kind::Text(levels)),
            column("y", Kind::Number),
        ];
        let numbers = [[1.5, 0.0], [f32::NAN, 1.0], [4.0, 0.0], [9.0, 1.0]].concat();
        let chunk =
            Chunk { numbers: Features::F32(numbers), codes: vec![0, MISSING, 0, 1], n_rows: 4 };
        let table = Table::new("t", columns, vec![chunk]).unwrap();
        let options = TableOptions::default();
        let roles = Roles::of(&table, &options).unwrap();
        let (prepare, _) = Prepare::fit(&table, &roles, &options, &[0, 1, 2]).unwrap();
        let inputs = prepare.apply(table, true).unwrap().inputs;
        let rows: Vec<Vec<(&str, Cell<'_>)>> =
            inputs.chunks(prepare.n_inputs()).map(|row| prepare.cells(row)).collect();
        let number = |row: &[(&str, Cell<'_>)]| match row[0] {
            ("a", Cell::Number(number)) => number,
            _ => panic!("{row:?}"),
        };
        assert!((number(&rows[0]) - 1.5).abs() < 1e-6 && (number(&rows[3]) - 9.0).abs() < 1e-5);
        assert_eq!(rows[0][1], ("t", Cell::Level("x")));
        assert_eq!(rows[1], [("a", Cell::Missing), ("t", Cell::Missing)]);
        assert_eq!(rows[3][1], ("t", Cell::Unknown));
    }
}
