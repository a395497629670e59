//! A picture: drawn once as SVG, from which the PNG is made.
//!
//! Colours are those of [`palette`], and no others: a page in dark mode gives each of them another value.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use resvg::tiny_skia::{IntSize, Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use crate::error::{Error, Result};
use crate::files;
use crate::text;

/// Pixels of a PNG per unit of its SVG.
const SCALE: f32 = 2.0;

/// The colours of all pictures, as red, green, blue.
pub mod palette {
    pub const SURFACE: (u8, u8, u8) = (0xFF, 0xFF, 0xFF);
    pub const INK: (u8, u8, u8) = (0x1F, 0x29, 0x37);
    pub const MUTED: (u8, u8, u8) = (0x6B, 0x72, 0x80);
    pub const GRID: (u8, u8, u8) = (0xE5, 0xE7, 0xEB);
    /// For the first, second, ... of several things; colour-blind readers can distinguish them too (Okabe & Ito, 2008).
    pub const SERIES: [(u8, u8, u8); 6] = [
        (0x00, 0x72, 0xB2),
        (0xD5, 0x5E, 0x00),
        (0x00, 0x9E, 0x73),
        (0xCC, 0x79, 0xA7),
        (0xE6, 0x9F, 0x01),
        (0x56, 0xB4, 0xE9),
    ];

    /// As SVG writes it.
    pub fn hex((red, green, blue): (u8, u8, u8)) -> String {
        format!("#{red:02X}{green:02X}{blue:02X}")
    }
}

/// A drawing, with what it shows in words.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The name of its files, without extension.
    pub name: &'static str,
    /// For those who cannot see it.
    pub alt: String,
    /// The whole SVG document.
    pub svg: String,
}

impl Picture {
    /// Writes `<name>.svg` and `<name>.png`.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn save(&self, directory: &Path) -> Result<()> {
        let path = |extension: &str| directory.join(self.name).with_extension(extension);
        files::write_atomic(&path("svg"), text::xml(&self.svg).as_bytes())?;
        files::write_atomic(&path("png"), &self.png()?)
    }

    fn png(&self) -> Result<Vec<u8>> {
        let problem = |error: String| Error::invalid(format!("picture `{}`", self.name), error);
        let options = Options { fontdb: fonts(), ..Options::default() };
        let tree = Tree::from_str(&text::xml(&self.svg), &options)
            .map_err(|error| problem(error.to_string()))?;
        let size = tree.size().to_int_size().scale_by(SCALE);
        let pixmap = size.and_then(|size| Pixmap::new(size.width(), size.height()));
        let mut pixmap = pixmap.ok_or_else(|| problem("too large".to_owned()))?;
        let scale = Transform::from_scale(SCALE, SCALE);
        resvg::render(&tree, scale, &mut pixmap.as_mut());
        pixmap.encode_png().map_err(|error| problem(error.to_string()))
    }
}

/// One font for all text of a PNG, so that it looks the same everywhere.
fn fonts() -> Arc<fontdb::Database> {
    static FONTS: OnceLock<Arc<fontdb::Database>> = OnceLock::new();
    let load = || {
        let mut fonts = fontdb::Database::new();
        fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
        let family = fonts.faces().next().and_then(|face| face.families.first());
        if let Some((family, _)) = family.cloned() {
            fonts.set_sans_serif_family(family);
        }
        Arc::new(fonts)
    };
    Arc::clone(FONTS.get_or_init(load))
}

/// An SVG document of one size, to write elements into.
#[derive(Debug)]
pub struct Canvas {
    svg: String,
}

impl Canvas {
    pub fn new(width: usize, height: usize) -> Self {
        let surface = palette::hex(palette::SURFACE);
        let svg = format!(
            "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             xmlns=\"http://www.w3.org/2000/svg\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"{surface}\"/>\n"
        );
        Self { svg }
    }

    /// A line of text; `anchor` is start, middle or end.
    pub fn text(
        &mut self,
        (x, y): (f64, f64),
        size: usize,
        anchor: &str,
        colour: (u8, u8, u8),
        text: &str,
    ) {
        let (colour, text) = (palette::hex(colour), escaped(text));
        self.svg += &format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" font-family=\"sans-serif\" \
             text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>\n"
        );
    }

    pub fn rect(
        &mut self,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        colour: (u8, u8, u8),
        opacity: f64,
    ) {
        let colour = palette::hex(colour);
        self.svg += &format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\" fill=\"{colour}\" \
             fill-opacity=\"{opacity:.3}\"/>\n"
        );
    }

    /// Pixels, row by row, as red, green, blue; enlarged without smoothing.
    ///
    /// # Errors
    /// If there are no pixels, or fewer than the size says.
    pub fn pixels(
        &mut self,
        (x, y): (f64, f64),
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
        self.svg += &format!(
            "<image x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" preserveAspectRatio=\"none\" \
             image-rendering=\"optimizeSpeed\" style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{data}\"/>\n"
        );
        Ok(())
    }

    pub fn finish(self) -> String {
        self.svg + "</svg>\n"
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
