//! Rows of another table below those of one, such as a test file below a training file.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Chunk, Column, Kind, MISSING, Table, digits};
use crate::data::Features;
use crate::error::{Error, Result};

/// Where the values of a column come from.
#[derive(Clone, Copy)]
enum From {
    Numbers(usize),
    Texts(usize),
    /// Of a column without values, whose kind says nothing.
    Nothing,
}

impl Table {
    /// Appends the rows of another table. Columns are matched by name, in any order; those that this table does not have are left out.
    ///
    /// # Errors
    /// If the other table lacks a column, or holds texts where this one has numbers.
    pub fn append(&mut self, other: Self) -> Result<()> {
        let positions: HashMap<&str, usize> =
            other.columns.iter().enumerate().map(|(i, column)| (&column.name[..], i)).collect();
        let mut numbers = Vec::new();
        let mut texts = Vec::new();
        for column in &mut self.columns {
            let Some(&position) = positions.get(&column.name[..]) else {
                let problem = format!("no column `{}`, which {} has", column.name, self.name);
                return Err(Error::invalid(other.name, problem));
            };
            let found = &other.columns[position];
            let place = other.place(position);
            match (&mut column.kind, &found.kind) {
                (Kind::Number, Kind::Number) => numbers.push(From::Numbers(place)),
                (Kind::Number, Kind::Text(levels)) if levels.is_empty() => {
                    numbers.push(From::Nothing)
                }
                (Kind::Number, Kind::Text(levels)) => {
                    let problem = format!(
                        "`{}` holds texts such as `{}`; expected numbers, as in {}",
                        column.name, levels[0], self.name
                    );
                    return Err(Error::invalid(other.name, problem));
                }
                (Kind::Text(levels), Kind::Text(more)) => {
                    texts.push((From::Texts(place), merge(levels, more)));
                }
                (Kind::Text(levels), Kind::Number) => {
                    texts.push(match other.numbers(position).all(f32::is_nan) {
                        true => (From::Nothing, Vec::new()),
                        false => {
                            let codes = merge(levels, &levels_of(&other, position));
                            (From::Numbers(place), codes)
                        }
                    });
                }
            }
        }
        let (n_numbers, n_texts) = (other.n_numbers(), other.columns.len() - other.n_numbers());
        for chunk in other.chunks {
            let chunk = rearranged(&chunk, (n_numbers, n_texts), &numbers, &texts, &self.columns);
            self.n_rows += chunk.n_rows;
            self.chunks.push(Arc::new(chunk));
        }
        Ok(())
    }
}

/// Adds levels that are new; returns the code of each of `more` among all of them.
pub fn merge(levels: &mut Vec<String>, more: &[String]) -> Vec<u32> {
    let mut codes: HashMap<String, u32> =
        levels.iter().zip(0..).map(|(level, code)| (level.clone(), code)).collect();
    let code = |level: &String| match codes.get(level) {
        Some(&code) => code,
        None => {
            let code = levels.len() as u32;
            levels.push(level.clone());
            codes.insert(level.clone(), code);
            code
        }
    };
    more.iter().map(code).collect()
}

/// The different numbers of a column as texts.
fn levels_of(table: &Table, column: usize) -> Vec<String> {
    let present = table.numbers(column).filter(|value| !value.is_nan());
    let mut texts: Vec<String> = present.map(digits).collect();
    texts.sort();
    texts.dedup();
    texts
}

