//! How well probabilities rank, and how far they can be trusted, as pictures.

use super::axis::{Axis, Scale};
use super::canvas::{Canvas, shortened};
use super::chart::{Chart, Frame, Series, Shape};
use super::picture::Picture;
use crate::error::Result;
use crate::report::curves::{Calibration, Roc};
use crate::report::format::{number, percent, plural};

/// Classes whose curves are drawn.
const DRAWN: usize = 10;

/// Points of a curve that are drawn; more would not be seen.
const POINTS: usize = 300;

/// Longer names of classes are cut in titles, which have one line on a phone.
const LONGEST_LABEL: usize = 12;

/// Curves with colours of their own; the following ones have the same, dashed.
const COLOURS: usize = 6;

/// ROC curves with their areas; `None` if no class can be told from others. Of more classes than are drawn, those with the
/// smallest areas are.
pub fn roc(curves: &[Roc], labels: &[String]) -> Result<Option<Picture>> {
    if curves.is_empty() {
        return Ok(None);
    }
    let mut drawn: Vec<&Roc> = curves.iter().collect();
    drawn.sort_by(|a, b| a.auc.total_cmp(&b.auc).then(a.class.cmp(&b.class)));
    drawn.truncate(DRAWN);
    drawn.sort_by_key(|roc| roc.class);
    let area = |auc: f64| format!("AUC {}", number(auc));
    let series = drawn.iter().enumerate().map(|(i, roc)| {
        let name = match labels.len() {
            2 => area(roc.auc),
            _ => format!("{}: {}", labels[roc.class], area(roc.auc)),
        };
        let shape = if i < COLOURS { Shape::Line } else { Shape::Dashed };
        Series::curve(&name, thinned(&roc.points), i).shaped(shape)
    });
    let mut series: Vec<Series> = series.collect();
    series.push(Series::reference(vec![(0.0, 0.0), (1.0, 1.0)]));
    let is_binary = labels.len() == 2;
    let mut x = "share of the others that are taken for it".to_owned();
    let (y, alt) = match (is_binary, labels) {
        (true, [first, second]) => {
            let area = area(curves[0].auc);
            let name = shortened(second, LONGEST_LABEL);
            let alt = format!("ROC curve of {second} against {first}, {area}");
            (format!("Share of {name} recognised, {area}"), alt)
        }
        _ => {
            let mean = area(curves.iter().map(|roc| roc.auc).sum::<f64>() / curves.len() as f64);
            if curves.len() > DRAWN {
                let all = plural(curves.len(), "class");
                x += &format!("; the {DRAWN} of {all} with the smallest areas");
            }
            let drawn = plural(drawn.len(), "class");
            let alt = format!("ROC curves of {drawn} against the others, macro {mean}");
            (format!("Share recognised, macro {mean}"), alt)
        }
    };
    let share = |name: String| Axis { limits: (0.0, 1.0), ..Axis::new(name, Scale::Linear) };
    let (x, y) = (share(x), share(y));
    Picture::draw("roc", alt, |width| {
        let rows = if is_binary { 0.0 } else { series.len() as f64 };
        // each name may take a row of its own on a phone
        let height = width.choose(520.0, 400.0 + 22.0 * rows);
        let chart = Chart {
            x: x.clone(),
            y: y.clone(),
            series: &series,
            mark: None,
            legend: !is_binary,
            x_words: ("", " of the others"),
            left: None,
        };
        let mut canvas = Canvas::new(width.pixels(), height);
        chart.draw(&mut canvas, Frame { left: 0.0, top: 0.0, width: width.pixels(), height });
        Ok(canvas)
    })
    .map(Some)
}

/// At most so many of the points, both ends among them.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= POINTS {
        return points.to_vec();
    }
    (0..POINTS).map(|i| points[i * (points.len() - 1) / (POINTS - 1)]).collect()
}

