//! Makes the inputs of a network, and what it is to say, from a table.

use std::collections::HashMap;
use std::thread;

use super::outputs::Outputs;
use super::rows::{Prepared, Rows};
use super::{Input, Prepare};
use crate::data::table::{Kind, MISSING, Table, digits};
use crate::error::{Error, Result};
use crate::memory::require_memory;

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
        let mut prepared = Prepared { inputs: vec![0.0; values], n_rows, ..Prepared::default() };
        prepared.unknown = vec![0; self.inputs.len()];
        let (name, before) = (table.name().to_owned(), table.rows_before());
        let (n_numbers, n_columns) = (table.n_numbers(), table.columns().len());
        let (_, chunks) = table.into_chunks();
        let mut done = 0;
        for chunk in chunks {
            let n_texts = n_columns - n_numbers;
            let rows = Rows::of(&chunk, n_numbers, n_texts);
            let out = &mut prepared.inputs[done * width..(done + chunk.n_rows) * width];
            let unknown = run_all(&steps, &rows, out, width).map_err(|(row, column)| {
                let problem =
                    format!("`{column}` has no finite number in row {}", before + done + row + 1);
                Error::invalid(&name[..], format!("{problem}; expected one, as in the training"))
            })?;
            prepared.unknown.iter_mut().zip(unknown).for_each(|(all, more)| *all += more);
            if let Some(outputs) = &outputs {
                outputs.read(&rows, (&name, before + done), &mut prepared)?;
            }
            done += chunk.n_rows;
        }
        Ok(prepared)
    }

    /// A line for each column with levels that the training part does not have: `unknown` of them in `n_rows` rows.
    pub fn unknown_levels(&self, unknown: &[usize], n_rows: usize) -> Vec<String> {
        let found = self.inputs.iter().zip(unknown).filter(|(_, unknown)| **unknown > 0);
        let line = |(input, unknown): (&Input, &usize)| {
            format!(
                "`{}`: {unknown} of {n_rows} values {} that the training part does not have",
                input.column(),
                if *unknown == 1 { "is a level" } else { "are levels" }
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

/// So many rows at a time stay in the cache while all columns of them are written.
const BLOCK_ROWS: usize = 256;

/// Below this number of values, threads take longer to start than they save.
const VALUES_PER_THREAD: usize = 1 << 18;

/// Runs all steps over some rows, which several threads share. Returns how many levels each step does not know. An error is the
/// first row in which a number is missing, and its column.
fn run_all<'s>(
    steps: &[Step<'s>],
    rows: &Rows<'_>,
    out: &mut [f32],
    width: usize,
) -> Result<Vec<usize>, (usize, &'s str)> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let n_threads = (out.len() / VALUES_PER_THREAD).clamp(1, cores);
    let share = rows.range.len().div_ceil(n_threads).max(1);
    let work = |(start, out): (usize, &mut [f32])| {
        let mut unknown = vec![0; steps.len()];
        for (i, out) in out.chunks_mut(BLOCK_ROWS * width).enumerate() {
            let start = start + i * BLOCK_ROWS;
            let rows = rows.part(start..start + out.len() / width);
            let mut missing: Option<(usize, &'s str)> = None;
            for (step, unknown) in steps.iter().zip(&mut unknown) {
                match step.run(&rows, out, width) {
                    Ok(more) => *unknown += more,
                    Err(row) if missing.is_none_or(|(first, _)| start + row < first) => {
                        missing = Some((start + row, step.column));
                    }
                    Err(_) => {}
                }
            }
            if let Some(missing) = missing {
                return Err(missing);
            }
        }
        Ok(unknown)
    };
    let shares = out.chunks_mut(share * width).enumerate().map(|(i, out)| (i * share, out));
    let done: Vec<Result<Vec<usize>, (usize, &str)>> = match n_threads {
        1 => shares.map(work).collect(),
        _ => thread::scope(|scope| {
            let threads: Vec<_> = shares.map(|share| scope.spawn(|| work(share))).collect();
            let joined = threads.into_iter().map(|thread| match thread.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.collect()
        }),
    };
    let mut unknown = vec![0; steps.len()];
    for more in done {
        unknown.iter_mut().zip(more?).for_each(|(all, more)| *all += more);
    }
    Ok(unknown)
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

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::super::{Missing, Roles, TableOptions, TaskChoice};
    use super::*;
    use crate::data::Features;
    use crate::data::table::{Chunk, Column};

    /// Three columns of numbers and one of texts, and a target.
    fn table(rows: Range<usize>) -> Table {
        let column = |name: &str, kind| Column { name: name.to_owned(), kind };
        let levels = ["p", "q", "r"].map(str::to_owned).to_vec();
        let columns = vec![
            column("a", Kind::Number),
            column("t", Kind::Text(levels)),
            column("b", Kind::Number),
            column("c", Kind::Number),
            column("y", Kind::Number),
        ];
        let value = |row: usize, k: usize| match (row % 1009, k) {
            (17, 1) => f32::NAN,
            _ => (row * (k + 3) % 997) as f32,
        };
        let numbers = rows.clone().flat_map(|row| (0..4).map(move |k| value(row, k))).collect();
        let codes = rows.clone().map(|row| [0, 1, 2, MISSING][row % 4]).collect();
        let chunk = Chunk { numbers: Features::F32(numbers), codes, n_rows: rows.len() };
        Table::new("test", columns, vec![chunk]).unwrap()
    }

    fn fitted(missing: Missing) -> Result<Prepare> {
        let task = TaskChoice::Regression;
        let options = TableOptions { missing, task, ..TableOptions::default() };
        let first = table(0..16);
        let roles = Roles::of(&first, &options)?;
        let rows: Vec<u32> = (0..16).collect();
        Ok(Prepare::fit(&first, &roles, &options, &rows)?.0)
    }

    #[test]
    fn threads_and_blocks_do_not_show() {
        let n = 3 * VALUES_PER_THREAD / 7 + 1001;
        let prepare = fitted(Missing::Impute).unwrap();
        let whole = prepare.apply(table(0..n), true).unwrap();
        let mut parts = Prepared::default();
        for start in (0..n).step_by(997) {
            let part = prepare.apply(table(start..n.min(start + 997)), true).unwrap();
            parts.inputs.extend(part.inputs);
            parts.targets.extend(part.targets);
        }
        assert_eq!((whole.inputs.len(), whole.n_rows), (n * prepare.n_inputs(), n));
        assert!(whole.inputs == parts.inputs && whole.targets == parts.targets);
    }

    #[test]
    fn the_first_row_without_a_number_is_named() {
        let prepare = fitted(Missing::Error).unwrap();
        let n = 2 * VALUES_PER_THREAD;
        let error = prepare.apply(table(100..n), true).unwrap_err().to_string();
        // row 1026 of the whole, which is the first after 100 that leaves 17 when divided by 1009
        assert!(error.contains("`b` has no finite number in row 927;"), "{error}");
    }
}
