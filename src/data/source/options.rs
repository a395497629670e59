//! What a user says about data: where it is, and what is to be made of it.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::form::Form;
use crate::data::Split;
use crate::data::prepare::TableOptions;
use crate::error::{Error, Result};
use crate::files;

/// Whether rare classes count as much as frequent ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ClassWeight {
    /// Every sample counts alike.
    #[default]
    None,
    /// A sample's weight is multiplied by `n / (k n_c)`, where `n` counts the training samples, `k` the classes and `n_c` the training
    /// samples of its class: all classes then count alike.
    Balanced,
}

/// Where data is, and what is to be made of it.
///
/// ```
/// use densely::data::{Source, Split};
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("flats.csv");
/// std::fs::write(&path, "rent,rooms,city\n900,2,Bonn\n700,1,Bonn\n1900.5,4,Rome\n1250,3,Rome\n")?;
/// let mut source = Source::of(path.to_str().unwrap());
/// source.table.target = vec!["rent".to_owned()];
/// let data = source.load(Split::Auto, 0)?.data;
/// assert!(data.is_regression());
/// assert_eq!(data.n_features(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Source {
    /// `mnist`, a directory of IDX files or with a folder of images for each class, or a file: a table or arrays.
    pub data: String,
    /// A file or a directory with the validation part: a table for tables, images for images.
    pub valid: Option<String>,
    /// A file or a directory with the test part.
    pub test: Option<String>,
    /// What a table's columns are for.
    pub table: TableOptions,
    /// How classes are weighted.
    pub class_weight: ClassWeight,
    /// Names for the classes of images and arrays, separated by commas, or a file with one a line.
    pub class_names: Option<String>,
    /// The size to which images of folders are stretched.
    pub image_size: Option<ImageSize>,
}

/// The size of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageSize {
    /// Columns of pixels.
    pub width: usize,
    /// Rows of pixels.
    pub height: usize,
}

impl FromStr for ImageSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let sides = text.trim().split_once(['x', 'X']);
        let side = |text: &str| text.parse().ok().filter(|side| (1..=LONGEST_SIDE).contains(side));
        match sides.and_then(|(width, height)| Some((side(width)?, side(height)?))) {
            Some((width, height)) => Ok(Self { width, height }),
            None => Err(Error::usage(format!(
                "`{text}`: expected a width and a height of 1 to {LONGEST_SIDE} pixels, such as 32x32"
            ))),
        }
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl TryFrom<String> for ImageSize {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ImageSize> for String {
    fn from(size: ImageSize) -> Self {
        size.to_string()
    }
}

/// No network takes larger images.
const LONGEST_SIDE: usize = 10_000;

impl Source {
    /// Data with the usual settings.
    pub fn of(data: impl Into<String>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// The form of the data.
    pub(super) fn form(&self) -> Result<Form> {
        Form::of(&self.data)
    }

    /// Whether the data may be a table, from whose training part something is learnt.
    ///
    /// # Errors
    /// If there is no such data, or its form is not known.
    pub fn may_be_table(&self) -> Result<bool> {
        Ok(self.form()?.may_be_table())
    }

    /// Rejects a split that would mix parts of their own with the rest.
    pub(super) fn require_split(&self, split: Split) -> Result<()> {
        let path = self.valid.as_ref().or(self.test.as_ref());
        match (path, split) {
            (None, _) | (_, Split::Auto) => Ok(()),
            (Some(_), Split::Canonical) if self.valid.is_none() => Ok(()),
            (Some(path), _) => Err(Error::usage(format!(
                "split `{split}`: {path} is a part of its own (`valid`, `test`), which that split would mix with the rest; expected no split"
            ))),
        }
    }

    /// Rejects what only tables have.
    pub(super) fn require_plain(&self) -> Result<()> {
        let TableOptions { target, ignore, categorical, weight, pca, .. } = &self.table;
        let given = [
            ("target", !target.is_empty()),
            ("ignore", !ignore.is_empty()),
            ("categorical", !categorical.is_empty()),
            ("weight", weight.is_some()),
            ("pca", pca.is_some()),
        ];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((name, _)) => {
                Err(Error::usage(format!("`{name}` is for tables; {} holds images", self.data)))
            }
        }
    }

    /// The names of the classes, if they are given.
    pub(super) fn class_names(&self) -> Result<Option<Vec<String>>> {
        let Some(names) = &self.class_names else { return Ok(None) };
        let path = Path::new(names);
        let names: Vec<String> = match !names.contains(',') && path.is_file() {
            false => names.split(',').map(|name| name.trim().to_owned()).collect(),
            true => {
                let text = String::from_utf8(files::read(path)?).map_err(|_| {
                    Error::invalid_file(
                        path,
                        "it is not UTF-8; expected the name of a class a line",
                    )
                })?;
                text.lines().map(|name| name.trim().to_owned()).filter(|n| !n.is_empty()).collect()
            }
        };
        if names.iter().any(String::is_empty) {
            return Err(Error::usage(
                "a name in `class_names` is empty; expected one for each class",
            ));
        }
        Ok(Some(names))
    }
}
