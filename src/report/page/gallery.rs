//! Pictures of images.

use ndarray::ArrayView2;

use super::canvas::{Canvas, TEXT, shortened, text_width};
use super::palette;
use super::picture::{Picture, Width};
use crate::data::Dataset;
use crate::error::Result;

/// An image of a data set and the words below it.
pub struct Tile {
    /// Row by row, 0 black to 1 white: one value a pixel, or red, green and blue.
    pub pixels: Vec<f32>,
    /// Lines below the image; the last of several in muted ink.
    pub words: Vec<String>,
}

const SIDE: f64 = 70.0;
const GAP: f64 = 12.0;

/// The least side of an image; rows and columns of fewer values are numbers, of which an image shows nothing.
const LEAST_SIDE: usize = 4;

/// Rows and columns of the images, if the data consists of images that are worth a picture.
pub fn size(data: &Dataset) -> Option<(usize, usize)> {
    data.image().filter(|&image| is_picture(image))
}

/// Whether an image of (rows, columns) is worth a picture.
fn is_picture((rows, columns): (usize, usize)) -> bool {
    rows.min(columns) >= LEAST_SIDE
}

/// The longest side of an image in a page; larger ones would make it heavy.
const LONGEST_SIDE: usize = 48;

/// An image of (rows, columns) with as many values a pixel made smaller, by means over squares, where a side is too long; and its size.
pub fn thumbnail(
    pixels: &[f32],
    (rows, columns): (usize, usize),
    channels: usize,
    longest_side: usize,
) -> (Vec<f32>, (usize, usize)) {
    let by = rows.max(columns).div_ceil(longest_side).max(1);
    let (small_rows, small_columns) = (rows.div_ceil(by), columns.div_ceil(by));
    let mean = |i: usize| {
        let (pixel, channel) = (i / channels, i % channels);
        let (row, column) = (pixel / small_columns * by, pixel % small_columns * by);
        let within = (row..rows.min(row + by)).flat_map(|row| {
            (column..columns.min(column + by)).map(move |column| row * columns + column)
        });
        let values = within.map(|pixel| pixels[pixel * channels + channel]);
        let (sum, count) = values.fold((0.0, 0), |(sum, count), x| (sum + x, count + 1));
        sum / count as f32
    };
    let values = small_rows * small_columns * channels;
    ((0..values).map(mean).collect(), (small_rows, small_columns))
}

/// The colours of pixels, 0 to 1. Grey ones are ink on paper: dark where the data is bright.
pub fn inked(values: &[f32], channels: usize) -> Vec<[u8; 3]> {
    let byte = |x: &f32| (x.clamp(0.0, 1.0) * 255.0) as u8;
    match values.as_chunks::<3>() {
        (colours, []) if channels == 3 => {
            colours.iter().map(|colour| colour.each_ref().map(byte)).collect()
        }
        _ => values.iter().map(|x| [255 - byte(x); 3]).collect(),
    }
}

fn in_a_row(width: Width) -> usize {
    ((width.pixels() - GAP) / (SIDE + GAP)) as usize
}

/// The characters that a line below an image has space for.
pub fn line_length() -> usize {
    ((SIDE + GAP) / text_width("x", TEXT)) as usize
}

