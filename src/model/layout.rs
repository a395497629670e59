//! The parameter table of a network: the tensors of each layer, where they are in a flat vector, and how they learn.
//!
//! `params`, `grads` and Adam's `m` and `v` share one table. For each layer, in order: `w`, row-major (n_out, n_in) as in
//! PyTorch, then `b` (n_out), then what its norm has, each (n_out). Before the first layer are the factors of the inputs (n_in), if there are some. An ensemble has one member
//! after the other.

use std::ops::Range;

use ndarray::{ArrayView1, ArrayView2};

use super::{Norm, Spec};
use crate::error::{Error, Result};

/// A tensor of the parameters.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tensor {
    /// The name in model files, such as `layers.0.weight`, or `members.0.layers.0.weight` in an ensemble.
    pub name: String,
    /// The sizes along its axes; its values are row-major.
    pub shape: Vec<usize>,
    /// Where its values are in a flat vector.
    pub range: Range<usize>,
    /// Whether steps change it by its gradient. [`Layout::new`] says that they do, but not for running statistics, and the biases before a batch norm, which
    /// subtracts them again.
    pub trained: bool,
    /// What the learning rate is multiplied by, 1 at first.
    pub rate: f64,
    /// What the weight decay is multiplied by, beside the learning rate; 1 at first.
    pub decay: f64,
}

/// The position of one layer in a flat vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerLayout {
    /// Inputs of the layer: columns of `w`.
    pub n_in: usize,
    /// Outputs of the layer: rows of `w`, entries of `b`.
    pub n_out: usize,
    /// Where `w` begins; `b` follows it, and then what the norm has.
    offset: usize,
    /// What normalises its products.
    norm: Norm,
}

/// The parameter table of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    layers: Vec<LayerLayout>,
    /// The weights and then the biases of each layer, and what its norm has; of one member of an ensemble after the other.
    tensors: Vec<Tensor>,
    /// The number of the first tensor of each layer, and of all in a member.
    first_tensors: Vec<usize>,
    /// Whether the first tensor of a member are the factors of the inputs.
    scales_inputs: bool,
    members: usize,
    len: usize,
}

impl LayerLayout {
    /// The range of `w` in a flat vector.
    pub fn w(&self) -> Range<usize> {
        self.offset..self.offset + self.n_out * self.n_in
    }

    /// The range of `b` in a flat vector.
    pub fn b(&self) -> Range<usize> {
        self.w().end..self.w().end + self.n_out
    }

    /// The range of consecutive rows of `w` in a flat vector.
    pub fn w_rows(&self, rows: Range<usize>) -> Range<usize> {
        self.offset + rows.start * self.n_in..self.offset + rows.end * self.n_in
    }

    /// The range of the entries of `b` that belong to these rows of `w`.
    pub fn b_rows(&self, rows: Range<usize>) -> Range<usize> {
        let start = self.w().end;
        start + rows.start..start + rows.end
    }

    /// The range of a tensor of the norm: its gains, its shifts, and of batch norm its running means and variances.
    ///
    /// # Panics
    /// If the norm has no such tensor.
    pub fn norm(&self, which: usize) -> Range<usize> {
        assert!(which < self.norm.tensors().len(), "the norm {} has no tensor {which}", self.norm);
        let start = self.b().end + which * self.n_out;
        start..start + self.n_out
    }

    /// `w` (n_out, n_in) as a view of a flat vector.
    ///
    /// # Panics
    /// If the vector is shorter than the layout.
    pub fn w_view<'a>(&self, flat: &'a [f32]) -> ArrayView2<'a, f32> {
        matrix(&flat[self.w()], self.n_out, self.n_in)
    }

    /// `b` (n_out) as a view of a flat vector.
    ///
    /// # Panics
    /// If the vector is shorter than the layout.
    pub fn b_view<'a>(&self, flat: &'a [f32]) -> ArrayView1<'a, f32> {
        ArrayView1::from(&flat[self.b()])
    }
}

