//! The training step: what every worker does between two meetings.
//!
//! Phase 1, per worker on its own rows of the batch: gather, forward, loss, backward to every `dz`. Meeting. Phase 2, per
//! worker on its own rows of every `w`: the weight gradient over the whole batch, block by block, and the update of that
//! block while the gradient is in the cache. Meeting. There is no reduction between threads and no second pass over the
//! parameters.
//!
//! A worker's own rows are a piece that is its own and, where there are enough rows, smaller ones that it draws: who computes
//! a piece changes nothing in it.
//!
//! Who writes what, which is what every `SAFETY` below rests on, together with this: a [`Member`] exists once per worker and
//! job, so that "own" means one thread.
//!
//! | buffer | phase 1 | phase 2 |
//! |---|---|---|
//! | `params` | read by all | own rows of `w` and `b` written |
//! | `m`, `v`, `grads` | - | own rows written |
//! | `input`, `slope`, `dz` of a layer | own rows of the batch written and read | read by all |
//! | a worker's gradient block, evaluation buffers, columns | its own | its own |
//! | the score of a piece | written by who has the piece | read by worker 0 |
#![allow(unsafe_code, clippy::mut_from_ref)]

use std::ops::Range;

use ndarray::s;

use super::access::{matrix_mut, rows_of};
use super::clock::Clock;
use super::gather::gather;
use super::kernels::adam::{Adam, AdamStep, adam_step};
use super::kernels::columns::Columns;
use super::kernels::loss::{Score, softmax_cross_entropy};
use super::kernels::{activation, rows};
use super::pieces::{Pieces, Turns, blocks};
use super::shared::Shared;
use super::workers::Member;
use super::workspace::{PieceScore, Places, Slot, gradient_rows};
use crate::data::Dataset;
use crate::gemm::{Backend, Zeros, gemm, gemm_expecting};
use crate::isa::Isa;
use crate::model::{LayerLayout, Layout, Spec, matrix};

/// From so many rows a worker on, products that leave out blank inputs repay the copying of the weights of the others.
const PICK_FROM_ROWS: usize = 32;

/// Whether steps with such batches look at which inputs are blank.
pub fn picking_pays(batch: usize, workers: usize) -> bool {
    batch >= PICK_FROM_ROWS * workers
}

/// A quarter of a batch is cut into small pieces where each of them has so many rows: fewer do not repay what a product packs.
const SMALL_PIECE_OF_A_BATCH: usize = 96;

/// The same for the rows of a layer's weights.
const SMALL_PIECE_OF_A_LAYER: usize = 48;

/// Everything that the workers of one job share.
pub struct Step<'a> {
    pub spec: &'a Spec,
    pub layout: &'a Layout,
    pub backend: Backend,
    pub isa: Isa,
    pub places: &'a Places,
    pub data: &'a Dataset,
    pub arena: Shared<'a, f32>,
    pub slots: Shared<'a, Slot>,
    pub scores: Shared<'a, PieceScore>,
    pub turns: &'a Turns,
    pub params: Params<'a>,
}

/// The parameters as a job sees them.
#[derive(Clone, Copy)]
pub enum Params<'a> {
    /// Nobody changes them.
    Fixed(&'a [f32]),
    /// Phase 2 changes them.
    Trained(Shared<'a, f32>),
}

impl<'a> Params<'a> {
    /// # Safety
    /// Not while phase 2 changes them.
    pub unsafe fn read(&self, range: Range<usize>) -> &'a [f32] {
        match self {
            Self::Fixed(params) => &params[range],
            // SAFETY: the caller's promise.
            Self::Trained(params) => unsafe { params.read(range) },
        }
    }
}

/// What phase 2 does with a gradient.
pub enum Update<'a> {
    /// Applies it at once.
    Adam { params: Shared<'a, f32>, m: Shared<'a, f32>, v: Shared<'a, f32>, step: AdamStep },
    /// Stores it.
    Store { grads: Shared<'a, f32> },
}

/// A pass over training samples.
pub struct Pass<'a> {
    pub order: &'a [u32],
    pub batch_size: usize,
    pub adam: &'a Adam,
    /// The number of the first step, from 1.
    pub first_step: u64,
    pub params: Shared<'a, f32>,
    pub m: Shared<'a, f32>,
    pub v: Shared<'a, f32>,
}

/// The first layer's input without the columns that are zero throughout a batch, and room for the weights of the others.
pub struct Picked<'a> {
    columns: &'a Columns,
    room: &'a mut [f32],
}

/// What worker 0 hears: a score behind every step or evaluation. The others are given `None`.
pub type Report<'a> = Option<&'a mut dyn FnMut(Score)>;

