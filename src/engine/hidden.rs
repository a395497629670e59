//! What becomes of a layer's products: noise, bias, activation, dropout; and their slopes backward. Both backends call it for some units of some rows.
#![allow(unsafe_code)]

use std::ops::Range;

use super::augmenting::Augmenting;
use super::context::Context;
use super::kernels::random::{Place, add_noise, dropout};
use super::kernels::{activation, rows};
use crate::model::NORM_MOMENTUM;
use crate::rng::{Purpose, key};

/// A batch that is computed as in training.
#[derive(Clone, Copy, Debug)]
pub struct Training<'a> {
    /// The samples of the batch.
    pub batch: &'a [u32],
    /// The step by which disturbances are drawn; `None` if there are none.
    pub drawn: Option<Drawn>,
    /// What running statistics take over of the batch's: from 0 to 1.
    pub share: f32,
}

/// By what disturbances are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// The number of the step, from 1.
    pub step: u64,
    /// The epoch, by which images are augmented.
    pub epoch: u64,
}

impl<'a> Training<'a> {
    /// Of a step.
    pub fn step(step: u64, epoch: u64, batch: &'a [u32]) -> Self {
        Self { batch, drawn: Some(Drawn { step, epoch }), share: NORM_MOMENTUM }
    }

    /// Of some rows: the step and their samples, if they are disturbed.
    pub fn disturbed(&self, rows: Range<usize>) -> Option<(u64, &'a [u32])> {
        self.drawn.map(|drawn| (drawn.step, &self.batch[rows]))
    }
}

/// Some units of a layer, and the samples in which they are computed.
#[derive(Clone, Copy, Debug)]
pub struct Units<'a> {
    /// The layer; the inputs of the network are those before layer 0.
    pub layer: Option<usize>,
    pub first: usize,
    pub count: usize,
    /// If they are disturbed: the number of the step, and the sample of each row.
    pub training: Option<(u64, &'a [u32])>,
}

impl Context<'_> {
    /// `a = f(z + b)` in place, in training with the layer's noise before and dropout after it. `z` is (rows, units) and so is `slopes`, which receives the derivative of
    /// what comes out by `z`; it may be empty where that follows from the values.
    pub fn activate(&self, units: Units<'_>, z: &mut [f32], slopes: &mut [f32], b: &[f32]) {
        let Some(l) = units.layer else { return };
        let layer = &self.spec.layers()[l];
        self.add_noise(units, z);
        if layer.activation.derivative_follows_from_value() {
            activation::forward(self.isa, z, &mut [], b, layer.activation);
            if !slopes.is_empty() {
                slopes.fill(1.0);
                activation::backward(self.isa, slopes, z, layer.activation);
            }
        } else {
            activation::forward(self.isa, z, slopes, b, layer.activation);
        }
        self.drop_out(units, z, slopes);
    }

    /// The augmentation of a step of training, if there is one.
    ///
    /// # Safety
    /// In phase 1, by the worker of that number, and while no other result of this function is in use.
    pub unsafe fn augmenting(
        &self,
        worker: usize,
        training: Option<Training<'_>>,
    ) -> Option<Augmenting<'_>> {
        let drawn = training.filter(|_| self.augmenters.len() > 0)?.drawn?;
        // SAFETY: the caller's promise.
        let worker = unsafe { self.augmenters.write(worker..worker + 1) };
        Some(Augmenting::new(&mut worker[0], self.recipe.seed, drawn.epoch))
    }

    /// Disturbs the inputs (rows, units) of the network.
    pub fn disturb_inputs(&self, units: Units<'_>, inputs: &mut [f32]) {
        self.add_noise(units, inputs);
        self.drop_out(units, inputs, &mut []);
    }

    /// Makes `dz` of `da` (rows, units) in place: `kept` is what [`Context::activate`] left, the slopes if the layer keeps them, else the activations.
    pub fn differentiate(&self, l: usize, da: &mut [f32], kept: &[f32]) {
        let layer = &self.spec.layers()[l];
        match layer.keeps_slope() {
            true => rows::multiply(self.isa, da, kept),
            false => activation::backward(self.isa, da, kept, layer.activation),
        }
    }

    fn add_noise(&self, units: Units<'_>, values: &mut [f32]) {
        let deviation = self.spec.disturbance(units.layer).noise;
        if let Some(place) = self.place(units, Purpose::Noise, deviation) {
            add_noise(self.isa, values, place, deviation);
        }
    }

    fn drop_out(&self, units: Units<'_>, values: &mut [f32], slopes: &mut [f32]) {
        let rate = self.spec.disturbance(units.layer).dropout;
        if let Some(place) = self.place(units, Purpose::Dropout, rate) {
            dropout(self.isa, values, slopes, place, rate);
        }
    }

    /// Where random numbers are used, if there are any.
    fn place<'a>(&self, units: Units<'a>, purpose: Purpose, strength: f32) -> Option<Place<'a>> {
        let (step, samples) = units.training.filter(|_| strength > 0.0)?;
        let layer = units.layer.map_or(0, |l| l as u64 + 1);
        let key = key(self.recipe.seed, &[purpose as u64, layer, step]);
        Some(Place { key, samples, first_unit: units.first, units: units.count })
    }
}
