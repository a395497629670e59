//! From flat row-major vectors to panels and back, by all workers: each converts what it owns, which is disjoint from what the others own.
#![allow(unsafe_code)]

use std::ops::Range;

use super::layout::{Owned, PackedLayer};
use super::order::{InputOrder, SIDE};
use crate::engine::shared::Shared;
use crate::gemm::panels::Tiles;
use crate::model::LayerLayout;

/// A layer in both forms.
pub struct Conversion<'a> {
    pub tiles: &'static Tiles,
    pub layer: &'a PackedLayer,
    pub flat_layer: &'a LayerLayout,
    /// How the inputs lie in panels.
    pub order: InputOrder,
}

impl Conversion<'_> {
    /// Copies what a worker owns out of a flat vector into a packed one.
    ///
    /// # Safety
    /// Nobody else reaches that in the packed vector meanwhile, and nobody writes the flat one.
    pub unsafe fn load(&self, owned: &Owned, packed: Shared<'_, f32>, flat: &[f32]) {
        let (n_in, width) = (self.layer.n_in, self.tiles.width);
        let w = &flat[self.flat_layer.w()];
        for panel in owned.out_panels.clone() {
            let outputs = outputs(self.layer, width, panel);
            let from = &w[outputs.start * n_in..outputs.end * n_in];
            for (input, position, length) in self.runs(owned) {
                let from = from[input..].as_ptr();
                let to = packed.pointer(self.rows(panel, position, length));
                // SAFETY: `from` has a row of `n_in` values for each output, and the run lies within it; `to` has a row of `width` values for each
                // input. Tiles exist for instruction sets of this CPU alone. The caller promises the rest.
                unsafe { self.tiles.transpose((to, width), (from, n_in), outputs.len(), length) };
            }
        }
        for (to, from) in self.vectors() {
            for panel in owned.biases.clone() {
                let outputs = outputs(self.layer, width, panel);
                let to = to + outputs.start..to + outputs.end;
                // SAFETY: the caller's promise.
                unsafe { packed.write(to) }.copy_from_slice(&flat[from.clone()][outputs]);
            }
        }
    }

    /// The inverse of [`Conversion::load`].
    ///
    /// # Safety
    /// Nobody else reaches these values of the flat vector meanwhile, and nobody writes the packed one.
    pub unsafe fn store(&self, owned: &Owned, packed: &[f32], flat: Shared<'_, f32>) {
        let (n_in, width) = (self.layer.n_in, self.tiles.width);
        let w = self.flat_layer.w();
        for panel in owned.out_panels.clone() {
            let outputs = outputs(self.layer, width, panel);
            let to = flat.pointer(w.start + outputs.start * n_in..w.start + outputs.end * n_in);
            for (input, position, length) in self.runs(owned) {
                let from = packed[self.rows(panel, position, length)].as_ptr();
                // SAFETY: as in `load`, the other way round; the run of inputs is within a row.
                unsafe {
                    let to = to.add(input);
                    self.tiles.transpose((to, n_in), (from, width), length, outputs.len());
                }
            }
        }
        for (from, to) in self.vectors() {
            for panel in owned.biases.clone() {
                let outputs = outputs(self.layer, width, panel);
                let to = to.start + outputs.start..to.start + outputs.end;
                // SAFETY: the caller's promise.
                unsafe { flat.write(to) }.copy_from_slice(&packed[from..][outputs]);
            }
        }
    }

    /// Where the tensors with a value for each output begin in packed vectors, and where they are in flat ones: biases, and what a norm has.
    fn vectors(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let norm = self.layer.norm.tensors.iter().enumerate();
        let norm = norm.map(|(which, packed)| (packed.start, self.flat_layer.norm(which)));
        [(self.layer.b.start, self.flat_layer.b())].into_iter().chain(norm)
    }

    /// Where the rows of some inputs of a panel of outputs lie in a packed vector.
    fn rows(&self, panel: usize, position: usize, length: usize) -> Range<usize> {
        let start = self.layer.w.start + (panel * self.layer.n_in + position) * self.tiles.width;
        start..start + length * self.tiles.width
    }

    /// Runs of inputs that follow each other both in a layer's row and in its panels: the input and the position at which each begins, and its length.
    fn runs(&self, owned: &Owned) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let (n_in, width, order) = (self.layer.n_in, self.tiles.width, self.order);
        let positions = owned.in_panels.start * width..n_in.min(owned.in_panels.end * width);
        let length = match order {
            InputOrder::Given => positions.len().max(1),
            InputOrder::Squares { .. } => SIDE,
        };
        positions.step_by(length).map(move |position| {
            let input = order.input(position);
            assert!(
                input + length <= n_in,
                "input {input} of {n_in}: the order is of other images"
            );
            (input, position, length)
        })
    }
}

/// The outputs of a panel.
fn outputs(layer: &PackedLayer, width: usize, panel: usize) -> Range<usize> {
    panel * width..layer.n_out.min((panel + 1) * width)
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
