//! A setting whose default follows from the data.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `auto`, or a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(
    try_from = "String",
    into = "String",
    bound(serialize = "T: Clone + fmt::Display", deserialize = "T: FromStr, T::Err: fmt::Display")
)]
pub enum Choice<T> {
    /// What suits the data.
    #[default]
    Auto,
    /// This value.
    Of(T),
}

impl<T> Choice<T> {
    /// The value, or what suits the data.
    pub fn or_else(self, default: impl FnOnce() -> T) -> T {
        match self {
            Self::Auto => default(),
            Self::Of(value) => value,
        }
    }
}

impl<T: fmt::Display> fmt::Display for Choice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Of(value) => value.fmt(f),
        }
    }
}

impl<T: FromStr> FromStr for Choice<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            other => other.parse().map(Self::Of),
        }
    }
}

impl<T: FromStr> TryFrom<String> for Choice<T> {
    type Error = T::Err;

    fn try_from(text: String) -> Result<Self, T::Err> {
        text.parse()
    }
}

impl<T: fmt::Display> From<Choice<T>> for String {
    fn from(choice: Choice<T>) -> Self {
        choice.to_string()
    }
}
