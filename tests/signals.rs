//! Ctrl-C and similar signals: the state is saved, a message says how to continue, and the exit code names the signal.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

mod common;
#[path = "common/process.rs"]
mod process;

use std::process::{Child, Stdio};
use std::time::Duration;

use common::{Sandbox, json_lines, text, write_idx};
use densely::store::Checkpoint;
use process::{signal, wait_for};

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    write_idx(&sandbox.path("data"), 6000, 600);
    sandbox
}

fn steps(sandbox: &Sandbox, run: &str) -> u64 {
    let bytes = sandbox.bytes(&format!("{run}/checkpoint.safetensors"));
    Checkpoint::from_bytes(&bytes).unwrap().steps
}

fn ended(child: Child) -> (Option<i32>, String, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_signal_saves_the_state_within_an_epoch_and_the_run_resumes_bit_for_bit() {
    let sandbox = sandbox();
    let train = |out: &'static str| -> Vec<&str> {
        let args = "train data --epochs 80 --hidden 30,20 --lr 0.001 --batch-size 20 --threads 2 --no-report --quiet --json";
        args.split(' ').chain(["--out", out]).collect()
    };
    sandbox.ok(&train("whole"));
    for (name, code, out) in [("INT", 130, "int"), ("TERM", 143, "term")] {
        let mut args = train(out);
        let mut stops = 0;
        for time in 0.. {
            let mut command = sandbox.command(&args);
            let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let checkpoint = sandbox.path(out).join("checkpoint.safetensors");
            wait_for("the run", || checkpoint.exists());
            std::thread::sleep(Duration::from_millis(60 + 10 * time));
            signal(&child, name);
            let (found, stdout, stderr) = ended(child);
            match found {
                Some(0) => break, // the run was faster
                None => continue, // it did not listen yet, and had changed nothing
                Some(_) => {}
            }
            stops += 1;
            assert_eq!(found, Some(code), "{stderr}");
            let step = steps(&sandbox, out);
            assert!(
                stderr.starts_with(&format!("interrupted by SIG{name} after step {step} ")),
                "{stderr}"
            );
            assert!(stderr.contains(&format!("densely train --resume {out}")), "{stderr}");
            let lines = json_lines(&stdout);
            let last = lines.last().unwrap();
            assert_eq!((&last["event"], &last["step"]), (&"stopped".into(), &step.into()));
            args = vec!["train", "--resume", out, "--json", "--quiet", "--no-report"];
        }
        assert!(stops > 0, "no run was stopped");
        for file in ["best.safetensors", "last.safetensors"] {
            let bytes = |run: &str| sandbox.bytes(&format!("{run}/{file}"));
            assert!(bytes(out) == bytes("whole"), "{out}/{file} after {stops} stops");
        }
    }
}

/// Steps that take some seconds; a signal waits for the one that is going on, and so do several at once; a later one does not.
#[test]
fn a_second_signal_ends_the_process_at_once() {
    let sandbox = sandbox();
    for (out, signals, apart) in [("once", 1, 0), ("echoed", 3, 5), ("twice", 2, 700)] {
        let args = ["train", "data", "--out", out, "--hidden", "2500,2500", "--batch-size", "5000"];
        let mut command = sandbox.command(&[&args[..], &["--threads", "1", "--quiet"]].concat());
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        let checkpoint = sandbox.path(out).join("checkpoint.safetensors");
        wait_for("the run", || checkpoint.exists());
        for _ in 0..signals {
            signal(&child, "INT");
            std::thread::sleep(Duration::from_millis(apart));
        }
        let is_one = apart < 500;
        let (code, _, stderr) = ended(child);
        assert_eq!(code, Some(130), "{stderr}");
        // the step that was going on is finished only if there was one request
        assert_eq!(steps(&sandbox, out), u64::from(is_one), "{out}: {stderr}");
        assert_eq!(stderr.contains("continue"), is_one, "{stderr}");
    }
}

