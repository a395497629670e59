//! Phase 1 of networks with batch norm, and what becomes of a panel with a norm.
//!
//! Batch norm needs all samples of a unit: a worker takes all samples through its panels of each hidden layer, with a barrier after each, forward and backward. The output
//! layer and the loss are split by rows. No sum depends on the number of workers.
#![allow(unsafe_code)]

use super::Packed;
use super::layout::MOST_ROWS;
use super::rows::Rows;
use crate::engine::clock::Clock;
use crate::engine::context::Context;
use crate::engine::hidden::Training;
use crate::engine::norm::{
    BatchNorm, NORM_ROWS, RowSums, Running, Statistics, batch_norm, batch_norm_gradient,
};
use crate::engine::partition::{blocks, even_range};
use crate::engine::score::Score;
use crate::engine::workers::Member;
use crate::model::Norm;

const _: () = assert!(MOST_ROWS <= NORM_ROWS);

/// The hidden layers forward for one worker, which all pass.
pub fn forward_hidden(
    context: &Context<'_>,
    packed: &Packed<'_>,
    member: &Member<'_>,
    training: Training<'_>,
    clock: &mut Clock,
) {
    let (worker, batch, layout) = (member.number(), training.batch, packed.layout);
    let rows_of = |rows| Rows { context, packed, worker, rows, training: Some(training) };
    let all = rows_of(0..batch.len());
    let own = even_range(batch.len(), worker, member.count());
    rows_of(own.clone()).gather(&batch[own]);
    clock.lap(|phases| &mut phases.gather);
    clock.meet(member);
    for l in 0..layout.layers.len() - 1 {
        let own = layout.own_panels(l, worker);
        let row_blocks = blocks(0..batch.len(), layout.rows_block).map(rows_of);
        row_blocks.for_each(|rows| rows.products(l, own.clone(), |_| ()));
        for panel in own {
            all.batch_norm(l, panel);
            all.finish(l, panel);
        }
        clock.lap(|phases| &mut phases.forward);
        clock.meet(member);
    }
}

/// Phase 1 for one worker, between barriers that all pass.
pub fn forward_backward(
    context: &Context<'_>,
    packed: &Packed<'_>,
    member: &Member<'_>,
    training: Training<'_>,
    phase: usize,
    clock: &mut Clock,
) {
    forward_hidden(context, packed, member, training, clock);
    let (worker, batch, layout) = (member.number(), training.batch, packed.layout);
    let rows_of = |rows| Rows { context, packed, worker, rows, training: Some(training) };
    let (all, last) = (rows_of(0..batch.len()), layout.layers.len() - 1);
    let scale = context.gradient_scale(batch);
    context.for_each_batch_chunk(worker, batch.len(), phase, |chunk| {
        let mut score = Score::default();
        for rows in blocks(chunk, layout.rows_block).map(rows_of) {
            rows.forward(last, 0..layout.layers[last].out_panels);
            score += rows.loss(&batch[rows.rows.clone()], scale);
        }
        score
    });
    clock.lap(|phases| &mut phases.forward);
    for l in (context.frozen + 1..=last).rev() {
        clock.meet(member);
        let (layer, below) = (&layout.layers[l], &layout.layers[l - 1]);
        let own = layout.own_panels(l - 1, worker);
        for rows in blocks(0..batch.len(), layout.rows_block).map(rows_of) {
            let panels = own.clone();
            panels.for_each(|panel| rows.input_gradient(l, 0..layer.n_out, &below.dz, panel));
        }
        for panel in own {
            all.multiply_by_slope(l, panel);
            all.batch_norm_gradient(l - 1, panel);
        }
        clock.lap(|phases| &mut phases.backward);
    }
    if context.learns_input_scales() {
        clock.meet(member);
        let own = even_range(layout.layers[0].in_panels, worker, member.count());
        for rows in blocks(0..batch.len(), layout.rows_block).map(rows_of) {
            rows.gradient_by_inputs(own.clone());
        }
        clock.lap(|phases| &mut phases.backward);
    }
}

