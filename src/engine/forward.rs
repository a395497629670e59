//! A layer forward, and the inputs that the first layer leaves out. Who writes what stands in [`super::step`].
#![allow(unsafe_code)]

use std::ops::Range;

use ndarray::{ArrayView2, ArrayViewMut2, s};

use super::kernels::activation;
use super::kernels::columns::Columns;
use super::pieces::blocks;
use super::step::Step;
use crate::gemm::{Zeros, gemm_expecting};
use crate::model::matrix;

/// The first layer's input without the columns that are zero throughout a batch, and room for the weights of the others.
pub struct Picked<'a> {
    pub columns: &'a Columns,
    pub room: &'a mut [f32],
}

impl Step<'_> {
    /// `z = input w^T`, then `a = f(z + b)` in place, for some outputs of a layer.
    ///
    /// `input` is (rows, n_in); `z` is (rows, outputs), and so is `slope`, for the activations that keep one.
    pub fn layer_forward(
        &self,
        l: usize,
        mut z: ArrayViewMut2<'_, f32>,
        mut slope: Option<ArrayViewMut2<'_, f32>>,
        input: ArrayView2<'_, f32>,
        outputs: &Range<usize>,
        picked: Option<Picked<'_>>,
    ) {
        let layer = &self.layout.layers()[l];
        let zeros = if l == 0 { Zeros::Many } else { Zeros::Few };
        // SAFETY: nobody writes parameters in phase 1 or in an evaluation.
        let params = |place: Range<usize>| unsafe { self.params.read(place) };
        if let Some(Picked { columns, room }) = picked {
            let count = columns.count();
            let input = input.slice(s![.., ..count]);
            for block in blocks(outputs.clone(), room.len() / count) {
                let w = params(layer.w_rows(block.clone()));
                let room = &mut room[..block.len() * count];
                for (picked, w) in room.chunks_exact_mut(count).zip(w.chunks_exact(layer.n_in)) {
                    columns.pick(self.isa, picked, w);
                }
                let w = matrix(room, block.len(), count).reversed_axes();
                let z = z.slice_mut(s![.., block.start - outputs.start..block.end - outputs.start]);
                gemm_expecting(zeros, self.backend, z, input, w, 0.0);
            }
        } else {
            let w = matrix(params(layer.w_rows(outputs.clone())), outputs.len(), layer.n_in);
            gemm_expecting(zeros, self.backend, z.view_mut(), input, w.reversed_axes(), 0.0);
        }
        let (b, activation) = (params(layer.b_rows(outputs.clone())), self.activation(l));
        if let Some(z) = z.as_slice_mut() {
            let slope = slope.and_then(ArrayViewMut2::into_slice).unwrap_or_default();
            return activation::forward(self.isa, z, slope, b, activation);
        }
        for (i, z) in z.rows_mut().into_iter().enumerate() {
            let slope = slope.as_mut().and_then(|slope| slope.row_mut(i).into_slice());
            let z = z.into_slice().unwrap_or_default();
            activation::forward(self.isa, z, slope.unwrap_or_default(), b, activation);
        }
    }

    /// Finds the inputs that are not zero throughout the batch; `None` where leaving out the others does not pay.
    pub fn choose_columns(&self, worker: usize, batch: &[u32]) -> Option<&Columns> {
        // SAFETY: phase 1, a worker's own slot, the only reference.
        let columns = unsafe { &mut self.slots.write(worker..worker + 1)[0].columns };
        let worthwhile = self.places.partition.picking_pays(batch.len());
        columns.choose(|words| match worthwhile {
            true => self.data.occupancy().union_of(words, batch),
            false => words.fill(0),
        });
        self.columns(worker)
    }

    /// What [`Step::choose_columns`] found: the input of the first layer holds these columns, and they come first.
    pub fn columns(&self, worker: usize) -> Option<&Columns> {
        // SAFETY: a worker's own slot, whose columns are written by `choose_columns` alone, once in phase 1 and before the
        // result of this is used.
        let columns = unsafe { &self.slots.read(worker..worker + 1)[0].columns };
        let n_in = self.spec.n_in();
        (1..=n_in - n_in / 16).contains(&columns.count()).then_some(columns)
    }
}
