//! Learned factors of the inputs: a network with them is the network whose first weights are multiplied by them.
#![allow(clippy::unwrap_used)]

mod common;

use std::ops::ControlFlow;

use common::{dataset, ramp};
use densely::engine::{Engine, EngineOptions, Sgd, State};
use densely::gemm::Backend;
use densely::model::Activation::{Gelu, Tanh};
use densely::model::{Layout, Model, Norm, Spec};
use densely::train::{TrainConfig, Trainer};

const N_IN: usize = 37;
const ROWS: usize = 150;

fn spec(norm: Norm, members: usize) -> Spec {
    let spec = Spec::new(N_IN, &[40, 9], &[Gelu, Tanh], 4).unwrap().with_norm(norm);
    spec.with_members(members).unwrap()
}

/// Parameters of a network with factors, and of the one without whose weights are multiplied by them.
fn params(norm: Norm, members: usize) -> (Vec<f32>, Vec<f32>) {
    let scaled = Layout::new(&spec(norm, members).with_input_scales(true)).unwrap();
    let mut params: Vec<f32> =
        ramp(scaled.len(), 7919, 1009).into_iter().map(|x| (x * 0.6) as f32).collect();
    for tensor in scaled.tensors() {
        let add = match tensor.name.rsplit('.').next().unwrap() {
            "running_var" | "scale" => 1.2,
            "weight" if tensor.name.contains("norm") => 1.0,
            _ => 0.0,
        };
        params[tensor.range.clone()].iter_mut().for_each(|x| *x += add);
    }
    let mut plain = Vec::new();
    for member in params.chunks(scaled.len() / members) {
        let (scales, rest) = member.split_at(N_IN);
        let first = rest[..40 * N_IN].iter().enumerate();
        plain.extend(first.map(|(i, w)| w * scales[i % N_IN]));
        plain.extend(&rest[40 * N_IN..]);
    }
    (params, plain)
}

fn engine(spec: &Spec, backend: Backend, threads: usize, deterministic: bool) -> Engine {
    let options = EngineOptions::new(ROWS).with(|c| {
        (c.backend, c.threads, c.deterministic) = (backend, threads, deterministic);
    });
    Engine::new(spec, options).unwrap()
}

const RUNS: [(usize, bool); 4] = [(1, false), (2, false), (3, false), (2, true)];

fn close(found: f32, expected: f32, what: &str) {
    let error = (found - expected).abs();
    assert!(error < 2e-5 * expected.abs().max(1.0), "{what}: {found} {expected}");
}

#[test]
fn outputs_and_gradients_are_those_of_multiplied_weights() {
    let data = dataset(ROWS, N_IN, 4);
    for norm in Norm::ALL {
        for (members, count) in [(1, ROWS), (1, 7), (2, 40)] {
            let rows: Vec<u32> = (0..count as u32).rev().collect();
            let (params, plain) = params(norm, members);
            for backend in Backend::all() {
                for (threads, deterministic) in RUNS {
                    let what = format!("{norm} {members} {count} {} {threads}", backend.name());
                    let spec = spec(norm, members);
                    let scaled = spec.clone().with_input_scales(true);
                    let mut engine = engine(&scaled, backend, threads, deterministic);
                    let mut grads = vec![0.0; params.len()];
                    let score = engine.gradient(&mut grads, &params, &data, &rows);
                    let outputs = engine.logits(&params, &data, &rows);
                    let mut other = self::engine(&spec, backend, threads, deterministic);
                    let mut expected = vec![0.0; plain.len()];
                    let plain_score = other.gradient(&mut expected, &plain, &data, &rows);
                    close(score.loss() as f32, plain_score.loss() as f32, &what);
                    let same = other.logits(&plain, &data, &rows);
                    outputs.iter().zip(&same).for_each(|(a, b)| close(*a, *b, &what));
                    let (own, of_plain) = (params.len() / members, plain.len() / members);
                    for k in 0..members {
                        let (grads, params) = (&grads[k * own..], &params[k * own..]);
                        let expected = &expected[k * of_plain..];
                        // ds_j = sum_i dW'_ij W_ij, and dW_ij = dW'_ij s_j
                        for j in 0..N_IN {
                            let terms = (0..40).map(|i| {
                                let (dw, w) = (expected[i * N_IN + j], params[N_IN * (i + 1) + j]);
                                f64::from(dw) * f64::from(w)
                            });
                            close(grads[j], terms.sum::<f64>() as f32, &format!("{what} s{j}"));
                        }
                        for i in 0..of_plain {
                            let factor = if i < 40 * N_IN { params[i % N_IN] } else { 1.0 };
                            close(grads[N_IN + i], expected[i] * factor, &format!("{what} {i}"));
                        }
                    }
                }
            }
        }
    }
}

