//! How work is cut: by sizes and the number of workers alone, so that results do not depend on who does what; where asked
//! for, by sizes alone, so that they do not depend on the number of workers either.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The part of `0..total` that belongs to a worker: contiguous, in order, sizes differing by at most one.
pub fn share(total: usize, worker: usize, workers: usize) -> Range<usize> {
    let cut = |i: usize| (total as u128 * i as u128 / workers as u128) as usize;
    cut(worker)..cut(worker + 1)
}

/// Cuts a range into even pieces of at most `size`.
pub fn blocks(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let count = range.len().div_ceil(size);
    (0..count).map(move |i| {
        let piece = share(range.len(), i, count);
        range.start + piece.start..range.start + piece.end
    })
}

/// How the work of a step is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// How many workers there are.
    pub workers: usize,
    /// Whether the cuts are the same for any number of workers.
    pub fixed: bool,
}

/// A quarter of a batch is cut into small pieces where each of them has so many rows: fewer do not repay what a product packs.
const SMALL_BATCH_PIECE: usize = 96;

/// A quarter of a layer's rows is cut into small pieces where each of them has so many, likewise.
const SMALL_LAYER_PIECE: usize = 48;

/// Rows of a piece of a batch, and of a layer, at most, where cuts are fixed.
const FIXED_BATCH_PIECE: usize = 64;
const FIXED_LAYER_PIECE: usize = 128;

/// Where a worker has fewer rows of a batch than this, a layer that is as wide as the batch is cut by its width instead:
/// each weight is then packed by one worker and not by all, which repays a meeting before the next layer.
const FEW_ROWS: usize = 128;

// a batch with small pieces, which workers draw until none is left, has no layer behind which all meet
const _: () = assert!(FEW_ROWS <= 4 * SMALL_BATCH_PIECE);

/// From so many rows a worker on, products that leave out blank inputs repay the copying of the weights of the others.
const PICK_FROM_ROWS: usize = 32;

impl Partition {
    /// The rows of a batch.
    pub fn batch(self, rows: usize) -> Pieces {
        match self.fixed {
            true => Pieces::fixed(rows, FIXED_BATCH_PIECE),
            false => Pieces::new(rows, self.workers, SMALL_BATCH_PIECE),
        }
    }

    /// The rows of a layer's weights.
    pub fn layer(self, rows: usize) -> Pieces {
        match self.fixed {
            true => Pieces::fixed(rows, FIXED_LAYER_PIECE),
            false => Pieces::new(rows, self.workers, SMALL_LAYER_PIECE),
        }
    }

    /// Whether wide layers are cut by columns for such a batch.
    pub fn cuts_columns(self, batch: usize) -> bool {
        !self.fixed && self.workers > 1 && batch < FEW_ROWS * self.workers
    }

    /// Whether steps with such batches look at which inputs are blank.
    pub fn picking_pays(self, batch: usize) -> bool {
        batch >= PICK_FROM_ROWS * if self.fixed { 2 } else { self.workers }
    }
}

/// A phase's rows: a large piece for each worker, and, where there are enough rows, as many small ones for whoever comes first.
///
/// Cores are rarely equally fast: another program, or another machine on the same host, slows one of them. The small
/// pieces, a quarter of the rows, let the faster worker take more, while each piece is computed as it would be by anyone.
///
/// Fixed pieces are all of them for whoever comes first, and do not depend on the number of workers.
#[derive(Clone, Copy, Debug)]
pub struct Pieces {
    total: usize,
    /// The rows of the large pieces.
    large: usize,
    /// The number of large pieces, and of small ones.
    counts: [usize; 2],
}

impl Pieces {
    /// Pieces of `total` rows; there are small ones where each has `least` rows or more.
    pub fn new(total: usize, workers: usize, least: usize) -> Self {
        let small = if workers > 1 { total / 4 } else { 0 };
        let small = if small / workers >= least { small } else { 0 };
        let smalls = if small > 0 { workers } else { 0 };
        Self { total, large: total - small, counts: [workers, smalls] }
    }

    /// Even pieces of at most `most` rows.
    pub fn fixed(total: usize, most: usize) -> Self {
        Self { total, large: 0, counts: [0, total.div_ceil(most)] }
    }

    /// How many there are in all.
    pub fn count(self) -> usize {
        self.counts[0] + self.counts[1]
    }

    /// How many are for whoever comes first.
    pub fn small(self) -> usize {
        self.counts[1]
    }

    /// The number of the first small piece.
    pub fn first_small(self) -> usize {
        self.counts[0]
    }

    /// The large piece of a worker.
    pub fn own(self, worker: usize) -> Option<usize> {
        (worker < self.counts[0]).then_some(worker)
    }

    /// The rows of a piece: first the large ones, by worker, then the small ones.
    pub fn rows(self, piece: usize) -> Range<usize> {
        match piece.checked_sub(self.counts[0]) {
            None => share(self.large, piece, self.counts[0]),
            Some(small) => {
                let piece = share(self.total - self.large, small, self.counts[1]);
                self.large + piece.start..self.large + piece.end
            }
        }
    }
}

