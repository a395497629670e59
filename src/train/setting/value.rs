//! The types that settings have, and how each is written on the command line and in a configuration file.

use std::fmt;
use std::num::IntErrorKind;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::Value;

use crate::data::prepare::{Missing, Scale, TaskChoice};
use crate::data::{Augment, ClassWeight, ImageSize, Split};
use crate::gemm::BackendChoice;
use crate::model::{Activation, Init, Norm};
use crate::task::{Choice, Loss, Metric};
use crate::train::{OptimizerKind, Schedule, Warmup};

/// The word for a setting that is not set: `--patience none`.
pub const UNSET: &str = "none";

/// A type that a setting can have.
pub trait SettingValue: Sized {
    /// Every value, where there are only a few.
    fn choices() -> Vec<&'static str> {
        Vec::new()
    }

    /// The names that a list is made of, where it is one.
    fn elements() -> Vec<&'static str> {
        Vec::new()
    }

    /// Reads what [`SettingValue::text`] writes.
    ///
    /// # Errors
    /// What is wrong, and what was expected.
    fn parse(text: &str) -> Result<Self, String>;

    /// As the command line writes it.
    fn text(&self) -> String;

    /// As a configuration file writes it; `None` for nothing.
    fn to_value(&self) -> Option<Value>;

    /// Reads what [`SettingValue::to_value`] writes.
    ///
    /// # Errors
    /// What was expected.
    fn from_value(value: Value) -> Result<Self, String>;
}

/// Types that a configuration file writes as serde does.
macro_rules! by_serde {
    () => {
        fn to_value(&self) -> Option<Value> {
            to_value(self)
        }

        fn from_value(value: Value) -> Result<Self, String> {
            from_value(value)
        }
    };
}

fn to_value(value: &impl Serialize) -> Option<Value> {
    Value::try_from(value).ok()
}

fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| error.message().to_owned())
}

fn parse<T: std::str::FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.trim().parse().map_err(|error: T::Err| error.to_string())
}

impl SettingValue for f64 {
    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map_err(|_| format!("`{text}`: expected a number"))
    }

    /// `0.001`, `1e-6`, `1e30`.
    fn text(&self) -> String {
        match *self == 0.0 || (1e-4..1e4).contains(&self.abs()) || !self.is_finite() {
            true => self.to_string(),
            false => format!("{self:e}"),
        }
    }

    by_serde!();
}

/// Whole numbers. TOML has no numbers from 2^63 on: they are written as text.
macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl SettingValue for $number {
            fn parse(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| format!("`{text}`: expected a whole number"))
            }

            fn text(&self) -> String {
                self.to_string()
            }

            fn to_value(&self) -> Option<Value> {
                Some(i64::try_from(*self).map_or_else(|_| self.to_string().into(), Value::Integer))
            }

            fn from_value(value: Value) -> Result<Self, String> {
                match value {
                    Value::String(text) => Self::parse(&text),
                    other => {
                        let number = other.as_integer().and_then(|number| number.try_into().ok());
                        number.ok_or_else(|| format!("found {other}, expected a whole number"))
                    }
                }
            }
        }
    )*};
}

whole_numbers!(usize, u64);

impl SettingValue for bool {
    fn choices() -> Vec<&'static str> {
        vec!["on", "off"]
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "on" | "true" => Ok(true),
            "off" | "false" => Ok(false),
            other => Err(format!("`{other}`: expected on or off")),
        }
    }

    fn text(&self) -> String {
        if *self { "on".to_owned() } else { "off".to_owned() }
    }

    fn to_value(&self) -> Option<Value> {
        Some((*self).into())
    }

    fn from_value(value: Value) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| format!("found {value}, expected true or false"))
    }
}

impl SettingValue for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn text(&self) -> String {
        self.clone()
    }

    fn to_value(&self) -> Option<Value> {
        Some(self.clone().into())
    }

    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(format!("found {other}, expected text")),
        }
    }
}

impl<T: SettingValue> SettingValue for Option<T> {
    fn choices() -> Vec<&'static str> {
        T::choices()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            UNSET => Ok(None),
            text => T::parse(text).map(Some),
        }
    }

    fn text(&self) -> String {
        self.as_ref().map_or_else(String::new, T::text)
    }

    fn to_value(&self) -> Option<Value> {
        self.as_ref()?.to_value()
    }

    fn from_value(value: Value) -> Result<Self, String> {
        match value.as_str() {
            Some(UNSET) => Ok(None),
            _ => T::from_value(value).map(Some),
        }
    }
}

/// `512,256,128`; nothing at all is an empty list.
fn parse_list<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    match text.trim() {
        "" => Ok(Vec::new()),
        text => text.split(',').map(|item| parse(item.trim())).collect(),
    }
}

fn joined<T: ToString>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

