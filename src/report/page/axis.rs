//! Axes: which range of values is drawn, and what is written at its ticks.

use std::ops::RangeInclusive;

/// How values are placed along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    Linear,
    /// Values that are not positive are drawn at the lower end, which is labelled 0.
    Log,
}

/// An axis before it knows the values.
#[derive(Clone, Debug)]
pub struct Axis {
    /// Below or above the axis.
    pub name: String,
    pub scale: Scale,
    /// After every label, such as ` %`.
    pub unit: &'static str,
    /// Values that cannot be exceeded, such as 0 and 100 of a share in percent.
    pub limits: (f64, f64),
    /// Values below are drawn at the lower end.
    pub floor: f64,
    /// Values above are drawn at the upper end.
    pub ceiling: f64,
    /// Whether 0 is always shown.
    pub from_zero: bool,
    /// Whether there is nothing between whole numbers.
    pub whole: bool,
}

impl Axis {
    pub fn new(name: impl Into<String>, scale: Scale) -> Self {
        Self {
            name: name.into(),
            scale,
            unit: "",
            limits: (f64::NEG_INFINITY, f64::INFINITY),
            floor: f64::NEG_INFINITY,
            ceiling: f64::INFINITY,
            from_zero: false,
            whole: false,
        }
    }

    /// Of shares in percent.
    pub fn percent(name: impl Into<String>) -> Self {
        Self { unit: " %", limits: (0.0, 100.0), ..Self::new(name, Scale::Linear) }
    }

    /// Of the sizes of groups.
    pub fn counts(name: impl Into<String>) -> Self {
        let limits = (0.0, f64::INFINITY);
        Self { whole: true, from_zero: true, limits, ..Self::new(name, Scale::Linear) }
    }

    /// Of the numbers of epochs.
    pub fn epochs() -> Self {
        Self { whole: true, ..Self::new("epoch", Scale::Linear) }
    }

    /// The range that holds the values, widened at both ends by a part of its size, with about `wanted` ticks.
    pub fn fit(&self, values: impl Iterator<Item = f64>, widen: f64, wanted: f64) -> Fitted {
        let log = self.scale == Scale::Log;
        let mut zeros = false;
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let shown = self.floor..=self.ceiling;
        let values = values.chain(self.from_zero.then_some(0.0));
        for value in values.filter(|value| value.is_finite() && shown.contains(value)) {
            if log && value <= 0.0 {
                zeros = true;
                continue;
            }
            let value = if log { value.log10() } else { value };
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = if log { (-1.0, 0.0) } else { (0.0, 1.0) };
        }
        let size = high - low;
        let widen = match size < 1e-9 * high.abs().max(1e-300) {
            true if log => 0.3,
            true if high == 0.0 => 1.0,
            true => 0.1 * high.abs(),
            false => widen * size,
        };
        let mut start = low - widen;
        let limit = if log { self.limits.1.log10() } else { self.limits.1 };
        let end = (high + widen).min(limit);
        if log && zeros {
            start -= 0.12 * (end - start); // a place for them below everything else
        }
        let start = if log { start } else { start.max(self.limits.0) };
        let mut fitted = Fitted { start, end, scale: self.scale, shown, ticks: Vec::new() };
        let least_step = if self.whole { 1.0 } else { 0.0 };
        fitted.ticks = match self.scale {
            Scale::Log => log_ticks(start, end, wanted),
            Scale::Linear => linear_ticks(start, end, wanted, least_step),
        };
        if log && zeros {
            let least = start + 0.08 * (end - start);
            fitted.ticks.retain(|tick| tick.0 > least);
            fitted.ticks.insert(0, (start, "0".to_owned()));
        }
        fitted.ticks.iter_mut().for_each(|tick| tick.1 += self.unit);
        fitted
    }
}

/// An axis with its range.
#[derive(Clone, Debug)]
pub struct Fitted {
    start: f64,
    end: f64,
    scale: Scale,
    /// Values that have a place of their own.
    shown: RangeInclusive<f64>,
    /// Positions on the scale, and what is written there.
    ticks: Vec<(f64, String)>,
}

impl Fitted {
    /// Where a value lies: 0 at the lower end, 1 at the upper one.
    pub fn at(&self, value: f64) -> f64 {
        let value = if self.scale == Scale::Log { value.max(1e-320).log10() } else { value };
        self.share(value).clamp(0.0, 1.0)
    }

