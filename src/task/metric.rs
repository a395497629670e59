//! The metrics, and which of two values is better.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::figures;

use super::Loss;

/// What chooses the best epoch, ends a run's patience, and ranks the runs of a sweep; measured on the validation part.
///
/// A sample counts once in every metric except the losses, whatever its weight: weights belong to the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Metric {
    /// The share of samples whose own class is ranked first.
    Accuracy,
    /// The mean cross-entropy, in nats, weighted as in training.
    LogLoss,
    /// The mean over the classes of F1, the harmonic mean of precision and recall.
    MacroF1,
    /// The area under the ROC curve of class 1 against class 0; of more classes, the mean over each against the others.
    Auc,
    /// The root of the mean squared error, in the target's units.
    Rmse,
    /// The mean absolute error, in the target's units.
    Mae,
    /// The coefficient of determination: 1 is perfect, 0 is as good as the mean; of several targets their mean.
    R2,
    /// The loss of a regression itself, weighted as in training.
    Loss,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Accuracy,
        Self::LogLoss,
        Self::MacroF1,
        Self::Auc,
        Self::Rmse,
        Self::Mae,
        Self::R2,
        Self::Loss,
    ];

    /// The metric that every run of a task has, and that chooses with the task's usual loss.
    pub fn default_for(is_regression: bool) -> Self {
        if is_regression { Self::Rmse } else { Self::Accuracy }
    }

    /// What chooses where nothing is asked for: that of the task, except for a quantile, at which squared errors are not least:
    /// they would keep a bad epoch.
    pub fn suited_to(loss: Loss) -> Self {
        match loss {
            Loss::CrossEntropy => Self::Accuracy,
            Loss::Mse | Loss::Mae | Loss::Huber | Loss::Poisson => Self::Rmse,
            Loss::Quantile(_) => Self::Loss,
        }
    }

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::LogLoss => "log-loss",
            Self::MacroF1 => "macro-f1",
            Self::Auc => "auc",
            Self::Rmse => "rmse",
            Self::Mae => "mae",
            Self::R2 => "r2",
            Self::Loss => "loss",
        }
    }

    /// Its name for people: `accuracy`, `AUC`, `RMSE`.
    pub fn title(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::LogLoss => "log-loss",
            Self::MacroF1 => "macro F1",
            Self::Auc => "AUC",
            Self::Rmse => "RMSE",
            Self::Mae => "MAE",
            Self::R2 => "R2",
            Self::Loss => "loss",
        }
    }

    /// A value of it for people: shares in percent, errors with five digits.
    ///
    /// ```
    /// use densely::task::Metric;
    ///
    /// assert_eq!(Metric::Accuracy.text(0.97534), "97.53 %");
    /// assert_eq!(Metric::Rmse.text(23456.78), "23457");
    /// assert_eq!(Metric::R2.text(0.81239), "0.8124");
    /// ```
    pub fn text(self, value: f64) -> String {
        match self {
            Self::Accuracy | Self::MacroF1 => figures::percent(value),
            Self::LogLoss | Self::Auc | Self::R2 | Self::Loss => figures::number(value),
            Self::Rmse | Self::Mae => figures::measure(value),
        }
    }

    /// The key of its value on a part, in JSON and in tables: `val_macro_f1`; that of the log-loss is `val_loss`.
    pub fn key(self, part: &str) -> String {
        match self {
            Self::LogLoss => format!("{part}_loss"),
            other => format!("{part}_{}", other.name().replace('-', "_")),
        }
    }

    /// Whether it is one for targets that are numbers.
    pub fn is_regression(self) -> bool {
        matches!(self, Self::Rmse | Self::Mae | Self::R2 | Self::Loss)
    }

    /// Whether it is the loss, which every epoch has.
    pub fn is_loss(self) -> bool {
        matches!(self, Self::LogLoss | Self::Loss)
    }

    /// Whether a larger value is better.
    pub fn rises(self) -> bool {
        matches!(self, Self::Accuracy | Self::MacroF1 | Self::Auc | Self::R2)
    }

    /// The order of two values, the better one first; what is not a number comes last.
    ///
    /// ```
    /// use std::cmp::Ordering;
    /// use densely::task::Metric;
    ///
    /// assert_eq!(Metric::Accuracy.order(0.9, 0.8), Ordering::Less);
    /// assert_eq!(Metric::Rmse.order(0.9, 0.8), Ordering::Greater);
    /// assert!(Metric::Rmse.is_better(0.8, f64::NAN));
    /// ```
    pub fn order(self, a: f64, b: f64) -> Ordering {
        let key = |x: f64| match (x.is_nan(), self.rises()) {
            (true, _) => f64::INFINITY,
            (false, true) => -x,
            (false, false) => x,
        };
        key(a).partial_cmp(&key(b)).unwrap_or(Ordering::Equal)
    }

    /// Whether `a` is better than `b`. Nothing is better than itself, and what is not a number is no better than anything.
    pub fn is_better(self, a: f64, b: f64) -> bool {
        self.order(a, b).is_lt()
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            Error::usage(format!("`{text}`: expected auto, or one of {names}"))
        })
    }
}
