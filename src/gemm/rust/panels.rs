//! Products of operands that lie in panels, so that nothing is packed: the tiles of a training step.
//!
//! A matrix (rows, columns) in panels of `L` columns, where `L` is two vectors of the instruction set, is
//! `[columns / L][rows][L]`: within a panel, a row of `L` values follows the row before. Columns beyond the last are 0. Activations and their gradients lie so
//! with the samples as rows; weights lie so transposed, (n_in, n_out), and for the backward pass as (n_out, n_in). Each then is what
//! its products want to read: a vector of `L` columns, or single values that are multiplied by such a vector.
//!
//! A tile of C has a few rows and the `L` columns of a panel; its sums stay in registers while k runs:
//!
//! - [`TileFn`] `along`: `C[i] += sum over p of A[i, p] B[p]`, where k runs along the columns of A, from panel to panel.
//!   It is both `z = a w^T` and `da = dz w`. The sums go on from what C holds: how k is cut into blocks changes no bit.
//! - `across`: `C[i] += sum over p of A[p, i] B[p]`, where k runs along the rows of A: samples, for `dw = a^T dz`. The products of a block are summed
//!   first: several processes may compute the blocks.
//! - Each also takes a list of those p at which A is not zero throughout the tile. Such tiles have few rows, so that more is zero throughout, and the
//!   columns of two panels where there are two, so that there are sums enough to hide the latency of a multiply-add.
//!
//! The layout is that of libxsmm's DNN kernels (Georganas et al., "Tensor Processing Primitives", 2021, arXiv 2104.05755).

use super::simd::Simd;
use super::tile::{PackRowsFn, for_each_row};
use crate::isa::{Isa, Level};

/// A product of one tile: `C <- A B`, or `C <- C + A B`.
pub struct Tile {
    /// The first value of A that the tile needs.
    pub a: *const f32,
    /// The distance between two panels of A; not used by `across`.
    pub a_panel_step: usize,
    /// The row of B at p = 0; its rows are `L` values apart.
    pub b: *const f32,
    /// The distance between two panels of B; not used by tiles of one panel.
    pub b_panel_step: usize,
    /// The tile's first row; its rows are `L` values apart.
    pub c: *mut f32,
    /// The distance between two panels of C; not used by tiles of one panel.
    pub c_panel_step: usize,
    /// The number of terms in each sum.
    pub k: usize,
    /// For a sparse tile, the `k` values of p; else not read.
    pub indices: *const u32,
    /// Whether the sums are added to what C holds; else C is not read.
    pub accumulate: bool,
}

/// The most panels in a tile, and the most rows of one that takes a list.
pub const PANELS: usize = 2;
pub const SPARSE_ROWS: usize = 3;

/// Computes a tile.
///
/// # Safety
/// The CPU has the instruction set; A and B can be read at every p (and, for `along`, at the rows of A that a prefetch skips, which
/// may be anywhere); C can be written and is reached through nothing else meanwhile.
pub type TileFn = unsafe fn(&Tile);

/// The functions for tiles of one size.
#[derive(Debug)]
pub struct TileFns {
    /// k runs along the columns of A.
    pub along: TileFn,
    /// k runs along the rows of A.
    pub across: TileFn,
}

/// The functions for one instruction set.
#[derive(Debug)]
pub struct Tiles {
    /// `L`, the number of columns in a panel.
    pub width: usize,
    /// The functions for tiles of 1, 2, 3, ... rows, all with the columns of one panel.
    pub rows: &'static [TileFns],
    /// The functions for the values of p in a list: for tiles of 1, 2, 3, ... rows, with the columns of one panel and of two.
    pub sparse: &'static [[TileFns; PANELS]; SPARSE_ROWS],
    /// Transposes: see [`Tiles::transpose`].
    transpose: PackRowsFn,
    multiply_adds: unsafe fn(u32, f32) -> f32,
}

/// The vectors of sums in [`Tiles::multiply_adds`]: enough to fill two pipelines of latency four, as many as a tile has.
const CHAINS: usize = 12;

impl Tiles {
    /// The functions for an instruction set.
    pub fn of(isa: Isa) -> &'static Self {
        match isa.0 {
            Level::Portable => &portable::TILES,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => &avx2::TILES,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => &avx512::TILES,
        }
    }

    /// The most rows in a tile.
    pub fn max_rows(&self) -> usize {
        self.rows.len()
    }

    /// Rounds of [`CHAINS`] multiply-adds of vectors in registers, which read and write no memory. Returns something to use, and how many floating-point
    /// operations they were.
    pub fn multiply_adds(&self, rounds: u32, factor: f32) -> (f32, f64) {
        let lanes = self.width / 2;
        // SAFETY: tiles exist for instruction sets of this CPU alone.
        let sum = unsafe { (self.multiply_adds)(rounds, factor) };
        (sum, 2.0 * (CHAINS * lanes) as f64 * f64::from(rounds))
    }

    /// `to[j, i] = from[i, j]` for some rows and columns; the rows of both are as many values apart as the steps say.
    ///
    /// # Safety
    /// The CPU has the instruction set; `from` has `rows` rows of `columns` values, and `to` can be written in as many columns.
    pub unsafe fn transpose(
        &self,
        (to, to_step): (*mut f32, usize),
        (from, from_step): (*const f32, usize),
        rows: usize,
        columns: usize,
    ) {
        let lanes = self.width / 2;
        let mut row = 0;
        // SAFETY: the caller's promises; a vector of rows is read only where there are as many.
        unsafe {
            while row + lanes <= rows {
                (self.transpose)(
                    to.add(row),
                    to_step,
                    from.add(row * from_step),
                    from_step,
                    columns,
                );
                row += lanes;
            }
            for row in row..rows {
                for column in 0..columns {
                    *to.add(column * to_step + row) = *from.add(row * from_step + column);
                }
            }
        }
    }
}

