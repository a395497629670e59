//! The innermost product, a tile of C whose sums stay in registers while k runs, and the packing of the panels that it reads.
//!
//! Each function is compiled for each instruction set and for every number of rows up to the set's largest, so that no tile
//! computes rows that do not exist. [`Kernels`] is the table of these functions.

use super::simd::Simd;
use crate::isa::{Isa, Level};

/// The most rows in a tile. With two vectors of columns, the sums of 12 rows fill 24 of the 32 registers of AVX-512.
pub const MAX_ROWS: usize = 12;

/// The most columns in a tile: two vectors of AVX-512.
pub const MAX_COLUMNS: usize = 32;

/// The most values along k in a packed panel of A. Rows of the panel are this far apart: 12 of them take 19 KiB of the
/// first-level cache, and because the distance is not a power of two, they do not compete for the same cache sets.
pub const K_BLOCK: usize = 400;

/// The order of the values in a packed panel of A, which is that of A: `a[i, p]` is at `i * row_step + p * k_step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PanelOrder {
    /// Rows are contiguous: `row_step` is `K_BLOCK`, `k_step` is 1.
    Rows,
    /// Columns are contiguous: `row_step` is 1, `k_step` is `MAX_ROWS`.
    Columns,
}

/// `C <- A B + beta C` for one tile: C is (rows, columns), A is packed.
pub struct Tile {
    /// The number of products in each sum.
    pub k: usize,
    /// A panel of A, in the order that the called function expects.
    pub a: *const f32,
    /// The tile's first element of B, whose rows are contiguous.
    pub b: *const f32,
    /// Distance between the rows of B.
    pub b_step: usize,
    /// The tile's first element of C, whose rows are contiguous.
    pub c: *mut f32,
    /// Distance between the rows of C.
    pub c_step: isize,
    /// The number of columns of B and C, at most two vectors.
    pub columns: usize,
    /// If this is 0, C is not read.
    pub beta: f32,
}

/// Computes a tile.
type TileFn = unsafe fn(&Tile);

/// The functions for tiles of one number of rows.
pub struct RowKernels {
    /// Tiles by [`PanelOrder`], by the number of vectors of columns minus one, and by whether the last vector of B is partial.
    tiles: [[[TileFn; 2]; 2]; 2],
    /// Packs a panel of A whose columns are contiguous, `stride` apart.
    pub pack_columns: unsafe fn(to: *mut f32, from: *const f32, stride: usize, k: usize),
}

impl RowKernels {
    /// The function for an order and a number of vectors of columns, 1 or 2. `partial` says that the last vector of B must not be
    /// read beyond the tile's columns.
    pub fn tile(&self, order: PanelOrder, vectors: usize, partial: bool) -> TileFn {
        self.tiles[order as usize][vectors - 1][usize::from(partial)]
    }
}

/// The functions for one instruction set.
pub struct Kernels {
    /// The number of values in a vector.
    pub lanes: usize,
    /// The functions for tiles of 1, 2, 3, ... rows.
    pub rows: &'static [RowKernels],
    /// Packs `LANES` columns of a B whose columns are contiguous, `stride` apart, into vectors `to_step` apart.
    pub pack_rows: PackRowsFn,
}

/// Packs columns into vectors, as [`Kernels::pack_rows`] says.
pub type PackRowsFn =
    unsafe fn(to: *mut f32, to_step: usize, from: *const f32, stride: usize, k: usize);

impl Kernels {
    /// The functions for an instruction set.
    pub fn of(isa: Isa) -> &'static Self {
        match isa.0 {
            Level::Portable => &portable::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => &avx2::KERNELS,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => &avx512::KERNELS,
        }
    }
}

/// Repeats a statement for every row number below a constant. Unlike a loop, this gives the compiler no reason to keep the sums
/// in memory.
macro_rules! for_each_row {
    ($row:ident < $rows:ident, $body:block) => {
        for_each_row!($row $rows $body [0 1 2 3 4 5 6 7 8 9 10 11])
    };
    ($row:ident $rows:ident $body:block [$($number:literal)*]) => {
        $(if $number < $rows {
            let $row: usize = $number;
            $body
        })*
    };
}

pub(super) use for_each_row;

/// A tile of `ROWS` rows and `VECTORS` vectors of columns.
///
/// # Safety
/// The CPU has the instruction set; A is packed in the order that `BY_COLUMNS` says; B is in bounds, to the end of its last
/// vector unless that is `PARTIAL`; C is in bounds, and no other reference to it is in use.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // plain indices with constant bounds are what the compiler unrolls
unsafe fn tile<
    V: Simd,
    const ROWS: usize,
    const VECTORS: usize,
    const BY_COLUMNS: bool,
    const PARTIAL: bool,
