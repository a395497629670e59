//! The step of stochastic gradient descent over flat slices. It sees lengths, never layers.

use serde::{Deserialize, Serialize};

use super::fma;
use crate::isa::kernel;

/// The settings of stochastic gradient descent with momentum (Polyak, 1964) or Nesterov's (Sutskever et al., 2013), as in `torch.optim.SGD`
/// without dampening; weight decay is decoupled, as in [`Adam`](super::adam::Adam).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the velocity; 0 for none.
    pub momentum: f64,
    /// Whether the step looks ahead along the velocity.
    pub nesterov: bool,
    /// Weight decay: each step first multiplies the parameters by `1 - lr * weight_decay`.
    pub weight_decay: f64,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { lr: 0.01, momentum: 0.9, nesterov: false, weight_decay: 0.0 }
    }
}

impl Sgd {
    /// The same constants with some of them changed.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The constants of a step, for a tensor whose learning rate is `rate` times as high, and whose weight decay `decay` times.
    pub fn step(&self, rate: f64, decay: f64) -> SgdStep {
        let lr = self.lr * rate;
        SgdStep {
            lr: lr as f32,
            momentum: self.momentum as f32,
            nesterov: self.nesterov,
            decay: (1.0 - lr * self.weight_decay * decay) as f32,
        }
    }
}

/// The constants of one step, computed once for all parameters.
#[derive(Clone, Copy, Debug)]
pub struct SgdStep {
    lr: f32,
    momentum: f32,
    nesterov: bool,
    /// `1 - lr * weight_decay`
    decay: f32,
}

kernel! {
    /// One step: with `g` the gradients, `m = momentum m + g`, then `w = w (1 - lr wd) - lr d`, where `d` is `m`, or `g + momentum m` with Nesterov's momentum.
    ///
    /// All three slices have one length. Velocities below the normal range become 0. Returns whether all parameters are finite.
    pub fn sgd_step(params: &mut [f32], m: &mut [f32], grads: &[f32], step: SgdStep) -> bool {
        let n = params.len();
        assert!(m.len() == n && grads.len() == n, "sgd: params {n}, m {}, grads {}", m.len(), grads.len());
        let SgdStep { lr, momentum, nesterov, decay } = step;
        // of the velocity and the gradient, in the direction of the step
        let (of_m, of_g) = if nesterov { (momentum, 1.0) } else { (1.0, 0.0) };
        let mut largest = 0;
        for ((w, m), g) in params.iter_mut().zip(m).zip(grads) {
            let velocity = fma::<FMA>(momentum, *m, *g);
            *m = if velocity.abs() < f32::MIN_POSITIVE { 0.0 } else { velocity };
            let direction = fma::<FMA>(of_m, *m, of_g * *g);
            *w = fma::<FMA>(*w, decay, -lr * direction);
            largest = largest.max(w.to_bits() & 0x7fff_ffff);
        }
        largest < f32::INFINITY.to_bits()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::SIZES;
    use super::*;
    use crate::isa::tests::on_each_isa;
    use crate::rng::{Purpose, Rng};

    #[test]
    fn steps_equal_the_definition() {
        on_each_isa(|isa| {
            for (momentum, nesterov) in [(0.0, false), (0.9, false), (0.9, true)] {
                let sgd = Sgd { lr: 0.05, momentum, nesterov, weight_decay: 0.1 };
                for n in SIZES {
                    let mut rng = Rng::new(n as u64, Purpose::Init, 0);
                    let mut params: Vec<f32> = (0..n).map(|_| rng.symmetric()).collect();
                    let mut m = vec![0.0; n];
                    let mut expected: Vec<(f64, f64)> =
                        params.iter().map(|&w| (f64::from(w), 0.0)).collect();
                    for _ in 0..10 {
                        let grads: Vec<f32> = (0..n).map(|_| rng.symmetric()).collect();
                        let step = sgd.step(0.5, 2.0);
                        assert!(sgd_step(isa, &mut params, &mut m, &grads, step));
                        for ((w, m), &g) in expected.iter_mut().zip(&grads) {
                            let g = f64::from(g);
                            *w *= 1.0 - 0.025 * 0.2;
                            *m = momentum * *m + g;
                            *w -= 0.025 * if nesterov { g + momentum * *m } else { *m };
                        }
                    }
                    for (i, (w, velocity)) in expected.into_iter().enumerate() {
                        assert!((f64::from(params[i]) - w).abs() < 2e-6, "{n} {i}");
                        assert!((f64::from(m[i]) - velocity).abs() < 2e-6, "{n} {i}");
                    }
                }
            }
        });
    }

    #[test]
    fn a_number_that_is_not_finite_is_reported_at_every_position() {
        on_each_isa(|isa| {
            for n in SIZES.into_iter().filter(|&n| n > 0) {
                for (i, bad) in (0..n).zip([f32::NAN, f32::INFINITY].into_iter().cycle()) {
                    let (mut params, mut m) = (vec![1.0; n], vec![0.0; n]);
                    let mut grads = vec![-0.5; n];
                    grads[i] = bad;
                    let step = Sgd::default().step(1.0, 1.0);
                    assert!(!sgd_step(isa, &mut params, &mut m, &grads, step), "{bad} {i}");
                }
            }
        });
    }

    #[test]
    fn velocities_decay_to_zero_not_into_denormals() {
        on_each_isa(|isa| {
            let (mut params, mut m) = (vec![1.0; 33], vec![1e-3; 33]);
            for _ in 0..2_000 {
                let step = Sgd::default().step(1.0, 1.0);
                sgd_step(isa, &mut params, &mut m, &[0.0; 33], step);
                assert!(m.iter().all(|x| *x == 0.0 || x.is_normal()));
            }
            assert!(m.iter().all(|x| *x == 0.0));
        });
    }
}
