//! Simple loops over rows and slices: pixels scaled, sums, averages.

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

kernel! {
    /// `average += share (values - average)`; both slices have one length.
    pub fn approach(average: &mut [f32], values: &[f32], share: f32) {
        assert_eq!(average.len(), values.len(), "approach: the lengths differ");
        average.iter_mut().zip(values).for_each(|(a, x)| *a = fma::<FMA>(share, *x - *a, *a));
    }
}

kernel! {
    /// `values *= factors`; both slices have one length.
    pub fn multiply(values: &mut [f32], factors: &[f32]) {
        assert_eq!(values.len(), factors.len(), "multiply: the lengths differ");
        values.iter_mut().zip(factors).for_each(|(x, factor)| *x *= *factor);
    }
}

kernel! {
    /// `values[r, j] *= factors[j]`, for as many of the `n` columns as there are factors.
    pub fn multiply_columns(values: &mut [f32], factors: &[f32], n: usize) {
        assert!(factors.len() <= n, "multiply_columns: {} factors for {n} columns", factors.len());
        for row in values.chunks_exact_mut(n) {
            row.iter_mut().zip(factors).for_each(|(x, factor)| *x *= *factor);
        }
    }
}

kernel! {
    /// `values *= factor`.
    pub fn scale(values: &mut [f32], factor: f32) {
        values.iter_mut().for_each(|x| *x *= factor);
    }
}

kernel! {
    /// The sum of squares: of 16 values in f32 for each of 16 lanes, then in f64.
    pub fn sum_of_squares(values: &[f32]) -> f64 {
        let mut sum = 0.0;
        for block in values.chunks(256) {
            let mut lanes = [0.0; 16];
            let (rows, rest) = block.as_chunks::<16>();
            for row in rows {
                lanes.iter_mut().zip(row).for_each(|(sum, x)| *sum = fma::<FMA>(*x, *x, *sum));
            }
            lanes.iter_mut().zip(rest).for_each(|(sum, x)| *sum = fma::<FMA>(*x, *x, *sum));
            sum += lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>();
        }
        sum
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
    fn columns_are_multiplied_at_every_width() {
        on_each_isa(|isa| {
            for count in SIZES {
                let (n, factors) = (count + 3, (0..count).map(|j| j as f32 - 2.5));
                let factors: Vec<f32> = factors.collect();
                let mut values: Vec<f32> = (0..5 * n).map(|i| i as f32).collect();
                multiply_columns(isa, &mut values, &factors, n);
                for (i, value) in values.iter().enumerate() {
                    assert_eq!(*value, i as f32 * factors.get(i % n).unwrap_or(&1.0), "{count}");
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

    #[test]
    fn squares_averages_and_products_at_every_length() {
        on_each_isa(|isa| {
            for len in SIZES {
                let values: Vec<f32> = (0..len).map(|i| 0.5 + (i % 7) as f32).collect();
                let expected: f64 = values.iter().map(|x| f64::from(x * x)).sum();
                assert!((sum_of_squares(isa, &values) - expected).abs() <= 1e-6 * expected);
                let mut average = vec![1.0; len];
                approach(isa, &mut average, &values, 0.25);
                assert!(average.iter().zip(&values).all(|(a, x)| *a == 0.75 + 0.25 * x));
                scale(isa, &mut average, 4.0);
                assert!(average.iter().zip(&values).all(|(a, x)| *a == 3.0 + x));
            }
        });
    }
}