/// The jobs. Each is to be run by all members of one crew at once, with equal arguments.
impl Step<'_> {
    /// Trains on batch after batch.
    pub fn train(&self, member: &Member<'_>, pass: &Pass<'_>, mut report: Report<'_>) {
        let Pass { params, m, v, .. } = *pass;
        let mut clock = Clock::start();
        for (i, batch) in pass.order.chunks(pass.batch_size).enumerate() {
            self.forward_backward(member.number(), batch, 2 * i, &mut clock);
            member.meet();
            clock.lap(|phases| &mut phases.wait);
            let update =
                Update::Adam { params, m, v, step: pass.adam.step(pass.first_step + i as u64) };
            self.update(member.number(), batch.len(), &update, 2 * i + 1);
            clock.lap(|phases| &mut phases.update);
            self.report(&mut report, self.batch_pieces(batch.len()).count());
            member.meet();
            clock.lap(|phases| &mut phases.wait);
        }
        // SAFETY: a worker's own slot, behind the last meeting of the pass.
        unsafe { self.slots.write(member.number()..member.number() + 1)[0].phases = clock.phases };
    }

    /// The gradient over one batch.
    pub fn gradient(
        &self,
        member: &Member<'_>,
        batch: &[u32],
        grads: Shared<'_, f32>,
        mut report: Report<'_>,
    ) {
        self.forward_backward(member.number(), batch, 0, &mut Clock::start());
        member.meet();
        self.update(member.number(), batch.len(), &Update::Store { grads }, 1);
        self.report(&mut report, self.batch_pieces(batch.len()).count());
    }

    /// Tells worker 0 the sum of the first `count` scores, in order. Between the meeting behind the phase that set them and
    /// the next.
    pub fn report(&self, report: &mut Report<'_>, count: usize) {
        if let Some(report) = report {
            let mut total = Score::default();
            // SAFETY: scores are set in phase 1, and this is not phase 1.
            let scores = unsafe { self.scores.read(0..count) };
            scores.iter().for_each(|score| total += score.0);
            report(total);
        }
    }
}

