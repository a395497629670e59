//! Numbers as targets, weights of samples, and the metrics that choose.
#![allow(clippy::unwrap_used)]

mod common;

use std::ops::ControlFlow;

use common::{dataset, numbers, ramp};
use densely::data::{Dataset, Features, Split};
use densely::engine::{Engine, EngineOptions};
use densely::gemm::Backend;
use densely::model::{Activation, Init, Layout, Model, Spec, initialize};
use densely::store::{Checkpoint, RunOptions};
use densely::task::{self, Choice, Loss, Metric, Regression, TargetScale};
use densely::train::{Grid, Observer, Progress, Request, TrainConfig, Trainer};
use ndarray::Array2;

const LOSSES: [Loss; 6] =
    [Loss::Mse, Loss::Mae, Loss::Huber, Loss::Poisson, Loss::Quantile(0.9), Loss::CrossEntropy];

fn weights(samples: usize) -> Vec<f32> {
    (0..samples).map(|i| (i * 5 % 7) as f32 / 2.0).collect()
}

/// A loss by definition.
fn loss_of(loss: Loss, z: &[f64], y: &[f64]) -> f64 {
    let one = |(&z, &y): (&f64, &f64)| match loss {
        Loss::Mse => (z - y).powi(2),
        Loss::Mae => (z - y).abs(),
        Loss::Huber if (z - y).abs() < 1.0 => (z - y).powi(2) / 2.0,
        Loss::Huber => (z - y).abs() - 0.5,
        Loss::Poisson => z.exp() - y * z,
        Loss::Quantile(q) if y > z => q * (y - z),
        Loss::Quantile(q) => (1.0 - q) * (z - y),
        _ => unreachable!(),
    };
    match loss {
        Loss::CrossEntropy => z.iter().map(|z| z.exp()).sum::<f64>().ln() - z[y[0] as usize],
        _ => z.iter().zip(y).map(one).sum::<f64>() / z.len() as f64,
    }
}

/// The weighted mean loss over `rows` of a network with smooth activations.
fn twin(
    spec: &Spec,
    layout: &Layout,
    params: &[f64],
    data: &Dataset,
    rows: &[u32],
    loss: Loss,
    scales: &[TargetScale],
) -> f64 {
    let Features::F32(values) = data.features() else { panic!("the test data is f32") };
    let (mut sum, mut weight_sum) = (0.0, 0.0);
    for &row in rows {
        let row = row as usize;
        let mut a: Vec<f64> =
            values[row * spec.n_in()..][..spec.n_in()].iter().map(|&x| f64::from(x)).collect();
        for (layer, place) in spec.layers().iter().zip(layout.layers()) {
            let (w, b) = (&params[place.w()], &params[place.b()]);
            let z = w.chunks(place.n_in).zip(b);
            let z = z.map(|(w, b)| w.iter().zip(&a).map(|(w, a)| w * a).sum::<f64>() + b);
            a = z.map(|z| layer.activation.value(z)).collect();
        }
        let truth: Vec<f64> = match scales {
            [] => vec![f64::from(data.labels()[row])],
            scales => {
                let raw = &data.targets()[row * scales.len()..][..scales.len()];
                let pairs = raw.iter().zip(scales);
                pairs.map(|(&y, s)| (f64::from(y) - s.center) / s.scale).collect()
            }
        };
        let weight = data.weights().map_or(1.0, |weights| f64::from(weights[row]));
        sum += weight * loss_of(loss, &a, &truth);
        weight_sum += weight;
    }
    sum / weight_sum
}

