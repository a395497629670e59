//! LAPACK from the system's OpenBLAS, through `ndarray-linalg`.

use ndarray::{Array2, ArrayView2, Axis, s};
use ndarray_linalg::{Eigh as _, QR as _, SVD as _, UPLO};

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

/// The eigenvalues of a symmetric matrix, largest first, and an eigenvector of length 1 for each, in the rows of a matrix.
///
/// # Errors
/// If a value is not finite, or the decomposition fails.
pub fn symmetric_eigen(matrix: Array2<f64>) -> Result<(Vec<f64>, Array2<f64>)> {
    let dim = matrix.dim();
    if let Some(value) = matrix.iter().find(|value| !value.is_finite()) {
        return Err(failed("eigenvectors", dim, &format!("found {value}; expected finite values")));
    }
    let found = matrix.eigh(UPLO::Lower).map_err(|error| failed("eigenvectors", dim, &error));
    let (mut values, vectors) = found?;
    // LAPACK's are in the columns, smallest first
    values.invert_axis(Axis(0));
    Ok((values.to_vec(), vectors.reversed_axes().slice_move(s![..;-1, ..])))
}

fn failed(what: &str, (rows, columns): (usize, usize), error: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("{what} of a {rows}x{columns} matrix"), error.to_string())
}
