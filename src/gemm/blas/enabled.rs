//! OpenBLAS through its C interface.
//!
//! Each of densely's threads calls the library, so the library must not start threads of its own: both at once are slow, and
//! give wrong numbers in some builds (see OpenBLAS's FAQ on multi-threaded callers).
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};

use cblas_sys::{
    CBLAS_LAYOUT::CblasRowMajor,
    CBLAS_TRANSPOSE::{self, CblasNoTrans, CblasTrans},
    cblas_sgemm,
};
use ndarray::{ArrayView2, ArrayViewMut2};

use super::{BlasDescription, CALLS};

// The linker would drop the crates that name the library if nothing referred to them.
extern crate blas_src as _;
extern crate openblas_src as _;

unsafe extern "C" {
    fn openblas_set_num_threads(threads: c_int);
    fn openblas_get_num_threads() -> c_int;
    fn openblas_get_parallel() -> c_int;
    fn openblas_get_config() -> *const c_char;
    fn openblas_get_corename() -> *const c_char;
}

/// The BLAS backend, set to one thread per caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blas(());

impl Blas {
    /// The backend; `None` in a build without OpenBLAS.
    pub fn new() -> Option<Self> {
        let blas = Self(());
        blas.use_one_thread();
        Some(blas)
    }

    /// Sets the library to one thread: for the process in a pthread build of OpenBLAS, for the calling thread in an OpenMP
    /// build.
    pub fn use_one_thread(self) {
        // SAFETY: no preconditions. The number is set only if it differs: otherwise a pthread build would start its threads again
        // after `stop_idle_threads`.
        unsafe {
            if self.is_openmp() || openblas_get_num_threads() != 1 {
                openblas_set_num_threads(1);
            }
        }
    }

    /// Has the library map the buffer of the calling thread, before other allocations take the last addresses under a limit:
    /// it would try for ever.
    pub fn map_buffer(self) {
        const N: usize = 128; // beyond what the library computes without a buffer
        let n = N as c_int;
        let (a, mut c) = (vec![0f32; N * N], vec![0f32; N * N]);
        // SAFETY: three matrices of N rows of N values.
        unsafe {
            cblas_sgemm(
                CblasRowMajor,
                CblasNoTrans,
                CblasNoTrans,
                n,
                n,
                n,
                1.0,
                a.as_ptr(),
                n,
                a.as_ptr(),
                n,
                0.0,
                c.as_mut_ptr(),
                n,
            );
        }
    }

    /// Ends the threads that a pthread build of the library starts when it is loaded.
    ///
    /// There is one per core. For the first 2^28 ticks of the time stamp counter, about a tenth of a second, they poll for work
    /// (`blas_thread_server` in OpenBLAS's `blas_server.c`) and slow the beginning of a short job. With one BLAS thread they
    /// never get any work. Call this in a program's main function; a library leaves the threads to other code that may use
    /// them.
    ///
    /// # Safety
    /// No other thread is in OpenBLAS: it may need the threads that this ends.
    pub unsafe fn stop_idle_threads(self) {
        #[cfg(unix)]
        {
            // SAFETY: the name is NUL-terminated. Builds without threads lack the function, so that an extern block would not link.
            let found =
                unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"blas_thread_shutdown_".as_ptr()) };
            if !found.is_null() && !self.is_openmp() {
                // SAFETY: OpenBLAS declares it as `int blas_thread_shutdown_(void)`; no other thread is in the library.
                let stop =
                    unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> c_int>(found) };
                stop();
            }
        }
    }

    fn is_openmp(self) -> bool {
        // SAFETY: no preconditions.
        unsafe { openblas_get_parallel() == 2 }
    }

    /// What the loaded library reports about itself, which may differ from what the build found.
    pub fn describe(self) -> BlasDescription {
        // SAFETY: both functions return a static, NUL-terminated string; the third has no preconditions.
        let (config, core, parallel) = unsafe {
            (
                CStr::from_ptr(openblas_get_config()).to_string_lossy(),
                CStr::from_ptr(openblas_get_corename()).to_string_lossy(),
                openblas_get_parallel(),
            )
        };
        // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ..."; releases before 0.3.4 do not begin with the name
        let version = config.split_whitespace().find(|word| word.starts_with(char::is_numeric));
        BlasDescription {
            version: version
                .or(option_env!("DENSELY_OPENBLAS_BUILD_VERSION"))
                .unwrap_or("unknown")
                .to_owned(),
            core: core.into_owned(),
            threading: match parallel {
                0 => "sequential",
                1 => "pthreads",
                _ => "OpenMP",
            },
        }
    }

    /// `C <- A B + beta C`; the caller has checked the shapes and excluded sizes of 0.
    pub(crate) fn sgemm(
        self,
        mut c: ArrayViewMut2<'_, f32>,
        a: ArrayView2<'_, f32>,
        b: ArrayView2<'_, f32>,
        beta: f32,
    ) {
        let ((m, n), k) = (c.dim(), a.ncols());
        assert!(a.nrows() == m && b.dim() == (k, n), "sgemm: the shapes differ");
        let (c_trans, ldc) = storage("c", c.view());
        if matches!(c_trans, CblasTrans) {
            // C is stored by columns: C^T <- B^T A^T + beta C^T is stored by rows.
            return self.sgemm(c.reversed_axes(), b.reversed_axes(), a.reversed_axes(), beta);
        }
        let (a_trans, lda) = storage("a", a);
        let (b_trans, ldb) = storage("b", b);
        CALLS.add_one();
        // SAFETY: `storage` found each operand to be a matrix of the asserted shape with the returned leading
        // dimension, so that the library stays within the views; `c` is borrowed mutably. With beta = 0 the library
        // does not read C.
        unsafe {
            cblas_sgemm(
                CblasRowMajor,
                a_trans,
                b_trans,
                blas_int("m", m),
                blas_int("n", n),
                blas_int("k", k),
                1.0, // alpha
                a.as_ptr(),
                lda,
                b.as_ptr(),
                ldb,
                beta,
                c.as_mut_ptr(),
                ldc,
            );
        }
    }
}

/// How BLAS sees a view: whether its rows or its columns are contiguous, and the leading dimension.
fn storage(name: &str, view: ArrayView2<'_, f32>) -> (CBLAS_TRANSPOSE, c_int) {
    let (rows, columns) = view.dim();
    let (row_stride, column_stride) = (view.strides()[0], view.strides()[1]);
    // A stride along an axis of length 1 is never used, whatever its value.
    if column_stride == 1 || columns == 1 {
        let leading = if rows == 1 { columns as isize } else { row_stride };
        if leading >= columns as isize {
            return (CblasNoTrans, blas_int(name, leading as usize));
        }
    }
    if row_stride == 1 || rows == 1 {
        let leading = if columns == 1 { rows as isize } else { column_stride };
        if leading >= rows as isize {
            return (CblasTrans, blas_int(name, leading as usize));
        }
    }
    no_unit_stride(name, view)
}

fn blas_int(name: &str, size: usize) -> c_int {
    match c_int::try_from(size) {
        Ok(size) => size,
        Err(_) => panic!("gemm: {name} is {size}; BLAS takes at most {}", c_int::MAX),
    }
}

#[cold]
#[inline(never)]
fn no_unit_stride(name: &str, view: ArrayView2<'_, f32>) -> ! {
    panic!(
        "gemm: {name} is {}x{} with strides {:?}; BLAS needs a unit stride along one axis and no overlap",
        view.nrows(),
        view.ncols(),
        view.strides()
    )
}
