//! The loops of augmentation. None of them uses a fused multiply-add, so that every instruction set computes the same bits.
//!
//! Interpolation is bilinear: a new value is a mean of 2x2 old ones. [`pack`] puts each 2x2 into one word, so that a new value
//! costs one load from an address that is not foreseen, in place of four. Everything around that load works on blocks of columns.
#![allow(unsafe_code)]

use super::ImageShape;
use super::draw::{KNOTS, Knots, Warp};
use crate::isa::kernel;

/// Columns are computed in blocks of this many, a vector of AVX2; the last one of a row may reach beyond it.
pub const BLOCK: usize = 8;

/// A number for each column of a block.
pub type Columns = [f32; BLOCK];

/// Where the values of a block come from.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origins {
    /// The number of the 2x2 pixels.
    index: [u32; BLOCK],
    /// How far to the right in them, 0 to 1.
    x: Columns,
    /// How far down, 0 to 1.
    y: Columns,
}

/// The weights of a spline in a row of pixels: those of four rows of knots, from `first` on.
#[derive(Clone, Copy, Debug)]
pub struct Down {
    pub first: usize,
    pub weights: [f32; 4],
}

/// What depends on the shape of an image alone.
#[derive(Clone, Debug)]
pub struct Tables {
    pub shape: ImageShape,
    /// (blocks): each column's place, from the centre of the image.
    pub columns: Vec<Columns>,
    /// (KNOTS, blocks): the weight of each knot of a row in each column.
    pub across: Vec<Columns>,
    /// (height).
    pub down: Vec<Down>,
}

/// What a warp overwrites.
#[derive(Clone, Debug)]
pub struct Buffers {
    /// (height + 3, width + 2, channels) and a pixel more: the image with zeros around it, one pixel at three sides, two below.
    pub padded: Vec<u8>,
    /// (height + 2, width + 2, channels): the values of a pixel, of the one to the right, of that below, and of that below to the right.
    /// The first pixel is the one above and to the left of the image.
    pub packed: Vec<[u8; 4]>,
    /// (KNOTS, blocks): displacements to the right and down, in pixels, along each row of knots.
    pub displacements: Vec<[Columns; 2]>,
    /// (BAND, blocks).
    pub origins: Vec<Origins>,
    /// (BAND, blocks): the 2x2 values of one channel, the first one in the lowest byte.
    pub loaded: Vec<[u32; BLOCK]>,
}

/// Rows that go through each step of a warp together: enough that no step waits for the one before it, few enough for the nearest cache.
pub const BAND: usize = 8;

kernel! {
    /// `out = pixels / 255`, `right` and `down` pixels away; 0 where there is no pixel. Both are (height, width, channels).
    pub fn shift(out: &mut [f32], pixels: &[u8], shape: ImageShape, right: isize, down: isize) {
        let ImageShape { height, width, channels } = shape;
        assert!(out.len() == pixels.len() && pixels.len() == shape.n_values(), "shift: {shape:?}");
        let (across, along) = (right.unsigned_abs().min(width), down.unsigned_abs().min(height));
        let stride = width * channels;
        // all rows at once: what leaves a row enters the next one, and is blanked after that
        let by = (along * stride).cast_signed() * down.signum() + (across * channels).cast_signed() * right.signum();
        let kept = out.len().saturating_sub(by.unsigned_abs());
        let (to, from) = if by < 0 { (0, out.len() - kept) } else { (out.len() - kept, 0) };
        out[..to].fill(0.0);
        out[to + kept..].fill(0.0);
        for (out, &pixel) in out[to..to + kept].iter_mut().zip(&pixels[from..from + kept]) {
            *out = quotient_of_255(f32::from(pixel));
        }
        let blank = match right < 0 {
            true => (width - across) * channels..stride,
            false => 0..across * channels,
        };
        if !blank.is_empty() {
            out.chunks_exact_mut(stride).for_each(|row| row[blank.clone()].fill(0.0));
        }
    }
}

/// 1/255 in two parts: `1/256 + 1/256^2`, whose product with a byte is exact, and what is missing.
const RECIPROCAL: [f32; 2] = [257.0 / 65_536.0, 1.0 / 255.0 / 65_536.0];

