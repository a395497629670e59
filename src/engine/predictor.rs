//! What a model says of arrays, tables and data sets: raw values in, probabilities or numbers out.
//!
//! [`Model::predict`] and [`Model::predict_table`] are for a call now and then. A [`Predictor`] keeps its threads and buffers between calls.

use ndarray::{Array2, ArrayView2};

use super::{Engine, EngineOptions, default_threads, require_memory};
use crate::data::Dataset;
use crate::data::prepare::{Input, Prepare};
use crate::data::table::Table;
use crate::error::{Error, Result};
use crate::gemm::Backend;
use crate::model::{InputScaling, Model};
use crate::task::{Task, largest};
use crate::text::first_ones;

/// What a model says of some rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    values: Array2<f32>,
    names: Vec<String>,
    is_regression: bool,
    notices: Vec<String>,
}

impl Predictions {
    /// The probabilities of the classes, (rows, classes), or the estimated numbers in the units of their targets, (rows, targets).
    pub fn values(&self) -> ArrayView2<'_, f32> {
        self.values.view()
    }

    /// [`Predictions::values`], to keep.
    pub fn into_values(self) -> Array2<f32> {
        self.values
    }

    /// The class or the target of each column of the values.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The name of the most probable class of each row; `None` where the outputs are not finite. Empty for a regression.
    pub fn labels(&self) -> Vec<Option<&str>> {
        self.classes().into_iter().map(|class| class.map(|class| &self.names[class][..])).collect()
    }

    /// The position of the most probable class of each row among the names, of equal ones the first; `None` where the outputs are not
    /// finite. Empty for a regression.
    pub fn classes(&self) -> Vec<Option<usize>> {
        if self.is_regression {
            return Vec::new();
        }
        let rows = self.values.rows().into_iter();
        rows.map(|row| row.iter().all(|p| p.is_finite()).then(|| largest(row))).collect()
    }

    /// What a user should know, a line each: columns with levels that the training part did not have.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }
}

/// Predicts with one model, call after call.
///
/// ```
/// use densely::data::Dataset;
/// use densely::engine::{EngineOptions, Predictor};
/// use densely::train::{TrainConfig, Trainer};
/// use ndarray::{Array2, array};
///
/// let x = Array2::from_shape_fn((200, 1), |(i, _)| i as f32 / 100.0 - 1.0);
/// let names: Vec<&str> = x.iter().map(|x| if *x < 0.0 { "below" } else { "above" }).collect();
/// let data = Dataset::from_named(x, &names)?;
/// let config = TrainConfig::default().with(|c| (c.hidden, c.batch_size, c.lr) = (vec![8], 20, 0.02));
/// let mut trainer = Trainer::new(config, &data)?;
/// trainer.run(&mut ())?;
/// let model = trainer.best_model();
///
/// let mut predictor = Predictor::new(&model, EngineOptions::to_evaluate())?;
/// let predictions = predictor.predict(array![[-0.8], [0.9]].view())?;
/// assert_eq!(predictions.labels(), [Some("below"), Some("above")]);
/// assert_eq!(predictions.values().dim(), (2, 2));
/// # Ok::<(), densely::Error>(())
/// ```
#[derive(Debug)]
pub struct Predictor<'m> {
    model: &'m Model,
    engine: Engine,
    names: Vec<String>,
    /// Of each input of the model's `Prepare`, how many rows had a level that it does not know.
    unknown: Vec<usize>,
    n_rows: usize,
}

