//! Sizes from outside that exceed any memory: one line and exit code 1, no panic, no abort, no attempt.
#![cfg(target_os = "linux")]
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::process::Command;

use common::{Sandbox, header, json_lines, text};
use densely::model::{Layout, Model, Spec};

/// Address space for the commands, in KiB: 4 GB on whatever machine this is.
const ADDRESS_SPACE: &str = "4000000";

/// Runs a command of the shell within [`ADDRESS_SPACE`], where `densely` is the program; returns its exit code, standard output
/// and standard error.
fn limited(sandbox: &Sandbox, command: &str) -> (Option<i32>, String, String) {
    let script = format!(
        "ulimit -v {ADDRESS_SPACE}; densely() {{ '{}' \"$@\"; }}; {command}",
        env!("CARGO_BIN_EXE_densely")
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(sandbox.0.path());
    let output = shell.env("XDG_CACHE_HOME", sandbox.path("cache")).output().unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The line of a command that must fail.
fn refused(sandbox: &Sandbox, command: &str) -> String {
    let (code, out, error) = limited(sandbox, command);
    assert_eq!((code, &out[..]), (Some(1), ""), "{command}: {error}");
    assert!(error.starts_with("error: ") && error.lines().count() == 1, "{command}: {error}");
    error
}

/// A model of 20 inputs and a number of classes, all zeros.
fn write_model(sandbox: &Sandbox, name: &str, classes: usize) {
    let spec = Spec::new(20, &[], &[], classes).unwrap();
    let params = vec![0.0; Layout::new(&spec).unwrap().len()];
    Model::new(spec, params, None).unwrap().save(&sandbox.path(name)).unwrap();
}

#[test]
fn networks_that_do_not_fit_are_rejected() {
    let sandbox = Sandbox::new();
    for command in ["train data --out run", "bench data --batch-size 10 --seconds 1"] {
        let message = refused(&sandbox, &format!("densely {command} --hidden 20000,20000"));
        assert!(message.contains("GB of memory, more than is available"), "{command}: {message}");
    }
    assert!(!sandbox.path("run").exists());
    // the limit stops nothing that fits, however large the batch is said to be
    let batch = "--batch-size 9223372036854775807 --epochs 1 --threads 1 --no-report";
    let (code, _, error) =
        limited(&sandbox, &format!("densely train data --hidden 8 {batch} --quiet --out run"));
    assert_eq!(code, Some(0), "{error}");
}

#[test]
fn a_run_of_a_sweep_that_does_not_fit_fails_alone() {
    let sandbox = Sandbox::new();
    let grid = "--hidden '4;20000,20000' --lr 0.01 --batch-size 20 --epochs 1 --threads 1 --quiet";
    let command = format!("densely sweep data {grid} --no-report --out sweep");
    let (code, _, error) = limited(&sandbox, &command);
    assert!(matches!(code, Some(0 | 1)) && !error.contains("panicked"), "{code:?}: {error}");
    let results = std::fs::read_to_string(sandbox.path("sweep/results.jsonl")).unwrap();
    let statuses: Vec<_> = json_lines(&results).iter().map(|row| row["status"].clone()).collect();
    assert_eq!(statuses, ["done", "failed"], "{results}");
    assert!(results.contains("GB of memory"), "{results}");
}

#[test]
fn outputs_that_do_not_fit_are_rejected() {
    let sandbox = Sandbox::new();
    write_model(&sandbox, "wide", 200_000);
    let message = refused(&sandbox, "densely eval wide data --part all");
    assert!(message.contains("the confusion matrix"), "{message}");
    let mut images = header(0x0803, &[10_000, 5, 4]);
    images.resize(images.len() + 200_000, 7);
    std::fs::write(sandbox.path("images"), images).unwrap();
    let message = refused(&sandbox, "densely predict wide images");
    assert!(message.contains("the output of 10000 samples needs 8.0 GB"), "{message}");
}

#[test]
fn files_that_do_not_fit_are_rejected_unread() {
    let sandbox = Sandbox::new();
    write_model(&sandbox, "model", 3);
    File::create(sandbox.path("sparse")).unwrap().set_len(1 << 40).unwrap();
    for command in ["inspect sparse", "predict sparse sparse", "train data --init-from sparse"] {
        let message = refused(&sandbox, &format!("densely {command}"));
        assert!(message.contains("sparse needs 1099.5 GB of memory"), "{command}: {message}");
    }
    let message = refused(&sandbox, "densely inspect /dev/zero");
    assert!(message.contains("/dev/zero: more than 1073741824 bytes"), "{message}");
    let (code, _, message) = limited(&sandbox, "densely train --config /dev/zero");
    assert_eq!(code, Some(2), "{message}");
    assert!(message.contains("more than 1048576 bytes"), "{message}");
    // a header of 16 bytes that promises 5 GB, and no end of them
    std::fs::write(sandbox.path("header"), header(0x0803, &[250_000_000, 5, 4])).unwrap();
    for command in
        ["cat header /dev/zero | densely predict model -", "densely predict model header"]
    {
        let message = refused(&sandbox, command);
        assert!(message.contains("needs 5.0 GB of memory"), "{command}: {message}");
    }
    // what is there is read no further than the header promises
    std::fs::write(sandbox.path("header"), header(0x0803, &[250, 5, 4])).unwrap();
    let message = refused(&sandbox, "cat header /dev/zero | densely predict model -");
    assert!(message.contains("promises 5000 bytes"), "{message}");
    let message = refused(
        &sandbox,
        "cat header /dev/zero | head -c 99999999 | gzip -1 | densely predict model -",
    );
    assert!(message.contains("promises 5000 bytes"), "{message}");
}
