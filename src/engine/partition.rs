//! How work is cut into chunks and blocks.
//!
//! The cuts follow from the sizes and the number of workers, so results do not depend on which worker computes what. For a
//! result that must not depend on the number of workers either, the cuts follow from the sizes alone.
//!
//! Four words have one meaning each, here and in [`crate::gemm`]:
//!
//! - A **chunk** is a unit of work for one worker: consecutive rows of a batch (phase 1 of a step), of a layer's `w` with the
//!   same entries of its `b` (phase 2), or consecutive samples of an evaluation. With panels, phase 2 has panels of a layer's inputs, or of its
//!   outputs.
//! - A **block** is as much of a matrix as a worker keeps in a cache while it works on it: rows of a weight gradient, of
//!   gathered weights or of logits; in a product, a packed rectangle of B.
//! - A **panel** is a strip of a product's operand in the order in which the innermost loop reads it. In `gemm`, a copy of up to 12 rows of
//!   A, or of up to two vectors of columns of B; in `engine::packed`, the form in which a matrix lies: two vectors of columns of all its rows.
//! - A **tile** is a rectangle of C whose sums stay in registers while k runs: the rows of a panel of A by the columns of a
//!   panel of B.

use std::ops::Range;

/// Range number `index` of `count` ranges that cover `0..total`: contiguous, in order, sizes differing by at most one.
pub fn even_range(total: usize, index: usize, count: usize) -> Range<usize> {
    let bound = |i: usize| (total as u128 * i as u128 / count as u128) as usize;
    bound(index)..bound(index + 1)
}

/// Cuts a range into even blocks of at most `size`: those of [`even_range`], without a division for each.
pub fn blocks(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let count = range.len().div_ceil(size);
    let (whole, part) = match count {
        0 => (0, 0),
        _ => (range.len() / count, range.len() % count),
    };
    // after i blocks, `parts` is i * part modulo the count
    let (mut start, mut parts) = (range.start, 0);
    (0..count).map(move |_| {
        let first = start;
        (start, parts) = (start + whole, parts + part);
        if parts >= count {
            (start, parts) = (start + 1, parts - count);
        }
        first..start
    })
}

/// How the work of a step is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The number of workers.
    pub workers: usize,
    /// Whether the cuts are the same for any number of workers.
    pub fixed: bool,
}

/// A quarter of a batch is drawn where each drawn chunk has at least this many rows: fewer do not repay the packing of a
/// product's operands.
const MIN_DRAWN_BATCH_ROWS: usize = 96;

/// A quarter of a layer's rows is drawn where each drawn chunk has at least this many, for the same reason.
const MIN_DRAWN_LAYER_ROWS: usize = 48;

/// The most rows in a chunk of a batch, and of a layer, where the cuts are fixed.
const FIXED_BATCH_CHUNK_ROWS: usize = 64;
const FIXED_LAYER_CHUNK_ROWS: usize = 128;

/// Where a worker has fewer rows of a batch than this, a layer that is as wide as the batch is split by columns instead: one
/// worker then packs each weight, instead of all of them, which repays a barrier before the next layer.
const SPLIT_COLUMNS_BELOW_ROWS: usize = 128;

// A batch must not be split by columns and also have chunks to draw: splitting puts barriers between layers, and workers that
// draw different numbers of chunks would not reach them equally often.
const _: () = assert!(SPLIT_COLUMNS_BELOW_ROWS <= 4 * MIN_DRAWN_BATCH_ROWS);

/// With at least this many rows per worker, products that leave out the inputs that are zero throughout a batch repay the
/// gathering of the weights of the others.
const GATHER_COLUMNS_FROM_ROWS: usize = 32;

impl Partition {
    /// The chunks of a batch of `rows` rows.
    pub fn batch(self, rows: usize) -> Chunks {
        match self.fixed {
            true => Chunks::fixed(rows, FIXED_BATCH_CHUNK_ROWS),
            false => Chunks::balanced(rows, self.workers, MIN_DRAWN_BATCH_ROWS),
        }
    }

    /// The chunks of a layer whose `w` has `rows` rows.
    pub fn layer(self, rows: usize) -> Chunks {
        match self.fixed {
            true => Chunks::fixed(rows, FIXED_LAYER_CHUNK_ROWS),
            false => Chunks::balanced(rows, self.workers, MIN_DRAWN_LAYER_ROWS),
        }
    }

    /// Whether wide layers are split by columns for a batch of this size.
    pub fn splits_columns(self, batch: usize) -> bool {
        !self.fixed && self.workers > 1 && batch < SPLIT_COLUMNS_BELOW_ROWS * self.workers
    }

    /// Whether a step with a batch of this size looks for inputs that are zero throughout the batch.
    pub fn looks_for_zero_columns(self, batch: usize) -> bool {
        batch >= GATHER_COLUMNS_FROM_ROWS * if self.fixed { 2 } else { self.workers }
    }
}

/// The chunks of a phase's rows: a large one assigned to each worker and, where there are enough rows, as many small ones for
/// whichever worker is free first.
///
/// Cores are rarely equally fast: another program, or another machine on the same host, slows one of them. The drawn chunks,
/// a quarter of the rows, let the faster worker take more; who computes a chunk changes nothing in it.
///
/// Fixed chunks are all drawn, and do not depend on the number of workers.
#[derive(Clone, Copy, Debug)]
pub struct Chunks {
    total: usize,
    /// The rows of all assigned chunks together. They come first.
    assigned_rows: usize,
    /// The number of assigned chunks.
    assigned: usize,
    /// The number of drawn chunks.
    drawn: usize,
}

