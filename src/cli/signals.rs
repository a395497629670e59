//! Ctrl-C, and the signals by which a system ends a process.
//!
//! The first signal asks the training to finish its step, save its state and stop. One that comes more than half a second later
//! ends the process at once, which damages no file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use crate::error::{Error, Result};
use crate::text::shell;
use crate::train::{Observer, Request};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Signals within this time are one request.
const ONE_REQUEST_MS: usize = 500;

/// A signal that has stopped a command, whose state is saved.
#[derive(Debug, thiserror::Error)]
#[error("interrupted by {}", self.name())]
pub struct Interrupted {
    /// Its number.
    signal: u8,
}

impl Interrupted {
    /// The exit code that a shell gives a process that the signal has ended: 128 plus its number.
    pub fn exit_code(&self) -> u8 {
        128 + self.signal
    }

    fn name(&self) -> String {
        let name = signal_hook::low_level::signal_name(i32::from(self.signal));
        name.map_or_else(|| format!("signal {}", self.signal), str::to_owned)
    }
}

/// The signals since [`Signals::watch`].
#[derive(Clone, Debug)]
pub struct Signals {
    /// The first one; 0 before it.
    received: Arc<AtomicUsize>,
}

impl Signals {
    /// Takes the signals from now on.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn watch() -> Result<Self> {
        let (received, first) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let start = Instant::now();
        for signal in handled() {
            let refused = |source| Error::Io {
                action: "handle signals in",
                path: "this process".into(),
                source,
            };
            let (received, first) = (Arc::clone(&received), Arc::clone(&first));
            let handler = move || {
                let now = 1 + start.elapsed().as_millis() as usize;
                // one request may be delivered several times, to a process and to its group
                match first.compare_exchange(0, now, Relaxed, Relaxed) {
                    Err(first) if now.saturating_sub(first) > ONE_REQUEST_MS => {
                        #[cfg(unix)]
                        crate::report::erase_in_signal_handler();
                        signal_hook::low_level::exit(128 + signal);
                    }
                    Err(_) => {}
                    Ok(_) => received.store(signal as usize, Relaxed),
                }
            };
            // SAFETY: the handler reads the clock, uses atomics, and may write to a file and leave the process: all allowed in a signal
            // handler.
            #[allow(unsafe_code)]
            unsafe { signal_hook::low_level::register(signal, handler) }.map_err(refused)?;
        }
        Ok(Self { received })
    }

    /// The signal that has arrived, if one has.
    pub fn received(&self) -> Option<Interrupted> {
        match self.received.load(Relaxed) {
            0 => None,
            signal => Some(Interrupted { signal: u8::try_from(signal).unwrap_or(u8::MAX - 128) }),
        }
    }

    /// Stops before the report of a finished run or sweep if a signal has arrived, and says how to make it.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn stop_before_report(&self, what: &str, path: &Path) -> anyhow::Result<()> {
        let Some(interrupted) = self.received() else { return Ok(()) };
        let sentence = format!("{interrupted}; the {what} is finished, make its report with:");
        super::say_command(&sentence, &format!("densely report {}", shell(path)));
        Err(interrupted.into())
    }
}

/// What asks a process to end: the terminal, `timeout`, a supervisor, a batch system before it kills a job. Those that the process
/// was started to ignore, as `nohup` does, are left out; SIGINT is not: shells start background jobs so.
fn handled() -> Vec<i32> {
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGXCPU};
        let others = [SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGXCPU];
        let others = others.into_iter().filter(|&signal| !is_ignored(signal));
        std::iter::once(SIGINT).chain(others).collect()
    }
    #[cfg(not(unix))]
    vec![SIGINT, SIGTERM]
}

/// Whether this process was started with a signal ignored, where Linux says so.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

impl Observer for Signals {
    fn request(&mut self) -> Request {
        match self.received() {
            Some(_) => Request::Stop,
            None => Request::Continue,
        }
    }
}
