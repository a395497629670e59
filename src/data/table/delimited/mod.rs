//! Reads delimited text, such as CSV and TSV, into a [`Table`]: plain, or compressed by gzip or zstd.
//!
//! What separates cells, whether there is a header, and what the columns hold is found out. The first records say what the columns
//! seem to hold (`detection.rs`). Several threads then read the file, each one block of whole records at a time (`source.rs`,
//! `block.rs`), and their rows are put together in the order of the file (`assembly.rs`), so that the table does not depend on the
//! number of threads. Where a later cell shows that a column holds texts after all, the file is read once more.

mod assembly;
mod block;
mod cells;
mod compressed;
mod detection;
#[cfg(test)]
mod random_tests;
mod source;
mod stream;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use memchr::memchr_iter;

use super::{Kind, Table};
use crate::error::{Error, Result};
use crate::files;
use crate::memory::require_bytes;
use assembly::{Assembly, Outcome, SMALLER_FILE};
use block::{MissingWords, Problem, Rows, Schema};
use cells::{Delimiter, MISSING_WORDS};
pub(in crate::data) use cells::{Value, value as value_of_cell};
pub(in crate::data) use compressed::decoded;
use detection::{FOR_TYPES, detect};
use source::{LONGEST_RECORD, NoBlock, Source};
pub use stream::TableStream;

/// How a text file is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// The columns whose cells are texts, even if all of them look like numbers. Those that are not there do not matter.
    pub text: Vec<String>,
    /// The names of columns, where they are known from another file: the first line is a header if it has one of them, and not
    /// otherwise. Without any, its cells decide.
    pub known: Vec<String>,
    /// Of a part of a file whose first part said so.
    pub(crate) continues: Option<Continued>,
}

/// What is known of a part of a file from the parts before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Continued {
    delimiter: Delimiter,
    /// How many lines come before, apart from a header.
    lines: usize,
    rows: usize,
}

/// A table, and what a user should know about how it was read.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReadTable {
    /// The table.
    pub table: Table,
    /// Whether the first line names the columns.
    pub has_header: bool,
    /// What was decided on the way, a line each.
    pub notices: Vec<String>,
    /// Of columns of texts: what stands for missing ones, and how often.
    pub(crate) missing: Vec<(String, Vec<(&'static str, usize)>)>,
}

impl ReadTable {
    /// A table that names its columns.
    pub(crate) fn of(table: Table) -> Self {
        Self { table, has_header: true, notices: Vec::new(), missing: Vec::new() }
    }
}

/// Reads a file of values separated by commas, tabs, semicolons, bars or spaces, plain or compressed by gzip or zstd.
///
/// A cell that is empty, `NA`, `N/A`, `NaN`, `null`, `None` or `?` is missing. A column of which every other cell is a number holds
/// numbers; any other column holds texts. Spaces around cells do not count, and blank lines are skipped. Without a header, the
/// columns are `column_1`, `column_2`, ...
///
/// # Errors
/// If the file cannot be read, has no rows, has rows of different lengths, names two columns alike, has a quote that is not closed, a
/// number that is too large for 32 bits or a byte that is not UTF-8, or does not fit into memory; the message says where.
///
/// ```
/// use densely::data::table::{ReadOptions, read_csv};
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("flowers.csv");
/// std::fs::write(&path, "petal,colour\n1.5,red\n?,blue\n")?;
/// let table = read_csv(&path, &ReadOptions::default())?.table;
/// assert_eq!((table.n_rows(), &table.columns()[1].name[..]), (2, "colour"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_csv(path: &Path, options: &ReadOptions) -> Result<ReadTable> {
    let metadata = path.metadata().map_err(Error::io("open", path))?;
    let name = path.display().to_string();
    if !metadata.is_file() {
        // a pipe cannot be read twice; a directory is rejected
        return read_csv_bytes(&name, &files::read(path)?, options);
    }
    let input = Input { name: &name, contents: Contents::File(path, metadata.len()) };
    read(&input, options, &Sizes::default())
}

/// Reads a table from the bytes of a file; otherwise as [`read_csv`]. Messages call it `name`.
///
/// # Errors
/// As [`read_csv`].
pub fn read_csv_bytes(name: &str, bytes: &[u8], options: &ReadOptions) -> Result<ReadTable> {
    let input = Input { name, contents: Contents::Bytes(bytes) };
    read(&input, options, &Sizes::default())
}

/// What is to be read; a table may have to be read twice.
struct Input<'a> {
    name: &'a str,
    contents: Contents<'a>,
}

enum Contents<'a> {
    /// A file and its length.
    File(&'a Path, u64),
    Bytes(&'a [u8]),
}

/// What the contents of a table do not depend on.
struct Sizes {
    n_threads: usize,
    block_bytes: usize,
    sample_bytes: usize,
    chunk_bytes: usize,
}

impl Default for Sizes {
    /// A block stays in the cache of a core. The memory of a chunk returns to the system when it is freed (glibc: from 32 MiB on).
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            n_threads: cores.min(8),
            block_bytes: 1 << 20,
            sample_bytes: 1 << 18,
            chunk_bytes: 1 << 26,
        }
    }
}

impl<'a> Input<'a> {
    /// The contents from the start, and whether they are compressed.
    fn open(&self, sizes: &Sizes) -> Result<(Source<'a>, bool)> {
        let decoded = match self.contents {
            Contents::File(path, _) => decoded(File::open(path).map_err(Error::io("open", path))?),
            Contents::Bytes(bytes) => decoded(bytes),
        };
        let decoded = decoded.map_err(|error| self.unreadable(error))?;
        let source = Source::new(decoded.stream, sizes.block_bytes);
        Ok((source.map_err(|error| self.unreadable(error))?, decoded.is_compressed))
    }

