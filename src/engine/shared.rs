//! A slice of which several workers read and write different ranges.
//!
//! The training step gives every worker its own rows of every buffer, and puts a barrier between a phase that writes those
//! rows and a phase in which other workers read them. The borrow checker cannot see barriers: this type bridges that gap, and
//! the table in [`super::context`] says why each use is sound.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::ops::Range;

use ndarray::{ArrayViewMut2, ShapeBuilder};

/// A mutable borrow of a slice, shared by the workers of one job.
#[derive(Clone, Copy)]
pub struct Shared<'a, T>(&'a [UnsafeCell<T>]);

// SAFETY: the methods that reach the contents are unsafe, and their callers promise that there are no races.
unsafe impl<T: Send + Sync> Sync for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Send for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// Borrows the slice for as long as this lives; nothing else can reach it.
    pub fn new(slice: &'a mut [T]) -> Self {
        let length = slice.len();
        let start = slice.as_mut_ptr().cast::<UnsafeCell<T>>();
        // SAFETY: `UnsafeCell<T>` has the layout of `T`; the borrow is exclusive for `'a`.
        Self(unsafe { std::slice::from_raw_parts(start, length) })
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The elements of a range, to read.
    ///
    /// # Safety
    /// Nobody, on this thread or another, writes any of them while the result lives.
    ///
    /// # Panics
    /// If the range is out of bounds.
    pub unsafe fn read(&self, range: Range<usize>) -> &'a [T] {
        let cells = &self.0[range];
        // SAFETY: in bounds by the indexing, initialised; races are excluded by the caller.
        unsafe { std::slice::from_raw_parts(cells.as_ptr().cast::<T>(), cells.len()) }
    }

    /// A pointer to the first element of a range, for code that reads or writes within that range. Using it is subject to what
    /// [`Shared::read`] and [`Shared::write`] ask for.
    ///
    /// # Panics
    /// If the range is out of bounds.
    pub fn pointer(&self, range: Range<usize>) -> *mut T {
        // a pointer from cells that are the whole range
        UnsafeCell::raw_get(self.0[range].as_ptr())
    }

    /// The elements of a range, to write.
    ///
    /// # Safety
    /// No other reference to any of them, on any thread, is used while the result lives.
    ///
    /// # Panics
    /// If the range is out of bounds.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn write(&self, range: Range<usize>) -> &'a mut [T] {
        let cells = &self.0[range];
        let start = UnsafeCell::raw_get(cells.as_ptr());
        // SAFETY: in bounds by the indexing; exclusive by the caller's promise. The pointer comes from cells that
        // together are the whole range.
        unsafe { std::slice::from_raw_parts_mut(start, cells.len()) }
    }
}

impl<'a> Shared<'a, f32> {
    /// Some columns of a matrix, to write: `range` holds whole rows of `n` values.
    ///
    /// # Safety
    /// No other reference to any of these columns in these rows, on any thread, is used while the result lives.
    ///
    /// # Panics
    /// If the range or the columns are out of bounds.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn write_columns(
        &self,
        range: Range<usize>,
        n: usize,
        columns: &Range<usize>,
    ) -> ArrayViewMut2<'a, f32> {
        let cells = &self.0[range];
        assert!(columns.start <= columns.end && columns.end <= n, "columns {columns:?} of {n}");
        assert!(cells.len().is_multiple_of(n), "{} values are not whole rows of {n}", cells.len());
        let shape = (cells.len() / n, columns.len()).strides((n, 1));
        // SAFETY: the range is whole rows, so that every element of the view is within it (a view without elements is at most
        // one past its end); exclusive by the caller's promise.
        unsafe {
            let start = UnsafeCell::raw_get(cells.as_ptr());
            ArrayViewMut2::from_shape_ptr(shape, start.add(columns.start.min(cells.len())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::partition::even_range;
    use super::*;

    #[test]
    fn workers_write_their_ranges_and_read_the_whole() {
        let mut values = vec![0usize; 100];
        let shared = Shared::new(&mut values);
        let barrier = std::sync::Barrier::new(3);
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let (shared, barrier) = (&shared, &barrier);
                scope.spawn(move || {
                    let range = even_range(100, worker, 3);
                    // SAFETY: the ranges are disjoint; nobody reads before the barrier.
                    for (i, value) in range.clone().zip(unsafe { shared.write(range) }) {
                        *value = i;
                    }
                    barrier.wait();
                    // SAFETY: nobody writes after the barrier.
                    assert!(unsafe { shared.read(0..100) }.iter().copied().eq(0..100));
                });
            }
        });
    }
}
