//! Makes the inputs of a network, and what it is to say, from a table.

use std::collections::HashMap;
use std::thread;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::outputs::Outputs;
use super::pca::{Pca, Projection};
use super::rows::{Prepared, Rows};
use super::steps::{Step, StepKind};
use super::{Input, Prepare, Squash};
use crate::data::table::Table;
use crate::error::{Error, Result};
use crate::files;
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
        let encoding = Encoding {
            steps: self.steps(&table)?,
            squash: self.squash(),
            encoded: self.encoded_width(),
            width,
            projection: self.pca().map(Pca::projection),
        };
        let outputs = if targets { Some(Outputs::of(self, &table)?) } else { None };
        let mut prepared = Prepared { inputs: vec![0.0; values], n_rows, ..Prepared::default() };
        prepared.unknown = vec![0; self.inputs.len()];
        let (name, before) = (table.name().to_owned(), table.rows_before());
        let (n_numbers, n_columns) = (table.n_numbers(), table.columns().len());
        let (_, chunks) = table.into_chunks();
        let (mut done, mut hash) = (0, 0_u128);
        for chunk in chunks {
            let n_texts = n_columns - n_numbers;
            let rows = Rows::of(&chunk, n_numbers, n_texts);
            let out = &mut prepared.inputs[done * width..(done + chunk.n_rows) * width];
            let seen = run_all(&encoding, &rows, done, out)
                .map_err(|(row, column)| not_finite(&name, column, before + done + row))?;
            prepared.unknown.iter_mut().zip(seen.unknown).for_each(|(all, more)| *all += more);
            hash = hash.wrapping_add(seen.hash);
            if let Some(outputs) = &outputs {
                outputs.read(&rows, (&name, before + done), &mut prepared)?;
            }
            done += chunk.n_rows;
        }
        prepared.unprojected = encoding.projection.is_some().then_some(hash);
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

    /// Calls `use_rows` with the inputs of the training rows of a table, block after block: row-major, [`Prepare::encoded_width`] values a
    /// row.
    pub(super) fn encode_training_rows(
        &self,
        table: &Table,
        is_train: &[bool],
        mut use_rows: impl FnMut(&mut [f32]),
    ) -> Result<()> {
        let (steps, width) = (self.steps(table)?, self.encoded_width());
        let (n_numbers, n_texts) = (table.n_numbers(), table.columns().len() - table.n_numbers());
        let mut block = vec![0.0; BLOCK_ROWS * width];
        let mut done = 0;
        for chunk in table.chunks() {
            let all = Rows::of(chunk, n_numbers, n_texts);
            for start in (0..chunk.n_rows).step_by(BLOCK_ROWS) {
                let rows = start..chunk.n_rows.min(start + BLOCK_ROWS);
                let is_train = &is_train[done + start..done + rows.end];
                let out = &mut block[..rows.len() * width];
                out.fill(0.0);
                for step in &steps {
                    step.run(&all.part(rows.clone()), out, width)
                        .map_err(|row| not_finite(table.name(), step.column, done + start + row))?;
                }
                if let Some(squash) = self.squash() {
                    squash.apply(out);
                }
                let mut kept = 0;
                for row in (0..rows.len()).filter(|&row| is_train[row]) {
                    out.copy_within(row * width..(row + 1) * width, kept * width);
                    kept += 1;
                }
                use_rows(&mut out[..kept * width]);
            }
            done += chunk.n_rows;
        }
        Ok(())
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

/// How rows become inputs.
struct Encoding<'a> {
    steps: Vec<Step<'a>>,
    /// What bends the values.
    squash: Option<&'a Squash>,
    /// How many values the steps write for a row.
    encoded: usize,
    /// How many inputs the network has.
    width: usize,
    /// What makes fewer inputs of these values.
    projection: Option<Projection>,
}

fn not_finite(name: &str, column: &str, row: usize) -> Error {
    let problem = format!("`{column}` has no finite number in row {}", row + 1);
    Error::invalid(name, format!("{problem}; expected one, as in the training"))
}

/// What was seen on the way.
struct Seen {
    /// How many levels each step does not know.
    unknown: Vec<usize>,
    /// Of the rows before a projection; rows are added, so that it does not matter who hashes which.
    hash: u128,
}

