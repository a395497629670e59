//! How far the predictions of a regression are from the truth.

use ndarray::{ArrayView2, Axis};
use serde::Serialize;

use super::format::plural;
use super::style::{Paint, Text, cut};
use super::table::{Column, Layout};
use crate::task::{Metric, mean_absolute_error, r2, root_mean_squared_error};

/// Predictions and the truth, in the targets' units.
#[derive(Clone, Debug)]
pub struct Errors {
    /// Of the targets.
    names: Vec<String>,
    /// Of each target, a pair of truth and prediction for each sample.
    pairs: Vec<Vec<(f64, f64)>>,
    scores: Vec<TargetScore>,
    r2: f64,
}

/// The scores of one target, in its units.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetScore {
    /// The target's name.
    pub target: String,
    /// The root of the mean squared error.
    pub rmse: Option<f64>,
    /// The mean absolute error.
    pub mae: Option<f64>,
    /// The coefficient of determination; `None` if the target is constant.
    pub r2: Option<f64>,
    /// The mean of prediction minus truth.
    pub bias: Option<f64>,
    /// The largest absolute error.
    pub largest: Option<f64>,
    /// The standard deviation of the truth: the RMSE of a model that always answers the mean.
    pub deviation: f64,
}

impl Errors {
    /// Of targets with these names; `predictions` is (samples, targets), and `truth` is row-major.
    ///
    /// # Panics
    /// If the sizes differ.
    pub fn new(names: Vec<String>, predictions: ArrayView2<'_, f32>, truth: &[f32]) -> Self {
        let n = names.len();
        assert_eq!(predictions.ncols(), n, "errors: a name for each target");
        assert_eq!(predictions.len(), truth.len(), "errors: lengths differ");
        let column = |t: usize| truth.iter().skip(t).step_by(n).copied();
        let score = |(t, name): (usize, &String)| {
            let predictions = predictions.column(t).insert_axis(Axis(1));
            let truth: Vec<f32> = column(t).collect();
            TargetScore::of(name, predictions, &truth)
        };
        let pair = |(y, &p): (f32, &f32)| (f64::from(y), f64::from(p));
        let pairs = predictions.columns().into_iter().enumerate();
        Self {
            scores: names.iter().enumerate().map(score).collect(),
            pairs: pairs.map(|(t, column_p)| column(t).zip(column_p).map(pair).collect()).collect(),
            r2: r2(predictions, truth),
            names,
        }
    }

    /// The names of the targets.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The truth and the prediction of each sample, of a target.
    pub fn pairs(&self, target: usize) -> &[(f64, f64)] {
        &self.pairs[target]
    }

    /// The scores of each target.
    pub fn scores(&self) -> &[TargetScore] {
        &self.scores
    }

    /// The coefficient of determination, the mean over the targets; NaN if one of them is constant.
    pub fn r2(&self) -> f64 {
        self.r2
    }

    /// The number of predictions that are not finite.
    pub fn not_finite(&self) -> usize {
        self.pairs.iter().flatten().filter(|(_, p)| !p.is_finite()).count()
    }

    /// The sample and the target of the worst predictions, the worst first, at most so many: those with the largest errors
    /// relative to the standard deviation of the target.
    pub fn worst(&self, shown: usize) -> Vec<(usize, usize)> {
        let mut all: Vec<(f64, usize, usize)> = Vec::new();
        for (t, (pairs, score)) in self.pairs.iter().zip(&self.scores).enumerate() {
            let scale = if score.deviation > 0.0 { score.deviation } else { 1.0 };
            let errors = pairs.iter().enumerate().filter(|(_, (_, p))| p.is_finite());
            all.extend(errors.map(|(i, (y, p))| ((p - y).abs() / scale, i, t)));
        }
        let order = |a: &(f64, usize, usize), b: &(f64, usize, usize)| {
            b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2)))
        };
        if all.len() > shown {
            all.select_nth_unstable_by(shown, order);
            all.truncate(shown);
        }
        all.sort_by(order);
        all.into_iter().map(|(_, i, t)| (i, t)).collect()
    }

    /// The scores of the targets as a table for people, which fits a terminal that is so wide.
    pub fn table(&self, width: Option<usize>) -> Text {
        let shown = |metric: Metric, value: Option<f64>| {
            value.map_or_else(|| "-".to_owned(), |value| metric.text(value))
        };
        let error = |value| shown(Metric::Rmse, value);
        let rows: Vec<[String; 7]> = (self.scores.iter())
            .map(|score| {
                let name = match width {
                    Some(_) => cut(&score.target, LONGEST_NAME),
                    None => score.target.clone(),
                };
                [
                    name,
                    error(score.rmse),
                    error(score.mae),
                    shown(Metric::R2, score.r2),
                    error(score.bias),
                    error(score.largest),
                    error(Some(score.deviation)),
                ]
            })
            .collect();
        let layout = Layout::of(&COLUMNS, &rows, width);
        let head = Text::default().with(Paint::Head, layout.head());
        rows.iter()
            .fold(head, |text, row| text.with(Paint::Plain, format!("\n{}", layout.row(row))))
    }

    /// What to say where predictions are not finite.
    pub fn warning(&self) -> Option<String> {
        let count = self.not_finite();
        (count > 0).then(|| {
            format!("not finite, so that there is no error: {}", plural(count, "prediction"))
        })
    }
}

