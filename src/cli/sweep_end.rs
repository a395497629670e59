//! What `densely sweep` says at its end.

use std::path::Path;

use serde_json::{Value, json};

use super::finite;
use crate::report::{Paint, Text, duration, number, ranking, scores, shown_scores, with_chosen};
use crate::store::names::{BEST, RESULTS_CSV};
use crate::task::Metric;
use crate::train::{RunResult, Status, SweepRun};

/// Ranks that are shown on the terminal.
const SHOWN: usize = 10;

/// A sweep whose runs have all ended.
pub struct Ended<'a> {
    /// What ranks the runs.
    pub metric: Metric,
    /// In the order of the ranks.
    pub results: &'a [RunResult],
    /// All runs, by number.
    pub runs: &'a [SweepRun],
    /// The directory of the sweep.
    pub path: &'a Path,
    /// From the start of the command.
    pub seconds: f64,
}

impl Ended<'_> {
    /// The best run, if one has a result.
    pub fn winner(&self) -> Option<&RunResult> {
        self.results.first().filter(|winner| winner.is_ranked())
    }

    /// Names the runs that failed, and why the first one did; `None` if none did.
    pub fn failures(&self) -> Option<String> {
        let mut failed: Vec<&RunResult> =
            self.results.iter().filter(|result| result.status == Status::Failed).collect();
        failed.sort_by_key(|result| result.number());
        let first = failed.first()?;
        let names = failed.iter().take(SHOWN).map(|result| &self.runs[result.number()].name[..]);
        let names = names.collect::<Vec<_>>().join(", ");
        let more = if failed.len() > SHOWN { ", ..." } else { "" };
        let why = first.error.as_deref().unwrap_or("no reason is known");
        Some(format!(
            "{} of {} runs failed: {names}{more}; the first because: {why}; the same command tries them again",
            failed.len(),
            self.results.len()
        ))
    }

    /// How many runs failed.
    pub fn failed(&self) -> usize {
        self.results.iter().filter(|result| result.status == Status::Failed).count()
    }

    /// The last line of `--json`.
    pub fn json(&self) -> Value {
        let winner = self.winner();
        let test = winner.and_then(|winner| winner.test);
        let mut event = json!({
            "event": "done",
            "runs": self.results.len(),
            "failed": self.failed(),
            "best_run": winner.map(|winner| &self.runs[winner.number].name),
            "test_loss": test.and_then(|test| finite(test.loss())),
            "seconds": self.seconds,
            "sweep_dir": self.path.display().to_string(),
        });
        add_values(&mut event, winner, self.metric);
        match winner.filter(|_| test.is_some()) {
            Some(winner) => add_test_values(&mut event, winner, self.metric),
            None => {
                let usual = Metric::default_for(self.metric.is_regression());
                event[usual.key("test")] = Value::Null;
            }
        }
        event
    }

    /// The ranking, the score of the winner, and where everything is.
    pub fn text(&self, width: Option<usize>) -> Text {
        let winner = self.winner();
        let mut text = ranking(self.results, self.runs, SHOWN, width);
        if let Some((winner, test)) = winner.and_then(|winner| Some((winner, winner.test?))) {
            let values = scores(&test, winner.test_r2, self.metric.is_regression());
            let values = with_chosen(values, winner.test_metric);
            let score = shown_scores("\n\ntest ", " of the winner", &values)
                .with(Paint::Plain, format!(", loss {}", number(test.loss())));
            text = text.then(score.wrapped(width, 2));
        }
        let time = Text::from(format!("\n{} in all; results: ", duration(self.seconds)))
            .path(&self.path.join(RESULTS_CSV));
        text = text.then(time.wrapped(width, 2));
        if let Some(winner) = winner {
            let model = self.path.join(&self.runs[winner.number].name).join(BEST);
            text = text.then("\nmodel: ".into()).path(&model);
        }
        text
    }
}

/// Adds the values of the epoch that a run has kept on the validation part: of the task's usual metric, and of the one that
/// ranks.
pub fn add_values(event: &mut Value, result: Option<&RunResult>, metric: Metric) {
    for metric in [Metric::default_for(metric.is_regression()), metric] {
        let value = result.and_then(|result| result.value(metric)).and_then(finite);
        event[metric.key("val")] = json!(value);
    }
}

/// Adds the values of the epoch that a run has kept on the test part, where it was measured.
pub fn add_test_values(event: &mut Value, result: &RunResult, metric: Metric) {
    let Some(test) = result.test else { return };
    event["test_loss"] = json!(finite(test.loss()));
    for (metric, value) in scores(&test, result.test_r2, metric.is_regression()) {
        event[metric.key("test")] = json!(finite(value));
    }
    if let Some((metric, value)) = result.test_metric {
        event[metric.key("test")] = json!(finite(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Score;
    use crate::error::Error;
    use crate::train::{EpochRecord, TrainConfig};

    #[test]
    fn the_end_of_a_sweep_over_a_regression_speaks_of_its_errors() {
        let mut winner = RunResult::failed(0, &Error::usage("no"));
        winner.status = Status::Done;
        winner.history = vec![EpochRecord {
            epoch: 1,
            train_rmse: Some(3.0),
            val_loss: Some(0.5),
            val_rmse: Some(2.0),
            val_r2: Some(0.75),
            ..EpochRecord::default()
        }];
        (winner.best_epoch, winner.test_r2) = (1, Some(0.25));
        winner.test = Some(Score {
            squared_error_sum: 36.0,
            absolute_error_sum: 6.0,
            ..Score::new(2.0, 0, 4)
        });
        let runs = [SweepRun::new("1_a".to_owned(), TrainConfig::default(), 9)];
        let untested = [RunResult { test: None, ..winner.clone() }];
        let ended = |results| Ended {
            metric: Metric::R2,
            results,
            runs: &runs,
            path: Path::new("sweep"),
            seconds: 2.0,
        };
        let results = [winner];
        let text = ended(&results).text(None).plain();
        let line = "test RMSE of the winner 3.0000, MAE 1.5000, R2 0.2500, loss 0.5000";
        assert!(text.contains(line), "{text}");
        let done = ended(&results).json();
        let values = ["val_rmse", "val_r2", "test_rmse", "test_mae", "test_r2", "test_loss"];
        let values = values.map(|key| done[key].as_f64());
        assert_eq!(values, [2.0, 0.75, 3.0, 1.5, 0.25, 0.5].map(Some));
        assert!(!done.to_string().contains("accuracy"), "{done}");
        assert!(ended(&untested).json()["test_rmse"].is_null());
    }
}
