//! Augmentation: images that change from epoch to epoch, by shifts, reflections, affine maps and elastic deformations.
//!
//! [`Augment`] says which, and how much. An [`Augmenter`] makes the samples, one at a time, as bytes become inputs of a network:
//! nothing is stored, and a sample of an epoch is a function of (seed, epoch, sample) alone. Only training wants this; what is
//! measured and predicted stays as it is.

mod augmenter;
mod choice;
mod draw;
mod kernels;
#[cfg(test)]
mod tests;

pub use augmenter::Augmenter;
use augmenter::LONGEST_SIDE;
pub use choice::Augment;

use super::{Dataset, Features};
use crate::error::{Error, Result};

/// The shape of an image: its values lie row by row, those of a pixel side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
    /// Values of a pixel: 1 for grey, 3 for red, green and blue.
    pub channels: usize,
}

impl ImageShape {
    /// The shape of the images of a data set, which `augment` is to change.
    ///
    /// # Errors
    /// [`Error::Argument`] if the samples are not images of bytes.
    pub fn of(data: &Dataset, augment: Augment) -> Result<Self> {
        match (data.features(), data.image()) {
            (Features::U8(_), Some((height, width))) if height.max(width) > LONGEST_SIDE => {
                Err(Error::argument(
                    "augment",
                    format!("{augment}, images of {height}x{width} pixels"),
                    format!("none, or images of at most {LONGEST_SIDE} pixels a side"),
                ))
            }
            (Features::U8(_), Some((height, width))) => {
                Ok(Self { height, width, channels: data.channels() })
            }
            _ => Err(Error::argument(
                "augment",
                format!("{augment}, but the samples of {} are no images", data.name()),
                "none, or images: IDX files, folders of PNG or JPEG files, arrays of bytes (images, height, width)",
            )),
        }
    }

    /// The values of an image.
    pub fn n_values(self) -> usize {
        self.height * self.width * self.channels
    }
}
