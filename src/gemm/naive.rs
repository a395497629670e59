//! The test oracle: the definition of the product, accumulated in f64. It is slow, and obviously right.

use ndarray::{Array2, ArrayView2};

/// `A B + beta C`, each element rounded once at the end.
pub fn product(
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
    beta: f32,
    c: ArrayView2<'_, f32>,
) -> Array2<f32> {
    Array2::from_shape_fn(c.dim(), |(i, j)| {
        let sum: f64 = (0..a.ncols()).map(|p| f64::from(a[(i, p)]) * f64::from(b[(p, j)])).sum();
        let kept = if beta == 0.0 { 0.0 } else { f64::from(beta) * f64::from(c[(i, j)]) };
        (sum + kept) as f32
    })
}
