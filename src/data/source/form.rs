//! What kind of data a name stands for.

use std::path::Path;

use crate::data::image_folder::is_image_folder;
use crate::error::{Error, Result};

/// The forms that data has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `mnist`, or a directory of IDX files.
    Idx,
    /// A directory with a folder of images for each class.
    Folder,
    /// A file of values separated by commas or the like.
    Delimited,
    /// Lines of `label index:value ...`.
    Libsvm,
    /// A Parquet file.
    Parquet,
    /// NumPy's arrays, which are images or tables.
    Arrays,
}

/// The ends of the names of files, also before `.gz` and `.zst` where the reader decodes them.
const ENDS: [(&str, Form); 12] = [
    (".csv", Form::Delimited),
    (".tsv", Form::Delimited),
    (".txt", Form::Delimited),
    (".data", Form::Delimited),
    (".tab", Form::Delimited),
    (".dat", Form::Delimited),
    (".svm", Form::Libsvm),
    (".libsvm", Form::Libsvm),
    (".svmlight", Form::Libsvm),
    (".parquet", Form::Parquet),
    (".npz", Form::Arrays),
    (".npy", Form::Arrays),
];

impl Form {
    /// The form of what lies at a path, by its name.
    ///
    /// # Errors
    /// If there is nothing, or its form is not known.
    pub(crate) fn of(source: &str) -> Result<Self> {
        if source == "mnist" {
            return Ok(Self::Idx);
        }
        let path = Path::new(source);
        if path.is_dir() {
            return Ok(if is_image_folder(path) { Self::Folder } else { Self::Idx });
        }
        let exists = path.try_exists().map_err(Error::io("look at", path))?;
        if let Some(form) = Self::of_name(source).filter(|_| exists) {
            return Ok(form);
        }
        let found = if exists { "a file of another kind" } else { "nothing of that name" };
        Err(Error::invalid(
            source,
            format!(
                "expected `mnist`, a directory of IDX files (train-images-idx3-ubyte, ...) or with a folder of images for each \
                 class, or a file: .csv, .tsv, .txt or .svm (also .gz or .zst), .parquet or .npz; found {found}"
            ),
        ))
    }

    /// The form that the end of a name stands for.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let plain = [".gz", ".zst"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        ENDS.iter().find(|(end, _)| plain.ends_with(end)).map(|&(_, form)| form)
    }

    /// Whether it may be a table, from which something is learnt.
    pub(crate) fn may_be_table(self) -> bool {
        !matches!(self, Self::Idx | Self::Folder)
    }
}
