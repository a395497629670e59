//! Makes augmented samples.

use super::draw::{Change, KNOTS, SPANS, Warp};
use super::kernels::{self, BAND, BLOCK, Buffers, Columns, Down, Origins, Tables};
use super::{Augment, ImageShape};
use crate::isa::Isa;

/// Makes augmented samples of images of one shape. It owns all buffers that this takes; each thread has an augmenter of its own.
///
/// A sample of an epoch is a function of (seed, epoch, sample): the same bits by every instruction set, whoever computes it.
///
/// ```
/// use densely::data::{Augment, Augmenter, ImageShape};
///
/// let augment: Augment = "affine:0.5,elastic".parse()?;
/// let shape = ImageShape { height: 28, width: 28, channels: 1 };
/// let mut augmenter = Augmenter::new(augment, shape);
/// let (pixels, mut inputs) = ([100; 28 * 28], [0.0; 28 * 28]);
/// augmenter.augment(&mut inputs, &pixels, 0, 1, 12345); // seed 0, epoch 1, sample 12345
/// assert!(inputs.iter().all(|x| (0.0..=1.0).contains(x)));
/// # Ok::<(), densely::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Augmenter {
    isa: Isa,
    augment: Augment,
    tables: Tables,
    buffers: Buffers,
}

/// Longer sides are not images; their pixels can be numbered with 31 bits, and with floats of 24.
pub(super) const LONGEST_SIDE: usize = 40_000;

impl Augmenter {
    /// An augmenter for images of a shape.
    ///
    /// # Panics
    /// If there are no pixels, or a side has more than 40,000.
    pub fn new(augment: Augment, shape: ImageShape) -> Self {
        Self::with_isa(Isa::detect(), augment, shape)
    }

    pub(super) fn with_isa(isa: Isa, augment: Augment, shape: ImageShape) -> Self {
        let ImageShape { height, width, channels } = shape;
        let sides = [height, width].iter().all(|side| (1..=LONGEST_SIDE).contains(side));
        assert!(sides && channels > 0, "augment: {shape:?}; expected sides of 1 to {LONGEST_SIDE}");
        let if_warps = |len: usize| if augment.warps() { len } else { 0 };
        let blocks = width.div_ceil(BLOCK);
        let stride = (width + 2) * channels;
        let words = (height + 2) * stride;
        let buffers = Buffers {
            padded: vec![0; if_warps(words + stride + channels)],
            packed: vec![[0; 4]; if_warps(words)],
            displacements: vec![[[0.0; BLOCK]; 2]; if_warps(KNOTS * blocks)],
            origins: vec![Origins::default(); if_warps(BAND * blocks)],
            loaded: vec![[0; BLOCK]; if_warps(BAND * blocks)],
        };
        Self { isa, augment, tables: Tables::of(shape), buffers }
    }

    /// Writes what a training with this seed sees of a sample in an epoch: `out` and `pixels` are one image (height, width, channels),
    /// row-major; bytes become numbers from 0 to 1. A value is exactly 0 where the pixels around its place in the image are. Epochs count from 1.
    ///
    /// # Panics
    /// If the lengths are not that of an image.
    pub fn augment(
        &mut self,
        out: &mut [f32],
        pixels: &[u8],
        seed: u64,
        epoch: usize,
        sample: u32,
    ) {
        let shape = self.tables.shape;
        match Change::draw(self.augment, shape, seed, epoch, sample) {
            Change::Shift([right, down]) => {
                kernels::shift(self.isa, out, pixels, shape, right, down);
            }
            Change::Warp(warp) => self.warp(out, pixels, &warp),
        }
    }

    pub(super) fn warp(&mut self, out: &mut [f32], pixels: &[u8], warp: &Warp) {
        let Self { isa, tables, buffers, .. } = self;
        assert_eq!(pixels.len(), tables.shape.n_values(), "augment: {:?}", tables.shape);
        kernels::pack(*isa, buffers, pixels, tables.shape);
        if let Some(knots) = &warp.knots {
            kernels::spread(*isa, &mut buffers.displacements, &tables.across, knots);
        }
        kernels::warp(*isa, out, warp, tables, buffers);
    }
}

impl Tables {
    fn of(shape: ImageShape) -> Self {
        let blocks = shape.width.div_ceil(BLOCK);
        let middle = (shape.width as f32 - 1.0) / 2.0;
        let place = |i: usize| i as f32 - middle;
        let column =
            |block: usize| -> Columns { std::array::from_fn(|i| place(block * BLOCK + i)) };
        let mut across = vec![[0.0; BLOCK]; KNOTS * blocks];
        for column in 0..shape.width {
            let Down { first, weights } = spline(column, shape.width);
            for (knot, weight) in (first..).zip(weights) {
                across[knot * blocks + column / BLOCK][column % BLOCK] = weight;
            }
        }
        Self {
            shape,
            columns: (0..blocks).map(column).collect(),
            across,
            down: (0..shape.height).map(|row| spline(row, shape.height)).collect(),
        }
    }
}

/// The weights of the four knots around a pixel of a side.
fn spline(pixel: usize, side: usize) -> Down {
    let place = (SPANS * pixel) as f64 / (side - 1).max(1) as f64;
    let first = (place as usize).min(SPANS - 1);
    let t = place - first as f64;
    let s = 1.0 - t;
    let weights =
        [s * s * s, 4.0 + 3.0 * t * t * (t - 2.0), 4.0 + 3.0 * s * s * (s - 2.0), t * t * t];
    Down { first, weights: weights.map(|weight| (weight / 6.0) as f32) }
}
