//! What a network is asked to do: tell classes apart, or estimate numbers.
//!
//! A [`Task`] says what the outputs of a network mean. A [`Loss`] is what a training minimises, and a [`Metric`] is what people
//! compare: it chooses the best epoch, and [`Metric::is_better`] is the one place that says what "better" means.
//! Targets are standardised by the training part; metrics come back in the targets' own units.

mod choice;
mod loss;
mod measure;
mod metric;

use serde::{Deserialize, Serialize};

pub use choice::Choice;
pub use loss::Loss;
pub(crate) use measure::largest;
#[cfg(feature = "cli")]
pub(crate) use measure::mean_f1;
pub use measure::{auc, macro_f1, mean_absolute_error, r2, root_mean_squared_error};
pub use metric::Metric;

use crate::data::Dataset;
use crate::error::{Error, Result};

/// What the outputs of a network mean.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Task {
    /// An output for each class: its logit.
    Classification {
        /// The name of each class.
        classes: Vec<String>,
    },
    /// An output for each target.
    Regression(Regression),
}

/// Numbers to estimate, and the loss that a network learned them by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Regression {
    /// It also says how an output becomes a value: [`Loss::Poisson`] has outputs that are logarithms.
    pub loss: Loss,
    /// The targets, in the order of the outputs.
    pub targets: Vec<TargetScale>,
}

/// How the values of one target become what a network learns: `(y - center) / scale`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TargetScale {
    /// The target's name.
    pub name: String,
    /// The mean over the training part, in the target's units; 0 where the loss needs the values themselves.
    pub center: f64,
    /// The standard deviation over the training part (divided by its size), in the target's units; 1 where the target is
    /// constant or the loss needs the values themselves.
    pub scale: f64,
}

impl TargetScale {
    /// A scale with a target's center and standard deviation, both in its own units.
    ///
    /// # Errors
    /// If one of them is not finite, or `scale` is not positive.
    pub fn new(name: impl Into<String>, center: f64, scale: f64) -> Result<Self> {
        let made = Self { name: name.into(), center, scale };
        made.check()?;
        Ok(made)
    }

    /// A target that a network learns as it is.
    pub fn unscaled(name: impl Into<String>) -> Self {
        Self { name: name.into(), center: 0.0, scale: 1.0 }
    }

    /// What the network learns for a value in the target's units.
    #[inline(always)]
    pub fn standardized(&self, y: f32) -> f64 {
        (f64::from(y) - self.center) / self.scale
    }

    fn check(&self) -> Result<()> {
        match self.center.is_finite() && self.scale.is_finite() && self.scale > 0.0 {
            true => Ok(()),
            false => Err(Error::invalid(
                format!("target {}", self.name),
                format!(
                    "center {}, scale {}; expected finite numbers, and a scale above 0",
                    self.center, self.scale
                ),
            )),
        }
    }
}

impl Regression {
    /// Learns how the targets of `data` are standardised, from the samples of `rows`: the training part.
    ///
    /// # Errors
    /// If `data` has no targets, the loss is one for classes, or a target is negative and the loss is [`Loss::Poisson`].
    pub fn fit(data: &Dataset, rows: &[u32], loss: Loss) -> Result<Self> {
        let names = data.target_names();
        if !loss.is_regression() || names.is_empty() {
            return Err(loss.misfit(data));
        }
        let targets = names.iter().enumerate().map(|(t, name)| {
            let column = || rows.iter().map(|&row| data.targets()[row as usize * names.len() + t]);
            if loss == Loss::Poisson {
                // of all samples: those of the other parts are measured by the same loss
                let mut all = data.targets().iter().skip(t).step_by(names.len());
                return match all.find(|&&y| y < 0.0) {
                    None => Ok(TargetScale::unscaled(name)),
                    Some(y) => Err(Error::usage(format!(
                        "loss poisson: target {name} of {} has the value {y}; expected counts or rates, 0 or more",
                        data.name()
                    ))),
                };
            }
            let n = rows.len().max(1) as f64;
            let center = column().map(f64::from).sum::<f64>() / n;
            let variance = column().map(|y| (f64::from(y) - center).powi(2)).sum::<f64>() / n;
            let scale = variance.sqrt();
            // a constant target has nothing to divide by, apart from rounding
            let scale = if scale > 1e-12 * center.abs() { scale } else { 1.0 };
            TargetScale::new(name, center, scale)
        });
        Ok(Self { loss, targets: targets.collect::<Result<_>>()? })
    }

    /// Targets that a network says in their own units.
    pub(crate) fn unscaled(names: &[String]) -> Self {
        Self { loss: Loss::Mse, targets: names.iter().map(TargetScale::unscaled).collect() }
    }

    /// Rejects scales that no training can have made.
    ///
    /// # Errors
    /// If there are no targets, the loss is one for classes, or a number is out of range.
    pub fn check(&self) -> Result<()> {
        if !self.loss.is_regression() || self.targets.is_empty() {
            let problem = format!("{} targets and the loss {}", self.targets.len(), self.loss);
            return Err(Error::invalid("regression", problem));
        }
        self.targets.iter().try_for_each(TargetScale::check)
    }
}

impl Task {
    /// The task of `data`, whose training part is `rows`.
    ///
    /// # Errors
    /// If the loss does not fit the data; see [`Regression::fit`].
    pub fn of(data: &Dataset, rows: &[u32], loss: Choice<Loss>) -> Result<Self> {
        data.require_labels()?;
        let loss = loss.or_else(|| Loss::default_for(data.is_regression()));
        match loss.is_regression() {
            true => Ok(Self::Regression(Regression::fit(data, rows, loss)?)),
            false if data.is_regression() => Err(loss.misfit(data)),
            false => Ok(Self::Classification { classes: data.classes().to_vec() }),
        }
    }

    /// Whether the outputs are numbers to estimate.
    pub fn is_regression(&self) -> bool {
        matches!(self, Self::Regression(_))
    }

    /// The loss that it is learned by.
    pub fn loss(&self) -> Loss {
        match self {
            Self::Classification { .. } => Loss::CrossEntropy,
            Self::Regression(regression) => regression.loss,
        }
    }

    /// The targets, in the order of the outputs; none for classes.
    pub fn targets(&self) -> &[TargetScale] {
        match self {
            Self::Classification { .. } => &[],
            Self::Regression(regression) => &regression.targets,
        }
    }

    /// The metric of a choice.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is one of the other kind of task.
    pub fn metric(&self, choice: Choice<Metric>) -> Result<Metric> {
        let metric = choice.or_else(|| Metric::suited_to(self.loss()));
        match metric.is_regression() == self.is_regression() {
            true => Ok(metric),
            false => {
                let expected = match self.is_regression() {
                    true => "auto, rmse, mae, r2 or loss for targets that are numbers",
                    false => "auto, accuracy, log-loss, macro-f1 or auc for classes",
                };
                Err(Error::argument("metric", metric.to_string(), expected))
            }
        }
    }
}
