//! Predictions for the rows of tables, as they are read.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::time::Instant;

use ndarray::Array2;

use super::{Args, Format};
use crate::cli::{check_written, print_note};
use crate::data::npz::{Array, write_npy};
use crate::data::prepare::Prepare;
use crate::data::read_input_table;
use crate::data::table::{Kind, LARGEST_EXACT, MISSING, Table, TableStream};
use crate::engine::Predictor;
use crate::error::{Error, Result};
use crate::gemm::Backend;
use crate::model::Model;
use crate::report::{PredictionFormat, RowPredictions};
use crate::task::Task;

/// Predicts the rows of every input.
pub(super) fn run(
    args: &Args,
    model: &Model,
    prepare: &Prepare,
    format: PredictionFormat,
) -> anyhow::Result<()> {
    let is_regression = model.task().is_regression();
    if is_regression && (args.probabilities || args.top != 1) {
        let problem = "--probabilities and --top are for classes; the model predicts numbers";
        return Err(Error::usage(problem).into());
    }
    let n_out = model.spec.n_out();
    if !is_regression {
        args.require_top(n_out)?;
    }
    if args.format == Format::Npy && !args.keep.is_empty() {
        let problem = "--format npy holds numbers alone; expected no --keep";
        return Err(Error::usage(problem).into());
    }
    let mut options = prepare.read_options();
    options.text.extend(args.keep.iter().cloned());
    let backend = args.engine.backend()?;
    let mut predictor = RowPredictor {
        predictor: Predictor::new(model, args.engine.options(backend))?,
        keep: &args.keep,
        n_rows: 0,
        seconds: 0.0,
        without_class: 0,
    };
    let names = match model.task() {
        Task::Classification { classes } => classes,
        Task::Regression(regression) => regression.targets.into_iter().map(|t| t.name).collect(),
    };
    let keep = kept_names(&args.keep, &names, is_regression);
    let mut out = BufWriter::new(io::stdout().lock());
    let is_terminal = io::stdout().is_terminal();
    let rows = RowPredictions { names: &names, keep: &keep, is_regression, format, is_terminal };
    let mut all: Vec<f32> = Vec::new();
    // what is answered so far would look like a whole answer
    if let Some(path) = args.input.iter().find(|path| path.as_os_str() != "-" && !path.exists()) {
        TableStream::open(path, options.clone())?;
    }
    // whoever writes into the pipe may wait for the header; in a file, a header alone would look like an answer, so that it waits for
    // the first rows
    let mut has_begun = args.input.first().is_some_and(|path| path.as_os_str() == "-");
    let mut written = match has_begun {
        true => rows.begin(&mut out).and_then(|()| out.flush()),
        false => Ok(()),
    };
    'inputs: for path in &args.input {
        let mut whole = read_input_table(path, prepare)?.map(|read| {
            read.notices.iter().for_each(|notice| print_note(notice));
            read.table
        });
        let mut stream = match (path.as_os_str() == "-", &whole) {
            (_, Some(_)) => None,
            (true, None) => {
                let name = "standard input".to_owned();
                Some(TableStream::new(name, io::stdin(), options.clone())?)
            }
            (false, None) => Some(TableStream::open(path, options.clone())?),
        };
        loop {
            if written.is_err() {
                break 'inputs;
            }
            // what arrives is answered before the next rows are waited for
            let next = match &mut stream {
                Some(stream) => stream.next_rows()?,
                None => whole.take(),
            };
            let Some(table) = next else { break };
            let first = predictor.n_rows;
            let (kept, outputs) = predictor.predict(table)?;
            if !std::mem::replace(&mut has_begun, true) {
                written = rows.begin(&mut out);
            }
            written = written.and_then(|()| match format {
                PredictionFormat::Npy => {
                    all.extend(outputs);
                    Ok(())
                }
                _ => rows.write(&mut out, first, &kept, outputs.view()),
            });
            written = written.and_then(|()| out.flush());
        }
    }
    if !has_begun {
        written = rows.begin(&mut out).and_then(|()| out.flush());
    }
    if format == PredictionFormat::Npy && written.is_ok() {
        let shape = [all.len() / n_out, n_out];
        written = write_npy(&shape, &Array::F32(&all), &mut out).and_then(|()| out.flush());
    }
    check_written(written)?;
    predictor.report(args, backend)
}