/// `x / 255`: correctly rounded for whole numbers from 0 to 255, to the last bit for others between them. A division takes several times as long.
#[inline(always)]
fn quotient_of_255(x: f32) -> f32 {
    x * RECIPROCAL[0] + x * RECIPROCAL[1]
}

kernel! {
    /// Puts the 2x2 values at each place of an image into a word of `packed`. What is not the image in `padded` has to be 0, and stays so.
    pub fn pack(buffers: &mut Buffers, pixels: &[u8], shape: ImageShape) {
        let Buffers { padded, packed, .. } = buffers;
        let (row, channels) = (shape.width * shape.channels, shape.channels);
        let stride = row + 2 * channels;
        for (to, from) in padded.chunks_exact_mut(stride).skip(1).zip(pixels.chunks_exact(row)) {
            to[channels..channels + row].copy_from_slice(from);
        }
        let n = packed.len();
        let at = |from: usize| &padded[from..from + n];
        let (upper, lower) = (at(0).iter().zip(at(channels)), at(stride).iter().zip(at(stride + channels)));
        for (word, ((a, b), (c, d))) in packed.iter_mut().zip(upper.zip(lower)) {
            *word = [*a, *b, *c, *d];
        }
    }
}

kernel! {
    /// The spline along each row of knots: `displacements[row][column] = sum over k of across[k][column] knots[row][k]`.
    pub fn spread(displacements: &mut [[Columns; 2]], across: &[Columns], knots: &Knots) {
        let blocks = across.len() / KNOTS;
        assert_eq!(displacements.len(), across.len(), "spread: the lengths differ");
        for (row, displacements) in knots.iter().zip(displacements.chunks_exact_mut(blocks)) {
            for (block, displacement) in displacements.iter_mut().enumerate() {
                let (mut right, mut down) = ([0.0; BLOCK], [0.0; BLOCK]);
                for (knot, weights) in row.iter().zip(across.chunks_exact(blocks)) {
                    add(&mut right, knot[0], &weights[block]);
                    add(&mut down, knot[1], &weights[block]);
                }
                *displacement = [right, down];
            }
        }
    }
}

kernel! {
    /// Each new value is the bilinear mean of the four old ones around the place where it comes from, divided by 255; there are zeros around the
    /// image. `out` is (height, width, channels). [`pack`] has the image, [`spread`] the knots, if there are any.
    pub fn warp(out: &mut [f32], warp: &Warp, tables: &Tables, buffers: &mut Buffers) {
        let ImageShape { height, channels, .. } = tables.shape;
        assert_eq!(out.len(), tables.shape.n_values(), "warp: {:?}", tables.shape);
        for first in (0..height).step_by(BAND) {
            let rows = first..height.min(first + BAND);
            locate(&mut buffers.origins, rows.clone(), warp, tables, &buffers.displacements);
            for channel in 0..channels {
                let Buffers { packed, loaded, origins, .. } = &mut *buffers;
                let words = &packed[channel..];
                match channels {
                    1 => load(loaded, origins, words, 1), // without a multiplication
                    _ => load(loaded, origins, words, channels),
                }
                blend(out, rows.clone(), channel, tables, &buffers.loaded, &buffers.origins);
            }
        }
    }
}

/// Where the pixels of some rows come from.
#[inline(always)]
fn locate(
    origins: &mut [Origins],
    rows: std::ops::Range<usize>,
    warp: &Warp,
    tables: &Tables,
    displacements: &[[Columns; 2]],
) {
    let Tables { shape, columns, down, .. } = tables;
    let blocks = columns.len();
    let middle = (shape.height as f32 - 1.0) / 2.0;
    // in the packed image, which has a pixel more at each side; further away is as blank
    let (right_end, lower_end) = ((shape.width + 1) as f32, (shape.height + 1) as f32);
    let stride = shape.width as i32 + 2;
    for (y, origins) in rows.zip(origins.chunks_exact_mut(blocks)) {
        let from_middle = y as f32 - middle;
        let start = [0, 1].map(|i| warp.matrix[i][1] * from_middle + (warp.origin[i] + 1.0));
        let Down { first, weights } = &down[y];
        let four = [0, 1, 2, 3].map(|i| &displacements[(first + i) * blocks..][..blocks]);
        for (block, (origin, columns)) in origins.iter_mut().zip(columns).enumerate() {
            let (mut x, mut y_there) = ([start[0]; BLOCK], [start[1]; BLOCK]);
            add(&mut x, warp.matrix[0][0], columns);
            add(&mut y_there, warp.matrix[1][0], columns);
            if warp.knots.is_some() {
                for (row, &weight) in four.iter().zip(weights) {
                    let [right, down] = &row[block];
                    add(&mut x, weight, right);
                    add(&mut y_there, weight, down);
                }
            }
            for i in 0..BLOCK {
                let (x, y) = (within(x[i], right_end), within(y_there[i], lower_end));
                let (column, row) = (whole(x), whole(y));
                origin.index[i] = (row * stride + column).cast_unsigned();
                origin.x[i] = x - column as f32;
                origin.y[i] = y - row as f32;
            }
        }
    }
}

