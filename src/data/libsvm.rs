//! Reads LibSVM's text, also called SVMlight's: rows of a label and those features that are not 0.
//!
//! A line is `label number:value number:value ... # comment`; features are numbered from 1, or from 0 if one of the file has that number.
//! No maintained crate reads it. The rows are kept as they are written until the file has ended and the number of features is known.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::Features;
use super::table::{
    Chunk, Column, Kind, MOST_COLUMNS, Table, Value, decoded, unreadable, value_of_cell,
};
use crate::error::{Error, Result};
use crate::memory::require_bytes;

const SMALLER_FILE: &str = "use a file with fewer rows or features";

/// The memory of a chunk returns to the system when it is freed.
const CHUNK_BYTES: usize = 1 << 26;

/// Longer lines are none.
const LONGEST_LINE: u64 = 1 << 28;

/// Rows that would take more bytes than this, ...
const LARGE_BYTES: u64 = 1 << 28;

/// ... of which fewer values than one in so many are in the file, are refused: a few bytes could ask for any memory.
const LEAST_DENSITY: u64 = 10_000;

/// How a file is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LibsvmOptions {
    /// The number of features if the file has no more: a test file may lack the last ones of the training file.
    pub min_features: usize,
    /// The number of the first feature, 0 or 1; by default what the file seems to say. A test file has to be read like its training
    /// file.
    pub first: Option<usize>,
}

/// A table, and how its features are numbered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LibsvmTable {
    /// The features, each named by its number, then `target`.
    pub table: Table,
    /// The number of the first feature: 0 or 1.
    pub first: usize,
}

/// Reads a file, plain or compressed by gzip or zstd.
///
/// # Errors
/// If the file cannot be read, has no rows, a line is not as described above or has a feature twice, or the rows do not fit into
/// memory; the message names the line.
///
/// ```
/// use densely::data::libsvm::{LibsvmOptions, read_libsvm};
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("rows.svm");
/// std::fs::write(&path, "+1 2:0.5\n-1 1:3 3:1 # a comment\n")?;
/// let table = read_libsvm(&path, &LibsvmOptions::default())?.table;
/// assert_eq!(table.numbers(1).collect::<Vec<_>>(), [0.5, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_libsvm(path: &Path, options: &LibsvmOptions) -> Result<LibsvmTable> {
    if path.is_dir() {
        return Err(Error::invalid_file(path, "expected a LibSVM file, found a directory"));
    }
    let file = File::open(path).map_err(Error::io("open", path))?;
    read(&path.display().to_string(), file, options)
}

/// Reads the bytes of a file; otherwise as [`read_libsvm`]. Messages call it `name`.
///
/// # Errors
/// As [`read_libsvm`].
pub fn read_libsvm_bytes(name: &str, bytes: &[u8], options: &LibsvmOptions) -> Result<LibsvmTable> {
    read(name, bytes, options)
}

fn read(name: &str, source: impl Read + Send, options: &LibsvmOptions) -> Result<LibsvmTable> {
    let failed = |error| unreadable(name, &error);
    let stream = decoded(source).map_err(failed)?.stream;
    let mut stream = BufReader::with_capacity(1 << 16, stream);
    let mut rows = Rows::default();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = stream.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
        if read.map_err(failed)? == 0 {
            break;
        }
        let added = match line.len() as u64 == LONGEST_LINE {
            true => Err((0, "a line of more than 268 MB".to_owned())),
            false => rows.add(&line),
        };
        if let Err((at, problem)) = added {
            let problem = format!("line {number}, column {}: {problem}", at + 1);
            return Err(Error::invalid(name, problem));
        }
        require_bytes(rows.bytes() + (1 << 24), name, SMALLER_FILE)?;
    }
    let first = match (options.first, rows.least) {
        (Some(1..), Some((0, line))) => {
            let problem = format!("row {line} has feature 0; expected features numbered from 1");
            return Err(Error::invalid(name, format!("{problem}, as in the training file")));
        }
        (Some(first), _) => first.min(1),
        (None, least) => usize::from(least.is_none_or(|(least, _)| least > 0)),
    };
    let n_features = rows.largest.map_or(0, |(largest, _)| largest as usize + 1 - first);
    table(name, rows, first, n_features.max(options.min_features))
}

/// The rows of a file as they are written.
#[derive(Default)]
struct Rows {
    targets: Vec<f32>,
    /// Where the values of each row end.
    ends: Vec<usize>,
    features: Vec<u32>,
    values: Vec<f32>,
    /// The least feature and the first row that has it, from 1.
    least: Option<(u32, usize)>,
    /// Likewise the largest.
    largest: Option<(u32, usize)>,
    /// To find features that a row has twice.
    sorted: Vec<u32>,
}

/// Where a line goes wrong, in bytes from its start, and how.
type Problem = (usize, String);

impl Rows {
    fn bytes(&self) -> u64 {
        // vectors double when they are full
        (self.targets.capacity() as u64) * 12 + (self.features.capacity() as u64) * 8
    }

