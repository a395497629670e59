//! Curves and points.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::picture::{Picture, palette};
use crate::error::{Error, Result};
use crate::train::EpochRecord;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const fn colour((red, green, blue): (u8, u8, u8)) -> RGBColor {
    RGBColor(red, green, blue)
}

const INK: RGBColor = colour(palette::INK);
const MUTED: RGBColor = colour(palette::MUTED);
const GRID: RGBColor = colour(palette::GRID);
const TEXT: i32 = 14;

/// The colour of the `i`-th series.
fn series(i: usize) -> RGBColor {
    colour(palette::SERIES[i % palette::SERIES.len()])
}

fn text(colour: RGBColor) -> TextStyle<'static> {
    ("sans-serif", TEXT).into_font().color(&colour)
}

fn unplottable(error: impl std::fmt::Display) -> Error {
    Error::invalid("plot", error.to_string())
}

/// Draws into a document of a size.
fn document(
    (width, height): (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        area.fill(&colour(palette::SURFACE)).map_err(unplottable)?;
        draw(&area)?;
        area.present().map_err(unplottable)?;
    }
    Ok(svg)
}

/// A curve or a cloud of points with its name.
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    /// Which colour; `None` for the many that only make the background.
    pub colour: Option<usize>,
}

/// The axes of a chart.
pub struct Axes<'a> {
    pub title: &'a str,
    pub x: &'a str,
    pub log_x: bool,
    pub log_y: bool,
    pub y_format: &'a dyn Fn(f64) -> String,
    pub x_format: &'a dyn Fn(f64) -> String,
}

/// A value to mark on the x axis, with words.
pub struct Mark {
    pub x: f64,
    pub words: String,
}

