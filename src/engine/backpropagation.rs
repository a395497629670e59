//! Phase 1 of the step: gather, forward, loss, backward. Who writes what stands in [`super::step`].
#![allow(unsafe_code)]

use std::ops::Range;

use ndarray::{ArrayViewMut2, s};

use super::access::rows_of;
use super::clock::{Clock, Phase};
use super::forward::Picked;
use super::gather::gather;
use super::kernels::activation;
use super::kernels::columns::Columns;
use super::kernels::loss::{Score, softmax_cross_entropy};
use super::pieces::share;
use super::step::Step;
use super::workers::Member;
use crate::gemm::gemm;
use crate::model::{LayerLayout, matrix};

/// Values of a cache line: columns are cut between lines.
const LINE: usize = 16;

/// A part of a layer's values for a batch.
struct Part {
    rows: Range<usize>,
    columns: Range<usize>,
}

/// Cuts layer after layer into parts, one for each worker.
struct Cut<'a> {
    member: &'a Member<'a>,
    batch: usize,
    /// The worker's rows of the batch, for layers that are cut by rows.
    rows: Range<usize>,
    /// Whether wide layers may be cut by columns.
    columns_allowed: bool,
    /// Whether the layer before was.
    by_columns: bool,
}

impl Cut<'_> {
    /// The worker's part of the next layer. What it needs of the layer before is there: where it belongs to others, they meet
    /// first, and the time until then counts as `phase`.
    fn next(&mut self, width: usize, clock: &mut Clock, phase: Phase) -> Part {
        let (before, workers) = (self.by_columns, self.member.count());
        self.by_columns = self.columns_allowed && width >= self.batch.max(LINE * workers);
        if before || self.by_columns {
            clock.lap(phase);
            self.member.meet();
            clock.lap(|phases| &mut phases.wait);
        }
        match self.by_columns {
            true => {
                let lines = share(width.div_ceil(LINE), self.member.number(), workers);
                let columns = lines.start * LINE..(lines.end * LINE).min(width);
                Part { rows: 0..self.batch, columns }
            }
            false => Part { rows: self.rows.clone(), columns: 0..width },
        }
    }
}

