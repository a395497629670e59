//! Augmentation of images by the workers of a training.

use crate::data::{Augment, Augmenter, ImageShape};

/// What a worker augments images with.
#[derive(Debug)]
pub struct WorkerAugmenter {
    augmenter: Augmenter,
    /// An image.
    values: Vec<f32>,
}

impl WorkerAugmenter {
    pub fn new(augment: Augment, shape: ImageShape) -> Self {
        Self { augmenter: Augmenter::new(augment, shape), values: vec![0.0; shape.n_values()] }
    }
}

/// Augmentation in an epoch of a training.
pub struct Augmenting<'a> {
    worker: &'a mut WorkerAugmenter,
    seed: u64,
    epoch: u64,
}

impl<'a> Augmenting<'a> {
    /// The augmentation of an epoch, by what a worker has for it.
    pub fn new(worker: &'a mut WorkerAugmenter, seed: u64, epoch: u64) -> Self {
        Self { worker, seed, epoch }
    }

    /// An augmented sample.
    pub fn sample(&mut self, pixels: &[u8], sample: u32) -> &[f32] {
        let WorkerAugmenter { augmenter, values } = &mut *self.worker;
        augmenter.augment(values, pixels, self.seed, self.epoch as usize, sample);
        values
    }
}