#[test]
fn gradients_are_those_of_the_definitions() {
    let rows = [3, 0, 11, 12, 16, 7, 8, 1, 5];
    for loss in LOSSES {
        for (n_out, weighted) in [(1, false), (3, false), (1, true), (3, true)] {
            let mut data = match loss {
                Loss::CrossEntropy => dataset(17, 5, n_out as u32),
                _ => numbers(17, 5, n_out),
            };
            if weighted {
                data = data.with_weights(weights(17)).unwrap();
            }
            let spec = Spec::new(5, &[6, 4], &[Activation::Tanh, Activation::Gelu], n_out).unwrap();
            let layout = Layout::new(&spec).unwrap();
            let mut params = vec![0.0; layout.len()];
            initialize(&mut params, &spec, &layout, Init::Glorot, 1).unwrap();
            params.iter_mut().for_each(|w| *w += 0.01);
            let exact: Vec<f64> = params.iter().map(|&w| f64::from(w)).collect();
            let scales = match loss {
                Loss::CrossEntropy => Vec::new(),
                _ => Regression::fit(&data, &rows, loss).unwrap().targets,
            };
            let value = |params: &[f64]| twin(&spec, &layout, params, &data, &rows, loss, &scales);
            for (backend, threads) in Backend::all().into_iter().zip([2, 5]) {
                let what = format!("{loss} {n_out} {weighted} {backend:?}");
                let options = EngineOptions::new(rows.len()).with(|c| {
                    (c.backend, c.threads, c.loss) = (backend, threads, loss);
                });
                let engine = Engine::new(&spec, options).unwrap();
                let mut engine = engine.with_targets(scales.clone()).unwrap();
                let mut grads = vec![f32::NAN; layout.len()];
                let score = engine.gradient(&mut grads, &params, &data, &rows);
                let expected = value(&exact);
                assert!((score.loss() - expected).abs() < 2e-6, "{what}: {score:?} {expected}");
                let evaluated = engine.evaluate(&params, &data, &rows).loss();
                assert!((evaluated - score.loss()).abs() < 1e-6, "{what}: {score:?} {evaluated}");
                let mut shifted = exact.clone();
                for (i, &found) in grads.iter().enumerate() {
                    let h = 1e-6;
                    shifted[i] = exact[i] + h;
                    let up = value(&shifted);
                    shifted[i] = exact[i] - h;
                    let expected = (up - value(&shifted)) / (2.0 * h);
                    shifted[i] = exact[i];
                    let error = (f64::from(found) - expected).abs();
                    assert!(error < 3e-6, "{what} parameter {i}: {found} {expected}");
                }
            }
        }
    }
}

/// 500 samples of `y0 = 300 + 40 x0 - 20 x1`, `y1 = x2 / 100`, in units far from 1.
fn linear() -> Dataset {
    let x: Vec<f32> = ramp(1500, 104_729, 1013).into_iter().map(|x| x as f32).collect();
    let x = Array2::from_shape_vec((500, 3), x).unwrap();
    let y = Array2::from_shape_fn((500, 2), |(i, target)| match target {
        0 => 300.0 + 40.0 * x[(i, 0)] - 20.0 * x[(i, 1)],
        _ => x[(i, 2)] / 100.0,
    });
    Dataset::from_targets(x.view(), y.view()).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig::default().with(|c| {
        (c.hidden, c.activations) = (vec![16], vec![Activation::Tanh]);
        (c.epochs, c.batch_size, c.lr) = (30, 20, 0.01);
        (c.split, c.threads) = (Split::Auto, Some(2));
    })
}

#[test]
fn a_linear_function_is_learned_and_measured_in_its_own_units() {
    let data = linear();
    for loss in ["mse", "mae", "huber", "quantile:0.5"] {
        let config = config().with(|c| {
            (c.loss, c.metric) = (loss.parse().unwrap(), Choice::Of(Metric::R2));
            c.patience = Some(30);
        });
        let mut trainer = Trainer::new(config, &data).unwrap();
        let outcome = trainer.run(&mut ()).unwrap();
        let test = outcome.test.unwrap();
        assert!(outcome.test_r2.unwrap() > 0.95, "{loss}: {outcome:?}");
        assert_eq!((outcome.metric, outcome.val_accuracy), (Metric::R2, None));
        let best = trainer.state().best().unwrap();
        let highest =
            trainer.state().history().iter().map(|r| r.val_r2.unwrap()).fold(-9.0, f64::max);
        assert_eq!((best.val_r2, best.val_accuracy), (Some(highest), None));
        assert_eq!(outcome.val_rmse, best.val_rmse);

        // the file has what a prediction needs; its values are what was measured
        let bytes = trainer.best_model().to_bytes().unwrap();
        let model = Model::from_bytes(&bytes, &[]).unwrap();
        assert_eq!(model.task(), *trainer.task());
        assert_eq!(model.match_classes(data.clone()).unwrap().len(), 500);
        assert!(model.match_classes(dataset(9, 3, 2)).is_err());
        let mut engine = Engine::of_model(&model, EngineOptions::to_evaluate()).unwrap();
        let rows = &trainer.parts().test;
        let (values, truth) = (engine.predict(model.params(), &data, rows), data.targets_of(rows));
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-4 * b.abs(), "{loss}: {a} {b}");
        close(task::root_mean_squared_error(values.view(), &truth), test.rmse());
        close(task::mean_absolute_error(values.view(), &truth), test.mae());
        assert_eq!(Some(task::r2(values.view(), &truth)), outcome.test_r2);
        assert!(values.column(0).iter().all(|y| (200.0..400.0).contains(y)));
        let state = trainer.into_state();
        assert_eq!(state.best_model(&data).unwrap(), model);
    }
}

