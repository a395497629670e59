//! The training step: what every worker does between two meetings.
//!
//! Phase 1, per worker on its own rows of the batch: gather, forward, loss, backward to every `dz`. Meeting. Phase 2, per
//! worker on its own rows of every `w`: the weight gradient over the whole batch, block by block, and the update of that
//! block while the gradient is in the cache. Meeting. There is no reduction between threads and no second pass over the
//! parameters.
//!
//! Who writes what, which is what every `SAFETY` below rests on, together with this: a [`Member`] exists once per worker and
//! job, so that "own" means one thread.
//!
//! | buffer | phase 1 | phase 2 |
//! |---|---|---|
//! | `params` | read by all | own rows of `w` and `b` written |
//! | `m`, `v`, `grads` | - | own rows written |
//! | `input`, `slope`, `dz` of a layer | own rows of the batch written and read | read by all |
//! | a worker's gradient block, evaluation buffers, score | its own | its own (worker 0 reads every score in phase 2) |
#![allow(unsafe_code, clippy::mut_from_ref)]

use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ndarray::{ArrayView2, ArrayViewMut2, s};

use super::kernels::adam::{Adam, AdamStep, adam_step};
use super::kernels::columns::Columns;
use super::kernels::loss::{Score, softmax, softmax_cross_entropy};
use super::kernels::{activation, rows};
use super::shared::{Shared, share};
use super::workers::Member;
use super::workspace::{EVALUATION_ROWS, Phases, Places, Slot, gradient_rows};
use crate::data::{Dataset, Features};
use crate::gemm::{Backend, Zeros, gemm, gemm_expecting};
use crate::isa::{self, Isa};
use crate::model::{Activation, LayerLayout, Layout, Spec, matrix};

/// From so many rows a worker on, products that leave out blank inputs repay the copying of the weights of the others.
const PICK_FROM_ROWS: usize = 32;

/// Shuffled rows come from anywhere in memory: this many rows ahead of the one that is copied they are asked for.
const PREFETCH_ROWS: usize = 3;

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
    unsafe fn read(&self, range: Range<usize>) -> &'a [f32] {
        match self {
            Self::Fixed(params) => &params[range],
            // SAFETY: the caller's promise.
            Self::Trained(params) => unsafe { params.read(range) },
        }
    }
}

/// What phase 2 does with a gradient.
enum Update<'a> {
    /// Applies it at once.
    Adam { params: Shared<'a, f32>, m: Shared<'a, f32>, v: Shared<'a, f32>, step: AdamStep },
    /// Stores it.
    Store { grads: Shared<'a, f32> },
}

/// What a prediction is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Logits,
    Probabilities,
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

/// Tells the phases of a pass apart. A reading takes some 25 ns, a step at least a hundred times that.
struct Clock {
    last: Instant,
    phases: Phases,
}

impl Clock {
    fn start() -> Self {
        Self { last: Instant::now(), phases: Phases::default() }
    }

    /// Adds the time since the last reading to a phase.
    fn lap(&mut self, phase: impl FnOnce(&mut Phases) -> &mut Duration) {
        let now = Instant::now();
        *phase(&mut self.phases) += now - self.last;
        self.last = now;
    }
}

/// The first layer's input without the columns that are zero throughout a batch, and room for the weights of the others.
struct Picked<'a> {
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
        for (t, batch) in (pass.first_step..).zip(pass.order.chunks(pass.batch_size)) {
            self.forward_backward(member.number(), batch, &mut clock);
            member.meet();
            clock.lap(|phases| &mut phases.wait);
            let update = Update::Adam { params, m, v, step: pass.adam.step(t) };
            self.update(member.number(), batch.len(), &update);
            clock.lap(|phases| &mut phases.update);
            self.report(&mut report);
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
        self.forward_backward(member.number(), batch, &mut Clock::start());
        member.meet();
        self.update(member.number(), batch.len(), &Update::Store { grads });
        self.report(&mut report);
    }

    /// The score of some samples.
    pub fn evaluate(&self, member: &Member<'_>, rows: &[u32], mut report: Report<'_>) {
        let mut score = Score::default();
        for samples in self.own_chunks(member, rows.chunks(EVALUATION_ROWS)) {
            let (logits, n_out) = (self.logits(member.number(), samples), self.spec.n_out());
            let labels = self.data.labels();
            score += softmax_cross_entropy(self.isa, logits, labels, samples, n_out, 1.0);
        }
        self.set_score(member.number(), score);
        member.meet();
        self.report(&mut report);
    }

    /// The logits of some samples, or the probabilities of the classes; `out` has a piece (samples, n_out) for each
    /// [`EVALUATION_ROWS`] of them.
    pub fn predict(
        &self,
        member: &Member<'_>,
        rows: &[u32],
        out: &[Mutex<&mut [f32]>],
        output: Output,
    ) {
        let chunks = rows.chunks(EVALUATION_ROWS).zip(out);
        for (samples, out) in self.own_chunks(member, chunks) {
            let logits = self.logits(member.number(), samples);
            if output == Output::Probabilities {
                softmax(self.isa, logits, self.spec.n_out());
            }
            out.lock().unwrap_or_else(PoisonError::into_inner).copy_from_slice(logits);
        }
    }

    /// The chunks that are a member's: dealt out by turns.
    fn own_chunks<I: Iterator>(
        &self,
        member: &Member<'_>,
        chunks: I,
    ) -> impl Iterator<Item = I::Item> {
        chunks.skip(member.number()).step_by(self.places.workers.len())
    }

    /// Tells worker 0 the sum of all scores, in the order of the workers. Between the meeting behind the phase that set
    /// them and the next.
    fn report(&self, report: &mut Report<'_>) {
        if let Some(report) = report {
            let mut total = Score::default();
            // SAFETY: scores are set in phase 1, and this is not phase 1.
            let slots = unsafe { self.slots.read(0..self.places.workers.len()) };
            slots.iter().for_each(|slot| total += slot.score);
            report(total);
        }
    }
}

