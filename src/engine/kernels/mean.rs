//! The mean of the outputs of several networks.

use crate::task::Loss;

/// Appends the outputs of an ensemble (rows, n_out), made of those of its members, each (rows, n_out): for classes `ln(mean of softmax(z))`, for a loss whose outputs are logarithms
/// `ln(mean of exp(z))`, for other numbers the mean of `z`. So they are outputs as those of one network: the softmax of the first is the mean of the probabilities.
pub fn mean_outputs(networks: &[&[f32]], n_out: usize, loss: Loss, means: &mut Vec<f32>) {
    let first = means.len();
    means.resize(first + networks[0].len(), 0.0);
    let weight = 1.0 / networks.len() as f64;
    let mut sums = vec![0.0; n_out];
    let mut largest = vec![0.0; n_out];
    for (row, means) in means[first..].chunks_exact_mut(n_out).enumerate() {
        sums.fill(0.0);
        largest.fill(f64::NEG_INFINITY);
        for network in networks {
            let z = &network[row * n_out..][..n_out];
            let shift = match loss {
                Loss::CrossEntropy => log_sum_exp(z),
                _ => 0.0,
            };
            for ((sum, largest), &z) in sums.iter_mut().zip(&mut largest).zip(z) {
                let z = f64::from(z) - shift;
                *largest = largest.max(z);
                *sum += if is_logarithm(loss) { z.exp() } else { z };
            }
        }
        for ((mean, &sum), &largest) in means.iter_mut().zip(&sums).zip(&largest) {
            *mean = match is_logarithm(loss) {
                false => (weight * sum) as f32,
                // all of them below the smallest number: the largest decides
                true if sum == 0.0 => (largest + weight.ln()) as f32,
                true => (weight * sum).ln() as f32,
            };
        }
    }
}

/// Whether means are those of exponentials of the outputs.
fn is_logarithm(loss: Loss) -> bool {
    matches!(loss, Loss::CrossEntropy | Loss::Poisson)
}

/// `ln(sum of exp(z))`
fn log_sum_exp(z: &[f32]) -> f64 {
    let largest = f64::from(z.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    largest + z.iter().map(|&z| (f64::from(z) - largest).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(networks: &[&[f32]], n_out: usize, loss: Loss) -> Vec<f32> {
        let mut means = vec![7.0];
        mean_outputs(networks, n_out, loss, &mut means);
        means.split_off(1)
    }

    #[test]
    fn probabilities_are_averaged() {
        // of 3 to 1 and 1 to 1: 5 to 3
        let (a, b) = ([3f32.ln() + 5.0, 5.0, -1.0, 2.0], [-2.0, -2.0, 0.0, 1.0]);
        let z = mean(&[&a, &b], 2, Loss::CrossEntropy);
        assert!((z[0].exp() - 0.625).abs() < 1e-6 && (z[1].exp() - 0.375).abs() < 1e-6, "{z:?}");
        let second = [1.0 / (1.0 + 3f32.exp()), 1.0 / (1.0 + 1f32.exp())];
        assert!((z[2].exp() - 0.5 * (second[0] + second[1])).abs() < 1e-6, "{z:?}");
    }

    #[test]
    fn what_is_too_small_for_a_probability_keeps_its_rank() {
        let (a, b) = ([0.0, -2000.0, -3000.0], [0.0, -2500.0, -2400.0]);
        let z = mean(&[&a, &b], 3, Loss::CrossEntropy);
        assert!((z[0], z[1], z[2]) == (0.0, -2000.0 - 2f32.ln(), -2400.0 - 2f32.ln()), "{z:?}");
        assert!(mean(&[&[f32::NAN; 2], &[0.0; 2]], 2, Loss::CrossEntropy)[0].is_nan());
    }

    #[test]
    fn values_are_averaged_in_their_units() {
        let (a, b) = ([1.0, -2.0], [2.0, 6.0]);
        assert_eq!(mean(&[&a, &b], 2, Loss::Mse), [1.5, 2.0]);
        let z = mean(&[&a[..1], &b[..1]], 1, Loss::Poisson);
        assert!((z[0].exp() - 0.5 * (1f32.exp() + 2f32.exp())).abs() < 1e-5, "{z:?}");
    }
}
