//! The slow part of Adam's step, `1 / (c sqrt(v) + eps)`, without a division or a root where the instruction set estimates both.
#![allow(unsafe_code)]

/// How many values are computed together.
pub const INVERSE_CHUNK: usize = 64;

/// `x = 1 / (c sqrt(x) + eps)` in place, for normal positive numbers: within 4 units in the last place.
///
/// `LANES` is the length of the instruction set's vectors, or 0. AVX2 and AVX-512 estimate inverse roots and inverses to 12 or 14 bits,
/// which one step of Newton's method doubles.
#[inline(always)]
pub fn inverse_of_root<const LANES: usize>(values: &mut [f32; INVERSE_CHUNK], c: f32, eps: f32) {
    match LANES {
        #[cfg(target_arch = "x86_64")]
        16 => {
            use std::arch::x86_64::*;
            for values in values.as_chunks_mut::<16>().0 {
                // SAFETY: code for vectors of 16 values runs on CPUs with AVX-512 alone; each load and store is of 16 values.
                unsafe {
                    let x = _mm512_loadu_ps(values.as_ptr());
                    let half = _mm512_mul_ps(x, _mm512_set1_ps(0.5));
                    let r = _mm512_rsqrt14_ps(x);
                    // r (3/2 - x/2 r^2)
                    let error = _mm512_fnmadd_ps(_mm512_mul_ps(half, r), r, _mm512_set1_ps(1.5));
                    let root = _mm512_mul_ps(x, _mm512_mul_ps(r, error));
                    let d = _mm512_fmadd_ps(root, _mm512_set1_ps(c), _mm512_set1_ps(eps));
                    let q = _mm512_rcp14_ps(d);
                    // q + q (1 - d q)
                    let error = _mm512_fnmadd_ps(d, q, _mm512_set1_ps(1.0));
                    _mm512_storeu_ps(values.as_mut_ptr(), _mm512_fmadd_ps(q, error, q));
                }
            }
        }
        #[cfg(target_arch = "x86_64")]
        8 => {
            use std::arch::x86_64::*;
            for values in values.as_chunks_mut::<8>().0 {
                // SAFETY: code for vectors of 8 values runs on CPUs with AVX2 and FMA alone; each load and store is of 8 values.
                unsafe {
                    let x = _mm256_loadu_ps(values.as_ptr());
                    let half = _mm256_mul_ps(x, _mm256_set1_ps(0.5));
                    let r = _mm256_rsqrt_ps(x);
                    let error = _mm256_fnmadd_ps(_mm256_mul_ps(half, r), r, _mm256_set1_ps(1.5));
                    let root = _mm256_mul_ps(x, _mm256_mul_ps(r, error));
                    let d = _mm256_fmadd_ps(root, _mm256_set1_ps(c), _mm256_set1_ps(eps));
                    let q = _mm256_rcp_ps(d);
                    let error = _mm256_fnmadd_ps(d, q, _mm256_set1_ps(1.0));
                    _mm256_storeu_ps(values.as_mut_ptr(), _mm256_fmadd_ps(q, error, q));
                }
            }
        }
        _ => values.iter_mut().for_each(|x| *x = 1.0 / (x.sqrt() * c + eps)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::{kernel, tests::on_each_isa};

    kernel! {
        /// The function under test, compiled as Adam's step is.
        pub fn compute(values: &mut [f32; INVERSE_CHUNK], c: f32, eps: f32) {
            inverse_of_root::<LANES>(values, c, eps);
        }
    }

    #[test]
    fn inverses_are_accurate_over_the_whole_range() {
        on_each_isa(|isa| {
            for (c, eps) in [(1.0, 1e-8), (31.6, 1e-8), (1.0, 0.0), (1.5, 1e-3)] {
                let mut x = f32::MIN_POSITIVE;
                while x < 3e38 {
                    let given: [f32; INVERSE_CHUNK] =
                        std::array::from_fn(|i| (x * (1.0 + i as f32 / 64.0)).min(f32::MAX));
                    let mut found = given;
                    compute(isa, &mut found, c, eps);
                    for (found, x) in found.into_iter().zip(given) {
                        let exact = 1.0 / (f64::from(x).sqrt() * f64::from(c) + f64::from(eps));
                        let error = (f64::from(found) - exact).abs() / exact;
                        assert!(
                            error < 4.0 * f64::from(f32::EPSILON) / 2.0 * 1.5,
                            "{isa:?} {x} {c} {eps}: {error:e}"
                        );
                    }
                    x *= 1.9;
                }
            }
        });
    }
}
