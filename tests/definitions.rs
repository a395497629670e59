//! Recipes against their definitions: networks with norms in f64, clipping, and images that are augmented outside of the engine.
#![allow(clippy::unwrap_used)]

mod common;

use std::ops::ControlFlow;

use common::{dataset, ramp};
use densely::data::{Augmenter, Dataset, ImageShape};
use densely::engine::{Adam, Engine, EngineOptions, Sgd, State};
use densely::gemm::Backend;
use densely::model::Activation::{self, Gelu, Tanh};
use densely::model::{Layout, Model, Norm, Spec};
use densely::train::{OptimizerKind, TrainConfig, Trainer};
use ndarray::Array2;
use serde_json::Value;

/// A layer in f64, `w` row-major (n_out, n_in).
struct Layer {
    w: Vec<f64>,
    b: Vec<f64>,
    activation: Activation,
    norm: Normalise,
}

/// What becomes of the products, with gains and shifts.
enum Normalise {
    Nothing,
    /// By the statistics of each unit over the rows.
    Batch([Vec<f64>; 2]),
    /// By these means and variances.
    Running([Vec<f64>; 4]),
    /// By the statistics of each row.
    Layer([Vec<f64>; 2]),
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0.0), |(sum, n), x| (sum + x, n + 1.0));
    sum / n
}

/// Mean and variance.
fn statistics(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let centre = mean(values.clone());
    (centre, mean(values.map(|x| (x - centre).powi(2))))
}

impl Layer {
    /// `w x + b`
    fn products(&self, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let product = |x: &Vec<f64>, (j, b): (usize, &f64)| {
            let row = &self.w[j * x.len()..(j + 1) * x.len()];
            b + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()
        };
        let row = |x| self.b.iter().enumerate().map(|unit| product(x, unit)).collect();
        inputs.iter().map(row).collect()
    }

    fn forward(&self, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let z = self.products(inputs);
        let value = |i: usize, j: usize| {
            let by = |(mean, variance): (f64, f64), gain: f64, shift: f64| {
                gain * (z[i][j] - mean) / (variance + 1e-5).sqrt() + shift
            };
            match &self.norm {
                Normalise::Nothing => z[i][j],
                Normalise::Batch([gains, shifts]) => {
                    by(statistics(z.iter().map(|row| row[j])), gains[j], shifts[j])
                }
                Normalise::Running([gains, shifts, means, variances]) => {
                    by((means[j], variances[j]), gains[j], shifts[j])
                }
                Normalise::Layer([gains, shifts]) => {
                    by(statistics(z[i].iter().copied()), gains[j], shifts[j])
                }
            }
        };
        let row = |i| (0..self.b.len()).map(|j| self.activation.value(value(i, j))).collect();
        (0..inputs.len()).map(row).collect()
    }
}

/// A network in f64, whose first layers are frozen.
fn network(spec: &Spec, params: &[f32], frozen: usize) -> Vec<Layer> {
    let layout = Layout::new(spec).unwrap();
    let layer = |(l, layer): (usize, &densely::model::LayerSpec)| {
        let tensors = layout.tensors_of(l);
        let of = |which: usize| -> Vec<f64> {
            params[tensors[which].range.clone()].iter().map(|&x| f64::from(x)).collect()
        };
        let norm = match layer.norm {
            Norm::Batch if l < frozen => Normalise::Running([of(2), of(3), of(4), of(5)]),
            Norm::Batch => Normalise::Batch([of(2), of(3)]),
            Norm::Layer => Normalise::Layer([of(2), of(3)]),
            _ => Normalise::Nothing,
        };
        Layer { w: of(0), b: of(1), activation: layer.activation, norm }
    };
    spec.layers().iter().enumerate().map(layer).collect()
}

fn outputs(network: &[Layer], inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    network.iter().fold(inputs.to_vec(), |x, layer| layer.forward(&x))
}

/// The mean cross-entropy.
fn loss(outputs: &[Vec<f64>], labels: &[usize]) -> f64 {
    mean(outputs.iter().zip(labels).map(|(row, &label)| {
        let largest = row.iter().copied().fold(f64::MIN, f64::max);
        largest + row.iter().map(|z| (z - largest).exp()).sum::<f64>().ln() - row[label]
    }))
}

