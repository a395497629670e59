//! The losses of a regression with their gradients, and outputs as values in the targets' units.

use crate::engine::score::Score;
use crate::isa::kernel;
use crate::task::{Loss, TargetScale};

/// What the outputs should be.
#[derive(Clone, Copy)]
pub struct Truth<'a> {
    /// (samples, targets), row-major, in the targets' units.
    pub targets: &'a [f32],
    /// A weight for each sample.
    pub weights: Option<&'a [f32]>,
    /// How each target is standardised.
    pub scales: &'a [TargetScale],
}

/// The loss of an output and its slope, both f64. See [`Loss`] for the equations and their sources; where a loss has a kink, the
/// slope there is 0.
#[inline(always)]
fn loss_and_slope(loss: Loss, z: f64, y: f64) -> (f64, f64) {
    let e = z - y;
    match loss {
        Loss::Mae => (e.abs(), sign(e)),
        Loss::Huber if e.abs() <= 1.0 => (0.5 * e * e, e),
        Loss::Huber => (e.abs() - 0.5, sign(e)),
        Loss::Poisson => {
            let rate = z.exp();
            (rate - y * z, rate - y)
        }
        Loss::Quantile(q) if e < 0.0 => (-q * e, -q),
        Loss::Quantile(q) => ((1.0 - q) * e, (1.0 - q) * sign(e)),
        _ => (e * e, 2.0 * e),
    }
}

/// -1, 0 or 1; NaN of NaN.
#[inline(always)]
fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

#[inline(always)]
fn loss_rows(
    outputs: &mut [f32],
    truth: Truth<'_>,
    samples: &[u32],
    scale: f32,
    loss: impl Fn(f64, f64) -> (f64, f64),
    is_log: bool,
) -> Score {
    let n = truth.scales.len();
    assert_eq!(outputs.len(), samples.len() * n, "loss: the outputs do not fit the samples");
    let mean = 1.0 / n as f64;
    let mut score = Score { samples: samples.len() as u64, ..Score::default() };
    for (row, &sample) in outputs.chunks_exact_mut(n).zip(samples) {
        let targets = &truth.targets[sample as usize * n..][..n];
        let weight = truth.weights.map_or(1.0, |weights| f64::from(weights[sample as usize]));
        let factor = f64::from(scale) * weight * mean;
        let (mut losses, mut squares, mut distances) = (0.0, 0.0, 0.0);
        for ((z, &y), target) in row.iter_mut().zip(targets).zip(truth.scales) {
            let (output, standard) = (f64::from(*z), target.standardized(y));
            let (value, slope) = loss(output, standard);
            let error = match is_log {
                true => output.exp() - standard,
                false => (output - standard) * target.scale,
            };
            losses += value;
            squares += error * error;
            distances += error.abs();
            *z = (factor * slope) as f32;
        }
        score.loss_sum += weight * (losses * mean);
        score.weight_sum += weight;
        score.squared_error_sum += squares * mean;
        score.absolute_error_sum += distances * mean;
    }
    score
}

kernel! {
    /// The loss of a regression and its gradient, in place.
    ///
    /// `outputs` is (rows, targets) and becomes `dz = scale w dl/dz / targets`, where `w` is the sample's weight; with
    /// `scale = 1 / sum of the batch's weights` that is the gradient of the batch's loss. Row `r` belongs to the sample
    /// `samples[r]` of `truth`. The score is over these rows, unscaled; its errors are in the targets' units. All arithmetic is f64.
    pub fn regression_loss(
        outputs: &mut [f32],
        truth: Truth<'_>,
        loss: Loss,
        samples: &[u32],
        scale: f32,
    ) -> Score {
        // a loop for each: the commonest has no branch in it
        match loss {
            Loss::Mse => {
                let mse = |z, y| loss_and_slope(Loss::Mse, z, y);
                loss_rows(outputs, truth, samples, scale, mse, false)
            }
            Loss::Poisson => {
                let poisson = |z, y| loss_and_slope(Loss::Poisson, z, y);
                loss_rows(outputs, truth, samples, scale, poisson, true)
            }
            other => {
                let loss = |z, y| loss_and_slope(other, z, y);
                loss_rows(outputs, truth, samples, scale, loss, false)
            }
        }
    }
}

