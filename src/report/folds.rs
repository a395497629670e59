//! What a cross-validation came to, as a table.

use console::measure_text_width;

use super::format::{duration, grouped, number, plural};
use super::run_row::{NAME, named};
use super::style::{Paint, Text};
use super::table::{Column, Layout};
use crate::task::Metric;
use crate::train::{FoldScores, RunResult, SweepRun};

/// Combinations that are shown.
const SHOWN: usize = 10;

/// A configuration's folds: its samples, its score, how it was trained.
const FOLDS: [Column; 6] = [
    Column::right("fold", 0, 5, 0),
    Column::right("score", 2, 8, 0),
    Column::right("loss", 2, 8, 2),
    Column::right("samples", 2, 8, 3),
    Column::right("best epoch", 2, 10, 1),
    Column::right("time", 2, 8, 4),
];

/// The ranking of several; their names follow.
const COMBINATIONS: [Column; 6] = [
    Column::right("rank", 0, 5, 0),
    Column::right("mean", 2, 8, 0),
    Column::right("deviation", 2, 9, 1),
    Column::right("loss", 2, 8, 3),
    Column::right("parameters", 2, 10, 2),
    Column::right("time", 2, 8, 4),
];

/// The folds of one combination of settings, or the ranking of several, and what the best one came to. `scores` are the
/// combinations, the best first.
pub fn folds_table(
    scores: &[FoldScores],
    results: &[RunResult],
    runs: &[SweepRun],
    metric: Metric,
    width: Option<usize>,
) -> Text {
    let Some(best) = scores.first() else { return Text::default() };
    let mut text = match scores.len() {
        1 => folds(results, runs, metric, width),
        _ => combinations(scores, metric, width),
    };
    if let (Some(mean), Some(sd)) = (best.mean(), best.sd()) {
        let of = if scores.len() > 1 { " of the best" } else { "" };
        let line = Text::from(format!(
            "\n\n{}{of}, mean of {} ",
            metric.title(),
            plural(best.values.len(), "fold")
        ))
        .with(Paint::Best, metric.text(mean))
        .with(Paint::Plain, format!(", standard deviation {}", deviation(metric, sd)));
        text = text.then(line.wrapped(width, 2));
    }
    text
}

/// A deviation of a metric, for people: of shares in percentage points.
pub fn deviation(metric: Metric, sd: f64) -> String {
    match metric {
        Metric::Accuracy | Metric::MacroF1 => format!("{:.2} points", 100.0 * sd),
        metric => metric.text(sd),
    }
}

/// A row for each fold.
fn folds(results: &[RunResult], runs: &[SweepRun], metric: Metric, width: Option<usize>) -> Text {
    let dash = || "-".to_owned();
    let rows: Vec<[String; 6]> = results
        .iter()
        .filter_map(|result| {
            let fold = runs[result.number()].fold.as_ref()?;
            Some([
                fold.number.to_string(),
                result.test_value(metric).map_or_else(dash, |value| metric.text(value)),
                result.test.map_or_else(dash, |test| number(test.loss())),
                result.test.map_or_else(dash, |test| grouped(test.samples)),
                format!("{}/{}", result.best_epoch, result.history.len()),
                duration(result.seconds()),
            ])
        })
        .collect();
    let layout = Layout::of(&FOLDS, &rows, width);
    let mut text = Text::default().with(Paint::Head, layout.head());
    for row in &rows {
        text = text.with(Paint::Plain, format!("\n{}", layout.row(row)));
    }
    text
}

/// A row for each combination, the best ones.
fn combinations(scores: &[FoldScores], metric: Metric, width: Option<usize>) -> Text {
    let dash = || "-".to_owned();
    let shown = &scores[..scores.len().min(SHOWN)];
    let rows: Vec<[String; 6]> = (shown.iter().enumerate())
        .map(|(i, scores)| {
            let rank = scores.mean().map_or_else(dash, |_| (i + 1).to_string());
            [
                rank,
                scores.mean().map_or_else(dash, |mean| metric.text(mean)),
                scores.sd().map_or_else(dash, |sd| deviation(metric, sd)),
                scores.loss().map_or_else(dash, number),
                grouped(scores.parameters as u64),
                duration(scores.seconds),
            ]
        })
        .collect();
    let longest = shown.iter().map(|scores| measure_text_width(&scores.settings)).max();
    let longest = longest.unwrap_or(0).min(NAME);
    let layout = Layout::of(&COMBINATIONS, &rows, width.map(|w| w.saturating_sub(2 + longest)));
    let mut text = Text::default().with(Paint::Head, layout.head() + "  settings");
    for (i, (scores, cells)) in shown.iter().zip(&rows).enumerate() {
        let paint = if i == 0 && scores.mean().is_some() { Paint::Best } else { Paint::Plain };
        let line = layout.row(cells) + &named(&layout, width, &scores.settings, "");
        text = text.with(Paint::Plain, "\n").with(paint, line);
    }
    match scores.len().saturating_sub(SHOWN) {
        0 => text,
        more => text.with(Paint::Plain, format!("\n  and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Score;
    use crate::train::{Fold, Status, TrainConfig, fold_scores, rank};

    /// `combinations` on two folds each, of which the last is the best.
    fn made(combinations: usize) -> (Vec<SweepRun>, Vec<RunResult>) {
        let run = |number: usize| {
            let mut run = SweepRun::new(String::new(), TrainConfig::default(), 12_345);
            let combination = number % combinations;
            let settings = match combinations {
                1 => String::new(),
                _ => format!("{combination}_784-784-784_lr0.01_b100"),
            };
            run.fold =
                Some(Fold { number: number / combinations + 1, of: 2, combination, settings });
            run
        };
        let result = |number: usize| {
            let mut result = RunResult::failed(number, &crate::Error::usage("no"));
            result.status = Status::Done;
            let correct = 90 + (number % combinations) as u64 + 2 * (number / combinations) as u64;
            result.test = Some(Score::new(10.0, correct, 100));
            result
        };
        let runs: Vec<SweepRun> = (0..2 * combinations).map(run).collect();
        let mut results: Vec<RunResult> = (0..2 * combinations).map(result).collect();
        rank(&mut results, &runs);
        (runs, results)
    }

    #[test]
    fn one_configuration_is_shown_fold_by_fold() {
        let (runs, results) = made(1);
        let scores = fold_scores(&results, &runs, Metric::Accuracy);
        let text = folds_table(&scores, &results, &runs, Metric::Accuracy, None).plain();
        let expected = "\x20fold     score      loss   samples  best epoch      time
    1   90.00 %    0.1000       100         0/0     0.0 s
    2   92.00 %    0.1000       100         0/0     0.0 s

accuracy, mean of 2 folds 91.00 %, standard deviation 1.41 points";
        assert_eq!(text, expected);
    }

    #[test]
    fn several_are_ranked_and_fit() {
        let (runs, results) = made(12);
        let scores = fold_scores(&results, &runs, Metric::Accuracy);
        for width in 40..100 {
            let text = folds_table(&scores, &results, &runs, Metric::Accuracy, Some(width)).plain();
            let widest = text.lines().map(measure_text_width).max();
            assert!(widest <= Some(width), "{width}:\n{text}");
            assert!(text.contains("102.00 %") && text.contains("and 2 more"), "{text}");
        }
    }
}
