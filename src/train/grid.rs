//! The runs of a sweep: every combination of several values of some settings.

use toml::{Table, Value};

use super::config::SGD_RATE;
use super::follow::written;
use super::setting::{Configuration, Setting};
use super::{Fold, Folds, OptimizerKind, SgdRuns, Sharing, SweepRun, TrainConfig};
use crate::data::Split;
use crate::engine::default_threads;
use crate::error::{Error, Result};
use crate::gemm::Backend;
use crate::model::Layout;

/// A sweep of more runs than this is taken for a mistake.
pub const MAX_RUNS: usize = 10_000;

/// Networks with fewer parameters are trained side by side, larger ones one after another on all cores. A single thread never
/// waits at a barrier: on two cores, two runs at a time took 0.63 (64-32) to 0.90 (2048-2048-2048, 10 million parameters) of
/// the time of the same runs one after another. Beyond that the memory of several runs at once is the concern.
const SIDE_BY_SIDE: usize = 16_000_000;

/// The longest name of a run in bytes; file systems allow 255.
const LONGEST_NAME: usize = 120;

/// A configuration of which some settings have several values, one for each run.
///
/// ```
/// use densely::train::{Grid, TrainConfig};
///
/// let mut grid = Grid::new(TrainConfig::default());
/// grid.vary("hidden", ["512,256,128", "300,100"])?;
/// grid.vary("lr", [0.01, 0.001, 0.0001])?;
/// assert_eq!(grid.runs(784, 10)?.len(), 6);
/// # Ok::<(), densely::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    base: TrainConfig,
    /// In the order of the settings.
    axes: Vec<Axis>,
    /// How the runs share the machine.
    pub sharing: Sharing,
    /// How many folds each combination of settings is trained on, if it is.
    pub folds: Folds,
    /// What follows for runs with sgd, where the optimizer varies.
    pub(super) sgd: SgdRuns,
}

/// A setting with several values.
#[derive(Clone, Debug)]
struct Axis {
    setting: &'static Setting<TrainConfig>,
    values: Vec<Value>,
}

impl PartialEq for Axis {
    fn eq(&self, other: &Self) -> bool {
        (self.setting.key, &self.values) == (other.setting.key, &other.values)
    }
}

impl Default for Grid {
    /// The experiment on MNIST that densely grew from: 5 architectures, 3 learning rates, 3 batch sizes, 200 epochs each.
    fn default() -> Self {
        let mut grid = Self::new(TrainConfig { epochs: 200, ..TrainConfig::default() });
        let axes = [
            ("hidden", "784,784,784;1024,512,256;512,256,128;256,128,64;128,64,28"),
            ("lr", "0.01,0.001,0.0001"),
            ("batch_size", "100,500,1000"),
        ];
        grid.axes = axes
            .into_iter()
            .filter_map(|(key, text)| {
                let setting = TrainConfig::setting(key)?;
                Some(Axis { setting, values: setting.several(text.into()).ok()? })
            })
            .collect();
        grid
    }
}

impl Grid {
    /// A grid of one run.
    pub fn new(base: TrainConfig) -> Self {
        let (sharing, folds, sgd) = Default::default();
        Self { base, axes: Vec::new(), sharing, folds, sgd }
    }

    /// What all runs share. The settings that vary have no meaning in it, nor has the number of threads.
    pub fn base(&self) -> &TrainConfig {
        &self.base
    }

    /// The base, to change it.
    pub fn base_mut(&mut self) -> &mut TrainConfig {
        &mut self.base
    }

    /// Gives a setting several values, instead of those that it had, each written as on the command line.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such setting or it cannot vary, a value is impossible or occurs twice, or there
    /// are no values or more than [`MAX_RUNS`].
    pub fn vary<V: ToString>(
        &mut self,
        key: &str,
        values: impl IntoIterator<Item = V>,
    ) -> Result<()> {
        let setting =
            TrainConfig::setting(key).filter(|setting| setting.sweep.separator().is_some());
        let setting = setting
            .ok_or_else(|| Error::usage(format!("`{key}` is not a setting that can vary")))?;
        let mut read = Vec::new();
        for value in values {
            let mut config = TrainConfig::default();
            setting.set_from(&mut config, value.to_string().into())?;
            read.push(setting.value(&config));
        }
        self.set_axis(setting, read)
    }

    fn set_axis(
        &mut self,
        setting: &'static Setting<TrainConfig>,
        values: Vec<Value>,
    ) -> Result<()> {
        let refuse =
            |found: String, expected: String| Err(Error::argument(setting.key, found, expected));
        if values.is_empty() {
            return refuse("an empty list".to_owned(), "at least one value".to_owned());
        }
        if values.len() > MAX_RUNS {
            return refuse(
                format!("a list of {} values", values.len()),
                format!("at most {MAX_RUNS}"),
            );
        }
        if let Some(i) = (1..values.len()).find(|&i| values[..i].contains(&values[i])) {
            let mut config = TrainConfig::default();
            setting.set_from(&mut config, values[i].clone())?;
            return refuse(
                format!("{} twice", (setting.text)(&config)),
                "each value once".to_owned(),
            );
        }
        self.axes.retain(|axis| axis.setting.key != setting.key);
        match <[Value; 1]>::try_from(values) {
            Ok([value]) => setting.set_from(&mut self.base, value)?,
            Err(values) => self.axes.push(Axis { setting, values }),
        }
        let place = |key: &str| TrainConfig::SETTINGS.iter().position(|setting| setting.key == key);
        self.axes.sort_by_key(|axis| place(axis.setting.key));
        Ok(())
    }

