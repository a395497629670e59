//! Configuration files: `config.toml` of a run, `sweep.toml` of a sweep, and what `--config` takes.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::{Table, Value};

use super::RunOptions;
use crate::error::{Error, Result};
use crate::model::Init;
use crate::train::setting::{Configuration, serialize_entries};
use crate::train::{Folds, Grid, SgdRuns, Sharing, TrainConfig, written};

/// The keys of where the data is. What the data is, its fingerprint says.
pub(super) const PLACES: [&str; 3] = ["data", "valid", "test"];

/// Everything that makes a run: the contents of its `config.toml`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RunConfig {
    /// Where its data and first weights come from, and when it is saved.
    pub options: RunOptions,
    /// The settings of its training.
    pub train: TrainConfig,
}

impl RunConfig {
    /// A training whose data was given in memory.
    pub fn of(train: TrainConfig) -> Self {
        Self { options: RunOptions::default(), train }
    }

    /// Reads what [`RunConfig::to_toml`] writes. What the text leaves out has its default.
    ///
    /// # Errors
    /// If it is not TOML, or a key or a value is none of a run.
    pub fn from_toml(text: &str) -> Result<Self> {
        let mut config = Self::default();
        config.take_from(&mut parse_table(text, &Self::keys())?)?;
        Ok(config)
    }

    /// Takes its settings out of a table.
    ///
    /// # Errors
    /// [`Error::Argument`] for a value of another type than its setting's.
    pub(crate) fn take_from(&mut self, table: &mut Table) -> Result<()> {
        self.options.take_from(table)?;
        self.train.take_from(table)
    }

    /// The text of `config.toml`.
    ///
    /// # Errors
    /// If a value cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(&Written(self)).map_err(|error| Error::usage(error.to_string()))
    }

    /// The keys of its settings.
    pub(crate) fn keys() -> Vec<&'static str> {
        let options = RunOptions::SETTINGS.iter().map(|setting| setting.key);
        options.chain(TrainConfig::SETTINGS.iter().map(|setting| setting.key)).collect()
    }

    /// Whether a resumed run may have another value of a setting.
    pub(crate) fn may_change(key: &str) -> bool {
        RunOptions::setting(key).is_some_and(|setting| setting.resume)
            || TrainConfig::setting(key).is_some_and(|setting| setting.resume)
    }

    /// Rejects impossible settings, and those that contradict each other.
    ///
    /// # Errors
    /// [`Error::Argument`] or [`Error::Usage`] for the first one.
    pub fn check(&self) -> Result<()> {
        self.options.check()?;
        self.train.check()?;
        let RunOptions { init_from, .. } = &self.options;
        if init_from.is_none() && self.options.has_new_head() {
            return Err(Error::usage(
                "`new_head` is for the model of `init_from`, which is not given; expected both",
            ));
        }
        if init_from.is_some() && !self.options.has_new_head() && self.train.init != Init::Auto {
            return Err(Error::argument(
                "init",
                self.train.init.to_string(),
                "auto, because init_from names the weights to start from",
            ));
        }
        Ok(())
    }

    /// The settings that have a value.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'static str, Value)> {
        self.options.entries().chain(self.train.entries())
    }

    /// `: lr is 0.02, not 0.01`: the settings that matter and have another value than in `expected`; `None` if there are none.
    pub(super) fn difference(
        &self,
        expected: &Self,
        matters: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let table = |config: &Self| -> Table {
            let entries = config.entries().filter(|(key, _)| matters(key));
            entries.map(|(key, value)| (key.to_owned(), value)).collect()
        };
        difference(&table(self), &table(expected))
    }
}

/// A configuration as a file has it.
struct Written<'a>(&'a RunConfig);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let Self(RunConfig { options, train }) = self;
        let of_train = TrainConfig::SETTINGS
            .iter()
            .filter_map(|setting| Some((setting.key, written(setting, train)?)));
        serialize_entries(options.entries().chain(of_train), serializer)
    }
}

impl Serialize for RunConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serialize_entries(self.entries(), serializer)
    }
}

impl<'de> Deserialize<'de> for RunConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let mut table = Table::deserialize(deserializer)?;
        let mut config = Self::default();
        config.take_from(&mut table).map_err(D::Error::custom)?;
        match table.keys().next() {
            None => Ok(config),
            Some(key) => Err(D::Error::custom(format!("unknown setting `{key}`"))),
        }
    }
}

/// Everything that makes a sweep: the contents of its `sweep.toml`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SweepConfig {
    /// Where the data comes from, and when runs are saved. A sweep begins with initial weights.
    pub options: RunOptions,
    /// The settings of the runs.
    pub grid: Grid,
}

