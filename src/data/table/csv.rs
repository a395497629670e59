//! Tables in text files: comma-separated values and their relatives.
//!
//! The delimiter and whether there is a header are detected. Whether a column holds numbers is known only at its last cell: a column
//! counts as numbers until a cell says otherwise, and the file is then read again.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use csv::ByteRecord;

use super::cells::{self, Cell};
use super::detect::{SAMPLE_BYTES, delimiter, has_header, is_blank, reader, sample_records};
use super::{Chunk, Column, Kind, MISSING, Table};
use crate::data::{Features, gzip};
use crate::error::{Error, Result};
use crate::memory::{require_memory, too_large, try_reserve};

/// How a text file is read.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// The columns whose cells are texts, even if all of them look like numbers.
    pub text: Vec<String>,
}

/// A table, and what a user should know about how it was read.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReadTable {
    /// The table.
    pub table: Table,
    /// Whether the first line names the columns.
    pub has_header: bool,
    /// What was decided on the way, a line each.
    pub notices: Vec<String>,
}

/// Numbers of a chunk: 32 MiB, so that a chunk that is freed goes back to the system.
const CHUNK_VALUES: usize = 8 << 20;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Where the text comes from: a table may have to be read twice.
enum Source<'a> {
    File(PathBuf),
    Bytes(&'a [u8]),
}

/// Reads a file of comma-, tab-, semicolon- or bar-separated values, plain, gzipped or compressed by zstd.
///
/// A cell that is empty, `NA`, `N/A`, `NaN`, `null`, `None` or `?` is missing. A column of which every other cell is a number holds
/// numbers; any other column holds texts. Without a header, the columns are `column_1`, `column_2`, ...
///
/// # Errors
/// If the file cannot be read, has no rows, has rows of different lengths, names two columns alike, has a number that is too large
/// for 32 bits or a byte that is not UTF-8, or does not fit into memory; the message says where.
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
    read(&path.display().to_string(), &Source::File(path.to_owned()), options)
}

/// Reads a table from the bytes of a file; otherwise as [`read_csv`]. Messages call it `name`.
///
/// # Errors
/// As [`read_csv`].
pub fn read_csv_bytes(name: &str, bytes: &[u8], options: &ReadOptions) -> Result<ReadTable> {
    read(name, &Source::Bytes(bytes), options)
}

fn read(name: &str, source: &Source<'_>, options: &ReadOptions) -> Result<ReadTable> {
    let mut sample = Vec::new();
    let mut start = source.open()?.take(SAMPLE_BYTES as u64 + 1);
    start.read_to_end(&mut sample).map_err(source.unreadable(name))?;
    let invalid = |problem: String| Error::invalid(name, problem);
    if sample.starts_with(&[0xff, 0xfe]) || sample.starts_with(&[0xfe, 0xff]) {
        return Err(invalid("the text is UTF-16; expected UTF-8".to_owned()));
    }
    let is_whole = sample.len() <= SAMPLE_BYTES;
    let delimiter = delimiter(&sample);
    let records = sample_records(&sample, delimiter, is_whole);
    let Some(first) = records.first() else {
        return Err(invalid("the file has no lines; expected a table".to_owned()));
    };
    let has_header = has_header(&records);
    let mut notices = Vec::new();
    let names = column_names(name, first, has_header, &mut notices)?;
    if let Some(unknown) = options.text.iter().find(|column| !names.contains(column)) {
        return Err(invalid(format!(
            "no column `{unknown}`; the columns are {}",
            names.join(", ")
        )));
    }
    let mut is_text: Vec<bool> = names.iter().map(|name| options.text.contains(name)).collect();
    loop {
        let pass = Pass { name, delimiter, has_header, names: &names, is_text: &is_text };
        match pass.run(source)? {
            Outcome::Table(table) => return Ok(ReadTable { table, has_header, notices }),
            Outcome::Texts(columns) => columns.iter().for_each(|&column| is_text[column] = true),
        }
    }
}

impl<'a> Source<'a> {
    /// The text from its beginning, decompressed.
    fn open(&self) -> Result<Box<dyn Read + 'a>> {
        match self {
            Self::File(path) => {
                let file = File::open(path).map_err(Error::io("open", path))?;
                if file.metadata().map_err(Error::io("look at", path))?.is_dir() {
                    return Err(Error::invalid_file(path, "expected a file, found a directory"));
                }
                decompressed(file).map_err(Error::io("read", path))
            }
            Self::Bytes(bytes) => {
                decompressed(*bytes).map_err(|error| Error::invalid("table", error.to_string()))
            }
        }
    }

    fn unreadable(&self, name: &str) -> impl Fn(std::io::Error) -> Error {
        let name = name.to_owned();
        move |error| Error::invalid(&name[..], format!("cannot be read: {error}"))
    }
}