/// The phases.
impl Step<'_> {
    /// Phase 1 for one worker: leaves its rows of every `dz`, and its score.
    fn forward_backward(&self, worker: usize, batch: &[u32], clock: &mut Clock) {
        let own = share(batch.len(), worker, self.places.workers.len());
        let samples = &batch[own.clone()];
        let last = self.layout.layers().len() - 1;
        let columns = self.choose_columns(worker, batch);
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
        self.set_score(worker, score);
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
    }

    /// Phase 2 for one worker: the gradients of its rows of every `w` and entries of every `b`, and what follows.
    fn update<'a>(&'a self, worker: usize, batch: usize, update: &Update<'a>) {
        for (l, (layer, places)) in self.layout.layers().iter().zip(&self.places.layers).enumerate()
        {
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
            for block in
                blocks(share(n_out, worker, self.places.workers.len()), gradient_rows(n_in))
            {
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
    }

    /// Where the gradient of a piece of the parameters is to be written.
    ///
    /// # Safety
    /// In phase 2, for a worker's own rows, and with no other result of this in use.
    unsafe fn gradient_place<'a>(
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

    /// Adam on a piece of the parameters whose gradient has just been computed.
    fn apply(&self, update: &Update<'_>, place: Range<usize>, gradient: &[f32]) {
        if let Update::Adam { params, m, v, step } = update {
            // SAFETY: phase 2, own rows of three different vectors.
            let (w, m, v) =
                unsafe { (params.write(place.clone()), m.write(place.clone()), v.write(place)) };
            adam_step(self.isa, w, m, v, gradient, *step);
        }
    }

    /// Forward alone, for one worker and at most [`EVALUATION_ROWS`] samples; returns their logits (samples, n_out).
    ///
    /// The parameters must not change meanwhile.
    fn logits(&self, worker: usize, samples: &[u32]) -> &mut [f32] {
        assert!(samples.len() <= EVALUATION_ROWS, "logits: {} samples", samples.len());
        let places = &self.places.workers[worker];
        let buffer = |which: usize, n: usize| {
            let start = places.evaluation[which % 2].start;
            // SAFETY: a worker's own buffer; its two halves are used by turns.
            unsafe { self.arena.write(start..start + samples.len() * n) }
        };
        gather(self.isa, buffer(0, self.spec.n_in()), self.data, samples);
        for (l, layer) in self.layout.layers().iter().enumerate() {
            let slope_len = match self.activation(l).derivative_follows_from_value() {
                true => 0,
                false => samples.len() * layer.n_out,
            };
            let slope = places.evaluation_slope.start;
            // SAFETY: a worker's own buffer.
            let slope = unsafe { self.arena.write(slope..slope + slope_len) };
            self.layer_forward(l, buffer(l + 1, layer.n_out), slope, buffer(l, layer.n_in), None);
        }
        buffer(self.layout.layers().len(), self.spec.n_out())
    }

    /// Leaves a worker's score for worker 0.
    fn set_score(&self, worker: usize, score: Score) {
        // SAFETY: a worker's own score; worker 0 reads it behind the next meeting.
        unsafe { self.slots.write(worker..worker + 1)[0].score = score };
    }

    /// `z = input w^T`, then `a = f(z + b)` in place.
    fn layer_forward(
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
        let worthwhile = batch.len() >= PICK_FROM_ROWS * self.places.workers.len();
        columns.choose(|words| match worthwhile {
            true => self.data.occupancy().union_of(words, batch),
            false => words.fill(0),
        });
        self.columns(worker)
    }

    /// What [`Step::choose_columns`] found: the input of the first layer holds these columns, and they come first.
    fn columns(&self, worker: usize) -> Option<&Columns> {
        // SAFETY: a worker's own slot, written in phase 1 by `choose_columns` and `set_score`, both of which hold no
        // reference to it when they return; no result of this lives while they run.
        let columns = unsafe { &self.slots.read(worker..worker + 1)[0].columns };
        let n_in = self.spec.n_in();
        (1..=n_in - n_in / 16).contains(&columns.count()).then_some(columns)
    }

    /// The weights of a layer (n_out, n_in), for phase 1 and evaluations.
    fn w(&self, l: usize) -> ArrayView2<'_, f32> {
        let layer = &self.layout.layers()[l];
        // SAFETY: nobody writes parameters in phase 1 or in an evaluation.
        matrix(unsafe { self.params.read(layer.w()) }, layer.n_out, layer.n_in)
    }

    fn activation(&self, l: usize) -> Activation {
        self.spec.layers()[l].activation
    }

    /// A worker's rows of what enters a layer.
    ///
    /// # Safety
    /// As [`Step::own`].
    unsafe fn own_input(&self, l: usize, own: &Range<usize>) -> &mut [f32] {
        // SAFETY: the caller's promise.
        unsafe { self.own(&self.places.layers[l].input, self.layout.layers()[l].n_in, own) }
    }

    /// A worker's rows of a layer's slopes; empty where the activation needs none.
    ///
    /// # Safety
    /// As [`Step::own`].
    unsafe fn own_slope(&self, l: usize, own: &Range<usize>) -> &mut [f32] {
        let place = &self.places.layers[l].slope;
        let own = if place.is_empty() { &(0..0) } else { own };
        // SAFETY: the caller's promise.
        unsafe { self.own(place, self.layout.layers()[l].n_out, own) }
    }

    /// A worker's rows of a layer's `dz`.
    ///
    /// # Safety
    /// As [`Step::own`].
    unsafe fn own_dz(&self, l: usize, own: &Range<usize>) -> &mut [f32] {
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
}

