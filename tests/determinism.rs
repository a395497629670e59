//! Equal settings give equal bits: again by default, and for any number of threads with `--deterministic`.
#![allow(clippy::unwrap_used)]

mod common;

use common::ramp;
#[cfg(feature = "cli")]
use common::{Sandbox, json_lines, text, timeless, write_idx};
use densely::data::{Dataset, Split};
use densely::engine::{Engine, EngineOptions, State};
use densely::gemm::Backend;
use densely::model::{Activation, Init, Layout, Spec, initialize};
use densely::train::{TrainConfig, Trainer};
use ndarray::Array2;
#[cfg(feature = "cli")]
use serde_json::Value;

const THREADS: [usize; 4] = [1, 2, 3, 8];

/// Samples of which a third of the features is zero, as the pixels of a margin are.
fn data(samples: usize, n: usize) -> Dataset {
    let lit = |j: usize| u8::from(!j.is_multiple_of(3));
    let pixels =
        Array2::from_shape_fn((samples, n), |(i, j)| (i * 31 + i * j * 7 + j * 13) as u8 * lit(j));
    let labels: Vec<u32> = (0..samples as u32).map(|i| i * 7 % 10).collect();
    Dataset::from_pixels(pixels.view(), &labels).unwrap()
}

/// Everything that three epochs compute, as bits: weights, moments, and the figures of the epochs.
fn trained(config: &TrainConfig, data: &Dataset) -> (Vec<u32>, Vec<[u64; 4]>) {
    let mut trainer = Trainer::new(config.clone(), data).unwrap();
    // without hidden layers there is too little work for more than two
    let most = if config.hidden.is_empty() { 2 } else { usize::MAX };
    assert_eq!(trainer.threads(), config.threads.unwrap().min(most));
    trainer.run(&mut ()).unwrap();
    let state = trainer.state();
    let optimizer = state.optimizer();
    let vectors = [optimizer.params(), optimizer.m(), optimizer.v(), state.best_params()];
    let bits = vectors.into_iter().flat_map(|vector| vector.iter().map(|x| x.to_bits())).collect();
    let figures = state.history().iter().map(|record| {
        let val = [record.val_loss.unwrap(), record.val_accuracy.unwrap()];
        [record.train_loss, record.train_accuracy.unwrap(), val[0], val[1]].map(f64::to_bits)
    });
    (bits, figures.collect())
}

fn cases() -> Vec<TrainConfig> {
    let base = TrainConfig::default().with(|c| {
        c.epochs = 3;
        c.lr = 0.01;
        c.split = Split::Counts([1000, 300, 0]);
    });
    let case = |hidden: &[usize], batch_size| {
        base.clone().with(|c| {
            c.hidden = hidden.to_vec();
            c.batch_size = batch_size;
            c.activations = vec![Activation::Gelu];
        })
    };
    // small and large batches, layers wider and narrower than those, a last batch that is smaller, all in one
    vec![
        case(&[90], 1000),
        case(&[300, 140], 100),
        case(&[500, 133, 150], 48),
        case(&[257], 700),
        case(&[], 64),
    ]
}

#[test]
fn runs_are_repeated_bit_for_bit() {
    let data = data(1400, 61);
    for backend in Backend::all() {
        for threads in [1, 2, 3] {
            for case in cases() {
                let config = case.with(|c| {
                    c.backend = backend.choice();
                    c.threads = Some(threads);
                });
                let what =
                    format!("{backend:?} {threads} {:?} {}", config.hidden, config.batch_size);
                assert!(trained(&config, &data) == trained(&config, &data), "{what}");
            }
        }
    }
}

