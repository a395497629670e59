//! A run that is stopped, saved and continued, and one whose numbers stop being finite.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/runs.rs"]
mod runs;

use common::dataset;
#[cfg(feature = "cli")]
use common::{Sandbox, json_lines, text};
use densely::Error;
use densely::data::{Dataset, Split};
use densely::engine::Broken;
use densely::gemm::BackendChoice;
use densely::store::{Checkpoint, RunOptions};
use densely::train::{Divergence, EpochEnd, Observer, Request, TrainConfig, Trainer, TrainerState};
use ndarray::Array2;
use runs::{all_backends, config, remains};
#[cfg(feature = "cli")]
use serde_json::Value;

/// A checkpoint of a trainer.
fn saved(trainer: &Trainer<'_>) -> densely::Result<Vec<u8>> {
    Checkpoint::of(&RunOptions::default(), trainer.state()).to_bytes()
}

/// The state in a checkpoint.
fn state_of(bytes: &[u8]) -> densely::Result<TrainerState> {
    Ok(Checkpoint::from_bytes(bytes)?.into_state()?.1)
}

/// Asks for something every so many steps, and keeps the state that it is offered.
struct Every {
    steps: u64,
    request: Request,
    step: u64,
    offered: Vec<Vec<u8>>,
}

impl Every {
    fn new(steps: u64, request: Request) -> Self {
        Self { steps, request, step: 0, offered: Vec::new() }
    }
}

impl Observer for Every {
    fn step(&mut self, _epoch: usize, _progress: densely::train::Progress) {
        self.step += 1;
    }

    fn request(&mut self) -> Request {
        match self.step > 0 && self.step.is_multiple_of(self.steps) {
            true => self.request,
            false => Request::Continue,
        }
    }

