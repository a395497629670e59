//! Everything that threads do together, under load: every way in which steps are cut, again and again, with results that may
//! not differ by a bit.
//!
//! An ordinary test finds wrong numbers; under ThreadSanitizer, which needs a nightly toolchain with `rust-src`, it finds races:
//! `RUSTFLAGS="-Zsanitizer=thread" cargo +nightly test -Zbuild-std --target x86_64-unknown-linux-gnu --release
//! --no-default-features --test stress`
#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;

use densely::data::Dataset;
use densely::engine::{Adam, Engine, EngineOptions, Score, State};
use densely::gemm::Backend;
use densely::model::{Activation, Init, Layout, Spec, initialize};
use ndarray::Array2;

const SAMPLES: usize = 1300;
const CLASSES: usize = 5;

/// 70 inputs, half of which are zero throughout.
fn data() -> Dataset {
    let value = |(i, j): (usize, usize)| match (j % 4 < 2) && (i + j) % 3 != 0 {
        true => ((i * 31 + j * 17) % 251) as u8 + 1,
        false => 0,
    };
    let pixels = Array2::from_shape_fn((SAMPLES, 70), value);
    let labels: Vec<u32> = (0..SAMPLES).map(|i| (i * 7 % CLASSES) as u32).collect();
    Dataset::from_pixels(pixels.view(), &labels).unwrap()
}

/// All results of a few steps, a gradient, an evaluation and a prediction, and how the evaluation came out.
fn run(
    engine: &mut Engine,
    start: &[f32],
    data: &Dataset,
    batch: usize,
    steps: usize,
) -> (Vec<u32>, Score) {
    let mut state = State::new(start).unwrap();
    let order: Vec<u32> = (0..batch * steps).map(|i| (i * 11 % SAMPLES) as u32).collect();
    let mut heard = 0;
    let trained = engine.train(&mut state, &Adam::default(), data, &order, batch, |_| {
        heard += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(heard, steps);
    let mut grads = vec![f32::NAN; start.len()];
    let rows: Vec<u32> = (0..SAMPLES as u32).collect();
    let gradient = engine.gradient(&mut grads, state.params(), data, &rows[..batch]);
    let evaluated = engine.evaluate(state.params(), data, &rows);
    let predicted = engine.predict(state.params(), data, &rows);
    let scores = [trained.score, gradient, evaluated].map(|score| score.loss() as f32);
    let all =
        [&scores, state.params(), state.m(), state.v(), &grads, predicted.as_slice().unwrap()];
    (all.into_iter().flatten().map(|x| x.to_bits()).collect(), evaluated)
}

/// Repeats, with every number of threads, and compares with one thread, which sums in another order.
fn stress(hidden: &[usize], activations: &[Activation], batch: usize, steps: usize, times: usize) {
    let data = data();
    let spec = Spec::new(data.n_features(), hidden, activations, CLASSES).unwrap();
    let layout = Layout::new(&spec).unwrap();
    let mut start = vec![0.0; layout.len()];
    initialize(&mut start, &spec, &layout, Init::Glorot, 3).unwrap();
    for backend in Backend::all() {
        let mut alone = None;
        let cases = [(1, false), (2, false), (3, false), (8, false), (2, true), (8, true)];
        for (threads, deterministic) in cases {
            let options = EngineOptions::new(batch).with(|c| {
                c.backend = backend;
                c.threads = threads;
                c.deterministic = deterministic;
            });
            let mut engine = Engine::new(&spec, options).unwrap();
            let (first, score) = run(&mut engine, &start, &data, batch, steps);
            for time in 1..times {
                let (again, _) = run(&mut engine, &start, &data, batch, steps);
                assert!(first == again, "{backend:?}, {threads} threads, run {time} differs");
            }
            let expected = *alone.get_or_insert(score.loss());
            let difference = (score.loss() - expected).abs();
            assert!(difference < 1e-3, "{backend:?}, {threads}: {} {expected}", score.loss());
        }
    }
}

/// Pieces that are drawn, of the rows of a batch and of the rows of a layer's weights.
#[test]
fn large_batches() {
    stress(&[400, 24], &[Activation::Relu], 1200, 3, 3);
    stress(&[33], &[Activation::Gelu], 800, 2, 3);
}

/// Layers that are split by columns, with barriers between them, alone and beside others.
#[test]
fn small_batches() {
    stress(&[150, 20, 130], &[Activation::Gelu, Activation::Tanh, Activation::Relu], 40, 8, 6);
    stress(&[140, 129], &[Activation::Silu], 129, 4, 3);
}

/// Fewer rows than threads, and layers with fewer outputs than threads.
#[test]
fn tiny_batches() {
    stress(&[3, 130], &[Activation::Selu], 1, 12, 8);
    stress(&[2], &[Activation::Sigmoid], 5, 12, 8);
}