/// One chart: lines, or points where `dots`.
pub fn chart(
    area: &Area<'_>,
    axes: &Axes<'_>,
    all: &[Series],
    dots: bool,
    mark: Option<&Mark>,
) -> Result<()> {
    let x_range = range(all.iter().flat_map(|s| s.points.iter().map(|p| p.0)), axes.log_x, 0.0);
    let y_range = range(all.iter().flat_map(|s| s.points.iter().map(|p| p.1)), axes.log_y, 0.06);
    let to_x = |x: f64| if axes.log_x { x.log10() } else { x };
    let to_y = |y: f64| if axes.log_y { y.log10() } else { y };
    let margin = if dots { 0.04 * (x_range.end - x_range.start) } else { 0.0 };
    let x_range = x_range.start - margin..x_range.end + margin;
    let style = text(INK);
    area.draw(&Text::new(axes.title.to_owned(), (8, 4), style)).map_err(unplottable)?;
    let mut chart = ChartBuilder::on(area)
        .margin_top(28)
        .margin_right(22)
        .margin_bottom(4)
        .margin_left(4)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(x_range.clone(), y_range.clone())
        .map_err(unplottable)?;
    // a logarithmic axis is drawn by hand: its ticks are 1, 2, 5 times powers of ten
    let ticks = |log: bool, range: &Range<f64>| if log { log_ticks(range) } else { Vec::new() };
    let (x_ticks, y_ticks) = (ticks(axes.log_x, &x_range), ticks(axes.log_y, &y_range));
    let x_format = |x: &f64| (axes.x_format)(if axes.log_x { 10f64.powf(*x) } else { *x });
    let y_format = |y: &f64| (axes.y_format)(if axes.log_y { 10f64.powf(*y) } else { *y });
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(text(MUTED))
        .axis_desc_style(text(MUTED))
        .x_desc(axes.x)
        .x_labels(if axes.log_x { 0 } else { 8 })
        .y_labels(if axes.log_y { 0 } else { 6 })
        .x_label_formatter(&x_format)
        .y_label_formatter(&y_format)
        .disable_x_mesh();
    mesh.draw().map_err(unplottable)?;
    let plot = chart.plotting_area().strip_coord_spec();
    let (width, height) = plot.dim_in_pixel();
    // labels of ticks lie outside the plot, in the area
    let (origin, area_origin) = (plot.get_pixel_range(), area.get_pixel_range());
    let left = origin.0.start - area_origin.0.start;
    let top = origin.1.start - area_origin.1.start;
    for tick in y_ticks {
        let y = pixel(tick, &y_range, height, true);
        plot.draw(&PathElement::new([(0, y), (width as i32, y)], GRID)).map_err(unplottable)?;
        let style = text(MUTED).pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(y_format(&tick), (left - 12, top + y), style)).map_err(unplottable)?;
    }
    for tick in x_ticks {
        let x = left + pixel(tick, &x_range, width, false);
        let bottom = top + height as i32;
        let line = [(x, bottom), (x, bottom + 5)];
        area.draw(&PathElement::new(line, GRID)).map_err(unplottable)?;
        let style = text(MUTED).pos(Pos::new(HPos::Center, VPos::Top));
        area.draw(&Text::new(x_format(&tick), (x, bottom + 9), style)).map_err(unplottable)?;
    }
    if let Some(mark) = mark {
        let x = to_x(mark.x);
        let line = [(x, y_range.start), (x, y_range.end)];
        chart
            .draw_series(DashedLineSeries::new(line, 4, 4, MUTED.stroke_width(1)))
            .map_err(unplottable)?;
        let near_the_end = x > (x_range.start + 2.0 * x_range.end) / 3.0;
        let (side, shift) = if near_the_end { (HPos::Right, -8) } else { (HPos::Left, 8) };
        let x = pixel(x, &x_range, width, false) + shift;
        let style = text(MUTED).pos(Pos::new(side, VPos::Top));
        plot.draw(&Text::new(mark.words.clone(), (x, 4), style)).map_err(unplottable)?;
    }
    for one in all {
        let colour = one.colour.map_or(MUTED.mix(0.35), |i| series(i).mix(1.0));
        let points = one.points.iter().map(|&(x, y)| (to_x(x), to_y(y)));
        if dots || one.points.len() == 1 {
            let radius = if one.colour.is_some() { 6 } else { 4 };
            let dot = |point| Circle::new(point, radius, colour.filled());
            chart.draw_series(points.map(dot)).map_err(unplottable)?;
        } else {
            let width = if one.colour.is_some() { 2 } else { 1 };
            let line = LineSeries::new(points, colour.stroke_width(width));
            chart.draw_series(line).map_err(unplottable)?;
        }
    }
    // the legend: names in their colours, in a row at the right above the plot
    let mut x = area.dim_in_pixel().0 as i32 - 22;
    for one in all.iter().rev().filter(|one| !one.name.is_empty()) {
        let Some(i) = one.colour else { continue };
        let style = text(series(i)).pos(Pos::new(HPos::Right, VPos::Top));
        area.draw(&Text::new(one.name.clone(), (x, 6), style)).map_err(unplottable)?;
        x -= (one.name.chars().count() as f64 * 0.52 * f64::from(TEXT)) as i32 + 18;
    }
    Ok(())
}

fn pixel(value: f64, range: &Range<f64>, size: u32, flipped: bool) -> i32 {
    let share = (value - range.start) / (range.end - range.start);
    (f64::from(size) * if flipped { 1.0 - share } else { share }).round() as i32
}

/// The range of finite values with a margin at both ends, of their logarithms where asked.
fn range(values: impl Iterator<Item = f64>, log: bool, room: f64) -> Range<f64> {
    let values = values.map(|x| if log { x.log10() } else { x }).filter(|x| x.is_finite());
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
    if low > high {
        return 0.0..1.0;
    }
    let size = high - low;
    let room = if size < 1e-9 { high.abs().max(0.1) * 0.1 } else { room * size };
    low - room..high + room
}

/// The logarithms of ticks within a range of logarithms: powers of ten, with as many numbers between them as it takes to have
/// three; even steps, rounded, where that is not enough.
fn log_ticks(range: &Range<f64>) -> Vec<f64> {
    let candidates: [&[f64]; 3] =
        [&[1.0], &[1.0, 2.0, 5.0], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]];
    let powers = range.start.floor() as i32..=range.end.ceil() as i32;
    for factors in candidates {
        let ticks =
            powers.clone().flat_map(|p| factors.iter().map(move |f| f64::from(p) + f.log10()));
        let ticks: Vec<f64> = ticks.filter(|tick| range.contains(tick)).collect();
        if ticks.len() >= 3 {
            return ticks;
        }
    }
    let rounded = |tick: f64| {
        let unit = 10f64.powf(tick.floor() - 2.0); // three digits
        ((10f64.powf(tick) / unit).round() * unit).log10()
    };
    let steps =
        (0..4).map(|i| rounded(range.start + f64::from(i) / 3.0 * (range.end - range.start)));
    let mut ticks: Vec<f64> = steps.filter(|tick| range.contains(tick)).collect();
    ticks.dedup();
    ticks
}

