//! Numbers and sentences for people.

use std::time::SystemTime;

use super::style::{Paint, Text};
use crate::engine::{Isa, Score};
pub use crate::figures::{number, percent};
use crate::model::{Activation, Disturbance, Norm, Spec};
use crate::task::{Choice, Loss, Metric, Task};
use crate::text::safe;
use crate::train::setting::SettingValue as _;
use crate::train::{OptimizerKind, Outcome, Schedule, TargetErrors, TrainConfig, Trainer};

pub use crate::text::{grouped, plural};

/// What a run is made of, in four lines.
pub fn description(trainer: &Trainer<'_>) -> String {
    let (config, data, parts) = (trainer.config(), trainer.data(), trainer.parts());
    let size = |rows: &[u32]| grouped(rows.len() as u64);
    let weight_decay = match config.weight_decay {
        0.0 => String::new(),
        weight_decay => format!(", weight decay {}", weight_decay.text()),
    };
    let frozen = match config.freeze.unwrap_or(0) {
        0 => String::new(),
        1 => ", the first layer frozen".to_owned(),
        n => format!(", the first {n} layers frozen"),
    };
    let (task, metric) = (trainer.task(), trainer.metric());
    let is_regression = task.is_regression();
    let mut aim = String::new();
    if task.loss() != Loss::default_for(is_regression) {
        aim += &format!(", loss {}", task.loss());
    }
    aim += &match config.metric {
        // it decides what is kept, and nobody has asked for it
        Choice::Auto if metric != Metric::default_for(is_regression) => {
            format!(", metric {metric}, as it suits the loss (--metric)")
        }
        _ if metric != Metric::default_for(is_regression) => format!(", metric {metric}"),
        _ => String::new(),
    };
    format!(
        "densely {}: {}, {}, {}\n\
         {}: {} training, {} validation, {} (split {})\n\
         {}, {} parameters{frozen}\n\
         {}{weight_decay}, batch {}, {}, seed {}{aim}",
        env!("CARGO_PKG_VERSION"),
        trainer.backend().describe(),
        plural(trainer.threads(), "thread"),
        Isa::detect().name(),
        data.name(),
        size(&parts.train),
        size(&parts.val),
        plural(parts.test.len(), "test sample"),
        config.split,
        network(trainer.spec(), task),
        grouped(trainer.parameters() as u64),
        optimizer(config),
        config.batch_size,
        plural(config.epochs, "epoch"),
        config.seed,
    )
}

/// `Adam, lr 0.001, cosine`: the optimizer, its rate, and what else differs from the plain step.
fn optimizer(config: &TrainConfig) -> String {
    let mut text = match config.optimizer {
        OptimizerKind::Sgd => {
            let nesterov = if config.nesterov { "Nesterov " } else { "" };
            format!("SGD, {nesterov}momentum {}", config.momentum.text())
        }
        _ => "Adam".to_owned(),
    };
    text += &format!(", lr {}", config.lr.text());
    if config.schedule != Schedule::Constant {
        text += &format!(", {}", config.schedule);
    }
    if let Some(warmup) = config.warmup {
        text += &format!(", warm-up {warmup}");
    }
    if let Some(norm) = config.clip_norm {
        text += &format!(", gradient norm up to {}", norm.text());
    }
    if let Some(ema) = config.ema {
        text += &format!(", average of weights {}", ema.text());
    }
    if !config.augment.is_none() {
        text += &format!(", augmentation {}", config.augment);
    }
    if config.label_smoothing > 0.0 {
        text += &format!(", label smoothing {}", config.label_smoothing.text());
    }
    text
}

/// What is done to a layer in training alone.
fn disturbed(Disturbance { noise, dropout, .. }: Disturbance) -> String {
    let part = |what: &str, x: f32| if x > 0.0 { format!(" {what} {x}") } else { String::new() };
    part("noise", noise) + &part("dropout", dropout)
}

/// `784 - 512 relu - 10 softmax`, of an ensemble `5 x (784 - 512 relu - 10 softmax)`; the outputs of a regression are `linear`, or `exp` where they are logarithms.
pub fn network(spec: &Spec, task: &Task) -> String {
    let mut text = spec.n_in().to_string() + &disturbed(spec.inputs());
    let (last, hidden) = (spec.n_out(), &spec.layers()[..spec.layers().len() - 1]);
    for layer in hidden {
        text += &format!(" - {}", layer.n_out);
        if layer.norm != Norm::None {
            text += &format!(" {} norm", layer.norm);
        }
        if layer.activation != Activation::Identity {
            text += &format!(" {}", layer.activation);
        }
        text += &disturbed(layer.disturbance);
    }
    let outputs = match task.loss() {
        Loss::CrossEntropy => "softmax",
        Loss::Poisson => "exp",
        _ => "linear",
    };
    let text = format!("{text} - {last} {outputs}");
    match spec.members() {
        1 => text,
        members => format!("{members} x ({text})"),
    }
}

