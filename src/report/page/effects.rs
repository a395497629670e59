//! What each setting of a sweep does to the accuracy.

use super::axis::{Axis, significant};
use super::canvas::{Canvas, TEXT, shortened, text_width};
use super::chart::{Frame, colour, draw_y_axis};
use super::palette;
use super::picture::Picture;
use crate::error::Result;

/// A hyperparameter: its name, and the accuracies in percent of the runs with each of its values.
pub struct Effect {
    pub name: String,
    pub values: Vec<(String, Vec<f64>)>,
}

const HEIGHT: f64 = 280.0;

/// For each hyperparameter, every run as a dot over its value, and the median as a bar.
pub fn effects(all: &[Effect]) -> Result<Picture> {
    let accuracies = all.iter().flat_map(|e| e.values.iter().flat_map(|v| v.1.iter().copied()));
    let floor = lowest_shown(accuracies);
    // two in a row, unless their labels want more room
    let letters = |e: &Effect| e.values.iter().map(|v| v.0.chars().count() + 2).sum::<usize>();
    let long = all.iter().any(|effect| letters(effect) > 44) || all.len() == 1;
    let names: Vec<&str> = all.iter().map(|effect| &effect.name[..]).collect();
    let alt = format!("Validation accuracy by {}; a bar is a median", names.join(", "));
    Picture::draw("effects", alt, |width| {
        let in_a_row = width.choose(if long { 1 } else { 2 }, 1);
        let rows = all.len().div_ceil(in_a_row).max(1);
        let panel = width.pixels() / in_a_row as f64;
        let mut canvas = Canvas::new(width.pixels(), HEIGHT * rows as f64);
        for (i, effect) in all.iter().enumerate() {
            let left = (i % in_a_row) as f64 * panel;
            let top = (i / in_a_row) as f64 * HEIGHT;
            let frame = Frame { left, top, width: panel, height: HEIGHT };
            draw(&mut canvas, effect, floor, frame);
        }
        Ok(canvas)
    })
}

fn draw(canvas: &mut Canvas, effect: &Effect, floor: f64, frame: Frame) {
    let Frame { left, top, width, height } = frame;
    let name = shortened(&effect.name, (width / text_width("x", 14)) as usize);
    canvas.text((left + 8.0, top + 18.0), 14, "start", palette::INK, &name);
    let axis = Axis { floor, ..Axis::percent("") };
    let y = axis.fit(effect.values.iter().flat_map(|v| v.1.iter().copied()), 0.08, 5.0);
    let labels = text_width(y.longest_label(), TEXT) + 16.0;
    let plot = Frame {
        left: left + labels,
        top: top + 34.0,
        width: width - labels - 16.0,
        height: height - 34.0 - 40.0,
    };
    draw_y_axis(canvas, &y, plot);
    let cell = plot.width / effect.values.len().max(1) as f64;
    let height_of = |accuracy: f64| plot.top + plot.height * (1.0 - y.at(accuracy));
    // labels that do not fit side by side take turns on two lines
    let most = |lines: f64| (lines * cell / text_width("x", TEXT)) as usize;
    let longest = effect.values.iter().map(|v| v.0.chars().count()).max().unwrap_or(0);
    let lines = if longest > most(1.0) { 2 } else { 1 };
    for (i, (value, accuracies)) in effect.values.iter().enumerate() {
        let middle = plot.left + (i as f64 + 0.5) * cell;
        let at = plot.top + plot.height + 19.0 + 16.0 * (i % lines) as f64;
        let label = shortened(value, most(lines as f64).saturating_sub(1).max(2));
        canvas.text((middle, at), TEXT, "middle", palette::MUTED, &label);
        for (k, &accuracy) in accuracies.iter().enumerate() {
            let shift = 0.24 * cell * ((k as f64 + 0.5) / accuracies.len() as f64 - 0.5);
            let title = format!("{} {value}: {} %", effect.name, significant(accuracy));
            let place = (middle + shift, height_of(accuracy));
            canvas.circle(place, 4.0, colour(Some(0)), 0.55, y.is_below(accuracy), Some(&title));
        }
        let mut sorted = accuracies.clone();
        sorted.sort_by(f64::total_cmp);
        let median = f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        let (half, at) = ((0.3 * cell).min(60.0), height_of(median));
        canvas.polyline(&[(middle - half, at), (middle + half, at)], colour(Some(1)), 3.0, 1.0);
    }
}

/// Where an axis of accuracies begins: a few runs that are far worse would squeeze the many others together. They are drawn at the
/// lower end.
pub fn lowest_shown(accuracies: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = accuracies.filter(|x| x.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let Some(&best) = sorted.last() else { return f64::NEG_INFINITY };
    let median = sorted[sorted.len() / 2];
    let lowest = median - 3.0 * (best - median).max(0.5);
    let below = sorted.iter().filter(|accuracy| **accuracy < lowest).count();
    if 5 * below > sorted.len() { f64::NEG_INFINITY } else { lowest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_runs_far_below_many_do_not_stretch_the_axis() {
        let many = [98.0, 97.8, 97.5, 97.5, 97.0, 96.0, 10.0];
        assert_eq!(lowest_shown(many.into_iter()), 96.0);
        assert_eq!(
            lowest_shown([98.0, 10.0].into_iter()),
            f64::NEG_INFINITY,
            "both of two are shown"
        );
        assert_eq!(lowest_shown([].into_iter()), f64::NEG_INFINITY);
    }
}