/// Losses and accuracies of a run by epoch, the kept epoch marked.
pub fn convergence(history: &[EpochRecord], best_epoch: usize) -> Result<Picture> {
    let curve = |value: &dyn Fn(&EpochRecord) -> Option<f64>| -> Vec<(f64, f64)> {
        let points = history.iter().map(|r| (r.epoch as f64, value(r)));
        points.filter_map(|(x, y)| y.filter(|y| y.is_finite()).map(|y| (x, y))).collect()
    };
    let positive = |x: f64| (x > 0.0).then_some(x);
    let named =
        |name: &str, points, colour| Series { name: name.to_owned(), points, colour: Some(colour) };
    let losses = [
        named("training", curve(&|r| positive(r.train_loss)), 1),
        named("validation", curve(&|r| r.val_loss.and_then(positive)), 0),
    ];
    let accuracies = [
        named("training", curve(&|r| Some(100.0 * r.train_accuracy)), 1),
        named("validation", curve(&|r| r.val_accuracy.map(|a| 100.0 * a)), 0),
    ];
    let best = history.iter().find(|record| record.epoch == best_epoch);
    let mark = best.map(|best| Mark {
        x: best.epoch as f64,
        words: match best.val_accuracy {
            Some(accuracy) => format!("best epoch {}: {:.2} %", best.epoch, 100.0 * accuracy),
            None => format!("epoch {}, kept", best.epoch),
        },
    });
    let whole = |x: f64| if x.fract() == 0.0 { format!("{x:.0}") } else { String::new() };
    let number = |y: f64| format!("{}", (y * 1e6).round() / 1e6);
    let share = |y: f64| format!("{} %", (y * 100.0).round() / 100.0);
    let svg = document((860, 620), |area| {
        let panels = area.split_evenly((2, 1));
        let loss = Axes {
            title: "Loss (nats, logarithmic)",
            x: "",
            log_x: false,
            log_y: true,
            y_format: &number,
            x_format: &whole,
        };
        chart(&panels[0], &loss, &losses, false, mark.as_ref())?;
        let accuracy =
            Axes { title: "Accuracy", x: "epoch", log_y: false, y_format: &share, ..loss };
        chart(
            &panels[1],
            &accuracy,
            &accuracies,
            false,
            mark.as_ref().map(|mark| Mark { x: mark.x, words: String::new() }).as_ref(),
        )
    })?;
    let words = mark.map_or_else(String::new, |mark| mark.words);
    let alt = format!("Loss and accuracy over {} epochs; {words}", history.len());
    Ok(Picture { name: "convergence", alt, svg })
}

/// A chart by itself.
pub fn single(
    name: &'static str,
    alt: String,
    axes: &Axes<'_>,
    all: &[Series],
    dots: bool,
) -> Result<Picture> {
    let svg = document((860, 400), |area| chart(area, axes, all, dots, None))?;
    Ok(Picture { name, alt, svg })
}

/// A hyperparameter: its name, and the accuracies in percent of the runs with each of its values.
pub struct Effect {
    pub name: String,
    pub values: Vec<(String, Vec<f64>)>,
}

