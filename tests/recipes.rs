//! Norms, disturbances and optimizers against PyTorch: the constants are printed by `tests/parity/recipes.py`.
#![allow(clippy::unwrap_used)]

mod common;

use std::ops::ControlFlow;

use common::{dataset, ramp};
use densely::data::Dataset;
use densely::engine::{Adam, Averaging, Engine, EngineOptions, Sgd, State, Steps};
use densely::gemm::{Backend, BackendChoice};
use densely::model::Activation::{Gelu, Relu, Tanh};
use densely::model::{Layout, Model, Norm, Spec, Tensor};
use densely::store::{Checkpoint, RunOptions};
use densely::train::{Observer, OptimizerKind, Progress, Request, TrainConfig, Trainer};

#[derive(Clone)]
struct Case {
    name: &'static str,
    optimizer: Optimizer,
    clip_norm: Option<f64>,
    label_smoothing: f64,
    ema: Option<f64>,
    norm: Norm,
    /// Of the inputs, and of hidden layers.
    noise: [f64; 2],
    dropout: [f64; 2],
    /// The loss of each of ten steps, before it.
    losses: [f64; 10],
    /// Every 29th value of what predictions are made with, after the ten steps.
    params: &'static [f64],
    sum: f64,
}

#[derive(Clone)]
enum Optimizer {
    Adam,
    Sgd(Sgd),
}

