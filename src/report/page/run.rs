//! The report of a run.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use maud::{Markup, html};

use super::convergence::{Against, Aim, convergence};
use super::gallery;
use super::html::{choice, figure, page, picture, section};
use super::measured::Measured;
use super::picture::Picture;
use crate::data::{Dataset, Parts};
use crate::error::{Error, Result};
use crate::files;
use crate::gemm::Backend;
use crate::model::{Layout, Model, matrix};
use crate::report::format::{date, duration, grouped, machine, network, plural};
use crate::report::importance::Important;
use crate::store::RunConfig;
use crate::store::names::{CONFIG, REPORT};
use crate::task::Metric;
use crate::text::{self, shell};
use crate::train::TrainerState;

/// Units whose weights are shown as images.
const UNITS: usize = 30;

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
    /// What matters to the model on that part, or some of it; `None` where it is not known.
    pub importance: Option<Important>,
    /// The run's directory.
    pub run_dir: &'a Path,
    /// When it was trained last.
    pub trained: SystemTime,
    /// The page of the sweep that the run is part of, relative to the directory of the report.
    pub sweep: Option<&'a str>,
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
    let curves = |against| convergence(state.history(), state.best_epoch(), against, record.aim());
    let mut pictures = vec![curves(Against::Epochs)?, curves(Against::Time)?];
    if let Some(measured) = &record.measured {
        pictures.extend(measured.pictures(&model.labels(), data)?);
    }
    let first = model.spec().layers().first().map(|layer| layer.n_out);
    let grey = gallery::size(data).filter(|_| data.channels() == 1);
    if let (Some(image), Some(units)) = (grey, first) {
        let n_in = model.spec().n_in();
        // as evaluations have them
        let folded = model.folded()?;
        let w = matrix(&folded.params()[..units * n_in], units, n_in);
        pictures.push(gallery::weights(w, image, UNITS)?);
    }
    pictures.iter().try_for_each(|picture| picture.save(directory))?;
    let run_dir = std::path::absolute(run_dir).map_err(Error::io("find", run_dir))?;
    let name = run_dir.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let body = body(record, &run_dir, &name, &pictures);
    let path = directory.join(REPORT);
    files::write_atomic(&path, text::xml(&page(&name, &body)).as_bytes())?;
    Ok(path)
}

impl RunRecord<'_> {
    /// What the run was trained for.
    fn aim(&self) -> Aim {
        let task = self.model.task();
        let default = || Metric::suited_to(task.loss());
        Aim { loss: task.loss(), metric: self.state.config().metric.or_else(default) }
    }
}

fn body(record: &RunRecord<'_>, run_dir: &Path, name: &str, pictures: &[Picture]) -> Markup {
    let RunRecord { state, model, data, measured, .. } = record;
    let config = &record.config.train;
    let seconds: f64 = state.history().iter().map(|record| record.seconds).sum();
    let samples = record.parts.train.len() as f64 * state.epoch() as f64;
    let shown = |name: &str| pictures.iter().find(|picture| picture.name == name).map(picture);
    let metric = record.aim().metric;
    let parameters = Layout::new(model.spec()).map_or(0, |layout| layout.parameters());
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
                (measured.figures())
            }
            @if let Some(value) = state.best().and_then(|best| best.value(metric)) {
                @let what = if metric == Metric::Accuracy { String::new() } else { format!(" {}", metric.title()) };
                (figure(&format!("validation{what}, epoch {} of {}", state.best_epoch(), state.epoch()), &metric.text(value)))
            }
            (figure("parameters", &grouped(parameters as u64)))
            (figure(&format!("of training, {} samples/s", grouped((samples / seconds) as u64)), &duration(seconds)))
        }
        @if let (Some(by_epoch), Some(by_time)) = (shown("convergence"), shown("convergence-by-time")) {
            (section("Convergence", &choice("convergence", [("by epoch", &by_epoch), ("by time", &by_time)])))
        }
        @if let Some(important) = &record.importance {
            (section("What matters", &important.section()))
        }
        @if let Some(measured) = measured {
            (measured.sections(&model.labels(), data, &shown))
        }
        @if let Some(plot) = shown("weights") {
            (section(if record.model.spec().members() > 1 { "Weights of the first layer of the first network" } else { "Weights of the first layer" }, &html! {
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

/// The resolved settings, as `config.toml` has them.
fn settings(config: &RunConfig) -> Vec<(&'static str, String)> {
    let value = |value: toml::Value| match value {
        toml::Value::String(text) => text,
        other => other.to_string(),
    };
    config.entries().map(|(key, v)| (key, value(v))).collect()
}
