//! Examples in memory: sources, splits, and the order of an epoch.
//!
//! [`load`] reads a [`Dataset`] by name or directory, [`Split`] divides it into [`Parts`], and [`epoch_order`] shuffles
//! one. A data set keeps pixels as bytes, which takes a quarter of the memory traffic of `f32`; the training step scales
//! them when it gathers a batch.

mod dataset;
mod draw;
mod gzip;
pub mod idx;
mod idx_directory;
pub mod image_folder;
pub mod libsvm;
mod mnist;
pub mod npz;
mod occupancy;
pub mod parquet;
mod parts;
mod sampler;
mod source;

pub mod prepare;
mod split;
pub mod table;

pub use dataset::{Dataset, Features};
pub use mnist::cache_directory as mnist_cache;
pub use occupancy::Occupancy;
pub use parts::{Part, Parts};
pub use sampler::epoch_order;
pub use source::{
    ClassWeight, ColumnOverview, Contents, ImageSize, InputImages, Loaded, LoadedImages, Overview,
    Source, Use, load, load_images, read_input_table,
};
pub use split::Split;
