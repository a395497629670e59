//! The training step: two phases with a barrier after each.
//!
//! **Phase 1**, [`backpropagation`]: each worker takes its own rows of the batch, gathers the samples, runs forward, computes
//! the loss, and runs backward to the `dz` of every layer that learns. Where the batch is small, wide layers are split by columns instead,
//! with barriers around them.
//!
//! **Phase 2**, [`update`]: each worker takes its own rows of every `w` (with panels its own inputs, or outputs), computes their gradient over the whole batch, block by
//! block, and updates each block while its gradient is in the cache. There is no reduction between threads and no second pass
//! over the parameters.
//!
//! What needs a figure over the whole batch would have its place in phase 1, at a barrier between layers: layers that are split by outputs have one
//! (`packed::by_outputs`). Clipping needs the norm of the whole gradient: phase 2 then stores the gradient in a vector of its own with the sums of squares of its
//! parts, and after a barrier applies it.
//!
//! A worker's own rows are those of a chunk that is assigned to it and, where there are enough rows, of smaller chunks that it
//! draws when it is free: who computes a chunk changes nothing in it. Where the result must not depend on the number of
//! workers, all chunks are drawn. See `partition` for the cuts, and `context` for who writes what.
//!
//! ```text
//! step ──> backpropagation, update        a phase each, with OpenBLAS
//!     │      └──> forward                 a layer forward, the columns that are not zero
//!     ├──> packed                         both phases of the Rust backend
//!     │           └──> context            what every phase needs
//! evaluation ──> forward, packed          the jobs without training
//! ```
#![allow(unsafe_code)]

use super::clock::Clock;
use super::context::{Context, Recipe};
use super::hidden::Training;
use super::optimizer::{Change, Steps, Use, Vectors, clip_factor};
use super::score::Score;
use super::shared::Shared;
use super::workers::Member;
use super::{backpropagation, input_scales, normalized, packed, update};
use crate::model::Norm;

/// A pass over training samples.
pub struct Pass<'a> {
    pub order: &'a [u32],
    pub batch_size: usize,
    /// The optimizer.
    pub steps: &'a dyn Steps,
    /// The number of the first step, from 1.
    pub first_step: u64,
    /// What the steps change, flat.
    pub vectors: Vectors<'a>,
}

/// The callback to which worker 0 reports the score of every step; `None` on the other workers.
pub type Report<'a> = Option<&'a mut dyn FnMut(Score)>;

/// Job: trains on batch after batch, until something halts it. All members of a crew run it at once, with equal arguments.
pub fn train(context: &Context<'_>, member: &Member<'_>, pass: &Pass<'_>, mut report: Report<'_>) {
    load_params(context, member, Some(&pass.vectors), true);
    let mut clock = Clock::start();
    let vectors = context.packed.map_or(pass.vectors, |packed| packed.vectors);
    let mut phases = 0..;
    let mut next_phase = || phases.next().unwrap_or_default();
    for (i, batch) in pass.order.chunks(pass.batch_size).enumerate() {
        let step = pass.first_step + i as u64;
        let training = Training::step(step, pass.steps.epoch(step), batch);
        phase_1(context, member, training, next_phase(), &mut clock);
        clock.meet(member);
        let change = Change::new(pass.steps, context.recipe.averaging, step);
        match context.recipe.clip_norm {
            None => {
                let usage = Use::Change(vectors, change);
                phase_2(context, member, batch.len(), &usage, next_phase());
                let usage = Use::Change(pass.vectors, change);
                learn_input_scales(context, member, batch.len(), &usage);
            }
            Some(norm) => {
                let Recipe { grads, squares, .. } = context.recipe;
                let usage = Use::Measure(grads, squares);
                phase_2(context, member, batch.len(), &usage, next_phase());
                learn_input_scales(context, member, batch.len(), &usage);
                clock.lap(|phases| &mut phases.update);
                clock.meet(member);
                // SAFETY: nobody writes the sums in this part of phase 2.
                let factor = clip_factor(unsafe { squares.read(0..squares.len()) }, norm);
                change_all(context, member, (grads, factor), (vectors, change), next_phase());
                let (worker, flat) = (member.number(), pass.vectors);
                input_scales::change_all(context, worker, (grads, factor), flat, change);
            }
        }
        clock.lap(|phases| &mut phases.update);
        report_score(context, &mut report, batch.len());
        clock.meet(member);
        if context.halt.is_set() {
            break;
        }
    }
    if let Some(packed) = context.packed {
        // SAFETY: after the last barrier of the pass nobody does anything else.
        unsafe { packed.store(context.layout, member.number(), &pass.vectors) };
    }
    // SAFETY: a worker's own state, after the last barrier of the pass.
    let state = unsafe { context.worker_states.write(member.number()..member.number() + 1) };
    state[0].phases = clock.phases;
}