    fn unreadable(&self, error: io::Error) -> Error {
        unreadable(self.name, &error)
    }

    /// Rejects a plain file before it is read if it will not fit into memory, judging by its first rows.
    fn require_memory(&self, n_columns: usize, bytes_per_row: f64) -> Result<()> {
        let Contents::File(_, length) = self.contents else { return Ok(()) };
        let rows = 0.8 * length as f64 / bytes_per_row.max(1.0);
        require_bytes((4.0 * rows * n_columns as f64) as u64, self.name, SMALLER_FILE)
    }
}

/// What is wrong when a stream, compressed or not, cannot be read.
pub(in crate::data) fn unreadable(name: &str, error: &io::Error) -> Error {
    let problem = match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            "the file ends within compressed data; is it truncated?".to_owned()
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            format!("damaged compressed data: {error}")
        }
        _ => format!("cannot be read: {error}"),
    };
    Error::invalid(name, problem)
}

fn read(input: &Input<'_>, options: &ReadOptions, sizes: &Sizes) -> Result<ReadTable> {
    let (mut source, is_compressed) = input.open(sizes)?;
    let first = first_bytes(&mut source, sizes).map_err(|error| input.unreadable(error))?;
    let detected = detect(first.0, first.1, input.name, options)?;
    let (mut schema, has_header) = (detected.schema, detected.has_header);
    if !is_compressed {
        input.require_memory(schema.names.len(), detected.bytes_per_row)?;
    }
    loop {
        match pass(input, source, &schema, has_header, options.continues, sizes)? {
            Outcome::Table(table, _) if table.n_rows() == 0 => {
                let problem = "there are no rows below the header; expected at least one";
                return Err(Error::invalid(input.name, problem));
            }
            Outcome::Table(mut table, missing) => {
                table.rows_before = options.continues.map_or(0, |before| before.rows);
                let missing = named_missing(&table, &missing);
                return Ok(ReadTable { table, has_header, notices: detected.notices, missing });
            }
            // one pass finds every column that holds texts
            Outcome::Contradicted(columns) => {
                columns.into_iter().for_each(|column| schema.is_text[column] = true);
                source = input.open(sizes)?.0;
            }
        }
    }
}

/// The words that stand for missing texts, by column.
fn named_missing(
    table: &Table,
    counts: &[MissingWords],
) -> Vec<(String, Vec<(&'static str, usize)>)> {
    let texts = table.columns().iter().filter(|column| column.kind != Kind::Number);
    let found = texts.zip(counts).filter(|(_, counts)| counts.iter().any(|&count| count > 0));
    let words = |counts: &MissingWords| {
        let words = MISSING_WORDS.into_iter().zip(*counts);
        words.filter(|&(_, count)| count > 0).collect()
    };
    found.map(|(column, counts)| (column.name.clone(), words(counts))).collect()
}

/// What is looked at first: enough for the types of columns, and at least two lines.
fn first_bytes<'s>(source: &'s mut Source<'_>, sizes: &Sizes) -> io::Result<(&'s [u8], bool)> {
    let mut wanted = sizes.sample_bytes;
    loop {
        let (bytes, is_all) = source.peek(wanted)?;
        let n_lines = memchr_iter(b'\n', bytes).count();
        let many = if bytes.len() < 16 * sizes.sample_bytes { FOR_TYPES } else { 2 };
        if is_all || n_lines >= many || bytes.len() >= LONGEST_RECORD {
            return source.peek(0);
        }
        wanted = 2 * bytes.len();
    }
}

/// Reads a source to its end.
fn pass(
    input: &Input<'_>,
    mut source: Source<'_>,
    schema: &Schema,
    has_header: bool,
    continues: Option<Continued>,
    sizes: &Sizes,
) -> Result<Outcome> {
    source.set_delimiter(schema.delimiter);
    let source = Mutex::new(source);
    let before = continues.map_or(0, |before| before.lines);
    let assembly = Mutex::new(Assembly::new(input.name, schema, sizes.chunk_bytes, before));
    let work = || {
        let mut block = Vec::new();
        loop {
            let mut rows = {
                let mut assembly = locked(&assembly);
                if assembly.has_failed() {
                    return;
                }
                assembly.spare()
            };
            let (number, taken) = {
                let mut source = locked(&source);
                (source.n_taken(), source.take(&mut block))
            };
            let failure = match taken {
                Ok(()) => {
                    rows.read(&block, schema, has_header && number == 0);
                    locked(&assembly).add(number, Ok(rows));
                    continue;
                }
                Err(NoBlock::End) => return,
                Err(NoBlock::Unreadable(error)) => Err(input.unreadable(error)),
                Err(NoBlock::TooLong) => Ok(failed(&block, 0, ": a line of more than 268 MB")),
                Err(NoBlock::Unclosed(error)) => {
                    let (open, text) = error.describe();
                    Ok(failed(&block, open, text))
                }
            };
            locked(&assembly).add(number, failure);
            return;
        }
    };
    thread::scope(|scope| {
        for _ in 1..sizes.n_threads {
            // if there cannot be another thread, the others do its work
            drop(thread::Builder::new().spawn_scoped(scope, work));
        }
        work();
    });
    assembly.into_inner().unwrap_or_else(PoisonError::into_inner).finish()
}

/// Rows that say what is wrong at a position of a block.
fn failed(block: &[u8], at: usize, text: &str) -> Rows {
    let line = memchr_iter(b'\n', &block[..at]).count();
    Rows { problem: Some(Problem { line, text: text.to_owned() }), ..Rows::default() }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // if a thread has panicked, the scope panics when it ends
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
