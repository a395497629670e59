//! Reads the cells of a block of records into numbers and codes of texts.

use std::borrow::Cow;

use foldhash::fast::RandomState;
use indexmap::IndexSet;
use memchr::{memchr, memchr_iter};

use super::cells::{
    Cell, Delimiter, MISSING_WORDS, Value, blank_line, cell, missing_word, plain_number, value,
};
use crate::data::table::MISSING;
use crate::text::safe;

/// What the columns hold, and how they are separated.
#[derive(Clone, Debug)]
pub struct Schema {
    /// What separates cells.
    pub delimiter: Delimiter,
    /// The names of the columns.
    pub names: Vec<String>,
    /// Whether each column holds texts, and not numbers.
    pub is_text: Vec<bool>,
}

impl Schema {
    /// The number of columns of texts.
    pub fn n_texts(&self) -> usize {
        self.is_text.iter().filter(|&&is_text| is_text).count()
    }
}

/// What is wrong with a file, and in which line of the block.
#[derive(Debug)]
pub struct Problem {
    /// The line, counted from 0.
    pub line: usize,
    /// What is wrong, to be written after `line 7`.
    pub text: String,
}

/// The first number of a column that is too large.
#[derive(Clone, Debug)]
pub struct TooLarge {
    /// The column.
    pub column: usize,
    /// Its line; in a block, counted from 0.
    pub line: usize,
    /// What the cell says.
    pub text: String,
}

/// How often each of [`MISSING_WORDS`] occurs in a column.
pub type MissingWords = [usize; MISSING_WORDS.len()];

/// The rows of a block.
#[derive(Debug, Default)]
pub struct Rows {
    /// Row-major (rows, columns of numbers).
    pub numbers: Vec<f32>,
    /// Row-major (rows, columns of texts): positions among `levels`.
    pub codes: Vec<u32>,
    /// For each column of texts, those that occur, in order of appearance.
    pub levels: Vec<Vec<String>>,
    /// For each column of texts, what stands for missing ones.
    pub missing: Vec<MissingWords>,
    /// The number of rows.
    pub n_rows: usize,
    /// The number of lines, which is larger where lines are blank or quoted.
    pub n_lines: usize,
    /// The columns of numbers that hold something else.
    pub contradicted: Vec<usize>,
    /// Numbers beyond `f32`, at most one for each column.
    pub too_large: Vec<TooLarge>,
    /// What ends the reading.
    pub problem: Option<Problem>,
}

impl Rows {
    /// Empties it and keeps its memory.
    fn clear(&mut self) {
        self.numbers.clear();
        self.codes.clear();
        self.levels.clear();
        self.missing.clear();
        self.contradicted.clear();
        self.too_large.clear();
        (self.n_rows, self.n_lines, self.problem) = (0, 0, None);
    }

    /// Reads a block; `has_header` if its first record is the names of the columns.
    pub fn read(&mut self, block: &[u8], schema: &Schema, has_header: bool) {
        self.clear();
        self.n_lines = memchr_iter(b'\n', block).count();
        let levels = vec![IndexSet::default(); schema.n_texts()];
        self.missing.resize(schema.n_texts(), MissingWords::default());
        let mut reader = Reader { block, schema, levels, at: 0, rows: self };
        let read = reader.read(has_header);
        let levels = std::mem::take(&mut reader.levels).into_iter();
        // what is not UTF-8 has been found, and ends the reading
        let owned = |text: Cow<'_, [u8]>| String::from_utf8_lossy(&text).into_owned();
        self.levels = levels.map(|levels| levels.into_iter().map(owned).collect()).collect();
        self.problem = read.err();
    }
}

type Levels<'b> = IndexSet<Cow<'b, [u8]>, RandomState>;

struct Reader<'b, 'r> {
    block: &'b [u8],
    schema: &'r Schema,
    levels: Vec<Levels<'b>>,
    at: usize,
    rows: &'r mut Rows,
}

