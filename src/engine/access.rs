//! The pieces of the shared buffers that a phase of the step reads and writes, by what they are; see the table in
//! [`super::step`].
#![allow(unsafe_code, clippy::mut_from_ref)]

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2};

use super::step::{Step, Update};
use crate::model::{Activation, matrix};

impl Step<'_> {
    /// The weights of a layer (n_out, n_in), for phase 1 and evaluations.
    pub fn w(&self, l: usize) -> ArrayView2<'_, f32> {
        let layer = &self.layout.layers()[l];
        // SAFETY: nobody writes parameters in phase 1 or in an evaluation.
        matrix(unsafe { self.params.read(layer.w()) }, layer.n_out, layer.n_in)
    }

    pub fn activation(&self, l: usize) -> Activation {
        self.spec.layers()[l].activation
    }

    /// Where the gradient of a piece of the parameters is to be written.
    ///
    /// # Safety
    /// In phase 2, by the worker of that number, for its own rows, and with no other result of this in use.
    ///
    /// # Panics
    /// If a worker's buffer has not so many values.
    pub unsafe fn gradient_place<'a>(
        &'a self,
        worker: usize,
        update: &Update<'a>,
        place: &Range<usize>,
    ) -> &'a mut [f32] {
        match update {
            // SAFETY: phase 2, own rows.
            Update::Store { grads } => unsafe { grads.write(place.clone()) },
            Update::Adam { .. } => {
                // SAFETY: a worker's own buffer.
                let own = unsafe { self.arena.write(self.places.workers[worker].gradient.clone()) };
                &mut own[..place.len()]
            }
        }
    }
}

/// The range of some rows of a buffer with `n` columns. It lies within the buffer, so that nobody who has rows of one buffer
/// reaches another.
///
/// # Panics
/// If the buffer has no such rows.
pub fn rows_of(place: &Range<usize>, n: usize, rows: &Range<usize>) -> Range<usize> {
    match rows.end.checked_mul(n) {
        Some(end) if rows.start <= rows.end && end <= place.len() => {
            place.start + rows.start * n..place.start + end
        }
        _ => panic!("rows {rows:?} of {n} values in a buffer of {}", place.len()),
    }
}

/// A contiguous slice as a row-major matrix to write.
pub fn matrix_mut(values: &mut [f32], rows: usize, columns: usize) -> ArrayViewMut2<'_, f32> {
    let len = values.len();
    match ArrayViewMut2::from_shape((rows, columns), values) {
        Ok(view) => view,
        Err(_) => panic!("{len} values are no {rows}x{columns} matrix"),
    }
}
