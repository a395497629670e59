//! Loads a data set: by name, from a directory, or from files of tables.

mod form;
mod options;
mod tables;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use form::Form;
pub use options::{ClassWeight, Source};

use super::idx_directory::read_directory;
use super::prepare::Prepare;
use super::{Dataset, Features, Split, idx, mnist};
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

/// Loads `mnist` (embedded in the binary), a directory of IDX files, or a table. Other parts, targets and settings: [`Source`].
///
/// # Errors
/// If `source` is none of these, or a file is damaged; the message names the file.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("flowers.csv");
/// std::fs::write(&path, "petal,width,kind\n1.4,0.2,setosa\n5.1,1.9,virginica\n1.3,0.3,setosa\n5.9,2.1,virginica\n")?;
/// let data = densely::data::load(path.to_str().unwrap())?.data;
/// assert_eq!((data.len(), data.n_features(), data.classes()), (4, 2, &["setosa", "virginica"].map(str::to_owned)[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn load(source: &str) -> Result<Loaded> {
    Source::of(source).load(Split::Auto, 0)
}

impl Source {
    /// Loads the data. What turns a table into inputs is learnt from the training part of `split`, drawn by `split_seed`.
    ///
    /// # Errors
    /// As [`load`]; also if an option names a column that is not there, or does not suit the data.
    pub fn load(&self, split: Split, split_seed: u64) -> Result<Loaded> {
        match self.form()? {
            Form::Images => self.images(),
            Form::Table => tables::load(self, split, split_seed),
        }
        .and_then(|loaded| self.finish(loaded, split, split_seed))
    }

    /// Loads the data for a model: a table becomes inputs as it did in the model's training.
    ///
    /// # Errors
    /// As [`Source::load`]; also if a column is missing, or a target is a class that the model does not know.
    pub fn load_for(
        &self,
        prepare: Option<&Arc<Prepare>>,
        split: Split,
        split_seed: u64,
    ) -> Result<Loaded> {
        match (self.form()?, prepare) {
            (Form::Table, Some(prepare)) => tables::load_prepared(self, prepare),
            (Form::Table, None) => Err(Error::invalid(
                &self.data[..],
                "it is a table; the model was trained on images or arrays, and expects such",
            )),
            (Form::Images, Some(_)) => Err(Error::invalid(
                &self.data[..],
                "it holds images; the model was trained on a table, and expects one",
            )),
            (Form::Images, None) => self.images(),
        }
        .and_then(|loaded| self.finish(loaded, split, split_seed))
    }

    /// Images with classes.
    fn images(&self) -> Result<Loaded> {
        self.require_plain()?;
        if self.data == "mnist" {
            return mnist::load();
        }
        let data = read_directory(Path::new(&self.data))?;
        Ok(Loaded { notices: data.warnings(), data })
    }

    /// Gives the classes their names and weights.
    fn finish(&self, mut loaded: Loaded, split: Split, split_seed: u64) -> Result<Loaded> {
        if let Some(names) = self.class_names()? {
            loaded.data = loaded.data.with_class_names(&names)?;
        }
        if self.class_weight == ClassWeight::Balanced {
            let split = split.resolved(&loaded.data);
            let parts = split.apply(&loaded.data, split_seed)?;
            loaded.data = loaded.data.with_balanced_classes(&parts.train)?;
        }
        Ok(loaded)
    }
}
