//! Gathering the samples of a batch into panels, with a mask of what is not zero.
#![allow(unsafe_code)]

use super::layout::{MASK_BITS, PackedLayout};
use super::order::{InputOrder, SIDE};
use crate::data::{Dataset, Features};
use crate::engine::augmenting::Augmenting;
use crate::engine::gather::PREFETCH_ROWS;
use crate::engine::kernels::rows::quotient_of_255;
use crate::engine::shared::Shared;
use crate::isa::{self, kernel};

/// The rows of a panel follow each other, but the panels of a row lie so far apart that the CPU does not foresee where the next ones begin:
/// each cache line is asked for this many rows before it is written, if its place was not blank in this row.
const PREFETCH_ROWS_TO_WRITE: usize = 4;

/// Where gathered samples go: rows of the first layer's `input` of a worker, from `row` on, and their words of the masks, if there are any.
pub struct Gathered<'a> {
    pub layout: &'a PackedLayout,
    pub arena: Shared<'a, f32>,
    pub masks: Option<Shared<'a, u16>>,
    pub worker: usize,
    pub row: usize,
}

kernel! {
    /// Writes samples into panels, pixels divided by 255, inputs in the given order, and 0 after the last.
    ///
    /// The caller owns the rows that are written: no one else reads or writes them.
    pub fn gather(to: &Gathered<'_>, data: &Dataset, order: InputOrder, samples: &[u32]) {
        let n = data.n_features();
        let blocks = n.div_ceil(MASK_BITS);
        let range = |sample: u32| sample as usize * n..(sample as usize + 1) * n;
        for (i, &sample) in samples.iter().enumerate() {
            let mut row = to.row(to.row + i);
            let later = samples.get(i + PREFETCH_ROWS).map(|&sample| range(sample));
            match data.features() {
                Features::U8(pixels) => {
                    later.into_iter().for_each(|later| isa::prefetch(&pixels[later]));
                    let pixels = &pixels[range(sample)];
                    match order {
                        InputOrder::Squares { columns } => {
                            for lines in pixels.chunks_exact(SIDE * columns) {
                                // whole lines of squares
                                let [a, b, c, d] = [0, 1, 2, 3].map(|i| &lines[i * columns..(i + 1) * columns]);
                                let squares = a.chunks_exact(SIDE).zip(b.chunks_exact(SIDE));
                                let squares = squares.zip(c.chunks_exact(SIDE).zip(d.chunks_exact(SIDE)));
                                for ((a, b), (c, d)) in squares {
                                    // put together in a register: a load of what was just stored in parts would have to wait for it
                                    let part = |line: &[u8]| line.first_chunk().map_or(0, |line| u32::from_ne_bytes(*line));
                                    let square: [u8; MASK_BITS] = bytemuck::cast([part(a), part(b), part(c), part(d)]);
                                    row.push_pixels::<FMA>(square);
                                }
                            }
                        }
                        InputOrder::Given => {
                            let (whole, rest) = pixels.as_chunks::<MASK_BITS>();
                            whole.iter().for_each(|block| row.push_pixels::<FMA>(*block));
                            if !rest.is_empty() {
                                let mut block = [0; MASK_BITS];
                                block[..rest.len()].copy_from_slice(rest);
                                row.push_pixels::<FMA>(block);
                            }
                        }
                    }
                }
                Features::F32(values) => {
                    later.into_iter().for_each(|later| isa::prefetch(&values[later]));
                    row.push_all(&values[range(sample)]);
                }
            }
            assert_eq!(row.block, blocks, "gather: a sample of {n} features");
        }
    }
}

kernel! {
    /// The same for images that are augmented. Panics if the data holds no bytes.
    pub fn gather_augmented(
        to: &Gathered<'_>,
        data: &Dataset,
        order: InputOrder,
        samples: &[u32],
        augmenting: Augmenting<'_>,
    ) {
        let mut augmenting = augmenting;
        let Features::U8(pixels) = data.features() else { panic!("augment: the data holds no bytes") };
        let n = data.n_features();
        for (i, &sample) in samples.iter().enumerate() {
            let mut row = to.row(to.row + i);
            let start = sample as usize * n;
            let values = augmenting.sample(&pixels[start..start + n], sample);
            match order {
                InputOrder::Squares { columns } => {
                    for lines in values.chunks_exact(SIDE * columns) {
                        for first in (0..columns).step_by(SIDE) {
                            let mut square = [0.0; MASK_BITS];
                            for (line, part) in square.chunks_exact_mut(SIDE).enumerate() {
                                let start = line * columns + first;
                                part.copy_from_slice(&lines[start..start + SIDE]);
                            }
                            row.push_values(square);
                        }
                    }
                }
                InputOrder::Given => row.push_all(values),
            }
        }
    }
}