fn sgd(momentum: f64, nesterov: bool, weight_decay: f64) -> Optimizer {
    Optimizer::Sgd(Sgd::default().with(|sgd| {
        (sgd.lr, sgd.momentum, sgd.nesterov, sgd.weight_decay) =
            (0.1, momentum, nesterov, weight_decay);
    }))
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let plain = Case {
        name: "plain",
        optimizer: Optimizer::Adam,
        clip_norm: None,
        label_smoothing: 0.0,
        ema: None,
        norm: Norm::None,
        noise: [0.0; 2],
        dropout: [0.0; 2],
        losses: [0.0; 10],
        params: &[],
        sum: 0.0,
    };
    vec![
        Case {
            name: "sgd",
            optimizer: sgd(0.0, false, 0.0),
            losses: [1.459507804, 1.438962987, 1.465521080, 1.444808612, 1.432034165, 1.413671302, 1.444167638, 1.424850267, 1.414979885, 1.397562589],
            params: &[-0.60068853, 0.12648445, -0.35582680, 0.36927652, -0.10881592, -0.58453918, 0.13855302, -0.34508938, 0.34121242],
            sum: 0.18863832,
            ..plain.clone()
        },
        Case {
            name: "momentum",
            optimizer: sgd(0.9, false, 0.0),
            losses: [1.459507804, 1.438962987, 1.459563144, 1.428733614, 1.406409665, 1.380088444, 1.412111844, 1.388111686, 1.388445169, 1.370665212],
            params: &[-0.60389176, 0.13343575, -0.36191984, 0.36927652, -0.11301924, -0.58453918, 0.13855302, -0.36529290, 0.24656208],
            sum: -0.14969395,
            ..plain.clone()
        },
        Case {
            name: "nesterov",
            optimizer: sgd(0.9, true, 0.1),
            losses: [1.459507804, 1.431060028, 1.446578087, 1.416565043, 1.398555068, 1.378200493, 1.405573272, 1.386670827, 1.387075849, 1.373741314],
            params: &[-0.54613011, 0.12082564, -0.32795008, 0.33396707, -0.10349405, -0.52864675, 0.12530487, -0.33680632, 0.22179721],
            sum: -0.12219754,
            ..plain.clone()
        },
        Case {
            name: "clipped",
            clip_norm: Some(0.05),
            losses: [1.459507804, 1.433883350, 1.464247321, 1.432285247, 1.414508234, 1.392480728, 1.435328176, 1.394128283, 1.391537955, 1.370248521],
            params: &[-0.65126211, 0.18450326, -0.39788699, 0.36927652, -0.17985353, -0.58453918, 0.13855302, -0.40263569, 0.29473237],
            sum: 0.33354070,
            ..plain.clone()
        },
        Case {
            name: "smoothed",
            label_smoothing: 0.1,
            losses: [1.460118815, 1.435842910, 1.461909900, 1.432464408, 1.415803193, 1.394636008, 1.432230285, 1.396921845, 1.394226557, 1.373497980],
            params: &[-0.65249962, 0.19452331, -0.39119418, 0.36927652, -0.17965366, -0.58453918, 0.13855302, -0.40177897, 0.29838554],
            sum: 0.23677588,
            ..plain.clone()
        },
        Case {
            name: "averaged",
            ema: Some(0.8),
            losses: [1.459507804, 1.433883394, 1.464260829, 1.432263855, 1.414507914, 1.392519188, 1.435469847, 1.394897352, 1.392670447, 1.370567309],
            params: &[-0.63867315, 0.17689167, -0.38806048, 0.36927652, -0.16119373, -0.58453918, 0.13855302, -0.37616297, 0.31889128],
            sum: 0.57142804,
            ..plain.clone()
        },
        Case {
            name: "batch norm",
            norm: Norm::Batch,
            losses: [1.468407545, 1.542471940, 1.661358735, 1.546905186, 1.351618293, 1.414756420, 1.564896782, 1.388109770, 1.324034474, 1.373479409],
            params: &[-0.59557589, 0.10411816, -0.34371692, 0.34132901, -0.03580337, -0.51720611, 0.08932884, -0.30283349, 0.37812246, -0.04258994, -0.02033179, 0.20899858],
            sum: 35.17059087,
            ..plain.clone()
        },
        Case {
            name: "layer norm",
            norm: Norm::Layer,
            losses: [1.549895010, 1.415140742, 1.490712794, 1.344902371, 1.464065920, 1.351093102, 1.491689537, 1.270414270, 1.424116714, 1.334935132],
            params: &[-0.61875082, 0.14248812, -0.30288697, 0.35373988, -0.08455720, -0.56012307, 1.09321019, -0.32360306, 0.42695707, 0.00070955],
            sum: 22.41951142,
            ..plain.clone()
        },
        Case {
            name: "dropout and noise",
            noise: [0.1, 0.2],
            dropout: [0.1, 0.3],
            losses: [1.562275477, 1.548225911, 1.496522609, 1.382856670, 1.360607376, 1.431373457, 1.460037022, 1.472932972, 1.431748268, 1.433995736],
            params: &[-0.60627722, 0.10076367, -0.31900945, 0.32553247, -0.08238050, -0.58499062, 0.12426537, -0.30282322, 0.29422010],
            sum: -0.17891218,
            ..plain.clone()
        },
        Case {
            name: "everything",
            norm: Norm::Batch,
            noise: [0.1, 0.2],
            dropout: [0.1, 0.3],
            clip_norm: Some(0.5),
            label_smoothing: 0.1,
            ema: Some(0.8),
            losses: [1.754956386, 1.639446757, 1.539206687, 1.597564195, 1.606679389, 1.385843893, 1.443041316, 1.863781985, 1.430543001, 1.445051861],
            params: &[-0.59945398, 0.17758833, -0.34965610, 0.32965517, -0.07277696, -0.54169956, 0.08836934, -0.32131102, 0.33851650, -0.10754968, 0.06836438, 0.15395036],
            sum: 39.48250399,
            ..plain.clone()
        },
        Case {
            name: "layer norm with dropout",
            norm: Norm::Layer,
            dropout: [0.0, 0.3],
            clip_norm: Some(0.5),
            optimizer: sgd(0.9, true, 0.0),
            losses: [1.530050601, 1.304789451, 1.619325288, 1.218400698, 1.445940618, 1.567819616, 1.538911263, 1.120506733, 1.357358204, 1.462667464],
            params: &[-0.59359873, 0.12612109, -0.27106952, 0.34144796, -0.10829632, -0.57937290, 1.07674623, -0.32307689, 0.38497945, 0.09712527],
            sum: 22.77116736,
            ..plain.clone()
        },
    ]
}

impl Case {
    fn spec(&self) -> Spec {
        let spec = Spec::new(7, &[9, 8, 6], &[Gelu, Relu, Tanh], 4).unwrap().with_norm(self.norm);
        let spec = spec.with_noise(self.noise[0], &self.noise[1..]).unwrap();
        spec.with_dropout(self.dropout[0], &self.dropout[1..]).unwrap()
    }

    fn engine(&self, backend: Backend, threads: usize, deterministic: bool) -> Engine {
        let options = EngineOptions::new(12).with(|c| {
            (c.backend, c.threads, c.deterministic) = (backend, threads, deterministic);
            (c.clip_norm, c.label_smoothing, c.seed) = (self.clip_norm, self.label_smoothing, 3);
            c.averaging = self.ema.map(|decay| Averaging { decay });
        });
        Engine::new(&self.spec(), options).unwrap()
    }