/// Sizes of layers.
impl SettingValue for Vec<usize> {
    fn parse(text: &str) -> Result<Self, String> {
        parse_list(text, |item| match item.parse::<usize>() {
            Ok(0) => Err("a layer of 0 units; expected at least 1".to_owned()),
            Ok(size) => Ok(size),
            Err(error) if *error.kind() == IntErrorKind::PosOverflow => {
                Err(format!("`{item}` is too large; expected sizes such as 512,256,128"))
            }
            Err(_) => Err(format!("`{item}` is no size; expected sizes such as 512,256,128")),
        })
    }

    fn text(&self) -> String {
        joined(self)
    }

    fn to_value(&self) -> Option<Value> {
        to_value(self)
    }

    /// One layer may be written without brackets.
    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Integer(_) => from_value(Value::Array(vec![value])),
            other => from_value(other),
        }
    }
}

/// Numbers for layers; nothing for none.
impl SettingValue for Vec<f64> {
    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            UNSET => Ok(Vec::new()),
            text => parse_list(text, f64::parse),
        }
    }

    fn text(&self) -> String {
        self.iter().map(SettingValue::text).collect::<Vec<_>>().join(",")
    }

    fn to_value(&self) -> Option<Value> {
        if self.is_empty() { None } else { to_value(self) }
    }

    /// One number may be written without brackets.
    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Integer(_) | Value::Float(_) => from_value(Value::Array(vec![value])),
            Value::String(text) => Self::parse(&text),
            other => from_value(other),
        }
    }
}

impl SettingValue for Vec<Activation> {
    fn elements() -> Vec<&'static str> {
        Activation::ALL.map(Activation::name).to_vec()
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => Err("it is empty; expected activations such as relu,tanh".to_owned()),
            text => parse_list(text, parse),
        }
    }

    fn text(&self) -> String {
        joined(self)
    }

    by_serde!();
}

impl SettingValue for Init {
    fn choices() -> Vec<&'static str> {
        Init::ALL.map(Init::name).to_vec()
    }

    fn parse(text: &str) -> Result<Self, String> {
        parse(text)
    }

    fn text(&self) -> String {
        self.to_string()
    }

    by_serde!();
}

impl SettingValue for BackendChoice {
    fn choices() -> Vec<&'static str> {
        Self::ALL.map(Self::name).to_vec()
    }

    fn parse(text: &str) -> Result<Self, String> {
        from_value(text.trim().into())
    }

    fn text(&self) -> String {
        self.name().to_owned()
    }

    by_serde!();
}

/// Types that are read and shown as everywhere else.
macro_rules! as_shown {
    ($($Type:ty),+) => {$(
        impl SettingValue for $Type {
            fn parse(text: &str) -> Result<Self, String> {
                parse(text)
            }

            fn text(&self) -> String {
                self.to_string()
            }

            by_serde!();
        }
    )+};
}

as_shown!(Augment, ImageSize, Choice<Loss>, Split, Schedule);

/// Types that are a word in a configuration file.
macro_rules! words {
    ($($Type:ty: $($word:literal),+;)*) => {$(
        impl SettingValue for $Type {
            fn choices() -> Vec<&'static str> {
                vec![$($word),+]
            }

            fn parse(text: &str) -> Result<Self, String> {
                from_value(text.trim().into())
            }

            fn text(&self) -> String {
                let value = to_value(self);
                value.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()
            }

            by_serde!();
        }
    )*};
}

words! {
    TaskChoice: "auto", "classification", "regression";
    Scale: "auto", "none", "unit", "standard", "robust", "smooth";
    Missing: "impute", "error";
    ClassWeight: "none", "balanced";
    OptimizerKind: "adam", "sgd";
    Norm: "none", "batch", "layer";
}

impl SettingValue for Warmup {
    fn parse(text: &str) -> Result<Self, String> {
        parse(text)
    }

    fn text(&self) -> String {
        self.to_string()
    }

    /// A number.
    fn to_value(&self) -> Option<Value> {
        match self {
            Self::Steps(steps) => steps.to_value(),
            Self::Share(share) => Some(Value::Float(*share)),
        }
    }

    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::parse(&text),
            other => Self::parse(&other.to_string()),
        }
    }
}

/// Names of columns.
impl SettingValue for Vec<String> {
    fn parse(text: &str) -> Result<Self, String> {
        parse_list(text, |item| match item {
            "" => Err("a name is empty; expected names such as age,city".to_owned()),
            item => Ok(item.to_owned()),
        })
    }

    fn text(&self) -> String {
        self.join(",")
    }

    /// Nothing for no names.
    fn to_value(&self) -> Option<Value> {
        if self.is_empty() { None } else { to_value(self) }
    }

    fn from_value(value: Value) -> Result<Self, String> {
        from_value(value)
    }
}

impl SettingValue for Choice<Metric> {
    fn choices() -> Vec<&'static str> {
        std::iter::once("auto").chain(Metric::ALL.map(Metric::name)).collect()
    }

    fn parse(text: &str) -> Result<Self, String> {
        parse(text)
    }

    fn text(&self) -> String {
        self.to_string()
    }

    by_serde!();
}
