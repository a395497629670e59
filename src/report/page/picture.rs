//! A picture: drawn as SVG for a wide page and for a phone; the files beside the page are the wide one.
//!
//! Colours are those of [`super::palette`], and no others: a page in dark mode gives each of them another value.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use super::canvas::Canvas;
use crate::error::{Error, Result};
use crate::files;
use crate::text;

/// Pixels of a PNG per unit of its SVG.
const SCALE: f32 = 2.0;

/// The width of a picture in CSS pixels: that of a page on a screen, or on a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    Wide,
    Narrow,
}

impl Width {
    pub fn pixels(self) -> f64 {
        match self {
            Self::Wide => 860.0,
            Self::Narrow => 340.0,
        }
    }

    /// One of two values.
    pub fn choose<T>(self, wide: T, narrow: T) -> T {
        match self {
            Self::Wide => wide,
            Self::Narrow => narrow,
        }
    }
}

/// A drawing, with what it shows in words.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The name of its files, without extension.
    pub name: &'static str,
    /// For those who cannot see it.
    pub alt: String,
    /// The whole SVG documents.
    pub wide: String,
    pub narrow: String,
    /// Whether the narrow one is wider than a phone.
    pub scrolls: bool,
}

impl Picture {
    /// Draws it at both widths.
    ///
    /// # Errors
    /// Those of `draw`.
    pub fn draw(
        name: &'static str,
        alt: String,
        draw: impl Fn(Width) -> Result<Canvas>,
    ) -> Result<Self> {
        let (wide, narrow) = (draw(Width::Wide)?, draw(Width::Narrow)?);
        let scrolls = narrow.width() > Width::Narrow.pixels();
        Ok(Self { name, alt, wide: wide.finish(), narrow: narrow.finish(), scrolls })
    }

    /// Writes `<name>.svg` and `<name>.png`.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn save(&self, directory: &Path) -> Result<()> {
        let path = |extension: &str| directory.join(self.name).with_extension(extension);
        files::write_atomic(&path("svg"), text::xml(&self.wide).as_bytes())?;
        files::write_atomic(&path("png"), &self.png()?)
    }

    fn png(&self) -> Result<Vec<u8>> {
        let problem = |error: String| Error::invalid(format!("picture `{}`", self.name), error);
        let options = Options { fontdb: fonts(), ..Options::default() };
        let tree = Tree::from_str(&text::xml(&self.wide), &options)
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
