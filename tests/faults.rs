//! What the machine does to a run: full disks, directories that cannot be written, files that vanish, readers that go away,
//! a second process. Each ends in one line or not at all, and loses nothing that was saved.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/process.rs"]
mod process;

use std::path::Path;
use std::process::{Command, Stdio};

use common::{Sandbox, json_lines, text, timeless, write_idx};
use densely::model::Model;
use densely::store::Checkpoint;
use process::{say, wait_for};

const FILES: [&str; 3] = ["best.safetensors", "last.safetensors", "config.toml"];

fn train<'a>(out: &'a str, epochs: &'a str) -> Vec<&'a str> {
    let args = "train data --hidden 16,8 --lr 0.01 --batch-size 20 --threads 2 --checkpoint-every 10 --quiet --no-report";
    args.split(' ').chain(["--out", out, "--epochs", epochs]).collect()
}

/// Every model and checkpoint that is there is whole, and nothing is half-written.
fn assert_whole(path: &Path) {
    for entry in std::fs::read_dir(path).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        match &name[..] {
            "best.safetensors" | "last.safetensors" => {
                drop(Model::load(&entry.path(), &[]).unwrap())
            }
            "checkpoint.safetensors" | "checkpoint-previous.safetensors" => {
                drop(Checkpoint::from_bytes(&std::fs::read(entry.path()).unwrap()).unwrap());
            }
            "config.toml" | "metrics.jsonl" | "results.json" => {}
            other => panic!("{other} was left behind"),
        }
    }
}

fn assert_equal(sandbox: &Sandbox, run: &str, whole: &str) {
    for name in FILES {
        let bytes = |run: &str| sandbox.bytes(&format!("{run}/{name}"));
        assert!(bytes(run) == bytes(whole), "{run}: {name} differs from the undisturbed run's");
    }
    let metrics =
        |run: &str| timeless(&json_lines(&text(&sandbox.bytes(&format!("{run}/metrics.jsonl")))));
    assert_eq!(metrics(run), metrics(whole), "{run}");
}

/// The disk is full, or refuses to sync or rename, from one call on or only once, for each call.
#[test]
fn a_disk_that_fails_at_any_call_loses_nothing_that_was_saved() {
    let sandbox = Sandbox::new();
    let Some(shim) = sandbox.shim() else { return };
    sandbox.ok(&train("whole", "5"));
    for fault in
        ["fail write", "fail-once write", "fail fsync", "fail-once fsync", "fail-once rename"]
    {
        let (mut faults, mut ended, mut survived) = (0, 0, 0);
        loop {
            faults += 1;
            let mut command = sandbox.command(&train("run", "5"));
            command.env("LD_PRELOAD", &shim).env("DENSELY_SHIM", format!("{fault} {faults} 28"));
            command.env("DENSELY_SHIM_MARK", sandbox.path("mark"));
            let output = command.stderr(Stdio::piped()).output().unwrap();
            let (path, message) = (sandbox.path("run"), text(&output.stderr));
            let happened = std::fs::remove_file(sandbox.path("mark")).is_ok();
            assert_whole(&path);
            if output.status.success() {
                assert_equal(&sandbox, "run", "whole");
                std::fs::remove_dir_all(path).unwrap();
                if !happened {
                    break; // there are no more calls
                }
                survived += 1;
                continue;
            }
            ended += 1;
            assert_eq!(output.status.code(), Some(1), "{message}");
            assert!(message.starts_with("error: ") && message.lines().count() == 1, "{message}");
            assert!(message.contains("No space left on device"), "{message}");
            let begun = path.join("config.toml").exists();
            let saved = ["checkpoint.safetensors", "checkpoint-previous.safetensors"];
            let saved = saved.iter().any(|name| path.join(name).exists());
            assert_eq!(message.contains("densely train --resume run"), saved, "{message}");
            let resume = ["train", "--resume", "run", "--quiet", "--no-report"];
            sandbox.ok(&if begun { resume.to_vec() } else { train("run", "5") });
            assert_equal(&sandbox, "run", "whole");
            std::fs::remove_dir_all(path).unwrap();
        }
        say(&format!(
            "faults: `{fault}`: ended {ended} runs, each of which went on; {survived} runs went on by themselves"
        ));
        assert!(ended + survived > 10, "{fault}: {ended} {survived}");
    }
}

