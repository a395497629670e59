//! Reads what a network is to say from the rows of a table: classes, numbers, and weights.

use std::collections::HashMap;

use super::rows::{Prepared, Rows};
use super::{Prepare, Target};
use crate::data::table::{Kind, MISSING, Table, digits};
use crate::error::{Error, Result};

/// Reads what the network is to say.
pub(super) struct Outputs {
    target: OutputKind,
    weight: Option<(String, usize)>,
}

enum OutputKind {
    /// The class of each code.
    Codes {
        column: String,
        place: usize,
        classes: Vec<Option<u32>>,
        texts: Vec<String>,
    },
    /// The class of each number, by its digits.
    Digits {
        column: String,
        place: usize,
        classes: HashMap<String, u32>,
    },
    Numbers {
        columns: Vec<(String, usize)>,
    },
}

impl Outputs {
    pub(super) fn of(prepare: &Prepare, table: &Table) -> Result<Self> {
        let number = |name: &String, what: &str| {
            let column = required_position(table, name, what)?;
            match table.columns()[column].kind {
                Kind::Number => Ok((name.clone(), table.place(column))),
                Kind::Text(_) => Err(Error::invalid(
                    table.name(),
                    format!("`{name}` holds texts; expected numbers"),
                )),
            }
        };
        let weight = prepare.weight.as_ref().map(|name| number(name, WEIGHTS)).transpose()?;
        let target = match &prepare.target {
            Target::Numbers { columns } => {
                let columns = columns.iter().map(|name| number(name, TARGET));
                OutputKind::Numbers { columns: columns.collect::<Result<_>>()? }
            }
            Target::Classes { column, classes } => {
                let at = required_position(table, column, TARGET)?;
                let numbers: HashMap<&str, u32> =
                    classes.iter().zip(0..).map(|(class, number)| (&class[..], number)).collect();
                let (column, place) = (column.clone(), table.place(at));
                match &table.columns()[at].kind {
                    Kind::Text(texts) => OutputKind::Codes {
                        column,
                        place,
                        classes: texts.iter().map(|text| numbers.get(&text[..]).copied()).collect(),
                        texts: texts.clone(),
                    },
                    Kind::Number => {
                        let classes = numbers.into_iter().map(|(text, n)| (text.to_owned(), n));
                        OutputKind::Digits { column, place, classes: classes.collect() }
                    }
                }
            }
        };
        Ok(Self { target, weight })
    }

    pub(super) fn read(
        &self,
        rows: &Rows<'_>,
        (name, done): (&str, usize),
        out: &mut Prepared,
    ) -> Result<()> {
        let missing = |column: &str, row: usize| {
            Error::invalid(
                name,
                format!("`{column}` has no finite value in row {}; expected one", done + row + 1),
            )
        };
        let unknown = |column: &str, value: &str, row: usize| {
            let problem = format!(
                "`{column}` is `{value}` in row {}, which is no class of the model",
                done + row + 1
            );
            Error::outputs(name, problem)
        };
        match &self.target {
            OutputKind::Codes { column, place, classes, texts } => {
                for (row, code) in rows.codes(*place).enumerate() {
                    if code == MISSING {
                        return Err(missing(column, row));
                    }
                    let class = classes[code as usize];
                    out.labels
                        .push(class.ok_or_else(|| unknown(column, &texts[code as usize], row))?);
                }
            }
            OutputKind::Digits { column, place, classes } => {
                for (row, value) in rows.numbers(*place).enumerate() {
                    if value.is_nan() {
                        return Err(missing(column, row));
                    }
                    let text = digits(value);
                    let class = classes.get(&text).copied();
                    out.labels.push(class.ok_or_else(|| unknown(column, &text, row))?);
                }
            }
            OutputKind::Numbers { columns } => {
                let start = out.targets.len();
                out.targets.resize(start + rows.range.len() * columns.len(), 0.0);
                for (i, (column, place)) in columns.iter().enumerate() {
                    for (row, value) in rows.numbers(*place).enumerate() {
                        if !value.is_finite() {
                            return Err(missing(column, row));
                        }
                        out.targets[start + row * columns.len() + i] = value;
                    }
                }
            }
        }
        if let Some((column, place)) = &self.weight {
            for (row, weight) in rows.numbers(*place).enumerate() {
                if !(weight.is_finite() && weight >= 0.0) {
                    let problem = format!("`{column}` is {weight} in row {}", done + row + 1);
                    return Err(Error::invalid(
                        name,
                        format!("{problem}; expected a weight of at least 0"),
                    ));
                }
                out.weights.push(weight);
            }
        }
        Ok(())
    }
}

/// What a column is for.
pub(super) const TARGET: &str = "is the target";
const WEIGHTS: &str = "holds the weights of the rows";

/// The column of a name, which has to be there.
pub(super) fn required_position(table: &Table, name: &str, what: &str) -> Result<usize> {
    table.position(name).ok_or_else(|| {
        let problem = format!("no column `{name}`, which {what}");
        match what {
            TARGET => Error::outputs(table.name(), problem),
            _ => Error::invalid(table.name(), problem),
        }
    })
}
