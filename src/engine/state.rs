//! What training changes.

use super::Buffer;
use crate::error::Result;

/// What training changes: the parameters and Adam's moments, each a flat vector as long as the [`crate::model::Layout`].
#[derive(Clone, Debug)]
pub struct State {
    /// Weights and biases.
    pub(crate) params: Buffer,
    /// First moments.
    pub(crate) m: Buffer,
    /// Second moments.
    pub(crate) v: Buffer,
    /// The number of Adam steps taken.
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
            steps: 0,
        })
    }

    /// Weights and biases.
    pub fn params(&self) -> &[f32] {
        &self.params
    }

    /// First moments.
    pub fn m(&self) -> &[f32] {
        &self.m
    }

    /// Second moments.
    pub fn v(&self) -> &[f32] {
        &self.v
    }

    /// The number of Adam steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }
}
