//! The report of a run.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use maud::{Markup, html};
use ndarray::{Array2, ArrayView1};

use super::axis::significant;
use super::confusion::{CONFUSION_CLASSES, confusion};
use super::convergence::{Against, convergence};
use super::gallery::{self, Tile};
use super::html::{choice, figure, page, picture, section};
use super::picture::Picture;
use crate::data::{Dataset, Features, Parts};
use crate::engine::Score;
use crate::error::{Error, Result};
use crate::files;
use crate::gemm::Backend;
use crate::model::{Model, matrix};
use crate::report::Confusion;
use crate::report::classification::Confused;
use crate::report::format::{date, duration, grouped, machine, network, percent, plural};
use crate::store::RunConfig;
use crate::store::names::{CONFIG, REPORT};
use crate::task::largest;
use crate::text::{self, shell};
use crate::train::TrainerState;

/// Images in a picture of samples, of mistakes, and of first-layer weights.
const SHOWN: usize = 30;

/// What the page of a run is made from.
pub struct RunRecord<'a> {
    /// The contents of its `config.toml`.
    pub config: &'a RunConfig,
    /// The state that it has reached; at least one epoch is finished.
    pub state: &'a TrainerState,
    /// The model that was kept.
    pub model: &'a Model,
    /// The data that it was trained on.
    pub data: &'a Dataset,
    /// The parts of the data.
    pub parts: &'a Parts,
    /// What computed the matrix products.
    pub backend: Backend,
    /// What the model says of the test part, or of the validation part if there is no test part; `None` without either.
    pub measured: Option<Measured>,
    /// The run's directory.
    pub run_dir: &'a Path,
    /// When it was trained last.
    pub trained: SystemTime,
    /// The page of the sweep that the run is part of, relative to the directory of the report.
    pub sweep: Option<&'a str>,
}

/// The outputs of a model for a part of the data.
pub struct Measured {
    /// The name of the part.
    pub part: &'static str,
    /// Its rows.
    pub rows: Vec<u32>,
    /// Loss and accuracy.
    pub score: Score,
    /// (rows, classes)
    pub probabilities: Array2<f32>,
    /// The true classes against the predicted ones.
    pub confusion: Confusion,
}

/// Writes `report.html` and its pictures into a directory; returns the page's path.
///
/// # Errors
/// If the run has no finished epoch, or a file cannot be written.
pub fn write_run_report(record: &RunRecord<'_>, directory: &Path) -> Result<PathBuf> {
    let RunRecord { state, data, model, run_dir, .. } = record;
    if state.epoch() == 0 {
        let problem = match state.diverged() {
            Some(divergence) => format!("the run has no finished epoch: {divergence}"),
            None => "the run has no finished epoch; resume it first".to_owned(),
        };
        return Err(Error::invalid_file(run_dir, problem));
    }
    let curves = |against| convergence(state.history(), state.best_epoch(), against);
    let mut pictures = vec![curves(Against::Epochs)?, curves(Against::Time)?];
    if let Some(measured) = &record.measured {
        pictures.extend(measured.pictures(&model.labels(), data)?);
    }
    let first = model.spec().layers().first().map(|layer| layer.n_out);
    if let (Some(image), Some(units)) = (image(data), first) {
        let n_in = model.spec().n_in();
        let w = matrix(&model.params()[..units * n_in], units, n_in);
        pictures.push(gallery::weights(w, image, SHOWN)?);
    }
    pictures.iter().try_for_each(|picture| picture.save(directory))?;
    let run_dir = std::path::absolute(run_dir).map_err(Error::io("find", run_dir))?;
    let name = run_dir.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let body = body(record, &run_dir, &name, &pictures);
    let path = directory.join(REPORT);
    files::write_atomic(&path, text::xml(&page(&name, &body)).as_bytes())?;
    Ok(path)
}

/// Rows and columns of the images, if the data consists of images.
fn image(data: &Dataset) -> Option<(usize, usize)> {
    data.image().filter(|&image| gallery::is_picture(image))
}

impl Measured {
    /// The confusion matrix, some samples, the most confident mistakes.
    fn pictures(&self, labels: &[String], data: &Dataset) -> Result<Vec<Picture>> {
        let mut pictures = Vec::new();
        if labels.len() <= CONFUSION_CLASSES {
            pictures.push(confusion(self.confusion.counts(), labels)?);
        }
        let Some(image) = image(data) else { return Ok(pictures) };
        let truth = |i: usize| data.labels()[self.rows[i] as usize] as usize;
        let samples: Vec<Tile> = (0..self.rows.len().min(SHOWN))
            .map(|i| Tile {
                pixels: pixels(data, self.rows[i]),
                words: [labels[truth(i)].clone(), String::new()],
            })
            .collect();
        let alt =
            format!("The first {} of the {} part with their labels", samples.len(), self.part);
        pictures.push(gallery::images("samples", alt, &samples, image)?);
        let mistakes = self.mistakes(data);
        if !mistakes.is_empty() {
            let tiles: Vec<Tile> = mistakes
                .iter()
                .map(|&(i, class, probability)| Tile {
                    pixels: pixels(data, self.rows[i]),
                    words: [
                        format!("{} not {}", labels[class], labels[truth(i)]),
                        format!("{:.1} %", 100.0 * probability),
                    ],
                })
                .collect();
            let alt = format!("The {} most confident mistakes", tiles.len());
            pictures.push(gallery::images("mistakes", alt, &tiles, image)?);
        }
        Ok(pictures)
    }