/// Writes the inputs of some rows, which several threads share; `before` rows of the table come first. An error is the first row in
/// which a number is missing, and its column.
fn run_all<'s>(
    encoding: &Encoding<'s>,
    rows: &Rows<'_>,
    before: usize,
    out: &mut [f32],
) -> Result<Seen, (usize, &'s str)> {
    let &Encoding { ref steps, squash, encoded, width, ref projection } = encoding;
    let squash = |rows: &mut [f32]| {
        if let Some(squash) = squash {
            squash.apply(rows);
        }
    };
    let n_rows = rows.range.len();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let n_threads = (n_rows * encoded / VALUES_PER_THREAD).clamp(1, cores);
    let share = n_rows.div_ceil(n_threads).max(1);
    let work = |(start, out): (usize, &mut [f32])| {
        let mut seen = Seen { unknown: vec![0; steps.len()], hash: 0 };
        let mut projection = projection.clone();
        let mut block = vec![0.0; projection.as_ref().map_or(0, |_| BLOCK_ROWS * encoded)];
        for (i, out) in out.chunks_mut(BLOCK_ROWS * width).enumerate() {
            let start = start + i * BLOCK_ROWS;
            let rows = rows.part(start..start + out.len() / width);
            match &mut projection {
                None => {
                    run_block(steps, &rows, out, encoded, &mut seen.unknown)?;
                    squash(out);
                }
                Some(projection) => {
                    let block = &mut block[..rows.range.len() * encoded];
                    block.fill(0.0);
                    run_block(steps, &rows, block, encoded, &mut seen.unknown)?;
                    squash(block);
                    let pairs = out.chunks_exact_mut(width).zip(block.chunks_exact(encoded));
                    for (row, (out, x)) in (before + start..).zip(pairs) {
                        let hash = xxh3_128_with_seed(&files::le_bytes(x), row as u64);
                        seen.hash = seen.hash.wrapping_add(hash);
                        projection.row(out, x);
                    }
                }
            }
        }
        Ok(seen)
    };
    let shares = out.chunks_mut(share * width).enumerate().map(|(i, out)| (i * share, out));
    let done: Vec<Result<Seen, (usize, &str)>> = match n_threads {
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
    let mut all = Seen { unknown: vec![0; steps.len()], hash: 0 };
    for seen in done {
        let seen = seen?;
        all.unknown.iter_mut().zip(seen.unknown).for_each(|(all, more)| *all += more);
        all.hash = all.hash.wrapping_add(seen.hash);
    }
    Ok(all)
}

/// Runs all steps over rows that stay in the cache; counts the levels that each does not know.
fn run_block<'s>(
    steps: &[Step<'s>],
    rows: &Rows<'_>,
    out: &mut [f32],
    width: usize,
    unknown: &mut [usize],
) -> Result<(), (usize, &'s str)> {
    let mut missing: Option<(usize, &'s str)> = None;
    for (step, unknown) in steps.iter().zip(unknown) {
        match step.run(rows, out, width) {
            Ok(more) => *unknown += more,
            Err(row) if missing.is_none_or(|(first, _)| rows.range.start + row < first) => {
                missing = Some((rows.range.start + row, step.column));
            }
            Err(_) => {}
        }
    }
    missing.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Arc;

    use super::super::{Missing, Roles, TableOptions, TaskChoice};
    use super::*;
    use crate::data::table::{Chunk, Column, Kind, MISSING};
    use crate::data::{Dataset, Features};

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

    /// The components of one table that two CPUs find differ in their last bits; a run has to resume on both.
    #[test]
    fn data_is_told_apart_by_its_values_before_they_are_projected() {
        let n = 3 * VALUES_PER_THREAD / 7 + 1001;
        let options =
            TableOptions { pca: Some(2), task: TaskChoice::Regression, ..TableOptions::default() };
        let roles = Roles::of(&table(0..n), &options).unwrap();
        let rows: Vec<u32> = (0..n as u32).collect();
        let here = Prepare::fit(&table(0..n), &roles, &options, &rows).unwrap().0;
        let mut there = here.clone();
        let components = &mut there.pca.as_mut().unwrap().components;
        components.iter_mut().for_each(|value| *value = f32::from_bits(value.to_bits() ^ 1));
        let data = |prepare: &Prepare, table: Table| {
            let Prepared { inputs, targets, unprojected, .. } = prepare.apply(table, true).unwrap();
            let names = vec!["y".to_owned()];
            let data = Dataset::new_regression("t", Features::F32(inputs), 2, targets, names);
            data.unwrap().with_prepare(Arc::new(prepare.clone()), unprojected)
        };
        let [first, second] = [&here, &there].map(|prepare| data(prepare, table(0..n)));
        assert!((0..2 * n).any(|i| first.features().value(i) != second.features().value(i)));
        assert_eq!(first.fingerprint(), second.fingerprint());
        // the same rows in chunks of another length
        let (columns, first_chunks) = table(0..1009).into_chunks();
        let chunks = first_chunks.into_iter().chain(table(1009..n).into_chunks().1);
        let cut = Table::new("test", columns, chunks.map(Arc::unwrap_or_clone).collect()).unwrap();
        assert_eq!(data(&here, cut).fingerprint(), first.fingerprint());
        assert_ne!(data(&here, table(1..n + 1)).fingerprint(), first.fingerprint());
        let twice = here.apply(table(5..6), true).unwrap().unprojected;
        assert_ne!(twice, here.apply(table(6..7), true).unwrap().unprojected);
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
