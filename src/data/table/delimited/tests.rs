//! What files of text are read as.

use super::*;
use crate::data::table::{Kind, MISSING};
use crate::rng::{Purpose, Rng};

fn read(text: &[u8]) -> Result<ReadTable> {
    read_csv_bytes("t.csv", text, &ReadOptions::default())
}

fn table(text: &str) -> Table {
    read(text.as_bytes()).unwrap().table
}

fn message(text: &[u8]) -> String {
    read(text).unwrap_err().to_string()
}

fn names(table: &Table) -> Vec<&str> {
    table.columns().iter().map(|column| &column.name[..]).collect()
}

fn texts(table: &Table, column: usize) -> Vec<Option<String>> {
    let Kind::Text(levels) = &table.columns()[column].kind else { panic!("no texts") };
    let text = |code: u32| (code != MISSING).then(|| levels[code as usize].clone());
    table.codes(column).map(text).collect()
}

#[test]
fn delimiters_headers_and_types_are_detected() {
    for delimiter in [",", ";", "\t", "|"] {
        for end in ["\n", "\r\n"] {
            for bom in ["", "\u{feff}"] {
                let lines =
                    ["name,x,y", "\"a, b\",1, 2.5", "c,?,-1e3", "\"say \"\"hi\"\"\",3,NA", ""];
                let text = lines.join(end).replace(',', delimiter);
                let table = table(&format!("{bom}{text}"));
                assert_eq!(names(&table), ["name", "x", "y"]);
                let first = format!("a{delimiter} b");
                let expected = [Some(first), Some("c".into()), Some("say \"hi\"".into())];
                assert_eq!(texts(&table, 0), expected, "{delimiter:?} {end:?}");
                let x: Vec<f32> = table.numbers(1).collect();
                assert!(x[0] == 1.0 && x[1].is_nan() && x[2] == 3.0);
                assert_eq!(table.numbers(2).nth(1), Some(-1000.0));
            }
        }
    }
}

#[test]
fn a_header_is_optional() {
    let read_table = read(b"1,a\n2,b\n3,a").unwrap();
    assert!(!read_table.has_header);
    assert_eq!(
        (names(&read_table.table), read_table.table.n_rows()),
        (vec!["column_1", "column_2"], 3)
    );
    assert!(read_table.notices[0].contains("has no header"), "{:?}", read_table.notices);
    // texts alone: the first line is one of the rows if its values occur again
    assert!(!read(b"a,x\nb,y\na,y\n").unwrap().has_header);
    assert!(read(b"colour,shape\nred,round\nblue,round\n").unwrap().has_header);
    let pandas = read(b",x\n0,5\n1,6\n").unwrap();
    assert_eq!(names(&pandas.table), ["column_1", "x"]);
    assert!(pandas.notices[0].contains("has no name"));
    assert_eq!(table("x\n1\n\n3\n").n_rows(), 2, "empty lines are nothing");
    assert_eq!(table("x,y\n\n1,2\n\n\n3,4\n").n_rows(), 2);
    // names may be numbers, if one stands above a column of numbers and is none
    assert!(read(b"label,0,1\n5,2,3\n").unwrap().has_header);
    assert!(!read(b"5.1,3.5,setosa\n4.9,,virginica\n").unwrap().has_header);
    let spaces = table(" a  b\n 1  2 \n3\t4\n");
    assert_eq!((names(&spaces), spaces.n_rows()), (vec!["a", "b"], 2));
}

#[test]
fn a_column_is_of_texts_if_its_last_cell_is_one() {
    let mut text = "id,x\n".to_owned();
    (0..50_000).for_each(|i| text += &format!("{i},{i}\n"));
    text += "last,1\n";
    let table = table(&text);
    assert_eq!(table.n_rows(), 50_001);
    let ids = texts(&table, 0);
    assert_eq!((ids[7].as_deref(), ids[50_000].as_deref()), (Some("7"), Some("last")));
    assert_eq!(table.columns()[1].kind, Kind::Number);
    let options = ReadOptions { text: vec!["x".into()], ..ReadOptions::default() };
    let read = read_csv_bytes("t", b"x,y\n01,2\n1,3\n", &options).unwrap().table;
    assert_eq!(texts(&read, 0), [Some("01".to_owned()), Some("1".to_owned())]);
}