/// Outputs (rows, targets) as values in the targets' units, in place.
pub fn values(outputs: &mut [f32], loss: Loss, scales: &[TargetScale]) {
    for row in outputs.chunks_exact_mut(scales.len()) {
        for (z, target) in row.iter_mut().zip(scales) {
            let output = f64::from(*z);
            *z = match loss {
                Loss::Poisson => output.exp() as f32,
                _ => (output * target.scale + target.center) as f32,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::tests::on_each_isa;

    /// Constants by definition, of `torch.nn.{MSELoss, L1Loss, HuberLoss, PoissonNLLLoss}` and the pinball loss, for the outputs
    /// -0.5, 0.25, 2 and the targets 1, 0.25, 0.5, mean over both.
    #[test]
    fn losses_are_the_definitions() {
        let exp = f64::exp;
        let (q, third) = (0.9, 1.0 / 3.0);
        let cases = [
            (Loss::Mse, third * (2.25 + 2.25), [-1.0, 0.0, 1.0]),
            (Loss::Mae, third * (1.5 + 1.5), [-third, 0.0, third]),
            (Loss::Huber, third * (1.0 + 1.0), [-third, 0.0, third]),
            (
                Loss::Poisson,
                third * (exp(-0.5) + 0.5 + exp(0.25) - 0.0625 + exp(2.0) - 1.0),
                [third * (exp(-0.5) - 1.0), third * (exp(0.25) - 0.25), third * (exp(2.0) - 0.5)],
            ),
            (
                Loss::Quantile(q),
                third * (q * 1.5 + (1.0 - q) * 1.5),
                [-q * third, 0.0, (1.0 - q) * third],
            ),
        ];
        let scales = [(); 3].map(|()| TargetScale::unscaled("y"));
        let truth =
            Truth { targets: &[9.0, 9.0, 9.0, 1.0, 0.25, 0.5], weights: None, scales: &scales };
        on_each_isa(|isa| {
            for (loss, value, slopes) in cases {
                for weight in [1.0, 0.25] {
                    let weights = [f32::NAN, weight];
                    let truth = match weight == 1.0 {
                        true => truth,
                        false => Truth { weights: Some(&weights), ..truth },
                    };
                    let mut dz = [-0.5, 0.25, 2.0];
                    let score = regression_loss(isa, &mut dz, truth, loss, &[1], 2.0);
                    let weight = f64::from(weight);
                    assert!((score.loss_sum - weight * value).abs() < 1e-12, "{loss}: {score:?}");
                    assert_eq!((score.weight_sum, score.samples), (weight, 1));
                    for (found, slope) in dz.into_iter().zip(slopes) {
                        let error = f64::from(found) - 2.0 * weight * slope;
                        assert!(error.abs() < 1e-6, "{loss}: {dz:?} {slopes:?}");
                    }
                }
            }
        });
    }

    #[test]
    fn errors_and_values_are_in_the_targets_units() {
        let scales = [TargetScale::new("y", 100.0, 10.0).unwrap(), TargetScale::unscaled("z")];
        let truth = Truth { targets: &[120.0, 3.0], weights: None, scales: &scales };
        on_each_isa(|isa| {
            let mut outputs = [1.5, 1.0];
            let score = regression_loss(isa, &mut outputs, truth, Loss::Mse, &[0], 1.0);
            // errors 0.5 and 2 standardised, 5 and 2 in units
            assert!((score.loss_sum - (0.25 + 4.0) / 2.0).abs() < 1e-12);
            assert!((score.squared_error_sum - (25.0 + 4.0) / 2.0).abs() < 1e-12);
            assert!((score.absolute_error_sum - 3.5).abs() < 1e-12);
        });
        let mut outputs = [1.5, 1.0];
        values(&mut outputs, Loss::Mse, &scales);
        assert_eq!(outputs, [115.0, 1.0]);
        values(&mut outputs[1..], Loss::Poisson, &scales[1..]);
        assert_eq!(outputs[1], std::f32::consts::E);
    }
}
