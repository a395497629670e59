//! The ranking of a sweep as a table.

use console::measure_text_width;

use super::format::{duration, grouped, number};
use super::run_row::{NAME, named, status_word, validation_head};
use super::style::{Paint, Text};
use super::table::{Column, Layout};
use crate::train::{RunResult, SweepRun, ranking_metric};

/// The ranking by a metric with this name; names follow.
const fn columns(metric: &'static str) -> [Column; 6] {
    [
        Column::right("rank", 0, 5, 0),
        Column::right(metric, 2, 10, 0),
        Column::right("loss", 2, 8, 4),
        Column::right("best epoch", 2, 10, 1),
        Column::right("parameters", 2, 10, 2),
        Column::right("time", 2, 9, 3),
    ]
}

/// The ranking as a table for people: the first `shown` runs.
pub fn ranking(
    results: &[RunResult],
    runs: &[SweepRun],
    shown: usize,
    width: Option<usize>,
) -> Text {
    let metric = ranking_metric(results, runs);
    let shown_results = &results[..shown.min(results.len())];
    let name = |result: &RunResult| &runs[result.number].name[..];
    let rows: Vec<[String; 6]> = (shown_results.iter().enumerate())
        .map(|(i, result)| {
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            let best = result.best();
            [
                or_dash(result.is_ranked().then(|| (i + 1).to_string())),
                or_dash(result.value(metric).map(|value| metric.text(value))),
                or_dash(best.and_then(|best| best.val_loss).map(number)),
                format!("{}/{}", result.best_epoch, result.history.len()),
                grouped(runs[result.number].parameters as u64),
                duration(result.seconds()),
            ]
        })
        .collect();
    let widest = |widths: &dyn Fn(&RunResult) -> usize| shown_results.iter().map(widths).max();
    let longest = widest(&|result| measure_text_width(name(result))).unwrap_or(0).min(NAME);
    let status = widest(&|result| measure_text_width(status_word(result.status))).unwrap_or(0);
    let available = width.map(|width| width.saturating_sub(2 + longest + status));
    let columns = columns(validation_head(metric));
    let layout = Layout::of(&columns, &rows, available);
    let mut text = Text::default().with(Paint::Head, layout.head() + "  run");
    for (i, (result, cells)) in shown_results.iter().zip(&rows).enumerate() {
        let paint = if i == 0 && result.is_ranked() { Paint::Best } else { Paint::Plain };
        let end = named(&layout, width, name(result), status_word(result.status));
        text = text.with(Paint::Plain, "\n").with(paint, layout.row(cells) + &end);
    }
    match results.len().saturating_sub(shown) {
        0 => text,
        more => text.with(Paint::Plain, format!("\n  and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::report::sweep_progress::tests::runs;
    use crate::train::EpochRecord;

    #[test]
    fn tables_fit_the_terminal_and_no_run_without_a_result_has_a_rank() {
        let (runs, failed) = (runs(), RunResult::failed(1, &Error::usage("no")));
        let full = ranking(std::slice::from_ref(&failed), &runs, 10, None).plain();
        let head = " rank  validation      loss  best epoch  parameters       time  run";
        let line = "    -           -         -         0/0   1,863,690      0.0 s  02_784-784-784_lr0.01_b500  failed";
        assert_eq!(full, format!("{head}\n{line}"));
        for width in 36..110 {
            let table = ranking(std::slice::from_ref(&failed), &runs, 10, Some(width)).plain();
            let widest = table.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(width), "{width}:\n{table}");
        }
        // a short name leaves room for columns, but not for those that push the status off the line
        let mut diverged = failed.clone();
        diverged.status = crate::train::Status::Unfinished;
        let short = [runs[0].clone(), SweepRun { name: "1_8".to_owned(), ..runs[1].clone() }];
        for width in 36..110 {
            let table = ranking(std::slice::from_ref(&diverged), &short, 10, Some(width)).plain();
            let widest = table.lines().map(|line| line.chars().count()).max();
            assert!(
                widest <= Some(width) && table.ends_with("1_8  unfinished"),
                "{width}:\n{table}"
            );
        }
        let narrow = ranking(std::slice::from_ref(&failed), &runs, 10, Some(40)).plain();
        assert_eq!(narrow.lines().last(), Some("    -           -  02_784…1_b500  failed"));
    }

    #[test]
    fn a_regression_is_ranked_by_its_errors() {
        let runs = runs();
        let result = |number: usize, rmse: f64| {
            let mut result = RunResult::failed(number, &Error::usage("no"));
            result.status = crate::train::Status::Done;
            result.history = vec![EpochRecord {
                epoch: 1,
                train_rmse: Some(9.0),
                val_loss: Some(0.5),
                val_rmse: Some(rmse),
                ..EpochRecord::default()
            }];
            result.best_epoch = 1;
            result
        };
        let text = ranking(&[result(1, 31_234.6), result(0, 40_000.0)], &runs, 1, None).plain();
        assert!(text.starts_with(" rank    val RMSE      loss  best epoch"), "{text}");
        assert!(text.contains("\n    1       31235    0.5000         1/1"), "{text}");
        assert!(!text.contains('%'), "{text}");
    }
}
