//! Puts the rows of blocks together in the order of the file, whichever thread has read them.

use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use indexmap::IndexSet;

use super::block::{MissingWords, Rows, Schema, TooLarge};
use crate::data::Features;
use crate::data::table::{Chunk, Column, Kind, MISSING, Table};
use crate::error::{Error, Result};
use crate::memory::{require_bytes, try_reserve};

/// What is asked for beside a chunk, for the blocks that are being read.
const SLACK_BYTES: usize = 1 << 24;

/// The remedy for too little memory.
pub const SMALLER_FILE: &str = "use a file with fewer rows or columns";

/// A table that grows block by block.
pub struct Assembly<'s> {
    name: &'s str,
    schema: &'s Schema,
    rows_per_chunk: usize,
    chunks: Vec<Chunk>,
    numbers: Vec<f32>,
    codes: Vec<u32>,
    n_rows: usize,
    levels: Vec<IndexSet<String, RandomState>>,
    level_bytes: usize,
    missing: Vec<MissingWords>,
    n_appended: usize,
    n_lines: usize,
    waiting: BTreeMap<usize, Result<Rows>>,
    spare: Vec<Rows>,
    contradicted: Vec<usize>,
    too_large: Vec<TooLarge>,
    failed: Option<Error>,
}

/// What a pass over a file gives.
pub enum Outcome {
    /// A table, and what stands for missing texts in each of its columns of texts.
    Table(Table, Vec<MissingWords>),
    /// The columns that hold texts and were taken for numbers.
    Contradicted(Vec<usize>),
}

impl<'s> Assembly<'s> {
    /// For a file of this name, of which as many lines come before. A chunk has as many bytes of numbers or of codes, unless a row
    /// has more.
    pub fn new(name: &'s str, schema: &'s Schema, chunk_bytes: usize, lines_before: usize) -> Self {
        let n_texts = schema.n_texts();
        let widest = n_texts.max(schema.names.len() - n_texts);
        Self {
            name,
            schema,
            rows_per_chunk: (chunk_bytes / 4 / widest).max(1),
            chunks: Vec::new(),
            numbers: Vec::new(),
            codes: Vec::new(),
            n_rows: 0,
            levels: vec![IndexSet::default(); n_texts],
            level_bytes: 0,
            missing: vec![MissingWords::default(); n_texts],
            n_appended: 0,
            n_lines: lines_before,
            waiting: BTreeMap::new(),
            spare: Vec::new(),
            contradicted: Vec::new(),
            too_large: Vec::new(),
            failed: None,
        }
    }

    /// Whether nothing that follows is of use.
    pub fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Memory for the rows of a block.
    pub fn spare(&mut self) -> Rows {
        self.spare.pop().unwrap_or_default()
    }

    /// Adds the rows of a block by its number, counted from 0 without gaps, or why there are none. The first error in the order of
    /// the file counts.
    pub fn add(&mut self, number: usize, rows: Result<Rows>) {
        self.waiting.insert(number, rows);
        while self.failed.is_none()
            && let Some(rows) = self.waiting.remove(&self.n_appended)
        {
            self.n_appended += 1;
            self.failed = match rows {
                Ok(mut rows) => {
                    let appended = self.append(&mut rows);
                    self.spare.push(rows);
                    appended.err()
                }
                Err(error) => Some(error),
            };
        }
    }

    fn append(&mut self, rows: &mut Rows) -> Result<()> {
        let first_line = self.n_lines + 1;
        if let Some(problem) = &rows.problem {
            let text = format!("line {}{}", first_line + problem.line, problem.text);
            return Err(Error::invalid(self.name, text));
        }
        self.n_lines += rows.n_lines;
        for found in &rows.too_large {
            if self.too_large.iter().all(|earlier| earlier.column != found.column) {
                let line = first_line + found.line;
                self.too_large.push(TooLarge { line, ..found.clone() });
            }
        }
        for &column in &rows.contradicted {
            if !self.contradicted.contains(&column) {
                self.contradicted.push(column);
            }
        }
        if !self.contradicted.is_empty() {
            // the file will be read again
            (self.chunks, self.numbers, self.codes) = (Vec::new(), Vec::new(), Vec::new());
            self.levels.iter_mut().for_each(|levels| *levels = IndexSet::default());
            return Ok(());
        }
        for (all, more) in self.missing.iter_mut().zip(&rows.missing) {
            all.iter_mut().zip(more).for_each(|(all, more)| *all += more);
        }
        let codes = self.append_levels(std::mem::take(&mut rows.levels))?;
        self.append_values(rows, &codes)
    }

