//! Files that the crate `parquet` writes itself.

use std::sync::Arc;

use parquet::basic::Compression;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DoubleType, FixedLenByteArray, FixedLenByteArrayType,
    Int32Type, Int64Type,
};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;
use crate::data::table::{Kind, MISSING, Table};

const SCHEMA: &str = "message rows {
    required double size;
    optional byte_array colour (UTF8);
    optional boolean good;
    optional int32 day (DATE);
    required int64 seen (TIMESTAMP_MICROS);
    required fixed_len_byte_array(3) price (DECIMAL(6, 2));
    required int32 count (UINT_32);
}";

/// Two groups of the same three rows.
fn file(compression: Compression, first: f64) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut bytes = Vec::new();
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
    let text = |text: &str| ByteArray::from(text.as_bytes().to_vec());
    for _ in 0..2 {
        let mut group = writer.next_row_group().unwrap();
        macro_rules! column {
            ($type:ty, $values:expr, $levels:expr) => {
                let mut column = group.next_column().unwrap().unwrap();
                column.typed::<$type>().write_batch($values, $levels, None).unwrap();
                column.close().unwrap();
            };
        }
        column!(DoubleType, &[first, -2.5, f64::NAN], None);
        column!(ByteArrayType, &[text("red"), text("blue")], Some(&[1, 0, 1]));
        column!(BoolType, &[true, false], Some(&[1, 1, 0]));
        column!(Int32Type, &[20000], Some(&[0, 1, 0]));
        column!(Int64Type, &[3_000_000, -1_500_000, 0], None);
        let price = |bytes: [u8; 3]| FixedLenByteArray::from(bytes.to_vec());
        let prices = [price([0, 0, 125]), price([255, 255, 255]), price([1, 0, 0])];
        column!(FixedLenByteArrayType, &prices, None);
        column!(Int32Type, &[-1, 0, 7], None);
        group.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

fn numbers(table: &Table, name: &str) -> Vec<f32> {
    table.numbers(table.position(name).unwrap()).take(3).collect()
}

#[test]
fn every_kind_of_column_is_read_however_it_is_compressed() {
    use parquet::basic::{GzipLevel, ZstdLevel};
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(GzipLevel::default()),
        Compression::LZ4_RAW,
        Compression::ZSTD(ZstdLevel::default()),
    ] {
        let table = read_parquet_bytes("f", file(compression, 1.25)).unwrap();
        assert_eq!((table.n_rows(), table.chunks().len()), (6, 2));
        let sizes = numbers(&table, "size");
        assert!(sizes[..2] == [1.25, -2.5] && sizes[2].is_nan());
        let levels = |names: &[&str]| Kind::Text(names.iter().map(|s| (*s).to_owned()).collect());
        assert_eq!(table.columns()[1].kind, levels(&["red", "blue"]));
        assert_eq!(table.codes(1).collect::<Vec<_>>(), [0, MISSING, 1, 0, MISSING, 1]);
        assert_eq!(table.columns()[2].kind, levels(&["true", "false"]));
        assert_eq!(table.codes(2).take(3).collect::<Vec<_>>(), [0, 1, MISSING]);
        let days = numbers(&table, "day");
        assert!(days[0].is_nan() && days[1] == 20000.0);
        assert_eq!(numbers(&table, "seen"), [3.0, -1.5, 0.0]);
        assert_eq!(numbers(&table, "price"), [1.25, -0.01, 655.36]);
        assert_eq!(numbers(&table, "count"), [4_294_967_295.0, 0.0, 7.0]);
    }
}

#[test]
fn what_is_not_read_is_named() {
    let large = read_parquet_bytes("f", file(Compression::SNAPPY, 1e300)).unwrap_err();
    assert!(
        large.to_string().starts_with("f: column `size` of row 1: 1e300 is too large"),
        "{large}"
    );
    for (schema, expected) in [
        ("message m { required group a { required int32 b; } }", "column `a.b` holds columns"),
        ("message m { repeated int32 b; }", "column `b` holds columns or lists"),
        ("message m { required fixed_len_byte_array(4) b; }", "column `b` holds raw bytes"),
    ] {
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut bytes = Vec::new();
        let writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
        writer.close().unwrap();
        let error = read_parquet_bytes("f", bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn damaged_files_are_errors() {
    let good = file(Compression::SNAPPY, 1.0);
    for cut in 0..good.len() {
        let error = read_parquet_bytes("f", good[..cut].to_vec()).unwrap_err().to_string();
        assert!(error.starts_with("f: "), "{error}");
    }
    for at in 0..good.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] ^= change;
            drop(read_parquet_bytes("f", bytes));
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let error = read_parquet(directory.path()).unwrap_err().to_string();
    assert!(error.contains("found a directory"), "{error}");
}

#[test]
fn a_file_that_pyarrow_wrote_is_read() {
    let bytes = include_bytes!("test_files/pyarrow.parquet").to_vec();
    let table = read_parquet_bytes("f", bytes).unwrap();
    let names: Vec<&str> = table.columns().iter().map(|column| &column.name[..]).collect();
    assert_eq!(names, ["a", "f", "h", "s", "b", "d", "t", "m", "u"]);
    let with_gap = |name: &str, gap: usize, expected: [f32; 3]| {
        for (row, (found, expected)) in numbers(&table, name).into_iter().zip(expected).enumerate()
        {
            assert!(found == expected || row == gap && found.is_nan(), "{name}, {row}: {found}");
        }
    };
    with_gap("a", 1, [1.0, 0.0, 3.0]);
    with_gap("f", 2, [1.5, 2.5, 0.0]);
    with_gap("h", 1, [1.5, 0.0, -2.0]);
    assert_eq!(table.codes(3).collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!(table.codes(4).collect::<Vec<_>>(), [0, MISSING, 1]);
    assert_eq!(numbers(&table, "d"), [2.0; 3]);
    assert_eq!(numbers(&table, "t"), [60.0; 3]);
    assert_eq!(numbers(&table, "m"), [1.25; 3]);
    assert_eq!(numbers(&table, "u"), [9_223_372_036_854_775_808.0, 1.0, 2.0]);
}