/// The range of some rows of a buffer with `n` columns.
fn rows_of(place: &Range<usize>, n: usize, rows: &Range<usize>) -> Range<usize> {
    place.start + rows.start * n..place.start + rows.end * n
}

/// Cuts a range into even pieces of at most `size`.
fn blocks(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let count = range.len().div_ceil(size);
    (0..count).map(move |i| {
        let piece = share(range.len(), i, count);
        range.start + piece.start..range.start + piece.end
    })
}

/// Copies samples into the rows of `out`, scaled to what the network sees.
fn gather(isa: Isa, out: &mut [f32], data: &Dataset, samples: &[u32]) {
    let n = data.n_features();
    let place = |sample: u32| sample as usize * n..(sample as usize + 1) * n;
    for (i, (row, &sample)) in out.chunks_exact_mut(n).zip(samples).enumerate() {
        let later = samples.get(i + PREFETCH_ROWS).map(|&sample| place(sample));
        match data.features() {
            Features::U8(pixels) => {
                later.into_iter().for_each(|later| isa::prefetch(&pixels[later]));
                rows::scale_pixels(isa, row, &pixels[place(sample)]);
            }
            Features::F32(values) => {
                later.into_iter().for_each(|later| isa::prefetch(&values[later]));
                row.copy_from_slice(&values[place(sample)]);
            }
        }
    }
}

/// A contiguous slice as a row-major matrix to write.
fn matrix_mut(values: &mut [f32], rows: usize, columns: usize) -> ArrayViewMut2<'_, f32> {
    let len = values.len();
    match ArrayViewMut2::from_shape((rows, columns), values) {
        Ok(view) => view,
        Err(_) => panic!("{len} values are no {rows}x{columns} matrix"),
    }
}

#[cfg(test)]
mod tests {
    use super::blocks;

    #[test]
    fn blocks_are_even_and_cover_the_range() {
        for (start, end, size, expected) in
            [(3, 3, 5, 0), (3, 4, 5, 1), (0, 392, 334, 2), (7, 100, 10, 10), (0, 10, 1, 10)]
        {
            let blocks: Vec<_> = blocks(start..end, size).collect();
            assert_eq!(blocks.len(), expected);
            assert!(blocks.iter().all(|block| !block.is_empty() && block.len() <= size));
            let covered: Vec<usize> = blocks.into_iter().flatten().collect();
            assert!(covered.into_iter().eq(start..end));
        }
    }
}