    /// Adds the row of a line, if there is one.
    fn add(&mut self, line: &[u8]) -> Result<(), Problem> {
        let end = memchr::memchr(b'#', line).unwrap_or(line.len());
        let mut words = Words { line: &line[..end], at: 0 };
        let Some((at, word)) = words.next() else { return Ok(()) };
        self.targets
            .push(number(word).map_err(|problem| (at, expected(word, &problem, "a label")))?);
        let start = self.features.len();
        for (at, word) in words {
            let colon = memchr::memchr(b':', word);
            let Some((key, text)) = colon.map(|colon| (&word[..colon], &word[colon + 1..])) else {
                return Err((at, expected(word, "", "`number:value`")));
            };
            if key == b"qid" {
                continue;
            }
            let digits = key.iter().all(u8::is_ascii_digit);
            let feature = std::str::from_utf8(key).ok().filter(|_| digits);
            let Some(feature) = feature.and_then(|key| key.parse::<u32>().ok()) else {
                let wanted = "the number of a feature before the colon, at most 4294967295";
                return Err((at, expected(word, "", wanted)));
            };
            let value = number(text);
            let value = value
                .map_err(|problem| (at, expected(word, &problem, "a number after the colon")))?;
            self.features.push(feature);
            self.values.push(value);
            let row = self.targets.len();
            if self.least.is_none_or(|(least, _)| feature < least) {
                self.least = Some((feature, row));
            }
            if self.largest.is_none_or(|(largest, _)| feature > largest) {
                self.largest = Some((feature, row));
            }
        }
        self.ends.push(self.features.len());
        self.require_different(start)
    }

    /// Rejects a feature that the last row has twice.
    fn require_different(&mut self, start: usize) -> Result<(), Problem> {
        let features = &self.features[start..];
        if features.is_sorted_by(|a, b| a < b) {
            return Ok(());
        }
        self.sorted.clear();
        self.sorted.extend_from_slice(features);
        self.sorted.sort_unstable();
        match self.sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err((0, format!("feature {} twice; expected each once", pair[0]))),
            None => Ok(()),
        }
    }
}

/// What is wrong with a word.
fn expected(word: &[u8], problem: &str, wanted: &str) -> String {
    let shown: String = String::from_utf8_lossy(word).chars().take(40).collect();
    format!("`{shown}`{problem}; expected {wanted}")
}

fn number(text: &[u8]) -> Result<f32, String> {
    match value_of_cell(text) {
        Value::Number(value) => Ok(value),
        Value::Missing if !text.is_empty() => Ok(f32::NAN),
        Value::TooLarge => Err(" is too large (3.4e38 or more)".to_owned()),
        _ => Err(String::new()),
    }
}

/// The words of a line, with where they begin.
struct Words<'l> {
    line: &'l [u8],
    at: usize,
}

impl<'l> Iterator for Words<'l> {
    type Item = (usize, &'l [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = &self.line[self.at..];
        let start = self.at + rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        let rest = &self.line[start..];
        let length = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        self.at = start + length;
        Some((start, &rest[..length]))
    }
}