/// Stops after some steps.
struct StopAfter(u64);

impl Observer for StopAfter {
    fn step(&mut self, _epoch: usize, _progress: Progress) {
        self.0 -= 1;
    }

    fn request(&mut self) -> Request {
        if self.0 == 0 { Request::Stop } else { Request::Continue }
    }
}

#[test]
fn a_run_that_resumes_within_an_epoch_is_bit_equal() {
    let data = linear().with_weights(weights(500)).unwrap();
    let config = config().with(|c| c.epochs = 3);
    let mut whole = Trainer::new(config.clone(), &data).unwrap();
    whole.run(&mut ()).unwrap();
    let mut stopped = Trainer::new(config, &data).unwrap();
    assert!(stopped.run(&mut StopAfter(27)).unwrap_err().is_stopped());
    let bytes = Checkpoint::of(&RunOptions::default(), stopped.state()).to_bytes().unwrap();
    let (_, state) = Checkpoint::from_bytes(&bytes).unwrap().into_state().unwrap();
    let mut resumed = Trainer::resume(state, &data).unwrap();
    resumed.run(&mut ()).unwrap();
    let file = |trainer: &Trainer<'_>| trainer.last_model().to_bytes().unwrap();
    assert_eq!(file(&resumed), file(&whole));
    let (a, b) = (resumed.state().history(), whole.state().history());
    for (a, b) in a.iter().zip(b) {
        assert_eq!(
            (a.train_loss, a.train_rmse, a.val_rmse),
            (b.train_loss, b.train_rmse, b.val_rmse)
        );
    }
}

#[test]
fn a_weight_of_2_is_the_same_sample_twice() {
    let single = numbers(40, 5, 2);
    let twice: Vec<u32> = (0..40).flat_map(|row| vec![row; 1 + row as usize % 2]).collect();
    let weighted = single.clone().with_weights((0..40).map(|row| (1 + row % 2) as f32).collect());
    let weighted = weighted.unwrap();
    let spec = Spec::new(5, &[7], &[Activation::Tanh], 2).unwrap();
    let targets = Regression::fit(&single, &[0, 5, 9], Loss::Mse).unwrap().targets;
    let train = |data: &Dataset, rows: &[u32]| {
        let options = EngineOptions::new(100).with(|c| (c.loss, c.threads) = (Loss::Mse, 2));
        let mut engine =
            Engine::new(&spec, options).unwrap().with_targets(targets.clone()).unwrap();
        let mut start = vec![0.0; engine.layout().len()];
        initialize(&mut start, &spec, engine.layout(), Init::Glorot, 3).unwrap();
        let mut state = densely::engine::State::new(&start).unwrap();
        let adam = densely::engine::Adam::default();
        let mut losses = Vec::new();
        for _ in 0..10 {
            engine.train(&mut state, &adam, data, rows, 100, |score| {
                losses.push(score.loss());
                ControlFlow::Continue(())
            });
        }
        (state.params().to_vec(), losses)
    };
    let rows: Vec<u32> = (0..40).collect();
    let ((a, losses_a), (b, losses_b)) = (train(&weighted, &rows), train(&single, &twice));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5));
    assert!(losses_a.iter().zip(&losses_b).all(|(a, b)| (a - b).abs() < 1e-6));
    assert_ne!(a, train(&single, &rows).0);
    // a batch without weight has no gradient
    let nothing: Vec<f32> = (0..40).map(|row| if row < 5 { 0.0 } else { 1.0 }).collect();
    let nothing = single.with_weights(nothing).unwrap();
    assert!(train(&nothing, &[0, 1, 2, 3, 4]).0.iter().all(|w| w.is_finite()));
}