    fn state(&self, tensors: &[Tensor]) -> State {
        let len = tensors.last().unwrap().range.end;
        let mut start: Vec<f32> =
            ramp(len, 7919, 1009).into_iter().map(|x| (x * 0.6) as f32).collect();
        for tensor in tensors {
            let values = &mut start[tensor.range.clone()];
            match tensor.name.split_once('.').unwrap().1.split_once('.').unwrap().1 {
                "norm.weight" => values.iter_mut().for_each(|x| *x += 1.0),
                "norm.running_mean" => values.fill(0.0),
                "norm.running_var" => values.fill(1.0),
                _ => {}
            }
        }
        let mut state = State::new(&start).unwrap();
        if self.ema.is_some() {
            state.start_average().unwrap();
        }
        state
    }

    /// Ten steps over batches of 12, 12, 12, 4, 12, ...
    fn train(&self, engine: &mut Engine, data: &Dataset) -> (Vec<f64>, State) {
        let mut state = self.state(engine.layout().tensors());
        let adam = Adam::default().with(|c| c.lr = 0.01);
        let steps: &dyn Steps = match &self.optimizer {
            Optimizer::Adam => &adam,
            Optimizer::Sgd(sgd) => sgd,
        };
        let order: Vec<u32> = (0..40).collect();
        let mut losses = Vec::new();
        for rows in [&order[..], &order, &order[..24]] {
            engine.train(&mut state, steps, data, rows, 12, |score| {
                losses.push(score.loss());
                ControlFlow::Continue(())
            });
        }
        assert_eq!(state.steps(), 10);
        (losses, state)
    }
}

#[test]
fn ten_steps_equal_pytorch() {
    let data = dataset(40, 7, 4);
    for case in cases() {
        for backend in Backend::all() {
            for (threads, deterministic) in
                [(1, false), (2, false), (3, false), (16, false), (2, true)]
            {
                let what = format!("{} {} {threads}", case.name, backend.name());
                let mut engine = case.engine(backend, threads, deterministic);
                let (losses, state) = case.train(&mut engine, &data);
                for (step, (found, expected)) in losses.iter().zip(case.losses).enumerate() {
                    let error = (found - expected).abs();
                    assert!(error < 4e-6, "{what} step {step}: {found} {expected}");
                }
                let sampled = state.weights().iter().step_by(29);
                assert_eq!(sampled.len(), case.params.len());
                for (i, (&found, expected)) in sampled.zip(case.params).enumerate() {
                    let error = (f64::from(found) - expected).abs();
                    assert!(error < 3e-5, "{what} value {}: {found} {expected}", 29 * i);
                }
                let sum: f64 = state.weights().iter().map(|&w| f64::from(w)).sum();
                assert!((sum - case.sum).abs() < 3e-4, "{what}: {sum} {}", case.sum);
            }
        }
    }
}

/// The gradient of every parameter by central differences of the loss, under the same noise and masks.
#[test]
fn gradients_equal_finite_differences() {
    let data = dataset(12, 7, 4);
    let rows: Vec<u32> = (0..12).collect();
    for case in cases().into_iter().filter(|case| case.norm != Norm::None || case.dropout[1] > 0.0)
    {
        for backend in Backend::all() {
            let mut engine = case.engine(backend, 2, false);
            let tensors = engine.layout().tensors().to_vec();
            let mut params = case.state(&tensors).params().to_vec();
            let mut grads = vec![0.0; params.len()];
            engine.gradient(&mut grads, &params, &data, &rows);
            for tensor in tensors.iter().filter(|tensor| tensor.trained) {
                for i in tensor.range.clone().step_by(3) {
                    let (w, h) = (params[i], 1e-3);
                    let mut loss = |w: f32| {
                        params[i] = w;
                        engine.gradient(&mut vec![0.0; params.len()], &params, &data, &rows).loss()
                    };
                    let slope = (loss(w + h) - loss(w - h)) / f64::from((w + h) - (w - h));
                    params[i] = w;
                    let found = f64::from(grads[i]);
                    let what = (case.name, backend.name(), &tensor.name, i);
                    // a kink of ReLU lies between in a few
                    assert!((found - slope).abs() < 3e-3, "{what:?}: {found} {slope}");
                }
            }
        }
    }
}

