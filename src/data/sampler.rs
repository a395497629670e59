//! The order in which an epoch sees the training examples.

use crate::rng::{Purpose, Rng};

/// Writes the order of an epoch into `order`: `rows` as they are, or shuffled by (seed, epoch).
///
/// Epochs count from 1. The order depends on nothing else, so a resumed run sees the same order as an uninterrupted one.
pub fn epoch_order(order: &mut Vec<u32>, rows: &[u32], shuffle: bool, seed: u64, epoch: usize) {
    order.clear();
    order.extend_from_slice(rows);
    if shuffle {
        Rng::new(seed, Purpose::Shuffle, epoch as u64).shuffle(order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_permutations_that_depend_on_seed_and_epoch_alone() {
        let rows: Vec<u32> = (10..110).collect();
        let order = |shuffle, seed, epoch| {
            let mut order = vec![99; 7];
            epoch_order(&mut order, &rows, shuffle, seed, epoch);
            order
        };
        assert_eq!(order(false, 0, 1), rows);
        assert_eq!(order(true, 0, 2), order(true, 0, 2));
        assert_ne!(order(true, 0, 1), order(true, 0, 2));
        assert_ne!(order(true, 0, 1), order(true, 1, 1));
        let mut sorted = order(true, 0, 1);
        sorted.sort_unstable();
        assert_eq!(sorted, rows);
    }
}