/// A step moves the factors by their own rate, and a norm that clips counts them.
#[test]
fn factors_learn_with_a_rate_of_their_own() {
    let data = dataset(ROWS, N_IN, 4);
    let rows: Vec<u32> = (0..ROWS as u32).collect();
    for norm in Norm::ALL {
        let (params, _) = params(norm, 1);
        let spec = spec(norm, 1).with_input_scales(true);
        for backend in Backend::all() {
            for clip in [None, Some(0.01)] {
                for rate in [6.0, 0.0] {
                    let options = EngineOptions::new(ROWS)
                        .with(|c| (c.backend, c.threads, c.clip_norm) = (backend, 2, clip));
                    let mut engine = Engine::new(&spec, options).unwrap();
                    engine = engine
                        .with_tensors(|tensor| {
                            let is_scale = tensor.name == "inputs.scale";
                            (tensor.trained, tensor.rate) = (
                                tensor.trained && (rate > 0.0 || !is_scale),
                                if is_scale { rate } else { 1.0 },
                            );
                        })
                        .unwrap();
                    let mut grads = vec![0.0; params.len()];
                    engine.gradient(&mut grads, &params, &data, &rows);
                    let trained = engine.layout().tensors().iter().filter(|t| t.trained);
                    let squares = trained.flat_map(|t| &grads[t.range.clone()]);
                    let length = squares.map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
                    let factor = clip.map_or(1.0, |clip| (clip / (length + 1e-6)).min(1.0));
                    let mut state = State::new(&params).unwrap();
                    let sgd = Sgd::default().with(|sgd| (sgd.lr, sgd.momentum) = (0.5, 0.0));
                    let next = |_| ControlFlow::Continue(());
                    engine.train(&mut state, &sgd, &data, &rows, ROWS, next);
                    for i in 0..2 * N_IN {
                        let rate = if i < N_IN { rate } else { 1.0 };
                        let expected =
                            f64::from(params[i]) - 0.5 * rate * factor * f64::from(grads[i]);
                        let what = format!("{norm} {} {clip:?} {i}", backend.name());
                        close(state.params()[i], expected as f32, &what);
                    }
                    assert_eq!(state.params()[..N_IN] == params[..N_IN], rate == 0.0);
                }
            }
        }
    }
}

