//! The end of a cross-validation, and of a sweep over folds.

use std::time::Instant;

use serde_json::json;

use super::flags::OutputOptions;
use super::out_of_fold::OutOfFold;
use super::sweep_end::Ended;
use super::sweep_runs::Finished;
use super::{finite, print_next, print_raw, print_text, report};
use crate::report::{Stream, Text, duration, folds_table};
use crate::store::names::RESULTS_CSV;
use crate::text::shell;
use crate::train::{RankedRuns, fold_scores};

/// Writes and says what the folds came to.
pub fn finish(finished: Finished, output: &OutputOptions, start: Instant) -> anyhow::Result<()> {
    let Finished {
        config, source, runs, results, metric, directory, path, signals, printed, ..
    } = finished;
    directory.write_results(&results, &runs)?;
    let scores = fold_scores(&results, &runs, metric);
    let best = scores.first().filter(|best| best.mean().is_some());
    let out_of_fold = match best {
        None => None,
        Some(best) => OutOfFold::of(best.runs(&runs), &directory, &source)?,
    };
    let predictions = match &out_of_fold {
        Some(out_of_fold) => Some(out_of_fold.write(&source, &path)?),
        None => None,
    };
    let seconds = start.elapsed().as_secs_f64();
    let ended = Ended { metric, results: &results, runs: &runs, path: &path, seconds };
    let mut printed = match output.json {
        true => {
            let mut event = json!({
                "event": "done",
                "folds": config.grid.folds.folds,
                "metric": metric.name(),
                "mean": best.and_then(|best| best.mean()),
                "sd": best.and_then(|best| best.sd()).and_then(finite),
                "values": best.map(|best| &best.values),
                "runs": results.len(),
                "failed": ended.failed(),
                "predictions": predictions.as_ref().map(|path| path.display().to_string()),
                "seconds": seconds,
                "sweep_dir": path.display().to_string(),
            });
            if scores.len() > 1 {
                event["combinations"] = scores.len().into();
                event["best"] = json!(best.map(|best| &best.settings));
            }
            printed.and(print_raw(&event.to_string()))
        }
        false => {
            let width = Stream::Out.width();
            let mut text = folds_table(&scores, &results, &runs, metric, width);
            let time = Text::from(format!("\n{} in all; results: ", duration(seconds)))
                .path(&path.join(RESULTS_CSV));
            text = text.then(time.wrapped(width, 2));
            if let Some(predictions) = &predictions {
                text = text.then("\nout-of-fold predictions: ".into()).path(predictions);
            }
            printed.and(print_text(&text))
        }
    };
    let (failures, has_best, count) = (ended.failures(), best.is_some(), runs.len());
    if !output.no_report && results.iter().any(|result| !result.history.is_empty()) {
        signals.stop_before_report("cross-validation", &path)?;
        let ranked = RankedRuns::new(runs, results)?;
        let data = &config.options.data;
        let page =
            report::of_sweep(&directory, &path, data, &source, &ranked, out_of_fold.as_ref())?;
        if !output.json {
            printed = printed.and(print_text(&Text::from("report: ").path(&page)));
        }
    }
    if has_best && !(output.quiet || output.json) {
        print_next(&[(format!("densely runs {}", shell(&path)), "the runs of all folds")]);
    }
    match (failures, has_best) {
        (Some(failures), _) => anyhow::bail!("{failures}"),
        (None, false) => {
            anyhow::bail!("none of the {count} runs has come to a result; {RESULTS_CSV} says why")
        }
        (None, true) => printed,
    }
}
