//! How often a checkpoint is written within an epoch.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use toml::Value;

use crate::train::setting::SettingValue;

/// When a checkpoint is written within an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointEvery {
    /// When this much time has passed since the previous one.
    Time(Duration),
    /// After every multiple of so many steps of the optimizer.
    Steps(u64),
}

/// A file may give a number of steps without quotes.
impl SettingValue for CheckpointEvery {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn to_value(&self) -> Option<Value> {
        Some(self.to_string().into())
    }

    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => text.parse(),
            other => other.to_string().parse(),
        }
    }
}

impl FromStr for CheckpointEvery {
    type Err = String;

    /// `30s`, `10m`, `2h`; `500 steps`, or just `500`.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let number = &text[..text.len() - unit.len()];
        let seconds = match unit.trim() {
            "s" => Some(1.0),
            "m" | "min" => Some(60.0),
            "h" => Some(3600.0),
            _ => None,
        };
        let every = match (unit.trim(), seconds) {
            (_, Some(unit)) => {
                let time = number.parse::<f64>().ok().map(|number| number * unit);
                time.and_then(|time| Duration::try_from_secs_f64(time).ok()).map(Self::Time)
            }
            ("" | "steps" | "step", None) => number.parse().ok().map(Self::Steps),
            _ => None,
        };
        every.filter(|every| !matches!(every, Self::Time(Duration::ZERO) | Self::Steps(0))).ok_or_else(
            || format!("`{text}`: expected a time such as 30s, 10m or 2h, or a number of steps such as `500 steps`"),
        )
    }
}

impl fmt::Display for CheckpointEvery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => write!(f, "{}s", time.as_secs_f64()),
            Self::Steps(steps) => write!(f, "{steps} steps"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_steps_are_read_and_written() {
        for (text, every) in [
            ("30s", CheckpointEvery::Time(Duration::from_secs(30))),
            (" 0.5 s", CheckpointEvery::Time(Duration::from_millis(500))),
            ("10m", CheckpointEvery::Time(Duration::from_secs(600))),
            ("2h", CheckpointEvery::Time(Duration::from_secs(7200))),
            ("500 steps", CheckpointEvery::Steps(500)),
            ("1step", CheckpointEvery::Steps(1)),
            ("7", CheckpointEvery::Steps(7)),
        ] {
            assert_eq!(text.parse(), Ok(every), "{text}");
            assert_eq!(every.to_string().parse(), Ok(every), "{text}");
        }
        for text in [
            "",
            "s",
            "0s",
            "0",
            "-3s",
            "1e9s",
            "5 days",
            "1.5 steps",
            "1.2.3s",
            "99999999999999999999h",
        ] {
            let problem = text.parse::<CheckpointEvery>().unwrap_err();
            assert!(problem.contains("expected a time such as 30s"), "{problem}");
        }
    }
}
