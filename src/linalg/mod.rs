//! Matrix decompositions by LAPACK. The feature `openblas` chooses between two modules with the same interface.

#[cfg(not(feature = "openblas"))]
mod disabled;
#[cfg(feature = "openblas")]
mod enabled;

#[cfg(not(feature = "openblas"))]
pub use disabled::{orthonormal, singular_values};
#[cfg(feature = "openblas")]
pub use enabled::{orthonormal, singular_values};

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
