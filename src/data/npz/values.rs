//! The values of an array, read from a stream. Memory grows with the bytes that are read, not with what the header claims.

use std::io::Read;

use foldhash::fast::RandomState;
use indexmap::IndexSet;
use ndarray::{ArrayView, IxDyn, ShapeBuilder as _};

use super::header::{Element, Header};
use super::{NpyArray, Values, unreadable};
use crate::error::{Error, Result};
use crate::memory::{require_bytes, try_reserve};

const SMALLER: &str = "expected less data, or an undamaged header";

/// How many bytes are read at once, unless a value has more.
const BLOCK_BYTES: usize = 1 << 16;

/// Reads exactly the values that a header promises, to the end of the stream.
pub fn read(source: &mut dyn Read, header: Header, name: &str) -> Result<NpyArray> {
    let size = header.element.size();
    let shape = &header.shape;
    // callers multiply some of the lengths even where another is 0
    let bytes = shape.iter().try_fold(size, |bytes, &length| bytes.checked_mul(length.max(1)));
    if bytes.is_none_or(|bytes| bytes >= 1 << 60) {
        return Err(Error::invalid(name, format!("the shape {} overflows", shown(shape))));
    }
    let count: usize = shape.iter().product();
    let stored = match header.element {
        Element::Unsigned(1) => 1,
        _ => 4,
    };
    // values in the order of Fortran are rearranged
    let copies = 1 + u64::from(header.is_fortran && shape.len() > 1);
    require_bytes(copies * count as u64 * stored, name, SMALLER)?;
    let mut target = Target::new(&header, count, name);
    let mut block = Vec::new();
    let in_block = (BLOCK_BYTES / size).max(1);
    let mut done = 0;
    while done < count {
        let now = in_block.min(count - done);
        block.clear();
        let read = source.take((now * size) as u64).read_to_end(&mut block);
        read.map_err(|error| unreadable(&error, name, "the values"))?;
        if block.len() < now * size {
            let problem = format!(
                "the header promises {count} values ({}), found {}; is the file truncated?",
                shown(shape),
                done + block.len() / size
            );
            return Err(Error::invalid(name, problem));
        }
        target.extend(&block, done)?;
        done += now;
    }
    // reading to the end makes an archive compare the checksum
    match source.read(&mut [0]) {
        Ok(0) => {}
        Ok(_) => {
            let problem = format!(
                "the header promises {count} values ({}), and more follows; is the file damaged?",
                shown(shape)
            );
            return Err(Error::invalid(name, problem));
        }
        Err(error) => return Err(unreadable(&error, name, "the values")),
    }
    let values = target.finish();
    let values = match header.is_fortran && shape.len() > 1 {
        false => values,
        true => match values {
            Values::U8(values) => Values::U8(row_major(values, shape)),
            Values::F32(values) => Values::F32(row_major(values, shape)),
            Values::Text { codes, levels } => {
                Values::Text { codes: row_major(codes, shape), levels }
            }
        },
    };
    Ok(NpyArray { shape: header.shape, values })
}

/// A shape as Python writes it.
pub fn shown(shape: &[usize]) -> String {
    match shape {
        [length] => format!("({length},)"),
        _ => {
            let lengths: Vec<String> = shape.iter().map(usize::to_string).collect();
            format!("({})", lengths.join(", "))
        }
    }
}

/// Rearranges values whose first index varies fastest.
fn row_major<T: Clone>(values: Vec<T>, shape: &[usize]) -> Vec<T> {
    match ArrayView::from_shape(IxDyn(shape).f(), &values) {
        Ok(view) => view.iter().cloned().collect(),
        Err(_) => values, // there are as many values as the shape asks for
    }
}

/// What the values of a stream become.
struct Target<'h> {
    header: &'h Header,
    name: &'h str,
    count: usize,
    bytes: Vec<u8>,
    numbers: Vec<f32>,
    codes: Vec<u32>,
    levels: IndexSet<String, RandomState>,
    level_bytes: usize,
}

impl<'h> Target<'h> {
    fn new(header: &'h Header, count: usize, name: &'h str) -> Self {
        Self {
            header,
            name,
            count,
            bytes: Vec::new(),
            numbers: Vec::new(),
            codes: Vec::new(),
            levels: IndexSet::default(),
            level_bytes: 0,
        }
    }

