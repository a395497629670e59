//! The report of a sweep, or of several runs side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use maud::{Markup, html};

use super::html::{figure, page, picture, section};
use super::picture::{Picture, palette};
use super::plots::{self, Axes, Effect, Series};
use super::run::REPORT;
use crate::error::{Error, Result};
use crate::files::{self, Survives};
use crate::report::format::{duration, grouped, percent, plural};
use crate::report::{RunDir, Standing};
use crate::train::{RunResult, Status, SweepRun, TrainConfig, rank};

/// The logarithm has no place for no error at all, in percent.
const LEAST_ERROR: f64 = 0.01;

/// Curves with a colour of their own.
const LEADERS: usize = 5;

/// Several runs and what became of them, the best first.
#[derive(Debug)]
pub struct RankedRuns {
    /// By number.
    pub runs: Vec<SweepRun>,
    /// In the order of the ranks.
    pub results: Vec<RunResult>,
}

impl RankedRuns {
    /// Ranks results.
    ///
    /// # Errors
    /// If no run has a finished epoch.
    pub fn new(runs: Vec<SweepRun>, mut results: Vec<RunResult>) -> Result<Self> {
        if results.iter().all(|result| result.history.is_empty()) {
            return Err(Error::usage("no run there has a finished epoch; expected at least one"));
        }
        rank(&mut results, &runs);
        Ok(Self { runs, results })
    }
}

/// Reads the runs of some directories.
///
/// # Errors
/// If one of them holds no run, or none has a finished epoch.
pub fn ranked_runs(directories: &[PathBuf]) -> Result<RankedRuns> {
    let (mut runs, mut results) = (Vec::new(), Vec::new());
    for directory in directories {
        let Standing { config, state } = RunDir::read(directory)?;
        if let Some(state) = state.filter(|state| state.epoch() > 0) {
            results.push(RunResult::of(runs.len(), &state));
            let parameters = state.optimizer.params.len();
            runs.push(SweepRun { name: directory.display().to_string(), config, parameters });
        }
    }
    RankedRuns::new(runs, results)
}

