//! The sizes and activations of a network.

use super::{Activation, Norm};
use crate::error::{Error, Result};

/// A layer: the number of its outputs, its norm and activation, and what disturbs it in training.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerSpec {
    /// Number of outputs.
    pub n_out: usize,
    /// What normalises its products before the activation; nothing for the output layer.
    pub norm: Norm,
    /// The function applied to each output.
    pub activation: Activation,
    /// What is done in training alone; nothing for the output layer.
    pub disturbance: Disturbance,
}

/// What is done to the values of a layer in steps of training, and in nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Disturbance {
    /// The standard deviation of Gaussian noise that is added to inputs, or before the activation of a hidden layer; 0 for none.
    pub noise: f32,
    /// The probability that a value is set to 0, inputs after their noise, and those of a hidden layer after its activation; the others are divided by 1 - this.
    pub dropout: f32,
}

impl Disturbance {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// A multilayer perceptron: inputs, hidden layers, and a linear output layer. The softmax is part of the loss. Or an ensemble of several such, whose
/// members have the same sizes and weights of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    members: usize,
    n_in: usize,
    inputs: Disturbance,
    scales_inputs: bool,
    layers: Vec<LayerSpec>,
}

impl LayerSpec {
    fn new(n_out: usize, activation: Activation) -> Self {
        Self { n_out, norm: Norm::None, activation, disturbance: Disturbance::default() }
    }

    /// Whether a step of training keeps the slope of each output: where it does not follow from the value, or dropout changes that.
    pub(crate) fn keeps_slope(&self) -> bool {
        !self.activation.derivative_follows_from_value() || self.disturbance.dropout > 0.0
    }
}

impl Spec {
    /// A network of `n_in` features, hidden layers of the given sizes, and `n_classes` logits.
    ///
    /// `activations` has one entry for each hidden layer, one entry for all of them, or no entry for the defaults (see
    /// [`default_activations`]). Without hidden layers, the network is softmax regression.
    ///
    /// # Errors
    /// [`Error::Usage`] if a size is 0, there are more than 1000 hidden layers, or the counts do not match.
    pub fn new(
        n_in: usize,
        hidden: &[usize],
        activations: &[Activation],
        n_classes: usize,
    ) -> Result<Self> {
        if hidden.len() > MAX_HIDDEN_LAYERS {
            return Err(Error::usage(format!(
                "{} hidden layers: expected at most {MAX_HIDDEN_LAYERS}",
                hidden.len()
            )));
        }
        let activations = match activations {
            [] => default_activations(hidden.len()),
            [one] => vec![*one; hidden.len()],
            many if many.len() == hidden.len() => many.to_vec(),
            many => {
                return Err(Error::usage(format!(
                    "{} activations, hidden layers: {}; expected one for all, or one each",
                    many.len(),
                    hidden.len()
                )));
            }
        };
        if n_in == 0 || n_classes == 0 || hidden.contains(&0) {
            return Err(Error::usage(format!(
                "layer sizes {n_in}, {hidden:?}, {n_classes}: expected at least 1 each"
            )));
        }
        let mut layers: Vec<LayerSpec> = (hidden.iter().zip(activations))
            .map(|(&n_out, activation)| LayerSpec::new(n_out, activation))
            .collect();
        layers.push(LayerSpec::new(n_classes, Activation::Identity));
        let inputs = Disturbance::default();
        Ok(Self { members: 1, n_in, inputs, scales_inputs: false, layers })
    }

    /// An ensemble of `members` such networks.
    ///
    /// # Errors
    /// [`Error::Usage`] if there are none, or more than 1000.
    pub fn with_members(mut self, members: usize) -> Result<Self> {
        if !(1..=MAX_MEMBERS).contains(&members) {
            return Err(Error::usage(format!(
                "an ensemble of {members} networks: expected 1 to {MAX_MEMBERS}"
            )));
        }
        self.members = members;
        Ok(self)
    }

    /// How many networks an ensemble has; 1 for a network alone.
    pub fn members(&self) -> usize {
        self.members
    }

    /// One network of an ensemble.
    pub(crate) fn member(&self) -> Self {
        Self { members: 1, ..self.clone() }
    }