impl Layout {
    /// Computes the offsets of a network.
    ///
    /// # Errors
    /// [`Error::Usage`] if there are too many parameters to address.
    pub fn new(spec: &Spec) -> Result<Self> {
        let mut layers = Vec::with_capacity(spec.layers().len());
        let mut tensors = Vec::with_capacity(6 * spec.layers().len());
        let mut first_tensors = Vec::with_capacity(spec.layers().len() + 1);
        let (mut n_in, mut offset) = (spec.n_in(), 0usize);
        if spec.scales_inputs() {
            let (name, shape, range) = (INPUT_SCALES.to_owned(), vec![n_in], 0..n_in);
            tensors.push(Tensor { name, shape, range, trained: true, rate: 1.0, decay: 1.0 });
            offset = n_in;
        }
        for layer in spec.layers() {
            let n_out = layer.n_out;
            let vectors = 1 + layer.norm.tensors().len();
            let end = (n_in.checked_mul(n_out))
                .and_then(|weights| weights.checked_add(n_out.checked_mul(vectors)?))
                .and_then(|size| size.checked_add(offset))
                .filter(|&end| end <= MAX_PARAMETERS);
            let Some(end) = end else {
                return Err(Error::usage(format!(
                    "a layer of {n_in} inputs and {n_out} outputs makes the network larger than \
                     {MAX_PARAMETERS} parameters; expected smaller hidden layers"
                )));
            };
            let norm = layer.norm;
            let layer = LayerLayout { n_in, n_out, offset, norm };
            first_tensors.push(tensors.len());
            let mut push = |kind: &str, shape: Vec<usize>, range: Range<usize>| {
                let name = format!("layers.{}.{kind}", layers.len());
                let is_constant = kind.contains("running") || kind == "bias" && norm == Norm::Batch;
                let trained = !is_constant;
                tensors.push(Tensor { name, shape, range, trained, rate: 1.0, decay: 1.0 });
            };
            push("weight", vec![n_out, n_in], layer.w());
            push("bias", vec![n_out], layer.b());
            for (which, (name, _)) in norm.tensors().iter().enumerate() {
                push(name, vec![n_out], layer.norm(which));
            }
            layers.push(layer);
            (n_in, offset) = (n_out, end);
        }
        first_tensors.push(tensors.len());
        let members = spec.members();
        let Some(len) = offset.checked_mul(members).filter(|&len| len <= MAX_PARAMETERS) else {
            return Err(Error::usage(format!(
                "an ensemble of {members} networks of {offset} parameters is larger than {MAX_PARAMETERS} parameters; expected \
                 fewer members, or smaller hidden layers"
            )));
        };
        if tensors.len().saturating_mul(members) > MAX_TENSORS {
            return Err(Error::usage(format!(
                "an ensemble of {members} networks of {} layers; expected fewer of one or the other",
                layers.len()
            )));
        }
        if members > 1 {
            let of_member = |member: usize| {
                let prefix = member_prefix(members, member);
                tensors.iter().map(move |tensor: &Tensor| Tensor {
                    name: format!("{prefix}{}", tensor.name),
                    range: tensor.range.start + member * offset..tensor.range.end + member * offset,
                    ..tensor.clone()
                })
            };
            tensors = (0..members).flat_map(of_member).collect();
        }
        let scales_inputs = spec.scales_inputs();
        Ok(Self { layers, tensors, first_tensors, scales_inputs, members, len })
    }

    /// The number of networks in the ensemble; 1 for a network alone.
    pub fn members(&self) -> usize {
        self.members
    }

    /// Where the parameters of a member are in a flat vector. Within them, they lie as those of a network alone.
    ///
    /// # Panics
    /// If there is no such member.
    pub fn member(&self, member: usize) -> Range<usize> {
        assert!(
            member < self.members,
            "there are {} members, not one of the number {member}",
            self.members
        );
        let len = self.len / self.members;
        member * len..(member + 1) * len
    }

    /// The tensors of a member.
    ///
    /// # Panics
    /// If there is no such member.
    pub(crate) fn member_tensors(&self, member: usize) -> &[Tensor] {
        let count = self.tensors.len() / self.members;
        &self.tensors[member * count..(member + 1) * count]
    }

    /// The layers, from input to output; of an ensemble those of its first member.
    pub fn layers(&self) -> &[LayerLayout] {
        &self.layers
    }

    /// All tensors, in the order of the flat vector.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The same, to change how they learn.
    pub(crate) fn tensors_mut(&mut self) -> &mut [Tensor] {
        &mut self.tensors
    }

    /// The weights of a layer, of an ensemble's first member, as in the next two.
    pub fn weight(&self, layer: usize) -> &Tensor {
        &self.tensors_of(layer)[0]
    }

    /// The biases of a layer.
    pub fn bias(&self, layer: usize) -> &Tensor {
        &self.tensors_of(layer)[1]
    }

    /// The factors of the inputs, of the first member; `None` without them.
    pub fn input_scales(&self) -> Option<&Tensor> {
        self.scales_inputs.then(|| &self.tensors[0])
    }

    /// The tensors of a layer: the weights, the biases, and those of its norm.
    pub fn tensors_of(&self, layer: usize) -> &[Tensor] {
        &self.tensors[self.first_tensors[layer]..self.first_tensors[layer + 1]]
    }

    /// Lets no step change the first layers.
    pub(crate) fn freeze(&mut self, layers: usize) {
        let of_member = self.first_tensors[self.layers.len()];
        for member in self.tensors.chunks_exact_mut(of_member) {
            // the factors of the inputs are below the first layer
            let frozen = if layers == 0 { 0 } else { self.first_tensors[layers] };
            let frozen = &mut member[..frozen];
            frozen.iter_mut().for_each(|tensor| tensor.trained = false);
        }
    }

    /// The number of values that steps change by gradients: all but running statistics, and biases before a batch norm.
    pub fn parameters(&self) -> usize {
        self.tensors.iter().filter(|tensor| tensor.trained).map(|tensor| tensor.range.len()).sum()
    }

