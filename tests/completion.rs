//! Tab completion: what the program offers for a command line, and what the shells make of it.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/process.rs"]
mod process;

use common::Sandbox;

/// A sandbox with a run, a file of settings, and a folder whose name has to be quoted.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    for folder in ["runs/first", "my folder/inner", "auto", ".hidden", "-odd"] {
        std::fs::create_dir_all(sandbox.path(folder)).unwrap();
    }
    for file in ["sweep.toml", "notes.txt", "runs/first/best.safetensors"] {
        std::fs::write(sandbox.path(file), "").unwrap();
    }
    sandbox
}

/// What is offered for the last of the words, without the help.
fn offers(sandbox: &Sandbox, words: &[&str]) -> Vec<String> {
    let lines = sandbox.ok(&[&["completions", "bash", "--", "densely"][..], words].concat());
    lines.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn values_and_paths_are_offered() {
    let sandbox = sandbox();
    let check = |words: &[&str], expected: &[&str]| {
        assert_eq!(offers(&sandbox, words), expected, "{words:?}");
    };
    let folders = ["auto/", "data/", "my folder/", "runs/"];
    let with = |word| [&[word][..], &folders].concat();
    let with_file = [&folders[..], &["sweep.toml"]].concat();
    check(&["train", ""], &with("mnist"));
    check(&["train", "m"], &["mnist", "my folder/"]);
    check(&["train", ".h"], &[".hidden/"]);
    check(&["train", ".."], &["../"]);
    check(&["train", "--resume", ""], &with("latest"));
    check(&["train", "--resume", "ru"], &["runs/"]);
    check(&["train", "--resume", "runs/"], &["runs/first/"]);
    check(&["train", "--resume=runs/f"], &["--resume=runs/first/"]);
    check(&["train", "--init-from", "runs/first/"], &["runs/first/best.safetensors"]);
    check(&["train", "--config", ""], &with_file);
    check(&["train", "--out", ""], &folders);
    for command in ["eval", "predict", "inspect", "report", "export"] {
        check(&[command, ""], &with("latest"));
    }
    check(&["report", "latest", "--out", "ru"], &["runs/"]);
    check(&["report", "latest", "auto", "l"], &["latest"]);
    check(&["runs", ""], &folders);
    check(&["eval", "runs/first/"], &["runs/first/best.safetensors"]);
    check(&["eval", "latest", "m"], &["mnist", "my folder/"]);
    check(&["bench", ""], &[&["mnist", "dense"][..], &folders].concat());
    check(&["bench", "de"], &["dense"]);
    check(&["predict", "latest", "no"], &["notes.txt"]);
    check(&["predict", "latest", "notes.txt", "sw"], &["sweep.toml"]);
    check(&["export", "latest", "--onnx", "no"], &["notes.txt"]);
    check(&["eval", "latest", "--part", ""], &["train", "val", "test", "all"]);
    check(&["predict", "latest", "--format", ""], &["csv", "jsonl", "npy"]);
    check(&["train", "--split", ""], &["auto", "pooled", "canonical"]);
    check(&["eval", "latest", "--split", "c"], &["canonical"]);
    check(&["train", "--shuffle", ""], &["on", "off"]);
    check(&["train", "--init", "g"], &["glorot"]);
    check(&["train", "--preset", ""], &["none", "noise", "distort", "quick", "tabular-s"]);
    check(&["sweep", "--preset", "d"], &["distort"]);
    check(&["sweep", "--init", "he,g"], &["he,glorot"]);
    check(&["eval", "latest", "--backend", "r"], &["rust"]);
    check(&["bench", "--backend", "rust,ru"], &["rust,rust"]);
}

#[test]
fn activations_are_offered_after_each_separator() {
    let sandbox = sandbox();
    let names = densely::model::Activation::ALL.map(|activation| activation.name().to_owned());
    assert_eq!(offers(&sandbox, &["train", "--activations", ""]), names);
    let after_comma = names.each_ref().map(|name| format!("relu,{name}"));
    assert_eq!(offers(&sandbox, &["train", "--activations", "relu,"]), after_comma);
    assert_eq!(offers(&sandbox, &["eval", "latest", "--activations", "relu,"]), after_comma);
    let after_semicolon = names.each_ref().map(|name| format!("relu,elu;{name}"));
    assert_eq!(offers(&sandbox, &["sweep", "--activations", "relu,elu;"]), after_semicolon);
    assert_eq!(offers(&sandbox, &["sweep", "--activations", "elu;relu,ta"]), ["elu;relu,tanh"]);
    // a single run has one list
    assert!(offers(&sandbox, &["train", "--activations", "relu;"]).is_empty());
}

#[test]
fn commands_and_flags_are_offered() {
    let sandbox = sandbox();
    assert_eq!(offers(&sandbox, &["r"]), ["report", "runs"]);
    assert_eq!(offers(&sandbox, &["help", "tr"]), ["train"]);
    assert_eq!(offers(&sandbox, &["doctor", ""]), ["--json", "--help"]);
    assert_eq!(offers(&sandbox, &["train", "--ep"]), ["--eps", "--epochs"]);
    assert_eq!(offers(&sandbox, &["train", "--epochs", "3", "--ep"]), ["--eps"]);
    assert!(offers(&sandbox, &["train", "--epochs", ""]).is_empty());
    // a switch takes a value after `=` alone
    assert_eq!(offers(&sandbox, &["train", "--deterministic", "mn"]), ["mnist"]);
    assert_eq!(offers(&sandbox, &["train", "-q", "mn"]), ["mnist"]);
    let values = ["--deterministic=on", "--deterministic=off"];
    assert_eq!(offers(&sandbox, &["train", "--deterministic="]), values);
    // after `--` there are no flags
    assert!(offers(&sandbox, &["train", "--", "--ep"]).is_empty());
    assert_eq!(offers(&sandbox, &["train", "--", "mn"]), ["mnist"]);
    let line = sandbox.ok(&["completions", "zsh", "--", "densely", "train", "--weight-d"]);
    assert!(line.starts_with("--weight-decay\tDecoupled weight decay"), "{line}");
}

/// The shells themselves, in a terminal.
#[cfg(target_os = "linux")]
mod shells {
    use std::io::{Read as _, Write as _};
    use std::process::{Child, ChildStdin, Command, Stdio};
    use std::sync::mpsc::{Receiver, channel};
    use std::time::{Duration, Instant};

    use super::process::say;
    use super::{Sandbox, sandbox};

    const PROMPT: &str = "ready>";

    /// What is typed after `densely`, and the words that are there afterwards; a completion that is complete ends in a blank, which
    /// only a further word shows.
    const CASES: [(&str, &str); 14] = [
        ("tr\tX", "<train><X>"),
        // no directory, though there is one
        ("run\tX", "<runs><X>"),
        ("train mn\tX", "<train><mnist><X>"),
        ("train --resume la\tX", "<train><--resume><latest><X>"),
        ("train --resume ru\tX", "<train><--resume><runs/X>"),
        ("train --resume ru\tfi\tX", "<train><--resume><runs/first/X>"),
        ("train --resume=ru\tX", "<train><--resume=runs/X>"),
        ("train my\tX", "<train><my folder/X>"),
        ("train my\\ folder/\tX", "<train><my folder/inner/X>"),
        ("train --config sw\tX", "<train><--config><sweep.toml><X>"),
        ("train --split au\tX", "<train><--split><auto><X>"),
        ("train --activations relu,se\tX", "<train><--activations><relu,selu><X>"),
        ("sweep --activations='relu;se\tX", "<sweep><--activations=relu;selu><X>"),
        ("report ~/ru\tX", "<report><HOME/runs/X>"),
    ];

    struct Terminal {
        shell: Child,
        input: ChildStdin,
        output: Receiver<Vec<u8>>,
        seen: String,
    }

    impl Terminal {
        /// Starts a shell in a terminal of its own, with this program before others of its name.
        fn start(sandbox: &Sandbox, command: &str) -> Self {
            let program = std::path::Path::new(env!("CARGO_BIN_EXE_densely"));
            let path = std::env::var("PATH").unwrap();
            let mut shell = Command::new("script")
                .args([
                    "--quiet",
                    "--command",
                    &format!("stty rows 50 cols 200; {command}"),
                    "/dev/null",
                ])
                .current_dir(sandbox.0.path())
                .env("PATH", format!("{}:{path}", program.parent().unwrap().display()))
                .env("HOME", sandbox.0.path())
                .env("ZDOTDIR", sandbox.0.path())
                .env("XDG_CONFIG_HOME", sandbox.path(".config"))
                .env("TERM", "xterm")
                .env("SHELL", "/bin/sh")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let input = shell.stdin.take().unwrap();
            let mut stdout = shell.stdout.take().unwrap();
            let (sender, output) = channel();
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(n @ 1..) = stdout.read(&mut bytes) {
                    if sender.send(bytes[..n].to_vec()).is_err() {
                        return;
                    }
                }
            });
            Self { shell, input, output, seen: String::new() }
        }

        fn send(&mut self, keys: &str) {
            self.input.write_all(keys.as_bytes()).unwrap();
        }

        /// Waits for a text, and forgets what has come up to it.
        fn expect(&mut self, text: &str) {
            let end = Instant::now() + Duration::from_secs(30);
            loop {
                if let Some(at) = self.seen.find(text) {
                    self.seen.drain(..at + text.len());
                    return;
                }
                match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                    Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                    Err(_) => panic!("expected {text}, found {:?}", self.seen),
                }
            }
        }
    }

    impl Drop for Terminal {
        fn drop(&mut self) {
            drop(self.shell.kill());
            drop(self.shell.wait());
        }
    }

    /// Types every case in a shell, which finds the script where the help of `completions` puts it.
    fn check(shell: &str, script: &str, settings: (&str, &str), command: &str) {
        let is_there = |program| Command::new(program).arg("--version").output().is_ok();
        if !is_there(shell) || !is_there("script") {
            say(&format!("skipped: completion in {shell}, because {shell} or script is missing"));
            return;
        }
        let sandbox = sandbox();
        let text = sandbox.ok(&["completions", shell]);
        for (name, text) in [(script, &text[..]), settings] {
            let file = sandbox.path(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let mut terminal = Terminal::start(&sandbox, command);
        for (keys, words) in CASES {
            terminal.expect(PROMPT);
            // the whole line becomes the arguments of printf
            terminal.send(&format!("densely {keys}\x01printf '<%s>' \r"));
            let words = words.replace("HOME", &sandbox.0.path().display().to_string());
            terminal.expect(&format!("<densely>{words}"));
        }
    }

    #[test]
    fn bash_completes() {
        let script = ".local/share/bash-completion/completions/densely";
        let settings = format!("PS1='{PROMPT}'\nsource ~/{script}\n");
        check("bash", script, (".bashrc", &settings), "exec bash --rcfile ~/.bashrc -i");
    }

    #[test]
    fn zsh_completes() {
        let compinit = "fpath+=~/.zfunc\nautoload -U compinit\ncompinit -u -D";
        let settings = format!("PS1='{PROMPT}'\n{compinit}\n");
        check("zsh", ".zfunc/_densely", (".zshrc", &settings), "exec zsh -i");
    }

    #[test]
    fn fish_completes() {
        let settings = format!("function fish_prompt; echo -n '{PROMPT}'; end\n");
        let script = ".config/fish/completions/densely.fish";
        check("fish", script, (".config/fish/config.fish", &settings), "exec fish -i");
    }
}
