//! The pure-Rust product, by the crate `matrixmultiply`: any strides, AVX2 and FMA found at run time.
//!
//! It allocates one packing buffer a call; the zero-allocation promise of the training step is therefore made for
//! the BLAS backend, and for this one up to exactly these.
#![allow(unsafe_code)]

use ndarray::{ArrayView2, ArrayViewMut2};

use super::CallCounter;

pub static CALLS: CallCounter = CallCounter::new();

/// `C <- A B + beta C`; the caller has compared the shapes and excluded sizes of 0.
pub fn sgemm(
    mut c: ArrayViewMut2<'_, f32>,
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
    beta: f32,
) {
    let ((m, n), k) = (c.dim(), a.ncols());
    assert!(a.nrows() == m && b.dim() == (k, n), "sgemm: shapes differ");
    CALLS.add_one();
    let (rsc, csc) = (c.strides()[0], c.strides()[1]);
    // SAFETY: the shapes fit together (asserted above), so that every index that the product reaches through a
    // pointer and its strides is an element of the view that they were taken from; `c` is borrowed mutably.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            a.as_ptr(),
            a.strides()[0],
            a.strides()[1],
            b.as_ptr(),
            b.strides()[0],
            b.strides()[1],
            beta,
            c.as_mut_ptr(),
            rsc,
            csc,
        );
    }
}
