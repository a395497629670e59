//! The rows of a sweep's results.

use std::collections::HashMap;
use std::path::Path;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::csv::csv_field;
use super::names::RESULTS_JSON;
use crate::engine::Score;
use crate::files;
use crate::task::Metric;
use crate::train::setting::Configuration as _;
use crate::train::{EpochRecord, RunResult, SweepRun, TrainConfig};

/// The rows of the text of `results.jsonl`; a line that no sweep writes is left out.
fn rows(text: &str) -> impl Iterator<Item = Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok())
}

/// The rows of the runs that have come to their end, in the results of the sweep in a directory.
pub fn ended_rows(sweep: &Path) -> Vec<Value> {
    let text = files::read_text(&sweep.join(RESULTS_JSON)).unwrap_or_default();
    rows(&text).filter(|row| row["status"] == "done" || row["status"] == "diverged").collect()
}

/// Adds the scores on the test part from the text of `results.jsonl`; a line that no sweep writes is left out.
pub fn add_tests(results: &mut [RunResult], runs: &[SweepRun], text: &str) {
    let positions: HashMap<&str, usize> =
        results.iter().enumerate().map(|(i, result)| (&runs[result.number].name[..], i)).collect();
    for row in rows(text) {
        let position = row["run"].as_str().and_then(|name| positions.get(name));
        if let Some(&position) = position
            && let Some(score) = test_score(&row)
        {
            let result = &mut results[position];
            (result.test, result.test_r2) = (Some(score), row["test_r2"].as_f64());
            let measured = |metric: &Metric| Some((*metric, row[metric.key("test")].as_f64()?));
            result.test_metric = [Metric::MacroF1, Metric::Auc].iter().find_map(measured);
        }
    }
}

/// The score on the test part in a row of the results, rebuilt from its means.
fn test_score(row: &Value) -> Option<Score> {
    let samples = row["test_samples"].as_u64().filter(|n| (1..=MOST_SAMPLES).contains(n))?;
    let (n, loss) = (samples as f64, row["test_loss"].as_f64()?);
    let error = |key: &str| row[key].as_f64().filter(|error| (0.0..1e150).contains(error));
    if let (Some(rmse), Some(mae)) = (error("test_rmse"), error("test_mae")) {
        let mut score = Score::new(loss * n, 0, samples);
        (score.squared_error_sum, score.absolute_error_sum) = (rmse * rmse * n, mae * n);
        return Some(score);
    }
    let accuracy = row["test_accuracy"].as_f64().filter(|share| (0.0..=1.0).contains(share))?;
    Some(Score::new(loss * n, (accuracy * n).round() as u64, samples))
}

/// Samples are numbered in 32 bits.
const MOST_SAMPLES: u64 = u32::MAX as u64;

/// A line of the results: names and values, in order.
pub struct Row(Vec<(String, Value)>);

/// The settings that every row has, before the scores and after them; others follow where they vary.
const FIRST_SETTINGS: [&str; 5] = ["hidden", "activations", "lr", "batch_size", "seed"];
const OTHER_SETTINGS: [&str; 2] = ["init", "weight_decay"];

/// The settings in which the runs differ, besides those that every row has.
pub fn varied(runs: &[SweepRun]) -> Vec<&'static str> {
    let always = |key: &str| FIRST_SETTINGS.contains(&key) || OTHER_SETTINGS.contains(&key);
    let differs = |get: fn(&TrainConfig) -> Option<toml::Value>| {
        runs.windows(2).any(|pair| get(&pair[0].config) != get(&pair[1].config))
    };
    let others = TrainConfig::SETTINGS.iter().filter(|setting| !always(setting.key));
    let others = others.filter(|setting| setting.key != "threads" && differs(setting.get));
    others.map(|setting| setting.key).collect()
}

/// Which figures the rows have.
pub struct Figures {
    is_regression: bool,
    /// Metrics of the validation part that some runs were chosen by, besides accuracy, root mean squared error and loss.
    more: Vec<Metric>,
    /// The metrics that some runs were measured by on the test part, likewise.
    tested_by: Vec<Metric>,
}

