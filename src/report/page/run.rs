//! The report of a run.

use std::path::{Path, PathBuf};

use maud::{Markup, html};
use ndarray::{Array2, ArrayView1};

use super::gallery::{self, Tile};
use super::html::{figure, page, picture, section};
use super::picture::Picture;
use super::plots;
use crate::data::{Dataset, Features};
use crate::error::{Error, Result};
use crate::files::{self, Survives};
use crate::model::matrix;
use crate::report::format::{duration, grouped, network, percent, plural};
use crate::report::predictions::most_probable;
use crate::report::{ClassScore, Confusion};
use crate::train::Trainer;

/// Images in a picture of samples, of mistakes, and of first-layer weights.
const SHOWN: usize = 30;

/// The name of the page.
pub const REPORT: &str = "report.html";

/// What the kept weights say of a part of the data.
struct Measured {
    part: &'static str,
    rows: Vec<u32>,
    truth: Vec<u32>,
    probabilities: Array2<f32>,
    confusion: Confusion,
    labels: Vec<String>,
    accuracy: f64,
    loss: f64,
}

/// Writes `report.html` and its pictures into a directory; returns the page's path. `run_dir` is where the run is.
///
/// The run's weights are measured on the test part, or on the validation part if there is no test part.
///
/// # Errors
/// If the run has no finished epoch, or a file cannot be written.
pub fn write_run_report(
    trainer: &mut Trainer<'_>,
    run_dir: &Path,
    directory: &Path,
) -> Result<PathBuf> {
    if trainer.state().epoch() == 0 {
        let problem = match trainer.state().diverged {
            Some(divergence) => format!("the run has no finished epoch: {divergence}"),
            None => "the run has no finished epoch; train it first, by `--resume`".to_owned(),
        };
        return Err(Error::invalid_file(run_dir, problem));
    }
    let measured = measure(trainer);
    let state = trainer.state();
    let mut pictures = vec![plots::convergence(&state.history, state.best_epoch)?];
    if let Some(measured) = &measured {
        pictures.extend(measured.pictures(trainer.data())?);
    }
    let first = trainer.spec().layers().first().map(|layer| layer.n_out);
    if let (Some(image), Some(units)) = (trainer.data().image(), first) {
        let n_in = trainer.spec().n_in();
        let w = matrix(&state.best_params[..units * n_in], units, n_in);
        pictures.push(gallery::weights(w, image, SHOWN)?);
    }
    pictures.iter().try_for_each(|picture| picture.save(directory))?;
    let run_dir = std::path::absolute(run_dir).map_err(Error::io("find", run_dir))?;
    let name = run_dir.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let body = body(trainer, &run_dir, &name, &pictures, measured.as_ref());
    let path = directory.join(REPORT);
    files::write_atomic(&path, page(&name, &body).as_bytes(), Survives::Process)?;
    Ok(path)
}

fn measure(trainer: &mut Trainer<'_>) -> Option<Measured> {
    let parts = trainer.parts();
    let (part, rows) = match (&parts.test[..], &parts.val[..]) {
        ([], []) => return None,
        ([], val) => ("validation", val.to_vec()),
        (test, _) => ("test", test.to_vec()),
    };
    let logits = trainer.best_logits(&rows);
    let score = trainer.best_score(&rows);
    let probabilities = trainer.best_probabilities(&rows);
    let truth: Vec<u32> = rows.iter().map(|&row| trainer.data().labels()[row as usize]).collect();
    let labels = trainer.best_model().labels();
    let confusion = Confusion::new(labels.clone(), logits.view(), truth.iter().copied());
    let (accuracy, loss) = (score.accuracy(), score.loss());
    Some(Measured { part, rows, truth, probabilities, confusion, labels, accuracy, loss })
}

