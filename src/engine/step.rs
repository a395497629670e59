//! The training step: what every worker does between two meetings.
//!
//! Phase 1 (`backpropagation`), per worker on its own rows of the batch: gather, forward, loss, backward to every `dz`. Where
//! the batch is small, layers that are wide are cut by columns instead, with meetings around them. Meeting. Phase 2
//! (`update`), per worker on its own rows of every `w`: the weight gradient over the whole batch, block by block, and the
//! update of that block while the gradient is in the cache. Meeting. There is no reduction between threads and no second
//! pass over the parameters.
//!
//! A worker's own rows are a piece that is its own and, where there are enough rows, smaller ones that it draws: who computes
//! a piece changes nothing in it. Where the result is not to depend on the number of workers, all pieces are drawn.
//!
//! Who writes what, which is what every `SAFETY` in these files rests on, together with this: a [`Member`] exists once per
//! worker and job, so that "own" means one thread. The methods of [`Step`] trust each other to keep to it; [`super::Engine`] alone
//! starts a job, always with one of those that [`Step`] lists as jobs, and the boundary of what has to be trusted is that module.
//!
//! | buffer | phase 1 | phase 2 |
//! |---|---|---|
//! | `params` | read by all | own rows of `w` and `b` written |
//! | `m`, `v`, `grads` | - | own rows written |
//! | `input`, `slope`, `dz` of a layer cut by rows | own rows written and read | read by all |
//! | the same of a layer cut by columns | own columns written; behind a meeting, read by all | read by all |
//! | a worker's gradient block, evaluation buffers, columns | its own | its own |
//! | the score of a piece | written by who has the piece | read by worker 0 |
#![allow(unsafe_code, clippy::mut_from_ref)]

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use super::clock::Clock;
use super::kernels::adam::{Adam, AdamStep};
use super::kernels::loss::Score;
use super::pieces::Turns;
use super::shared::Shared;
use super::workers::Member;
use super::workspace::{PieceScore, Places, Slot};
use crate::data::Dataset;
use crate::gemm::Backend;
use crate::isa::Isa;
use crate::model::{Layout, Spec};

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
    pub halt: &'a Halt,
    pub params: Params<'a>,
}

/// What ends a pass before its last batch. It is set within a step and looked at behind the meeting that ends the step, so
/// that all workers see the same.
#[derive(Debug, Default)]
pub struct Halt {
    asked: AtomicBool,
    /// 1 and the number of the layer nearest to the output whose weights are not finite; 0 if all are.
    broken: AtomicUsize,
}

// Relaxed: the flags are all that passes here, and the meetings order them
impl Halt {
    /// Lets the pass end behind this step.
    pub fn ask(&self) {
        self.asked.store(true, Relaxed);
    }

    /// A layer's weights, or their second moments, are not finite any more.
    pub fn weights_broke(&self, layer: usize) {
        self.broken.fetch_max(layer + 1, Relaxed);
    }

    /// The layer nearest to the output whose weights are not finite: the first one that the gradient reached.
    pub fn broken_weights(&self) -> Option<usize> {
        self.broken.load(Relaxed).checked_sub(1)
    }

    fn is_set(&self) -> bool {
        self.asked.load(Relaxed) || self.broken.load(Relaxed) > 0
    }
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

/// What worker 0 hears: a score behind every step. The others are given `None`.
pub type Report<'a> = Option<&'a mut dyn FnMut(Score)>;

/// The jobs. Each is to be run by all members of one crew at once, with equal arguments.
impl Step<'_> {
    /// Trains on batch after batch, until something halts it.
    pub fn train(&self, member: &Member<'_>, pass: &Pass<'_>, mut report: Report<'_>) {
        let Pass { params, m, v, .. } = *pass;
        let mut clock = Clock::start();
        for (i, batch) in pass.order.chunks(pass.batch_size).enumerate() {
            self.forward_backward(member, batch, 2 * i, &mut clock);
            member.meet();
            clock.lap(|phases| &mut phases.wait);
            let update =
                Update::Adam { params, m, v, step: pass.adam.step(pass.first_step + i as u64) };
            self.update(member.number(), batch.len(), &update, 2 * i + 1);
            clock.lap(|phases| &mut phases.update);
            self.report(&mut report, self.places.partition.batch(batch.len()).count());
            member.meet();
            clock.lap(|phases| &mut phases.wait);
            if self.halt.is_set() {
                break;
            }
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
        self.forward_backward(member, batch, 0, &mut Clock::start());
        member.meet();
        self.update(member.number(), batch.len(), &Update::Store { grads }, 1);
        self.report(&mut report, self.places.partition.batch(batch.len()).count());
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

    /// Leaves the score of a piece for worker 0.
    pub fn set_score(&self, piece: usize, score: Score) {
        // SAFETY: phase 1 or an evaluation, where a piece has one worker; worker 0 reads it behind the next meeting.
        unsafe { self.scores.write(piece..piece + 1)[0].0 = score };
    }
}
