//! The sizes and activations of a network.

use super::Activation;
use crate::error::{Error, Result};

/// A layer: the number of its outputs, and its activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSpec {
    /// Number of outputs.
    pub n_out: usize,
    /// The function applied to each output.
    pub activation: Activation,
}

/// A multilayer perceptron: inputs, hidden layers, and a linear output layer. The softmax is part of the loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    n_in: usize,
    layers: Vec<LayerSpec>,
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
            .map(|(&n_out, activation)| LayerSpec { n_out, activation })
            .collect();
        layers.push(LayerSpec { n_out: n_classes, activation: Activation::Identity });
        Ok(Self { n_in, layers })
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
    fn mismatches_name_both_counts() {
        let message = Spec::new(4, &[5, 6, 7], &[Relu, Tanh], 3).unwrap_err().to_string();
        assert!(message.contains("2 activations, hidden layers: 3"), "{message}");
        assert!(Spec::new(4, &[5, 0], &[], 3).is_err());
        assert!(Spec::new(4, &[], &[], 0).is_err());
        let message = Spec::new(4, &[1; 1001], &[], 3).unwrap_err().to_string();
        assert!(message.contains("1001 hidden layers: expected at most 1000"), "{message}");
    }
}
