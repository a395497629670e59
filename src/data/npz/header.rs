//! The header of an array: the type of its values, their order and the shape, as a Python dictionary in text.

use std::io::Read;

use super::unreadable;
use crate::error::{Error, Result};

pub const MAGIC: &[u8] = b"\x93NUMPY";

/// Longer headers are those of structures, or damaged.
const LONGEST: u64 = 1 << 20;

/// NumPy has arrays of at most so many dimensions.
const MOST_DIMENSIONS: usize = 64;

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// The type of the values.
    pub element: Element,
    /// Whether the most significant byte of a number comes first.
    pub is_big_endian: bool,
    /// Whether the first index varies fastest.
    pub is_fortran: bool,
    /// The length of each dimension.
    pub shape: Vec<usize>,
}

/// A type of values, with its length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    Bool,
    Signed(u8),
    Unsigned(u8),
    Float(u8),
    /// Bytes that are UTF-8, with zeros after them.
    Bytes(usize),
    /// Four bytes for each character, with zeros after them.
    Unicode(usize),
}

impl Element {
    /// The number of bytes of a value; at least 1.
    pub fn size(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Signed(size) | Self::Unsigned(size) | Self::Float(size) => usize::from(size),
            Self::Bytes(size) | Self::Unicode(size) => size,
        }
    }
}

/// Reads the header at the start of a stream.
pub fn read(source: &mut dyn Read, name: &str) -> Result<Header> {
    let cut = |error| unreadable(&error, name, "the header");
    let mut start = [0; 8];
    source.read_exact(&mut start).map_err(cut)?;
    if !start.starts_with(MAGIC) {
        return Err(Error::invalid(name, "no array of NumPy; expected a file of `numpy.save`"));
    }
    let mut length = [0; 4];
    match start[6] {
        1 => source.read_exact(&mut length[..2]).map_err(cut)?,
        2 | 3 => source.read_exact(&mut length).map_err(cut)?,
        version => {
            let problem = format!("an array of format version {version}; expected 1, 2 or 3");
            return Err(Error::invalid(name, problem));
        }
    }
    let length = u64::from(u32::from_le_bytes(length));
    if length > LONGEST {
        let problem = format!("a header of {length} bytes; expected at most {LONGEST}");
        return Err(Error::invalid(name, problem));
    }
    let mut text = Vec::new();
    source.take(length).read_to_end(&mut text).map_err(cut)?;
    if (text.len() as u64) < length {
        return Err(cut(std::io::ErrorKind::UnexpectedEof.into()));
    }
    parse(&String::from_utf8_lossy(&text)).map_err(|problem| Error::invalid(name, problem))
}

/// Reads the dictionary.
fn parse(text: &str) -> Result<Header, String> {
    let (mut element, mut is_fortran, mut shape) = (None, None, None);
    let mut rest = Scanner(text);
    let expected = || {
        let shown: String = text.trim_end().chars().take(100).collect();
        format!("damaged header `{shown}`; expected `descr`, `fortran_order` and `shape`")
    };
    rest.skip("{").ok_or_else(expected)?;
    while rest.skip("}").is_none() {
        let key = rest.quoted().ok_or_else(expected)?;
        rest.skip(":").ok_or_else(expected)?;
        match key {
            "descr" if rest.skip("[").is_some() => {
                return Err("values of several fields (a structured array); expected plain \
                            numbers or texts"
                    .to_owned());
            }
            "descr" => element = Some(type_of(rest.quoted().ok_or_else(expected)?)?),
            "fortran_order" => {
                let no = rest.skip("False").map(|()| false);
                let yes = || rest.skip("True").map(|()| true);
                is_fortran = Some(no.or_else(yes).ok_or_else(expected)?);
            }
            "shape" => shape = Some(rest.lengths().ok_or_else(expected)?),
            _ => return Err(expected()),
        }
        if rest.skip(",").is_none() && !rest.0.trim_start().starts_with('}') {
            return Err(expected());
        }
    }
    match (element, is_fortran, shape) {
        (Some((element, is_big_endian)), Some(is_fortran), Some(shape)) if rest.is_empty() => {
            Ok(Header { element, is_big_endian, is_fortran, shape })
        }
        _ => Err(expected()),
    }
}

