//! A chart: curves or dots between two axes, with a legend.
//!
//! What the script of the page needs stands in attributes: the plot's box in pixels and what to write around a value of x
//! (`data-box`, `data-x-words`), and of each series its name and its values (`data-name`, `data-x`, `data-y`).

use super::axis::{Axis, Fitted, significant};
use super::canvas::{Canvas, TEXT, shortened, text_width, wrapped};
use super::palette;
pub use super::series::{Series, Shape};

/// The font size of titles, in pixels.
const TITLE: usize = 14;

/// The height of a row of the legend, and of a line of text.
const ROW: f64 = 22.0;
const LINE: f64 = 18.0;

/// The most points of a curve that are drawn; more of a curve without a colour would not be seen.
const POINTS: usize = 1000;
const BACKGROUND_POINTS: usize = 100;

/// A value to mark on the x axis, with words.
pub struct Mark {
    pub x: f64,
    pub words: String,
}

/// What is drawn between which axes.
pub struct Chart<'a> {
    pub x: Axis,
    pub y: Axis,
    pub series: &'a [Series],
    pub mark: Option<Mark>,
    /// Whether the names are shown.
    pub legend: bool,
    /// What is written before and after a value of x.
    pub x_words: (&'a str, &'a str),
    /// The width of the labels of the y axis, where charts below each other share it.
    pub left: Option<f64>,
}

/// A rectangle of a canvas: left, top, width and height.
#[derive(Clone, Copy)]
pub struct Frame {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Frame {
    fn bottom(&self) -> f64 {
        self.top + self.height
    }

    fn right(&self) -> f64 {
        self.left + self.width
    }

    fn place(&self, x: &Fitted, y: &Fitted, (at_x, at_y): (f64, f64)) -> (f64, f64) {
        (self.left + x.at(at_x) * self.width, self.bottom() - y.at(at_y) * self.height)
    }
}

/// The colour of a series.
pub fn colour(series: Option<usize>) -> (u8, u8, u8) {
    series.map_or(palette::MUTED, |i| palette::SERIES[i % palette::SERIES.len()])
}

impl Chart<'_> {
    /// Draws it into a frame.
    pub fn draw(&self, canvas: &mut Canvas, frame: Frame) {
        canvas.text(
            (frame.left + 8.0, frame.top + 18.0),
            TITLE,
            "start",
            palette::INK,
            &self.y.name,
        );
        let below_legend = frame.top + 34.0 + self.draw_legend(canvas, frame);
        let name = wrapped(&self.x.name, (frame.width / text_width("x", TEXT)) as usize - 10);
        let bottom = 26.0 + LINE * name.len() as f64;
        let y = self.fit_y(frame.height);
        let left = self.left.unwrap_or_else(|| self.label_width(frame.height));
        let plot = Frame {
            left: frame.left + left,
            top: below_legend,
            width: frame.width - left - 18.0,
            height: frame.bottom() - bottom - below_legend,
        };
        let is_line = |series: &Series| matches!(series.shape, Shape::Line | Shape::Bars(_));
        let widen = if self.series.iter().all(is_line) { 0.0 } else { 0.04 };
        let ends = self.series.iter().flat_map(|series| {
            let half = if let Shape::Bars(bar) = series.shape { bar / 2.0 } else { 0.0 };
            series.points.iter().flat_map(move |point| [point.0 - half, point.0 + half])
        });
        let x = self.x.fit(ends, widen, (plot.width / 90.0).clamp(3.0, 9.0));
        draw_y_axis(canvas, &y, plot);
        self.draw_x_axis(canvas, &x, plot, &name);
        let in_box =
            format!("{:.1},{:.1},{:.1},{:.1}", plot.left, plot.top, plot.width, plot.height);
        let words = format!("{}|{}", self.x_words.0, self.x_words.1);
        canvas.open(&[("class", "chart"), ("data-box", &in_box), ("data-x-words", &words)]);
        if let Some(mark) = &self.mark {
            let (at, _) = plot.place(&x, &y, (mark.x, 0.0));
            canvas.line((at, plot.top), (at, plot.bottom()), palette::MUTED, true);
            let width = text_width(&mark.words, TEXT);
            let (anchor, at) = match (at + 8.0 + width > plot.right(), at - 8.0 - width < plot.left)
            {
                (false, _) => ("start", at + 8.0),
                (true, false) => ("end", at - 8.0),
                (true, true) => ("end", plot.right()),
            };
            canvas.text((at, plot.top + 12.0), TEXT, anchor, palette::MUTED, &mark.words);
        }
        for series in self.series {
            self.draw_series(canvas, series, plot, (&x, &y));
        }
        canvas.close();
    }

