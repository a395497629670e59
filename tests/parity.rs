//! Training steps against PyTorch: the constants are printed by `tests/parity/pytorch.py constants`.
#![allow(clippy::unwrap_used)]

mod common;

use std::ops::ControlFlow;

use common::{dataset, numbers, ramp};
use densely::data::Dataset;
use densely::engine::{Adam, Engine, EngineOptions, State};
use densely::gemm::Backend;
use densely::model::Activation::{
    self, Elu, Gelu, Identity, LeakyRelu, Relu, Selu, Sigmoid, Silu, Tanh,
};
use densely::model::{Init, Spec, Tensor, initialize};
use densely::task::{Loss, TargetScale};

struct Case {
    activations: [Activation; 3],
    weight_decay: f64,
    loss: Loss,
    /// The loss of each of ten steps, before it.
    losses: [f64; 10],
    /// Every 23rd parameter after the ten steps.
    params: [f64; 11],
    params_sum: f64,
}

#[rustfmt::skip]
const CASES: [Case; 9] = [
    Case {
        activations: [Relu, Selu, Tanh],
        weight_decay: 0.0,
        loss: Loss::CrossEntropy,
        losses: [1.427692809, 1.476782288, 1.409721853, 1.455241313, 1.381861849, 1.419556692, 1.394548069, 1.392482288, 1.367600873, 1.392564217],
        params: [-0.55505389, -0.00203298, -0.62641285, 0.10944681, -0.58768211, 0.01119559, -0.49704473, 0.14924814, -0.40804759, 0.04350521, -0.35815225],
        params_sum: 0.34432286,
    },
    Case {
        activations: [Relu, Selu, Tanh],
        weight_decay: 0.1,
        loss: Loss::CrossEntropy,
        losses: [1.427692809, 1.476554593, 1.409588933, 1.454746434, 1.382038947, 1.419161089, 1.394381070, 1.392503384, 1.368119051, 1.392358449],
        params: [-0.54946499, -0.00230341, -0.62043960, 0.10873970, -0.58210044, 0.01180204, -0.49211181, 0.14815782, -0.40353802, 0.04257115, -0.35409667],
        params_sum: 0.34894933,
    },
    Case {
        activations: [Gelu, Silu, Elu],
        weight_decay: 0.0,
        loss: Loss::CrossEntropy,
        losses: [1.448021631, 1.444895699, 1.437356248, 1.438446374, 1.413722064, 1.410847064, 1.416331236, 1.405926743, 1.398170280, 1.391637235],
        params: [-0.54731478, 0.06639765, -0.63895280, 0.12612335, -0.57186552, 0.01209896, -0.52192461, 0.16073261, -0.38937531, 0.05486178, -0.35378327],
        params_sum: 0.42084275,
    },
    Case {
        activations: [LeakyRelu, Sigmoid, Identity],
        weight_decay: 0.0,
        loss: Loss::CrossEntropy,
        losses: [1.468108118, 1.457943554, 1.428097060, 1.431470209, 1.404205531, 1.406662259, 1.396657669, 1.394548691, 1.385826261, 1.392203617],
        params: [-0.61012927, -0.01246283, -0.63250129, 0.11314996, -0.58818744, 0.00912497, -0.53219766, 0.05982455, -0.49992302, 0.22063420, -0.35939729],
        params_sum: -2.33948524,
    },
    Case {
        activations: [Gelu, Silu, Tanh],
        weight_decay: 0.0,
        loss: Loss::Mse,
        losses: [32.349655380, 32.714436308, 32.281798784, 29.925957994, 29.599238401, 29.923157962, 29.577123292, 27.575547055, 27.128795993, 27.340491841],
        params: [-0.50805183, -0.05781615, -0.48493407, -0.05561526, -0.45484907, 0.06511591, -0.42376018, 0.00515066, -0.38371344, 0.10328548, -0.35171671],
        params_sum: -0.38993467,
    },
    Case {
        activations: [Gelu, Silu, Tanh],
        weight_decay: 0.0,
        loss: Loss::Mae,
        losses: [4.853856363, 4.965097577, 4.876069654, 4.569569186, 4.587813054, 4.694032170, 4.600550410, 4.367430405, 4.356841491, 4.433077058],
        params: [-0.50732873, -0.05377916, -0.48833448, -0.05365548, -0.46270046, 0.02043433, -0.41979139, 0.00528513, -0.38397336, 0.10366645, -0.35151687],
        params_sum: -0.41126680,
    },
    Case {
        activations: [Gelu, Silu, Tanh],
        weight_decay: 0.0,
        loss: Loss::Huber,
        losses: [4.379880771, 4.480521014, 4.391325253, 4.106366759, 4.116485231, 4.209995381, 4.124166446, 3.887483718, 3.879503029, 3.953861207],
        params: [-0.50671321, -0.05302535, -0.48684953, -0.05435099, -0.46073948, 0.03177576, -0.41870961, 0.00511268, -0.38384254, 0.10458860, -0.35141324],
        params_sum: -0.45916809,
    },
    Case {
        activations: [Gelu, Silu, Tanh],
        weight_decay: 0.0,
        loss: Loss::Poisson,
        losses: [0.794605597, 0.427063626, 0.256168851, 0.476125879, -0.229415252, -0.611777511, -0.723365542, -0.360774621, -1.055988452, -1.472103048],
        params: [-0.50960223, -0.05654952, -0.48668289, -0.05456179, -0.45282891, 0.07052460, -0.43177635, 0.00588770, -0.38431160, 0.10286914, -0.35184332],
        params_sum: -0.38388182,
    },
    Case {
        activations: [Gelu, Silu, Tanh],
        weight_decay: 0.0,
        loss: Loss::Quantile(0.9),
        losses: [4.357896294, 4.463646820, 4.381209072, 4.084773918, 4.103235537, 4.209514123, 4.123852539, 3.872597494, 3.869918815, 3.960977520],
        params: [-0.50604482, -0.05721982, -0.48627275, -0.05468711, -0.46619359, 0.02515444, -0.41860145, 0.00486390, -0.38367352, 0.10414280, -0.35142992],
        params_sum: -0.56156704,
    },
];

