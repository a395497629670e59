//! What the cells train on.

use super::dense;
use crate::cli::told;
use crate::data::{Dataset, Split, load};
use crate::error::{Error, Result};
use crate::model::Spec;
use crate::task::{Choice, Task};

/// Data, the samples of an epoch, and what is learned.
pub struct Workload {
    pub data: Dataset,
    pub rows: Vec<u32>,
    pub task: Task,
}

impl Workload {
    /// What `densely train` would train on, or made-up data.
    ///
    /// # Errors
    /// If the data cannot be read, or has neither classes nor targets.
    pub fn of(name: &str) -> Result<Self> {
        if name == dense::NAME {
            let data = dense::data()?;
            let rows = (0..data.len() as u32).collect();
            return Self::new(data, rows);
        }
        let data = told(load(name)?, false)?;
        data.require_labels()?;
        let parts = Split::Auto.resolved(&data).apply(&data, 0)?;
        Self::new(data, parts.train)
    }

    pub fn new(data: Dataset, rows: Vec<u32>) -> Result<Self> {
        let task = Task::of(&data, &rows, Choice::Auto)?;
        Ok(Self { data, rows, task })
    }

    /// The network with these hidden layers.
    ///
    /// # Errors
    /// If a size is 0, or there are too many layers.
    pub fn spec(&self, hidden: &[usize]) -> Result<Spec> {
        Spec::new(self.data.n_features(), hidden, &[], self.data.n_outputs())
    }

    /// Rejects a batch of more samples than an epoch has.
    ///
    /// # Errors
    /// As it says.
    pub fn require_batch(&self, batch_size: usize) -> Result<()> {
        let (name, samples) = (self.data.name(), self.rows.len());
        match batch_size <= samples {
            true => Ok(()),
            false => Err(Error::usage(format!(
                "--batch-size {batch_size}: the training part of {name} has {samples} samples; expected at most as many"
            ))),
        }
    }
}
