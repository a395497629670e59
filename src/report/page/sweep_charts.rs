//! The charts of a sweep.

use super::axis::{Axis, Scale, significant};
use super::canvas::Canvas;
use super::chart::{Chart, Frame, Series, Shape};
use super::convergence::{Against, TimeUnit};
use super::metric::{self, distance, distance_axis, drawn, without_outliers};
use super::picture::Picture;
use crate::error::Result;
use crate::report::format::plural;
use crate::task::Metric;
use crate::train::{RankedRuns, RunResult, SweepRun};

/// The runs that are drawn: so many of the best ones.
pub const DRAWN: usize = 300;

/// The curves in the background: so many of the best runs after the leaders.
const CURVES: usize = 100;

/// Curves with a colour of their own.
pub const LEADERS: usize = 5;

/// Where a run's own report is.
pub type Links<'a> = &'a dyn Fn(&SweepRun) -> Option<String>;

/// What is drawn of a run: the leaders have a name and a colour.
fn of_rank(
    ranked: &RankedRuns,
    names: &[String],
    links: Links<'_>,
    rank: usize,
    points: Vec<(f64, f64)>,
) -> Series {
    let result = &ranked.results()[rank];
    let title = format!("#{} {}", rank + 1, names[result.number()]);
    let colour = (rank < LEADERS).then_some(rank);
    Series {
        name: if colour.is_some() { title.clone() } else { String::new() },
        points,
        shape: Shape::Line,
        colour,
        title,
        link: links(ranked.run_of(result)),
    }
}

/// The background is drawn first, the best run last.
fn leaders_on_top(series: &mut [Series]) {
    series.sort_by_key(|series| series.colour.map_or(0, |rank| LEADERS + 1 - rank));
}

/// A chart by itself.
fn draw(name: &'static str, alt: String, chart: &Chart<'_>) -> Result<Picture> {
    Picture::draw(name, alt, |width| {
        let (width, height) = (width.pixels(), width.choose(440.0, 420.0));
        let mut canvas = Canvas::new(width, height);
        chart.draw(&mut canvas, Frame { left: 0.0, top: 0.0, width, height });
        Ok(canvas)
    })
}

/// How far the validation part is from perfect, by the metric that ranks; all runs; the best have colours.
pub fn curves(ranked: &RankedRuns, names: &[String], against: Against) -> Result<Picture> {
    let drawn = &ranked.results()[..ranked.results().len().min(CURVES + LEADERS)];
    let longest = drawn.iter().map(RunResult::seconds).fold(0.0, f64::max);
    let unit = TimeUnit::of(longest);
    let metric = ranked.metric();
    let series = drawn.iter().enumerate().map(|(rank, result)| {
        let positions = against.positions(&result.history, unit);
        let points = positions.into_iter().zip(&result.history);
        let points =
            points.filter_map(|(x, record)| Some((x, distance(metric, record.value(metric)?))));
        of_rank(ranked, names, &|_| None, rank, points.collect())
    });
    let mut series: Vec<Series> = series.filter(|series| !series.points.is_empty()).collect();
    leaders_on_top(&mut series);
    let name = match against {
        Against::Epochs => "curves",
        Against::Time => "curves-by-time",
    };
    let (axis, (before, after)) = against.axis(unit);
    let (y, what) = distance_axis(metric);
    let alt = format!("{what} of {}", plural(drawn.len(), "run"));
    let chart = Chart {
        x: axis,
        y,
        series: &series,
        mark: None,
        legend: true,
        x_words: (before, &after),
        left: None,
    };
    draw(name, alt, &chart)
}

/// What the metric of the runs is drawn against.
#[derive(Clone, Copy)]
pub enum Cost {
    Parameters,
    Time,
}

impl Cost {
    /// The name of the picture.
    pub fn name(self, metric: Metric) -> &'static str {
        match (self, metric) {
            (Self::Parameters, Metric::Accuracy) => "accuracy-by-parameters",
            (Self::Time, Metric::Accuracy) => "accuracy-by-time",
            (Self::Parameters, _) => "metric-by-parameters",
            (Self::Time, _) => "metric-by-time",
        }
    }
}

/// A dot for each run; the best have colours. Runs far worse than the others are rings at the end.
pub fn metric_against(
    ranked: &RankedRuns,
    names: &[String],
    links: Links<'_>,
    cost: Cost,
) -> Result<Picture> {
    let shown = &ranked.results()[..ranked.results().len().min(DRAWN)];
    let metric = ranked.metric();
    let value = |result: &RunResult| result.value(metric).filter(|value| value.is_finite());
    let y = metric::axis(metric, "Validation");
    let y = without_outliers(metric, y, shown.iter().filter_map(value));
    let x = |result: &RunResult| match cost {
        Cost::Parameters => ranked.run_of(result).parameters as f64,
        Cost::Time => result.seconds() * ranked.run_of(result).threads() as f64,
    };
    let (axis, after) = match cost {
        Cost::Parameters => ("parameters, logarithmic", " parameters"),
        Cost::Time => ("seconds of training, all threads together, logarithmic", " s"),
    };
    let mut series: Vec<Series> = (shown.iter().enumerate())
        .filter_map(|(rank, result)| {
            let point = (x(result), drawn(metric, value(result)?));
            Some(of_rank(ranked, names, links, rank, vec![point]).shaped(Shape::Dots))
        })
        .collect();
    leaders_on_top(&mut series);
    let beyond = |end: f64, is: fn(&f64, &f64) -> bool| {
        series.iter().filter(|series| is(&series.points[0].1, &end)).count()
    };
    let end = |end: f64| match y.unit {
        "" => significant(end),
        unit => format!("{end:.1}{unit}"),
    };
    let axis = match (beyond(y.floor, f64::lt), beyond(y.ceiling, f64::gt)) {
        (0, 0) => axis.to_owned(),
        (0, above) => format!("{axis}; rings: {above} above {}", end(y.ceiling)),
        (below, _) => format!("{axis}; rings: {below} below {}", end(y.floor)),
    };
    let alt = format!("{} of {} against {axis}", y.name, plural(series.len(), "run"));
    let chart = Chart {
        x: Axis::new(axis, Scale::Log),
        y,
        series: &series,
        mark: None,
        legend: true,
        x_words: ("", after),
        left: None,
    };
    draw(cost.name(metric), alt, &chart)
}