/// A grid of images of (rows, columns) pixels, with as many values each.
pub fn images(
    name: &'static str,
    alt: String,
    tiles: &[Tile],
    (size, channels): ((usize, usize), usize),
) -> Result<Picture> {
    let lines = tiles.iter().map(|tile| tile.words.len()).max().unwrap_or(1);
    let cell = SIDE + 18.0 * lines as f64 + GAP;
    Picture::draw(name, alt, |width| {
        let in_a_row = in_a_row(width);
        let columns_used = in_a_row.min(tiles.len().max(1));
        let height = GAP + tiles.len().div_ceil(in_a_row).max(1) as f64 * cell;
        let mut canvas = Canvas::new(GAP + columns_used as f64 * (SIDE + GAP), height);
        for (i, tile) in tiles.iter().enumerate() {
            let x = GAP + (i % in_a_row) as f64 * (SIDE + GAP);
            let y = GAP + (i / in_a_row) as f64 * cell;
            let (values, (rows, columns)) = thumbnail(&tile.pixels, size, channels, LONGEST_SIDE);
            let pixels = inked(&values, channels);
            canvas.pixels((x, y), (SIDE, SIDE), (columns, rows), &pixels)?;
            for (line, words) in tile.words.iter().enumerate() {
                let is_last = line > 0 && line + 1 == tile.words.len();
                let ink = if is_last { palette::MUTED } else { palette::INK };
                let place = (x + SIDE / 2.0, y + SIDE + 15.0 + 17.0 * line as f64);
                canvas.text(place, TEXT, "middle", ink, &shortened(words, line_length()));
            }
        }
        Ok(canvas)
    })
}

/// The weights of the first units of the first layer for grey images as images: blue for negative, orange for positive, each unit by its own
/// largest weight.
pub fn weights(
    w: ArrayView2<'_, f32>,
    (rows, columns): (usize, usize),
    shown: usize,
) -> Result<Picture> {
    let shown = shown.min(w.nrows());
    let [blue, orange] = [palette::SERIES[0], palette::SERIES[1]];
    let alt = format!("Weights of the first {shown} units of the first layer as images");
    Picture::draw("weights", alt, |width| {
        let in_a_row = in_a_row(width);
        let height = GAP + shown.div_ceil(in_a_row) as f64 * (SIDE + GAP);
        let mut canvas = Canvas::new(GAP + in_a_row.min(shown) as f64 * (SIDE + GAP), height);
        for (i, unit) in w.rows().into_iter().take(shown).enumerate() {
            let x = GAP + (i % in_a_row) as f64 * (SIDE + GAP);
            let y = GAP + (i / in_a_row) as f64 * (SIDE + GAP);
            let (unit, (rows, columns)) =
                thumbnail(&unit.to_vec(), (rows, columns), 1, LONGEST_SIDE);
            let largest = unit.iter().fold(f32::MIN_POSITIVE, |largest, w| largest.max(w.abs()));
            let shade = |w: &f32| {
                let (strength, full) = (w.abs() / largest, if *w < 0.0 { blue } else { orange });
                let mix = |to: u8| (255.0 + strength * (f32::from(to) - 255.0)) as u8;
                [mix(full.0), mix(full.1), mix(full.2)]
            };
            let pixels: Vec<[u8; 3]> = unit.iter().map(shade).collect();
            canvas.pixels((x, y), (SIDE, SIDE), (columns, rows), &pixels)?;
        }
        Ok(canvas)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_images_become_small_and_keep_their_means() {
        let image: Vec<f32> = (0..100 * 30).map(|i| (i / 30) as f32).collect();
        let (small, size) = thumbnail(&image, (100, 30), 1, 48);
        assert_eq!((size, small.len()), ((34, 10), 340));
        assert_eq!((small[0], small[339]), (1.0, 99.0));
        // colours stay apart
        let colours: Vec<f32> = image.iter().flat_map(|x| [*x, 1.0, 2.0 * x]).collect();
        let (coloured, size) = thumbnail(&colours, (100, 30), 3, 48);
        assert_eq!((size, coloured.len()), ((34, 10), 1020));
        assert_eq!(coloured[1017..], [99.0, 1.0, 198.0]);
        let same = thumbnail(&image[..28 * 28], (28, 28), 1, 48);
        assert_eq!((same.0.as_slice(), same.1), (&image[..28 * 28], (28, 28)));
        assert!(
            is_picture((28, 28))
                && is_picture((4, 5))
                && !is_picture((1, 4))
                && !is_picture((2, 2))
        );
    }
}