    /// Chooses the learning rate for each optimizer, as [`TrainConfig::follow_optimizer`] does for one, unless the user has given it or it varies.
    pub fn follow_optimizer(&mut self, is_given: impl Fn(&str) -> bool) {
        match self.varies_in("optimizer") {
            false => self.base.follow_optimizer(is_given),
            true if is_given("lr") || self.varies_in("lr") => {}
            true => self.sgd.sgd_lr = Some(SGD_RATE),
        }
    }

    /// Lets a setting vary no longer: all runs have that of the base.
    pub(super) fn fix(&mut self, key: &str) {
        self.axes.retain(|axis| axis.setting.key != key);
    }

    /// Whether any setting varies.
    pub(super) fn varies(&self) -> bool {
        !self.axes.is_empty()
    }

    /// Whether a setting has several values.
    pub(crate) fn varies_in(&self, key: &str) -> bool {
        self.axes.iter().any(|axis| axis.setting.key == key)
    }

    /// Replaces values of a setting by those that they stand for, so that two that mean the same are one.
    ///
    /// # Errors
    /// What `resolve` returns.
    #[cfg(feature = "cli")]
    pub(crate) fn resolve(
        &mut self,
        key: &str,
        resolve: impl Fn(&mut TrainConfig) -> Result<()>,
    ) -> Result<()> {
        resolve(&mut self.base)?;
        let Some(axis) = self.axes.iter().find(|axis| axis.setting.key == key) else {
            return Ok(());
        };
        let (setting, mut resolved) = (axis.setting, Vec::new());
        for value in &axis.values {
            let mut config = self.base.clone();
            setting.set_from(&mut config, value.clone())?;
            resolve(&mut config)?;
            let value = setting.value(&config);
            if !resolved.contains(&value) {
                resolved.push(value);
            }
        }
        self.set_axis(setting, resolved)
    }

    /// Takes its settings out of a table, where a setting may have a list of values.
    ///
    /// # Errors
    /// As [`Grid::vary`].
    pub(crate) fn take_from(&mut self, table: &mut Table) -> Result<()> {
        self.sharing.take_from(table)?;
        self.folds.take_from(table)?;
        self.sgd.take_from(table)?;
        for setting in TrainConfig::SETTINGS {
            let Some(value) = table.remove(setting.key) else { continue };
            match setting.sweep.separator() {
                Some(_) => self.set_axis(setting, setting.several(value)?)?,
                None => setting.set_from(&mut self.base, value)?,
            }
        }
        Ok(())
    }

