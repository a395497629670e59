//! Orthogonal weights by LAPACK's QR decomposition.

use ndarray::Array2;
use ndarray_linalg::QR as _;

use crate::error::{Error, Result};
use crate::rng::Rng;

/// Fills `w`, row-major (n_out, n_in), with orthonormal rows, or columns where there are more rows than columns.
///
/// As in Saxe et al. (2014): the Q of a Gaussian matrix, each column times the sign of R's diagonal, which makes it
/// uniform over the orthogonal matrices (Mezzadri, 2007).
pub fn fill(w: &mut [f32], n_out: usize, n_in: usize, rng: &mut Rng) -> Result<()> {
    let (long, short) = (n_out.max(n_in), n_out.min(n_in));
    let gaussian = Array2::from_shape_simple_fn((long, short), || normal(rng));
    let (q, r) = gaussian.qr().map_err(|error| {
        Error::invalid("orthogonal initialisation", format!("QR of {long}x{short}: {error}"))
    })?;
    let signed = |row: usize, column: usize| q[(row, column)] * r[(column, column)].signum();
    for (index, weight) in w.iter_mut().enumerate() {
        let (row, column) = (index / n_in, index % n_in);
        *weight = if n_out >= n_in { signed(row, column) } else { signed(column, row) };
    }
    Ok(())
}

/// A standard normal number, by the polar method (Marsaglia and Bray, 1964).
fn normal(rng: &mut Rng) -> f32 {
    loop {
        let (x, y) = (f64::from(rng.symmetric()), f64::from(rng.symmetric()));
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            return (x * (-2.0 * square.ln() / square).sqrt()) as f32;
        }
    }
}