/// A script in a file system of its own, `disk`, of 200 kB; `None`, and said aloud, where that is not allowed.
fn in_small_disk(sandbox: &Sandbox, script: &str) -> Option<String> {
    std::fs::create_dir(sandbox.path("disk")).unwrap();
    let mount = "mount -t tmpfs -o size=200k tmpfs disk";
    for flags in [&["-m"][..], &["-rm"]] {
        let run = |script: &str| {
            let mut command = Command::new("unshare");
            command.args(flags).args(["sh", "-c", script]).current_dir(sandbox.0.path());
            command.env("DENSELY", env!("CARGO_BIN_EXE_densely")).output()
        };
        if run(mount).is_ok_and(|output| output.status.success()) {
            let output = run(&format!("set -e; {mount}; {script}")).unwrap();
            let shown = text(&output.stdout) + &text(&output.stderr);
            assert!(output.status.success(), "{shown}");
            return Some(shown);
        }
    }
    say("skipped: this system does not let a test mount a file system (unshare, mount)");
    None
}

#[test]
fn a_disk_that_is_really_full_ends_a_run_that_resumes_when_there_is_space() {
    let sandbox = Sandbox::new();
    // some 130 kB of parameters: the first files of the run fit, a later one does not
    let args =
        "train data --hidden 90,60 --batch-size 20 --threads 2 --epochs 3 --no-report --quiet";
    sandbox.ok(&[&args.split(' ').collect::<Vec<_>>()[..], &["--out", "whole"]].concat());
    let script = format!(
        "code=0; $DENSELY {args} --out disk/run || code=$?; echo code $code; ls -a disk/run; \
         mount -o remount,size=9m disk; $DENSELY train --resume disk/run --quiet --no-report; cp -r disk/run run"
    );
    let Some(shown) = in_small_disk(&sandbox, &script) else { return };
    assert!(shown.contains("code 1"), "{shown}");
    assert!(shown.contains("No space left on device") && !shown.contains("panicked"), "{shown}");
    assert!(!shown.contains(".densely-"), "{shown}");
    assert_equal(&sandbox, "run", "whole");
}

#[test]
fn a_directory_that_becomes_read_only_is_reported_and_left_as_it_was() {
    let sandbox = Sandbox::new();
    let args = "train data --hidden 8 --batch-size 20 --threads 2 --no-report --quiet";
    let script = format!(
        "$DENSELY {args} --epochs 2 --out disk/run; cp -r disk/run before; mount -o remount,ro disk; code=0; \
         $DENSELY train --resume disk/run --epochs 4 --quiet --no-report || code=$?; echo code $code; code=0; \
         $DENSELY {args} --out disk/new || code=$?; echo new $code; diff -r before disk/run && echo unchanged; \
         mount -o remount,rw disk; $DENSELY train --resume disk/run --epochs 4 --quiet --no-report"
    );
    let Some(shown) = in_small_disk(&sandbox, &script) else { return };
    assert!(shown.contains("code 1") && shown.contains("new 1"), "{shown}");
    assert!(shown.contains("Read-only file system") && !shown.contains("panicked"), "{shown}");
    assert!(shown.contains("unchanged") && shown.contains("best epoch"), "{shown}");
}

#[test]
fn a_path_that_cannot_be_written_fails_before_the_training() {
    let sandbox = Sandbox::new();
    let places: &[&str] =
        if cfg!(target_os = "linux") { &["/proc/run", "data/none/\0"] } else { &[] };
    for place in places.iter().filter(|place| !place.contains('\0')) {
        let message = sandbox.fails(&train(place, "5"), 1);
        assert!(message.contains(place) && message.lines().count() == 1, "{message}");
    }
    std::fs::write(sandbox.path("file"), "").unwrap();
    let message = sandbox.fails(&train("file/run", "5"), 1);
    assert!(message.contains("file/run"), "{message}");
}