/// Ten steps over batches of 12, 12, 12, 4, 12, ...
fn train(case: &Case, options: EngineOptions, data: &Dataset) -> (Vec<f64>, State) {
    let spec = Spec::new(7, &[9, 8, 6], &case.activations, 4).unwrap();
    let mut engine = Engine::new(&spec, options.with(|c| c.loss = case.loss)).unwrap();
    if case.loss.is_regression() {
        let targets = data.target_names().iter().map(TargetScale::unscaled).collect();
        engine = engine.with_targets(targets).unwrap();
    }
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
    let (classes, numbers) = (dataset(40, 7, 4), numbers(40, 7, 4));
    for case in &CASES {
        let data = if case.loss.is_regression() { &numbers } else { &classes };
        for backend in Backend::all() {
            for (threads, deterministic) in
                [(1, false), (2, false), (3, false), (16, false), (2, true)]
            {
                let what =
                    format!("{:?} {} {} {threads}", case.activations, case.loss, backend.name());
                let options = EngineOptions::new(12).with(|c| {
                    c.backend = backend;
                    c.threads = threads;
                    c.deterministic = deterministic;
                });
                let (losses, state) = train(case, options, data);
                for (step, (found, expected)) in losses.iter().zip(case.losses).enumerate() {
                    let error = (found - expected).abs();
                    assert!(
                        error < 2e-6 * expected.abs().max(1.0),
                        "{what} step {step}: {found} {expected}"
                    );
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

/// Every tensor by a definition in f64, with a rate, a decay and a gradient of its own.
#[test]
fn tensors_learn_at_their_own_rates() {
    let (lr, decay, beta1, beta2, eps) = (0.01, 0.1, 0.9, 0.999, 1e-8);
    let adam = Adam::default().with(|c| (c.lr, c.weight_decay) = (lr, decay));
    let data = dataset(40, 6, 3);
    let rows: Vec<u32> = (0..40).collect();
    let spec = Spec::new(6, &[33, 5], &[Activation::Relu, Activation::Tanh], 3).unwrap();
    for backend in Backend::all() {
        let options = EngineOptions::new(40).with(|c| (c.backend, c.threads) = (backend, 2));
        let made = Engine::new(&spec, options).unwrap();
        let made = made.with_tensors(|tensor| match &tensor.name[..] {
            "layers.0.weight" => tensor.rate = 0.25,
            "layers.0.bias" => (tensor.rate, tensor.decay) = (3.0, 0.0),
            "layers.1.weight" => tensor.decay = 5.0,
            "layers.1.bias" | "layers.2.weight" => tensor.trained = false,
            _ => {}
        });
        let mut engine = made.unwrap();
        let tensors = engine.layout().tensors().to_vec();
        let mut params = vec![0.0; engine.layout().len()];
        initialize(&mut params, &spec, engine.layout(), Init::Glorot, 3).unwrap();
        params.iter_mut().for_each(|w| *w += 0.05);
        let mut state = State::new(&params).unwrap();
        let mut exact: Vec<[f64; 3]> = params.iter().map(|&w| [f64::from(w), 0.0, 0.0]).collect();
        for t in 1..=5 {
            let mut grads = vec![0.0; params.len()];
            engine.gradient(&mut grads, state.params(), &data, &rows);
            for tensor in tensors.iter().filter(|tensor| tensor.trained) {
                for i in tensor.range.clone() {
                    let ([w, m, v], g) = (&mut exact[i], f64::from(grads[i]));
                    (*m, *v) = (beta1 * *m + (1.0 - beta1) * g, beta2 * *v + (1.0 - beta2) * g * g);
                    let root = (*v / (1.0 - f64::powi(beta2, t))).sqrt() + eps;
                    let step = lr * tensor.rate;
                    *w = *w * (1.0 - step * decay * tensor.decay)
                        - step * *m / (1.0 - f64::powi(beta1, t)) / root;
                }
            }
            engine.train(&mut state, &adam, &data, &rows, 40, |_| ControlFlow::Continue(()));
        }
        for (i, (found, [expected, ..])) in state.params().iter().zip(&exact).enumerate() {
            let error = (f64::from(*found) - expected).abs();
            assert!(error < 2e-5, "{backend:?} {i}: {found} {expected}");
        }
        for tensor in tensors.iter().filter(|tensor| !tensor.trained) {
            let range = tensor.range.clone();
            assert_eq!(state.params()[range.clone()], params[range], "{}", tensor.name);
        }
    }
}

/// Tensors that are not trained are frozen layers, and what cannot be learned by is refused.
#[test]
fn the_table_of_tensors_freezes_layers_and_is_checked() {
    let data = dataset(40, 6, 3);
    let rows: Vec<u32> = (0..40).collect();
    let spec = Spec::new(6, &[33, 5], &[], 3).unwrap();
    for backend in Backend::all() {
        let engine = |frozen| {
            let options = EngineOptions::new(40)
                .with(|c| (c.backend, c.threads, c.frozen) = (backend, 2, frozen));
            Engine::new(&spec, options).unwrap()
        };
        let fix = |tensor: &mut Tensor| tensor.trained = tensor.name.starts_with("layers.2");
        let results = [engine(2), engine(0).with_tensors(fix).unwrap()].map(|mut engine| {
            let mut params = vec![0.0; engine.layout().len()];
            initialize(&mut params, &spec, engine.layout(), Init::Glorot, 3).unwrap();
            let mut state = State::new(&params).unwrap();
            let next = |_| ControlFlow::Continue(());
            engine.train(&mut state, &Adam::default(), &data, &rows, 16, next);
            let mut grads = vec![7.0; params.len()];
            engine.gradient(&mut grads, state.params(), &data, &rows);
            assert_ne!(state.params(), params);
            assert_eq!(
                engine.phases().backward.multiply_adds,
                0,
                "nothing needs the backward pass"
            );
            (state.params().to_vec(), grads)
        });
        assert!(results[0] == results[1], "{backend:?}");
        let refused = |frozen, change: fn(&mut Tensor)| {
            engine(frozen).with_tensors(change).unwrap_err().to_string()
        };
        assert!(refused(0, |tensor| tensor.rate = f64::NAN).contains("0 or more"));
        assert!(refused(0, |tensor| tensor.decay = -1.0).contains("0 or more"));
        assert!(refused(0, |tensor| tensor.trained = false).contains("frozen layers"));
        assert!(refused(2, |tensor| tensor.trained = true).contains("frozen layers"));
    }
}
