//! Where the time of a pass goes.

use std::time::{Duration, Instant};

/// Where the time of a pass went, on the calling thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Copying and scaling the rows of the batches.
    pub gather: Duration,
    /// Forward, with the loss.
    pub forward: Duration,
    /// Backward to every `dz`.
    pub backward: Duration,
    /// Weight gradients and Adam.
    pub update: Duration,
    /// Waiting for the other workers.
    pub wait: Duration,
}

/// One of the phases.
pub type Phase = fn(&mut Phases) -> &mut Duration;

/// Tells the phases of a pass apart. A reading takes some 25 ns, a step at least a hundred times that.
pub struct Clock {
    last: Instant,
    pub phases: Phases,
}

impl Clock {
    /// Begins now.
    pub fn start() -> Self {
        Self { last: Instant::now(), phases: Phases::default() }
    }

    /// Adds the time since the last reading to a phase.
    pub fn lap(&mut self, phase: Phase) {
        let now = Instant::now();
        *phase(&mut self.phases) += now - self.last;
        self.last = now;
    }
}