/// What an evaluation computes with batch norm is what the network computes with its running statistics.
#[test]
fn evaluations_use_running_statistics_and_no_noise() {
    let data = dataset(40, 7, 4);
    let rows: Vec<u32> = (0..40).collect();
    let inputs = ramp(40 * 7, 104_729, 1013);
    for case in cases() {
        for backend in Backend::all() {
            let mut engine = case.engine(backend, 2, false);
            let state = case.train(&mut engine, &data).1;
            let params = state.weights().to_vec();
            let before = engine.logits(&params, &data, &rows);
            assert_eq!(engine.logits(&params, &data, &rows), before);
            let layout = engine.layout().clone();
            for (r, row) in before.rows().into_iter().enumerate() {
                let mut x: Vec<f64> =
                    inputs[7 * r..7 * (r + 1)].iter().map(|&x| f64::from(x as f32)).collect();
                for (l, layer) in case.spec().layers().iter().enumerate() {
                    let of = |which: usize, j: usize| {
                        f64::from(params[layout.tensors_of(l)[which].range.start + j])
                    };
                    let n_in = x.len();
                    let mut z: Vec<f64> = (0..layer.n_out)
                        .map(|j| {
                            let terms = x.iter().enumerate();
                            of(1, j) + terms.map(|(i, x)| x * of(0, j * n_in + i)).sum::<f64>()
                        })
                        .collect();
                    let n = z.len() as f64;
                    let mean = z.iter().sum::<f64>() / n;
                    let variance = z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / n;
                    for (j, z) in z.iter_mut().enumerate() {
                        let (mean, variance) = match layer.norm {
                            Norm::Batch => (of(4, j), of(5, j)),
                            Norm::Layer => (mean, variance),
                            _ => continue,
                        };
                        *z = of(2, j) * (*z - mean) / (variance + 1e-5).sqrt() + of(3, j);
                    }
                    x = z.into_iter().map(|z| layer.activation.value(z)).collect();
                }
                for (found, expected) in row.iter().zip(x) {
                    let error = (f64::from(*found) - expected).abs();
                    assert!(error < 2e-5, "{} {}: {found} {expected}", case.name, backend.name());
                }
            }
        }
    }
}

/// What a deterministic step computes does not depend on the number of threads, and reruns are equal in any case.
#[test]
fn steps_are_bit_equal() {
    let data = dataset(40, 7, 4);
    for case in cases() {
        for backend in Backend::all() {
            let trained = |threads: usize, deterministic: bool| {
                let mut engine = case.engine(backend, threads, deterministic);
                let (losses, state) = case.train(&mut engine, &data);
                (losses, state.params().to_vec(), state.weights().to_vec())
            };
            let one = trained(1, true);
            for threads in [2, 3, 5] {
                assert!(trained(threads, true) == one, "{} {threads}", case.name);
                assert!(trained(threads, false) == trained(threads, false), "{}", case.name);
            }
        }
    }
}

/// Images of three classes.
fn images() -> Dataset {
    let directory = tempfile::tempdir().unwrap();
    common::write_idx(directory.path(), 240, 40);
    densely::data::load(directory.path().to_str().unwrap()).unwrap().data
}

fn config(recipe: &str) -> TrainConfig {
    let mut config = TrainConfig::default().with(|c| {
        (c.hidden, c.epochs, c.batch_size) = (vec![40, 24], 3, 32);
        c.split = "200,40,40".parse().unwrap();
    });
    match recipe {
        "augmented" => config.augment = "affine,elastic:0.5".parse().unwrap(),
        "batch norm" => {
            (config.norm, config.input_noise, config.noise) = (Norm::Batch, 0.1, vec![0.2]);
            (config.schedule, config.ema) = ("cosine".parse().unwrap(), Some(0.9));
            (config.input_scales, config.ntk_rates, config.bias_rate) = (Some(6.0), true, 0.1);
        }
        _ => {
            (config.norm, config.dropout, config.input_dropout) = (Norm::Layer, vec![0.3], 0.1);
            (config.optimizer, config.nesterov) = (OptimizerKind::Sgd, true);
            config.schedule = "one-cycle".parse().unwrap();
            (config.clip_norm, config.label_smoothing) = (Some(1.0), 0.1);
        }
    }
    config
}

/// The weights that are kept and what is saved, in which times differ.
fn ended(trainer: &Trainer<'_>) -> (Vec<f32>, Vec<f32>, Vec<Option<f64>>) {
    let state = trainer.state();
    let rates = state.history().iter().map(|record| record.lr).collect();
    (state.best_params().to_vec(), state.optimizer().params().to_vec(), rates)
}

