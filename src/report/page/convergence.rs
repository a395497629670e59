//! The curves of a run.

use super::axis::{Axis, Scale};
use super::canvas::Canvas;
use super::chart::{Chart, Frame, Mark, Series};
use super::picture::Picture;
use crate::error::Result;
use crate::train::EpochRecord;

/// What the x axis of a curve is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    Epochs,
    Time,
}

/// A unit of time for an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeUnit {
    pub seconds: f64,
    pub name: &'static str,
}

impl TimeUnit {
    /// The one in which so many seconds read well.
    pub fn of(seconds: f64) -> Self {
        match seconds {
            7200.0.. => Self { seconds: 3600.0, name: "h" },
            180.0.. => Self { seconds: 60.0, name: "min" },
            _ => Self { seconds: 1.0, name: "s" },
        }
    }
}

impl Against {
    /// Where the epochs of a history lie on the axis.
    pub fn positions(self, history: &[EpochRecord], unit: TimeUnit) -> Vec<f64> {
        match self {
            Self::Epochs => history.iter().map(|record| record.epoch as f64).collect(),
            Self::Time => {
                let mut seconds = 0.0;
                let add = |record: &EpochRecord| {
                    seconds += record.seconds;
                    seconds / unit.seconds
                };
                history.iter().map(add).collect()
            }
        }
    }

    /// The axis, and what is written before and after a value on it.
    pub fn axis(self, unit: TimeUnit) -> (Axis, (&'static str, String)) {
        match self {
            Self::Epochs => (Axis::epochs(), ("epoch ", String::new())),
            Self::Time => {
                let name = format!("training time in {}", unit.name);
                (Axis::new(name, Scale::Linear), ("after ", format!(" {}", unit.name)))
            }
        }
    }
}

/// Losses and accuracies of a run, the kept epoch marked.
pub fn convergence(
    history: &[EpochRecord],
    best_epoch: usize,
    against: Against,
) -> Result<Picture> {
    let unit = TimeUnit::of(history.iter().map(|record| record.seconds).sum());
    let positions = against.positions(history, unit);
    let curve = |value: &dyn Fn(&EpochRecord) -> Option<f64>| -> Vec<(f64, f64)> {
        let points = positions.iter().zip(history);
        points.filter_map(|(&x, record)| Some((x, value(record)?))).collect()
    };
    let losses = [
        Series::curve("training", curve(&|r| Some(r.train_loss)), 1),
        Series::curve("validation", curve(&|r| r.val_loss), 0),
    ];
    let accuracies = [
        Series::curve("training", curve(&|r| r.train_accuracy.map(|a| 100.0 * a)), 1),
        Series::curve("validation", curve(&|r| r.val_accuracy.map(|a| 100.0 * a)), 0),
    ];
    let best = positions.iter().zip(history).find(|(_, record)| record.epoch == best_epoch);
    let words = best.map_or_else(String::new, |(_, best)| match best.val_accuracy {
        Some(accuracy) => format!("best epoch {}: {:.2} %", best.epoch, 100.0 * accuracy),
        None => format!("epoch {}, kept", best.epoch),
    });
    let mark = |words: &str| best.map(|(&x, _)| Mark { x, words: words.to_owned() });
    let (axis, (before, after)) = against.axis(unit);
    let name = match against {
        Against::Epochs => "convergence",
        Against::Time => "convergence-by-time",
    };
    let alt = format!("Loss and accuracy over {} epochs; {words}", history.len());
    Picture::draw(name, alt, |width| {
        let (first, second) = width.choose((330.0, 290.0), (300.0, 260.0));
        let mut canvas = Canvas::new(width.pixels(), first + second);
        let frame = Frame { left: 0.0, top: 0.0, width: width.pixels(), height: first };
        let chart = |y, series, mark, x, legend| Chart {
            x,
            y,
            series,
            dots: false,
            mark,
            legend,
            x_words: (before, &after),
            left: None,
        };
        let loss = Axis::new("Loss in nats, logarithmic", Scale::Log);
        let without_name = Axis { name: String::new(), ..axis.clone() };
        let mut losses = chart(loss, &losses, mark(&words), without_name, true);
        let accuracy = Axis::percent("Accuracy");
        let mut accuracies = chart(accuracy, &accuracies, mark(""), axis.clone(), false);
        let left = losses.label_width(first).max(accuracies.label_width(second));
        (losses.left, accuracies.left) = (Some(left), Some(left));
        losses.draw(&mut canvas, frame);
        accuracies.draw(&mut canvas, Frame { top: first, height: second, ..frame });
        Ok(canvas)
    })
}
