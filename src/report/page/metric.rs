//! How values of a metric are drawn.

use super::axis::{Axis, Scale};
use crate::task::Metric;

/// Whether its values are shares, which are drawn in percent.
pub fn is_share(metric: Metric) -> bool {
    matches!(metric, Metric::Accuracy | Metric::MacroF1)
}

/// Whether 1 is perfect.
fn is_best_at_one(metric: Metric) -> bool {
    matches!(metric, Metric::Accuracy | Metric::MacroF1 | Metric::Auc | Metric::R2)
}

/// A value on the axis of [`axis`].
pub fn drawn(metric: Metric, value: f64) -> f64 {
    if is_share(metric) { 100.0 * value } else { value }
}

/// An axis of values of a metric, whose name follows `before`: `Validation accuracy`.
pub fn axis(metric: Metric, before: &str) -> Axis {
    let name = named(metric, before);
    match (is_share(metric), is_best_at_one(metric)) {
        (true, _) => Axis::percent(name),
        (_, true) => Axis { limits: (f64::NEG_INFINITY, 1.0), ..Axis::new(name, Scale::Linear) },
        _ => Axis::new(name, Scale::Linear),
    }
}

fn named(metric: Metric, before: &str) -> String {
    let mut name = match before {
        "" => metric.title().to_owned(),
        before => format!("{before} {}", metric.title()),
    };
    if let Some(first) = name.get(..1) {
        name.replace_range(..1, &first.to_uppercase());
    }
    name
}

/// How far a value is from a perfect one, on the axis of [`distance_axis`].
pub fn distance(metric: Metric, value: f64) -> f64 {
    match is_best_at_one(metric) {
        true => drawn(metric, 1.0 - value),
        false => value,
    }
}

/// A logarithmic axis of how far values are from a perfect one, and what that is: `Validation error`.
pub fn distance_axis(metric: Metric) -> (Axis, String) {
    let what = match metric {
        Metric::Accuracy => "Validation error".to_owned(),
        metric if is_best_at_one(metric) => format!("1 - validation {}", metric.title()),
        metric => format!("Validation {}", metric.title()),
    };
    let name = format!("{what}, logarithmic");
    let axis = match is_share(metric) {
        true => Axis { scale: Scale::Log, ..Axis::percent(name) },
        false => Axis::new(name, Scale::Log),
    };
    (axis, what)
}

/// An axis of values that does not let a few that are far worse squeeze the many others together; those are drawn at its end.
pub fn without_outliers(metric: Metric, axis: Axis, values: impl Iterator<Item = f64>) -> Axis {
    match worst_shown(metric, values) {
        None => axis,
        Some(worst) if metric.rises() => Axis { floor: drawn(metric, worst), ..axis },
        Some(worst) => Axis { ceiling: drawn(metric, worst), ..axis },
    }
}

/// The worst value that has a place of its own where a few are far worse than the others.
pub fn worst_shown(metric: Metric, values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.filter(|x| x.is_finite()).collect();
    sorted.sort_by(|a, b| metric.order(*b, *a));
    let &best = sorted.last()?;
    let median = sorted[sorted.len() / 2];
    let least = if is_best_at_one(metric) { 0.005 } else { 0.02 * best.abs() };
    let span = 3.0 * (best - median).abs().max(least);
    let worst = if metric.rises() { median - span } else { median + span };
    let beyond = sorted.iter().filter(|&&value| metric.is_better(worst, value)).count();
    (beyond > 0 && 5 * beyond <= sorted.len()).then_some(worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_runs_far_below_many_do_not_stretch_the_axis() {
        let shown = |metric, values: &[f64]| worst_shown(metric, values.iter().copied());
        let many = [0.98, 0.978, 0.975, 0.975, 0.97, 0.96, 0.1];
        let worst = shown(Metric::Accuracy, &many).unwrap();
        assert!((worst - 0.96).abs() < 1e-12, "{worst}");
        let axis = without_outliers(
            Metric::Accuracy,
            axis(Metric::Accuracy, "Validation"),
            many.iter().copied(),
        );
        assert!((axis.floor - 96.0).abs() < 1e-9 && axis.name == "Validation accuracy");
        assert_eq!(shown(Metric::Accuracy, &[0.98, 0.1]), None, "both of two are shown");
        assert_eq!(shown(Metric::Accuracy, &[]), None);
        let errors = [2.0, 2.1, 2.2, 2.2, 2.3, 2.4, 90.0];
        let worst = shown(Metric::Rmse, &errors).unwrap();
        assert!((worst - 2.8).abs() < 1e-12, "{worst}");
        let axis = without_outliers(Metric::Rmse, axis_of_rmse(), errors.iter().copied());
        assert_eq!((axis.ceiling, axis.floor), (worst, f64::NEG_INFINITY));
    }

    fn axis_of_rmse() -> Axis {
        axis(Metric::Rmse, "")
    }

    #[test]
    fn distances_are_from_perfect() {
        assert!((distance(Metric::Accuracy, 0.98) - 2.0).abs() < 1e-9);
        assert_eq!(distance(Metric::R2, -1.0), 2.0);
        assert_eq!(distance(Metric::Mae, 0.25), 0.25);
        assert_eq!(distance_axis(Metric::Auc).1, "1 - validation AUC");
        assert_eq!(distance_axis(Metric::Rmse).0.name, "Validation RMSE, logarithmic");
        assert_eq!(axis_of_rmse().name, "RMSE");
    }
}