/// Counts a product of a layer, made of any number of tiles, among those of the Rust backend.
pub fn count_product() {
    super::CALLS.add_one();
}

/// The sums of a tile of `ROWS` rows and `PANELS` panels.
type Sums<V, const ROWS: usize, const PANELS: usize> = [[[V; 2]; PANELS]; ROWS];

/// What the sums of a tile begin with: with `FROM_C` what C holds, if the tile accumulates.
///
/// # Safety
/// As [`TileFn`].
#[inline(always)]
#[allow(clippy::needless_range_loop)] // plain indices with constant bounds are what the compiler unrolls
unsafe fn begin<V: Simd, const ROWS: usize, const PANELS: usize, const FROM_C: bool>(
    tile: &Tile,
) -> Sums<V, ROWS, PANELS> {
    // SAFETY: the caller's promises.
    unsafe {
        let mut sums = [[[V::zero(); 2]; PANELS]; ROWS];
        if FROM_C && tile.accumulate {
            for_each_row!(i < ROWS, {
                for j in 0..PANELS {
                    let c = tile.c.add(j * tile.c_panel_step + i * 2 * V::LANES);
                    sums[i][j] = [V::load(c), V::load(c.add(V::LANES))];
                }
            });
        }
        sums
    }
}

/// `sums[i] += A[i] B` for one p: the values of A are `a_step` apart, the panels of B `b_panel_step`.
///
/// # Safety
/// As [`TileFn`].
#[inline(always)]
#[allow(clippy::needless_range_loop)] // as above
unsafe fn add<V: Simd, const ROWS: usize, const PANELS: usize>(
    sums: &mut Sums<V, ROWS, PANELS>,
    (a, a_step): (*const f32, usize),
    (b, b_panel_step): (*const f32, usize),
) {
    // SAFETY: the caller's promises.
    unsafe {
        if PANELS == 1 {
            let [low, high] = [V::load(b), V::load(b.add(V::LANES))];
            for_each_row!(i < ROWS, {
                let row = V::splat(*a.add(i * a_step));
                sums[i][0] = [row.fma(low, sums[i][0][0]), row.fma(high, sums[i][0][1])];
            });
        } else {
            // the values of A wait in registers: they are fewer than the vectors of B
            let mut rows = [V::zero(); ROWS];
            for_each_row!(i < ROWS, {
                rows[i] = V::splat(*a.add(i * a_step));
            });
            for j in 0..PANELS {
                for half in 0..2 {
                    let column = V::load(b.add(j * b_panel_step + half * V::LANES));
                    for_each_row!(i < ROWS, {
                        sums[i][j][half] = rows[i].fma(column, sums[i][j][half]);
                    });
                }
            }
        }
    }
}

/// Stores the sums of a tile; those that did not begin with what C holds are added to it, if the tile accumulates.
///
/// # Safety
/// As [`TileFn`].
#[inline(always)]
#[allow(clippy::needless_range_loop)] // as above
unsafe fn end<V: Simd, const ROWS: usize, const PANELS: usize, const FROM_C: bool>(
    tile: &Tile,
    sums: Sums<V, ROWS, PANELS>,
) {
    // SAFETY: the caller's promises.
    unsafe {
        for_each_row!(i < ROWS, {
            for j in 0..PANELS {
                for half in 0..2 {
                    let c = tile.c.add(j * tile.c_panel_step + (2 * i + half) * V::LANES);
                    let sum = sums[i][j][half];
                    let adds = !FROM_C && tile.accumulate;
                    let sum = if adds { V::load(c).add(sum) } else { sum };
                    sum.store(c);
                }
            }
        });
    }
}

