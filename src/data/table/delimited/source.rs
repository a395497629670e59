//! Cuts a stream into blocks of whole records.
//!
//! Threads take blocks in turns. What one does alone is to read the next bytes and to find where the last record in them ends, which
//! takes a fraction of the time that the cells take. Unlike a cut of the file into one range for each thread, this is exact whatever
//! is quoted, works for compressed streams as for files, and holds one block a thread in memory.

use std::io::{self, Read};

use memchr::{memchr, memrchr};

use super::cells::{Delimiter, QuoteError};

/// Longer records are taken for a quote that is not closed.
pub const LONGEST_RECORD: usize = 1 << 28;

/// A stream of records.
pub struct Source<'a> {
    stream: Box<dyn Read + Send + 'a>,
    /// What has been read and not been taken; begins with a record.
    rest: Vec<u8>,
    scan: Scan,
    is_at_end: bool,
    /// Why the stream ended early.
    failed: Option<io::Error>,
    n_taken: usize,
    block_bytes: usize,
    delimiter: Delimiter,
}

/// Why there is no further block.
#[derive(Debug)]
pub enum NoBlock {
    /// The stream has ended.
    End,
    /// A quote in the block is not closed.
    Unclosed(QuoteError),
    /// The record at the start of the block is too long.
    TooLong,
    /// The stream cannot be read.
    Unreadable(io::Error),
}

impl<'a> Source<'a> {
    /// Skips the byte order mark of UTF-8.
    ///
    /// # Errors
    /// If the stream cannot be read.
    pub fn new(stream: Box<dyn Read + Send + 'a>, block_bytes: usize) -> io::Result<Self> {
        let mut source = Self {
            stream,
            rest: Vec::new(),
            scan: Scan::default(),
            is_at_end: false,
            failed: None,
            n_taken: 0,
            block_bytes,
            delimiter: Delimiter::Byte(b','),
        };
        source.fill(3)?;
        if source.rest.starts_with(b"\xef\xbb\xbf") {
            source.rest.clear();
        }
        Ok(source)
    }

    /// The next bytes of the stream, at least as many unless it ends, and whether it does. They stay to be taken.
    ///
    /// # Errors
    /// If the stream cannot be read.
    pub fn peek(&mut self, bytes: usize) -> io::Result<(&[u8], bool)> {
        self.fill(bytes)?;
        Ok((&self.rest, self.is_at_end))
    }

    /// Says what separates cells, which decides where quotes begin.
    pub fn set_delimiter(&mut self, delimiter: Delimiter) {
        self.delimiter = delimiter;
    }

    /// How many times [`Self::take`] has been called, which is the number of the next block.
    pub fn n_taken(&self) -> usize {
        self.n_taken
    }

    fn fill(&mut self, bytes: usize) -> io::Result<()> {
        let missing = bytes.saturating_sub(self.rest.len());
        if missing > 0 && !self.is_at_end {
            self.rest.reserve(missing);
            let read = self.stream.by_ref().take(missing as u64).read_to_end(&mut self.rest)?;
            self.is_at_end = read < missing;
        }
        Ok(())
    }

    /// Takes the next records. The block ends with the end of a line.
    ///
    /// # Errors
    /// If there are none. The block then holds what could not be taken.
    pub fn take(&mut self, block: &mut Vec<u8>) -> Result<(), NoBlock> {
        self.n_taken += 1;
        let mut bytes = self.block_bytes;
        loop {
            if let Err(error) = self.fill(bytes) {
                (self.failed, self.is_at_end) = (Some(error), true);
            }
            self.scan.advance(&self.rest, self.is_at_end, self.delimiter);
            if let Some(end) = self.scan.take_end() {
                block.clear();
                block.extend_from_slice(&self.rest[end..]);
                self.rest.truncate(end);
                std::mem::swap(block, &mut self.rest);
                return Ok(());
            }
            let unclosed =
                self.scan.quote.map(|open| NoBlock::Unclosed(QuoteError::Unclosed(open)));
            let failure = match self.is_at_end {
                true => match self.failed.take() {
                    Some(error) => Some(NoBlock::Unreadable(error)),
                    None if self.rest.is_empty() => Some(NoBlock::End),
                    None => unclosed,
                },
                false if self.rest.len() >= LONGEST_RECORD => {
                    Some(unclosed.unwrap_or(NoBlock::TooLong))
                }
                false => {
                    bytes = 2 * self.rest.len();
                    continue;
                }
            };
            std::mem::swap(block, &mut self.rest);
            self.rest.clear();
            (self.scan, self.is_at_end) = (Scan::default(), true);
            return match failure {
                Some(failure) => Err(failure),
                None => {
                    block.push(b'\n'); // the last line has no end
                    Ok(())
                }
            };
        }
    }
}

/// Finds the ends of records without looking at their cells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// What lies before has been looked at.
    position: usize,
    /// Where the quoted cell that `position` lies in was opened.
    pub quote: Option<usize>,
    /// The end of the last complete record.
    pub end: usize,
}

impl Scan {
    /// Looks at the bytes from `position` on. They begin with a record; `is_all` if nothing will follow them.
    pub fn advance(&mut self, bytes: &[u8], is_all: bool, delimiter: Delimiter) {
        while self.position < bytes.len() {
            let rest = &bytes[self.position..];
            let found = memchr(b'"', rest);
            let at = self.position + found.unwrap_or(rest.len());
            if self.quote.is_none() {
                if let Some(length) = memrchr(b'\n', &bytes[self.position..at]) {
                    self.end = self.position + length + 1;
                }
                if found.is_some() && delimiter.begins_cell(&bytes[self.end..at]) {
                    self.quote = Some(at);
                }
                self.position = at + usize::from(found.is_some());
                continue;
            }
            match bytes.get(at + 1) {
                _ if found.is_none() => self.position = at,
                Some(b'"') => self.position = at + 2,
                None if !is_all => {
                    self.position = at; // perhaps the first of two
                    return;
                }
                _ => (self.quote, self.position) = (None, at + 1),
            }
        }
    }

    /// The end of the complete records, which are taken away; `None` without any.
    pub fn take_end(&mut self) -> Option<usize> {
        let end = std::mem::take(&mut self.end);
        self.position -= end;
        self.quote = self.quote.map(|quote| quote - end);
        (end > 0).then_some(end)
    }
}
