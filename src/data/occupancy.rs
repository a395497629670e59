//! Which features of which samples are not zero: one bit each.

use super::{Dataset, Features};

/// A bit for every feature of every sample, set if the value is not zero.
///
/// The borders of images are often blank. The union over the samples of a batch gives the inputs that take part in a step:
/// of MNIST's 784 pixels, about 600 in a batch of 1000 and 510 in a batch of 100.
#[derive(Clone, Debug)]
pub struct Occupancy {
    words_per_sample: usize,
    words: Vec<u64>,
}

impl Occupancy {
    /// Computes the bits of a data set.
    pub fn of(data: &Dataset) -> Self {
        let n = data.n_features();
        let words_per_sample = n.div_ceil(64);
        let mut words = vec![0; words_per_sample * data.len()];
        let samples = words.chunks_exact_mut(words_per_sample);
        match data.features() {
            Features::U8(pixels) => samples.zip(pixels.chunks_exact(n)).for_each(|(words, row)| {
                for (word, pixels) in words.iter_mut().zip(row.chunks(64)) {
                    *word = bytes_not_zero(pixels);
                }
            }),
            Features::F32(values) => {
                samples.zip(values.chunks_exact(n)).for_each(|(words, row)| {
                    for (word, values) in words.iter_mut().zip(row.chunks(64)) {
                        let bits = values.iter().enumerate();
                        *word =
                            bits.fold(0, |word, (i, value)| word | u64::from(*value != 0.0) << i);
                    }
                })
            }
        }
        Self { words_per_sample, words }
    }

    /// The number of 64-bit words per sample. Bit `i` of word `w` is feature `64 w + i`.
    pub fn words_per_sample(&self) -> usize {
        self.words_per_sample
    }

    /// Writes into `union` the features that are not zero in at least one of the samples.
    ///
    /// # Panics
    /// If the length of `union` is not [`Occupancy::words_per_sample`], or a sample is out of range.
    pub fn union_of(&self, union: &mut [u64], samples: &[u32]) {
        assert_eq!(
            union.len(),
            self.words_per_sample,
            "union_of: the length of `union` is not the number of words per sample"
        );
        union.fill(0);
        for &sample in samples {
            let start = sample as usize * self.words_per_sample;
            let words = &self.words[start..start + self.words_per_sample];
            union.iter_mut().zip(words).for_each(|(union, word)| *union |= word);
        }
    }
}

/// A word whose bit `i` is set if byte `i` is not zero. Takes at most 64 bytes.
fn bytes_not_zero(bytes: &[u8]) -> u64 {
    const LOW_7: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    bytes.chunks(8).enumerate().fold(0, |word, (i, chunk)| {
        let mut eight = [0; 8];
        eight[..chunk.len()].copy_from_slice(chunk);
        let eight = u64::from_le_bytes(eight);
        // the top bit of each byte: a carry out of the low seven, or its own
        let top = (((eight & LOW_7) + LOW_7) | eight) & !LOW_7;
        // the product moves the bits of all bytes next to each other
        let bits = (top >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        word | bits << (8 * i)
    })
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    #[test]
    #[should_panic(expected = "out of range")]
    fn a_sample_out_of_range_is_rejected() {
        let data = Dataset::from_pixels(Array2::ones((5, 70)).view(), &[0; 5]).unwrap();
        Occupancy::of(&data).union_of(&mut [0; 2], &[4, 5]);
    }

    #[test]
    fn bits_are_set_where_values_are_not_zero() {
        for n in [1, 7, 8, 63, 64, 65, 131] {
            let value =
                |i: usize, j: usize| (i * 37 + j * 11) % 256 * usize::from((i + j) % 3 == 1);
            let pixels = Array2::from_shape_fn((5, n), |(i, j)| value(i, j) as u8);
            let floats = pixels.mapv(|x| -f32::from(x));
            let labels = [0; 5];
            for data in [
                Dataset::from_pixels(pixels.view(), &labels).unwrap(),
                Dataset::from_arrays(floats.view(), &labels).unwrap(),
            ] {
                let occupancy = Occupancy::of(&data);
                let mut union = vec![u64::MAX; occupancy.words_per_sample()];
                for samples in [&[][..], &[3], &[0, 4], &[2, 2, 1]] {
                    occupancy.union_of(&mut union, samples);
                    for j in 0..64 * union.len() {
                        let expected =
                            j < n && samples.iter().any(|&i| pixels[(i as usize, j)] != 0);
                        assert_eq!(
                            union[j / 64] >> (j % 64) & 1 == 1,
                            expected,
                            "{n} {samples:?} {j}"
                        );
                    }
                }
            }
        }
    }
}
