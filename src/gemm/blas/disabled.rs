//! The twin for builds without OpenBLAS: no `Blas` value exists, so nothing can be called.

use ndarray::{ArrayView2, ArrayViewMut2};

use super::BlasDescription;

/// The BLAS backend, which this build does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blas {}

impl Blas {
    /// `None`: this build has no BLAS.
    pub fn new() -> Option<Self> {
        None
    }

    /// Cannot be called: no value of this type exists.
    pub fn use_one_thread(self) {
        match self {}
    }

    /// Cannot be called: no value of this type exists.
    pub fn map_buffer(self) {
        match self {}
    }

    /// Cannot be called: no value of this type exists.
    ///
    /// # Safety
    /// No requirements: there is no value to call it on.
    #[allow(unsafe_code)]
    pub unsafe fn stop_idle_threads(self) {
        match self {}
    }

    /// Cannot be called: no value of this type exists.
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
