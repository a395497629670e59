//! Arrays as NumPy writes them, and files that nobody should write.

use std::io::{Cursor, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;
use crate::data::Features;
use crate::data::table::{Kind, MISSING};

/// A `.npy` file.
pub fn npy(descr: &str, is_fortran: bool, shape: &str, values: &[u8]) -> Vec<u8> {
    let order = if is_fortran { "True" } else { "False" };
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), values].concat()
}

/// An `.npz` file.
fn npz(entries: &[(&str, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let options = SimpleFileOptions::default().compression_method(method).large_file(true);
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn stored(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    npz(entries, CompressionMethod::Stored)
}

fn bytes_of<const N: usize, T: Copy>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| bytes(value)).collect()
}

fn read(bytes: &[u8]) -> NpyArray {
    read_npy_bytes("a.npy", bytes).unwrap()
}

fn error(bytes: &[u8]) -> String {
    read_npy_bytes("a.npy", bytes).unwrap_err().to_string()
}

#[test]
fn every_type_of_numbers_is_read_in_both_byte_orders() {
    let expected = Values::F32(vec![1.0, 2.0, 100.0]);
    let check = |descr: &str, little: Vec<u8>| {
        let size = little.len() / 3;
        let big: Vec<u8> = little.chunks(size).flat_map(|b| b.iter().rev().copied()).collect();
        for (order, bytes) in [("<", &little), (">", &big)] {
            let array = read(&npy(&format!("{order}{descr}"), false, "(3,)", bytes));
            assert_eq!((array.shape, array.values), (vec![3], expected.clone()), "{order}{descr}");
        }
    };
    check("i1", vec![1, 2, 100]);
    check("i2", bytes_of(&[1i16, 2, 100], i16::to_le_bytes));
    check("i4", bytes_of(&[1i32, 2, 100], i32::to_le_bytes));
    check("i8", bytes_of(&[1i64, 2, 100], i64::to_le_bytes));
    check("u2", bytes_of(&[1u16, 2, 100], u16::to_le_bytes));
    check("u4", bytes_of(&[1u32, 2, 100], u32::to_le_bytes));
    check("u8", bytes_of(&[1u64, 2, 100], u64::to_le_bytes));
    check("f2", bytes_of(&[0x3c00u16, 0x4000, 0x5640], u16::to_le_bytes));
    check("f4", bytes_of(&[1f32, 2.0, 100.0], f32::to_le_bytes));
    check("f8", bytes_of(&[1f64, 2.0, 100.0], f64::to_le_bytes));
    assert_eq!(read(&npy("|u1", false, "(3,)", &[1, 2, 200])).values, Values::U8(vec![1, 2, 200]));
    let flags = read(&npy("|b1", false, "(3,)", &[0, 1, 7])).values;
    assert_eq!(flags, Values::F32(vec![0.0, 1.0, 1.0]));
    let signed = read(&npy("|i1", false, "(2,)", &[255, 128])).values;
    assert_eq!(signed, Values::F32(vec![-1.0, -128.0]));
}

#[test]
fn numbers_of_16_bits_are_those_of_the_standard() {
    let half = |bits: u16| match read(&npy("<f2", false, "(1,)", &bits.to_le_bytes())).values {
        Values::F32(values) => values[0],
        other => panic!("{other:?}"),
    };
    for (bits, value) in [
        (0x0000, 0.0),
        (0x8000, -0.0),
        (0x0001, 5.960_464_5e-8),
        (0x03ff, 6.097_555e-5),
        (0x0400, 6.103_515_6e-5),
        (0x3555, 0.333_251_95),
        (0xc000, -2.0),
        (0x7bff, 65504.0),
        (0x7c00, f32::INFINITY),
        (0xfc00, f32::NEG_INFINITY),
    ] {
        assert_eq!(half(bits).to_bits(), f32::to_bits(value), "{bits:#06x}");
    }
    assert!(half(0x7e00).is_nan());
}

#[test]
fn memory_in_the_order_of_fortran_becomes_row_major() {
    // numpy.arange(6).reshape(2, 3) is 0 3 1 4 2 5 in memory
    let bytes = [0, 3, 1, 4, 2, 5];
    let array = read(&npy("|u1", true, "(2, 3)", &bytes));
    assert_eq!((array.shape, array.values), (vec![2, 3], Values::U8((0..6).collect())));
    let bytes: Vec<u8> = (0..24).map(|i| (i % 2) * 12 + (i / 2 % 3) * 4 + i / 6).collect();
    let array = read(&npy("|u1", true, "(2, 3, 4)", &bytes));
    assert_eq!(array.values, Values::U8((0..24).collect()));
    let texts = read(&npy("|S1", true, "(2, 2)", b"abba"));
    let expected = Values::Text { codes: vec![0, 1, 1, 0], levels: vec!["a".into(), "b".into()] };
    assert_eq!(texts.values, expected);
}

#[test]
fn texts_of_both_types_are_read() {
    let characters =
        |text: &str| -> Vec<u8> { text.chars().flat_map(|c| (c as u32).to_be_bytes()).collect() };
    let array = read(&npy(">U2", false, "(3,)", &characters("é\0ab\u{1f600}\0")));
    let levels = ["é", "ab", "😀"].map(str::to_owned).to_vec();
    assert_eq!(array.values, Values::Text { codes: vec![0, 1, 2], levels });
    let array = read(&npy("|S3", false, "(3,)", b"catdo\0cat"));
    let levels = ["cat", "do"].map(str::to_owned).to_vec();
    assert_eq!(array.values, Values::Text { codes: vec![0, 1, 0], levels });
    let bad = npy("|S1", false, "(2, 1)", b"a\xff");
    assert!(error(&bad).contains("the text at [1, 0] is not Unicode"), "{}", error(&bad));
    let bad = npy("<U1", false, "(1,)", &[0, 0xd8, 0, 0]);
    assert!(error(&bad).contains("the text at [0] is not Unicode"));
}

#[test]
fn numbers_that_are_too_large_are_named() {
    let bytes = bytes_of(&[0.0, f64::INFINITY, f64::NAN, 1e300], f64::to_le_bytes);
    let message = error(&npy("<f8", false, "(2, 2)", &bytes));
    assert_eq!(message, "a.npy: 1e300 at [1, 1] is too large; expected a number below 3.4e38");
    let bytes = bytes_of(&[0.0, -1e39, 0.0, 0.0, 0.0, 0.0], f64::to_le_bytes);
    let message = error(&npy("<f8", true, "(2, 3)", &bytes));
    assert!(message.contains("-1e39 at [1, 0]"), "{message}");
}

#[test]
fn damaged_files_are_errors() {
    let good = npy("<f4", false, "(2, 3)", &[0; 24]);
    read(&good);
    for cut in 0..good.len() {
        let message = error(&good[..cut]);
        assert!(message.contains("truncated"), "cut at {cut}: {message}");
    }
    assert!(error(&[&good[..], b"x"].concat()).contains("and more follows"));
    assert!(error(b"PK\x03\x04and so on").contains("no array of NumPy"));
    let huge = error(&npy("<f4", false, "(4000000000, 4000000000)", &[]));
    assert!(huge.contains("the shape (4000000000, 4000000000) overflows"), "{huge}");
    let none = error(&npy("<f8", false, "(0, 4000000000, 8000000000)", &[]));
    assert!(none.contains("the shape (0, 4000000000, 8000000000) overflows"), "{none}");
    let large = error(&npy("<f4", false, "(4000000000, 100)", &[]));
    assert!(large.contains("GB of memory"), "{large}");
    let some = error(&npy("|u1", false, "(10000000,)", &[1; 100]));
    assert!(some.contains("promises 10000000 values ((10000000,)), found 100"), "{some}");
    assert!(error(b"\x93NUMPY\x09\x00\x00\x00").contains("version 9"));
    let long = error(b"\x93NUMPY\x02\x00\xff\xff\xff\xff");
    assert!(long.contains("a header of 4294967295 bytes"), "{long}");
    let complex = error(&npy("<c8", false, "(1,)", &[0; 8]));
    assert!(complex.contains("`<c8` (complex numbers) are not read"), "{complex}");
    assert_eq!(read(&npy("<f4", false, "(0, 5)", &[])).values, Values::F32(vec![]));
    assert_eq!(read(&npy("<f4", false, "()", &[0; 4])).values, Values::F32(vec![0.0]));
}

#[test]
fn archives_are_read_stored_and_compressed_and_only_what_is_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.npz");
    let bad = npy("|O", false, "(1,)", &[]);
    let entries = [("a", npy("|u1", false, "(2,)", &[1, 2])), ("objects", bad)];
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        std::fs::write(&path, npz(&entries, method)).unwrap();
        let found = read_npz(&path, |name| name == "a").unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((&found[0].0[..], &found[0].1.values), ("a", &Values::U8(vec![1, 2])));
        let message = read_npz(&path, |_| true).unwrap_err().to_string();
        assert!(message.contains("a.npz, `objects`: values of type `|O`"), "{message}");
    }
    std::fs::write(&path, npy("|u1", false, "(2,)", &[1, 2])).unwrap();
    assert_eq!(read_npy(&path).unwrap().shape, [2]);
    assert!(read_npy(directory.path()).unwrap_err().to_string().contains("found a directory"));
}