/// Inputs of [`dataset`].
fn inputs(samples: usize, n: usize) -> Vec<Vec<f64>> {
    let x = ramp(samples * n, 104_729, 1013);
    x.chunks(n).map(|row| row.iter().map(|&x| f64::from(x as f32)).collect()).collect()
}

/// Values that differ, gains around 1, variances above 0.
fn start(layout: &Layout) -> Vec<f32> {
    let mut values: Vec<f32> = ramp(layout.len(), 7919, 1009).iter().map(|x| *x as f32).collect();
    for tensor in layout.tensors() {
        let values = &mut values[tensor.range.clone()];
        match tensor.name.rsplit('.').next().unwrap() {
            "running_var" => values.iter_mut().for_each(|x| *x += 1.2),
            "weight" if tensor.name.contains("norm") => values.iter_mut().for_each(|x| *x += 1.0),
            _ => values.iter_mut().for_each(|x| *x *= 0.6),
        }
    }
    values
}

#[test]
fn frozen_layers_normalise_by_running_statistics() {
    const ROWS: usize = 24;
    let data = dataset(ROWS, 7, 4);
    let (inputs, rows) = (inputs(ROWS, 7), (0..ROWS as u32).collect::<Vec<_>>());
    let labels: Vec<usize> = (0..ROWS).map(|i| i * 7 % 4).collect();
    let spec = Spec::new(7, &[12, 10, 9], &[Gelu, Tanh, Tanh], 4).unwrap().with_norm(Norm::Batch);
    let params = start(&Layout::new(&spec).unwrap());
    for backend in Backend::all() {
        for (frozen, threads) in [(0, 1), (1, 2), (2, 1), (2, 3), (3, 2)] {
            let what = format!("{} {frozen} {threads}", backend.name());
            let options = EngineOptions::new(ROWS)
                .with(|c| (c.backend, c.threads, c.frozen) = (backend, threads, frozen));
            let mut engine = Engine::new(&spec, options).unwrap();
            let mut grads = vec![f32::NAN; params.len()];
            let score = engine.gradient(&mut grads, &params, &data, &rows);
            let network = network(&spec, &params, frozen);
            let expected = loss(&outputs(&network, &inputs), &labels);
            assert!((score.loss() - expected).abs() < 1e-5, "{what}: {} {expected}", score.loss());
            // the gradient of what learns, by central differences of the definition
            let loss_of = |change: (usize, f64)| {
                let mut network = self::network(&spec, &params, frozen);
                let mut at = change.0;
                let tensors = network.iter_mut().flat_map(|layer| {
                    let norm = match &mut layer.norm {
                        Normalise::Nothing => Vec::new(),
                        Normalise::Batch(two) | Normalise::Layer(two) => two.iter_mut().collect(),
                        Normalise::Running(four) => four.iter_mut().collect(),
                    };
                    // a layer that normalises by the batch has running statistics that it does not use
                    let unused = if norm.len() == 2 { 2 * layer.b.len() } else { 0 };
                    let used = [&mut layer.w, &mut layer.b].into_iter().chain(norm);
                    used.map(Some).chain((0..unused).map(|_| None)).collect::<Vec<_>>()
                });
                for tensor in tensors {
                    let len = tensor.as_ref().map_or(1, |tensor| tensor.len());
                    match tensor {
                        Some(tensor) if at < len => {
                            tensor[at] += change.1;
                            break;
                        }
                        _ if at < len => break,
                        _ => at -= len,
                    }
                }
                loss(&outputs(&network, &inputs), &labels)
            };
            for (t, tensor) in engine.layout().tensors().iter().enumerate() {
                for i in tensor.range.clone().step_by(if t % 6 == 0 { 17 } else { 4 }) {
                    if !tensor.trained {
                        continue;
                    }
                    let slope = (loss_of((i, 1e-5)) - loss_of((i, -1e-5))) / 2e-5;
                    let error = (f64::from(grads[i]) - slope).abs();
                    assert!(error < 2e-5, "{what} {} {i}: {} {slope}", tensor.name, grads[i]);
                }
            }
            // a step leaves everything of the frozen layers as it is
            let mut state = State::new(&params).unwrap();
            let next = |_| ControlFlow::Continue(());
            engine.train(&mut state, &Adam::default(), &data, &rows, ROWS, next);
            let learns = engine.layout().layers()[frozen].w().start;
            assert!(state.params()[..learns] == params[..learns], "{what}");
            assert!(state.params()[learns] != params[learns], "{what}");
        }
    }
}

