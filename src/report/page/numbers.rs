//! What a model of numbers says, as pictures: predictions against the truth, and their errors.

use xxhash_rust::xxh3::xxh3_64;

use super::axis::{Axis, Scale};
use super::canvas::{Canvas, shortened, text_width};
use super::chart::{Chart, Frame, Series, Shape};
use super::picture::{Picture, Width};
use crate::error::Result;
use crate::report::Errors;
use crate::report::format::{grouped, plural};

/// Samples that are drawn of more.
const POINTS: usize = 2000;

/// Targets that are drawn.
const TARGETS: usize = 6;

/// Bars of a histogram.
const BARS: usize = 41;

/// Truth and prediction of the samples that are drawn of a target: all, or a selection that is the same every time.
fn drawn(errors: &Errors, target: usize) -> Vec<(f64, f64)> {
    let pairs = errors.pairs(target);
    let finite = |i: &usize| pairs[*i].1.is_finite();
    let mut samples: Vec<usize> = (0..pairs.len()).filter(finite).collect();
    if samples.len() > POINTS {
        samples.sort_by_cached_key(|&i| xxh3_64(&(i as u64).to_le_bytes()));
        samples.truncate(POINTS);
    }
    samples.into_iter().map(|i| pairs[i]).collect()
}

/// For each target, predictions over the truth, and beside it errors over predictions.
pub fn predictions(errors: &Errors) -> Result<Picture> {
    let names = &errors.names()[..errors.names().len().min(TARGETS)];
    let panels: Vec<[Panel; 2]> = names
        .iter()
        .enumerate()
        .map(|(t, name)| {
            let pairs = drawn(errors, t);
            let all = || pairs.iter().flat_map(|&(y, p)| [y, p]);
            let (least, most) =
                (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
            let of_truth = Panel {
                x: format!("true {name}"),
                y: format!("Predicted {name}"),
                reference: vec![(least, least), (most, most)],
                points: pairs.clone(),
            };
            let (low, high) =
                pairs.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &(_, p)| {
                    (low.min(p), high.max(p))
                });
            let of_errors = Panel {
                x: format!("predicted {name}"),
                y: "Predicted - true".to_owned(),
                reference: vec![(low, 0.0), (high, 0.0)],
                points: pairs.iter().map(|&(y, p)| (p, p - y)).collect(),
            };
            [of_truth, of_errors]
        })
        .collect();
    let alt = format!(
        "Predictions of {} against the truth, and their errors against the predictions",
        names.join(", ")
    );
    Picture::draw("predictions", alt, |width| {
        let in_a_row = width.choose(2, 1);
        let (panel, height) = (width.pixels() / in_a_row as f64, width.choose(430.0, 350.0));
        let rows = (2 * panels.len()).div_ceil(in_a_row);
        let mut canvas = Canvas::new(width.pixels(), height * rows as f64);
        for (i, one) in panels.iter().flatten().enumerate() {
            let left = (i % in_a_row) as f64 * panel;
            let top = (i / in_a_row) as f64 * height;
            one.draw(&mut canvas, Frame { left, top, width: panel, height });
        }
        Ok(canvas)
    })
}

/// A cloud of dots and a line to compare it with.
struct Panel {
    x: String,
    y: String,
    reference: Vec<(f64, f64)>,
    points: Vec<(f64, f64)>,
}

impl Panel {
    fn draw(&self, canvas: &mut Canvas, frame: Frame) {
        let series = [
            Series::curve("", self.points.clone(), 0).shaped(Shape::Cloud),
            Series::reference(self.reference.clone()),
        ];
        let fits = |size: usize| (frame.width / text_width("x", size)) as usize - 4;
        let chart = Chart {
            x: Axis::new(shortened(&self.x, fits(13)), Scale::Linear),
            y: Axis::new(shortened(&self.y, fits(14)), Scale::Linear),
            series: &series,
            mark: None,
            legend: false,
            x_words: ("", ""),
            left: None,
        };
        chart.draw(canvas, frame);
    }
}

/// How often which errors occur, for each target.
pub fn residuals(errors: &Errors) -> Result<Picture> {
    let names = &errors.names()[..errors.names().len().min(TARGETS)];
    let all: Vec<Histogram> =
        (0..names.len()).map(|target| Histogram::of(errors.pairs(target))).collect();
    let alt = format!("Histogram of the errors of {}", names.join(", "));
    Picture::draw("residuals", alt, |width| {
        let in_a_row = match width {
            Width::Wide if all.len() > 1 => 2,
            _ => 1,
        };
        let (panel, height) = (width.pixels() / in_a_row as f64, width.choose(300.0, 290.0));
        let mut canvas = Canvas::new(width.pixels(), height * all.len().div_ceil(in_a_row) as f64);
        for (i, (histogram, name)) in all.iter().zip(names).enumerate() {
            let left = (i % in_a_row) as f64 * panel;
            let top = (i / in_a_row) as f64 * height;
            histogram.draw(&mut canvas, name, Frame { left, top, width: panel, height });
        }
        Ok(canvas)
    })
}

/// Errors, counted in equal intervals.
struct Histogram {
    /// The middle of each interval, and the errors in it.
    bars: Vec<(f64, f64)>,
    /// The width of the intervals.
    bar: f64,
    /// Errors beyond the ends, which are in none of them.
    beyond: usize,
}

