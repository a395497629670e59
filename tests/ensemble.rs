//! Ensembles: each member is the network that it would be alone, and the ensemble predicts their mean.
#![allow(clippy::unwrap_used)]

mod common;

use std::ops::ControlFlow;

use common::{dataset, write_idx};
use densely::Error;
use densely::data::{Dataset, Split};
use densely::engine::{Adam, Engine, EngineOptions, State};
use densely::gemm::{Backend, BackendChoice};
use densely::model::{Init, Layout, Model, Norm, Spec, initialize};
use densely::store::{Checkpoint, RunOptions};
use densely::task::{Choice, Loss};
use densely::train::{Observer, OptimizerKind, Progress, Request, TrainConfig, Trainer};
use ndarray::Array2;

const MEMBERS: usize = 3;

fn images() -> Dataset {
    let directory = tempfile::tempdir().unwrap();
    write_idx(directory.path(), 240, 40);
    densely::data::load(directory.path().to_str().unwrap()).unwrap().data
}

fn config(recipe: &str) -> TrainConfig {
    let mut config = TrainConfig::default().with(|c| {
        (c.hidden, c.epochs, c.batch_size) = (vec![40, 24], 3, 32);
        (c.ensemble, c.split) = (MEMBERS, "200,40,40".parse().unwrap());
    });
    match recipe {
        "plain" => {}
        "batch norm" => {
            (config.norm, config.ema, config.clean_statistics) = (Norm::Batch, Some(0.9), true);
            config.schedule = "cosine".parse().unwrap();
        }
        "sgd" => {
            (config.optimizer, config.nesterov) = (OptimizerKind::Sgd, true);
            (config.clip_norm, config.label_smoothing) = (Some(0.5), 0.1);
            config.freeze = Some(1);
        }
        _ => {
            (config.noise, config.dropout) = (vec![0.3], vec![0.2]);
            config.augment = "affine,elastic".parse().unwrap();
        }
    }
    config
}

const RECIPES: [&str; 4] = ["plain", "batch norm", "sgd", "disturbed"];

fn trained(config: TrainConfig, data: &Dataset) -> (Vec<f32>, Vec<f32>, Vec<f64>) {
    let mut trainer = Trainer::new(config, data).unwrap();
    trainer.run(&mut ()).unwrap();
    ended(&trainer)
}

/// The weights that are kept, the last ones, and the losses.
fn ended(trainer: &Trainer<'_>) -> (Vec<f32>, Vec<f32>, Vec<f64>) {
    let state = trainer.state();
    let losses = state.history().iter().flat_map(|epoch| [Some(epoch.train_loss), epoch.val_loss]);
    let losses = losses.flatten().collect();
    (state.best_params().to_vec(), state.optimizer().weights().to_vec(), losses)
}

/// Without random disturbances a member depends on its first weights alone: those of the trainer, taken apart.
#[test]
fn members_are_trained_as_networks_alone() {
    let data = images();
    for recipe in &RECIPES[..3] {
        for backend in [BackendChoice::Rust, Backend::all()[0].choice()] {
            let config = config(recipe).with(|c| (c.backend, c.patience) = (backend, None));
            let begun = Trainer::new(config.clone(), &data).unwrap();
            let first = begun.last_model();
            let (_, ensemble, _) = trained(config.clone(), &data);
            for (k, member) in first.members().iter().enumerate() {
                let alone = config.clone().with(|c| (c.ensemble, c.threads) = (1, Some(1)));
                let mut alone = Trainer::from_model(alone, member, &data).unwrap();
                alone.run(&mut ()).unwrap();
                let len = ensemble.len() / MEMBERS;
                let found = &ensemble[k * len..(k + 1) * len];
                assert!(ended(&alone).1 == found, "{recipe} {backend:?} {k}");
            }
        }
    }
}