    /// How many layers, counted from the inputs, have no tensor that is trained, of an ensemble's first member.
    pub fn frozen_layers(&self) -> usize {
        // the factors of the inputs need the gradients of all layers
        if self.input_scales().is_some_and(|scales| scales.trained) {
            return 0;
        }
        let learns = |l: &usize| self.tensors_of(*l).iter().any(|tensor| tensor.trained);
        (0..self.layers.len()).find(learns).unwrap_or(self.layers.len())
    }

    /// The length of a flat vector.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Always false: every layer has parameters.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The name of the factors of the inputs.
pub(crate) const INPUT_SCALES: &str = "inputs.scale";

/// More than any machine can hold, and small enough that the bytes of several vectors can be counted in 64 bits.
const MAX_PARAMETERS: usize = isize::MAX as usize / 1024;

/// More than any ensemble that is worth training has: the table is made often.
const MAX_TENSORS: usize = 100_000;

/// What the names of a member's tensors begin with: nothing for a network alone.
pub(crate) fn member_prefix(members: usize, member: usize) -> String {
    match members {
        1 => String::new(),
        _ => format!("members.{member}."),
    }
}

/// A contiguous slice as a row-major matrix.
///
/// # Panics
/// If the length is not `rows * columns`.
pub(crate) fn matrix(values: &[f32], rows: usize, columns: usize) -> ArrayView2<'_, f32> {
    match ArrayView2::from_shape((rows, columns), values) {
        Ok(view) => view,
        Err(_) => panic!("matrix: {} values for a {rows}x{columns} matrix", values.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_follow_one_another_without_gaps() {
        let layout = Layout::new(&Spec::new(4, &[3, 2], &[], 5).unwrap()).unwrap();
        let mut position = 0;
        for (layer, (n_in, n_out)) in layout.layers().iter().zip([(4, 3), (3, 2), (2, 5)]) {
            assert_eq!(layer.w(), position..position + n_in * n_out);
            assert_eq!(layer.b(), layer.w().end..layer.w().end + n_out);
            assert_eq!(layer.w_rows(0..n_out), layer.w());
            assert_eq!(layer.b_rows(1..n_out), layer.b().start + 1..layer.b().end);
            position = layer.b().end;
        }
        assert_eq!(layout.len(), position);
        let names: Vec<&str> = layout.tensors().iter().map(|tensor| &tensor.name[..]).collect();
        let kinds = ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"];
        assert_eq!(names[..4], kinds);
        for (l, layer) in layout.layers().iter().enumerate() {
            assert_eq!((&layout.weight(l).range, &layout.bias(l).range), (&layer.w(), &layer.b()));
        }
        for tensor in layout.tensors() {
            assert_eq!(tensor.shape.iter().product::<usize>(), tensor.range.len());
        }
        let flat: Vec<f32> = (0..position).map(|i| i as f32).collect();
        assert_eq!(layout.layers()[1].w_view(&flat)[(1, 2)], 15.0 + 5.0);
        assert_eq!(layout.layers()[1].b_view(&flat)[1], 15.0 + 6.0 + 1.0);
    }

    #[test]
    fn members_follow_one_another() {
        let spec = Spec::new(4, &[3], &[], 2).unwrap();
        let (one, three) = (Layout::new(&spec).unwrap(), spec.with_members(3).unwrap());
        let mut layout = Layout::new(&three).unwrap();
        assert_eq!((layout.len(), layout.parameters()), (3 * one.len(), 3 * one.parameters()));
        assert_eq!((layout.members(), layout.member(2)), (3, 2 * one.len()..3 * one.len()));
        assert_eq!(layout.layers(), one.layers());
        let third = &layout.tensors()[8..];
        for (tensor, alone) in third.iter().zip(one.tensors()) {
            assert_eq!(tensor.name, format!("members.2.{}", alone.name));
            assert_eq!(tensor.range.start, alone.range.start + 2 * one.len());
        }
        layout.freeze(1);
        let trained = layout.tensors().iter().map(|tensor| tensor.trained);
        assert!(trained.eq([false, false, true, true].into_iter().cycle().take(12)));
        let most = Spec::new(1 << 25, &[1 << 20], &[], 2).unwrap().with_members(1000).unwrap();
        let message = Layout::new(&most).unwrap_err().to_string();
        assert!(message.contains("expected fewer members"), "{message}");
        for members in [0, 1001] {
            let message = three.clone().with_members(members).unwrap_err().to_string();
            assert!(message.contains("expected 1 to 1000"), "{message}");
        }
    }

    #[test]
    fn sizes_that_overflow_are_rejected() {
        for hidden in [vec![usize::MAX], vec![1 << 40, 1 << 40], vec![usize::MAX / 800]] {
            let spec = Spec::new(784, &hidden, &[], 10).unwrap();
            let message = Layout::new(&spec).unwrap_err().to_string();
            assert!(message.contains("expected smaller hidden layers"), "{message}");
        }
    }
}
