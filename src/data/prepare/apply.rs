//! Makes the inputs of a network, and what it is to say, from a table.

use std::collections::HashMap;

use super::{Input, Prepare, Target};
use crate::data::table::{Chunk, Kind, MISSING, Table, digits};
use crate::error::{Error, Result};
use crate::memory::require_memory;

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
    /// For each of [`Prepare::inputs`], how many rows have a level that the training part does not have.
    pub unknown: Vec<usize>,
}

impl Prepare {
    /// Makes inputs of all rows of a table. Its columns are matched by name; others are ignored. With `targets`, what is to be
    /// learnt is read as well. The table's chunks are freed on the way.
    ///
    /// # Errors
    /// If a column is missing or holds something else, a target is missing or is a class that is not known, or memory is short.
    pub fn apply(&self, table: Table, targets: bool) -> Result<Prepared> {
        let (width, n_rows) = (self.n_inputs(), table.n_rows());
        let values = n_rows.saturating_mul(width);
        require_memory(values, "the inputs")?;
        let steps = self.steps(&table)?;
        let outputs = if targets { Some(Outputs::of(self, &table)?) } else { None };
        let mut unknown = vec![0usize; self.inputs.len()];
        let mut prepared = Prepared { inputs: vec![0.0; values], n_rows, ..Prepared::default() };
        let (name, before) = (table.name().to_owned(), table.rows_before());
        let (n_numbers, n_columns) = (table.n_numbers(), table.columns().len());
        let (_, chunks) = table.into_chunks();
        let mut done = 0;
        for chunk in chunks {
            let rows = Rows { chunk: &chunk, n_numbers, n_texts: n_columns - n_numbers };
            let out = &mut prepared.inputs[done * width..(done + chunk.n_rows) * width];
            for (step, unknown) in steps.iter().zip(&mut unknown) {
                *unknown += step.run(&rows, out, width).map_err(|row| {
                    let problem = format!(
                        "`{}` has no number in row {}",
                        step.column,
                        before + done + row + 1
                    );
                    Error::invalid(
                        &name[..],
                        format!("{problem}; expected one, as in the training"),
                    )
                })?;
            }
            if let Some(outputs) = &outputs {
                outputs.read(&rows, (&name, before + done), &mut prepared)?;
            }
            done += chunk.n_rows;
        }
        prepared.unknown = unknown;
        Ok(prepared)
    }

    /// A line for each column with levels that the training part does not have: `unknown` of them in `n_rows` rows.
    pub fn unknown_levels(&self, unknown: &[usize], n_rows: usize) -> Vec<String> {
        let found = self.inputs.iter().zip(unknown).filter(|(_, unknown)| **unknown > 0);
        let line = |(input, unknown): (&Input, &usize)| {
            format!(
                "`{}`: {unknown} of {n_rows} values are levels that the training part does not have",
                input.column()
            )
        };
        found.map(line).collect()
    }

    fn steps(&self, table: &Table) -> Result<Vec<Step<'_>>> {
        let positions: HashMap<&str, usize> =
            table.columns().iter().enumerate().map(|(i, column)| (&column.name[..], i)).collect();
        let mut steps = Vec::with_capacity(self.inputs.len());
        let mut to = 0;
        for input in &self.inputs {
            let Some(&column) = positions.get(input.column()) else {
                let problem = format!("no column `{}`, which the model needs", input.column());
                return Err(Error::invalid(table.name(), problem));
            };
            steps.push(Step {
                from: table.place(column),
                to,
                column: input.column(),
                kind: StepKind::of(input, table, column)?,
            });
            to += input.width();
        }
        Ok(steps)
    }
}

/// Rows of a table, with the number of values of each kind in a row.
struct Rows<'a> {
    chunk: &'a Chunk,
    n_numbers: usize,
    n_texts: usize,
}

impl Rows<'_> {
    fn numbers(&self, place: usize) -> impl Iterator<Item = f32> {
        let width = self.n_numbers;
        (0..self.chunk.n_rows).map(move |row| self.chunk.numbers.value(row * width + place))
    }

    fn codes(&self, place: usize) -> impl Iterator<Item = u32> {
        self.chunk.codes.iter().skip(place).step_by(self.n_texts.max(1)).copied()
    }
}

/// How a column becomes inputs.
struct Step<'a> {
    /// The position among the columns of its kind.
    from: usize,
    /// The first of its inputs.
    to: usize,
    column: &'a str,
    kind: StepKind,
}

enum StepKind {
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
    /// For each code, which input is 1, if one is; the input of a missing text.
    Codes {
        inputs: Vec<Option<usize>>,
        missing: Option<usize>,
    },
    /// Numbers whose digits are the levels.
    Digits {
        inputs: HashMap<String, usize>,
        missing: Option<usize>,
    },
}

impl StepKind {
    fn of(input: &Input, table: &Table, column: usize) -> Result<Self> {
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
            (Input::Category { levels, missing, .. }, kind) => {
                let position: HashMap<&str, usize> =
                    levels.iter().enumerate().map(|(i, level)| (&level[..], i)).collect();
                let missing = missing.then_some(levels.len());
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
    fn run(&self, rows: &Rows<'_>, out: &mut [f32], width: usize) -> Result<usize, usize> {
        let out = out.chunks_exact_mut(width);
        let mut unknown = 0;
        let mut set = |row: &mut [f32], input: Option<usize>, is_missing: bool| match input {
            Some(input) => row[self.to + input] = 1.0,
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

/// Reads what the network is to say.
struct Outputs {
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
    fn of(prepare: &Prepare, table: &Table) -> Result<Self> {
        let find = |name: &String| {
            table.position(name).ok_or_else(|| {
                Error::invalid(table.name(), format!("no column `{name}`, which is the target"))
            })
        };
        let number = |name: &String| {
            let column = find(name)?;
            match table.columns()[column].kind {
                Kind::Number => Ok((name.clone(), table.place(column))),
                Kind::Text(_) => Err(Error::invalid(
                    table.name(),
                    format!("`{name}` holds texts; expected numbers"),
                )),
            }
        };
        let weight = prepare.weight.as_ref().map(number).transpose()?;
        let target = match &prepare.target {
            Target::Numbers { columns } => {
                OutputKind::Numbers { columns: columns.iter().map(number).collect::<Result<_>>()? }
            }
            Target::Classes { column, classes } => {
                let at = find(column)?;
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

    fn read(&self, rows: &Rows<'_>, (name, done): (&str, usize), out: &mut Prepared) -> Result<()> {
        let missing = |column: &str, row: usize| {
            Error::invalid(
                name,
                format!("`{column}` has no value in row {}; expected one", done + row + 1),
            )
        };
        let unknown = |column: &str, value: &str, row: usize| {
            let problem = format!(
                "`{column}` is `{value}` in row {}, which is no class of the model",
                done + row + 1
            );
            Error::invalid(name, problem)
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
                out.targets.resize(start + rows.chunk.n_rows * columns.len(), 0.0);
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
