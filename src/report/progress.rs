//! A run on the terminal: a progress bar while an epoch runs, a line when it is done.
//!
//! Where standard error is not a terminal, there are only the lines.

use std::time::{Duration, Instant};

use super::format::{description, duration, grouped, number, percent};
use super::live::{Live, bar};
use super::say;
use super::style::{Paint, Stream, Text};
use super::table::{Column, Layout};
use crate::error::Result;
use crate::train::{EpochEnd, EpochRecord, Observer, Outcome, Progress, Trainer};

/// How often the bar is drawn.
pub(super) const REDRAW: Duration = Duration::from_millis(100);

const COLUMNS: [Column; 7] = [
    Column::right("epoch", 0, 7, 0),
    Column::right("train loss", 1, 11, 2),
    Column::right("accuracy", 1, 9, 3),
    Column::right("val loss", 1, 11, 1),
    Column::right("accuracy", 1, 9, 0),
    Column::right("seconds", 1, 9, 4),
    Column::right("samples/s", 1, 11, 5),
];

/// What the mark of the best epoch takes after the columns.
const MARK: usize = 2;

/// Shows a run on standard error.
#[derive(Debug)]
pub struct Terminal {
    live: Live,
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
    /// Shows nothing before the run starts, and afterwards a bar if one `is_wanted`.
    pub fn new(is_wanted: bool) -> Self {
        let now = Instant::now();
        Self {
            live: Live::new(is_wanted),
            epochs: 0,
            start: now,
            samples_before: 0,
            skipped: 0,
            first_epoch: 1,
            next_draw: now,
        }
    }

    /// The columns that fit now; writes the header over those that were not there before.
    fn columns(&mut self) -> Layout<'static> {
        let layout = epoch_columns(Stream::Err.width());
        self.live.print_head(&layout, "");
        layout
    }
}

impl Observer for Terminal {
    fn start(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        say(Text::from(description(trainer)).wrapped(Stream::Err.width(), 2));
        self.epochs = trainer.config().epochs;
        let state = trainer.state();
        self.first_epoch = state.epoch() + 1;
        self.skipped = state.partial().map_or(0, |partial| partial.score.samples);
        self.start = Instant::now();
        if self.skipped > 0 {
            say(format!(
                "resuming in epoch {}, after step {}",
                self.first_epoch,
                state.optimizer().steps()
            ));
        } else if self.first_epoch > 1 {
            say(format!("resuming after epoch {}", self.first_epoch - 1));
        }
        self.columns();
        // the first step may be a long one
        let prefix = format!("{:>7}", format!("{}/{}", self.first_epoch, self.epochs));
        self.live.draw(|width| vec![bar(&prefix, 0.0, &[], width)]);
        Ok(())
    }

    fn step(&mut self, epoch: usize, progress: Progress) {
        let now = Instant::now();
        if now < self.next_draw || self.live.is_hidden() {
            return;
        }
        self.next_draw = now + REDRAW;
        let done = (self.samples_before + progress.score.samples) as f64;
        let rate = (done - self.skipped as f64) / (now - self.start).as_secs_f64();
        let all = progress.total as f64 * (self.epochs - (self.first_epoch - 1)) as f64;
        let share = progress.score.samples as f64 / progress.total as f64;
        let prefix = format!("{:>7}", format!("{epoch}/{}", self.epochs));
        let parts = [
            (2, format!("loss {}", number(progress.score.loss()))),
            (3, percent(progress.score.accuracy())),
            (4, format!("{}/s", grouped(rate as u64))),
            (0, format!("{} left", duration((all - done) / rate))),
        ];
        self.live.draw(|width| vec![bar(&prefix, share, &parts, width)]);
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> Result<()> {
        self.samples_before += end.trainer.parts().train.len() as u64;
        let layout = self.columns();
        let text = row(&layout, end.record, self.epochs, end.is_best);
        self.live.print(&text);
        Ok(())
    }

    fn done(&mut self, _outcome: &Outcome) -> Result<()> {
        self.live.clear();
        Ok(())
    }
}

/// The columns that fit, with the mark of the best epoch after them.
fn epoch_columns(width: Option<usize>) -> Layout<'static> {
    Layout::new(&COLUMNS, width.map(|width| width.saturating_sub(MARK)))
}

/// An epoch as a row; the best one so far has an asterisk.
fn row(layout: &Layout<'_>, record: &EpochRecord, epochs: usize, is_best: bool) -> Text {
    let (val_loss, val_accuracy) = match (record.val_loss, record.val_accuracy) {
        (Some(loss), Some(accuracy)) => (number(loss), percent(accuracy)),
        _ => ("-".to_owned(), "-".to_owned()),
    };
    let cells = layout.row([
        format!("{}/{epochs}", record.epoch),
        number(record.train_loss),
        record.train_accuracy.map_or_else(|| "-".to_owned(), percent),
        val_loss,
        val_accuracy,
        format!("{:.3}", record.seconds),
        grouped(record.samples_per_second as u64),
    ]);
    match is_best && record.val_loss.is_some() {
        true => Text::default().with(Paint::Best, format!("{cells} *")),
        false => Text::from(cells),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_under_the_header_and_fit() {
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
        let shown = |width| {
            let layout = epoch_columns(width);
            let line = row(&layout, &record, 20, true).plain();
            assert_eq!(line.len(), layout.head().len() + MARK);
            (layout.head(), line)
        };
        let head = "  epoch  train loss  accuracy    val loss  accuracy   seconds   samples/s";
        let line = "   3/20      0.1235   96.50 %      0.2000   95.11 %     0.710      70,422 *";
        assert_eq!(shown(None), (head.to_owned(), line.to_owned()));
        assert_eq!(shown(Some(75)), shown(None));
        assert_eq!(
            shown(Some(74)).1,
            "   3/20      0.1235   96.50 %      0.2000   95.11 %     0.710 *"
        );
        assert_eq!(shown(Some(40)).0, "  epoch    val loss  accuracy");
        for width in 20..80 {
            assert!(shown(Some(width)).1.len() <= width);
        }
        let huge =
            EpochRecord { train_loss: 2_162_786_580.773, val_loss: Some(2e34), ..record.clone() };
        let line = row(&epoch_columns(None), &huge, 20, true).plain();
        let expected =
            "   3/20      2.16e9   96.50 %     2.00e34   95.11 %     0.710      70,422 *";
        assert_eq!(line, expected);
        let without = EpochRecord { val_loss: None, val_accuracy: None, ..record };
        let line = row(&epoch_columns(None), &without, 20, true).plain();
        assert_eq!(line.len(), head.len());
    }
}
