//! Arrays side by side as the columns of a table.

use std::ops::Range;

use super::{NpyArray, Values};
use crate::data::Features;
use crate::data::table::{Chunk, Column, Kind, MISSING, Table};
use crate::error::Result;
use crate::memory::require_bytes;

const SMALLER: &str = "expected less data";

/// The memory of a chunk returns to the system when it is freed.
const CHUNK_BYTES: usize = 1 << 26;

/// A table with the columns of `x`, then of `y`.
pub fn table(name: &str, x: NpyArray, y: Option<NpyArray>) -> Result<Table> {
    let n_rows = x.n_rows();
    let mut columns = Vec::new();
    let mut numbers: Vec<(Values, usize)> = Vec::new();
    let mut texts: Vec<(Vec<u32>, usize)> = Vec::new();
    for (array, letter) in [Some(x), y].into_iter().flatten().zip(["x", "y"]) {
        let width = array.width();
        let kind = match array.values {
            Values::Text { codes, levels } => {
                let (codes, levels) = without_empty(codes, levels);
                // each column has the levels
                let bytes: usize = levels.iter().map(|level| 64 + level.len()).sum();
                require_bytes((bytes as u64).saturating_mul(width as u64), name, SMALLER)?;
                texts.push((codes, width));
                Kind::Text(levels)
            }
            values => {
                numbers.push((values, width));
                Kind::Number
            }
        };
        columns.extend((0..width).map(|column| {
            let is_target = letter == "y" && width == 1;
            let name = if is_target { "y".to_owned() } else { format!("{letter}{column}") };
            Column { name, kind: kind.clone() }
        }));
    }
    let is_bytes =
        !numbers.is_empty() && numbers.iter().all(|(values, _)| matches!(values, Values::U8(_)));
    let per_value = if is_bytes { 1 } else { 4 };
    let values = columns.len() as u64 * n_rows as u64;
    require_bytes(values.saturating_mul(per_value), name, SMALLER)?;
    let rows_per_chunk = (CHUNK_BYTES / 4 / columns.len()).max(1);
    let mut chunks = Vec::new();
    for first in (0..n_rows).step_by(rows_per_chunk) {
        let rows = first..n_rows.min(first + rows_per_chunk);
        let n_rows = rows.len();
        let codes =
            interleaved(&rows, &texts, |codes, range, out| out.extend_from_slice(&codes[range]));
        let numbers = match is_bytes {
            true => Features::U8(interleaved(&rows, &numbers, |values, range, out| {
                if let Values::U8(values) = values {
                    out.extend_from_slice(&values[range]);
                }
            })),
            false => {
                Features::F32(interleaved(&rows, &numbers, |values, range, out| match values {
                    Values::U8(values) => out.extend(values[range].iter().copied().map(f32::from)),
                    Values::F32(values) => out.extend_from_slice(&values[range]),
                    Values::Text { .. } => {}
                }))
            }
        };
        chunks.push(Chunk { numbers, codes, n_rows });
    }
    Table::new(name, columns, chunks)
}

/// Rows of several arrays side by side. `extend` appends a range of one of them.
fn interleaved<S, T>(
    rows: &Range<usize>,
    arrays: &[(S, usize)],
    extend: impl Fn(&S, Range<usize>, &mut Vec<T>),
) -> Vec<T> {
    let width: usize = arrays.iter().map(|(_, width)| width).sum();
    let mut out = Vec::with_capacity(rows.len() * width);
    for row in rows.clone() {
        for (array, width) in arrays {
            extend(array, row * width..(row + 1) * width, &mut out);
        }
    }
    out
}

/// Makes the empty text a missing one.
fn without_empty(mut codes: Vec<u32>, mut levels: Vec<String>) -> (Vec<u32>, Vec<String>) {
    if let Some(empty) = levels.iter().position(String::is_empty) {
        levels.remove(empty);
        let empty = empty as u32;
        for code in &mut codes {
            *code = match *code {
                code if code == empty => MISSING,
                code if code > empty => code - 1,
                code => code,
            };
        }
    }
    (codes, levels)
}
