//! Networks that begin as others ended: frozen layers, new output layers, and state dicts of PyTorch.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/runs.rs"]
mod runs;

use std::ops::ControlFlow;

use common::{dataset, numbers};
use densely::data::{Dataset, Split};
use densely::engine::{Adam, Engine, EngineOptions, State};
use densely::gemm::{Backend, BackendChoice};
use densely::model::{Activation, Init, Layout, Model, Spec, initialize};
use densely::store::{Checkpoint, RunOptions};
use densely::train::{TrainConfig, Trainer};
use ndarray::Array2;
use runs::{all_backends, config, remains};

const ACTIVATIONS: [Activation; 3] = [Activation::Gelu, Activation::Tanh, Activation::Relu];

/// A network with weights, wide enough for small batches to be split by columns.
fn network() -> (Spec, Layout, Vec<f32>) {
    let spec = Spec::new(11, &[150, 40, 9], &ACTIVATIONS, 4).unwrap();
    let layout = Layout::new(&spec).unwrap();
    let mut params = vec![0.0; layout.len()];
    initialize(&mut params, &spec, &layout, Init::Auto, 3).unwrap();
    (spec, layout, params)
}

fn options(batch: usize, frozen: usize) -> EngineOptions {
    EngineOptions::new(batch).with(|c| c.frozen = frozen)
}

fn trained(options: EngineOptions, data: &Dataset, rows: &[u32]) -> State {
    let (spec, _, params) = network();
    let mut engine = Engine::new(&spec, options).unwrap();
    let mut state = State::new(&params).unwrap();
    let trained = engine
        .train(&mut state, &adam(), data, rows, options.batch_size, |_| ControlFlow::Continue(()));
    assert!(trained.broken.is_none());
    state
}

fn adam() -> Adam {
    let mut adam = Adam::default();
    (adam.lr, adam.weight_decay) = (0.01, 0.1);
    adam
}

/// Every way of cutting the work, with one to three workers.
fn each_way(check: impl Fn(EngineOptions)) {
    for backend in Backend::all() {
        for threads in 1..=3 {
            for deterministic in [false, true] {
                for batch in [16, 700] {
                    check(options(batch, 0).with(|c| {
                        (c.backend, c.threads, c.deterministic) = (backend, threads, deterministic);
                    }));
                }
            }
        }
    }
}

#[test]
fn a_step_changes_the_other_layers_as_ever_and_frozen_ones_not_at_all() {
    let (data, (_, layout, params)) = (dataset(700, 11, 4), network());
    each_way(|options| {
        let rows: Vec<u32> = (0..options.batch_size as u32).collect();
        let all = trained(options, &data, &rows);
        for frozen in 1..=3 {
            let state = trained(options.with(|c| c.frozen = frozen), &data, &rows);
            let learning = layout.layers()[frozen].w().start;
            let about = format!("{frozen} frozen, {options:?}");
            assert_eq!(state.params()[..learning], params[..learning], "{about}");
            assert!(state.m()[..learning].iter().chain(&state.v()[..learning]).all(|x| *x == 0.0));
            assert_eq!(state.params()[learning..], all.params()[learning..], "{about}");
            assert_eq!(state.m()[learning..], all.m()[learning..], "{about}");
            assert_eq!(state.v()[learning..], all.v()[learning..], "{about}");
            assert_ne!(state.params()[learning..], params[learning..], "{about}");
        }
    });
}

/// A loop of its own around the gradients of all layers, which updates those that learn in f64.
#[test]
fn many_steps_equal_a_loop_written_from_the_definitions() {
    let (data, (spec, layout, start)) = (dataset(90, 11, 4), network());
    let rows: Vec<u32> = (0..90).collect();
    for frozen in [1, 3] {
        let learning = layout.layers()[frozen].w().start;
        let mut engine = Engine::new(&spec, options(20, 0)).unwrap();
        let (mut params, mut grads) = (start.clone(), vec![0.0; layout.len()]);
        let (mut m, mut v) = (vec![0.0f64; layout.len()], vec![0.0f64; layout.len()]);
        let Adam { lr, beta1, beta2, eps, weight_decay, .. } = adam();
        for (t, batch) in (1..).zip(rows.chunks(20)) {
            engine.gradient(&mut grads, &params, &data, batch);
            for i in learning..layout.len() {
                let g = f64::from(grads[i]);
                m[i] = beta1 * m[i] + (1.0 - beta1) * g;
                v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
                let step =
                    m[i] / (1.0 - beta1.powi(t)) / ((v[i] / (1.0 - beta2.powi(t))).sqrt() + eps);
                params[i] = (f64::from(params[i]) * (1.0 - lr * weight_decay) - lr * step) as f32;
            }
        }
        let state = trained(options(20, frozen), &data, &rows);
        for (i, (found, expected)) in state.params().iter().zip(&params).enumerate() {
            assert!((found - expected).abs() < 2e-5, "{frozen} frozen, {i}: {found} {expected}");
        }
        assert_eq!(state.params()[..learning], start[..learning]);
    }
}

