//! Random files, read with blocks and threads of every number, and compared with the crate `csv` and the standard library.

use super::cells::{Delimiter, Value, blank_line, cell, value};
use super::*;
use crate::data::Features;
use crate::data::table::{Kind, MISSING};
use crate::rng::{Purpose, Rng};

fn read_with(bytes: &[u8], sizes: &Sizes) -> Result<ReadTable, String> {
    let input = Input { name: "file", contents: Contents::Bytes(bytes) };
    read(&input, &ReadOptions::default(), sizes).map_err(|error| error.to_string())
}

fn sizes(n_threads: usize, block_bytes: usize) -> Sizes {
    Sizes { n_threads, block_bytes, sample_bytes: 1 << 12, chunk_bytes: 24 }
}

/// What the cells say, row by row: numbers as they are printed, nothing where one is missing.
fn cells(table: &Table) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for chunk in table.chunks() {
        let Features::F32(numbers) = &chunk.numbers else { panic!("bytes") };
        let (mut numbers, mut codes) = (numbers.iter(), chunk.codes.iter());
        for _ in 0..chunk.n_rows {
            let row = table.columns().iter().map(|column| match &column.kind {
                Kind::Number => match *numbers.next().unwrap() {
                    number if number.is_nan() => String::new(),
                    number => number.to_string(),
                },
                Kind::Text(levels) => match *codes.next().unwrap() {
                    MISSING => String::new(),
                    code => levels[code as usize].clone(),
                },
            });
            rows.push(row.collect());
        }
    }
    assert_eq!(rows.len(), table.n_rows());
    rows
}

fn pick<'a>(rng: &mut Rng, items: &[&'a str]) -> &'a str {
    items[rng.below(items.len() as u32) as usize]
}

/// A cell in a file, quoted where it has to be and now and then.
fn write_cell(file: &mut String, cell: &str, delimiter: &str, rng: &mut Rng) {
    let is_special = |c: char| c == '"' || c == '\n' || c == '\t' || delimiter.contains(c);
    match cell.contains(is_special) || rng.below(8) == 0 {
        true => *file += &format!("\"{}\"", cell.replace('"', "\"\"")),
        false => *file += cell,
    }
    if rng.below(8) == 0 && delimiter != " " {
        file.push(' ');
    }
}

struct Written {
    file: String,
    cells: Vec<Vec<&'static str>>,
}

/// A table of 2 to 5 columns, some of which begin with numbers and hold texts further down.
fn random_file(rng: &mut Rng) -> Written {
    let texts =
        ["red", "a b", "\"", "\"\"q\"", "new\nline", "1,2;3\t4|5", "é", "5\" pipe", "1e39", "-"];
    let numbers = ["1", "-0.5", "1e-3", "+7", "inf", "123456789.25", "0"];
    let missing = ["\"\"", "NA", "?", "nAn"];
    let delimiter = pick(rng, &[",", ";", "\t", "|", " "]);
    let end = pick(rng, &["\n", "\r\n"]);
    let n_columns = 2 + rng.below(4);
    let n_rows = 1 + rng.below(40);
    let first_text: Vec<u32> =
        (0..n_columns).map(|_| [0, 5, 20, 99][rng.below(4) as usize]).collect();
    let names: Vec<String> = (0..n_columns).map(|i| format!("x{i}")).collect();
    let mut file = pick(rng, &["", "\u{feff}", "\n"]).to_owned() + &names.join(delimiter) + end;
    let mut cells = Vec::new();
    for i in 0..n_rows {
        let mut row = Vec::new();
        for (j, &first) in first_text.iter().enumerate() {
            if j > 0 {
                file += delimiter;
            }
            if rng.below(7) == 0 {
                file += pick(rng, &missing);
                row.push("");
                continue;
            }
            let cell = pick(rng, if i < first { &numbers } else { &texts });
            write_cell(&mut file, cell, delimiter, rng);
            row.push(cell);
        }
        let is_last = i + 1 == n_rows;
        file += if is_last && rng.below(2) == 0 { "" } else { end };
        file += if !is_last && rng.below(9) == 0 { end } else { "" };
        cells.push(row);
    }
    Written { file, cells }
}

/// What is written is read, whatever the quoting, the line ends, the blocks, the chunks and the threads.
#[test]
fn random_tables_are_read_as_they_were_written() {
    for seed in 0..600 {
        let Written { file, cells: written } = random_file(&mut Rng::new(seed, Purpose::Split, 0));
        let value = |text: &str| value(text.as_bytes());
        let is_text = |j: usize| written.iter().any(|row| value(row[j]) == Value::Text);
        let is_text: Vec<bool> = (0..written[0].len()).map(is_text).collect();
        let is_too_large = |row: &Vec<&str>| {
            row.iter().zip(&is_text).any(|(text, &is)| !is && value(text) == Value::TooLarge)
        };
        if written.iter().any(is_too_large) {
            continue; // rejected, and tested elsewhere
        }
        let shown = |(text, &is_text): (&&str, &bool)| match value(text) {
            Value::Number(number) if !is_text => number.to_string(),
            _ => (*text).to_owned(),
        };
        let expected: Vec<Vec<String>> =
            written.iter().map(|row| row.iter().zip(&is_text).map(shown).collect()).collect();
        let mut columns = None;
        for (n_threads, block_bytes) in [(1, 1 << 20), (1, 5), (3, 1), (4, 30)] {
            let read = read_with(file.as_bytes(), &sizes(n_threads, block_bytes));
            let table = read.unwrap_or_else(|error| panic!("seed {seed}: {error}\n{file}")).table;
            assert_eq!(cells(&table), expected, "seed {seed}\n{file}");
            let first = columns.get_or_insert_with(|| table.columns().to_vec());
            assert_eq!(table.columns(), first, "seed {seed}");
        }
    }
}