    /// Adds texts that are new. Returns, for each column, the codes in the table of the texts of the block.
    fn append_levels(&mut self, levels: Vec<Vec<String>>) -> Result<Vec<Vec<u32>>> {
        let mut codes = Vec::with_capacity(levels.len());
        for (all, levels) in self.levels.iter_mut().zip(levels) {
            let code = |text: String| {
                let length = text.len();
                let (code, is_new) = all.insert_full(text);
                self.level_bytes += if is_new { 64 + length } else { 0 };
                code as u32
            };
            codes.push(levels.into_iter().map(code).collect());
        }
        // the sets double when they are full
        require_bytes(self.level_bytes as u64, self.name, SMALLER_FILE)?;
        Ok(codes)
    }

    fn append_values(&mut self, rows: &Rows, codes: &[Vec<u32>]) -> Result<()> {
        let n_texts = self.levels.len();
        let n_numbers = self.schema.names.len() - n_texts;
        let mut first = 0;
        while first < rows.n_rows {
            let end = rows.n_rows.min(first + self.rows_per_chunk - self.n_rows);
            let new = &rows.numbers[first * n_numbers..end * n_numbers];
            grow(&mut self.numbers, new.len(), self.rows_per_chunk * n_numbers, self.name)?;
            self.numbers.extend_from_slice(new);
            let new = &rows.codes[first * n_texts..end * n_texts];
            grow(&mut self.codes, new.len(), self.rows_per_chunk * n_texts, self.name)?;
            let columns = codes.iter().cycle();
            self.codes.extend(new.iter().zip(columns).map(|(&code, codes)| match code {
                MISSING => MISSING,
                code => codes[code as usize],
            }));
            self.n_rows += end - first;
            if self.n_rows == self.rows_per_chunk {
                self.finish_chunk();
            }
            first = end;
        }
        Ok(())
    }

    fn finish_chunk(&mut self) {
        let mut numbers = std::mem::take(&mut self.numbers);
        let mut codes = std::mem::take(&mut self.codes);
        numbers.shrink_to_fit();
        codes.shrink_to_fit();
        let n_rows = std::mem::take(&mut self.n_rows);
        self.chunks.push(Chunk { numbers: Features::F32(numbers), codes, n_rows });
    }

    /// The table, after the last block.
    ///
    /// # Errors
    /// What was wrong with the file.
    pub fn finish(mut self) -> Result<Outcome> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        // a column of texts may say what it likes
        let is_number = |found: &&TooLarge| !self.contradicted.contains(&found.column);
        if let Some(found) = self.too_large.iter().filter(is_number).min_by_key(|found| found.line)
        {
            let name = &self.schema.names[found.column];
            let problem = format!("line {}, `{name}`: {} is too large", found.line, found.text);
            let expected = "expected a number below 3.4e38";
            return Err(Error::invalid(self.name, format!("{problem}; {expected}")));
        }
        if !self.contradicted.is_empty() {
            return Ok(Outcome::Contradicted(self.contradicted));
        }
        if self.n_rows > 0 {
            self.finish_chunk();
        }
        let mut levels = self.levels.into_iter();
        let columns = self.schema.names.iter().zip(&self.schema.is_text);
        let columns = columns.map(|(name, &is_text)| {
            let levels = if is_text { levels.next() } else { None };
            let kind = match levels {
                Some(levels) => Kind::Text(levels.into_iter().collect()),
                None => Kind::Number,
            };
            Column { name: name.clone(), kind }
        });
        let table = Table::new(self.name, columns.collect(), self.chunks)?;
        Ok(Outcome::Table(table, self.missing))
    }
}

/// Makes room for values in a chunk of at most `limit`, whose memory doubles as it fills, if the machine has it.
fn grow<T>(values: &mut Vec<T>, additional: usize, limit: usize, name: &str) -> Result<()> {
    let needed = values.len() + additional;
    if needed <= values.capacity() {
        return Ok(());
    }
    let capacity = needed.max(limit.min(2 * values.len()));
    let bytes = (capacity * size_of::<T>() + SLACK_BYTES) as u64;
    require_bytes(bytes, name, SMALLER_FILE)?;
    let refused =
        |_| Error::Memory { what: name.to_owned(), needed_bytes: bytes, remedy: SMALLER_FILE };
    try_reserve(values, capacity - values.len()).map_err(refused)
}
