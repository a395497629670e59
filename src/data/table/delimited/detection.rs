//! Finds out what separates cells, whether there is a header, and what the columns seem to hold, from the first records.

use std::borrow::Cow;
use std::collections::HashMap;

use memchr::memchr_iter;

use super::ReadOptions;
use super::block::{Schema, first_damage};
use super::cells::{Delimiter, QuoteError, Value, blank_line, cell, value};
use super::source::Scan;
use crate::error::{Error, Result};

/// In the order in which they are preferred: what is rarer in texts first.
const DELIMITERS: [Delimiter; 5] = [
    Delimiter::Byte(b'\t'),
    Delimiter::Byte(b';'),
    Delimiter::Byte(b'|'),
    Delimiter::Byte(b','),
    Delimiter::Spaces,
];

/// So many records decide what separates cells.
const FOR_DELIMITER: usize = 100;

/// So many records decide what the columns are taken for.
pub const FOR_TYPES: usize = 1000;

/// What the first records say.
#[derive(Debug)]
pub struct Detected {
    /// What the columns are and seem to hold.
    pub schema: Schema,
    /// Whether the first record names the columns.
    pub has_header: bool,
    /// What a user should know.
    pub notices: Vec<String>,
    /// The bytes of a row, on average.
    pub bytes_per_row: f64,
}

type Record<'b> = Vec<Cow<'b, [u8]>>;

/// The first records of a file, and where they begin and end.
struct Sample<'b> {
    records: Vec<Record<'b>>,
    start: usize,
    end: usize,
}

/// Detects what can be from the first bytes of a file, which are all of it if `is_all`.
///
/// # Errors
/// If they are no table, or names of columns are missing or the same. Messages name `file`.
pub fn detect(bytes: &[u8], is_all: bool, file: &str, options: &ReadOptions) -> Result<Detected> {
    require_text(bytes, file)?;
    let delimiter = match options.continues {
        Some(before) => before.delimiter,
        None => delimiter(bytes, is_all),
    };
    let invalid = |problem: String| Error::invalid(file, problem);
    let sample = sample(bytes, is_all, delimiter, FOR_TYPES).map_err(|error| {
        let (open, problem) = error.describe();
        invalid(format!("line {}{problem}", line(bytes, open)))
    })?;
    let Some((first, below)) = sample.records.split_first() else {
        return Err(invalid("the file has no lines; expected a table".to_owned()));
    };
    let is_known = |text: &Cow<'_, [u8]>| {
        options.known.iter().any(|name| name.as_bytes() == text.trim_ascii())
    };
    let has_header = match options.known.is_empty() {
        true => has_header(first, below),
        false => first.iter().any(is_known),
    };
    let mut notices = Vec::new();
    let names = match has_header {
        true => header(first, line(bytes, sample.start), file, &mut notices)?,
        false => {
            let last = column_name(first.len());
            notices.push(match first.len() {
                1 => format!("{file} has no header; its column is named {last}"),
                _ => format!("{file} has no header; its columns are named column_1 to {last}"),
            });
            (1..=first.len()).map(column_name).collect()
        }
    };
    let rows = if has_header { below } else { &sample.records[..] };
    let holds_text = |column: usize| {
        // of a record with fewer cells, the reader will say so
        let mut cells = rows.iter().filter_map(|row| row.get(column));
        cells.any(|text| value(text) == Value::Text)
    };
    let is_text = names.iter().enumerate();
    let is_text = is_text.map(|(i, name)| options.text.contains(name) || holds_text(i)).collect();
    let bytes_per_row = (sample.end - sample.start) as f64 / sample.records.len() as f64;
    let schema = Schema { delimiter, names, is_text };
    Ok(Detected { schema, has_header, notices, bytes_per_row })
}

fn column_name(number: usize) -> String {
    format!("column_{number}")
}

/// The line of a position, counted from 1.
fn line(bytes: &[u8], at: usize) -> usize {
    1 + memchr_iter(b'\n', &bytes[..at]).count()
}

/// Rejects what its first bytes say is something else.
fn require_text(bytes: &[u8], file: &str) -> Result<()> {
    let found = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "the text is UTF-16",
        [b'P', b'K', 3, 4, ..] => "the file is a ZIP archive or a spreadsheet",
        [b'P', b'A', b'R', b'1', ..] => "the file is a Parquet file",
        [b'B', b'Z', b'h', ..] => "the file is compressed by bzip2",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "the file is compressed by xz",
        _ => return Ok(()),
    };
    Err(Error::invalid(file, format!("{found}; expected UTF-8 text, or text in gzip or zstd")))
}

