//! What the beginning of a text file says about the whole: the delimiter, and whether there is a header.

use std::io::Read;

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::cells::{self, Cell};

/// Bytes at the beginning from which delimiter and header are detected.
pub const SAMPLE_BYTES: usize = 1 << 18;

/// Records of the sample that are compared.
const SAMPLE_RECORDS: usize = 200;

/// The delimiters that are tried; of equally good ones the first.
const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// A reader of records, which may differ in length.
pub fn reader<R: Read>(source: R, delimiter: u8) -> Reader<R> {
    ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(1 << 18)
        .from_reader(source)
}

/// The complete records at the beginning.
pub fn sample_records(sample: &[u8], delimiter: u8, is_whole: bool) -> Vec<ByteRecord> {
    let mut records: Vec<ByteRecord> = reader(sample, delimiter)
        .into_byte_records()
        .map_while(|record| record.ok())
        .filter(|record| !is_blank(record))
        .take(SAMPLE_RECORDS)
        .collect();
    if !is_whole && records.len() < SAMPLE_RECORDS {
        records.pop(); // may be cut
    }
    records
}

/// The delimiter that divides most records into the same number of cells, and into the most cells.
pub fn delimiter(sample: &[u8]) -> u8 {
    let quality = |&delimiter: &u8| {
        let records = sample_records(sample, delimiter, sample.len() <= SAMPLE_BYTES);
        let Some(first) = records.first().map(ByteRecord::len).filter(|&len| len > 1) else {
            return (0, 0);
        };
        let same = records.iter().filter(|record| record.len() == first).count();
        (100 * same / records.len(), first)
    };
    let best = DELIMITERS.iter().rev().max_by_key(|delimiter| quality(delimiter));
    best.copied().filter(|best| quality(best) > (0, 0)).unwrap_or(b',')
}

fn text(cell: &[u8]) -> &str {
    std::str::from_utf8(cell).unwrap_or_default()
}

/// A line of nothing but spaces.
pub fn is_blank(record: &ByteRecord) -> bool {
    record.len() == 1 && text(&record[0]).trim().is_empty()
}

/// Whether the first record names the columns: no cell of it is a number, unlike the cells below; or none is a number, and it has
/// no cell that occurs again below.
pub fn has_header(records: &[ByteRecord]) -> bool {
    let Some((first, rest)) = records.split_first() else { return false };
    let is_number =
        |cell: &[u8]| matches!(cells::read(text(cell)), Cell::Number(_) | Cell::TooLarge(_));
    if first.iter().any(is_number) {
        return false;
    }
    let numeric_below = (0..first.len()).any(|column| {
        let mut cells = rest.iter().filter_map(|record| record.get(column)).peekable();
        cells.peek().is_some()
            && cells.all(|cell| is_number(cell) || cells::is_missing(text(cell).trim()))
    });
    if rest.is_empty() || numeric_below {
        return true;
    }
    // texts alone: a name does not occur as a value
    let occurs = |column: usize| rest.iter().any(|record| record.get(column) == first.get(column));
    !(0..first.len()).any(occurs)
}
