//! The one error type of the library.
//!
//! A message says what was being done, with what, what was expected and what to do about it. It is
//! lower case and has no full stop, so that it reads well after `error: `. It names arguments, never
//! flags of a command line, which translates [`Error::Argument`] and [`Error::Occupied`].

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::text::{safe, safe_path};

/// The result of whatever a user, a file or the machine can make fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong, in words that a person can act on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// One argument or setting has an impossible value.
    #[error("{name} is {found}; expected {expected}")]
    Argument {
        /// The argument, or the setting by its key in a configuration file.
        name: &'static str,
        /// Its value, or what is wrong with it.
        found: String,
        /// What would be accepted.
        expected: String,
    },

    /// The arguments cannot be used together, or not with this data.
    #[error("{0}")]
    Usage(String),

    /// A directory is not free for what was asked.
    #[error("{} {occupant}", safe_path(path))]
    Occupied {
        /// The directory.
        path: PathBuf,
        /// Who or what is there.
        occupant: Occupant,
    },

    /// The operating system refused to do something with a file or a directory.
    #[error("cannot {action} {}: {source}", safe_path(path))]
    Io {
        /// What was being done, as a verb: `read`, `create`, `replace`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },

    /// A file or a piece of data is not what it should be.
    #[error("{subject}: {problem}")]
    Invalid {
        /// The file, or what is being built from the data.
        subject: String,
        /// What was expected, what was found, and the remedy.
        problem: String,
    },

    /// What the data holds is not what the outputs of a model mean. A training with a new output layer takes it.
    #[error("{subject}: {problem}")]
    Outputs {
        /// The data.
        subject: String,
        /// What was found, and what the model has.
        problem: String,
    },

    /// This build lacks something that was asked for.
    #[error("{what} needs the cargo feature `{feature}`, which this build lacks: {remedy}")]
    MissingFeature {
        /// What was asked for.
        what: &'static str,
        /// The feature's name.
        feature: &'static str,
        /// What to do instead.
        remedy: &'static str,
    },

    /// More memory is needed than the machine can give.
    #[error("{what} needs {:.1} GB of memory, more than is available: {remedy}", *needed_bytes as f64 / 1e9)]
    Memory {
        /// What the memory is for.
        what: String,
        /// How much is needed.
        needed_bytes: u64,
        /// What to do instead.
        remedy: &'static str,
    },

    /// An observer asked a run to stop before its end. Nothing is wrong; the observers have been offered its state.
    #[error("the run was stopped before its end")]
    Stopped,
}

/// What keeps a directory from being used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Occupant {
    /// It already holds a run.
    Run,
    /// It holds a sweep.
    Sweep,
    /// It holds a sweep of another grid; the text says what differs.
    OtherSweep(String),
    /// Another process is working in it.
    Process,
}

impl fmt::Display for Occupant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run => f.write_str("already holds a run"),
            Self::Sweep => f.write_str("holds a sweep or a cross-validation"),
            Self::OtherSweep(difference) => {
                write!(f, "holds another sweep or cross-validation{difference}")
            }
            Self::Process => f.write_str("is in use by another densely"),
        }
    }
}

impl Error {
    /// Whether it is [`Error::Stopped`].
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped)
    }

    /// Whether the caller asked for something impossible, rather than something failed. The command line exits with 2.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Argument { .. } | Self::Usage(_) | Self::Occupied { .. })
    }

    /// An [`Error::Argument`].
    pub fn argument(
        name: &'static str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Argument { name, found: visible(found.into()), expected: visible(expected.into()) }
    }

    /// An [`Error::Usage`].
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(visible(message.into()))
    }

    /// An [`Error::Invalid`] about a named thing.
    pub fn invalid(subject: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid { subject: visible(subject.into()), problem: visible(problem.into()) }
    }

    /// An [`Error::Invalid`] about a file.
    pub fn invalid_file(path: &Path, problem: impl Into<String>) -> Self {
        Self::invalid(safe_path(path), problem)
    }

    /// An [`Error::Outputs`] about some data.
    pub(crate) fn outputs(subject: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Outputs { subject: visible(subject.into()), problem: visible(problem.into()) }
    }

    /// Turns an [`io::Error`] into an [`Error::Io`], for `map_err`.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// A message may quote a file, must not command a terminal, and stays one line that can be read.
fn visible(text: String) -> String {
    match safe(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(shown) => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_control_characters_are_shown() {
        let message = Error::usage("unknown key `a\nb\u{1b}[2J`; é").to_string();
        assert_eq!(message, "unknown key `a\\nb\\u{1b}[2J`; é");
        let message = Error::invalid("a\tb", "c\rd").to_string();
        assert_eq!(message, "a\\tb: c\\rd");
    }
}
