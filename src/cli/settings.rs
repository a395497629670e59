//! Settings from three places: the defaults, a configuration file, the flags; the later one wins.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use densely::model::Activation;
use densely::train::{CheckpointEvery, TrainConfig};
use densely::{Error, Result};
use serde::Deserialize as _;
use toml::{Table, Value};

use super::values;

/// What was asked for, by the names of the flags with `_` for `-`; what is not in it has its default.
#[derive(Debug, Default)]
pub struct Settings {
    pub table: Table,
    /// Where the file's part comes from, for messages.
    pub source: Option<String>,
}

/// Settings that are no part of what is computed.
const OUTPUT_KEYS: [&str; 4] = ["out", "json", "quiet", "no_report"];

/// More than the lists of the largest sweep need.
const LONGEST_FILE: u64 = 1 << 20;

/// Settings that only a sweep has.
pub const SWEEP_KEYS: [&str; 2] = ["jobs", "test_all"];

impl Settings {
    /// Reads a configuration file of `train`, such as the `config.toml` of a run.
    ///
    /// # Errors
    /// [`Error::Usage`] for a key that is no setting, naming the nearest one; otherwise what is wrong with the file.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_with(path, &[])
    }

    /// Reads a configuration file of `sweep`, such as the `sweep.toml` of one.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub fn read_grid(path: &Path) -> Result<Self> {
        Self::read_with(path, &SWEEP_KEYS)
    }

    fn read_with(path: &Path, more_keys: &[&str]) -> Result<Self> {
        let source = path.display().to_string();
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(LONGEST_FILE + 1).read_to_string(&mut text))
            .map_err(|error| Error::usage(format!("--config {source}: cannot read it: {error}")))?;
        if text.len() as u64 > LONGEST_FILE {
            let problem = format!("more than {LONGEST_FILE} bytes; expected settings");
            return Err(Error::usage(format!("--config {source}: {problem}")));
        }
        Self::parse(&text, source, more_keys)
    }

    pub fn parse(text: &str, source: String, more_keys: &[&str]) -> Result<Self> {
        let refuse = |problem: &str| Error::usage(format!("--config {source}: {problem}"));
        let file: Table = toml::from_str(text).map_err(|error: toml::de::Error| {
            let line = error.span().map(|span| text[..span.start].lines().count().max(1));
            let place = line.map_or_else(String::new, |line| format!("line {line}: "));
            refuse(&format!("{place}{}", error.message()))
        })?;
        let known = known_keys(more_keys)?;
        let mut table = Table::new();
        for (key, value) in file {
            let name = key.replace('-', "_");
            if !known.contains(&name) {
                return Err(refuse(&format!("unknown key `{key}`; {}", advice(&name, &known))));
            }
            let value = match (&name[..], value) {
                ("shuffle", Value::String(switch)) if switch == "on" => true.into(),
                ("shuffle", Value::String(switch)) if switch == "off" => false.into(),
                (_, value) => value,
            };
            if table.insert(name, value).is_some() {
                return Err(refuse(&format!("`{key}` is there twice")));
            }
        }
        Ok(Self { table, source: Some(source) })
    }

    /// Sets what was given on the command line.
    pub fn set(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.table.insert(key.to_owned(), value.into());
        }
    }

    /// Whether a setting was asked for, rather than left to its default.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// A path among the settings of the output.
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        match self.table.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.refuse(&format!("`{key}` is {other}, expected a string"))),
        }
    }

    /// A switch among the settings of the output.
    pub fn switch(&self, key: &str) -> Result<bool> {
        match self.table.get(key) {
            None => Ok(false),
            Some(Value::Boolean(on)) => Ok(*on),
            Some(other) => Err(self.refuse(&format!("`{key}` is {other}, expected true or false"))),
        }
    }

    /// The settings of the run itself, over the defaults.
    pub fn config(&self) -> Result<TrainConfig> {
        self.config_over(TrainConfig::default())
    }

    pub fn config_over(&self, defaults: TrainConfig) -> Result<TrainConfig> {
        let mut table =
            Table::try_from(defaults).map_err(|error| self.refuse(&error.to_string()))?;
        for (key, value) in &self.table {
            if !OUTPUT_KEYS.contains(&&key[..]) && !SWEEP_KEYS.contains(&&key[..]) {
                table.insert(key.clone(), self.one(key, value.clone())?);
            }
        }
        TrainConfig::deserialize(table)
            .map_err(|error: toml::de::Error| self.refuse(error.to_string().trim_end()))
    }

    /// A value of a run; lists may be written as on the command line.
    pub fn one(&self, key: &str, value: Value) -> Result<Value> {
        match (key, value) {
            ("hidden", Value::String(list)) => {
                sizes(&values::sizes(&list).map_err(|problem| self.refuse(&problem))?.0)
            }
            ("activations", Value::String(list)) => {
                let list = values::activations(&list).map_err(|problem| self.refuse(&problem))?;
                Ok(activations(&list.0))
            }
            ("hidden", Value::Integer(size)) => Ok(vec![size].into()),
            (_, value) => Ok(value),
        }
    }

    pub fn refuse(&self, problem: &str) -> Error {
        let problem = problem.replace('\n', ", ");
        match &self.source {
            Some(source) => Error::usage(format!("--config {source}: {problem}")),
            None => Error::usage(problem),
        }
    }
}

