//! Measures how long each phase of a pass takes.

use std::time::{Duration, Instant};

/// The time that a pass spent in each phase, on the calling thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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

impl std::ops::AddAssign for Phases {
    fn add_assign(&mut self, other: Self) {
        self.gather += other.gather;
        self.forward += other.forward;
        self.backward += other.backward;
        self.update += other.update;
        self.wait += other.wait;
    }
}

/// Selects one of the phases.
pub type Phase = fn(&mut Phases) -> &mut Duration;

/// Adds up the time of each phase. Reading the clock takes some 25 ns, a step at least a hundred times that.
pub struct Clock {
    last: Instant,
    pub phases: Phases,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { last: Instant::now(), phases: Phases::default() }
    }

    /// Adds the time since the last call, or since the start, to a phase.
    pub fn lap(&mut self, phase: Phase) {
        let now = Instant::now();
        *phase(&mut self.phases) += now - self.last;
        self.last = now;
    }
}
