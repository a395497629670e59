//! Predictions for the rows of a table, as CSV or JSON lines, a few rows at a time.

use std::borrow::Cow;
use std::io::{self, Write};

use ndarray::ArrayView2;
use serde_json::{Map, Value};

use super::PredictionFormat;
use super::predictions::{number, ranking};
use crate::store::{csv_exact, csv_field};

/// How the predictions of rows are written.
#[derive(Clone, Copy, Debug)]
pub struct RowPredictions<'a> {
    /// The classes, or the targets.
    pub names: &'a [String],
    /// The columns of the table that are copied.
    pub keep: &'a [String],
    /// Whether the outputs are numbers, not probabilities of classes.
    pub is_regression: bool,
    /// The form.
    pub format: PredictionFormat,
    /// Whether a terminal shows them, which control characters would command.
    pub is_terminal: bool,
}

impl RowPredictions<'_> {
    /// A field of a CSV file.
    fn field<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.is_terminal {
            true => Cow::Owned(csv_field(text)),
            false => csv_exact(text),
        }
    }

    /// Writes what comes before the first row: the header of a CSV file.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn begin(&self, out: &mut impl Write) -> io::Result<()> {
        let PredictionFormat::Csv { top, all } = self.format else { return Ok(()) };
        let mut names: Vec<String> = self.keep.to_vec();
        match self.is_regression {
            true => names.extend_from_slice(self.names),
            false => {
                names.push("label".to_owned());
                if top > 1 {
                    names.push("probability".to_owned());
                }
                for place in 2..=top {
                    names.extend([format!("label_{place}"), format!("probability_{place}")]);
                }
                if all {
                    names.extend(self.names.iter().map(|name| format!("p_{name}")));
                }
            }
        }
        let fields: Vec<_> = names.iter().map(|name| self.field(name)).collect();
        writeln!(out, "{}", fields.join(","))
    }

    /// Writes rows from number `first` on: copies of columns, and the outputs (rows, classes or targets).
    ///
    /// # Errors
    /// What `out` returns.
    pub fn write(
        &self,
        out: &mut impl Write,
        first: usize,
        kept: &[Vec<String>],
        outputs: ArrayView2<'_, f32>,
    ) -> io::Result<()> {
        let names: Vec<_> = self.names.iter().map(|name| self.field(name)).collect();
        for (i, row) in outputs.rows().into_iter().enumerate() {
            let (top, all) = match self.format {
                PredictionFormat::Csv { top, all } => (top, all),
                PredictionFormat::JsonLines { top, all } => {
                    let row: Vec<f32> = row.to_vec();
                    let line =
                        self.json(first + i, kept.iter().map(|column| &column[i]), &row, top, all);
                    writeln!(out, "{line}")?;
                    continue;
                }
                PredictionFormat::Npy => continue,
            };
            let mut separator = "";
            for column in kept {
                write!(out, "{separator}{}", self.field(&column[i]))?;
                separator = ",";
            }
            if self.is_regression {
                for &value in row {
                    match value.is_finite() {
                        true => write!(out, "{separator}{value}")?,
                        false => write!(out, "{separator}")?,
                    }
                    separator = ",";
                }
                writeln!(out)?;
                continue;
            }
            let ranked = ranking(row, top);
            for place in 0..top {
                let class = ranked.get(place).copied();
                write!(out, "{separator}{}", class.map_or("", |class| &names[class]))?;
                separator = ",";
                if top > 1 {
                    write!(
                        out,
                        ",{}",
                        class.map_or_else(String::new, |class| number(row[class]).to_string())
                    )?;
                }
            }
            if all {
                row.iter().try_for_each(|&p| write!(out, ",{}", number(p)))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn json<'k>(
        &self,
        index: usize,
        kept: impl Iterator<Item = &'k String>,
        row: &[f32],
        top: usize,
        all: bool,
    ) -> Value {
        let mut line = Map::new();
        line.insert("index".into(), index.into());
        line.extend(self.keep.iter().cloned().zip(kept.map(|text| Value::from(&text[..]))));
        if self.is_regression {
            line.extend(self.names.iter().cloned().zip(row.iter().map(|&x| json_number(x))));
            return Value::Object(line);
        }
        let ranked = ranking(ndarray::ArrayView1::from(row), top);
        let one = |class: Option<usize>| {
            let label = class.map_or(Value::Null, |class| self.names[class][..].into());
            [
                ("label".to_owned(), label),
                ("probability".to_owned(), class.map_or(Value::Null, |c| json_number(row[c]))),
            ]
        };
        line.extend(one(ranked.first().copied()));
        if top > 1 {
            let all =
                ranked.iter().map(|&class| Value::Object(one(Some(class)).into_iter().collect()));
            line.insert("top".into(), all.collect());
        }
        if all {
            let values = self.names.iter().cloned().zip(row.iter().map(|&p| json_number(p)));
            line.insert("probabilities".into(), Value::Object(values.collect()));
        }
        Value::Object(line)
    }
}

/// The shortest digits that are read back as the same `f32`; null for what is not finite.
fn json_number(x: f32) -> Value {
    x.to_string().parse::<f64>().ok().filter(|x| x.is_finite()).map_or(Value::Null, Value::from)
}