/// The types of later cells than those that are looked at first.
#[test]
fn later_texts_make_a_column_one_of_texts() {
    let mut file = "a,b,c\n".to_owned();
    (0..3000).for_each(|i| file += &format!("{i},{i},{i}\n"));
    file += "x,1e39,y\n5,u,6\n";
    let table = read_with(file.as_bytes(), &sizes(2, 100)).unwrap().table;
    assert_eq!(cells(&table)[3000..], [["x", "1e39", "y"], ["5", "u", "6"]]);
    assert_eq!(cells(&table)[7], ["7", "7", "7"]);
}

/// Whatever is wrong is found in the same line, with the same words, however the file is cut.
#[test]
fn damage_is_reported_alike_for_all_blocks_and_threads() {
    let mut n_rejected = 0;
    for seed in 0..3000 {
        let mut rng = Rng::new(seed, Purpose::Split, 3);
        let mut bytes = random_file(&mut rng).file.into_bytes();
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(bytes.len() as u32) as usize;
            match rng.below(3) {
                0 => bytes[at] = b"\",;\n\r\0\xff 1"[rng.below(9) as usize],
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, b"\",;\n\r\0\xff 1"[rng.below(9) as usize]),
            }
        }
        let results = [(1, 1 << 20), (2, 1), (3, 30)]
            .map(|(n_threads, block)| read_with(&bytes, &sizes(n_threads, block)));
        for result in &results {
            let same = match (result, &results[0]) {
                (Ok(read), Ok(first)) => cells(&read.table) == cells(&first.table),
                (a, b) => a == b,
            };
            let file = String::from_utf8_lossy(&bytes);
            assert!(
                same,
                "seed {seed}: {:?} {:?}\n{file}",
                result.as_ref().err(),
                results[0].as_ref().err()
            );
        }
        n_rejected += usize::from(results[0].is_err());
    }
    assert!((500..2900).contains(&n_rejected), "{n_rejected}");
}

/// Records and cells are those of an independent parser, wherever quotes are.
#[test]
fn records_are_those_of_the_crate_csv() {
    let mut n_compared = 0;
    for seed in 0..20_000 {
        let mut rng = Rng::new(seed, Purpose::Split, 1);
        let length = rng.below(24);
        let bytes: Vec<u8> = (0..length).map(|_| b"aa\"\",\n"[rng.below(6) as usize]).collect();
        let Some(ours) = records(&bytes) else { continue };
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(&bytes[..]);
        let trimmed = |cell: &[u8]| cell.trim_ascii().to_vec();
        let theirs: Vec<Vec<Vec<u8>>> = reader
            .byte_records()
            .map(|record| record.unwrap().iter().map(trimmed).collect())
            .collect();
        assert_eq!(ours, theirs, "{:?}", String::from_utf8_lossy(&bytes));
        n_compared += 1;
    }
    assert!(n_compared > 5000, "{n_compared}");
}

/// `None` if a quote is not as it should be, which the crate `csv` accepts.
fn records(bytes: &[u8]) -> Option<Vec<Vec<Vec<u8>>>> {
    let comma = Delimiter::Byte(b',');
    let (mut records, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        if let Some(next) = blank_line(bytes, at, comma) {
            at = next;
            continue;
        }
        let mut record = Vec::new();
        loop {
            let cell = cell(bytes, at, comma).ok()?;
            record.push(cell.unescaped().into_owned());
            at = cell.next;
            if cell.is_last {
                break;
            }
        }
        records.push(record);
    }
    Some(records)
}

#[test]
fn numbers_are_those_of_the_standard_library() {
    for seed in 0..100_000 {
        let mut rng = Rng::new(seed, Purpose::Split, 2);
        let length = 1 + rng.below(9);
        let text: String = (0..length)
            .map(|_| char::from(b"0123456789..eE+-infx_"[rng.below(21) as usize]))
            .collect();
        let has_digits = text.contains(|c: char| c.is_ascii_digit());
        let expected = match text.parse::<f32>() {
            Ok(number) if number.is_infinite() && has_digits => Value::TooLarge,
            Ok(number) if number.is_nan() => Value::Missing,
            Ok(number) => Value::Number(number),
            Err(_) => Value::Text,
        };
        assert_eq!(value(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn wide_rows_and_long_cells_are_read() {
    let names: Vec<String> = (0..5000).map(|i| format!("x{i}")).collect();
    let row = vec!["0.25"; 5000].join(",");
    let file = format!("{}\n{row}\n{row}\n", names.join(","));
    let table = read_with(file.as_bytes(), &sizes(2, 100)).unwrap().table;
    assert_eq!(cells(&table), vec![vec!["0.25"; 5000]; 2]);
    let long = "\"\"\n".repeat(100_000) + "a";
    let file = format!("a,b\n1,\"{long}\"\n");
    let table = read_with(file.as_bytes(), &sizes(2, 100)).unwrap().table;
    assert_eq!(cells(&table)[0][1].len(), 200_001);
}
