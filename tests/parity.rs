//! Training steps against PyTorch: the constants are printed by `tests/parity/pytorch.py constants`.
#![allow(clippy::unwrap_used)]

mod common;

use std::ops::ControlFlow;

use common::{dataset, ramp};
use densely::data::Dataset;
use densely::engine::{Adam, Engine, EngineOptions, State};
use densely::gemm::Backend;
use densely::model::Activation::{
    self, Elu, Gelu, Identity, LeakyRelu, Relu, Selu, Sigmoid, Silu, Tanh,
};
use densely::model::Spec;

struct Case {
    activations: [Activation; 3],
    weight_decay: f64,
    /// The loss of each of ten steps, before it.
    losses: [f64; 10],
    /// Every 23rd parameter after the ten steps.
    params: [f64; 11],
    params_sum: f64,
}

#[rustfmt::skip]
const CASES: [Case; 4] = [
    Case {
        activations: [Relu, Selu, Tanh],
        weight_decay: 0.0,
        losses: [1.427692809, 1.476782288, 1.409721853, 1.455241313, 1.381861849, 1.419556692, 1.394548069, 1.392482288, 1.367600873, 1.392564217],
        params: [-0.55505389, -0.00203298, -0.62641285, 0.10944681, -0.58768211, 0.01119559, -0.49704473, 0.14924814, -0.40804759, 0.04350521, -0.35815225],
        params_sum: 0.34432286,
    },
    Case {
        activations: [Relu, Selu, Tanh],
        weight_decay: 0.1,
        losses: [1.427692809, 1.476554593, 1.409588933, 1.454746434, 1.382038947, 1.419161089, 1.394381070, 1.392503384, 1.368119051, 1.392358449],
        params: [-0.54946499, -0.00230341, -0.62043960, 0.10873970, -0.58210044, 0.01180204, -0.49211181, 0.14815782, -0.40353802, 0.04257115, -0.35409667],
        params_sum: 0.34894933,
    },
    Case {
        activations: [Gelu, Silu, Elu],
        weight_decay: 0.0,
        losses: [1.448021631, 1.444895699, 1.437356248, 1.438446374, 1.413722064, 1.410847064, 1.416331236, 1.405926743, 1.398170280, 1.391637235],
        params: [-0.54731478, 0.06639765, -0.63895280, 0.12612335, -0.57186552, 0.01209896, -0.52192461, 0.16073261, -0.38937531, 0.05486178, -0.35378327],
        params_sum: 0.42084275,
    },
    Case {
        activations: [LeakyRelu, Sigmoid, Identity],
        weight_decay: 0.0,
        losses: [1.468108118, 1.457943554, 1.428097060, 1.431470209, 1.404205531, 1.406662259, 1.396657669, 1.394548691, 1.385826261, 1.392203617],
        params: [-0.61012927, -0.01246283, -0.63250129, 0.11314996, -0.58818744, 0.00912497, -0.53219766, 0.05982455, -0.49992302, 0.22063420, -0.35939729],
        params_sum: -2.33948524,
    },
];

/// Ten steps over batches of 12, 12, 12, 4, 12, ...
fn train(case: &Case, options: EngineOptions, data: &Dataset) -> (Vec<f64>, State) {
    let spec = Spec::new(7, &[9, 8, 6], &case.activations, 4).unwrap();
    let mut engine = Engine::new(&spec, options).unwrap();
    let start: Vec<f32> =
        ramp(engine.layout().len(), 7919, 1009).into_iter().map(|x| (x * 0.6) as f32).collect();
    let mut state = State::new(&start).unwrap();
    let adam = Adam::default().with(|c| {
        c.lr = 0.01;
        c.weight_decay = case.weight_decay;
    });
    let order: Vec<u32> = (0..40).collect();
    let mut losses = Vec::new();
    for rows in [&order[..], &order, &order[..24]] {
        engine.train(&mut state, &adam, data, rows, 12, |score| {
            assert_eq!(score.samples, if losses.len() % 4 == 3 { 4 } else { 12 });
            losses.push(score.loss());
            ControlFlow::Continue(())
        });
    }
    assert_eq!(state.steps(), 10);
    (losses, state)
}

#[test]
fn ten_steps_equal_pytorch() {
    let data = dataset(40, 7, 4);
    for case in &CASES {
        for backend in Backend::all() {
            for (threads, deterministic) in
                [(1, false), (2, false), (3, false), (16, false), (2, true)]
            {
                let what = format!("{:?} {} {threads}", case.activations, backend.name());
                let options = EngineOptions::new(12).with(|c| {
                    c.backend = backend;
                    c.threads = threads;
                    c.deterministic = deterministic;
                });
                let (losses, state) = train(case, options, &data);
                for (step, (found, expected)) in losses.iter().zip(case.losses).enumerate() {
                    let error = (found - expected).abs();
                    assert!(error < 2e-6, "{what} step {step}: {found} {expected}");
                }
                let sampled = state.params().iter().step_by(23);
                assert_eq!(sampled.len(), case.params.len());
                for (i, (&found, expected)) in sampled.zip(case.params).enumerate() {
                    let error = (f64::from(found) - expected).abs();
                    assert!(error < 2e-5, "{what} parameter {}: {found} {expected}", 23 * i);
                }
                let sum: f64 = state.params().iter().map(|&w| f64::from(w)).sum();
                assert!((sum - case.params_sum).abs() < 1e-4, "{what}: {sum} {}", case.params_sum);
            }
        }
    }
}