    fn save(&mut self, trainer: &Trainer<'_>, reason: Request) -> densely::Result<()> {
        assert_eq!(reason, self.request);
        self.step = 0;
        self.offered.push(saved(trainer)?);
        Ok(())
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> densely::Result<()> {
        assert!(end.trainer.state().partial().is_none());
        Ok(())
    }
}

#[test]
fn a_run_that_is_stopped_again_and_again_ends_as_if_it_had_not_been() {
    let data = dataset(300, 11, 4);
    for backend in all_backends() {
        for (threads, deterministic) in [(1, false), (2, false), (3, true)] {
            let config = config(backend, threads).with(|c| c.deterministic = deterministic);
            let mut undisturbed = Trainer::new(config.clone(), &data).unwrap();
            undisturbed.run(&mut ()).unwrap();
            let expected = remains(&undisturbed);
            // steps of a batch, of a whole epoch and of more than one: 7 make an epoch
            for steps in 1..=9 {
                let mut trainer = Trainer::new(config.clone(), &data).unwrap();
                let mut stops = 0;
                let outcome = loop {
                    let mut observer = Every::new(steps, Request::Stop);
                    match trainer.run(&mut observer) {
                        Err(Error::Stopped) => stops += 1,
                        other => break other.unwrap(),
                    }
                    let state = state_of(&observer.offered[0]).unwrap();
                    assert_eq!(state.optimizer().steps(), steps * stops);
                    assert_eq!(state.epoch() as u64, steps * stops / 7);
                    trainer = Trainer::resume(state, &data).unwrap();
                };
                let what = format!("{backend:?} {threads} {steps}");
                assert_eq!(stops, 20 / steps, "{what}"); // after the last step there is nothing to stop
                assert_eq!(remains(&trainer), expected, "{what}");
                assert_eq!(outcome.last_epoch, 3);
            }
        }
    }
}

#[test]
fn saving_changes_nothing_and_each_saved_state_leads_to_the_same_end() {
    let data = dataset(300, 11, 4);
    for backend in all_backends() {
        let mut undisturbed = Trainer::new(config(backend, 2), &data).unwrap();
        undisturbed.run(&mut ()).unwrap();
        let mut saver = Every::new(2, Request::Save);
        let mut trainer = Trainer::new(config(backend, 2), &data).unwrap();
        trainer.run(&mut saver).unwrap();
        assert_eq!(remains(&trainer), remains(&undisturbed));
        assert_eq!(saver.offered.len(), 10);
        for bytes in saver.offered {
            assert_eq!(Checkpoint::from_bytes(&bytes).unwrap().to_bytes().unwrap(), bytes);
            let mut resumed = Trainer::resume(state_of(&bytes).unwrap(), &data).unwrap();
            resumed.run(&mut ()).unwrap();
            assert_eq!(remains(&resumed), remains(&undisturbed), "{backend:?}");
        }
    }
}

#[test]
fn a_state_is_rejected_with_other_data_or_damage() {
    let data = dataset(300, 11, 4);
    let trainer = Trainer::new(config(BackendChoice::Auto, 1), &data).unwrap();
    let bytes = saved(&trainer).unwrap();
    let state = || state_of(&bytes).unwrap();
    let error = Trainer::resume(state(), &dataset(301, 11, 4)).unwrap_err().to_string();
    assert!(error.contains("fingerprint"), "{error}");
    let mut other = state();
    let error = other.reconfigure(other.config().clone().with(|c| c.lr = 0.5)).unwrap_err();
    assert!(error.to_string().contains("lr is 0.5"), "{error}");
    assert_eq!(other.config(), state().config());
    let mut other = Checkpoint::from_bytes(&bytes).unwrap();
    other.config.train.hidden = vec![3];
    other.config.train.activations.clear();
    let (_, other) = other.into_state().unwrap();
    let error = Trainer::resume(other, &data).unwrap_err().to_string();
    assert!(error.contains("parameters, expected"), "{error}");
    for cut in [0, 9, bytes.len() / 2, bytes.len() - 1] {
        assert!(state_of(&bytes[..cut]).is_err(), "{cut}");
    }
    let changed = |at: usize, to: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = to;
        state_of(&bytes).unwrap_err().to_string()
    };
    let error = changed(bytes.len() - 8, bytes[bytes.len() - 8] ^ 1);
    assert!(error.contains("its checksum is not that of its contents"), "{error}");
    let text = br#"format_version\":7"#;
    let version = bytes.windows(text.len()).position(|window| window == text).unwrap();
    let version = version + text.len() - 1;
    let error = changed(version, b'8');
    assert!(error.contains("format version 8, expected 3 to 7"), "{error}");
    let model = trainer.best_model().to_bytes().unwrap();
    let error = state_of(&model).unwrap_err().to_string();
    assert!(error.contains("expected a densely checkpoint"), "{error}");
}

#[test]
fn a_state_within_an_epoch_that_does_not_fit_its_batches_is_rejected() {
    let data = dataset(300, 11, 4);
    let mut observer = Every::new(3, Request::Stop);
    let mut trainer = Trainer::new(config(BackendChoice::Auto, 1), &data).unwrap();
    trainer.run(&mut observer).unwrap_err();
    for (samples, refused) in [(96, false), (95, true), (200, true), (u64::MAX, true)] {
        let mut checkpoint = Checkpoint::from_bytes(&observer.offered[0]).unwrap();
        checkpoint.partial.as_mut().unwrap().score.samples = samples;
        let (_, state) = checkpoint.into_state().unwrap();
        let result = Trainer::resume(state, &data);
        assert_eq!(result.is_err(), refused, "{samples}");
        if let Err(error) = result {
            assert!(error.to_string().contains("expected whole batches"), "{error}");
        }
    }
}

/// How a run that diverged ended.
fn divergence(config: TrainConfig, data: &Dataset) -> (Divergence, usize) {
    struct Watch(Option<Divergence>);
    impl Observer for Watch {
        fn diverged(&mut self, divergence: &Divergence) -> densely::Result<()> {
            self.0 = Some(*divergence);
            Ok(())
        }
    }
    let mut watch = Watch(None);
    let mut trainer = Trainer::new(config, data).unwrap();
    let outcome = trainer.run(&mut watch).unwrap();
    let state = trainer.state();
    assert!(state.is_finished() && state.diverged().is_some());
    assert_eq!(state.diverged(), watch.0);
    assert_eq!(outcome.best_epoch, state.best_epoch());
    assert!(state.best_params().iter().all(|w| w.is_finite()));
    (watch.0.unwrap(), state.best_epoch())
}

