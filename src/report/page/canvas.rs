//! An SVG document, written element by element.

use base64::Engine as _;
use resvg::tiny_skia::{IntSize, Pixmap};

use super::palette;
use crate::error::{Error, Result};

/// The font size of what is not a title, in pixels.
pub const TEXT: usize = 13;

type Point = (f64, f64);
type Colour = (u8, u8, u8);

/// An SVG document of one size, to write elements into.
#[derive(Debug)]
pub struct Canvas {
    svg: String,
    width: f64,
}

impl Canvas {
    pub fn new(width: f64, height: f64) -> Self {
        let surface = palette::hex(palette::SURFACE);
        let svg = format!(
            "<svg width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" \
             xmlns=\"http://www.w3.org/2000/svg\">\n<rect width=\"{width:.0}\" height=\"{height:.0}\" fill=\"{surface}\"/>\n"
        );
        Self { svg, width }
    }

    /// In pixels.
    pub fn width(&self) -> f64 {
        self.width
    }

    fn write(&mut self, element: std::fmt::Arguments<'_>) {
        self.svg += &element.to_string();
    }

    /// Opens a group with attributes, whose values are escaped here.
    pub fn open(&mut self, attributes: &[(&str, &str)]) {
        self.svg.push_str("<g");
        for (name, value) in attributes {
            self.write(format_args!(" {name}=\"{}\"", escaped(value)));
        }
        self.svg.push_str(">\n");
    }

    /// Closes the group that was opened last.
    pub fn close(&mut self) {
        self.svg.push_str("</g>\n");
    }

    /// Opens a link to another page, relative to this one.
    pub fn open_link(&mut self, page: &str) {
        self.write(format_args!("<a href=\"{}\">\n", escaped(page)));
    }

    /// Closes the link.
    pub fn close_link(&mut self) {
        self.svg.push_str("</a>\n");
    }

    /// A line of text; `anchor` is start, middle or end.
    pub fn text(&mut self, (x, y): Point, size: usize, anchor: &str, colour: Colour, text: &str) {
        let (colour, text) = (palette::hex(colour), escaped(text));
        self.write(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" font-family=\"sans-serif\" \
             text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>\n"
        ));
    }

    /// A rectangle; `title` is shown where the pointer rests on it.
    pub fn rect(
        &mut self,
        (x, y): Point,
        (width, height): (f64, f64),
        colour: Colour,
        opacity: f64,
        title: Option<&str>,
    ) {
        let colour = palette::hex(colour);
        self.write(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\" fill=\"{colour}\" \
             fill-opacity=\"{opacity:.3}\""
        ));
        self.end("rect", title);
    }

    /// A straight line, one pixel wide.
    pub fn line(&mut self, from: Point, to: Point, colour: Colour, dashed: bool) {
        let colour = palette::hex(colour);
        let dashes = if dashed { " stroke-dasharray=\"4 4\"" } else { "" };
        self.write(format_args!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"{dashes}/>\n",
            from.0, from.1, to.0, to.1
        ));
    }

    /// Straight lines from point to point.
    pub fn polyline(&mut self, points: &[Point], colour: Colour, width: f64, opacity: f64) {
        self.dashed(points, colour, width, opacity, "");
    }

    /// Straight lines from point to point, dashed as SVG's `stroke-dasharray` says.
    pub fn dashed(
        &mut self,
        points: &[Point],
        colour: Colour,
        width: f64,
        opacity: f64,
        dashes: &str,
    ) {
        let colour = palette::hex(colour);
        let dashes = match dashes {
            "" => String::new(),
            dashes => format!("stroke-dasharray=\"{dashes}\" "),
        };
        self.write(format_args!(
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-opacity=\"{opacity}\" \
             {dashes}stroke-linejoin=\"round\" points=\""
        ));
        for (x, y) in points {
            self.write(format_args!("{x:.1},{y:.1} "));
        }
        self.svg.push_str("\"/>\n");
    }

    /// Many small dots, as points of one path.
    pub fn cloud(&mut self, points: &[Point], diameter: f64, colour: Colour, opacity: f64) {
        let colour = palette::hex(colour);
        self.write(format_args!(
            "<path fill=\"none\" stroke=\"{colour}\" stroke-width=\"{diameter}\" stroke-opacity=\"{opacity}\" \
             stroke-linecap=\"round\" d=\""
        ));
        for (x, y) in points {
            self.write(format_args!("M{x:.1} {y:.1}h.01"));
        }
        self.svg.push_str("\"/>\n");
    }

    /// A dot, or a ring where it is `hollow`; `title` is shown where the pointer rests on it.
    pub fn circle(
        &mut self,
        (x, y): Point,
        radius: f64,
        colour: Colour,
        opacity: f64,
        hollow: bool,
        title: Option<&str>,
    ) {
        let colour = palette::hex(colour);
        self.write(format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\""));
        match hollow {
            true => self.write(format_args!(
                " fill=\"{}\" fill-opacity=\"0\" stroke=\"{colour}\" stroke-width=\"1.5\"",
                palette::hex(palette::SURFACE)
            )),
            false => self.write(format_args!(" fill=\"{colour}\" fill-opacity=\"{opacity}\"")),
        }
        self.end("circle", title);
    }

    fn end(&mut self, element: &str, title: Option<&str>) {
        match title {
            None => self.svg.push_str("/>\n"),
            Some(title) => {
                self.write(format_args!("><title>{}</title></{element}>\n", escaped(title)));
            }
        }
    }

    /// Pixels, row by row, as red, green, blue; enlarged without smoothing.
    ///
    /// # Errors
    /// If there are no pixels, or fewer than the size says.
    pub fn pixels(
        &mut self,
        (x, y): Point,
        (width, height): (f64, f64),
        (columns, rows): (usize, usize),
        pixels: &[[u8; 3]],
    ) -> Result<()> {
        let problem = || Error::invalid("picture", format!("{columns}x{rows} pixels"));
        let size = IntSize::from_wh(columns as u32, rows as u32).ok_or_else(problem)?;
        let bytes = pixels.iter().flat_map(|&[red, green, blue]| [red, green, blue, 255]).collect();
        let pixmap = Pixmap::from_vec(bytes, size).ok_or_else(problem)?;
        let png = pixmap.encode_png().map_err(|_| problem())?;
        let data = base64::prelude::BASE64_STANDARD.encode(png);
        self.write(format_args!(
            "<image x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" preserveAspectRatio=\"none\" \
             image-rendering=\"optimizeSpeed\" style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{data}\"/>\n"
        ));
        Ok(())
    }

    pub fn finish(self) -> String {
        self.svg + "</svg>\n"
    }
}

/// About as wide as a text is drawn at a font size, in pixels.
pub fn text_width(text: &str, size: usize) -> f64 {
    // Chinese, Japanese and Korean characters are about square
    let ems = text.chars().map(|c| if c >= '\u{1100}' { 1.0 } else { 0.56 });
    size as f64 * ems.sum::<f64>()
}

/// At most so many characters, the last one `…` if there were more.
pub fn shortened(text: &str, longest: usize) -> String {
    match text.chars().count() > longest {
        false => text.to_owned(),
        true => text.chars().take(longest.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Words in lines of at most so many characters, where they have spaces.
pub fn wrapped(text: &str, longest: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= longest => {
                *line += " ";
                *line += word;
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
