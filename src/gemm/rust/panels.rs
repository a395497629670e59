//! Products of operands that lie in panels, so that nothing is packed: the tiles of a training step.
//!
//! A matrix (rows, columns) in panels of `L` columns, where `L` is two vectors of the instruction set, is
//! `[columns / L][rows][L]`: within a panel, a row of `L` values follows the row before. Columns beyond the last are 0. Activations and their gradients lie so
//! with the samples as rows; weights lie so transposed, (n_in, n_out), and for the backward pass as (n_out, n_in). Each then is what
//! its products want to read: a vector of `L` columns, or single values that are multiplied by such a vector.
//!
//! A tile of C has a few rows and the `L` columns of one panel; its sums stay in registers while k runs:
//!
//! - [`TileFn`] `along`: `C[i] += sum over p of A[i, p] B[p]`, where k runs along the columns of A, from panel to panel.
//!   It is both `z = a w^T` and `da = dz w`.
//! - `across`: `C[i] += sum over p of A[p, i] B[p]`, where k runs along the rows of A: samples, for `dw = a^T dz`.
//! - Each also takes the list of those p at which A is not zero throughout the tile.
//!
//! The layout is that of libxsmm's DNN kernels (Georganas et al., "Tensor Processing Primitives", 2021, arXiv 2104.05755).

use super::simd::Simd;
use crate::isa::{Isa, Level};

/// A product of one tile: `C <- A B`, or `C <- C + A B`.
pub struct Tile {
    /// The first value of A that the tile needs.
    pub a: *const f32,
    /// The distance between two panels of A; not used by `across`.
    pub a_panel_step: usize,
    /// The row of B at p = 0; its rows are `L` values apart.
    pub b: *const f32,
    /// The tile's first row; its rows are `L` values apart.
    pub c: *mut f32,
    /// The number of terms in each sum.
    pub k: usize,
    /// For a sparse tile, the `k` values of p; else not read.
    pub indices: *const u32,
    /// Whether the sums are added to what C holds; else C is not read.
    pub accumulate: bool,
}

/// Computes a tile.
///
/// # Safety
/// The CPU has the instruction set; A and B can be read at every p (and, for `along`, at the rows of A that a prefetch skips, which
/// may be anywhere); C can be written and is reached through nothing else meanwhile.
pub type TileFn = unsafe fn(&Tile);

/// The functions for tiles with one number of rows.
#[derive(Debug)]
pub struct RowTiles {
    /// k runs along the columns of A.
    pub along: TileFn,
    /// The same for the values of p in a list.
    pub along_sparse: TileFn,
    /// k runs along the rows of A.
    pub across: TileFn,
    /// The same for the values of p in a list.
    pub across_sparse: TileFn,
}

/// The functions for one instruction set.
#[derive(Debug)]
pub struct Tiles {
    /// `L`, the number of columns in a panel.
    pub width: usize,
    /// The functions for tiles of 1, 2, 3, ... rows.
    pub rows: &'static [RowTiles],
    /// Transposes: see [`Tiles::transpose`].
    transpose: TransposeFn,
}

type TransposeFn =
    unsafe fn(to: *mut f32, to_step: usize, from: *const f32, from_step: usize, columns: usize);

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

    /// `to[j, i] = from[i, j]` for `rows` rows, at most a panel's width, and some columns; the rows of both are that many values apart.
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

/// The sums of a tile of `ROWS` rows.
type Sums<V, const ROWS: usize> = [[V; 2]; ROWS];

/// # Safety
/// As [`TileFn`].
#[inline(always)]
#[allow(clippy::needless_range_loop)] // plain indices with constant bounds are what the compiler unrolls
unsafe fn begin<V: Simd, const ROWS: usize>(tile: &Tile) -> Sums<V, ROWS> {
    // SAFETY: the caller's promises.
    unsafe {
        let mut sums = [[V::zero(); 2]; ROWS];
        if tile.accumulate {
            for_each_row!(i < ROWS, {
                let c = tile.c.add(i * 2 * V::LANES);
                sums[i] = [V::load(c), V::load(c.add(V::LANES))];
            });
        }
        sums
    }
}

/// `sums[i] += A[i] B` for one p: the values of A are `STEP` apart.
///
/// # Safety
/// As [`TileFn`].
#[inline(always)]
unsafe fn add<V: Simd, const ROWS: usize>(
    sums: &mut Sums<V, ROWS>,
    a: *const f32,
    a_step: usize,
    b: *const f32,
) {
    // SAFETY: the caller's promises.
    unsafe {
        let b = [V::load(b), V::load(b.add(V::LANES))];
        for_each_row!(i < ROWS, {
            let row = V::splat(*a.add(i * a_step));
            sums[i] = [row.fma(b[0], sums[i][0]), row.fma(b[1], sums[i][1])];
        });
    }
}

