//! Metrics that take a pass over the outputs: those that do not follow from sums over the samples.

use ndarray::{ArrayView2, Axis};

use crate::data::Dataset;
use crate::engine::Engine;
use crate::task::{Metric, auc, macro_f1, mean_absolute_error, r2, root_mean_squared_error};

use super::TargetErrors;

/// The value of a metric that does not follow from a [`Score`](crate::engine::Score); `None` for the others.
pub fn measure(
    metric: Metric,
    engine: &mut Engine,
    params: &[f32],
    data: &Dataset,
    rows: &[u32],
) -> Option<f64> {
    let of_classes: fn(ArrayView2<'_, f32>, &[u32]) -> f64 = match metric {
        Metric::R2 => return Some(measure_r2(engine, params, data, rows)),
        Metric::MacroF1 => macro_f1,
        Metric::Auc => auc,
        Metric::Accuracy | Metric::LogLoss | Metric::Rmse | Metric::Mae | Metric::Loss => {
            return None;
        }
    };
    let truth: Vec<u32> = rows.iter().map(|&row| data.labels()[row as usize]).collect();
    // one of several classes is ranked against the others by its probability; of two, logits rank as probabilities do, without
    // ties by rounding
    let outputs = match data.n_classes() {
        0..=2 => engine.logits(params, data, rows),
        _ => engine.predict(params, data, rows),
    };
    Some(of_classes(outputs.view(), &truth))
}

/// The errors of each of several targets on some samples; nothing for one target, whose errors a score has.
pub fn measure_targets(
    engine: &mut Engine,
    params: &[f32],
    data: &Dataset,
    rows: &[u32],
) -> Vec<TargetErrors> {
    let names = data.target_names();
    if names.len() < 2 {
        return Vec::new();
    }
    let (predictions, truth) = (engine.predict(params, data, rows), data.targets_of(rows));
    let finite = |x: f64| x.is_finite().then_some(x);
    let of_target = |(t, target): (usize, &String)| {
        let truth: Vec<f32> = truth.iter().skip(t).step_by(names.len()).copied().collect();
        let predictions = predictions.column(t).insert_axis(Axis(1));
        TargetErrors {
            target: target.clone(),
            rmse: finite(root_mean_squared_error(predictions, &truth)),
            mae: finite(mean_absolute_error(predictions, &truth)),
            r2: finite(r2(predictions, &truth)),
        }
    };
    names.iter().enumerate().map(of_target).collect()
}

/// The coefficient of determination on some samples.
pub fn measure_r2(engine: &mut Engine, params: &[f32], data: &Dataset, rows: &[u32]) -> f64 {
    r2(engine.predict(params, data, rows).view(), &data.targets_of(rows))
}