/// The first member has the ensemble's own seed. The others have other weights, noise, masks and images.
#[test]
fn members_are_disturbed_each_in_its_own_way() {
    let data = images();
    let config = config("disturbed");
    let (_, ensemble, _) = trained(config.clone(), &data);
    let (_, alone, _) = trained(config.with(|c| (c.ensemble, c.threads) = (1, Some(1))), &data);
    let len = alone.len();
    assert!(ensemble[..len] == alone);
    // from equal weights, too, they become different ones
    let spec = Spec::new(data.n_features(), &[9], &[], data.n_outputs()).unwrap();
    for disturbed in [
        spec.clone().with_noise(0.0, &[0.5]).unwrap(),
        spec.clone().with_noise(0.5, &[]).unwrap(),
        spec.clone().with_dropout(0.0, &[0.5]).unwrap(),
    ] {
        let spec = disturbed.with_members(2).unwrap();
        let layout = Layout::new(&spec).unwrap();
        let mut params = vec![0.0; layout.len()];
        initialize(&mut params, &spec, &layout, Init::Auto, 0).unwrap();
        let (first, second) = params.split_at_mut(layout.member(1).start);
        assert!(first != second, "they begin with other weights");
        second.copy_from_slice(first);
        let mut state = State::new(&params).unwrap();
        let rows: Vec<u32> = (0..40).collect();
        let mut engine = Engine::new(&spec, EngineOptions::new(40)).unwrap();
        let next = |_| ControlFlow::Continue(());
        engine.train(&mut state, &Adam::default(), &data, &rows, 40, next);
        assert!(state.params()[layout.member(0)] != state.params()[layout.member(1)]);
    }
}

#[test]
fn threads_reruns_and_resumes_are_bit_equal() {
    let data = images();
    for recipe in RECIPES {
        let config = config(recipe);
        let threads = |n: usize| config.clone().with(|c| c.threads = Some(n));
        let expected = trained(threads(1), &data);
        assert!(expected.0.iter().all(|w| w.is_finite()));
        // no member has more than one thread
        for n in [1, 2, MEMBERS] {
            assert!(trained(threads(n), &data) == expected, "{recipe} {n}");
        }
        let deterministic = |n: usize| threads(n).with(|c| c.deterministic = true);
        let fixed = trained(deterministic(1), &data);
        assert!(trained(deterministic(7), &data) == fixed, "{recipe}: two threads a member");
        // an epoch is one stretch of each member: it ends whole
        let mut first = Trainer::new(threads(2), &data).unwrap();
        assert!(matches!(first.run(&mut Stop::default()), Err(Error::Stopped)));
        let bytes = Checkpoint::of(&RunOptions::default(), first.state()).to_bytes().unwrap();
        let (_, state) = Checkpoint::from_bytes(&bytes).unwrap().into_state().unwrap();
        assert_eq!(state.epoch(), 1);
        let mut resumed = Trainer::resume(state, &data).unwrap();
        resumed.run(&mut ()).unwrap();
        assert!(ended(&resumed) == expected, "{recipe}: resumed");
        assert!(trained(threads(1).with(|c| c.seed = 1), &data) != expected);
    }
}

/// Stops after the first step.
#[derive(Default)]
struct Stop {
    stops: bool,
}

impl Observer for Stop {
    fn step(&mut self, _epoch: usize, _progress: Progress) {
        self.stops = true;
    }

    fn request(&mut self) -> Request {
        if self.stops { Request::Stop } else { Request::Continue }
    }
}