/// `sum += factor values`.
#[inline(always)]
fn add(sum: &mut Columns, factor: f32, values: &Columns) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += factor * value;
    }
}

/// The nearest number from 0 to `end`; 0 for NaN. Each line is one instruction, which `clamp` and `max` are not.
#[inline(always)]
fn within(x: f32, end: f32) -> f32 {
    let x = if x > 0.0 { x } else { 0.0 };
    if x < end { x } else { end }
}

/// The whole part of what [`within`] returns.
#[inline(always)]
fn whole(x: f32) -> i32 {
    // SAFETY: neither NaN nor infinite, and no larger than the side of an image and 1, which `Augmenter::new` has checked.
    unsafe { x.to_int_unchecked() }
}

/// Loads the 2x2 values of a channel.
#[inline(always)]
fn load(loaded: &mut [[u32; BLOCK]], origins: &[Origins], words: &[[u8; 4]], channels: usize) {
    for (loaded, origin) in loaded.iter_mut().zip(origins) {
        for (word, &index) in loaded.iter_mut().zip(&origin.index) {
            *word = u32::from_le_bytes(words[index as usize * channels]);
        }
    }
}

/// Writes the means of the 2x2 values of some rows.
#[inline(always)]
fn blend(
    out: &mut [f32],
    rows: std::ops::Range<usize>,
    channel: usize,
    tables: &Tables,
    loaded: &[[u32; BLOCK]],
    origins: &[Origins],
) {
    let ImageShape { width, channels, .. } = tables.shape;
    let blocks = tables.columns.len();
    let lines = loaded.chunks_exact(blocks).zip(origins.chunks_exact(blocks));
    for (y, (loaded, origins)) in rows.zip(lines) {
        for (block, (words, origin)) in loaded.iter().zip(origins).enumerate() {
            let mut values = [0.0; BLOCK];
            for (i, value) in values.iter_mut().enumerate() {
                let corner = |byte: u32| (words[i] >> (8 * byte) & 255).cast_signed() as f32;
                let (right, down) = (origin.x[i], origin.y[i]);
                let upper = corner(0) + right * (corner(1) - corner(0));
                let lower = corner(2) + right * (corner(3) - corner(2));
                *value = quotient_of_255(upper + down * (lower - upper));
            }
            let column = block * BLOCK;
            let to = &mut out[(y * width + column) * channels..];
            match to.first_chunk_mut::<BLOCK>() {
                // the next block, or the next row, overwrites what is beyond this row
                Some(to) if channels == 1 => *to = values,
                _ => {
                    let values = &values[..BLOCK.min(width - column)];
                    let to = to.chunks_exact_mut(channels);
                    to.zip(values).for_each(|(pixel, value)| pixel[channel] = *value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_of_bytes_are_exact_and_others_nearly_so() {
        for x in 0..=255u8 {
            assert_eq!(quotient_of_255(x.into()), f32::from(x) / 255.0);
        }
        for i in 0..100_000u32 {
            let x = (i.wrapping_mul(2_654_435_769) >> 8) as f32 * (255.0 / (1 << 24) as f32);
            let (found, exact) = (quotient_of_255(x), x / 255.0);
            assert!(found.to_bits().abs_diff(exact.to_bits()) <= 1, "{x}: {found} {exact}");
        }
        assert_eq!(quotient_of_255(0.0).to_bits(), 0);
    }
}