    /// The same network with Gaussian noise of these standard deviations in training: of the inputs, and before the activations of the hidden
    /// layers: one for all, one each, or none.
    ///
    /// # Errors
    /// [`Error::Usage`] if one is negative or not finite, or the counts do not match.
    pub fn with_noise(mut self, inputs: f64, hidden: &[f64]) -> Result<Self> {
        let expected = "0 or more";
        let is_deviation = |x: f64| x >= 0.0 && (x as f32).is_finite();
        self.disturb("noise", inputs, hidden, is_deviation, expected, |layer, x| layer.noise = x)?;
        Ok(self)
    }

    /// The same network with dropout in training, with these probabilities: of the inputs, and after the activations of the hidden layers: one for
    /// all, one each, or none.
    ///
    /// # Errors
    /// [`Error::Usage`] if one is not below 1, or the counts do not match.
    pub fn with_dropout(mut self, inputs: f64, hidden: &[f64]) -> Result<Self> {
        let is_share = |x: f64| (0.0..1.0).contains(&(x as f32));
        let expected = "0 or more, below 1";
        self.disturb("dropout", inputs, hidden, is_share, expected, |layer, x| layer.dropout = x)?;
        Ok(self)
    }

    fn disturb(
        &mut self,
        what: &str,
        inputs: f64,
        hidden: &[f64],
        is_possible: impl Fn(f64) -> bool,
        expected: &str,
        set: impl Fn(&mut Disturbance, f32),
    ) -> Result<()> {
        let layers = self.layers.len() - 1;
        if let Some(bad) = hidden.iter().chain([&inputs]).find(|&&x| !is_possible(x)) {
            return Err(Error::usage(format!("{what} {bad}: expected {expected}")));
        }
        if hidden.len() > 1 && hidden.len() != layers {
            return Err(Error::usage(format!(
                "{} values of {what}, hidden layers: {layers}; expected one for all, or one each",
                hidden.len()
            )));
        }
        set(&mut self.inputs, inputs as f32);
        let values = hidden.iter().cycle().take(if hidden.is_empty() { 0 } else { layers });
        let hidden_layers = self.layers.iter_mut().zip(values);
        hidden_layers.for_each(|(layer, &x)| set(&mut layer.disturbance, x as f32));
        Ok(())
    }

    /// The same network with a norm in each hidden layer.
    #[must_use]
    pub fn with_norm(mut self, norm: Norm) -> Self {
        let hidden = self.layers.len() - 1;
        self.layers[..hidden].iter_mut().for_each(|layer| layer.norm = norm);
        self
    }

    /// The same network, whose inputs are multiplied by learned factors, one for each, that are 1 at first: the tensor `inputs.scale`. With a learning rate of their own they
    /// find out which inputs matter (Holzmüller et al., 2024, arXiv 2407.04491, section 3).
    #[must_use]
    pub fn with_input_scales(mut self, scales: bool) -> Self {
        self.scales_inputs = scales;
        self
    }

    /// Whether evaluations can do with fewer operations, see [`super::fold`].
    pub(crate) fn folds(&self) -> bool {
        self.scales_inputs || self.norm() == Norm::Batch
    }

    /// Whether its inputs are multiplied by learned factors.
    pub fn scales_inputs(&self) -> bool {
        self.scales_inputs
    }

    /// The norm of the hidden layers.
    pub fn norm(&self) -> Norm {
        self.layers[0].norm
    }

    /// The network as it is in a model: without what training alone does.
    #[must_use]
    pub fn undisturbed(mut self) -> Self {
        self.inputs = Disturbance::default();
        self.layers.iter_mut().for_each(|layer| layer.disturbance = Disturbance::default());
        self
    }

    /// What is done to the inputs in training alone.
    pub fn inputs(&self) -> Disturbance {
        self.inputs
    }

    /// What is done to a layer in training alone, or to the inputs.
    pub(crate) fn disturbance(&self, layer: Option<usize>) -> Disturbance {
        layer.map_or(self.inputs, |l| self.layers[l].disturbance)
    }

