//! Reads a table in parts, as its rows arrive: for files of any length, and for pipes whose other end waits for an answer.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use memchr::memchr_iter;

use super::cells::Delimiter;
use super::compressed::decoded;
use super::detection::detect;
use super::source::{LONGEST_RECORD, Scan};
use super::{Continued, ReadOptions, Table, read_csv_bytes, unreadable};
use crate::error::{Error, Result};

/// So many bytes are read at a time, unless fewer have arrived.
const READ_BYTES: usize = 1 << 20;

/// The rows of a file or a pipe, in tables of those that have arrived. Each has the columns of the first.
pub struct TableStream {
    name: String,
    stream: Box<dyn Read + Send>,
    options: ReadOptions,
    /// What has been read and is in no table yet; begins with a record.
    rest: Vec<u8>,
    scan: Scan,
    is_at_end: bool,
    /// The line with the names of the columns; empty without one.
    header: Vec<u8>,
    before: Option<Continued>,
}

impl TableStream {
    /// Reads a file, plain or compressed by gzip or zstd.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path, options: ReadOptions) -> Result<Self> {
        if path.is_dir() {
            return Err(Error::invalid_file(path, "found a directory; expected a table"));
        }
        let file = File::open(path).map_err(Error::io("open", path))?;
        Self::new(path.display().to_string(), file, options)
    }

    /// Reads a stream, which messages call `name`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn new(
        name: String,
        stream: impl Read + Send + 'static,
        options: ReadOptions,
    ) -> Result<Self> {
        let stream = decoded(stream).map_err(|error| unreadable(&name, &error))?.stream;
        let (rest, scan, header) = (Vec::new(), Scan::default(), Vec::new());
        Ok(Self { name, stream, options, rest, scan, is_at_end: false, header, before: None })
    }

    /// The next rows: those that have arrived, at most 1 MiB of text unless one row has more. Waits until there is at least one; `None`
    /// at the end.
    ///
    /// # Errors
    /// As [`super::read_csv`].
    pub fn next_rows(&mut self) -> Result<Option<Table>> {
        loop {
            let Some(block) = self.next_block()? else { return Ok(None) };
            let lines = memchr_iter(b'\n', &block).count();
            if block.trim_ascii().is_empty() {
                self.count(lines, 0);
                continue;
            }
            let (mut text, mut options) = (block, self.options.clone());
            if let Some(before) = self.before {
                text = [&self.header[..], &text].concat();
                let header = memchr_iter(b'\n', &self.header).count();
                options.continues =
                    Some(Continued { lines: before.lines.saturating_sub(header), ..before });
            } else if !self.begin(&text)? {
                continue; // nothing but a header so far
            }
            let table = read_csv_bytes(&self.name, &text, &options)?.table;
            self.count(lines, table.n_rows());
            return Ok(Some(table));
        }
    }

    /// Learns from the first records what separates cells, and what the header is. False if there are no rows below it.
    fn begin(&mut self, text: &[u8]) -> Result<bool> {
        let detected = detect(text, true, &self.name, &self.options)?;
        let mut scan = Scan::default();
        let blank = text.len() - text.trim_ascii_start().len();
        let blank = text[..blank].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let delimiter = detected.schema.delimiter;
        let first = memchr_iter(b'\n', &text[blank..]).map(|at| blank + at + 1).find(|&end| {
            scan = Scan::default();
            scan.advance(&text[blank..end], false, delimiter);
            scan.end > 0
        });
        let end = first.unwrap_or(text.len());
        if detected.has_header {
            self.header = text[..end].to_vec();
            if !self.header.ends_with(b"\n") {
                self.header.push(b'\n');
            }
        }
        self.before = Some(Continued { delimiter, lines: 0, rows: 0 });
        let has_rows = !detected.has_header || !text[end..].trim_ascii().is_empty();
        if !has_rows {
            self.count(memchr_iter(b'\n', text).count(), 0);
        }
        Ok(has_rows)
    }

    fn count(&mut self, lines: usize, rows: usize) {
        if let Some(before) = &mut self.before {
            (before.lines, before.rows) = (before.lines + lines, before.rows + rows);
        }
    }

    /// The next whole records.
    fn next_block(&mut self) -> Result<Option<Vec<u8>>> {
        let delimiter = self.before.map_or(Delimiter::Byte(b','), |before| before.delimiter);
        loop {
            if self.is_at_end {
                let block = std::mem::take(&mut self.rest);
                return Ok(Some(block).filter(|block| !block.is_empty()));
            }
            let start = self.rest.len();
            self.rest.resize(start + READ_BYTES, 0);
            let read = self.stream.read(&mut self.rest[start..]);
            self.rest.truncate(start + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(n) => self.is_at_end = n == 0,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(&self.name, &error)),
            }
            if self.before.is_none() && self.rest.starts_with(b"\xef\xbb\xbf") {
                self.rest.drain(..3);
                self.scan = Scan::default();
            }
            self.scan.advance(&self.rest, self.is_at_end, delimiter);
            if let Some(end) = self.scan.take_end() {
                let rest = self.rest.split_off(end);
                return Ok(Some(std::mem::replace(&mut self.rest, rest)));
            }
            if self.rest.len() >= LONGEST_RECORD {
                let problem = "a line of more than 268 MB; is a quote not closed?";
                return Err(Error::invalid(&self.name[..], problem));
            }
        }
    }
}

impl std::fmt::Debug for TableStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableStream").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Gives its parts one at a time, as a pipe does.
    struct Pipe(VecDeque<&'static [u8]>);

    impl Read for Pipe {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(part) = self.0.front_mut() else { return Ok(0) };
            let n = part.read(buffer)?;
            if part.is_empty() {
                self.0.pop_front();
            }
            Ok(n)
        }
    }

    fn stream(parts: &[&'static str]) -> TableStream {
        let known = vec!["a".to_owned(), "b".to_owned()];
        let options = ReadOptions { known, ..ReadOptions::default() };
        let parts = parts.iter().map(|part| part.as_bytes()).collect();
        TableStream::new("pipe".to_owned(), Pipe(parts), options).unwrap()
    }

    #[test]
    fn rows_come_as_they_arrive() {
        let mut rows = stream(&["a,b\n", "1,x\n", "2,\"y\n", "z\"\n3,w", "\n", "\n4,v"]);
        let mut found = Vec::new();
        while let Some(table) = rows.next_rows().unwrap() {
            assert_eq!(table.rows_before(), found.iter().map(Vec::len).sum::<usize>());
            found.push(table.numbers(0).collect::<Vec<_>>());
        }
        assert_eq!(found, [vec![1.0], vec![2.0], vec![3.0], vec![4.0]]);
    }

    #[test]
    fn problems_are_in_the_lines_of_the_whole_stream() {
        let mut rows = stream(&["a,b\n1,2\n", "3,4\n", "5\n"]);
        assert_eq!(rows.next_rows().unwrap().unwrap().n_rows(), 1);
        assert_eq!(rows.next_rows().unwrap().unwrap().n_rows(), 1);
        let error = rows.next_rows().unwrap_err().to_string();
        assert!(error.contains("line 4"), "{error}");
    }

    #[test]
    fn nothing_and_a_header_alone_have_no_rows() {
        assert!(stream(&[]).next_rows().unwrap().is_none());
        assert!(stream(&["a,b\n"]).next_rows().unwrap().is_none());
        assert!(stream(&["\u{feff}a,b"]).next_rows().unwrap().is_none());
        let mut rows = stream(&["\u{feff}a;b\n", "1;2\n"]);
        assert_eq!(rows.next_rows().unwrap().unwrap().columns().len(), 2);
    }
}
