//! The confusion matrix.

use ndarray::ArrayView2;

use super::canvas::{Canvas, shortened, text_width};
use super::palette;
use super::picture::Picture;
use crate::error::Result;
use crate::report::format::{grouped, percent};

/// More classes do not fit.
pub const CONFUSION_CLASSES: usize = 30;

/// A matrix of counts, (truth, prediction), as a heat map: each row by its own sum.
pub fn confusion(counts: ArrayView2<'_, u64>, labels: &[String]) -> Result<Picture> {
    let n = labels.len();
    let alt = format!("Confusion matrix of {n} classes: a row per truth, a column per prediction");
    Picture::draw("confusion", alt, |width| {
        let longest = labels.iter().map(|label| label.chars().count()).max().unwrap_or(1);
        let longest = longest.min(width.choose(16, 9));
        let text = width.choose(13, 11);
        let left = 18.0 + text_width("x", text) * longest.max(4) as f64;
        let (least, most) = width.choose((30.0, 52.0), (24.0, 40.0));
        let cell = ((width.pixels() - left - 4.0) / n as f64).clamp(least, most);
        let top = 52.0;
        let size = cell * n as f64;
        let mut canvas = Canvas::new(
            (left + size + 8.0).max(width.choose(200.0, width.pixels())),
            top + size + 8.0,
        );
        canvas.text((left + size / 2.0, 20.0), 14, "middle", palette::MUTED, "prediction");
        canvas.text((8.0, top - 12.0), 14, "start", palette::MUTED, "truth");
        for (i, (label, row)) in labels.iter().zip(counts.rows()).enumerate() {
            let middle = (i as f64 + 0.5) * cell;
            let fits = (cell / text_width("x", text)) as usize;
            let at = (left + middle, top - 10.0);
            canvas.text(at, text, "middle", palette::INK, &shortened(label, fits));
            let at = (left - 8.0, top + middle + 5.0);
            canvas.text(at, text, "end", palette::INK, &shortened(label, longest));
            let total = row.sum().max(1) as f64;
            for (j, &count) in row.iter().enumerate() {
                let place = (left + j as f64 * cell + 1.0, top + i as f64 * cell + 1.0);
                let share = count as f64 / total;
                // errors are rare: the root of their share shows them
                let colour = palette::SERIES[usize::from(i != j)];
                let opacity = if count == 0 { 0.0 } else { 0.08 + 0.92 * share.sqrt() };
                let side = (cell - 2.0, cell - 2.0);
                let relation = if i == j { "recognised as" } else { "taken for" };
                let title = format!(
                    "{label} {relation} {}: {}, {} of {label}",
                    labels[j],
                    grouped(count),
                    percent(share)
                );
                canvas.rect(place, side, palette::GRID, 0.4, None);
                canvas.rect(place, side, colour, opacity, Some(&title));
                let number = count.to_string();
                let size = if text_width(&number, text) > cell - 2.0 { 9 } else { text };
                if count > 0 {
                    let ink = if opacity > 0.6 { palette::SURFACE } else { palette::INK };
                    let at = (place.0 + cell / 2.0 - 1.0, place.1 + cell / 2.0 + 4.0);
                    canvas.text(at, size, "middle", ink, &number);
                }
            }
        }
        Ok(canvas)
    })
}
