//! Trainings and sweeps that are killed: each is resumed as often as it takes, and ends as if nothing had happened.
//!
//! `DENSELY_KILLS=1000 cargo test --release --test crash` kills more often.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/process.rs"]
mod process;

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use common::{Sandbox, json_lines, text, timeless, write_idx};
use densely::model::Model;
use densely::store::Checkpoint;
use process::say;
use serde_json::Value;

const NAMES: [&str; 2] = ["best.safetensors", "last.safetensors"];

/// How often to kill: by default enough, and not too long for every run of the tests.
fn kills() -> u32 {
    std::env::var("DENSELY_KILLS").map_or(110, |kills| kills.parse().unwrap())
}

/// A sandbox with data that take some time to train on.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    write_idx(&sandbox.path("data"), 6000, 600);
    sandbox
}

/// What a run has computed, without what differs from run to run.
#[derive(Debug, PartialEq)]
struct Ended {
    models: [Vec<u8>; 2],
    metrics: Vec<Value>,
    vectors: [Vec<f32>; 4],
    steps: u64,
}

impl Ended {
    fn read(path: &Path) -> Self {
        let bytes = |name: &str| std::fs::read(path.join(name)).unwrap();
        let checkpoint = Checkpoint::from_bytes(&bytes("checkpoint.safetensors")).unwrap();
        let (_, state) = checkpoint.into_state().unwrap();
        assert!(state.is_finished());
        let optimizer = state.optimizer();
        let vectors = [optimizer.params(), optimizer.m(), optimizer.v(), state.best_params()];
        Self {
            models: NAMES.map(bytes),
            metrics: timeless(&json_lines(&text(&bytes("metrics.jsonl")))),
            vectors: vectors.map(|vector| vector.to_vec()),
            steps: optimizer.steps(),
        }
    }
}

/// Every file that is there is whole; returns the steps of the checkpoint, and how many files were being written.
fn check_files(path: &Path) -> (Option<u64>, usize) {
    for name in NAMES {
        if path.join(name).exists() {
            Model::load(&path.join(name), &[]).unwrap();
        }
    }
    let checkpoint = std::fs::read(path.join("checkpoint.safetensors")).ok();
    let steps = checkpoint.map(|bytes| Checkpoint::from_bytes(&bytes).unwrap().steps);
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let unfinished =
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".densely-"));
    (steps, unfinished.count())
}

fn was_killed(status: ExitStatus) -> bool {
    assert!(status.success() || status.signal() == Some(9), "{status}");
    status.signal() == Some(9)
}

/// Numbers that look random, the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Starts a process, kills it after a random time, and says whether it was alive until then.
fn kill_at_random(sandbox: &Sandbox, args: &[&str], random: &mut Random, most_ms: u64) -> bool {
    let mut child = sandbox.command(args).spawn().unwrap();
    std::thread::sleep(Duration::from_micros(random.below(most_ms * 1000)));
    child.kill().unwrap();
    was_killed(child.wait().unwrap())
}

fn train(out: &str, seed: u64, epochs: u32) -> Vec<String> {
    let args = format!(
        "train data --out {out} --seed {seed} --hidden 24,12 --lr 0.01 --batch-size 20 --threads 2 --epochs {epochs} \
         --checkpoint-every 40 --quiet --no-report"
    );
    args.split(' ').map(str::to_owned).collect()
}

#[test]
fn trainings_that_are_killed_at_random_end_as_if_nothing_had_happened() {
    let sandbox = sandbox();
    let (mut random, mut killed, mut resumed, mut within, mut writing, mut ended) =
        (Random(1), 0, 0, 0, 0, 0);
    for seed in 0.. {
        let whole = train(&format!("whole-{seed}"), seed, 12);
        sandbox.ok(&whole.iter().map(String::as_str).collect::<Vec<_>>());
        let name = format!("killed-{seed}");
        let path = sandbox.path(&name);
        let first = train(&name, seed, 12);
        let first: Vec<&str> = first.iter().map(String::as_str).collect();
        let resume =
            ["train", "--resume", &name, "--quiet", "--no-report", "--checkpoint-every", "40"];
        loop {
            let begun =
                path.join("config.toml").exists() || path.join("checkpoint.safetensors").exists();
            let args = if begun { &resume[..] } else { &first };
            if !kill_at_random(&sandbox, args, &mut random, 300) {
                break;
            }
            killed += 1;
            let (steps, unfinished) = check_files(&path);
            writing += usize::from(unfinished > 0);
            if let Some(steps) = steps.filter(|&steps| steps > 0) {
                resumed += 1;
                within += u32::from(!steps.is_multiple_of(250));
            }
        }
        assert_eq!(Ended::read(&path), Ended::read(&sandbox.path(&format!("whole-{seed}"))));
        assert_eq!(check_files(&path).1, 0, "what a killed process left is still there");
        ended += 1;
        if killed >= kills() && ended >= 3 {
            break;
        }
    }
    say(&format!(
        "trainings: {killed} killed, of which {resumed} resumed after step 0 and {within} within an epoch; {writing} were \
         writing a file; {ended} runs ended bit for bit as undisturbed"
    ));
    assert!(
        resumed > killed / 4 && within > 0,
        "{resumed} of {killed} resumed, {within} within an epoch"
    );
}

