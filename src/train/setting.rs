//! Settings, each declared once: its field, flag, key in a file, help, check, and whether a sweep or a resume may change it.
//!
//! [`settings!`](crate::train::setting::settings) makes a configuration struct and the table of its [`Setting`]s from one
//! declaration. Everything that handles settings walks that table: the flags and their help, configuration files, the
//! grids of sweeps, what a resumed run may change, tables and names in reports. To add a setting, add one entry to the
//! declaration and use its field.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use toml::{Table, Value};

use crate::data::Split;
use crate::error::{Error, Result};
use crate::gemm::BackendChoice;
use crate::model::{Activation, Init};

/// A setting of the configuration `C`.
pub struct Setting<C: 'static> {
    /// The name of the field, and the key in a configuration file. The flag is the same with `-` for `_`.
    pub key: &'static str,
    /// What it does, in a sentence or two without Markdown.
    pub help: &'static str,
    /// What stands for a value in help texts.
    pub value_name: &'static str,
    /// The heading under which help lists it.
    pub group: &'static str,
    /// The default in words, where the value itself would not say it.
    pub default: Option<&'static str>,
    /// The value of a flag that is given without one.
    pub implied: Option<&'static str>,
    /// The letter of a short flag.
    pub short: Option<char>,
    /// Whether it is a positional argument, without a flag.
    pub positional: bool,
    /// What a sweep makes of it.
    pub sweep: Sweep,
    /// What precedes the value in the name of a sweep's run; `None` for the key and a hyphen.
    pub run_name: Option<&'static str>,
    /// Whether a resumed run may change it.
    pub resume: bool,
    /// What is accepted, for messages.
    pub expected: &'static str,
    /// Whether the configuration's value is possible.
    pub check: fn(&C) -> bool,
    /// Every value, where there are only a few.
    pub choices: fn() -> Vec<&'static str>,
    /// The names that a list is made of, where it is one.
    pub elements: fn() -> Vec<&'static str>,
    /// Reads a value as the command line writes it.
    pub parse: fn(&str) -> std::result::Result<Value, String>,
    /// The value; `None` if it is not set.
    pub get: fn(&C) -> Option<Value>,
    /// Replaces the value.
    pub set: fn(&mut C, Value) -> std::result::Result<(), String>,
    /// The value as the command line writes it; empty if it is not set.
    pub text: fn(&C) -> String,
}

/// What a sweep makes of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sweep {
    /// All runs share one value.
    Shared,
    /// A list of values, separated by a comma.
    Commas,
    /// A list of values that may contain commas themselves, separated by a semicolon.
    Semicolons,
    /// A sweep does not have it.
    Absent,
}

impl Sweep {
    /// What separates the values of a list, if there can be one.
    pub fn separator(self) -> Option<char> {
        match self {
            Self::Commas => Some(','),
            Self::Semicolons => Some(';'),
            Self::Shared | Self::Absent => None,
        }
    }
}

impl<C: Configuration> Setting<C> {
    /// What an entry of a declaration leaves out.
    pub const PLAIN: Self = Self {
        key: "",
        help: "",
        value_name: "",
        group: "",
        default: None,
        implied: None,
        short: None,
        positional: false,
        sweep: Sweep::Shared,
        run_name: None,
        resume: false,
        expected: "",
        check: |_| true,
        choices: Vec::new,
        elements: Vec::new,
        parse: |_| Err(String::new()),
        get: |_| None,
        set: |_, _| Ok(()),
        text: |_| String::new(),
    };

    /// Replaces the value by one from a configuration file, where text may also be written as on the command line.
    ///
    /// # Errors
    /// [`Error::Argument`].
    pub fn set_from(&self, config: &mut C, value: Value) -> Result<()> {
        let refuse =
            |problem: String| Error::usage(format!("{}: {}", self.key, problem.trim_end()));
        let value = match value {
            Value::String(text) => (self.parse)(&text).map_err(refuse)?,
            other => other,
        };
        (self.set)(config, value).map_err(refuse)
    }

    /// The values of a sweep in a file's value: the items of a list of values, or else the one value.
    ///
    /// # Errors
    /// [`Error::Argument`] for the first value that is impossible.
    pub fn several(&self, value: Value) -> Result<Vec<Value>> {
        // a list can be one value, such as `hidden = [512, 256]`
        let is_one = |list: &Value| (self.set)(&mut C::default(), list.clone()).is_ok();
        let values = match (value, self.sweep.separator()) {
            (Value::String(text), Some(separator)) => {
                text.split(separator).map(|one| Value::from(one.trim())).collect()
            }
            (value, Some(_)) if value.is_array() && is_one(&value) => vec![value],
            (Value::Array(values), Some(_)) => values,
            (value, _) => vec![value],
        };
        let read = |value: Value| {
            let mut config = C::default();
            self.set_from(&mut config, value)?;
            (self.get)(&config).ok_or_else(|| Error::argument(self.key, "not set", self.expected))
        };
        values.into_iter().map(read).collect()
    }

