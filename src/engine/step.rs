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
//! (`packed::by_outputs`). A figure over the whole gradient needs two passes over it, with a barrier between: one that stores it in a vector of its own, and
//! one that applies it.
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
use super::context::Context;
use super::kernels::adam::Adam;
use super::packed::Rule;
use super::score::Score;
use super::shared::Shared;
use super::update::Update;
use super::workers::Member;
use super::{backpropagation, packed, update};

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

/// The callback to which worker 0 reports the score of every step; `None` on the other workers.
pub type Report<'a> = Option<&'a mut dyn FnMut(Score)>;

/// Job: trains on batch after batch, until something halts it. All members of a crew run it at once, with equal arguments.
pub fn train(context: &Context<'_>, member: &Member<'_>, pass: &Pass<'_>, mut report: Report<'_>) {
    let Pass { params, m, v, .. } = *pass;
    load_params(context, member, Some([m, v]), true);
    let mut clock = Clock::start();
    for (i, batch) in pass.order.chunks(pass.batch_size).enumerate() {
        phase_1(context, member, batch, 2 * i, &mut clock);
        member.synchronise();
        clock.lap(|phases| &mut phases.wait);
        let step = pass.adam.step(pass.first_step + i as u64);
        let worker = member.number();
        match context.packed {
            None => {
                let rule = Update::Adam { params, m, v, step };
                update::weight_gradients(context, worker, batch.len(), &rule, 2 * i + 1);
            }
            Some(packed) => {
                let rule = Rule::Adam(step);
                packed::weight_gradients(context, packed, worker, batch.len(), rule, 2 * i + 1);
            }
        }
        clock.lap(|phases| &mut phases.update);
        report_score(context, &mut report, batch.len());
        member.synchronise();
        clock.lap(|phases| &mut phases.wait);
        if context.halt.is_set() {
            break;
        }
    }
    if let Some(packed) = context.packed {
        // SAFETY: after the last barrier of the pass nobody does anything else.
        unsafe { packed.store(context.layout, member.number(), [params, m, v]) };
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
    let worker = member.number();
    load_params(context, member, None, true);
    phase_1(context, member, batch, 0, &mut Clock::start());
    member.synchronise();
    match context.packed {
        None => {
            update::weight_gradients(context, worker, batch.len(), &Update::Store { grads }, 1);
        }
        Some(packed) => {
            packed::weight_gradients(context, packed, worker, batch.len(), Rule::Store, 1);
            member.synchronise();
            // SAFETY: after the barrier nobody does anything else.
            unsafe { packed.store_gradients(context.layout, worker, grads) };
        }
    }
    report_score(context, &mut report, batch.len());
}

/// With the Rust backend, takes over the parameters of the job, and moments if it changes them, and waits for all.
pub fn load_params(
    context: &Context<'_>,
    member: &Member<'_>,
    moments: Option<[Shared<'_, f32>; 2]>,
    transposes: bool,
) {
    if let Some(packed) = context.packed {
        let all = 0..context.layout.len();
        // SAFETY: before the barrier nobody does anything else; flat vectors are written after the last step alone.
        unsafe {
            let params = context.params.read(all.clone());
            let moments = moments.map(|vectors| vectors.map(|vector| vector.read(all.clone())));
            packed.load(context.layout, member.number(), params, moments, transposes);
        }
        member.synchronise();
    }
}

/// Phase 1, on the matrices that the backend multiplies.
fn phase_1(
    context: &Context<'_>,
    member: &Member<'_>,
    batch: &[u32],
    phase: usize,
    clock: &mut Clock,
) {
    match context.packed {
        None => backpropagation::forward_backward(context, member, batch, phase, clock),
        Some(packed) => packed::forward_backward(context, packed, member, batch, phase, clock),
    }
}

/// Reports the score of a batch, on worker 0. Between the barrier after phase 1 and the next barrier.
fn report_score(context: &Context<'_>, report: &mut Report<'_>, batch: usize) {
    if let Some(report) = report {
        report(context.batch_score(batch));
    }
}
