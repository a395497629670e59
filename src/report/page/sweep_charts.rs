//! The charts of a sweep.

use super::axis::{Axis, Scale};
use super::canvas::Canvas;
use super::chart::{Chart, Frame, Series};
use super::convergence::{Against, TimeUnit};
use super::effects::lowest_shown;
use super::picture::Picture;
use crate::error::Result;
use crate::report::format::plural;
use crate::train::{RankedRuns, RunResult, SweepRun};

/// The runs that are drawn: so many of the best ones.
pub const DRAWN: usize = 300;

/// The curves in the background: so many of the best runs after the leaders.
const CURVES: usize = 100;

/// Curves with a colour of their own.
pub const LEADERS: usize = 5;

/// Validation accuracy in percent.
pub fn accuracy(result: &RunResult) -> Option<f64> {
    result.best().and_then(|best| best.val_accuracy).map(|accuracy| 100.0 * accuracy)
}

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

/// Validation error, all runs; the best have colours.
pub fn curves(ranked: &RankedRuns, names: &[String], against: Against) -> Result<Picture> {
    let drawn = &ranked.results()[..ranked.results().len().min(CURVES + LEADERS)];
    let longest = drawn.iter().map(RunResult::seconds).fold(0.0, f64::max);
    let unit = TimeUnit::of(longest);
    let series = drawn.iter().enumerate().map(|(rank, result)| {
        let positions = against.positions(&result.history, unit);
        let points = positions.into_iter().zip(&result.history);
        let points =
            points.filter_map(|(x, record)| Some((x, 100.0 * (1.0 - record.val_accuracy?))));
        of_rank(ranked, names, &|_| None, rank, points.collect())
    });
    let mut series: Vec<Series> = series.filter(|series| !series.points.is_empty()).collect();
    leaders_on_top(&mut series);
    let name = match against {
        Against::Epochs => "curves",
        Against::Time => "curves-by-time",
    };
    let alt = format!("Validation error of {}", plural(drawn.len(), "run"));
    let (axis, (before, after)) = against.axis(unit);
    let y = Axis { scale: Scale::Log, ..Axis::percent("Validation error, logarithmic") };
    let chart = Chart {
        x: axis,
        y,
        series: &series,
        dots: false,
        mark: None,
        legend: true,
        x_words: (before, &after),
        left: None,
    };
    draw(name, alt, &chart)
}

/// What the accuracy of the runs is drawn against.
#[derive(Clone, Copy)]
pub enum Cost {
    Parameters,
    Time,
}

/// A dot for each run; the best have colours. Runs far below the others are rings at the lower end.
pub fn accuracy_against(
    ranked: &RankedRuns,
    names: &[String],
    links: Links<'_>,
    cost: Cost,
) -> Result<Picture> {
    let drawn = &ranked.results()[..ranked.results().len().min(DRAWN)];
    let floor = lowest_shown(drawn.iter().filter_map(accuracy));
    let x = |result: &RunResult| match cost {
        Cost::Parameters => ranked.run_of(result).parameters as f64,
        Cost::Time => result.seconds() * ranked.run_of(result).threads() as f64,
    };
    let (name, axis, after) = match cost {
        Cost::Parameters => ("accuracy-by-parameters", "parameters, logarithmic", " parameters"),
        Cost::Time => {
            ("accuracy-by-time", "seconds of training, all threads together, logarithmic", " s")
        }
    };
    let mut series: Vec<Series> = (drawn.iter().enumerate())
        .filter_map(|(rank, result)| {
            Some(of_rank(ranked, names, links, rank, vec![(x(result), accuracy(result)?)]))
        })
        .collect();
    leaders_on_top(&mut series);
    let below = series.iter().filter(|series| series.points[0].1 < floor).count();
    let axis = match below {
        0 => axis.to_owned(),
        _ => format!("{axis}; rings: {below} below {floor:.1} %"),
    };
    let y = Axis { floor, ..Axis::percent("Validation accuracy") };
    let alt = format!("Validation accuracy of {} against {axis}", plural(series.len(), "run"));
    let chart = Chart {
        x: Axis::new(axis, Scale::Log),
        y,
        series: &series,
        dots: true,
        mark: None,
        legend: true,
        x_words: ("", after),
        left: None,
    };
    draw(name, alt, &chart)
}
