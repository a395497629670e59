//! A sheet of images, as a PNG file.

use resvg::tiny_skia::Pixmap;

use super::gallery::{inked, thumbnail};
use super::palette;
use crate::data::ImageShape;
use crate::error::{Error, Result};

/// Larger images are made smaller.
const LONGEST_SIDE: usize = 112;

/// Smaller ones are enlarged, by whole pixels and at most to this.
const ENLARGED_SIDE: usize = 84;

const GAP: usize = 6;

/// Between what is compared and what it is compared with.
const WIDE_GAP: usize = 22;

/// Rows of as many images of one shape, 0 to 1. The first column stands apart, if it is what the others are compared with.
///
/// # Errors
/// If the sheet is too large for a PNG file.
pub fn sheet(rows: &[Vec<Vec<f32>>], shape: ImageShape, first_apart: bool) -> Result<Vec<u8>> {
    let ImageShape { height, width, channels } = shape;
    let longest = height.max(width);
    let factor = (ENLARGED_SIDE / longest.max(1)).max(1);
    let by = longest.div_ceil(LONGEST_SIDE).max(1);
    let [cell_height, cell_width] = [height, width].map(|side| side.div_ceil(by) * factor + GAP);
    let apart = if first_apart { WIDE_GAP - GAP } else { 0 };
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let (sheet_width, sheet_height) =
        (GAP + columns * cell_width + apart, GAP + rows.len() * cell_height);
    let problem = || {
        Error::invalid(
            "sheet",
            format!("{sheet_width}x{sheet_height} pixels do not fit into a PNG file"),
        )
    };
    let side = |pixels: usize| u32::try_from(pixels).map_err(|_| problem());
    let mut pixmap = Pixmap::new(side(sheet_width)?, side(sheet_height)?).ok_or_else(problem)?;
    let (grid, pixels) = (palette::GRID, pixmap.data_mut());
    pixels.as_chunks_mut().0.fill([grid.0, grid.1, grid.2, 255]);
    for (i, row) in rows.iter().enumerate() {
        for (j, image) in row.iter().enumerate() {
            let left = GAP + j * cell_width + if j > 0 { apart } else { 0 };
            let top = GAP + i * cell_height;
            let (values, (_, columns)) = thumbnail(image, (height, width), channels, LONGEST_SIDE);
            for (line, inks) in inked(&values, channels).chunks_exact(columns).enumerate() {
                for y in 0..factor {
                    let start = (top + line * factor + y) * sheet_width + left;
                    let inks = inks.iter().flat_map(|ink| std::iter::repeat_n(ink, factor));
                    let line = pixels.as_chunks_mut::<4>().0[start..].iter_mut();
                    line.zip(inks).for_each(|(pixel, ink)| pixel[..3].copy_from_slice(ink));
                }
            }
        }
    }
    pixmap.encode_png().map_err(|error| Error::invalid("sheet", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_lie_side_by_side_enlarged_and_in_ink() {
        let shape = ImageShape { height: 28, width: 14, channels: 1 };
        let image = |value: f32| vec![value; shape.n_values()];
        let rows = vec![vec![image(0.0), image(1.0), image(0.2)], vec![image(0.4); 3]];
        let png = sheet(&rows, shape, true).unwrap();
        let picture = image::load_from_memory(&png).unwrap().to_rgb8();
        // three times as large
        assert_eq!(picture.dimensions(), (6 + 3 * (42 + 6) + 16, 6 + 2 * (84 + 6)));
        let at = |x, y| picture.get_pixel(x, y).0[0];
        assert_eq!((at(0, 0), at(6, 6), at(47, 89)), (0xE5, 255, 255));
        assert_eq!((at(48, 6), at(69, 6), at(70, 6)), (0xE5, 0xE5, 0));
        assert_eq!((at(70 + 48, 6), at(6, 96)), (204, 153));
        assert_ne!(sheet(&rows, shape, false).unwrap(), png);
    }

    #[test]
    fn large_images_become_smaller_and_colours_stay() {
        let shape = ImageShape { height: 300, width: 200, channels: 3 };
        let image: Vec<f32> = [1.0, 0.5, 0.0].repeat(300 * 200);
        let png = sheet(&[vec![image]], shape, false).unwrap();
        let picture = image::load_from_memory(&png).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (6 + 67 + 6, 6 + 100 + 6));
        assert_eq!(picture.get_pixel(30, 30).0, [255, 127, 0]);
    }
}