    /// Whether a value is drawn at an end because it lies beyond what is shown.
    pub fn is_beyond(&self, value: f64) -> bool {
        !self.shown.contains(&value)
    }

    fn share(&self, position: f64) -> f64 {
        (position - self.start) / (self.end - self.start)
    }

    /// Where the ticks lie, and their labels.
    pub fn ticks(&self) -> impl Iterator<Item = (f64, &str)> {
        self.ticks.iter().map(|(position, label)| (self.share(*position), &label[..]))
    }

    /// The longest label.
    pub fn longest_label(&self) -> &str {
        let longest = self.ticks.iter().max_by_key(|tick| tick.1.chars().count());
        longest.map_or("", |tick| &tick.1)
    }
}

/// Multiples of 1, 2 or 5 times a power of ten, with labels that differ.
fn linear_ticks(start: f64, end: f64, wanted: f64, least_step: f64) -> Vec<(f64, String)> {
    let rough = (end - start) / wanted.max(1.0);
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough * 0.999);
    let step = (factor.unwrap_or(10.0) * power).max(least_step);
    let first = (start / step - 1e-9).ceil();
    let last = (end / step + 1e-9).floor();
    if !(step > 0.0 && last - first < 1000.0) {
        return Vec::new();
    }
    let largest = start.abs().max(end.abs());
    (0..=(last - first) as usize)
        .map(|i| (first + i as f64) * step)
        .map(|tick| (tick, label(tick, step, largest)))
        .collect()
}

/// Powers of ten, their multiples by 2 and 5 where there is room, and even steps within less than about a decade.
fn log_ticks(start: f64, end: f64, wanted: f64) -> Vec<(f64, String)> {
    let decades = end - start;
    if decades < 1.3 {
        let (low, high) = (10f64.powf(start), 10f64.powf(end));
        let ticks = linear_ticks(low, high, wanted, 0.0);
        let positive = ticks.into_iter().filter(|tick| tick.0 > 0.0);
        return positive.map(|(tick, label)| (tick.log10(), label)).collect();
    }
    let powers = start.ceil() as i32..=end.floor() as i32;
    let own = |position: f64| {
        let value = 10f64.powf(position);
        let power = 10f64.powf((position + 1e-9).floor());
        (position, label(value, power, value))
    };
    if decades * 3.0 <= wanted * 1.6 {
        let from = start.floor() as i32..=end.floor() as i32;
        let all = from.flat_map(|p| [1.0f64, 2.0, 5.0].map(|factor| f64::from(p) + factor.log10()));
        return all.filter(|tick| (start..=end).contains(tick)).map(own).collect();
    }
    let every = (decades / wanted.max(1.0)).ceil().max(1.0) as i32;
    powers.filter(|power| power.rem_euclid(every) == 0).map(|power| own(f64::from(power))).collect()
}

/// A value as a tick's label: `0.05`, `12.5 k`, `3e-7`. Values that differ by `step` have different labels; `largest` is the
/// largest on the axis.
fn label(value: f64, step: f64, largest: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let (unit, name) = match largest {
        1e15.. => (0.0, ""),
        1e9.. => (1e9, " G"),
        1e6.. => (1e6, " M"),
        1e4.. => (1e3, " k"),
        _ if step < 1e-5 => (0.0, ""),
        _ => (1.0, ""),
    };
    let digits = |step: f64| (-(step.log10() + 1e-9).floor()).clamp(0.0, 17.0) as usize;
    if unit == 0.0 {
        let own = 10f64.powf((value.abs().log10() + 1e-9).floor());
        let text = format!("{value:.*e}", digits(step / own));
        return text;
    }
    let text = format!("{:.*}{name}", digits(step / unit), value / unit);
    match text.strip_prefix('-') {
        Some(rest) if !rest.contains(|c: char| ('1'..='9').contains(&c)) => rest.to_owned(),
        _ => text,
    }
}

