//! Measures what this machine can do, in less than a second: multiply-adds in registers, and matrix products of each backend.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ndarray::Array2;

use crate::gemm::panels::Tiles;
use crate::gemm::{Backend, gemm};
use crate::isa::{Isa, kernel};
use crate::rng::{Purpose, Rng};

/// Each figure is measured this many times, for this long; the best one counts.
const REPETITIONS: usize = 5;
const REPETITION: Duration = Duration::from_millis(40);

/// The rate of `f32` multiply-adds in registers on `threads` threads, in GFLOP/s. It is the upper bound for every program on
/// this machine, as long as the CPU's clock does not change.
pub fn peak_gflops(threads: usize) -> f64 {
    const ROUNDS: u32 = 20_000;
    let tiles = Tiles::of(Isa::detect());
    let run = || tiles.multiply_adds(ROUNDS, black_box(0.5));
    rate(threads, run().1, || {
        || {
            black_box(run());
        }
    })
}

kernel! {
    /// Reads and writes all values.
    pub fn change_all(values: &mut [f32]) {
        values.iter_mut().for_each(|value| *value = *value * 0.5 + 1.0);
    }
}

kernel! {
    /// The sum of all values, in an order of its own; without those after the last whole 64.
    pub fn sum_all(values: &[f32]) -> f32 {
        let mut sums = [0.0; 64];
        for values in values.as_chunks::<64>().0 {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        sums.iter().sum()
    }
}

/// The rate at which `threads` threads, each over its own part, read `bytes` bytes of memory again and again, in GB/s.
pub fn read_gbs(bytes: usize, threads: usize) -> f64 {
    let isa = Isa::detect();
    let len = (bytes / size_of::<f32>() / threads).next_multiple_of(64).max(64);
    rate(threads, (size_of::<f32>() * len) as f64, || {
        let values = vec![1.0f32; len];
        move || {
            black_box(sum_all(isa, black_box(&values)));
        }
    })
}

/// The rate at which `threads` threads, each over its own part, read and write `bytes` bytes of memory again and again, in GB/s.
pub fn memory_gbs(bytes: usize, threads: usize) -> f64 {
    let isa = Isa::detect();
    let len = (bytes / size_of::<f32>() / threads).max(1);
    rate(threads, (2 * size_of::<f32>() * len) as f64, || {
        let mut values = vec![0.0f32; len];
        move || change_all(isa, black_box(&mut values))
    })
}

/// The rate of a matrix product of the size of a training step's, in GFLOP/s, on `threads` threads that each
/// compute their own.
pub fn product_gflops(backend: Backend, threads: usize) -> f64 {
    let (m, n, k) = (500, 512, 784);
    rate(threads, 2.0 * (m * n * k) as f64, || {
        backend.prepare_thread();
        let mut rng = Rng::new(0, Purpose::Init, 0);
        let mut random =
            |rows, columns| Array2::from_shape_simple_fn((rows, columns), || rng.symmetric());
        let (a, b, mut c) = (random(m, k), random(n, k), Array2::zeros((m, n)));
        move || gemm(backend, c.view_mut(), a.view(), b.t(), 0.0)
    })
}

/// The rate of all threads together, in GFLOP/s, while each repeats its own work of `flop` operations: the best of several
/// repetitions.
fn rate<W: FnMut()>(threads: usize, flop: f64, work: impl Fn() -> W + Sync) -> f64 {
    let barrier = std::sync::Barrier::new(threads);
    let measure = || {
        let mut work = work();
        work(); // warm-up
        [(); REPETITIONS].map(|()| {
            barrier.wait();
            let start = Instant::now();
            let mut count = 0;
            while start.elapsed() < REPETITION {
                work();
                count += 1;
            }
            flop * f64::from(count) / start.elapsed().as_secs_f64() / 1e9
        })
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(measure)).collect();
        let mut sums = measure();
        for other in others {
            let rates = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            sums.iter_mut().zip(rates).for_each(|(sum, rate)| *sum += rate);
        }
        sums.into_iter().fold(0.0, f64::max)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_plausible() {
        // bounds that no current machine comes near; not an assertion about speed
        for threads in [1, 2] {
            assert!((0.01..1e5).contains(&peak_gflops(threads)));
            assert!((0.01..1e5).contains(&memory_gbs(1 << 16, threads)));
            assert!((0.01..1e5).contains(&read_gbs(1 << 16, threads)));
            for backend in Backend::all() {
                assert!((0.01..1e5).contains(&product_gflops(backend, threads)));
            }
        }
    }
}