/// Job: stores the gradient over one batch. All members of a crew run it at once, with equal arguments.
pub fn gradient(
    context: &Context<'_>,
    member: &Member<'_>,
    batch: &[u32],
    grads: Shared<'_, f32>,
    mut report: Report<'_>,
) {
    load_params(context, member, None, true);
    let training = Training::step(0, 0, batch);
    phase_1(context, member, training, 0, &mut Clock::start());
    member.synchronise();
    // in panels, they wait where the first moments lie
    let stored = context.packed.map_or(grads, |packed| packed.vectors.m);
    phase_2(context, member, batch.len(), &Use::Store(stored), 1);
    learn_input_scales(context, member, batch.len(), &Use::Store(grads));
    if let Some(packed) = context.packed {
        member.synchronise();
        // SAFETY: after the barrier nobody does anything else.
        unsafe { packed.store_vector(context.layout, member.number(), grads, stored) };
    }
    report_score(context, &mut report, batch.len());
}

/// Job: makes the running statistics of batch norms the means over some batches, without noise, dropout and augmentation. All members of a crew run it at once, with equal
/// arguments. Nothing else of `params` changes.
pub fn average_statistics(
    context: &Context<'_>,
    member: &Member<'_>,
    params: Shared<'_, f32>,
    batches: std::slice::Chunks<'_, u32>,
) {
    load_params(context, member, None, false);
    let mut clock = Clock::start();
    for (i, batch) in batches.enumerate() {
        let training = Training { batch, drawn: None, share: 1.0 / (i + 1) as f32 };
        match context.packed {
            None => normalized::forward_hidden(context, member, training, &mut clock),
            Some(packed) => {
                packed::forward_hidden(context, packed, member, training, &mut clock);
            }
        }
    }
    if let Some(packed) = context.packed {
        // SAFETY: after the last barrier nobody does anything else.
        unsafe {
            packed.store_vector(context.layout, member.number(), params, packed.vectors.params);
        }
    }
}

/// With the Rust backend, takes over the parameters of the job, and all vectors if it changes them, and waits for all.
pub fn load_params(
    context: &Context<'_>,
    member: &Member<'_>,
    vectors: Option<&Vectors<'_>>,
    transposes: bool,
) {
    if let Some(packed) = context.packed {
        // SAFETY: before the barrier nobody does anything else; flat vectors are written after the last step alone.
        unsafe {
            let params = context.params.read(0..context.layout.len());
            packed.load(context.layout, member.number(), params, vectors, transposes);
        }
        member.synchronise();
    }
}

/// Phase 1, on the matrices that the backend multiplies.
fn phase_1(
    context: &Context<'_>,
    member: &Member<'_>,
    training: Training<'_>,
    phase: usize,
    clock: &mut Clock,
) {
    match context.packed {
        None if context.spec.norm() == Norm::Batch => {
            normalized::forward_backward(context, member, training, phase, clock);
        }
        None => backpropagation::forward_backward(context, member, training, phase, clock),
        Some(packed) => packed::forward_backward(context, packed, member, training, phase, clock),
    }
}

/// Phase 2, likewise; with clipping, its first part.
fn phase_2(
    context: &Context<'_>,
    member: &Member<'_>,
    batch: usize,
    usage: &Use<'_>,
    phase: usize,
) {
    let worker = member.number();
    match context.packed {
        None => update::weight_gradients(context, worker, batch, usage, phase),
        Some(packed) => packed::weight_gradients(context, packed, worker, batch, usage, phase),
    }
}

/// Phase 2 of the factors of the inputs, if there are some: in flat vectors with either backend.
fn learn_input_scales(context: &Context<'_>, member: &Member<'_>, batch: usize, usage: &Use<'_>) {
    let worker = member.number();
    match context.packed {
        _ if !context.learns_input_scales() => {}
        None => update::learn_input_scales(context, worker, batch, usage),
        Some(packed) => packed::learn_input_scales(context, packed, worker, batch, usage),
    }
}

/// The second part of phase 2 with clipping: changes all parameters by stored gradients, multiplied by a factor.
fn change_all(
    context: &Context<'_>,
    member: &Member<'_>,
    gradients: (Shared<'_, f32>, f32),
    (vectors, change): (Vectors<'_>, Change),
    phase: usize,
) {
    let worker = member.number();
    match context.packed {
        None => update::change_all(context, worker, gradients, vectors, change, phase),
        Some(packed) => packed::change_all(context, packed, worker, gradients, change, phase),
    }
}

/// Reports the score of a batch, on worker 0. Between the barrier after phase 1 and the next barrier.
fn report_score(context: &Context<'_>, report: &mut Report<'_>, batch: usize) {
    if let Some(report) = report {
        report(context.batch_score(batch));
    }
}
