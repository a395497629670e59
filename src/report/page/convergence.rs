//! The curves of a run.

use super::axis::{Axis, Scale};
use super::canvas::Canvas;
use super::chart::{Chart, Frame, Mark, Series};
use super::metric::{axis as metric_axis, drawn, without_outliers};
use super::picture::Picture;
use crate::error::Result;
use crate::task::{Loss, Metric};
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

/// What a run was trained for.
#[derive(Clone, Copy, Debug)]
pub struct Aim {
    pub loss: Loss,
    /// What chose the epoch.
    pub metric: Metric,
}

/// A chart of some figures of the epochs.
struct Panel {
    y: Axis,
    series: Vec<Series>,
    /// On a wide page and on a phone.
    height: (f64, f64),
}

/// The loss, the accuracy or the RMSE, the metric that chose where it is another, and the learning rate where it changes; the kept epoch marked.
pub fn convergence(
    history: &[EpochRecord],
    best_epoch: usize,
    against: Against,
    aim: Aim,
) -> Result<Picture> {
    let unit = TimeUnit::of(history.iter().map(|record| record.seconds).sum());
    let positions = against.positions(history, unit);
    let panels = panels(history, &positions, aim);
    let best = positions.iter().zip(history).find(|(_, record)| record.epoch == best_epoch);
    let words = best.map_or_else(String::new, |(_, best)| match best.value(aim.metric) {
        Some(value) if aim.metric == Metric::Accuracy => {
            format!("best epoch {}: {}", best.epoch, aim.metric.text(value))
        }
        Some(value) => {
            format!("best epoch {}: {} {}", best.epoch, aim.metric.title(), aim.metric.text(value))
        }
        None => format!("epoch {}, kept", best.epoch),
    });
    let (axis, (before, after)) = against.axis(unit);
    let name = match against {
        Against::Epochs => "convergence",
        Against::Time => "convergence-by-time",
    };
    let main = Metric::default_for(aim.metric.is_regression());
    let alt = format!("Loss and {} over {} epochs; {words}", main.title(), history.len());
    Picture::draw(name, alt, |width| {
        let height = |panel: &Panel| width.choose(panel.height.0, panel.height.1);
        let all = panels.iter().map(height).sum();
        let mut canvas = Canvas::new(width.pixels(), all);
        let last = panels.len() - 1;
        let mut charts: Vec<(Chart<'_>, f64)> = (panels.iter().enumerate())
            .map(|(i, panel)| {
                let words = if i == 0 { words.clone() } else { String::new() };
                let x = match i == last {
                    true => axis.clone(),
                    false => Axis { name: String::new(), ..axis.clone() },
                };
                let chart = Chart {
                    x,
                    y: panel.y.clone(),
                    series: &panel.series,
                    mark: best.map(|(&x, _)| Mark { x, words }),
                    legend: i == 0,
                    x_words: (before, &after),
                    left: None,
                };
                (chart, height(panel))
            })
            .collect();
        let widths = charts.iter().map(|(chart, height)| chart.label_width(*height));
        let left = widths.fold(0.0, f64::max);
        let mut top = 0.0;
        for (chart, height) in &mut charts {
            chart.left = Some(left);
            chart.draw(
                &mut canvas,
                Frame { left: 0.0, top, width: width.pixels(), height: *height },
            );
            top += *height;
        }
        Ok(canvas)
    })
}

fn panels(history: &[EpochRecord], positions: &[f64], aim: Aim) -> Vec<Panel> {
    let curve = |name: &str, colour: usize, value: &dyn Fn(&EpochRecord) -> Option<f64>| {
        let points = positions.iter().zip(history);
        let points = points.filter_map(|(&x, record)| Some((x, value(record)?)));
        Series::curve(name, points.collect(), colour)
    };
    let losses = vec![
        curve("training", 1, &|record| Some(record.train_loss)),
        curve("validation", 0, &|record| record.val_loss),
    ];
    let is_negative = losses.iter().flat_map(|series| &series.points).any(|point| point.1 < 0.0);
    let what = match aim.loss {
        Loss::CrossEntropy => "Loss in nats".to_owned(),
        loss => format!("Loss, {loss}"),
    };
    // the loss of counts is no distance: it may be negative
    let y = match is_negative {
        true => Axis::new(what, Scale::Linear),
        false => Axis::new(format!("{what}, logarithmic"), Scale::Log),
    };
    let main = Metric::default_for(aim.metric.is_regression());
    let train = |record: &EpochRecord| record.train_rmse.or(record.train_accuracy);
    let of = |metric: Metric| move |record: &EpochRecord| record.value(metric);
    let drawn_by =
        |metric: Metric, value: &dyn Fn(&EpochRecord) -> Option<f64>, record: &EpochRecord| {
            value(record).map(|value| drawn(metric, value))
        };
    let mains = vec![
        curve("training", 1, &|record| drawn_by(main, &train, record)),
        curve("validation", 0, &|record| drawn_by(main, &of(main), record)),
    ];
    let main_axis = match main {
        Metric::Accuracy => metric_axis(main, ""),
        _ => Axis::new(format!("{}, logarithmic", main.title()), Scale::Log),
    };
    let height = (330.0, 300.0);
    let mut panels = vec![
        Panel { y, series: losses, height },
        Panel { y: main_axis, series: mains, height: (290.0, 260.0) },
    ];
    let metric = aim.metric;
    if metric != main && !metric.is_loss() {
        let series = vec![curve("validation", 0, &|record| drawn_by(metric, &of(metric), record))];
        let values = history.iter().filter_map(|record| record.value(metric));
        let y = without_outliers(metric, metric_axis(metric, ""), values);
        panels.push(Panel { y, series, height: (290.0, 260.0) });
    }
    if history.windows(2).any(|pair| pair[0].lr != pair[1].lr) {
        let y =
            Axis { from_zero: true, ..Axis::new("Learning rate of the last step", Scale::Linear) };
        let series = vec![curve("learning rate", 2, &|record| record.lr)];
        panels.push(Panel { y, series, height: (200.0, 190.0) });
    }
    panels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regression_shows_its_errors_and_the_metric_that_chose() {
        let record = |epoch: usize| EpochRecord {
            epoch,
            train_loss: 1.0 / epoch as f64,
            train_rmse: Some(50.0 / epoch as f64),
            val_loss: Some(1.5 / epoch as f64),
            val_rmse: Some(60.0 / epoch as f64),
            val_mae: Some(40.0),
            val_r2: Some(0.1 * epoch as f64),
            ..EpochRecord::default()
        };
        let history: Vec<EpochRecord> = (1..=4).map(record).collect();
        let draw = |loss, metric| {
            let picture = convergence(&history, 4, Against::Epochs, Aim { loss, metric }).unwrap();
            assert!(!picture.wide.contains("ccuracy") && !picture.wide.contains('%'));
            picture.wide
        };
        let svg = draw(Loss::Mae, Metric::Rmse);
        for part in ["Loss, mae, logarithmic", "RMSE, logarithmic", "best epoch 4: RMSE 15.000"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert!(
            svg.contains("data-y=\"60 30 20 15\"") && svg.contains("data-y=\"50 25 16.667 12.5\"")
        );
        assert_eq!(svg.matches("data-box").count(), 2);
        let negative = [EpochRecord { val_loss: Some(-2.0), ..history[0].clone() }];
        let aim = Aim { loss: Loss::Poisson, metric: Metric::Rmse };
        let svg = convergence(&negative, 1, Against::Epochs, aim).unwrap().wide;
        assert!(svg.contains("Loss, poisson<") && svg.contains(">-"), "{svg}");
        let svg = draw(Loss::Mse, Metric::R2);
        assert!(
            svg.contains("best epoch 4: R2 0.4000") && svg.contains("data-y=\"0.1 0.2 0.3 0.4\"")
        );
        assert_eq!(svg.matches("data-box").count(), 3);
    }

    #[test]
    fn a_learning_rate_that_changes_is_drawn() {
        let aim = Aim { loss: Loss::CrossEntropy, metric: Metric::Accuracy };
        let draw = |rates: [Option<f64>; 3]| {
            let record = |(i, lr): (usize, Option<f64>)| EpochRecord {
                epoch: i + 1,
                train_loss: 1.0,
                train_accuracy: Some(0.5),
                lr,
                ..EpochRecord::default()
            };
            let history: Vec<EpochRecord> = rates.into_iter().enumerate().map(record).collect();
            convergence(&history, 3, Against::Epochs, aim).unwrap().wide
        };
        assert!(!draw([Some(0.1); 3]).contains("Learning rate of the last step"));
        let svg = draw([0.2, 0.1, 0.0].map(Some));
        assert!(
            svg.contains("Learning rate of the last step") && svg.contains("data-y=\"0.2 0.1 0\""),
            "{svg}"
        );
        // a run that an earlier version began has none in its first epochs
        assert!(draw([None, Some(0.1), Some(0.1)]).contains("data-y=\"0.1 0.1\""));
    }
}
