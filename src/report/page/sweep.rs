//! The report of a sweep, or of several runs side by side.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use maud::{Markup, html};

use super::html::{figure, page, picture, section};
use super::picture::{Picture, palette};
use super::plots::{self, Axes, Effect, Series};
use crate::error::Result;
use crate::files;
use crate::report::format::{duration, grouped, percent, plural};
use crate::store::names::REPORT;
use crate::text;
use crate::train::setting::Configuration as _;
use crate::train::{RankedRuns, RunResult, Status, SweepRun, TrainConfig};

/// The least error that is drawn, in percent: an error of 0 has no logarithm.
const LEAST_ERROR: f64 = 0.01;

/// Curves with a colour of their own.
const LEADERS: usize = 5;

/// What the page of a sweep, or of several runs, is made from.
pub struct SweepRecord<'a> {
    /// The runs and their results.
    pub ranked: &'a RankedRuns,
    /// What each run was trained on, by number.
    pub data: &'a [String],
    /// The heading of the page.
    pub title: &'a str,
}

/// Writes `report.html` and its pictures into a directory; returns the page's path. `links` says where a run's own report
/// is, relative to the directory.
///
/// # Errors
/// If a file cannot be written.
pub fn write_sweep_report(
    record: &SweepRecord<'_>,
    directory: &Path,
    links: impl Fn(&SweepRun) -> Option<String>,
) -> Result<PathBuf> {
    let ranked = record.ranked;
    let effects = record.effects();
    let mut pictures = vec![curves(ranked)?];
    pictures.push(accuracy_against(
        ranked,
        "accuracy-by-parameters",
        "Validation accuracy against the size of the network",
        "parameters (logarithmic)",
        &|result| ranked.run_of(result).parameters as f64,
        &|x| short(x),
    )?);
    pictures.push(accuracy_against(
        ranked,
        "accuracy-by-time",
        "Validation accuracy against training time",
        "seconds of training, all threads together (logarithmic)",
        &|result| result.seconds() * ranked.run_of(result).threads() as f64,
        &|x| short(x),
    )?);
    if !effects.is_empty() {
        pictures.push(plots::effects(&effects)?);
    }
    pictures.iter().try_for_each(|picture| picture.save(directory))?;
    let path = directory.join(REPORT);
    let body = body(record, &pictures, &links);
    files::write_atomic(&path, text::xml(&page(record.title, &body)).as_bytes())?;
    Ok(path)
}

/// Validation accuracy in percent.
fn accuracy(result: &RunResult) -> Option<f64> {
    result.best().and_then(|best| best.val_accuracy).map(|accuracy| 100.0 * accuracy)
}

/// `1.5 k`, `2 M`, `0.2`.
fn short(x: f64) -> String {
    let rounded = |x: f64| (x * 100.0).round() / 100.0;
    match x {
        1e6.. => format!("{} M", rounded(x / 1e6)),
        1e3.. => format!("{} k", rounded(x / 1e3)),
        _ => rounded(x).to_string(),
    }
}

/// What is drawn of a run: the leaders have a name and a colour.
fn of_rank(rank: usize, points: Vec<(f64, f64)>) -> Series {
    let colour = (rank < LEADERS).then_some(rank);
    let name = colour.map_or_else(String::new, |rank| format!("#{}", rank + 1));
    Series { name, points, colour }
}

/// The background is drawn first, then the leaders by rank.
fn leaders_on_top(series: &mut [Series]) {
    series.sort_by_key(|series| series.colour.is_some());
}

/// Validation error by epoch, all runs; the best have colours.
fn curves(ranked: &RankedRuns) -> Result<Picture> {
    let series = ranked.results().iter().enumerate().map(|(rank, result)| {
        let points = result.history.iter().filter_map(|record| {
            let error = 100.0 * (1.0 - record.val_accuracy?);
            Some((record.epoch as f64, error.max(LEAST_ERROR)))
        });
        of_rank(rank, points.collect())
    });
    let mut series: Vec<Series> = series.filter(|series| !series.points.is_empty()).collect();
    leaders_on_top(&mut series);
    let axes = Axes {
        title: "Validation error by epoch (%, logarithmic)",
        x: "epoch",
        log_x: false,
        log_y: true,
        y_format: &|y| format!("{} %", (y * 100.0).round() / 100.0),
        x_format: &|x| if x.fract() == 0.0 { format!("{x:.0}") } else { String::new() },
    };
    let alt = format!("Validation error by epoch of {}", plural(ranked.results().len(), "run"));
    plots::single("curves", alt, &axes, &series, false)
}

