//! Models for PyTorch: the file of the model is a state dict, and a Python module reads it.

use super::Model;
use crate::error::{Error, Result};

/// The names of the files of [`Model::to_torch`].
pub const FILES: [&str; 2] = ["model.safetensors", "model.py"];

/// Builds a `torch.nn.Module` from a model's file: its layers, what makes inputs of raw columns, and what its outputs mean.
const MODULE: &str = include_str!("model.py");

/// How [`MODULE`] begins in every version.
const MARK: &str = "\"\"\"A network that densely trained";

/// Whether a Python file is one that densely wrote, in this or another version.
pub fn is_module(bytes: &[u8]) -> bool {
    bytes.starts_with(MARK.as_bytes())
}

impl Model {
    /// The contents of [`FILES`]: the weights under the names `layers.0.weight`, `layers.0.bias`, ... of the module in `model.py`,
    /// which needs PyTorch alone.
    ///
    /// # Errors
    /// If another program wrote the model, so that neither its activations nor the meaning of its outputs are in its file.
    pub fn to_torch(&self) -> Result<[Vec<u8>; 2]> {
        if self.metadata.is_none() {
            return Err(Error::invalid(
                "model",
                "another program wrote it, and its file does not say what its activations and outputs are; expected a model of densely",
            ));
        }
        Ok([self.to_bytes()?, MODULE.into()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_recognised() {
        assert!(is_module(MODULE.as_bytes()));
        assert!(!is_module(b"") && !is_module(b"import torch"));
    }
}
