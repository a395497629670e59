//! How a column of a table becomes inputs, rows at a time.

use std::collections::HashMap;

use super::Input;
use super::rows::Rows;
use crate::data::table::{Kind, MISSING, Table, digits};
use crate::error::{Error, Result};

/// How a column becomes inputs.
pub(super) struct Step<'a> {
    /// The position among the columns of its kind.
    pub from: usize,
    /// The first of its inputs.
    pub to: usize,
    pub column: &'a str,
    pub kind: StepKind,
}

pub(super) enum StepKind {
    Number {
        fill: Option<f64>,
        center: f64,
        factor: f64,
        indicator: bool,
    },
    /// Texts that are numbers.
    NumberTexts {
        values: Vec<f32>,
        fill: Option<f64>,
        center: f64,
        factor: f64,
        indicator: bool,
    },
    /// For each code, which input has which value, if one has; that of a missing text.
    Codes {
        inputs: Vec<Option<Level>>,
        missing: Option<Level>,
    },
    /// Numbers whose digits are the levels.
    Digits {
        inputs: HashMap<String, Level>,
        missing: Option<Level>,
    },
}

/// An input of a category, and the value that it has.
type Level = (usize, f32);

impl StepKind {
    pub fn of(input: &Input, table: &Table, column: usize) -> Result<Self> {
        let kind = &table.columns()[column].kind;
        match (input, kind) {
            (&Input::Number { fill, center, scale, indicator, .. }, Kind::Number) => {
                Ok(Self::Number { fill, center, factor: 1.0 / scale, indicator })
            }
            (&Input::Number { ref column, fill, center, scale, indicator }, Kind::Text(levels)) => {
                // a column that was read as texts may hold numbers all the same, or nothing
                let number =
                    |level: &String| level.trim().parse::<f32>().ok().filter(|x| !x.is_nan());
                let values = levels.iter().map(number).collect::<Option<Vec<f32>>>();
                let values = values.ok_or_else(|| {
                    let text = levels.iter().find(|level| number(level).is_none());
                    let problem = format!(
                        "`{column}` holds texts such as `{}`; expected numbers, as in the training",
                        text.map_or("", |text| text)
                    );
                    Error::invalid(table.name(), problem)
                })?;
                Ok(Self::NumberTexts { values, fill, center, factor: 1.0 / scale, indicator })
            }
            (Input::Category { levels, missing, contrast, .. }, kind) => {
                let value = |i: usize| match contrast {
                    true => (0, if i == 0 { 1.0 } else { -1.0 }),
                    false => (i, 1.0),
                };
                let position: HashMap<&str, Level> =
                    levels.iter().enumerate().map(|(i, level)| (&level[..], value(i))).collect();
                let missing = missing.then_some((levels.len(), 1.0));
                Ok(match kind {
                    Kind::Text(texts) => {
                        let inputs =
                            texts.iter().map(|text| position.get(&text[..]).copied()).collect();
                        Self::Codes { inputs, missing }
                    }
                    Kind::Number => {
                        let inputs =
                            position.into_iter().map(|(level, i)| (level.to_owned(), i)).collect();
                        Self::Digits { inputs, missing }
                    }
                })
            }
        }
    }
}

impl Step<'_> {
    /// Writes numbers, scaled. An error is the row in which one is missing.
    fn numbers<'o>(
        &self,
        values: impl Iterator<Item = f32>,
        out: impl Iterator<Item = &'o mut [f32]>,
        (fill, center, factor, indicator): (Option<f64>, f64, f64, bool),
    ) -> Result<(), usize> {
        for (i, (row, value)) in out.zip(values).enumerate() {
            let value = match (value.is_nan(), fill) {
                (false, _) if value.is_infinite() => return Err(i),
                (false, _) => f64::from(value),
                (true, Some(fill)) => {
                    if indicator {
                        row[self.to + 1] = 1.0;
                    }
                    fill
                }
                (true, None) => return Err(i),
            };
            row[self.to] = ((value - center) * factor) as f32;
        }
        Ok(())
    }

    /// Writes the inputs of some rows; returns how many levels are unknown. An error is the row in which a number is missing.
    pub fn run(&self, rows: &Rows<'_>, out: &mut [f32], width: usize) -> Result<usize, usize> {
        let out = out.chunks_exact_mut(width);
        let mut unknown = 0;
        let mut set = |row: &mut [f32], level: Option<Level>, is_missing: bool| match level {
            Some((input, value)) => row[self.to + input] = value,
            None => unknown += usize::from(!is_missing),
        };
        match &self.kind {
            &StepKind::Number { fill, center, factor, indicator } => {
                self.numbers(rows.numbers(self.from), out, (fill, center, factor, indicator))?;
            }
            &StepKind::NumberTexts { ref values, fill, center, factor, indicator } => {
                let numbers = rows.codes(self.from).map(|code| match code {
                    MISSING => f32::NAN,
                    code => values[code as usize],
                });
                self.numbers(numbers, out, (fill, center, factor, indicator))?;
            }
            StepKind::Codes { inputs, missing } => {
                for (row, code) in out.zip(rows.codes(self.from)) {
                    match code {
                        MISSING => set(row, *missing, true),
                        code => set(row, inputs[code as usize], false),
                    }
                }
            }
            StepKind::Digits { inputs, missing } => {
                for (row, value) in out.zip(rows.numbers(self.from)) {
                    match value.is_nan() {
                        true => set(row, *missing, true),
                        false => set(row, inputs.get(&digits(value)).copied(), false),
                    }
                }
            }
        }
        Ok(unknown)
    }
}