/// A dot for each run; the best have colours. Runs far below the others are left out.
fn accuracy_against(
    ranked: &RankedRuns,
    name: &'static str,
    title: &str,
    x_name: &str,
    x: &dyn Fn(&RunResult) -> f64,
    x_format: &dyn Fn(f64) -> String,
) -> Result<Picture> {
    let lowest = plots::lowest_shown(ranked.results().iter().filter_map(accuracy));
    let mut series: Vec<Series> = Vec::new();
    let mut hidden = 0;
    for (rank, result) in ranked.results().iter().enumerate() {
        let Some(accuracy) = accuracy(result).filter(|accuracy| accuracy.is_finite()) else {
            continue;
        };
        if accuracy < lowest {
            hidden += 1;
            continue;
        }
        series.push(of_rank(rank, vec![(x(result), accuracy)]));
    }
    leaders_on_top(&mut series);
    let x_name = match hidden {
        0 => x_name.to_owned(),
        n => format!("{x_name}; {} below {lowest:.1} % not shown", plural(n, "run")),
    };
    let axes = Axes {
        title,
        x: &x_name,
        log_x: true,
        log_y: false,
        y_format: &|y| format!("{} %", (y * 100.0).round() / 100.0),
        x_format,
    };
    plots::single(name, title.to_owned(), &axes, &series, true)
}

/// A setting of a training as a text.
fn setting_text(config: &TrainConfig, key: &str) -> String {
    // one activation for all hidden layers is the same setting at every depth
    if let ("activations", [first, rest @ ..]) = (key, &config.activations[..])
        && rest.iter().all(|other| other == first)
    {
        return first.to_string();
    }
    TrainConfig::setting(key).map_or_else(String::new, |setting| setting.label(config))
}

/// The name of what the runs were trained on, among their settings.
const DATA: &str = "data";

impl SweepRecord<'_> {
    /// A setting of a run.
    fn value(&self, number: usize, key: &str) -> String {
        match key {
            DATA => self.data[number].clone(),
            key => setting_text(&self.ranked.runs()[number].config, key),
        }
    }

    /// The names of the settings in which the runs differ.
    fn varied(&self) -> Vec<&'static str> {
        let keys = TrainConfig::SETTINGS.iter().map(|setting| setting.key).chain([DATA]);
        let varies = |key: &&str| {
            (1..self.ranked.runs().len()).any(|i| self.value(i, key) != self.value(i - 1, key))
        };
        keys.filter(varies).collect()
    }

    /// What each of the varied settings does to the accuracy.
    fn effects(&self) -> Vec<Effect> {
        let effect = |name: &str| {
            let mut values: Vec<(String, Vec<f64>)> = Vec::new();
            let mut results: Vec<&RunResult> = self.ranked.results().iter().collect();
            results.sort_by_key(|result| result.number); // in the order of the grid
            for result in results {
                let Some(accuracy) = accuracy(result) else { continue };
                let value = self.value(result.number, name);
                match values.iter_mut().find(|(known, _)| *known == value) {
                    Some((_, accuracies)) => accuracies.push(accuracy),
                    None => values.push((value, vec![accuracy])),
                }
            }
            Effect { name: name.replace('_', " "), values }
        };
        self.varied().into_iter().map(effect).filter(|e| e.values.len() <= 12).collect()
    }

    /// The accuracies of runs that differ only in their seeds, by their other settings, in the order of the means.
    fn over_seeds(&self) -> Vec<(String, Vec<f64>)> {
        let settings = self.varied();
        let mut groups: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for result in self.ranked.results() {
            let names = settings.iter().filter(|&&name| name != "seed");
            let key: Vec<String> = names
                .map(|name| {
                    format!("{} {}", name.replace('_', " "), self.value(result.number, name))
                })
                .collect();
            let key = if key.is_empty() { "all".to_owned() } else { key.join(", ") };
            groups.entry(key).or_default().extend(accuracy(result));
        }
        let mut groups: Vec<_> =
            groups.into_iter().filter(|(_, values)| values.len() > 1).collect();
        groups.sort_by(|a, b| mean(&b.1).total_cmp(&mean(&a.1)));
        groups
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sample standard deviation.
fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    (squares / (values.len() - 1) as f64).sqrt()
}

