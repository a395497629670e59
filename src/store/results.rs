//! `results.json`: what a finished run came to.

use std::path::Path;

use serde_json::{Value, json};

use crate::train::Outcome;

/// The last line of `--json`, which is also the contents of `results.json`. Numbers that are not finite are null.
pub fn done_event(outcome: &Outcome, run_dir: &Path) -> Value {
    let test = outcome.test.as_ref();
    let finite = |x: f64| x.is_finite().then_some(x);
    json!({
        "event": "done",
        "best_epoch": outcome.best_epoch,
        "epochs": outcome.last_epoch,
        "val_accuracy": outcome.val_accuracy,
        "test_loss": test.and_then(|test| finite(test.loss())),
        "test_accuracy": test.map(|test| test.accuracy()),
        "diverged": outcome.diverged.map(|divergence| divergence.to_string()),
        "seconds": outcome.seconds,
        "run_dir": run_dir.display().to_string(),
    })
}
