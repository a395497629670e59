//! Finding a data set by what the user wrote.

use std::path::Path;

use super::{Dataset, idx, mnist};
use crate::error::{Error, Result};

/// A data set, and what the user should know about how it was loaded.
#[derive(Debug)]
pub struct Loaded {
    /// The examples.
    pub data: Dataset,
    /// Things that did not stop the loading but deserve a line on the terminal.
    pub notices: Vec<String>,
}

/// Loads `mnist` (embedded in the binary), or a directory of IDX files.
///
/// # Errors
/// If there is no such thing, or a file in it is damaged; the message names the file.
pub fn load(source: &str) -> Result<Loaded> {
    if source == "mnist" {
        return mnist::load();
    }
    let path = Path::new(source);
    if path.is_dir() {
        return Ok(Loaded { data: idx::read_directory(path)?, notices: Vec::new() });
    }
    let found = if path.exists() { "a file" } else { "nothing of that name" };
    Err(Error::invalid(
        source,
        format!(
            "expected `mnist` or a directory of IDX files (train-images-idx3-ubyte, ...), found {found}"
        ),
    ))
}
