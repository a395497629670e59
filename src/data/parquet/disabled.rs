//! Without the cargo feature `parquet`.

use std::path::Path;

use crate::data::table::Table;
use crate::error::{Error, Result};

/// Would read a file.
///
/// # Errors
/// Always: this build lacks the cargo feature `parquet`.
pub fn read_parquet(_path: &Path) -> Result<Table> {
    Err(missing())
}

/// Would read the bytes of a file.
///
/// # Errors
/// As [`read_parquet`].
pub fn read_parquet_bytes(_name: &str, _bytes: Vec<u8>) -> Result<Table> {
    Err(missing())
}

fn missing() -> Error {
    Error::MissingFeature {
        what: "a Parquet file",
        feature: "parquet",
        remedy: "build with `--features parquet`, or convert the file to CSV",
    }
}
