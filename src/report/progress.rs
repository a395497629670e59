//! A run on the terminal: a progress bar while an epoch runs, a line when it is done.
//!
//! Where standard error is not a terminal, there are only the lines.

use std::time::{Duration, Instant};

use super::format::{description, duration, grouped, number};
use super::live::{Live, bar};
use super::say;
use super::style::{Paint, Stream, Text};
use super::table::{Column, Layout};
use crate::engine::Score;
use crate::error::Result;
use crate::task::Metric;
use crate::train::{EpochEnd, EpochRecord, Observer, Outcome, Progress, Trainer};

/// How often the bar is drawn.
pub(super) const REDRAW: Duration = Duration::from_millis(100);

/// The columns where the epochs are compared by `main`, or by the loss.
const fn columns_of(main: &'static str) -> [Column; 7] {
    [
        Column::right("epoch", 0, 7, 0),
        Column::right("train loss", 1, 11, 2),
        Column::right(main, 1, 9, 3),
        Column::right("val loss", 1, 11, 1),
        Column::right(main, 1, 9, 0),
        Column::right("seconds", 1, 9, 4),
        Column::right("samples/s", 1, 11, 5),
    ]
}

/// The columns with that of another metric, by which epochs are compared.
const fn columns_with(main: &'static str, metric: &'static str) -> [Column; 8] {
    let [epoch, train_loss, train, val_loss, _, seconds, samples] = columns_of(main);
    let val = Column::right(main, 1, 9, 2);
    [epoch, train_loss, train, val_loss, val, Column::right(metric, 1, 9, 0), seconds, samples]
}

/// The columns of the epochs of a run whose metric this is.
fn columns(metric: Metric) -> &'static [Column] {
    match metric {
        Metric::Accuracy | Metric::LogLoss => const { &columns_of("accuracy") },
        Metric::MacroF1 => const { &columns_with("accuracy", "macro F1") },
        Metric::Auc => const { &columns_with("accuracy", "AUC") },
        Metric::Rmse | Metric::Loss => const { &columns_of("RMSE") },
        Metric::Mae => const { &columns_with("RMSE", "MAE") },
        Metric::R2 => const { &columns_with("RMSE", "R2") },
    }
}

/// What the mark of the best epoch takes after the columns.
const MARK: usize = 2;

/// Shows a run on standard error.
#[derive(Debug)]
pub struct Terminal {
    live: Live,
    epochs: usize,
    /// What chooses the best epoch.
    metric: Metric,
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
            metric: Metric::Accuracy,
            start: now,
            samples_before: 0,
            skipped: 0,
            first_epoch: 1,
            next_draw: now,
        }
    }

    /// The columns that fit now; writes the header over those that were not there before.
    fn columns(&mut self) -> Layout<'static> {
        let layout = epoch_columns(self.metric, Stream::Err.width());
        self.live.print_head(&layout, "");
        layout
    }
}

impl Observer for Terminal {
    fn start(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        say(Text::from(description(trainer)).wrapped(Stream::Err.width(), 2));
        (self.epochs, self.metric) = (trainer.config().epochs, trainer.metric());
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
            (3, main_score(self.metric, &progress.score)),
            (4, format!("{}/s", grouped(rate as u64))),
            (0, format!("{} left", duration((all - done) / rate))),
        ];
        self.live.draw(|width| vec![bar(&prefix, share, &parts, width)]);
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> Result<()> {
        self.samples_before += end.trainer.parts().train.len() as u64;
        let layout = self.columns();
        let text = row(&layout, end.record, self.metric, (self.epochs, end.is_best));
        self.live.print(&text);
        Ok(())
    }

    fn done(&mut self, _outcome: &Outcome) -> Result<()> {
        self.live.clear();
        Ok(())
    }
}

/// `97.53 %`, or `RMSE 3.2134`: what a score over some samples says apart from the loss.
fn main_score(metric: Metric, score: &Score) -> String {
    match metric.is_regression() {
        true => format!("{} {}", Metric::Rmse.title(), Metric::Rmse.text(score.rmse())),
        false => Metric::Accuracy.text(score.accuracy()),
    }
}

/// The columns that fit, with the mark of the best epoch after them.
fn epoch_columns(metric: Metric, width: Option<usize>) -> Layout<'static> {
    Layout::new(columns(metric), width.map(|width| width.saturating_sub(MARK)))
}

/// An epoch as a row; the best one so far has an asterisk.
fn row(
    layout: &Layout<'_>,
    record: &EpochRecord,
    metric: Metric,
    (epochs, is_best): (usize, bool),
) -> Text {
    let main = Metric::default_for(metric.is_regression());
    let shown =
        |metric: Metric, x: Option<f64>| x.map_or_else(|| "-".to_owned(), |x| metric.text(x));
    let train = if main == Metric::Rmse { record.train_rmse } else { record.train_accuracy };
    let mut cells = vec![
        format!("{}/{epochs}", record.epoch),
        number(record.train_loss),
        shown(main, train),
        record.val_loss.map_or_else(|| "-".to_owned(), number),
        shown(main, record.value(main)),
    ];
    if columns(metric).len() > columns(main).len() {
        cells.push(shown(metric, record.value(metric)));
    }
    cells.push(format!("{:.3}", record.seconds));
    cells.push(grouped(record.samples_per_second as u64));
    let cells = layout.row(cells);
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
            let layout = epoch_columns(Metric::Accuracy, width);
            let line = row(&layout, &record, Metric::Accuracy, (20, true)).plain();
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
        let line = row(&epoch_columns(Metric::Accuracy, None), &huge, Metric::Accuracy, (20, true))
            .plain();
        let expected =
            "   3/20      2.16e9   96.50 %     2.00e34   95.11 %     0.710      70,422 *";
        assert_eq!(line, expected);
        let without = EpochRecord { val_loss: None, val_accuracy: None, ..record };
        let line =
            row(&epoch_columns(Metric::Accuracy, None), &without, Metric::Accuracy, (20, true))
                .plain();
        assert_eq!(line.len(), head.len());
    }

    #[test]
    fn a_regression_shows_its_errors_and_the_metric_that_chooses() {
        let record = EpochRecord {
            epoch: 3,
            train_loss: 0.123_45,
            train_rmse: Some(24_567.8),
            val_loss: Some(0.2),
            val_rmse: Some(31_234.6),
            val_mae: Some(20_000.25),
            val_r2: Some(-0.25),
            seconds: 0.71,
            samples_per_second: 70_422.5,
            ..EpochRecord::default()
        };
        let shown = |metric, width| {
            let layout = epoch_columns(metric, width);
            let line = row(&layout, &record, metric, (20, true)).plain();
            assert_eq!(line.len(), layout.head().len() + MARK);
            (layout.head(), line)
        };
        let head = "  epoch  train loss      RMSE    val loss      RMSE   seconds   samples/s";
        let line = "   3/20      0.1235     24568      0.2000     31235     0.710      70,422 *";
        assert_eq!(shown(Metric::Rmse, None), (head.to_owned(), line.to_owned()));
        let (head, line) = shown(Metric::R2, Some(60));
        assert_eq!(head, "  epoch  train loss    val loss      RMSE        R2");
        assert_eq!(line, "   3/20      0.1235      0.2000     31235   -0.2500 *");
        assert!(shown(Metric::Mae, Some(40)).1.ends_with("0.2000     20000 *"));
        let score = Score { squared_error_sum: 36.0, samples: 4, ..Score::default() };
        assert_eq!(main_score(Metric::R2, &score), "RMSE 3.0000");
    }
}
