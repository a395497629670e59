//! Adam's step over flat slices. It sees lengths, never layers.

use serde::{Deserialize, Serialize};

use super::fma;
use super::inverse::{INVERSE_CHUNK, inverse_of_root};
use crate::isa::kernel;

/// Adam's settings (Kingma and Ba, 2015), with decoupled weight decay (Loshchilov and Hutter, 2019) over all
/// parameters, biases included; the numbers are those of `torch.optim.Adam` and `AdamW`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// The number that is added to the root of the second moment.
    pub eps: f64,
    /// Weight decay: each step first multiplies the parameters by `1 - lr * weight_decay`.
    pub weight_decay: f64,
}

impl Default for Adam {
    fn default() -> Self {
        Self { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

/// The constants of one step, computed once for all parameters.
#[derive(Clone, Copy, Debug)]
pub struct AdamStep {
    beta1: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    /// `lr / (1 - beta1^t)`
    step_size: f32,
    /// `1 / sqrt(1 - beta2^t)`
    root_correction: f32,
    eps: f32,
    /// `1 - lr * weight_decay`
    decay: f32,
    /// `lr / (1 - beta1^t)` and `lr * weight_decay` as they were before they were rounded.
    exact: (f64, f64),
}

impl AdamStep {
    /// The constants for a tensor whose learning rate is `rate` times as high, and whose weight decay `decay` times.
    pub fn of(self, rate: f64, decay: f64) -> Self {
        let (step_size, decay_size) = self.exact;
        let decay = (1.0 - decay_size * rate * decay) as f32;
        Self { step_size: (step_size * rate) as f32, decay, ..self }
    }
}

impl Adam {
    /// The same constants with some of them changed.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The constants of step `t`, which counts from 1.
    pub fn step(&self, t: u64) -> AdamStep {
        let t = t as f64;
        let exact = (self.lr / (1.0 - self.beta1.powf(t)), self.lr * self.weight_decay);
        AdamStep {
            beta1: self.beta1 as f32,
            one_minus_beta1: (1.0 - self.beta1) as f32,
            beta2: self.beta2 as f32,
            one_minus_beta2: (1.0 - self.beta2) as f32,
            step_size: exact.0 as f32,
            root_correction: (1.0 / (1.0 - self.beta2.powf(t)).sqrt()) as f32,
            eps: self.eps as f32,
            decay: (1.0 - exact.1) as f32,
            exact,
        }
    }
}

/// Replaces a number below the normal range by 0: it would cost a microcode assist in every later operation.
#[inline(always)]
fn flush(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { 0.0 } else { x }
}

/// The bits of a number without its sign.
#[inline(always)]
fn magnitude(x: f32) -> u32 {
    x.to_bits() & 0x7fff_ffff
}

kernel! {
    /// One step: with `g` the gradients,
    /// `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g g`,
    /// `w = w (1 - lr wd) - lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)`.
    ///
    /// All four slices have one length. Moments below the normal range become 0: those of an input that stays zero decay to
    /// there after some 700 steps.
    ///
    /// Returns whether all parameters and second moments are finite: a gradient that overflows when it is squared would
    /// silently stop its parameter for good.
    pub fn adam_step(params: &mut [f32], m: &mut [f32], v: &mut [f32], grads: &[f32], step: AdamStep) -> bool {
        let n = params.len();
        assert!(
            m.len() == n && v.len() == n && grads.len() == n,
            "adam: params {n}, m {}, v {}, grads {}", m.len(), v.len(), grads.len()
        );
        // without the sign, the bits of numbers are ordered as the numbers are, and infinity and NaN come after them
        let mut largest = 0;
        let chunks = params.chunks_mut(INVERSE_CHUNK).zip(m.chunks_mut(INVERSE_CHUNK));
        let chunks = chunks.zip(v.chunks_mut(INVERSE_CHUNK).zip(grads.chunks(INVERSE_CHUNK)));
        for ((params, m), (v, grads)) in chunks {
            let mut inverses = [1.0; INVERSE_CHUNK];
            for (((m, v), g), inverse) in m.iter_mut().zip(v).zip(grads).zip(&mut inverses) {
                *m = flush(fma::<FMA>(step.beta1, *m, step.one_minus_beta1 * *g));
                *v = flush(fma::<FMA>(step.beta2, *v, step.one_minus_beta2 * *g * *g));
                // the root of 0 as one that is negligible
                *inverse = if *v == 0.0 { f32::MIN_POSITIVE } else { *v };
                largest = largest.max(magnitude(*v));
            }
            inverse_of_root::<LANES>(&mut inverses, step.root_correction, step.eps);
            for ((w, m), inverse) in params.iter_mut().zip(m).zip(&inverses) {
                *w = fma::<FMA>(*w, step.decay, -step.step_size * *m * *inverse);
                largest = largest.max(magnitude(*w));
            }
        }
        largest < magnitude(f32::INFINITY)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::SIZES;
    use super::*;
    use crate::isa::tests::on_each_isa;
    use crate::rng::{Purpose, Rng};

    /// The paper's algorithm, in f64.
    fn reference(adam: &Adam, t: u64, w: &mut f64, m: &mut f64, v: &mut f64, g: f64) {
        *w *= 1.0 - adam.lr * adam.weight_decay;
        *m = adam.beta1 * *m + (1.0 - adam.beta1) * g;
        *v = adam.beta2 * *v + (1.0 - adam.beta2) * g * g;
        let m_hat = *m / (1.0 - adam.beta1.powf(t as f64));
        let v_hat = *v / (1.0 - adam.beta2.powf(t as f64));
        *w -= adam.lr * m_hat / (v_hat.sqrt() + adam.eps);
    }

    #[test]
    fn steps_equal_the_paper() {
        on_each_isa(|isa| {
            let other = Adam { lr: 0.02, beta1: 0.7, beta2: 0.95, eps: 1e-3, weight_decay: 0.1 };
            for adam in [Adam { lr: 0.01, ..Adam::default() }, other] {
                for n in SIZES {
                    let mut rng = Rng::new(n as u64, Purpose::Init, 0);
                    let mut params: Vec<f32> = (0..n).map(|_| rng.symmetric()).collect();
                    let (mut m, mut v) = (vec![0.0; n], vec![0.0; n]);
                    let mut expected: Vec<_> =
                        params.iter().map(|&w| (f64::from(w), 0.0, 0.0)).collect();
                    for t in 1..=20 {
                        let grads: Vec<f32> = (0..n).map(|_| rng.symmetric()).collect();
                        let step = adam.step(t);
                        assert!(adam_step(isa, &mut params, &mut m, &mut v, &grads, step));
                        for ((w, m, v), &g) in expected.iter_mut().zip(&grads) {
                            reference(&adam, t, w, m, v, f64::from(g));
                        }
                    }
                    for (i, (w, m64, v64)) in expected.into_iter().enumerate() {
                        assert!((f64::from(params[i]) - w).abs() < 2e-6, "{n} {i}");
                        assert!((f64::from(m[i]) - m64).abs() < 1e-6);
                        assert!((f64::from(v[i]) - v64).abs() < 1e-7);
                    }
                }
            }
        });
    }

    #[test]
    fn a_number_that_is_not_finite_is_reported_at_every_position() {
        on_each_isa(|isa| {
            for n in SIZES.into_iter().filter(|&n| n > 0) {
                for (i, bad) in
                    (0..n).zip([f32::NAN, -f32::NAN, f32::INFINITY, 1e30].into_iter().cycle())
                {
                    let (mut params, mut m, mut v) = (vec![1.0; n], vec![0.0; n], vec![0.0; n]);
                    let mut grads = vec![-0.5; n];
                    grads[i] = bad;
                    let step = Adam::default().step(1);
                    assert!(
                        !adam_step(isa, &mut params, &mut m, &mut v, &grads, step),
                        "{bad} {i}"
                    );
                    grads[i] = 1e18; // large, but its square is finite
                    v.fill(0.0);
                    m.fill(0.0);
                    params.fill(f32::MAX / 2.0);
                    assert!(adam_step(isa, &mut params, &mut m, &mut v, &grads, step), "{i}");
                    params[i] = f32::NEG_INFINITY;
                    assert!(!adam_step(isa, &mut params, &mut m, &mut v, &grads, step), "{i}");
                }
            }
        });
    }

    #[test]
    fn moments_decay_to_zero_not_into_denormals() {
        on_each_isa(|isa| {
            let n = 33;
            let (mut params, mut m, mut v) = (vec![1.0; n], vec![1e-3; n], vec![1e-30; n]);
            for t in 1..=20_000 {
                adam_step(isa, &mut params, &mut m, &mut v, &vec![0.0; n], Adam::default().step(t));
                assert!(m.iter().chain(&v).all(|x| *x == 0.0 || x.is_normal()));
            }
            assert!(m.iter().chain(&v).all(|x| *x == 0.0));
            assert!(params.iter().all(|w| w.is_finite()));
        });
    }
}