impl<'b> Reader<'b, '_> {
    fn read(&mut self, mut has_header: bool) -> Result<(), Problem> {
        let (block, delimiter) = (self.block, self.schema.delimiter);
        let damage = first_damage(block);
        while self.at < block.len() {
            if let Some(next) = blank_line(block, self.at, delimiter) {
                self.at = next;
                continue;
            }
            let start = self.at;
            let read = match std::mem::take(&mut has_header) {
                true => self.skip_record(),
                false => self.record(),
            };
            match damage {
                Some((at, what)) if at < self.at => return Err(self.damaged(start, at, what)),
                _ => read?,
            }
        }
        Ok(())
    }

    fn skip_record(&mut self) -> Result<(), Problem> {
        loop {
            let cell = self.cell(self.at)?;
            self.at = cell.next;
            if cell.is_last {
                return Ok(());
            }
        }
    }

    /// Reads a row.
    fn record(&mut self) -> Result<(), Problem> {
        let (block, start, schema) = (self.block, self.at, self.schema);
        let (mut n_texts, n_columns) = (0, schema.names.len());
        for (column, &is_text) in schema.is_text.iter().enumerate() {
            let number = match is_text {
                true => None,
                false => plain_number(block, self.at, schema.delimiter),
            };
            let is_last = if let Some((value, next, is_last)) = number {
                self.rows.numbers.push(value);
                self.at = next;
                is_last
            } else {
                let cell = self.cell(self.at)?;
                match is_text {
                    true => {
                        let code = match missing_word(cell.text) {
                            None => code(&mut self.levels[n_texts], &cell),
                            Some(word) => {
                                self.rows.missing[n_texts][word] += 1;
                                MISSING
                            }
                        };
                        self.rows.codes.push(code);
                        n_texts += 1;
                    }
                    false => self.number(&cell, column),
                }
                self.at = cell.next;
                cell.is_last
            };
            if is_last != (column + 1 == n_columns) {
                return Err(self.ragged(start));
            }
        }
        self.rows.n_rows += 1;
        Ok(())
    }

    fn cell(&self, at: usize) -> Result<Cell<'b>, Problem> {
        cell(self.block, at, self.schema.delimiter).map_err(|error| {
            let (open, text) = error.describe();
            self.problem(open, text)
        })
    }

    /// Adds a cell that is no plain number to a column of numbers.
    fn number(&mut self, cell: &Cell<'_>, column: usize) {
        let number = match value(cell.text) {
            Value::Number(value) => value,
            Value::Missing => f32::NAN,
            Value::TooLarge => {
                if self.rows.too_large.iter().all(|earlier| earlier.column != column) {
                    let text = String::from_utf8_lossy(cell.text).into_owned();
                    let line = self.line(self.at);
                    self.rows.too_large.push(TooLarge { column, line, text });
                }
                f32::INFINITY
            }
            Value::Text => {
                if !self.rows.contradicted.contains(&column) {
                    self.rows.contradicted.push(column);
                }
                f32::NAN
            }
        };
        self.rows.numbers.push(number);
    }

    /// The line of a position, counted from 0.
    fn line(&self, at: usize) -> usize {
        memchr_iter(b'\n', &self.block[..at]).count()
    }

    fn problem(&self, at: usize, text: impl Into<String>) -> Problem {
        Problem { line: self.line(at), text: text.into() }
    }

    /// A record of another length; a quote that is not closed would explain one that goes over the end of a line.
    fn ragged(&mut self, start: usize) -> Problem {
        let (mut count, mut at) = (0, start);
        while let Ok(cell) = self.cell(at) {
            (count, at) = (count + 1, cell.next);
            if cell.is_last {
                break;
            }
        }
        let n_lines = memchr_iter(b'\n', &self.block[start..at]).count();
        let hint = if n_lines > 1 { "; is a quote not closed there?" } else { "" };
        let expected = self.schema.names.len();
        self.at = at;
        self.problem(start, format!(" has {count} cells; expected {expected}{hint}"))
    }

    /// Names the column of a byte that no text has.
    fn damaged(&self, start: usize, damage: usize, what: &str) -> Problem {
        let (mut column, mut at) = (0, start);
        while let Ok(cell) = self.cell(at) {
            if cell.is_last || cell.next > damage {
                break;
            }
            (column, at) = (column + 1, cell.next);
        }
        let text = match self.schema.names.get(column) {
            Some(name) => format!(", `{}`: {what}", safe(name)),
            None => format!(", column {}: {what}", column + 1),
        };
        self.problem(damage, text)
    }
}

/// The code of a cell among the texts of its column.
fn code<'b>(levels: &mut Levels<'b>, cell: &Cell<'b>) -> u32 {
    levels.insert_full(cell.unescaped()).0 as u32 // fewer than the bytes of a block
}

/// The first byte that no text has, and what it is.
pub fn first_damage(block: &[u8]) -> Option<(usize, &'static str)> {
    let invalid = std::str::from_utf8(block).err().map(|error| error.valid_up_to());
    let invalid = invalid.map(|at| (at, "a byte that is not UTF-8; expected UTF-8"));
    let nul = memchr(0, block).map(|at| (at, "a NUL byte; expected UTF-8"));
    [invalid, nul].into_iter().flatten().min()
}
