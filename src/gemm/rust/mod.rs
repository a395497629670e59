//! The pure-Rust product, compiled into every build: by AVX-512, by AVX2 with FMA, or by what the target has, detected at run
//! time.
//!
//! The scheme is that of Goto & van de Geijn ("Anatomy of high-performance matrix multiplication", 2008), with the roles
//! of the caches that suit a row-major C: a block of B is packed for the second-level cache, a panel of up to 12 rows
//! of A for the first-level cache, and a tile of C stays in registers while k runs. Each calling thread has a buffer for the
//! packed copies, which its first product allocates, so that later products allocate nothing.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ops::Range;
use std::sync::OnceLock;

use bytemuck::Zeroable;
use ndarray::{ArrayView2, ArrayViewMut2, s};

use super::CallCounter;
use crate::isa::Isa;

pub(crate) mod panels;
mod simd;
mod tile;

use tile::{K_BLOCK, Kernels, MAX_COLUMNS, MAX_ROWS, PanelOrder, Tile};

pub static CALLS: CallCounter = CallCounter::new();

/// The most values in a packed block of B, 384 KiB: with the rows of A and C that are used meanwhile, it fits a second-level
/// cache of 512 KiB.
const B_BLOCK: usize = 96 * 1024;

/// With at most this many rows of A, a B with contiguous rows is read in place: a packed copy would be used too few times.
const ROWS_IN_PLACE: usize = 16;

// the unsafe code below relies on this: a tile is two vectors wide
const _: () = assert!(MAX_COLUMNS == 2 * 16);

/// The packed copies of a thread.
#[derive(Clone, Copy, Zeroable)]
#[repr(C, align(64))]
struct Packed {
    a: [f32; MAX_ROWS * K_BLOCK],
    b: [f32; B_BLOCK],
    /// A tile, for a C without contiguous rows.
    c: [f32; MAX_ROWS * MAX_COLUMNS],
}

thread_local! {
    static PACKED: RefCell<Box<Packed>> = RefCell::new(bytemuck::zeroed_box());
}

/// `C <- A B + beta C`; the caller has excluded sizes of 0.
pub fn sgemm(c: ArrayViewMut2<'_, f32>, a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>, beta: f32) {
    static KERNELS: OnceLock<&'static Kernels> = OnceLock::new();
    CALLS.add_one();
    let kernels = KERNELS.get_or_init(|| Kernels::of(Isa::detect()));
    Product { kernels }.run(c, a, b, beta);
}

/// How a product is computed.
#[derive(Clone, Copy)]
struct Product {
    kernels: &'static Kernels,
}

impl Product {
    fn run(
        self,
        mut c: ArrayViewMut2<'_, f32>,
        a: ArrayView2<'_, f32>,
        b: ArrayView2<'_, f32>,
        beta: f32,
    ) {
        let ((m, n), k) = (c.dim(), a.ncols());
        assert!(a.nrows() == m && b.dim() == (k, n), "sgemm: the shapes differ");
        if c.strides()[1] != 1 && c.strides()[0] == 1 {
            // C is stored by columns: C^T <- B^T A^T + beta C^T is stored by rows.
            return self.run(c.reversed_axes(), b.reversed_axes(), a.reversed_axes(), beta);
        }
        let width = 2 * self.kernels.lanes;
        let b_in_place = b.strides()[1] == 1 && b.strides()[0] > 0 && m <= ROWS_IN_PLACE;
        PACKED.with_borrow_mut(|packed| {
            for depth in even_ranges(k, K_BLOCK, 1) {
                let beta = if depth.start == 0 { beta } else { 1.0 };
                for columns in even_ranges(n, B_BLOCK / depth.len(), width) {
                    let b = b.slice(s![depth.clone(), columns.clone()]);
                    let b_in_place = b_in_place.then_some(b);
                    if b_in_place.is_none() {
                        pack_b(self.kernels, &mut packed.b, b);
                    }
                    for rows in even_ranges(m, self.kernels.rows.len(), 1) {
                        let a = a.slice(s![rows.clone(), depth.clone()]);
                        let c = c.slice_mut(s![rows, columns.clone()]);
                        self.multiply_panel(packed, c, a, b_in_place, beta);
                    }
                }
            }
        });
    }

