//! The columns of a table become inputs of a network within the graph, as [`Prepare::apply`] makes them.
//!
//! All numbers are scaled at once, then come the indicators of missing numbers, then the levels of each category: another order than
//! that of [`Prepare`]. Nothing puts them in order when the graph runs, because the columns of the next matrix follow them.

use std::collections::HashSet;

use super::graph::{Graph, Name, integer, texts};
use super::ports::Port;
use super::proto::DataType;
use crate::data::prepare::{Input, Pca, Prepare, Squash};
use crate::error::{Error, Result};

/// A tensor (batch, n), and for each of its columns the position among the inputs that it is.
pub struct Inputs {
    /// The tensor.
    pub name: Name,
    /// The positions: each of 0 to n once.
    pub order: Vec<usize>,
}

/// What a center's second half may change an input by before it is subtracted as well: an input of 1 is known to 2^-24.
const NEGLIGIBLE: f64 = 1.0 / (1u64 << 30) as f64;

/// Adds the nodes that make the inputs of the network from those of the graph.
pub fn inputs(graph: &mut Graph, prepare: &Prepare, ports: &[Port]) -> Result<Inputs> {
    let columns = Columns::of(prepare);
    let mut parts = Vec::new();
    let mut order = columns.numbers.iter().map(|number| number.at).collect::<Vec<_>>();
    if !columns.numbers.is_empty() {
        let raw = match ports {
            // one array of all columns
            [features] if columns.categories.is_empty() => features.name.clone(),
            each => {
                let own = columns.numbers.iter().map(|number| each[number.column].name.clone());
                graph.beside(&own.collect::<Vec<_>>())
            }
        };
        let (scaled, indicators) = numbers(graph, &raw, &columns.numbers)?;
        parts.push(scaled);
        parts.extend(indicators);
    }
    // an indicator is the input after its number
    let with_indicator = columns.numbers.iter().filter(|number| number.indicator);
    order.extend(with_indicator.map(|number| number.at + 1));
    if !columns.categories.is_empty() {
        let axis = graph.integers("axis", &[1]);
        for category in &columns.categories {
            let levels = category.distinct_levels()?;
            let width = if category.contrast { 1 } else { levels.len() };
            order.extend(category.at..category.at + width);
            // (batch, 1) becomes (batch, 1, levels); a text that is none of them is 0 throughout
            let attributes = [texts("cats_strings", levels), integer("zeros", 1)];
            let column = &ports[category.column].name;
            let encoded = graph.node("OneHotEncoder", &[column], &attributes);
            let encoded = graph.node("Squeeze", &[&encoded, &axis], &[]);
            parts.push(match category.contrast {
                false => encoded,
                true => {
                    // 1 for the first level, -1 for the second
                    let signs = graph.floats("signs", &[2, 1], &[1.0, -1.0]);
                    graph.node("MatMul", &[&encoded, &signs], &[])
                }
            });
        }
    }
    let mut encoded = Inputs { name: graph.beside(&parts), order };
    if let Some(squash) = prepare.squash() {
        encoded.name = squashed(graph, &encoded, squash)?;
    }
    Ok(match prepare.pca() {
        None => encoded,
        Some(pca) => projected(graph, &encoded, pca),
    })
}

/// A column of numbers: its position among the columns and that of its first input, and what is done to it.
struct Number<'a> {
    column: usize,
    at: usize,
    name: &'a str,
    fill: Option<f64>,
    center: f64,
    scale: f64,
    indicator: bool,
}

/// A column of texts, likewise.
struct Category<'a> {
    column: usize,
    at: usize,
    name: &'a str,
    levels: &'a [String],
    missing: bool,
    contrast: bool,
}

impl<'a> Category<'a> {
    /// The levels, that of a missing text last: the empty text.
    fn distinct_levels(&self) -> Result<Vec<&'a str>> {
        let levels = self.levels.iter().map(|level| &level[..]);
        let levels: Vec<&str> = levels.chain(self.missing.then_some("")).collect();
        let mut seen = HashSet::new();
        match levels.iter().find(|level| !seen.insert(**level)) {
            None if !levels.is_empty() => Ok(levels),
            found => {
                let problem = match found {
                    None => "has no level".to_owned(),
                    Some(&"") => "has the empty text as a level beside missing texts, which are the empty text in a graph".to_owned(),
                    Some(level) => format!("has the level `{level}` twice"),
                };
                let problem =
                    format!("column `{}` {problem}; expected levels that differ", self.name);
                Err(Error::invalid("ONNX", problem))
            }
        }
    }
}

/// The columns by kind.
#[derive(Default)]
struct Columns<'a> {
    numbers: Vec<Number<'a>>,
    categories: Vec<Category<'a>>,
}

impl<'a> Columns<'a> {
    fn of(prepare: &'a Prepare) -> Self {
        let mut columns = Self::default();
        let mut at = 0;
        for (column, input) in prepare.inputs().iter().enumerate() {
            match *input {
                Input::Number { column: ref name, fill, center, scale, indicator } => {
                    let number = Number { column, at, name, fill, center, scale, indicator };
                    columns.numbers.push(number);
                }
                Input::Category { column: ref name, ref levels, missing, contrast } => {
                    let category = Category { column, at, name, levels, missing, contrast };
                    columns.categories.push(category);
                }
            }
            at += input.width();
        }
        columns
    }
}

