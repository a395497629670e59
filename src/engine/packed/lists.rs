//! Lists of what is not zero, from masks with a bit for each value.
#![allow(unsafe_code)]

use std::ops::Range;

use super::layout::MASK_BITS;
use crate::engine::shared::Shared;
use crate::isa::kernel;

/// The positions of the bits of a byte, in ascending order; the rest is not used.
const POSITIONS: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut bit, mut count) = (0, 0);
        while bit < 8 {
            if byte >> bit & 1 == 1 {
                table[byte][count] = bit as u8;
                count += 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    table
};

kernel! {
    /// Lists the inputs of some blocks of [`MASK_BITS`] that are not zero in at least one of some rows, counted from the first: `masks` has a word for each
    /// of `capacity` rows for each block. Returns their number. `list` has space for 8 more. Nobody writes these words meanwhile.
    pub fn list_inputs(
        list: &mut [u32],
        masks: Shared<'_, u16>,
        capacity: usize,
        blocks: Range<usize>,
        rows: Range<usize>,
    ) -> usize {
        let mut count = 0;
        for (i, block) in blocks.enumerate() {
            let words = block * capacity + rows.start..block * capacity + rows.end;
            // SAFETY: the caller's promise.
            let any = unsafe { masks.read(words) }.iter().fold(0, |any, word| any | word);
            for (half, byte) in any.to_le_bytes().into_iter().enumerate() {
                count += write_positions(&mut list[count..], (i * MASK_BITS + 8 * half) as u32, byte);
            }
        }
        count
    }
}

kernel! {
    /// Lists the samples in which at least one of some inputs is not zero, counted from the first of them: `low` and `high` are the
    /// words of the samples for two neighbouring blocks of inputs, of which the bits in `wanted` count: `high` has the upper 16. Returns their number.
    /// `list` has space for 8 more than there are samples.
    pub fn list_samples(list: &mut [u32], low: &[u16], high: &[u16], wanted: u32) -> usize {
        let (low, low_rest) = low.as_chunks();
        let (high, high_rest) = high.as_chunks();
        let (mut count, mut first) = (0, 0);
        for (low, high) in low.iter().zip(high) {
            let byte = words_with_bits(low, high, wanted);
            count += write_positions(&mut list[count..], first, byte);
            first += 8;
        }
        for (sample, (low, high)) in (first..).zip(low_rest.iter().zip(high_rest)) {
            list[count] = sample;
            let word = u32::from(*low) | u32::from(*high) << MASK_BITS;
            count += usize::from(word & wanted != 0);
        }
        count
    }
}

/// Writes where a byte has bits, counted from `first`, to the beginning of a list, which has space for 8. Returns their number.
#[inline(always)]
fn write_positions(list: &mut [u32], first: u32, byte: u8) -> usize {
    for (to, position) in list[..8].iter_mut().zip(POSITIONS[byte as usize]) {
        *to = first + u32::from(position);
    }
    byte.count_ones() as usize
}

/// A bit for each of 8 pairs of words, set where the pair has a bit that is wanted.
#[inline(always)]
fn words_with_bits(low: &[u16; 8], high: &[u16; 8], wanted: u32) -> u8 {
    let wanted = [wanted as u16, (wanted >> MASK_BITS) as u16];
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;
        // SAFETY: every x86-64 CPU has SSE2; the loads read 8 words each.
        unsafe {
            let of = |words: &[u16; 8], wanted: u16| {
                let words = _mm_loadu_si128(words.as_ptr().cast());
                _mm_and_si128(words, _mm_set1_epi16(wanted as i16))
            };
            let any = _mm_or_si128(of(low, wanted[0]), of(high, wanted[1]));
            let is_zero = _mm_cmpeq_epi16(any, _mm_setzero_si128());
            !(_mm_movemask_epi8(_mm_packs_epi16(is_zero, is_zero)) as u8)
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let pairs = low.iter().zip(high).rev();
        pairs.fold(0, |byte, (low, high)| {
            byte << 1 | u8::from(low & wanted[0] | high & wanted[1] != 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::tests::on_each_isa;
    use crate::rng::{Purpose, Rng};

    #[test]
    fn lists_have_every_bit_that_is_set() {
        let mut rng = Rng::new(3, Purpose::Init, 0);
        let (capacity, blocks) = (21, 5);
        let masks: Vec<u16> = (0..capacity * blocks)
            .map(
                |i| if i % 3 == 0 { 0 } else { (rng.symmetric() * 32767.0) as i16 as u16 & 0x8a51 },
            )
            .collect();
        let bit =
            |row: usize, input: usize| masks[input / 16 * capacity + row] >> (input % 16) & 1 == 1;
        on_each_isa(|isa| {
            let mut copy = masks.clone();
            let shared = Shared::new(&mut copy);
            for (first, rows) in [(0, 1), (2, 3), (20, 1), (0, 21), (4, 0)] {
                let mut list = vec![77; 16 * blocks + 8];
                let count =
                    list_inputs(isa, &mut list, shared, capacity, 0..blocks, first..first + rows);
                let expected: Vec<u32> = (0..16 * blocks as u32)
                    .filter(|&input| (first..first + rows).any(|row| bit(row, input as usize)))
                    .collect();
                assert_eq!(list[..count], expected);
            }
            for (inputs, wanted) in
                [(0..16, 0xffff), (5..9, 0x1e0), (12..20, 0xff000), (15..16, 0x8000)]
            {
                let mut list = vec![77; capacity + 8];
                let (low, high) = (&masks[..capacity], &masks[capacity..2 * capacity]);
                let count = list_samples(isa, &mut list, low, high, wanted);
                let expected: Vec<u32> = (0..capacity as u32)
                    .filter(|&row| inputs.clone().any(|input| bit(row as usize, input)))
                    .collect();
                assert_eq!(list[..count], expected, "{inputs:?}");
            }
        });
    }
}
