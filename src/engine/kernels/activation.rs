//! Bias and activation forward, and the activation's derivative backward.
//!
//! The derivative is written in terms of the stored activation where that is possible. For GELU, SiLU and Mish it is not: their
//! forward pass, which computes the exponential anyway, stores the derivative.

use super::{exp, fma};
use crate::isa::kernel;
use crate::model::Activation;

const LEAKY_SLOPE: f32 = crate::model::LEAKY_RELU_SLOPE as f32;
const SELU_SCALE: f32 = crate::model::SELU_SCALE as f32;
const SELU_SCALE_ALPHA: f32 = (crate::model::SELU_SCALE * crate::model::SELU_ALPHA) as f32;

/// An activation whose derivative follows from its value.
trait FromValue {
    fn value<const FMA: bool>(z: f32) -> f32;
    /// `da/dz` in terms of `a`.
    fn slope<const FMA: bool>(a: f32) -> f32;
}

/// An activation whose derivative is computed with its value.
trait WithSlope {
    fn value_and_slope<const FMA: bool>(z: f32) -> (f32, f32);
}

macro_rules! from_value {
    ($name:ident, $fma:ident, |$z:ident| $value:expr, |$a:ident| $slope:expr) => {
        struct $name;
        impl FromValue for $name {
            #[inline(always)]
            fn value<const $fma: bool>($z: f32) -> f32 {
                $value
            }
            #[inline(always)]
            fn slope<const $fma: bool>($a: f32) -> f32 {
                $slope
            }
        }
    };
}

from_value!(Identity, FMA, |z| z, |_a| 1.0);
from_value!(Relu, FMA, |z| if z < 0.0 { 0.0 } else { z }, |a| if a > 0.0 { 1.0 } else { 0.0 });
from_value!(LeakyRelu, FMA, |z| if z > 0.0 { z } else { LEAKY_SLOPE * z }, |a| if a > 0.0 {
    1.0
} else {
    LEAKY_SLOPE
});
from_value!(
    Elu,
    FMA,
    |z| {
        let negative = exp::exp_m1::<FMA>(if z > 0.0 { 0.0 } else { z });
        if z > 0.0 { z } else { negative }
    },
    |a| if a > 0.0 { 1.0 } else { a + 1.0 }
);
from_value!(
    Selu,
    FMA,
    |z| {
        let negative = SELU_SCALE_ALPHA * exp::exp_m1::<FMA>(if z > 0.0 { 0.0 } else { z });
        if z > 0.0 { SELU_SCALE * z } else { negative }
    },
    |a| if a > 0.0 { SELU_SCALE } else { a + SELU_SCALE_ALPHA }
);
from_value!(Sigmoid, FMA, |z| exp::sigmoid::<FMA>(z), |a| fma::<FMA>(-a, a, a));
from_value!(Tanh, FMA, |z| exp::tanh::<FMA>(z), |a| fma::<FMA>(-a, a, 1.0));

struct Gelu;
impl WithSlope for Gelu {
    #[inline(always)]
    fn value_and_slope<const FMA: bool>(z: f32) -> (f32, f32) {
        let (cdf, density) = exp::normal::<FMA>(z);
        (z * cdf, fma::<FMA>(z, density, cdf))
    }
}

struct Silu;
impl WithSlope for Silu {
    #[inline(always)]
    fn value_and_slope<const FMA: bool>(z: f32) -> (f32, f32) {
        let sigmoid = exp::sigmoid::<FMA>(z);
        let value = z * sigmoid;
        (value, fma::<FMA>(value, 1.0 - sigmoid, sigmoid))
    }
}

struct Mish;
impl WithSlope for Mish {
    #[inline(always)]
    fn value_and_slope<const FMA: bool>(z: f32) -> (f32, f32) {
        // beyond 20, the tanh rounds to 1; NaN stays
        let e = exp::exp::<FMA>(if z > 20.0 { 20.0 } else { z });
        // tanh(ln(1 + e)) = n / (n + 2), with n = e (e + 2), and its derivative by z is 4 e (e + 1) / (n + 2)^2
        let n = e * (e + 2.0);
        let inverse = 1.0 / (n + 2.0);
        let tanh = n * inverse;
        (z * tanh, fma::<FMA>(z * 4.0 * e * inverse, (e + 1.0) * inverse, tanh))
    }
}

#[inline(always)]
fn forward_from_value<A: FromValue, const FMA: bool>(z: &mut [f32], b: &[f32]) {
    for row in z.chunks_exact_mut(b.len()) {
        for (z, b) in row.iter_mut().zip(b) {
            *z = A::value::<FMA>(*z + *b);
        }
    }
}

#[inline(always)]
fn forward_with_slope<A: WithSlope, const FMA: bool>(z: &mut [f32], kept: &mut [f32], b: &[f32]) {
    for (row, kept) in z.chunks_exact_mut(b.len()).zip(kept.chunks_exact_mut(b.len())) {
        for ((z, kept), b) in row.iter_mut().zip(kept).zip(b) {
            (*z, *kept) = A::value_and_slope::<FMA>(*z + *b);
        }
    }
}

