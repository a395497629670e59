//! What turns the rows of a table into inputs of a network: learnt from the training part, kept in the model, applied everywhere.
//!
//! [`Roles`] says what each column is for, [`Prepare::fit`] learns from the training rows, and [`Prepare::apply`] makes inputs of
//! any table that has the same columns, matched by name.

mod apply;
mod fit;
mod outputs;
mod resolution;
mod roles;
mod rows;

use serde::{Deserialize, Serialize};

use super::table::{Table, digits};
use crate::error::{Error, Result};
use crate::text::plural;
use outputs::{TARGET, required_position};

pub use roles::{Roles, TableOptions, TaskChoice};
pub use rows::Prepared;

/// How numbers are scaled: learnt from the training part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Scale {
    /// As [`Scale::Standard`].
    #[default]
    Auto,
    /// As they are.
    None,
    /// The least becomes 0, the largest 1.
    Unit,
    /// Mean 0, standard deviation 1.
    Standard,
    /// Median 0, distance between the quartiles 1.
    Robust,
}

/// What is done about missing numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Missing {
    /// The median of the training part takes their place, and a further input says where.
    #[default]
    Impute,
    /// They are an error.
    Error,
}

/// The inputs that come from one column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Input {
    /// `(x - center) / scale`; if `indicator`, a second input is 1 where the number is missing and 0 elsewhere.
    Number {
        /// The name of the column.
        column: String,
        /// What takes the place of a missing number: the median of the training part; `None` if a missing number is an error.
        fill: Option<f64>,
        /// What is subtracted.
        center: f64,
        /// What it is divided by.
        scale: f64,
        /// Whether numbers were missing in the training part.
        indicator: bool,
    },
    /// An input for each level, 1 for that of the row and 0 for the others; a text that is none of them is 0 throughout.
    Category {
        /// The name of the column.
        column: String,
        /// The levels, in the order of the inputs.
        levels: Vec<String>,
        /// Whether a missing text is a level of its own, the last one.
        missing: bool,
    },
}

impl Input {
    /// The name of the column.
    pub fn column(&self) -> &str {
        match self {
            Self::Number { column, .. } | Self::Category { column, .. } => column,
        }
    }

    /// How many inputs of the network it makes.
    pub fn width(&self) -> usize {
        match self {
            Self::Number { indicator, .. } => 1 + usize::from(*indicator),
            Self::Category { levels, missing, .. } => levels.len() + usize::from(*missing),
        }
    }
}

/// What the network learns to say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Target {
    /// One of some classes.
    Classes {
        /// The name of the column.
        column: String,
        /// The names of the classes: numbers by size, texts by alphabet.
        classes: Vec<String>,
    },
    /// Numbers.
    Numbers {
        /// The names of the columns.
        columns: Vec<String>,
    },
}

impl Target {
    /// The names of its columns.
    pub fn columns(&self) -> &[String] {
        match self {
            Self::Classes { column, .. } => std::slice::from_ref(column),
            Self::Numbers { columns } => columns,
        }
    }
}

/// What turns the rows of a table into inputs, and what is to be learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prepare {
    inputs: Vec<Input>,
    target: Target,
    weight: Option<String>,
}

impl Prepare {
    /// The columns that become inputs, in the order of the inputs.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// What is to be learnt.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// How many inputs the network has.
    pub fn n_inputs(&self) -> usize {
        self.inputs.iter().map(Input::width).sum()
    }

    /// What becomes of the columns, in a line.
    pub fn summary(&self) -> String {
        let (mut numbers, mut gaps, mut texts, mut levels) = (0, 0, 0, 0);
        for input in &self.inputs {
            match input {
                Input::Number { indicator, .. } => {
                    (numbers, gaps) = (numbers + 1, gaps + usize::from(*indicator));
                }
                Input::Category { .. } => (texts, levels) = (texts + 1, levels + input.width()),
            }
        }
        let mut parts = Vec::new();
        if numbers > 0 {
            parts.push(format!("{} of numbers", plural(numbers, "column")));
        }
        if gaps > 0 {
            parts.push(format!("{} for values that are missing there", plural(gaps, "indicator")));
        }
        if texts > 0 {
            let texts = plural(texts, "column");
            parts.push(format!("{texts} of texts with {}", plural(levels, "level")));
        }
        format!("{} from {}", plural(self.n_inputs(), "input"), parts.join(", "))
    }