/// # Safety
/// As [`TileFn`].
#[inline(always)]
unsafe fn along<V: Simd, const ROWS: usize>(tile: &Tile) {
    let width = 2 * V::LANES;
    // SAFETY: the caller's promises.
    unsafe {
        let mut sums = begin::<V, ROWS, 1, true>(tile);
        let (mut a, mut b, mut left) = (tile.a, tile.b, tile.k);
        while left > 0 {
            let columns = left.min(width);
            // the rows of the next tile, in this panel
            for i in 0..ROWS {
                for line in (0..width).step_by(16) {
                    V::prefetch(a.wrapping_add((ROWS + i) * width + line));
                }
            }
            for p in 0..columns {
                add(&mut sums, (a.add(p), width), (b, 0));
                b = b.add(width);
            }
            a = a.wrapping_add(tile.a_panel_step);
            left -= columns;
        }
        end::<V, ROWS, 1, true>(tile, sums);
    }
}

/// # Safety
/// As [`TileFn`].
#[inline(always)]
unsafe fn along_sparse<V: Simd, const ROWS: usize, const PANELS: usize>(tile: &Tile) {
    let width = 2 * V::LANES;
    // SAFETY: the caller's promises.
    unsafe {
        let mut sums = begin::<V, ROWS, PANELS, true>(tile);
        for i in 0..tile.k {
            let p = *tile.indices.add(i) as usize;
            let a = tile.a.add(p / width * tile.a_panel_step + p % width);
            add(&mut sums, (a, width), (tile.b.add(p * width), tile.b_panel_step));
        }
        end::<V, ROWS, PANELS, true>(tile, sums);
    }
}

/// # Safety
/// As [`TileFn`].
#[inline(always)]
unsafe fn across<V: Simd, const ROWS: usize, const PANELS: usize, const SPARSE: bool>(tile: &Tile) {
    let width = 2 * V::LANES;
    // SAFETY: the caller's promises.
    unsafe {
        let mut sums = begin::<V, ROWS, PANELS, false>(tile);
        for i in 0..tile.k {
            let p = if SPARSE { *tile.indices.add(i) as usize } else { i };
            add(&mut sums, (tile.a.add(p * width), 1), (tile.b.add(p * width), tile.b_panel_step));
        }
        end::<V, ROWS, PANELS, false>(tile, sums);
    }
}

/// # Safety
/// The CPU has the instruction set.
#[inline(always)]
unsafe fn multiply_adds<V: Simd>(rounds: u32, factor: f32) -> f32 {
    // SAFETY: the caller's promise; `lanes` is as long as the longest vector.
    unsafe {
        let (factor, term) = (V::splat(factor), V::splat(0.5));
        let mut sums = [V::zero(); CHAINS];
        for _ in 0..rounds {
            for_each_row!(i < CHAINS, {
                sums[i] = sums[i].fma(factor, term);
            });
        }
        let mut total = 0.0;
        for sum in sums {
            let mut lanes = [0.0f32; 16];
            sum.store(lanes.as_mut_ptr());
            total += lanes.iter().sum::<f32>();
        }
        total
    }
}

/// Compiles the table of functions for one instruction set.
macro_rules! tiles {
    ($module:ident, $vector:ty, [$($rows:literal)*] $(, $features:literal)?) => {
        mod $module {
            use super::super::simd::{self, Simd};
            use super::{Tile, TileFns, Tiles};

            $(#[target_feature(enable = $features)])?
            unsafe fn along<const ROWS: usize>(tile: &Tile) {
                // SAFETY: the caller's promises.
                unsafe { super::along::<$vector, ROWS>(tile) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn along_sparse<const ROWS: usize, const PANELS: usize>(tile: &Tile) {
                // SAFETY: the caller's promises.
                unsafe { super::along_sparse::<$vector, ROWS, PANELS>(tile) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn across<const ROWS: usize, const PANELS: usize, const SPARSE: bool>(
                tile: &Tile,
            ) {
                // SAFETY: the caller's promises.
                unsafe { super::across::<$vector, ROWS, PANELS, SPARSE>(tile) }
            }

            const fn sparse<const ROWS: usize>() -> [TileFns; super::PANELS] {
                [
                    TileFns { along: along_sparse::<ROWS, 1>, across: across::<ROWS, 1, true> },
                    TileFns { along: along_sparse::<ROWS, 2>, across: across::<ROWS, 2, true> },
                ]
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn multiply_adds(rounds: u32, factor: f32) -> f32 {
                // SAFETY: the caller's promise.
                unsafe { super::multiply_adds::<$vector>(rounds, factor) }
            }

            pub static TILES: Tiles = Tiles {
                width: 2 * <$vector>::LANES,
                rows: &[$(TileFns { along: along::<$rows>, across: across::<$rows, 1, false> }),*],
                sparse: &[sparse::<1>(), sparse::<2>(), sparse::<3>()],
                transpose: super::super::tile::$module::KERNELS.pack_rows,
                multiply_adds,
            };
        }
    };
}

tiles!(portable, simd::Portable, [1 2 3 4]);
#[cfg(target_arch = "x86_64")]
tiles!(avx2, simd::Avx2, [1 2 3 4 5 6], "avx2,fma");
#[cfg(target_arch = "x86_64")]
tiles!(
    avx512,
    simd::Avx512,
    [1 2 3 4 5 6 7 8 9 10 11 12],
    "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"
);

#[cfg(test)]
mod tests;
