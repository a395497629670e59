//! What a user should know about the columns of a table: what they hold besides what they seem to hold.

use crate::data::Parts;
use crate::data::prepare::{Input, Prepare};
use crate::data::table::{Column, Kind, MISSING, Table, Value, value_of_cell};
use crate::text::{grouped, plural, safe};

/// A column of texts of which so large a share are numbers was probably meant to hold numbers.
const MOSTLY: f64 = 0.9;

/// No more of a cell is shown.
const LONGEST_CELL: usize = 40;

/// The columns that are texts because of a few cells, apart from those that were asked for as texts. `place` names a row.
pub(super) fn mostly_numbers(
    table: &Table,
    asked_for: &[String],
    place: impl Fn(usize) -> String,
) -> Vec<String> {
    let line = |(column, levels): (usize, &[String])| {
        let name = &table.columns()[column].name;
        let is_number: Vec<bool> = levels.iter().map(|level| is_number(level)).collect();
        if asked_for.contains(name) || !is_number.contains(&true) {
            return None;
        }
        let (mut numbers, mut others, mut first) = (0usize, 0usize, None);
        for (row, code) in table.codes(column).enumerate() {
            match code {
                MISSING => {}
                code if is_number[code as usize] => numbers += 1,
                code => {
                    others += 1;
                    first.get_or_insert((row, code));
                }
            }
        }
        let (row, code) = first?;
        let share = numbers as f64 / (numbers + others) as f64;
        let more = match others - 1 {
            0 => String::new(),
            more => format!(" and {}", plural(more, "more cell")),
        };
        (share >= MOSTLY).then(|| {
            format!(
                "`{name}` is text, because of `{}` in {}{more} ({:.1} % of its cells are numbers)",
                shown(&levels[code as usize]),
                place(row),
                (1000.0 * share).floor() / 10.0, // never 100
            )
        })
    };
    let texts = table.columns().iter().enumerate().filter_map(|(i, column)| match &column.kind {
        Kind::Text(levels) => Some((i, &levels[..])),
        Kind::Number => None,
    });
    texts.filter_map(line).collect()
}

fn is_number(text: &str) -> bool {
    matches!(value_of_cell(text.as_bytes()), Value::Number(_) | Value::TooLarge)
}

/// A cell, shortened.
fn shown(cell: &str) -> String {
    let short: String = cell.chars().take(LONGEST_CELL).collect();
    safe(&short).into_owned()
}

/// The columns of numbers among `columns` in which one is infinite, which no training takes.
pub(super) fn infinite(
    table: &Table,
    columns: &[usize],
    place: impl Fn(usize) -> String,
) -> Vec<String> {
    let line = |&column: &usize| {
        let Column { name, kind } = &table.columns()[column];
        let row = match kind {
            Kind::Number => table.numbers(column).position(f32::is_infinite)?,
            Kind::Text(_) => return None,
        };
        Some(format!("`{name}` has no finite number in {}; a training expects one", place(row)))
    };
    columns.iter().filter_map(line).collect()
}

/// A line for each column with levels in the validation or the test part that the training part does not have.
pub(super) fn unknown_levels(table: &Table, prepare: &Prepare, parts: &Parts) -> Vec<String> {
    let line = |input: &Input| {
        let column = table.position(input.column())?;
        let (Input::Category { .. }, Kind::Text(levels)) = (input, &table.columns()[column].kind)
        else {
            return None;
        };
        let codes: Vec<u32> = table.codes(column).collect();
        let mut is_known = vec![false; levels.len()];
        let present = |rows: &[u32]| -> Vec<usize> {
            let codes = rows.iter().map(|&row| codes[row as usize]);
            codes.filter(|&code| code != MISSING).map(|code| code as usize).collect()
        };
        present(&parts.train).into_iter().for_each(|code| is_known[code] = true);
        let mut total = 0;
        let found = [("validation", &parts.val), ("test", &parts.test)].map(|(part, rows)| {
            let unknown = present(rows).into_iter().filter(|&code| !is_known[code]).count();
            total += unknown;
            (unknown > 0).then(|| {
                let (unknown, all) = (grouped(unknown as u64), grouped(rows.len() as u64));
                format!("{unknown} of {all} values of the {part} part")
            })
        });
        let found: Vec<String> = found.into_iter().flatten().collect();
        (!found.is_empty()).then(|| {
            format!(
                "`{}`: {} {} that the training part does not have",
                input.column(),
                found.join(" and "),
                if total == 1 { "is a level" } else { "are levels" }
            )
        })
    };
    prepare.inputs().iter().filter_map(line).collect()
}

/// Names of columns as the table has them: a list that is separated by commas has cut those with a comma in them.
pub(super) fn whole_names(names: &[String], table: &Table) -> Vec<String> {
    let with_comma = table.columns().iter().map(|column| &column.name);
    let with_comma: Vec<(Vec<&str>, &String)> = with_comma
        .filter(|name| name.contains(','))
        .map(|name| (name.split(',').map(str::trim).collect(), name))
        .collect();
    let (mut whole, mut rest) = (Vec::new(), names);
    while let Some((first, after)) = rest.split_first() {
        let begins = |parts: &[&str]| {
            parts.len() <= rest.len() && parts.iter().zip(rest).all(|(part, name)| part == name)
        };
        let longest = with_comma.iter().filter(|(parts, _)| begins(parts));
        match longest.max_by_key(|(parts, _)| parts.len()) {
            Some((parts, name)) => {
                whole.push((*name).clone());
                rest = &rest[parts.len()..];
            }
            None => {
                whole.push(first.clone());
                rest = after;
            }
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::table::{ReadOptions, read_csv_bytes};

    fn table(text: &str) -> Table {
        read_csv_bytes("t", text.as_bytes(), &ReadOptions::default()).unwrap().table
    }

    fn row(row: usize) -> String {
        format!("row {}", row + 1)
    }

    #[test]
    fn a_cell_that_makes_texts_of_numbers_is_named() {
        let mut text = String::from("area,code,y\n");
        for i in 0..2000 {
            let area = if i == 811 { "12,5x".to_owned() } else { format!("{}.5", i % 90) };
            let code = if i % 2 == 0 { format!("0{}", i % 7) } else { "a1".to_owned() };
            text += &format!("\"{area}\",{code},{}\n", i % 3);
        }
        let found = mostly_numbers(&table(&text), &[], row);
        let expected =
            "`area` is text, because of `12,5x` in row 812 (99.9 % of its cells are numbers)";
        assert_eq!(found, [expected]);
        assert!(mostly_numbers(&table(&text), &["area".to_owned()], row).is_empty());
        let twice = text.replace("\"7.5\"", "\"-\"");
        let found = mostly_numbers(&table(&twice), &[], row);
        assert!(found[0].contains("`-` in row 8 and 23 more cells (98.8 %"), "{found:?}");
    }

    #[test]
    fn names_with_commas_are_found_again() {
        let table = table("\"a, b\",c,a,\"c,a\"\n1,2,3,4\n");
        let whole = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            whole_names(&names, &table)
        };
        assert_eq!(whole(&["a", "b"]), ["a, b"]);
        assert_eq!(whole(&["c", "a", "b"]), ["c,a", "b"]);
        assert_eq!(whole(&["a", "c", "nope"]), ["a", "c", "nope"]);
        assert!(whole(&[]).is_empty());
    }
}
