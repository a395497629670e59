//! Data sets of tables in memory.

use std::sync::Arc;

use super::table_files::Files;
use super::tables::{self, Opened, Plan};
use super::{ClassWeight, Loaded, balanced};
use crate::data::prepare::{Prepare, TableOptions};
use crate::data::table::Table;
use crate::data::{Parts, Split};
use crate::error::{Error, Result};

/// Tables in memory, and what is to be made of them: what [`Source`](super::Source) is for files.
///
/// ```
/// use densely::data::{Parts, Split, Tables, table::Table};
/// use ndarray::array;
///
/// let table = Table::from_array("flats", ["rooms", "area"], array![[2.0, 50.0], [3.0, 81.5], [1.0, 22.0], [4.0, 99.0]])?
///     .with_texts("city", ["Oslo", "Rome", "Oslo", "Rome"])?
///     .with_numbers("rent", vec![900.0, 1100.5, 600.0, 1400.0])?;
/// let mut tables = Tables::of(table);
/// tables.parts = Some(Parts { train: vec![0, 1, 3], val: vec![2], test: vec![] });
/// let data = tables.load(Split::Auto, 0)?.data;
/// assert_eq!((data.n_features(), data.target_names()), (4, &["rent".to_owned()][..]));
/// # Ok::<(), densely::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tables {
    /// The table, or its training part.
    pub train: Table,
    /// The validation part, as a table of its own.
    pub valid: Option<Table>,
    /// The test part, as a table of its own.
    pub test: Option<Table>,
    /// The rows of `train` in each part, where the caller names them; rows in no part are unused.
    pub parts: Option<Parts>,
    /// What the columns are for.
    pub options: TableOptions,
    /// How classes are weighted.
    pub class_weight: ClassWeight,
}

impl Tables {
    /// A table with the usual settings: the last column is the target.
    pub fn of(train: Table) -> Self {
        Self {
            train,
            valid: None,
            test: None,
            parts: None,
            options: TableOptions::default(),
            class_weight: ClassWeight::None,
        }
    }

    /// Makes a data set. What turns the table into inputs is learnt from the training part: that of `parts`, or else of `split`, drawn
    /// by `split_seed`. A training on the data set has to have the same split and seed.
    ///
    /// # Errors
    /// If parts are given both as rows and as tables, or as rows beside another split than [`Split::Auto`]; if an option names a column
    /// that is not there or does not suit the table; if a target is none of the declared classes.
    pub fn load(self, split: Split, split_seed: u64) -> Result<Loaded> {
        let name = self.train.name().to_owned();
        let (options, class_weight) = (self.options.clone(), self.class_weight);
        let files = self.files()?;
        let plan = Plan::of(&name, Opened::of(&options, files)?, split, split_seed)?;
        balanced(plan.load(&name, split, split_seed)?, class_weight, split, split_seed)
    }

    /// Makes a data set for a model, whose `prepare` says what becomes of the columns; `options` do not matter.
    ///
    /// # Errors
    /// As [`Tables::load`]; also if a column is missing, or a target is a class that the model does not know.
    pub fn load_for(self, prepare: &Arc<Prepare>, split: Split, split_seed: u64) -> Result<Loaded> {
        let (name, class_weight) = (self.train.name().to_owned(), self.class_weight);
        let loaded = tables::load_prepared(&name, self.files()?, prepare)?;
        balanced(loaded, class_weight, split, split_seed)
    }

    /// The tables, one below the other.
    fn files(self) -> Result<Files> {
        let Self { train, valid, test, parts, .. } = self;
        if parts.is_some() && (valid.is_some() || test.is_some()) {
            return Err(Error::usage(format!(
                "{}: parts as rows and as tables of their own; expected one of them",
                train.name()
            )));
        }
        Files::in_memory(train, valid, test, parts)
    }
}
