//! Regions of the (batch, n) matrices of a layer, with OpenBLAS. The table of who writes what is in [`super::context`].
#![allow(unsafe_code)]

use std::ops::Range;

use ndarray::ArrayViewMut2;

use super::context::{Context, rows_of};

/// Values of a cache line: a layer is split by columns between lines.
pub const LINE: usize = 16;

/// The rows and columns of a layer's (batch, n) matrices that one worker computes.
pub struct Region {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

/// A region of a buffer with `n` columns, to write.
///
/// # Safety
/// In phase 1, for the worker's own region, and while no other reference to it is in use.
pub unsafe fn write_region<'a>(
    context: &'a Context<'_>,
    buffer: &Range<usize>,
    n: usize,
    region: &Region,
) -> ArrayViewMut2<'a, f32> {
    // SAFETY: the caller's promise.
    unsafe { context.arena.write_columns(rows_of(buffer, n, &region.rows), n, &region.columns) }
}