    /// The value in the name of a directory or a table: `512-256-128`, `none` for nothing.
    pub fn label(&self, config: &C) -> String {
        match (self.text)(config).replace([',', ' '], "-") {
            empty if empty.is_empty() => "none".to_owned(),
            label => label,
        }
    }

    /// The name of its flag, without the dashes before it.
    pub fn flag(&self) -> String {
        self.key.replace('_', "-")
    }
}

impl<C> fmt::Debug for Setting<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A struct of settings.
pub trait Configuration: Clone + Default + Sized + 'static {
    /// The settings, in the order in which files and help show them.
    const SETTINGS: &'static [Setting<Self>];

    /// The setting of a key.
    fn setting(key: &str) -> Option<&'static Setting<Self>> {
        Self::SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// Takes the settings that are its own out of a table.
    ///
    /// # Errors
    /// [`Error::Argument`] for a value of another type than its setting's.
    fn take_from(&mut self, table: &mut Table) -> Result<()> {
        for setting in Self::SETTINGS {
            if let Some(value) = table.remove(setting.key) {
                setting.set_from(self, value)?;
            }
        }
        Ok(())
    }

    /// The settings that have a value, in order.
    fn entries(&self) -> impl Iterator<Item = (&'static str, Value)> {
        Self::SETTINGS.iter().filter_map(|setting| Some((setting.key, (setting.get)(self)?)))
    }

    /// Rejects impossible values.
    ///
    /// # Errors
    /// [`Error::Argument`] for the first one.
    fn check(&self) -> Result<()> {
        match Self::SETTINGS.iter().find(|setting| !(setting.check)(self)) {
            None => Ok(()),
            Some(setting) => {
                Err(Error::argument(setting.key, (setting.text)(self), setting.expected))
            }
        }
    }
}

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
    fn parse(text: &str) -> std::result::Result<Self, String>;

    /// As the command line writes it.
    fn text(&self) -> String;

    /// As a configuration file writes it; `None` for nothing.
    fn to_value(&self) -> Option<Value>;

    /// Reads what [`SettingValue::to_value`] writes.
    ///
    /// # Errors
    /// What was expected.
    fn from_value(value: Value) -> std::result::Result<Self, String>;
}

/// Types that a configuration file writes as serde does.
macro_rules! by_serde {
    () => {
        fn to_value(&self) -> Option<Value> {
            to_value(self)
        }

        fn from_value(value: Value) -> std::result::Result<Self, String> {
            from_value(value)
        }
    };
}

fn to_value(value: &impl Serialize) -> Option<Value> {
    Value::try_from(value).ok()
}

fn from_value<T: DeserializeOwned>(value: Value) -> std::result::Result<T, String> {
    T::deserialize(value).map_err(|error| error.message().to_owned())
}

fn parse<T: std::str::FromStr<Err: fmt::Display>>(text: &str) -> std::result::Result<T, String> {
    text.trim().parse().map_err(|error: T::Err| error.to_string())
}

impl SettingValue for f64 {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        parse(text)
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

/// Whole numbers, as far as a configuration file can hold them.
macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl SettingValue for $number {
            fn parse(text: &str) -> std::result::Result<Self, String> {
                let number: Self = parse(text)?;
                match i64::try_from(number) {
                    Ok(_) => Ok(number),
                    Err(_) => Err(format!("{number} is too large; expected at most {}", i64::MAX)),
                }
            }

            fn text(&self) -> String {
                self.to_string()
            }

            by_serde!();
        }
    )*};
}

whole_numbers!(usize, u64);

impl SettingValue for bool {
    fn choices() -> Vec<&'static str> {
        vec!["on", "off"]
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
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

    fn from_value(value: Value) -> std::result::Result<Self, String> {
        value.as_bool().ok_or_else(|| "true or false".to_owned())
    }
}

impl SettingValue for String {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        Ok(text.to_owned())
    }

    fn text(&self) -> String {
        self.clone()
    }

    fn to_value(&self) -> Option<Value> {
        Some(self.clone().into())
    }

    fn from_value(value: Value) -> std::result::Result<Self, String> {
        match value {
            Value::String(text) => Ok(text),
            _ => Err("a string".to_owned()),
        }
    }
}