    /// Multiplies a panel of A with a block of B: the packed one, or `b`, which is then read in place.
    fn multiply_panel(
        self,
        packed: &mut Packed,
        mut c: ArrayViewMut2<'_, f32>,
        a: ArrayView2<'_, f32>,
        b: Option<ArrayView2<'_, f32>>,
        beta: f32,
    ) {
        let ((rows, n), k) = (c.dim(), a.ncols());
        let lanes = self.kernels.lanes;
        let kernels = &self.kernels.rows[rows - 1];
        let order = if columns_contiguous(a) { PanelOrder::Columns } else { PanelOrder::Rows };
        pack_a(kernels, &mut packed.a, a, order);
        let c_in_rows = c.strides()[1] == 1 || n == 1;
        // pointers from the whole views, because a tile reaches beyond its first element
        let (c_start, b_start) = (c.as_mut_ptr(), b.map(|b| (b.as_ptr(), b.strides()[0] as usize)));
        for start in (0..n).step_by(2 * lanes) {
            let columns = (n - start).min(2 * lanes);
            let vectors = columns.div_ceil(lanes);
            let partial = b.is_some() && columns < vectors * lanes;
            let (b, b_step) = match b_start {
                Some((b, step)) => (b.wrapping_add(start), step),
                None => (packed.b[start * k..].as_ptr(), vectors * lanes),
            };
            let tile = Tile {
                k,
                a: packed.a.as_ptr(),
                b,
                b_step,
                c: if c_in_rows { c_start.wrapping_add(start) } else { packed.c.as_mut_ptr() },
                c_step: if c_in_rows { c.strides()[0] } else { 2 * lanes as isize },
                columns,
                beta: if c_in_rows { beta } else { 0.0 },
            };
            let multiply = kernels.tile(order, vectors, partial);
            // SAFETY: this CPU has the instruction set of the kernels; A and B were packed with these sizes, or B is read in
            // place and within its view; the rows and columns of C exist, and `c` is
            // borrowed mutably, as is the buffer `packed.c` that replaces it.
            unsafe { multiply(&tile) };
            if !c_in_rows {
                let c = c.slice_mut(s![.., start..start + columns]);
                add_tile(c, &packed.c, 2 * lanes, beta);
            }
        }
    }
}

/// `C <- tile + beta C`, for a C without contiguous rows.
fn add_tile(mut c: ArrayViewMut2<'_, f32>, tile: &[f32], width: usize, beta: f32) {
    for (mut row, tile) in c.rows_mut().into_iter().zip(tile.chunks_exact(width)) {
        for (c, tile) in row.iter_mut().zip(tile) {
            *c = if beta == 0.0 { *tile } else { beta * *c + tile };
        }
    }
}

/// Cuts `0..total` into ranges as even as whole units allow, of at most `max_len` values but at least one unit.
fn even_ranges(total: usize, max_len: usize, unit: usize) -> impl Iterator<Item = Range<usize>> {
    let units = total.div_ceil(unit);
    let count = units.div_ceil((max_len / unit).max(1));
    assert!(units.checked_mul(count).is_some(), "gemm: a size of {total} is too large");
    let bound = move |i: usize| (units * i / count * unit).min(total);
    (0..count).map(move |i| bound(i)..bound(i + 1))
}

/// Packs up to [`MAX_ROWS`] rows of A and up to [`K_BLOCK`] columns.
fn pack_a(
    kernels: &tile::RowKernels,
    packed: &mut [f32; MAX_ROWS * K_BLOCK],
    a: ArrayView2<'_, f32>,
    order: PanelOrder,
) {
    let (rows, k) = a.dim();
    assert!(rows <= MAX_ROWS && k <= K_BLOCK, "pack_a: {rows}x{k}");
    match order {
        PanelOrder::Columns => {
            let stride = a.strides()[1] as usize;
            // SAFETY: the caller found the columns to be contiguous; `kernels` are those for this number of rows, and
            // `packed` has space for the largest panel.
            unsafe { (kernels.pack_columns)(packed.as_mut_ptr(), a.as_ptr(), stride, k) };
        }
        PanelOrder::Rows => {
            for (row, packed) in a.rows().into_iter().zip(packed.chunks_exact_mut(K_BLOCK)) {
                copy(&mut packed[..k], row);
            }
        }
    }
}

