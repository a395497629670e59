//! What a pass over samples measures, as sums.

use serde::{Deserialize, Serialize};

use crate::task::Metric;

/// The loss over some samples, and how right they were, as sums.
///
/// The loss is weighted by the samples' weights. Everything else counts each sample once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored")]
#[non_exhaustive]
pub struct Score {
    /// The sum of the samples' losses, each times its weight; cross-entropy in nats.
    pub loss_sum: f64,
    /// The sum of the samples' weights; their number where they have none.
    pub weight_sum: f64,
    /// The number of samples whose own class was ranked first; 0 for a regression.
    pub correct: u64,
    /// The number of samples.
    pub samples: u64,
    /// The sum over the samples of the squared error, the mean over the targets, in the targets' units squared; 0 for classes.
    pub squared_error_sum: f64,
    /// The sum over the samples of the absolute error, the mean over the targets, in the targets' units; 0 for classes.
    pub absolute_error_sum: f64,
}

/// How a file has it: before there were weights, it had only the three that are required.
#[derive(Deserialize)]
struct Stored {
    loss_sum: f64,
    correct: u64,
    samples: u64,
    weight_sum: Option<f64>,
    #[serde(default)]
    squared_error_sum: f64,
    #[serde(default)]
    absolute_error_sum: f64,
}

impl From<Stored> for Score {
    fn from(stored: Stored) -> Self {
        let Stored { loss_sum, correct, samples, squared_error_sum, absolute_error_sum, .. } =
            stored;
        let weight_sum = stored.weight_sum.unwrap_or(samples as f64);
        Self { loss_sum, weight_sum, correct, samples, squared_error_sum, absolute_error_sum }
    }
}

impl Score {
    /// The sum of the losses of `samples` samples without weights, and how many of them were classified correctly.
    pub fn new(loss_sum: f64, correct: u64, samples: u64) -> Self {
        Self { loss_sum, correct, samples, weight_sum: samples as f64, ..Self::default() }
    }

    /// The mean loss per sample, weighted; NaN if there are no samples, or all weights are 0.
    pub fn loss(&self) -> f64 {
        self.loss_sum / self.weight_sum
    }

    /// The fraction of samples whose class was ranked first, 0 to 1; NaN if there are no samples.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.samples as f64
    }

    /// The root of the mean squared error over samples and targets, in the targets' units; NaN if there are no samples.
    pub fn rmse(&self) -> f64 {
        (self.squared_error_sum / self.samples as f64).sqrt()
    }

    /// The mean absolute error over samples and targets, in the targets' units; NaN if there are no samples.
    pub fn mae(&self) -> f64 {
        self.absolute_error_sum / self.samples as f64
    }

    /// The value of a metric; `None` of one that does not follow from sums over the samples.
    pub fn value(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::Accuracy => Some(self.accuracy()),
            Metric::LogLoss | Metric::Loss => Some(self.loss()),
            Metric::Rmse => Some(self.rmse()),
            Metric::Mae => Some(self.mae()),
            Metric::MacroF1 | Metric::Auc | Metric::R2 => None,
        }
    }

    /// The mean of several scores of the same samples, of which this is the sum. The number of those that were right is rounded, up or down by the number of the step, so that over steps
    /// it is neither too large nor too small.
    #[must_use]
    pub(crate) fn mean_of(self, scores: usize, step: u64) -> Self {
        let n = scores as f64;
        Self {
            loss_sum: self.loss_sum / n,
            weight_sum: self.weight_sum / n,
            correct: (self.correct + step % scores as u64) / scores as u64,
            samples: self.samples / scores as u64,
            squared_error_sum: self.squared_error_sum / n,
            absolute_error_sum: self.absolute_error_sum / n,
        }
    }

    /// Whether training can have made it, without diverging.
    pub(crate) fn is_plausible(&self) -> bool {
        let sum = |x: f64| (0.0..f64::INFINITY).contains(&x);
        self.loss_sum.is_finite()
            && self.correct <= self.samples
            && [self.weight_sum, self.squared_error_sum, self.absolute_error_sum]
                .into_iter()
                .all(sum)
    }
}

impl std::ops::AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.loss_sum += other.loss_sum;
        self.weight_sum += other.weight_sum;
        self.correct += other.correct;
        self.samples += other.samples;
        self.squared_error_sum += other.squared_error_sum;
        self.absolute_error_sum += other.absolute_error_sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounded_means_are_right_over_steps() {
        for (scores, right) in [(2, 1), (3, 1), (3, 2), (5, 4)] {
            let sum = Score::new(4.0, right, scores);
            let steps = 10 * scores;
            let means = (0..steps).map(|step| sum.mean_of(scores as usize, step));
            assert_eq!(means.clone().map(|mean| mean.correct).sum::<u64>(), 10 * right);
            assert!(means.clone().all(|mean| mean.samples == 1));
            assert_eq!(sum.mean_of(scores as usize, 0).loss_sum, 4.0 / scores as f64);
        }
    }

    #[test]
    fn scores_from_before_there_were_weights_are_read() {
        let read: Score =
            serde_json::from_str(r#"{"loss_sum":5.5,"correct":2,"samples":5}"#).unwrap();
        assert_eq!(read, Score::new(5.5, 2, 5));
        let score = Score { weight_sum: 2.5, squared_error_sum: 20.0, ..read };
        let text = serde_json::to_string(&score).unwrap();
        assert_eq!(serde_json::from_str::<Score>(&text).unwrap(), score);
        assert_eq!((score.loss(), score.rmse()), (2.2, 2.0));
        assert!(score.is_plausible());
        assert!(!Score { weight_sum: f64::NAN, ..score }.is_plausible());
    }
}
