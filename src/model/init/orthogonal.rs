//! Orthogonal weights.

use ndarray::Array2;

use crate::error::Result;
use crate::linalg;
use crate::rng::Rng;

/// Fills `w`, row-major (n_out, n_in), with orthonormal rows, or with orthonormal columns if `n_out > n_in`.
///
/// The matrix is the Q of the QR decomposition of a Gaussian matrix (Saxe et al., 2014).
pub fn fill(w: &mut [f32], n_out: usize, n_in: usize, rng: &mut Rng) -> Result<()> {
    let (long, short) = (n_out.max(n_in), n_out.min(n_in));
    let q = linalg::orthonormal(Array2::from_shape_simple_fn((long, short), || normal(rng)))?;
    let q = if n_out >= n_in { q.view() } else { q.t() };
    w.iter_mut().zip(q.iter()).for_each(|(weight, q)| *weight = *q);
    Ok(())
}

/// A standard normal random number, drawn by the polar method (Marsaglia and Bray, 1964).
fn normal(rng: &mut Rng) -> f32 {
    loop {
        let (x, y) = (f64::from(rng.symmetric()), f64::from(rng.symmetric()));
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            return (x * (-2.0 * square.ln() / square).sqrt()) as f32;
        }
    }
}
