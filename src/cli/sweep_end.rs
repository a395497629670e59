//! What `densely sweep` says at its end.

use std::path::Path;

use serde_json::{Value, json};

use crate::report::{Paint, Text, duration, percent, ranking};
use crate::store::names::{BEST, RESULTS_CSV};
use crate::train::{RunResult, Status, SweepRun};

/// Ranks that are shown on the terminal.
const SHOWN: usize = 10;

/// A sweep whose runs have all ended.
pub struct Ended<'a> {
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
    /// The best run, if one has come to a result.
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

    /// The last line of `--json`.
    pub fn json(&self) -> Value {
        let winner = self.winner();
        let test = winner.and_then(|winner| winner.test);
        let failed = self.results.iter().filter(|result| result.status == Status::Failed).count();
        json!({
            "event": "done",
            "runs": self.results.len(),
            "failed": failed,
            "best_run": winner.map(|winner| &self.runs[winner.number].name),
            "val_accuracy": winner.and_then(RunResult::best).and_then(|best| best.val_accuracy),
            "test_loss": test.map(|test| test.loss()),
            "test_accuracy": test.map(|test| test.accuracy()),
            "seconds": self.seconds,
            "sweep_dir": self.path.display().to_string(),
        })
    }

    /// The ranking, the score of the winner, and where everything is.
    pub fn text(&self, width: Option<usize>) -> Text {
        let winner = self.winner();
        let mut text = ranking(self.results, self.runs, SHOWN, width);
        if let Some(test) = winner.and_then(|winner| winner.test) {
            let score = Text::from("\n\ntest accuracy of the winner ")
                .with(Paint::Best, percent(test.accuracy()))
                .with(Paint::Plain, format!(", loss {:.4}", test.loss()));
            text = text.then(score.wrapped(width, 2));
        }
        let time = format!("\n{} in all; results: ", duration(self.seconds));
        text = text.then(time.into()).path(&self.path.join(RESULTS_CSV));
        if let Some(winner) = winner {
            let model = self.path.join(&self.runs[winner.number].name).join(BEST);
            text = text.then("\nmodel: ".into()).path(&model);
        }
        text
    }
}