#[inline(always)]
fn backward_from_value<A: FromValue, const FMA: bool>(dz: &mut [f32], a: &[f32]) {
    for (dz, a) in dz.iter_mut().zip(a) {
        *dz *= A::slope::<FMA>(*a);
    }
}

kernel! {
    /// `a = f(z + b)` in place.
    ///
    /// `z` is (rows, n) and becomes `a`; `b` is (n). `slope` receives `f'(z + b)`, (rows, n), for the activations whose
    /// derivative does not follow from the value; for the others it is empty.
    ///
    /// Panics if `slope` does not have that length, or if `z` is not a whole number of rows.
    pub fn forward(z: &mut [f32], slope: &mut [f32], b: &[f32], activation: Activation) {
        let kept = if activation.derivative_follows_from_value() { 0 } else { z.len() };
        assert!(
            z.len().is_multiple_of(b.len()) && slope.len() == kept,
            "activation: z has {} values, slope {}, b {}", z.len(), slope.len(), b.len()
        );
        match activation {
            Activation::Identity => forward_from_value::<Identity, FMA>(z, b),
            Activation::Relu => forward_from_value::<Relu, FMA>(z, b),
            Activation::LeakyRelu => forward_from_value::<LeakyRelu, FMA>(z, b),
            Activation::Elu => forward_from_value::<Elu, FMA>(z, b),
            Activation::Selu => forward_from_value::<Selu, FMA>(z, b),
            Activation::Sigmoid => forward_from_value::<Sigmoid, FMA>(z, b),
            Activation::Tanh => forward_from_value::<Tanh, FMA>(z, b),
            Activation::Gelu => forward_with_slope::<Gelu, FMA>(z, slope, b),
            Activation::Silu => forward_with_slope::<Silu, FMA>(z, slope, b),
            Activation::Mish => forward_with_slope::<Mish, FMA>(z, slope, b),
        }
    }
}

kernel! {
    /// `dz = da * f'(z)` in place: `dz` holds `da` at first.
    ///
    /// `kept` is what the forward pass stored, as long as `dz`: the slope if it wrote one, else the activation.
    pub fn backward(dz: &mut [f32], kept: &[f32], activation: Activation) {
        assert_eq!(dz.len(), kept.len(), "activation: the lengths of dz and kept differ");
        match activation {
            Activation::Identity => {}
            Activation::Relu => backward_from_value::<Relu, FMA>(dz, kept),
            Activation::LeakyRelu => backward_from_value::<LeakyRelu, FMA>(dz, kept),
            Activation::Elu => backward_from_value::<Elu, FMA>(dz, kept),
            Activation::Selu => backward_from_value::<Selu, FMA>(dz, kept),
            Activation::Sigmoid => backward_from_value::<Sigmoid, FMA>(dz, kept),
            Activation::Tanh => backward_from_value::<Tanh, FMA>(dz, kept),
            Activation::Gelu | Activation::Silu | Activation::Mish => {
                dz.iter_mut().zip(kept).for_each(|(dz, slope)| *dz *= *slope);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::SIZES;
    use super::*;
    use crate::isa::tests::on_each_isa;
    use crate::rng::{Purpose, Rng};

    fn kept_len(activation: Activation, n: usize) -> usize {
        if activation.derivative_follows_from_value() { 0 } else { n }
    }

    #[test]
    fn values_and_derivatives_equal_the_definitions() {
        on_each_isa(|isa| {
            for activation in Activation::ALL {
                let mut rng = Rng::new(1, Purpose::Init, 0);
                for n in SIZES.into_iter().filter(|&n| n > 0) {
                    let b: Vec<f32> = (0..n).map(|_| rng.symmetric()).collect();
                    let z: Vec<f32> = (0..3 * n).map(|_| 6.0 * rng.symmetric()).collect();
                    let mut a = z.clone();
                    let mut slope = vec![0.0; kept_len(activation, 3 * n)];
                    forward(isa, &mut a, &mut slope, &b, activation);
                    let kept = if slope.is_empty() { &a } else { &slope };
                    let mut dz = vec![2.0; 3 * n];
                    backward(isa, &mut dz, kept, activation);
                    for i in 0..3 * n {
                        let z = f64::from(z[i] + b[i % n]);
                        let (value, h) = (activation.value(z), 1e-5);
                        assert!((f64::from(a[i]) - value).abs() < 1e-6, "{activation} {z}");
                        if z.abs() > 1e-3 {
                            let up = activation.value(z + h);
                            let slope = (up - activation.value(z - h)) / (2.0 * h);
                            let found = f64::from(dz[i]) / 2.0;
                            assert!(
                                (found - slope).abs() < 2e-6,
                                "{activation} {z} {found} {slope}"
                            );
                        }
                    }
                }
            }
        });
    }

    #[test]
    fn nan_is_not_hidden() {
        on_each_isa(|isa| {
            for activation in Activation::ALL {
                let mut a = [f32::NAN];
                let mut slope = vec![0.0; kept_len(activation, 1)];
                forward(isa, &mut a, &mut slope, &[0.0], activation);
                assert!(a[0].is_nan(), "{activation}");
            }
        });
    }
}
