//! What goes into a graph and what comes out of it: names, types and widths.

use std::collections::HashSet;
use std::fmt;

use crate::data::prepare::{Input, Prepare};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::task::Task;
use crate::text::safe;

/// The one input of a model whose columns are all numbers, or which has no columns.
pub(super) const FEATURES: &str = "features";
/// The output with the probabilities of the classes.
pub(super) const PROBABILITIES: &str = "probabilities";
/// The output with the name of the most probable class.
pub(super) const LABEL: &str = "label";
/// The output with the estimates of a regression, in the targets' units.
pub(super) const VALUES: &str = "values";

/// What the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Element {
    /// 32-bit floating-point numbers.
    Float,
    /// 64-bit whole numbers.
    Integer,
    /// Texts.
    Text,
}

impl fmt::Display for Element {
    /// As NumPy and ONNX call it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Float => "float32",
            Self::Integer => "int64",
            Self::Text => "string",
        })
    }
}

/// An input or an output of a graph: a tensor of the shape (batch, width), or (batch) without a width. The batch may have any size.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Port {
    /// Its name.
    pub name: String,
    /// What its elements are.
    pub element: Element,
    /// The length of its second axis, if it has one.
    pub width: Option<usize>,
}

impl Port {
    fn new(name: impl Into<String>, element: Element, width: impl Into<Option<usize>>) -> Self {
        Self { name: name.into(), element, width: width.into() }
    }
}

impl fmt::Display for Port {
    /// `carrier: string [batch, 1]`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} [batch", safe(&self.name), self.element)?;
        self.width.map_or(Ok(()), |width| write!(f, ", {width}"))?;
        f.write_str("]")
    }
}

/// The inputs and the outputs of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ports {
    /// What it computes from: `features` alone, or an input for each column of a table with texts.
    pub inputs: Vec<Port>,
    /// What it computes: `probabilities` and `label`, or `values`.
    pub outputs: Vec<Port>,
}

/// The inputs and the outputs of a model's graph; see [`super::to_onnx`].
///
/// # Errors
/// If a column that is an input of its own has no name, or that of an output.
pub fn ports(model: &Model) -> Result<Ports> {
    let outputs = match model.task() {
        Task::Classification { classes } => {
            let label = match whole_numbers(&classes) {
                Some(_) => Element::Integer,
                None => Element::Text,
            };
            vec![
                Port::new(PROBABILITIES, Element::Float, classes.len()),
                Port::new(LABEL, label, None),
            ]
        }
        Task::Regression(regression) => {
            vec![Port::new(VALUES, Element::Float, regression.targets.len())]
        }
    };
    let inputs = match model.prepare() {
        None => vec![Port::new(FEATURES, Element::Float, model.spec.n_in())],
        Some(prepare) if has_numbers_alone(prepare) => {
            vec![Port::new(FEATURES, Element::Float, prepare.inputs().len())]
        }
        Some(prepare) => {
            let port = |input: &Input| match input {
                Input::Number { column, .. } => Port::new(column, Element::Float, 1),
                Input::Category { column, .. } => Port::new(column, Element::Text, 1),
            };
            prepare.inputs().iter().map(port).collect()
        }
    };
    let remedy = "expected another name in the table, and a training with it";
    let mut seen = HashSet::new();
    for (i, Port { name, .. }) in inputs.iter().enumerate() {
        if name.is_empty() {
            let problem = format!(
                "column {} of the inputs has an empty name, which no input of a graph can have; {remedy}",
                i + 1
            );
            return Err(Error::invalid("ONNX", problem));
        }
        if outputs.iter().any(|output| output.name == *name) {
            let problem = format!(
                "column `{name}` would be an input of the graph, which has an output of that name; {remedy}"
            );
            return Err(Error::invalid("ONNX", problem));
        }
        // no table has two columns of one name, but a file from elsewhere may say so
        if !seen.insert(&name[..]) {
            let problem = format!("two columns are named `{name}`; expected names that differ");
            return Err(Error::invalid("ONNX", problem));
        }
    }
    Ok(Ports { inputs, outputs })
}

/// Whether all columns hold numbers, so that one array can hold a row.
fn has_numbers_alone(prepare: &Prepare) -> bool {
    prepare.inputs().iter().all(|input| matches!(input, Input::Number { .. }))
}

/// The names of classes as whole numbers, if all of them are such, written in the one way that a program writes them.
pub(super) fn whole_numbers(classes: &[String]) -> Option<Vec<i64>> {
    let number = |class: &String| class.parse().ok().filter(|x: &i64| x.to_string() == *class);
    classes.iter().map(number).collect()
}
