//! The command line end to end, on a small data set made here.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Sandbox, header, json_lines, text, timeless, write_idx};
use densely::gemm::Backend;
use serde_json::Value;

#[test]
fn train_leaves_a_model_that_eval_reads() {
    let sandbox = Sandbox::new();
    let summary = sandbox.train("run", &["--epochs", "6"]);
    assert!(summary.contains("test accuracy"), "{summary}");
    let files: BTreeSet<String> = std::fs::read_dir(sandbox.path("run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let expected = ["best", "checkpoint", "checkpoint-previous", "last"];
    let expected = expected.map(|name| format!("{name}.safetensors"));
    let pictures = ["calibration", "confusion", "convergence", "convergence-by-time"];
    let pictures = pictures.into_iter().chain(["mistakes", "roc", "samples", "weights"]);
    let pictures = pictures.flat_map(|name| ["svg", "png"].map(|e| format!("{name}.{e}")));
    let others = ["config.toml", "metrics.jsonl", "report.html", "results.json"].map(str::to_owned);
    let mut expected: BTreeSet<String> =
        expected.into_iter().chain(pictures).chain(others).collect();
    if !files.contains("mistakes.svg") {
        expected.retain(|name| !name.starts_with("mistakes")); // there are none to show
    }
    assert_eq!(files, expected);
    assert_eq!(json_lines(&text(&sandbox.bytes("run/metrics.jsonl"))).len(), 6);

    let line = sandbox.ok(&["eval", "run/best.safetensors", "data", "--json"]);
    let result: Value = serde_json::from_str(line.trim()).unwrap();
    assert_eq!(result["samples"], 60); // the test file
    assert!(result["accuracy"].as_f64().unwrap() > 0.9, "{line}");
    assert!(summary.contains(&format!("loss {:.4}", result["loss"].as_f64().unwrap())));
    for (part, samples) in [("train", 220), ("val", 20), ("all", 300)] {
        let line = sandbox.ok(&["eval", "run/best.safetensors", "data", "--part", part, "--json"]);
        assert_eq!(json_lines(&line)[0]["samples"], samples, "{part}");
    }
    let line = sandbox.ok(&["eval", "run/best.safetensors", "data", "--split", "canonical"]);
    assert!(line.contains("60 samples"), "{line}");
}

#[test]
fn json_lines_are_start_epochs_and_done() {
    let sandbox = Sandbox::new();
    let out = sandbox.train("run", &["--epochs", "3", "--json", "--quiet", "--seed", "9"]);
    let lines = json_lines(&out);
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["start", "epoch", "epoch", "epoch", "done"]);
    let start = &lines[0];
    assert_eq!((start["seed"].as_u64(), start["threads"].as_u64()), (Some(9), Some(2)));
    assert_eq!(start["parameters"], 20 * 16 + 16 + 16 * 8 + 8 + 8 * 3 + 3);
    assert_eq!(start["backend"], Backend::auto().name());
    assert_eq!(start["hidden"], serde_json::json!([16, 8]));
    assert_eq!(start["activations"], serde_json::json!(["relu", "relu"]));
    for (i, epoch) in lines[1..4].iter().enumerate() {
        assert_eq!(epoch["epoch"], i + 1);
        for key in ["train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds"] {
            assert!(epoch[key].is_f64(), "{key}: {epoch}");
        }
        assert!(epoch["samples_per_second"].as_f64().unwrap() > 0.0);
        assert!((0.0..=1.0).contains(&epoch["val_accuracy"].as_f64().unwrap()));
    }
    let done = &lines[4];
    for key in ["val_accuracy", "test_loss", "test_accuracy", "seconds"] {
        assert!(done[key].is_f64(), "{key}: {done}");
    }
    assert_eq!(done["run_dir"], "run");
    assert!((1..=3).contains(&done["best_epoch"].as_u64().unwrap()));
    assert_eq!(json_lines(&text(&sandbox.bytes("run/metrics.jsonl"))), lines[1..4]);
}

#[test]
fn reruns_and_resumed_runs_are_equal_to_the_byte() {
    let sandbox = Sandbox::new();
    for backend in if cfg!(feature = "openblas") { &["blas", "rust"][..] } else { &["rust"] } {
        let dir = |name: &str| format!("{backend}-{name}");
        let run = |name: &str, more: &[&str]| {
            let out =
                sandbox.train(&dir(name), &[&["--backend", backend, "--json"], more].concat());
            timeless(&json_lines(&out)[1..])
        };
        run("a", &["--epochs", "5"]);
        run("b", &["--epochs", "5"]);
        run("c", &["--epochs", "2"]);
        sandbox.ok(&["train", "--resume", &dir("c"), "--epochs", "5", "--quiet"]);
        for name in ["best.safetensors", "last.safetensors", "config.toml"] {
            let bytes = |run: &str| sandbox.bytes(&format!("{}/{name}", dir(run)));
            assert_eq!(bytes("a"), bytes("b"), "{name}");
            assert_eq!(bytes("a"), bytes("c"), "{name}");
        }
        let metrics = |run: &str| {
            timeless(&json_lines(&text(&sandbox.bytes(&format!("{}/metrics.jsonl", dir(run))))))
        };
        assert_eq!(metrics("a"), metrics("b"));
        assert_eq!(metrics("a"), metrics("c"));
    }
}

#[test]
fn resuming_a_finished_run_changes_nothing_and_a_run_without_checkpoint_starts_again() {
    let sandbox = Sandbox::new();
    let summary = sandbox.train("run", &["--epochs", "2"]);
    let names = ["config.toml", "metrics.jsonl", "best.safetensors", "checkpoint.safetensors"];
    let files = || names.map(|name| sandbox.bytes(&format!("run/{name}")));
    let before = files();
    let output = sandbox.run(&["train", "--resume", "run"]);
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("finished"));
    assert_eq!(text(&output.stdout), summary);
    assert_eq!(files(), before);

    std::fs::remove_file(sandbox.path("run/checkpoint.safetensors")).unwrap();
    sandbox.ok(&["train", "--resume", "run", "--quiet"]);
    assert_eq!(sandbox.bytes("run/best.safetensors"), before[2]);
}

