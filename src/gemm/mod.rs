//! Matrix products: `C <- A B + beta C` over ndarray views, by a backend that the caller names.
//!
//! A transposed operand of [`gemm`] is a transposed view (`a.t()`), which
//! copies nothing. The [`Backend`] that is named computes the product: neither falls back to the other. Training steps with OpenBLAS call it for every product; those of
//! the Rust backend multiply operands that lie in panels (`panels`), and only projections of data (PCA) call it. `ndarray`'s own
//! `dot` is not used here, because which library it calls depends on the features of the whole build.
//!
//! Letters: C is (m, n), A is (m, k), B is (k, n). The words block, panel and tile are defined in `engine::partition`.

use ndarray::{ArrayView2, ArrayViewMut2};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::isa::Isa;
use crate::memory::require_addresses;

mod blas;
mod rust;

#[cfg(test)]
mod naive;
#[cfg(test)]
mod tests;

pub use blas::{Blas, BlasDescription};
pub(crate) use rust::panels;

/// The most threads that compute products side by side with any backend; see [`Backend::max_threads`].
pub const MAX_THREADS: usize = 1024;

/// The library that computes the products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// OpenBLAS, one BLAS thread per caller. A [`Blas`] exists only in a build with the feature `openblas`.
    Blas(Blas),
    /// The pure-Rust product, compiled into every build.
    Rust,
}

/// A user's choice of a backend; see [`Backend::of`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum BackendChoice {
    /// The one that is fastest: see [`Backend::for_training`].
    #[default]
    Auto,
    /// OpenBLAS.
    Blas,
    /// The pure-Rust product.
    Rust,
}

impl BackendChoice {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Blas, Self::Rust];

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Blas => "blas",
            Self::Rust => "rust",
        }
    }
}

impl Backend {
    /// The pure-Rust product where this CPU has AVX2, or this build no OpenBLAS; else OpenBLAS. Without AVX2 the pure-Rust product is that of the
    /// most basic instruction set. See [`Backend::for_training`].
    pub fn auto() -> Self {
        if Isa::detect().has_vectors() {
            return Self::Rust;
        }
        Blas::new().map_or(Self::Rust, Self::Blas)
    }

    /// The backend that a choice stands for in the training of a network with so many parameters.
    ///
    /// [`BackendChoice::Auto`] is [`Backend::auto`], but OpenBLAS where a network is too large for any cache and its batches are small: memory
    /// decides there, and the pure-Rust step keeps the weights twice. Measured on two cores with AVX2 (Zen 4), seconds of the pure-Rust step by those of OpenBLAS: 4096-4096 batch 100
    /// 1.24, 250 1.1, 1000 0.94; 2000-2000-2000 batch 100 1.02, 1000 0.96; 1024-512-256 batch 100 0.78; smaller networks down to 0.4.
    ///
    /// # Errors
    /// As [`Backend::of`].
    pub fn for_training(choice: BackendChoice, parameters: usize, batch: usize) -> Result<Self> {
        /// With their moments 192 MB.
        const LARGE_NETWORK: usize = 16_000_000;
        const SMALL_BATCH: usize = 256;
        if choice == BackendChoice::Auto && parameters >= LARGE_NETWORK && batch < SMALL_BATCH {
            return Ok(Blas::new().map_or(Self::Rust, Self::Blas));
        }
        Self::of(choice)
    }

    /// The backend that a choice stands for. In its pthread build, OpenBLAS has one number of threads for the whole process: making this backend
    /// sets it to 1, also for other code that calls OpenBLAS.
    ///
    /// # Errors
    /// [`Error::MissingFeature`] for [`BackendChoice::Blas`] in a build without OpenBLAS.
    pub fn of(choice: BackendChoice) -> Result<Self> {
        match choice {
            BackendChoice::Auto => Ok(Self::auto()),
            BackendChoice::Rust => Ok(Self::Rust),
            BackendChoice::Blas => Blas::new().map(Self::Blas).ok_or(Error::MissingFeature {
                what: "the backend `blas`",
                feature: "openblas",
                remedy: "choose the backend `rust`, or build with the cargo feature `openblas`",
            }),
        }
    }

    /// The choice that stands for exactly this backend.
    pub fn choice(self) -> BackendChoice {
        match self {
            Self::Blas(_) => BackendChoice::Blas,
            Self::Rust => BackendChoice::Rust,
        }
    }