#[test]
fn gradients_of_frozen_layers_are_not_computed() {
    let (data, (spec, layout, params)) = (dataset(30, 11, 4), network());
    let rows: Vec<u32> = (0..30).collect();
    let gradient = |frozen: usize| {
        let mut grads = vec![f32::NAN; layout.len()];
        let mut engine = Engine::new(&spec, options(30, frozen)).unwrap();
        engine.gradient(&mut grads, &params, &data, &rows);
        grads
    };
    let (all, some) = (gradient(0), gradient(2));
    let learning = layout.layers()[2].w().start;
    assert!(some[..learning].iter().all(|x| x.is_nan()) && all.iter().all(|x| x.is_finite()));
    assert_eq!(some[learning..], all[learning..]);
}

#[test]
fn more_frozen_layers_than_hidden_ones_are_an_error() {
    let (spec, ..) = network();
    let error = Engine::new(&spec, options(5, 4)).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("expected at most 3"), "{error}");
    let data = dataset(300, 11, 4);
    let config = config(BackendChoice::Auto, 1).with(|c| c.freeze = Some(4));
    let error = Trainer::new(config, &data).unwrap_err();
    let expected = "freeze is 4; expected at most 3, the number of hidden layers";
    assert!(error.is_usage() && error.to_string().contains(expected), "{error}");
}