#[test]
fn files_that_vanish_are_written_again_and_a_directory_that_vanishes_is_reported() {
    let sandbox = Sandbox::new();
    write_idx(&sandbox.path("data"), 6000, 600);
    let lines = |path: &Path| std::fs::read_to_string(path).map_or(0, |text| text.lines().count());
    let metrics = sandbox.path("run/metrics.jsonl");

    sandbox.ok(&train("whole", "30"));
    let mut child = sandbox.start(&train("run", "30"));
    wait_for("three epochs", || lines(&metrics) >= 3);
    for name in ["metrics.jsonl", "config.toml", "best.safetensors"] {
        std::fs::remove_file(sandbox.path("run").join(name)).unwrap();
    }
    // it has another name for a moment whenever it is replaced
    drop(std::fs::remove_file(sandbox.path("run/checkpoint.safetensors")));
    assert!(child.0.wait().unwrap().success());
    assert_equal(&sandbox, "run", "whole");
    assert_whole(&sandbox.path("run"));

    // another run in the place of one that is training: the first does not write into it
    let child = sandbox.command(&train("replaced", "3000")).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("an epoch", || lines(&sandbox.path("replaced/metrics.jsonl")) >= 1);
    std::fs::rename(sandbox.path("replaced"), sandbox.path("moved")).unwrap();
    sandbox.ok(&train("replaced", "30"));
    let output = child.wait_with_output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("replaced") && message.lines().count() == 1, "{message}");
    assert_equal(&sandbox, "replaced", "whole");

    let mut command = sandbox.command(&train("gone", "3000"));
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    wait_for("an epoch", || lines(&sandbox.path("gone/metrics.jsonl")) >= 1);
    while sandbox.path("gone").exists() {
        drop(std::fs::remove_dir_all(sandbox.path("gone"))); // a file may be made meanwhile
    }
    let output = child.wait_with_output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.starts_with("error: ") && message.contains("No such file"), "{message}");
}

#[test]
fn a_reader_that_goes_away_does_not_stop_the_training() {
    let sandbox = Sandbox::new();
    sandbox.ok(&train("whole", "5"));
    for (out, more) in [("json", &["--json"][..]), ("plain", &[])] {
        let mut command = sandbox.command(&[&train(out, "5")[..], more].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert!(child.wait().unwrap().success(), "{out}");
        assert_equal(&sandbox, out, "whole");
    }
    if cfg!(target_os = "linux") {
        let full = format!("$DENSELY {} --json >/dev/full", train("full", "5").join(" "));
        let mut shell = Command::new("sh");
        shell.args(["-c", &full]).current_dir(sandbox.0.path());
        let output = shell.env("DENSELY", env!("CARGO_BIN_EXE_densely")).output().unwrap();
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains("cannot write standard output: No space left"), "{message}");
        assert_equal(&sandbox, "full", "whole");
    }
    let closed = "$DENSELY train data --epochs 1 --hidden 8 --out closed >&- 2>&- <&-";
    let mut shell = Command::new("sh");
    shell.args(["-c", closed]).current_dir(sandbox.0.path());
    shell.env("DENSELY", env!("CARGO_BIN_EXE_densely"));
    assert!(shell.status().unwrap().success());
    assert!(sandbox.path("closed/report.html").exists());
}