    /// Position, prediction and probability of the most confident mistakes.
    fn mistakes(&self, data: &Dataset) -> Vec<(usize, usize, f32)> {
        let ranked = |row: ArrayView1<'_, f32>| {
            let class = largest(row);
            (class, row[class])
        };
        let truth = self.rows.iter().map(|&row| data.labels()[row as usize]);
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

fn body(record: &RunRecord<'_>, run_dir: &Path, name: &str, pictures: &[Picture]) -> Markup {
    let RunRecord { state, model, data, measured, .. } = record;
    let config = &record.config.train;
    let seconds: f64 = state.history().iter().map(|record| record.seconds).sum();
    let samples = record.parts.train.len() as f64 * state.epoch() as f64;
    let shown = |name: &str| pictures.iter().find(|picture| picture.name == name).map(picture);
    html! {
        p.muted {
            "densely · a run on " (data.name())
            @if let Some(sweep) = record.sweep { " · " a href=(sweep) { "the sweep that it is part of" } }
        }
        h1 { (name) }
        p.muted { (network(model.spec(), &model.task())) }
        @if let Some(divergence) = state.diverged() {
            p.muted { (divergence.to_string()) }
        } @else if !state.is_finished() {
            p.muted { "not finished: " (state.epoch()) " of " (config.epochs) " epochs so far" }
        }
        div.figures {
            @if let Some(measured) = measured {
                (figure(&format!("{} accuracy", measured.part), &percent(measured.score.accuracy())))
                (figure(&format!("{} loss", measured.part), &significant(measured.score.loss())))
                @if let Some(f1) = measured.confusion.macro_f1() {
                    (figure(&format!("{} macro F1", measured.part), &percent(f1)))
                }
            }
            @if let Some(accuracy) = state.best().and_then(|best| best.val_accuracy) {
                (figure(&format!("validation, epoch {} of {}", state.best_epoch(), state.epoch()), &percent(accuracy)))
            }
            (figure("parameters", &grouped(model.params().len() as u64)))
            (figure(&format!("of training, {} samples/s", grouped((samples / seconds) as u64)), &duration(seconds)))
        }
        @if let (Some(by_epoch), Some(by_time)) = (shown("convergence"), shown("convergence-by-time")) {
            (section("Convergence", &choice("convergence", [("by epoch", &by_epoch), ("by time", &by_time)])))
        }
        @if let Some(measured) = measured {
            @if let Some(plot) = shown("confusion") {
                (section("Confusion", &html! {
                    p.muted { (grouped(measured.rows.len() as u64)) " samples of the " (measured.part) " part; a row adds up to its class" }
                    (plot)
                }))
            }
            @let confusions = measured.confusion.most_frequent(SHOWN_CONFUSIONS);
            @if !confusions.is_empty() {
                (section("The most frequent confusions", &frequent(&confusions)))
            }
            (section("Classes", &classes(&measured.confusion)))
            (mistakes(measured, &model.labels(), data, shown("mistakes")))
            @if let Some(plot) = shown("samples") {
                (section(&format!("The beginning of the {} part", measured.part), &plot))
            }
        }
        @if let Some(plot) = shown("weights") {
            (section("Weights of the first layer", &html! {
                p.muted { "orange adds, blue subtracts; each unit by its own largest weight" }
                (plot)
            }))
        }
        (section("Configuration", &html! {
            div.scroll { table.settings { @for (key, value) in settings(record.config) { tr { td { (key) } td.left { (value) } } } } }
            p.muted { "To repeat it bit for bit on such a machine:" }
            pre { "densely train --config " (shell(&run_dir.join(CONFIG))) }
        }))
        (section("Environment", &html! {
            div.scroll { table.settings {
                tr { td { "last trained" } td.left { (date(record.trained)) } }
                tr { td { "program" } td.left { "densely " (env!("CARGO_PKG_VERSION")) } }
                tr { td { "matrix products" } td.left { (record.backend.describe()) ", " (plural(state.threads(), "thread")) } }
                tr { td { "report made on" } td.left { (machine()) } }
                tr { td { "data" } td.left { (data.name()) ", " (grouped(data.len() as u64)) " samples of " (plural(data.n_features(), "value")) } }
            } }
        }))
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

/// The most confident mistakes, as images or as a table.
fn mistakes(
    measured: &Measured,
    labels: &[String],
    data: &Dataset,
    picture: Option<Markup>,
) -> Markup {
    let mistakes = measured.mistakes(data);
    if mistakes.is_empty() {
        return html! {};
    }
    let truth = |i: usize| &labels[data.labels()[measured.rows[i] as usize] as usize];
    let values = |i: usize| {
        let values = pixels(data, measured.rows[i]);
        let shown = values.iter().take(SHOWN_VALUES).map(|x| significant(f64::from(*x)));
        let more = if values.len() > SHOWN_VALUES { ", …" } else { "" };
        shown.collect::<Vec<_>>().join(", ") + more
    };
    section(
        "The most confident mistakes",
        &html! {
            p.muted { "what the network said, what is true, and how sure it was" }
            @match picture {
                Some(picture) => (picture),
                None => {
                    div.scroll { table {
                        tr { th { "sample" } th { "prediction" } th { "truth" } th { "probability" } th.left { "values" } }
                        @for &(i, class, probability) in &mistakes {
                            tr {
                                td { (grouped(u64::from(measured.rows[i]) + 1)) }
                                td { (labels[class]) }
                                td { (truth(i)) }
                                td { (percent(f64::from(probability))) }
                                td.left { (values(i)) }
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

/// The resolved settings, as `config.toml` has them.
fn settings(config: &RunConfig) -> Vec<(&'static str, String)> {
    let value = |value: toml::Value| match value {
        toml::Value::String(text) => text,
        other => other.to_string(),
    };
    config.entries().map(|(key, v)| (key, value(v))).collect()
}
