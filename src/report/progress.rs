//! A run on the terminal: a progress bar while an epoch runs, a line when it is done.
//!
//! Where standard error is not a terminal, there are only the lines.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::format::{description, duration, grouped, percent};
use super::say;
use crate::error::Result;
use crate::train::{EpochEnd, EpochRecord, Observer, Outcome, Progress, Trainer};

/// How often the bar is drawn.
const REDRAW: Duration = Duration::from_millis(100);

const HEADER: &str = "  epoch  train loss  accuracy    val loss  accuracy   seconds   samples/s";

/// Shows a run on standard error.
#[derive(Debug)]
pub struct Terminal {
    bar: ProgressBar,
    epochs: usize,
    /// When this process began to train, and how many samples it had trained on before the current epoch.
    start: Instant,
    samples_before: u64,
    /// The samples of the current epoch that an earlier process had trained on.
    skipped: u64,
    first_epoch: usize,
    next_draw: Instant,
}

impl Terminal {
    /// Shows nothing before the run starts.
    pub fn new() -> Self {
        let now = Instant::now();
        Self {
            bar: ProgressBar::hidden(),
            epochs: 0,
            start: now,
            samples_before: 0,
            skipped: 0,
            first_epoch: 1,
            next_draw: now,
        }
    }

    /// Writes a line above the bar, or just a line where there is no bar.
    fn line(&self, text: &str) {
        if self.bar.is_hidden() {
            say(text);
        } else {
            self.bar.println(text);
        }
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for Terminal {
    fn start(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        self.line(&description(trainer));
        self.epochs = trainer.config().epochs;
        let state = trainer.state();
        self.first_epoch = state.epoch() + 1;
        self.skipped = state.partial().map_or(0, |partial| partial.score.samples);
        self.start = Instant::now();
        if self.skipped > 0 {
            self.line(&format!(
                "resuming in epoch {}, after step {}",
                self.first_epoch,
                state.optimizer().steps()
            ));
        } else if self.first_epoch > 1 {
            self.line(&format!("resuming after epoch {}", self.first_epoch - 1));
        }
        self.line(HEADER);
        self.bar = ProgressBar::with_draw_target(
            Some(trainer.parts().train.len() as u64),
            ProgressDrawTarget::stderr(),
        );
        if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar} {msg}") {
            self.bar.set_style(style.progress_chars("━╸ "));
        }
        Ok(())
    }

    fn step(&mut self, epoch: usize, progress: Progress) {
        let now = Instant::now();
        if now < self.next_draw || self.bar.is_hidden() {
            return;
        }
        self.next_draw = now + REDRAW;
        let done = (self.samples_before + progress.score.samples) as f64;
        let rate = (done - self.skipped as f64) / (now - self.start).as_secs_f64();
        let all = progress.total as f64 * (self.epochs - (self.first_epoch - 1)) as f64;
        self.bar.set_prefix(format!("{:>7}", format!("{epoch}/{}", self.epochs)));
        self.bar.set_position(progress.score.samples);
        self.bar.set_message(format!(
            "loss {:.4}  {}  {}/s  {} left",
            progress.score.loss(),
            percent(progress.score.accuracy()),
            grouped(rate as u64),
            duration((all - done) / rate)
        ));
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> Result<()> {
        self.samples_before += end.trainer.parts().train.len() as u64;
        self.line(&row(end.record, self.epochs, end.is_best));
        Ok(())
    }

    fn done(&mut self, _outcome: &Outcome) -> Result<()> {
        self.bar.finish_and_clear();
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// An epoch as a row under [`HEADER`]; the best one so far has an asterisk.
fn row(record: &EpochRecord, epochs: usize, is_best: bool) -> String {
    let (val_loss, val_accuracy) = match (record.val_loss, record.val_accuracy) {
        (Some(loss), Some(accuracy)) => (format!("{loss:.4}"), percent(accuracy)),
        _ => ("-".to_owned(), "-".to_owned()),
    };
    let mark = if is_best && record.val_loss.is_some() { " *" } else { "" };
    format!(
        "{:>7} {:>11.4} {:>9} {val_loss:>11} {val_accuracy:>9} {:>9.3} {:>11}{mark}",
        format!("{}/{epochs}", record.epoch),
        record.train_loss,
        record.train_accuracy.map_or_else(|| "-".to_owned(), percent),
        record.seconds,
        grouped(record.samples_per_second as u64),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_under_the_header() {
        let record = EpochRecord {
            epoch: 3,
            train_loss: 0.123_45,
            train_accuracy: Some(0.965),
            val_loss: Some(0.2),
            val_accuracy: Some(0.9511),
            seconds: 0.71,
            samples_per_second: 70_422.5,
            ..EpochRecord::default()
        };
        let row = row(&record, 20, true);
        assert_eq!(row.len(), HEADER.len() + 2);
        assert!(row.ends_with("0.2000   95.11 %     0.710      70,422 *"), "{row}");
        let without = EpochRecord { val_loss: None, val_accuracy: None, ..record };
        assert_eq!(super::row(&without, 20, true).len(), HEADER.len());
    }
}
