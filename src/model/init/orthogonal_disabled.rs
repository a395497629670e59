//! A build without LAPACK: no QR decomposition.

use crate::error::{Error, Result};
use crate::rng::Rng;

/// Refuses, naming the feature.
pub fn fill(_w: &mut [f32], _n_out: usize, _n_in: usize, _rng: &mut Rng) -> Result<()> {
    Err(Error::MissingFeature {
        what: "`--init orthogonal`",
        feature: "openblas",
        remedy: "build with `--features openblas`, or choose another initialisation",
    })
}
