//! Metrics that take a pass over the outputs: those that do not follow from sums over the samples.

use ndarray::ArrayView2;

use crate::data::Dataset;
use crate::engine::Engine;
use crate::task::{Metric, auc, macro_f1, r2};

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
        Metric::Accuracy | Metric::LogLoss | Metric::Rmse | Metric::Mae => return None,
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

/// The coefficient of determination on some samples.
pub fn measure_r2(engine: &mut Engine, params: &[f32], data: &Dataset, rows: &[u32]) -> f64 {
    r2(engine.predict(params, data, rows).view(), &data.targets_of(rows))
}
