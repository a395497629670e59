//! What matters in the data: how much worse a model becomes when it no longer knows a column.

use serde::{Deserialize, Serialize};

use super::measure::measure;
use crate::data::Dataset;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::rng::{Purpose, Rng};
use crate::task::Metric;

/// How often the commands shuffle each column.
#[cfg(feature = "cli")]
pub(crate) const SHUFFLES: usize = 5;

/// How much worse a metric is when the values of a column are shuffled among the samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Importance {
    /// The name of the column; of arrays its number.
    pub column: String,
    /// The mean over several shuffles, in the units of the metric; above 0 if the column helps.
    pub mean: f64,
    /// The standard deviation over them.
    pub sd: f64,
}

/// The importance of each column for what a model says of some samples, the most important first (Breiman, 2001, "Random Forests"; Fisher, Rudin and Dominici, 2019, arXiv 1801.01489).
/// Of columns that say the same, each alone may seem to matter little.
///
/// All inputs that a column becomes are shuffled together, by the same permutations for each column.
///
/// # Errors
/// If the samples are images, or the model sees principal components, which mix all columns; if memory is short.
///
/// # Panics
/// If the data does not fit the model.
pub fn importance(
    engine: &mut Engine,
    model: &Model,
    data: &Dataset,
    rows: &[u32],
    metric: Metric,
    repeats: usize,
) -> Result<Vec<Importance>> {
    let columns = columns(data)?;
    let samples = data.taken(rows)?;
    let all: Vec<u32> = (0..samples.len() as u32).collect();
    let mut value = |samples: &Dataset| {
        let score = engine.evaluate(model.params(), samples, &all);
        let known = score.value(metric);
        known.or_else(|| measure(metric, engine, model.params(), samples, &all)).unwrap_or(f64::NAN)
    };
    let before = value(&samples);
    let sign = if metric.rises() { 1.0 } else { -1.0 };
    let mut shuffled = data.taken(rows)?;
    let orders: Vec<Vec<u32>> = (0..repeats)
        .map(|repeat| {
            let mut order = all.clone();
            Rng::new(0, Purpose::Importance, repeat as u64).shuffle(&mut order);
            order
        })
        .collect();
    let mut found = Vec::with_capacity(columns.len());
    for (column, inputs) in columns {
        let mut losses = Vec::with_capacity(repeats);
        for order in &orders {
            shuffled.set_inputs(&inputs, &samples, order);
            losses.push(sign * (before - value(&shuffled)));
        }
        shuffled.set_inputs(&inputs, &samples, &all);
        let mean = losses.iter().sum::<f64>() / repeats as f64;
        let squares = losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>();
        let sd = (squares / (repeats.max(2) - 1) as f64).sqrt();
        found.push(Importance { column, mean, sd });
    }
    found.sort_by(|a, b| b.mean.total_cmp(&a.mean));
    Ok(found)
}

/// Rejects data that has no columns to shuffle.
///
/// # Errors
/// As [`importance`].
#[cfg(feature = "cli")]
pub(crate) fn check_importance(data: &Dataset) -> Result<()> {
    columns(data).map(drop)
}

/// The columns, and the inputs that each becomes.
fn columns(data: &Dataset) -> Result<Vec<(String, std::ops::Range<usize>)>> {
    let refuse = |problem: &str| {
        let expected = "expected a table or arrays, and a model that sees their columns";
        Err(Error::usage(format!("importance of columns: {problem}; {expected}")))
    };
    let Some(prepare) = data.prepare() else {
        return match data.image() {
            Some(_) => refuse("the samples are images"),
            None => Ok((0..data.n_features()).map(|i| (i.to_string(), i..i + 1)).collect()),
        };
    };
    if prepare.pca().is_some() {
        return refuse("the model sees principal components, which mix all columns");
    }
    let mut next = 0;
    let column = |input: &crate::data::prepare::Input| {
        let first = next;
        next += input.width();
        (input.column().to_owned(), first..next)
    };
    Ok(prepare.inputs().iter().map(column).collect())
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::engine::EngineOptions;
    use crate::model::{Layout, Spec};

    /// `y = 3 a - b`, by a network that is exactly that; `c` does not matter.
    #[test]
    fn a_column_matters_as_much_as_the_model_makes_of_it() {
        let value = |i: usize, j: usize| ((i * (7 + 5 * j)) % 199) as f32 / 99.0 - 1.0;
        let x = Array2::from_shape_fn((400, 3), |(i, j)| value(i, j));
        let y = Array2::from_shape_fn((400, 1), |(i, _)| 3.0 * x[(i, 0)] - x[(i, 1)]);
        let data = Dataset::from_targets(x.view(), y.view()).unwrap();
        let spec = Spec::new(3, &[], &[], 1).unwrap();
        assert_eq!(Layout::new(&spec).unwrap().len(), 4);
        let model = Model::new(spec, vec![3.0, -1.0, 0.0, 0.0], None).unwrap();
        let rows: Vec<u32> = (0..400).step_by(2).collect();
        let mut engine = Engine::of_model(&model, EngineOptions::to_evaluate()).unwrap();
        let mut of = |metric| importance(&mut engine, &model, &data, &rows, metric, 8).unwrap();
        let found = of(Metric::Rmse);
        let names: Vec<&str> = found.iter().map(|one| &one.column[..]).collect();
        assert_eq!(names, ["0", "1", "2"]);
        // shuffled, a value differs from the own one by sqrt(2) standard deviations
        let deviation = |j: usize| {
            let values = rows.iter().map(|&i| f64::from(x[(i as usize, j)]));
            let mean = values.clone().sum::<f64>() / rows.len() as f64;
            (values.map(|x| (x - mean).powi(2)).sum::<f64>() / rows.len() as f64).sqrt()
        };
        for (one, expected) in found.iter().zip([3.0 * deviation(0), deviation(1), 0.0]) {
            let expected = std::f64::consts::SQRT_2 * expected;
            assert!((one.mean - expected).abs() < 0.08 * expected + 1e-6, "{one:?} {expected}");
            assert!(one.sd < 0.1 * expected + 1e-6, "{one:?}");
        }
        assert_eq!(found, of(Metric::Rmse));
        // of a metric that grows with quality, what is lost is above 0 too
        let r2 = of(Metric::R2);
        assert!(r2[0].mean > r2[1].mean && r2[1].mean > 0.05 && r2[2].mean.abs() < 1e-6, "{r2:?}");
    }
}
