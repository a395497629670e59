//! What this machine can do, measured in a moment: multiply-adds in registers, and matrix products of each backend.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ndarray::Array2;

use super::kernels::fma;
use crate::gemm::{Backend, gemm};
use crate::isa::Isa;
use crate::isa::kernel;
use crate::rng::{Purpose, Rng};

/// How long each figure is measured; the best of this many parts counts.
const PARTS: usize = 5;
const PART: Duration = Duration::from_millis(40);

/// Chains of dependent multiply-adds side by side: enough to fill two pipelines of latency four, few enough for the
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
    /// Rounds of `CHAINS * 16` multiply-adds.
    pub fn chains_of_16(rounds: u32, factor: f32) -> f32 {
        chains::<16, FMA>(rounds, factor)
    }
}

kernel! {
    /// Rounds of `CHAINS * 8` multiply-adds.
    pub fn chains_of_8(rounds: u32, factor: f32) -> f32 {
        chains::<8, FMA>(rounds, factor)
    }
}

/// The rate of f32 multiply-adds in registers on so many threads, in GFLOP/s: what bounds
/// every program here, as long as the clock stays what it is.
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

/// The rate of a product of the size of a training step, on so many threads that each compute their own, in GFLOP/s.
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

/// Billions of `flop` a second when every thread repeats its own work: of all threads together, in the best of several parts.
fn rate<W: FnMut()>(threads: usize, flop: f64, work: impl Fn() -> W + Sync) -> f64 {
    let barrier = std::sync::Barrier::new(threads);
    let measure = || {
        let mut work = work();
        work(); // warm
        [(); PARTS].map(|()| {
            barrier.wait();
            let start = Instant::now();
            let mut count = 0;
            while start.elapsed() < PART {
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
        // bounds that no machine of today comes near; not an assertion about speed
        for threads in [1, 2] {
            assert!((0.01..1e5).contains(&peak_gflops(threads)));
            for backend in Backend::all() {
                assert!((0.01..1e5).contains(&product_gflops(backend, threads)));
            }
        }
    }
}