fn decompressed<'a>(mut source: impl Read + 'a) -> std::io::Result<Box<dyn Read + 'a>> {
    let mut start = Vec::with_capacity(ZSTD.len());
    source.by_ref().take(ZSTD.len() as u64).read_to_end(&mut start)?;
    let (is_zstd, is_gzip) = (start.starts_with(&ZSTD), start.starts_with(&GZIP));
    let whole = Cursor::new(start).chain(source);
    match (is_zstd, is_gzip) {
        (true, _) => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(whole);
            Ok(Box::new(decoder.map_err(std::io::Error::other)?))
        }
        (_, true) => gzip::decoded(whole),
        _ => Ok(Box::new(whole)),
    }
}

fn column_names(
    table: &str,
    first: &ByteRecord,
    has_header: bool,
    notices: &mut Vec<String>,
) -> Result<Vec<String>> {
    let number = |column: usize| format!("column_{}", column + 1);
    if !has_header {
        notices.push(format!(
            "{table} has no header; its columns are named column_1 to {}",
            number(first.len() - 1)
        ));
        return Ok((0..first.len()).map(number).collect());
    }
    let mut names = Vec::with_capacity(first.len());
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (column, cell) in first.iter().enumerate() {
        let name = std::str::from_utf8(cell).map_err(|_| not_utf8(table, 1, column, None))?;
        let mut name = name.trim().trim_start_matches('\u{feff}').to_owned();
        if name.is_empty() && column == 0 {
            name = number(0);
            notices.push(format!("the first column of {table} has no name; it is called {name}"));
        }
        if name.is_empty() {
            let problem = format!(
                "column {} has no name; expected a header with a name for each",
                column + 1
            );
            return Err(Error::invalid(table, problem));
        }
        if let Some(before) = seen.insert(name.clone(), column) {
            let problem =
                format!("columns {} and {} are both named `{name}`", before + 1, column + 1);
            return Err(Error::invalid(table, format!("{problem}; expected names that differ")));
        }
        names.push(name);
    }
    Ok(names)
}

fn not_utf8(table: &str, line: u64, column: usize, name: Option<&str>) -> Error {
    let name = name.map_or_else(|| format!("column {}", column + 1), |name| format!("`{name}`"));
    Error::invalid(table, format!("line {line}, {name}: a byte that is not UTF-8; expected UTF-8"))
}

/// One reading of the whole text.
struct Pass<'a> {
    name: &'a str,
    delimiter: u8,
    has_header: bool,
    names: &'a [String],
    is_text: &'a [bool],
}

enum Outcome {
    Table(Table),
    /// Columns of texts that were taken for numbers.
    Texts(Vec<usize>),
}

