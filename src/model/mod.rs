//! What a network is: sizes and activations ([`Spec`]), one offset table over flat vectors ([`Layout`]), initial
//! values ([`Init`]), and all of it with what it remembers of its data ([`Model`]), in memory and in a file.

mod activation;
mod file;
mod init;
mod layout;
mod network;
mod spec;

pub use activation::{Activation, LEAKY_RELU_SLOPE, SELU_ALPHA, SELU_SCALE};
pub use init::{Init, initialize};
pub(crate) use layout::matrix;
pub use layout::{LayerLayout, Layout};
pub use network::{InputScaling, Metadata, Model};
pub use spec::{LayerSpec, Spec, default_activations};
