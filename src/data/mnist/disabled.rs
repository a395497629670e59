//! Stands in for MNIST in a build without the embedded files.

use std::path::PathBuf;

use super::super::Loaded;
use crate::error::{Error, Result};

/// Returns an error that names the feature.
pub fn load() -> Result<Loaded> {
    Err(missing())
}

/// Returns an error that names the feature.
pub fn cache_directory() -> Result<PathBuf> {
    Err(missing())
}

fn missing() -> Error {
    Error::MissingFeature {
        what: "the data set `mnist`",
        feature: "embedded-mnist",
        remedy: "build with `--features embedded-mnist`, or name a directory that holds the four MNIST files",
    }
}
