//! A build without the embedded files.

use super::super::Loaded;
use crate::error::{Error, Result};

/// Refuses, naming the feature.
pub fn load() -> Result<Loaded> {
    Err(Error::MissingFeature {
        what: "the data set `mnist`",
        feature: "embedded-mnist",
        remedy: "build with `--features embedded-mnist`, or name a directory that holds the four MNIST files",
    })
}