#[test]
fn a_run_with_frozen_layers_resumes_bit_by_bit() {
    let data = dataset(300, 11, 4);
    for backend in all_backends() {
        let config = config(backend, 2).with(|c| c.freeze = Some(2));
        let mut whole = Trainer::new(config.clone(), &data).unwrap();
        let first = whole.last_model();
        whole.run(&mut ()).unwrap();
        let last = whole.last_model();
        let trunk = 11 * 24 + 24 + 24 * 17 + 17;
        assert_eq!(last.params()[..trunk], first.params()[..trunk]);
        assert_ne!(last.params()[trunk..], first.params()[trunk..]);

        let mut half = Trainer::new(config.clone().with(|c| c.epochs = 1), &data).unwrap();
        half.run(&mut ()).unwrap();
        let bytes = Checkpoint::of(&RunOptions::default(), half.state()).to_bytes().unwrap();
        assert!(contains(&bytes, br#"format_version\":7"#) && contains(&bytes, br#"freeze\":2"#));
        let (_, mut state) = Checkpoint::from_bytes(&bytes).unwrap().into_state().unwrap();
        let more = state.config().clone().with(|c| c.epochs = 3);
        state.reconfigure(more).unwrap();
        let mut resumed = Trainer::resume(state, &data).unwrap();
        resumed.run(&mut ()).unwrap();
        assert_eq!(remains(&resumed), remains(&whole));

        // nothing frozen is the usual run
        let usual = whole.config().clone().with(|c| c.freeze = None);
        let mut plain = Trainer::new(usual.clone(), &data).unwrap();
        let bytes = Checkpoint::of(&RunOptions::default(), plain.state()).to_bytes().unwrap();
        assert!(!contains(&bytes, b"freeze"));
        let mut zero = Trainer::new(usual.with(|c| c.freeze = Some(0)), &data).unwrap();
        plain.run(&mut ()).unwrap();
        zero.run(&mut ()).unwrap();
        assert_eq!(remains(&plain), remains(&zero));
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[test]
fn a_new_head_learns_other_classes_on_a_frozen_trunk() {
    let first = dataset(300, 11, 4);
    let config = TrainConfig::default().with(|c| {
        (c.hidden, c.batch_size, c.epochs, c.threads) = (vec![20, 12], 30, 2, Some(2));
        c.split = Split::Counts([240, 30, 30]);
    });
    let mut trainer = Trainer::new(config.clone(), &first).unwrap();
    trainer.run(&mut ()).unwrap();
    let model = trainer.best_model();
    let other = dataset(200, 11, 5);
    let error = Trainer::from_model(config.clone(), &model, &other).unwrap_err().to_string();
    assert!(error.contains("4 classes") && error.contains("5 classes"), "{error}");
    let start = model.with_new_head(5, Init::He, 9).unwrap();
    let config = config.with(|c| (c.freeze, c.split) = (Some(2), Split::Counts([150, 50, 0])));
    let mut trainer = Trainer::from_model(config, &start, &other).unwrap();
    trainer.run(&mut ()).unwrap();
    let last: Model = trainer.last_model();
    let trunk = 11 * 20 + 20 + 20 * 12 + 12;
    assert_eq!(last.params()[..trunk], model.params()[..trunk]);
    assert_ne!(last.params()[trunk..], start.params()[trunk..]);
    assert_eq!((last.spec().n_out(), last.labels().len()), (5, 5));
}

/// Targets of other data have another center and scale; those of a state dict have none.
#[test]
fn a_regression_that_learns_on_begins_with_its_own_predictions() {
    let first = numbers(300, 6, 2);
    let shifted: Vec<f32> = first.targets().iter().map(|y| 40.0 + 3.0 * y).collect();
    let shifted = Array2::from_shape_vec((300, 2), shifted).unwrap();
    let x = Array2::from_shape_fn((300, 6), |(i, j)| (i * (7 + 5 * j) % 199) as f32 / 99.0 - 1.0);
    let other = Dataset::from_targets(x.view(), shifted.view()).unwrap();
    let config = TrainConfig::default().with(|c| {
        (c.hidden, c.batch_size, c.epochs, c.threads) = (vec![20, 12], 30, 5, Some(1));
        (c.split, c.lr) = (Split::Counts([240, 30, 30]), 0.01);
    });
    let mut trainer = Trainer::new(config.clone(), &first).unwrap();
    trainer.run(&mut ()).unwrap();
    let own = trainer.best_model();
    let foreign = Model::new(own.spec().clone(), own.params().to_vec(), None).unwrap();
    let foreign = foreign.with_outputs_of(&first).unwrap();
    for (model, data) in [(&own, &other), (&foreign, &first)] {
        let start = Trainer::from_model(config.clone(), model, data).unwrap();
        let expected = model.predict(x.view()).unwrap();
        for begun in [start.best_model(), start.last_model()] {
            let found = begun.predict(x.view()).unwrap();
            for (found, expected) in found.values().iter().zip(expected.values()) {
                assert!((found - expected).abs() < 2e-5, "{found} {expected}");
            }
            assert_ne!(begun.params(), model.params());
        }
    }
    // equal scales, bit for bit; a new output layer as it was drawn
    let same = Trainer::from_model(config.clone(), &own, &first).unwrap();
    assert_eq!(same.last_model().params(), own.params());
    let head = own.with_new_head(2, Init::He, 9).unwrap();
    let started = Trainer::from_model(config, &head, &other).unwrap();
    assert_eq!(started.last_model().params(), head.params());
}

#[cfg(feature = "cli")]
mod command_line {
    use std::path::Path;

    use densely::model::{Layout, Model};
    use safetensors::tensor::{Dtype, TensorView, serialize};
    use serde_json::Value;

    use super::common::{Sandbox, json_lines, text};

    /// Writes a model as another program would: `net.0.weight`, `net.2.weight`, ..., without metadata.
    fn write_foreign(model: &Model, path: &Path) {
        let layout = Layout::new(model.spec()).unwrap();
        let bytes: Vec<u8> = model.params().iter().flat_map(|x| x.to_le_bytes()).collect();
        let tensors: Vec<_> = layout
            .layers()
            .iter()
            .enumerate()
            .flat_map(|(i, layer)| {
                let view = |shape: Vec<usize>, range: std::ops::Range<usize>| {
                    TensorView::new(Dtype::F32, shape, &bytes[4 * range.start..4 * range.end])
                        .unwrap()
                };
                [
                    (
                        format!("net.{}.weight", 2 * i),
                        view(vec![layer.n_out, layer.n_in], layer.w()),
                    ),
                    (format!("net.{}.bias", 2 * i), view(vec![layer.n_out], layer.b())),
                ]
            })
            .collect();
        std::fs::write(path, serialize(tensors, None).unwrap()).unwrap();
    }

    fn model(sandbox: &Sandbox, path: &str) -> Model {
        Model::load(&sandbox.path(path), &[]).unwrap()
    }

    fn last_line(output: &str) -> Value {
        json_lines(output).pop().unwrap()
    }

    #[test]
    fn a_state_dict_of_images_scores_predicts_and_learns_on() {
        let sandbox = Sandbox::new();
        sandbox.train("run", &["--epochs", "3", "--activations", "tanh"]);
        let own = model(&sandbox, "run/best.safetensors");
        write_foreign(&own, &sandbox.path("pt.safetensors"));
        let eval = |model: &str| {
            let args = ["eval", model, "data", "--part", "all", "--json", "--activations", "tanh"];
            let mut line = last_line(&sandbox.ok(&args));
            line.as_object_mut().unwrap().remove("data");
            line
        };
        assert_eq!(eval("pt.safetensors"), eval("run/best.safetensors"));
        let images = "data/t10k-images-idx3-ubyte";
        let predict = |model: &str| {
            sandbox.ok(&["predict", model, images, "--probabilities", "--activations", "tanh"])
        };
        assert_eq!(predict("pt.safetensors"), predict("run/best.safetensors"));

        let output = sandbox.run(&["eval", "pt.safetensors", "data"]);
        let said = text(&output.stderr);
        assert!(said.contains("assumed: relu,relu; --activations sets others"), "{said}");
        assert!(said.contains("does not say what its 3 outputs mean; taken for the classes of data, in this order: 0, 1, 2"), "{said}");

        let more = ["--init-from", "pt.safetensors", "--epochs", "1", "--quiet", "--freeze", "1"];
        let common = ["train", "data", "--activations", "tanh", "--out", "next"];
        sandbox.ok(&[&common[..], &more].concat());
        let next = model(&sandbox, "next/last.safetensors");
        let first = 20 * 16 + 16;
        assert_eq!(next.params()[..first], own.params()[..first]);
        assert_ne!(next.params()[first..], own.params()[first..]);
        let config = text(&sandbox.bytes("next/config.toml"));
        assert!(config.contains("freeze = 1") && !config.contains("new_head"), "{config}");
        assert!(config.contains(r#"scale = "auto""#), "{config}");
        sandbox.ok(&["train", "--resume", "next", "--epochs", "2", "--quiet"]);
    }

    /// 8 columns, one of them constant; the class is `first` plus the largest of three.
    fn write_table(path: &Path, rows: usize, names: &[&str]) {
        let mut csv = String::from("a,b,c,d,e,f,g,h,kind\n");
        for i in 0..rows {
            let class = i * 5 % names.len();
            for column in 0..8 {
                let noise = (i * 31 + column * 17) % 13;
                let value = if column == 3 { 0 } else { noise + 20 * usize::from(column == class) };
                csv += &format!("{value},");
            }
            csv += &format!("{}\n", names[class]);
        }
        std::fs::write(path, csv).unwrap();
    }

    /// Two inputs, and a single output that is their sum.
    fn write_sum(sandbox: &Sandbox) {
        let spec = densely::model::Spec::new(2, &[], &[], 1).unwrap();
        let sum = Model::new(spec, vec![1.0, 1.0, 0.0], None).unwrap();
        write_foreign(&sum, &sandbox.path("sum.safetensors"));
        let rows = (0..120).map(|i| format!("{},{},{}\n", i % 3, i % 2, i % 3 + i % 2));
        let csv = format!("a,b,y\n{}", rows.collect::<String>());
        std::fs::write(sandbox.path("sum.csv"), csv).unwrap();
    }

    #[test]
    fn a_single_output_of_a_state_dict_is_a_number() {
        let sandbox = Sandbox::new();
        write_sum(&sandbox);
        // the target has four values, which are classes without the model
        let output = sandbox.run(&["eval", "sum.safetensors", "sum.csv", "--json"]);
        let said = text(&output.stderr);
        assert!(said.contains("target `y`, the last column: predicted as a number"), "{said}");
        assert!(said.contains("what its 1 output means; taken for the targets"), "{said}");
        assert!(!said.contains("--"), "flags that eval does not have: {said}");
        let scored = last_line(&text(&output.stdout));
        assert!(scored["rmse"].as_f64().unwrap() < 1e-6, "{scored}");
        let ports = sandbox.ok(&["export", "sum.safetensors", "--onnx", "sum.onnx"]);
        assert!(
            ports.contains("output values: float32 [batch, 1]") && ports.contains("targets: value"),
            "{ports}"
        );
        let shown = sandbox.ok(&["inspect", "sum.safetensors"]);
        assert!(shown.starts_with("2 inputs, 1 target, 3 parameters\n"), "{shown}");
        assert!(shown.contains("net.0, and one output, a number called value"), "{shown}");
        // images have classes
        let message = sandbox.fails(&["predict", "sum.safetensors", "data"], 2);
        assert!(message.contains("predicts numbers; expected the rows of a table"), "{message}");
        let common = [
            "train",
            "sum.csv",
            "--init-from",
            "sum.safetensors",
            "--epochs",
            "1",
            "--quiet",
            "--no-report",
        ];
        let more = ["--lr", "1e-9", "--json", "--out", "next"];
        let trained = last_line(&sandbox.ok(&[&common[..], &more].concat()));
        assert!(trained["test_rmse"].as_f64().unwrap() < 1e-4, "{trained}");
        assert!(text(&sandbox.bytes("next/config.toml")).contains(r#"task = "regression""#));
        // classes are learnt by a new output layer
        sandbox.ok(&[&common[..], &["--new-head", "--out", "classes"]].concat());
    }

    #[test]
    fn names_that_leave_the_order_of_layers_open_are_said() {
        let sandbox = Sandbox::new();
        write_sum(&sandbox);
        let bytes: Vec<u8> = [0.5f32; 4].iter().flat_map(|x| x.to_le_bytes()).collect();
        let write = |file: &str, names: [&str; 3]| {
            let view = |shape: &[usize]| {
                let len = 4 * shape.iter().product::<usize>();
                TensorView::new(Dtype::F32, shape.to_vec(), &bytes[..len]).unwrap()
            };
            let layer = |name: &&str| {
                [(format!("{name}.weight"), view(&[2, 2])), (format!("{name}.bias"), view(&[2]))]
            };
            let tensors: Vec<_> = names.iter().flat_map(layer).collect();
            std::fs::write(sandbox.path(file), serialize(tensors, None).unwrap()).unwrap();
        };
        write("named.safetensors", ["input", "hidden", "output"]);
        write("numbered.safetensors", ["net.0", "net.2", "net.10"]);
        let order = "does not say the order of its layers; taken by name: hidden, input, output;";
        for (file, is_open) in [("named.safetensors", true), ("numbered.safetensors", false)] {
            let train = ["train", "sum.csv", "--init-from", file, "--new-head", "--quiet"];
            let rest = ["--no-report", "--epochs", "1", "--out", file];
            for command in [
                &["predict", file, "sum.csv"][..],
                &["eval", file, "sum.csv"],
                &["inspect", file],
                &[&train[..], &rest].concat(),
            ] {
                let said = text(&sandbox.run(command).stderr);
                assert_eq!(said.contains(order), is_open, "{command:?}: {said}");
                assert!(said.contains("does not contain its activations"), "{command:?}: {said}");
            }
        }
        let shown = sandbox.ok(&["inspect", "numbered.safetensors"]);
        assert!(shown.contains("layers by name: net.0, net.2, net.10"), "{shown}");
        let shown = last_line(&sandbox.ok(&["inspect", "named.safetensors", "--json"]));
        assert_eq!(shown["layers"][1]["name"], "input");
        for command in ["eval", "train"] {
            let model = if command == "eval" { "named.safetensors" } else { "sum.csv" };
            let message = sandbox.fails(&[command, model, "--activations", ""], 2);
            assert!(message.contains("it is empty; expected activations such as"), "{message}");
        }
    }

    #[test]
    fn logarithms_are_no_numbers() {
        let sandbox = Sandbox::new();
        write_sum(&sandbox);
        let train = |more: &[&str]| {
            let common = ["train", "sum.csv", "--epochs", "1", "--quiet", "--no-report"];
            sandbox.run(&[&common[..], more].concat())
        };
        assert!(train(&["--task", "regression", "--out", "mse"]).status.success());
        let output = train(&["--init-from", "mse", "--loss", "poisson", "--out", "next"]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(
            message.contains(
                "was trained with the loss mse, so that its outputs are numbers; those of the loss poisson are logarithms; expected --loss mse, or --new-head"
            ),
            "{message}"
        );
        assert!(!sandbox.path("next").exists());
        let head = ["--init-from", "mse", "--new-head", "--task", "regression"];
        let output = train(&[&head[..], &["--loss", "poisson", "--out", "rates"]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let output = train(&["--init-from", "rates", "--out", "next"]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        let expected = "those of the loss mse are numbers; expected --loss poisson, or --new-head";
        assert!(message.contains(expected), "{message}");
        assert!(
            train(&["--init-from", "rates", "--loss", "poisson", "--out", "again"])
                .status
                .success()
        );
        let output =
            train(&["--init-from", "sum.safetensors", "--loss", "poisson", "--out", "next"]);
        let message = text(&output.stderr);
        assert!(
            message.contains("taken for logarithms, as the loss poisson has them"),
            "{message}"
        );
    }

    #[test]
    fn a_state_dict_takes_the_numbers_of_a_table_as_they_are() {
        let sandbox = Sandbox::new();
        write_table(&sandbox.path("first.csv"), 300, &["0", "1", "2"]);
        write_table(&sandbox.path("other.csv"), 300, &["p", "q", "r", "s"]);
        // its weights: output k is input k
        let spec = densely::model::Spec::new(8, &[8], &[], 3).unwrap();
        let layout = Layout::new(&spec).unwrap();
        let mut params = vec![0.0; layout.len()];
        let [hidden, head] = [&layout.layers()[0], &layout.layers()[1]].map(|layer| layer.w());
        (0..8).for_each(|i| params[hidden.start + 9 * i] = 1.0);
        (0..3).for_each(|k| params[head.start + 9 * k] = 1.0);
        let foreign = Model::new(spec, params, None).unwrap();
        write_foreign(&foreign, &sandbox.path("pt.safetensors"));

        let scored = last_line(&sandbox.ok(&["eval", "pt.safetensors", "first.csv", "--json"]));
        assert_eq!(
            (scored["accuracy"].as_f64(), scored["samples"].as_u64()),
            (Some(1.0), Some(300))
        );
        let predicted = sandbox.ok(&["predict", "pt.safetensors", "first.csv"]);
        let labels: Vec<&str> =
            predicted.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
        assert_eq!((labels.len(), &labels[..4]), (300, &["0", "2", "1", "0"][..]), "{predicted}");

        let common =
            ["--init-from", "pt.safetensors", "--quiet", "--no-report", "--json", "--lr", "0.05"];
        let train = |data: &str, more: &[&str]| {
            sandbox.run(&[&["train", data], &common[..], more].concat())
        };
        let output = train("other.csv", &["--out", "no"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2));
        assert!(said.contains("pt.safetensors has 3 outputs, other.csv has 4 classes; expected the same, or --new-head"), "{said}");
        assert!(!sandbox.path("no").exists());

        let output =
            train("other.csv", &["--new-head", "--freeze", "1", "--out", "run", "--epochs", "20"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let done = last_line(&text(&output.stdout));
        assert!(done["test_accuracy"].as_f64().unwrap() > 0.9, "{done}");
        let made = model(&sandbox, "run/best.safetensors");
        assert_eq!(made.params()[..72], foreign.params()[..72]);
        assert_eq!(made.labels(), ["p", "q", "r", "s"]);
        let config = text(&sandbox.bytes("run/config.toml"));
        assert!(
            config.contains("new_head = true") && config.contains(r#"scale = "none""#),
            "{config}"
        );
        let scored = last_line(&sandbox.ok(&["eval", "run", "--json"]));
        assert_eq!(scored["accuracy"], done["test_accuracy"]);

        let whole = train(
            "other.csv",
            &[
                "--new-head",
                "--freeze",
                "1",
                "--out",
                "whole",
                "--epochs",
                "22",
                "--patience",
                "none",
            ],
        );
        assert!(whole.status.success());
        let half = train(
            "other.csv",
            &[
                "--new-head",
                "--freeze",
                "1",
                "--out",
                "half",
                "--epochs",
                "9",
                "--patience",
                "none",
            ],
        );
        assert!(half.status.success());
        sandbox.ok(&["train", "--resume", "half", "--epochs", "22", "--quiet", "--no-report"]);
        assert_eq!(sandbox.bytes("half/last.safetensors"), sandbox.bytes("whole/last.safetensors"));
        // from the beginning, where there is no checkpoint
        for file in ["checkpoint.safetensors", "checkpoint-previous.safetensors"] {
            std::fs::remove_file(sandbox.path("half").join(file)).ok();
        }
        sandbox.ok(&["train", "--resume", "half", "--quiet", "--no-report"]);
        assert_eq!(sandbox.bytes("half/last.safetensors"), sandbox.bytes("whole/last.safetensors"));

        write_table(&sandbox.path("odd.csv"), 60, &["0", "5"]);
        let output = sandbox.run(&["eval", "pt.safetensors", "odd.csv"]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let expected = "odd.csv: 2 classes; the model has 3 outputs; expected as many; a new output layer learns them: densely train odd.csv --init-from pt.safetensors --new-head";
        assert!(said.contains(expected), "{said}");
        std::fs::write(sandbox.path("narrow.csv"), "a,b\n1,2\n").unwrap();
        let message = sandbox.run(&["predict", "pt.safetensors", "narrow.csv"]);
        assert!(
            text(&message.stderr).contains("2 columns; the model has 8 inputs"),
            "{}",
            text(&message.stderr)
        );
    }

    #[test]
    fn a_new_head_keeps_what_a_model_knows_of_its_columns() {
        let sandbox = Sandbox::new();
        let mut csv = String::from("size,city,kind,rent\n");
        for i in 0..300 {
            let (size, city) = (20 + i * 7 % 90, ["Oslo", "Rome", "Bern"][i % 3]);
            csv += &format!(
                "{size},{city},{},{}\n",
                ["flat", "house"][usize::from(size > 60)],
                10 * size + 100 * (i % 3)
            );
        }
        std::fs::write(sandbox.path("flats.csv"), &csv).unwrap();
        let quiet = ["--quiet", "--no-report", "--json", "--epochs", "15"];
        let train =
            |more: &[&str]| sandbox.run(&[&["train", "flats.csv"], &quiet[..], more].concat());
        let first = train(&["--target", "rent", "--ignore", "kind", "--out", "rents"]);
        assert!(first.status.success(), "{}", text(&first.stderr));
        let own = model(&sandbox, "rents/best.safetensors");
        let from = ["--init-from", "rents", "--new-head", "--out", "kinds"];
        for (more, expected) in [
            (&["--target", "city"][..], "`city` is an input of the model"),
            (&["--target", "kind", "--scale", "none"], "`scale`: the model of `init_from` says"),
            (&["--target", "kind", "--freeze", "9"], "--freeze 9: expected at most 2"),
            (&["--target", "nothing"], "nothing"),
        ] {
            let output = train(&[&from[..], more].concat());
            assert_eq!(output.status.code(), Some(2), "{more:?}: {}", text(&output.stderr));
            assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
            assert!(!sandbox.path("kinds").exists());
        }
        let output = train(&[&from[..], &["--target", "kind", "--freeze", "1"]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        let kinds = model(&sandbox, "kinds/best.safetensors");
        assert_eq!(kinds.labels(), ["flat", "house"]);
        let prepare = kinds.prepare().unwrap();
        assert_eq!(prepare.inputs(), own.prepare().unwrap().inputs());
        let first = Layout::new(own.spec()).unwrap().layers()[0].b().end;
        assert_eq!(kinds.params()[..first], own.params()[..first]);
        let scored = last_line(&sandbox.ok(&["eval", "kinds", "--json"]));
        assert!(scored["accuracy"].as_f64().unwrap() > 0.8, "{scored}");
        sandbox.ok(&["train", "--resume", "kinds", "--epochs", "16", "--quiet", "--no-report"]);
        assert!(sandbox.ok(&["predict", "kinds", "flats.csv"]).starts_with("label\n"));

        // without the flag, the error names it
        std::fs::write(sandbox.path("more.csv"), csv.replace("house", "tower")).unwrap();
        let output = sandbox.run(&["train", "more.csv", "--init-from", "kinds", "--out", "no"]);
        let said = text(&output.stderr);
        assert!(said.contains("no class of the model; --new-head starts"), "{said}");
        let output =
            sandbox.run(&["train", "data", "--init-from", "rents", "--new-head", "--out", "no"]);
        assert!(text(&output.stderr).contains("it holds images; the model was trained on a table"));
    }

    #[test]
    fn new_heads_of_images_and_frozen_layers_in_sweeps() {
        let sandbox = Sandbox::new();
        sandbox.train("run", &["--epochs", "1"]);
        super::common::write_idx(&sandbox.path("plain"), 90, 30);
        // the same images in two classes
        for part in ["train", "t10k"] {
            let name = format!("plain/{part}-labels-idx1-ubyte");
            let mut labels = sandbox.bytes(&name);
            labels[8..].iter_mut().for_each(|label| *label %= 2);
            std::fs::write(sandbox.path(&name), labels).unwrap();
        }
        let from = ["train", "plain", "--init-from", "run", "--epochs", "1", "--no-report"];
        let message = sandbox.run(&[&from[..], &["--out", "no"]].concat());
        let said = text(&message.stderr);
        assert!(
            said.contains("has 3 classes, plain has 2 classes; expected the same, or --new-head"),
            "{said}"
        );
        let with_head = [&from[..], &["--new-head", "--init", "he", "--out", "two"]].concat();
        sandbox.ok(&with_head);
        let trunk = 20 * 16 + 16 + 16 * 8 + 8;
        assert_eq!(model(&sandbox, "two/best.safetensors").params().len(), trunk + 8 * 2 + 2);

        let message = sandbox.fails(&["train", "plain", "--new-head"], 2);
        assert!(message.contains("expected --init-from MODEL beside it"), "{message}");
        std::fs::write(sandbox.path("head.toml"), "new_head = true").unwrap();
        let message = sandbox.fails(&["train", "plain", "--config", "head.toml"], 2);
        assert!(message.contains("`new_head` is for the model of `init_from`"), "{message}");
        assert!(
            sandbox.fails(&["sweep", "plain", "--new-head"], 2).contains("unexpected argument")
        );
        std::fs::write(sandbox.path("grid.toml"), "new_head = true").unwrap();
        let message = sandbox.fails(&["sweep", "plain", "--config", "grid.toml"], 2);
        assert!(message.contains("`new_head` is for `train` alone"), "{message}");
        let sweep = ["sweep", "plain", "--hidden", "8,5;6", "--freeze", "0,1", "--lr", "0.01"];
        let rest = ["--batch-size", "30", "--epochs", "1", "--out", "sweep", "--no-report"];
        sandbox.ok(&[&sweep[..], &rest].concat());
        assert!(sandbox.path("sweep").join("results.csv").exists());
        let results = text(&sandbox.bytes("sweep/results.csv"));
        assert_eq!(results.lines().count(), 5, "{results}");
        let message = sandbox.run(&[&sweep[..4], &["--freeze", "0,2", "--out", "no"]].concat());
        assert!(
            text(&message.stderr).contains("--freeze 2: expected at most 1"),
            "{}",
            text(&message.stderr)
        );
    }

    #[test]
    fn files_that_are_no_chain_of_layers_are_one_line() {
        let sandbox = Sandbox::new();
        let zeros = [0; 256];
        let view = |shape: &[usize], dtype: Dtype| {
            let len = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            TensorView::new(dtype, shape.to_vec(), &zeros[..len]).unwrap()
        };
        let tensors = [
            ("0.weight", view(&[4, 3], Dtype::F16)),
            ("0.bias", view(&[4], Dtype::BF16)),
            ("1.running_mean", view(&[4], Dtype::F32)),
        ];
        std::fs::write(sandbox.path("bn.safetensors"), serialize(tensors, None).unwrap()).unwrap();
        std::fs::write(sandbox.path("torch.pt"), b"PK\x03\x04archive/data.pkl").unwrap();
        for (file, expected) in [
            ("bn.safetensors", "1.running_mean (F32, shape [4]) is no weight"),
            ("torch.pt", "torch.save"),
        ] {
            for command in [
                ["inspect", file].as_slice(),
                &["eval", file, "data"],
                &["predict", file, "data"],
                &["train", "data", "--init-from", file],
            ] {
                let message = sandbox.fails(command, 1);
                assert!(
                    message.contains(expected) && message.trim_end().lines().count() == 1,
                    "{message}"
                );
            }
        }
    }
}
