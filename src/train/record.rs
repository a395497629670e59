//! The figures of an epoch.

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::engine::Score;
use crate::task::Metric;

/// The figures of one epoch. Losses are weighted as in training (of a regression, over standardised targets; cross-entropy in
/// nats); accuracies are in 0..=1, errors in the targets' units.
///
/// As JSON, the figures of the other kind of task are left out; non-finite numbers, and those of an empty validation part, are null.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct EpochRecord {
    /// Counts from 1.
    pub epoch: usize,
    /// Mean over the samples, each before its batch's step.
    #[serde(deserialize_with = "null_is_nan")]
    pub train_loss: f64,
    /// Likewise; `None` for a regression.
    pub train_accuracy: Option<f64>,
    /// The root mean squared error, likewise; `None` for classes.
    #[serde(deserialize_with = "null_is_nan_if_present")]
    pub train_rmse: Option<f64>,
    /// Of the validation part after the epoch; `None` if it is empty.
    pub val_loss: Option<f64>,
    /// Likewise; `None` for a regression too.
    pub val_accuracy: Option<f64>,
    /// The root mean squared error, likewise; `None` for classes too.
    pub val_rmse: Option<f64>,
    /// The mean absolute error, likewise.
    #[serde(deserialize_with = "null_is_nan_if_present")]
    pub val_mae: Option<f64>,
    /// The coefficient of determination, where it is the metric that chooses.
    #[serde(deserialize_with = "null_is_nan_if_present")]
    pub val_r2: Option<f64>,
    /// The mean F1 of the classes, where it is the metric that chooses.
    #[serde(deserialize_with = "null_is_nan_if_present")]
    pub val_macro_f1: Option<f64>,
    /// The area under the ROC curve, where it is the metric that chooses.
    #[serde(deserialize_with = "null_is_nan_if_present")]
    pub val_auc: Option<f64>,
    /// The learning rate of the epoch's last step; `None` in records of earlier versions.
    pub lr: Option<f64>,
    /// The training pass alone: shuffling, gathering, steps.
    pub seconds: f64,
    /// Training samples divided by `seconds`.
    #[serde(deserialize_with = "null_is_nan")]
    pub samples_per_second: f64,
}

impl EpochRecord {
    /// The figures that follow from the scores of the training and the validation part.
    pub(super) fn of(
        epoch: usize,
        is_regression: bool,
        train: Score,
        val: Option<Score>,
        seconds: f64,
    ) -> Self {
        let classes = |score: Score| (!is_regression).then(|| score.accuracy());
        let numbers = |score: Score, error: fn(&Score) -> f64| is_regression.then(|| error(&score));
        Self {
            epoch,
            train_loss: train.loss(),
            train_accuracy: classes(train),
            train_rmse: numbers(train, Score::rmse),
            val_loss: val.map(|val| val.loss()),
            val_accuracy: val.and_then(classes),
            val_rmse: val.and_then(|val| numbers(val, Score::rmse)),
            val_mae: val.and_then(|val| numbers(val, Score::mae)),
            seconds,
            samples_per_second: train.samples as f64 / seconds,
            ..Self::default()
        }
    }

    /// Whether it is of a regression.
    pub fn is_regression(&self) -> bool {
        self.train_rmse.is_some()
    }

    /// The value of a metric on the validation part, where it was measured.
    pub fn value(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Accuracy => self.val_accuracy,
            Metric::LogLoss | Metric::Loss => self.val_loss,
            Metric::MacroF1 => self.val_macro_f1,
            Metric::Auc => self.val_auc,
            Metric::Rmse => self.val_rmse,
            Metric::Mae => self.val_mae,
            Metric::R2 => self.val_r2,
        }
    }

    /// Sets the value of a metric that costs a pass over the validation part of its own.
    pub(super) fn set_value(&mut self, metric: Metric, value: f64) {
        match metric {
            Metric::MacroF1 => self.val_macro_f1 = Some(value),
            Metric::Auc => self.val_auc = Some(value),
            Metric::R2 => self.val_r2 = Some(value),
            Metric::Accuracy | Metric::LogLoss | Metric::Rmse | Metric::Mae | Metric::Loss => {}
        }
    }

    /// Whether its figures can come from training: shares within 0..=1, errors of 0 or more, a finite time.
    pub(super) fn is_plausible(&self) -> bool {
        let is_share = |x: f64| (0.0..=1.0).contains(&x);
        let shares = [self.train_accuracy, self.val_accuracy];
        // undefined where a part lacks classes
        let maybe = [self.val_macro_f1, self.val_auc];
        let errors = [self.train_rmse, self.val_rmse, self.val_mae];
        self.train_accuracy.is_some() != self.train_rmse.is_some()
            && shares.into_iter().flatten().all(is_share)
            && maybe.into_iter().flatten().all(|x| is_share(x) || x.is_nan())
            && errors.into_iter().flatten().all(|x| x >= 0.0 || x.is_nan())
            && is_plausible_time(self.seconds)
    }

    /// Whether the epoch beats another one: by the metric, or where it is equal by a lower validation loss. Without a validation
    /// part, later is better.
    pub fn is_better_than(&self, best: &Self, metric: Metric) -> bool {
        if self.val_loss.is_none() && self.value(metric).is_none() {
            return true;
        }
        let value = |record: &Self| record.value(metric).unwrap_or(f64::NAN);
        let loss = |record: &Self| record.val_loss.unwrap_or(f64::NAN);
        let by_loss = Metric::LogLoss.order(loss(self), loss(best));
        metric.order(value(self), value(best)).then(by_loss).is_lt()
    }

    /// Whether the epoch is as good as an earlier one by the metric, or better. Without a validation part, later is better.
    pub(super) fn is_as_good_as(&self, best: &Self, metric: Metric) -> bool {
        if self.val_loss.is_none() && self.value(metric).is_none() {
            return true;
        }
        let value = |record: &Self| record.value(metric).unwrap_or(f64::NAN);
        metric.order(value(self), value(best)).is_le()
    }
}

