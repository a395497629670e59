//! Networks: sizes and activations ([`Spec`]), offsets in flat vectors ([`Layout`]), initial weights ([`Init`]), and
//! trained networks with facts about their data, in memory and in files ([`Model`]), and as graphs for other programs ([`onnx`]).

mod activation;
mod file;
mod init;
mod layout;
mod mistaken;
mod network;
mod norm;
mod npz;
pub mod onnx;
mod spec;
mod state_dict;
pub mod torch;
mod transfer;

pub use activation::{Activation, LEAKY_RELU_SLOPE, SELU_ALPHA, SELU_SCALE};
pub(crate) use file::CHECKPOINT_KEY;
pub use init::{Init, initialize};
pub(crate) use layout::{INPUT_SCALES, matrix, member_prefix};
pub use layout::{LayerLayout, Layout, Tensor};
pub use network::{InputScaling, Metadata, Model};
pub(crate) use norm::fold;
pub use norm::{NORM_EPS, NORM_MOMENTUM, Norm};
pub(crate) use spec::MAX_MEMBERS;
pub use spec::{Disturbance, LayerSpec, Spec, default_activations};
#[cfg(feature = "cli")]
pub(crate) use state_dict::is_order_open;
