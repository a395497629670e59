//! Runs that have moved, are named, listed, verified, or end in an unusual way.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use common::{Sandbox, json_lines, text, timeless};
use serde_json::Value;

fn train<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let args = "train data --hidden 16,8 --batch-size 20 --lr 0.01 --threads 2 --quiet --no-report --epochs 3";
    [&args.split(' ').collect::<Vec<_>>()[..], &["--out", out], more].concat()
}

#[test]
fn a_run_resumes_after_its_data_has_moved() {
    let sandbox = Sandbox::new();
    sandbox.ok(&train("whole", &["--epochs", "5"])
        .into_iter()
        .filter(|arg| *arg != "3")
        .collect::<Vec<_>>()
        .as_slice()
        .join(" ")
        .replace("--epochs --out", "--out")
        .split(' ')
        .collect::<Vec<_>>());
    sandbox.ok(&train("run", &[]));
    std::fs::rename(sandbox.path("data"), sandbox.path("moved")).unwrap();
    let gone = sandbox.fails(&["train", "--resume", "run", "--epochs", "5"], 1);
    assert!(gone.contains("nothing of that name"), "{gone}");
    sandbox.ok(&["train", "moved", "--resume", "run", "--epochs", "5", "--no-report", "--quiet"]);
    sandbox.ok(&["inspect", "run", "--verify"]);
    let model = |run: &str| sandbox.bytes(&format!("{run}/last.safetensors"));
    assert_eq!(model("run"), model("whole"));
    assert!(text(&sandbox.bytes("run/config.toml")).contains("moved"));
    // other data is refused, also where it differs in shape alone or in where its test file begins
    common::write_idx(&sandbox.path("other"), 239, 61);
    let message = sandbox.fails(&["train", "other", "--resume", "run", "--epochs", "6"], 2);
    assert!(message.contains("fingerprint"), "{message}");
    let mut images = sandbox.bytes("moved/train-images-idx3-ubyte");
    (images[11], images[15]) = (4, 5);
    std::fs::write(sandbox.path("moved/train-images-idx3-ubyte"), images).unwrap();
    let mut images = sandbox.bytes("moved/t10k-images-idx3-ubyte");
    (images[11], images[15]) = (4, 5);
    std::fs::write(sandbox.path("moved/t10k-images-idx3-ubyte"), images).unwrap();
    let message = sandbox.fails(&["train", "--resume", "run", "--epochs", "6"], 2);
    assert!(message.contains("fingerprint"), "{message}");
}

#[test]
fn a_sweep_continues_after_its_data_has_moved() {
    let sandbox = Sandbox::new();
    let sweep = |data: &'static str| {
        let args = ["sweep", data, "--hidden", "8", "--lr", "0.1,0.01", "--epochs", "1"];
        [&args[..], &["--batch-size", "20", "--out", "sweep", "--no-report", "--quiet"]].concat()
    };
    sandbox.ok(&sweep("data"));
    let before = sandbox.bytes("sweep/results.csv");
    std::fs::rename(sandbox.path("data"), sandbox.path("moved")).unwrap();
    sandbox.ok(&sweep("moved"));
    assert_eq!(sandbox.bytes("sweep/results.csv"), before);
    sandbox.ok(&["report", "sweep"]); // from the path that sweep.toml has now
    let lines = json_lines(&sandbox.ok(&["runs", "sweep", "--json"]));
    assert!(lines.len() > 1 && lines.iter().all(|line| line["state"] == "done"), "{lines:?}");
    common::write_idx(&sandbox.path("other"), 30, 6);
    let message = sandbox.fails(&sweep("other"), 2);
    assert!(message.contains("holds another sweep or cross-validation on other data"), "{message}");
}

