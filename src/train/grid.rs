//! The runs of a sweep: every combination of lists of settings.

use super::TrainConfig;
use crate::engine::{MAX_THREADS, default_threads};
use crate::error::{Error, Result};
use crate::model::{Activation, Init, Layout, Spec};

/// More runs than this are taken for a mistake.
pub const MAX_RUNS: usize = 10_000;

/// Networks with fewer parameters are trained side by side, larger ones one after another on all cores. One thread waits for
/// nobody: on two cores, two runs at a time took 0.63 (64-32) to 0.90 (2048-2048-2048, 10 million parameters) of the time of the same
/// runs in turn. Beyond that the memory of several runs at once is the concern.
const SIDE_BY_SIDE: usize = 16_000_000;

/// Bytes of a run's name at most; file systems allow 255.
const LONGEST_NAME: usize = 120;

/// Settings of which some are lists.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// What all runs share. Its values for what is a list below, and its threads, are ignored.
    pub base: TrainConfig,
    /// Sizes of the hidden layers.
    pub hidden: Vec<Vec<usize>>,
    /// Activations; none at all for the defaults.
    pub activations: Vec<Vec<Activation>>,
    /// Initial weights.
    pub init: Vec<Init>,
    /// Learning rates.
    pub lr: Vec<f64>,
    /// Weight decays.
    pub weight_decay: Vec<f64>,
    /// Samples per step.
    pub batch_size: Vec<usize>,
    /// Seeds.
    pub seed: Vec<u64>,
    /// Runs at a time; by the sizes of the networks if `None`.
    pub jobs: Option<usize>,
    /// Threads of each run; the cores by `jobs` if `None`.
    pub threads: Option<usize>,
}

/// A run of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepRun {
    /// Its number and what sets it apart: the name of its directory.
    pub name: String,
    /// Its settings, resolved.
    pub config: TrainConfig,
    /// How many parameters its network has.
    pub parameters: usize,
}

impl Default for Grid {
    /// The experiment on MNIST that densely grew from: 5 architectures, 3 learning rates, 3 batch sizes, 200 epochs each.
    fn default() -> Self {
        let base = TrainConfig { epochs: 200, ..TrainConfig::default() };
        Self {
            hidden: vec![
                vec![784, 784, 784],
                vec![1024, 512, 256],
                vec![512, 256, 128],
                vec![256, 128, 64],
                vec![128, 64, 28],
            ],
            activations: vec![base.activations.clone()],
            init: vec![base.init],
            lr: vec![0.01, 0.001, 0.0001],
            weight_decay: vec![base.weight_decay],
            batch_size: vec![100, 500, 1000],
            seed: vec![base.seed],
            jobs: None,
            threads: None,
            base,
        }
    }
}

impl Grid {
    /// The runs for data with so many features and classes: hidden sizes vary slowest, then activations, initial weights,
    /// learning rates, weight decays, batch sizes, seeds.
    ///
    /// # Errors
    /// [`Error::Usage`] if a list is empty or names a value twice, there are more than [`MAX_RUNS`], or one of them has
    /// impossible settings.
    pub fn runs(&self, n_features: usize, n_classes: usize) -> Result<Vec<SweepRun>> {
        let lengths = [
            distinct("hidden", &self.hidden, |v| joined(v))?,
            distinct("activations", &self.activations, |v| joined(v))?,
            distinct("init", &self.init, ToString::to_string)?,
            distinct("lr", &self.lr, ToString::to_string)?,
            distinct("weight-decay", &self.weight_decay, ToString::to_string)?,
            distinct("batch-size", &self.batch_size, ToString::to_string)?,
            distinct("seed", &self.seed, ToString::to_string)?,
        ];
        let count = lengths.iter().try_fold(1usize, |count, &len| count.checked_mul(len));
        let count = count.filter(|&count| count <= MAX_RUNS).ok_or_else(|| {
            let product: Vec<String> =
                lengths.iter().filter(|&&len| len > 1).map(usize::to_string).collect();
            Error::usage(format!(
                "a grid of {} runs; expected at most {MAX_RUNS}",
                product.join(" x ")
            ))
        })?;
        if let (Some(jobs), Some(threads)) = (self.jobs, self.threads)
            && jobs.saturating_mul(threads) > MAX_THREADS
        {
            return Err(Error::usage(format!(
                "--jobs {jobs} with --threads {threads}: expected at most {MAX_THREADS} threads in all"
            )));
        }
        if let Some(jobs) = self.jobs
            && !(1..=MAX_THREADS).contains(&jobs)
        {
            return Err(Error::usage(format!("--jobs {jobs}: expected 1 to {MAX_THREADS}")));
        }
        (0..count).map(|number| self.run(number, count, lengths, n_features, n_classes)).collect()
    }

    /// The run with a number, from 0.
    fn run(
        &self,
        number: usize,
        count: usize,
        lengths: [usize; 7],
        n_features: usize,
        n_classes: usize,
    ) -> Result<SweepRun> {
        let mut digits = [0; 7];
        let mut rest = number;
        for (digit, len) in digits.iter_mut().zip(lengths).rev() {
            (*digit, rest) = (rest % len, rest / len);
        }
        let [hidden, activations, init, lr, weight_decay, batch_size, seed] = digits;
        let mut config = TrainConfig {
            hidden: self.hidden[hidden].clone(),
            activations: self.activations[activations].clone(),
            init: self.init[init],
            lr: self.lr[lr],
            weight_decay: self.weight_decay[weight_decay],
            batch_size: self.batch_size[batch_size],
            seed: self.seed[seed],
            threads: self.threads.unwrap_or(1),
            ..self.base.clone()
        };
        config.check()?;
        let spec = Spec::new(n_features, &config.hidden, &config.activations, n_classes)?;
        let parameters = Layout::new(&spec)?.len();
        config.activations = spec.activations();
        config.threads = self.threads_for(parameters, count);
        let width = count.to_string().len();
        let mut name = format!("{:0width$}", number + 1);
        let values = [
            joined(&config.hidden),
            joined(&config.activations),
            config.init.to_string(),
            format!("lr{}", short(config.lr)),
            format!("wd{}", short(config.weight_decay)),
            format!("b{}", config.batch_size),
            format!("seed{}", config.seed),
        ];
        for (value, _) in values.iter().zip(lengths).filter(|(_, len)| *len > 1) {
            name.push('_');
            name.push_str(value);
        }
        // a name has to fit a file system; its number tells it apart
        if name.len() > LONGEST_NAME {
            name.truncate(LONGEST_NAME);
        }
        Ok(SweepRun { name, config, parameters })
    }

