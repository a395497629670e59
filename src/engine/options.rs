//! The settings of an engine.

use crate::gemm::{Backend, MAX_THREADS};
use crate::task::Loss;

/// The settings of an [`Engine`](super::Engine).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct EngineOptions {
    /// The library that computes the matrix products.
    pub backend: Backend,
    /// The number of workers, including the calling thread: 1 to [`Backend::max_threads`].
    pub threads: usize,
    /// The most samples in a batch; 0 for an engine that only evaluates, which takes less memory.
    pub batch_size: usize,
    /// Whether results are independent of `threads`: the work is then cut into chunks of fixed sizes.
    pub deterministic: bool,
    /// What a step minimises and an evaluation measures; cross-entropy of classes by default.
    pub loss: Loss,
    /// How many layers, counted from the inputs, a step leaves as they are: 0 to the number of hidden layers. Their gradients are
    /// not computed.
    pub frozen: usize,
}

impl EngineOptions {
    /// The same options with some of them changed.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The best backend of this build, and one thread per core, for evaluations alone.
    pub fn to_evaluate() -> Self {
        Self::new(0)
    }

    /// The best backend of this build, and one thread per core.
    pub fn new(batch_size: usize) -> Self {
        let backend = Backend::auto();
        let (threads, loss) = (default_threads().min(backend.max_threads()), Loss::default());
        Self { backend, threads, batch_size, deterministic: false, loss, frozen: 0 }
    }
}

/// The number of cores that this process may use, at most [`MAX_THREADS`].
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS)
}
