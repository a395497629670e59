//! The losses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::error::{Error, Result};

/// What a training minimises: the mean over the batch of each sample's loss, weighted by the samples' weights.
///
/// The losses of a regression are means over the targets, of `e = z - y`, where `z` is an output and `y` a standardised
/// target. Written as in a configuration: `mse`, `quantile:0.9`.
///
/// ```
/// use densely::task::Loss;
///
/// assert_eq!("quantile:0.9".parse::<Loss>()?, Loss::Quantile(0.9));
/// assert_eq!(Loss::CrossEntropy.to_string(), "cross-entropy");
/// # Ok::<(), densely::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Loss {
    /// Softmax cross-entropy of classes, natural logarithm, as `torch.nn.CrossEntropyLoss`.
    #[default]
    CrossEntropy,
    /// `e^2`, as `torch.nn.MSELoss`: learns the mean.
    Mse,
    /// `|e|`, as `torch.nn.L1Loss`: learns the median.
    Mae,
    /// `e^2 / 2` where `|e| <= 1`, else `|e| - 1/2`, as `torch.nn.HuberLoss` with its delta of 1 (standard deviation of the target).
    Huber,
    /// `exp(z) - y z`, as `torch.nn.PoissonNLLLoss`: learns the logarithm of the mean of counts or rates, which are 0 or more and
    /// are not standardised.
    Poisson,
    /// `q (y - z)` where `y > z`, else `(1 - q) (z - y)`: learns the quantile `q`, 0 to 1 (the pinball loss of Koenker and
    /// Bassett, 1978).
    Quantile(f64),
}

impl Loss {
    /// The names of those that have no parameter.
    pub const NAMES: [&str; 5] = ["cross-entropy", "mse", "mae", "huber", "poisson"];

    /// What a training takes where nothing is asked for.
    pub fn default_for(is_regression: bool) -> Self {
        if is_regression { Self::Mse } else { Self::CrossEntropy }
    }

    /// Whether it is one for targets that are numbers.
    pub fn is_regression(self) -> bool {
        self != Self::CrossEntropy
    }

    /// The error that it does not fit some data.
    pub(crate) fn misfit(self, data: &Dataset) -> Error {
        let (name, expected) = (data.name(), "auto, mse, mae, huber, poisson or quantile:Q");
        match data.is_regression() {
            true => {
                let found = format!("{self}, but the targets of {name} are numbers");
                Error::argument("loss", found, expected)
            }
            false => {
                let found = format!("{self}, but the targets of {name} are classes");
                Error::argument("loss", found, "auto or cross-entropy")
            }
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [cross_entropy, mse, mae, huber, poisson] = Self::NAMES;
        f.write_str(match self {
            Self::CrossEntropy => cross_entropy,
            Self::Mse => mse,
            Self::Mae => mae,
            Self::Huber => huber,
            Self::Poisson => poisson,
            Self::Quantile(q) => return write!(f, "quantile:{q}"),
        })
    }
}

impl FromStr for Loss {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let quantile = |text: &str| {
            let q = text.strip_prefix("quantile:")?.trim().parse().ok()?;
            (0.0 < q && q < 1.0).then_some(Self::Quantile(q))
        };
        match text {
            "cross-entropy" => Ok(Self::CrossEntropy),
            "mse" => Ok(Self::Mse),
            "mae" => Ok(Self::Mae),
            "huber" => Ok(Self::Huber),
            "poisson" => Ok(Self::Poisson),
            other => quantile(other).ok_or_else(|| {
                Error::usage(format!(
                    "`{text}`: expected {} or quantile:Q with Q between 0 and 1",
                    Self::NAMES.join(", ")
                ))
            }),
        }
    }
}

impl TryFrom<String> for Loss {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Loss> for String {
    fn from(loss: Loss) -> Self {
        loss.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Choice, Metric};

    #[test]
    fn names_are_read_and_written() {
        for name in Loss::NAMES.into_iter().chain(["quantile:0.5", "quantile:0.025"]) {
            assert_eq!(name.parse::<Loss>().unwrap().to_string(), name);
            assert_eq!(name.parse::<Choice<Loss>>().unwrap().to_string(), name);
        }
        for wrong in
            ["", "MSE", "quantile", "quantile:", "quantile:0", "quantile:1", "quantile:nan"]
        {
            let error = wrong.parse::<Loss>().unwrap_err().to_string();
            assert!(error.contains("quantile:Q"), "{error}");
        }
        assert_eq!(serde_json::to_string(&Loss::Quantile(0.9)).unwrap(), "\"quantile:0.9\"");
        assert_eq!(serde_json::from_str::<Choice<Loss>>("\"auto\"").unwrap(), Choice::Auto);
        for metric in Metric::ALL {
            assert_eq!(metric.to_string().parse::<Metric>().unwrap(), metric);
        }
    }
}