impl Measured {
    /// The confusion matrix, some samples, the most confident mistakes.
    fn pictures(&self, data: &Dataset) -> Result<Vec<Picture>> {
        let mut pictures = Vec::new();
        if self.labels.len() <= gallery::CONFUSION_CLASSES {
            pictures.push(gallery::confusion(self.confusion.counts(), &self.labels));
        }
        let Some(image) = data.image() else { return Ok(pictures) };
        let samples: Vec<Tile> = (0..self.rows.len().min(SHOWN))
            .map(|i| Tile {
                pixels: pixels(data, self.rows[i]),
                words: [self.labels[self.truth[i] as usize].clone(), String::new()],
            })
            .collect();
        let alt =
            format!("The first {} of the {} part with their labels", samples.len(), self.part);
        pictures.push(gallery::images("samples", alt, &samples, image)?);
        let mistakes = self.mistakes();
        if !mistakes.is_empty() {
            let tiles: Vec<Tile> = mistakes
                .iter()
                .map(|&(i, class, probability)| Tile {
                    pixels: pixels(data, self.rows[i]),
                    words: [
                        format!(
                            "{} not {}",
                            self.labels[class], self.labels[self.truth[i] as usize]
                        ),
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
    fn mistakes(&self) -> Vec<(usize, usize, f32)> {
        let ranked = |row: ArrayView1<'_, f32>| {
            let class = most_probable(row);
            (class, row[class])
        };
        let rows = self.probabilities.rows().into_iter().zip(&self.truth).enumerate();
        let mut mistakes: Vec<(usize, usize, f32)> = rows
            .filter(|(_, (row, _))| !row.iter().any(|p| p.is_nan()))
            .map(|(i, (row, &truth))| (i, ranked(row), truth as usize))
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
    let place = row as usize * n..(row as usize + 1) * n;
    match data.features() {
        Features::U8(values) => values[place].iter().map(|&x| f32::from(x) / 255.0).collect(),
        Features::F32(values) => values[place].to_vec(),
    }
}

fn body(
    trainer: &Trainer<'_>,
    run_dir: &Path,
    name: &str,
    pictures: &[Picture],
    measured: Option<&Measured>,
) -> Markup {
    let (state, config) = (trainer.state(), trainer.config());
    let best = state.best_epoch.checked_sub(1).and_then(|best| state.history.get(best));
    let seconds: f64 = state.history.iter().map(|record| record.seconds).sum();
    let samples = trainer.parts().train.len() as f64 * state.epoch() as f64;
    let shown = |name: &str| pictures.iter().find(|picture| picture.name == name).map(picture);
    html! {
        p.muted { "densely · a run on " (trainer.data().name()) }
        h1 { (name) }
        p.muted { (network(trainer.spec())) }
        @if let Some(divergence) = state.diverged {
            p.muted { (divergence.to_string()) }
        } @else if !state.is_finished() {
            p.muted { "not finished: " (state.epoch()) " of " (config.epochs) " epochs so far" }
        }
        div.figures {
            @if let Some(measured) = measured {
                (figure(&format!("{} accuracy", measured.part), &percent(measured.accuracy)))
                (figure(&format!("{} loss", measured.part), &format!("{:.4}", measured.loss)))
            }
            @if let Some(accuracy) = best.and_then(|best| best.val_accuracy) {
                (figure(&format!("validation, epoch {} of {}", state.best_epoch, state.epoch()), &percent(accuracy)))
            }
            (figure("parameters", &grouped(state.optimizer.params.len() as u64)))
            (figure("samples per second", &grouped((samples / seconds) as u64)))
            (figure("in training passes", &duration(seconds)))
        }
        (section("Convergence", &html! { @if let Some(plot) = shown("convergence") { (plot) } }))
        @if let Some(measured) = measured {
            @if let Some(plot) = shown("confusion") {
                (section("Confusion", &html! {
                    p.muted { (grouped(measured.rows.len() as u64)) " samples of the " (measured.part) " part" }
                    (plot)
                }))
            }
            (section("Classes", &classes(&measured.confusion.classes())))
            @if let Some(plot) = shown("mistakes") {
                (section("The most confident mistakes", &html! {
                    p.muted { "what the network said, what is true, and how sure it was" }
                    (plot)
                }))
            }
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
            div.scroll { table { @for (key, value) in settings(trainer) { tr { td { (key) } td.left { (value) } } } } }
            p.muted { "Again, bit for bit, on such a machine: " }
            pre { "densely train --config " (quoted(&run_dir.join("config.toml").display().to_string())) }
        }))
        p.muted {
            (trainer.backend().describe()) ", " (plural(config.threads, "thread")) ", seed " (config.seed)
        }
    }
}

/// As a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,=".contains(c);
    if path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

fn classes(scores: &[ClassScore]) -> Markup {
    html! {
        div.scroll { table {
            tr { th { "class" } th { "precision" } th { "recall" } th { "F1" } th { "samples" } }
            @for score in scores {
                tr {
                    td { (score.label) }
                    td { (percent(score.precision)) }
                    td { (percent(score.recall)) }
                    td { (percent(score.f1)) }
                    td { (grouped(score.samples)) }
                }
            }
        } }
    }
}

/// The resolved settings, as `config.toml` has them.
fn settings(trainer: &Trainer<'_>) -> Vec<(String, String)> {
    let table = toml::Table::try_from(trainer.config()).unwrap_or_default();
    let value = |value: toml::Value| match value {
        toml::Value::String(text) => text,
        other => other.to_string(),
    };
    table.into_iter().map(|(key, v)| (key, value(v))).collect()
}
