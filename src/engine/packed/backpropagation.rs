//! Phase 1 of a step on panels: gather, forward, loss, backward.

use super::Packed;
use super::by_outputs;
use super::rows::Rows;
use crate::engine::clock::Clock;
use crate::engine::context::Context;
use crate::engine::partition::blocks;
use crate::engine::score::Score;
use crate::engine::workers::Member;

/// Phase 1 for one worker: its assigned chunk of the batch, then drawn chunks until none is left. Writes the `dz` of every layer that learns.
/// Layers that are split by outputs come before and after.
pub fn forward_backward(
    context: &Context<'_>,
    packed: &Packed<'_>,
    member: &Member<'_>,
    batch: &[u32],
    phase: usize,
    clock: &mut Clock,
) {
    let (worker, scale) = (member.number(), context.gradient_scale(batch));
    by_outputs::forward(context, packed, member, batch, clock);
    context.for_each_batch_chunk(worker, batch.len(), phase, |chunk| {
        let mut score = Score::default();
        for rows in blocks(chunk, packed.layout.rows_block) {
            score += Rows { context, packed, worker, rows }.pass(batch, scale, clock);
        }
        score
    });
    by_outputs::backward(context, packed, member, batch.len(), clock);
}