/// # Safety
/// As [`TileFn`].
#[inline(always)]
unsafe fn end<V: Simd, const ROWS: usize>(tile: &Tile, sums: Sums<V, ROWS>) {
    // SAFETY: the caller's promises.
    unsafe {
        for_each_row!(i < ROWS, {
            let c = tile.c.add(i * 2 * V::LANES);
            sums[i][0].store(c);
            sums[i][1].store(c.add(V::LANES));
        });
    }
}

/// # Safety
/// As [`TileFn`].
#[inline(always)]
unsafe fn along<V: Simd, const ROWS: usize, const SPARSE: bool>(tile: &Tile) {
    let width = 2 * V::LANES;
    // SAFETY: the caller's promises.
    unsafe {
        let mut sums = begin::<V, ROWS>(tile);
        if SPARSE {
            for i in 0..tile.k {
                let p = *tile.indices.add(i) as usize;
                let a = tile.a.add(p / width * tile.a_panel_step + p % width);
                add(&mut sums, a, width, tile.b.add(p * width));
            }
        } else {
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
                    add(&mut sums, a.add(p), width, b);
                    b = b.add(width);
                }
                a = a.wrapping_add(tile.a_panel_step);
                left -= columns;
            }
        }
        end(tile, sums);
    }
}

/// # Safety
/// As [`TileFn`].
#[inline(always)]
unsafe fn across<V: Simd, const ROWS: usize, const SPARSE: bool>(tile: &Tile) {
    let width = 2 * V::LANES;
    // SAFETY: the caller's promises.
    unsafe {
        let mut sums = begin::<V, ROWS>(tile);
        for i in 0..tile.k {
            let p = if SPARSE { *tile.indices.add(i) as usize } else { i };
            add(&mut sums, tile.a.add(p * width), 1, tile.b.add(p * width));
        }
        end(tile, sums);
    }
}

/// `to[j] = from[.., j]` for `LANES` rows.
///
/// # Safety
/// As [`Tiles::transpose`].
#[inline(always)]
unsafe fn transpose<V: Simd>(
    to: *mut f32,
    to_step: usize,
    from: *const f32,
    from_step: usize,
    columns: usize,
) {
    let fours = columns / 4 * 4;
    // SAFETY: the caller's promises.
    unsafe {
        for column in (0..fours).step_by(4) {
            for (i, values) in V::load_columns(from.add(column), from_step).into_iter().enumerate()
            {
                values.store(to.add((column + i) * to_step));
            }
        }
        for column in fours..columns {
            for lane in 0..V::LANES {
                *to.add(column * to_step + lane) = *from.add(lane * from_step + column);
            }
        }
    }
}