/// Stops after so many steps.
struct Stop(u64);

impl Observer for Stop {
    fn step(&mut self, _epoch: usize, _progress: Progress) {
        self.0 = self.0.saturating_sub(1);
    }

    fn request(&mut self) -> Request {
        if self.0 == 0 { Request::Stop } else { Request::Continue }
    }
}

#[test]
fn runs_are_bit_equal_over_threads_and_resumes() {
    let data = images();
    for recipe in ["augmented", "batch norm", "layer norm"] {
        for backend in [BackendChoice::Rust, Backend::all()[0].choice()] {
            let config = config(recipe).with(|c| {
                (c.deterministic, c.backend, c.threads) = (true, backend, Some(1));
            });
            let mut whole = Trainer::new(config.clone(), &data).unwrap();
            whole.run(&mut ()).unwrap();
            let expected = ended(&whole);
            assert!(expected.0.iter().all(|w| w.is_finite()));
            let mut two =
                Trainer::new(config.clone().with(|c| c.threads = Some(2)), &data).unwrap();
            two.run(&mut ()).unwrap();
            assert!(ended(&two) == expected, "{recipe} {backend:?}: two threads");
            for steps in [1, 5, 7, 9] {
                let mut first = Trainer::new(config.clone(), &data).unwrap();
                assert!(first.run(&mut Stop(steps)).is_err());
                let options = RunOptions::default();
                let bytes = Checkpoint::of(&options, first.state()).to_bytes().unwrap();
                let (_, state) = Checkpoint::from_bytes(&bytes).unwrap().into_state().unwrap();
                let mut resumed = Trainer::resume(state, &data).unwrap();
                resumed.run(&mut ()).unwrap();
                assert!(ended(&resumed) == expected, "{recipe} {backend:?}: resumed after {steps}");
            }
            let other = config.clone().with(|c| c.seed = 1);
            let mut other = Trainer::new(other, &data).unwrap();
            other.run(&mut ()).unwrap();
            assert!(ended(&other).1 != expected.1);
        }
    }
}

/// Gains that are not learned stay at 1, and everything else is trained.
#[test]
fn gains_stay_where_they_are_if_asked() {
    let data = images();
    for norm in [Norm::Batch, Norm::Layer] {
        for (learns, clip) in [(true, None), (false, None), (false, Some(0.5))] {
            let config = config("plain norm").with(|c| {
                (c.norm, c.norm_gain, c.clip_norm) = (norm, learns, clip);
            });
            let mut trainer = Trainer::new(config, &data).unwrap();
            let first = trainer.state().optimizer().params().to_vec();
            trainer.run(&mut ()).unwrap();
            let last = trainer.state().optimizer().params();
            for tensor in Layout::new(trainer.spec()).unwrap().tensors() {
                let stays = first[tensor.range.clone()] == last[tensor.range.clone()];
                let is_gain = tensor.name.ends_with("norm.weight");
                // batch norm subtracts the biases before it
                let is_subtracted = norm == Norm::Batch
                    && ["layers.0.bias", "layers.1.bias"].contains(&&tensor.name[..]);
                assert_eq!(stays, is_gain && !learns || is_subtracted, "{}", tensor.name);
            }
        }
    }
}

/// Steps do not use running statistics: where these come from changes nothing else that is trained.
#[test]
fn clean_statistics_are_all_that_clean_statistics_change() {
    let data = images();
    let trained = |clean: bool, ema: Option<f64>| {
        let config = config("batch norm").with(|c| {
            (c.clean_statistics, c.ema, c.noise, c.patience) = (clean, ema, vec![0.5], None);
        });
        let mut trainer = Trainer::new(config, &data).unwrap();
        trainer.run(&mut ()).unwrap();
        let layout = Layout::new(trainer.spec()).unwrap();
        (layout, trainer.state().optimizer().weights().to_vec())
    };
    for ema in [None, Some(0.9)] {
        let ((layout, clean), (_, running)) = (trained(true, ema), trained(false, ema));
        for tensor in layout.tensors() {
            let equal = clean[tensor.range.clone()] == running[tensor.range.clone()];
            assert_eq!(equal, !tensor.name.contains("running"), "{} {ema:?}", tensor.name);
        }
    }
}

