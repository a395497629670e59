//! The part of a run's page about classes.

use maud::{Markup, html};
use ndarray::{Array2, ArrayView1, ArrayView2};

use super::axis::significant;
use super::confusion::{CONFUSION_CLASSES, confusion};
use super::gallery::{self, Tile};
use super::html::section;
use super::picture::Picture;
use super::probabilities::{calibration as calibration_picture, roc as roc_picture};
use super::samples::Samples;
use crate::data::prepare::Cell;
use crate::data::{Dataset, Features};
use crate::error::Result;
use crate::report::Confusion;
use crate::report::classification::Confused;
use crate::report::curves::{Calibration, Roc, calibration, roc_curves};
use crate::report::format::{grouped, percent, plural};
use crate::task::largest;

/// Images in a picture of samples, and of mistakes.
const SHOWN: usize = 30;

/// What a model says of the classes of some samples.
pub struct Classes {
    /// (rows, classes)
    probabilities: Array2<f32>,
    /// The true classes against the predicted ones.
    pub confusion: Confusion,
    /// Of the classes that can be told from others.
    roc: Vec<Roc>,
    calibration: Option<Calibration>,
}

impl Classes {
    /// How well the probabilities tell the classes of some rows of the data apart.
    ///
    /// `logits` and `probabilities` are (rows, classes).
    pub fn new(
        labels: Vec<String>,
        logits: ArrayView2<'_, f32>,
        probabilities: Array2<f32>,
        truth: &[u32],
    ) -> Self {
        // logits rank two classes without ties by rounding; of more, probabilities are compared across samples
        let ranked = if labels.len() == 2 { logits } else { probabilities.view() };
        Self {
            roc: roc_curves(ranked, truth),
            calibration: calibration(probabilities.view(), truth),
            confusion: Confusion::new(labels, logits, truth.iter().copied()),
            probabilities,
        }
    }

    /// The area under the ROC curve, the mean over the classes; `None` where it is undefined.
    pub fn auc(&self) -> Option<f64> {
        let sum: f64 = self.roc.iter().map(|roc| roc.auc).sum();
        (!self.roc.is_empty()).then(|| sum / self.roc.len() as f64)
    }

    /// The confusion matrix, ROC curves and calibration; some samples, the most confident mistakes.
    pub fn pictures(
        &self,
        measured: &Samples,
        labels: &[String],
        data: &Dataset,
    ) -> Result<Vec<Picture>> {
        let mut pictures = Vec::new();
        pictures.extend(roc_picture(&self.roc, labels)?);
        if let Some(calibration) = &self.calibration {
            pictures.push(calibration_picture(calibration, labels)?);
        }
        if labels.len() <= CONFUSION_CLASSES {
            pictures.push(confusion(self.confusion.counts(), labels)?);
        }
        let Some(image) = gallery::size(data) else { return Ok(pictures) };
        let image = (image, data.channels());
        let truth = |i: usize| data.labels()[measured.rows[i] as usize] as usize;
        let samples: Vec<Tile> = (0..measured.rows.len().min(SHOWN))
            .map(|i| Tile {
                pixels: pixels(data, measured.rows[i]),
                words: vec![labels[truth(i)].clone()],
            })
            .collect();
        let alt =
            format!("The first {} of the {} part with their labels", samples.len(), measured.part);
        pictures.push(gallery::images("samples", alt, &samples, image)?);
        let mistakes = self.mistakes(measured, data);
        if !mistakes.is_empty() {
            let is_long = |&(i, class, _): &(usize, usize, f32)| {
                let words = labels[class].chars().count() + labels[truth(i)].chars().count() + 5;
                words > gallery::line_length()
            };
            let in_two_lines = mistakes.iter().any(is_long);
            let words = |i: usize, class: usize| match in_two_lines {
                true => vec![labels[class].clone(), format!("not {}", labels[truth(i)])],
                false => vec![format!("{} not {}", labels[class], labels[truth(i)])],
            };
            let tile = |&(i, class, probability): &(usize, usize, f32)| {
                let mut words = words(i, class);
                words.push(format!("{:.1} %", 100.0 * probability));
                Tile { pixels: pixels(data, measured.rows[i]), words }
            };
            let tiles: Vec<Tile> = mistakes.iter().map(tile).collect();
            let alt = format!("The {} most confident mistakes", tiles.len());
            pictures.push(gallery::images("mistakes", alt, &tiles, image)?);
        }
        Ok(pictures)
    }