/// Writes `report.html` and its pictures into a directory; returns the page's path. `title` heads the page; `links` says
/// where a run's own report is, relative to the directory.
///
/// # Errors
/// If a file cannot be written.
pub fn write_sweep_report(
    ranked: &RankedRuns,
    directory: &Path,
    title: &str,
    links: impl Fn(&SweepRun) -> Option<String>,
) -> Result<PathBuf> {
    let effects = effects(ranked);
    let mut pictures = vec![curves(ranked)?];
    pictures.push(accuracy_against(
        ranked,
        "accuracy-by-parameters",
        "Validation accuracy against the size of the network",
        "parameters (logarithmic)",
        &|result| ranked.runs[result.number].parameters as f64,
        &|x| short(x),
    )?);
    pictures.push(accuracy_against(
        ranked,
        "accuracy-by-time",
        "Validation accuracy against training time",
        "seconds of training, all threads together (logarithmic)",
        &|result| result.seconds() * ranked.runs[result.number].config.threads as f64,
        &|x| short(x),
    )?);
    if !effects.is_empty() {
        pictures.push(plots::effects(&effects)?);
    }
    pictures.iter().try_for_each(|picture| picture.save(directory))?;
    let path = directory.join(REPORT);
    let body = body(ranked, title, &pictures, &links);
    files::write_atomic(&path, page(title, &body).as_bytes(), Survives::Process)?;
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
    let series = ranked.results.iter().enumerate().map(|(rank, result)| {
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
    let alt = format!("Validation error by epoch of {}", plural(ranked.results.len(), "run"));
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
    let lowest = plots::lowest_shown(ranked.results.iter().filter_map(accuracy));
    let mut series: Vec<Series> = Vec::new();
    let mut hidden = 0;
    for (rank, result) in ranked.results.iter().enumerate() {
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

/// The settings of a run as texts.
fn settings(config: &TrainConfig) -> BTreeMap<String, String> {
    let join = |values: Vec<String>| match values.is_empty() {
        true => "none".to_owned(),
        false => values.join("-"),
    };
    let text = |value: toml::Value| match value {
        toml::Value::String(text) => text,
        toml::Value::Array(values) => {
            let texts = values.iter().map(|value| match value {
                toml::Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            join(texts.collect())
        }
        other => other.to_string(),
    };
    let table = toml::Table::try_from(config).unwrap_or_default();
    let mut settings: BTreeMap<String, String> =
        table.into_iter().map(|(key, value)| (key, text(value))).collect();
    // one activation for all hidden layers is the same setting at every depth
    if let [first, rest @ ..] = &config.activations[..]
        && rest.iter().all(|other| other == first)
    {
        settings.insert("activations".to_owned(), first.to_string());
    }
    settings
}

/// The names of the settings in which the runs differ, those of a grid first.
fn varied(runs: &[SweepRun]) -> Vec<String> {
    const FIRST: [&str; 7] =
        ["hidden", "activations", "init", "lr", "weight_decay", "batch_size", "seed"];
    let all: Vec<_> = runs.iter().map(|run| settings(&run.config)).collect();
    let keys: BTreeSet<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    let varies = |key: &str| all.windows(2).any(|pair| pair[0].get(key) != pair[1].get(key));
    let others = keys.into_iter().filter(|key| !FIRST.contains(&&key[..])).map(|key| &key[..]);
    FIRST.into_iter().chain(others).filter(|key| varies(key)).map(str::to_owned).collect()
}

fn value(config: &TrainConfig, key: &str) -> String {
    settings(config).remove(key).unwrap_or_else(|| "-".to_owned())
}

/// What each of the varied settings does to the accuracy.
fn effects(ranked: &RankedRuns) -> Vec<Effect> {
    let effect = |name: String| {
        let mut values: Vec<(String, Vec<f64>)> = Vec::new();
        let mut results: Vec<&RunResult> = ranked.results.iter().collect();
        results.sort_by_key(|result| result.number); // in the order of the grid
        for result in results {
            let Some(accuracy) = accuracy(result) else { continue };
            let value = value(&ranked.runs[result.number].config, &name);
            match values.iter_mut().find(|(known, _)| *known == value) {
                Some((_, accuracies)) => accuracies.push(accuracy),
                None => values.push((value, vec![accuracy])),
            }
        }
        Effect { name: name.replace('_', " "), values }
    };
    varied(&ranked.runs).into_iter().map(effect).filter(|e| e.values.len() <= 12).collect()
}

/// Runs that differ by their seeds alone: number, mean and standard deviation of the accuracy, in the order of the means.
fn over_seeds(ranked: &RankedRuns) -> Vec<(String, Vec<f64>)> {
    let settings = varied(&ranked.runs);
    let mut groups: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for result in &ranked.results {
        let config = &ranked.runs[result.number].config;
        let names = settings.iter().filter(|name| *name != "seed");
        let key: Vec<String> = names
            .map(|name| format!("{} {}", name.replace('_', " "), value(config, name)))
            .collect();
        let key = if key.is_empty() { "all".to_owned() } else { key.join(", ") };
        groups.entry(key).or_default().extend(accuracy(result));
    }
    let mut groups: Vec<_> = groups.into_iter().filter(|(_, values)| values.len() > 1).collect();
    groups.sort_by(|a, b| mean(&b.1).total_cmp(&mean(&a.1)));
    groups
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
    ranked: &RankedRuns,
    title: &str,
    pictures: &[Picture],
    links: &impl Fn(&SweepRun) -> Option<String>,
) -> Markup {
    let settings = varied(&ranked.runs);
    let best = &ranked.results[0];
    let seconds: f64 = ranked.results.iter().map(RunResult::seconds).sum();
    let epochs: usize = ranked.results.iter().map(|result| result.history.len()).sum();
    let seeds =
        if settings.iter().any(|name| name == "seed") { over_seeds(ranked) } else { Vec::new() };
    html! {
        p.muted { "densely · " (plural(ranked.results.len(), "run")) @if !settings.iter().any(|name| name == "data") { " on " (ranked.runs[0].config.data) }
        }
        h1 { (title) }
        div.figures {
            @if let Some(accuracy) = accuracy(best) {
                (figure("best validation accuracy", &percent(accuracy / 100.0)))
            }
            @if let Some(test) = best.test { (figure("its test accuracy", &percent(test.accuracy()))) }
            (figure("its parameters", &grouped(ranked.runs[best.number].parameters as u64)))
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
                @for (i, result) in ranked.results.iter().enumerate() {
                    (row(i, result, &ranked.runs[result.number], &settings, links))
                }
            } }
        }))
    }
}

fn row(
    i: usize,
    result: &RunResult,
    run: &SweepRun,
    settings: &[String],
    links: &impl Fn(&SweepRun) -> Option<String>,
) -> Markup {
    let best = result.best();
    let loss = best.and_then(|best| best.val_loss);
    html! {
        tr.best[i == 0] {
            td {
                (i + 1)
                @if i < LEADERS { span style=(format!("color:{}", palette::hex(palette::SERIES[i]))) { " ●" } }
            }
            @for name in settings { td { (value(&run.config, name)) } }
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
            td { (run.config.threads) }
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
