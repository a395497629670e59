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

    /// A worker's rows of what enters a layer.
    ///
    /// # Safety
    /// As [`Step::own`].
    pub unsafe fn own_input(&self, l: usize, own: &Range<usize>) -> &mut [f32] {
        // SAFETY: the caller's promise.
        unsafe { self.own(&self.places.layers[l].input, self.layout.layers()[l].n_in, own) }
    }

    /// A worker's rows of a layer's slopes; empty where the activation needs none.
    ///
    /// # Safety
    /// As [`Step::own`].
    pub unsafe fn own_slope(&self, l: usize, own: &Range<usize>) -> &mut [f32] {
        let place = &self.places.layers[l].slope;
        let own = if place.is_empty() { &(0..0) } else { own };
        // SAFETY: the caller's promise.
        unsafe { self.own(place, self.layout.layers()[l].n_out, own) }
    }

    /// A worker's rows of a layer's `dz`.
    ///
    /// # Safety
    /// As [`Step::own`].
    pub unsafe fn own_dz(&self, l: usize, own: &Range<usize>) -> &mut [f32] {
        // SAFETY: the caller's promise.
        unsafe { self.own(&self.places.layers[l].dz, self.layout.layers()[l].n_out, own) }
    }

    /// Rows of a buffer with `n` columns.
    ///
    /// # Safety
    /// In phase 1, for a worker's own rows, and with no other reference to the same rows of the same buffer in use.
    unsafe fn own(&self, place: &Range<usize>, n: usize, own: &Range<usize>) -> &mut [f32] {
        // SAFETY: the caller's promise.
        unsafe { self.arena.write(rows_of(place, n, own)) }
    }

    /// Where the gradient of a piece of the parameters is to be written.
    ///
    /// # Safety
    /// In phase 2, for a worker's own rows, and with no other result of this in use.
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
                let start = self.places.workers[worker].gradient.start;
                // SAFETY: a worker's own buffer.
                unsafe { self.arena.write(start..start + place.len()) }
            }
        }
    }
}

/// The range of some rows of a buffer with `n` columns.
pub fn rows_of(place: &Range<usize>, n: usize, rows: &Range<usize>) -> Range<usize> {
    place.start + rows.start * n..place.start + rows.end * n
}

/// A contiguous slice as a row-major matrix to write.
pub fn matrix_mut(values: &mut [f32], rows: usize, columns: usize) -> ArrayViewMut2<'_, f32> {
    let len = values.len();
    match ArrayViewMut2::from_shape((rows, columns), values) {
        Ok(view) => view,
        Err(_) => panic!("{len} values are no {rows}x{columns} matrix"),
    }
}
