//! What turns the rows of a table into inputs of a network: learnt from the training part, kept in the model, applied everywhere.
//!
//! [`Roles`] says what each column is for, [`Prepare::fit`] learns from the training rows, and [`Prepare::apply`] makes inputs of
//! any table that has the same columns, matched by name.

mod apply;
mod columns;
mod fit;
mod outputs;
mod pca;
mod resolution;
mod roles;
mod rows;
mod squash;
mod steps;

use serde::{Deserialize, Serialize};

use super::table::{Column, Kind, ReadOptions, Table, digits};
use crate::error::{Error, Result};
use crate::text::plural;
use outputs::{TARGET, required_position};

pub use columns::Cell;
pub use pca::Pca;
pub use roles::{Roles, TableOptions, TaskChoice};
pub use rows::Prepared;
pub use squash::Squash;

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
    /// The same for all inputs, levels too, which are then bent so that none exceeds 3. Two levels become one input.
    Smooth,
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
    /// An input for each level, 1 for that of the row and 0 for the others; a text that is none of them is 0 throughout. Or, of two levels, one input: 1 for the first, -1 for the
    /// second.
    Category {
        /// The name of the column.
        column: String,
        /// The levels, in the order of the inputs.
        levels: Vec<String>,
        /// Whether a missing text is a level of its own, the last one.
        missing: bool,
        /// Whether two levels are one input.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        contrast: bool,
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
            Self::Category { contrast: true, .. } => 1,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    squash: Option<Squash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pca: Option<Pca>,
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

    /// What bends the inputs, before any principal components; `None` if nothing does.
    pub fn squash(&self) -> Option<&Squash> {
        self.squash.as_ref()
    }

    /// The principal components that the network sees in the place of the inputs; `None` if it sees these.
    pub fn pca(&self) -> Option<&Pca> {
        self.pca.as_ref()
    }

    /// The same inputs for something else to be learnt.
    ///
    /// # Errors
    /// If a target or the weights are among the inputs.
    pub(crate) fn with_target(mut self, target: Target, weight: Option<String>) -> Result<Self> {
        let input = self
            .inputs
            .iter()
            .map(Input::column)
            .find(|&column| target.columns().iter().chain(&weight).any(|name| name == column));
        if let Some(column) = input {
            return Err(Error::usage(format!(
                "`{column}` is an input of the model; expected another column as the target (`target`) and the weights (`weight`)"
            )));
        }
        (self.target, self.weight) = (target, weight);
        Ok(self)
    }

    /// Takes the first columns of a table as they are, as many as a network has inputs, to predict `target`.
    ///
    /// # Errors
    /// If there are fewer columns, or one of them holds texts.
    pub(crate) fn of_plain(table: &Table, n_in: usize, target: Target) -> Result<Self> {
        let columns = table.columns();
        let refuse = |found: String| {
            let problem = format!(
                "{found}; the model has {n_in} inputs; expected a column of numbers for each of them, in their order, and perhaps the \
                 target as the last one"
            );
            Err(Error::invalid(table.name(), problem))
        };
        if !(n_in..=n_in.saturating_add(1)).contains(&columns.len()) {
            return refuse(plural(columns.len(), "column"));
        }
        if let Some(text) = columns[..n_in].iter().find(|c| matches!(c.kind, Kind::Text(_))) {
            return refuse(format!("`{}` holds texts", text.name));
        }
        let plain = |column: &Column| Input::Number {
            column: column.name.clone(),
            fill: None,
            center: 0.0,
            scale: 1.0,
            indicator: false,
        };
        let inputs = columns[..n_in].iter().map(plain).collect();
        Ok(Self { inputs, target, weight: None, squash: None, pca: None })
    }

    /// How many inputs the network has.
    pub fn n_inputs(&self) -> usize {
        self.pca.as_ref().map_or_else(|| self.encoded_width(), Pca::n_components)
    }

    /// How many inputs the columns become, before principal components take their place.
    pub fn encoded_width(&self) -> usize {
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
        let encoded =
            format!("{} from {}", plural(self.encoded_width(), "input"), parts.join(", "));
        match &self.pca {
            None => encoded,
            Some(pca) => format!(
                "{encoded}; projected onto {}, which {} {:.1} % of their variance",
                plural(pca.n_components(), "principal component"),
                if pca.n_components() == 1 { "has" } else { "have" },
                100.0 * pca.kept
            ),
        }
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
        if self.inputs.is_empty() {
            return damaged("it makes inputs of no column; expected at least one".to_owned());
        }
        if let Some(Err(problem)) =
            self.squash.as_ref().map(|squash| squash.check(self.encoded_width()))
        {
            return damaged(problem);
        }
        if let Some(Err(problem)) = self.pca.as_ref().map(|pca| pca.check(self.encoded_width())) {
            return damaged(problem);
        }
        if self.n_inputs() != n_in {
            return damaged(format!("it makes {} inputs; expected {n_in}", self.n_inputs()));
        }
        for input in &self.inputs {
            if let Input::Category { column, levels, contrast: true, missing } = input
                && (levels.len() != 2 || *missing)
            {
                let levels = levels.len();
                return damaged(format!("`{column}` has {levels} levels in one input; expected 2"));
            }
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

    /// How a text file of rows to predict is read: the columns of texts are texts whatever they look like, and a first line with the name of
    /// an input is a header.
    pub fn read_options(&self) -> ReadOptions {
        ReadOptions {
            text: self.text_columns(),
            known: self.inputs.iter().map(|input| input.column().to_owned()).collect(),
            ..ReadOptions::default()
        }
    }

    /// The inputs that are texts.
    pub(crate) fn text_inputs(&self) -> Vec<String> {
        let category = |input: &Input| match input {
            Input::Category { column, .. } => Some(column.clone()),
            Input::Number { .. } => None,
        };
        self.inputs.iter().filter_map(category).collect()
    }

    /// The columns that have to be read as texts, even if all of their cells look like numbers.
    pub fn text_columns(&self) -> Vec<String> {
        let mut columns = self.text_inputs();
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
mod tests;