#[test]
fn a_directory_with_a_run_is_rejected() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "1"]);
    let before = sandbox.bytes("run/last.safetensors");
    let message = sandbox.fails(&["train", "data", "--out", "run"], 2);
    assert!(message.contains("--resume"), "{message}");
    assert_eq!(sandbox.bytes("run/last.safetensors"), before);
    let message = sandbox.fails(&["train", "--resume", "data"], 2);
    assert!(message.contains("holds no run"), "{message}");
}

#[test]
fn a_run_can_start_from_a_model_and_contradictions_are_rejected() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "1", "--activations", "tanh,selu"]);
    let model = "run/last.safetensors";
    let start = ["train", "data", "--init-from", model, "--epochs", "1"];
    sandbox.ok(&[&start[..], &["--out", "next"]].concat());
    let config = text(&sandbox.bytes("next/config.toml"));
    assert!(config.contains(r#"activations = ["tanh", "selu"]"#), "{config}");
    for (more, expected) in [
        (["--hidden", "16"], "has [16, 8]"),
        (["--activations", "relu"], "the activations are tanh,selu, not relu"),
        (["--init", "he"], "--init he: expected auto, because init_from names"),
    ] {
        let message = sandbox.fails(&[&start[..], &more].concat(), 2);
        assert!(message.contains(expected), "{message}");
    }
    assert!(!sandbox.path("runs").exists(), "a refused run leaves no directory");
}

#[test]
fn impossible_flags_are_usage_errors() {
    let sandbox = Sandbox::new();
    for (flags, expected) in [
        (&["--batch-size", "0"][..], "--batch-size 0: expected at least 1"),
        (&["--epochs", "0"], "--epochs 0"),
        (&["--threads", "0"], "--threads 0"),
        (&["--threads", "100000"], "expected 1 to 1024"),
        (&["--lr", "-1"], "--lr -1"),
        (&["--lr", "nan"], "--lr NaN"),
        (&["--lr", "fast"], "expected a number"),
        (&["--hidden", "3,,4"], "expected sizes such as"),
        (&["--hidden", "0"], "expected at least 1"),
        (&["--hidden", "99999999999999999999"], "too large"),
        (&["--hidden", "9223372036854775807"], "expected smaller hidden layers"),
        (&["--hidden", "4294967295,4294967295"], "expected smaller hidden layers"),
        (&["--activations", "relu6"], "expected one of identity, relu"),
        (&["--activations", "relu,relu"], "2 activations, hidden layers: 3"),
        (&["--init", "zeros"], "possible values"),
        (&["--backend", "gpu"], "possible values"),
        (&["--split", "1,2"], "expected `auto`, `pooled`"),
        (&["--split", "300,1,0"], "300 + 1 + 0 samples asked for, data has 300"),
        (&["--split", "0.9,0.2,0.1"], "more than 1"),
        (&["--patience", "0"], "--patience 0"),
        (&["--weight-decay", "-0.1"], "--weight-decay"),
        (&["--no-such-flag"], "unexpected argument"),
        (&["--resume", "x", "--lr", "1"], "cannot be used with"),
    ] {
        let message = sandbox.fails(&[&["train", "data"], flags].concat(), 2);
        assert!(message.contains(expected), "{flags:?}: {message}");
    }
    assert!(!sandbox.path("runs").exists(), "a refused run leaves no directory");
    let output = sandbox.run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("First steps"));
}

