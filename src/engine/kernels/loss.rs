//! Softmax cross-entropy with its gradient, and softmax alone.

use super::exp;
use crate::engine::score::Score;
use crate::isa::kernel;

/// A block of rows has about this many values, 8 KiB: they stay in the first-level cache from pass to pass.
const BLOCK_VALUES: usize = 2048;

#[inline(always)]
fn rows_per_block(n: usize) -> usize {
    (BLOCK_VALUES / n).max(1)
}

/// Subtracts a row's maximum from it. Returns the index of the maximum, the first of equal ones, and the maximum, which is NaN
/// if the row has a NaN.
#[inline(always)]
fn subtract_maximum(row: &mut [f32]) -> (usize, f32) {
    let (mut index, mut maximum) = (0, row[0]);
    for (i, &z) in row.iter().enumerate() {
        if z > maximum || z.is_nan() {
            (index, maximum) = (i, z);
        }
    }
    row.iter_mut().for_each(|z| *z -= maximum);
    (index, maximum)
}

/// What the logits should say.
#[derive(Clone, Copy)]
pub struct Labels<'a> {
    /// The class of each sample.
    pub labels: &'a [u32],
    /// A weight for each sample.
    pub weights: Option<&'a [f32]>,
    /// The probability that is spread over all classes instead of the label: 0 or more, below 1.
    pub smoothing: f32,
}

#[inline(always)]
fn cross_entropy_rows<const FMA: bool>(
    logits: &mut [f32],
    truth: Labels<'_>,
    weight: impl Fn(u32) -> f32,
    samples: &[u32],
    n: usize,
    scale: f32,
) -> Score {
    assert_eq!(logits.len(), samples.len() * n, "loss: the logits do not fit the samples");
    let Labels { labels, smoothing, .. } = truth;
    let (kept, spread) = (1.0 - smoothing, smoothing / n as f32);
    let mut score = Score { samples: samples.len() as u64, ..Score::default() };
    let rows = rows_per_block(n);
    for (block, samples) in logits.chunks_mut(rows * n).zip(samples.chunks(rows)) {
        for (row, &sample) in block.chunks_exact_mut(n).zip(samples) {
            let label = labels[sample as usize] as usize;
            let (first, maximum) = subtract_maximum(row);
            score.correct += u64::from(first == label && !maximum.is_nan());
            let mut logit = row[label];
            if smoothing > 0.0 {
                logit = kept * logit + spread * row.iter().sum::<f32>();
            }
            score.loss_sum -= f64::from(weight(sample)) * f64::from(logit);
        }
        block.iter_mut().for_each(|z| *z = exp::exp::<FMA>(*z));
        for (row, &sample) in block.chunks_exact_mut(n).zip(samples) {
            let sum: f32 = row.iter().sum();
            let weight = weight(sample);
            score.loss_sum += f64::from(weight) * f64::from(sum.ln());
            score.weight_sum += f64::from(weight);
            let scale = weight * scale;
            let factor = scale / sum;
            row.iter_mut().for_each(|p| *p *= factor);
            if smoothing > 0.0 {
                row.iter_mut().for_each(|p| *p -= scale * spread);
            }
            row[labels[sample as usize] as usize] -= scale * kept;
        }
    }
    score
}

kernel! {
    /// Mean softmax cross-entropy (natural logarithm, maximum subtracted) and its gradient, in place.
    ///
    /// `logits` is (rows, n) and becomes `dz = scale w (softmax(z) - q)`, where `w` is the sample's weight, or 1, and `q` its target: with a smoothing
    /// of s, `(1 - s) onehot(label) + s / n` (Szegedy et al., 2016, as in `torch.nn.CrossEntropyLoss`). With
    /// `scale = 1 / sum of the batch's weights` that is the gradient of the batch's loss. Row `r` belongs to the sample `samples[r]` of `truth`. The
    /// score is over these rows, unscaled. Of equal logits the first counts as ranked first; a row with a NaN counts as wrong.
    ///
    /// Panics if a label is not below `n`.
    pub fn softmax_cross_entropy(
        logits: &mut [f32],
        truth: Labels<'_>,
        samples: &[u32],
        n: usize,
        scale: f32,
    ) -> Score {
        match truth.weights {
            // a product with the constant 1 is exact, and the compiler leaves it out
            None => cross_entropy_rows::<FMA>(logits, truth, |_| 1.0, samples, n, scale),
            Some(weights) => {
                let weight = |sample| weights[sample as usize];
                cross_entropy_rows::<FMA>(logits, truth, weight, samples, n, scale)
            }
        }
    }
}