/// `(x - center) / scale` of raw numbers (batch, n), where they are missing that of `fill`; and a column of 0 and 1 for each number
/// that has an indicator, if one has.
fn numbers(graph: &mut Graph, raw: &str, columns: &[Number<'_>]) -> Result<(Name, Option<Name>)> {
    let factors: Vec<f64> = columns.iter().map(|number| 1.0 / number.scale).collect();
    for (number, factor) in columns.iter().zip(&factors) {
        if !(*factor as f32).is_normal() {
            let problem = format!(
                "column `{}` is divided by {:e}, and 32 bits do not hold the inverse of that; expected a column of other units, and a \
                 training with it",
                number.name, number.scale
            );
            return Err(Error::invalid("ONNX", problem));
        }
    }
    let centers: Vec<f64> = columns.iter().map(|number| number.center).collect();
    let mut scaled = subtract(graph, raw, "center", &centers, &factors);
    if factors.iter().any(|factor| *factor != 1.0) {
        let factors: Vec<f32> = factors.iter().map(|factor| *factor as f32).collect();
        let factors = graph.floats("factor", &[factors.len()], &factors);
        scaled = graph.node("Mul", &[&scaled, &factors], &[]);
    }
    let is_filled = columns.iter().any(|number| number.fill.is_some());
    let indicators: Vec<i64> =
        (0..).zip(columns).filter(|(_, number)| number.indicator).map(|(i, _)| i).collect();
    if !is_filled && indicators.is_empty() {
        return Ok((scaled, None));
    }
    let missing = graph.node("IsNaN", &[raw], &[]);
    if is_filled {
        // scaled here, in f64; a number that may not be missing stays what it is
        let fill = |(number, factor): (&Number<'_>, &f64)| match number.fill {
            Some(fill) => ((fill - number.center) * factor) as f32,
            None => f32::NAN,
        };
        let fills: Vec<f32> = columns.iter().zip(&factors).map(fill).collect();
        let fills = graph.floats("fill", &[fills.len()], &fills);
        scaled = graph.node("Where", &[&missing, &fills, &scaled], &[]);
    }
    if indicators.is_empty() {
        return Ok((scaled, None));
    }
    let mut flags = graph.node("Cast", &[&missing], &[integer("to", DataType::Float as i64)]);
    if indicators.len() < columns.len() {
        let which = graph.integers("with_indicator", &indicators);
        flags = graph.node("Gather", &[&flags, &which], &[integer("axis", 1)]);
    }
    Ok((scaled, Some(flags)))
}

/// `x - centers` of `x` (batch, n), which is about to be multiplied by `factors`. A center is a sum of two 32-bit numbers: the first
/// difference is nearly exact where `x` is close to it.
fn subtract(graph: &mut Graph, x: &str, stem: &str, centers: &[f64], factors: &[f64]) -> Name {
    let high: Vec<f32> = centers.iter().map(|center| *center as f32).collect();
    let low: Vec<f64> =
        centers.iter().zip(&high).map(|(center, high)| center - f64::from(*high)).collect();
    let mut difference = x.to_owned();
    if high.iter().any(|high| *high != 0.0) {
        let high = graph.floats(stem, &[high.len()], &high);
        difference = graph.node("Sub", &[&difference, &high], &[]);
    }
    if low.iter().zip(factors).any(|(low, factor)| (low * factor).abs() > NEGLIGIBLE) {
        let low: Vec<f32> = low.iter().map(|low| *low as f32).collect();
        let low = graph.floats(&format!("{stem}_low"), &[low.len()], &low);
        difference = graph.node("Sub", &[&difference, &low], &[]);
    }
    difference
}

/// `z / sqrt(1 + z^2 / 9)` with `z = factor (x - center)`.
fn squashed(graph: &mut Graph, x: &Inputs, squash: &Squash) -> Result<Name> {
    let of = |values: &[f64]| x.order.iter().map(|&at| values[at]).collect::<Vec<f64>>();
    let (centers, factors) = (of(&squash.center), of(&squash.factor));
    if let Some(factor) = factors.iter().find(|factor| !(**factor as f32).is_finite()) {
        let problem = format!(
            "an input is multiplied by {factor:e}, which 32 bits do not hold; expected a column of other units, and a training with it"
        );
        return Err(Error::invalid("ONNX", problem));
    }
    let centred = subtract(graph, &x.name, "median", &centers, &factors);
    let factors: Vec<f32> = factors.iter().map(|factor| *factor as f32).collect();
    let factors = graph.floats("factor", &[factors.len()], &factors);
    let z = graph.node("Mul", &[&centred, &factors], &[]);
    // a square that is not finite would make 0 of the largest numbers
    let ends = [graph.floats("least", &[], &[-1e18]), graph.floats("most", &[], &[1e18])];
    let z = graph.node("Clip", &[&z, &ends[0], &ends[1]], &[]);
    let square = graph.node("Mul", &[&z, &z], &[]);
    let (ninth, one) = (graph.floats("ninth", &[], &[1.0 / 9.0]), graph.floats("one", &[], &[1.0]));
    let share = graph.node("Mul", &[&square, &ninth], &[]);
    let sum = graph.node("Add", &[&share, &one], &[]);
    let root = graph.node("Sqrt", &[&sum], &[]);
    Ok(graph.node("Div", &[&z, &root], &[]))
}

/// `W (x - mean)`: the principal components, in their order.
fn projected(graph: &mut Graph, x: &Inputs, pca: &Pca) -> Inputs {
    let (n, k) = (pca.mean.len(), pca.n_components());
    let mean: Vec<f64> = x.order.iter().map(|&at| pca.mean[at]).collect();
    let centred = subtract(graph, &x.name, "mean", &mean, &vec![1.0; n]);
    // (inputs, components)
    let transposed: Vec<f32> = (x.order.iter())
        .flat_map(|&at| (0..k).map(move |component| pca.components[component * n + at]))
        .collect();
    let components = graph.floats("components", &[n, k], &transposed);
    let name = graph.node("MatMul", &[&centred, &components], &[]);
    Inputs { name, order: (0..k).collect() }
}
