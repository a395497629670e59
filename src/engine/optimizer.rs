//! What changes parameters: the optimizers, the constants of each step, and the vectors that a step changes.
#![allow(unsafe_code)]

use std::ops::Range;

use super::kernels::adam::{Adam, AdamStep, adam_step};
use super::kernels::rows::approach;
use super::kernels::sgd::{Sgd, sgd_step};
use super::shared::Shared;
use crate::isa::Isa;
use crate::model::Tensor;

/// Says by which constants a step changes the parameters. [`Adam`] and [`Sgd`] say the same for every step; a schedule does not.
pub trait Steps: Sync {
    /// The constants of step `t`, which counts from 1.
    fn step(&self, t: u64) -> Step;

    /// The epoch of step `t`, by which images are augmented; the step itself where there are no epochs.
    fn epoch(&self, t: u64) -> u64 {
        t
    }
}

impl Steps for Adam {
    fn step(&self, t: u64) -> Step {
        Step::Adam(Adam::step(self, t))
    }
}

impl Steps for Sgd {
    fn step(&self, _t: u64) -> Step {
        Step::Sgd(*self)
    }
}

/// The constants of one step.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Step {
    /// Of Adam.
    Adam(AdamStep),
    /// Of stochastic gradient descent.
    Sgd(Sgd),
}

/// The settings of an exponential moving average of the parameters.
///
/// After step t, it is the sum over steps i of `(1 - decay) decay^(t - i) w_i`, divided by `1 - decay^t`, so that the weights of all steps add up to 1
/// (Kingma and Ba, 2015, section 7.2: the average of iterates, corrected for its start).
#[derive(Clone, Copy, Debug)]
pub struct Averaging {
    /// How much of the average each step keeps: 0 or more, below 1.
    pub decay: f64,
}

impl Averaging {
    /// The share of the distance to the parameters by which step `t`, from 1, moves the average.
    fn share(self, t: u64) -> f32 {
        ((1.0 - self.decay) / (1.0 - self.decay.powf(t as f64))) as f32
    }
}

/// What one step does with gradients.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    step: Step,
    /// Of the distance between the average and the parameters.
    share: Option<f32>,
}

impl Change {
    /// What step `t`, from 1, does.
    pub fn new(steps: &dyn Steps, averaging: Option<Averaging>, t: u64) -> Self {
        Self { step: steps.step(t), share: averaging.map(|averaging| averaging.share(t)) }
    }
}

/// The vectors that steps change, flat or in panels.
#[derive(Clone, Copy)]
pub struct Vectors<'a> {
    pub params: Shared<'a, f32>,
    pub m: Shared<'a, f32>,
    pub v: Shared<'a, f32>,
    /// The moving average of the parameters; empty if there is none.
    pub average: Shared<'a, f32>,
}

impl<'a> Vectors<'a> {
    /// All but the parameters.
    pub fn others(&self) -> [Shared<'a, f32>; 3] {
        [self.m, self.v, self.average]
    }

    /// Changes a range of a tensor by its gradient. Returns whether all numbers are finite.
    ///
    /// # Safety
    /// Nobody else reaches the range of these vectors, which are four different ones, meanwhile.
    pub unsafe fn change(
        &self,
        isa: Isa,
        tensor: &Tensor,
        range: Range<usize>,
        gradient: &[f32],
        change: &Change,
    ) -> bool {
        // SAFETY: the caller's promise.
        let (w, m) = unsafe { (self.params.write(range.clone()), self.m.write(range.clone())) };
        let is_finite = match change.step {
            Step::Adam(step) => {
                // SAFETY: the caller's promise.
                let v = unsafe { self.v.write(range.clone()) };
                adam_step(isa, w, m, v, gradient, step.of(tensor.rate, tensor.decay))
            }
            Step::Sgd(sgd) => sgd_step(isa, w, m, gradient, sgd.step(tensor.rate, tensor.decay)),
        };
        if let Some(share) = change.share {
            // SAFETY: the caller's promise.
            approach(isa, unsafe { self.average.write(range) }, w, share);
        }
        is_finite
    }
}

/// What phase 2 does with gradients.
#[derive(Clone, Copy)]
pub enum Use<'a> {
    /// Changes the parameters at once.
    Change(Vectors<'a>, Change),
    /// Stores those of all tensors.
    Store(Shared<'a, f32>),
    /// Stores those of the tensors that are trained, and the sums of their squares, for a change that needs the norm of the whole.
    Measure(Shared<'a, f32>, Shared<'a, f64>),
}

impl Use<'_> {
    /// Whether the gradient of a tensor is wanted.
    pub fn wants(&self, tensor: &Tensor) -> bool {
        tensor.trained || matches!(self, Self::Store(_))
    }
}

/// What gradients are multiplied by so that the norm of all of them together is at most `norm`, as in `torch.nn.utils.clip_grad_norm_`. The sums of
/// squares are of parts of the gradient that do not depend on who computed them.
pub fn clip_factor(squares: &[f64], norm: f64) -> f32 {
    (norm / (squares.iter().sum::<f64>().sqrt() + 1e-6)).min(1.0) as f32
}
