//! Whether leaving out the zeros of the inputs pays: decided once for a pass, from a few samples. What is computed does not depend on it.

use crate::data::{Dataset, Features};

/// With a larger share of values that are not zero, nothing is looked for.
const DENSEST: f64 = 0.6;

/// Tiles leave zeros out if, on average, at most this share of the inputs is not zero throughout a tile: lists cost something too.
const FULLEST_TILE: f64 = 0.75;

/// How many samples or tiles are looked at, about.
const SAMPLES: usize = 200;
const TILES: usize = 32;

/// Whether a data set has many zeros.
pub fn may_pay(data: &Dataset) -> bool {
    let samples: Vec<u32> = (0..data.len())
        .step_by((data.len() / SAMPLES).max(1))
        .map(|sample| sample as u32)
        .collect();
    share(data, samples.chunks(1)) <= DENSEST
}

/// Whether neighbours among some samples have zeros in common, for tiles of so many rows.
pub fn pay(data: &Dataset, samples: &[u32], rows: usize) -> bool {
    let step = (samples.len() / rows / TILES).max(1);
    share(data, samples.chunks(rows).step_by(step)) <= FULLEST_TILE
}

/// The share of the inputs that are not zero throughout a tile of samples, on average.
fn share<'a>(data: &Dataset, tiles: impl Iterator<Item = &'a [u32]>) -> f64 {
    let n = data.n_features();
    let mut any = vec![false; n];
    let (mut filled, mut count) = (0, 0);
    for tile in tiles {
        any.fill(false);
        for &sample in tile {
            let range = sample as usize * n..(sample as usize + 1) * n;
            match data.features() {
                Features::U8(values) => {
                    any.iter_mut().zip(&values[range]).for_each(|(any, x)| *any |= *x != 0);
                }
                Features::F32(values) => {
                    any.iter_mut().zip(&values[range]).for_each(|(any, x)| *any |= *x != 0.0);
                }
            }
        }
        filled += any.iter().filter(|any| **any).count();
        count += 1;
    }
    filled as f64 / (count * n).max(1) as f64
}
