//! Predictions as CSV, JSON lines or a NumPy array.

use std::io::{self, Write};

use ndarray::{Array2, ArrayView1};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::data::npz::{Array, write_npy};
use crate::store::csv_field;
use crate::task::largest;

/// The probabilities of the classes, (samples, classes), and the classes' names.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// A name per class.
    pub labels: Vec<String>,
    /// Each row adds up to 1, or is NaN where the outputs of the network are not finite.
    pub probabilities: Array2<f32>,
    /// The file of each sample; empty where they have none.
    pub files: Vec<String>,
}

/// How predictions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PredictionFormat {
    /// `index,label,probability`, with `file` before the label where samples have one, then `label_2,probability_2` and so on for the `top` classes, then, for `all`,
    /// `p_<label>` per class.
    Csv {
        /// How many classes are named, most probable first.
        top: usize,
        /// Whether every probability follows.
        all: bool,
    },
    /// `{"index":..,"label":..,"probability":..}`, with `"top"` and `"probabilities"` on demand.
    JsonLines {
        /// As for CSV.
        top: usize,
        /// As for CSV.
        all: bool,
    },
    /// The probabilities as a two-dimensional `float32` array.
    Npy,
}

impl Predictions {
    /// How many samples have no class, because the outputs of the network are not finite.
    pub fn without_class(&self) -> usize {
        self.probabilities
            .rows()
            .into_iter()
            .filter(|row| ranking(row.view(), 1).is_empty())
            .count()
    }

    /// Writes all rows in order.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn write(&self, out: &mut impl Write, format: PredictionFormat) -> io::Result<()> {
        match format {
            PredictionFormat::Csv { top, all } => self.write_csv(out, top, all),
            PredictionFormat::JsonLines { top, all } => self.write_json_lines(out, top, all),
            PredictionFormat::Npy => {
                let values = self.probabilities.as_standard_layout();
                write_npy(values.shape(), &Array::F32(values.as_slice().unwrap_or_default()), out)
            }
        }
    }

    fn write_csv(&self, out: &mut impl Write, top: usize, all: bool) -> io::Result<()> {
        let labels: Vec<String> = self.labels.iter().map(|label| csv_field(label)).collect();
        let file = if self.files.is_empty() { "" } else { "file," };
        write!(out, "index,{file}label,probability")?;
        for place in 2..=top {
            write!(out, ",label_{place},probability_{place}")?;
        }
        if all {
            for label in &self.labels {
                write!(out, ",{}", csv_field(&format!("p_{label}")))?;
            }
        }
        writeln!(out)?;
        for (index, row) in self.probabilities.rows().into_iter().enumerate() {
            write!(out, "{index}")?;
            if let Some(file) = self.files.get(index) {
                write!(out, ",{}", csv_field(file))?;
            }
            let ranked = ranking(row, top);
            for place in 0..top {
                match ranked.get(place) {
                    Some(&class) => write!(out, ",{},{}", labels[class], number(row[class]))?,
                    None => write!(out, ",,")?,
                }
            }
            if all {
                row.iter().try_for_each(|&p| write!(out, ",{}", number(p)))?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    fn write_json_lines(&self, out: &mut impl Write, top: usize, all: bool) -> io::Result<()> {
        for (index, row) in self.probabilities.rows().into_iter().enumerate() {
            let ranked = ranking(row, top);
            let one = |&class: &usize| Ranked {
                label: Some(&self.labels[class]),
                probability: Some(row[class]),
            };
            let line = JsonLine {
                index,
                file: self.files.get(index).map(|file| &file[..]),
                first: ranked.first().map_or(Ranked { label: None, probability: None }, one),
                top: (top > 1).then(|| ranked.iter().map(one).collect()),
                probabilities: all.then(|| ByClass { labels: &self.labels, row }),
            };
            serde_json::to_writer(&mut *out, &line)?;
            writeln!(out)?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct JsonLine<'a> {
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(flatten)]
    first: Ranked<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top: Option<Vec<Ranked<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probabilities: Option<ByClass<'a>>,
}

#[derive(Serialize)]
struct Ranked<'a> {
    label: Option<&'a str>,
    probability: Option<f32>,
}

/// An object with a value for each class, in the order of the classes.
struct ByClass<'a> {
    labels: &'a [String],
    row: ArrayView1<'a, f32>,
}

impl Serialize for ByClass<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.labels.len()))?;
        self.labels
            .iter()
            .zip(self.row)
            .try_for_each(|(label, p)| map.serialize_entry(label, p))?;
        map.end()
    }
}

