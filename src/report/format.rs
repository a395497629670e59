//! Numbers and sentences for people.

use std::time::SystemTime;

use super::style::{Paint, Text};
use crate::engine::Isa;
use crate::model::{Activation, Spec};
use crate::train::setting::SettingValue as _;
use crate::train::{Outcome, Trainer};

pub use crate::text::grouped;

/// A share as `97.53 %`.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A loss as `0.1235`; one of 100,000 or more, or below 0.0001, as `2.16e9`.
pub fn number(x: f64) -> String {
    match x.abs() {
        0.0 | 1e-4..99_999.999_95 => format!("{x:.4}"),
        _ => format!("{x:.2e}"),
    }
}

/// What a run is made of, in four lines.
pub fn description(trainer: &Trainer<'_>) -> String {
    let (config, data, parts) = (trainer.config(), trainer.data(), trainer.parts());
    let size = |rows: &[u32]| grouped(rows.len() as u64);
    let weight_decay = match config.weight_decay {
        0.0 => String::new(),
        weight_decay => format!(", weight decay {}", weight_decay.text()),
    };
    format!(
        "densely {}: {}, {}, {}\n\
         {}: {} training, {} validation, {} (split {})\n\
         {}, {} parameters\n\
         Adam, lr {}{weight_decay}, batch {}, {}, seed {}",
        env!("CARGO_PKG_VERSION"),
        trainer.backend().describe(),
        plural(trainer.threads(), "thread"),
        Isa::detect().name(),
        data.name(),
        size(&parts.train),
        size(&parts.val),
        plural(parts.test.len(), "test sample"),
        config.split,
        network(trainer.spec()),
        grouped(trainer.state().optimizer().params().len() as u64),
        config.lr.text(),
        config.batch_size,
        plural(config.epochs, "epoch"),
        config.seed,
    )
}

/// `784 - 512 relu - 10 softmax`
pub fn network(spec: &Spec) -> String {
    let mut text = spec.n_in().to_string();
    let (last, hidden) = (spec.n_out(), &spec.layers()[..spec.layers().len() - 1]);
    for layer in hidden {
        text += &match layer.activation {
            Activation::Identity => format!(" - {}", layer.n_out),
            activation => format!(" - {} {activation}", layer.n_out),
        };
    }
    format!("{text} - {last} softmax")
}

/// How a run ended, in a line or two.
pub fn summary(outcome: &Outcome) -> Text {
    let text = match outcome.val_accuracy {
        Some(accuracy) => Text::from(format!(
            "best epoch {} of {}: validation accuracy ",
            outcome.best_epoch, outcome.last_epoch,
        ))
        .with(Paint::Best, percent(accuracy)),
        None => Text::from(format!(
            "no validation part: the weights of epoch {} are kept",
            outcome.best_epoch
        )),
    };
    let Some(test) = &outcome.test else { return text };
    text.with(Paint::Plain, "\ntest accuracy ").with(Paint::Best, percent(test.accuracy())).with(
        Paint::Plain,
        format!(", loss {}, on {}", number(test.loss()), plural(test.samples as usize, "sample")),
    )
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

/// `1 thread`, `2 threads`.
pub fn plural(n: usize, noun: &str) -> String {
    let ending = match n {
        1 => "",
        _ if noun.ends_with('s') => "es",
        _ => "s",
    };
    format!("{} {noun}{ending}", grouped(n as u64))
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
        assert_eq!(percent(0.975_349), "97.53 %");
        let losses =
            [0.123_45, 0.0, 20_316.834, 99_999.999_99, 2_162_786_580.773, 3.2e-7, f64::NAN];
        let shown = ["0.1235", "0.0000", "20316.8340", "1.00e5", "2.16e9", "3.20e-7", "NaN"];
        assert_eq!(losses.map(number), shown);
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
}