/// A value with about five digits: `0.01234`, `97.53`, `123457`, `1.2e-9`.
pub fn significant(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    if !(1e-4..1e9).contains(&size) {
        return format!("{value:.3e}");
    }
    let digits = (4 - size.log10().floor() as i32).clamp(0, 8) as usize;
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn labels(axis: &Axis, values: &[f64]) -> Vec<String> {
        let fitted = axis.fit(values.iter().copied(), 0.05, 6.0);
        assert!(fitted.end > fitted.start, "{values:?}");
        for &value in values.iter().filter(|value| value.is_finite()) {
            assert!((0.0..=1.0).contains(&fitted.at(value)), "{values:?}");
        }
        for (share, label) in fitted.ticks() {
            assert!((-1e-9..=1.0 + 1e-9).contains(&share), "{values:?}: {label} at {share}");
        }
        fitted.ticks().map(|(_, label)| label.to_owned()).collect()
    }

    #[test]
    fn labels_differ_whatever_the_values() {
        let spans = [
            vec![0.3, 0.01],
            vec![1e-9, 3e-9],
            vec![1e-12, 1e12],
            vec![1e300, 1e290],
            vec![5e-324, 1e300],
            vec![0.0, 0.0],
            vec![0.0, 1e-7, 1.0],
            vec![7.0],
            vec![0.1, 0.100_000_1],
            vec![1e17, 1e17 + 256.0],
            vec![1.0, 1e6],
            vec![12_000.0, 12_500.0],
            vec![f64::NAN, f64::INFINITY],
            vec![],
            vec![99.98, 99.99],
        ];
        for values in spans {
            for scale in [Scale::Linear, Scale::Log] {
                let axis = Axis::new("loss", scale);
                let labels = labels(&axis, &values);
                let distinct: BTreeSet<&String> = labels.iter().collect();
                assert_eq!(distinct.len(), labels.len(), "{values:?} {scale:?}: {labels:?}");
                assert!((2..=14).contains(&labels.len()), "{values:?} {scale:?}: {labels:?}");
                assert!(labels.iter().all(|label| label.len() < 14), "{labels:?}");
            }
        }
    }

    #[test]
    fn labels_read_well() {
        let linear = |values: &[f64]| labels(&Axis::new("", Scale::Linear), values);
        assert_eq!(linear(&[0.0, 0.4]), ["0", "0.1", "0.2", "0.3", "0.4"]);
        assert_eq!(linear(&[10_000.0, 12_000.0])[..2], ["10.0 k", "10.5 k"]);
        let log = |values: &[f64]| labels(&Axis::new("", Scale::Log), values);
        assert_eq!(log(&[1e-3, 10.0]), ["0.001", "0.01", "0.1", "1", "10"]);
        assert_eq!(log(&[0.05, 0.9]), ["0.05", "0.1", "0.2", "0.5", "1"]);
        assert_eq!(log(&[0.0, 0.0])[0], "0");
        assert_eq!(labels(&Axis::epochs(), &[1.0, 2.0]), ["1", "2"]);
        let texts = [0.012_344, 97.53, 123_456.7, 1.2e-9, 1.0, 0.0, 2e12].map(significant);
        assert_eq!(texts, ["0.012344", "97.53", "123457", "1.200e-9", "1", "0", "2.000e12"]);
    }

    #[test]
    fn shares_do_not_exceed_100_percent() {
        let axis = Axis::percent("accuracy");
        let error = Axis { scale: Scale::Log, ..axis.clone() };
        for values in [&[99.0, 100.0][..], &[100.0], &[0.0], &[0.0, 100.0], &[50.0, 99.9], &[90.0]]
        {
            let fitted = axis.fit(values.iter().copied(), 0.06, 6.0);
            assert!(fitted.start >= 0.0 && fitted.end <= 100.0, "{values:?}: {fitted:?}");
            let fitted = error.fit(values.iter().copied(), 0.06, 6.0);
            assert!(fitted.end <= 2.0, "{values:?}: {fitted:?}");
            labels(&axis, values);
            labels(&error, values);
        }
        let floor = Axis { floor: 90.0, ..axis };
        let fitted = floor.fit([10.0, 95.0, 96.0].into_iter(), 0.05, 5.0);
        assert!(fitted.start > 90.0 && fitted.is_beyond(10.0) && fitted.at(10.0) == 0.0);
        let ceiling = Axis { ceiling: 3.0, ..Axis::new("RMSE", Scale::Linear) };
        let fitted = ceiling.fit([2.0, 2.5, 900.0].into_iter(), 0.05, 5.0);
        assert!(fitted.end < 3.0 && fitted.is_beyond(900.0) && fitted.at(900.0) == 1.0);
        let counts = Axis::counts("samples").fit([7.0, 9.0].into_iter(), 0.05, 5.0);
        assert_eq!((counts.start, counts.ticks[0].1.as_str()), (0.0, "0"));
    }
}
