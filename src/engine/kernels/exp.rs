//! The exponential function and its relatives, branch-free, for the compiler to vectorise.
//!
//! `exp(x) = s (1 + p)` with `s` a power of two and `p = exp(r) - 1` on `|r| <= ln(2) / 2`, by the polynomial of Cephes'
//! `expf` (Moshier). Every function here starts from these two. The largest errors over a fine grid, which the
//! tests check: `exp` 1 ulp, `exp_m1` 1.6 ulp, `tanh` 2.5 ulp, `sigmoid` 2.5 ulp; the absolute error of the
//! normal distribution function is below 3e-7. NaN gives NaN.

use super::fma;

/// Below `LOWEST`, `exp` would leave the normal numbers; above `HIGHEST`, `s` would overflow.
const LOWEST: f32 = -87.336_54;
const HIGHEST: f32 = 88.376_26;

/// `(s, p)` with `exp(x) = s + s p` and `p = exp(r) - 1`; x is clamped to where the result is a normal number.
#[inline(always)]
fn exp_reduced<const FMA: bool>(x: f32) -> (f32, f32) {
    // Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = if x < LOWEST { LOWEST } else { x };
    let x = if x > HIGHEST { HIGHEST } else { x };
    let shifted = fma::<FMA>(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    // ln(2) as the sum of two constants: n times the first is exact
    let r = fma::<FMA>(n, -0.693_359_4, x);
    let r = fma::<FMA>(n, 2.121_944_4e-4, r);
    let q = fma::<FMA>(1.987_569_1e-4, r, 1.398_199_9e-3);
    let q = fma::<FMA>(q, r, 8.333_452e-3);
    let q = fma::<FMA>(q, r, 4.166_579_6e-2);
    let q = fma::<FMA>(q, r, 1.666_666_5e-1);
    let q = fma::<FMA>(q, r, 0.5);
    let p = fma::<FMA>(q, r * r, r);
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    (f32::from_bits(exponent << 23), p)
}

/// `exp(x)`, between 1.2e-38 and 2.4e38.
#[inline(always)]
pub fn exp<const FMA: bool>(x: f32) -> f32 {
    let (s, p) = exp_reduced::<FMA>(x);
    fma::<FMA>(s, p, s)
}

/// `exp(x) - 1` without cancellation near 0.
#[inline(always)]
pub fn exp_m1<const FMA: bool>(x: f32) -> f32 {
    let (s, p) = exp_reduced::<FMA>(x);
    fma::<FMA>(s, p, s - 1.0)
}

/// `tanh(x)`, as `e / (e + 2)` with `e = exp(2 |x|) - 1`.
#[inline(always)]
pub fn tanh<const FMA: bool>(x: f32) -> f32 {
    let double = 2.0 * x.abs();
    let double = if double > 20.0 { 20.0 } else { double }; // tanh(10) rounds to 1
    let e = exp_m1::<FMA>(double);
    (e / (e + 2.0)).copysign(x)
}

/// `1 / (1 + exp(-x))`
#[inline(always)]
pub fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// `ln(x)` of a positive normal number: the polynomial of Cephes' `logf` (Moshier), with an error of at most 1.5 ulp.
#[inline(always)]
pub fn ln<const FMA: bool>(x: f32) -> f32 {
    // x = 2^n m, with m from sqrt(1/2) to sqrt(2)
    const HALF_ROOT: u32 = 0x3f35_04f3;
    let shifted = x.to_bits().wrapping_sub(HALF_ROOT) as i32;
    let n = (shifted >> 23) as f32;
    let m = f32::from_bits(((shifted & 0x007f_ffff) as u32).wrapping_add(HALF_ROOT));
    let r = m - 1.0;
    let q = fma::<FMA>(7.037_683_6e-2, r, -1.151_461e-1);
    let q = fma::<FMA>(q, r, 1.167_699_9e-1);
    let q = fma::<FMA>(q, r, -1.242_014_1e-1);
    let q = fma::<FMA>(q, r, 1.424_932_3e-1);
    let q = fma::<FMA>(q, r, -1.666_805_8e-1);
    let q = fma::<FMA>(q, r, 2.000_071_5e-1);
    let q = fma::<FMA>(q, r, -2.499_999_4e-1);
    let q = fma::<FMA>(q, r, 3.333_333e-1);
    let square = r * r;
    let y = fma::<FMA>(q * r, square, n * -2.121_944_4e-4);
    let y = fma::<FMA>(-0.5, square, y);
    fma::<FMA>(n, 0.693_359_4, r + y)
}

/// The normal distribution function and its density at `z`.
///
/// The upper tail is the density's exponential times a polynomial in `t = 1 / (1 + 0.28 |z|)`, the form of Abramowitz
/// and Stegun, 7.1.26. The coefficients are a minimax fit of the absolute error (9e-9, before rounding to `f32`).
#[inline(always)]
pub fn normal<const FMA: bool>(z: f32) -> (f32, f32) {
    let gauss = exp::<FMA>(-0.5 * z * z);
    let t = 1.0 / fma::<FMA>(0.28, z.abs(), 1.0);
    let q = fma::<FMA>(-0.105_808_86, t, 0.389_876_5);
    let q = fma::<FMA>(q, t, -0.236_997_53);
    let q = fma::<FMA>(q, t, 0.268_913_4);
    let q = fma::<FMA>(q, t, 0.067_495_46);
    let q = fma::<FMA>(q, t, 0.116_520_98);
    let upper_tail = q * t * gauss;
    let cdf = if z > 0.0 { 1.0 - upper_tail } else { upper_tail };
    (cdf, gauss * 0.398_942_3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::kernel;
    use crate::isa::tests::on_each_isa;
    use crate::model::Activation;

    kernel! {
        /// Applies one function to a slice, as the kernels do.
        pub fn map(values: &mut [f32], which: usize) {
            match which {
                0 => values.iter_mut().for_each(|x| *x = exp::<FMA>(*x)),
                1 => values.iter_mut().for_each(|x| *x = exp_m1::<FMA>(*x)),
                2 => values.iter_mut().for_each(|x| *x = tanh::<FMA>(*x)),
                3 => values.iter_mut().for_each(|x| *x = sigmoid::<FMA>(*x)),
                4 => values.iter_mut().for_each(|x| *x = normal::<FMA>(*x).0),
                6 => values.iter_mut().for_each(|x| *x = ln::<FMA>(*x)),
                _ => values.iter_mut().for_each(|x| *x = normal::<FMA>(*x).1),
            }
        }
    }

    fn grid(low: f32, high: f32) -> Vec<f32> {
        let steps = 400_000;
        (0..=steps).map(|i| low + (high - low) * (i as f32 / steps as f32)).collect()
    }

    /// The largest error in units of the last place of the true value.
    fn worst_ulp(
        isa: crate::isa::Isa,
        which: usize,
        low: f32,
        high: f32,
        f: fn(f64) -> f64,
    ) -> f64 {
        let inputs = grid(low, high);
        let mut outputs = inputs.clone();
        map(isa, &mut outputs, which);
        let errors = inputs.iter().zip(&outputs).map(|(&x, &found)| {
            let expected = f(f64::from(x));
            let rounded = (expected as f32).abs().max(f32::MIN_POSITIVE);
            let ulp = f64::from(f32::from_bits(rounded.to_bits() + 1) - rounded);
            (f64::from(found) - expected).abs() / ulp
        });
        errors.fold(0.0, f64::max)
    }

    #[test]
    fn errors_are_as_documented() {
        on_each_isa(|isa| {
            for (which, low, high, f, limit) in [
                (0, -87.3, 88.3, f64::exp as fn(f64) -> f64, 1.0),
                (0, -1.0, 1.0, f64::exp, 1.0),
                (1, -20.0, 20.0, f64::exp_m1, 1.6),
                (1, -1.0, 1.0, f64::exp_m1, 1.6),
                (1, -1e-4, 1e-4, f64::exp_m1, 1.6),
                (6, 1e-7, 3.0, f64::ln, 1.5),
                (6, 0.9, 1.1, f64::ln, 1.5),
                (6, 1.0, 1e7, f64::ln, 1.5),
                (2, -12.0, 12.0, f64::tanh, 2.5),
                (2, -0.5, 0.5, f64::tanh, 2.5),
                (2, -1e-4, 1e-4, f64::tanh, 2.5),
                (3, -80.0, 40.0, |x| Activation::Sigmoid.value(x), 2.5),
            ] {
                let worst = worst_ulp(isa, which, low, high, f);
                assert!(worst <= limit, "{isa:?} function {which} on {low}..{high}: {worst} ulp");
            }
        });
    }

    #[test]
    fn the_normal_distribution_is_within_its_absolute_error() {
        on_each_isa(|isa| {
            let inputs = grid(-14.0, 14.0);
            let (mut cdf, mut density) = (inputs.clone(), inputs.clone());
            map(isa, &mut cdf, 4);
            map(isa, &mut density, 5);
            for ((&z, &cdf), &density) in inputs.iter().zip(&cdf).zip(&density) {
                let z = f64::from(z);
                let expected = if z == 0.0 { 0.5 } else { Activation::Gelu.value(z) / z };
                assert!((f64::from(cdf) - expected).abs() < 3e-7, "{z}: {cdf} {expected}");
                let expected = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
                assert!((f64::from(density) - expected).abs() < 1e-7, "{z}");
            }
        });
    }

    #[test]
    fn extremes_saturate_and_nan_stays() {
        on_each_isa(|isa| {
            for (which, at_low, at_high) in [(1, -1.0, 2.3e38), (2, -1.0, 1.0), (3, 0.0, 1.0)] {
                let mut values = vec![f32::NEG_INFINITY, -1e30, 1e30, f32::INFINITY, f32::NAN, 0.0];
                map(isa, &mut values, which);
                assert!((values[0] - at_low).abs() < 1e-30 && (values[1] - at_low).abs() < 1e-30);
                assert!(values[2] >= at_high && values[3] >= at_high, "{values:?}");
                assert!(values[4].is_nan());
            }
            let mut zeros = [0.0, -0.0];
            map(isa, &mut zeros, 2);
            assert_eq!(zeros.map(f32::to_bits), [0.0f32.to_bits(), (-0.0f32).to_bits()]);
        });
    }
}