/// For classes with weights, standardised numbers, and logarithms.
#[test]
fn an_ensemble_predicts_the_mean_of_its_members() {
    let x = Array2::from_shape_fn((300, 4), |(i, j)| ((i * (3 + 2 * j)) % 23) as f32 / 11.0 - 1.0);
    let labels: Vec<u32> = (0..300).map(|i| i % 3).collect();
    let counts = Array2::from_shape_fn((300, 2), |(i, j)| ((i * (1 + j)) % 5) as f32);
    let weights: Vec<f32> = (0..300).map(|i| 0.5 + (i % 4) as f32).collect();
    let classes = Dataset::from_arrays(x.view(), &labels).unwrap().with_weights(weights).unwrap();
    let numbers = Dataset::from_targets(x.view(), counts.view()).unwrap();
    let rows: Vec<u32> = (0..300).collect();
    for (data, loss) in [
        (&classes, Choice::Auto),
        (&numbers, Choice::Auto),
        (&numbers, Choice::Of(Loss::Mae)),
        (&numbers, Choice::Of(Loss::Poisson)),
    ] {
        let config = TrainConfig::default().with(|c| {
            (c.hidden, c.batch_size, c.epochs, c.lr) = (vec![12], 20, 4, 0.01);
            (c.ensemble, c.loss) = (4, loss);
            c.split = Split::Fractions([0.8, 0.1, 0.1]);
        });
        let mut trainer = Trainer::new(config, data).unwrap();
        trainer.run(&mut ()).unwrap();
        let model = Model::from_bytes(&trainer.best_model().to_bytes().unwrap(), &[]).unwrap();
        assert_eq!((model.spec().members(), model.members().len()), (4, 4));
        let mut mean = Array2::<f32>::zeros((300, data.n_outputs()));
        for member in model.members() {
            mean.scaled_add(0.25, &member.predict(x.view()).unwrap().values());
        }
        let found = model.predict(x.view()).unwrap();
        let close = |a: f32, b: f32| (a - b).abs() < 2e-5 * b.abs().max(1.0);
        assert!(mean.iter().zip(found.values()).all(|(a, b)| close(*a, *b)), "{loss:?}");
        // scores are those of the mean, not means of scores
        let mut engine = Engine::of_model(&model, EngineOptions::to_evaluate()).unwrap();
        let score = engine.evaluate(model.params(), data, &rows);
        if data.is_regression() {
            let squares = mean.iter().zip(&counts).map(|(a, b)| f64::from(a - b).powi(2));
            let expected = (squares.sum::<f64>() / 600.0).sqrt();
            assert!((score.rmse() - expected).abs() < 1e-4 * expected, "{loss:?}");
        } else {
            let weights = data.weights().unwrap();
            let losses = mean.rows().into_iter().zip(data.labels()).zip(weights);
            let sum: f64 = losses
                .map(|((row, label), w)| -f64::from(row[*label as usize]).ln() * f64::from(*w))
                .sum();
            assert!((score.loss_sum - sum).abs() < 1e-4 * sum);
        }
    }
}

#[test]
fn ensembles_are_trained_further_and_get_new_heads() {
    let data = images();
    let mut trainer = Trainer::new(config("batch norm"), &data).unwrap();
    trainer.run(&mut ()).unwrap();
    let model = trainer.best_model();
    let more = config("batch norm").with(|c| c.ensemble = 1);
    let trainer = Trainer::from_model(more, &model, &data).unwrap();
    assert_eq!(trainer.config().ensemble, MEMBERS);
    assert_eq!(trainer.last_model().params(), model.params());
    let other = model.with_new_head(5, Init::Auto, 1).unwrap();
    assert_eq!((other.spec().members(), other.spec().n_out()), (MEMBERS, 5));
    let trunk = Layout::new(model.spec()).unwrap().layers()[2].w().start;
    let heads: Vec<Vec<f32>> = (model.members().iter().zip(other.members()))
        .map(|(old, new)| {
            assert_eq!(old.params()[..trunk], new.params()[..trunk]);
            new.params()[trunk..].to_vec()
        })
        .collect();
    assert!(heads[0] != heads[1], "each head has weights of its own");
    // batch norm becomes a part of each member's weights
    let folded = model.folded().unwrap();
    let rows: Vec<u32> = (0..280).collect();
    let logits = |model: &Model| {
        let mut engine = Engine::of_model(model, EngineOptions::to_evaluate()).unwrap();
        engine.logits(model.params(), &data, &rows)
    };
    let (found, expected) = (logits(&folded), logits(&model));
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4));
}

