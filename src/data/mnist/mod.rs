//! MNIST as a built-in data set. The feature `embedded-mnist` chooses between two modules with the same interface.

#[cfg(not(feature = "embedded-mnist"))]
mod disabled;
#[cfg(feature = "embedded-mnist")]
mod enabled;

#[cfg(not(feature = "embedded-mnist"))]
pub use disabled::{cache_directory, load};
#[cfg(feature = "embedded-mnist")]
pub use enabled::{cache_directory, load};