impl Rows<'_> {
    /// Normalises a panel of a layer's products over these rows, which are a whole batch.
    fn batch_norm(&self, l: usize, panel: usize) {
        let Self { context, packed, rows, .. } = self;
        let (layout, layer) = (packed.layout, &packed.layout.layers[l]);
        let params = packed.vectors.params;
        let units = panel * layout.width..(panel + 1) * layout.width;
        let tensor = |which: usize| {
            let start = layer.norm.tensors[which].start;
            start + units.start..start + units.end
        };
        let inverses = layer.norm.inverses.start;
        let biases = layer.b.start + units.start..layer.b.start + units.end;
        let share = self.training.map_or(0.0, |training| training.share);
        let running_use =
            if l < context.frozen { Running::Apply } else { Running::Update { share } };
        // SAFETY: phase 1: own panels of the buffers and of running statistics; nobody writes the other parameters.
        unsafe {
            let norm = BatchNorm {
                gains: params.read(tensor(0)),
                biases: params.read(biases),
                running: [params.write(tensor(2)), params.write(tensor(3))],
                running_use,
            };
            let inverses = packed.arena.write(inverses + units.start..inverses + units.end);
            let mut means = [0.0; 32];
            let means = &mut means[..layout.width];
            let z = packed.arena.write(self.of_panel(layout.output(l), panel));
            let normed = packed.arena.write(self.of_panel(&layer.norm.normed, panel));
            let mut statistics = Statistics { means, inverses };
            batch_norm(context.isa, rows.len(), norm, &mut statistics, &mut |work| {
                work(z, normed);
            });
        }
    }

    /// Makes the `dz` of a panel of a layer of the gradient by what its norm has made, over these rows, which are a whole batch.
    fn batch_norm_gradient(&self, l: usize, panel: usize) {
        let Self { context, packed, rows, .. } = self;
        let (layout, layer) = (packed.layout, &packed.layout.layers[l]);
        let norm = &layer.norm;
        let units = |start: usize| {
            let start = start + panel * layout.width;
            start..start + layout.width
        };
        let grads = [0, layer.out_panels * layout.width].map(|at| units(norm.grads.start + at));
        // SAFETY: phase 1: own panels of the buffers; nobody writes gains.
        unsafe {
            let gains = packed.vectors.params.read(units(norm.tensors[0].start));
            let inverses = packed.arena.read(units(norm.inverses.start));
            let grads = grads.map(|range| packed.arena.write(range));
            let dz = packed.arena.write(self.of_panel(&layer.dz, panel));
            let normed = packed.arena.write(self.of_panel(&norm.normed, panel));
            batch_norm_gradient(context.isa, rows.len(), gains, inverses, grads, &mut |work| {
                work(dz, normed);
            });
        }
    }

    /// Adds biases to the products of a layer, and normalises these rows over its units.
    pub fn layer_norm(&self, l: usize) {
        let Self { context, packed, rows, .. } = self;
        let (layout, layer) = (packed.layout, &packed.layout.layers[l]);
        let (params, isa, count) = (packed.vectors.params, context.isa, rows.len());
        let panels =
            || (0..layer.out_panels).map(|panel| (panel, layout.columns(layer.n_out, panel)));
        let of_units = |start: usize, panel: usize| {
            let start = start + panel * layout.width;
            // SAFETY: phase 1, or an evaluation: nobody writes parameters.
            unsafe { params.read(start..start + layout.width) }
        };
        // SAFETY: phase 1, or an evaluation: own rows, one panel at a time.
        let z = |panel| unsafe { packed.arena.write(self.of_panel(layout.output(l), panel)) };
        let mut sums = RowSums::new();
        for (panel, columns) in panels() {
            let b = of_units(layer.b.start, panel);
            crate::engine::kernels::norm::add_biases_and_sum_rows(
                isa,
                sums.first(count),
                z(panel),
                b,
                columns,
            );
        }
        sums.divide(count, layer.n_out);
        for (panel, columns) in panels() {
            sums.add_squares(isa, z(panel), layout.width, columns);
        }
        let inverses = layer.norm.inverses.start;
        let inverses = inverses + rows.start..inverses + rows.end;
        // SAFETY: as above.
        sums.finish(unsafe { packed.arena.write(inverses) }, layer.n_out);
        for (panel, columns) in panels() {
            // SAFETY: as above.
            let normed = unsafe { packed.arena.write(self.of_panel(&layer.norm.normed, panel)) };
            let gains = of_units(layer.norm.tensors[0].start, panel);
            sums.normalize(isa, z(panel), normed, gains, columns);
        }
    }

    /// Makes the `dz` of a layer of the gradient by what its layer norm has made, of which it keeps a copy.
    pub fn layer_norm_gradient(&self, l: usize) {
        let Self { context, packed, rows, .. } = self;
        let (layout, layer, isa) = (packed.layout, &packed.layout.layers[l], context.isa);
        let norm = &layer.norm;
        let gains = |panel: usize| {
            let start = norm.tensors[0].start + panel * layout.width;
            // SAFETY: phase 1: nobody writes parameters.
            unsafe { packed.vectors.params.read(start..start + layout.width) }
        };
        // SAFETY: phase 1, own rows, one panel at a time.
        let buffers = |panel: usize| unsafe {
            (
                packed.arena.write(self.of_panel(&layer.dz, panel)),
                packed.arena.read(self.of_panel(&norm.normed, panel)),
            )
        };
        let mut sums = RowSums::new();
        for panel in 0..layer.out_panels {
            let (dy, normed) = buffers(panel);
            // SAFETY: phase 1, own rows.
            unsafe { packed.arena.write(self.of_panel(&norm.grads, panel)) }.copy_from_slice(dy);
            sums.add_products(isa, dy, normed, gains(panel));
        }
        sums.divide(rows.len(), layer.n_out);
        let inverses = norm.inverses.start + rows.start..norm.inverses.start + rows.end;
        // SAFETY: phase 1, own rows.
        let inverses = unsafe { packed.arena.read(inverses) };
        for panel in 0..layer.out_panels {
            let (dy, normed) = buffers(panel);
            let columns = layout.columns(layer.n_out, panel);
            sums.project(isa, dy, normed, &gains(panel)[..columns], inverses);
        }
    }

    /// Whether what is added before the activation of a layer are the shifts of its norm, instead of the biases.
    pub fn adds_shifts(&self, l: usize) -> bool {
        match self.context.spec.layers()[l].norm {
            Norm::Batch => self.training.is_some(),
            Norm::Layer => true,
            _ => false,
        }
    }
}