/// A network with a layer norm, of which some tensors are not trained, and an engine that clips its gradients.
fn clipping(backend: Backend, clip_norm: Option<f64>) -> Engine {
    let spec = Spec::new(7, &[40, 20], &[Tanh], 4).unwrap().with_norm(Norm::Layer);
    let options = EngineOptions::new(24)
        .with(|c| (c.backend, c.threads, c.clip_norm) = (backend, 2, clip_norm));
    Engine::new(&spec, options).unwrap()
}

fn freeze(engine: Engine, names: &[&str]) -> Engine {
    let change = |tensor: &mut densely::model::Tensor| {
        tensor.trained &= !names.contains(&&tensor.name[..]);
    };
    engine.with_tensors(change).unwrap()
}

/// One step from the start.
fn stepped(engine: &mut Engine, data: &Dataset, rows: &[u32]) -> Vec<f32> {
    let plain = Sgd::default().with(|sgd| (sgd.lr, sgd.momentum) = (0.1, 0.0));
    let mut state = State::new(&start(engine.layout())).unwrap();
    engine.train(&mut state, &plain, data, rows, rows.len(), |_| ControlFlow::Continue(()));
    state.params().to_vec()
}

const UNTRAINED: [&str; 4] =
    ["layers.0.bias", "layers.1.weight", "layers.1.norm.weight", "layers.2.bias"];

#[test]
fn clipping_sees_what_is_trained_and_nothing_else() {
    let (data, rows) = (dataset(24, 7, 4), (0..24).collect::<Vec<u32>>());
    for backend in Backend::all() {
        for names in [&[][..], &UNTRAINED, &["layers.0.weight", "layers.0.bias"]] {
            let mut engine = freeze(clipping(backend, Some(0.05)), names);
            let before = start(engine.layout());
            let mut grads = vec![0.0; before.len()];
            engine.gradient(&mut grads, &before, &data, &rows);
            let tensors = engine.layout().tensors().to_vec();
            let learning = || tensors.iter().filter(|t| t.trained).flat_map(|t| t.range.clone());
            let norm = learning().map(|i| f64::from(grads[i]).powi(2)).sum::<f64>().sqrt();
            assert!(norm > 0.1, "nothing to clip: {norm}");
            let after = stepped(&mut engine, &data, &rows);
            let mut expected: Vec<f64> = before.iter().map(|&x| f64::from(x)).collect();
            for i in learning() {
                expected[i] -= 0.1 * 0.05 / norm * f64::from(grads[i]);
            }
            for (i, (found, expected)) in after.iter().zip(expected).enumerate() {
                let error = (f64::from(*found) - expected).abs();
                assert!(error < 2e-7, "{} {names:?} {i}: {found} {expected}", backend.name());
            }
        }
    }
}

#[test]
fn clipping_forgets_tensors_that_are_no_longer_trained() {
    let (data, rows) = (dataset(24, 7, 4), (0..24).collect::<Vec<u32>>());
    for backend in Backend::all() {
        let mut fresh = freeze(clipping(backend, Some(0.05)), &UNTRAINED);
        let mut used = clipping(backend, Some(0.05));
        stepped(&mut used, &data, &rows);
        let mut used = freeze(used, &UNTRAINED);
        assert!(
            stepped(&mut used, &data, &rows) == stepped(&mut fresh, &data, &rows),
            "{}",
            backend.name()
        );
    }
}

