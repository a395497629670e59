//! A training step allocates nothing: counted by the allocator of this test's own process.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use densely::data::{Dataset, ImageShape};
use densely::engine::{Adam, Averaging, Engine, EngineOptions, State};
use densely::gemm::Backend;
use densely::model::{Activation, Norm, Spec};
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

/// What a step does beside the plain one.
#[derive(Clone, Copy)]
enum Recipe {
    Plain,
    /// Noise, dropout, clipping, an average of the weights, and this norm.
    Everything(Norm),
    /// Images that are augmented.
    Augmented,
}

/// Allocations between the first step of a second epoch and its last, of five classes or, with weights, of five numbers.
fn count(
    backend: Backend,
    (threads, deterministic): (usize, bool),
    loss: Loss,
    frozen: usize,
    recipe: Recipe,
) -> u64 {
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
    let (mut spec, mut options) = (spec, options);
    if let Recipe::Everything(norm) = recipe {
        spec = spec.with_norm(norm).with_noise(0.1, &[0.2]).unwrap();
        spec = spec.with_dropout(0.1, &[0.5]).unwrap().with_input_scales(true);
        options.clip_norm = Some(0.1);
        options.averaging = Some(Averaging { decay: 0.9 });
    }
    let mut engine = Engine::new(&spec, options).unwrap();
    if matches!(recipe, Recipe::Augmented) {
        let shape = ImageShape { height: 1, width: 19, channels: 1 };
        let augment = "affine,elastic".parse().unwrap();
        engine = engine.with_augmentation(augment, shape).unwrap();
    }
    let mut state = State::new(&vec![0.01; engine.layout().len()]).unwrap();
    if options.averaging.is_some() {
        state.start_average().unwrap();
    }
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

/// Allocations while an ensemble of three is trained on so many batches of 10 samples.
fn count_of_ensemble(engine: &mut Engine, state: &mut State, data: &Dataset, batches: u32) -> u64 {
    let rows: Vec<u32> = (0..10 * batches).collect();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    engine.train(state, &Adam::default(), data, &rows, 10, |_| ControlFlow::Continue(()));
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// A pass of an ensemble allocates its lists of members; its steps do not.
fn check_ensembles() {
    let pixels = Array2::from_shape_fn((500, 19), |(i, j)| (i * j % 251) as u8);
    let labels: Vec<u32> = (0..500).map(|i| i % 5).collect();
    let data = Dataset::from_pixels(pixels.view(), &labels).unwrap();
    let spec = Spec::new(19, &[33], &[], 5).unwrap().with_members(3).unwrap();
    for backend in Backend::all() {
        for threads in [1, 2, 3] {
            let options =
                EngineOptions::new(10).with(|c| (c.backend, c.threads) = (backend, threads));
            let mut engine = Engine::new(&spec, options).unwrap();
            let mut state = State::new(&vec![0.01; engine.layout().len()]).unwrap();
            count_of_ensemble(&mut engine, &mut state, &data, 50);
            let mut least = |batches: u32| {
                let counts = (0..5)
                    .map(|_| count_of_ensemble(&mut engine, &mut state, &data, batches))
                    .collect::<Vec<u64>>();
                counts.into_iter().min()
            };
            assert_eq!(least(10), least(50), "{backend:?} {threads}");
        }
    }
}

/// One test for all: another at the same time would allocate.
#[test]
fn steps_do_not_allocate() {
    drop(std::hint::black_box(vec![1u8; 100]));
    assert!(ALLOCATIONS.load(Ordering::Relaxed) > 0, "the counting allocator is not in use");
    check_ensembles();
    for backend in Backend::all() {
        for threads in [1, 2, 3] {
            for deterministic in [false, true] {
                for (loss, frozen, recipe) in [
                    (Loss::CrossEntropy, 0, Recipe::Plain),
                    (Loss::CrossEntropy, 1, Recipe::Plain),
                    (Loss::Mse, 0, Recipe::Plain),
                    (Loss::Poisson, 2, Recipe::Plain),
                    (Loss::CrossEntropy, 0, Recipe::Everything(Norm::None)),
                    (Loss::CrossEntropy, 1, Recipe::Everything(Norm::Batch)),
                    (Loss::Mse, 0, Recipe::Everything(Norm::Layer)),
                    (Loss::CrossEntropy, 0, Recipe::Augmented),
                ] {
                    // the test harness has a thread that may allocate meanwhile, but not every time
                    let counts: Vec<u64> = (0..5)
                        .map(|_| count(backend, (threads, deterministic), loss, frozen, recipe))
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