#[test]
fn a_sweep_that_is_interrupted_resumes_by_the_same_command_or_the_printed_one() {
    let sandbox = sandbox();
    let sweep = |out: &'static str| -> Vec<&str> {
        let args = "sweep data --hidden 30,20;16 --lr 0.001,0.01 --epochs 60 --batch-size 20 --jobs 2 --threads 1 --no-report \
                    --quiet --json";
        args.split(' ').chain(["--out", out]).collect()
    };
    sandbox.ok(&sweep("whole"));
    let mut stops = 0;
    let printed = "sweep --config stopped/sweep.toml --out stopped --no-report --json --quiet";
    let command_line = format!("continue with: densely {printed}\n");
    let printed: Vec<&str> = printed.split(' ').collect();
    for time in 0.. {
        let args = if stops % 2 == 1 { printed.clone() } else { sweep("stopped") };
        let mut command = sandbox.command(&args);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for("the sweep", || sandbox.path("stopped/results.csv").exists());
        std::thread::sleep(Duration::from_millis(200 + 10 * time));
        signal(&child, "TERM");
        let (code, stdout, stderr) = ended(child);
        match code {
            Some(0) => break,
            None => continue,
            Some(_) => {}
        }
        stops += 1;
        assert_eq!(code, Some(143), "{stderr}");
        assert_eq!(json_lines(&stdout).last().unwrap()["event"], "stopped");
        assert!(
            stderr.contains("interrupted by SIGTERM") && stderr.contains(&command_line),
            "{stderr}"
        );
    }
    assert!(stops > 0, "the sweep was not stopped");
    let rows = json_lines(&text(&sandbox.bytes("whole/results.jsonl")));
    assert_eq!(rows.len(), 4);
    for row in rows {
        for file in ["best.safetensors", "last.safetensors"] {
            let bytes = |sweep: &str| {
                sandbox.bytes(&format!("{sweep}/{}/{file}", row["run"].as_str().unwrap()))
            };
            assert!(bytes("stopped") == bytes("whole"), "{} after {stops} stops", row["run"]);
        }
    }
}

#[test]
fn a_run_that_an_interruption_kept_from_its_first_epoch_has_no_rank() {
    let sandbox = sandbox();
    let args = "sweep data --hidden 300 --lr 0.001,0.01,0.1 --epochs 60 --batch-size 1 --jobs 2 --threads 1 --out stopped";
    let args: Vec<&str> = args.split(' ').collect();
    let mut command = sandbox.command(&args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("a run", || sandbox.path("stopped/1_lr0.001/checkpoint.safetensors").exists());
    signal(&child, "INT");
    let (code, stdout, stderr) = ended(child);
    assert_eq!((code, &stdout[..]), (Some(130), ""), "{stderr}");
    assert!(!stderr.contains("unfinished") && !stderr.contains("1/3"), "{stderr}");
    assert!(stderr.contains("data: 3 runs, at most 180 epochs, about "), "{stderr}");
    for name in ["results.csv", "results.jsonl"] {
        assert_eq!(text(&sandbox.bytes(&format!("stopped/{name}"))), "", "{name}");
    }
    let message = sandbox.fails(&["report", "stopped"], 2);
    assert!(message.contains("no run there has a finished epoch"), "{message}");
    let listed = json_lines(&sandbox.ok(&["runs", "stopped", "--json"]));
    assert!(listed.iter().all(|run| run["state"] == "unfinished" && run["epochs"] == 0));

    // one run has ended, another one has only its directory
    let done = "sweep data --hidden 8 --lr 0.001,0.01,0.1 --epochs 1 --batch-size 50 --out done";
    sandbox.ok(&done.split(' ').collect::<Vec<_>>());
    std::fs::remove_dir_all(sandbox.path("done/1_lr0.001")).unwrap();
    std::fs::remove_dir_all(sandbox.path("done/2_lr0.01")).unwrap();
    std::fs::create_dir(sandbox.path("done/2_lr0.01")).unwrap();
    sandbox.ok(&["report", "done"]);
    let page = text(&sandbox.bytes("done/report.html"));
    assert!(page.contains("3_lr0.1") && !page.contains("1_lr0.001") && !page.contains("2_lr0.01"));
}