#[test]
fn what_is_not_finite_is_found_in_its_step_and_layer() {
    let split = Split::Counts([200, 60, 40]);
    let labels: Vec<u32> = (0..300).map(|i| i % 4).collect();
    let values = |scale: f32| {
        Array2::from_shape_fn((300, 11), move |(i, j)| ((i * 7 + j * 5) % 13) as f32 * scale)
    };
    for backend in all_backends() {
        for threads in [1, 3] {
            let base = config(backend, threads).with(|c| {
                c.split = split;
                c.shuffle = false;
            });
            // weights of 1e30 after the first step: the second layer's outputs overflow
            let data = Dataset::from_arrays(values(0.1).view(), &labels).unwrap();
            let (found, _) = divergence(
                base.clone().with(|c| {
                    c.lr = 1e30;
                    c.weight_decay = 0.0;
                    c.activations = vec![densely::model::Activation::Relu];
                }),
                &data,
            );
            let expected = Broken::Outputs { layer: 1 };
            assert_eq!(found, Divergence::new(1, 2, expected));
            let text = found.to_string();
            assert!(
                text.contains("step 2 (epoch 1)")
                    && text.contains("layer 1")
                    && text.contains("a lower learning rate"),
                "{text}"
            );

            // inputs of 1e22: the loss is a number, the square of the gradient is not
            let data = Dataset::from_arrays(values(1e22).view(), &labels).unwrap();
            let (found, _) = divergence(base.clone().with(|c| c.hidden = vec![]), &data);
            let expected = Broken::Weights { layer: 0 };
            assert_eq!(found, Divergence::new(1, 1, expected));
        }
    }
}

#[test]
fn a_run_that_diverges_late_keeps_its_best_epoch() {
    let data = dataset(300, 11, 4);
    let mut trainer = Trainer::new(config(BackendChoice::Auto, 2), &data).unwrap();
    trainer.run(&mut ()).unwrap();
    let state = trainer.state();
    let (best_epoch, best_params) = (state.best_epoch(), state.best_params().to_vec());
    let mut checkpoint = Checkpoint::of(&RunOptions::default(), state);
    let config = &mut checkpoint.config.train;
    (config.epochs, config.lr, config.weight_decay) = (5, 1e30, 0.0);
    let (_, state) = checkpoint.into_state().unwrap();
    let mut trainer = Trainer::resume(state, &data).unwrap();
    let outcome = trainer.run(&mut ()).unwrap();
    let state = trainer.state();
    let divergence = state.diverged().unwrap();
    assert_eq!((divergence.epoch, divergence.step), (4, 3 * 7 + 2));
    assert_eq!(
        (state.epoch(), state.best_epoch(), outcome.best_epoch),
        (3, best_epoch, best_epoch)
    );
    assert_eq!(state.best_params(), best_params);
    assert!(outcome.test.unwrap().loss_sum.is_finite());
}

#[cfg(feature = "cli")]
#[test]
fn divergence_ends_a_run_with_the_place_and_a_remedy() {
    let sandbox = Sandbox::new();
    let args = ["--lr", "1e30", "--epochs", "2", "--quiet", "--batch-size", "20", "--out", "r"];
    let output =
        sandbox.run(&[&["train", "data", "--hidden", "9,8", "--json"], &args[..]].concat());
    let (out, message) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1));
    let expected = "r: the training diverged in step 2 (epoch 1): the outputs of layer 1 are not finite; a lower learning rate helps";
    assert_eq!(message.trim_end(), format!("error: {expected}"));
    let lines = json_lines(&out);
    assert_eq!(lines.len(), 3, "{out}");
    assert_eq!((&lines[1]["event"], &lines[1]["what"]), (&"diverged".into(), &"outputs".into()));
    assert_eq!((&lines[1]["step"], &lines[1]["layer"]), (&2.into(), &1.into()));
    assert_eq!(lines[1]["train_loss"], Value::Null);
    assert_eq!((&lines[2]["event"], &lines[2]["test_loss"]), (&"done".into(), &Value::Null));
    // the state before is kept, and the run is known to be over
    let before = sandbox.bytes("r/checkpoint.safetensors");
    let output = sandbox.run(&["train", "--resume", "r", "--json", "--epochs", "9"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json_lines(&text(&output.stdout))[1], lines[1]);
    assert!(text(&output.stderr).contains(&format!("error: {expected}")));
    assert_eq!(sandbox.bytes("r/checkpoint.safetensors"), before);
    assert!(!sandbox.path("r/best.safetensors").exists());
}