/// How a run ended, in a line or two.
pub fn summary(outcome: &Outcome) -> Text {
    let metric = outcome.metric;
    let text = match outcome.val_metric {
        Some(value) => Text::from(format!(
            "best epoch {} of {}: validation {} ",
            outcome.best_epoch,
            outcome.last_epoch,
            metric.title(),
        ))
        .with(Paint::Best, metric.text(value)),
        None => Text::from(format!(
            "no validation part: the weights of epoch {} are kept",
            outcome.best_epoch
        )),
    };
    match &outcome.test {
        Some(test) => {
            let text = text.with(Paint::Plain, "\n").then(test_line(outcome, test));
            text.with(Paint::Plain, target_lines(&outcome.test_targets))
        }
        None => text,
    }
}

/// The metric on the test part, then the usual ones, the loss and the number of samples.
fn test_line(outcome: &Outcome, test: &Score) -> Text {
    let metric = outcome.metric;
    let values = scores(test, outcome.test_r2, metric.is_regression());
    let values = with_chosen(values, outcome.test_metric.map(|value| (metric, value)));
    let text = shown_scores("test ", "", &values);
    match metric.is_loss() {
        true => text.with(Paint::Plain, on_samples(test)),
        false => {
            let loss = format!(", loss {}{}", number(test.loss()), on_samples(test));
            text.with(Paint::Plain, loss)
        }
    }
}

/// A line for each of several targets, each in its own units; many are left to `densely eval`.
fn target_lines(targets: &[TargetErrors]) -> String {
    const SHOWN: usize = 8;
    let shown = |metric: Metric, value: Option<f64>| {
        let value = value.map_or_else(|| "-".to_owned(), |value| metric.text(value));
        format!("{} {value}", metric.title())
    };
    let line = |target: &TargetErrors| {
        let values =
            [(Metric::Rmse, target.rmse), (Metric::Mae, target.mae), (Metric::R2, target.r2)];
        let values = values.map(|(metric, value)| shown(metric, value)).join(", ");
        format!("\n`{}`: {values}", safe(&target.target))
    };
    let mut lines: String = targets.iter().take(SHOWN).map(line).collect();
    if targets.len() > SHOWN {
        lines += &format!("\nand {}", plural(targets.len() - SHOWN, "more target"));
    }
    lines
}

fn on_samples(score: &Score) -> String {
    format!(", on {}", plural(score.samples as usize, "sample"))
}

/// What people compare of a score: the accuracy, or RMSE, MAE and R2.
pub fn scores(score: &Score, r2: Option<f64>, is_regression: bool) -> Vec<(Metric, f64)> {
    match is_regression {
        false => vec![(Metric::Accuracy, score.accuracy())],
        true => {
            let errors = [(Metric::Rmse, score.rmse()), (Metric::Mae, score.mae())];
            // that of a constant target is undefined
            let r2 = r2.filter(|r2| !r2.is_nan());
            errors.into_iter().chain(r2.map(|r2| (Metric::R2, r2))).collect()
        }
    }
}

/// Scores with the metric that chose the weights, if it was measured, before the others.
pub fn with_chosen(
    mut values: Vec<(Metric, f64)>,
    chosen: Option<(Metric, f64)>,
) -> Vec<(Metric, f64)> {
    if let Some((metric, value)) = chosen {
        values.retain(|&(usual, _)| usual != metric);
        values.insert(0, (metric, value));
    }
    values
}

/// `test RMSE 3.2134, MAE 2.0121, R2 0.8123`, the first value highlighted, and `of` after its name.
pub fn shown_scores(before: &str, of: &str, values: &[(Metric, f64)]) -> Text {
    let Some((&(first, value), others)) = values.split_first() else { return Text::default() };
    let text =
        Text::from(format!("{before}{}{of} ", first.title())).with(Paint::Best, first.text(value));
    others.iter().fold(text, |text, &(metric, value)| {
        text.with(Paint::Plain, format!(", {} {}", metric.title(), metric.text(value)))
    })
}

