//! An `.npz` file: a zip archive with an entry for each array.

use std::io::Read;

use zip::ZipArchive;
use zip::result::ZipError;

use super::{NpyArray, ReadSeek, read_array};
use crate::error::{Error, Result};

/// An open archive.
pub struct Archive<'n, S> {
    zip: ZipArchive<S>,
    name: &'n str,
    /// Without `.npy`, in the order of the file.
    names: Vec<String>,
}

impl<'n, S: ReadSeek> Archive<'n, S> {
    /// Reads the list of the arrays. Errors name `name`.
    pub fn open(source: S, name: &'n str) -> Result<Self> {
        let zip = ZipArchive::new(source).map_err(|error| damaged(name, &error))?;
        if zip.has_duplicate_names() {
            return Err(Error::invalid(name, "two arrays of the same name; expected one of each"));
        }
        let mut names = Vec::new();
        for entry in zip.file_names() {
            let entry = entry.map_err(|error| damaged(name, &error))?;
            names.extend(entry.strip_suffix(".npy").map(str::to_owned));
        }
        Ok(Self { zip, name, names })
    }

    /// The names of the arrays, without `.npy`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Reads an array by its name.
    pub fn read(&mut self, array: &str) -> Result<NpyArray> {
        let subject = format!("{}, `{array}`", self.name);
        let entry = self.zip.by_name(&format!("{array}.npy"));
        let mut entry = entry.map_err(|error| damaged(&subject, &error))?;
        read_array(&mut entry as &mut dyn Read, &subject)
    }
}

fn damaged(subject: &str, error: &ZipError) -> Error {
    let remedy = "expected a file of `numpy.savez` or `numpy.savez_compressed`";
    Error::invalid(subject, format!("damaged archive, or none: {error}; {remedy}"))
}