impl Pass<'_> {
    fn run(&self, source: &Source<'_>) -> Result<Outcome> {
        let n_texts = self.is_text.iter().filter(|is_text| **is_text).count();
        let n_numbers = self.names.len() - n_texts;
        let mut levels: Vec<Levels> = (0..n_texts).map(|_| Levels::default()).collect();
        let mut chunks = Vec::new();
        let mut chunk = Growing::default();
        let mut texts: Vec<usize> = Vec::new();
        let rows_per_chunk = (CHUNK_VALUES / self.names.len().max(1)).max(1);
        let mut reader = reader(Quotes { source: source.open()?, odd: false }, self.delimiter);
        let mut record = ByteRecord::new();
        let mut first = true;
        // the line of the last record, and whether its last cell goes over the end of a line
        let mut last = (0, false);
        loop {
            let more = reader
                .read_byte_record(&mut record)
                .map_err(|error| Error::invalid(self.name, format!("cannot be read: {error}")))?;
            if !more {
                break;
            }
            if is_blank(&record) && (first || self.names.len() > 1) {
                continue;
            }
            if std::mem::take(&mut first) && self.has_header {
                continue;
            }
            let line = record.position().map_or(0, csv::Position::line);
            last = (line, record.iter().next_back().is_some_and(|cell| cell.contains(&b'\n')));
            if record.len() != self.names.len() {
                return Err(self.ragged(&record, line));
            }
            let mut text = 0;
            for (column, cell) in record.iter().enumerate() {
                let Ok(cell) = std::str::from_utf8(cell) else {
                    return Err(not_utf8(self.name, line, column, Some(&self.names[column])));
                };
                // the mark at the beginning of a file without a header
                let cell = cell.trim_start_matches('\u{feff}');
                if self.is_text[column] {
                    let cell = cell.trim();
                    let code = match cells::is_missing(cell) {
                        true => MISSING,
                        false => levels[text].code(cell),
                    };
                    chunk.codes.push(code);
                    text += 1;
                    continue;
                }
                match cells::read(cell) {
                    Cell::Number(number) => chunk.numbers.push(number),
                    Cell::Missing => chunk.numbers.push(f32::NAN),
                    Cell::Text(_) => {
                        chunk.numbers.push(f32::NAN);
                        if !texts.contains(&column) {
                            texts.push(column);
                        }
                    }
                    Cell::TooLarge(text) => {
                        let problem =
                            format!("line {line}, `{}`: {text} is too large", self.names[column]);
                        return Err(Error::invalid(
                            self.name,
                            format!("{problem}; expected a number below 3.4e38"),
                        ));
                    }
                }
            }
            chunk.n_rows += 1;
            if !texts.is_empty() {
                chunk = Growing::default(); // read again anyway
            } else if chunk.n_rows == rows_per_chunk {
                chunks.push(std::mem::take(&mut chunk).finish());
            } else {
                chunk.reserve(rows_per_chunk, n_numbers, n_texts)?;
            }
        }
        // a quote that is never closed takes everything to the end of the file into one cell
        if let (line, true) = last
            && reader.get_ref().odd
        {
            let problem = format!("line {line}: a quote is not closed before the end of the file");
            return Err(Error::invalid(self.name, problem));
        }
        if !texts.is_empty() {
            return Ok(Outcome::Texts(texts));
        }
        if chunk.n_rows > 0 {
            chunks.push(chunk.finish());
        }
        if chunks.is_empty() {
            let problem = "there are no rows below the header; expected at least one";
            return Err(Error::invalid(self.name, problem));
        }
        let mut levels = levels.into_iter();
        let column = |(name, is_text): (&String, &bool)| Column {
            name: name.clone(),
            kind: match is_text {
                true => Kind::Text(levels.next().unwrap_or_default().texts),
                false => Kind::Number,
            },
        };
        let columns = self.names.iter().zip(self.is_text).map(column).collect();
        Ok(Outcome::Table(Table::new(self.name, columns, chunks)?))
    }

    /// A record of another length: the line, and where a quote that is not closed would explain it.
    fn ragged(&self, record: &ByteRecord, line: u64) -> Error {
        let quoted = record.iter().any(|cell| cell.contains(&b'\n'));
        let hint = if quoted { "; is a quote not closed there?" } else { "" };
        let problem =
            format!("line {line} has {} cells; expected {}{hint}", record.len(), self.names.len());
        Error::invalid(self.name, problem)
    }
}

/// A stream that knows whether the number of quotes so far is odd.
struct Quotes<R> {
    source: R,
    odd: bool,
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.odd ^= buffer[..read].iter().filter(|&&byte| byte == b'"').count() % 2 == 1;
        Ok(read)
    }
}

/// The different texts of a column, in the order in which they first occur.
#[derive(Default)]
struct Levels {
    codes: HashMap<String, u32>,
    texts: Vec<String>,
}

impl Levels {
    fn code(&mut self, text: &str) -> u32 {
        if let Some(&code) = self.codes.get(text) {
            return code;
        }
        let code = self.texts.len() as u32;
        self.codes.insert(text.to_owned(), code);
        self.texts.push(text.to_owned());
        code
    }
}

/// A chunk that rows are appended to.
#[derive(Default)]
struct Growing {
    numbers: Vec<f32>,
    codes: Vec<u32>,
    n_rows: usize,
}

impl Growing {
    /// Makes room for as many rows again, up to a whole chunk, after asking whether the memory is there.
    fn reserve(&mut self, rows_per_chunk: usize, n_numbers: usize, n_texts: usize) -> Result<()> {
        let is_full = self.numbers.len() + n_numbers > self.numbers.capacity()
            || self.codes.len() + n_texts > self.codes.capacity();
        if !is_full {
            return Ok(());
        }
        let rows = self.n_rows.min(rows_per_chunk - self.n_rows);
        let values = rows * (n_numbers + n_texts);
        require_memory(values, "the table")?;
        let refused = |_| too_large(values, "the table");
        try_reserve(&mut self.numbers, rows * n_numbers).map_err(refused)?;
        try_reserve(&mut self.codes, rows * n_texts).map_err(refused)
    }

    fn finish(self) -> Chunk {
        Chunk { numbers: Features::F32(self.numbers), codes: self.codes, n_rows: self.n_rows }
    }
}

#[cfg(test)]
#[path = "csv_tests.rs"]
mod tests;
