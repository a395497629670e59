//! Metrics from the outputs of a network, in f64.
//!
//! What is undefined is NaN: the area under a curve without two classes, R2 of a constant target.

use ndarray::{ArrayView1, ArrayView2};

/// The area under the ROC curve, with ties counted as a half (the Mann-Whitney statistic; `roc_auc_score` of scikit-learn).
///
/// `outputs` is (samples, classes): logits or probabilities. Of two classes, the difference of their outputs ranks the samples,
/// as the probability of class 1 does; of more classes, it is the mean of each class against the others, ranked by its output.
/// Classes that do not occur, or that alone occur, are left out.
///
/// # Panics
/// If `truth` has not a class for each sample.
pub fn auc(outputs: ArrayView2<'_, f32>, truth: &[u32]) -> f64 {
    assert_eq!(outputs.nrows(), truth.len(), "auc: lengths differ");
    if outputs.ncols() == 2 {
        let scores = outputs.rows().into_iter().map(|row| f64::from(row[1]) - f64::from(row[0]));
        return area(scores.zip(truth.iter().map(|&class| class == 1)).collect());
    }
    let areas = (0..outputs.ncols()).map(|class| {
        let scores = outputs.column(class).into_iter().map(|&z| f64::from(z));
        area(scores.zip(truth.iter().map(|&own| own as usize == class)).collect())
    });
    mean(areas.filter(|area| !area.is_nan()))
}

/// The chance that a positive has a higher score than a negative.
fn area(mut samples: Vec<(f64, bool)>) -> f64 {
    samples.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut wins) = (0.0, 0.0);
    for tied in samples.chunk_by(|a, b| a.0 == b.0) {
        let positives = tied.iter().filter(|sample| sample.1).count() as f64;
        let negatives = tied.len() as f64 - positives;
        wins += positives * (below + negatives / 2.0);
        below += negatives;
    }
    wins / (below * (samples.len() as f64 - below))
}

/// The mean over the classes of F1, `2 hits / (samples + predictions)`; classes with neither are left out (`f1_score` of
/// scikit-learn with `average="macro"`). `outputs` is (samples, classes); the largest output predicts, the first of equal ones,
/// and a sample with an output that is not finite has no prediction.
///
/// # Panics
/// If `truth` has not a class for each sample.
pub fn macro_f1(outputs: ArrayView2<'_, f32>, truth: &[u32]) -> f64 {
    assert_eq!(outputs.nrows(), truth.len(), "macro_f1: lengths differ");
    let mut counts = vec![(0, 0); outputs.ncols()];
    for (row, &class) in outputs.rows().into_iter().zip(truth) {
        counts[class as usize].1 += 1;
        if !row.iter().all(|z| z.is_finite()) {
            continue;
        }
        let predicted = largest(row);
        counts[predicted].1 += 1;
        counts[class as usize].0 += u64::from(predicted == class as usize);
    }
    mean_f1(counts.into_iter())
}

/// The mean over the classes of F1, from the hits of each class, and its samples and predictions together. NaN without any.
pub(crate) fn mean_f1(counts: impl Iterator<Item = (u64, u64)>) -> f64 {
    let seen = counts.filter(|&(_, all)| all > 0);
    mean(seen.map(|(hits, all)| 2.0 * hits as f64 / all as f64))
}

/// The position of the largest output; of equal ones the first.
pub(crate) fn largest(row: ArrayView1<'_, f32>) -> usize {
    row.iter().enumerate().fold(0, |best, (i, z)| if *z > row[best] { i } else { best })
}

