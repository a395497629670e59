//! Gathering the samples of a batch.

use super::augmenting::Augmenting;
use super::kernels::rows;
use crate::data::{Dataset, Features};
use crate::isa::{self, Isa};

/// Shuffled rows come from anywhere in memory: each row is prefetched this many rows before it is copied.
pub const PREFETCH_ROWS: usize = 3;

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
