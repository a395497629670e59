//! `results.json`: what a finished run came to.

use std::path::Path;

use serde_json::{Value, json};

use crate::train::Outcome;

/// The last line of `--json`, which is also the contents of `results.json`. Numbers that are not finite are null.
pub fn done_event(outcome: &Outcome, run_dir: &Path) -> Value {
    let test = outcome.test.as_ref();
    let finite = |x: f64| x.is_finite().then_some(x);
    let mut event = json!({
        "event": "done",
        "best_epoch": outcome.best_epoch,
        "epochs": outcome.last_epoch,
        "test_loss": test.and_then(|test| finite(test.loss())),
        "diverged": outcome.diverged.map(|divergence| divergence.to_string()),
        "seconds": outcome.seconds,
        "run_dir": run_dir.display().to_string(),
    });
    match outcome.metric.is_regression() {
        true => {
            event["val_rmse"] = json!(outcome.val_rmse.and_then(finite));
            event["test_rmse"] = json!(test.and_then(|test| finite(test.rmse())));
            event["test_mae"] = json!(test.and_then(|test| finite(test.mae())));
            event["test_r2"] = json!(outcome.test_r2.and_then(finite));
            if !outcome.test_targets.is_empty() {
                event["test_targets"] = json!(outcome.test_targets);
            }
        }
        false => {
            event["val_accuracy"] = json!(outcome.val_accuracy);
            event["test_accuracy"] = json!(test.map(|test| test.accuracy()));
        }
    }
    // what chose the epoch, where it is none of those
    let metric = outcome.metric;
    for (part, value) in [("val", outcome.val_metric), ("test", outcome.test_metric)] {
        let key = metric.key(part);
        if event.get(&key).is_none() {
            event[key] = json!(value.and_then(finite));
        }
    }
    event
}
