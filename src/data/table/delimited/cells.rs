//! Cells: where they end, and what they say.
//!
//! A cell begins after a delimiter or at the start of a line. Spaces around it do not count. A cell that begins with a quote ends with
//! one, and within it two quotes stand for one, as in RFC 4180; a quote anywhere else is an ordinary character.
//!
//! The crates that split records (`csv-core`, `simd-csv`) find the cells before the numbers in them are read. Here the parser of
//! numbers finds the end of a number as it reads it, so that most cells are looked at once.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3};

/// What separates the cells of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delimiter {
    /// One byte.
    Byte(u8),
    /// Any number of spaces and tabs; those at the ends of a line do not count.
    Spaces,
}

impl Delimiter {
    /// Whether a byte is a space that belongs to no cell.
    fn is_padding(self, byte: u8) -> bool {
        byte == b' ' || byte == b'\t' && self != Self::Byte(b'\t')
    }

    /// The first position from `at` on without padding.
    fn skip(self, block: &[u8], at: usize) -> usize {
        at + block[at..].iter().take_while(|&&byte| self.is_padding(byte)).count()
    }

    /// Whether a quote after `before`, which begins with a record, is the first character of a cell.
    pub fn begins_cell(self, before: &[u8]) -> bool {
        match before.iter().rposition(|&byte| !self.is_padding(byte)) {
            None => true,
            Some(last) if before[last] == b'\n' => true,
            Some(last) => match self {
                Self::Byte(byte) => before[last] == byte,
                Self::Spaces => last + 1 < before.len(),
            },
        }
    }
}

/// A cell of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell<'b> {
    /// The text, without quotes and the spaces around it.
    pub text: &'b [u8],
    /// Whether two quotes in the text stand for one.
    pub has_escapes: bool,
    /// Where what follows begins.
    pub next: usize,
    /// Whether it is the last one of its record.
    pub is_last: bool,
}

impl<'b> Cell<'b> {
    /// The text as it was before it was quoted, without spaces at its ends.
    pub fn unescaped(&self) -> Cow<'b, [u8]> {
        let text = self.text.trim_ascii();
        if !self.has_escapes {
            return Cow::Borrowed(text);
        }
        let mut unescaped = Vec::with_capacity(text.len());
        let mut bytes = text.iter();
        while let Some(&byte) = bytes.next() {
            unescaped.push(byte);
            if byte == b'"' {
                bytes.next();
            }
        }
        Cow::Owned(unescaped)
    }
}

/// Where a quoted cell goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuoteError {
    /// The quote at this position is never closed.
    Unclosed(usize),
    /// Text follows the closing quote of the cell whose opening quote is at this position.
    TextAfter(usize),
}

impl QuoteError {
    /// The position of the opening quote, and what is wrong with it, to be written after `line 7`.
    pub fn describe(self) -> (usize, &'static str) {
        match self {
            Self::Unclosed(open) => (open, ": a quote is not closed before the end of the file"),
            Self::TextAfter(open) => {
                (open, ": text after a closing quote; expected quotes in a quoted cell doubled")
            }
        }
    }
}

/// The end of the line that begins at `at` if there is nothing in it.
pub fn blank_line(block: &[u8], at: usize, delimiter: Delimiter) -> Option<usize> {
    match block[at] {
        b'\n' | b'\r' | b' ' | b'\t' => line_end(block, delimiter.skip(block, at)),
        _ => None,
    }
}

/// Where the next line begins if this one ends at `at`.
#[inline]
fn line_end(block: &[u8], at: usize) -> Option<usize> {
    match block.get(at) {
        None => Some(at),
        Some(b'\n') => Some(at + 1),
        Some(b'\r') => match block.get(at + 1) {
            None => Some(at + 1),
            Some(b'\n') => Some(at + 2),
            Some(_) => None,
        },
        Some(_) => None,
    }
}

/// What follows a cell that ends at `at`: where, and whether the record ends. `None` if the cell does not end there.
#[inline]
fn end_of_cell(block: &[u8], at: usize, delimiter: Delimiter) -> Option<(usize, bool)> {
    match delimiter {
        Delimiter::Byte(byte) if block.get(at) == Some(&byte) => Some((at + 1, false)),
        Delimiter::Byte(_) => line_end(block, at).map(|next| (next, true)),
        Delimiter::Spaces => {
            let next = delimiter.skip(block, at);
            match line_end(block, next) {
                Some(end) => Some((end, true)),
                None => (next > at).then_some((next, false)),
            }
        }
    }
}

/// A finite number that takes a whole cell and has no spaces around it, which most numbers are: its value, what follows, and
/// whether the record ends.
#[inline]
pub fn plain_number(block: &[u8], at: usize, delimiter: Delimiter) -> Option<(f32, usize, bool)> {
    let (value, length) = fast_float2::parse_partial::<f32, _>(block.get(at..)?).ok()?;
    let (next, is_last) = end_of_cell(block, at + length, delimiter)?;
    value.is_finite().then_some((value, next, is_last))
}

