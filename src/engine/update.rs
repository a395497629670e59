//! Phase 2 of the step: weight gradients, and Adam on each block of one while it is in the cache. Who writes what stands in
//! [`super::step`].
#![allow(unsafe_code)]

use std::ops::Range;

use ndarray::s;

use super::access::{matrix_mut, rows_of};
use super::kernels::adam::adam_step;
use super::kernels::columns::Columns;
use super::kernels::rows;
use super::pieces::blocks;
use super::step::{Step, Update};
use super::workspace::gradient_rows;
use crate::gemm::gemm;
use crate::model::matrix;

impl Step<'_> {
    /// Phase 2 for one worker: its piece of every layer, and others as long as there are any.
    pub fn update<'a>(&'a self, worker: usize, batch: usize, update: &Update<'a>, phase: usize) {
        if worker == 0 {
            self.turns.ready_next(phase);
        }
        let layers = self.layout.layers();
        let pieces = |l: usize| self.places.partition.layer(layers[l].n_out);
        for l in 0..layers.len() {
            if let Some(own) = pieces(l).own(worker) {
                self.update_rows(worker, batch, update, l, pieces(l).rows(own));
            }
        }
        // the small pieces of all layers, one layer after the other; many have none
        let smalls = || (0..layers.len()).map(|l| pieces(l).small());
        while let Some(mut turn) = self.turns.draw(phase, smalls().sum()) {
            for (l, small) in smalls().enumerate() {
                if turn < small {
                    let piece = pieces(l).first_small() + turn;
                    self.update_rows(worker, batch, update, l, pieces(l).rows(piece));
                    break;
                }
                turn -= small;
            }
        }
    }

    /// Phase 2 for some rows of a layer's `w` and entries of its `b`: their gradients, and what follows.
    fn update_rows<'a>(
        &'a self,
        worker: usize,
        batch: usize,
        update: &Update<'a>,
        l: usize,
        own: Range<usize>,
    ) {
        let (layer, places) = (&self.layout.layers()[l], &self.places.layers[l]);
        let (n_in, n_out) = (layer.n_in, layer.n_out);
        let columns = if l == 0 { self.columns(worker) } else { None };
        let used = columns.map_or(n_in, Columns::count);
        // SAFETY: phase 2: nobody writes these buffers.
        let (input, dz) = unsafe {
            (
                self.arena.read(rows_of(&places.input, n_in, &(0..batch))),
                self.arena.read(rows_of(&places.dz, n_out, &(0..batch))),
            )
        };
        let (input, dz_matrix) = (matrix(input, batch, n_in), matrix(dz, batch, n_out));
        let input = input.slice(s![.., ..used]);
        for block in blocks(own, gradient_rows(n_in)) {
            // dw = dz^T input; db = the column sums of dz
            let dz_block = dz_matrix.slice(s![.., block.clone()]);
            let parts = [layer.w_rows(block.clone()), layer.b_rows(block.clone())];
            for (is_bias, place) in parts.into_iter().enumerate() {
                // SAFETY: phase 2, rows of a piece that is this worker's, by number or by draw; the gradient before is no longer used.
                let gradient = unsafe { self.gradient_place(worker, update, &place) };
                if is_bias == 1 {
                    rows::column_sums(self.isa, gradient, dz, n_out, block.start);
                } else {
                    let mut dw = matrix_mut(gradient, block.len(), n_in);
                    let dw = dw.slice_mut(s![.., ..used]);
                    gemm(self.backend, dw, dz_block.t(), input, 0.0);
                    if let Some(columns) = columns {
                        // row by row: what is spread is still in the first-level cache when it is applied
                        let places = place.clone().step_by(n_in);
                        for (start, row) in places.zip(gradient.chunks_exact_mut(n_in)) {
                            columns.spread_in_place(self.isa, row);
                            self.apply(update, l, start..start + n_in, row);
                        }
                        continue;
                    }
                }
                self.apply(update, l, place, gradient);
            }
        }
    }

    /// Adam on a piece of a layer's parameters whose gradient has just been computed.
    fn apply(&self, update: &Update<'_>, l: usize, place: Range<usize>, gradient: &[f32]) {
        if let Update::Adam { params, m, v, step } = update {
            // SAFETY: phase 2, rows of a piece that is this worker's, of three different vectors.
            let (w, m, v) =
                unsafe { (params.write(place.clone()), m.write(place.clone()), v.write(place)) };
            if !adam_step(self.isa, w, m, v, gradient, *step) {
                self.halt.weights_broke(l);
            }
        }
    }
}