impl Serialize for EpochRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let finite = |x: f64| x.is_finite().then_some(x);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("epoch", &self.epoch)?;
        map.serialize_entry("train_loss", &finite(self.train_loss))?;
        let (train, val) = match self.is_regression() {
            true => (("train_rmse", self.train_rmse), ("val_rmse", self.val_rmse)),
            false => (("train_accuracy", self.train_accuracy), ("val_accuracy", self.val_accuracy)),
        };
        map.serialize_entry(train.0, &train.1.and_then(finite))?;
        map.serialize_entry("val_loss", &self.val_loss.and_then(finite))?;
        map.serialize_entry(val.0, &val.1.and_then(finite))?;
        for (key, value) in [
            ("val_mae", self.val_mae),
            ("val_r2", self.val_r2),
            ("val_macro_f1", self.val_macro_f1),
            ("val_auc", self.val_auc),
        ] {
            if value.is_some() {
                map.serialize_entry(key, &value.and_then(finite))?;
            }
        }
        if let Some(lr) = self.lr {
            map.serialize_entry("lr", &finite(lr))?;
        }
        map.serialize_entry("seconds", &self.seconds)?;
        map.serialize_entry("samples_per_second", &finite(self.samples_per_second))?;
        map.end()
    }
}

/// Whether a time can have been measured.
pub(super) fn is_plausible_time(seconds: f64) -> bool {
    (0.0..=1e12).contains(&seconds)
}

/// JSON has no NaN and no infinity: they are written as null, and null is read as NaN.
fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// The same for a figure that is left out where it was not measured.
fn null_is_nan_if_present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<f64>, D::Error> {
    null_is_nan(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(val_accuracy: Option<f64>, val_loss: Option<f64>) -> EpochRecord {
        let train_accuracy = Some(0.0);
        EpochRecord { epoch: 1, train_accuracy, val_loss, val_accuracy, ..EpochRecord::default() }
    }

    #[test]
    fn the_best_epoch_has_the_lowest_0_1_loss_then_the_lowest_loss() {
        let best = record(Some(0.9), Some(0.5));
        for (accuracy, loss, better) in [
            (0.91, 0.9, true),
            (0.89, 0.1, false),
            (0.9, 0.4, true),
            (0.9, 0.5, false),
            (0.9, f64::NAN, false),
        ] {
            let record = record(Some(accuracy), Some(loss));
            assert_eq!(record.is_better_than(&best, Metric::Accuracy), better);
        }
        let diverged = record(Some(0.9), Some(f64::NAN));
        assert!(best.is_better_than(&diverged, Metric::Accuracy));
        assert!(!diverged.is_better_than(&diverged, Metric::Accuracy));
        assert!(record(None, None).is_better_than(&record(None, None), Metric::Accuracy));
        assert!(record(Some(0.1), Some(0.4)).is_better_than(&best, Metric::LogLoss));
    }

    #[test]
    fn json_has_the_figures_of_its_own_task() {
        let keys = |record: &EpochRecord| {
            let text = serde_json::to_string(record).unwrap();
            let read: EpochRecord = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
            assert!(read.is_plausible() && read.is_regression() == record.is_regression());
            text
        };
        let classes = keys(&record(None, None));
        assert!(
            classes
                .contains(r#""train_accuracy":0.0,"val_loss":null,"val_accuracy":null,"seconds""#)
        );
        let regression = EpochRecord {
            train_rmse: Some(f64::NAN),
            train_accuracy: None,
            val_rmse: Some(2.0),
            val_r2: Some(f64::NEG_INFINITY),
            ..record(None, Some(1.0))
        };
        let text = keys(&regression);
        assert!(text.contains(r#""train_rmse":null,"val_loss":1.0,"val_rmse":2.0,"val_r2":null,"#));
        assert!(!text.contains("accuracy"));
        // a metric that is undefined is worse than any other, and no reason to take the later epoch
        let read: EpochRecord = serde_json::from_str(&text).unwrap();
        assert!(!read.is_better_than(&read, Metric::R2));
        let defined = EpochRecord { val_r2: Some(-9.0), ..read.clone() };
        assert!(defined.is_better_than(&read, Metric::R2));
        assert!(!read.is_better_than(&defined, Metric::R2));
    }
}
