//! Matrix decompositions by LAPACK. The feature `openblas` chooses between two modules with the same interface. Without it, only
//! [`symmetric_eigen`] computes, in pure Rust.

#[cfg(not(feature = "openblas"))]
mod disabled;
#[cfg(feature = "openblas")]
mod enabled;
// compiled for the tests of every build
#[cfg(any(not(feature = "openblas"), test))]
mod jacobi;

#[cfg(not(feature = "openblas"))]
pub use disabled::{orthonormal, singular_values, symmetric_eigen};
#[cfg(feature = "openblas")]
pub use enabled::{orthonormal, singular_values, symmetric_eigen};

#[cfg(test)]
mod eigen_tests {
    use ndarray::Array2;

    use super::*;

    /// The dense symmetric matrix `q diag(values) q^T`, with `q = 1 - 2 v v^T` for a unit vector `v`.
    fn matrix(values: &[f64]) -> Array2<f64> {
        let n = values.len();
        let v: Vec<f64> = (0..n).map(|i| ((i * 7 + 3) % 5) as f64 - 1.5).collect();
        let norm = v.iter().map(|x| x * x).sum::<f64>();
        let q = |i: usize, j: usize| f64::from(u8::from(i == j)) - 2.0 * v[i] * v[j] / norm;
        Array2::from_shape_fn((n, n), |(i, j)| (0..n).map(|k| q(i, k) * values[k] * q(j, k)).sum())
    }

    #[test]
    fn eigenvectors_are_those_of_the_definition() {
        for n in [1, 2, 3, 8, 17, 40] {
            for repeated in [false, true] {
                // some negative, some 0, some equal
                let value = |i: usize| (i / (1 + usize::from(repeated))) as f64 * 1.5 - 3.0;
                let mut expected: Vec<f64> = (0..n).map(value).collect();
                let a = matrix(&expected);
                expected.reverse();
                for eigen in [symmetric_eigen, jacobi::symmetric_eigen] {
                    let (values, vectors) = eigen(a.clone()).unwrap();
                    for (found, expected) in values.iter().zip(&expected) {
                        assert!((found - expected).abs() < 1e-9, "{n}: {found} {expected}");
                    }
                    for (i, v) in vectors.rows().into_iter().enumerate() {
                        let off = &a.dot(&v) - &(&v * values[i]);
                        assert!(off.iter().all(|x| x.abs() < 1e-9), "{n}, vector {i}");
                        for (j, w) in vectors.rows().into_iter().enumerate() {
                            let expected = f64::from(u8::from(i == j));
                            assert!((v.dot(&w) - expected).abs() < 1e-9, "{n}: {i} {j}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_matrix_without_numbers_is_an_error() {
        for eigen in [symmetric_eigen, jacobi::symmetric_eigen] {
            let error = eigen(Array2::from_elem((3, 3), f64::NAN)).unwrap_err().to_string();
            assert!(error.contains("expected finite values"), "{error}");
        }
        let (values, _) = symmetric_eigen(Array2::zeros((4, 4))).unwrap();
        assert_eq!(values, [0.0; 4]);
    }
}

#[cfg(all(test, feature = "openblas"))]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn singular_values_are_sorted_and_right() {
        // diag(3, 4) times a rotation, and a row of zeros
        let (c, s) = (0.6f32, 0.8f32);
        let matrix = array![[3.0 * c, -3.0 * s], [4.0 * s, 4.0 * c], [0.0, 0.0]];
        let found = singular_values(matrix.view()).unwrap();
        assert!((found[0] - 4.0).abs() < 1e-6 && (found[1] - 3.0).abs() < 1e-6, "{found:?}");
        assert_eq!(singular_values(matrix.t()).unwrap().len(), 2);
    }

    #[test]
    fn nan_is_an_error() {
        assert!(singular_values(array![[f32::NAN, 1.0]].view()).is_err());
    }
}
