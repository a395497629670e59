//! The settings of an engine.

use super::optimizer::Averaging;
use crate::error::{Error, Result};
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
    /// Decides the noise and the dropout of each step.
    pub seed: u64,
    /// The probability that the loss of a step spreads over all classes instead of the label: 0 or more, below 1. Evaluations do not.
    pub label_smoothing: f64,
    /// The largest norm that a step's whole gradient may have; a longer one is scaled down to it.
    pub clip_norm: Option<f64>,
    /// Keeps a moving average of the parameters, for states that have one.
    pub averaging: Option<Averaging>,
}

impl EngineOptions {
    /// The same options with some of them changed.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Rejects impossible values of what a step does beside the optimizer.
    pub(super) fn check_recipe(&self) -> Result<()> {
        let refuse = |name: &'static str, found: f64, expected: &'static str| {
            Err(Error::argument(name, found.to_string(), expected))
        };
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return refuse("label_smoothing", self.label_smoothing, "0 or more, below 1");
        }
        if self.label_smoothing > 0.0 && self.loss.is_regression() {
            let expected = "0, because there are no classes to smooth";
            return refuse("label_smoothing", self.label_smoothing, expected);
        }
        match (self.clip_norm, self.averaging) {
            (Some(norm), _) if !(norm > 0.0 && norm.is_finite()) => {
                refuse("clip_norm", norm, "a positive number")
            }
            (_, Some(Averaging { decay })) if !(0.0..1.0).contains(&decay) => {
                refuse("ema", decay, "0 or more, below 1")
            }
            _ => Ok(()),
        }
    }

    /// Rejects a number of threads that the backend, or the address space, does not allow.
    pub(super) fn check_threads(&self) -> Result<()> {
        let Self { backend, threads, .. } = *self;
        let most = backend.max_threads();
        if !(1..=most).contains(&threads) {
            let name = backend.name();
            return Err(Error::usage(format!(
                "{threads} threads: expected 1 to {most} with the backend {name}"
            )));
        }
        backend.require_addresses(threads)
    }

    /// The best backend of this build, and one thread per core, for evaluations alone.
    pub fn to_evaluate() -> Self {
        Self::new(0)
    }

    /// The best backend of this build, and one thread per core.
    pub fn new(batch_size: usize) -> Self {
        let backend = Backend::auto();
        let (threads, loss) = (default_threads().min(backend.max_threads()), Loss::default());
        Self {
            backend,
            threads,
            batch_size,
            deterministic: false,
            loss,
            frozen: 0,
            seed: 0,
            label_smoothing: 0.0,
            clip_norm: None,
            averaging: None,
        }
    }
}

/// The number of cores that this process may use, at most [`MAX_THREADS`].
pub fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS)
}
