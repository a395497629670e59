//! Gathering the samples of a batch.

use super::context::Context;
use super::hidden::Training;
use super::kernels::rows;
use crate::data::{Augment, Augmenter, Dataset, Features, ImageShape};
use crate::isa::{self, Isa};

/// Shuffled rows come from anywhere in memory: each row is prefetched this many rows before it is copied.
pub const PREFETCH_ROWS: usize = 3;

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
    /// The augmentation of a step of training, if there is one.
    ///
    /// # Safety
    /// In phase 1, by the worker of that number, and while no other result of this function is in use.
    #[allow(unsafe_code)]
    pub unsafe fn of(
        context: &Context<'a>,
        worker: usize,
        training: Option<Training<'_>>,
    ) -> Option<Self> {
        let training = training.filter(|_| context.augmenters.len() > 0)?;
        // SAFETY: the caller's promise.
        let worker = unsafe { context.augmenters.write(worker..worker + 1) };
        let (seed, epoch) = (context.recipe.seed, training.epoch);
        Some(Self { worker: &mut worker[0], seed, epoch })
    }

    /// An augmented sample.
    pub fn sample(&mut self, pixels: &[u8], sample: u32) -> &[f32] {
        let WorkerAugmenter { augmenter, values } = &mut *self.worker;
        augmenter.augment(values, pixels, self.seed, self.epoch as usize, sample);
        values
    }
}

/// Copies samples into the rows of `out`, scaled to what the network sees, or augmented: `out` is (samples, n_features).
pub fn gather_samples(
    isa: Isa,
    out: &mut [f32],
    data: &Dataset,
    samples: &[u32],
    mut augmenting: Option<Augmenting<'_>>,
) {
    let n = data.n_features();
    let range = |sample: u32| sample as usize * n..(sample as usize + 1) * n;
    for (i, (row, &sample)) in out.chunks_exact_mut(n).zip(samples).enumerate() {
        let later = samples.get(i + PREFETCH_ROWS).map(|&sample| range(sample));
        match data.features() {
            Features::U8(pixels) => {
                later.into_iter().for_each(|later| isa::prefetch(&pixels[later]));
                match &mut augmenting {
                    Some(augmenting) => {
                        row.copy_from_slice(augmenting.sample(&pixels[range(sample)], sample));
                    }
                    None => rows::scale_pixels(isa, row, &pixels[range(sample)]),
                }
            }
            Features::F32(values) => {
                later.into_iter().for_each(|later| isa::prefetch(&values[later]));
                row.copy_from_slice(&values[range(sample)]);
            }
        }
    }
}
