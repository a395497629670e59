//! Data that is read once and divided in several ways, as cross-validation and sweeps do.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::{ClassWeight, Loaded, Read, Source, balanced, tables};
use crate::data::{Dataset, Split};
use crate::error::Result;

/// Data sets that are kept for the next one who asks: runs side by side seldom divide the data in more than two ways.
const KEPT: usize = 2;

/// What a [`Source`] holds, before it is divided into parts. What turns a table into inputs is learnt from a training part, so
/// that every division makes a data set of its own; images are the same in all of them.
///
/// ```
/// use densely::data::{Source, Split};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("flowers.csv");
/// std::fs::write(&path, "petal,kind\n1.4,setosa\n5.1,virginica\n1.3,setosa\n5.9,virginica\n1.5,setosa\n5.6,virginica\n")?;
/// let flowers = Source::of(path.to_str().unwrap()).open()?;
/// for number in 1..=2 {
///     let split = Split::Fold { number, of: 2 };
///     let data = flowers.load(split, 0)?.0;
///     assert_eq!(split.apply(&data, 0)?.test.len(), 3);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SourceData {
    source: Source,
    read: Opened,
    /// The data sets that were made last.
    made: Mutex<VecDeque<Made>>,
}

#[derive(Debug)]
enum Opened {
    Images(Arc<Dataset>, Vec<String>),
    Table(Box<tables::Opened>),
}

#[derive(Debug)]
struct Made {
    split: Split,
    seed: u64,
    data: Arc<Dataset>,
}

impl Source {
    /// Reads the data, to divide it later.
    ///
    /// # Errors
    /// As [`Source::load`].
    pub fn open(&self) -> Result<SourceData> {
        let read = match self.read()? {
            Read::Images(loaded) => {
                let Loaded { data, notices } = self.named(*loaded)?;
                Opened::Images(Arc::new(data), notices)
            }
            Read::Tables(files) => {
                Opened::Table(Box::new(tables::Opened::of(&self.table, *files)?))
            }
        };
        Ok(SourceData { source: self.clone(), read, made: Mutex::default() })
    }
}

impl SourceData {
    /// The data, prepared for its training part of a split, and what a user should know about that, a line each: nothing where it
    /// is a table that was prepared in the same way just before.
    ///
    /// # Errors
    /// As [`Source::load`].
    pub fn load(&self, split: Split, seed: u64) -> Result<(Arc<Dataset>, Vec<String>)> {
        self.source.require_split(split)?;
        // of several threads that want the same, one makes it
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = made.iter().find(|made| (made.split, made.seed) == (split, seed)) {
            return Ok((Arc::clone(&known.data), Vec::new()));
        }
        let (data, notices) = match &self.read {
            Opened::Images(data, notices) => match self.source.class_weight {
                ClassWeight::None => return Ok((Arc::clone(data), notices.clone())),
                ClassWeight::Balanced => {
                    let loaded = Loaded { data: Dataset::clone(data), notices: notices.clone() };
                    let loaded = balanced(loaded, ClassWeight::Balanced, split, seed)?;
                    (loaded.data, loaded.notices)
                }
            },
            Opened::Table(table) => {
                let loaded = tables::load(&self.source, (**table).clone(), split, seed)?;
                let Loaded { data, notices } = self.source.finish(loaded, split, seed)?;
                (data, notices)
            }
        };
        let data = Arc::new(data);
        made.push_back(Made { split, seed, data: Arc::clone(&data) });
        if made.len() > KEPT {
            made.pop_front();
        }
        Ok((data, notices))
    }

    /// The samples in all files.
    pub fn n_samples(&self) -> usize {
        match &self.read {
            Opened::Images(data, _) => data.len(),
            Opened::Table(table) => table.n_rows(),
        }
    }

    /// What is predicted: the target's columns; nothing for images.
    pub fn target_names(&self) -> Vec<String> {
        match &self.read {
            Opened::Images(..) => Vec::new(),
            Opened::Table(table) => table.target_names(),
        }
    }
}
