//! The vector types with which the product computes, one per instruction set.

/// A vector of [`LANES`](Simd::LANES) values.
///
/// # Safety
/// Methods may be called only if the CPU has the type's instruction set. Call them only from functions compiled for it, or the
/// vectors are passed through memory. Pointers need no alignment.
pub trait Simd: Copy {
    /// The number of values in a vector.
    const LANES: usize;

    /// A vector of zeros.
    unsafe fn zero() -> Self;

    /// A vector with one value in all lanes.
    unsafe fn splat(value: f32) -> Self;

    /// Reads `LANES` values.
    unsafe fn load(from: *const f32) -> Self;

    /// Writes `LANES` values.
    unsafe fn store(self, to: *mut f32);

    /// Reads `count` < `LANES` values; the other lanes are zero.
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0f32; 16];
        // SAFETY: the caller's promise; no vector is longer than `lanes`.
        unsafe {
            (0..count).for_each(|i| lanes[i] = *from.add(i));
            Self::load(lanes.as_ptr())
        }
    }

    /// Writes the first `count` < `LANES` values.
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        let mut lanes = [0.0f32; 16];
        // SAFETY: the caller's promise; no vector is longer than `lanes`.
        unsafe {
            self.store(lanes.as_mut_ptr());
            (0..count).for_each(|i| *to.add(i) = lanes[i]);
        }
    }

    /// Asks the CPU to bring the cache line of an address into its cache. Any address is allowed.
    #[inline(always)]
    fn prefetch(_address: *const f32) {}

    /// `self + b`.
    unsafe fn add(self, b: Self) -> Self;

    /// `self * b + c`.
    unsafe fn fma(self, b: Self, c: Self) -> Self;

    /// Reads `LANES` rows of 4 values, `stride` apart; returns the 4 columns.
    unsafe fn load_columns(from: *const f32, stride: usize) -> [Self; 4];
}

/// An array that every CPU can compute with; the compiler uses the target's instructions for it.
#[derive(Clone, Copy)]
pub struct Portable([f32; 4]);