/// The coefficient of determination, the mean over the targets of `1 - sum (y - p)^2 / sum (y - mean y)^2` (`r2_score` of
/// scikit-learn). `predictions` is (samples, targets), in the units of `truth`, which is row-major. NaN if a target is constant.
///
/// # Panics
/// If the sizes differ.
pub fn r2(predictions: ArrayView2<'_, f32>, truth: &[f32]) -> f64 {
    assert_eq!(predictions.len(), truth.len(), "r2: lengths differ");
    let n_targets = predictions.ncols();
    let of_target = |(t, predictions): (usize, ndarray::ArrayView1<'_, f32>)| {
        let truth = || truth.iter().skip(t).step_by(n_targets).map(|&y| f64::from(y));
        let center = mean(truth());
        let total: f64 = truth().map(|y| (y - center).powi(2)).sum();
        let errors = predictions.iter().zip(truth()).map(|(&p, y)| (y - f64::from(p)).powi(2));
        1.0 - errors.sum::<f64>() / total
    };
    let values = predictions.columns().into_iter().enumerate().map(of_target);
    // 0 / 0 is undefined, and so is a mean of which it is part; a constant target that is missed has no scale to compare by
    mean(values.map(|r2| if r2.is_finite() { r2 } else { f64::NAN }))
}

/// The root of the mean of `(p - y)^2` over samples and targets. Sizes and units as in [`r2`].
///
/// # Panics
/// If the sizes differ.
pub fn root_mean_squared_error(predictions: ArrayView2<'_, f32>, truth: &[f32]) -> f64 {
    mean_error(predictions, truth, |error| error * error).sqrt()
}

/// The mean of `|p - y|` over samples and targets. Sizes and units as in [`r2`].
///
/// # Panics
/// If the sizes differ.
pub fn mean_absolute_error(predictions: ArrayView2<'_, f32>, truth: &[f32]) -> f64 {
    mean_error(predictions, truth, f64::abs)
}

fn mean_error(predictions: ArrayView2<'_, f32>, truth: &[f32], f: fn(f64) -> f64) -> f64 {
    assert_eq!(predictions.len(), truth.len(), "mean error: lengths differ");
    let errors = predictions.iter().zip(truth).map(|(&p, &y)| f(f64::from(p) - f64::from(y)));
    mean(errors)
}

/// NaN of nothing.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), x| (sum + x, count + 1.0));
    sum / count
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn areas_count_pairs() {
        // scores -1, 0, 0, 2 of the classes 0, 0, 1, 1: of 4 pairs 3 are in order and one is tied
        let outputs = array![[1.0, 0.0], [0.0, 0.0], [3.0, 3.0], [0.0, 2.0]];
        assert_eq!(auc(outputs.view(), &[0, 0, 1, 1]), 3.5 / 4.0);
        assert!(auc(outputs.view(), &[1; 4]).is_nan());
        let three = array![[2.0, 1.0, 0.0], [0.0, 2.0, 1.0], [0.0, 3.0, 2.0]];
        // class 0: 1; class 1 (output 2 against 1 and 3): 1/2; class 2 does not occur among others correctly: 1
        assert_eq!(auc(three.view(), &[0, 1, 2]), (1.0 + 0.5 + 1.0) / 3.0);
    }

    #[test]
    fn f1_is_the_mean_over_classes_that_occur() {
        let outputs = array![[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [f32::NAN; 3]];
        // class 0: one hit, 1 sample, 2 predictions; class 1: one hit, 3 samples, 1 prediction
        let expected = (2.0 / 3.0 + 2.0 / 4.0) / 2.0;
        assert!((macro_f1(outputs.view(), &[0, 1, 1, 1]) - expected).abs() < 1e-15);
    }

    #[test]
    fn errors_of_a_regression_are_the_definitions() {
        let (p, y) =
            (array![[1.0, 10.0], [2.0, 20.0], [4.0, 30.0]], [1.0, 20.0, 2.0, 20.0, 3.0, 50.0]);
        // target 0: errors 0, 0, 1 and 2 in all; target 1: 100, 0, 400 of 600
        let expected = ((1.0 - 1.0 / 2.0) + (1.0 - 500.0 / 600.0)) / 2.0;
        assert!((r2(p.view(), &y) - expected).abs() < 1e-15);
        assert!((root_mean_squared_error(p.view(), &y).powi(2) - 501.0 / 6.0).abs() < 1e-12);
        assert!((mean_absolute_error(p.view(), &y) - 31.0 / 6.0).abs() < 1e-12);
        assert!(r2(array![[1.0], [2.0]].view(), &[3.0, 3.0]).is_nan());
    }
}