impl<T: SettingValue> SettingValue for Option<T> {
    fn choices() -> Vec<&'static str> {
        T::choices()
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        T::parse(text).map(Some)
    }

    fn text(&self) -> String {
        self.as_ref().map_or_else(String::new, T::text)
    }

    fn to_value(&self) -> Option<Value> {
        self.as_ref()?.to_value()
    }

    fn from_value(value: Value) -> std::result::Result<Self, String> {
        T::from_value(value).map(Some)
    }
}

/// `512,256,128`; nothing at all is an empty list.
fn parse_list<T>(
    text: &str,
    parse: impl Fn(&str) -> std::result::Result<T, String>,
) -> std::result::Result<Vec<T>, String> {
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
    fn parse(text: &str) -> std::result::Result<Self, String> {
        parse_list(text, |item| match item.parse() {
            Ok(0) => Err("a layer of 0 units; expected at least 1".to_owned()),
            Ok(size) => Ok(size),
            Err(error) => Err(format!("`{item}`: {error}; expected sizes such as 512,256,128")),
        })
    }

    fn text(&self) -> String {
        joined(self)
    }

    fn to_value(&self) -> Option<Value> {
        to_value(self)
    }

    /// One layer may be written without brackets.
    fn from_value(value: Value) -> std::result::Result<Self, String> {
        match value {
            Value::Integer(_) => from_value(Value::Array(vec![value])),
            other => from_value(other),
        }
    }
}

impl SettingValue for Vec<Activation> {
    fn elements() -> Vec<&'static str> {
        Activation::ALL.map(Activation::name).to_vec()
    }

    fn parse(text: &str) -> std::result::Result<Self, String> {
        parse_list(text, parse)
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

    fn parse(text: &str) -> std::result::Result<Self, String> {
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

    fn parse(text: &str) -> std::result::Result<Self, String> {
        from_value(text.trim().into())
    }

    fn text(&self) -> String {
        self.name().to_owned()
    }

    by_serde!();
}

impl SettingValue for Split {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        parse(text)
    }

    fn text(&self) -> String {
        self.to_string()
    }

    by_serde!();
}

/// Serialises the entries of configurations as one map, in order.
pub fn serialize_entries<S: Serializer>(
    entries: impl Iterator<Item = (&'static str, Value)>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    for (key, value) in entries {
        map.serialize_entry(key, &value)?;
    }
    map.end()
}

/// Declares a configuration: a struct, its defaults, and the table of its settings.
///
/// ```ignore
/// settings! {
///     /// What the struct is.
///     pub struct Config {
///         /// Samples per step.
///         batch_size: usize = 500, { value_name: "N", check: |c| c.batch_size > 0, expected: "at least 1" }
///     }
/// }
/// ```
///
/// The comment of a field is also its help. The properties in braces are those of [`Setting`].
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $Config:ident {
            $(
                $(#[doc = $help:literal])+
                $field:ident: $Type:ty = $default:expr, { $($property:ident: $value:expr),* $(,)? }
            )*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        $visibility struct $Config {
            $(
                $(#[doc = $help])+
                pub $field: $Type,
            )*
        }

        impl Default for $Config {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::train::setting::Configuration for $Config {
            const SETTINGS: &'static [$crate::train::setting::Setting<Self>] = &[
                $($crate::train::setting::Setting {
                    key: stringify!($field),
                    help: concat!($($help),+),
                    choices: <$Type as $crate::train::setting::SettingValue>::choices,
                    elements: <$Type as $crate::train::setting::SettingValue>::elements,
                    parse: |text| {
                        let value = <$Type as $crate::train::setting::SettingValue>::parse(text)?;
                        let value = $crate::train::setting::SettingValue::to_value(&value);
                        value.ok_or_else(|| "no value".to_owned())
                    },
                    get: |config| $crate::train::setting::SettingValue::to_value(&config.$field),
                    set: |config, value| {
                        config.$field = $crate::train::setting::SettingValue::from_value(value)?;
                        Ok(())
                    },
                    text: |config| $crate::train::setting::SettingValue::text(&config.$field),
                    $($property: $value,)*
                    ..$crate::train::setting::Setting::PLAIN
                },)*
            ];
        }

        impl serde::Serialize for $Config {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let entries = $crate::train::setting::Configuration::entries(self);
                $crate::train::setting::serialize_entries(entries, serializer)
            }
        }
    };
}
pub(crate) use settings;