kernel! {
    /// Softmax of each row, in place; `logits` is (rows, n).
    pub fn softmax(logits: &mut [f32], n: usize) {
        for block in logits.chunks_mut(rows_per_block(n) * n) {
            block.chunks_exact_mut(n).for_each(|row| { subtract_maximum(row); });
            block.iter_mut().for_each(|z| *z = exp::exp::<FMA>(*z));
            for row in block.chunks_exact_mut(n) {
                let factor = 1.0 / row.iter().sum::<f32>();
                row.iter_mut().for_each(|p| *p *= factor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::tests::on_each_isa;
    use crate::rng::{Purpose, Rng};

    /// The definition, in f64.
    fn smoothed_loss(row: &[f64], label: usize, smoothing: f64) -> f64 {
        let maximum = row.iter().copied().fold(f64::MIN, f64::max);
        let log_sum = row.iter().map(|z| (z - maximum).exp()).sum::<f64>().ln() + maximum;
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        log_sum - (1.0 - smoothing) * row[label] - smoothing * mean
    }

    fn loss(row: &[f64], label: usize) -> f64 {
        smoothed_loss(row, label, 0.0)
    }

    fn plain(labels: &[u32]) -> Labels<'_> {
        Labels { labels, weights: None, smoothing: 0.0 }
    }

    #[test]
    fn loss_and_gradient_equal_the_definition() {
        on_each_isa(|isa| {
            let mut rng = Rng::new(1, Purpose::Init, 0);
            for (n, smoothing) in [1usize, 2, 7, 10, 16, 17, 100, 2500]
                .into_iter()
                .zip([0.0f32, 0.1].into_iter().cycle())
            {
                let loss = |row: &[f64], label| smoothed_loss(row, label, f64::from(smoothing));
                let rows = 300 / n.min(100) + 3;
                let logits: Vec<f32> = (0..rows * n).map(|_| 9.0 * rng.symmetric()).collect();
                let labels: Vec<u32> = (0..rows).map(|_| rng.below(n as u32)).collect();
                let samples: Vec<u32> = (0..rows as u32).collect();
                let mut dz = logits.clone();
                let truth = Labels { smoothing, ..plain(&labels) };
                let score = softmax_cross_entropy(isa, &mut dz, truth, &samples, n, 0.25);
                let (mut loss_sum, mut correct) = (0.0, 0);
                for (r, &label) in labels.iter().enumerate() {
                    let mut row: Vec<f64> =
                        logits[r * n..][..n].iter().map(|&z| f64::from(z)).collect();
                    loss_sum += loss(&row, label as usize);
                    correct += u64::from(row.iter().all(|&z| z <= row[label as usize]));
                    for i in (0..n).step_by(n / 11 + 1) {
                        let (z, h) = (row[i], 1e-5);
                        row[i] = z + h;
                        let up = loss(&row, label as usize);
                        row[i] = z - h;
                        let slope = 0.25 * (up - loss(&row, label as usize)) / (2.0 * h);
                        row[i] = z;
                        let found = f64::from(dz[r * n + i]);
                        assert!((found - slope).abs() < 1e-6, "{n} {r} {i}: {found} {slope}");
                    }
                }
                assert_eq!((score.correct, score.samples), (correct, rows as u64));
                let relative = (score.loss_sum - loss_sum).abs() / loss_sum.max(1.0);
                assert!(relative < 1e-6, "{n}: {} {loss_sum}", score.loss_sum);
            }
        });
    }

    #[test]
    fn weights_multiply_losses_and_gradients_and_weights_of_1_change_nothing() {
        on_each_isa(|isa| {
            let logits = [1.0, -0.5, 2.0, 0.25, 0.5, -1.0];
            let (labels, samples) = ([0, 1, 2], [2, 1]);
            let run = |weights: Option<&[f32]>| {
                let mut dz = logits;
                let truth = Labels { weights, ..plain(&labels) };
                let score = softmax_cross_entropy(isa, &mut dz, truth, &samples, 3, 0.5);
                (score, dz)
            };
            assert_eq!(run(None), run(Some(&[1.0; 3])));
            let ((score, dz), (weighted, weighted_dz)) = (run(None), run(Some(&[9.0, 0.0, 3.0])));
            let row = |which: usize| {
                loss(
                    &[logits[3 * which], logits[3 * which + 1], logits[3 * which + 2]]
                        .map(f64::from),
                    labels[samples[which] as usize] as usize,
                )
            };
            assert!((score.loss_sum - row(0) - row(1)).abs() < 1e-6);
            assert!((weighted.loss_sum - 3.0 * row(0)).abs() < 1e-6);
            assert_eq!(
                (weighted.weight_sum, weighted.correct, weighted.samples),
                (3.0, score.correct, 2)
            );
            for i in 0..6 {
                let expected = if i < 3 { 3.0 * dz[i] } else { 0.0 };
                assert!((weighted_dz[i] - expected).abs() < 1e-6, "{weighted_dz:?} {dz:?}");
            }
        });
    }

    #[test]
    fn extreme_logits_stay_finite_and_nan_is_wrong() {
        on_each_isa(|isa| {
            let mut dz = [1e30, -1e30, 0.0];
            let score = softmax_cross_entropy(isa, &mut dz, plain(&[9, 0]), &[1], 3, 1.0);
            assert_eq!((score.loss_sum, score.correct), (0.0, 1));
            assert!(dz.iter().all(|x| x.abs() < 1e-30), "{dz:?}");
            for position in 0..3 {
                for label in 0..3 {
                    let mut dz = [5.0, 1.0, 2.0];
                    dz[position] = f32::NAN;
                    let score = softmax_cross_entropy(isa, &mut dz, plain(&[label]), &[0], 3, 1.0);
                    assert!(score.loss_sum.is_nan());
                    assert_eq!(score.correct, 0, "NaN at {position}, label {label}");
                }
            }
        });
    }

    #[test]
    fn softmax_is_a_distribution_in_the_order_of_the_logits() {
        on_each_isa(|isa| {
            let mut p = [0.0, 1.0, 2.0, 500.0, 500.0, -500.0];
            softmax(isa, &mut p, 3);
            let total = 1.0 + 1f64.exp() + 2f64.exp();
            for (i, p) in p[..3].iter().enumerate() {
                assert!((f64::from(*p) - (i as f64).exp() / total).abs() < 1e-7);
            }
            assert_eq!(p[3..], [0.5, 0.5, p[5]]);
            assert!(p[5] < 1e-37);
        });
    }
}
