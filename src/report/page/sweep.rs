//! The report of a sweep, or of several runs side by side.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use maud::{Markup, html};

use super::convergence::Against;
use super::effects::{Effect, effects};
use super::folds::over_folds;
use super::html::{choice, figure, page, picture, section};
use super::measured::Measured;
use super::metric::distance_axis;
use super::picture::Picture;
use super::sweep_charts::{Cost, DRAWN, LEADERS, Links, curves, metric_against};
use crate::data::Dataset;
use crate::error::Result;
use crate::figures;
use crate::files;
use crate::report::folds::deviation;
use crate::report::format::{date, duration, grouped, machine, number, plural, scores};
use crate::store::names::{REPORT, RESULTS_CSV};
use crate::task::Metric;
use crate::text;
use crate::train::setting::{Configuration as _, UNSET};
use crate::train::{RankedRuns, RunResult, Status, TrainConfig};

/// What the page of a sweep, or of several runs, is made from.
pub struct SweepRecord<'a> {
    /// The runs and their results.
    pub ranked: &'a RankedRuns,
    /// What each run was trained on, by number.
    pub data: &'a [String],
    /// The heading of the page.
    pub title: &'a str,
    /// When the last of the runs was trained.
    pub trained: SystemTime,
    /// The command that makes the report of a run, with RUN in place of its directory.
    pub report: &'a str,
    /// Of a cross-validation: what its models say of the samples that they were not trained on, and the data.
    pub out_of_fold: Option<(&'a Measured, &'a Dataset)>,
}

/// Writes `report.html` and its pictures into a directory; returns the page's path. `links` says where a run's own report
/// is, relative to the directory.
///
/// # Errors
/// If a file cannot be written.
pub fn write_sweep_report(
    record: &SweepRecord<'_>,
    directory: &Path,
    links: Links<'_>,
) -> Result<PathBuf> {
    let data: Vec<&str> = record.data.iter().map(|data| &data[..]).collect();
    let record = &SweepRecord { data: &without_shared_directories(&data), ..*record };
    let (ranked, names) = (record.ranked, record.names());
    let mut pictures = vec![
        curves(ranked, &names, Against::Epochs)?,
        curves(ranked, &names, Against::Time)?,
        metric_against(ranked, &names, links, Cost::Parameters)?,
        metric_against(ranked, &names, links, Cost::Time)?,
    ];
    let settings = record.effects();
    if !settings.is_empty() {
        pictures.push(effects(&settings, ranked.metric())?);
    }
    if let Some((measured, data)) = record.out_of_fold {
        pictures.extend(measured.pictures(data.classes(), data)?);
    }
    pictures.iter().try_for_each(|picture| picture.save(directory))?;
    let path = directory.join(REPORT);
    let body = body(record, &names, &pictures, links);
    files::write_atomic(&path, text::xml(&page(record.title, &body)).as_bytes())?;
    Ok(path)
}

/// A setting of a training as a text.
fn setting_text(config: &TrainConfig, key: &str) -> String {
    // one activation for all hidden layers is the same setting at every depth
    if let ("activations", [first, rest @ ..]) = (key, &config.activations[..])
        && rest.iter().all(|other| other == first)
    {
        return first.to_string();
    }
    match TrainConfig::setting(key).map(|setting| (setting.text)(config)) {
        Some(text) if !text.is_empty() => text,
        _ => UNSET.to_owned(),
    }
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

    /// The runs' names, by number.
    fn names(&self) -> Vec<String> {
        let names: Vec<&str> = self.ranked.runs().iter().map(|run| &run.name[..]).collect();
        without_shared_directories(&names)
    }

    /// The names of the settings in which the runs differ.
    fn varied(&self) -> Vec<&'static str> {
        let keys = TrainConfig::SETTINGS.iter().map(|setting| setting.key).chain([DATA]);
        let varies = |key: &&str| {
            (1..self.ranked.runs().len()).any(|i| self.value(i, key) != self.value(i - 1, key))
        };
        keys.filter(varies).collect()
    }

    /// What ranks the runs, of one of them.
    fn metric_of(&self, result: &RunResult) -> Option<f64> {
        result.value(self.ranked.metric()).filter(|value| value.is_finite())
    }

    /// What each of the varied settings does to the metric.
    fn effects(&self) -> Vec<Effect> {
        let effect = |name: &str| {
            let mut values: Vec<(String, Vec<f64>)> = Vec::new();
            let mut results: Vec<&RunResult> = self.ranked.results().iter().collect();
            results.sort_by_key(|result| result.number); // in the order of the grid
            for result in results {
                let Some(metric) = self.metric_of(result) else { continue };
                let value = self.value(result.number, name);
                match values.iter_mut().find(|(known, _)| *known == value) {
                    Some((_, metrics)) => metrics.push(metric),
                    None => values.push((value, vec![metric])),
                }
            }
            Effect { name: name.replace('_', " "), values }
        };
        self.varied()
            .into_iter()
            .map(effect)
            .filter(|e| (2..=12).contains(&e.values.len()))
            .collect()
    }

    /// The metric of runs that differ only in their seeds, by their other settings, in the order of the means.
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
            groups.entry(key).or_default().extend(self.metric_of(result));
        }
        let mut groups: Vec<_> =
            groups.into_iter().filter(|(_, values)| values.len() > 1).collect();
        groups.sort_by(|a, b| self.ranked.metric().order(figures::mean(&a.1), figures::mean(&b.1)));
        groups
    }
}