impl Chunks {
    /// Chunks of `total` rows; a quarter is drawn if each drawn chunk then has at least `min_drawn_rows` rows.
    pub fn balanced(total: usize, workers: usize, min_drawn_rows: usize) -> Self {
        let drawn_rows = if workers > 1 { total / 4 } else { 0 };
        let drawn_rows = if drawn_rows / workers >= min_drawn_rows { drawn_rows } else { 0 };
        let drawn = if drawn_rows > 0 { workers } else { 0 };
        Self { total, assigned_rows: total - drawn_rows, assigned: workers, drawn }
    }

    /// Chunks of `total` units of work that need no rows beside them: a quarter of them is drawn, one at a time.
    pub fn of_units(total: usize, workers: usize) -> Self {
        let drawn = if workers > 1 { total / 4 } else { 0 };
        Self { total, assigned_rows: total - drawn, assigned: workers, drawn }
    }

    /// Even chunks of `total` units, all of them assigned.
    pub fn assigned(total: usize, workers: usize) -> Self {
        Self { total, assigned_rows: total, assigned: workers, drawn: 0 }
    }

    /// Even chunks of at most `max_rows` rows, all of them drawn.
    pub fn fixed(total: usize, max_rows: usize) -> Self {
        Self { total, assigned_rows: 0, assigned: 0, drawn: total.div_ceil(max_rows) }
    }

    /// The number of all chunks.
    pub fn count(self) -> usize {
        self.assigned + self.drawn
    }

    /// The number of drawn chunks.
    pub fn drawn(self) -> usize {
        self.drawn
    }

    /// The number of the first drawn chunk.
    pub fn first_drawn(self) -> usize {
        self.assigned
    }

    /// The number of the chunk that is assigned to a worker.
    pub fn assigned_to(self, worker: usize) -> Option<usize> {
        (worker < self.assigned).then_some(worker)
    }

    /// The rows of a chunk. Chunks are numbered from 0: first the assigned ones, by worker, then the drawn ones.
    pub fn rows(self, chunk: usize) -> Range<usize> {
        match chunk.checked_sub(self.assigned) {
            None => even_range(self.assigned_rows, chunk, self.assigned),
            Some(drawn) => {
                let rows = even_range(self.total - self.assigned_rows, drawn, self.drawn);
                self.assigned_rows + rows.start..self.assigned_rows + rows.end
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_ranges_cover_everything_evenly() {
        for total in [0, 1, 2, 7, 100, 101] {
            for count in [1, 2, 3, 64] {
                let ranges: Vec<_> = (0..count).map(|i| even_range(total, i, count)).collect();
                assert_eq!((ranges[0].start, ranges[count - 1].end), (0, total));
                assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
                let sizes = ranges.iter().map(ExactSizeIterator::len);
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
            for (i, block) in blocks.iter().enumerate() {
                let even = even_range(end - start, i, expected);
                assert_eq!(*block, start + even.start..start + even.end);
            }
            let covered: Vec<usize> = blocks.into_iter().flatten().collect();
            assert!(covered.into_iter().eq(start..end));
        }
    }

    #[test]
    fn chunks_cover_the_rows_in_order() {
        for (total, workers, min_drawn_rows, count) in [
            (0, 2, 8, 2),
            (100, 1, 8, 1),
            (63, 2, 8, 2),
            (64, 2, 8, 4),
            (1000, 3, 32, 6),
            (9, 4, 0, 8),
        ] {
            let chunks = Chunks::balanced(total, workers, min_drawn_rows);
            assert_eq!(chunks.count(), count, "{total} {workers} {min_drawn_rows}");
            let covered: Vec<usize> = (0..count).flat_map(|chunk| chunks.rows(chunk)).collect();
            assert!(covered.into_iter().eq(0..total));
            let mut drawn = (workers..count).map(|chunk| chunks.rows(chunk).len());
            assert!(drawn.all(|rows| rows >= min_drawn_rows.min(total / 8)));
        }
    }

    #[test]
    fn fixed_chunks_cover_the_rows_and_are_all_drawn() {
        for (total, count) in [(0, 0), (1, 1), (64, 1), (65, 2), (500, 8)] {
            let chunks = Chunks::fixed(total, 64);
            let found = (chunks.count(), chunks.drawn(), chunks.assigned_to(0));
            assert_eq!(found, (count, count, None));
            assert!((0..count).flat_map(|chunk| chunks.rows(chunk)).eq(0..total));
            assert!((0..count).all(|chunk| chunks.rows(chunk).len() <= 64));
        }
        let cuts = |workers: usize| {
            let partition = Partition { workers, fixed: true };
            let rows = |chunks: Chunks| (0..chunks.count()).map(move |i| chunks.rows(i));
            let all: Vec<_> = [1, 63, 100, 1000]
                .into_iter()
                .flat_map(|n| rows(partition.batch(n)).chain(rows(partition.layer(n))))
                .collect();
            let decisions = |n| (partition.splits_columns(n), partition.looks_for_zero_columns(n));
            (all, [1, 63, 64, 1000].map(decisions))
        };
        assert!([2, 3, 8, 64].into_iter().all(|workers| cuts(workers) == cuts(1)));
    }
}