#[test]
fn what_is_malformed_is_located() {
    for (text, expected) in [
        (&b""[..], "no lines"),
        (b"\n \n", "no lines"),
        (b"a,b\n", "no rows below the header"),
        (b"a,b\n1,2\n3\n", "line 3 has 1 cells; expected 2"),
        (b"a,b\n1,2\n3,4,5\n", "line 3 has 3 cells; expected 2"),
        (b"a,b,a\n1,2,3\n", "columns 1 and 3 are both named `a`"),
        (b"a,,b\n1,2,3\n", "column 2 has no name"),
        (b"a,b\n1,2\n\xff,4\n", "line 3, `a`: a byte that is not UTF-8"),
        (b"a,b\n1,2\n1e39,4\n", "line 3, `a`: 1e39 is too large"),
        (b"a,b\n1,\"2\"x\n", "line 2: text after a closing quote"),
        (b"a,b\n1,\0\n", "line 2, `b`: a NUL byte"),
        (b"a,\xff\n1,2\n", "line 1, column 2: a byte that is not UTF-8"),
        (b"PK\x03\x04", "a ZIP archive or a spreadsheet"),
        (b"\xff\xfea\x00", "UTF-16"),
    ] {
        let found = message(text);
        assert!(found.contains(expected), "{expected}: {found}");
    }
    let mut open = b"a,b\n1,\"2\n".to_vec();
    (0..500).for_each(|_| open.extend(b"3,4\n"));
    let found = message(&open);
    assert!(found.contains("line 2: a quote is not closed"), "{found}");
    let found = message(b"a,b\n1,\"2\n3,4\n5\",6,7\n");
    assert!(
        found.contains("line 2 has 4 cells; expected 2; is a quote not closed there?"),
        "{found}"
    );
    let directory = tempfile::tempdir().unwrap();
    let error = read_csv(directory.path(), &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("found a directory"), "{error}");
}

#[test]
fn compressed_files_are_read() {
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write as _;
    let text = b"x,c\n1,a\n2,b\n";
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text).unwrap();
    let zstd =
        ruzstd::encoding::compress_to_vec(&text[..], ruzstd::encoding::CompressionLevel::Fastest);
    let plain = read(text).unwrap().table;
    for compressed in [gzip.finish().unwrap(), zstd] {
        assert_eq!(read(&compressed).unwrap().table, plain);
        assert!(read(&compressed[..compressed.len() - 3]).is_err(), "cut");
    }
}

/// A table of random numbers and texts, written in a random style, is read back.
#[test]
fn what_is_written_is_read() {
    let words = ["plain", "with, comma", "a \"quote\"", "two\nlines", "é; |", "x\ty", "-", "1.2.3"];
    for seed in 0..60 {
        let mut rng = Rng::new(seed, Purpose::Init, 0);
        let (columns, rows) = (2 + rng.below(5) as usize, 1 + rng.below(40) as usize);
        let is_text: Vec<bool> = (0..columns).map(|_| rng.below(2) == 0).collect();
        let delimiter = [",", ";", "\t", "|"][rng.below(4) as usize];
        let end = ["\n", "\r\n"][rng.below(2) as usize];
        let header: Vec<String> = (0..columns).map(|column| format!("n{column}")).collect();
        let mut text = header.join(delimiter);
        let mut cells: Vec<Vec<Option<String>>> = vec![Vec::new(); columns];
        for _ in 0..rows {
            text += end;
            for (column, cells) in cells.iter_mut().enumerate() {
                let missing = rng.below(6) == 0;
                let value = match is_text[column] {
                    true => words[rng.below(8) as usize].to_owned(),
                    false => (rng.symmetric() * 1e3).to_string(),
                };
                if column > 0 {
                    text += delimiter;
                }
                match missing {
                    true => text += ["", "NA", "?", " "][rng.below(4) as usize],
                    false => text += &format!("\"{}\"", value.replace('"', "\"\"")),
                }
                cells.push((!missing).then_some(value));
            }
        }
        let table = table(&text);
        assert_eq!((table.n_rows(), names(&table).len()), (rows, columns), "{seed}: {text}");
        for (column, expected) in cells.iter().enumerate() {
            match &table.columns()[column].kind {
                Kind::Text(_) => assert_eq!(&texts(&table, column), expected, "{seed}"),
                Kind::Number => {
                    for (found, expected) in table.numbers(column).zip(expected) {
                        let expected = expected.as_ref().map(|text| text.parse::<f32>().unwrap());
                        assert_eq!((!found.is_nan()).then_some(found), expected, "{seed}");
                    }
                }
            }
        }
    }
}