    /// The settings as a configuration file has them, in order; those that vary as lists.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let value = |setting: &'static Setting<TrainConfig>| {
            let axis = self.axes.iter().find(|axis| axis.setting.key == setting.key);
            let value = match axis {
                Some(axis) => Some(Value::Array(axis.values.clone())),
                None => written(setting, &self.base),
            };
            Some((setting.key, value?))
        };
        let own =
            TrainConfig::SETTINGS.iter().filter(|setting| setting.sweep.separator().is_some());
        // where the threads of a run are given, how many run at a time changes nothing
        let jobs_matter = self.sharing.threads.is_none();
        let sharing = self.sharing.entries().filter(move |(key, _)| *key != "jobs" || jobs_matter);
        own.filter_map(value).chain(self.sgd.entries()).chain(sharing).chain(self.folds.entries())
    }

    /// The value or values of a setting, as the command line writes them.
    #[cfg(feature = "cli")]
    pub(crate) fn text(&self, setting: &'static Setting<TrainConfig>) -> String {
        let separator = setting.sweep.separator().unwrap_or(',').to_string();
        match self.axes.iter().find(|axis| axis.setting.key == setting.key) {
            None => (setting.text)(&self.base),
            Some(axis) => {
                let text = |value: &Value| {
                    let mut config = TrainConfig::default();
                    let set = setting.set_from(&mut config, value.clone());
                    set.map_or_else(|_| value.to_string(), |()| (setting.text)(&config))
                };
                axis.values.iter().map(text).collect::<Vec<_>>().join(&separator)
            }
        }
    }

    /// The settings of the first run.
    ///
    /// # Errors
    /// As [`Grid::runs`].
    #[cfg(feature = "cli")]
    pub(crate) fn first(&self) -> Result<TrainConfig> {
        Ok(self.runs(1, 1)?.swap_remove(0).config)
    }

    /// The runs for data with a number of features and of classes. The last of the settings that vary changes fastest; of several
    /// folds, those of the first one come first.
    ///
    /// # Errors
    /// [`Error::Argument`] or [`Error::Usage`] if there are more than [`MAX_RUNS`], one of them has impossible settings, or
    /// `split` is given beside folds.
    pub fn runs(&self, n_features: usize, n_classes: usize) -> Result<Vec<SweepRun>> {
        let lengths = self.axes.iter().map(|axis| axis.values.len()).chain(self.folds.folds);
        let count = lengths.clone().try_fold(1usize, usize::checked_mul);
        let count = count.filter(|&count| count <= MAX_RUNS).ok_or_else(|| {
            let product: Vec<String> = lengths.map(|len| len.to_string()).collect();
            Error::usage(format!(
                "a grid of {} runs; expected at most {MAX_RUNS}",
                product.join(" x ")
            ))
        })?;
        self.sharing.check()?;
        self.folds.check()?;
        let split = |axis: &Axis| axis.setting.key == "split";
        if self.folds.folds.is_some()
            && (self.base.split != Split::Auto || self.axes.iter().any(split))
        {
            let found = self.base.split.to_string();
            return Err(Error::argument(
                "split",
                found,
                "no split beside folds, which divide the data",
            ));
        }
        let most = Backend::of(self.base.backend)?.max_threads();
        if let (Some(jobs), Some(threads)) = (self.sharing.jobs, self.sharing.threads)
            && jobs * threads > most
        {
            return Err(Error::usage(format!(
                "{jobs} jobs with {threads} threads each: expected at most {most} threads in all"
            )));
        }
        (0..count).map(|number| self.run(number, count, n_features, n_classes)).collect()
    }

    /// The run with a number, from 0.
    fn run(
        &self,
        number: usize,
        count: usize,
        n_features: usize,
        n_classes: usize,
    ) -> Result<SweepRun> {
        let mut config = self.base.clone();
        config.threads = self.sharing.threads;
        let combinations = count / self.folds.folds.unwrap_or(1);
        let combination = number % combinations;
        let mut rest = combination;
        for Axis { setting, values } in self.axes.iter().rev() {
            setting.set_from(&mut config, values[rest % values.len()].clone())?;
            rest /= values.len();
        }
        if config.optimizer == OptimizerKind::Sgd {
            let SgdRuns { sgd_lr, sgd_weight_decay } = self.sgd;
            config.lr = sgd_lr.filter(|_| !self.varies_in("lr")).unwrap_or(config.lr);
            let decay = sgd_weight_decay.filter(|_| !self.varies_in("weight_decay"));
            config.weight_decay = decay.unwrap_or(config.weight_decay);
        }
        config.check()?;
        config.frozen()?;
        let spec = config.spec(n_features, n_classes)?;
        let layout = Layout::new(&spec)?;
        let (parameters, values) = (layout.parameters(), layout.len());
        config.activations = spec.activations();
        let of_member = layout.member(0).len();
        let backend = Backend::for_training(config.backend, of_member, config.batch_size)?;
        config.backend = backend.choice();
        config.threads = Some(self.threads_for(values, count));
        let width = combinations.to_string().len();
        let name = |label: &dyn Fn(&Setting<TrainConfig>) -> String| {
            let labels = self.axes.iter().map(|axis| format!("_{}", label(axis.setting)));
            let mut name =
                labels.fold(format!("{:0width$}", combination + 1), |all, one| all + &one);
            // a name has to fit a file system; its number makes it unique
            name.truncate(LONGEST_NAME);
            name
        };
        let names = [
            name(&|setting| setting.label(&config)),
            name(&|setting| setting.former_label(&config)),
        ];
        let [name, former_name] = names;
        let mut run = SweepRun { former_name, ..SweepRun::new(name, config, parameters) };
        if let Some(of) = self.folds.folds {
            let width = of.to_string().len();
            let fold = number / combinations + 1;
            let place = |name: &str| match combinations {
                1 => format!("fold{fold:0width$}"),
                _ => format!("{name}_fold{fold:0width$}"),
            };
            let settings = if combinations == 1 { String::new() } else { run.name.clone() };
            (run.name, run.former_name) = (place(&run.name), place(&run.former_name));
            run.config.split = Split::Fold { number: fold, of };
            run.fold = Some(Fold { number: fold, of, combination, settings });
        }
        Ok(run)
    }

    /// The threads of a run, by the size of its network and the number of runs: the same on every rerun.
    fn threads_for(&self, parameters: usize, runs: usize) -> usize {
        let cores = default_threads();
        match (self.sharing.threads, self.sharing.jobs) {
            (Some(threads), _) => threads,
            (None, Some(jobs)) => (cores / jobs).max(1),
            (None, None) if parameters < SIDE_BY_SIDE => (cores / runs).max(1),
            (None, None) => cores,
        }
    }

    /// How many runs are trained at a time where each has this number of threads.
    pub fn jobs_for(&self, threads: usize) -> usize {
        self.sharing.jobs.unwrap_or_else(|| (default_threads() / threads.max(1)).max(1))
    }
}

#[cfg(test)]
mod tests;