#[test]
fn weights_of_1_change_nothing_in_a_classification() {
    let data = dataset(300, 11, 4);
    let weighted = data.clone().with_weights(vec![1.0; 300]).unwrap();
    let params = |data: &Dataset| {
        let mut trainer = Trainer::new(config().with(|c| c.epochs = 3), data).unwrap();
        let outcome = trainer.run(&mut ()).unwrap();
        (trainer.last_model().params().to_vec(), outcome.test.unwrap().loss())
    };
    assert_eq!(params(&data), params(&weighted));
}

#[test]
fn counts_are_learned_by_poisson_and_must_not_be_negative() {
    let x = Array2::from_shape_fn((400, 1), |(i, _)| (i * 37 % 400) as f32 / 200.0 - 1.0);
    let y = x.mapv(|x| (1.0 + 1.5 * x).exp());
    let data = Dataset::from_targets(x.view(), y.view()).unwrap();
    let config = config().with(|c| {
        (c.loss, c.metric) = (Choice::Of(Loss::Poisson), Choice::Of(Metric::Mae));
    });
    let mut trainer = Trainer::new(config.clone(), &data).unwrap();
    let outcome = trainer.run(&mut ()).unwrap();
    assert!(outcome.test_r2.unwrap() > 0.95, "{outcome:?}");
    let negative = Dataset::from_targets(x.view(), x.view()).unwrap();
    let error = Trainer::new(config, &negative).unwrap_err().to_string();
    assert!(error.contains("poisson") && error.contains("0 or more"), "{error}");
}

#[test]
fn a_loss_or_metric_of_the_other_task_is_rejected() {
    let (classes, targets) = (dataset(50, 3, 2), numbers(50, 3, 1));
    let error = |data: &Dataset, loss: &str, metric: &str| {
        let config = config().with(|c| {
            (c.loss, c.metric) = (loss.parse().unwrap(), metric.parse().unwrap());
        });
        Trainer::new(config, data).unwrap_err().to_string()
    };
    assert!(error(&classes, "mse", "auto").contains("the targets of arrays are classes"));
    assert!(error(&targets, "cross-entropy", "auto").contains("the targets of arrays are numbers"));
    assert!(error(&classes, "auto", "r2").starts_with("metric is r2; expected auto, accuracy"));
    assert!(error(&targets, "mae", "auc").starts_with("metric is auc; expected auto, rmse"));
    let blank = targets.clone().with_weights((0..50).map(|i| (i > 48) as u32 as f32).collect());
    let config = config().with(|c| c.split = Split::Counts([40, 10, 0]));
    let error = Trainer::new(config, &blank.unwrap()).unwrap_err().to_string();
    assert!(error.contains("all weights of the training part are 0"), "{error}");
}

#[test]
fn metrics_of_classes_choose_too_and_settings_can_be_swept() {
    let data = dataset(300, 11, 2);
    for metric in [Metric::LogLoss, Metric::MacroF1, Metric::Auc] {
        let config = config().with(|c| (c.epochs, c.metric) = (8, Choice::Of(metric)));
        let mut trainer = Trainer::new(config, &data).unwrap();
        trainer.train(&mut ()).unwrap();
        let value = |i: usize| trainer.state().history()[i].value(metric).unwrap();
        let best = trainer.state().best_epoch() - 1;
        assert!((0..8).all(|i| !metric.is_better(value(i), value(best))), "{metric}");
    }
    let mut grid = Grid::new(config());
    grid.vary("loss", ["mse", "quantile:0.9"]).unwrap();
    let runs = grid.runs(3, 1).unwrap();
    assert_eq!(runs[1].config.loss, Choice::Of(Loss::Quantile(0.9)));
}