#[test]
fn more_memory_than_there_is_is_rejected() {
    let sandbox = Sandbox::new();
    let message = sandbox.fails(&["train", "data", "--hidden", "2000000,2000000"], 1);
    assert!(message.contains("GB of memory"), "{message}");
}

#[test]
fn bad_data_gets_one_line() {
    let sandbox = Sandbox::new();
    let images = sandbox.bytes("data/train-images-idx3-ubyte");
    let labels = sandbox.bytes("data/train-labels-idx1-ubyte");
    let mut wrong_magic = images.clone();
    wrong_magic[3] = 9;
    let mut out_of_range = sandbox.bytes("data/t10k-labels-idx1-ubyte");
    out_of_range[20] = 77;
    let large = header(0x0803, &[0xffff_ffff, 28, 28]);
    let huge = header(0x0803, &[usize::MAX & 0xffff_ffff, 65_535, 65_535]);
    for (name, bytes, expected) in [
        ("train-images-idx3-ubyte", &images[..images.len() - 1], "truncated"),
        ("train-images-idx3-ubyte", &wrong_magic[..], "magic number"),
        ("train-images-idx3-ubyte", &huge, "overflow"),
        ("train-images-idx3-ubyte", &large, "GB of memory"),
        ("train-images-idx3-ubyte", b"", "truncated"),
        ("train-labels-idx1-ubyte", &labels[..7], "truncated"),
        ("train-labels-idx1-ubyte", &header(0x0801, &[0]), "0 labels, expected 240"),
        ("t10k-labels-idx1-ubyte", &out_of_range, "out of range"),
    ] {
        write_idx(&sandbox.path("data"), 240, 60);
        std::fs::write(sandbox.path("data").join(name), bytes).unwrap();
        let message = sandbox.fails(&["train", "data", "--epochs", "1"], 1);
        assert!(message.contains(expected), "{name}: {message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    for (data, expected) in [
        ("nowhere", "nothing of that name"),
        ("data/train-labels-idx1-ubyte", "found a file"),
        ("cache", "nothing of that name"),
        (".", "no train-images-idx3-ubyte here"),
    ] {
        let message = sandbox.fails(&["train", data], 1);
        assert!(message.contains(expected), "{data}: {message}");
    }
    assert!(!sandbox.path("runs").exists());
}

#[test]
fn bad_models_get_one_line() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "1"]);
    let model = sandbox.bytes("run/best.safetensors");
    for (name, bytes, expected) in [
        ("truncated", &model[..model.len() - 3], "it is truncated or not a safetensors file"),
        ("empty", b"", "it is empty; expected a model"),
        ("text", b"not a model at all, but long enough", "not a safetensors file"),
    ] {
        std::fs::write(sandbox.path(name), bytes).unwrap();
        let message = sandbox.fails(&["eval", name, "data"], 1);
        assert!(message.contains(name) && message.contains(expected), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    assert!(sandbox.fails(&["eval", "missing", "data"], 1).contains("cannot read missing"));
    assert!(sandbox.fails(&["eval", "data", "data"], 1).contains("expected a model file"));
    let split = ["eval", "run/best.safetensors", "data", "--split", "300,0,0", "--part", "test"];
    assert!(sandbox.fails(&split, 2).contains("no samples"));
    for command in ["eval", "inspect", "train"] {
        let checkpoint = "run/checkpoint.safetensors";
        let args = match command {
            "train" => vec!["train", "data", "--init-from", checkpoint],
            command => vec![command, checkpoint],
        };
        let message = sandbox.fails(&args, 1);
        assert!(
            message.contains("it is a checkpoint; expected a model, such as best"),
            "{message}"
        );
    }
    write_idx(&sandbox.path("other"), 12, 0);
    for name in ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        std::fs::remove_file(sandbox.path("other").join(name)).unwrap();
    }
    let images = [header(0x0803, &[12, 2, 2]), vec![0; 48]].concat();
    std::fs::write(sandbox.path("other/train-images-idx3-ubyte"), images).unwrap();
    let message = sandbox.fails(&["eval", "run/best.safetensors", "other"], 1);
    assert!(message.contains("the model expects images of 5x4"), "{message}");
}