impl Step<'_> {
    /// Phase 1 for one worker: its piece of the batch, and others as long as there are any.
    pub fn forward_backward(
        &self,
        member: &Member<'_>,
        batch: &[u32],
        phase: usize,
        clock: &mut Clock,
    ) {
        let worker = member.number();
        if worker == 0 {
            self.turns.ready_next(phase);
        }
        let blank = self.choose_columns(worker, batch);
        let partition = self.places.partition;
        let pieces = partition.batch(batch.len());
        let draw = || Some(pieces.first_small() + self.turns.draw(phase, pieces.small())?);
        let mut next = pieces.own(worker).or_else(draw);
        while let Some(piece) = next {
            let cut = Cut {
                member,
                batch: batch.len(),
                rows: pieces.rows(piece),
                columns_allowed: partition.cuts_columns(batch.len()),
                by_columns: false,
            };
            let score = self.forward_backward_rows(cut, batch, blank, clock);
            self.set_score(piece, score);
            next = draw();
        }
    }

    /// Phase 1 for some rows of the batch: leaves the worker's parts of every `dz`, and returns the score of the rows.
    fn forward_backward_rows(
        &self,
        mut cut: Cut<'_>,
        batch: &[u32],
        columns: Option<&Columns>,
        clock: &mut Clock,
    ) -> Score {
        let (own, layers) = (cut.rows.clone(), self.layout.layers());
        self.gather_rows(&batch[own.clone()], &own, columns);
        clock.lap(|phases| &mut phases.gather);
        // SAFETY: a worker's own buffer, which has no other use in phase 1 since the piece before returned.
        let room =
            unsafe { self.arena.write(self.places.workers[cut.member.number()].picked.clone()) };
        let mut picked = columns.map(|columns| Picked { columns, room });
        for (l, layer) in layers.iter().enumerate() {
            let part = cut.next(layer.n_out, clock, |phases| &mut phases.forward);
            self.forward_part(l, &part, picked.take());
        }
        let Part { rows, .. } = cut.next(0, clock, |phases| &mut phases.forward);
        let score = self.loss_of_rows(batch, &rows);
        clock.lap(|phases| &mut phases.forward);
        for (l, layer) in layers.iter().enumerate().skip(1).rev() {
            let part = cut.next(layer.n_in, clock, |phases| &mut phases.backward);
            self.backward_part(l, &part);
        }
        clock.lap(|phases| &mut phases.backward);
        score
    }

    /// The input of the first layer for some rows of the batch.
    fn gather_rows(&self, samples: &[u32], rows: &Range<usize>, columns: Option<&Columns>) {
        let (place, n_in) = (&self.places.layers[0].input, self.spec.n_in());
        // SAFETY: phase 1, own rows, the only reference.
        let input = unsafe { self.arena.write(rows_of(place, n_in, rows)) };
        gather(self.isa, input, self.data, samples);
        if let Some(columns) = columns {
            input.chunks_exact_mut(n_in).for_each(|row| columns.pick_in_place(self.isa, row));
        }
    }

    /// What leaves a layer: the input of the next, or the logits.
    fn forward_part(&self, l: usize, part: &Part, picked: Option<Picked<'_>>) {
        let (layer, places) = (&self.layout.layers()[l], &self.places.layers[l]);
        let to = self.places.layers.get(l + 1).map_or(&places.dz, |above| &above.input);
        let keeps_slope = !places.slope.is_empty();
        // SAFETY: phase 1, own parts of two buffers.
        let (z, slope) = unsafe {
            let slope = keeps_slope.then(|| self.write_part(&places.slope, layer.n_out, part));
            (self.write_part(to, layer.n_out, part), slope)
        };
        // SAFETY: phase 1: these rows were written before the worker's part was cut, by this worker, or by others before the
        // meeting in `Cut::next`; they are not written again.
        let input = unsafe { self.arena.read(rows_of(&places.input, layer.n_in, &part.rows)) };
        let input = matrix(input, part.rows.len(), layer.n_in);
        self.layer_forward(l, z, slope, input, &part.columns, picked);
    }

    /// The score of some rows; leaves the `dz` of the output layer in the place of the logits.
    fn loss_of_rows(&self, batch: &[u32], rows: &Range<usize>) -> Score {
        let (last, n_classes) = (self.layout.layers().len() - 1, self.spec.n_out());
        // SAFETY: phase 1, own rows, the only reference.
        let logits =
            unsafe { self.arena.write(rows_of(&self.places.layers[last].dz, n_classes, rows)) };
        let (labels, scale) = (self.data.labels(), 1.0 / batch.len() as f32);
        softmax_cross_entropy(self.isa, logits, labels, &batch[rows.clone()], n_classes, scale)
    }

    /// The `dz` of the layer below: `da = dz w`, then `da * f'(z)`.
    fn backward_part(&self, l: usize, part: &Part) {
        let LayerLayout { n_in, n_out, .. } = self.layout.layers()[l];
        let (places, below) = (&self.places.layers[l], &self.places.layers[l - 1]);
        let activation = self.activation(l - 1);
        let kept = match activation.derivative_follows_from_value() {
            true => &places.input,
            false => &below.slope,
        };
        // SAFETY: phase 1, the worker's own part.
        let mut da = unsafe { self.write_part(&below.dz, n_in, part) };
        // SAFETY: phase 1: these rows were written before the worker's part was cut, by this worker, or by others before the
        // meeting in `Cut::next`; they are not written again.
        let (dz, kept) = unsafe {
            (
                self.arena.read(rows_of(&places.dz, n_out, &part.rows)),
                self.arena.read(rows_of(kept, n_in, &part.rows)),
            )
        };
        let w = self.w(l);
        let w = w.slice(s![.., part.columns.clone()]);
        gemm(self.backend, da.view_mut(), matrix(dz, part.rows.len(), n_out), w, 0.0);
        if part.columns.len() == n_in
            && let Some(da) = da.as_slice_mut()
        {
            return activation::backward(self.isa, da, kept, activation);
        }
        for (da, kept) in da.rows_mut().into_iter().zip(kept.chunks_exact(n_in)) {
            let da = da.into_slice().unwrap_or_default();
            activation::backward(self.isa, da, &kept[part.columns.clone()], activation);
        }
    }

    /// # Safety
    /// In phase 1, for a part that is the worker's own, and with no other reference to it in use.
    unsafe fn write_part(
        &self,
        place: &Range<usize>,
        n: usize,
        part: &Part,
    ) -> ArrayViewMut2<'_, f32> {
        // SAFETY: the caller's promise.
        unsafe { self.arena.write_columns(rows_of(place, n, &part.rows), n, &part.columns) }
    }
}