/// Hands out numbers, each to one worker, anew in every phase.
///
/// Phases are numbered from 0, and all workers meet between two of them. Only three can be in sight: workers hold phase
/// `p`, what was drawn in `p - 1` is forgotten, and `p + 1` is made ready meanwhile.
#[derive(Debug, Default)]
pub struct Turns {
    next: [AtomicUsize; 3],
}

impl Turns {
    /// The next number below `count` that nobody has drawn in this phase.
    pub fn draw(&self, phase: usize, count: usize) -> Option<usize> {
        // Relaxed: the number is all that passes here; what it stands for is ordered by the meetings
        let number = self.next[phase % 3].fetch_add(1, Ordering::Relaxed);
        (number < count).then_some(number)
    }

    /// Makes the next phase ready. For one of the workers, within a phase.
    pub fn ready_next(&self, phase: usize) {
        self.next[(phase + 1) % 3].store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_everything_evenly() {
        for total in [0, 1, 2, 7, 100, 101] {
            for workers in [1, 2, 3, 64] {
                let shares: Vec<_> = (0..workers).map(|w| share(total, w, workers)).collect();
                assert_eq!((shares[0].start, shares[workers - 1].end), (0, total));
                assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
                let sizes = shares.iter().map(ExactSizeIterator::len);
                assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1);
            }
        }
    }

    #[test]
    fn blocks_are_even_and_cover_the_range() {
        for (start, end, size, expected) in
            [(3, 3, 5, 0), (3, 4, 5, 1), (0, 392, 334, 2), (7, 100, 10, 10), (0, 10, 1, 10)]
        {
            let blocks: Vec<_> = blocks(start..end, size).collect();
            assert_eq!(blocks.len(), expected);
            assert!(blocks.iter().all(|block| !block.is_empty() && block.len() <= size));
            let covered: Vec<usize> = blocks.into_iter().flatten().collect();
            assert!(covered.into_iter().eq(start..end));
        }
    }

    #[test]
    fn pieces_cover_the_rows_in_order() {
        for (total, workers, least, count) in [
            (0, 2, 8, 2),
            (100, 1, 8, 1),
            (63, 2, 8, 2),
            (64, 2, 8, 4),
            (1000, 3, 32, 6),
            (9, 4, 0, 8),
        ] {
            let pieces = Pieces::new(total, workers, least);
            assert_eq!(pieces.count(), count, "{total} {workers} {least}");
            let covered: Vec<usize> = (0..count).flat_map(|piece| pieces.rows(piece)).collect();
            assert!(covered.into_iter().eq(0..total));
            let small = (workers..count).map(|piece| pieces.rows(piece).len());
            assert!(small.into_iter().all(|rows| rows >= least.min(total / 8)));
        }
    }

    #[test]
    fn fixed_pieces_cover_the_rows_and_belong_to_nobody() {
        for (total, count) in [(0, 0), (1, 1), (64, 1), (65, 2), (500, 8)] {
            let pieces = Pieces::fixed(total, 64);
            assert_eq!((pieces.count(), pieces.small(), pieces.own(0)), (count, count, None));
            assert!((0..count).flat_map(|piece| pieces.rows(piece)).eq(0..total));
            assert!((0..count).all(|piece| pieces.rows(piece).len() <= 64));
        }
        let cuts = |workers: usize| {
            let partition = Partition { workers, fixed: true };
            let rows = |pieces: Pieces| (0..pieces.count()).map(move |i| pieces.rows(i));
            let all: Vec<_> = [1, 63, 100, 1000]
                .into_iter()
                .flat_map(|n| rows(partition.batch(n)).chain(rows(partition.layer(n))))
                .collect();
            (all, [1, 63, 64, 1000].map(|n| (partition.cuts_columns(n), partition.picking_pays(n))))
        };
        assert!([2, 3, 8, 64].into_iter().all(|workers| cuts(workers) == cuts(1)));
    }

    #[test]
    fn every_number_is_drawn_once_in_every_phase() {
        let turns = Turns::default();
        let barrier = std::sync::Barrier::new(3);
        let drawn: Vec<Vec<(usize, usize)>> = std::thread::scope(|scope| {
            let worker = |worker: usize| {
                let (turns, barrier) = (&turns, &barrier);
                move || {
                    let mut drawn = Vec::new();
                    for phase in 0..50 {
                        while let Some(number) = turns.draw(phase, 7) {
                            drawn.push((phase, number));
                        }
                        if worker == 0 {
                            turns.ready_next(phase);
                        }
                        barrier.wait();
                    }
                    drawn
                }
            };
            let threads: Vec<_> = (0..3).map(|i| scope.spawn(worker(i))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut all: Vec<_> = drawn.into_iter().flatten().collect();
        all.sort_unstable();
        let expected = (0..50).flat_map(|phase| (0..7).map(move |number| (phase, number)));
        assert!(all.into_iter().eq(expected));
    }
}