/// Statistics are means over whole batches, each normalised by its own, without noise, dropout and augmentation, those of frozen layers stay, and so does everything else.
#[test]
fn clean_statistics_are_means_over_undisturbed_batches() {
    const BATCH: usize = 80;
    let data = images();
    let rows: Vec<u32> = (0..200).rev().collect();
    let batches = rows[..2 * BATCH].chunks(BATCH).map(|batch| {
        let row = |&i: &u32| pixels(i as usize).iter().map(|&x| f64::from(x) / 255.0).collect();
        batch.iter().map(row).collect::<Vec<Vec<f64>>>()
    });
    let plain = Spec::new(20, &[37, 10, 9], &[Gelu, Tanh, Tanh], 3).unwrap();
    let plain = plain.with_norm(Norm::Batch).with_members(2).unwrap();
    let noisy = plain.clone().with_noise(0.4, &[0.7]).unwrap().with_dropout(0.2, &[0.3]).unwrap();
    let layout = Layout::new(&plain).unwrap();
    let params = start(&layout);
    let shape = ImageShape { height: 5, width: 4, channels: 1 };
    for backend in Backend::all() {
        for (members, frozen, threads) in [(2, 0, 2), (2, 1, 1), (1, 0, 1), (1, 0, 3), (1, 2, 2)] {
            let what = format!("{} {members} {frozen} {threads}", backend.name());
            let found = |spec: &Spec, augments: bool| {
                let spec = spec.clone().with_members(members).unwrap();
                let options = EngineOptions::new(BATCH + 3)
                    .with(|c| (c.backend, c.threads, c.frozen) = (backend, threads, frozen));
                let mut engine = Engine::new(&spec, options).unwrap();
                if augments {
                    let augment = "affine,elastic".parse().unwrap();
                    engine = engine.with_augmentation(augment, shape).unwrap();
                }
                let mut params = params[..engine.layout().len()].to_vec();
                engine.average_statistics(&mut params, &data, &rows, BATCH);
                params
            };
            let values = found(&plain, false);
            assert!(values == found(&noisy, true), "{what}");
            for k in 0..members {
                let own = layout.member(k);
                let network =
                    network(&plain.clone().with_members(1).unwrap(), &params[own.clone()], frozen);
                let mut expected = params[own.clone()].to_vec();
                for (l, layer) in network[..3].iter().enumerate().skip(frozen) {
                    let z = |batch: &Vec<Vec<f64>>| layer.products(&outputs(&network[..l], batch));
                    let z: Vec<Vec<Vec<f64>>> = batches.clone().map(|batch| z(&batch)).collect();
                    let [means, variances] = [4, 5].map(|t| layout.tensors_of(l)[t].range.start);
                    for j in 0..layer.b.len() {
                        let of_batch = |z: &Vec<Vec<f64>>| statistics(z.iter().map(|row| row[j]));
                        let unbiased = BATCH as f64 / (BATCH - 1) as f64;
                        expected[means + j] = mean(z.iter().map(|z| of_batch(z).0)) as f32;
                        expected[variances + j] =
                            mean(z.iter().map(|z| unbiased * of_batch(z).1)) as f32;
                    }
                }
                for (i, (found, expected)) in values[own].iter().zip(&expected).enumerate() {
                    let error = (found - expected).abs();
                    assert!(
                        error < 1e-5 * (1.0 + expected.abs()),
                        "{what} {k} {i}: {found} {expected}"
                    );
                }
            }
        }
    }
}

/// The pixels of image `i` of [`common::write_idx`].
fn pixels(i: usize) -> Vec<u8> {
    let pixel = |p: usize| (i * 31 + p * 17) % 97 + if p % 3 == i * 5 % 3 { 120 } else { 0 };
    (0..20).map(|p| pixel(p) as u8).collect()
}

fn images() -> Dataset {
    let directory = tempfile::tempdir().unwrap();
    common::write_idx(directory.path(), 240, 40);
    densely::data::load(directory.path().to_str().unwrap()).unwrap().data
}

