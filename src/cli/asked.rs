//! What was asked for: the settings of a preset, in a configuration file and on the command line. Flags win over the file, and
//! the file over the preset.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use toml::Table;

use super::flags::{
    FileArgs, Kind, OutputOptions, PresetOptions, SettingFlags, Trains, command_keys,
};
use super::print_note;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::store::{RunConfig, SweepConfig, parse_table};
use crate::train::setting::Configuration;
use crate::train::{Preset, SgdRuns, TrainConfig};

/// More than the lists of the largest sweep need.
const LONGEST_FILE: u64 = 1 << 20;

/// Settings by their keys; what is not among them has its default.
#[derive(Clone, Debug)]
pub struct Asked {
    table: Table,
    /// The configuration file, for messages.
    file: Option<String>,
    /// The keys that were given as flags.
    flags: Vec<String>,
    preset: Option<&'static Preset>,
    /// The keys that neither the file nor a flag has, but the preset.
    of_preset: Vec<&'static str>,
}

impl Asked {
    /// Reads the file, if there is one, and puts the flags over it, and both over the preset.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is no such file, or it has a key that is not a setting, or an unknown preset; [`Error::Io`] if it may not be read.
    pub fn new<C: Trains>(flags: &SettingFlags<C>, file: &FileArgs) -> Result<Self> {
        let flag_keys = flags.table.keys().cloned().collect();
        let mut asked = Self {
            table: Table::new(),
            file: None,
            flags: flag_keys,
            preset: None,
            of_preset: Vec::new(),
        };
        if let Some(path) = &file.config {
            asked.file = Some(path.display().to_string());
            let keys = match C::KIND {
                Kind::Run => RunConfig::keys(),
                Kind::Sweep | Kind::CrossValidation => SweepConfig::keys(),
            };
            let known = [keys, command_keys(C::KIND)].concat();
            let table = read(path).and_then(|text| parse_table(&text, &known));
            asked.table = table.map_err(|error| match error {
                Error::Io { .. } => error,
                other => asked.in_file(other),
            })?;
        }
        for setting in SgdRuns::SETTINGS {
            // a flag is for the runs of both optimizers
            if setting.key.strip_prefix("sgd_").is_some_and(|key| asked.is_flag(key)) {
                asked.table.remove(setting.key);
            }
        }
        asked.table.extend(flags.table.clone());
        asked.require_paths()?;
        asked.add_preset()?;
        Ok(asked)
    }

    /// Adds the settings of the preset that were not given otherwise.
    fn add_preset(&mut self) -> Result<()> {
        self.preset = self.get::<PresetOptions>()?.preset;
        let Some(preset) = self.preset else { return Ok(()) };
        for &(key, value) in preset.settings.iter().chain(preset.data) {
            if !self.has(key) {
                self.table.insert(key.to_owned(), value.into());
                self.of_preset.push(key);
            }
        }
        let name = preset.name;
        if let (true, Some(file)) = (self.of_preset.is_empty(), &self.file)
            && !self.get::<OutputOptions>()?.quiet
        {
            print_note(&format!(
                "preset {name} changes nothing: {file} and the flags have all of its settings"
            ));
        }
        Ok(())
    }

    /// Gives a configuration what the preset has for numbers, if these are what is learned, except what somebody else decides.
    ///
    /// # Errors
    /// None for the presets of densely.
    pub fn adapt(
        &self,
        config: &mut TrainConfig,
        data: &Dataset,
        is_decided: impl Fn(&str) -> bool,
    ) -> Result<()> {
        match self.preset.filter(|_| data.is_regression()) {
            Some(preset) => {
                preset.adapt_to_numbers(config, |key| self.is_of_preset(key) && !is_decided(key))
            }
            None => Ok(()),
        }
    }

    /// Whether the preset alone has a setting.
    pub fn is_of_preset(&self, key: &str) -> bool {
        self.of_preset.contains(&key)
    }

    /// A configuration as `--print-config` shows it, with a comment that says what the preset has given.
    pub fn shown(&self, toml: &str) -> String {
        let toml = toml.trim_end();
        match self.preset {
            Some(Preset { name, source, .. }) if !self.of_preset.is_empty() => {
                format!("# preset {name} ({source}): {}\n{toml}", self.of_preset.join(", "))
            }
            _ => toml.to_owned(),
        }
    }

    /// Rejects empty paths, before anything is made.
    fn require_paths(&self) -> Result<()> {
        for (key, name) in [("data", "DATA"), ("init_from", "--init-from"), ("out", "--out")] {
            if self.table.get(key).and_then(toml::Value::as_str) == Some("") {
                let from_flag = self.is_flag(key);
                let name = if from_flag { name } else { key };
                let error = Error::usage(format!("{name} is empty; expected a path"));
                return Err(if from_flag { error } else { self.in_file(error) });
            }
        }
        Ok(())
    }

    /// Whether a setting was asked for, rather than left to its default.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether a setting was given as a flag.
    pub fn is_flag(&self, key: &str) -> bool {
        self.flags.iter().any(|flag| flag == key)
    }

    /// Settings with their defaults where they were not asked for.
    ///
    /// # Errors
    /// If a value has another type than its setting.
    pub fn get<C: Configuration>(&self) -> Result<C> {
        let mut config = C::default();
        self.apply(|table| config.take_from(table))?;
        Ok(config)
    }

    /// Lets a configuration take what was asked for.
    ///
    /// # Errors
    /// What `take` returns.
    pub fn apply(&self, take: impl FnOnce(&mut Table) -> Result<()>) -> Result<()> {
        take(&mut self.table.clone()).map_err(|error| match error {
            Error::Argument { .. } => self.locate(error),
            other => self.in_file(other),
        })
    }

    /// Names the file or the preset in the error of a check, where the setting comes from it.
    pub fn locate(&self, error: Error) -> Error {
        match (&error, self.preset) {
            (Error::Argument { name, .. }, Some(preset)) if self.of_preset.contains(&&name[..]) => {
                Error::usage(format!("preset {}: {error}", preset.name))
            }
            (Error::Argument { name, .. }, _) if self.has(name) && !self.is_flag(name) => {
                self.in_file(error)
            }
            _ => error,
        }
    }

    /// Flags were checked when they were parsed, so that the file is what is wrong.
    fn in_file(&self, error: Error) -> Error {
        match &self.file {
            Some(file) => Error::usage(format!("--config {file}: {error}")),
            None => error,
        }
    }
}

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST_FILE + 1).read_to_string(&mut text))
        .map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => Error::io("read", path)(error),
            _ => Error::usage(format!("cannot read it: {error}")),
        })?;
    match text.len() as u64 > LONGEST_FILE {
        true => Err(Error::usage(format!("more than {LONGEST_FILE} bytes; expected settings"))),
        false => Ok(text),
    }
}