impl Histogram {
    /// Of pairs of truth and prediction. A few errors that lie far beyond the quantiles 0.05 and 0.95 are left out, so that they
    /// do not squeeze the many others together.
    fn of(pairs: &[(f64, f64)]) -> Self {
        let errors = pairs.iter().map(|(y, p)| p - y).filter(|error| error.is_finite());
        let mut errors: Vec<f64> = errors.collect();
        errors.sort_by(f64::total_cmp);
        if errors.is_empty() {
            return Self { bars: Vec::new(), bar: 1.0, beyond: 0 };
        }
        let quantile = |q: f64| errors[((errors.len() - 1) as f64 * q).round() as usize];
        let (q05, q95) = (quantile(0.05), quantile(0.95));
        let far = 2.0 * (q95 - q05);
        let all = errors.len();
        errors.retain(|error| (q05 - far..=q95 + far).contains(error));
        let (low, high) = (errors[0], errors[errors.len() - 1]);
        // errors that are all equal take one bar
        let size = if high > low { high - low } else { high.abs().max(1e-3) };
        let bar = size / (BARS - 1) as f64;
        let start = low - bar / 2.0;
        let mut bars: Vec<(f64, f64)> =
            (0..BARS).map(|i| (start + (i as f64 + 0.5) * bar, 0.0)).collect();
        for error in &errors {
            bars[(((error - start) / bar) as usize).min(BARS - 1)].1 += 1.0;
        }
        Self { bars, bar, beyond: all - errors.len() }
    }

    fn draw(&self, canvas: &mut Canvas, target: &str, frame: Frame) {
        let series = [Series {
            title: "samples".to_owned(),
            ..Series::curve("", self.bars.clone(), 0).shaped(Shape::Bars(self.bar))
        }];
        let beyond = match self.beyond {
            0 => String::new(),
            count => format!("; {} beyond the ends", plural(count, "sample")),
        };
        let letters = (frame.width / text_width("x", 14)) as usize;
        let name = shortened(target, letters.saturating_sub(20).max(6));
        let chart = Chart {
            x: Axis::new(format!("predicted - true{beyond}"), Scale::Linear),
            y: Axis::counts(format!("Samples, errors of {name}")),
            series: &series,
            mark: None,
            legend: false,
            x_words: ("error ", ""),
            left: None,
        };
        chart.draw(canvas, frame);
    }
}

/// What is left out of the pictures, if something is.
pub fn left_out(errors: &Errors) -> Option<String> {
    let targets = errors.names().len();
    let samples = errors.pairs(0).len();
    let mut parts = Vec::new();
    if targets > TARGETS {
        parts.push(format!("the first {TARGETS} of {}", plural(targets, "target")));
    }
    if samples > POINTS {
        let (some, all) = (grouped(POINTS as u64), plural(samples, "sample"));
        parts.push(format!("{some} of {all}, drawn at random"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    fn errors(samples: usize, targets: usize) -> Errors {
        let truth: Vec<f32> = (0..samples * targets).map(|i| (i % 97) as f32).collect();
        let predictions = Array2::from_shape_fn((samples, targets), |(i, t)| {
            truth[i * targets + t] + (i % 11) as f32 - 5.0
        });
        let names = (0..targets).map(|t| format!("target <{t}>")).collect();
        Errors::new(names, predictions.view(), &truth)
    }

    #[test]
    fn every_sample_is_drawn_up_to_a_limit_and_the_same_every_time() {
        let dots = |errors: &Errors| predictions(errors).unwrap().wide.matches("h.01").count();
        assert_eq!(dots(&errors(70, 2)), 70 * 2 * 2);
        let many = errors(POINTS + 500, 1);
        assert_eq!(dots(&many), 2 * POINTS);
        assert_eq!(predictions(&many).unwrap().wide, predictions(&many).unwrap().wide);
        assert_eq!(left_out(&many).unwrap(), "2,000 of 2,500 samples, drawn at random");
        assert_eq!(left_out(&errors(70, 2)), None);
        assert!(left_out(&errors(7, 9)).unwrap().starts_with("the first 6 of 9 targets"));
    }

    #[test]
    fn every_error_is_in_a_bar_or_counted() {
        let pairs: Vec<(f64, f64)> = (0..1000)
            .map(|i| (0.0, f64::from(i % 21) - 10.0))
            .chain([(0.0, 1e6), (0.0, f64::NAN)])
            .collect();
        let histogram = Histogram::of(&pairs);
        let counted: f64 = histogram.bars.iter().map(|bar| bar.1).sum();
        assert_eq!((counted, histogram.beyond), (1000.0, 1));
        // errors of -10, -9, ..., 10 in bars half as wide
        let middle = histogram.bars[BARS / 2];
        assert!(middle.0.abs() < 1e-9 && middle.1 == 48.0, "{middle:?}");
        for pairs in [&[][..], &[(1.0, 1.0)], &[(1.0, 3.0); 5], &[(0.0, f64::NAN)]] {
            let counted: f64 = Histogram::of(pairs).bars.iter().map(|bar| bar.1).sum();
            let finite = pairs.iter().filter(|pair| pair.1.is_finite()).count();
            assert_eq!(counted, finite as f64);
        }
    }

    #[test]
    fn nothing_finite_makes_a_picture_too() {
        let nothing = Array2::from_elem((3, 1), f32::NAN);
        let errors = Errors::new(vec!["y".to_owned()], nothing.view(), &[1.0, 2.0, 3.0]);
        assert!(!predictions(&errors).unwrap().wide.contains("NaN"));
        assert!(!residuals(&errors).unwrap().wide.contains("NaN"));
    }
}
