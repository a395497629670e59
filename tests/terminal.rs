//! What a terminal shows, and a pipe does not: colour, tables that fit, bars.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

mod common;
#[path = "common/process.rs"]
mod process;

use std::process::{Command, Stdio};

use common::{Sandbox, text};

const TRAIN: &str = "train data --hidden 8 --epochs 3 --batch-size 20 --no-report --out";

/// What a terminal with a number of columns receives from a command; `None`, and said aloud, where none can be made.
fn on_terminal(sandbox: &Sandbox, columns: usize, env: &str, args: &str) -> Option<String> {
    let binary = env!("CARGO_BIN_EXE_densely");
    let line = format!("stty cols {columns} rows 50; {env} '{binary}' {args}");
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(sandbox.0.path());
    command.env("XDG_CACHE_HOME", sandbox.path("cache")).env("TERM", "xterm");
    command.env("SHELL", "/bin/sh");
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
        command.env_remove(variable);
    }
    let output = command.stdin(Stdio::null()).output().ok().filter(|out| out.status.success());
    if output.is_none() {
        process::say("skipped: `script` of util-linux makes the terminal of this test");
    }
    output.map(|output| text(&output.stdout))
}

#[test]
fn a_pipe_gets_no_colour_and_the_whole_table() {
    let sandbox = Sandbox::new();
    let args: Vec<&str> = TRAIN.split(' ').chain(["run"]).collect();
    let output = sandbox.run(&args);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(!stdout.contains('\u{1b}') && !stderr.contains('\u{1b}'), "{stdout}{stderr}");
    let head = "  epoch  train loss  accuracy    val loss  accuracy   seconds   samples/s\n";
    assert!(stderr.contains(head) && stdout.ends_with("model: run/best.safetensors\n"));
    let next = "next: densely eval run              scores per class, confusion matrix\n\
                next: densely predict run INPUT...  classify images in IDX files\n";
    assert!(stderr.ends_with(next), "{stderr}");
    for quiet in ["--quiet", "--json"] {
        let output =
            sandbox.run(&[&TRAIN.split(' ').collect::<Vec<_>>()[..], &[quiet, quiet]].concat());
        assert!(!text(&output.stderr).contains("next:"), "{quiet}");
    }
}

#[test]
fn a_terminal_gets_colour_unless_it_is_not_wanted_and_tables_that_fit() {
    let sandbox = Sandbox::new();
    let Some(shown) = on_terminal(&sandbox, 80, "", &format!("{TRAIN} colour")) else { return };
    assert!(shown.contains("\u{1b}[1m\u{1b}[32m    1/3  "), "the best epoch: {shown}");
    assert!(shown.contains("\u{1b}[36mcolour/best.safetensors\u{1b}[0m"), "a path: {shown}");
    for (env, out) in [
        ("NO_COLOR=1", "none"),
        ("TERM=dumb", "dumb"),
        ("TERM=dumb CI=true", "service"),
        ("CLICOLOR=0 CI=true", "off"),
    ] {
        let Some(shown) = on_terminal(&sandbox, 80, env, &format!("{TRAIN} {out}")) else { return };
        // bars may move the cursor, but nothing has a colour
        let colours = shown.split("\u{1b}[").filter(|part| {
            part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
        });
        assert_eq!(colours.count(), 0, "{env}: {shown:?}");
    }
    let Some(shown) = on_terminal(&sandbox, 40, "NO_COLOR=1", "eval colour") else { return };
    let widest = shown.lines().map(|line| line.trim_end().chars().count()).max();
    assert!(widest <= Some(40) && shown.contains("     recall         F1\r\n"), "{shown}");
    let Some(shown) = on_terminal(&sandbox, 40, "NO_COLOR=1", &format!("{TRAIN} narrow")) else {
        return;
    };
    assert!(shown.contains("  epoch    val loss  accuracy\r\n"), "{shown:?}");
}
