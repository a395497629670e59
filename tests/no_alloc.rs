//! A training step allocates nothing: counted by the allocator of this test's own process.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use densely::data::Dataset;
use densely::engine::{Adam, Engine, EngineOptions, State};
use densely::gemm::Backend;
use densely::model::{Activation, Spec};
use densely::task::Loss;
use ndarray::Array2;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations between the first step of a second epoch and its last, of five classes or, with weights, of five numbers.
fn count(backend: Backend, threads: usize, deterministic: bool, loss: Loss, frozen: usize) -> u64 {
    let lit = |j: usize| u8::from(!j.is_multiple_of(3)); // a third of the inputs is blank
    let pixels = Array2::from_shape_fn((500, 19), |(i, j)| (i * 31 + j * 7) as u8 * lit(j));
    let labels: Vec<u32> = (0..500).map(|i| i % 5).collect();
    let data = match loss {
        Loss::CrossEntropy => Dataset::from_pixels(pixels.view(), &labels).unwrap(),
        _ => {
            let x = pixels.mapv(|x| f32::from(x) / 255.0);
            let y = Array2::from_shape_fn((500, 5), |(i, j)| (i * j % 7) as f32);
            let data = Dataset::from_targets(x.view(), y.view()).unwrap();
            data.with_weights((0..500).map(|i| i as f32).collect()).unwrap()
        }
    };
    let spec = Spec::new(19, &[133, 16], &[Activation::Gelu, Activation::Selu], 5).unwrap();
    let options = EngineOptions::new(100).with(|c| {
        c.backend = backend;
        c.threads = threads;
        c.deterministic = deterministic;
        c.loss = loss;
        c.frozen = frozen;
    });
    let mut engine = Engine::new(&spec, options).unwrap();
    let mut state = State::new(&vec![0.01; engine.layout().len()]).unwrap();
    let rows: Vec<u32> = (0..500).collect();
    engine.train(&mut state, &Adam::default(), &data, &rows, 100, |_| ControlFlow::Continue(()));
    let (mut first, mut last, mut steps) = (None, 0, 0);
    engine.train(&mut state, &Adam::default(), &data, &rows, 100, |_| {
        last = ALLOCATIONS.load(Ordering::Relaxed);
        first.get_or_insert(last);
        steps += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(steps, 5);
    last - first.unwrap()
}

#[test]
fn steps_do_not_allocate() {
    drop(std::hint::black_box(vec![1u8; 100]));
    assert!(ALLOCATIONS.load(Ordering::Relaxed) > 0, "the counting allocator is not in use");
    for backend in Backend::all() {
        for threads in [1, 2, 3] {
            for deterministic in [false, true] {
                for (loss, frozen) in [
                    (Loss::CrossEntropy, 0),
                    (Loss::CrossEntropy, 1),
                    (Loss::Mse, 0),
                    (Loss::Poisson, 2),
                ] {
                    // the test harness has a thread that may allocate meanwhile, but not every time
                    let counts: Vec<u64> = (0..5)
                        .map(|_| count(backend, threads, deterministic, loss, frozen))
                        .collect();
                    let least = counts.iter().min();
                    assert_eq!(
                        least,
                        Some(&0),
                        "{backend:?}, {threads} threads, {deterministic}, {loss}, {frozen} frozen: {counts:?}"
                    );
                }
            }
        }
    }
}
