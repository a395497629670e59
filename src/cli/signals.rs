//! Ctrl-C, and the signals by which a system ends a process.
//!
//! The first signal asks the training to finish its step, save its state and stop. A second one ends the process at once,
//! which damages no file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use crate::error::{Error, Result};
use crate::report::say;
use crate::train::{Observer, Request};
use signal_hook::consts::{SIGINT, SIGTERM};

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
    /// The last one; 0 before the first.
    received: Arc<AtomicUsize>,
}

impl Signals {
    /// Takes the signals from now on.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn watch() -> Result<Self> {
        let (received, armed) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        for signal in handled() {
            let refused = |source| Error::Io {
                action: "handle signals in",
                path: "this process".into(),
                source,
            };
            // in this order: the first signal arms what the second one sets off
            signal_hook::flag::register_conditional_shutdown(
                signal,
                128 + signal,
                Arc::clone(&armed),
            )
            .map_err(refused)?;
            signal_hook::flag::register(signal, Arc::clone(&armed)).map_err(refused)?;
            signal_hook::flag::register_usize(signal, Arc::clone(&received), signal as usize)
                .map_err(refused)?;
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
        say(&format!(
            "{interrupted}; the {what} is finished, make its report with: densely report {}",
            path.display()
        ));
        Err(interrupted.into())
    }
}

/// The end of a terminal counts too, unless the process was started to ignore it, as `nohup` does.
fn handled() -> Vec<i32> {
    #[cfg(unix)]
    if !is_ignored(signal_hook::consts::SIGHUP) {
        return vec![SIGINT, SIGTERM, signal_hook::consts::SIGHUP];
    }
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