/// Compiles the table of functions for one instruction set.
macro_rules! tiles {
    ($module:ident, $vector:ty, [$($rows:literal)*] $(, $features:literal)?) => {
        mod $module {
            use super::super::simd::{self, Simd};
            use super::{RowTiles, Tile, Tiles};

            $(#[target_feature(enable = $features)])?
            unsafe fn along<const ROWS: usize, const SPARSE: bool>(tile: &Tile) {
                // SAFETY: the caller's promises.
                unsafe { super::along::<$vector, ROWS, SPARSE>(tile) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn across<const ROWS: usize, const SPARSE: bool>(tile: &Tile) {
                // SAFETY: the caller's promises.
                unsafe { super::across::<$vector, ROWS, SPARSE>(tile) }
            }

            $(#[target_feature(enable = $features)])?
            unsafe fn transpose(
                to: *mut f32,
                to_step: usize,
                from: *const f32,
                from_step: usize,
                columns: usize,
            ) {
                // SAFETY: the caller's promises.
                unsafe { super::transpose::<$vector>(to, to_step, from, from_step, columns) }
            }

            pub static TILES: Tiles = Tiles {
                width: 2 * <$vector>::LANES,
                rows: &[$(RowTiles {
                    along: along::<$rows, false>,
                    along_sparse: along::<$rows, true>,
                    across: across::<$rows, false>,
                    across_sparse: across::<$rows, true>,
                }),*],
                transpose,
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
mod tests {
    use super::*;
    use crate::isa::tests::on_each_isa;
    use crate::rng::{Purpose, Rng};

    fn random(rng: &mut Rng, len: usize) -> Vec<f32> {
        (0..len).map(|_| rng.symmetric()).collect()
    }

    /// The sums of a tile in f64, of terms that `a` and the list of p name.
    fn expected(
        c: &[f32],
        b: &[f32],
        (rows, width): (usize, usize),
        list: &[u32],
        accumulate: bool,
        a: impl Fn(usize, usize) -> f32,
    ) -> Vec<f64> {
        let value = |i: usize| {
            let (row, column) = (i / width, i % width);
            let terms = list.iter().map(|&p| {
                f64::from(a(row, p as usize)) * f64::from(b[p as usize * width + column])
            });
            terms.sum::<f64>() + if accumulate { f64::from(c[i]) } else { 0.0 }
        };
        (0..rows * width).map(value).collect()
    }

    fn assert_close(found: &[f32], expected: &[f64], k: usize, what: &str) {
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let bound = 1e-6 * (k as f64 + 1.0);
            assert!(
                (f64::from(*found) - expected).abs() <= bound,
                "{what} {i}: {found} {expected}"
            );
        }
        let beyond = &found[expected.len()..];
        assert!(beyond.iter().all(|x| *x == 77.0), "{what}: written beyond the tile");
    }

    #[test]
    fn every_tile_equals_the_definition() {
        on_each_isa(|isa| {
            let (tiles, mut rng) = (Tiles::of(isa), Rng::new(8, Purpose::Init, 0));
            let width = tiles.width;
            for rows in 1..=tiles.max_rows() {
                let functions = &tiles.rows[rows - 1];
                for k in [0, 1, width - 1, width, width + 1, 3 * width + 5] {
                    // A of (capacity, k) in panels, of which the tile has the rows from 2 on
                    let (capacity, panels) = (rows + 5, k.div_ceil(width));
                    let step = capacity * width;
                    let a = random(&mut rng, panels * step + 2 * width);
                    let b = random(&mut rng, k * width);
                    let sparse: Vec<u32> = (0..k as u32).filter(|p| p % 3 != 1).collect();
                    let all: Vec<u32> = (0..k as u32).collect();
                    for accumulate in [false, true] {
                        let mut start = random(&mut rng, rows * width);
                        start.extend([77.0; 32]);
                        for (list, is_sparse) in [(&all, false), (&sparse, true)] {
                            let mut c = start.clone();
                            let tile = Tile {
                                a: a[2 * width..].as_ptr(),
                                a_panel_step: step,
                                b: b.as_ptr(),
                                c: c.as_mut_ptr(),
                                k: list.len(),
                                indices: list.as_ptr(),
                                accumulate,
                            };
                            let what = format!("{isa:?} {rows} {k} {accumulate} {is_sparse}");
                            let function =
                                if is_sparse { functions.along_sparse } else { functions.along };
                            // SAFETY: this CPU has the instruction set; the sizes are those of the vectors.
                            unsafe { function(&tile) };
                            let along =
                                expected(&start, &b, (rows, width), list, accumulate, |i, p| {
                                    a[p / width * step + (2 + i) * width + p % width]
                                });
                            assert_close(&c, &along, k, &what);

                            // A of (k, rows) in one panel, from its second column on
                            let a = random(&mut rng, (k + 1) * width);
                            let mut c = start.clone();
                            let tile = Tile { a: a[1..].as_ptr(), c: c.as_mut_ptr(), ..tile };
                            let function =
                                if is_sparse { functions.across_sparse } else { functions.across };
                            // SAFETY: as above.
                            unsafe { function(&tile) };
                            let across =
                                expected(&start, &b, (rows, width), list, accumulate, |i, p| {
                                    a[p * width + i + 1]
                                });
                            assert_close(&c, &across, k, &what);
                        }
                    }
                }
            }
        });
    }

    #[test]
    fn matrices_are_transposed() {
        on_each_isa(|isa| {
            let (tiles, mut rng) = (Tiles::of(isa), Rng::new(9, Purpose::Init, 0));
            for rows in [0, 1, 3, 4, 7, 8, 15, 16, 17, tiles.width] {
                for columns in [0, 1, 3, 4, 5, 17, 33] {
                    let (from_step, to_step) = (columns + 3, rows + 2);
                    let from = random(&mut rng, rows * from_step + 1);
                    let mut to = vec![77.0; columns * to_step + 1];
                    // SAFETY: this CPU has the instruction set; the sizes are those of the vectors.
                    unsafe {
                        let (to, from) = (to.as_mut_ptr(), from.as_ptr());
                        tiles.transpose((to, to_step), (from, from_step), rows, columns);
                    }
                    for (i, found) in to.iter().enumerate() {
                        let (column, row) = (i / to_step, i % to_step);
                        let inside = column < columns && row < rows;
                        let expected = if inside { from[row * from_step + column] } else { 77.0 };
                        assert_eq!(*found, expected, "{isa:?} {rows} {columns} {i}");
                    }
                }
            }
        });
    }
}