#[test]
fn paths_that_cannot_be_written_fail_before_training() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.path("file"), "").unwrap();
    let message = sandbox.fails(&["train", "data", "--out", "file/run", "--quiet"], 1);
    assert!(message.contains("cannot create file/run"), "{message}");
    if Path::new("/proc/version").exists() {
        let message = sandbox.fails(&["train", "data", "--out", "/proc/run", "--quiet"], 1);
        assert!(message.contains("/proc/run"), "{message}");
    }
}

#[test]
fn empty_paths_are_refused_before_anything_is_made() {
    let sandbox = Sandbox::new();
    let before = std::fs::read_dir(sandbox.0.path()).unwrap().count();
    for (args, expected) in [
        (&["train", "data", "--out", ""][..], "--out is empty; expected a path"),
        (&["train", "data", "--out="], "--out is empty; expected a path"),
        (&["train", ""], "DATA is empty; expected a path"),
        (&["train", "data", "--init-from", ""], "--init-from is empty; expected a path"),
        (&["sweep", "data", "--out", ""], "--out is empty; expected a path"),
        (&["sweep", ""], "DATA is empty; expected a path"),
        (&["train", "--resume", ""], "--resume"),
        (&["train", "--config", ""], "--config"),
        (&["eval", ""], "<MODEL>"),
        (&["eval", "model", ""], "[DATA]"),
        (&["predict", "model", ""], "<INPUT>"),
        (&["inspect", ""], "<MODEL>"),
        (&["report", ""], "<DIR>"),
        (&["report", "run", "--out", ""], "--out"),
        (&["runs", ""], "[DIR]"),
        (&["bench", ""], "[DATA]"),
    ] {
        let message = sandbox.fails(args, 2);
        assert!(message.contains(expected), "{args:?}: {message}");
    }
    std::fs::write(sandbox.path("c.toml"), "out = ''").unwrap();
    let message = sandbox.fails(&["train", "data", "--config", "c.toml"], 2);
    assert!(message.contains("--config c.toml: out is empty; expected a path"), "{message}");
    assert_eq!(std::fs::read_dir(sandbox.0.path()).unwrap().count(), before + 1);
}

