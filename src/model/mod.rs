//! What a network is: sizes and activations ([`Spec`]), one offset table over flat vectors ([`Layout`]), initial
//! values ([`Init`]), and the file it is kept in ([`Model`]).

mod activation;
mod file;
mod init;
mod layout;
mod spec;

pub use activation::{Activation, LEAKY_RELU_SLOPE, SELU_ALPHA, SELU_SCALE};
pub use file::{InputScaling, Metadata, Model};
pub use init::{Init, initialize};
pub(crate) use layout::matrix;
pub use layout::{LayerLayout, Layout};
pub use spec::{LayerSpec, Spec, default_activations};
