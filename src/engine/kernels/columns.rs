//! Gathers some columns of a row to its front, and scatters them back.
#![allow(unsafe_code)]

use crate::isa::{Isa, Level};

/// A set of columns of a matrix, in ascending order.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// Bit `i` of word `w` is column `64 w + i`.
    words: Vec<u64>,
    numbers: Vec<u32>,
}

impl Columns {
    /// The empty set of `n` columns. Later calls of [`Columns::choose`] do not allocate.
    ///
    /// # Panics
    /// If `n` does not fit in 32 bits.
    pub fn none_of(n: usize) -> Self {
        assert!(u32::try_from(n).is_ok(), "columns: {n} of them do not fit in 32 bits");
        Self { words: vec![0; n.div_ceil(64)], numbers: Vec::with_capacity(n) }
    }

    /// Chooses the columns whose bits `mark` sets.
    pub fn choose(&mut self, mark: impl FnOnce(&mut [u64])) {
        // if `mark` panics, bits and numbers differ; a column that no row has then makes every use panic
        self.numbers.clear();
        self.numbers.push(u32::MAX);
        mark(&mut self.words);
        self.numbers.clear();
        for (w, word) in self.words.iter().enumerate() {
            let mut word = *word;
            while word != 0 {
                self.numbers.push(64 * w as u32 + word.trailing_zeros());
                word &= word - 1;
            }
        }
    }

    /// The number of chosen columns.
    pub fn count(&self) -> usize {
        self.numbers.len()
    }

    fn assert_within(&self, row: &[f32]) {
        let last = self.numbers.last().map_or(0, |&last| last as usize + 1);
        assert!(last <= row.len(), "columns: {last} columns needed, the row has {}", row.len());
        assert!(self.words.len() == row.len().div_ceil(64), "columns: chosen for another length");
    }

    /// `out[i] = row[chosen column i]`; the length of `out` is the number of chosen columns.
    pub fn gather(&self, isa: Isa, out: &mut [f32], row: &[f32]) {
        self.assert_within(row);
        assert_eq!(
            out.len(),
            self.count(),
            "gather: the length of out is not the number of columns"
        );
        match isa.0 {
            // SAFETY: the CPU has the instruction set; the chosen columns are within the row, and as many as `out` holds.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512::gather(out.as_mut_ptr(), row, &self.words) },
            _ => out.iter_mut().zip(&self.numbers).for_each(|(x, &i)| *x = row[i as usize]),
        }
    }

    /// [`Columns::gather`] to the front of the row itself.
    pub fn gather_in_place(&self, isa: Isa, row: &mut [f32]) {
        self.assert_within(row);
        match isa.0 {
            // SAFETY: the CPU has the instruction set; the chosen columns are within the row.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512::gather_in_place(row, &self.words) },
            _ => self.numbers.iter().enumerate().for_each(|(to, &i)| row[to] = row[i as usize]),
        }
    }

    /// The inverse of [`Columns::gather_in_place`]: moves the first values of the row to the chosen columns, and makes all others
    /// zero.
    pub fn scatter_in_place(&self, isa: Isa, row: &mut [f32]) {
        self.assert_within(row);
        match isa.0 {
            // SAFETY: the CPU has the instruction set; the chosen columns are within the row, and `count` of them.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512::scatter_in_place(row, &self.words, self.count()) },
            _ => {
                let mut end = row.len();
                for (from, &column) in self.numbers.iter().enumerate().rev() {
                    let column = column as usize;
                    let value = row[from];
                    row[column..end].fill(0.0);
                    row[column] = value;
                    end = column;
                }
                row[..end].fill(0.0);
            }
        }
    }
}