/// Of epochs with equal accuracy the latest is kept, whatever its loss; without a validation part the last one.
#[test]
fn the_latest_of_equal_epochs_is_kept_if_asked() {
    let data = images();
    let trained = |latest: bool, split: &str| {
        let config = config("plain norm").with(|c| {
            (c.latest_best, c.patience, c.epochs) = (latest, None, 12);
            c.split = split.parse().unwrap();
        });
        let mut trainer = Trainer::new(config, &data).unwrap();
        trainer.run(&mut ()).unwrap();
        let accuracies: Vec<Option<f64>> =
            trainer.state().history().iter().map(|epoch| epoch.val_accuracy).collect();
        (trainer.state().best_epoch(), accuracies)
    };
    // two images validate: many epochs are equal
    let (epoch, accuracies) = trained(true, "200,2,40");
    let best = accuracies.iter().flatten().copied().fold(0.0, f64::max);
    let latest = accuracies.iter().rposition(|one| *one == Some(best)).unwrap() + 1;
    assert_eq!(epoch, latest, "{accuracies:?}");
    assert!(accuracies.iter().filter(|one| **one == Some(best)).count() > 1, "{accuracies:?}");
    assert_eq!(trained(true, "200,0,40").0, 12);
    assert_eq!(trained(false, "200,0,40").0, 12);
}

#[test]
fn planned_epochs_stay_and_constant_rates_go_on() {
    let data = images();
    for (recipe, can_go_on) in [("augmented", true), ("batch norm", false)] {
        let mut trainer = Trainer::new(config(recipe), &data).unwrap();
        trainer.run(&mut ()).unwrap();
        let mut state = trainer.into_state();
        let more = state.config().clone().with(|c| c.epochs += 1);
        match state.reconfigure(more) {
            Ok(()) => assert!(can_go_on),
            Err(error) => {
                let message = error.to_string();
                assert!(!can_go_on && message.contains("epochs is 4; expected 3"), "{message}");
            }
        }
    }
}

#[test]
fn epochs_say_their_rates() {
    let data = images();
    let config = config("batch norm").with(|c| c.lr = 0.01);
    let mut trainer = Trainer::new(config, &data).unwrap();
    trainer.run(&mut ()).unwrap();
    // 200 samples in batches of 32 are 7 steps; the last of an epoch is the 7th, 14th, 21st
    for (record, done) in trainer.state().history().iter().zip([6.0, 13.0, 20.0]) {
        let expected = 0.005 * (1.0 + (std::f64::consts::PI * done / 21.0).cos());
        assert!((record.lr.unwrap() - expected).abs() < 1e-12, "{record:?}");
    }
}

#[test]
fn augmented_images_are_learned_and_those_of_tables_are_refused() {
    let data = images();
    let mut trainer = Trainer::new(config("augmented").with(|c| c.epochs = 12), &data).unwrap();
    let outcome = trainer.run(&mut ()).unwrap();
    assert!(outcome.val_accuracy.unwrap() > 0.9, "{outcome:?}");
    let problem = Trainer::new(config("augmented"), &dataset(280, 20, 3)).unwrap_err();
    assert!(problem.to_string().contains("no images"), "{problem}");
}

#[test]
fn models_with_norms_are_files_and_become_plain_ones() {
    let data = images();
    let rows: Vec<u32> = (0..280).collect();
    for recipe in ["batch norm", "layer norm"] {
        let mut trainer = Trainer::new(config(recipe), &data).unwrap();
        trainer.run(&mut ()).unwrap();
        let model = trainer.best_model();
        let read = Model::from_bytes(&model.to_bytes().unwrap(), &[]).unwrap();
        assert_eq!(read, model);
        let mut engine = Engine::of_model(&read, EngineOptions::to_evaluate()).unwrap();
        let expected = engine.logits(read.params(), &data, &rows);
        let folded = read.folded().unwrap();
        assert_eq!(
            folded.spec().norm(),
            if recipe == "batch norm" { Norm::None } else { Norm::Layer }
        );
        let mut engine = Engine::of_model(&folded, EngineOptions::to_evaluate()).unwrap();
        let found = engine.logits(folded.params(), &data, &rows);
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4), "{recipe}");
        // it trains on from its statistics
        let more = config(recipe).with(|c| c.epochs = 1);
        let trainer = Trainer::from_model(more, &read, &data).unwrap();
        assert_eq!(trainer.state().optimizer().params(), read.params());
    }
}
