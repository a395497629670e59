//! The BLAS backend: twins with one interface, so that call sites need no `cfg`.
//!
//! `Blas` is a token. In a build without OpenBLAS it is an empty type: code that needs one cannot run.

use super::CallCounter;

pub static CALLS: CallCounter = CallCounter::new();

/// What the loaded BLAS library reports about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlasDescription {
    /// The library's version, such as `0.3.21`.
    pub version: String,
    /// The kernels that the library has chosen for this CPU, such as `SkylakeX`.
    pub core: String,
    /// How the library was built to run in parallel: `sequential`, `pthreads` or `OpenMP`.
    pub threading: &'static str,
}

#[cfg(not(feature = "openblas"))]
mod disabled;
#[cfg(feature = "openblas")]
mod enabled;

#[cfg(not(feature = "openblas"))]
pub use disabled::Blas;
#[cfg(feature = "openblas")]
pub use enabled::Blas;