/// Every sample of an epoch is what an augmenter makes of (seed, epoch, sample): a training takes the steps of an engine that gets these as its data.
#[test]
fn an_epoch_sees_the_samples_of_the_augmenter() {
    let data = images();
    let config = TrainConfig::default().with(|c| {
        (c.hidden, c.activations, c.epochs) = (vec![16, 8], vec![Tanh], 2);
        (c.optimizer, c.momentum, c.lr) = (OptimizerKind::Sgd, 0.0, 0.5);
        (c.batch_size, c.seed, c.threads) = (200, 11, Some(2));
        c.split = "200,40,40".parse().unwrap();
        c.augment = "affine,elastic".parse().unwrap();
    });
    let mut trainer = Trainer::new(config.clone(), &data).unwrap();
    let before = trainer.state().optimizer().params().to_vec();
    let rows = trainer.parts().train.to_vec();
    trainer.run(&mut ()).unwrap();
    let after = trainer.state().optimizer().params();

    let shape = ImageShape { height: 5, width: 4, channels: 1 };
    let mut augmenter = Augmenter::new(config.augment, shape);
    let trained = |epochs: [usize; 2], augmenter: &mut Augmenter| {
        let mut engine = Engine::new(trainer.spec(), EngineOptions::new(200)).unwrap();
        let mut state = State::new(&before).unwrap();
        let plain = Sgd::default().with(|sgd| (sgd.lr, sgd.momentum) = (0.5, 0.0));
        for epoch in epochs {
            let mut x = Array2::<f32>::zeros((280, 20));
            for (i, mut row) in x.rows_mut().into_iter().enumerate() {
                let out = row.as_slice_mut().unwrap();
                augmenter.augment(out, &pixels(i), 11, epoch, i as u32);
            }
            let labels: Vec<u32> = (0..280).map(|i| i * 5 % 3).collect();
            let augmented = Dataset::from_arrays(x.view(), &labels).unwrap();
            let next = |_| ControlFlow::Continue(());
            engine.train(&mut state, &plain, &augmented, &rows, 200, next);
        }
        let differences = state.params().iter().zip(after).map(|(a, b)| (a - b).abs());
        differences.fold(0.0, f32::max)
    };
    let (right, other) = (trained([1, 2], &mut augmenter), trained([2, 1], &mut augmenter));
    assert!(right < 1e-6 && other > 1e-4, "{right} {other}");
}

/// The tensors of a safetensors file, in f64.
fn tensors(bytes: &[u8]) -> impl Fn(&str) -> Option<Vec<f64>> + '_ {
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let table: Value = serde_json::from_slice(&bytes[8..header]).unwrap();
    move |name| {
        let place = table.get(name)?["data_offsets"].as_array()?;
        let [from, to] = [0, 1].map(|i| header + place[i].as_u64().unwrap() as usize);
        let values = bytes[from..to].chunks(4);
        Some(values.map(|x| f32::from_le_bytes(x.try_into().unwrap()).into()).collect())
    }
}

#[test]
fn a_file_with_layer_norms_predicts_as_its_definition() {
    let data = images();
    let config = TrainConfig::default().with(|c| {
        (c.hidden, c.activations, c.epochs) = (vec![40, 24], vec![Gelu, Tanh], 2);
        (c.norm, c.batch_size, c.split) = (Norm::Layer, 32, "200,40,40".parse().unwrap());
    });
    let mut trainer = Trainer::new(config, &data).unwrap();
    trainer.run(&mut ()).unwrap();
    let bytes = trainer.best_model().to_bytes().unwrap();
    let read = tensors(&bytes);
    let layer = |(l, activation): (usize, Activation)| {
        let of = |name: &str| read(&format!("layers.{l}.{name}"));
        let norm = match (of("norm.weight"), of("norm.bias")) {
            (Some(gains), Some(shifts)) => Normalise::Layer([gains, shifts]),
            _ => Normalise::Nothing,
        };
        Layer { w: of("weight").unwrap(), b: of("bias").unwrap(), activation, norm }
    };
    let network: Vec<Layer> =
        [Gelu, Tanh, Activation::Identity].into_iter().enumerate().map(layer).collect();
    assert!(matches!(network[1].norm, Normalise::Layer(_)));
    let inputs: Vec<Vec<f64>> = (0..280)
        .map(|i| pixels(i).into_iter().map(|x| f64::from(f32::from(x) / 255.0)).collect())
        .collect();
    let expected = outputs(&network, &inputs);
    let model = Model::from_bytes(&bytes, &[]).unwrap();
    for backend in Backend::all() {
        let options = EngineOptions::to_evaluate().with(|c| (c.backend, c.threads) = (backend, 1));
        let mut engine = Engine::of_model(&model, options).unwrap();
        let found = engine.logits(model.params(), &data, &(0..280).collect::<Vec<u32>>());
        for (found, expected) in found.iter().zip(expected.iter().flatten()) {
            let error = (f64::from(*found) - expected).abs();
            assert!(error < 2e-5, "{}: {found} {expected}", backend.name());
        }
    }
}