    fn fit_y(&self, height: f64) -> Fitted {
        let values =
            self.series.iter().flat_map(|series| series.points.iter().map(|point| point.1));
        self.y.fit(values, 0.06, (height / 45.0).clamp(3.0, 7.0))
    }

    /// The width that the labels of the y axis take at a height of the chart.
    pub fn label_width(&self, height: f64) -> f64 {
        text_width(self.fit_y(height).longest_label(), TEXT) + 16.0
    }

    /// Names beside lines in their colours, in as many rows as they need; returns the height of the rows.
    fn draw_legend(&self, canvas: &mut Canvas, frame: Frame) -> f64 {
        if !self.legend {
            return 0.0;
        }
        let (mut x, mut row) = (frame.left + 8.0, 0.0);
        let longest = (frame.width - 60.0) / text_width("x", TEXT);
        let mut named: Vec<&Series> = self
            .series
            .iter()
            .filter(|s| !s.name.is_empty() && s.colour.is_some() && !s.points.is_empty())
            .collect();
        named.sort_by_key(|series| series.colour);
        if named.is_empty() {
            return 0.0;
        }
        for series in named {
            let name = shortened(&series.name, longest as usize);
            let width = text_width(&name, TEXT) + 40.0;
            if x + width > frame.right() && x > frame.left + 8.0 {
                (x, row) = (frame.left + 8.0, row + ROW);
            }
            let y = frame.top + 40.0 + row;
            canvas.open(&[("class", &format!("key s{}", series.colour.unwrap_or(0)))]);
            let swatch = [(x, y - 4.0), (x + 16.0, y - 4.0)];
            canvas.dashed(&swatch, colour(series.colour), 3.0, 1.0, dashes(series.shape));
            canvas.text((x + 22.0, y), TEXT, "start", palette::INK, &name);
            canvas.close();
            x += width;
        }
        row + ROW
    }

    fn draw_x_axis(&self, canvas: &mut Canvas, x: &Fitted, plot: Frame, name: &[String]) {
        canvas.line(
            (plot.left, plot.bottom()),
            (plot.right(), plot.bottom()),
            palette::GRID,
            false,
        );
        let mut free = f64::NEG_INFINITY;
        for (share, label) in x.ticks() {
            let (at, half) = (plot.left + share * plot.width, text_width(label, TEXT) / 2.0);
            canvas.line((at, plot.bottom()), (at, plot.bottom() + 5.0), palette::GRID, false);
            let middle = at.min(plot.right() + 16.0 - half);
            if middle - half > free {
                canvas.text((middle, plot.bottom() + 19.0), TEXT, "middle", palette::MUTED, label);
                free = middle + half + 8.0;
            }
        }
        for (i, line) in name.iter().enumerate() {
            let place = (plot.left + plot.width / 2.0, plot.bottom() + 38.0 + LINE * i as f64);
            canvas.text(place, TEXT, "middle", palette::MUTED, line);
        }
    }