fn rearranged(
    chunk: &Chunk,
    (n_numbers, n_texts): (usize, usize),
    numbers: &[From],
    texts: &[(From, Vec<u32>)],
    columns: &[Column],
) -> Chunk {
    let value = |row: usize, place: usize| chunk.numbers.value(row * n_numbers + place);
    let text_columns: Vec<&Column> =
        columns.iter().filter(|column| column.kind != Kind::Number).collect();
    let by_digits: Vec<HashMap<&str, u32>> = (text_columns.iter().zip(texts))
        .map(|(column, (from, _))| match (from, &column.kind) {
            (From::Numbers(_), Kind::Text(levels)) => {
                levels.iter().zip(0..).map(|(level, code)| (&level[..], code)).collect()
            }
            _ => HashMap::new(),
        })
        .collect();
    let mut new_codes = Vec::with_capacity(chunk.n_rows * texts.len());
    let mut values = Vec::with_capacity(chunk.n_rows * numbers.len());
    for row in 0..chunk.n_rows {
        values.extend(numbers.iter().map(|from| match from {
            From::Numbers(place) => value(row, *place),
            _ => f32::NAN,
        }));
        new_codes.extend(texts.iter().zip(&by_digits).map(|((from, codes), known)| match *from {
            From::Texts(place) => match chunk.codes[row * n_texts + place] {
                MISSING => MISSING,
                code => codes[code as usize],
            },
            From::Numbers(place) => match value(row, place) {
                value if value.is_nan() => MISSING,
                value => known.get(&digits(value)[..]).copied().unwrap_or(MISSING),
            },
            From::Nothing => MISSING,
        }));
    }
    Chunk { numbers: Features::F32(values), codes: new_codes, n_rows: chunk.n_rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(
        columns: &[(&str, Option<&[&str]>)],
        numbers: &[f32],
        codes: &[u32],
        n_rows: usize,
    ) -> Table {
        let columns = columns.iter().map(|(name, levels)| Column {
            name: (*name).to_owned(),
            kind: match levels {
                None => Kind::Number,
                Some(levels) => Kind::Text(levels.iter().map(ToString::to_string).collect()),
            },
        });
        let chunk =
            Chunk { numbers: Features::F32(numbers.to_vec()), codes: codes.to_vec(), n_rows };
        Table::new("t", columns.collect(), vec![chunk]).unwrap()
    }

    #[test]
    fn rows_are_appended_by_the_names_of_columns() {
        let mut all = table(
            &[("x", None), ("c", Some(&["a", "b"])), ("y", None), ("d", Some(&["1"]))],
            &[1.0, 2.0],
            &[1, 0],
            1,
        );
        let more = table(
            &[("y", None), ("extra", None), ("d", None), ("c", Some(&["new", "a"])), ("x", None)],
            &[20.0, 9.0, 1.0, 10.0, 21.0, 9.0, 7.0, f32::NAN],
            &[0, 1],
            2,
        );
        all.append(more).unwrap();
        assert_eq!(all.n_rows(), 3);
        assert_eq!(all.numbers(0).take(2).collect::<Vec<_>>(), [1.0, 10.0]);
        assert!(all.numbers(0).nth(2).unwrap().is_nan());
        assert_eq!(all.numbers(2).collect::<Vec<_>>(), [2.0, 20.0, 21.0]);
        assert_eq!(all.codes(1).collect::<Vec<_>>(), [1, 2, 0]);
        assert_eq!(all.codes(3).collect::<Vec<_>>(), [0, 0, 1]);
        assert_eq!(all.columns()[3].kind, Kind::Text(vec!["1".into(), "7".into()]));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let all = || table(&[("x", None), ("c", Some(&["a"]))], &[1.0], &[0], 1);
        let lacking = table(&[("x", None)], &[1.0], &[], 1);
        let error = all().append(lacking).unwrap_err().to_string();
        assert!(error.contains("no column `c`, which t has"), "{error}");
        let texts = table(&[("x", Some(&["big"])), ("c", Some(&["a"]))], &[], &[0, 0], 1);
        let error = all().append(texts).unwrap_err().to_string();
        assert!(error.contains("`x` holds texts such as `big`; expected numbers"), "{error}");
        let empty = table(&[("x", Some(&[])), ("c", None)], &[f32::NAN], &[MISSING], 1);
        let mut all = all();
        all.append(empty).unwrap();
        assert_eq!(all.codes(1).collect::<Vec<_>>(), [0, MISSING]);
    }
}
