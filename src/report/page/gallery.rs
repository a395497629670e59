//! Pictures of images, and the confusion matrix.

use ndarray::ArrayView2;

use super::picture::{Canvas, Picture, palette};
use crate::error::Result;

/// An image of a data set and the words below it.
pub struct Tile {
    /// Row by row, 0 black to 1 white.
    pub pixels: Vec<f32>,
    /// Below the image; the second line in muted ink.
    pub words: [String; 2],
}

const SIDE: f64 = 72.0;
const GAP: f64 = 12.0;
const COLUMNS: usize = 10;

/// A grid of images of (rows, columns) pixels.
pub fn images(
    name: &'static str,
    alt: String,
    tiles: &[Tile],
    (rows, columns): (usize, usize),
) -> Result<Picture> {
    let lines = if tiles.iter().any(|tile| !tile.words[1].is_empty()) { 2.0 } else { 1.0 };
    let cell = SIDE + 18.0 * lines + GAP;
    let in_a_row = COLUMNS.min(tiles.len().max(1));
    let width = GAP + in_a_row as f64 * (SIDE + GAP);
    let height = GAP + tiles.len().div_ceil(COLUMNS) as f64 * cell;
    let mut canvas = Canvas::new(width as usize, height.max(1.0) as usize);
    for (i, tile) in tiles.iter().enumerate() {
        let x = GAP + (i % COLUMNS) as f64 * (SIDE + GAP);
        let y = GAP + (i / COLUMNS) as f64 * cell;
        // ink on paper: dark where the data is bright
        let grey = |x: &f32| [255 - (x.clamp(0.0, 1.0) * 255.0) as u8; 3];
        let pixels: Vec<[u8; 3]> = tile.pixels.iter().map(grey).collect();
        canvas.pixels((x, y), (SIDE, SIDE), (columns, rows), &pixels)?;
        let inks = [palette::INK, palette::MUTED];
        for ((line, words), ink) in tile.words.iter().enumerate().zip(inks) {
            let place = (x + SIDE / 2.0, y + SIDE + 15.0 + 17.0 * line as f64);
            canvas.text(place, 13, "middle", ink, words);
        }
    }
    Ok(Picture { name, alt, svg: canvas.finish() })
}

/// The weights of the first units of the first layer as images: blue for negative, orange for positive, each unit by its own
/// largest weight.
pub fn weights(
    w: ArrayView2<'_, f32>,
    (rows, columns): (usize, usize),
    shown: usize,
) -> Result<Picture> {
    let shown = shown.min(w.nrows());
    let width = GAP + COLUMNS.min(shown) as f64 * (SIDE + GAP);
    let height = GAP + shown.div_ceil(COLUMNS) as f64 * (SIDE + GAP);
    let mut canvas = Canvas::new(width as usize, height as usize);
    let [blue, orange] = [palette::SERIES[0], palette::SERIES[1]];
    for (i, unit) in w.rows().into_iter().take(shown).enumerate() {
        let x = GAP + (i % COLUMNS) as f64 * (SIDE + GAP);
        let y = GAP + (i / COLUMNS) as f64 * (SIDE + GAP);
        let largest = unit.iter().fold(f32::MIN_POSITIVE, |largest, w| largest.max(w.abs()));
        let shade = |w: &f32| {
            let (strength, full) = (w.abs() / largest, if *w < 0.0 { blue } else { orange });
            let mix = |to: u8| (255.0 + strength * (f32::from(to) - 255.0)) as u8;
            [mix(full.0), mix(full.1), mix(full.2)]
        };
        let pixels: Vec<[u8; 3]> = unit.iter().map(shade).collect();
        canvas.pixels((x, y), (SIDE, SIDE), (columns, rows), &pixels)?;
    }
    let alt = format!("Weights of the first {shown} units of the first layer as images");
    Ok(Picture { name: "weights", alt, svg: canvas.finish() })
}

/// More classes do not fit.
pub const CONFUSION_CLASSES: usize = 30;

/// A matrix of counts, (truth, prediction), as a heat map: each row by its own sum.
pub fn confusion(counts: ArrayView2<'_, u64>, labels: &[String]) -> Picture {
    let n = labels.len();
    let longest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(1);
    let cell = if n <= 12 { 52.0 } else { 30.0 };
    let left = 40.0 + 8.0 * longest.min(14) as f64;
    let top = 52.0;
    let size = cell * n as f64;
    let mut canvas = Canvas::new((left + size + 20.0) as usize, (top + size + 20.0) as usize);
    canvas.text((left + size / 2.0, 20.0), 14, "middle", palette::MUTED, "prediction");
    canvas.text((8.0, top - 12.0), 14, "start", palette::MUTED, "truth");
    for (i, (label, row)) in labels.iter().zip(counts.rows()).enumerate() {
        let middle = (i as f64 + 0.5) * cell;
        let short = |limit: usize| label.chars().take(limit).collect::<String>();
        let fits = if n <= 12 { 7 } else { 4 };
        canvas.text((left + middle, top - 10.0), 13, "middle", palette::INK, &short(fits));
        canvas.text((left - 10.0, top + middle + 5.0), 13, "end", palette::INK, &short(14));
        let total = row.sum().max(1) as f64;
        for (j, &count) in row.iter().enumerate() {
            let (x, y) = (left + j as f64 * cell, top + i as f64 * cell);
            let share = count as f64 / total;
            // errors are rare: the root of their share shows them
            let colour = palette::SERIES[usize::from(i != j)];
            let opacity = if count == 0 { 0.0 } else { 0.08 + 0.92 * share.sqrt() };
            let place = (x + 1.0, y + 1.0);
            canvas.rect(place, (cell - 2.0, cell - 2.0), palette::GRID, 0.4);
            canvas.rect(place, (cell - 2.0, cell - 2.0), colour, opacity);
            if count > 0 {
                let ink = if opacity > 0.6 { palette::SURFACE } else { palette::INK };
                let size = if n <= 12 { 13 } else { 10 };
                let place = (x + cell / 2.0, y + cell / 2.0 + 5.0);
                canvas.text(place, size, "middle", ink, &count.to_string());
            }
        }
    }
    let alt = format!("Confusion matrix of {n} classes: a row per truth, a column per prediction");
    Picture { name: "confusion", alt, svg: canvas.finish() }
}