/// Paths without the directories that all of them share.
fn without_shared_directories(paths: &[&str]) -> Vec<String> {
    let end = |path: &str| path.rfind('/').map_or(0, |end| end + 1);
    let first = paths.first().copied().unwrap_or_default();
    let mut start = end(first);
    while start > 0 && !paths.iter().all(|path| path.starts_with(&first[..start])) {
        start = end(&first[..start - 1]);
    }
    paths.iter().map(|path| path[start..].to_owned()).collect()
}

fn body(
    record: &SweepRecord<'_>,
    names: &[String],
    pictures: &[Picture],
    links: Links<'_>,
) -> Markup {
    let (ranked, settings) = (record.ranked, record.varied());
    let best = &ranked.results()[0];
    let seconds: f64 = ranked.results().iter().map(RunResult::seconds).sum();
    let epochs: usize = ranked.results().iter().map(|result| result.history.len()).sum();
    let metric = ranked.metric();
    let title = metric.title();
    let in_no_chart =
        ranked.results().iter().filter(|result| record.metric_of(result).is_none()).count();
    let shown = |name: &str| pictures.iter().find(|picture| picture.name == name).map(picture);
    let folds = ranked.fold_scores();
    let seeds = match folds.is_empty() && settings.contains(&"seed") {
        true => record.over_seeds(),
        false => Vec::new(),
    };
    let ranks = ranked.ranks();
    html! {
        p.muted { "densely · " @if ranked.results().len() < ranked.runs().len() { (grouped(ranked.results().len() as u64)) " of " } (plural(ranked.runs().len(), "run")) @if !settings.contains(&DATA) { " on " (record.data[0]) }
        }
        h1 { (record.title) }
        div.figures {
            @if let Some((mean, sd)) = folds.first().and_then(|best| best.mean().zip(best.sd())) {
                (figure(&format!("mean {title} over {}", plural(folds[0].values.len(), "fold")), &metric.text(mean)))
                (figure("standard deviation", &deviation(metric, sd)))
            }
            @if let Some((measured, _)) = record.out_of_fold { (measured.figures()) }
            @if let Some(value) = record.metric_of(best).filter(|_| folds.is_empty()) {
                (figure(&format!("best validation {title}"), &metric.text(value)))
            }
            @if let Some(test) = best.test.filter(|_| folds.is_empty()) {
                @for (metric, value) in scores(&test, best.test_r2, metric.is_regression()) {
                    (figure(&format!("its test {}", metric.title()), &metric.text(value)))
                }
            }
            (figure("its parameters", &grouped(ranked.run_of(best).parameters as u64)))
            (figure("epochs trained", &grouped(epochs as u64)))
            (figure("of training, all runs added", &duration(seconds)))
        }
        @if !folds.is_empty() { (section("Over folds", &over_folds(&folds, metric))) }
        @if let Some((measured, data)) = record.out_of_fold {
            (measured.sections(data.classes(), data, &shown))
        }
        @if let (Some(by_epoch), Some(by_time)) = (shown("curves"), shown("curves-by-time")) {
            (section(&distance_axis(metric).1, &choice("curves", [("by epoch", &by_epoch), ("by time", &by_time)])))
        }
        @if let (Some(parameters), Some(time)) = (shown(Cost::Parameters.name(metric)), shown(Cost::Time.name(metric))) {
            (section(&format!("Validation {title} against cost"), &choice("cost", [("parameters", &parameters), ("time", &time)])))
        }
        @if in_no_chart > 0 {
            p.muted { "Without a value of the validation " (title) ", and so in no chart: " (plural(in_no_chart, "run")) }
        }
        @if let Some(effects) = shown("effects") {
            (section("What each setting does", &html! { p.muted { "validation " (title) ": a dot for each run, a bar for the median" } (effects) }))
        }
        @if !seeds.is_empty() {
            (section("Over seeds", &html! {
                div.scroll { table {
                    tr { th { "settings" } th { "mean" } th { "standard deviation" } th { "lowest" } th { "highest" } th { "runs" } }
                    @for (key, values) in &seeds {
                        tr {
                            td.wrap { (key) }
                            td { (metric.text(figures::mean(values))) }
                            td { (deviation(metric, figures::deviation(values))) }
                            td { (metric.text(values.iter().copied().fold(f64::INFINITY, f64::min))) }
                            td { (metric.text(values.iter().copied().fold(f64::NEG_INFINITY, f64::max))) }
                            td { (values.len()) }
                        }
                    }
                } }
            }))
        }
        (section("Ranking", &html! {
            p.muted {
                @match folds.is_empty() {
                    true => { "by validation " (title) ", then validation loss, then fewer parameters" }
                    false => { "by the mean " (title) " over the folds, on which the runs are tested, then mean loss, then fewer parameters" }
                }
            }
            div.scroll { table {
                tr {
                    th { "rank" } th.left { "run" } th { "validation" @if metric != Metric::Accuracy { " " (title) } }
                    th { "test" @if metric != Metric::Accuracy { " " (Metric::default_for(metric.is_regression()).title()) } }
                    @for name in &settings { th { (name.replace('_', " ")) } }
                    th { "loss" } th { "epoch" } th { "parameters" } th { "time" } th { "threads" }
                }
                @for (i, (result, rank)) in ranked.results().iter().zip(&ranks).enumerate().take(DRAWN) {
                    (row((i, *rank), (result, &names[result.number]), record, &settings, links))
                }
            } }
            @if ranked.results().len() > DRAWN {
                p.muted { "the best " (DRAWN) " of " (plural(ranked.results().len(), "run")) "; " (RESULTS_CSV) " has all of them" }
            }
            @if ranked.results().iter().any(|result| links(ranked.run_of(result)).is_none()) {
                p.muted { "A run without a link has no report yet; make it with:" }
                pre { (record.report) }
            }
        }))
        p.muted { "last trained " (date(record.trained)) "; report made on " (machine()) }
    }
}