    /// The name of the backend: `blas` or `rust`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blas(_) => "blas",
            Self::Rust => "rust",
        }
    }

    /// A description to display: the library, its version and the instruction set that it uses.
    pub fn describe(self) -> String {
        match self {
            Self::Blas(blas) => {
                let BlasDescription { version, core, threading } = blas.describe();
                format!("OpenBLAS {version} ({core}, {threading})")
            }
            Self::Rust => format!("pure Rust ({})", Isa::detect().name()),
        }
    }

    /// Every backend of this build.
    pub fn all() -> Vec<Self> {
        Blas::new().map(Self::Blas).into_iter().chain([Self::Rust]).collect()
    }

    /// Checks that the process may map what the library maps for each thread that calls it: OpenBLAS tries for ever otherwise.
    ///
    /// # Errors
    /// [`Error::Memory`] under a limit such as `ulimit -v`.
    pub fn require_addresses(self, threads: usize) -> Result<()> {
        /// `BUFFER_SIZE` in OpenBLAS's `common_x86_64.h`, and what the C library maps for a thread: a heap and a stack.
        const PER_THREAD: u64 = (128 + 64 + 8) << 20;
        match self {
            Self::Blas(_) => require_addresses(
                threads as u64 * PER_THREAD + (64 << 20),
                &format!("OpenBLAS with {threads} thread{}", if threads == 1 { "" } else { "s" }),
                "raise the limit of the address space (ulimit -v), use fewer threads, or the backend `rust`",
            ),
            Self::Rust => Ok(()),
        }
    }

    /// The most threads that may compute products side by side: builds of OpenBLAS reserve buffers for a limited number of callers.
    pub fn max_threads(self) -> usize {
        match self {
            Self::Blas(_) => 64,
            Self::Rust => MAX_THREADS,
        }
    }

    /// Prepares the calling thread, so that each caller computes alone, with one BLAS thread.
    ///
    /// Call it on every thread that calls [`gemm`]: an OpenBLAS built with OpenMP needs it, and elsewhere it makes the first
    /// product faster. With [`Backend::Rust`] there is nothing to prepare.
    pub fn prepare_thread(self) {
        if let Self::Blas(blas) = self {
            blas.use_one_thread();
            blas.map_buffer();
        }
    }
}

/// The number of products that each backend has computed in this process; see [`calls`].
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    /// The number of calls of `cblas_sgemm`.
    pub blas: u64,
    /// The number of calls of the pure-Rust product.
    pub rust: u64,
}

/// The products computed in this process so far.
///
/// Not part of the public API: the counters exist for the tests that prove which product ran.
#[doc(hidden)]
pub fn calls() -> Calls {
    Calls { blas: blas::CALLS.get(), rust: rust::CALLS.get() }
}

/// `C <- A B + beta C`, with C (m, n), A (m, k) and B (k, n).
///
/// With `beta = 0`, C is only written: it may hold anything before, including NaN. Sizes of 0 are allowed
/// (`k = 0` leaves `beta C`). The borrows ensure that C does not alias A or B.
///
/// ```
/// use densely::gemm::{Backend, gemm};
/// use ndarray::{Array2, array};
///
/// let a = array![[1.0, 2.0], [3.0, 4.0]];
/// let mut c = Array2::from_elem((2, 2), f32::NAN);
/// gemm(Backend::auto(), c.view_mut(), a.view(), a.t(), 0.0);
/// assert_eq!(c, array![[5.0, 11.0], [11.0, 25.0]]);
/// ```
///
/// # Panics
/// If the shapes do not fit; with the BLAS backend also if an operand has a unit stride along neither axis or a
/// dimension beyond `i32`; with the pure-Rust product also if a dimension is beyond 2^33.
pub fn gemm(
    backend: Backend,
    mut c: ArrayViewMut2<'_, f32>,
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
    beta: f32,
) {
    let ((m, n), k) = (c.dim(), a.ncols());
    if a.nrows() != m || b.dim() != (k, n) {
        shapes_differ(c.dim(), a.dim(), b.dim());
    }
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        c.map_inplace(|x| *x = if beta == 0.0 { 0.0 } else { beta * *x });
        return;
    }
    match backend {
        Backend::Blas(blas) => blas.sgemm(c, a, b, beta),
        Backend::Rust => rust::sgemm(c, a, b, beta),
    }
}

#[cold]
#[inline(never)]
fn shapes_differ(c: (usize, usize), a: (usize, usize), b: (usize, usize)) -> ! {
    panic!(
        "gemm: a is {}x{}, b is {}x{}, c is {}x{}; expected (m, k), (k, n) and (m, n)",
        a.0, a.1, b.0, b.1, c.0, c.1
    )
}

/// A counter of calls, cheap enough for the hot path.
struct CallCounter(std::sync::atomic::AtomicU64);

impl CallCounter {
    const fn new() -> Self {
        Self(std::sync::atomic::AtomicU64::new(0))
    }

    fn add_one(&self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}