/// The phases.
impl Step<'_> {
    /// Phase 1 for one worker: its piece of the batch, and others as long as there are any.
    fn forward_backward(&self, worker: usize, batch: &[u32], phase: usize, clock: &mut Clock) {
        if worker == 0 {
            self.turns.ready_next(phase);
        }
        let columns = self.choose_columns(worker, batch);
        let pieces = self.batch_pieces(batch.len());
        let mut next = Some(worker);
        while let Some(piece) = next {
            let score =
                self.forward_backward_rows(worker, batch, pieces.rows(piece), columns, clock);
            self.set_score(piece, score);
            next = self.turns.draw(phase, pieces.small()).map(|small| pieces.first_small() + small);
        }
    }

    /// How the rows of a batch are cut.
    fn batch_pieces(&self, batch: usize) -> Pieces {
        Pieces::new(batch, self.places.workers.len(), SMALL_PIECE_OF_A_BATCH)
    }

    /// Phase 1 for some rows of the batch: leaves them of every `dz`, and returns their score.
    fn forward_backward_rows(
        &self,
        worker: usize,
        batch: &[u32],
        own: Range<usize>,
        columns: Option<&Columns>,
        clock: &mut Clock,
    ) -> Score {
        let samples = &batch[own.clone()];
        let last = self.layout.layers().len() - 1;
        // SAFETY: phase 1, own rows, the only reference.
        let input = unsafe { self.own_input(0, &own) };
        gather(self.isa, input, self.data, samples);
        if let Some(columns) = columns {
            let rows = input.chunks_exact_mut(self.spec.n_in());
            rows.for_each(|row| columns.pick_in_place(self.isa, row));
        }
        clock.lap(|phases| &mut phases.gather);
        // SAFETY: a worker's own buffer, which has no other use in phase 1.
        let room = unsafe { self.arena.write(self.places.workers[worker].gradient.clone()) };
        let mut picked = columns.map(|columns| Picked { columns, room });
        for l in 0..last {
            // SAFETY: phase 1, own rows of three different buffers.
            let (z, slope, input) = unsafe {
                (self.own_input(l + 1, &own), self.own_slope(l, &own), self.own_input(l, &own))
            };
            self.layer_forward(l, z, slope, input, picked.take());
        }
        // SAFETY: phase 1, own rows of two different buffers.
        let (logits, input) = unsafe { (self.own_dz(last, &own), self.own_input(last, &own)) };
        self.layer_forward(last, logits, &mut [], input, picked.take());
        let (labels, scale) = (self.data.labels(), 1.0 / batch.len() as f32);
        let n_classes = self.spec.n_out();
        let score = softmax_cross_entropy(self.isa, logits, labels, samples, n_classes, scale);
        clock.lap(|phases| &mut phases.forward);
        for l in (1..=last).rev() {
            let activation = self.activation(l - 1);
            // SAFETY: phase 1, own rows of three different buffers.
            let (dz, below, kept) = unsafe {
                let kept = match activation.derivative_follows_from_value() {
                    true => self.own_input(l, &own),
                    false => self.own_slope(l - 1, &own),
                };
                (self.own_dz(l, &own), self.own_dz(l - 1, &own), kept)
            };
            // da = dz w, then dz of the layer below = da * f'(z)
            let LayerLayout { n_in, n_out, .. } = self.layout.layers()[l];
            let (da, dz) = (matrix_mut(below, own.len(), n_in), matrix(dz, own.len(), n_out));
            gemm(self.backend, da, dz, self.w(l), 0.0);
            activation::backward(self.isa, below, kept, activation);
        }
        clock.lap(|phases| &mut phases.backward);
        score
    }

    /// Phase 2 for one worker: its piece of every layer, and others as long as there are any.
    fn update<'a>(&'a self, worker: usize, batch: usize, update: &Update<'a>, phase: usize) {
        if worker == 0 {
            self.turns.ready_next(phase);
        }
        let (layers, workers) = (self.layout.layers(), self.places.workers.len());
        let pieces = |l: usize| Pieces::new(layers[l].n_out, workers, SMALL_PIECE_OF_A_LAYER);
        for l in 0..layers.len() {
            self.update_rows(worker, batch, update, l, pieces(l).rows(worker));
        }
        // the small pieces of all layers; many have none
        let with_small = || (0..layers.len()).filter(|&l| pieces(l).small() > 0);
        while let Some(turn) = self.turns.draw(phase, with_small().count() * workers) {
            if let Some(l) = with_small().nth(turn / workers) {
                let piece = pieces(l).first_small() + turn % workers;
                self.update_rows(worker, batch, update, l, pieces(l).rows(piece));
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
                // SAFETY: phase 2, own rows; the gradient before is no longer used.
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
                            self.apply(update, start..start + n_in, row);
                        }
                        continue;
                    }
                }
                self.apply(update, place, gradient);
            }
        }
    }

    /// Adam on a piece of the parameters whose gradient has just been computed.
    fn apply(&self, update: &Update<'_>, place: Range<usize>, gradient: &[f32]) {
        if let Update::Adam { params, m, v, step } = update {
            // SAFETY: phase 2, own rows of three different vectors.
            let (w, m, v) =
                unsafe { (params.write(place.clone()), m.write(place.clone()), v.write(place)) };
            adam_step(self.isa, w, m, v, gradient, *step);
        }
    }

    /// Leaves the score of a piece for worker 0.
    pub fn set_score(&self, piece: usize, score: Score) {
        // SAFETY: phase 1 or an evaluation, where a piece has one worker; worker 0 reads it behind the next meeting.
        unsafe { self.scores.write(piece..piece + 1)[0].0 = score };
    }

    /// `z = input w^T`, then `a = f(z + b)` in place.
    pub fn layer_forward(
        &self,
        l: usize,
        z: &mut [f32],
        slope: &mut [f32],
        input: &[f32],
        picked: Option<Picked<'_>>,
    ) {
        let LayerLayout { n_in, n_out, .. } = self.layout.layers()[l];
        let rows = input.len() / n_in;
        let (mut product, input) = (matrix_mut(z, rows, n_out), matrix(input, rows, n_in));
        let zeros = if l == 0 { Zeros::Many } else { Zeros::Few };
        if let Some(Picked { columns, room }) = picked {
            let count = columns.count();
            let input = input.slice(s![.., ..count]);
            for block in blocks(0..n_out, room.len() / count) {
                let place = self.layout.layers()[l].w_rows(block.clone());
                // SAFETY: nobody writes parameters in phase 1.
                let w = unsafe { self.params.read(place) };
                let room = &mut room[..block.len() * count];
                for (picked, w) in room.chunks_exact_mut(count).zip(w.chunks_exact(n_in)) {
                    columns.pick(self.isa, picked, w);
                }
                let w = matrix(room, block.len(), count).reversed_axes();
                let product = product.slice_mut(s![.., block]);
                gemm_expecting(zeros, self.backend, product, input, w, 0.0);
            }
        } else {
            let w = self.w(l).reversed_axes();
            gemm_expecting(zeros, self.backend, product, input, w, 0.0);
        }
        // SAFETY: nobody writes parameters in phase 1 or in an evaluation.
        let b = unsafe { self.params.read(self.layout.layers()[l].b()) };
        activation::forward(self.isa, z, slope, b, self.activation(l));
    }

    /// Finds the inputs that are not zero throughout the batch; `None` where leaving out the others does not pay.
    fn choose_columns(&self, worker: usize, batch: &[u32]) -> Option<&Columns> {
        // SAFETY: phase 1, a worker's own slot, the only reference.
        let columns = unsafe { &mut self.slots.write(worker..worker + 1)[0].columns };
        let worthwhile = picking_pays(batch.len(), self.places.workers.len());
        columns.choose(|words| match worthwhile {
            true => self.data.occupancy().union_of(words, batch),
            false => words.fill(0),
        });
        self.columns(worker)
    }

    /// What [`Step::choose_columns`] found: the input of the first layer holds these columns, and they come first.
    fn columns(&self, worker: usize) -> Option<&Columns> {
        // SAFETY: a worker's own slot, whose columns are written by `choose_columns` alone, once in phase 1 and before the
        // result of this is used.
        let columns = unsafe { &self.slots.read(worker..worker + 1)[0].columns };
        let n_in = self.spec.n_in();
        (1..=n_in - n_in / 16).contains(&columns.count()).then_some(columns)
    }
}
