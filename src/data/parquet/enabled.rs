//! With the cargo feature `parquet`: the crate of that name decodes the columns, side by side, some rows at a time.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use foldhash::fast::RandomState;
use indexmap::IndexSet;
use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader as _, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use crate::data::Features;
use crate::data::table::{Chunk, Column, Kind, MISSING, MOST_COLUMNS, Table};
use crate::error::{Error, Result};
use crate::memory::require_bytes;

const SMALLER_FILE: &str = "use a file with fewer rows or columns";

/// The memory of a chunk returns to the system when it is freed.
const CHUNK_BYTES: usize = 1 << 26;

/// Reads a file.
///
/// # Errors
/// If the file is damaged, has no rows, a column that is not read, two columns of the same name or a number that is too large for 32
/// bits, or does not fit into memory; the message names the column.
pub fn read_parquet(path: &Path) -> Result<Table> {
    if path.is_dir() {
        return Err(Error::invalid_file(path, "expected a Parquet file, found a directory"));
    }
    let file = File::open(path).map_err(Error::io("open", path))?;
    guarded(&path.display().to_string(), file)
}

/// Reads the bytes of a file; otherwise as [`read_parquet`]. Messages call it `name`.
///
/// # Errors
/// As [`read_parquet`].
pub fn read_parquet_bytes(name: &str, bytes: Vec<u8>) -> Result<Table> {
    guarded(name, bytes::Bytes::from(bytes))
}

/// [`read`], also if the decoder panics on a damaged file, which it does not promise not to.
fn guarded(name: &str, source: impl ChunkReader + 'static) -> Result<Table> {
    catch_unwind(AssertUnwindSafe(|| read(name, source)))
        .unwrap_or_else(|_| Err(Error::invalid(name, "damaged: the decoder gave up")))
}

fn read(name: &str, source: impl ChunkReader + 'static) -> Result<Table> {
    let failed = |error: ParquetError| Error::invalid(name, format!("not readable: {error}"));
    let reader = SerializedFileReader::new(source).map_err(failed)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    if schema.num_columns() == 0 || schema.num_columns() > MOST_COLUMNS {
        let problem = format!("{} columns; expected 1 to {MOST_COLUMNS}", schema.num_columns());
        return Err(Error::invalid(name, problem));
    }
    let mut fields = Vec::new();
    for descriptor in schema.columns() {
        fields.push(Field::of(descriptor).map_err(|problem| Error::invalid(name, problem))?);
    }
    let n_texts = fields.iter().filter(|field| field.is_text()).count();
    let n_numbers = fields.len() - n_texts;
    let groups = reader.metadata().row_groups();
    let rows = groups.iter().map(|group| usize::try_from(group.num_rows()).unwrap_or(0));
    let total = rows.clone().fold(0usize, usize::saturating_add);
    if total == 0 {
        return Err(Error::invalid(name, "there are no rows; expected at least one"));
    }
    let values = (total as u64).saturating_mul(fields.len() as u64);
    require_bytes(values.saturating_mul(4), name, SMALLER_FILE)?;
    let rows_per_chunk = (CHUNK_BYTES / 4 / fields.len()).max(1);
    let mut chunks = Vec::new();
    let mut first_row = 0;
    for (group, n_rows) in rows.enumerate() {
        let group = reader.get_row_group(group).map_err(failed)?;
        let columns = 0..fields.len();
        let columns: Result<Vec<ColumnReader>, _> =
            columns.map(|column| group.get_column_reader(column)).collect();
        let mut columns = columns.map_err(failed)?;
        for first in (0..n_rows).step_by(rows_per_chunk) {
            let n_rows = rows_per_chunk.min(n_rows - first);
            let mut numbers = vec![f32::NAN; n_rows * n_numbers];
            let mut codes = vec![MISSING; n_rows * n_texts];
            let (mut number, mut text) = (0, 0);
            for (field, column) in fields.iter_mut().zip(&mut columns) {
                let place = if field.is_text() { &mut text } else { &mut number };
                let part = Part { n_rows, numbers: &mut numbers, codes: &mut codes, place: *place };
                *place += 1;
                let read = field.read(column, part, (n_numbers, n_texts));
                read.map_err(|problem| {
                    let row = problem.row.map_or_else(String::new, |row| {
                        format!(" of row {}", first_row + first + row + 1)
                    });
                    Error::invalid(name, format!("column `{}`{row}: {}", field.name, problem.text))
                })?;
            }
            let bytes: usize = fields.iter().map(|field| field.level_bytes).sum();
            require_bytes(bytes as u64, name, SMALLER_FILE)?;
            chunks.push(Chunk { numbers: Features::F32(numbers), codes, n_rows });
        }
        first_row += n_rows;
    }
    let columns = fields.into_iter().map(|field| {
        let kind = match field.is_text() {
            false => Kind::Number,
            true => Kind::Text(field.levels.into_iter().collect()),
        };
        Column { name: field.name, kind }
    });
    Table::new(name, columns.collect(), chunks)
}