#[cfg(feature = "cli")]
#[test]
fn settings_that_were_changed_in_the_directory_are_named_and_more_epochs_taken() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "2", "--no-report"]);
    let config = text(&sandbox.bytes("run/config.toml"));
    let edit = |from: &str, to: &str| {
        assert!(config.contains(from));
        std::fs::write(sandbox.path("run/config.toml"), config.replace(from, to)).unwrap();
    };
    let before = sandbox.bytes("run/checkpoint.safetensors");
    edit("lr = 0.01", "lr = 0.02");
    let message = sandbox.fails(&["train", "--resume", "run"], 2);
    assert!(
        message.contains("run/config.toml is not that of its checkpoint: lr is 0.02, not 0.01"),
        "{message}"
    );
    edit("hidden = [16, 8]", "hidden = [16, 9]");
    let message = sandbox.fails(&["train", "--resume", "run"], 2);
    assert!(message.contains("hidden is [16, 9], not [16, 8]"), "{message}");
    assert_eq!(sandbox.bytes("run/checkpoint.safetensors"), before);
    edit("epochs = 2", "epochs = 3");
    sandbox.ok(&["train", "--resume", "run", "--quiet", "--no-report"]);
    assert_eq!(json_lines(&text(&sandbox.bytes("run/metrics.jsonl"))).len(), 3);
    std::fs::remove_file(sandbox.path("run/config.toml")).unwrap();
    sandbox.ok(&["train", "--resume", "run", "--quiet"]);
    assert_eq!(text(&sandbox.bytes("run/config.toml")), config.replace("epochs = 2", "epochs = 3"));
}

#[cfg(feature = "cli")]
#[test]
fn a_run_is_not_resumed_with_other_data() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "2", "--no-report"]);
    common::write_idx(&sandbox.path("data"), 241, 60);
    let message = sandbox.fails(&["train", "--resume", "run", "--epochs", "4"], 2);
    assert!(message.contains("the run was trained on data with the fingerprint"), "{message}");
}

#[cfg(feature = "cli")]
#[test]
fn how_often_to_save_is_remembered_and_may_change() {
    let sandbox = Sandbox::new();
    let line = || {
        let config = text(&sandbox.bytes("run/config.toml"));
        config.lines().find(|line| line.starts_with("checkpoint_every")).map(str::to_owned)
    };
    sandbox.train("run", &["--epochs", "2", "--no-report", "--checkpoint-every", "3 steps"]);
    assert_eq!(line().unwrap(), r#"checkpoint_every = "3 steps""#);
    let resume = |more: &[&str]| {
        sandbox.ok(&[&["train", "--resume", "run", "--quiet", "--no-report"], more].concat());
    };
    resume(&["--epochs", "3"]);
    assert_eq!(line().unwrap(), r#"checkpoint_every = "3 steps""#);
    resume(&["--epochs", "4", "--checkpoint-every", "2m"]);
    assert_eq!(line().unwrap(), r#"checkpoint_every = "120s""#);
    // a finished run stays as it is
    resume(&["--checkpoint-every", "7"]);
    assert_eq!(line().unwrap(), r#"checkpoint_every = "120s""#);
    std::fs::write(sandbox.path("c.toml"), "checkpoint_every = 50\nepochs = 1").unwrap();
    let printed = sandbox.ok(&["train", "data", "--config", "c.toml", "--print-config"]);
    assert!(printed.contains(r#"checkpoint_every = "50 steps""#), "{printed}");
    let message = sandbox.fails(&["train", "data", "--checkpoint-every", "often"], 2);
    assert!(message.contains("expected a time such as 30s"), "{message}");
}