    /// Features per sample.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// Logits per sample.
    pub fn n_out(&self) -> usize {
        self.layers[self.layers.len() - 1].n_out
    }

    /// All layers, from input to output. The activation of the last one is the identity.
    pub fn layers(&self) -> &[LayerSpec] {
        &self.layers
    }

    /// The sizes of the hidden layers.
    pub fn hidden(&self) -> Vec<usize> {
        self.hidden_layers().iter().map(|layer| layer.n_out).collect()
    }

    /// The activations of the hidden layers.
    pub fn activations(&self) -> Vec<Activation> {
        self.hidden_layers().iter().map(|layer| layer.activation).collect()
    }

    fn hidden_layers(&self) -> &[LayerSpec] {
        &self.layers[..self.layers.len() - 1]
    }
}

/// Deeper networks are rejected: they serve no purpose, and a sweep repeats the list of sizes for every run.
const MAX_HIDDEN_LAYERS: usize = 1000;

/// Larger ensembles are rejected: what they add is not measurable, and mistyped numbers would take all memory.
pub(crate) const MAX_MEMBERS: usize = 1000;

/// The default activations of the hidden layers: ReLU, SELU, tanh for three layers, ReLU for any other number.
pub fn default_activations(hidden_layers: usize) -> Vec<Activation> {
    match hidden_layers {
        3 => vec![Activation::Relu, Activation::Selu, Activation::Tanh],
        n => vec![Activation::Relu; n],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Activation::{Gelu, Identity, Relu, Selu, Tanh};

    fn activations(hidden: &[usize], activations: &[Activation]) -> Vec<Activation> {
        let spec = Spec::new(4, hidden, activations, 3).unwrap();
        spec.layers().iter().map(|layer| layer.activation).collect()
    }

    #[test]
    fn defaults_and_repetition() {
        assert_eq!(activations(&[5, 6, 7], &[]), [Relu, Selu, Tanh, Identity]);
        assert_eq!(activations(&[5, 6], &[]), [Relu, Relu, Identity]);
        assert_eq!(activations(&[5, 6], &[Gelu]), [Gelu, Gelu, Identity]);
        assert_eq!(activations(&[], &[]), [Identity]);
        assert_eq!(activations(&[], &[Relu]), [Identity]);
    }

    #[test]
    fn disturbances_are_one_for_all_or_one_each() {
        let spec = || Spec::new(4, &[5, 6], &[], 3).unwrap();
        let noisy = spec().with_noise(0.3, &[0.5]).unwrap().with_dropout(0.0, &[0.1, 0.2]).unwrap();
        let layers: Vec<(f32, f32)> = (noisy.layers().iter())
            .map(|layer| (layer.disturbance.noise, layer.disturbance.dropout))
            .collect();
        assert_eq!((noisy.inputs().noise, noisy.inputs().dropout), (0.3, 0.0));
        assert_eq!(layers, [(0.5, 0.1), (0.5, 0.2), (0.0, 0.0)]);
        assert_eq!(noisy.undisturbed(), spec());
        for (problem, message) in [
            (spec().with_noise(-0.1, &[]), "noise -0.1: expected 0 or more"),
            (spec().with_dropout(1.0, &[]), "dropout 1: expected 0 or more, below 1"),
            (spec().with_dropout(0.0, &[0.1, f64::NAN]), "dropout NaN: expected"),
            (spec().with_dropout(0.0, &[0.1; 3]), "3 values of dropout, hidden layers: 2"),
        ] {
            let found = problem.unwrap_err().to_string();
            assert!(found.contains(message), "{found}");
        }
    }

    #[test]
    fn mismatches_name_both_counts() {
        let message = Spec::new(4, &[5, 6, 7], &[Relu, Tanh], 3).unwrap_err().to_string();
        assert!(message.contains("2 activations, hidden layers: 3"), "{message}");
        assert!(Spec::new(4, &[5, 0], &[], 3).is_err());
        assert!(Spec::new(4, &[], &[], 0).is_err());
        let message = Spec::new(4, &[1; 1001], &[], 3).unwrap_err().to_string();
        assert!(message.contains("1001 hidden layers: expected at most 1000"), "{message}");
    }
}