/// What the values of a column mean.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Meaning {
    /// Numbers, to be divided.
    Number { divisor: f64, is_unsigned: bool },
    /// Numbers of 16 bits.
    Half,
    /// Truth values.
    Bool,
    /// UTF-8.
    Text,
}

/// A column, and the texts that have been found in it.
struct Field {
    name: String,
    meaning: Meaning,
    /// Whether values may be missing.
    is_optional: bool,
    levels: IndexSet<String, RandomState>,
    level_bytes: usize,
}

/// Some rows of a table, and the place of a column within a row.
struct Part<'p> {
    n_rows: usize,
    numbers: &'p mut [f32],
    codes: &'p mut [u32],
    place: usize,
}

/// Why a column cannot be read.
struct Problem {
    row: Option<usize>,
    text: String,
}

impl From<ParquetError> for Problem {
    fn from(error: ParquetError) -> Self {
        Self { row: None, text: format!("damaged: {error}") }
    }
}

impl Field {
    fn of(descriptor: &ColumnDescriptor) -> Result<Self, String> {
        let name = descriptor.path().parts().join(".");
        let refused = |what: &str| {
            format!("column `{name}` {what}, which is not read; expected numbers, texts or dates")
        };
        if descriptor.path().parts().len() > 1 || descriptor.max_rep_level() > 0 {
            return Err(refused("holds columns or lists"));
        }
        let logical = descriptor.logical_type_ref();
        let converted = descriptor.converted_type();
        let divided = |divisor| Meaning::Number { divisor, is_unsigned: false };
        let is_decimal =
            matches!(logical, Some(LogicalType::Decimal(_))) || converted == ConvertedType::DECIMAL;
        let meaning = match descriptor.physical_type() {
            Type::BOOLEAN => Meaning::Bool,
            Type::FLOAT | Type::DOUBLE | Type::INT96 => divided(1.0),
            _ if is_decimal => divided(10f64.powi(descriptor.type_scale().clamp(0, 300))),
            Type::INT32 | Type::INT64 => {
                let unsigned = match logical {
                    Some(LogicalType::Integer(integer)) => !integer.is_signed,
                    _ => matches!(converted, ConvertedType::UINT_32 | ConvertedType::UINT_64),
                };
                Meaning::Number { divisor: per_second(logical, converted), is_unsigned: unsigned }
            }
            Type::FIXED_LEN_BYTE_ARRAY if matches!(logical, Some(LogicalType::Float16)) => {
                Meaning::Half
            }
            Type::FIXED_LEN_BYTE_ARRAY => return Err(refused("holds raw bytes")),
            Type::BYTE_ARRAY => Meaning::Text,
        };
        let is_optional = descriptor.max_def_level() > 0;
        Ok(Self { name, meaning, is_optional, levels: IndexSet::default(), level_bytes: 0 })
    }

    fn is_text(&self) -> bool {
        matches!(self.meaning, Meaning::Text | Meaning::Bool)
    }

