//! What a cell of a text file says.

/// A cell: nothing, a number, or a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    Missing,
    Number(f32),
    /// A number that is too large for 32 bits.
    TooLarge(&'a str),
    Text(&'a str),
}

/// What stands for a value that is missing.
const MISSING_WORDS: [&str; 5] = ["NA", "N/A", "null", "None", "?"];

/// Reads a cell; spaces around it are nothing.
pub fn read(cell: &str) -> Cell<'_> {
    let cell = cell.trim();
    if is_missing(cell) {
        return Cell::Missing;
    }
    match cell.parse::<f32>() {
        Ok(number) if number.is_finite() => Cell::Number(number),
        // `infinity` too
        Ok(number) if cell.trim_start_matches(['+', '-']).starts_with(['i', 'I']) => {
            Cell::Number(number)
        }
        Ok(_) => Cell::TooLarge(cell),
        Err(_) => Cell::Text(cell),
    }
}

/// Whether a trimmed cell stands for nothing.
pub fn is_missing(cell: &str) -> bool {
    cell.is_empty() || MISSING_WORDS.contains(&cell) || cell.eq_ignore_ascii_case("nan")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_as_documented() {
        for missing in ["", "  ", "NA", "N/A", "NaN", "nan", "null", "None", "?", " ? "] {
            assert_eq!(read(missing), Cell::Missing, "{missing}");
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
            assert_eq!(read(text), Cell::Number(number), "{text}");
        }
        for text in ["0x10", "1_000", "1,5", "true", "2026-11-26", "1 2", "na", "-", "1.2.3"] {
            assert_eq!(read(text), Cell::Text(text), "{text}");
        }
        assert_eq!(read(" 1e39"), Cell::TooLarge("1e39"));
        assert_eq!(read("-1e39"), Cell::TooLarge("-1e39"));
    }
}