/// The table with a value for each feature of each row.
fn table(name: &str, rows: Rows, first: usize, n_features: usize) -> Result<LibsvmTable> {
    let n_rows = rows.targets.len();
    if n_rows == 0 {
        return Err(Error::invalid(name, "there are no rows; expected at least one"));
    }
    let (largest, row) = rows.largest.unwrap_or_default();
    if n_features == 0 {
        return Err(Error::invalid(
            name,
            "there are no features; expected `number:value` in a row",
        ));
    }
    if n_features > MOST_COLUMNS {
        let problem = format!("row {row} has feature {largest}; expected at most {MOST_COLUMNS}");
        return Err(Error::invalid(name, problem));
    }
    let width = n_features + 1;
    let bytes = 4 * width as u64 * n_rows as u64;
    let given = rows.values.len() as u64;
    if bytes > LARGE_BYTES && bytes / 4 > LEAST_DENSITY.saturating_mul(given + n_rows as u64) {
        let problem = format!(
            "{n_rows} rows of {n_features} features, of which the file gives {given} values; \
             expected one in {LEAST_DENSITY} at least"
        );
        return Err(Error::invalid(name, problem));
    }
    require_bytes(bytes, name, SMALLER_FILE)?;
    let rows_per_chunk = (CHUNK_BYTES / 4 / width).max(1);
    let mut chunks = Vec::new();
    let mut start = 0;
    for begin in (0..n_rows).step_by(rows_per_chunk) {
        let n_rows = rows_per_chunk.min(n_rows - begin);
        let mut numbers = vec![0.0; n_rows * width];
        for (row, out) in numbers.chunks_exact_mut(width).enumerate() {
            let end = rows.ends[begin + row];
            for (&feature, &value) in rows.features[start..end].iter().zip(&rows.values[start..end])
            {
                out[feature as usize - first] = value;
            }
            out[n_features] = rows.targets[begin + row];
            start = end;
        }
        chunks.push(Chunk { numbers: Features::F32(numbers), codes: Vec::new(), n_rows });
    }
    let numbers = (first..first + n_features).map(|number| number.to_string());
    let names = numbers.chain(["target".to_owned()]);
    let columns = names.map(|name| Column { name, kind: Kind::Number }).collect();
    Ok(LibsvmTable { table: Table::new(name, columns, chunks)?, first })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(text: &str) -> LibsvmTable {
        read_libsvm_bytes("f", text.as_bytes(), &LibsvmOptions::default()).unwrap()
    }

    fn error(text: &str) -> String {
        let read = read_libsvm_bytes("f", text.as_bytes(), &LibsvmOptions::default());
        read.unwrap_err().to_string()
    }

    fn values(table: &Table) -> Vec<f32> {
        table
            .chunks()
            .iter()
            .flat_map(|chunk| match &chunk.numbers {
                Features::F32(values) => values.clone(),
                Features::U8(_) => panic!("expected numbers of 32 bits"),
            })
            .collect()
    }

    fn names(table: &Table) -> Vec<&str> {
        table.columns().iter().map(|column| &column.name[..]).collect()
    }

    #[test]
    fn rows_become_dense() {
        let found = read("# first\n+1 qid:3 2:0.5 # a \"comment: 9:9\n\n-1 3:1e2 1:-4\r\n0\t2:nan");
        assert_eq!((names(&found.table), found.first), (vec!["1", "2", "3", "target"], 1));
        let all = values(&found.table);
        assert_eq!(all[..8], [0.0, 0.5, 0.0, 1.0, -4.0, 0.0, 100.0, -1.0]);
        assert!(all[9].is_nan());
        let found = read("1 1:2\n2 0:7\n");
        assert_eq!((names(&found.table), found.first), (vec!["0", "1", "target"], 0));
        assert_eq!(values(&found.table), [0.0, 2.0, 1.0, 7.0, 0.0, 2.0]);
    }

    #[test]
    fn a_test_file_may_lack_features() {
        let options = LibsvmOptions { min_features: 4, first: Some(0) };
        let found = read_libsvm_bytes("f", b"1 2:5\n2\n", &options).unwrap();
        assert_eq!(names(&found.table), ["0", "1", "2", "3", "target"]);
        assert_eq!(values(&found.table), [0.0, 0.0, 5.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 2.0]);
        let options = LibsvmOptions { min_features: 0, first: Some(1) };
        let error = read_libsvm_bytes("f", b"1 0:5\n", &options).unwrap_err().to_string();
        assert!(
            error.contains("row 1 has feature 0; expected features numbered from 1"),
            "{error}"
        );
    }

    #[test]
    fn errors_name_line_and_column() {
        for (text, expected) in [
            ("1 1:2\n1 1:x\n", "f: line 2, column 3: `1:x`; expected a number after the colon"),
            ("1 1:\n", "line 1, column 3: `1:`; expected a number after the colon"),
            ("1 1:1e39\n", "`1:1e39` is too large (3.4e38 or more)"),
            ("# a\n\n 1:2 3:4\n", "line 3, column 2: `1:2`; expected a label"),
            ("1,2 1:2\n", "`1,2`; expected a label"),
            ("1 2 3\n", "line 1, column 3: `2`; expected `number:value`"),
            ("1 -1:3\n", "expected the number of a feature"),
            ("1 +1:3\n", "expected the number of a feature"),
            ("1 4294967296:3\n", "expected the number of a feature"),
            ("1 2:1 1:1 2:1\n", "line 1, column 1: feature 2 twice"),
            ("1 4000000000:1\n", "f: row 1 has feature 4000000000; expected at most 1048576"),
            ("", "there are no rows"),
            ("# nothing\n", "there are no rows"),
            ("1\n2\n", "there are no features"),
        ] {
            let message = error(text);
            assert!(message.contains(expected), "{message}");
        }
        let sparse = format!("1 1000000:1\n{}", "1\n".repeat(1000));
        assert!(read_libsvm_bytes("f", sparse.as_bytes(), &LibsvmOptions::default()).is_err());
    }

    #[test]
    fn compressed_files_are_read_and_damaged_ones_refused() {
        let text = "1 1:2\n".repeat(1000);
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        let gzip = encoder.finish().unwrap();
        let fast = ruzstd::encoding::CompressionLevel::Fastest;
        let zstd = ruzstd::encoding::compress_to_vec(text.as_bytes(), fast);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows.svm.gz");
        for bytes in [&gzip, &zstd] {
            std::fs::write(&path, bytes).unwrap();
            let found = read_libsvm(&path, &LibsvmOptions::default()).unwrap();
            assert_eq!(found.table.n_rows(), 1000);
            std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
            let error = read_libsvm(&path, &LibsvmOptions::default()).unwrap_err().to_string();
            assert!(error.contains("compressed data"), "{error}");
        }
        let error = read_libsvm(directory.path(), &LibsvmOptions::default()).unwrap_err();
        assert!(error.to_string().contains("found a directory"));
    }
}
