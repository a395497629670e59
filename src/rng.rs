//! Random numbers: one seed, one generator, a stream for each purpose.
//!
//! The generator is xoshiro256++ (Blackman and Vigna, 2021), seeded with SplitMix64. A stream is a function of (seed, purpose,
//! index) alone, so resuming a run needs no saved random state. Streams use only integer and exactly rounded
//! floating-point operations, so every platform draws the same numbers.

use rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;

/// What a stream of random numbers is for. The discriminant is part of the stream's key: it must never change. It is combined with
/// the seed by an exclusive or, so that a new one has to be far from small numbers and from the others.
#[derive(Clone, Copy, Debug)]
#[repr(u64)]
pub enum Purpose {
    /// Initial weights; the index is the layer.
    Init = 1,
    /// The order of the training examples; the index is the epoch.
    Shuffle = 2,
    /// The parts of a data set; the index is the class.
    Split = 1 << 40,
    /// Dropout; the indices are the layer and the step.
    Dropout = 5 << 40,
    /// Gaussian noise, likewise.
    Noise = 6 << 40,
    /// The seed of a member of an ensemble; the index is the member.
    Member = 7 << 40,
    /// How a column is shuffled to see what it matters; the index is the repeat.
    Importance = 8 << 40,
    /// How an image is augmented; the index is the epoch in the upper half, the sample in the lower.
    Augment = 1 << 44,
}

/// A number that is made of a seed and what it is for, and differs with each of them.
#[inline(always)]
pub fn key(seed: u64, parts: &[u64]) -> u64 {
    parts.iter().fold(seed, |key, part| splitmix64(key ^ part))
}

/// The seed of a member of an ensemble, for its weights, noise, masks and images. That of the first one is the ensemble's own.
pub fn member_seed(seed: u64, member: usize) -> u64 {
    match member {
        0 => seed,
        _ => key(seed, &[Purpose::Member as u64, member as u64]),
    }
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng(Xoshiro256PlusPlus);

impl Rng {
    /// The stream of (seed, purpose, index).
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(key(seed, &[purpose as u64, index])))
    }

    /// A uniform integer in `0..bound`, without bias (Lemire, 2019).
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "below: bound is 0");
        let rejected_below = bound.wrapping_neg() % bound;
        loop {
            let product = u64::from(self.high_bits()) * u64::from(bound);
            if product as u32 >= rejected_below {
                return (product >> 32) as u32;
            }
        }
    }

    /// A uniform number in `-1..1`, a multiple of 2^-23.
    pub fn symmetric(&mut self) -> f32 {
        let bits = self.high_bits() >> 8; // 24 bits are exact in an f32
        bits as f32 * (1.0 / (1 << 23) as f32) - 1.0
    }

    /// A number of nearly the standard normal distribution: the sum of twelve uniform numbers, of at most 6, with a fourth moment of 2.9. No logarithm takes part, so that every
    /// platform draws the same bits.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.symmetric()).sum::<f32>() / 2.0
    }

    /// Shuffles in place (Fisher and Yates, in Durstenfeld's form).
    ///
    /// # Panics
    /// If there are more than `u32::MAX` items.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        assert!(u32::try_from(items.len()).is_ok(), "shuffle: {} items are too many", items.len());
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u32 + 1) as usize);
        }
    }

    fn high_bits(&mut self) -> u32 {
        (self.0.next_u64() >> 32) as u32
    }
}

/// One output of SplitMix64 (Steele, Lea and Flood, 2014). Mixes the parts of a stream's key.
#[inline(always)]
fn splitmix64(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_matches_the_reference() {
        // the first output of the reference implementation for seed 1234567
        assert_eq!(splitmix64(1_234_567), 6_457_827_717_110_365_317);
    }

    #[test]
    fn the_generator_is_xoshiro256plusplus() {
        // xoshiro256++ from the state 1, 2, 3, 4: first output of the reference implementation
        let mut seed = [0u8; 32];
        for (word, bytes) in (1u64..).zip(seed.chunks_exact_mut(8)) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let mut generator = Xoshiro256PlusPlus::from_seed(seed);
        assert_eq!(generator.next_u64(), 41_943_041);
        assert_eq!(generator.next_u64(), 58_720_359);
    }

    #[test]
    fn streams_differ_by_seed_purpose_and_index() {
        let draw = |seed, purpose, index| Rng::new(seed, purpose, index).below(u32::MAX);
        let draws = [
            draw(0, Purpose::Init, 0),
            draw(0, Purpose::Init, 1),
            draw(0, Purpose::Shuffle, 0),
            draw(0, Purpose::Shuffle, 1),
            draw(1, Purpose::Shuffle, 1),
            draw(0, Purpose::Split, 1),
        ];
        for (i, a) in draws.iter().enumerate() {
            assert!(!draws[i + 1..].contains(a), "{draws:?}");
        }
    }

    #[test]
    fn a_stream_never_changes() {
        // Saved runs depend on it: a change here breaks resuming and every published seed.
        let mut rng = Rng::new(0, Purpose::Shuffle, 1);
        let mut order: Vec<u32> = (0..10).collect();
        rng.shuffle(&mut order);
        assert_eq!(order, [3, 9, 1, 6, 7, 0, 2, 8, 5, 4]);
    }

    #[test]
    fn normal_numbers_have_the_moments_of_a_normal_distribution() {
        let mut rng = Rng::new(3, Purpose::Init, 0);
        let draws: Vec<f64> = (0..100_000).map(|_| f64::from(rng.normal())).collect();
        let moment = |k: i32| draws.iter().map(|x| x.powi(k)).sum::<f64>() / draws.len() as f64;
        let moments = [1, 2, 3, 4].map(moment);
        for (found, expected) in moments.iter().zip([0.0, 1.0, 0.0, 2.9]) {
            assert!((found - expected).abs() < 0.05, "{moments:?}");
        }
    }

    #[test]
    fn shuffle_permutes_and_below_is_uniform() {
        let mut rng = Rng::new(7, Purpose::Shuffle, 0);
        for n in [0usize, 1, 2, 17, 1000] {
            let mut items: Vec<usize> = (0..n).collect();
            rng.shuffle(&mut items);
            items.sort_unstable();
            assert!(items.iter().copied().eq(0..n));
        }
        let mut counts = [0u32; 6];
        for _ in 0..60_000 {
            counts[rng.below(6) as usize] += 1;
        }
        // six standard deviations of a binomial with p = 1/6
        assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 550), "{counts:?}");
    }

    #[test]
    fn symmetric_has_the_moments_of_a_uniform() {
        let mut rng = Rng::new(3, Purpose::Init, 0);
        let draws: Vec<f64> = (0..100_000).map(|_| f64::from(rng.symmetric())).collect();
        assert!(draws.iter().all(|x| (-1.0..1.0).contains(x)));
        let mean = draws.iter().sum::<f64>() / 1e5;
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.01, "{mean}");
        assert!((variance - 1.0 / 3.0).abs() < 0.01, "{variance}");
    }
}