impl Simd for Portable {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; 4])
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, b: Self) -> Self {
        Self([0, 1, 2, 3].map(|i| self.0[i] + b.0[i]))
    }

    #[inline(always)]
    unsafe fn fma(self, b: Self, c: Self) -> Self {
        const FMA: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
        let one = |i: usize| {
            if FMA { self.0[i].mul_add(b.0[i], c.0[i]) } else { self.0[i] * b.0[i] + c.0[i] }
        };
        Self([one(0), one(1), one(2), one(3)])
    }

    #[inline(always)]
    unsafe fn load_columns(from: *const f32, stride: usize) -> [Self; 4] {
        // SAFETY: the caller's promise: four rows of four values.
        let rows = unsafe {
            [0, 1, 2, 3].map(|row| from.add(row * stride).cast::<[f32; 4]>().read_unaligned())
        };
        [0, 1, 2, 3].map(|column| Self(rows.map(|row| row[column])))
    }
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Simd;

    /// AVX2 with FMA.
    #[derive(Clone, Copy)]
    pub struct Avx2(__m256);

    // SAFETY of every block below: the caller's promise; each reads and writes what `Simd` says.
    #[allow(clippy::undocumented_unsafe_blocks)]
    impl Simd for Avx2 {
        const LANES: usize = 8;

        #[inline(always)]
        unsafe fn zero() -> Self {
            Self(unsafe { _mm256_setzero_ps() })
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            Self(unsafe { _mm256_set1_ps(value) })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(unsafe { _mm256_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm256_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        unsafe fn load_first(from: *const f32, count: usize) -> Self {
            Self(unsafe { _mm256_maskload_ps(from, first_lanes(count)) })
        }

        #[inline(always)]
        unsafe fn store_first(self, to: *mut f32, count: usize) {
            unsafe { _mm256_maskstore_ps(to, first_lanes(count), self.0) }
        }

        #[inline(always)]
        fn prefetch(address: *const f32) {
            // SAFETY: a prefetch reads nothing; every address is allowed.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
        }

        #[inline(always)]
        unsafe fn add(self, b: Self) -> Self {
            Self(unsafe { _mm256_add_ps(self.0, b.0) })
        }

        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            Self(unsafe { _mm256_fmadd_ps(self.0, b.0, c.0) })
        }

        #[inline(always)]
        unsafe fn load_columns(from: *const f32, stride: usize) -> [Self; 4] {
            unsafe {
                // rows r and r + 4 side by side, then a 4x4 transpose in each half
                let [a, b, c, d] = [0, 1, 2, 3].map(|row| {
                    let from = from.add(row * stride);
                    let low = _mm256_castps128_ps256(_mm_loadu_ps(from));
                    _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(from.add(4 * stride)))
                });
                let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
                let (ab_high, cd_high) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
                [
                    Self(_mm256_shuffle_ps::<0x44>(ab, cd)),
                    Self(_mm256_shuffle_ps::<0xee>(ab, cd)),
                    Self(_mm256_shuffle_ps::<0x44>(ab_high, cd_high)),
                    Self(_mm256_shuffle_ps::<0xee>(ab_high, cd_high)),
                ]
            }
        }
    }

    /// All bits set in the first `count` lanes.
    #[inline(always)]
    unsafe fn first_lanes(count: usize) -> __m256i {
        // SAFETY: the CPU has AVX2, as the callers' callers promise.
        unsafe {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes)
        }
    }

    /// AVX-512.
    #[derive(Clone, Copy)]
    pub struct Avx512(__m512);

    // SAFETY of every block below: the caller's promise; each reads and writes what `Simd` says.
    #[allow(clippy::undocumented_unsafe_blocks)]
    impl Simd for Avx512 {
        const LANES: usize = 16;

        #[inline(always)]
        unsafe fn zero() -> Self {
            Self(unsafe { _mm512_setzero_ps() })
        }

        #[inline(always)]
        unsafe fn splat(value: f32) -> Self {
            Self(unsafe { _mm512_set1_ps(value) })
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(unsafe { _mm512_loadu_ps(from) })
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        unsafe fn load_first(from: *const f32, count: usize) -> Self {
            Self(unsafe { _mm512_maskz_loadu_ps((1u16 << count) - 1, from) })
        }

        #[inline(always)]
        unsafe fn store_first(self, to: *mut f32, count: usize) {
            unsafe { _mm512_mask_storeu_ps(to, (1u16 << count) - 1, self.0) }
        }

        #[inline(always)]
        fn prefetch(address: *const f32) {
            // SAFETY: a prefetch reads nothing; every address is allowed.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
        }

        #[inline(always)]
        unsafe fn add(self, b: Self) -> Self {
            Self(unsafe { _mm512_add_ps(self.0, b.0) })
        }

        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            Self(unsafe { _mm512_fmadd_ps(self.0, b.0, c.0) })
        }

        #[inline(always)]
        unsafe fn load_columns(from: *const f32, stride: usize) -> [Self; 4] {
            unsafe {
                // rows r, r + 4, r + 8 and r + 12 side by side, then a 4x4 transpose in each quarter; written out, because what is called
                // in a closure is not always compiled for the instruction set
                macro_rules! four_rows {
                    ($row:literal) => {{
                        let rows = _mm512_castps128_ps512(_mm_loadu_ps(from.add($row * stride)));
                        let rows = _mm512_insertf32x4::<1>(
                            rows,
                            _mm_loadu_ps(from.add(($row + 4) * stride)),
                        );
                        let rows = _mm512_insertf32x4::<2>(
                            rows,
                            _mm_loadu_ps(from.add(($row + 8) * stride)),
                        );
                        _mm512_insertf32x4::<3>(rows, _mm_loadu_ps(from.add(($row + 12) * stride)))
                    }};
                }
                let (a, b, c, d) = (four_rows!(0), four_rows!(1), four_rows!(2), four_rows!(3));
                let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
                let (ab_high, cd_high) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
                [
                    Self(_mm512_shuffle_ps::<0x44>(ab, cd)),
                    Self(_mm512_shuffle_ps::<0xee>(ab, cd)),
                    Self(_mm512_shuffle_ps::<0x44>(ab_high, cd_high)),
                    Self(_mm512_shuffle_ps::<0xee>(ab_high, cd_high)),
                ]
            }
        }
    }
}
