//! The settings of a sweep: those of a run, of which some are lists.

use densely::train::{Grid, MAX_RUNS, TrainConfig};
use densely::{Error, Result};
use toml::{Table, Value};

use super::settings::{Settings, activations, sizes};

/// Settings of which a sweep takes several values.
const LIST_KEYS: [&str; 7] =
    ["hidden", "activations", "init", "lr", "weight_decay", "batch_size", "seed"];

impl Settings {
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
        if values.len() > MAX_RUNS {
            let problem =
                format!("`{key}` has {} values, expected at most {MAX_RUNS}", values.len());
            return Err(self.refuse(&problem));
        }
        values.into_iter().map(|value| self.one(key, value)).collect()
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

/// A grid as a configuration file, which [`Settings::grid`] takes back.
pub fn grid_file(grid: &Grid) -> Result<String> {
    let problem = |error: toml::ser::Error| Error::usage(error.to_string());
    let mut table = Table::try_from(&grid.base).map_err(problem)?;
    table.remove("threads");
    table.remove("checkpoint_every"); // may change while a sweep goes on
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

#[cfg(test)]
mod tests {
    use densely::model::Activation;

    use super::super::settings::SWEEP_KEYS;
    use super::*;

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
}