impl SweepConfig {
    /// Reads what [`SweepConfig::to_toml`] writes. What the text leaves out has its default.
    ///
    /// # Errors
    /// If it is not TOML, or a key or a value is none of a sweep.
    pub fn from_toml(text: &str) -> Result<Self> {
        let mut config = Self::default();
        config.take_from(&mut parse_table(text, &Self::keys())?)?;
        Ok(config)
    }

    /// Takes its settings out of a table, where a setting may have a list of values.
    ///
    /// # Errors
    /// As [`Grid::vary`]; also for `init_from`.
    pub(crate) fn take_from(&mut self, table: &mut Table) -> Result<()> {
        self.options.take_from(table)?;
        if self.options.init_from.is_some() {
            return Err(Error::usage(
                "`init_from` is for `train` alone; a sweep begins with initial weights",
            ));
        }
        if self.options.new_head.is_some() {
            return Err(Error::usage("`new_head` is for `train` alone, with `init_from`"));
        }
        self.grid.take_from(table)
    }

    /// The text of `sweep.toml`.
    ///
    /// # Errors
    /// If a value cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| Error::usage(error.to_string()))
    }

    /// The settings that make it this sweep: without those that a resume may change, except where the data is.
    fn entries(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let kept = |key: &str| PLACES.contains(&key) || !RunConfig::may_change(key);
        self.options.entries().filter(move |(key, _)| kept(key)).chain(self.grid.entries())
    }

    /// What tells it from another sweep: the settings that differ from their defaults, sorted. A setting that is added later
    /// does not change it.
    pub fn key(&self) -> String {
        let lines = |config: &Self| -> std::collections::BTreeSet<String> {
            config.entries().map(|(key, value)| format!("{key} = {value}\n")).collect()
        };
        lines(self).difference(&lines(&Self::default())).cloned().collect()
    }

    /// The keys of its settings.
    pub(crate) fn keys() -> Vec<&'static str> {
        let sharing = Sharing::SETTINGS.iter().map(|setting| setting.key);
        let folds = Folds::SETTINGS.iter().map(|setting| setting.key);
        let sgd = SgdRuns::SETTINGS.iter().map(|setting| setting.key);
        RunConfig::keys().into_iter().chain(sharing).chain(folds).chain(sgd).collect()
    }
}

impl Serialize for SweepConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serialize_entries(self.entries(), serializer)
    }
}

/// Reads a configuration file. Keys may be written with `-` for `_`.
///
/// # Errors
/// [`Error::Usage`] if it is not TOML, or a key is not among the `known` ones; the message names the nearest.
pub(crate) fn parse_table(text: &str, known: &[&str]) -> Result<Table> {
    let file: Table = toml::from_str(text).map_err(|error: toml::de::Error| {
        let line = error.span().map(|span| text[..span.start].lines().count().max(1));
        let place = line.map_or_else(String::new, |line| format!("line {line}: "));
        Error::usage(format!("{place}{}", error.message()))
    })?;
    let mut table = Table::new();
    for (key, value) in file {
        let name = key.replace('-', "_");
        if !known.contains(&&name[..]) {
            return Err(Error::usage(format!("unknown key `{key}`; {}", advice(&name, known))));
        }
        if table.insert(name, value).is_some() {
            return Err(Error::usage(format!("`{key}` occurs twice")));
        }
    }
    Ok(table)
}

/// What to write instead of an unknown key.
fn advice(name: &str, known: &[&str]) -> String {
    if ["config", "print_config", "resume", "help", "version"].contains(&name) {
        return "it is for the command line alone".to_owned();
    }
    let similarity = |key: &&&str| (1e3 * strsim::jaro_winkler(key, name)) as u32;
    match known.iter().max_by_key(similarity) {
        Some(nearest) if similarity(&nearest) > 700 => format!("did you mean `{nearest}`?"),
        _ => format!("expected one of {}", known.join(", ")),
    }
}