    fn draw_series(
        &self,
        canvas: &mut Canvas,
        series: &Series,
        plot: Frame,
        (x, y): (&Fitted, &Fitted),
    ) {
        let finite = |point: &&(f64, f64)| point.0.is_finite() && point.1.is_finite();
        let points: Vec<(f64, f64)> = series.points.iter().filter(finite).copied().collect();
        let colour = colour(series.colour);
        let class = series.colour.map_or_else(|| "series".to_owned(), |i| format!("series s{i}"));
        if let Shape::Bars(bar) = series.shape {
            return self.draw_bars(canvas, series, (&points, bar), plot, (x, y));
        }
        if series.shape == Shape::Cloud {
            let places: Vec<(f64, f64)> = points.iter().map(|&p| plot.place(x, y, p)).collect();
            // dots of one path do not add up; those of several show where there are many
            for some in places.chunks(CLOUD) {
                canvas.cloud(some, 5.0, colour, 0.4);
            }
            return;
        }
        if series.shape == Shape::Dots || points.len() == 1 {
            canvas.open(&[("class", &class)]);
            // equal dots of leaders stay visible as rings around each other
            let (radius, opacity) = match series.colour {
                Some(rank) => (5.0 + 1.5 * rank as f64, 1.0),
                None => (4.0, 0.35),
            };
            for point in points {
                let link = series.link.as_deref().map(|link| canvas.open_link(link));
                let beyond = y.is_beyond(point.1);
                let title = self.title(series, point);
                let place = plot.place(x, y, point);
                canvas.circle(place, radius, colour, opacity, beyond, Some(&title));
                link.into_iter().for_each(|()| canvas.close_link());
            }
            canvas.close();
            return;
        }
        let most = if series.colour.is_some() { POINTS } else { BACKGROUND_POINTS };
        let points = thinned(points, most);
        let list = |of: fn(&(f64, f64)) -> f64| {
            points.iter().map(|point| significant(of(point))).collect::<Vec<_>>().join(" ")
        };
        let mut attributes = vec![("class", class)];
        if series.colour.is_some() {
            attributes.push(("data-name", series.name.clone()));
            attributes.push(("data-unit", self.y.unit.to_owned()));
            attributes.push(("data-x", list(|point| point.0)));
            attributes.push(("data-y", list(|point| point.1)));
        }
        let attributes: Vec<(&str, &str)> = attributes.iter().map(|(n, v)| (*n, &v[..])).collect();
        canvas.open(&attributes);
        let places: Vec<(f64, f64)> = points.iter().map(|&point| plot.place(x, y, point)).collect();
        let (width, opacity) = match (series.colour, series.shape) {
            (Some(_), _) => (2.0, 1.0),
            (None, Shape::Dashed) => (1.5, 0.9),
            (None, _) => (1.0, 0.35),
        };
        canvas.dashed(&places, colour, width, opacity, dashes(series.shape));
        canvas.close();
    }

    /// Bars from 0, each over its point.
    fn draw_bars(
        &self,
        canvas: &mut Canvas,
        series: &Series,
        (points, bar): (&[(f64, f64)], f64),
        plot: Frame,
        (x, y): (&Fitted, &Fitted),
    ) {
        for &(at, height) in points {
            let (left, top) = plot.place(x, y, (at - bar / 2.0, height));
            let (right, bottom) = plot.place(x, y, (at + bar / 2.0, 0.0));
            let size = ((right - left - 1.0).max(0.5), bottom - top);
            let title = self.title(series, (at, height));
            canvas.rect((left, top), size, colour(series.colour), 0.8, Some(&title));
        }
    }

    /// What a dot stands for.
    fn title(&self, series: &Series, (x, y): (f64, f64)) -> String {
        let (before, after) = self.x_words;
        let name = if series.title.is_empty() { &series.name } else { &series.title };
        format!("{name}: {}{}, {before}{}{after}", significant(y), self.y.unit, significant(x))
    }
}

/// The dots of a path.
const CLOUD: usize = 100;

/// As SVG's `stroke-dasharray` has it.
fn dashes(shape: Shape) -> &'static str {
    match shape {
        Shape::Dashed => "5 4",
        _ => "",
    }
}

/// Grid lines and labels.
pub fn draw_y_axis(canvas: &mut Canvas, y: &Fitted, plot: Frame) {
    for (share, label) in y.ticks() {
        let at = plot.bottom() - share * plot.height;
        canvas.line((plot.left, at), (plot.right(), at), palette::GRID, false);
        canvas.text((plot.left - 8.0, at + 4.5), TEXT, "end", palette::MUTED, label);
    }
}

