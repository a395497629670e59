//! The order in which the inputs of the first layer lie, and the samples of a batch.

use crate::data::{Dataset, Features};

/// The side of a square of pixels whose values follow each other: 16 of them.
pub const SIDE: usize = 4;

/// How inputs are ordered: neighbours in an image lie together, so that they are blank together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputOrder {
    /// As in the data.
    Given,
    /// Square after square of 4x4 pixels, each row by row, of images with as many columns.
    Squares {
        /// Columns of the image, a multiple of 4.
        columns: usize,
    },
}

impl InputOrder {
    /// The order for a data set: squares for grey images of whole squares.
    pub fn of(data: &Dataset) -> Self {
        match (data.features(), data.image()) {
            (Features::U8(_), Some((rows, columns)))
                if data.channels() == 1
                    && rows.is_multiple_of(SIDE)
                    && columns.is_multiple_of(SIDE)
                    && rows * columns == data.n_features() =>
            {
                Self::Squares { columns }
            }
            _ => Self::Given,
        }
    }

    /// The input that lies at a position.
    pub fn input(self, position: usize) -> usize {
        match self {
            Self::Given => position,
            Self::Squares { columns } => {
                let (square, within) = (position / (SIDE * SIDE), position % (SIDE * SIDE));
                let in_line = columns / SIDE;
                let line = square / in_line * SIDE + within / SIDE;
                line * columns + square % in_line * SIDE + within % SIDE
            }
        }
    }
}

/// Copies `order` with the samples of each batch sorted by their labels, equal ones as they were: neighbours then have much the same zeros.
/// Nothing but the order of sums depends on where a sample is within its batch.
pub fn sort_by_label(
    sorted: &mut Vec<u32>,
    counts: &mut [u32],
    order: &[u32],
    labels: &[u32],
    batch_size: usize,
) {
    sorted.clear();
    sorted.resize(order.len(), 0);
    for (to, batch) in sorted.chunks_mut(batch_size).zip(order.chunks(batch_size)) {
        // counts[c] becomes where the next sample of class c goes
        counts.fill(0);
        for &sample in batch {
            counts[labels[sample as usize] as usize] += 1;
        }
        let mut start = 0;
        for count in counts.iter_mut() {
            (*count, start) = (start, start + *count);
        }
        for &sample in batch {
            let next = &mut counts[labels[sample as usize] as usize];
            to[*next as usize] = sample;
            *next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_cover_an_image_once() {
        let order = InputOrder::Squares { columns: 8 };
        let found: Vec<usize> = (0..96).map(|position| order.input(position)).collect();
        assert_eq!(found[..18], [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27, 4, 5]);
        assert_eq!(found[32], 32);
        let mut sorted = found.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..96));
        assert_eq!(InputOrder::Given.input(7), 7);
    }

    #[test]
    fn samples_are_sorted_within_batches() {
        let labels = [2, 0, 1, 0, 2, 1, 0];
        let (mut sorted, mut counts) = (vec![9], [7; 3]);
        sort_by_label(&mut sorted, &mut counts, &[6, 5, 4, 3, 2, 1, 0], &labels, 4);
        assert_eq!(sorted, [6, 3, 5, 4, 1, 2, 0]);
    }
}