#[test]
fn deterministic_runs_do_not_depend_on_the_number_of_threads() {
    let data = data(1400, 61);
    for backend in Backend::all() {
        for case in cases() {
            let results = THREADS.map(|threads| {
                let backend = backend.choice();
                let config = case.clone().with(|c| {
                    c.backend = backend;
                    c.threads = Some(threads);
                    c.deterministic = true;
                });
                trained(&config, &data)
            });
            for (result, threads) in results.iter().zip(THREADS) {
                let what = format!("{backend:?} {threads} {:?} {}", case.hidden, case.batch_size);
                assert!(*result == results[0], "{what}");
            }
        }
    }
}

/// Evaluations are always cut into chunks of fixed sizes.
#[test]
fn scores_and_probabilities_never_depend_on_the_number_of_threads() {
    let data = data(1000, 23);
    let spec = Spec::new(23, &[70, 31], &[], 10).unwrap();
    let mut params = vec![0.0; Layout::new(&spec).unwrap().len()];
    initialize(&mut params, &spec, &Layout::new(&spec).unwrap(), Init::Auto, 5).unwrap();
    let rows: Vec<u32> = (0..1000).rev().collect();
    for backend in Backend::all() {
        let results = THREADS.map(|threads| {
            let options = EngineOptions::to_evaluate().with(|c| {
                c.backend = backend;
                c.threads = threads;
            });
            let mut engine = Engine::new(&spec, options).unwrap();
            let score = engine.evaluate(&params, &data, &rows);
            (score.loss_sum.to_bits(), score.correct, engine.predict(&params, &data, &rows))
        });
        assert!(results.iter().all(|result| *result == results[0]), "{backend:?}");
    }
}

/// The gradient as well, of which a training step is made.
#[test]
fn deterministic_gradients_do_not_depend_on_the_number_of_threads() {
    let data = data(300, 40);
    let spec = Spec::new(40, &[90, 140], &[Activation::Silu, Activation::Elu], 10).unwrap();
    let len = Layout::new(&spec).unwrap().len();
    let params: Vec<f32> = ramp(len, 7919, 1009).into_iter().map(|x| x as f32).collect();
    assert_eq!(State::new(&params).unwrap().params().len(), len);
    for backend in Backend::all() {
        for batch in [1, 63, 64, 65, 300] {
            let rows: Vec<u32> = (0..batch).collect();
            let gradients = THREADS.map(|threads| {
                let batch_size = rows.len();
                let options = EngineOptions::new(batch_size).with(|c| {
                    c.backend = backend;
                    c.threads = threads;
                    c.deterministic = true;
                });
                let mut grads = vec![0.0; len];
                let score = Engine::new(&spec, options)
                    .unwrap()
                    .gradient(&mut grads, &params, &data, &rows);
                (grads, score.loss_sum)
            });
            assert!(gradients.iter().all(|one| *one == gradients[0]), "{backend:?} {batch}");
        }
    }
}

#[cfg(feature = "cli")]
#[test]
fn the_flag_makes_the_files_of_a_run_equal_for_any_number_of_threads() {
    let sandbox = Sandbox::new();
    write_idx(&sandbox.path("data"), 2000, 300);
    for backend in if cfg!(feature = "openblas") { &["blas", "rust"][..] } else { &["rust"] } {
        let results = THREADS.map(|threads| {
            let (out, threads) = (format!("{backend}-{threads}"), threads.to_string());
            let args =
                ["train", "data", "--hidden", "120,40", "--epochs", "3", "--batch-size", "150"];
            let more =
                ["--backend", backend, "--threads", &threads, "--out", &out, "--deterministic"];
            sandbox.ok(&[&args[..], &more, &["--no-report"]].concat());
            let bytes = |name: &str| sandbox.bytes(&format!("{out}/{name}"));
            let metrics: Vec<Value> = timeless(&json_lines(&text(&bytes("metrics.jsonl"))));
            let config = text(&bytes("config.toml"));
            assert!(config.contains("deterministic = true"), "{config}");
            (bytes("best.safetensors"), bytes("last.safetensors"), metrics)
        });
        assert!(results.iter().all(|result| *result == results[0]), "{backend}");
    }
}