fn body(
    record: &SweepRecord<'_>,
    pictures: &[Picture],
    links: &impl Fn(&SweepRun) -> Option<String>,
) -> Markup {
    let (ranked, settings) = (record.ranked, record.varied());
    let best = &ranked.results()[0];
    let seconds: f64 = ranked.results().iter().map(RunResult::seconds).sum();
    let epochs: usize = ranked.results().iter().map(|result| result.history.len()).sum();
    let seeds = if settings.contains(&"seed") { record.over_seeds() } else { Vec::new() };
    html! {
        p.muted { "densely · " (plural(ranked.results().len(), "run")) @if !settings.contains(&DATA) { " on " (record.data[0]) }
        }
        h1 { (record.title) }
        div.figures {
            @if let Some(accuracy) = accuracy(best) {
                (figure("best validation accuracy", &percent(accuracy / 100.0)))
            }
            @if let Some(test) = best.test { (figure("its test accuracy", &percent(test.accuracy()))) }
            (figure("its parameters", &grouped(ranked.run_of(best).parameters as u64)))
            (figure("epochs trained", &grouped(epochs as u64)))
            (figure("of training, all runs added", &duration(seconds)))
        }
        @for picture_of in pictures {
            section {
                @if picture_of.name == "effects" {
                    (html! { h2 { "What each setting does" } p.muted { "a dot for each run, a bar for the median" } })
                }
                (picture(picture_of))
            }
        }
        @if !seeds.is_empty() {
            (section("Over seeds", &html! {
                div.scroll { table {
                    tr { th { "settings" } th { "runs" } th { "mean" } th { "standard deviation" } th { "lowest" } th { "highest" } }
                    @for (key, values) in &seeds {
                        tr {
                            td { (key) }
                            td { (values.len()) }
                            td { (percent(mean(values) / 100.0)) }
                            td { (format!("{:.3}", deviation(values))) }
                            td { (percent(values.iter().copied().fold(f64::INFINITY, f64::min) / 100.0)) }
                            td { (percent(values.iter().copied().fold(0.0, f64::max) / 100.0)) }
                        }
                    }
                } }
            }))
        }
        (section("Ranking", &html! {
            p.muted { "by validation accuracy, then validation loss, then fewer parameters" }
            div.scroll { table {
                tr {
                    th { "rank" }
                    @for name in &settings { th { (name.replace('_', " ")) } }
                    th { "validation" } th { "loss" } th { "epoch" } th { "parameters" } th { "time" } th { "threads" } th { "test" } th { "run" }
                }
                @for (i, result) in ranked.results().iter().enumerate() {
                    (row(i, result, record, &settings, links))
                }
            } }
        }))
    }
}

fn row(
    i: usize,
    result: &RunResult,
    record: &SweepRecord<'_>,
    settings: &[&str],
    links: &impl Fn(&SweepRun) -> Option<String>,
) -> Markup {
    let (best, run) = (result.best(), &record.ranked.run_of(result));
    let loss = best.and_then(|best| best.val_loss);
    html! {
        tr.best[i == 0] {
            td {
                (i + 1)
                @if i < LEADERS { span style=(format!("color:{}", palette::hex(palette::SERIES[i]))) { " ●" } }
            }
            @for name in settings { td { (record.value(result.number, name)) } }
            td { (best.and_then(|best| best.val_accuracy).map_or_else(|| "-".to_owned(), percent)) }
            td { (loss.map_or_else(|| "-".to_owned(), |loss| format!("{loss:.4}"))) }
            td {
                (result.best_epoch) "/" (result.history.len())
                @match result.status {
                    Status::Done => {}
                    Status::Diverged => " (diverged)",
                    Status::Failed => " (failed)",
                    Status::Unfinished => { " (unfinished, of " (run.config.epochs) ")" }
                }
            }
            td { (grouped(run.parameters as u64)) }
            td { (duration(result.seconds())) }
            td { (run.threads()) }
            td { (result.test.map_or_else(|| "-".to_owned(), |test| percent(test.accuracy()))) }
            td {
                @match links(run) {
                    Some(link) => a href=(link) { (run.name) },
                    None => (run.name),
                }
            }
        }
    }
}
