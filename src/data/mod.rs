//! Examples in memory: where they come from, how they are split, in which order they are seen.
//!
//! A [`Dataset`] keeps pixels as the bytes they came as, a quarter of the memory traffic of `f32`; the training step
//! scales them as it gathers a batch. [`load`] finds a data set by name or directory, [`Split`] cuts it into
//! [`Parts`], and [`epoch_order`] shuffles.

mod dataset;
pub mod idx;
mod mnist;
mod occupancy;
mod sampler;
mod source;
mod split;

pub use dataset::{Dataset, Features};
pub use mnist::cache_directory as mnist_cache;
pub use occupancy::Occupancy;
pub use sampler::epoch_order;
pub use source::{Loaded, load, load_images};
pub use split::{Part, Parts, Split};