#[test]
fn sweeps_that_are_killed_at_random_end_as_if_nothing_had_happened() {
    let sandbox = sandbox();
    let (mut random, mut killed, mut resumed, mut ended) = (Random(2), 0, 0, 0);
    for seed in 0.. {
        let args = |out: &str| {
            let args = format!(
                "sweep data --out {out} --seed {seed} --hidden 24,12;16 --lr 0.01,0.001 --batch-size 20 --jobs 2 \
                 --threads 1 --epochs 9 --checkpoint-every 40 --quiet --no-report"
            );
            args.split(' ').map(str::to_owned).collect::<Vec<_>>()
        };
        let (whole, name) = (format!("whole-{seed}"), format!("killed-{seed}"));
        sandbox.ok(&args(&whole).iter().map(String::as_str).collect::<Vec<_>>());
        let again = args(&name);
        let again: Vec<&str> = again.iter().map(String::as_str).collect();
        let runs = || -> Vec<String> {
            let table = text(&sandbox.bytes(&format!("{whole}/results.jsonl")));
            json_lines(&table).iter().map(|row| row["run"].as_str().unwrap().to_owned()).collect()
        };
        let runs = runs();
        while kill_at_random(&sandbox, &again, &mut random, 500) {
            killed += 1;
            let steps = runs.iter().filter_map(|run| check_files(&sandbox.path(&name).join(run)).0);
            resumed += u32::from(steps.max().unwrap_or(0) > 0);
        }
        for run in &runs {
            let ended = |sweep: &str| Ended::read(&sandbox.path(sweep).join(run));
            assert_eq!(ended(&name), ended(&whole), "{run}");
        }
        let table = |sweep: &str| {
            timeless(&json_lines(&text(&sandbox.bytes(&format!("{sweep}/results.jsonl")))))
        };
        assert_eq!(table(&name), table(&whole));
        ended += 1;
        if killed >= kills() / 4 && ended >= 2 {
            break;
        }
    }
    say(&format!(
        "sweeps: {killed} killed, of which {resumed} went on with a run; {ended} sweeps ended bit for bit as undisturbed"
    ));
    assert!(resumed > killed / 4, "{resumed} of {killed} resumed");
}

/// Kills at each call in turn, so that no point between a write and a rename is left out.
#[test]
fn a_training_may_be_killed_at_every_call_that_touches_a_file() {
    let sandbox = sandbox();
    let Some(shim) = sandbox.shim() else { return };
    let whole = train("whole", 7, 2);
    sandbox.ok(&whole.iter().map(String::as_str).collect::<Vec<_>>());
    let expected = Ended::read(&sandbox.path("whole"));
    let (mut killed, mut resumed) = (0, 0);
    for call in ["kill rename", "kill-after rename", "kill fsync", "kill write"] {
        for at in 1.. {
            let name = format!("{}-{at}", call.replace(' ', "-"));
            let args = train(&name, 7, 2);
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let mut command = sandbox.command(&args);
            command.env("LD_PRELOAD", &shim).env("DENSELY_SHIM", format!("{call} {at}"));
            if !was_killed(command.status().unwrap()) {
                assert!(at > 10, "`{call}` was met {at} times; is the shim loaded?");
                break; // there is no further call
            }
            killed += 1;
            let path = sandbox.path(&name);
            let (steps, _) = check_files(&path);
            let begun = path.join("config.toml").exists() || steps.is_some();
            resumed += u32::from(steps.is_some_and(|steps| steps > 0));
            let resume = ["train", "--resume", &name, "--quiet", "--no-report"];
            sandbox.ok(if begun { &resume[..] } else { &args });
            assert_eq!(Ended::read(&path), expected, "{name}");
            std::fs::remove_dir_all(path).unwrap();
        }
    }
    say(&format!(
        "calls: killed at {killed} calls, every one that a training makes; {resumed} of them after step 0; all ended bit for \
         bit as undisturbed"
    ));
    assert!(killed > 60 && resumed > 20, "{killed} killed, {resumed} resumed");
}
