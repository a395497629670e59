//! A build without OpenBLAS: there is no `Blas` value, hence nothing to call.

use ndarray::{ArrayView2, ArrayViewMut2};

use super::BlasDescription;

/// The BLAS backend, which this build lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blas {}

impl Blas {
    /// `None`: this build has no BLAS.
    pub fn new() -> Option<Self> {
        None
    }

    /// Cannot be called.
    pub fn use_one_thread(self) {
        match self {}
    }

    /// Cannot be called.
    ///
    /// # Safety
    /// There is nothing to keep.
    #[allow(unsafe_code)]
    pub unsafe fn stop_idle_threads(self) {
        match self {}
    }

    /// Cannot be called.
    pub fn describe(self) -> BlasDescription {
        match self {}
    }

    pub(crate) fn sgemm(
        self,
        _c: ArrayViewMut2<'_, f32>,
        _a: ArrayView2<'_, f32>,
        _b: ArrayView2<'_, f32>,
        _beta: f32,
    ) {
        match self {}
    }
}
