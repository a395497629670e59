//! Loads a data set: by name, from a directory, or from files of tables.

mod form;
mod images;
mod in_memory;
mod notices;
mod options;
mod overview;
mod source_data;
mod table_files;
mod tables;

use std::sync::Arc;

pub(crate) use form::Form;
pub use images::{InputImages, LoadedImages, load_images};
pub use in_memory::Tables;
pub use options::{ClassWeight, ImageSize, Source};
pub use overview::{ColumnOverview, Contents, Overview, Use};
pub use source_data::SourceData;
#[cfg(feature = "cli")]
pub(crate) use table_files::read_unknown_table;
pub use table_files::{read_any_table as read_table, read_inputs as read_input_table};

use super::libsvm::LibsvmOptions;
use super::prepare::Prepare;
use super::{Dataset, Split};
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
        self.require_split(split)?;
        match self.read()? {
            Read::Images(loaded) => Ok(*loaded),
            Read::Tables(files) => {
                let opened = tables::Opened::of(&self.table, *files)?;
                tables::load(self, opened, split, split_seed)
            }
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
        let text = prepare.map_or_else(Vec::new, |prepare| prepare.text_columns());
        let libsvm =
            prepare.map_or_else(LibsvmOptions::default, |own| table_files::features_of(own));
        match (self.read_with(&text, libsvm)?, prepare) {
            (Read::Tables(files), Some(prepare)) => {
                tables::load_prepared(&self.data, *files, prepare)
            }
            (Read::Tables(_), None) => Err(Error::invalid(
                &self.data[..],
                "it is a table; the model was trained on images or arrays, and expects such",
            )),
            (Read::Images(_), Some(_)) => Err(Error::invalid(
                &self.data[..],
                "it holds images; the model was trained on a table, and expects one",
            )),
            (Read::Images(loaded), None) => Ok(*loaded),
        }
        .and_then(|loaded| self.finish(loaded, split, split_seed))
    }

    /// Loads a table for a model that is to learn something else: the columns become inputs as they did in the model's training, and
    /// the target, the task and the weights are those of this source.
    ///
    /// # Errors
    /// As [`Source::load`]; also if a column is missing, or the target is an input of the model.
    pub fn load_for_new_target(
        &self,
        prepare: &Prepare,
        split: Split,
        split_seed: u64,
    ) -> Result<Loaded> {
        let mut text = prepare.text_inputs();
        text.extend(self.table.categorical.iter().cloned());
        match self.read_with(&text, table_files::features_of(prepare))? {
            Read::Tables(files) => tables::load_with_new_target(self, *files, prepare),
            Read::Images(_) => Err(Error::invalid(
                &self.data[..],
                "it holds images; the model was trained on a table, and expects one",
            )),
        }
        .and_then(|loaded| self.finish(loaded, split, split_seed))
    }

    /// Reads the files of the data.
    fn read(&self) -> Result<Read> {
        let read = self.read_with(&self.table.categorical, LibsvmOptions::default())?;
        self.require_use(&read)?;
        Ok(read)
    }

    /// [`Source::read`], with columns that are texts whatever they look like, for features that are numbered like this.
    fn read_with(&self, text: &[String], libsvm: LibsvmOptions) -> Result<Read> {
        match self.form()? {
            Form::Delimited | Form::Libsvm | Form::Parquet => {
                Ok(Read::Tables(Box::new(table_files::Files::read(self, text, libsvm)?)))
            }
            form => match images::read(self, form)? {
                Read::Images(loaded) => {
                    self.require_plain()?;
                    Ok(Read::Images(Box::new(images::with_own_parts(self, *loaded)?)))
                }
                tables @ Read::Tables(_) => Ok(tables),
            },
        }
    }

    /// Rejects options that would change nothing about data of this kind.
    fn require_use(&self, read: &Read) -> Result<()> {
        let data = &self.data;
        let problem = match read {
            Read::Tables(_) if self.image_size.is_some() => {
                format!("`image_size` is for folders of images; {data} is a table")
            }
            Read::Tables(_) if self.class_names.is_some() => format!(
                "`class_names` is for images; {data} is a table, whose classes have the names that its target has"
            ),
            Read::Images(_) if self.image_size.is_some() && self.form()? != Form::Folder => {
                format!("`image_size` is for folders of images; those of {data} have one size")
            }
            _ => return Ok(()),
        };
        Err(Error::usage(problem))
    }

    /// Gives the classes their names and weights.
    fn finish(&self, loaded: Loaded, split: Split, split_seed: u64) -> Result<Loaded> {
        balanced(self.named(loaded)?, self.class_weight, split, split_seed)
    }

    /// Gives the classes their names.
    fn named(&self, mut loaded: Loaded) -> Result<Loaded> {
        if let Some(names) = self.class_names()? {
            loaded.data = loaded.data.with_class_names(&names)?;
        }
        Ok(loaded)
    }
}

/// Gives the classes their weights.
fn balanced(
    mut loaded: Loaded,
    class_weight: ClassWeight,
    split: Split,
    split_seed: u64,
) -> Result<Loaded> {
    if class_weight == ClassWeight::Balanced {
        let split = split.resolved(&loaded.data);
        let parts = split.apply(&loaded.data, split_seed)?;
        loaded.data = loaded.data.with_balanced_classes(&parts.train)?;
    }
    Ok(loaded)
}

/// What the files of a source are.
enum Read {
    Images(Box<Loaded>),
    Tables(Box<table_files::Files>),
}
