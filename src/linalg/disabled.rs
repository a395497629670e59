//! Stands in for LAPACK in a build without it.

use ndarray::{Array2, ArrayView2};

pub use super::jacobi::symmetric_eigen;
use crate::error::{Error, Result};

/// Returns an error that names the feature.
pub fn orthonormal(_matrix: Array2<f32>) -> Result<Array2<f32>> {
    Err(missing("the orthogonal initialisation"))
}

/// Returns an error that names the feature.
pub fn singular_values(_matrix: ArrayView2<'_, f32>) -> Result<Vec<f64>> {
    Err(missing("the singular values"))
}

fn missing(what: &'static str) -> Error {
    let remedy = "build with `--features openblas`, or do without";
    Error::MissingFeature { what, feature: "openblas", remedy }
}