    /// Position, prediction and probability of the most confident mistakes.
    fn mistakes(&self, measured: &Samples, data: &Dataset) -> Vec<(usize, usize, f32)> {
        let ranked = |row: ArrayView1<'_, f32>| {
            let class = largest(row);
            (class, row[class])
        };
        let truth = measured.rows.iter().map(|&row| data.labels()[row as usize]);
        let rows = self.probabilities.rows().into_iter().zip(truth).enumerate();
        let mut mistakes: Vec<(usize, usize, f32)> = rows
            .filter(|(_, (row, _))| !row.iter().any(|p| p.is_nan()))
            .map(|(i, (row, truth))| (i, ranked(row), truth as usize))
            .filter(|(_, (class, _), truth)| class != truth)
            .map(|(i, (class, probability), _)| (i, class, probability))
            .collect();
        mistakes.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
        mistakes.truncate(SHOWN);
        mistakes
    }

    /// The part of the page about the classes.
    pub fn sections(
        &self,
        measured: &Samples,
        labels: &[String],
        data: &Dataset,
        shown: &dyn Fn(&str) -> Option<Markup>,
    ) -> Markup {
        let frequent_ones = self.confusion.most_frequent(SHOWN_CONFUSIONS);
        html! {
            @if let Some(plot) = shown("confusion") {
                (section("Confusion", &html! {
                    p.muted { (grouped(measured.rows.len() as u64)) " samples of the " (measured.part) " part; a row adds up to its class" }
                    (plot)
                }))
            }
            @if !frequent_ones.is_empty() {
                (section("The most frequent confusions", &frequent(&frequent_ones)))
            }
            (section("Classes", &classes(&self.confusion)))
            @if let Some(plot) = shown("roc") {
                (section("ROC curves", &html! {
                    p.muted { "how many of a class are recognised, and how many others are taken for it, at every threshold of its probability" }
                    (plot)
                }))
            }
            @if let (Some(plot), Some(calibration)) = (shown("calibration"), &self.calibration) {
                (section("Calibration", &html! {
                    p.muted {
                        "how often it is so, of samples with about equal probabilities; on the dashed line they can be taken at their word; expected calibration error "
                        (percent(calibration.error))
                    }
                    (plot)
                }))
            }
            (mistakes(self, measured, labels, data, shown("mistakes")))
            @if let Some(plot) = shown("samples") {
                (section(&format!("The beginning of the {} part", measured.part), &plot))
            }
        }
    }
}

/// A sample's values, 0 to 1.
fn pixels(data: &Dataset, row: u32) -> Vec<f32> {
    let n = data.n_features();
    let range = row as usize * n..(row as usize + 1) * n;
    match data.features() {
        Features::U8(values) => values[range].iter().map(|&x| f32::from(x) / 255.0).collect(),
        Features::F32(values) => values[range].to_vec(),
    }
}

/// Confusions in the table of the most frequent ones.
const SHOWN_CONFUSIONS: usize = 10;

fn frequent(confusions: &[Confused]) -> Markup {
    html! {
        div.scroll { table {
            tr { th { "truth" } th.left { "prediction" } th { "samples" } th { "of the class" } }
            @for Confused { truth, prediction, count, share } in confusions {
                tr { td { (truth) } td.left { (prediction) } td { (grouped(*count)) } td { (percent(*share)) } }
            }
        } }
    }
}

/// Values of a sample that are shown.
const SHOWN_VALUES: usize = 8;

/// The first values of a sample: of a table's row with the names of their columns, in the units of the table.
pub fn values(data: &Dataset, row: u32) -> String {
    let inputs = pixels(data, row);
    let cells = data.prepare().map_or_else(Vec::new, |prepare| prepare.cells(&inputs));
    let mut values: Vec<String> = match cells.is_empty() {
        true => inputs.iter().map(|x| significant(f64::from(*x))).collect(),
        false => cells.into_iter().map(|(column, cell)| with_name(column, cell)).collect(),
    };
    let all = values.len();
    values.truncate(SHOWN_VALUES);
    values.join(", ") + if all > SHOWN_VALUES { ", …" } else { "" }
}

/// `rooms 4`, `town Bonn`, `income missing`.
fn with_name(column: &str, cell: Cell<'_>) -> String {
    match cell {
        Cell::Number(value) => format!("{column} {}", significant(value)),
        Cell::Level(level) => format!("{column} {level}"),
        Cell::Missing => format!("{column} missing"),
        Cell::Unknown => format!("{column} unknown"),
    }
}

/// The most confident mistakes, as images or as a table.
fn mistakes(
    outputs: &Classes,
    measured: &Samples,
    labels: &[String],
    data: &Dataset,
    picture: Option<Markup>,
) -> Markup {
    let mistakes = outputs.mistakes(measured, data);
    if mistakes.is_empty() {
        return html! {};
    }
    let truth = |i: usize| &labels[data.labels()[measured.rows[i] as usize] as usize];
    section(
        "The most confident mistakes",
        &html! {
            p.muted { "what the network said, what is true, and how sure it was" }
            @match picture {
                Some(picture) => (picture),
                None => {
                    div.scroll { table {
                        tr { th { (data.sample_noun()) } th { "prediction" } th { "truth" } th { "probability" } th.left { "values" } }
                        @for &(i, class, probability) in &mistakes {
                            tr {
                                td { (data.sample_name(measured.rows[i])) }
                                td { (labels[class]) }
                                td { (truth(i)) }
                                td { (percent(f64::from(probability))) }
                                td.left { (values(data, measured.rows[i])) }
                            }
                        }
                    } }
                }
            }
        },
    )
}

/// Classes in the table of the classes.
const SHOWN_CLASSES: usize = 200;

fn classes(confusion: &Confusion) -> Markup {
    let share = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), percent);
    let mut scores = confusion.classes();
    let all = scores.len();
    if all > SHOWN_CLASSES {
        scores.sort_by_key(|score| std::cmp::Reverse(score.mistakes));
        scores.truncate(SHOWN_CLASSES);
    }
    html! {
        @if all > SHOWN_CLASSES {
            p.muted { "the " (SHOWN_CLASSES) " of " (plural(all, "class")) " with the most mistakes" }
        }
        div.scroll { table {
            tr { th { "class" } th { "precision" } th { "recall" } th { "F1" } th { "mistakes" } th { "samples" } }
            @for score in &scores {
                tr {
                    td { (score.label) }
                    td { (share(score.precision)) }
                    td { (share(score.recall)) }
                    td { (share(score.f1)) }
                    td { (grouped(score.mistakes)) }
                    td { (grouped(score.samples)) }
                }
            }
        } }
    }
}
