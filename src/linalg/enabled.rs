//! LAPACK from the system's OpenBLAS, through `ndarray-linalg`.

use ndarray::{Array2, ArrayView2};
use ndarray_linalg::{QR as _, SVD as _};

use crate::error::{Error, Result};

/// The Q of the QR decomposition of a matrix with at least as many rows as columns, (rows, columns). Each column has the
/// sign of its entry on R's diagonal.
///
/// For a Gaussian matrix, Q is then uniform over the matrices with orthonormal columns (Mezzadri, 2007).
///
/// # Errors
/// If the decomposition fails.
pub fn orthonormal(matrix: Array2<f32>) -> Result<Array2<f32>> {
    let (mut q, r) = matrix.qr().map_err(|error| failed("QR", matrix.dim(), &error))?;
    for (mut column, diagonal) in q.columns_mut().into_iter().zip(r.diag()) {
        let sign = diagonal.signum();
        column.map_inplace(|x| *x *= sign);
    }
    Ok(q)
}

/// The singular values, largest first, computed in f64.
///
/// # Errors
/// If a value is not finite, or the decomposition fails.
pub fn singular_values(matrix: ArrayView2<'_, f32>) -> Result<Vec<f64>> {
    if let Some(value) = matrix.iter().find(|value| !value.is_finite()) {
        return Err(failed("SVD", matrix.dim(), &format!("found {value}; expected finite values")));
    }
    let doubles = matrix.mapv(f64::from);
    let (_, values, _) =
        doubles.svd(false, false).map_err(|error| failed("SVD", matrix.dim(), &error))?;
    Ok(values.to_vec())
}

fn failed(what: &str, (rows, columns): (usize, usize), error: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("{what} of a {rows}x{columns} matrix"), error.to_string())
}