#[test]
fn damaged_archives_are_errors() {
    let entries =
        [("X", npy("<f4", false, "(2, 1)", &[0; 8])), ("y", npy("|u1", false, "(2,)", &[0, 1]))];
    let good = stored(&entries);
    read_arrays_bytes("a.npz", &good).unwrap();
    for cut in 0..good.len() {
        assert!(read_arrays_bytes("a.npz", &good[..cut]).is_err(), "{cut}");
    }
    // the last value of X, which its checksum covers
    let place = good.windows(3).position(|bytes| bytes == b"(2,").unwrap();
    let mut changed = good.clone();
    changed[place + 1] = b'1';
    assert!(read_arrays_bytes("a.npz", &changed).is_err());
    let values = good.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let mut changed = good.clone();
    changed[values] ^= 1;
    let message = read_arrays_bytes("a.npz", &changed).unwrap_err().to_string();
    assert!(message.contains("checksum"), "{message}");
}

#[test]
fn bytes_of_three_dimensions_are_images() {
    let x = |n: usize| npy("|u1", false, &format!("({n}, 1, 2)"), &vec![n as u8; 2 * n]);
    let y = |values: &[u8]| npy("|u1", false, &format!("({}, 1)", values.len()), values);
    let entries = [
        ("x_train", x(3)),
        ("y_train", y(&[0, 1, 2])),
        ("X_Test", x(1)),
        ("Y_test", y(&[2])),
        ("x_val", x(2)),
        ("y_val", npy("<i8", false, "(2,)", &[0; 16])),
    ];
    let arrays = read_arrays_bytes("a.npz", &npz(&entries, CompressionMethod::Deflated)).unwrap();
    let labels = NpyArray { shape: vec![6], values: Values::F32(vec![0., 1., 2., 0., 0., 2.]) };
    let expected = Arrays::Images {
        pixels: vec![3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 1, 1],
        size: (1, 2),
        channels: 1,
        labels,
        counts: [3, 2, 1],
    };
    assert_eq!(arrays, expected);
    let colours = npy("|u1", false, "(2, 1, 1, 3)", &[1, 2, 3, 4, 5, 6]);
    let names = npy("|S2", false, "(2,)", b"acab");
    let file = stored(&[("train_images", colours.clone()), ("train_labels", names)]);
    match read_arrays_bytes("a.npz", &file).unwrap() {
        Arrays::Images { pixels, size, channels, labels, counts } => {
            assert_eq!((pixels, size, channels), (vec![1, 2, 3, 4, 5, 6], (1, 1), 3));
            assert_eq!((labels.n_rows(), counts), (2, [2, 0, 0]));
        }
        other => panic!("{other:?}"),
    }
    match read_inputs_bytes("a.npy", &colours).unwrap() {
        Inputs::Images { size, channels, count, .. } => {
            assert_eq!((size, channels, count), ((1, 1), 3, 2));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn other_arrays_are_tables() {
    let numbers = bytes_of(&[1f32, 2.0, 3.0, 4.0], f32::to_le_bytes);
    let x = npy("<f4", false, "(2, 1, 2)", &numbers);
    let file = stored(&[("X", x.clone()), ("y", npy("|S1", false, "(2,)", b"b\0"))]);
    let Arrays::Table { train, valid: None, test: None } = read_arrays_bytes("a", &file).unwrap()
    else {
        panic!("expected a table")
    };
    let names: Vec<&str> = train.columns().iter().map(|column| &column.name[..]).collect();
    assert_eq!((names, train.n_rows()), (vec!["x0", "x1", "y"], 2));
    assert_eq!(train.columns()[2].kind, Kind::Text(vec!["b".into()]));
    assert_eq!(train.codes(2).collect::<Vec<_>>(), [0, MISSING]);
    assert_eq!(train.numbers(1).collect::<Vec<_>>(), [2.0, 4.0]);

    let bytes = npy("|u1", false, "(2, 2)", &[1, 2, 3, 4]);
    let several = npy("<f4", false, "(2, 2)", &numbers);
    let file = stored(&[
        ("x_train", bytes.clone()),
        ("y_train", several.clone()),
        ("x_test", bytes.clone()),
        ("y_test", several),
    ]);
    let Arrays::Table { train, valid: None, test: Some(test) } =
        read_arrays_bytes("a", &file).unwrap()
    else {
        panic!("expected two tables")
    };
    assert_eq!(train.columns().last().unwrap().name, "y1");
    assert_eq!(test.numbers(3).collect::<Vec<_>>(), [2.0, 4.0]);
    let Inputs::Table(table) = read_inputs_bytes("a", &bytes).unwrap() else { panic!() };
    assert_eq!(table.chunks()[0].numbers, Features::U8(vec![1, 2, 3, 4]));
    let file = stored(&[("a", x.clone())]);
    assert!(
        matches!(read_inputs_bytes("a", &file), Ok(Inputs::Table(table)) if table.n_rows() == 2)
    );
    let file = stored(&[("other", x.clone()), ("X", bytes)]);
    let Inputs::Table(table) = read_inputs_bytes("a", &file).unwrap() else { panic!() };
    assert_eq!(table.chunks()[0].numbers.len(), 4);
    let file = stored(&[("a", x.clone()), ("b", x)]);
    let message = read_inputs_bytes("f.npz", &file).unwrap_err().to_string();
    assert_eq!(message, "f.npz: expected one array, `X` or `x_test`, found `a`, `b`");
}

#[test]
fn shapes_that_do_not_fit_are_refused_with_names_and_shapes() {
    let x = |shape: &str, count: usize| npy("<f4", false, shape, &vec![0; 4 * count]);
    let y = |n: usize| npy("|u1", false, &format!("({n},)"), &vec![0; n]);
    let error = |entries: &[(&str, Vec<u8>)]| {
        read_arrays_bytes("f", &stored(entries)).unwrap_err().to_string()
    };
    let two = || x("(2, 3)", 6);
    for (entries, expected) in [
        (
            vec![("X", two()), ("y", y(3))],
            "f, `y`: the shape is (3,); expected as many rows, since that of the inputs is (2, 3)",
        ),
        (
            vec![("X", x("(0, 3)", 0)), ("y", y(0))],
            "f, `X`: the shape is (0, 3); expected at least one row",
        ),
        (
            vec![("X", x("(4,)", 4)), ("y", y(4))],
            "f, `X`: the shape is (4,); expected rows and columns",
        ),
        (vec![("X", two())], "f: `X` without `y`"),
        (vec![("y_test", y(2)), ("X", two()), ("y", y(2))], "f: `y_test` without `x_test`"),
        (
            vec![("val_images", two()), ("X", two()), ("y", y(2))],
            "`val_images` without `val_labels`",
        ),
        (vec![("X", two()), ("x", two()), ("y", y(2))], "`X` and `x` mean the same"),
        (vec![("x_val", two()), ("x_valid", two())], "`x_val` and `x_valid` mean the same"),
        (vec![("data", two())], "found `data`"),
        (vec![], "found no arrays"),
        (
            vec![("X", two()), ("y", y(2)), ("x_test", x("(1, 2)", 2)), ("y_test", y(1))],
            "f, `x_test`: the shape is (1, 2); expected rows like those of the training part, which is (2, 3)",
        ),
        (
            vec![
                ("X", two()),
                ("y", y(2)),
                ("x_test", two()),
                ("y_test", npy("|S1", false, "(2,)", b"ab")),
            ],
            "f, `y_test`: texts; expected numbers",
        ),
    ] {
        let message = error(&entries);
        assert!(message.contains(expected), "{message}");
    }
}

/// `x_train` of `>f8` in the order of Fortran, `y_train` and `y_test` of texts, `X_test` of `<f2`, and an array of objects.
#[test]
fn a_file_that_numpy_wrote_is_read() {
    let bytes = include_bytes!("test_arrays/numpy.npz");
    let Arrays::Table { train, valid: None, test: Some(test) } =
        read_arrays_bytes("numpy.npz", bytes).unwrap()
    else {
        panic!("expected two tables")
    };
    assert_eq!(train.numbers(0).collect::<Vec<_>>(), [0.0, 0.5, 1.0]);
    assert_eq!(train.numbers(1).collect::<Vec<_>>(), [0.25, 0.75, 1.25]);
    assert_eq!(train.columns()[2].kind, Kind::Text(vec!["é".into(), "dog".into()]));
    assert_eq!(train.codes(2).collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!((test.numbers(0).next(), test.numbers(1).next()), (Some(1.5), Some(-2.0)));
}
