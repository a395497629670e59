//! Measures what this machine can do, in less than a second: multiply-adds in registers, and matrix products of each backend.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ndarray::Array2;

use super::kernels::fma;
use crate::gemm::{Backend, gemm};
use crate::isa::Isa;
use crate::isa::kernel;
use crate::rng::{Purpose, Rng};

/// Each figure is measured this many times, for this long; the best one counts.
const REPETITIONS: usize = 5;
const REPETITION: Duration = Duration::from_millis(40);

/// Chains of dependent multiply-adds that run side by side: enough to fill two pipelines of latency four, few enough for the
/// registers of AVX2 at 8 lanes and of AVX-512 at 16.
const CHAINS: usize = 10;

#[inline(always)]
fn chains<const LANES: usize, const FMA: bool>(rounds: u32, factor: f32) -> f32 {
    let mut sums = [[1.0f32; LANES]; CHAINS];
    for _ in 0..rounds {
        for sum in &mut sums {
            for lane in sum {
                *lane = fma::<FMA>(*lane, factor, 0.5);
            }
        }
    }
    sums.iter().flatten().sum()
}

kernel! {
    /// Runs `rounds` rounds of `CHAINS * 16` multiply-adds.
    pub fn chains_of_16(rounds: u32, factor: f32) -> f32 {
        chains::<16, FMA>(rounds, factor)
    }
}

kernel! {
    /// Runs `rounds` rounds of `CHAINS * 8` multiply-adds.
    pub fn chains_of_8(rounds: u32, factor: f32) -> f32 {
        chains::<8, FMA>(rounds, factor)
    }
}

/// The rate of `f32` multiply-adds in registers on `threads` threads, in GFLOP/s. It is the upper bound for every program on
/// this machine, as long as the CPU's clock does not change.
pub fn peak_gflops(threads: usize) -> f64 {
    const ROUNDS: u32 = 20_000;
    let isa = Isa::detect();
    let flop = |lanes: usize| 2.0 * (CHAINS * lanes) as f64 * f64::from(ROUNDS);
    let wide = rate(threads, flop(16), || {
        || {
            black_box(chains_of_16(isa, ROUNDS, black_box(0.5)));
        }
    });
    let narrow = rate(threads, flop(8), || {
        || {
            black_box(chains_of_8(isa, ROUNDS, black_box(0.5)));
        }
    });
    wide.max(narrow)
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
            for backend in Backend::all() {
                assert!((0.01..1e5).contains(&product_gflops(backend, threads)));
            }
        }
    }
}