/// The names of the copied columns: with `_input` at the end, where an output has the same name.
fn kept_names(keep: &[String], names: &[String], is_regression: bool) -> Vec<String> {
    let is_output = |name: &String| match is_regression {
        true => names.contains(name) || name == "index",
        false => {
            let place = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
            let class =
                name.strip_prefix("p_").is_some_and(|class| names.iter().any(|n| n == class));
            class || matches!(place, "label" | "probability" | "index" | "top" | "probabilities")
        }
    };
    let name = |name: &String| match is_output(name) {
        true => format!("{name}_input"),
        false => name.clone(),
    };
    keep.iter().map(name).collect()
}

/// Makes predictions and counts what was found on the way.
struct RowPredictor<'a> {
    predictor: Predictor<'a>,
    keep: &'a [String],
    n_rows: usize,
    seconds: f64,
    /// Rows whose outputs are not finite.
    without_class: usize,
}

/// Copies of columns, as texts.
type Kept = Vec<Vec<String>>;

impl RowPredictor<'_> {
    /// The columns to copy, and the outputs (rows, outputs).
    fn predict(&mut self, table: Table) -> Result<(Kept, Array2<f32>)> {
        let start = Instant::now();
        let kept = self.keep.iter().map(|column| texts(&table, column)).collect::<Result<_>>()?;
        let outputs = self.predictor.predict_table(table)?.into_values();
        self.without_class +=
            outputs.rows().into_iter().filter(|row| row.iter().any(|x| !x.is_finite())).count();
        self.n_rows += outputs.nrows();
        self.seconds += start.elapsed().as_secs_f64();
        Ok((kept, outputs))
    }

    /// Says what was found.
    fn report(&self, args: &Args, backend: Backend) -> anyhow::Result<()> {
        self.predictor.unknown_levels().iter().for_each(|line| print_note(line));
        args.print_stats(self.n_rows, "rows", self.seconds, backend);
        match self.without_class {
            0 => Ok(()),
            without => anyhow::bail!(
                "{}: {without} of {} rows have no prediction, because the model's outputs are not finite; expected a model \
                 whose weights do not overflow, and inputs near those of its training",
                args.model.model.display(),
                self.n_rows
            ),
        }
    }
}

/// A column as texts; empty where a value is missing.
fn texts(table: &Table, name: &str) -> Result<Vec<String>> {
    let Some(column) = table.position(name) else {
        let problem = format!("no column `{name}`, which --keep names");
        return Err(Error::invalid(table.name(), problem));
    };
    Ok(match &table.columns()[column].kind {
        Kind::Text(levels) => table
            .codes(column)
            .map(|code| match code {
                MISSING => String::new(),
                code => levels[code as usize].clone(),
            })
            .collect(),
        Kind::Number => table.numbers(column).enumerate().map(exact).collect::<Result<_, _>>().map_err(
            |(row, x)| {
                let problem = format!(
                    "`{name}` is {x} or near it in row {}; 32-bit numbers of that size are rounded, so that --keep would write another; \
                     expected texts, or a .csv file",
                    table.rows_before() + row + 1
                );
                Error::invalid(table.name(), problem)
            },
        )?,
    })
}

/// A number as text; an error is one that may have been rounded to another whole number.
fn exact((row, x): (usize, f32)) -> Result<String, (usize, f32)> {
    match x {
        x if x.is_nan() => Ok(String::new()),
        x if x.is_finite() && x.abs() >= LARGEST_EXACT => Err((row, x)),
        x => Ok(x.to_string()),
    }
}