/// More samples than a stretch has: a stop comes within an epoch.
#[test]
fn a_run_that_stops_within_an_epoch_resumes_bit_by_bit() {
    let x = Array2::from_shape_fn((9_500, 3), |(i, j)| ((i * (7 + 5 * j)) % 101) as f32 / 50.0);
    let labels: Vec<u32> = x.rows().into_iter().map(|x| u32::from(x[0] > x[1])).collect();
    let data = Dataset::from_arrays(x.view(), &labels).unwrap();
    for threads in [1, 2, 3] {
        let config = TrainConfig::default().with(|c| {
            (c.hidden, c.batch_size, c.epochs, c.ensemble) = (vec![8], 100, 2, MEMBERS);
            (c.threads, c.noise) = (Some(threads), vec![0.1]);
            c.split = "9000,500,0".parse().unwrap();
        });
        let expected = trained(config.clone(), &data);
        let mut first = Trainer::new(config, &data).unwrap();
        assert!(first.run(&mut Stop::default()).is_err());
        let partial = first.state().partial().map(|partial| partial.score.samples);
        // with several threads the other members may have been done before this thread looked
        assert!(threads > 1 || partial == Some(4_100), "{partial:?}");
        let bytes = Checkpoint::of(&RunOptions::default(), first.state()).to_bytes().unwrap();
        let (_, state) = Checkpoint::from_bytes(&bytes).unwrap().into_state().unwrap();
        let mut resumed = Trainer::resume(state, &data).unwrap();
        resumed.run(&mut ()).unwrap();
        assert!(ended(&resumed) == expected, "{threads}");
    }
}

#[test]
fn each_member_has_its_own_tensors() {
    let data = dataset(40, 7, 4);
    let spec = Spec::new(7, &[6], &[], 4).unwrap().with_members(3).unwrap();
    let layout = Layout::new(&spec).unwrap();
    let mut params = vec![0.0; layout.len()];
    initialize(&mut params, &spec, &layout, Init::Auto, 4).unwrap();
    for threads in [1, 3] {
        let options =
            EngineOptions::new(20).with(|c| (c.threads, c.clip_norm) = (threads, Some(0.1)));
        let engine = Engine::new(&spec, options).unwrap();
        let mut engine = engine
            .with_tensors(|tensor| match &tensor.name[..] {
                "members.1.layers.0.weight" | "members.1.layers.0.bias" => tensor.trained = false,
                "members.2.layers.1.bias" => tensor.rate = 0.0,
                _ => {}
            })
            .unwrap();
        let mut state = State::new(&params).unwrap();
        let rows: Vec<u32> = (0..40).collect();
        let next = |_| ControlFlow::Continue(());
        engine.train(&mut state, &Adam::default(), &data, &rows, 20, next);
        for tensor in layout.tensors() {
            let stays = state.params()[tensor.range.clone()] == params[tensor.range.clone()];
            let expected = tensor.name.starts_with("members.1.layers.0")
                || tensor.name == "members.2.layers.1.bias";
            assert_eq!(stays, expected, "{}", tensor.name);
        }
    }
}

/// Targets that another run standardises otherwise: every member begins with the values that it predicted.
#[test]
fn members_are_rescaled_for_other_targets() {
    let x = Array2::from_shape_fn((200, 3), |(i, j)| ((i * (3 + j)) % 17) as f32 / 8.0);
    let y = |scale: f32| Array2::from_shape_fn((200, 1), |(i, _)| scale * (i % 11) as f32 + 3.0);
    let config = TrainConfig::default().with(|c| {
        (c.hidden, c.batch_size, c.epochs, c.ensemble) = (vec![6], 20, 3, MEMBERS);
        c.split = Split::Fractions([0.8, 0.1, 0.1]);
    });
    let data = Dataset::from_targets(x.view(), y(2.0).view()).unwrap();
    let mut trainer = Trainer::new(config.clone(), &data).unwrap();
    trainer.run(&mut ()).unwrap();
    let model = trainer.best_model();
    let other = Dataset::from_targets(x.view(), y(5.0).view()).unwrap();
    let begun = Trainer::from_model(config, &model, &other).unwrap().best_model();
    assert_ne!(begun.params(), model.params());
    for (new, old) in begun.members().iter().zip(model.members()) {
        let (new, old) = (new.predict(x.view()).unwrap(), old.predict(x.view()).unwrap());
        assert!(new.values().iter().zip(old.values()).all(|(a, b)| (a - b).abs() < 1e-3));
    }
}

