//! Scales gathered rows of pixels, and sums the columns of a matrix.

use super::fma;
use crate::isa::kernel;

/// `x / 255`, correctly rounded, for whole numbers from 0 to 255.
#[inline(always)]
pub fn quotient_of_255<const FMA: bool>(x: f32) -> f32 {
    if !FMA {
        return x / 255.0;
    }
    // a product, corrected by the exact remainder: the result of a division in a quarter of its time
    let quotient = x * (1.0 / 255.0);
    let remainder = fma::<FMA>(-quotient, 255.0, x);
    fma::<FMA>(remainder, 1.0 / 255.0, quotient)
}

kernel! {
    /// `out = pixels / 255`, correctly rounded; both slices have one length.
    pub fn scale_pixels(out: &mut [f32], pixels: &[u8]) {
        assert_eq!(out.len(), pixels.len(), "scale_pixels: the lengths differ");
        for (out, &pixel) in out.iter_mut().zip(pixels) {
            *out = quotient_of_255::<FMA>(f32::from(pixel));
        }
    }
}

kernel! {
    /// Sums some columns of a matrix: `out[j] = sum over r of values[r, first + j]`.
    ///
    /// `values` is row-major with `n` columns; the length of `out` is the number of columns to sum.
    pub fn column_sums(out: &mut [f32], values: &[f32], n: usize, first: usize) {
        assert!(first + out.len() <= n, "column_sums: columns {first} + {} of {n}", out.len());
        out.fill(0.0);
        for row in values.chunks_exact(n) {
            let row = &row[first..first + out.len()];
            out.iter_mut().zip(row).for_each(|(sum, value)| *sum += *value);
        }
    }
}

kernel! {
    /// `sum += values`; both slices have one length.
    pub fn add(sum: &mut [f32], values: &[f32]) {
        assert_eq!(sum.len(), values.len(), "add: the lengths differ");
        sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += *value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::SIZES;
    use super::*;
    use crate::isa::tests::on_each_isa;

    #[test]
    fn every_pixel_is_divided_exactly() {
        on_each_isa(|isa| {
            let pixels: Vec<u8> = (0..=255).chain(0..77).collect();
            let mut out = vec![f32::NAN; pixels.len()];
            scale_pixels(isa, &mut out, &pixels);
            for (out, &pixel) in out.iter().zip(&pixels) {
                assert_eq!(*out, f32::from(pixel) / 255.0, "{isa:?} {pixel}");
            }
        });
    }

    #[test]
    fn columns_are_summed_at_every_width() {
        on_each_isa(|isa| {
            for width in SIZES {
                let (n, first) = (width + 3, 2);
                let values: Vec<f32> = (0..5 * n).map(|i| i as f32).collect();
                let mut out = vec![f32::NAN; width];
                column_sums(isa, &mut out, &values, n, first);
                for (j, sum) in out.iter().enumerate() {
                    let expected: f32 = (0..5).map(|r| values[r * n + first + j]).sum();
                    assert_eq!(*sum, expected);
                }
            }
        });
    }

    #[test]
    fn rows_are_added_at_every_length() {
        on_each_isa(|isa| {
            for len in SIZES {
                let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
                let mut sum = vec![0.5; len];
                add(isa, &mut sum, &values);
                assert!(sum.iter().zip(&values).all(|(sum, value)| *sum == 0.5 + value));
            }
        });
    }
}
