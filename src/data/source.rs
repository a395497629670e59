//! Loads a data set by name or directory.

use std::path::{Path, PathBuf};

use super::idx_directory::read_directory;
use super::{Dataset, Features, idx, mnist};
use crate::error::{Error, Result};

/// A data set, with notices for the user about how it was loaded.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The examples.
    pub data: Dataset,
    /// Problems that did not prevent loading, one line each.
    pub notices: Vec<String>,
}

/// Reads files of images without labels, one after the other; `-` is standard input. Every label is 0. `None` if the files hold
/// no images.
///
/// # Errors
/// If a file is damaged, or the images differ in size; the message names the file.
pub fn load_images(paths: &[PathBuf]) -> Result<Option<Dataset>> {
    let mut pixels = Vec::new();
    let mut size = None;
    let mut count = 0;
    for path in paths {
        let images = if path.as_os_str() == "-" {
            idx::read_images(std::io::stdin().lock(), Path::new("standard input"))?
        } else {
            idx::read_images_file(path)?
        };
        let found = (images.height, images.width);
        let (height, width) = *size.get_or_insert(found);
        if found != (height, width) {
            let problem = format!(
                "images of {}x{} pixels, expected {height}x{width} as in {}",
                found.0,
                found.1,
                paths[0].display()
            );
            return Err(Error::invalid_file(path, problem));
        }
        count += images.count;
        // the joined copy, and a label for each image
        idx::require_values(
            &path.display().to_string(),
            pixels.len() + images.pixels.len() + 4 * count,
        )?;
        match pixels.is_empty() {
            true => pixels = images.pixels,
            false => pixels.extend_from_slice(&images.pixels),
        }
    }
    let size = size.unwrap_or_default();
    let name = paths.first().map_or_else(String::new, |path| path.display().to_string());
    let n_features = size.0.saturating_mul(size.1);
    if count == 0 {
        return Ok(None);
    }
    let data = Dataset::new(name, Features::U8(pixels), vec![0; count], n_features)?;
    Ok(Some(data.with_images(size, count)))
}

/// Loads `mnist` (embedded in the binary), or a directory of IDX files.
///
/// # Errors
/// If `source` is neither, or a file is damaged; the message names the file.
pub fn load(source: &str) -> Result<Loaded> {
    if source == "mnist" {
        return mnist::load();
    }
    let path = Path::new(source);
    if path.is_dir() {
        let data = read_directory(path)?;
        return Ok(Loaded { notices: data.warnings(), data });
    }
    let found = match path.try_exists().map_err(Error::io("look at", path))? {
        true => "a file",
        false => "nothing of that name",
    };
    Err(Error::invalid(
        source,
        format!(
            "expected `mnist` or a directory of IDX files (train-images-idx3-ubyte, ...), found {found}"
        ),
    ))
}