#[test]
fn runs_are_listed_and_their_directories_are_models() {
    let sandbox = Sandbox::new();
    assert!(text(&sandbox.run(&["runs"]).stderr).contains("no run here yet"));
    sandbox.ok(&train("runs/first", &[]));
    sandbox.ok(&train("runs/second", &["--seed", "9"]));
    let lines = json_lines(&sandbox.ok(&["runs", "--json"]));
    let paths: Vec<&str> = lines.iter().map(|line| line["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["runs/second", "runs/first"]);
    assert!(lines.iter().all(|line| line["state"] == "done" && line["epochs"] == 3));
    let results: Value = serde_json::from_slice(&sandbox.bytes("runs/first/results.json")).unwrap();
    assert_eq!(results["test_accuracy"], lines[1]["test_accuracy"]);
    assert!(results["test_loss"].is_f64() && results["best_epoch"].is_u64());
    let table = sandbox.ok(&["runs"]);
    assert!(table.lines().count() == 3 && table.contains("16-8"), "{table}");

    let of = |model: &str| sandbox.ok(&["eval", model, "--json"]);
    assert_eq!(of("latest"), of("runs/second/best.safetensors"));
    assert_eq!(of("runs/first"), of("runs/first/best.safetensors"));
    sandbox.ok(&["predict", "latest", "data/t10k-images-idx3-ubyte"]);
    sandbox.ok(&["inspect", "runs/first"]);
    sandbox.ok(&["report", "latest"]);
    assert!(sandbox.path("runs/second/report.html").exists());
    sandbox.ok(&train("next", &["--init-from", "latest"])
        .into_iter()
        .filter(|arg| !["--hidden", "16,8"].contains(arg))
        .collect::<Vec<_>>());
}

#[test]
fn damage_is_found_and_an_older_checkpoint_takes_over() {
    let sandbox = Sandbox::new();
    sandbox.ok(&train("whole", &["--checkpoint-every", "5"]));
    sandbox.ok(&train("run", &["--checkpoint-every", "5"]));
    let shown = sandbox.ok(&["inspect", "run", "--verify"]);
    assert!(shown.lines().count() >= 6 && shown.contains("its checksum is right"), "{shown}");
    for name in ["checkpoint", "checkpoint-previous", "best", "last"] {
        let file = format!("run/{name}.safetensors");
        let good = sandbox.bytes(&file);
        let length = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
        for position in (8..8 + length).step_by(23).chain([good.len() - 1]) {
            let mut bytes = good.clone();
            bytes[position] ^= 4;
            std::fs::write(sandbox.path(&file), bytes).unwrap();
            let output = sandbox.run(&["inspect", &file, "--verify"]);
            assert_eq!(output.status.code(), Some(1), "{file}: {position}");
            assert_eq!(text(&output.stderr).lines().count(), 1);
        }
        std::fs::write(sandbox.path(&file), good).unwrap();
    }
    let mut bytes = sandbox.bytes("run/checkpoint.safetensors");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(sandbox.path("run/checkpoint.safetensors"), bytes).unwrap();
    let output = sandbox.run(&["train", "--resume", "run", "--no-report"]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("the checkpoint before it is taken instead, of epoch 3"), "{said}");
    sandbox.ok(&["inspect", "run", "--verify"]);
    for name in ["checkpoint", "best", "last"] {
        let bytes = |run: &str| sandbox.bytes(&format!("{run}/{name}.safetensors"));
        match name {
            "checkpoint" => {} // it has the time that the epochs took
            _ => assert_eq!(bytes("run"), bytes("whole"), "{name}"),
        }
    }
    let metrics =
        |run: &str| timeless(&json_lines(&text(&sandbox.bytes(&format!("{run}/metrics.jsonl")))));
    assert_eq!(metrics("run"), metrics("whole"));
}

#[test]
fn files_that_are_missing_or_edited_are_found() {
    let sandbox = Sandbox::new();
    sandbox.ok(&train("run", &[]));
    let verify = |expected: &str| {
        let message = sandbox.fails(&["inspect", "run", "--verify"], 1);
        assert!(message.contains(expected) && message.lines().count() == 1, "{message}");
    };
    for name in
        ["best.safetensors", "last.safetensors", "results.json", "config.toml", "metrics.jsonl"]
    {
        let file = format!("run/{name}");
        let good = sandbox.bytes(&file);
        std::fs::remove_file(sandbox.path(&file)).unwrap();
        verify(&format!("{file}: it is missing; `densely train --resume` writes it anew"));
        sandbox.ok(&["train", "--resume", "run", "--quiet", "--no-report"]);
        sandbox.ok(&["inspect", "run", "--verify"]);
        assert!(name == "results.json" || sandbox.bytes(&file) == good, "{name}");
    }
    let config = text(&sandbox.bytes("run/config.toml"));
    let edit = |text: &str| std::fs::write(sandbox.path("run/config.toml"), text).unwrap();
    edit(&config.replace("lr = 0.01", "lr = 0.5"));
    verify("config.toml is not that of its checkpoint: lr is 0.5, not 0.01");
    edit("");
    verify("config.toml is not that of its checkpoint: ");
    edit(&config.replace("epochs = 3", "epochs = 2"));
    verify("config.toml: epochs is 2, but the run has begun epoch 3; expected at least 3");
    // the list does not say that more epochs are done than there are
    let table = sandbox.ok(&["runs", "run"]);
    assert!(table.contains(" 3/3 ") && table.contains(" done "), "{table}");
    edit(&config.replace("epochs = 3", "epochs = 5").replace("/data", "/moved"));
    sandbox.ok(&["inspect", "run", "--verify"]);
    edit(&config);
    std::fs::remove_file(sandbox.path("run/metrics.jsonl")).unwrap();
    let table = sandbox.ok(&["runs", "run"]);
    assert!(table.contains(" 3/3 ") && table.contains(" done "), "{table}");
    // the runs of a sweep have no results of their own
    let sweep = "sweep data --hidden 8 --lr 0.1,0.01 --epochs 1 --batch-size 20 --out sweep";
    let sweep: Vec<&str> = sweep.split(' ').chain(["--quiet", "--no-report"]).collect();
    sandbox.ok(&sweep);
    for run in json_lines(&sandbox.ok(&["runs", "sweep", "--json"])) {
        sandbox.ok(&["inspect", run["path"].as_str().unwrap(), "--verify"]);
    }
}

#[test]
fn a_run_without_a_model_gets_the_advice_that_helps() {
    let sandbox = Sandbox::new();
    sandbox.ok(&train("run", &[]));
    std::fs::remove_file(sandbox.path("run/best.safetensors")).unwrap();
    let message = sandbox.fails(&["eval", "run"], 1);
    let expected = "its best.safetensors is missing; `densely train --resume` writes it anew";
    assert!(message.contains(expected), "{message}");
    sandbox.ok(&["train", "--resume", "run", "--quiet", "--no-report"]);
    sandbox.ok(&["eval", "run"]);
    let huge = ["train", "data", "--hidden", "8", "--lr", "1e37", "--out", "huge", "--quiet"];
    let output = sandbox.run(&huge);
    assert_eq!(output.status.code(), Some(1));
    let message = sandbox.fails(&["eval", "huge"], 1);
    assert!(message.contains("because the training diverged in step"), "{message}");
    assert!(message.trim_end().ends_with("; start a new run"), "{message}");
}

#[test]
fn sweeps_are_listed_with_their_runs_and_say_when_their_settings_were_edited() {
    let sandbox = Sandbox::new();
    let sweep = "sweep data --hidden 8 --lr 0.1,0.01,0.001 --epochs 2 --batch-size 20";
    let args = ["--out", "runs/s", "--quiet", "--no-report"];
    sandbox.ok(&sweep.split(' ').chain(args).collect::<Vec<_>>());
    let line = &json_lines(&sandbox.ok(&["runs", "--json"]))[0];
    assert_eq!((&line["state"], &line["data"]), (&"done".into(), &"data".into()));
    assert_eq!((line["runs_begun"].as_u64(), line["runs"].as_u64()), (Some(3), Some(3)));
    assert!(line["val_accuracy"].is_f64(), "{line}");
    // as an interrupted sweep leaves it
    std::fs::write(sandbox.path("runs/s/results.jsonl"), "").unwrap();
    let run = json_lines(&sandbox.ok(&["runs", "runs/s", "--json"]));
    let last = run.last().unwrap()["path"].as_str().unwrap();
    std::fs::remove_dir_all(sandbox.path(last)).unwrap();
    let line = &json_lines(&sandbox.ok(&["runs", "--json"]))[0];
    assert_eq!(line["state"], "unfinished");
    assert!(line["val_accuracy"].is_f64(), "{line}");
    let table = sandbox.ok(&["runs"]);
    assert!(table.contains(" 2 of 3 runs ") && table.contains(" unfinished "), "{table}");

    let grid = text(&sandbox.bytes("runs/s/sweep.toml"));
    let edit = |text: String| std::fs::write(sandbox.path("runs/s/sweep.toml"), text).unwrap();
    edit(grid.replace("epochs = 2", "epochs = 4"));
    let message = sandbox.fails(&["report", "runs/s"], 1);
    assert!(message.contains("is none of these: epochs is 2, not 4"), "{message}");
    edit(grid.replace("0.1,", "0.2,").replace("0.01", "0.3").replace("0.001", "0.4"));
    let message = sandbox.fails(&["report", "runs/s"], 1);
    assert!(message.contains("none of the runs in the directory has these settings"), "{message}");
}

#[test]
fn printed_commands_can_be_pasted() {
    let sandbox = Sandbox::new();
    for out in ["my runs/it's", "-dash", "a;b", "$(touch x)"] {
        let flag = format!("--out={out}");
        let args = train("x", &[]);
        let args: Vec<&str> = args
            .iter()
            .map(|arg| if *arg == "x" { "" } else { arg })
            .filter(|arg| !arg.is_empty() && *arg != "--out")
            .collect();
        sandbox.ok(&[&args[..], &[&flag]].concat());
        let message = sandbox.fails(&[&args[..], &[&flag]].concat(), 2);
        let command =
            message.split('`').nth(1).unwrap().replace("densely", env!("CARGO_BIN_EXE_densely"));
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).current_dir(sandbox.0.path());
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    }
    assert!(!sandbox.path("x").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn paths_that_are_not_text_are_used_or_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let sandbox = Sandbox::new();
    sandbox.ok(&train("run", &[]));
    let latin: &OsStr = OsStr::from_bytes(b"caf\xe9");
    std::fs::rename(sandbox.path("run"), sandbox.0.path().join(latin)).unwrap();
    let run = |args: &[&OsStr]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_densely"));
        command.args(args).current_dir(sandbox.0.path()).output().unwrap()
    };
    for command in ["eval", "inspect", "report"] {
        let output = run(&[OsStr::new(command), latin]);
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(sandbox.0.path().join(latin).join("report.html").exists());
    let before = std::fs::read_dir(sandbox.0.path()).unwrap().count();
    for flag in ["--out", "--init-from"] {
        let output = run(&[OsStr::new("train"), OsStr::new("data"), OsStr::new(flag), latin]);
        assert_eq!(output.status.code(), Some(2), "{flag}");
    }
    assert_eq!(std::fs::read_dir(sandbox.0.path()).unwrap().count(), before);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_costs_no_results() {
    let sandbox = Sandbox::new();
    let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let args = ["sweep", "data", "--hidden", "8", "--lr", "0.1,0.01,0.001", "--epochs", "1"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_densely"));
    command.args(args).args(["--out", "sweep", "--json", "--quiet"]).stdout(full());
    let output = command.current_dir(sandbox.0.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("standard output"));
    assert_eq!(text(&sandbox.bytes("sweep/results.csv")).lines().count(), 10);
    assert!(sandbox.path("sweep/report.html").exists());

    let mut command = Command::new(env!("CARGO_BIN_EXE_densely"));
    command.args(["train", "data", "--epochs", "1", "--out", "run", "--json", "--quiet"]);
    let output = command.stdout(full()).current_dir(sandbox.0.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(sandbox.path("run/report.html").exists() && sandbox.path("run/results.json").exists());
    // killed while the report was made: it is made when the run is resumed
    std::fs::remove_file(sandbox.path("run/report.html")).unwrap();
    std::fs::remove_file(sandbox.path("run/results.json")).unwrap();
    sandbox.ok(&["train", "--resume", "run", "--quiet"]);
    assert!(sandbox.path("run/report.html").exists() && sandbox.path("run/results.json").exists());
}

#[test]
fn runs_of_a_sweep_that_fail_are_named_and_fail_it() {
    let sandbox = Sandbox::new();
    let args = ["sweep", "data", "--hidden", "8", "--lr", "0.1,0.01", "--epochs", "1", "--out"];
    let args = [&args[..], &["sweep", "--quiet", "--no-report", "--batch-size", "20"]].concat();
    // a file where the second run's directory has to be
    std::fs::create_dir(sandbox.path("sweep")).unwrap();
    std::fs::write(sandbox.path("sweep/2_8_lr0.01_b20"), "").unwrap();
    std::fs::write(sandbox.path("sweep/2_lr0.01"), "").unwrap();
    let output = sandbox.run(&args);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("1 of 2 runs failed: 2_") && said.contains("the first because"),
        "{said}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn metrics_through_a_link_leave_the_file_behind_it_alone() {
    let sandbox = Sandbox::new();
    sandbox.ok(&train("run", &[]));
    std::fs::write(sandbox.path("precious"), "text").unwrap();
    let metrics = sandbox.path("run/metrics.jsonl");
    std::fs::remove_file(&metrics).unwrap();
    std::os::unix::fs::symlink(sandbox.path("precious"), &metrics).unwrap();
    sandbox.ok(&["train", "--resume", "run", "--epochs", "4", "--quiet", "--no-report"]);
    assert_eq!(sandbox.bytes("precious"), b"text");
    assert_eq!(text(&sandbox.bytes("run/metrics.jsonl")).lines().count(), 4);
}

/// Runs a shell script with `$DENSELY`.
fn script(sandbox: &Sandbox, script: &str) -> std::process::Output {
    let mut command = Command::new("bash");
    command.args(["-c", script]).env("DENSELY", env!("CARGO_BIN_EXE_densely"));
    command.current_dir(sandbox.0.path()).output().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn limits_give_one_line() {
    let sandbox = Sandbox::new();
    for kilobytes in [80_000, 100_000, 200_000, 400_000] {
        let output =
            script(&sandbox, &format!("ulimit -v {kilobytes}; timeout 20 $DENSELY --version"));
        assert!(output.status.success(), "{kilobytes}: {}", text(&output.stderr));
        let train = "timeout 60 $DENSELY train data --epochs 1 --hidden 8 --quiet --no-report --threads 2 --out run";
        let output = script(&sandbox, &format!("ulimit -v {kilobytes}; rm -rf run; {train}"));
        let said = text(&output.stderr);
        match output.status.code() {
            Some(0) => {}
            Some(1) => {
                assert_eq!(said.lines().count(), 1, "{kilobytes}: {said}");
                assert!(said.contains("memory"), "{kilobytes}: {said}");
            }
            code => panic!("{kilobytes}: {code:?}: {said}"),
        }
    }
    if Path::new("/usr/bin/prlimit").exists() {
        let output = script(&sandbox, "prlimit --nproc=1 timeout 20 $DENSELY --version");
        assert_ne!(output.status.code(), Some(130), "{}", text(&output.stderr));
    }
}

#[test]
fn the_largest_seed_is_kept() {
    let sandbox = Sandbox::new();
    let seed = u64::MAX.to_string();
    sandbox.ok(&train("run", &["--seed", &seed]));
    assert!(text(&sandbox.bytes("run/config.toml")).contains(&seed));
    sandbox.ok(&["train", "--resume", "run", "--epochs", "4", "--quiet", "--no-report"]);
}