/// The shortest digits that are read back as the same number; nothing for what is not a number.
pub(super) fn number(p: f32) -> String {
    match p {
        p if !p.is_finite() => String::new(),
        p if p == 0.0 || p >= 1e-4 => p.to_string(),
        p => format!("{p:e}"),
    }
}

/// The classes of the `top` largest probabilities; of equal ones the first. None if a probability is not a number.
pub(super) fn ranking(row: ArrayView1<'_, f32>, top: usize) -> Vec<usize> {
    if row.iter().any(|p| !p.is_finite()) {
        return Vec::new();
    }
    if top <= 1 {
        return vec![largest(row)];
    }
    let mut classes: Vec<usize> = (0..row.len()).collect();
    classes.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
    classes.truncate(top);
    classes
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use ndarray_npy::ReadNpyExt as _;
    use serde_json::{Value, json};

    use super::*;

    fn written(format: PredictionFormat) -> Vec<u8> {
        let predictions = Predictions {
            labels: vec!["a".into(), "b, c".into(), "d".into()],
            probabilities: array![[0.25, 0.5, 0.25], [0.0, 0.125, 0.875]],
            files: Vec::new(),
        };
        let mut out = Vec::new();
        predictions.write(&mut out, format).unwrap();
        out
    }

    fn text(format: PredictionFormat) -> String {
        String::from_utf8(written(format)).unwrap()
    }

    #[test]
    fn csv_has_the_documented_columns() {
        assert_eq!(
            text(PredictionFormat::Csv { top: 1, all: false }),
            "index,label,probability\n0,\"b, c\",0.5\n1,d,0.875\n"
        );
        assert_eq!(
            text(PredictionFormat::Csv { top: 2, all: true }),
            "index,label,probability,label_2,probability_2,p_a,\"p_b, c\",p_d\n\
             0,\"b, c\",0.5,a,0.25,0.25,0.5,0.25\n1,d,0.875,\"b, c\",0.125,0,0.125,0.875\n"
        );
    }

    #[test]
    fn json_lines_have_the_documented_keys() {
        let lines = text(PredictionFormat::JsonLines { top: 2, all: true });
        let second: Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
        assert_eq!(
            second,
            json!({
                "index": 1, "label": "d", "probability": 0.875,
                "top": [
                    {"label": "d", "probability": 0.875},
                    {"label": "b, c", "probability": 0.125},
                ],
                "probabilities": {"a": 0.0, "b, c": 0.125, "d": 0.875},
            })
        );
        let short = text(PredictionFormat::JsonLines { top: 1, all: false });
        let first: Value = serde_json::from_str(short.lines().next().unwrap()).unwrap();
        assert_eq!(first, json!({"index": 0, "label": "b, c", "probability": 0.5}));
    }

    #[test]
    fn what_is_not_a_number_is_no_class_and_small_numbers_are_short() {
        let labels = (0..11).map(|class| class.to_string()).collect();
        let mut probabilities = Array2::zeros((2, 11));
        probabilities.row_mut(0).fill(f32::NAN);
        (probabilities[(1, 0)], probabilities[(1, 10)]) = (4.136_833_7e-10, 1.0);
        let predictions = Predictions { labels, probabilities, files: Vec::new() };
        assert_eq!(predictions.without_class(), 1);
        let text = |format| {
            let mut out = Vec::new();
            predictions.write(&mut out, format).unwrap();
            String::from_utf8(out).unwrap()
        };
        let csv = text(PredictionFormat::Csv { top: 2, all: true });
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines[1], "0,,,,,,,,,,,,,,,");
        assert_eq!(lines[2], "1,10,1,0,4.1368337e-10,4.1368337e-10,0,0,0,0,0,0,0,0,0,1");
        let json = text(PredictionFormat::JsonLines { top: 1, all: true });
        let lines: Vec<&str> = json.lines().collect();
        assert!(
            lines[0].starts_with(r#"{"index":0,"label":null,"probability":null,"#),
            "{}",
            lines[0]
        );
        let order = r#""probabilities":{"0":4.1368337e-10,"1":0.0,"2":0.0,"3":"#;
        assert!(lines[1].contains(order), "{}", lines[1]);
    }

    #[test]
    fn npy_is_read_back() {
        let array = Array2::<f32>::read_npy(&written(PredictionFormat::Npy)[..]).unwrap();
        assert_eq!(array, array![[0.25, 0.5, 0.25], [0.0, 0.125, 0.875]]);
    }
}