/// `: lr is 0.02, not 0.01; seed is unset, not 3`: where a table differs from the expected one; `None` if nowhere.
pub(super) fn difference(found: &Table, expected: &Table) -> Option<String> {
    let keys: std::collections::BTreeSet<&String> = found.keys().chain(expected.keys()).collect();
    let shown = |value: Option<&Value>| value.map_or_else(|| "unset".to_owned(), Value::to_string);
    let texts: Vec<String> = keys
        .into_iter()
        .filter(|key| found.get(*key) != expected.get(*key))
        .map(|key| format!("{key} is {}, not {}", shown(found.get(key)), shown(expected.get(key))))
        .collect();
    (!texts.is_empty()).then(|| format!(": {}", texts.join("; ")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Activation;
    use crate::store::CheckpointEvery;

    fn config() -> RunConfig {
        let options = RunOptions {
            checkpoint_every: Some(CheckpointEvery::Time(Duration::from_secs(90))),
            ..RunOptions::default()
        };
        let train = TrainConfig {
            hidden: vec![7, 5],
            activations: vec![Activation::Gelu, Activation::Tanh],
            patience: Some(3),
            lr: 0.25,
            shuffle: false,
            ..TrainConfig::default()
        };
        RunConfig { options, train }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(RunConfig::from_toml(&config().to_toml().unwrap()).unwrap(), config());
        let json = serde_json::to_string(&config()).unwrap();
        assert_eq!(serde_json::from_str::<RunConfig>(&json).unwrap(), config());
        assert!(serde_json::from_str::<RunConfig>(r#"{"lr":0.1,"news":1}"#).is_err());
        let sweep = SweepConfig::default();
        assert_eq!(SweepConfig::from_toml(&sweep.to_toml().unwrap()).unwrap(), sweep);
    }

    #[test]
    fn files_say_that_a_setting_is_unset_which_would_follow_from_a_table() {
        let line = "patience = \"none\"\n";
        assert!(RunConfig::default().to_toml().unwrap().contains(line));
        assert!(SweepConfig::default().to_toml().unwrap().contains(line));
        assert!(!config().to_toml().unwrap().contains(line));
        assert_eq!(SweepConfig::default().key(), "");
    }

    #[test]
    fn numbers_beyond_those_of_toml_are_kept() {
        let train = TrainConfig {
            seed: u64::MAX,
            epochs: usize::MAX,
            patience: Some(usize::MAX),
            ..TrainConfig::default()
        };
        let config = RunConfig::of(train);
        assert_eq!(RunConfig::from_toml(&config.to_toml().unwrap()).unwrap(), config);
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<RunConfig>(&json).unwrap(), config);
        assert!(RunConfig::from_toml("seed = '18446744073709551616'").is_err());
    }

    #[test]
    fn the_key_of_a_sweep_depends_on_what_differs_from_the_defaults_alone() {
        let mut sweep = SweepConfig::default();
        assert_eq!(sweep.key(), "");
        sweep.grid.vary("lr", [0.5, 0.25]).unwrap();
        sweep.grid.base_mut().epochs = 7;
        assert_eq!(sweep.key(), "epochs = 7\nlr = [0.5, 0.25]\n");
    }

    #[test]
    fn values_may_be_written_as_on_the_command_line() {
        let text = "batch-size = 7\nhidden = '9, 8'\nactivations = \"relu,tanh\"\nlr = 1\nshuffle = 'off'\n\
                    checkpoint_every = 500\nseed = '3'";
        let RunConfig { options, train } = RunConfig::from_toml(text).unwrap();
        assert_eq!((train.batch_size, train.hidden, train.lr), (7, vec![9, 8], 1.0));
        assert_eq!(train.activations, [Activation::Relu, Activation::Tanh]);
        assert_eq!((train.shuffle, train.seed), (false, 3));
        assert_eq!(options.checkpoint_every, Some(CheckpointEvery::Steps(500)));
        assert_eq!(RunConfig::from_toml("hidden = 7").unwrap().train.hidden, [7]);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |text: &str| {
            let message = RunConfig::from_toml(text).unwrap_err().to_string();
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
        assert!(message("split = '1,2'").contains("expected `auto`, `pooled`"));
        assert!(message("lr = ").contains("line 1"));
        assert!(message("data = 3").contains("data: found 3, expected text"));
        assert!(message("deterministic = 'yes'").contains("expected on or off"));
    }

    #[test]
    fn differences_are_named() {
        let mut other = config();
        (other.train.lr, other.train.patience, other.train.epochs) = (0.5, None, 99);
        let difference = |matters: &dyn Fn(&str) -> bool| config().difference(&other, matters);
        let all = ": epochs is 20, not 99; lr is 0.25, not 0.5; patience is 3, not unset";
        assert_eq!(difference(&|_| true).unwrap(), all);
        let unchangeable = difference(&|key| !RunConfig::may_change(key)).unwrap();
        assert!(!unchangeable.contains("epochs"), "{unchangeable}");
        assert_eq!(difference(&|key| key == "seed"), None);
    }
}