/// The type that `<f4` and the like stand for, and whether its most significant byte comes first.
fn type_of(text: &str) -> Result<(Element, bool), String> {
    const EXPECTED: &str = "expected numbers, truth values or texts";
    let (order, rest) = match text.as_bytes().first() {
        Some(b'<' | b'>' | b'|' | b'=') => text.split_at(1),
        _ => ("=", text),
    };
    let (kind, size) = rest.split_at(rest.len().min(usize::from(rest.is_char_boundary(1))));
    let length: Option<usize> = size.parse().ok();
    let element = match (kind, length) {
        ("b", Some(1)) => Some(Element::Bool),
        ("i", Some(size @ (1 | 2 | 4 | 8))) => Some(Element::Signed(size as u8)),
        ("u", Some(size @ (1 | 2 | 4 | 8))) => Some(Element::Unsigned(size as u8)),
        ("f", Some(size @ (2 | 4 | 8))) => Some(Element::Float(size as u8)),
        // texts of no length could be more than memory holds, in a file of any length
        ("S" | "a", Some(size @ 1..)) => Some(Element::Bytes(size)),
        ("U", Some(size @ 1..)) => size.checked_mul(4).map(Element::Unicode),
        _ => None,
    };
    match element {
        Some(element) => Ok((element, order == ">")),
        None => {
            let what = match kind {
                "O" => "Python objects",
                "c" => "complex numbers",
                "M" => "dates",
                "m" => "durations",
                "V" => "structures or raw bytes",
                "f" => "floating-point numbers of an unusual length",
                "S" | "U" => "texts without characters",
                _ => "an unknown type",
            };
            Err(format!("values of type `{text}` ({what}) are not read; {EXPECTED}"))
        }
    }
}

/// Text that is read from the left. Spaces before what is looked for do not count.
struct Scanner<'t>(&'t str);

impl<'t> Scanner<'t> {
    fn skip(&mut self, what: &str) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(what)?;
        Some(())
    }

    fn is_empty(&self) -> bool {
        self.0.trim_matches(|c: char| c.is_whitespace() || c == '\0').is_empty()
    }

    /// A text in single or double quotes, without escapes.
    fn quoted(&mut self) -> Option<&'t str> {
        let text = self.0.trim_start();
        let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let (quoted, rest) = text[1..].split_once(quote)?;
        self.0 = rest;
        Some(quoted)
    }

    /// Lengths in round brackets. Python 2 wrote an `L` after large ones.
    fn lengths(&mut self) -> Option<Vec<usize>> {
        self.skip("(")?;
        let (inside, rest) = self.0.split_once(')')?;
        self.0 = rest;
        let inside = inside.trim();
        if inside.is_empty() {
            return Some(Vec::new());
        }
        let inside = inside.strip_suffix(',').unwrap_or(inside);
        let number = |text: &str| text.trim().trim_end_matches('L').parse().ok();
        let lengths: Vec<usize> = inside.split(',').map(number).collect::<Option<_>>()?;
        (lengths.len() <= MOST_DIMENSIONS).then_some(lengths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_several_writers_are_read() {
        let header =
            parse("{'descr': '>f8', 'fortran_order': True, 'shape': (3, 4), }          \n");
        let expected = Header {
            element: Element::Float(8),
            is_big_endian: true,
            is_fortran: true,
            shape: vec![3, 4],
        };
        assert_eq!(header.unwrap(), expected);
        let header = parse("{\"shape\":(7L,),\"fortran_order\":False,\"descr\":\"|u1\"}").unwrap();
        assert_eq!((header.element, header.shape), (Element::Unsigned(1), vec![7]));
        let header = parse("{'descr':'<U5','fortran_order':False,'shape':()}").unwrap();
        assert_eq!((header.element, header.shape), (Element::Unicode(20), vec![]));
    }

    #[test]
    fn what_is_not_read_is_named() {
        let of = |descr: &str| {
            let text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (3,), }}");
            parse(&text).unwrap_err()
        };
        for (descr, what) in [
            ("'|O'", "`|O` (Python objects)"),
            ("'<c16'", "`<c16` (complex numbers)"),
            ("'<M8[ns]'", "(dates)"),
            ("'<m8[s]'", "(durations)"),
            ("'<f16'", "(floating-point numbers of an unusual length)"),
            ("'|V4'", "structures"),
            ("'<U0'", "texts without characters"),
            ("'é'", "an unknown type"),
            ("''", "an unknown type"),
            ("'<'", "an unknown type"),
            ("'<i3'", "an unknown type"),
            ("'<U18446744073709551615'", "`<U18446744073709551615`"),
            ("[('a', '<f4')]", "a structured array"),
            ("(((((", "damaged header"),
        ] {
            assert!(of(descr).contains(what), "{descr}: {}", of(descr));
        }
    }

    #[test]
    fn damaged_headers_are_errors() {
        let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }";
        parse(good).unwrap();
        for cut in 0..good.len() {
            assert!(parse(&good[..cut]).is_err(), "{cut}");
        }
        for bad in ["(-1,)", "(1 2)", "(18446744073709551616,)", "3", "(a,)", "(,)", "((1,),)"] {
            assert!(parse(&good.replace("(3, 4)", bad)).is_err(), "{bad}");
        }
        let many = format!("({})", "1,".repeat(65));
        assert!(parse(&good.replace("(3, 4)", &many)).is_err());
        assert!(parse(&format!("{good} x")).is_err());
        assert!(parse(&good.replace("descr", "dtype")).unwrap_err().contains("expected `descr`"));
    }
}
