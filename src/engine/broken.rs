//! Where a training that diverged stopped being finite.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What stopped being finite in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Broken {
    /// The outputs of a layer, which overflowed.
    Outputs {
        /// The layer's number, from 0.
        layer: usize,
    },
    /// A layer's weights or biases, or their second moments, after an update by a gradient that overflowed.
    Weights {
        /// The layer's number, from 0.
        layer: usize,
    },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outputs { layer } => write!(f, "the outputs of layer {layer} are not finite"),
            Self::Weights { layer } => {
                write!(f, "the weights of layer {layer}, or their moments, are not finite")
            }
        }
    }
}
