//! From flat row-major vectors to panels and back.
#![allow(unsafe_code)]

use std::ops::Range;

use super::layout::PackedLayer;
use super::order::{InputOrder, SIDE};
use crate::engine::shared::Shared;
use crate::gemm::panels::Tiles;
use crate::model::LayerLayout;

/// Runs of inputs that follow each other both in a layer's row and in its panels: the input and the position at which each begins, and its length.
fn runs(order: InputOrder, n_in: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let length = match order {
        InputOrder::Given => n_in,
        InputOrder::Squares { .. } => SIDE,
    };
    (0..n_in).step_by(length).map(move |position| (order.input(position), position, length))
}

/// The outputs of a panel.
fn outputs(layer: &PackedLayer, width: usize, panel: usize) -> Range<usize> {
    panel * width..layer.n_out.min((panel + 1) * width)
}

/// Copies a layer out of a flat vector into a packed one.
pub fn load(
    tiles: &Tiles,
    layer: &PackedLayer,
    order: InputOrder,
    packed: &mut [f32],
    flat_layer: &LayerLayout,
    flat: &[f32],
) {
    let (n_in, width) = (layer.n_in, tiles.width);
    let w = &flat[flat_layer.w()];
    for panel in 0..layer.out_panels {
        let outputs = outputs(layer, width, panel);
        let from = &w[outputs.start * n_in..outputs.end * n_in];
        let to = &mut packed[layer.w.start + panel * n_in * width..][..n_in * width];
        for (input, position, length) in runs(order, n_in) {
            let from = from[input..].as_ptr();
            let to = to[position * width..].as_mut_ptr();
            // SAFETY: `from` has a row of `n_in` values for each output, and the run lies within it; `to` has a row of `width` values for each
            // input. Tiles exist for instruction sets of this CPU alone.
            unsafe { tiles.transpose((to, width), (from, n_in), outputs.len(), length) };
        }
    }
    packed[layer.b.clone()][..layer.n_out].copy_from_slice(&flat[flat_layer.b()]);
}

/// The inverse of [`load`].
pub fn store(
    tiles: &Tiles,
    layer: &PackedLayer,
    order: InputOrder,
    packed: &[f32],
    flat_layer: &LayerLayout,
    flat: &mut [f32],
) {
    let (n_in, width) = (layer.n_in, tiles.width);
    let w = &mut flat[flat_layer.w()];
    for panel in 0..layer.out_panels {
        let outputs = outputs(layer, width, panel);
        let to = &mut w[outputs.start * n_in..outputs.end * n_in];
        let from = &packed[layer.w.start + panel * n_in * width..][..n_in * width];
        for (input, position, length) in runs(order, n_in) {
            let from = from[position * width..].as_ptr();
            let to = to[input..].as_mut_ptr();
            // SAFETY: as in `load`, the other way round.
            unsafe { tiles.transpose((to, n_in), (from, width), length, outputs.len()) };
        }
    }
    flat[flat_layer.b()].copy_from_slice(&packed[layer.b.clone()][..layer.n_out]);
}

/// Copies the weights between a panel of inputs and one of outputs to where they lie transposed.
///
/// # Safety
/// Nobody else writes these weights or reaches their transposed copy meanwhile.
pub unsafe fn transpose(
    tiles: &Tiles,
    layer: &PackedLayer,
    transposed: Shared<'_, f32>,
    params: Shared<'_, f32>,
    in_panel: usize,
    out_panel: usize,
) {
    let (n_in, width) = (layer.n_in, tiles.width);
    let inputs = in_panel * width..n_in.min((in_panel + 1) * width);
    let outputs = outputs(layer, width, out_panel);
    let to = layer.transposed.start + (in_panel * layer.n_out + outputs.start) * width;
    let to = transposed.pointer(to..to + outputs.len() * width);
    let from = layer.w.start + (out_panel * n_in + inputs.start) * width;
    let from = params.pointer(from..from + inputs.len() * width);
    // SAFETY: both ranges were checked to be within their vectors, and hold rows of `width` values: `from` for each input, `to` for each
    // output; the caller promises the rest.
    unsafe { tiles.transpose((to, width), (from, width), inputs.len(), outputs.len()) };
}
