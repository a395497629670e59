//! The activation functions: names and definitions, in f64.
//!
//! These are for reference. Training runs the vectorised forms in `engine::kernels::activation`, which are tested against
//! these.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// An element-wise activation, `a = f(z)`, with the constants of PyTorch's functions of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Activation {
    /// `z`
    Identity,
    /// `max(z, 0)`
    Relu,
    /// `z` if positive, else `0.01 z` (Maas et al., 2013)
    LeakyRelu,
    /// `z` if positive, else `exp(z) - 1` (Clevert et al., 2016)
    Elu,
    /// `scale z` if positive, else `scale alpha (exp(z) - 1)` (Klambauer et al., 2017)
    Selu,
    /// `z Phi(z)`, with Phi the exact normal distribution function (Hendrycks and Gimpel, 2016)
    Gelu,
    /// `z / (1 + exp(-z))`, also called swish
    Silu,
    /// `z tanh(ln(1 + exp(z)))` (Misra, 2019)
    Mish,
    /// `1 / (1 + exp(-z))`
    Sigmoid,
    /// `tanh(z)`
    Tanh,
}

/// The slope of leaky ReLU for negative inputs.
pub const LEAKY_RELU_SLOPE: f64 = 0.01;
/// SELU's scale.
pub const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
/// SELU's alpha.
pub const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;

impl Activation {
    /// Every activation, in the order of help texts and messages.
    pub const ALL: [Self; 10] = [
        Self::Identity,
        Self::Relu,
        Self::LeakyRelu,
        Self::Elu,
        Self::Selu,
        Self::Gelu,
        Self::Silu,
        Self::Mish,
        Self::Sigmoid,
        Self::Tanh,
    ];

    /// The name in settings and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Relu => "relu",
            Self::LeakyRelu => "leaky-relu",
            Self::Elu => "elu",
            Self::Selu => "selu",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
            Self::Mish => "mish",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
        }
    }

    /// `f(z)`.
    pub fn value(self, z: f64) -> f64 {
        match self {
            Self::Identity => z,
            Self::Relu => z.max(0.0),
            Self::LeakyRelu if z > 0.0 => z,
            Self::LeakyRelu => LEAKY_RELU_SLOPE * z,
            Self::Elu if z > 0.0 => z,
            Self::Elu => z.exp_m1(),
            Self::Selu if z > 0.0 => SELU_SCALE * z,
            Self::Selu => SELU_SCALE * SELU_ALPHA * z.exp_m1(),
            Self::Gelu => z * normal_cdf(z),
            Self::Silu => z / (1.0 + (-z).exp()),
            Self::Mish => z * (z.max(0.0) + (-z.abs()).exp().ln_1p()).tanh(),
            Self::Sigmoid => 1.0 / (1.0 + (-z).exp()),
            Self::Tanh => z.tanh(),
        }
    }

    /// Whether the derivative is a function of `a = f(z)` alone. If not, the forward pass stores the derivative.
    pub fn derivative_follows_from_value(self) -> bool {
        !matches!(self, Self::Gelu | Self::Silu | Self::Mish)
    }
}

/// The normal distribution function, from the series of `erf` (Abramowitz and Stegun, 7.1.6) and, in the tails, the
/// continued fraction of `erfc` (7.1.14). Accurate to about 1e-15. Slow: for reference only.
fn normal_cdf(z: f64) -> f64 {
    let x = z / std::f64::consts::SQRT_2;
    let scaled = (-x * x).exp() / std::f64::consts::PI.sqrt();
    if x.abs() < 3.0 {
        let mut term = x;
        let mut sum = x;
        for n in 1..200 {
            term *= 2.0 * x * x / f64::from(2 * n + 1);
            sum += term;
        }
        return 0.5 + scaled * sum;
    }
    let fraction = (1..60).rev().fold(0.0, |tail, n| f64::from(n) / 2.0 / (x.abs() + tail));
    let upper_tail = 0.5 * scaled / (x.abs() + fraction);
    if x > 0.0 { 1.0 - upper_tail } else { upper_tail }
}

impl FromStr for Activation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|activation| activation.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::usage(format!("activation `{text}`: expected one of {names}"))
        })
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Activation> for String {
    fn from(activation: Activation) -> Self {
        activation.name().to_owned()
    }
}

impl TryFrom<String> for Activation {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for activation in Activation::ALL {
            assert_eq!(activation.name().parse::<Activation>().unwrap(), activation);
        }
        let message = "relu6".parse::<Activation>().unwrap_err().to_string();
        assert!(message.contains("identity, relu, leaky-relu"), "{message}");
    }

    #[test]
    fn the_normal_distribution_function_matches_published_values() {
        // Abramowitz and Stegun, table 26.1; the last from the asymptotic expansion of the tail
        for (z, expected) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746_068_543),
            (-2.0, 0.022_750_131_948_179),
            (4.0, 0.999_968_328_758_167),
            (-5.0, 2.866_515_718_791_94e-7),
            (-10.0, 7.619_853_024_160_53e-24),
        ] {
            let found = normal_cdf(z);
            assert!((found - expected).abs() <= 1e-12 * expected, "{z}: {found} {expected}");
        }
    }
}
