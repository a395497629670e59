//! Measures how long each phase of a pass takes, and how much arithmetic it executes.

use std::cell::Cell;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use super::workers::Member;

/// What a pass spent in each phase, on one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Phases {
    /// Copying and scaling the rows of the batches.
    pub gather: Spent,
    /// Forward, with the loss.
    pub forward: Spent,
    /// Backward to every `dz`.
    pub backward: Spent,
    /// Weight gradients and Adam.
    pub update: Spent,
    /// Waiting for the other workers.
    pub wait: Spent,
}

/// What one phase of a pass took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spent {
    /// The time on the clock.
    pub time: Duration,
    /// The multiply-adds of the matrix products that were executed: without the zeros that were left out, and with the columns that fill the last
    /// panel of the Rust backend's matrices.
    pub multiply_adds: u64,
}

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.time += other.time;
        self.multiply_adds += other.multiply_adds;
    }
}

impl AddAssign for Phases {
    fn add_assign(&mut self, other: Self) {
        self.gather += other.gather;
        self.forward += other.forward;
        self.backward += other.backward;
        self.update += other.update;
        self.wait += other.wait;
    }
}

thread_local! {
    /// How many multiply-adds this thread has executed so far. A worker is a thread, so that nothing has to be handed down to the products.
    static MULTIPLY_ADDS: Cell<u64> = const { Cell::new(0) };
}

/// Counts multiply-adds that this thread is about to execute, or has executed: once for a product or a list of its terms, not within it.
pub fn count_multiply_adds(count: usize) {
    MULTIPLY_ADDS.set(MULTIPLY_ADDS.get().wrapping_add(count as u64));
}

/// Selects one of the phases.
pub type Phase = fn(&mut Phases) -> &mut Spent;

/// Adds up the time and the multiply-adds of each phase. Reading the clock takes some 25 ns, a step at least a hundred times that.
pub struct Clock {
    last: Instant,
    counted: u64,
    pub phases: Phases,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { last: Instant::now(), counted: MULTIPLY_ADDS.get(), phases: Phases::default() }
    }

    /// Adds what this thread has spent since the last call, or since the start, to a phase.
    pub fn lap(&mut self, phase: Phase) {
        let (now, counted) = (Instant::now(), MULTIPLY_ADDS.get());
        *phase(&mut self.phases) +=
            Spent { time: now - self.last, multiply_adds: counted.wrapping_sub(self.counted) };
        (self.last, self.counted) = (now, counted);
    }

    /// Waits for all members of a crew, which takes its own phase.
    pub fn meet(&mut self, member: &Member<'_>) {
        member.synchronise();
        self.lap(|phases| &mut phases.wait);
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use ndarray::Array2;

    use super::*;
    use crate::data::Dataset;
    use crate::engine::{Adam, Engine, EngineOptions, State};
    use crate::gemm::Backend;
    use crate::model::Spec;

    const SAMPLES: usize = 256;
    /// Whole panels of every instruction set, and with two workers layers that are split by outputs, or by columns.
    const SIZES: [usize; 4] = [64, 128, 128, 32];

    /// The multiply-adds of a pass over samples whose first `zeros` inputs are 0, in the phases of all workers together, per sample.
    fn executed(backend: Backend, threads: usize, deterministic: bool, zeros: usize) -> [u64; 5] {
        let [n_in, hidden @ .., n_out] = SIZES;
        let input = |i: usize, j: usize| if j < zeros { 0.0 } else { 1.0 + (i * j % 7) as f32 };
        let x = Array2::from_shape_fn((SAMPLES, n_in), |(i, j)| input(i, j));
        let labels: Vec<u32> = (0..SAMPLES).map(|i| (i % n_out) as u32).collect();
        let data = Dataset::from_arrays(x, labels).unwrap();
        let options = EngineOptions::new(128).with(|options| {
            (options.backend, options.threads) = (backend, threads);
            options.deterministic = deterministic;
        });
        let spec = Spec::new(n_in, &hidden, &[], n_out).unwrap();
        let mut engine = Engine::new(&spec, options).unwrap();
        let mut state = State::new(&vec![0.01; engine.layout().len()]).unwrap();
        let order: Vec<u32> = (0..SAMPLES as u32).collect();
        let mut phases = Phases::default();
        for _ in 0..2 {
            engine.train(&mut state, &Adam::default(), &data, &order, 128, |_| {
                ControlFlow::Continue(())
            });
            engine.worker_phases().for_each(|own| phases += own);
        }
        let Phases { gather, forward, backward, update, wait } = phases;
        [gather, forward, backward, update, wait].map(|spent| {
            assert!(spent.multiply_adds.is_multiple_of(2 * SAMPLES as u64));
            spent.multiply_adds / (2 * SAMPLES as u64)
        })
    }

    #[test]
    fn every_product_is_counted_in_its_phase_and_zeros_are_not() {
        let [first, second, third] = [0, 1, 2].map(|l| (SIZES[l] * SIZES[l + 1]) as u64);
        let above = second + third;
        for backend in Backend::all() {
            for (threads, deterministic) in [(1, false), (2, false), (3, true)] {
                let cell = format!("{} {threads} {deterministic}", backend.name());
                let dense = executed(backend, threads, deterministic, 0);
                assert_eq!(dense, [0, first + above, above, first + above, 0], "{cell}");
                let half = executed(backend, threads, deterministic, 32);
                let left = first / 2 + above;
                assert_eq!(half, [0, left, above, left, 0], "{cell}, half of it zeros");
            }
        }
    }
}