impl TargetScore {
    fn of(name: &str, predictions: ArrayView2<'_, f32>, truth: &[f32]) -> Self {
        let finite = |x: f64| x.is_finite().then_some(x);
        let n = truth.len() as f64;
        let mean = truth.iter().map(|&y| f64::from(y)).sum::<f64>() / n;
        let variance = truth.iter().map(|&y| (f64::from(y) - mean).powi(2)).sum::<f64>() / n;
        let errors = || predictions.iter().zip(truth).map(|(&p, &y)| f64::from(p) - f64::from(y));
        // NaN is no larger than anything, but no error either
        let largest =
            |largest: f64, error: f64| if error.abs() > largest { error.abs() } else { largest };
        let all_finite = predictions.iter().all(|p| p.is_finite());
        Self {
            target: name.to_owned(),
            rmse: finite(root_mean_squared_error(predictions, truth)),
            mae: finite(mean_absolute_error(predictions, truth)),
            r2: finite(r2(predictions, truth)),
            bias: finite(errors().sum::<f64>() / n),
            largest: all_finite.then(|| errors().fold(0.0, largest)),
            deviation: variance.sqrt(),
        }
    }
}

/// On a terminal, longer names of targets are cut.
const LONGEST_NAME: usize = 24;

/// The scores of the targets.
const COLUMNS: [Column; 7] = [
    Column::left("target", 0, 6, 0),
    Column::right("RMSE", 2, 9, 0),
    Column::right("MAE", 2, 9, 1),
    Column::right("R2", 2, 8, 2),
    Column::right("bias", 2, 9, 4),
    Column::right("largest", 2, 9, 5),
    Column::right("deviation", 2, 9, 3),
];

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn errors() -> Errors {
        // errors of the first target 0, 1, -2, of the second 10, 0, 0
        let predictions = array![[1.0, 20.0], [3.0, 20.0], [1.0, 40.0]];
        let truth = [1.0, 10.0, 2.0, 20.0, 3.0, 40.0];
        Errors::new(vec!["a".to_owned(), "b".to_owned()], predictions.view(), &truth)
    }

    #[test]
    fn scores_are_those_of_the_definitions() {
        let errors = errors();
        let score = &errors.scores()[0];
        let close = |x: Option<f64>, y: f64| assert!((x.unwrap() - y).abs() < 1e-12, "{x:?} {y}");
        close(score.rmse, (5.0f64 / 3.0).sqrt());
        close(score.mae, 1.0);
        close(score.r2, 1.0 - 5.0 / 2.0);
        close(score.bias, -1.0 / 3.0);
        close(score.largest, 2.0);
        close(Some(score.deviation), (2.0f64 / 3.0).sqrt());
        assert_eq!(errors.pairs(1), [(10.0, 20.0), (20.0, 20.0), (40.0, 40.0)]);
        // 2 / 0.816 of the first target is more than 10 / 12.47 of the second
        assert_eq!(errors.worst(3), [(2, 0), (1, 0), (0, 1)]);
        assert_eq!(errors.worst(1), [(2, 0)]);
        close(Some(errors.r2()), f64::midpoint(score.r2.unwrap(), errors.scores()[1].r2.unwrap()));
    }

    #[test]
    fn constant_targets_and_broken_predictions_have_no_score() {
        let predictions = array![[f32::NAN, 1.0], [2.0, 1.0]];
        let errors = Errors::new(
            vec!["a".to_owned(), "b".to_owned()],
            predictions.view(),
            &[1.0, 1.0, 2.0, 1.0],
        );
        let [a, b] = errors.scores() else { panic!("two targets") };
        assert_eq!((a.rmse, a.largest, b.r2, b.rmse), (None, None, None, Some(0.0)));
        assert!(errors.worst(5).iter().all(|&at| at != (0, 0)));
        assert!(errors.warning().unwrap().ends_with("1 prediction"));
        assert!(errors.table(None).plain().contains("-"));
    }

    #[test]
    fn the_table_fits() {
        let text = errors().table(None).plain();
        assert!(text.starts_with("target       RMSE        MAE        R2 "), "{text}");
        assert!(text.contains("\na          1.2910     1.0000   -1.5000   -0.33333"), "{text}");
        for width in 17..80 {
            let text = errors().table(Some(width)).plain();
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        }
    }
}
