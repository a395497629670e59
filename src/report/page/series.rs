//! What a chart draws: curves, dots, bars.

/// What is drawn at the points of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Lines from point to point.
    Line,
    /// Dashed ones.
    Dashed,
    /// Dots that say what they stand for.
    Dots,
    /// Many small dots.
    Cloud,
    /// Bars from 0, so wide.
    Bars(f64),
}

/// A curve, dots or bars.
pub struct Series {
    /// In the legend.
    pub name: String,
    pub points: Vec<(f64, f64)>,
    pub shape: Shape,
    /// Which colour; `None` for the many that only make the background.
    pub colour: Option<usize>,
    /// What a dot stands for, shown where the pointer rests on it; after it come the values.
    pub title: String,
    /// The page that a click on a dot opens.
    pub link: Option<String>,
}

impl Series {
    /// A curve of one colour.
    pub fn curve(name: &str, points: Vec<(f64, f64)>, colour: usize) -> Self {
        Self {
            name: name.to_owned(),
            points,
            shape: Shape::Line,
            colour: Some(colour),
            title: String::new(),
            link: None,
        }
    }

    /// A dashed line in the background, to compare with.
    pub fn reference(points: Vec<(f64, f64)>) -> Self {
        Self { shape: Shape::Dashed, colour: None, ..Self::curve("", points, 0) }
    }

    /// Another shape of the same points.
    pub fn shaped(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }
}