    /// Reads the next rows of the column.
    fn read(
        &mut self,
        column: &mut ColumnReader,
        part: Part<'_>,
        (n_numbers, n_texts): (usize, usize),
    ) -> Result<(), Problem> {
        let Part { n_rows, numbers, codes, place } = part;
        let (divisor, is_unsigned) = match self.meaning {
            Meaning::Number { divisor, is_unsigned } => (divisor, is_unsigned),
            _ => (1.0, false),
        };
        let is_half = self.meaning == Meaning::Half;
        let mut put_number = |row: usize, value: f64| {
            let value = value / divisor;
            numbers[row * n_numbers + place] = value as f32;
            match value.is_finite() && (value as f32).is_infinite() {
                true => Err(format!("{value:e} is too large; expected a number below 3.4e38")),
                false => Ok(()),
            }
        };
        let is_text = self.is_text();
        let is_optional = self.is_optional;
        let mut put_text = |row: usize, text: &str| {
            let code = match self.levels.get_index_of(text) {
                Some(code) => code,
                None => {
                    self.level_bytes += 64 + text.len();
                    self.levels.insert_full(text.to_owned()).0
                }
            };
            codes[row * n_texts + place] = code as u32;
            Ok(())
        };
        match column {
            ColumnReader::BoolColumnReader(column) => {
                each(column, n_rows, is_optional, |row, value| {
                    put_text(row, if *value { "true" } else { "false" })
                })
            }
            ColumnReader::Int32ColumnReader(column) => {
                each(column, n_rows, is_optional, |row, &value| {
                    let value = if is_unsigned { f64::from(value as u32) } else { value.into() };
                    put_number(row, value)
                })
            }
            ColumnReader::Int64ColumnReader(column) => {
                each(column, n_rows, is_optional, |row, &value| {
                    put_number(row, if is_unsigned { value as u64 as f64 } else { value as f64 })
                })
            }
            ColumnReader::Int96ColumnReader(column) => {
                each(column, n_rows, is_optional, |row, value| {
                    put_number(row, value.to_seconds() as f64)
                })
            }
            ColumnReader::FloatColumnReader(column) => {
                each(column, n_rows, is_optional, |row, &value| put_number(row, value.into()))
            }
            ColumnReader::DoubleColumnReader(column) => {
                each(column, n_rows, is_optional, |row, &value| put_number(row, value))
            }
            ColumnReader::ByteArrayColumnReader(column) => {
                each(column, n_rows, is_optional, |row, value| match is_text {
                    true => match std::str::from_utf8(value.data()) {
                        Ok(text) => put_text(row, text),
                        Err(_) => Err("bytes that are no text; expected UTF-8".to_owned()),
                    },
                    false => put_number(row, decimal(value.data())),
                })
            }
            ColumnReader::FixedLenByteArrayColumnReader(column) => {
                each(column, n_rows, is_optional, |row, value| {
                    let bytes = value.data();
                    match (is_half, bytes) {
                        (true, &[low, high]) => {
                            put_number(row, crate::data::npz::half([low, high]).into())
                        }
                        _ => put_number(row, decimal(bytes)),
                    }
                })
            }
        }
    }
}

/// How many units of a time or timestamp make a second; 1 for anything else.
fn per_second(logical: Option<&LogicalType>, converted: ConvertedType) -> f64 {
    match (logical, converted) {
        (Some(LogicalType::Time(time) | LogicalType::Timestamp(time)), _) => match time.unit {
            TimeUnit::MILLIS => 1e3,
            TimeUnit::MICROS => 1e6,
            TimeUnit::NANOS => 1e9,
        },
        (_, ConvertedType::TIME_MILLIS | ConvertedType::TIMESTAMP_MILLIS) => 1e3,
        (_, ConvertedType::TIME_MICROS | ConvertedType::TIMESTAMP_MICROS) => 1e6,
        _ => 1.0,
    }
}

/// A whole number of any length, the most significant byte first.
fn decimal(bytes: &[u8]) -> f64 {
    let Some(&first) = bytes.first() else { return 0.0 };
    let start = if first >= 128 { -1.0 } else { 0.0 };
    bytes.iter().fold(start, |value, &byte| value * 256.0 + f64::from(byte))
}

/// Reads some rows of a column and gives those that are not missing to `put`.
fn each<T: DataType>(
    column: &mut ColumnReaderImpl<T>,
    n_rows: usize,
    is_optional: bool,
    mut put: impl FnMut(usize, &T::T) -> Result<(), String>,
) -> Result<(), Problem> {
    const AT_ONCE: usize = 1 << 14;
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    let mut done = 0;
    while done < n_rows {
        levels.clear();
        values.clear();
        let wanted = AT_ONCE.min(n_rows - done);
        let (rows, _, _) = column.read_records(wanted, Some(&mut levels), None, &mut values)?;
        let is_short = rows == 0 || is_optional && levels.len() != rows;
        let present = |row: usize| !is_optional || levels[row] > 0;
        if is_short || (0..rows).filter(|&row| present(row)).count() != values.len() {
            let text = format!("{} rows, expected {n_rows}; is the file damaged?", done + rows);
            return Err(Problem { row: None, text });
        }
        let rows_present = (0..rows).filter(|&row| present(row));
        for (row, value) in rows_present.zip(&values) {
            let row = done + row;
            put(row, value).map_err(|text| Problem { row: Some(row), text })?;
        }
        done += rows;
    }
    Ok(())
}