/// What to do instead of a key that is none.
fn advice(name: &str, known: &[String]) -> String {
    if ["config", "print_config", "resume", "help", "version"].contains(&name) {
        return "that is for the command line alone".to_owned();
    }
    let similarity = |key: &&String| (1e3 * strsim::jaro_winkler(key, name)) as u32;
    match known.iter().max_by_key(similarity) {
        Some(nearest) if similarity(&nearest) > 700 => format!("did you mean `{nearest}`?"),
        _ => format!("expected one of {}", known.join(", ")),
    }
}

/// Every key that a file may hold.
fn known_keys(more: &[&str]) -> Result<Vec<String>> {
    let full = TrainConfig {
        patience: Some(1),
        init_from: Some(String::new()),
        checkpoint_every: Some(CheckpointEvery::Steps(1)),
        ..TrainConfig::default()
    };
    let table = Table::try_from(full).map_err(|error| Error::usage(error.to_string()))?;
    Ok(table
        .into_iter()
        .map(|(key, _)| key)
        .chain(OUTPUT_KEYS.iter().chain(more).map(|&key| key.to_owned()))
        .collect())
}

/// Sizes as a TOML array.
pub fn sizes(sizes: &[usize]) -> Result<Value> {
    let size = |&size: &usize| match i64::try_from(size) {
        Ok(size) => Ok(Value::Integer(size)),
        Err(_) => Err(Error::usage(format!("a layer of {size} units; expected fewer"))),
    };
    sizes.iter().map(size).collect::<Result<Vec<_>>>().map(Value::Array)
}

/// Activations as a TOML array.
pub fn activations(activations: &[Activation]) -> Value {
    activations.iter().map(|activation| Value::from(activation.name())).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Settings> {
        Settings::parse(text, "file".to_owned(), &[])
    }

    #[test]
    fn what_a_run_writes_is_read_back() {
        let config = TrainConfig {
            hidden: vec![7, 5],
            activations: vec![Activation::Gelu, Activation::Tanh],
            patience: Some(3),
            lr: 0.25,
            shuffle: false,
            ..TrainConfig::default()
        };
        let settings = parse(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(settings.config().unwrap(), config);
    }

    #[test]
    fn dashes_and_lists_in_strings_are_understood_and_flags_win() {
        let text = "batch-size = 7\nhidden = '9, 8'\nactivations = \"relu,tanh\"\nout = 'x'\nlr = 1\nshuffle = 'off'";
        let mut settings = parse(text).unwrap();
        settings.set("batch_size", Some(11));
        settings.set("seed", None::<i64>);
        let config = settings.config().unwrap();
        assert_eq!((config.batch_size, config.hidden, config.lr), (11, vec![9, 8], 1.0));
        assert_eq!(config.activations, [Activation::Relu, Activation::Tanh]);
        assert!(!config.shuffle);
        assert_eq!(parse("hidden = 7").unwrap().config().unwrap().hidden, [7]);
        assert_eq!(settings.text("out").unwrap(), Some("x"));
        assert!(settings.has("hidden") && !settings.has("seed"));
        assert!(!settings.switch("quiet").unwrap());
    }

    #[test]
    fn mistakes_are_named() {
        let message = |text: &str| {
            let settings = parse(text).and_then(|settings| {
                settings.text("out")?;
                settings.switch("json")?;
                settings.config()
            });
            let message = settings.unwrap_err().to_string();
            assert!(message.starts_with("--config file: "), "{message}");
            assert!(!message.contains('\n'), "{message}");
            message
        };
        assert!(message("epoch = 3").contains("did you mean `epochs`?"));
        assert!(message("learning = 3").contains("unknown key `learning`"));
        assert!(message("zzz = 3").contains("expected one of"));
        assert!(message("resume = 'runs/a'").contains("for the command line alone"));
        assert!(message("batch-size = 3\nbatch_size = 4").contains("twice"));
        assert!(message("lr = 'fast'").contains("lr"));
        assert!(message("epochs = -3").contains("epochs"));
        assert!(message("activations = ['relu', 'no']").contains("expected one of identity"));
        assert!(message("hidden = '3,x'").contains("expected sizes"));
        assert!(message("split = '1,2'").contains("expected `pooled`"));
        assert!(message("lr = ").contains("line 1"));
        assert!(message("out = 3").contains("expected a string"));
        assert!(message("json = 'yes'").contains("expected true or false"));
    }
}
