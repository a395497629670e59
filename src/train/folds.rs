//! Cross-validation: runs that share their settings and differ in the fold that tests them.

use std::collections::BTreeMap;

use super::{RunResult, SweepRun};
use crate::figures;
use crate::task::Metric;

/// What the runs of a combination of settings came to on their folds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FoldScores {
    /// What sets the settings apart; empty where there is one combination.
    pub settings: String,
    /// The number of the combination, from 0.
    pub combination: usize,
    /// The value of the metric on the test part of each fold, in order; `None` for a fold that has no result yet, or on
    /// which the metric is undefined.
    pub values: Vec<Option<f64>>,
    /// The loss there, likewise.
    pub losses: Vec<Option<f64>>,
    /// How many folds have a model.
    pub models: usize,
    /// The parameters of the network; of a table, those of the first fold.
    pub parameters: usize,
    /// The time of all training passes.
    pub seconds: f64,
}

impl FoldScores {
    /// The mean of the metric; `None` as long as a fold has no value.
    pub fn mean(&self) -> Option<f64> {
        all(&self.values).map(|values| figures::mean(&values))
    }

    /// The sample standard deviation of the metric, with `folds - 1` in the denominator; `None` as long as a fold has no value.
    pub fn sd(&self) -> Option<f64> {
        all(&self.values).map(|values| figures::deviation(&values))
    }

    /// Whether every fold has a model.
    pub fn is_complete(&self) -> bool {
        self.models == self.values.len()
    }

    /// Its runs.
    pub fn runs<'r>(&self, runs: &'r [SweepRun]) -> impl Iterator<Item = &'r SweepRun> {
        let combination = self.combination;
        let is_own = move |run: &&SweepRun| {
            run.fold.as_ref().is_some_and(|fold| fold.combination == combination)
        };
        runs.iter().filter(is_own)
    }

    /// The mean of the losses; `None` as long as a fold has none.
    pub fn loss(&self) -> Option<f64> {
        all(&self.losses).map(|losses| figures::mean(&losses)).filter(|mean| mean.is_finite())
    }
}

/// The values, if none is missing.
fn all(values: &[Option<f64>]) -> Option<Vec<f64>> {
    values.iter().copied().collect()
}

/// What each combination came to by a metric, the best first: by the mean over its folds, then by the mean loss, then fewer
/// parameters, then the order of the grid. Combinations without a mean come last. Empty without folds.
pub fn fold_scores(results: &[RunResult], runs: &[SweepRun], metric: Metric) -> Vec<FoldScores> {
    let mut scores: BTreeMap<usize, FoldScores> = BTreeMap::new();
    for run in runs {
        let Some(fold) = &run.fold else { continue };
        scores.entry(fold.combination).or_insert_with(|| FoldScores {
            settings: fold.settings.clone(),
            combination: fold.combination,
            values: vec![None; fold.of],
            losses: vec![None; fold.of],
            models: 0,
            parameters: run.parameters,
            seconds: 0.0,
        });
    }
    for result in results {
        let Some(fold) = &runs[result.number].fold else { continue };
        let Some(scores) = scores.get_mut(&fold.combination) else { continue };
        scores.seconds += result.seconds();
        scores.models += usize::from(result.best_epoch > 0);
        scores.values[fold.number - 1] = result.test_value(metric).filter(|x| x.is_finite());
        scores.losses[fold.number - 1] = result.test_value(Metric::LogLoss);
    }
    let mut scores: Vec<FoldScores> = scores.into_values().collect();
    let key = |scores: &FoldScores| {
        (scores.mean().unwrap_or(f64::NAN), scores.loss().unwrap_or(f64::NAN))
    };
    scores.sort_by(|a, b| {
        let ((mean_a, loss_a), (mean_b, loss_b)) = (key(a), key(b));
        metric
            .order(mean_a, mean_b)
            .then(Metric::LogLoss.order(loss_a, loss_b))
            .then(a.parameters.cmp(&b.parameters))
            .then(a.combination.cmp(&b.combination))
    });
    scores
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Score;
    use crate::train::{Fold, Status, TrainConfig, rank, ranks};

    /// Two combinations on three folds, the folds of both one after the other.
    fn runs() -> Vec<SweepRun> {
        let run = |number: usize| {
            let mut run = SweepRun::new(number.to_string(), TrainConfig::default(), 9);
            let (combination, fold) = (number % 2, number / 2 + 1);
            let settings = ["a", "b"][combination].to_owned();
            run.fold = Some(Fold { number: fold, of: 3, combination, settings });
            run
        };
        (0..6).map(run).collect()
    }

    fn result(number: usize, correct: u64) -> RunResult {
        let mut result = RunResult::failed(number, &crate::Error::usage("no"));
        result.status = Status::Done;
        result.test = Some(Score::new(10.0 - correct as f64, correct, 10));
        result
    }

    #[test]
    fn combinations_are_ranked_by_the_mean_over_all_their_folds() {
        let runs = runs();
        let correct = [9, 6, 2, 7, 4, 8]; // a: 9, 2, 4; b: 6, 7, 8
        let mut results: Vec<RunResult> =
            correct.into_iter().enumerate().map(|(i, correct)| result(i, correct)).collect();
        let scores = fold_scores(&results, &runs, Metric::Accuracy);
        assert_eq!((&scores[0].settings[..], &scores[1].settings[..]), ("b", "a"));
        assert_eq!(scores[0].values, [0.6, 0.7, 0.8].map(Some));
        assert!((scores[0].mean().unwrap() - 0.7).abs() < 1e-12);
        assert!((scores[0].sd().unwrap() - 0.1).abs() < 1e-12);
        assert!((scores[1].loss().unwrap() - 0.5).abs() < 1e-12);
        rank(&mut results, &runs);
        let order: Vec<usize> = results.iter().map(|result| result.number).collect();
        assert_eq!(order, [1, 3, 5, 0, 2, 4]);
        assert_eq!(ranks(&results, &runs), [1, 1, 1, 2, 2, 2].map(Some));
        // a combination that lacks a fold has no mean, however well the others went
        results.retain(|result| result.number != 3);
        rank(&mut results, &runs);
        assert_eq!(results[0].number, 0);
        assert_eq!(ranks(&results, &runs), [Some(1), Some(1), Some(1), None, None]);
        assert!(fold_scores(&results, &runs, Metric::Accuracy)[1].mean().is_none());
    }

    #[test]
    fn runs_without_folds_have_no_fold_scores() {
        let runs = [SweepRun::new("1".to_owned(), TrainConfig::default(), 9)];
        assert!(fold_scores(&[result(0, 5)], &runs, Metric::Accuracy).is_empty());
    }
}
