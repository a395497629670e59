//! Settings, each declared once: its field, flag, key in a file, help, check, and whether a sweep or a resume may change it.
//!
//! The macro `settings!` makes a configuration struct and the table of its [`Setting`]s from one
//! declaration. Everything that handles settings walks that table: the flags and their help, configuration files, the
//! grids of sweeps, what a resumed run may change, tables and names in reports. To add a setting, add one entry to the
//! declaration and use its field.

use std::fmt;

use serde::Serializer;
use serde::ser::SerializeMap as _;
use toml::{Table, Value};

use crate::error::{Error, Result};

mod value;

pub use value::{SettingValue, UNSET};

/// A setting of the configuration `C`.
// the command line reads what the library alone does not
#[cfg_attr(not(feature = "cli"), allow(dead_code))]
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
        let is_list = value.is_array();
        (self.set)(config, value).map_err(|problem| match is_list && !self.takes_lists() {
            true => refuse("found a list, expected one value".to_owned()),
            false => refuse(problem),
        })
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
            Ok(self.value(&config))
        };
        values.into_iter().map(read).collect()
    }

    /// Whether one value is a list.
    fn takes_lists(&self) -> bool {
        (self.set)(&mut C::default(), Value::Array(Vec::new())).is_ok()
    }

    /// The value as an item of a list, where what is not set has a word too.
    pub fn value(&self, config: &C) -> Value {
        (self.get)(config).unwrap_or_else(|| UNSET.into())
    }

    /// The setting with its value in the name of a directory, of characters that every file system takes: `512-256-128`, `dropout-0.2`,
    /// `norm-none`.
    pub fn label(&self, config: &C) -> String {
        let is_portable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        let portable = |text: &str| text.replace(|c| !is_portable(c), "-");
        let value = match (self.text)(config) {
            empty if empty.is_empty() => UNSET.to_owned(),
            value => portable(&value),
        };
        match self.run_name {
            None => format!("{}-{value}", portable(self.key)),
            // `lr0.1`, but `clip-none`
            Some(prefix) if !prefix.is_empty() && value.starts_with(char::is_alphabetic) => {
                format!("{prefix}-{value}")
            }
            Some(prefix) => format!("{prefix}{value}"),
        }
    }

    /// The same as earlier versions wrote it, also with characters such as `:`.
    pub fn former_label(&self, config: &C) -> String {
        let value = match (self.text)(config) {
            empty if empty.is_empty() => UNSET.to_owned(),
            value => value.replace([',', ' '], "-"),
        };
        match self.run_name {
            Some(prefix) => format!("{prefix}{value}"),
            None => format!("{}-{value}", self.key),
        }
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
                        Ok(value.unwrap_or_else(|| $crate::train::setting::UNSET.into()))
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