/// The first records, at most as many, up to the first that goes wrong.
///
/// # Errors
/// If that is the first of all.
fn sample(
    bytes: &[u8],
    is_all: bool,
    delimiter: Delimiter,
    limit: usize,
) -> Result<Sample<'_>, QuoteError> {
    let mut scan = Scan::default();
    scan.advance(bytes, is_all, delimiter);
    let complete = match is_all && scan.quote.is_none() {
        true => bytes,
        false => &bytes[..scan.end],
    };
    let mut sample = Sample { records: Vec::new(), start: 0, end: 0 };
    let mut at = 0;
    while at < complete.len() && sample.records.len() < limit {
        if let Some(next) = blank_line(complete, at, delimiter) {
            at = next;
            continue;
        }
        if sample.records.is_empty() {
            sample.start = at;
        }
        match record(complete, at, delimiter) {
            Ok((record, next)) => {
                (at, sample.end) = (next, next);
                sample.records.push(record);
            }
            Err(error) if sample.records.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    match scan.quote {
        Some(open) if sample.records.is_empty() => Err(QuoteError::Unclosed(open)),
        _ => Ok(sample),
    }
}

/// The record that begins at `at`, and where it ends.
fn record(
    bytes: &[u8],
    mut at: usize,
    delimiter: Delimiter,
) -> Result<(Record<'_>, usize), QuoteError> {
    let mut record = Vec::new();
    loop {
        let cell = cell(bytes, at, delimiter)?;
        record.push(cell.unescaped());
        at = cell.next;
        if cell.is_last {
            return Ok((record, at));
        }
    }
}

/// What gives all of the first records the same number of cells, and more than one. Without any such, what most of them agree on
/// with the first, so that the reader can say which do not.
fn delimiter(bytes: &[u8], is_all: bool) -> Delimiter {
    let mut best = (0, Delimiter::Byte(b','));
    for delimiter in DELIMITERS {
        let Ok(sample) = sample(bytes, is_all, delimiter, FOR_DELIMITER) else { continue };
        let n_cells = sample.records.first().map_or(0, Vec::len);
        if n_cells < 2 {
            continue;
        }
        let agreeing = sample.records.iter().filter(|record| record.len() == n_cells).count();
        if agreeing == sample.records.len() {
            return delimiter;
        }
        if agreeing > best.0 && delimiter != Delimiter::Spaces {
            best = (agreeing, delimiter);
        }
    }
    best.1
}

/// Whether the first record names the columns.
///
/// It does if it has a text above a column of numbers, and does not if it has a number above one. Above columns of texts, it does if
/// it holds only texts, and none of them occurs again in its column.
fn has_header(first: &Record<'_>, below: &[Record<'_>]) -> bool {
    let is_text = |text: &[u8]| value(text) == Value::Text;
    let is_missing = |text: &[u8]| value(text) == Value::Missing;
    let is_number = |text: &[u8]| !is_text(text) && !is_missing(text);
    let cells = |column: usize| below.iter().filter_map(move |row| row.get(column));
    let mut is_number_above_numbers = false;
    for (column, above) in first.iter().enumerate() {
        let holds_numbers =
            cells(column).any(|text| is_number(text)) && !cells(column).any(|text| is_text(text));
        if holds_numbers && is_text(above) {
            return true;
        }
        is_number_above_numbers |= holds_numbers && is_number(above);
    }
    !is_number_above_numbers
        && first.iter().any(|text| is_text(text))
        && !first.iter().any(|text| is_number(text))
        && !first.iter().enumerate().any(|(i, above)| cells(i).any(|text| text == above))
}

/// The names of the columns, each of them different.
fn header(
    cells: &Record<'_>,
    line: usize,
    file: &str,
    notices: &mut Vec<String>,
) -> Result<Vec<String>> {
    let invalid = |problem: String| Error::invalid(file, problem);
    let mut names = Vec::with_capacity(cells.len());
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (i, text) in cells.iter().enumerate() {
        if let Some((_, what)) = first_damage(text) {
            return Err(invalid(format!("line {line}, column {}: {what}", i + 1)));
        }
        let mut name = String::from_utf8_lossy(text).trim().to_owned();
        if name.is_empty() && i == 0 {
            name = column_name(1);
            notices.push(format!("the first column of {file} has no name; it is called {name}"));
        }
        if name.is_empty() {
            let problem = format!("column {} has no name", i + 1);
            return Err(invalid(format!("{problem}; expected a header with a name for each")));
        }
        if let Some(before) = seen.insert(name.clone(), i) {
            let problem = format!("columns {} and {} are both named `{name}`", before + 1, i + 1);
            return Err(invalid(format!("{problem}; expected names that differ")));
        }
        names.push(name);
    }
    Ok(names)
}