    /// Appends whole values, of which the first has this position in the stream.
    fn extend(&mut self, block: &[u8], first: usize) -> Result<()> {
        let is_big = self.header.is_big_endian;
        let (count, name) = (self.count, self.name);
        match self.header.element {
            Element::Unsigned(1) => {
                grow(&mut self.bytes, block.len(), count, name)?;
                self.bytes.extend_from_slice(block);
                return Ok(());
            }
            Element::Bytes(size) | Element::Unicode(size) => {
                grow(&mut self.codes, block.len() / size, count, name)?;
                for (i, text) in block.chunks_exact(size).enumerate() {
                    self.push_text(text, first + i)?;
                }
                return Ok(());
            }
            _ => {}
        }
        let out = &mut self.numbers;
        grow(out, block.len() / self.header.element.size(), count, name)?;
        match self.header.element {
            Element::Bool => out.extend(block.iter().map(|&byte| f32::from(u8::from(byte != 0)))),
            Element::Signed(1) => out.extend(block.iter().map(|&byte| f32::from(byte as i8))),
            Element::Signed(2) => numbers(block, is_big, out, |b| i16::from_le_bytes(b).into()),
            Element::Signed(4) => numbers(block, is_big, out, |b| i32::from_le_bytes(b) as f32),
            Element::Signed(_) => numbers(block, is_big, out, |b| i64::from_le_bytes(b) as f32),
            Element::Unsigned(2) => numbers(block, is_big, out, |b| u16::from_le_bytes(b).into()),
            Element::Unsigned(4) => numbers(block, is_big, out, |b| u32::from_le_bytes(b) as f32),
            Element::Unsigned(_) => numbers(block, is_big, out, |b| u64::from_le_bytes(b) as f32),
            Element::Float(2) => numbers(block, is_big, out, half),
            Element::Float(4) => numbers(block, is_big, out, f32::from_le_bytes),
            _ => {
                let start = out.len();
                numbers(block, is_big, out, |b| f64::from_le_bytes(b) as f32);
                let infinite = out[start..].iter().enumerate().filter(|(_, x)| x.is_infinite());
                for (i, _) in infinite {
                    let mut bytes = [0; 8];
                    bytes.copy_from_slice(&block[8 * i..8 * i + 8]);
                    let value = f64::from_le_bytes(ordered(bytes, is_big));
                    if value.is_finite() {
                        let problem = format!(
                            "{value:e} at {} is too large; expected a number below 3.4e38",
                            self.position(first + i)
                        );
                        return Err(Error::invalid(name, problem));
                    }
                }
            }
        }
        Ok(())
    }

    fn push_text(&mut self, bytes: &[u8], at: usize) -> Result<()> {
        let found = match self.header.element {
            Element::Unicode(_) => characters(bytes, self.header.is_big_endian),
            _ => {
                let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                std::str::from_utf8(&bytes[..end]).ok().map(str::to_owned)
            }
        };
        let Some(text) = found else {
            let position = self.position(at);
            let problem =
                format!("the text at {position} is not Unicode; expected UTF-8, or `str`");
            return Err(Error::invalid(self.name, problem));
        };
        let length = text.len();
        let (code, is_new) = self.levels.insert_full(text);
        if is_new {
            self.level_bytes += 64 + length;
            require_bytes(self.level_bytes as u64, self.name, SMALLER)?;
        }
        self.codes.push(code as u32);
        Ok(())
    }

    /// The indices of a value by its position in the stream.
    fn position(&self, at: usize) -> String {
        let shape = &self.header.shape;
        let mut rest = at;
        let mut indices = vec![0; shape.len()];
        let mut place = |k: usize| {
            indices[k] = rest % shape[k].max(1);
            rest /= shape[k].max(1);
        };
        match self.header.is_fortran {
            true => (0..shape.len()).for_each(&mut place),
            false => (0..shape.len()).rev().for_each(&mut place),
        }
        format!("{indices:?}")
    }

    fn finish(self) -> Values {
        match self.header.element {
            Element::Unsigned(1) => Values::U8(self.bytes),
            Element::Bytes(_) | Element::Unicode(_) => {
                Values::Text { codes: self.codes, levels: self.levels.into_iter().collect() }
            }
            _ => Values::F32(self.numbers),
        }
    }
}

/// The bytes of a number, the least significant one first.
fn ordered<const N: usize>(mut bytes: [u8; N], is_big: bool) -> [u8; N] {
    if is_big {
        bytes.reverse();
    }
    bytes
}

fn numbers<const N: usize>(
    block: &[u8],
    is_big: bool,
    out: &mut Vec<f32>,
    number: impl Fn([u8; N]) -> f32,
) {
    let (values, _) = block.as_chunks::<N>();
    match is_big {
        false => out.extend(values.iter().map(|&bytes| number(bytes))),
        true => out.extend(values.iter().map(|&bytes| number(ordered(bytes, true)))),
    }
}

/// A number of 16 bits: 1 of sign, 5 of exponent, 10 of fraction.
pub fn half(bytes: [u8; 2]) -> f32 {
    let bits = u16::from_le_bytes(bytes);
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let magnitude = match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// Characters of four bytes each, without the zeros after them. `None` if one is no character.
fn characters(bytes: &[u8], is_big: bool) -> Option<String> {
    let (codes, _) = bytes.as_chunks::<4>();
    let end = codes.iter().rposition(|&code| code != [0; 4]).map_or(0, |last| last + 1);
    let code = |&code: &[u8; 4]| char::from_u32(u32::from_le_bytes(ordered(code, is_big)));
    codes[..end].iter().map(code).collect()
}

/// Makes room for more of at most `limit` values; memory doubles as it fills.
fn grow<T>(values: &mut Vec<T>, additional: usize, limit: usize, name: &str) -> Result<()> {
    let needed = values.len() + additional;
    if needed <= values.capacity() {
        return Ok(());
    }
    let capacity = needed.max(limit.min(2 * values.len()));
    let needed_bytes = (capacity * size_of::<T>()) as u64;
    let refused = |_| Error::Memory { what: name.to_owned(), needed_bytes, remedy: SMALLER };
    try_reserve(values, capacity - values.len()).map_err(refused)
}