    /// The threads of a run, by the size of its network and the number of runs: the same on every rerun.
    fn threads_for(&self, parameters: usize, runs: usize) -> usize {
        let cores = default_threads();
        match (self.threads, self.jobs) {
            (Some(threads), _) => threads,
            (None, Some(jobs)) => (cores / jobs).max(1),
            (None, None) if parameters < SIDE_BY_SIDE => (cores / runs).max(1),
            (None, None) => cores,
        }
    }

    /// How many runs with so many threads are to be trained at a time.
    pub fn jobs_for(&self, threads: usize) -> usize {
        self.jobs.unwrap_or_else(|| (default_threads() / threads).max(1))
    }
}

/// The length of a list without repetitions.
fn distinct<T: PartialEq>(flag: &str, values: &[T], shown: impl Fn(&T) -> String) -> Result<usize> {
    if values.is_empty() {
        return Err(Error::usage(format!("--{flag}: expected at least one value")));
    }
    if values.len() > MAX_RUNS {
        return Err(Error::usage(format!(
            "--{flag}: {} values; expected at most {MAX_RUNS}",
            values.len()
        )));
    }
    for (i, value) in values.iter().enumerate() {
        if values[..i].contains(value) {
            return Err(Error::usage(format!("--{flag}: {} is there twice", shown(value))));
        }
    }
    Ok(values.len())
}

/// `0.001`, `1e-6`, `1e30`.
fn short(x: f64) -> String {
    if x == 0.0 || (1e-4..1e4).contains(&x.abs()) { x.to_string() } else { format!("{x:e}") }
}

/// `512-256-128`; `none` for nothing.
fn joined<T: ToString>(values: &[T]) -> String {
    if values.is_empty() {
        return "none".to_owned();
    }
    values.iter().map(T::to_string).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_origins_experiment() {
        let runs = Grid::default().runs(784, 10).unwrap();
        assert_eq!(runs.len(), 45);
        assert_eq!(runs[0].name, "01_784-784-784_lr0.01_b100");
        assert_eq!(runs[44].name, "45_128-64-28_lr0.0001_b1000");
        let names: Vec<_> = runs[44].config.activations.iter().map(|a| a.name()).collect();
        assert_eq!(names, ["relu", "selu", "tanh"]);
        assert!(runs.iter().all(|run| run.config.epochs == 200));
        let names: std::collections::BTreeSet<_> = runs.iter().map(|run| &run.name).collect();
        assert_eq!(names.len(), 45);
        assert_eq!(runs[44].parameters, 784 * 128 + 128 + 128 * 64 + 64 + 64 * 28 + 28 + 290);
        assert_eq!(runs[44].config.threads, 1);
        let large = Grid { hidden: vec![vec![4096; 3], vec![64]], ..Grid::default() };
        let threads =
            large.runs(784, 10).unwrap().iter().map(|r| r.config.threads).collect::<Vec<_>>();
        assert_eq!((threads[0], threads[17]), (default_threads(), (default_threads() / 18).max(1)));
    }

    #[test]
    fn impossible_grids_are_refused_in_a_line() {
        let default = Grid::default;
        for (grid, expected) in [
            (Grid { lr: vec![], ..default() }, "--lr: expected at least one value"),
            (Grid { lr: vec![0.1, 0.1], ..default() }, "--lr: 0.1 is there twice"),
            (Grid { lr: vec![0.1, -0.1], ..default() }, "--lr -1e-1"),
            (Grid { hidden: vec![vec![5], vec![0]], ..default() }, "--hidden"),
            (Grid { activations: vec![vec![Activation::Relu; 2]], ..default() }, "2 activations"),
            (Grid { seed: (0..10_001).collect(), ..default() }, "--seed: 10001 values"),
            (Grid { jobs: Some(0), ..default() }, "--jobs 0"),
            (Grid { threads: Some(65), ..default() }, "--threads 65"),
            (Grid { jobs: Some(9), threads: Some(8), ..default() }, "64 threads in all"),
            (
                Grid { seed: (0..1000).collect(), ..default() },
                "a grid of 5 x 3 x 3 x 1000 runs; expected at most 10000",
            ),
        ] {
            let message = grid.runs(784, 10).unwrap_err().to_string();
            assert!(message.contains(expected) && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn threads_and_jobs_follow_from_the_sizes_and_what_was_asked() {
        let cores = default_threads();
        let grid = Grid { jobs: Some(64), ..Grid::default() };
        assert!(grid.runs(784, 10).unwrap().iter().all(|run| run.config.threads == 1));
        assert_eq!(grid.jobs_for(1), 64);
        let grid = Grid { threads: Some(3), ..Grid::default() };
        assert!(grid.runs(784, 10).unwrap().iter().all(|run| run.config.threads == 3));
        assert_eq!(Grid::default().jobs_for(1), cores);
        assert_eq!(Grid::default().jobs_for(cores), 1);
    }
}