/// Factors that are trained below a layer that is not; and what cannot be.
#[test]
fn factors_learn_below_layers_that_do_not() {
    let data = dataset(ROWS, N_IN, 4);
    let rows: Vec<u32> = (0..ROWS as u32).collect();
    let (params, _) = params(Norm::None, 1);
    let spec = spec(Norm::None, 1).with_input_scales(true);
    for backend in Backend::all() {
        let options = EngineOptions::new(ROWS).with(|c| c.backend = backend);
        let mut all = Engine::new(&spec, options).unwrap();
        let mut expected = vec![0.0; params.len()];
        all.gradient(&mut expected, &params, &data, &rows);
        let fixed = |engine: Engine, frozen: &str| {
            engine.with_tensors(|tensor| tensor.trained = !tensor.name.starts_with(frozen))
        };
        let mut engine = fixed(Engine::new(&spec, options).unwrap(), "layers.0.").unwrap();
        let mut state = State::new(&params).unwrap();
        let sgd = Sgd::default().with(|sgd| (sgd.lr, sgd.momentum) = (0.5, 0.0));
        let next = |_| ControlFlow::Continue(());
        engine.train(&mut state, &sgd, &data, &rows, ROWS, next);
        let first = engine.layout().layers()[0].w().start..engine.layout().layers()[0].b().end;
        assert!(state.params()[first.clone()] == params[first.clone()], "{}", backend.name());
        for i in (0..N_IN).chain(first.end..params.len()) {
            close(state.params()[i], params[i] - 0.5 * expected[i], backend.name());
        }
        // the gradient of factors that do not learn is one all the same, where layers learn
        let mut engine = fixed(Engine::new(&spec, options).unwrap(), "inputs").unwrap();
        let mut grads = vec![0.0; params.len()];
        engine.gradient(&mut grads, &params, &data, &rows);
        assert!(grads == expected, "{}", backend.name());
        // and where they are frozen, it is left as it is
        let frozen = options.with(|c| c.frozen = 1);
        let mut engine = Engine::new(&spec, frozen).unwrap();
        let mut grads = vec![7.0; params.len()];
        engine.gradient(&mut grads, &params, &data, &rows);
        assert!(grads[..first.end].iter().all(|x| *x == 7.0), "{}", backend.name());
        let refused = Engine::new(&spec, frozen).unwrap().with_tensors(|tensor| {
            tensor.trained |= tensor.name.starts_with("inputs");
        });
        assert!(
            refused.unwrap_err().to_string().contains("frozen layers is 0"),
            "{}",
            backend.name()
        );
    }
}

#[test]
fn frozen_layers_take_the_factors_with_them() {
    let data = dataset(ROWS, N_IN, 4);
    let rows: Vec<u32> = (0..ROWS as u32).collect();
    let (params, _) = params(Norm::None, 1);
    for backend in Backend::all() {
        let options = EngineOptions::new(ROWS).with(|c| (c.backend, c.frozen) = (backend, 1));
        let spec = spec(Norm::None, 1).with_input_scales(true);
        let mut engine = Engine::new(&spec, options).unwrap();
        let mut state = State::new(&params).unwrap();
        let next = |_| ControlFlow::Continue(());
        engine.train(&mut state, &Sgd::default(), &data, &rows, ROWS, next);
        let learns = engine.layout().layers()[1].w().start;
        assert!(state.params()[..learns] == params[..learns], "{}", backend.name());
        assert!(state.params()[learns..] != params[learns..], "{}", backend.name());
    }
}

/// A run keeps them in its files, and is trained on from these.
#[test]
fn models_keep_factors() {
    let data = dataset(ROWS, N_IN, 4);
    for members in [1, 2] {
        let config = TrainConfig::default().with(|c| {
            (c.hidden, c.activations, c.epochs, c.batch_size) = (vec![8], vec![Tanh], 2, 16);
            (c.input_scales, c.ensemble) = (Some(6.0), members);
        });
        let mut trainer = Trainer::new(config.clone(), &data).unwrap();
        trainer.run(&mut ()).unwrap();
        let model = trainer.best_model();
        assert!(model.spec().scales_inputs());
        let read = Model::from_bytes(&model.to_bytes().unwrap(), &[]).unwrap();
        assert_eq!(read, model);
        let layout = Layout::new(read.spec()).unwrap();
        for k in 0..members {
            let scales = &read.params()[layout.member(k)][..N_IN];
            assert!(scales.iter().all(|scale| *scale != 1.0), "{scales:?}");
        }
        let other = config.clone().with(|c| (c.input_scales, c.epochs) = (None, 1));
        let mut more = Trainer::from_model(other, &read, &data).unwrap();
        assert_eq!(more.config().input_scales, Some(1.0));
        more.run(&mut ()).unwrap();
        let head = model.with_new_head(3, config.init, 1).unwrap();
        assert_eq!(head.params()[..N_IN], read.params()[..N_IN]);
        assert!(head.spec().scales_inputs());
        read.check_finite("m").unwrap();
        let mut broken = read.params().to_vec();
        let last = layout.member(members - 1).start + 3;
        broken[last] = f32::NAN;
        let broken = Model::new(read.spec().clone(), broken, read.metadata().cloned()).unwrap();
        let message = broken.check_finite("m").unwrap_err().to_string();
        assert!(message.contains("the factors of its inputs are not finite"), "{message}");
    }
}