/// The same by whole vectors, with the instructions that compress and expand.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    /// Which of the 16 columns from `start` on are chosen; `start` is a multiple of 16.
    #[inline(always)]
    fn mask(words: &[u64], start: usize) -> u16 {
        (words[start / 64] >> (start % 64)) as u16
    }

    /// # Safety
    /// The CPU has AVX-512; `out` has space for a value for every bit of `words`, and all bits are columns of the row.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn gather(mut out: *mut f32, row: &[f32], words: &[u64]) {
        for start in (0..row.len()).step_by(16) {
            let chosen = mask(words, start);
            let count = chosen.count_ones();
            // SAFETY: only chosen columns are read, and as many values are written.
            unsafe {
                let values = _mm512_maskz_loadu_ps(chosen, row.as_ptr().add(start));
                let first = ((1u32 << count) - 1) as u16;
                _mm512_mask_storeu_ps(out, first, _mm512_maskz_compress_ps(chosen, values));
                out = out.add(count as usize);
            }
        }
    }

    /// # Safety
    /// The CPU has AVX-512; all bits of `words` are columns of the row.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn gather_in_place(row: &mut [f32], words: &[u64]) {
        let (len, row) = (row.len(), row.as_mut_ptr());
        let mut to = 0;
        for start in (0..len).step_by(16) {
            let chosen = mask(words, start);
            let count = chosen.count_ones();
            // SAFETY: only chosen columns are read. `to` is at most `start`, and at most as many values are written from there as
            // were read, so that they lie within the row and overwrite nothing that is still to be read.
            unsafe {
                let values = _mm512_maskz_loadu_ps(chosen, row.add(start));
                let first = ((1u32 << count) - 1) as u16;
                _mm512_mask_storeu_ps(row.add(to), first, _mm512_maskz_compress_ps(chosen, values));
            }
            to += count as usize;
        }
    }

    /// # Safety
    /// The CPU has AVX-512; `words` has `count` bits, and all of them are columns of the row.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn scatter_in_place(row: &mut [f32], words: &[u64], count: usize) {
        let (len, row) = (row.len(), row.as_mut_ptr());
        let mut from = count;
        for start in (0..len).step_by(16).rev() {
            let chosen = mask(words, start);
            let count = chosen.count_ones();
            from -= count as usize;
            // SAFETY: as many values are read as columns are chosen, and only columns of the row are written. What is still to be
            // read lies below `from`, which is at most `start`.
            unsafe {
                let first = ((1u32 << count) - 1) as u16;
                let values = _mm512_maskz_loadu_ps(first, row.add(from));
                let in_row = u16::MAX >> (16 - (len - start).min(16));
                let values = _mm512_maskz_expand_ps(chosen, values);
                _mm512_mask_storeu_ps(row.add(start), in_row, values);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::SIZES;
    use super::*;
    use crate::isa::tests::on_each_isa;

    #[test]
    fn columns_are_gathered_and_scattered() {
        for n in SIZES.into_iter().filter(|&n| n > 0) {
            for (modulus, wanted) in [(1, 0), (2, 1), (3, 0), (17, 4), (1000, 999)] {
                let expected: Vec<usize> = (0..n).filter(|i| i % modulus == wanted).collect();
                let mut columns = Columns::none_of(n);
                columns.choose(|words| words.fill(u64::MAX)); // replaced by the next choice
                columns.choose(|words| {
                    words.fill(0);
                    expected.iter().for_each(|i| words[i / 64] |= 1 << (i % 64));
                });
                assert_eq!(columns.count(), expected.len());
                let row: Vec<f32> = (0..n).map(|i| i as f32 + 1.0).collect();
                let gathered: Vec<f32> = expected.iter().map(|&i| row[i]).collect();
                let scattered: Vec<f32> =
                    row.iter().map(|&x| if gathered.contains(&x) { x } else { 0.0 }).collect();
                on_each_isa(|isa| {
                    let mut out = vec![f32::NAN; expected.len()];
                    columns.gather(isa, &mut out, &row);
                    assert_eq!(out, gathered, "{isa:?} {n} {modulus}");
                    let mut in_place = row.clone();
                    columns.gather_in_place(isa, &mut in_place);
                    assert_eq!(in_place[..gathered.len()], gathered, "{isa:?} {n} {modulus}");
                    in_place[gathered.len()..].fill(f32::NAN);
                    columns.scatter_in_place(isa, &mut in_place);
                    assert_eq!(in_place, scattered, "{isa:?} {n} {modulus}");
                });
            }
        }
    }
}