/// Packs a block of B into panels of two vectors of columns. The last panel has one vector if that suffices; columns beyond
/// those of B are zero.
fn pack_b(kernels: &Kernels, packed: &mut [f32; B_BLOCK], b: ArrayView2<'_, f32>) {
    let (k, n) = b.dim();
    let lanes = kernels.lanes;
    assert!(k * n.next_multiple_of(lanes) <= B_BLOCK, "pack_b: {k}x{n}");
    for start in (0..n).step_by(2 * lanes) {
        let count = (n - start).min(2 * lanes);
        let step = count.next_multiple_of(lanes);
        let packed = &mut packed[start * k..][..step * k];
        let whole = if columns_contiguous(b) { count / lanes * lanes } else { 0 };
        for first in (0..whole).step_by(lanes) {
            let from = b.slice(s![.., start + first..start + first + lanes]);
            let to = &mut packed[first..];
            let stride = from.strides()[1] as usize;
            // SAFETY: the columns are contiguous and there are enough of them; `to` reaches to the end of the last of
            // the k vectors; this CPU has the instruction set.
            unsafe { (kernels.pack_rows)(to.as_mut_ptr(), step, from.as_ptr(), stride, k) };
        }
        let rest = b.slice(s![.., start + whole..start + count]);
        if rest.ncols() > 0 || step > count {
            for (row, packed) in rest.rows().into_iter().zip(packed.chunks_exact_mut(step)) {
                copy(&mut packed[whole..count], row);
                packed[count..].fill(0.0);
            }
        }
    }
}

/// Whether a view is the transpose of a row-major matrix.
fn columns_contiguous(view: ArrayView2<'_, f32>) -> bool {
    view.strides()[0] == 1 && view.strides()[1] > 1
}

fn copy(to: &mut [f32], from: ndarray::ArrayView1<'_, f32>) {
    match from.as_slice() {
        Some(from) => to.copy_from_slice(from),
        None => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, ShapeBuilder as _, s};

    use super::super::{naive, tests::assert_close};
    use super::*;
    use crate::isa::tests::on_each_isa;
    use crate::rng::{Purpose, Rng};

    /// A random matrix in which the rows (order 0), the columns (1) or neither (2) are contiguous.
    fn random(rng: &mut Rng, (rows, columns): (usize, usize), order: usize) -> Array2<f32> {
        let shape = [(rows, columns), (rows, columns), (rows, 2 * columns)][order];
        let matrix = Array2::from_shape_simple_fn(shape.set_f(order == 1), || rng.symmetric());
        if order == 2 { matrix.slice_move(s![.., ..;2]) } else { matrix }
    }

    #[test]
    fn every_instruction_set_equals_the_oracle_at_all_tile_sizes_and_orders() {
        let mut rng = Rng::new(4, Purpose::Init, 0);
        // rows: every tile, and more than are read in place; columns: all tails of two vectors; k: tails of four
        let sizes = (1..=13).flat_map(|m| (1..=33).map(move |n| (m, n, (m + n) % 7 + 1)));
        let larger = [(17, 70, 30), (40, 31, 401), (25, 260, 400), (18, 16, 33), (31, 8, 801)];
        for (case, (m, n, k)) in sizes.chain(larger).enumerate() {
            for orders in [case % 27, (case * 7 + 3) % 27, (case * 11 + 18) % 27] {
                let a = random(&mut rng, (m, k), orders % 3);
                let b = random(&mut rng, (k, n), orders / 3 % 3);
                let start = random(&mut rng, (m, n), orders / 9);
                for beta in [0.0, 1.0, -0.5] {
                    let expected = naive::product(a.view(), b.view(), beta, start.view());
                    on_each_isa(|isa| {
                        let mut c = start.clone();
                        if beta == 0.0 {
                            c.fill(f32::NAN);
                        }
                        let kernels = Kernels::of(isa);
                        Product { kernels }.run(c.view_mut(), a.view(), b.view(), beta);
                        let what = format!("{} {m}x{n}x{k} orders {orders}", isa.name());
                        assert_close(c.view(), expected.view(), k, &what);
                    });
                }
            }
        }
    }

    #[test]
    fn even_ranges_are_whole_units_and_cover_everything() {
        for (total, max_len, unit, expected) in
            [(784, 400, 1, 2), (784, 245, 32, 4), (10, 245, 32, 1), (13, 12, 1, 2), (5, 3, 8, 1)]
        {
            let found: Vec<_> = even_ranges(total, max_len, unit).collect();
            assert_eq!(found.len(), expected, "{total} {max_len} {unit}");
            assert!(found.iter().all(|range| range.start % unit == 0 && !range.is_empty()));
            assert!(found.iter().all(|range| range.len() <= max_len.max(unit)));
            assert!(found.into_iter().flatten().eq(0..total));
        }
    }
}
