//! What training changes.

use super::Buffer;
use crate::error::Result;

/// What training changes: the parameters, the optimizer's moments, and a moving average of the parameters if there is one; each a flat vector as long as the
/// [`crate::model::Layout`].
#[derive(Clone, Debug)]
pub struct State {
    /// Weights and biases.
    pub(crate) params: Buffer,
    /// First moments; of stochastic gradient descent, the velocities.
    pub(crate) m: Buffer,
    /// Second moments.
    pub(crate) v: Buffer,
    /// The moving average of the parameters; empty if there is none.
    pub(crate) average: Buffer,
    /// The number of steps taken.
    pub(crate) steps: u64,
}

impl State {
    /// The state before the first step.
    ///
    /// # Errors
    /// If memory cannot be allocated.
    pub fn new(params: &[f32]) -> Result<Self> {
        Ok(Self {
            params: Buffer::copy_of(params, "the network")?,
            m: Buffer::zeros(params.len(), "the optimizer")?,
            v: Buffer::zeros(params.len(), "the optimizer")?,
            average: Buffer::zeros(0, "the average")?,
            steps: 0,
        })
    }

    /// Adds a moving average of the parameters, before the first step.
    ///
    /// # Errors
    /// If memory cannot be allocated.
    pub fn start_average(&mut self) -> Result<()> {
        self.average = Buffer::copy_of(&self.params, "the average")?;
        Ok(())
    }

    /// What predictions are made with: the moving average of the parameters if there is one, else the parameters.
    pub fn weights(&self) -> &[f32] {
        if self.average.is_empty() { &self.params } else { &self.average }
    }

    /// The same to change.
    pub(crate) fn weights_mut(&mut self) -> &mut [f32] {
        if self.average.is_empty() { &mut self.params } else { &mut self.average }
    }

    /// The moving average of the parameters; empty if there is none.
    pub fn average(&self) -> &[f32] {
        &self.average
    }

    /// Weights and biases.
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// First moments; of stochastic gradient descent, the velocities.
    pub fn m(&self) -> &[f32] {
        &self.m
    }

    /// Second moments.
    pub fn v(&self) -> &[f32] {
        &self.v
    }

    /// The number of steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }
}
