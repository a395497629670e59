//! Phase 1 of a step on panels: gather, forward, loss, backward.

use super::Packed;
use super::by_outputs;
use super::normalized;
use super::rows::Rows;
use crate::engine::clock::Clock;
use crate::engine::context::Context;
use crate::engine::hidden::Training;
use crate::engine::partition::blocks;
use crate::engine::score::Score;
use crate::engine::workers::Member;
use crate::model::Norm;

/// Phase 1 for one worker: its assigned chunk of the batch, then drawn chunks until none is left. Writes the `dz` of every layer that learns.
/// Layers that are split by outputs come before and after.
pub fn forward_backward(
    context: &Context<'_>,
    packed: &Packed<'_>,
    member: &Member<'_>,
    training: Training<'_>,
    phase: usize,
    clock: &mut Clock,
) {
    if context.spec.norm() == Norm::Batch {
        return normalized::forward_backward(context, packed, member, training, phase, clock);
    }
    let batch = training.batch;
    let (worker, scale) = (member.number(), context.gradient_scale(batch));
    by_outputs::forward(context, packed, member, training, clock);
    context.for_each_batch_chunk(worker, batch.len(), phase, |chunk| {
        let mut score = Score::default();
        for rows in blocks(chunk, packed.layout.rows_block) {
            let training = Some(training);
            score += Rows { context, packed, worker, rows, training }.pass(batch, scale, clock);
        }
        score
    });
    by_outputs::backward(context, packed, member, batch.len(), clock);
}
