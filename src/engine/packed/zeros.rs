//! Whether leaving out the zeros of the inputs pays: decided once for a pass. What is computed does not depend on it.
//! Which tiles do it.

use crate::data::Dataset;

/// With a larger share of values that are not zero, nothing is looked for.
const DENSEST: f64 = 0.6;

/// Tiles leave zeros out if, on average, at most this share of the inputs is not zero throughout a tile: lists cost something too.
const FULLEST_TILE: f64 = 0.75;

/// How many tiles are looked at, about.
const TILES: usize = 32;

/// Whether a data set has many zeros.
pub fn may_pay(data: &Dataset) -> bool {
    data.occupancy().density() <= DENSEST
}

/// Whether neighbours among some samples have zeros in common, for tiles of so many rows.
pub fn pay(data: &Dataset, samples: &[u32], rows: usize) -> bool {
    let occupancy = data.occupancy();
    let mut union = vec![0; occupancy.words_per_sample()];
    let (mut filled, mut tiles) = (0, 0);
    let step = (samples.len() / rows / TILES).max(1);
    for tile in samples.chunks(rows).step_by(step) {
        occupancy.union_of(&mut union, tile);
        filled += union.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
        tiles += 1;
    }
    filled as f64 <= FULLEST_TILE * (tiles * data.n_features()) as f64
}

/// The most rows in a tile that leaves zeros out, of those that tiles may have: with fewer rows, more is zero throughout a tile, and with 12 vectors
/// of sums the multiplications are still what takes the time.
pub fn sparse_rows(max_rows: usize) -> usize {
    max_rows.min(6)
}