/// For each hyperparameter, every run as a dot over its value, and the median as a bar.
pub fn effects(all: &[Effect]) -> Result<Picture> {
    let lowest_shown =
        lowest_shown(all.iter().flat_map(|e| e.values.iter().flat_map(|v| v.1.iter().copied())));
    // two in a row, unless their labels want more room
    let letters = |e: &Effect| e.values.iter().map(|v| v.0.chars().count() + 2).sum::<usize>();
    let in_a_row = if all.iter().any(|effect| letters(effect) > 44) { 1 } else { 2 };
    let rows = all.len().div_ceil(in_a_row);
    let svg = document((860, 280 * rows.max(1) as u32), |area| {
        let panels = area.split_evenly((rows.max(1), in_a_row));
        for (panel, effect) in panels.iter().zip(all) {
            let shown = |y: &f64| *y >= lowest_shown;
            let values =
                effect.values.iter().flat_map(|v| v.1.iter().copied()).filter(|y| shown(y));
            let y_range = range(values, false, 0.08);
            let count = effect.values.len();
            let title = Text::new(effect.name.clone(), (8, 4), text(INK));
            panel.draw(&title).map_err(unplottable)?;
            let mut chart = ChartBuilder::on(panel)
                .margin_top(28)
                .margin_right(16)
                .margin_bottom(4)
                .margin_left(4)
                .x_label_area_size(30)
                .y_label_area_size(64)
                .build_cartesian_2d(0.0..count as f64, y_range)
                .map_err(unplottable)?;
            chart
                .configure_mesh()
                .disable_x_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(GRID)
                .axis_style(GRID)
                .label_style(text(MUTED))
                .x_labels(0)
                .y_labels(5)
                .y_label_formatter(&|y| format!("{} %", (y * 100.0).round() / 100.0))
                .draw()
                .map_err(unplottable)?;
            let plot = chart.plotting_area().strip_coord_spec();
            let (width, height) = plot.dim_in_pixel();
            for (i, (value, accuracies)) in effect.values.iter().enumerate() {
                let middle = i as f64 + 0.5;
                let x = pixel(middle, &(0.0..count as f64), width, false);
                let style = text(MUTED).pos(Pos::new(HPos::Center, VPos::Top));
                let label = Text::new(value.clone(), (x, height as i32 + 8), style);
                plot.draw(&label).map_err(unplottable)?;
                let spread = |k: usize| 0.24 * (k as f64 / accuracies.len().max(2) as f64 - 0.5);
                let dots = accuracies.iter().enumerate().filter(|(_, y)| shown(y));
                let dots = dots.map(|(k, &y)| {
                    Circle::new((middle + spread(k), y), 4, series(0).mix(0.55).filled())
                });
                chart.draw_series(dots).map_err(unplottable)?;
                let mut sorted = accuracies.clone();
                sorted.sort_by(f64::total_cmp);
                let median =
                    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
                let bar = [(middle - 0.3, median), (middle + 0.3, median)];
                if shown(&median) {
                    let bar = PathElement::new(bar, series(1).stroke_width(3));
                    chart.draw_series([bar]).map_err(unplottable)?;
                }
            }
        }
        Ok(())
    })?;
    let names: Vec<&str> = all.iter().map(|effect| &effect.name[..]).collect();
    let alt = format!("Validation accuracy by {}; a bar is a median", names.join(", "));
    Ok(Picture { name: "effects", alt, svg })
}

/// Where an axis of accuracies begins: far worse runs would squeeze the others together.
pub fn lowest_shown(accuracies: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = accuracies.filter(|x| x.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let Some(&best) = sorted.last() else { return 0.0 };
    let median = sorted[sorted.len() / 2];
    median - 3.0 * (best - median).max(0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithmic_axes_have_some_ticks_and_not_too_many() {
        for (range, expected) in [
            (0.0..3.2, vec![1.0, 10.0, 100.0, 1000.0]),
            (-0.1..1.1, vec![1.0, 2.0, 5.0, 10.0]),
            (0.5..0.8, vec![4.0, 5.0, 6.0]),
        ] {
            let ticks: Vec<f64> =
                log_ticks(&range).iter().map(|t| (10f64.powf(*t) * 1e6).round() / 1e6).collect();
            assert_eq!(ticks, expected);
        }
        assert!(log_ticks(&(5.04..5.05)).len() >= 2);
    }

    #[test]
    fn ranges_hold_all_values_and_are_never_empty() {
        let of = |values: &[f64], log| range(values.iter().copied(), log, 0.1);
        assert_eq!(of(&[1.0, f64::NAN, 3.0], false), 0.8..3.2);
        assert_eq!(of(&[1.0, 100.0, 0.0], true), -0.2..2.2);
        for odd in [&[][..], &[0.0], &[5.0, 5.0], &[f64::INFINITY]] {
            let range = of(odd, false);
            assert!(range.end > range.start, "{odd:?}");
        }
        assert_eq!(lowest_shown([98.0, 97.0, 96.0, 10.0].into_iter()), 94.0);
    }
}
