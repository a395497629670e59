//! The report of a sweep, or of several runs side by side.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use maud::{Markup, html};

use super::html::{figure, page, picture, section};
use super::picture::{Picture, palette};
use super::plots::{self, Axes, Effect, Series};
use super::run::REPORT;
use crate::error::{Error, Result};
use crate::files::{self, Survives};
use crate::report::RunDir;
use crate::report::format::{duration, grouped, percent, plural};
use crate::train::{RunResult, Status, SweepRun, TrainConfig, rank};

/// Curves with a colour of their own.
const LEADERS: usize = 5;

/// Several runs and what became of them, the best first.
#[derive(Debug, Default)]
pub struct RankedRuns {
    /// By number.
    pub runs: Vec<SweepRun>,
    /// In the order of the ranks.
    pub results: Vec<RunResult>,
}

/// Reads the runs of some directories.
///
/// # Errors
/// If one of them holds no run, or none has a finished epoch.
pub fn ranked_runs(directories: &[PathBuf]) -> Result<RankedRuns> {
    let mut ranked = RankedRuns::default();
    for directory in directories {
        let (_, config, state) = RunDir::open(directory)?;
        let name = directory.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_else(|| directory.display().to_string());
        let number = ranked.runs.len();
        if let Some(state) = state.filter(|state| state.epoch() > 0) {
            let parameters = state.optimizer.params.len();
            ranked.results.push(RunResult::of(number, &state));
            ranked.runs.push(SweepRun { name, config, parameters });
        }
    }
    if ranked.results.is_empty() {
        return Err(Error::usage("no run there has a finished epoch; expected at least one"));
    }
    rank(&mut ranked.results, &ranked.runs);
    Ok(ranked)
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

/// Validation error by epoch, all runs; the best have colours.
fn curves(ranked: &RankedRuns) -> Result<Picture> {
    let series = ranked.results.iter().enumerate().map(|(rank, result)| {
        let points = result.history.iter().filter_map(|record| {
            let error = 100.0 * (1.0 - record.val_accuracy?);
            (error > 0.0).then_some((record.epoch as f64, error))
        });
        let leads = rank < LEADERS.min(ranked.results.len());
        Series {
            name: if leads { format!("#{}", rank + 1) } else { String::new() },
            points: points.collect(),
            colour: leads.then_some(rank),
        }
    });
    // the background first, the best on top of all
    let mut series: Vec<Series> = series.filter(|series| !series.points.is_empty()).collect();
    series.reverse();
    let leaders = series.iter().filter(|series| series.colour.is_some()).count();
    let from = series.len() - leaders;
    series[from..].reverse();
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
        let leads = rank < LEADERS;
        let name = if leads { format!("#{}", rank + 1) } else { String::new() };
        let points = vec![(x(result), accuracy)];
        series.push(Series { name, points, colour: leads.then_some(rank) });
    }
    series.sort_by_key(|series| series.colour.is_some());
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

/// A setting of a run by its name, as text.
type Setting = (&'static str, fn(&TrainConfig) -> String);

const SETTINGS: [Setting; 8] = [
    ("hidden", |c| join(&c.hidden)),
    ("activations", |c| match &c.activations[..] {
        [first, rest @ ..] if rest.iter().all(|other| other == first) => first.to_string(),
        several => join(several),
    }),
    ("init", |c| c.init.to_string()),
    ("lr", |c| c.lr.to_string()),
    ("weight decay", |c| c.weight_decay.to_string()),
    ("batch", |c| c.batch_size.to_string()),
    ("seed", |c| c.seed.to_string()),
    ("data", |c| c.data.clone()),
];

fn join<T: ToString>(values: &[T]) -> String {
    if values.is_empty() {
        return "none".to_owned();
    }
    values.iter().map(T::to_string).collect::<Vec<_>>().join("-")
}

/// The settings in which the runs differ.
fn varied(runs: &[SweepRun]) -> Vec<Setting> {
    let varies = |setting: &Setting| {
        runs.windows(2).any(|pair| setting.1(&pair[0].config) != setting.1(&pair[1].config))
    };
    SETTINGS.into_iter().filter(varies).collect()
}

/// What each of the varied settings does to the accuracy.
fn effects(ranked: &RankedRuns) -> Vec<Effect> {
    let effect = |(name, value): Setting| {
        let mut values: Vec<(String, Vec<f64>)> = Vec::new();
        let mut results: Vec<&RunResult> = ranked.results.iter().collect();
        results.sort_by_key(|result| result.number); // in the order of the grid
        for result in results {
            let Some(accuracy) = accuracy(result) else { continue };
            let value = value(&ranked.runs[result.number].config);
            match values.iter_mut().find(|(known, _)| *known == value) {
                Some((_, accuracies)) => accuracies.push(accuracy),
                None => values.push((value, vec![accuracy])),
            }
        }
        Effect { name: name.to_owned(), values }
    };
    varied(&ranked.runs).into_iter().map(effect).filter(|e| e.values.len() <= 12).collect()
}

/// Runs that differ by their seeds alone: number, mean and standard deviation of the accuracy, in the order of the means.
fn over_seeds(ranked: &RankedRuns) -> Vec<(String, Vec<f64>)> {
    let settings = varied(&ranked.runs);
    let mut groups: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for result in &ranked.results {
        let config = &ranked.runs[result.number].config;
        let values = settings.iter().filter(|(name, _)| *name != "seed");
        let key: Vec<String> =
            values.map(|(name, value)| format!("{name} {}", value(config))).collect();
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
    let seeds = if settings.iter().any(|(name, _)| *name == "seed") {
        over_seeds(ranked)
    } else {
        Vec::new()
    };
    html! {
        p.muted { "densely · " (plural(ranked.results.len(), "run")) " on " (ranked.runs[0].config.data) }
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
        @for picture_of in pictures { section { (picture(picture_of)) } }
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
                    @for (name, _) in &settings { th { (name) } }
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
    settings: &[Setting],
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
            @for (_, value) in settings { td { (value(&run.config)) } }
            td { (best.and_then(|best| best.val_accuracy).map_or_else(|| "-".to_owned(), percent)) }
            td { (loss.map_or_else(|| "-".to_owned(), |loss| format!("{loss:.4}"))) }
            td {
                (result.best_epoch) "/" (result.history.len())
                @if result.status != Status::Done { " (diverged)" }
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
