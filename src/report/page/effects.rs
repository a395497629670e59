//! What each setting of a sweep does to the metric.

use super::axis::Axis;
use super::canvas::{Canvas, TEXT, shortened, text_width};
use super::chart::{Frame, colour, draw_y_axis};
use super::metric::{axis, drawn, without_outliers};
use super::palette;
use super::picture::Picture;
use crate::error::Result;
use crate::task::Metric;

/// A hyperparameter: its name, and the metric of the runs with each of its values.
pub struct Effect {
    pub name: String,
    pub values: Vec<(String, Vec<f64>)>,
}

const HEIGHT: f64 = 280.0;

/// For each hyperparameter, every run as a dot over its value, and the median as a bar.
pub fn effects(all: &[Effect], metric: Metric) -> Result<Picture> {
    let values = all.iter().flat_map(|e| e.values.iter().flat_map(|v| v.1.iter().copied()));
    let axis = without_outliers(metric, axis(metric, ""), values);
    // two in a row, unless their labels want more room
    let letters = |e: &Effect| e.values.iter().map(|v| v.0.chars().count() + 2).sum::<usize>();
    let long = all.iter().any(|effect| letters(effect) > 44) || all.len() == 1;
    let names: Vec<&str> = all.iter().map(|effect| &effect.name[..]).collect();
    let alt = format!("Validation {} by {}; a bar is a median", metric.title(), names.join(", "));
    Picture::draw("effects", alt, |width| {
        let in_a_row = width.choose(if long { 1 } else { 2 }, 1);
        let rows = all.len().div_ceil(in_a_row).max(1);
        let panel = width.pixels() / in_a_row as f64;
        let mut canvas = Canvas::new(width.pixels(), HEIGHT * rows as f64);
        for (i, effect) in all.iter().enumerate() {
            let left = (i % in_a_row) as f64 * panel;
            let top = (i / in_a_row) as f64 * HEIGHT;
            let frame = Frame { left, top, width: panel, height: HEIGHT };
            draw(&mut canvas, effect, (metric, &axis), frame);
        }
        Ok(canvas)
    })
}

fn draw(canvas: &mut Canvas, effect: &Effect, (metric, axis): (Metric, &Axis), frame: Frame) {
    let Frame { left, top, width, height } = frame;
    let name = shortened(&effect.name, (width / text_width("x", 14)) as usize);
    canvas.text((left + 8.0, top + 18.0), 14, "start", palette::INK, &name);
    let values = effect.values.iter().flat_map(|v| v.1.iter().map(|&value| drawn(metric, value)));
    let y = axis.fit(values, 0.08, 5.0);
    let labels = text_width(y.longest_label(), TEXT) + 16.0;
    let plot = Frame {
        left: left + labels,
        top: top + 34.0,
        width: width - labels - 16.0,
        height: height - 34.0 - 40.0,
    };
    draw_y_axis(canvas, &y, plot);
    let cell = plot.width / effect.values.len().max(1) as f64;
    let height_of = |value: f64| plot.top + plot.height * (1.0 - y.at(drawn(metric, value)));
    // labels that do not fit side by side take turns on two lines
    let most = |lines: f64| (lines * cell / text_width("x", TEXT)) as usize;
    let longest = effect.values.iter().map(|v| v.0.chars().count()).max().unwrap_or(0);
    let lines = if longest > most(1.0) { 2 } else { 1 };
    for (i, (value, results)) in effect.values.iter().enumerate() {
        let middle = plot.left + (i as f64 + 0.5) * cell;
        let at = plot.top + plot.height + 19.0 + 16.0 * (i % lines) as f64;
        let label = shortened(value, most(lines as f64).saturating_sub(1).max(2));
        canvas.text((middle, at), TEXT, "middle", palette::MUTED, &label);
        for (k, &result) in results.iter().enumerate() {
            let shift = 0.24 * cell * ((k as f64 + 0.5) / results.len() as f64 - 0.5);
            let title = format!("{} {value}: {}", effect.name, metric.text(result));
            let place = (middle + shift, height_of(result));
            let beyond = y.is_beyond(drawn(metric, result));
            canvas.circle(place, 4.0, colour(Some(0)), 0.55, beyond, Some(&title));
        }
        let mut sorted = results.clone();
        sorted.sort_by(f64::total_cmp);
        let median = f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        let (half, at) = ((0.3 * cell).min(60.0), height_of(median));
        canvas.polyline(&[(middle - half, at), (middle + half, at)], colour(Some(1)), 3.0, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_drawn_in_their_own_units_the_worst_as_rings() {
        let values = vec![("0.1".to_owned(), vec![23_456.7; 8]), ("0.2".to_owned(), vec![9e6])];
        let effect = Effect { name: "lr".to_owned(), values };
        let picture = effects(&[effect], Metric::Rmse).unwrap();
        assert!(picture.alt.starts_with("Validation RMSE by lr"));
        assert!(picture.wide.contains("<title>lr 0.1: 23457</title>"), "{}", picture.wide);
        assert_eq!(picture.wide.matches("stroke-width=\"1.5\"").count(), 1, "{}", picture.wide);
        assert!(!picture.wide.contains('%'));
    }
}