/// The cell that begins at `at`.
///
/// # Errors
/// If it is quoted, and not as it should be.
pub fn cell(block: &[u8], at: usize, delimiter: Delimiter) -> Result<Cell<'_>, QuoteError> {
    let start = delimiter.skip(block, at);
    if block.get(start) == Some(&b'"') {
        return quoted(block, start, delimiter);
    }
    let rest = &block[start..];
    let length = match delimiter {
        Delimiter::Byte(byte) => memchr2(byte, b'\n', rest),
        Delimiter::Spaces => memchr3(b' ', b'\t', b'\n', rest),
    };
    let mut end = start + length.unwrap_or(rest.len());
    let ends_line = block.get(end).is_none_or(|&byte| byte == b'\n');
    if ends_line && block[start..end].ends_with(b"\r") {
        end -= 1;
    }
    // the byte at `end` ends a cell, so that there is always something to follow
    let (next, is_last) = end_of_cell(block, end, delimiter).unwrap_or((end, true));
    let padding = block[start..end].iter().rev().take_while(|&&byte| delimiter.is_padding(byte));
    let text = &block[start..end - padding.count()];
    Ok(Cell { text, has_escapes: false, next, is_last })
}

/// The cell whose opening quote is at `open`.
fn quoted(block: &[u8], open: usize, delimiter: Delimiter) -> Result<Cell<'_>, QuoteError> {
    let (mut at, mut has_escapes) = (open + 1, false);
    let close = loop {
        let Some(length) = memchr(b'"', &block[at..]) else {
            return Err(QuoteError::Unclosed(open));
        };
        at += length + 1;
        if block.get(at) != Some(&b'"') {
            break at - 1;
        }
        has_escapes = true;
        at += 1;
    };
    let after = match delimiter {
        Delimiter::Byte(_) => delimiter.skip(block, at),
        Delimiter::Spaces => at,
    };
    let Some((next, is_last)) = end_of_cell(block, after, delimiter) else {
        return Err(QuoteError::TextAfter(open));
    };
    Ok(Cell { text: &block[open + 1..close], has_escapes, next, is_last })
}

/// What a cell of a column of numbers holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Missing,
    /// A number.
    Number(f32),
    /// A number beyond the range of `f32`.
    TooLarge,
    /// Something else.
    Text,
}

/// The texts that stand for a value that is missing; `NaN` in any case.
pub const MISSING_WORDS: [&str; 7] = ["", "?", "NA", "N/A", "null", "None", "NaN"];

/// Which of [`MISSING_WORDS`] a text is, if it is one.
pub fn missing_word(text: &[u8]) -> Option<usize> {
    match text.trim_ascii() {
        b"" => Some(0),
        b"?" => Some(1),
        b"NA" => Some(2),
        b"N/A" => Some(3),
        b"null" => Some(4),
        b"None" => Some(5),
        text => text.eq_ignore_ascii_case(b"nan").then_some(6),
    }
}

/// Reads the text of a cell.
pub fn value(text: &[u8]) -> Value {
    let text = text.trim_ascii();
    if missing_word(text).is_some() {
        return Value::Missing;
    }
    match fast_float2::parse::<f32, _>(text) {
        Ok(value) if value.is_nan() => Value::Missing, // with a sign
        // infinity is a word
        Ok(value) if value.is_infinite() && text.iter().any(u8::is_ascii_digit) => Value::TooLarge,
        Ok(value) => Value::Number(value),
        Err(_) => Value::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_say_what_is_documented() {
        for missing in ["", "  ", "NA", "N/A", "NaN", "nan", "-NaN", "null", "None", "?", " ? "] {
            assert_eq!(value(missing.as_bytes()), Value::Missing, "{missing}");
        }
        for (i, word) in MISSING_WORDS.into_iter().enumerate() {
            assert_eq!(missing_word(word.as_bytes()), Some(i), "{word}");
        }
        for (text, number) in [
            ("1", 1.0),
            (" -2.5 ", -2.5),
            ("+3", 3.0),
            ("1e5", 1e5),
            (".5", 0.5),
            ("5.", 5.0),
            ("inf", f32::INFINITY),
            ("-Infinity", f32::NEG_INFINITY),
            ("1e-50", 0.0),
        ] {
            assert_eq!(value(text.as_bytes()), Value::Number(number), "{text}");
        }
        for text in ["0x10", "1_000", "1,5", "true", "2026-11-26", "1 2", "na", "-", "1.2.3"] {
            assert_eq!(value(text.as_bytes()), Value::Text, "{text}");
        }
        for text in [" 1e39", "-1e39"] {
            assert_eq!(value(text.as_bytes()), Value::TooLarge, "{text}");
        }
    }
}