/// How often what was said with some probability is so, a dot for each interval of probabilities.
pub fn calibration(calibration: &Calibration, labels: &[String]) -> Result<Picture> {
    let (said, is_so) = match labels {
        [_, second] => {
            let name = shortened(second, LONGEST_LABEL);
            (format!("probability of {name}"), format!("Share that is {name}"))
        }
        _ => ("probability of the predicted class".to_owned(), "Share that is right".to_owned()),
    };
    let error = percent(calibration.error);
    let (x, y) = (
        Axis::percent(format!("{said}; expected calibration error {error}")),
        Axis::percent(is_so),
    );
    let dot = |bin: &crate::report::curves::Bin| Series {
        title: plural(bin.samples, "sample"),
        ..Series::curve("", vec![(100.0 * bin.said, 100.0 * bin.is_so)], 0).shaped(Shape::Dots)
    };
    let points = calibration.bins.iter().map(|bin| (100.0 * bin.said, 100.0 * bin.is_so));
    let line = Series::curve("", points.collect(), 0);
    let mut series = vec![Series::reference(vec![(0.0, 0.0), (100.0, 100.0)])];
    if calibration.bins.len() > 1 {
        series.push(Series { title: "all".to_owned(), ..line });
    }
    series.extend(calibration.bins.iter().map(dot));
    let alt = format!("Calibration, expected calibration error {error}");
    Picture::draw("calibration", alt, |width| {
        let height = width.choose(420.0, 380.0);
        let chart = Chart {
            x: x.clone(),
            y: y.clone(),
            series: &series,
            mark: None,
            legend: false,
            x_words: ("said with ", " %"),
            left: None,
        };
        let mut canvas = Canvas::new(width.pixels(), height);
        chart.draw(&mut canvas, Frame { left: 0.0, top: 0.0, width: width.pixels(), height });
        Ok(canvas)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::curves::Bin;

    fn labels(n: usize) -> Vec<String> {
        (0..n).map(|class| format!("<{class}>")).collect()
    }

    #[test]
    fn one_curve_of_two_classes_and_the_worst_of_many() {
        let curve = |class: usize| Roc {
            class,
            points: vec![(0.0, 0.0), (0.0, 0.5), (1.0, 1.0)],
            auc: 0.5 + 0.01 * class as f64,
        };
        let binary = roc(&[curve(1)], &labels(2)).unwrap().unwrap();
        assert!(binary.alt.ends_with("AUC 0.5100"), "{}", binary.alt);
        assert!(binary.wide.contains("Share of &lt;1&gt; recognised, AUC 0.5100"));
        let many: Vec<Roc> = (0..14).map(curve).collect();
        let svg = roc(&many, &labels(14)).unwrap().unwrap().wide;
        assert_eq!(svg.matches("data-name").count(), DRAWN);
        assert!(svg.contains("macro AUC 0.5650<"), "{svg}");
        assert!(svg.contains("the 10 of 14 classes with the smallest areas"), "{svg}");
        assert!(svg.contains("&lt;9&gt;: AUC 0.5900") && !svg.contains("&lt;10&gt;"));
        assert!(roc(&[], &labels(2)).unwrap().is_none());
    }

    #[test]
    fn calibration_has_a_dot_for_each_interval() {
        let bin = |said, is_so, samples| Bin { said, is_so, samples };
        let bins = vec![bin(0.25, 0.5, 1), bin(0.875, 0.75, 1234)];
        let svg = calibration(&Calibration { bins, error: 0.125 }, &labels(3)).unwrap().wide;
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("<title>1,234 samples: 75 %, said with 87.5 %</title>"), "{svg}");
        assert!(svg.contains("expected calibration error 12.50 %"));
        let one = Calibration { bins: vec![bin(1.0, 1.0, 3)], error: 0.0 };
        assert!(calibration(&one, &labels(2)).unwrap().wide.contains("Share that is &lt;1&gt;"));
    }
}