#[cfg(target_os = "linux")]
#[test]
fn help_that_cannot_be_written_is_an_error() {
    let sandbox = Sandbox::new();
    for args in [&["--help"][..], &["--version"], &["train", "--help"], &["help", "sweep"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_densely"));
        let output = command.args(args).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = text(&output.stderr);
        assert!(said.starts_with("error: cannot write to standard output"), "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!sandbox.ok(args).is_empty());
    }
}

#[test]
fn softmax_regression_and_other_depths_train() {
    let sandbox = Sandbox::new();
    for (i, hidden) in ["", "7", "9,8,7,6"].into_iter().enumerate() {
        let out = format!("run{i}");
        let args = ["train", "data", "--hidden", hidden, "--out", &out, "--epochs", "3"];
        sandbox.ok(&[&args[..], &["--lr", "0.01", "--batch-size", "7", "--quiet"]].concat());
    }
}

#[cfg(not(feature = "embedded-mnist"))]
#[test]
fn mnist_names_the_feature_that_it_needs() {
    let message = Sandbox::new().fails(&["train"], 1);
    assert!(message.contains("feature `embedded-mnist`"), "{message}");
}

#[cfg(feature = "embedded-mnist")]
#[test]
fn mnist_is_built_in_and_cached() {
    let sandbox = Sandbox::new();
    let train = ["train", "--hidden", "32", "--epochs", "1", "--json", "--quiet", "--out"];
    let first = json_lines(&sandbox.ok(&[&train[..], &["a"]].concat()));
    assert_eq!(
        ["train_samples", "val_samples", "test_samples"].map(|key| first[0][key].as_u64()),
        [Some(50_000), Some(5_000), Some(15_000)]
    );
    assert!(first[2]["test_accuracy"].as_f64().unwrap() > 0.88, "{first:?}");
    let cached = sandbox.path("cache/densely/mnist/train-images-idx3-ubyte");
    assert_eq!(std::fs::metadata(&cached).unwrap().len(), 16 + 60_000 * 784);

    // damage is repaired, and a cache that cannot be is done without
    std::fs::write(&cached, "damaged").unwrap();
    let again = json_lines(&sandbox.ok(&[&train[..], &["b"]].concat()));
    assert_eq!(timeless(&again[1..2]), timeless(&first[1..2]));
    std::fs::remove_dir_all(sandbox.path("cache")).unwrap();
    std::fs::write(sandbox.path("cache"), "a file in the way").unwrap();
    let output = sandbox.run(&["eval", "a/best.safetensors"]);
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("decoded in memory"), "{}", text(&output.stderr));
}

#[test]
fn closed_streams_do_not_stop_a_training() {
    let sandbox = Sandbox::new();
    for stream in ["stdout", "stderr"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_densely"));
        command.args(["train", "data", "--json", "--epochs", "3", "--out", stream]);
        command.current_dir(sandbox.0.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        match stream {
            "stdout" => drop(child.stdout.take()),
            _ => drop(child.stderr.take()),
        }
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{stream}: {}", text(&output.stderr));
        assert_eq!(text(&sandbox.bytes(&format!("{stream}/metrics.jsonl"))).lines().count(), 3);
    }
}

#[test]
fn a_resumed_run_repairs_its_files() {
    let sandbox = Sandbox::new();
    sandbox.train("run", &["--epochs", "3"]);
    // as a kill between two checkpoints leaves it: files of a later epoch than the checkpoint's
    let good = sandbox.bytes("run/best.safetensors");
    std::fs::write(sandbox.path("run/best.safetensors"), "later").unwrap();
    let metrics = text(&sandbox.bytes("run/metrics.jsonl"));
    std::fs::write(sandbox.path("run/metrics.jsonl"), metrics.clone() + &metrics).unwrap();
    let output = sandbox.run(&["train", "--resume", "run"]);
    assert!(text(&output.stderr).contains("all 3 epochs are done"), "{}", text(&output.stderr));
    assert_eq!(sandbox.bytes("run/best.safetensors"), good);
    assert_eq!(text(&sandbox.bytes("run/metrics.jsonl")), metrics);
    let message = sandbox.fails(&["train", "--resume", "run", "--epochs", "2"], 2);
    assert!(message.contains("has already begun epoch 3"), "{message}");

    let stale = ["train", "data", "--out", "stale", "--epochs", "50", "--patience", "1"];
    sandbox.ok(&[&stale[..], &["--lr", "0.9", "--quiet"]].concat());
    let output = sandbox.run(&["train", "--resume", "stale", "--epochs", "60"]);
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("patience of 1 ran out"), "{}", text(&output.stderr));
}

#[test]
fn batches_of_one_sample_train() {
    let sandbox = Sandbox::new();
    for (split, batch) in [("20,10,10", "1"), ("21,10,10", "20")] {
        let out = format!("run-{batch}");
        let args = [
            "train",
            "data",
            "--hidden",
            "64,40",
            "--threads",
            "2",
            "--epochs",
            "1",
            "--no-report",
        ];
        sandbox
            .ok(&[&args[..], &["--split", split, "--batch-size", batch, "--out", &out]].concat());
    }
}