impl Figures {
    /// Of the rows of these results.
    pub fn of(results: &[RunResult]) -> Self {
        let best = || results.iter().filter_map(RunResult::best);
        let measured = |metric: &Metric| best().any(|record| record.value(*metric).is_some());
        let tested = |metric: &Metric| {
            results.iter().any(|result| result.test_metric.is_some_and(|(own, _)| own == *metric))
        };
        let more = [Metric::MacroF1, Metric::Auc, Metric::Mae, Metric::R2];
        Self {
            is_regression: best().any(EpochRecord::is_regression),
            more: more.into_iter().filter(measured).collect(),
            tested_by: more.into_iter().filter(tested).collect(),
        }
    }

    /// The metric that every run has.
    fn main(&self) -> Metric {
        Metric::default_for(self.is_regression)
    }

    /// The names and values of the scores on the test part.
    fn tested(&self, result: &RunResult) -> Vec<(&'static str, Value)> {
        let finite = |x: f64| x.is_finite().then_some(x);
        let test = result.test;
        let value = |f: fn(&Score) -> f64| json!(test.and_then(|test| finite(f(&test))));
        match self.is_regression {
            true => vec![
                ("test_rmse", value(Score::rmse)),
                ("test_mae", value(Score::mae)),
                ("test_r2", json!(result.test_r2.and_then(finite))),
            ],
            false => vec![("test_accuracy", value(Score::accuracy))],
        }
    }
}

/// A row of the results.
pub fn row(
    rank: Option<usize>,
    result: &RunResult,
    run: &SweepRun,
    varied: &[&'static str],
    figures: &Figures,
) -> Row {
    let best = result.best();
    let finite = |x: f64| x.is_finite().then_some(x);
    let setting = |key: &str| -> Value {
        let Some(setting) = TrainConfig::setting(key) else { return Value::Null };
        match (setting.get)(&run.config) {
            // lists read as they are written on the command line
            Some(toml::Value::Array(_)) => (setting.text)(&run.config).into(),
            Some(value) => json!(value),
            None => Value::Null,
        }
    };
    let settings = |keys: &[&str]| -> Vec<(String, Value)> {
        keys.iter().map(|&key| (key.to_owned(), setting(key))).collect()
    };
    let mut columns = vec![("rank".to_owned(), json!(rank))];
    columns.extend(settings(&FIRST_SETTINGS));
    let mut push = |name: &str, value: Value| columns.push((name.to_owned(), value));
    let value = |metric| json!(best.and_then(|best| best.value(metric)).and_then(finite));
    push(&figures.main().key("val"), value(figures.main()));
    push("val_loss", json!(best.and_then(|best| best.val_loss).and_then(finite)));
    push("parameters", json!(run.parameters));
    columns.extend(settings(&OTHER_SETTINGS));
    let mut push = |name: &str, value: Value| columns.push((name.to_owned(), value));
    push("best_epoch", json!(best.map(|best| best.epoch)));
    push("epochs", json!(result.history.len()));
    push("seconds", json!(result.seconds()));
    push("threads", json!(run.threads()));
    push("status", json!(result.status));
    figures.more.iter().for_each(|&metric| push(&metric.key("val"), value(metric)));
    figures.tested(result).into_iter().for_each(|(name, value)| push(name, value));
    for &metric in &figures.tested_by {
        push(&metric.key("test"), json!(result.test_value(metric).and_then(finite)));
    }
    push("test_loss", json!(result.test.and_then(|test| finite(test.loss()))));
    push("test_samples", json!(result.test.map(|test| test.samples)));
    push("run", json!(run.name));
    push("error", json!(result.error));
    for (key, value) in settings(varied) {
        let taken = columns.iter().any(|(name, _)| *name == key); // `epochs` are those that were trained
        columns.push((if taken { format!("{key}_setting") } else { key }, value));
    }
    Row(columns)
}

impl Row {
    /// The first line of the table.
    pub fn keys(&self) -> String {
        self.0.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>().join(",")
    }

    /// A row of the table.
    pub fn csv_line(&self) -> String {
        self.0.iter().map(|(_, value)| csv_value(value)).collect::<Vec<_>>().join(",")
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
        map.end()
    }
}

/// A value as a field of a table; nothing for null.
fn csv_value(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => csv_field(text),
        other => other.to_string(),
    }
}