>(
    tile: &Tile,
) {
    let (row_step, k_step) = if BY_COLUMNS { (1, MAX_ROWS) } else { (K_BLOCK, 1) };
    let last = tile.columns - (VECTORS - 1) * V::LANES;
    let (mut a, mut b) = (tile.a, tile.b);
    // SAFETY: the caller's promises.
    unsafe {
        let mut sums = [[V::zero(); VECTORS]; ROWS];
        for _ in 0..tile.k {
            let mut columns = [V::zero(); VECTORS];
            for (j, column) in columns.iter_mut().enumerate() {
                let b = b.add(j * V::LANES);
                let partial = PARTIAL && j + 1 == VECTORS;
                *column = if partial { V::load_first(b, last) } else { V::load(b) };
            }
            for_each_row!(i < ROWS, {
                let row = V::splat(*a.add(i * row_step));
                for j in 0..VECTORS {
                    sums[i][j] = row.fma(columns[j], sums[i][j]);
                }
            });
            a = a.add(k_step);
            b = b.wrapping_add(tile.b_step); // beyond the end of B after the last row
        }
        let beta = V::splat(tile.beta);
        for_each_row!(i < ROWS, {
            let c = tile.c.offset(i as isize * tile.c_step);
            for j in 0..VECTORS {
                let (c, sum) = (c.add(j * V::LANES), sums[i][j]);
                match (j + 1 < VECTORS || last == V::LANES, tile.beta == 0.0) {
                    (true, true) => sum.store(c),
                    (true, false) => beta.fma(V::load(c), sum).store(c),
                    (false, true) => sum.store_first(c, last),
                    (false, false) => beta.fma(V::load_first(c, last), sum).store_first(c, last),
                }
            }
        });
    }
}

/// Packs a panel of A whose columns are contiguous.
///
/// # Safety
/// `from` has k columns of `ROWS` values, `stride` apart; `to` has space for k times `MAX_ROWS` values.
#[inline(always)]
unsafe fn pack_columns<const ROWS: usize>(to: *mut f32, from: *const f32, stride: usize, k: usize) {
    for p in 0..k {
        // SAFETY: the caller's promise.
        unsafe {
            let column = from.add(p * stride).cast::<[f32; ROWS]>().read_unaligned();
            to.add(p * MAX_ROWS).cast::<[f32; ROWS]>().write_unaligned(column);
        }
    }
}

/// Packs `LANES` columns of a B whose columns are contiguous into k vectors.
///
/// # Safety
/// The CPU has the instruction set; `from` has `LANES` columns of k values, `stride` apart; `to` has space for k vectors
/// `to_step` apart.
#[inline(always)]
unsafe fn pack_rows<V: Simd>(
    to: *mut f32,
    to_step: usize,
    from: *const f32,
    stride: usize,
    k: usize,
) {
    let fours = k / 4 * 4;
    // SAFETY: the caller's promises.
    unsafe {
        for p in (0..fours).step_by(4) {
            if p % 16 == 0 {
                for lane in 0..V::LANES {
                    V::prefetch(from.wrapping_add(lane * stride + p + 32));
                }
            }
            for (q, column) in V::load_columns(from.add(p), stride).into_iter().enumerate() {
                column.store(to.add((p + q) * to_step));
            }
        }
        for p in fours..k {
            for lane in 0..V::LANES {
                *to.add(p * to_step + lane) = *from.add(lane * stride + p);
            }
        }
    }
}

/// Compiles the table of functions for one instruction set.
macro_rules! kernels {
    ($module:ident, $vector:ty, [$($rows:literal)*] $(, $features:literal)?) => {
        pub mod $module {
            use super::super::simd::{self, Simd};
            use super::{Kernels, RowKernels, Tile};

            $(#[target_feature(enable = $features)])?
            unsafe fn tile<
                const ROWS: usize,
                const VECTORS: usize,
                const BY_COLUMNS: bool,
                const PARTIAL: bool,
            >(
                tile: &Tile,
            ) {
                // SAFETY: the caller's promises.
                unsafe { super::tile::<$vector, ROWS, VECTORS, BY_COLUMNS, PARTIAL>(tile) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn pack_columns<const ROWS: usize>(
                to: *mut f32,
                from: *const f32,
                stride: usize,
                k: usize,
            ) {
                // SAFETY: the caller's promises.
                unsafe { super::pack_columns::<ROWS>(to, from, stride, k) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn pack_rows(
                to: *mut f32,
                to_step: usize,
                from: *const f32,
                stride: usize,
                k: usize,
            ) {
                // SAFETY: the caller's promises.
                unsafe { super::pack_rows::<$vector>(to, to_step, from, stride, k) }
            }

            pub static KERNELS: Kernels = Kernels {
                lanes: <$vector>::LANES,
                rows: &[$(RowKernels {
                    tiles: [
                        [
                            [tile::<$rows, 1, false, false>, tile::<$rows, 1, false, true>],
                            [tile::<$rows, 2, false, false>, tile::<$rows, 2, false, true>],
                        ],
                        [
                            [tile::<$rows, 1, true, false>, tile::<$rows, 1, true, true>],
                            [tile::<$rows, 2, true, false>, tile::<$rows, 2, true, true>],
                        ],
                    ],
                    pack_columns: pack_columns::<$rows>,
                }),*],
                pack_rows,
            };
        }
    };
}

// plain arrays take ten times the code of vectors: more rows would cost the build of every x86-64 machine five seconds, for the few
// that have no AVX2
#[cfg(target_arch = "x86_64")]
kernels!(portable, simd::Portable, [1 2 3 4]);
#[cfg(not(target_arch = "x86_64"))]
kernels!(portable, simd::Portable, [1 2 3 4 5 6]);
#[cfg(target_arch = "x86_64")]
kernels!(avx2, simd::Avx2, [1 2 3 4 5 6], "avx2,fma");
#[cfg(target_arch = "x86_64")]
kernels!(
    avx512,
    simd::Avx512,
    [1 2 3 4 5 6 7 8 9 10 11 12],
    "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"
);