impl<'m> Predictor<'m> {
    /// Starts the threads. Of the options, the backend and the threads matter.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn new(model: &'m Model, options: EngineOptions) -> Result<Self> {
        let engine = Engine::of_model(model, EngineOptions { batch_size: 0, ..options })?;
        let names = match model.task() {
            Task::Classification { classes } => classes,
            Task::Regression(regression) => {
                regression.targets.into_iter().map(|target| target.name).collect()
            }
        };
        let inputs = model.prepare().map_or(0, |prepare| prepare.inputs().len());
        Ok(Self { model, engine, names, unknown: vec![0; inputs], n_rows: 0 })
    }

    /// What the model says of `x` (rows, features), raw as the training had them: the model scales them. Pixels are whole numbers from 0
    /// to 255. For a model of a table, the columns are those that [`Prepare::inputs`] names, in this order, and NaN is missing;
    /// [`Predictor::predict_table`] matches columns by name.
    ///
    /// # Errors
    /// If the number of columns is not the model's, a value is not finite or no pixel, or the model needs texts.
    pub fn predict(&mut self, x: ArrayView2<'_, f32>) -> Result<Predictions> {
        if let Some(prepare) = self.model.prepare() {
            let table = table_of(prepare, x)?;
            return self.predict_table(table);
        }
        if x.nrows() == 0 {
            return self.of_none();
        }
        let scaling = self.model.metadata().map(|own| own.scaling);
        let data = match scaling == Some(InputScaling::U8Over255) {
            false => Dataset::unlabelled(x)?,
            true => {
                if let Some(value) =
                    x.iter().find(|x| x.fract() != 0.0 || !(0.0..=255.0).contains(*x))
                {
                    let expected =
                        "whole numbers from 0 to 255, the pixels that the model was trained on";
                    return Err(Error::invalid(
                        "array",
                        format!("found {value}; expected {expected}"),
                    ));
                }
                Dataset::unlabelled_pixels(x.mapv(|x| x as u8))?
            }
        };
        self.predict_data(&data)
    }

    /// What the model says of pixels, `x` (rows, features).
    ///
    /// # Errors
    /// If the number of columns is not the model's, or it was not trained on pixels.
    pub fn predict_pixels(&mut self, x: ArrayView2<'_, u8>) -> Result<Predictions> {
        match x.nrows() {
            0 => self.of_none(),
            _ => self.predict_data(&Dataset::unlabelled_pixels(x)?),
        }
    }

    /// What the model says of the rows of a table. Its columns are matched by name, in any order; others are ignored, so that the target
    /// may be there or not.
    ///
    /// # Errors
    /// If the model is one of arrays or images, a column is missing or holds something else, or a number is missing where the training
    /// did not allow it.
    pub fn predict_table(&mut self, table: Table) -> Result<Predictions> {
        let Some(prepare) = self.model.prepare() else {
            let problem =
                "it is a table; the model was trained on images or arrays, and expects such";
            return Err(Error::invalid(table.name(), problem));
        };
        let name = table.name().to_owned();
        let prepared = prepare.apply(table, false)?;
        let notices = prepare.unknown_levels(&prepared.unknown, prepared.n_rows);
        self.unknown.iter_mut().zip(&prepared.unknown).for_each(|(all, more)| *all += more);
        self.n_rows += prepared.n_rows;
        if prepared.n_rows == 0 {
            return self.of_none();
        }
        let predictions = self.predict_data(&Dataset::of_inputs(name, prepared)?)?;
        Ok(Predictions { notices, ..predictions })
    }

    /// What the model says of all samples of a data set, whose classes or targets do not matter.
    ///
    /// # Errors
    /// If the samples do not suit the model; as [`Model::check_inputs`].
    pub fn predict_data(&mut self, data: &Dataset) -> Result<Predictions> {
        self.model.check_inputs(data)?;
        let n_out = self.model.spec().n_out();
        if data.n_classes() > n_out {
            let problem = format!("{} classes; the model knows {n_out}", data.n_classes());
            return Err(Error::invalid(data.name(), problem));
        }
        // the outputs, and a number for each sample
        let values = data.len().saturating_mul(n_out.saturating_add(1));
        require_memory(values, &format!("the output of {} samples", data.len()))?;
        let rows: Vec<u32> = (0..data.len() as u32).collect();
        let values = self.engine.predict(self.model.params(), data, &rows);
        Ok(self.of_values(values))
    }

    /// A line for each column of all tables so far with levels that the training part did not have.
    pub fn unknown_levels(&self) -> Vec<String> {
        let lines = |prepare: &Prepare| prepare.unknown_levels(&self.unknown, self.n_rows);
        self.model.prepare().map_or_else(Vec::new, lines)
    }

    /// What the model says of no rows.
    fn of_none(&self) -> Result<Predictions> {
        Ok(self.of_values(Array2::zeros((0, self.model.spec().n_out()))))
    }

    fn of_values(&self, values: Array2<f32>) -> Predictions {
        let is_regression = self.model.task().is_regression();
        Predictions { values, names: self.names.clone(), is_regression, notices: Vec::new() }
    }
}

/// The columns of an array under the names that a model gives them.
fn table_of(prepare: &Prepare, x: ArrayView2<'_, f32>) -> Result<Table> {
    // a number is written in one way alone: `007` is a text
    let is_number = |level: &String| level.parse::<f32>().is_ok_and(|x| x.to_string() == *level);
    for input in prepare.inputs() {
        if let Input::Category { column, levels, .. } = input
            && !levels.iter().all(is_number)
        {
            let problem = format!("the model needs texts for `{column}`; expected a table");
            return Err(Error::invalid("array", problem));
        }
    }
    let names: Vec<&str> = prepare.inputs().iter().map(Input::column).collect();
    if names.len() != x.ncols() {
        let problem = format!(
            "{} columns; the model needs {} ({}), whose names a table matches",
            x.ncols(),
            names.len(),
            first_ones(&names)
        );
        return Err(Error::invalid("array", problem));
    }
    Table::from_array("array", names, x)
}

impl Model {
    /// What the model says of `x` (rows, features), raw as the training had them: see [`Predictor::predict`]. Threads start and end with
    /// the call; a [`Predictor`] keeps them.
    ///
    /// # Errors
    /// As [`Predictor::predict`].
    pub fn predict(&self, x: ArrayView2<'_, f32>) -> Result<Predictions> {
        Predictor::new(self, options_for(x.nrows()))?.predict(x)
    }

    /// What the model says of the rows of a table, whose columns are matched by name: see [`Predictor::predict_table`].
    ///
    /// # Errors
    /// As [`Predictor::predict_table`].
    pub fn predict_table(&self, table: Table) -> Result<Predictions> {
        Predictor::new(self, options_for(table.n_rows()))?.predict_table(table)
    }

    /// What the model says of all samples of a data set, such as images that were loaded: see [`Predictor::predict_data`].
    ///
    /// # Errors
    /// As [`Predictor::predict_data`].
    pub fn predict_data(&self, data: &Dataset) -> Result<Predictions> {
        Predictor::new(self, options_for(data.len()))?.predict_data(data)
    }
}

/// A thread for each chunk of rows, as far as there are cores, and the pure-Rust product, which leaves zeros out.
fn options_for(n_rows: usize) -> EngineOptions {
    let threads = n_rows.div_ceil(super::EVALUATION_ROWS).clamp(1, default_threads());
    EngineOptions::to_evaluate()
        .with(|options| (options.backend, options.threads) = (Backend::Rust, threads))
}
