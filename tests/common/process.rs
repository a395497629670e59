//! Processes that are disturbed: killed, signalled, or refused by the operating system.
#![allow(dead_code)]

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::Sandbox;

/// A process that is killed when the test is done with it, or fails.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Sandbox {
    /// A command in the sandbox that shows nothing.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_densely"));
        command.args(args).current_dir(self.0.path());
        command.env("XDG_CACHE_HOME", self.path("cache"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts a command that shows nothing.
    pub fn start(&self, args: &[&str]) -> Running {
        Running(self.command(args).spawn().unwrap())
    }

    /// The library of `shim.rs`; `None`, and said aloud, where there is no such thing.
    pub fn shim(&self) -> Option<PathBuf> {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/shim.rs");
        let library = self.path("shim.so");
        let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let mut command = Command::new(rustc);
        command.args(["--edition", "2024", "--crate-type", "cdylib", "-O", "-o"]).arg(&library);
        let built = cfg!(all(target_os = "linux", target_env = "gnu"))
            && command.arg(source).status().is_ok_and(|status| status.success());
        if !built {
            say("skipped: faults can be injected on Linux with the GNU C library alone");
        }
        built.then_some(library)
    }
}

/// Sends a signal, by its name.
pub fn signal(child: &Child, name: &str) {
    let command = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
}

/// Waits until a condition holds, at most half a minute.
pub fn wait_for(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..30_000 {
        if condition() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("waited in vain for {what}");
}

/// Past the test harness, which keeps what a passing test prints to itself.
pub fn say(text: &str) {
    use std::io::Write as _;
    drop(std::io::stderr().write_all(format!("{text}\n").as_bytes()));
}
