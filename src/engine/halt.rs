//! The flags that end a pass before its last batch.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// What ends a pass early. Workers set it within a step and read it after the barrier that ends the step, so that all of them
/// see the same.
#[derive(Debug, Default)]
pub struct Halt {
    requested: AtomicBool,
    /// 1 and the number of the layer nearest to the output whose weights are not finite; 0 if all are.
    broken: AtomicUsize,
}

// Relaxed: only the flags are passed on here, and the barriers order them
impl Halt {
    /// Ends the pass after this step.
    pub fn request(&self) {
        self.requested.store(true, Relaxed);
    }

    /// Records that a layer's weights, or their second moments, are no longer finite. This ends the pass as well.
    pub fn set_broken_weights(&self, layer: usize) {
        self.broken.fetch_max(layer + 1, Relaxed);
    }

    /// The layer nearest to the output whose weights are not finite: the first one that the gradient reached.
    pub fn broken_weights(&self) -> Option<usize> {
        self.broken.load(Relaxed).checked_sub(1)
    }

    /// Whether the pass ends after this step.
    pub fn is_set(&self) -> bool {
        self.requested.load(Relaxed) || self.broken.load(Relaxed) > 0
    }
}