    /// The positions of the targets in a table.
    ///
    /// # Errors
    /// If the table lacks one.
    pub(crate) fn targets(&self, table: &Table) -> Result<Vec<usize>> {
        let columns = self.target.columns().iter();
        columns.map(|name| required_position(table, name, TARGET)).collect()
    }

    /// Rejects what no training can have made.
    ///
    /// # Errors
    /// If it makes another number of inputs than `n_in`, or a number in it is out of range.
    pub(crate) fn check(&self, n_in: usize) -> Result<()> {
        let damaged = |problem: String| Err(Error::invalid("prepare", problem));
        if self.n_inputs() != n_in {
            return damaged(format!("it makes {} inputs; expected {n_in}", self.n_inputs()));
        }
        for input in &self.inputs {
            if let Input::Number { column, fill, center, scale, .. } = input
                && !(fill.unwrap_or(0.0).is_finite() && center.is_finite() && scale.is_normal())
            {
                return damaged(format!(
                    "`{column}` is filled with {fill:?}, centred at {center} and divided by {scale}; expected finite numbers"
                ));
            }
        }
        Ok(())
    }

    /// The columns that have to be read as texts, even if all of their cells look like numbers.
    pub fn text_columns(&self) -> Vec<String> {
        let category = |input: &Input| match input {
            Input::Category { column, .. } => Some(column.clone()),
            Input::Number { .. } => None,
        };
        let mut columns: Vec<String> = self.inputs.iter().filter_map(category).collect();
        if let Target::Classes { column, classes } = &self.target {
            // those of a column of numbers are the digits that a number is written with
            let is_number =
                |class: &String| class.parse::<f32>().is_ok_and(|x| digits(x) == *class);
            if !classes.iter().all(is_number) {
                columns.push(column.clone());
            }
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Features;
    use crate::data::table::{Chunk, Column, Kind, MISSING};

    const NAN: f32 = f32::NAN;

    /// Size (with a gap), colour (with a gap), key, constant, class.
    fn table() -> Table {
        let column = |name: &str, levels: &[&str]| Column {
            name: name.to_owned(),
            kind: match levels {
                [] => Kind::Number,
                levels => Kind::Text(levels.iter().map(ToString::to_string).collect()),
            },
        };
        let columns = vec![
            column("size", &[]),
            column("colour", &["red", "blue", "green"]),
            column("constant", &[]),
            column("class", &["b", "a"]),
        ];
        let chunk = |numbers: &[f32], codes: &[u32]| Chunk {
            n_rows: numbers.len() / 2,
            numbers: Features::F32(numbers.to_vec()),
            codes: codes.to_vec(),
        };
        let chunks = vec![
            chunk(&[1.0, 7.0, NAN, 7.0, 4.0, 7.0], &[0, 0, 1, 1, MISSING, 0]),
            chunk(&[10.0, 7.0, 100.0, 8.0], &[1, 1, 2, 1]),
        ];
        Table::new("test.csv", columns, chunks).unwrap()
    }

    fn fitted(options: &TableOptions) -> (Prepare, Vec<String>) {
        let table = table();
        let roles = Roles::of(&table, options).unwrap();
        assert_eq!(roles.classes.as_deref(), Some(&["a".to_owned(), "b".to_owned()][..]));
        Prepare::fit(&table, &roles, options, &[0, 1, 2, 3]).unwrap()
    }

    #[test]
    fn what_is_learnt_comes_from_the_training_part_alone() {
        let (prepare, notices) = fitted(&TableOptions::default());
        // the sizes 1, 4 (the median, for the missing one), 4 and 10
        let deviation = 10.6875f64.sqrt();
        let [Input::Number { fill, center, scale, indicator, .. }, category] = prepare.inputs()
        else {
            panic!("{prepare:?}")
        };
        assert_eq!((*fill, *center, *indicator), (Some(4.0), 4.75, true));
        assert!((scale - deviation).abs() < 1e-12);
        let levels = ["blue", "red"].map(str::to_owned).to_vec();
        let column = "colour".to_owned();
        assert_eq!(*category, Input::Category { column, levels, missing: true });
        assert!(notices[0].contains("one value there: `constant`"), "{notices:?}");

        let prepared = prepare.apply(table(), true).unwrap();
        let z = |x: f64| ((x - 4.75) / deviation) as f32;
        let expected = [
            [z(1.0), 0.0, 0.0, 1.0, 0.0],
            [z(4.0), 1.0, 1.0, 0.0, 0.0],
            [z(4.0), 0.0, 0.0, 0.0, 1.0],
            [z(10.0), 0.0, 1.0, 0.0, 0.0],
            [z(100.0), 0.0, 0.0, 0.0, 0.0],
        ];
        assert_eq!(prepared.inputs, expected.concat());
        assert_eq!(prepared.labels, [1, 0, 1, 0, 0]);
        let unknown = prepare.unknown_levels(&prepared.unknown, prepared.n_rows);
        assert!(unknown[0].contains("`colour`: 1 of 5 values"), "{unknown:?}");
    }

    #[test]
    fn scales_are_those_of_their_names() {
        let number = |scale| {
            let options = TableOptions { scale, ..TableOptions::default() };
            match fitted(&options).0.inputs()[0] {
                Input::Number { center, scale, .. } => (center, scale),
                Input::Category { .. } => panic!(),
            }
        };
        assert_eq!(number(Scale::None), (0.0, 1.0));
        assert_eq!(number(Scale::Unit), (1.0, 9.0));
        assert_eq!(number(Scale::Robust), (4.0, 4.5)); // quartiles 2.5 and 7
    }

    #[test]
    fn columns_are_matched_by_name() {
        let (prepare, _) = fitted(&TableOptions::default());
        let columns = vec![
            Column { name: "more".into(), kind: Kind::Text(vec!["x".into()]) },
            Column { name: "colour".into(), kind: Kind::Text(vec!["blue".into(), "red".into()]) },
            Column { name: "size".into(), kind: Kind::Number },
        ];
        let numbers = Features::F32(vec![1.0, 10.0]);
        let chunk = Chunk { n_rows: 2, numbers, codes: vec![0, 1, 0, 0] };
        let other = Table::new("other.csv", columns.clone(), vec![chunk]).unwrap();
        let rows = prepare.apply(table(), false).unwrap().inputs;
        let inputs = prepare.apply(other, false).unwrap().inputs;
        assert_eq!((&inputs[..5], &inputs[5..]), (&rows[..5], &rows[15..20]));
        let message = |columns: &[Column], chunk: Chunk| {
            let table = Table::new("bad.csv", columns.to_vec(), vec![chunk]).unwrap();
            prepare.apply(table, true).unwrap_err().to_string()
        };
        let empty = |numbers: &[f32], codes: &[u32]| Chunk {
            n_rows: 1,
            numbers: Features::F32(numbers.to_vec()),
            codes: codes.to_vec(),
        };
        assert!(message(&columns[..2], empty(&[], &[0, 0])).contains("no column `size`"));
        assert!(message(&columns, empty(&[1.0], &[0, 0])).contains("no column `class`"));
        let mut texts = columns;
        texts[2].kind = Kind::Text(vec!["big".into()]);
        let found = message(&texts, empty(&[], &[0, 0, 0]));
        assert!(found.contains("`size` holds texts such as `big`"), "{found}");
    }

    #[test]
    fn options_that_do_not_fit_are_named() {
        let message = |options: TableOptions| {
            let table = table();
            let roles = Roles::of(&table, &options);
            let fitted = roles.and_then(|roles| Prepare::fit(&table, &roles, &options, &[0, 1]));
            fitted.unwrap_err().to_string()
        };
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let default = TableOptions::default;
        let found = message(TableOptions { target: names(&["klass"]), ..default() });
        assert!(found.contains("no column of that name; is it `class`?"), "{found}");
        let found = message(TableOptions { ignore: names(&["class"]), ..default() });
        assert!(found.contains("named for two purposes"), "{found}");
        let found = message(TableOptions { missing: Missing::Error, ..default() });
        assert!(found.contains("`size` has no number in row 2"), "{found}");
        let all = names(&["size", "colour"]);
        let found = message(TableOptions { ignore: all, ..default() });
        assert!(found.contains("no column is left to learn from"), "{found}");
        let found = message(TableOptions { task: TaskChoice::Regression, ..default() });
        assert!(found.contains("target `class` holds texts"), "{found}");
    }

    #[test]
    fn prepare_round_trips_through_json() {
        let (prepare, _) = fitted(&TableOptions::default());
        let json = serde_json::to_string(&prepare).unwrap();
        assert_eq!(serde_json::from_str::<Prepare>(&json).unwrap(), prepare);
    }
}