#[test]
fn gradients_are_those_of_the_members() {
    let data = dataset(40, 7, 4);
    let spec = Spec::new(7, &[6, 5], &[], 4).unwrap();
    let ensemble = spec.clone().with_members(2).unwrap();
    let layout = Layout::new(&ensemble).unwrap();
    let mut params = vec![0.0; layout.len()];
    initialize(&mut params, &ensemble, &layout, Init::Auto, 4).unwrap();
    let rows: Vec<u32> = (0..30).collect();
    let gradient = |spec: &Spec, params: &[f32]| {
        let options = EngineOptions::new(30).with(|c| c.threads = 1);
        let mut grads = vec![0.0; params.len()];
        let mut engine = Engine::new(spec, options).unwrap();
        let score = engine.gradient(&mut grads, params, &data, &rows);
        (grads, score.loss_sum, score.samples)
    };
    let whole = gradient(&ensemble, &params);
    let parts = [0, 1].map(|k| gradient(&spec, &params[layout.member(k)]));
    assert_eq!(whole.0, [&parts[0].0[..], &parts[1].0[..]].concat());
    assert_eq!((whole.1, whole.2), ((parts[0].1 + parts[1].1) / 2.0, 30));
}

#[test]
fn a_training_that_diverges_ends_with_a_reason() {
    let data = images();
    let config = config("plain").with(|c| (c.lr, c.optimizer) = (1e20, OptimizerKind::Sgd));
    let mut trainer = Trainer::new(config, &data).unwrap();
    let outcome = trainer.run(&mut ()).unwrap();
    let reason = outcome.diverged.unwrap().to_string();
    assert!(reason.contains("a lower learning rate helps"), "{reason}");
}

/// From the command line: sweeps, scores, predictions, exports, and what a person reads.
#[cfg(feature = "cli")]
#[test]
fn commands_know_ensembles() {
    use common::{Sandbox, text};
    let sandbox = Sandbox::new();
    let common = ["--hidden", "8", "--batch-size", "20", "--epochs", "2", "--quiet"];
    let lines =
        sandbox
            .ok(&[&["train", "data", "--out", "a", "--ensemble", "3", "--json"][..], &common]
                .concat());
    let done: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    let score: serde_json::Value =
        serde_json::from_str(&sandbox.ok(&["eval", "a", "--json"])).unwrap();
    assert_eq!(score["accuracy"], done["test_accuracy"]);
    let about = sandbox.ok(&["inspect", "a"]);
    assert!(about.starts_with("an ensemble of 3 networks; "), "{about}");
    assert!(about.contains("\n    2.1 "), "{about}");
    let about: serde_json::Value =
        serde_json::from_str(&sandbox.ok(&["inspect", "a", "--json"])).unwrap();
    let names: Vec<&str> =
        about["layers"].as_array().unwrap().iter().map(|l| l["name"].as_str().unwrap()).collect();
    assert_eq!((&about["members"], names[2]), (&3.into(), "members.1.layers.0"));
    sandbox.ok(&["export", "a", "--npz", "a.npz"]);
    sandbox.ok(&["export", "a", "--onnx", "a.onnx"]);
    let archive = sandbox.bytes("a.npz");
    assert!(archive.windows(17).any(|name| name == b"member_2_weight_1"));
    assert!(text(&sandbox.bytes("a/report.html")).contains("first layer of the first network"));
    let sweep = ["sweep", "data", "--ensemble", "1,2", "--lr", "0.01", "--out", "s"];
    sandbox.ok(&[&sweep[..], &common].concat());
    let results = text(&sandbox.bytes("s/results.csv")).to_owned();
    assert_eq!(results.lines().count(), 3, "{results}");
    for (members, expected) in [("0", "expected 1 to 1000"), ("1001", "expected 1 to 1000")] {
        let error = sandbox.fails(&["train", "data", "--ensemble", members], 2);
        assert!(error.contains(expected), "{error}");
    }
    let many = "2,".repeat(400) + "2";
    let error = sandbox.fails(&["train", "data", "--ensemble", "1000", "--hidden", &many], 2);
    assert!(error.contains("expected fewer of one or the other"), "{error}");
}