#[test]
fn a_second_process_is_kept_out_of_a_run_and_of_a_sweep() {
    let sandbox = Sandbox::new();
    write_idx(&sandbox.path("data"), 6000, 600);
    let mut run = sandbox.start(&train("run", "3000"));
    let sweep_args =
        "sweep data --hidden 8 --lr 0.01,0.02 --batch-size 20 --epochs 3000 --out sweep --quiet";
    let sweep_args: Vec<&str> = sweep_args.split(' ').collect();
    let mut sweep = sandbox.start(&sweep_args);
    let begun = |path: &str| sandbox.path(path).join("checkpoint.safetensors").exists();
    wait_for("both", || begun("run") && begun("sweep/1_lr0.01"));
    let second = sandbox.fails(&["train", "--resume", "run"], 2);
    assert!(second.contains("run is in use by another densely"), "{second}");
    let again = sandbox.fails(&train("run", "5"), 2);
    assert!(again.contains("already holds a run"), "{again}");
    let second = sandbox.fails(&sweep_args, 2);
    assert!(second.contains("sweep is in use by another densely"), "{second}");
    for running in [&mut run, &mut sweep] {
        assert!(running.0.try_wait().unwrap().is_none(), "it is no longer running");
    }
    drop((run, sweep));
    // a killed process holds no lock
    let mut next = sandbox.start(&["train", "--resume", "run"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(next.0.try_wait().unwrap().is_none(), "the run does not resume");
}

/// Some file systems answer `fsync`, of directories or of everything, with EBADF, EINVAL, ENOSYS or EOPNOTSUPP.
#[test]
fn a_file_system_that_cannot_sync_is_used_all_the_same() {
    let sandbox = Sandbox::new();
    let Some(shim) = sandbox.shim() else { return };
    sandbox.ok(&train("whole", "3"));
    for (error, is_accepted) in [(9, true), (22, true), (38, true), (95, true), (5, false)] {
        let mut command = sandbox.command(&train("run", "3"));
        command.env("LD_PRELOAD", &shim).env("DENSELY_SHIM", format!("fail fsync 1 {error}"));
        command.env("DENSELY_SHIM_MARK", sandbox.path("mark"));
        let output = command.stderr(Stdio::piped()).output().unwrap();
        assert!(std::fs::remove_file(sandbox.path("mark")).is_ok(), "{error}: nothing was synced");
        assert_eq!(output.status.success(), is_accepted, "{error}: {}", text(&output.stderr));
        if is_accepted {
            assert_equal(&sandbox, "run", "whole");
        }
        drop(std::fs::remove_dir_all(sandbox.path("run")));
    }
}

/// What may not be read is said to be that, and not to be missing.
#[test]
fn files_that_may_not_be_read_are_named_as_such() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::process::CommandExt as _;
    let sandbox = Sandbox::new();
    sandbox.ok(&train("run", "1"));
    let mode = |name: &str, mode: u32| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(sandbox.path(name), permissions).unwrap();
    };
    // root may read everything: there, another user runs a copy of the program
    let is_root = sandbox.0.path().metadata().unwrap().uid() == 0;
    std::fs::copy(env!("CARGO_BIN_EXE_densely"), sandbox.path("program")).unwrap();
    mode(".", 0o755);
    for (hidden, args, expected) in [
        ("data", "eval run data", "data"),
        ("data/train-labels-idx1-ubyte", "eval run data", "train-labels-idx1-ubyte"),
        ("run/best.safetensors", "inspect run", "best.safetensors"),
        ("run/config.toml", "train --config run/config.toml --print-config", "config.toml"),
        ("run", "inspect run/best.safetensors", "best.safetensors"),
        ("run", "train --resume run", "run"),
    ] {
        let before = std::fs::metadata(sandbox.path(hidden)).unwrap().permissions();
        mode(hidden, 0);
        let mut command = Command::new(sandbox.path("program"));
        command.args(args.split(' ')).current_dir(sandbox.0.path()).stdin(Stdio::null());
        if is_root {
            command.uid(65534).gid(65534);
        }
        // while the copy was being written, another test may have forked: until its child runs a program of its own, the copy is busy (ETXTBSY)
        let output = loop {
            match command.output() {
                Err(error) if error.raw_os_error() == Some(26) => {
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                other => break other.unwrap(),
            }
        };
        std::fs::set_permissions(sandbox.path(hidden), before).unwrap();
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args}: {message}");
        let error: Vec<&str> = message.lines().filter(|line| line.starts_with("error:")).collect();
        assert!(
            error.len() == 1
                && error[0].contains("ermission denied")
                && error[0].contains(expected),
            "{args} without {hidden}: {message}"
        );
    }
}