/// `2026-11-26 18:40`, in the zone of this machine.
pub fn date(time: SystemTime) -> String {
    let Ok(time) = jiff::Timestamp::try_from(time) else { return String::new() };
    time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// The CPU, its cores and instruction set, and the system: `AMD EPYC, 2 cores, AVX2, linux x86_64`.
pub fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let name = name.map_or("unknown CPU", |(_, name)| name.trim());
    let cores = plural(crate::engine::default_threads(), "core");
    let (system, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("{name}, {cores}, {}, {system} {architecture}", Isa::detect().name())
}

/// Seconds as `2 h 05 min`, `3 min 20 s`, `12 s` or `1.2 s`.
pub fn duration(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0u64, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            (plural(1, "thread"), plural(2000, "epoch")),
            ("1 thread".into(), "2,000 epochs".into())
        );
    }

    #[test]
    fn durations_are_short() {
        let texts = [0.4, 59.4, 60.0, 200.0, 7500.0].map(duration);
        assert_eq!(texts, ["0.4 s", "59 s", "1 min 00 s", "3 min 20 s", "2 h 05 min"]);
    }

    #[test]
    fn a_summary_speaks_of_the_metric() {
        let test =
            Score { squared_error_sum: 36.0, absolute_error_sum: 6.0, ..Score::new(2.0, 3, 4) };
        let outcome = |metric, val_metric, test_metric, test_r2| Outcome {
            best_epoch: 2,
            last_epoch: 5,
            metric,
            val_accuracy: None,
            val_rmse: None,
            val_metric,
            test: Some(test),
            test_r2,
            test_metric,
            test_targets: Vec::new(),
            diverged: None,
            seconds: 1.0,
        };
        let text = |metric, test_metric, r2| {
            summary(&outcome(metric, Some(0.5), Some(test_metric), r2)).plain()
        };
        let expected = "best epoch 2 of 5: validation RMSE 0.50000\n\
                        test RMSE 3.0000, MAE 1.5000, R2 0.2500, loss 0.5000, on 4 samples";
        assert_eq!(text(Metric::Rmse, 3.0, Some(0.25)), expected);
        let expected = "best epoch 2 of 5: validation R2 0.5000\n\
                        test R2 0.2500, RMSE 3.0000, MAE 1.5000, loss 0.5000, on 4 samples";
        assert_eq!(text(Metric::R2, 0.25, Some(0.25)), expected);
        let expected = "best epoch 2 of 5: validation AUC 0.5000\n\
                        test AUC 0.7500, accuracy 75.00 %, loss 0.5000, on 4 samples";
        assert_eq!(text(Metric::Auc, 0.75, None), expected);
        let expected = "best epoch 2 of 5: validation accuracy 50.00 %\n\
                        test accuracy 75.00 %, loss 0.5000, on 4 samples";
        assert_eq!(text(Metric::Accuracy, 0.75, None), expected);
        assert_eq!(scores(&test, Some(f64::NAN), true).len(), 2, "a constant target has no R2");
        let target = |name: &str, rmse| TargetErrors {
            target: name.to_owned(),
            rmse,
            mae: Some(0.5),
            r2: None,
        };
        let several = Outcome {
            test_targets: vec![target("a", Some(2.0)), target("b\n", None)],
            ..outcome(Metric::Rmse, Some(0.5), Some(3.0), None)
        };
        let lines = summary(&several).plain();
        let expected = "`a`: RMSE 2.0000, MAE 0.50000, R2 -\n`b\\n`: RMSE -, MAE 0.50000, R2 -";
        assert!(lines.ends_with(expected), "{lines}");
        let without = summary(&Outcome { test: None, ..outcome(Metric::R2, None, None, None) });
        assert_eq!(without.plain(), "no validation part: the weights of epoch 2 are kept");
    }

    #[test]
    fn outputs_are_what_the_loss_makes_of_them() {
        use crate::data::Dataset;
        use crate::task::Choice;

        let data = Dataset::from_targets(
            ndarray::array![[0.0, 1.0], [1.0, 0.0]].view(),
            ndarray::array![[1.0], [2.0]].view(),
        );
        let spec = Spec::new(2, &[3], &[], 1).unwrap();
        let data = data.unwrap();
        let shown = |loss| network(&spec, &Task::of(&data, &[0, 1], Choice::Of(loss)).unwrap());
        assert_eq!(shown(Loss::Mae), "2 - 3 relu - 1 linear");
        assert_eq!(shown(Loss::Poisson), "2 - 3 relu - 1 exp");
        let classes = Task::Classification { classes: vec!["a".to_owned()] };
        assert_eq!(network(&spec, &classes), "2 - 3 relu - 1 softmax");
    }
}
