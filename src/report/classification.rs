//! How well a model separates each class from the others.

use console::measure_text_width;
use ndarray::{Array2, ArrayView2};
use serde::Serialize;

use super::format::{grouped, percent};
use super::style::{Paint, Text, cut};
use super::table::{Column, Layout};
use crate::task::{largest, mean_f1};

/// Counts of (truth, prediction).
#[derive(Clone, Debug)]
pub struct Confusion {
    labels: Vec<String>,
    counts: Array2<u64>,
    /// Of each class.
    samples: Vec<u64>,
}

/// The scores of one class; `None` where a ratio is 0 / 0.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassScore {
    /// The class's name.
    pub label: String,
    /// The share of the samples predicted to be of this class that are.
    pub precision: Option<f64>,
    /// The share of the samples of this class that were predicted to be.
    pub recall: Option<f64>,
    /// The harmonic mean of the two.
    pub f1: Option<f64>,
    /// Samples of this class.
    pub samples: u64,
    /// Samples of this class that were predicted to be of another, or of none.
    pub mistakes: u64,
}

/// A class that is taken for another.
#[derive(Clone, Debug, PartialEq)]
pub struct Confused {
    /// The name of the true class.
    pub truth: String,
    /// The name of the predicted class.
    pub prediction: String,
    /// How many samples.
    pub count: u64,
    /// Their share of the samples of the true class.
    pub share: f64,
}

/// Larger matrices do not fit on a screen.
const SHOWN_CLASSES: usize = 24;

impl Confusion {
    /// Counts the highest-ranked class (of equal ones the first) against the truth; `outputs`, logits or probabilities, is
    /// (samples, classes). A sample with an output that is not finite is of no class.
    ///
    /// # Panics
    /// If the lengths differ, or a class is out of range.
    pub fn new(
        labels: Vec<String>,
        outputs: ArrayView2<'_, f32>,
        truth: impl ExactSizeIterator<Item = u32>,
    ) -> Self {
        assert_eq!(truth.len(), outputs.nrows(), "confusion: lengths differ");
        let mut counts = Array2::zeros((labels.len(), labels.len()));
        let mut samples = vec![0; labels.len()];
        for (row, truth) in outputs.rows().into_iter().zip(truth) {
            samples[truth as usize] += 1;
            if row.iter().all(|x| x.is_finite()) {
                counts[(truth as usize, largest(row))] += 1;
            }
        }
        Self { labels, counts, samples }
    }

    /// Rows are the truth, columns the prediction.
    pub fn counts(&self) -> ArrayView2<'_, u64> {
        self.counts.view()
    }

    /// Precision, recall and F1 of every class.
    pub fn classes(&self) -> Vec<ClassScore> {
        let ratio = |a: u64, b: u64| (b > 0).then(|| a as f64 / b as f64);
        (self.labels.iter().enumerate())
            .map(|(class, label)| {
                let hits = self.counts[(class, class)];
                let (samples, taken) = (self.samples[class], self.counts.column(class).sum());
                ClassScore {
                    label: label.clone(),
                    precision: ratio(hits, taken),
                    recall: ratio(hits, samples),
                    f1: ratio(2 * hits, taken + samples),
                    samples,
                    mistakes: samples - hits,
                }
            })
            .collect()
    }

    /// The pairs of classes that are confused most, at most so many.
    pub fn most_frequent(&self, shown: usize) -> Vec<Confused> {
        let wrong = self.counts.indexed_iter().filter(|&((i, j), &count)| i != j && count > 0);
        let mut pairs: Vec<((usize, usize), u64)> = wrong.map(|(at, &count)| (at, count)).collect();
        pairs.sort_by_key(|&(at, count)| (std::cmp::Reverse(count), at));
        pairs.truncate(shown);
        let named = |((truth, prediction), count): ((usize, usize), u64)| Confused {
            truth: self.labels[truth].clone(),
            prediction: self.labels[prediction].clone(),
            count,
            share: count as f64 / self.samples[truth] as f64,
        };
        pairs.into_iter().map(named).collect()
    }

    /// The mean F1 of the classes that occur, in truth or in a prediction; `None` if none does.
    pub fn macro_f1(&self) -> Option<f64> {
        let counts = (0..self.labels.len()).map(|class| {
            (self.counts[(class, class)], self.samples[class] + self.counts.column(class).sum())
        });
        Some(mean_f1(counts)).filter(|f1| !f1.is_nan())
    }

    /// The scores of the classes and the matrix, as tables for people, which fit a terminal that is so wide.
    pub fn tables(&self, width: Option<usize>) -> Text {
        let shown = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), percent);
        let rows: Vec<[String; 5]> = (self.classes().into_iter())
            .map(|score| {
                let label = match width {
                    Some(_) => cut(&score.label, LONGEST_LABEL),
                    None => score.label,
                };
                let samples = grouped(score.samples);
                [label, shown(score.precision), shown(score.recall), shown(score.f1), samples]
            })
            .collect();
        let layout = Layout::of(&COLUMNS, &rows, width);
        let mut text = Text::default().with(Paint::Head, layout.head());
        for row in &rows {
            text = text.with(Paint::Plain, format!("\n{}", layout.row(row)));
        }
        text.with(Paint::Plain, "\n\n").then(self.matrix(width))
    }

    fn matrix(&self, width: Option<usize>) -> Text {
        if self.labels.len() > SHOWN_CLASSES {
            return "the confusion matrix is too wide to show; --json has it".into();
        }
        let names = self.labels.iter().map(|label| measure_text_width(label)).max().unwrap_or(0);
        let first = names.max("class".len());
        let widest = self.counts.iter().max().map_or(1, |count| count.to_string().len());
        // a blank more between the columns, where there is one
        let cells = [widest.max(names) + 1, widest.max(names)];
        let total = |cell: usize| first + self.labels.len() * (cell + 1);
        let fits = |cell: usize| width.is_none_or(|width| total(cell) <= width);
        let Some(cell) = cells.into_iter().find(|&cell| fits(cell)) else {
            let text = format!(
                "the confusion matrix takes {} columns: use a wider terminal, or --json",
                total(cells[1])
            );
            return Text::from(text).wrapped(width, 0);
        };
        let title = "confusion: a row per true class, a column per prediction";
        let head = self.labels.iter().map(|label| format!(" {label:>cell$}"));
        let mut text = Text::from(title)
            .wrapped(width, 2)
            .with(Paint::Head, format!("\n{}{}", " ".repeat(first), head.collect::<String>()));
        for (i, (label, row)) in self.labels.iter().zip(self.counts.rows()).enumerate() {
            text = text.with(Paint::Plain, format!("\n{label:>first$}"));
            for (j, &count) in row.iter().enumerate() {
                let shown = if count == 0 { "·".to_owned() } else { count.to_string() };
                let paint = if i == j { Paint::Best } else { Paint::Plain };
                text = text.with(Paint::Plain, " ").with(paint, format!("{shown:>cell$}"));
            }
        }
        text
    }
}