fn row(
    (i, rank): (usize, Option<usize>),
    (result, name): (&RunResult, &str),
    record: &SweepRecord<'_>,
    settings: &[&str],
    links: Links<'_>,
) -> Markup {
    let (best, run) = (result.best(), &record.ranked.run_of(result));
    let loss = best.and_then(|best| best.val_loss);
    let metric = record.ranked.metric();
    let test = result.test.map(|test| scores(&test, None, metric.is_regression())[0]);
    html! {
        tr.best[i == 0] {
            td {
                @if let Some(rank) = rank { (rank) } @else { "-" }
                @if i < LEADERS && record.metric_of(result).is_some() { span class=(format!("c{i}")) { " ●" } }
            }
            td.left {
                @match links(run) {
                    Some(link) => a href=(link) { (name) },
                    None => (name),
                }
            }
            td { (result.value(metric).map_or_else(|| "-".to_owned(), |value| metric.text(value))) }
            td { (test.map_or_else(|| "-".to_owned(), |(metric, value)| metric.text(value))) }
            @for name in settings { td { (record.value(result.number, name)) } }
            td { (loss.map_or_else(|| "-".to_owned(), number)) }
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{EpochRecord, SweepRun};

    fn ranked(runs: usize, epochs: usize) -> RankedRuns {
        let config = |seed| TrainConfig::default().with(|config| config.seed = seed);
        let run = |i: usize| SweepRun::new(format!("a/{i:04}_seed{i}"), config(i as u64), 1000 + i);
        let record = |i: usize, epoch: usize| EpochRecord {
            epoch,
            train_loss: 0.1,
            train_accuracy: Some(0.9),
            val_loss: Some(0.1),
            val_accuracy: Some(0.9 + 1e-9 * (i * epoch) as f64),
            seconds: 0.123_456_789,
            samples_per_second: 1.0,
            ..EpochRecord::default()
        };
        let result = |i: usize| RunResult {
            number: i,
            status: Status::Done,
            error: None,
            history: (1..=epochs).map(|epoch| record(i, epoch)).collect(),
            best_epoch: epochs,
            test: None,
            test_r2: None,
            test_metric: None,
        };
        RankedRuns::new((0..runs).map(run).collect(), (0..runs).map(result).collect()).unwrap()
    }

    #[test]
    fn the_page_of_a_large_sweep_is_small() {
        let ranked = ranked(3000, 1000);
        let data = vec!["mnist".to_owned(); 3000];
        let record = SweepRecord {
            ranked: &ranked,
            data: &data,
            title: "large",
            trained: SystemTime::UNIX_EPOCH,
            report: "densely report RUN",
            out_of_fold: None,
        };
        let directory = tempfile::tempdir().unwrap();
        let path = write_sweep_report(&record, directory.path(), &|_| None).unwrap();
        let page = std::fs::read_to_string(path).unwrap();
        assert!(page.len() < 1_500_000, "{}", page.len());
        assert!(page.contains("the best 300 of 3,000 runs"));
        assert!(
            page.contains("#1 2999_seed2999") && !page.contains("#1 a/2999"),
            "the shared directory"
        );
    }
}