impl Gathered<'_> {
    fn row(&self, row: usize) -> Row {
        let Self { layout, arena, masks, worker, .. } = self;
        assert!(row < layout.capacity, "gather: row {row} of {}", layout.capacity);
        let input = layout.input(0, *worker);
        Row {
            values: arena.pointer(input.clone()).wrapping_add(row * layout.width),
            panel_step: layout.capacity * layout.width,
            panels: layout.layers[0].in_panels,
            width: layout.width,
            masks: masks.map(|masks| {
                let first = layout.first_mask_block(*worker);
                let own = first * layout.capacity..(first + layout.mask_blocks) * layout.capacity;
                masks.pointer(own).wrapping_add(row)
            }),
            masks_step: layout.capacity,
            mask_blocks: layout.mask_blocks,
            block: 0,
            column: 0,
        }
    }
}

/// A row that is written block by block.
struct Row {
    /// Where the next panel's values of this row begin, or this panel's.
    values: *mut f32,
    panel_step: usize,
    /// How many panels are left, with this one.
    panels: usize,
    width: usize,
    masks: Option<*mut u16>,
    masks_step: usize,
    mask_blocks: usize,
    /// The number of blocks written.
    block: usize,
    /// The column in this panel at which the next block goes.
    column: usize,
}

impl Row {
    #[inline(always)]
    fn push_pixels<const FMA: bool>(&mut self, pixels: [u8; MASK_BITS]) {
        self.push(
            || {
                // a loop, because `map` is not always compiled into the caller, and so for its instruction set
                let mut values = [0.0; MASK_BITS];
                for (value, byte) in values.iter_mut().zip(pixels) {
                    *value = quotient_of_255::<FMA>(f32::from(byte));
                }
                values
            },
            || bytes_not_zero(pixels),
        );
    }

    #[inline(always)]
    fn push_values(&mut self, values: [f32; MASK_BITS]) {
        self.push(
            || values,
            || {
                let mut bytes = [0; MASK_BITS];
                for (byte, value) in bytes.iter_mut().zip(values) {
                    *byte = u8::from(value != 0.0);
                }
                bytes_not_zero(bytes)
            },
        );
    }

    #[inline(always)]
    fn push_all(&mut self, values: &[f32]) {
        let (whole, rest) = values.as_chunks::<MASK_BITS>();
        whole.iter().for_each(|block| self.push_values(*block));
        if !rest.is_empty() {
            let mut block = [0.0; MASK_BITS];
            block[..rest.len()].copy_from_slice(rest);
            self.push_values(block);
        }
    }

    /// Writes a block. What is in it is only computed if something has to be written: not where there were zeros and are zeros.
    #[inline(always)]
    fn push(&mut self, values: impl Fn() -> [f32; MASK_BITS], mask: impl Fn() -> u16) {
        assert!(self.block < self.mask_blocks, "gather: more than {} blocks", self.mask_blocks);
        let is_blank = match self.masks {
            None => false,
            // SAFETY: there are `mask_blocks` words for this row, `masks_step` apart, and they are this worker's.
            Some(masks) => unsafe {
                let word = masks.add(self.block * self.masks_step);
                let now = mask();
                let before = word.replace(now);
                before | now == 0
            },
        };
        self.block += 1;
        if self.width < MASK_BITS {
            let values = if is_blank { [0.0; MASK_BITS] } else { values() };
            let (first, second) = (values.first_chunk::<8>(), values.last_chunk::<8>());
            for half in [first, second].into_iter().flatten() {
                // a narrow panel may begin beyond the last input
                if self.panels > 0 {
                    // SAFETY: there is such a panel.
                    unsafe { self.push_part(|| *half, is_blank) };
                }
            }
        } else {
            // SAFETY: a block that is as wide as a panel, or half of it, begins before the last input.
            unsafe { self.push_part(values, is_blank) };
        }
    }

    /// Writes a part of a panel's columns.
    ///
    /// # Safety
    /// There are panels left, and the width of a panel is a multiple of N.
    #[inline(always)]
    unsafe fn push_part<const N: usize>(&mut self, values: impl Fn() -> [f32; N], is_blank: bool) {
        debug_assert!(self.panels > 0, "gather: a block beyond the last panel");
        if !is_blank {
            let to = self.values.wrapping_add(self.column);
            isa::prefetch_to_write(to.wrapping_add(PREFETCH_ROWS_TO_WRITE * self.width), 4 * N);
            // SAFETY: the columns of this panel lie within the buffer, and the row is this worker's.
            unsafe { to.cast::<[f32; N]>().write(values()) };
        }
        self.column += N;
        if self.column == self.width {
            self.values = self.values.wrapping_add(self.panel_step);
            (self.panels, self.column) = (self.panels - 1, 0);
        }
    }
}

/// A bit for each byte, set where it is not zero.
#[inline(always)]
fn bytes_not_zero(bytes: [u8; MASK_BITS]) -> u16 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;
        // SAFETY: every x86-64 CPU has SSE2; the load reads the 16 bytes.
        unsafe {
            let bytes = _mm_loadu_si128(bytes.as_ptr().cast());
            !(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_setzero_si128())) as u16)
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    bytes.iter().rev().fold(0, |word, byte| word << 1 | u16::from(*byte != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_set_where_values_are_not_zero() {
        let mut bytes = [0; MASK_BITS];
        (bytes[1], bytes[8]) = (1, 255);
        assert_eq!(bytes_not_zero(bytes), 0x0102);
    }
}
