//! Examples in memory: sources, splits, and the order of an epoch.
//!
//! [`load`] reads a [`Dataset`] by name or path, [`Source`] with settings of its own, and [`Tables`] makes one of tables in memory.
//! [`Split`] divides it into [`Parts`], and [`epoch_order`] shuffles one. A data set keeps pixels as bytes, which takes a quarter of the
//! memory traffic of `f32`; the training step scales them when it gathers a batch. An [`Augmenter`] changes images on the way.

mod augment;
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
pub mod prepare;
mod row_major;
mod sampler;
mod source;
mod split;
pub mod table;

pub use augment::{Augment, Augmenter, ImageShape};
pub(crate) use dataset::SampleNames;
pub use dataset::{Dataset, Features};
pub use mnist::cache_directory as mnist_cache;
pub use occupancy::Occupancy;
pub use parts::{Part, Parts};
use row_major::row_major;
pub use sampler::epoch_order;
#[cfg(feature = "cli")]
pub(crate) use source::read_unknown_table;
pub use source::{
    ClassWeight, ColumnOverview, Contents, ImageSize, InputImages, Loaded, LoadedImages, Overview,
    Source, SourceData, Tables, Use, load, load_images, read_input_table, read_table,
};
pub use split::Split;
