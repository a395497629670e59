//! The end of a cross-validation, and of a sweep over folds.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::flags::OutputOptions;
use super::out_of_fold::OutOfFold;
use super::sweep_end::Ended;
use super::sweep_runs::Finished;
use super::{finite, print_next, print_note, print_raw, print_text, report};
use crate::error::{Error, Result};
use crate::report::{Stream, Text, duration, folds_table};
use crate::store::names::{PREDICTIONS, RESULTS_CSV};
use crate::task::Metric;
use crate::text::{listed, shell};
use crate::train::{FoldScores, RankedRuns, Status, fold_scores};

/// Writes and says what the folds came to.
pub fn finish(finished: Finished, output: &OutputOptions, start: Instant) -> anyhow::Result<()> {
    let Finished {
        config, source, runs, results, metric, directory, path, signals, printed, ..
    } = finished;
    directory.write_results(&results, &runs)?;
    let scores = fold_scores(&results, &runs, metric);
    let best = scores.first().filter(|best| best.is_complete());
    let out_of_fold = match best {
        None => None,
        Some(best) => OutOfFold::of(best.runs(&runs), &directory, &source)?,
    };
    let predictions = match &out_of_fold {
        Some(out_of_fold) => Some(out_of_fold.write(&source, &path)?),
        // those of an earlier state are not those of the results
        None => {
            remove(&path.join(PREDICTIONS))?;
            None
        }
    };
    if let (Some(best), true) = (best, out_of_fold.is_some())
        && best.mean().is_none()
        && !output.quiet
    {
        print_note(&undefined(best, metric));
    }
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
                "diverged": results.iter().filter(|result| result.status == Status::Diverged).count(),
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
    let (failures, has_best) = (ended.failures(), out_of_fold.is_some());
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
            anyhow::bail!("no combination has a model for every fold; {RESULTS_CSV} says why")
        }
        (None, true) => printed,
    }
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Says on which folds a metric is undefined, so that it has no mean.
fn undefined(scores: &FoldScores, metric: Metric) -> String {
    let folds: Vec<String> = (1..)
        .zip(&scores.values)
        .filter(|(_, value)| value.is_none())
        .map(|(number, _)| number.to_string())
        .collect();
    format!(
        "{} is undefined on {} {}, so that it has no mean: it takes two classes, or targets that differ (fewer --folds, \
         or another --metric)",
        metric.title(),
        if folds.len() == 1 { "fold" } else { "the folds" },
        listed(&folds)
    )
}