/// At most so many of the points, evenly drawn; the last one is among them.
fn thinned(points: Vec<(f64, f64)>, most: usize) -> Vec<(f64, f64)> {
    if points.len() <= most {
        return points;
    }
    (0..most).map(|i| points[i * (points.len() - 1) / (most - 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::axis::Scale;
    use super::*;

    fn svg(chart: &Chart<'_>) -> String {
        let mut canvas = Canvas::new(340.0, 300.0);
        chart.draw(&mut canvas, Frame { left: 0.0, top: 0.0, width: 340.0, height: 300.0 });
        canvas.finish()
    }

    #[test]
    fn a_chart_holds_every_series_and_its_values() {
        let mut series = [
            Series::curve("training <1>", vec![(1.0, 0.5), (2.0, 0.25), (3.0, f64::NAN)], 1),
            Series::curve("validation", vec![(1.0, 0.6), (2.0, 0.4)], 0),
        ];
        let chart = |y: Axis, series: &[Series]| {
            let mark = None;
            let (x, x_words) = (Axis::epochs(), ("epoch ", ""));
            svg(&Chart { x, y, series, mark, legend: true, x_words, left: None })
        };
        let y = Axis::new("loss", Scale::Log);
        let lines = chart(y.clone(), &series);
        for part in [
            "data-name=\"training &lt;1&gt;\"",
            "data-x=\"1 2\"",
            "data-y=\"0.5 0.25\"",
            "class=\"key s0\"",
            "class=\"series s1\"",
            "data-x-words=\"epoch |\"",
        ] {
            assert!(lines.contains(part), "{part}: {lines}");
        }
        assert!(!lines.contains("NaN"));
        series.iter_mut().for_each(|series| series.shape = Shape::Dots);
        let dots = chart(Axis { floor: 0.45, ..y }, &series);
        assert_eq!(dots.matches("<circle").count(), 4, "none is lost");
        assert_eq!(
            dots.matches("stroke-width=\"1.5\"").count(),
            2,
            "those below are rings: {dots}"
        );
        assert!(dots.contains("<title>validation: 0.6, epoch 1</title>"), "{dots}");
    }

    #[test]
    fn clouds_and_bars_hold_every_point() {
        let many: Vec<(f64, f64)> = (0..250).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        let draw = |y: Axis, series: &[Series]| {
            let x = Axis::new("x", Scale::Linear);
            svg(&Chart { x, y, series, mark: None, legend: false, x_words: ("", ""), left: None })
        };
        let series = [
            Series::curve("", many, 0).shaped(Shape::Cloud),
            Series::reference(vec![(0.0, 0.0), (249.0, 6.0)]),
        ];
        let cloud = draw(Axis::new("y", Scale::Linear), &series);
        assert_eq!((cloud.matches("h.01").count(), cloud.matches("<path").count()), (250, 3));
        assert!(cloud.contains("stroke-dasharray=\"5 4\" stroke-linejoin"), "{cloud}");
        let bars = Series::curve("n", vec![(0.5, 4.0), (1.5, 2.0)], 0).shaped(Shape::Bars(1.0));
        let bars = draw(Axis::counts("n"), &[bars]);
        let heights: Vec<f64> = (bars.split("<rect").skip(2))
            .map(|rect| rect.split("height=\"").nth(1).unwrap().split('"').next().unwrap())
            .map(|height| height.parse().unwrap())
            .collect();
        assert_eq!(heights.len(), 2);
        assert!((heights[0] - 2.0 * heights[1]).abs() < 0.2, "bars begin at 0: {heights:?}");
        assert!(bars.contains("<title>n: 4, 0.5</title>"), "{bars}");
    }

    #[test]
    fn long_curves_are_thinned_and_keep_both_ends() {
        let long: Vec<(f64, f64)> = (0..5000).map(|i| (f64::from(i), 1.0)).collect();
        let thin = thinned(long, 100);
        assert_eq!((thin.len(), thin[0].0, thin[99].0), (100, 0.0, 4999.0));
    }
}