/// On a terminal, longer names of classes are cut in the table of scores.
const LONGEST_LABEL: usize = 24;

/// The scores of the classes.
const COLUMNS: [Column; 5] = [
    Column::right("class", 0, 5, 0),
    Column::right("precision", 1, 10, 2),
    Column::right("recall", 1, 10, 1),
    Column::right("F1", 1, 10, 0),
    Column::right("samples", 1, 10, 3),
];

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn confusion() -> Confusion {
        let labels = ["a", "b", "c"].map(str::to_owned).to_vec();
        let probabilities =
            array![[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.4, 0.4, 0.2], [0.1, 0.8, 0.1]];
        Confusion::new(labels, probabilities.view(), [0u32, 1, 1, 0].into_iter())
    }

    #[test]
    fn counts_and_scores_are_those_of_the_definitions() {
        let confusion = confusion();
        assert_eq!(confusion.counts(), array![[1, 1, 0], [1, 1, 0], [0, 0, 0]]);
        let classes = confusion.classes();
        let of = |i: usize| (classes[i].precision, classes[i].recall, classes[i].f1);
        assert_eq!(of(0), (Some(0.5), Some(0.5), Some(0.5)));
        assert_eq!(of(2), (None, None, None));
        assert_eq!(confusion.macro_f1(), Some(0.5));
        assert_eq!(classes.iter().map(|class| class.mistakes).collect::<Vec<_>>(), [1, 1, 0]);
        let pairs = confusion.most_frequent(1);
        let expected = Confused { truth: "a".into(), prediction: "b".into(), count: 1, share: 0.5 };
        assert_eq!((pairs, confusion.most_frequent(9).len()), (vec![expected], 2));
        assert_eq!(classes.iter().map(|class| class.samples).collect::<Vec<_>>(), [2, 2, 0]);
    }

    #[test]
    fn tables_are_aligned() {
        let text = confusion().tables(None).plain();
        let lines: Vec<&str> = text.lines().collect();
        let widths: Vec<usize> = lines.iter().map(|line| line.chars().count()).collect();
        assert_eq!(widths[..4], [widths[0]; 4], "{text}");
        assert_eq!(widths[6..], [widths[6]; 4], "{text}");
        assert!(text.contains("  b    50.00 %"), "{text}");
        let narrow = confusion().tables(Some(40)).plain();
        assert!(narrow.lines().all(|line| line.chars().count() <= 40), "{narrow}");
        assert!(narrow.starts_with("class  precision     recall         F1\n"), "{narrow}");
        let narrow = confusion().tables(Some(10)).plain();
        assert!(narrow.contains("confusion\nmatrix\ntakes 11\ncolumns:"), "{narrow}");
    }
}
