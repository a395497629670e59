//! Layers that are split by outputs: a worker computes some outputs of every sample, and changes the weights of these. So weights and moments
//! never go from one core to another, where activations do. That is less where a batch has fewer samples than a layer has inputs and
//! outputs; and it is nothing at all for the inputs of the first layer, which every worker gathers for itself.
//!
//! The first layers may be split so. The others are split by rows, as `backpropagation` says, between two barriers.
#![allow(unsafe_code)]

use super::Packed;
use super::rows::Rows;
use crate::engine::clock::Clock;
use crate::engine::context::Context;
use crate::engine::hidden::Training;
use crate::engine::kernels::rows::add;
use crate::engine::partition::blocks;
use crate::engine::workers::Member;
use crate::gemm::panels::count_product;

/// Phase 1 of these layers forward, with a barrier after each.
pub fn forward(
    context: &Context<'_>,
    packed: &Packed<'_>,
    member: &Member<'_>,
    training: Training<'_>,
    clock: &mut Clock,
) {
    let (worker, batch) = (member.number(), training.batch);
    for l in 0..packed.layout.split {
        for rows in blocks(0..batch.len(), packed.layout.rows_block) {
            let rows = Rows { context, packed, worker, rows, training: Some(training) };
            if l == 0 {
                rows.gather(&batch[rows.rows.clone()]);
                clock.lap(|phases| &mut phases.gather);
            }
            rows.forward(l, packed.layout.own_panels(l, worker));
            clock.lap(|phases| &mut phases.forward);
        }
        clock.meet(member);
    }
}

/// Phase 1 of these layers backward: the `dz` of all of them that learn but the last, which those split by rows have written.
pub fn backward(
    context: &Context<'_>,
    packed: &Packed<'_>,
    member: &Member<'_>,
    batch: usize,
    clock: &mut Clock,
) {
    let (layout, worker) = (packed.layout, member.number());
    for l in (context.frozen + 1..layout.split).rev() {
        if l + 1 == layout.split {
            // for the last one's `dz`
            clock.meet(member);
        }
        // two buffers: others may still read the one of the layer above
        let parts = |worker: usize| &layout.workers[worker].parts[l % 2];
        let outputs = |worker: usize| {
            let panels = layout.own_panels(l, worker);
            panels.start * layout.width..layout.layers[l].n_out.min(panels.end * layout.width)
        };
        if worker == 0 {
            count_product();
        }
        for rows in blocks(0..batch, layout.rows_block) {
            let rows = Rows { context, packed, worker, rows, training: None };
            for panel in 0..layout.layers[l].in_panels {
                rows.input_gradient(l, outputs(worker), parts(worker), panel);
            }
        }
        clock.lap(|phases| &mut phases.backward);
        clock.meet(member);
        let rows = Rows { context, packed, worker, rows: 0..batch, training: None };
        for panel in layout.own_panels(l - 1, worker) {
            let to = rows.of_panel(&layout.layers[l - 1].dz, panel);
            // SAFETY: phase 1: own panels of `dz`; nobody writes these parts after the barrier.
            let to = unsafe { packed.arena.write(to) };
            let mut filled = (0..member.count()).filter(|&worker| !outputs(worker).is_empty());
            let part = |worker: usize| {
                // SAFETY: as above.
                unsafe { packed.arena.read(rows.of_panel(parts(worker), panel)) }
            };
            if let Some(first) = filled.next() {
                to.copy_from_slice(part(first));
            }
            filled.for_each(|worker| add(context.isa, to, part(worker)));
            rows.multiply_by_slope(l, panel);
        }
        clock.lap(|phases| &mut phases.backward);
    }
}
