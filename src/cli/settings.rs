//! Settings from three places: the defaults, a configuration file, the flags; the later one wins.

use std::path::Path;

use densely::model::Activation;
use densely::train::{Grid, TrainConfig};
use densely::{Error, Result};
use serde::Deserialize as _;
use toml::{Table, Value};

use super::values;

/// What was asked for, by the names of the flags with `_` for `-`; what is not in it has its default.
#[derive(Debug, Default)]
pub struct Settings {
    table: Table,
    /// Where the file's part comes from, for messages.
    source: Option<String>,
}

/// Settings that are no part of what is computed.
const OUTPUT_KEYS: [&str; 4] = ["out", "json", "quiet", "no_report"];

/// Settings that only a sweep has.
const SWEEP_KEYS: [&str; 2] = ["jobs", "test_all"];

/// Settings of which a sweep takes several values.
const LIST_KEYS: [&str; 7] =
    ["hidden", "activations", "init", "lr", "weight_decay", "batch_size", "seed"];

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
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::usage(format!("--config {}: cannot read it: {error}", path.display()))
        })?;
        let source = path.display().to_string();
        Self::parse(&text, source, more_keys)
    }

    fn parse(text: &str, source: String, more_keys: &[&str]) -> Result<Self> {
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

    fn config_over(&self, defaults: TrainConfig) -> Result<TrainConfig> {
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

    /// The settings of a sweep, over the defaults.
    pub fn grid(&self) -> Result<Grid> {
        let defaults = Grid::default();
        if self.has("init_from") {
            return Err(self
                .refuse("`init_from` is for `train` alone; a sweep begins with initial weights"));
        }
        let mut single = Self { table: self.table.clone(), source: self.source.clone() };
        let mut lists: Vec<Vec<TrainConfig>> = Vec::new();
        for key in LIST_KEYS {
            let values = match single.table.remove(key) {
                Some(value) => self.several(key, value)?,
                None => Vec::new(),
            };
            // each value by itself is read as a run reads it
            let configs = values.into_iter().map(|value| {
                let table = Table::from_iter([(key.to_owned(), value)]);
                Self { table, source: self.source.clone() }.config()
            });
            lists.push(configs.collect::<Result<_>>()?);
        }
        let number = |key: &str| match self.table.get(key) {
            None => Ok(None),
            Some(&Value::Integer(n)) if n >= 0 => Ok(Some(n as usize)),
            Some(other) => {
                Err(self.refuse(&format!("`{key}` is {other}, expected a whole number")))
            }
        };
        let (jobs, threads) = (number("jobs")?, number("threads")?);
        single.table.remove("threads");
        let has = |key: &str| self.has(key);
        let [hidden, activations, init, lr, weight_decay, batch_size, seed] =
            [0, 1, 2, 3, 4, 5, 6].map(|i: usize| &lists[i][..]);
        Ok(Grid {
            base: single.config_over(defaults.base)?,
            hidden: or(has("hidden"), hidden, |c| c.hidden.clone(), defaults.hidden),
            activations: or(
                has("activations"),
                activations,
                |c| c.activations.clone(),
                defaults.activations,
            ),
            init: or(has("init"), init, |c| c.init, defaults.init),
            lr: or(has("lr"), lr, |c| c.lr, defaults.lr),
            weight_decay: or(
                has("weight_decay"),
                weight_decay,
                |c| c.weight_decay,
                defaults.weight_decay,
            ),
            batch_size: or(has("batch_size"), batch_size, |c| c.batch_size, defaults.batch_size),
            seed: or(has("seed"), seed, |c| c.seed, defaults.seed),
            jobs,
            threads,
        })
    }

    /// A value of a run; lists may be written as on the command line.
    fn one(&self, key: &str, value: Value) -> Result<Value> {
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

    /// The values of a sweep: of a list each, of anything else the one.
    fn several(&self, key: &str, value: Value) -> Result<Vec<Value>> {
        let nested = ["hidden", "activations"].contains(&key);
        let values = match value {
            Value::String(list) if nested => {
                list.split(';').map(|value| Value::from(value.trim())).collect()
            }
            // `hidden = [512, 256]` is one network, `[[512, 256], [300]]` and `["512,256", "300"]` are two
            Value::Array(values)
                if !nested
                    || values.is_empty()
                    || values.iter().any(|value| {
                        value.is_array() || (value.is_str() && (key == "hidden" || is_list(value)))
                    }) =>
            {
                values
            }
            value => vec![value],
        };
        values.into_iter().map(|value| self.one(key, value)).collect()
    }

    fn refuse(&self, problem: &str) -> Error {
        let problem = problem.replace('\n', ", ");
        match &self.source {
            Some(source) => Error::usage(format!("--config {source}: {problem}")),
            None => Error::usage(problem),
        }
    }
}

/// A sweep's list: what was asked for, or the default.
fn or<T>(
    asked: bool,
    configs: &[TrainConfig],
    value: impl Fn(&TrainConfig) -> T,
    default: Vec<T>,
) -> Vec<T> {
    if asked { configs.iter().map(value).collect() } else { default }
}

/// Whether a text names several things.
fn is_list(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains(','))
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
    let full =
        TrainConfig { patience: Some(1), init_from: Some(String::new()), ..TrainConfig::default() };
    let table = Table::try_from(full).map_err(|error| Error::usage(error.to_string()))?;
    Ok(table
        .into_iter()
        .map(|(key, _)| key)
        .chain(OUTPUT_KEYS.iter().chain(more).map(|&key| key.to_owned()))
        .collect())
}

/// A grid as a configuration file, which [`Settings::grid`] takes back.
pub fn grid_file(grid: &Grid) -> Result<String> {
    let problem = |error: toml::ser::Error| Error::usage(error.to_string());
    let mut table = Table::try_from(&grid.base).map_err(problem)?;
    table.remove("threads");
    let hidden = grid.hidden.iter().map(|hidden| sizes(hidden)).collect::<Result<Vec<_>>>()?;
    let several = grid.activations.iter().map(|several| activations(several));
    let count = |&n: &usize| n as i64;
    table.insert("hidden".to_owned(), hidden.into());
    table.insert("activations".to_owned(), several.collect::<Vec<_>>().into());
    table.insert("init".to_owned(), list(grid.init.iter().map(|init| init.name())));
    table.insert("lr".to_owned(), grid.lr.clone().into());
    table.insert("weight_decay".to_owned(), grid.weight_decay.clone().into());
    table.insert("batch_size".to_owned(), list(grid.batch_size.iter().map(count)));
    table.insert("seed".to_owned(), list(grid.seed.iter().map(|&seed| seed as i64)));
    // where the threads of a run are given, how many run at a time changes nothing
    let jobs = grid.jobs.filter(|_| grid.threads.is_none());
    for (key, value) in [("jobs", &jobs), ("threads", &grid.threads)] {
        if let Some(value) = value {
            table.insert(key.to_owned(), count(value).into());
        }
    }
    toml::to_string(&table).map_err(problem)
}

fn list<T: Into<Value>>(values: impl Iterator<Item = T>) -> Value {
    values.map(Into::into).collect::<Vec<Value>>().into()
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
    fn grids_are_read_and_written() {
        let parse = |text: &str| Settings::parse(text, "file".to_owned(), &SWEEP_KEYS).unwrap();
        let default = parse("").grid().unwrap();
        assert_eq!(default, Grid::default());
        let text = "hidden = '128,64,28; 64,32;'\nactivations = 'relu;gelu'\nlr = [0.1, 1]\nseed = [1, 2, 3]\n\
                    batch_size = 7\nepochs = 3\njobs = 2\nthreads = 4\npatience = 5";
        let grid = parse(text).grid().unwrap();
        assert_eq!(grid.hidden, [vec![128, 64, 28], vec![64, 32], vec![]]);
        assert_eq!(grid.activations, [[Activation::Relu], [Activation::Gelu]]);
        assert_eq!((&grid.lr[..], &grid.seed[..]), (&[0.1, 1.0][..], &[1, 2, 3][..]));
        assert_eq!((&grid.batch_size[..], grid.base.epochs), (&[7][..], 3));
        assert_eq!((grid.jobs, grid.threads, grid.base.patience), (Some(2), Some(4), Some(5)));
        for grid in [default, Grid { base: TrainConfig::default(), jobs: None, ..grid }] {
            let again = parse(&grid_file(&grid).unwrap()).grid().unwrap();
            assert_eq!(again, grid);
        }
        let hidden = |text: &str| parse(text).grid().unwrap().hidden;
        assert_eq!(hidden("hidden = [512, 256]"), [vec![512, 256]]);
        assert_eq!(hidden("hidden = [[512], [256]]"), [vec![512], vec![256]]);
        assert_eq!(hidden("hidden = ['512,3', '256']"), [vec![512, 3], vec![256]]);
        assert_eq!(hidden("hidden = 5"), [vec![5]]);
        let activations = parse("activations = ['relu', 'tanh']").grid().unwrap().activations;
        assert_eq!(activations, [[Activation::Relu, Activation::Tanh]]);
        for (text, expected) in [
            ("lr = [0.1, 'x']", "lr"),
            ("jobs = -1", "`jobs` is -1"),
            ("hidden = '3;x'", "expected sizes"),
        ] {
            let message = parse(text).grid().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
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
