//! MNIST as a built-in data set: twins with one interface, chosen by the feature `embedded-mnist`.

#[cfg(not(feature = "embedded-mnist"))]
mod disabled;
#[cfg(feature = "embedded-mnist")]
mod enabled;

#[cfg(not(feature = "embedded-mnist"))]
pub use disabled::load;
#[cfg(feature = "embedded-mnist")]
pub use enabled::load;
