//! What kind of data a name stands for.

use std::path::Path;

use crate::error::{Error, Result};

/// The forms that data has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `mnist`, or a directory of IDX files.
    Images,
    /// A file of values separated by commas or the like.
    Table,
}

/// The ends of the names of tables, also before `.gz` and `.zst`.
const TABLES: [&str; 6] = [".csv", ".tsv", ".txt", ".data", ".tab", ".dat"];

impl Form {
    /// The form of what lies at a path, by its name.
    ///
    /// # Errors
    /// If there is nothing, or its form is not known.
    pub(super) fn of(source: &str) -> Result<Self> {
        if source == "mnist" {
            return Ok(Self::Images);
        }
        let path = Path::new(source);
        if path.is_dir() {
            return Ok(Self::Images);
        }
        let name = source.to_ascii_lowercase();
        let plain = [".gz", ".zst"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        let exists = path.try_exists().map_err(Error::io("look at", path))?;
        if exists && TABLES.iter().any(|end| plain.ends_with(end)) {
            return Ok(Self::Table);
        }
        let found = if exists { "a file of another kind" } else { "nothing of that name" };
        Err(Error::invalid(
            source,
            format!(
                "expected `mnist`, a directory of IDX files (train-images-idx3-ubyte, ...), or a table (.csv, .tsv or .txt, \
                 also .gz or .zst), found {found}"
            ),
        ))
    }
}
