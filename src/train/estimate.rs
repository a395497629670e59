//! How long a sweep will take, from a few steps of each of its networks.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::setting::Configuration as _;
use super::{Observer, Progress, Request, SweepRun, TrainConfig, Trainer};
use crate::data::Dataset;
use crate::model::Init;

/// All measurements together begin within this time.
const BUDGET: Duration = Duration::from_millis(700);

/// A network is measured for this long, or for one step.
const ENOUGH: Duration = Duration::from_millis(15);

/// A step that takes longer is not repeated.
const LONG: Duration = Duration::from_millis(300);

/// A run with fewer steps is not worth a measurement: a few of them would be a good part of it.
const FEWEST_STEPS: usize = 200;

/// The settings that decide the time of an epoch.
const SLOW_OR_FAST: [&str; 19] = [
    "hidden",
    "freeze",
    "activations",
    "norm",
    "noise",
    "input_noise",
    "dropout",
    "input_dropout",
    "augment",
    "optimizer",
    "clip_norm",
    "ema",
    "batch_size",
    "split",
    "split_seed",
    "shuffle",
    "threads",
    "deterministic",
    "backend",
];

/// The values of those settings: runs with equal ones take as long.
type Kind = Vec<String>;

fn kind(config: &TrainConfig) -> Kind {
    let settings = SLOW_OR_FAST.iter().filter_map(|key| TrainConfig::setting(key));
    settings.map(|setting| (setting.text)(config)).collect()
}

/// Estimates the seconds of an epoch of each run, while as many train side by side as `jobs` says for its threads. A network
/// for which there was no time counts by its parameters. `None` if nothing could be measured.
pub fn epoch_seconds(
    runs: &[SweepRun],
    data: &Dataset,
    jobs: impl Fn(usize) -> usize,
) -> Option<Vec<f64>> {
    data.occupancy(); // the first step would wait for it
    let start = Instant::now();
    let mut measured: HashMap<Kind, Option<f64>> = HashMap::new();
    for run in runs {
        if start.elapsed() > BUDGET {
            break;
        }
        let side_by_side = jobs(run.threads()).min(runs.len());
        measured
            .entry(kind(&run.config))
            .or_insert_with(|| all_at_once(&run.config, data, side_by_side));
    }
    let known = |run: &SweepRun| measured.get(&kind(&run.config)).copied().flatten();
    // of the measured networks together, per parameter
    let all = runs.iter().filter_map(|run| Some((known(run)?, run.parameters as f64)));
    let (seconds, parameters) = all.fold((0.0, 0.0), |(s, p), (a, b)| (s + a, p + b));
    let rest = |run: &SweepRun| seconds / parameters * run.parameters as f64;
    (parameters > 0.0)
        .then(|| runs.iter().map(|run| known(run).unwrap_or_else(|| rest(run))).collect())
}

/// The seconds of an epoch while several such runs train; of the slowest.
fn all_at_once(config: &TrainConfig, data: &Dataset, count: usize) -> Option<f64> {
    let times: Vec<Option<f64>> = std::thread::scope(|scope| {
        let others: Vec<_> = (1..count).map(|_| scope.spawn(|| one_epoch(config, data))).collect();
        let own = one_epoch(config, data);
        let others = others.into_iter().map(|other| other.join().ok().flatten());
        others.chain([own]).collect()
    });
    times.into_iter().flatten().reduce(f64::max)
}

/// The seconds of an epoch by some of its first steps, which change nothing.
fn one_epoch(config: &TrainConfig, data: &Dataset) -> Option<f64> {
    // the weights do not matter, and an orthogonal matrix takes longer than a step
    let config = config.clone().with(|config| config.init = Init::Auto);
    let (batch_size, epochs) = (config.batch_size, config.epochs);
    let mut trainer = Trainer::new(config, data).ok()?;
    let (train, val) = (trainer.parts().train.len(), trainer.parts().val.len());
    if train.div_ceil(batch_size).saturating_mul(epochs) < FEWEST_STEPS {
        return None;
    }
    let mut watch = Stopwatch { start: Instant::now(), steps: 0, warm: None, step: None };
    drop(trainer.train(&mut watch));
    // a validation sample takes a third of a training sample: the forward pass alone
    Some(watch.step? * (train as f64 + val as f64 / 3.0) / batch_size.min(train) as f64)
}

/// Times whole steps, and stops the training.
struct Stopwatch {
    start: Instant,
    steps: u32,
    /// When the first step, which warms up, was over.
    warm: Option<Instant>,
    /// Seconds of a step.
    step: Option<f64>,
}

impl Observer for Stopwatch {
    fn start(&mut self, _trainer: &Trainer<'_>) -> crate::Result<()> {
        self.start = Instant::now();
        Ok(())
    }

    fn step(&mut self, _epoch: usize, _progress: Progress) {
        let now = Instant::now();
        match self.warm {
            None => {
                self.warm = Some(now);
                // a long step is warm soon enough
                let time = now - self.start;
                self.step = (time > LONG).then_some(time.as_secs_f64());
            }
            Some(warm) => {
                self.steps += 1;
                let time = now - warm;
                let mean = time.as_secs_f64() / f64::from(self.steps);
                self.step = (time >= ENOUGH || self.steps >= 20).then_some(mean);
            }
        }
    }

    fn request(&mut self) -> Request {
        if self.step.is_some() { Request::Stop } else { Request::Continue }
    }
}

/// The seconds of all runs, each with a number of epochs, trained as [`super::sweep()`] does.
pub fn total_seconds(
    runs: &[SweepRun],
    epochs: &[usize],
    epoch_seconds: &[f64],
    jobs: impl Fn(usize) -> usize,
) -> f64 {
    let mut kinds: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for ((run, &epochs), seconds) in runs.iter().zip(epochs).zip(epoch_seconds) {
        kinds.entry(run.threads()).or_default().push(epochs as f64 * seconds);
    }
    let of_kind = |(threads, times): (usize, Vec<f64>)| {
        let longest = times.iter().copied().fold(0.0, f64::max);
        (times.iter().sum::<f64>() / jobs(threads).max(1) as f64).max(longest)
    };
    kinds.into_iter().map(of_kind).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(threads: usize, parameters: usize) -> SweepRun {
        let config = TrainConfig::default().with(|c| {
            c.threads = Some(threads);
            c.hidden = vec![8];
            (c.batch_size, c.epochs) = (10, 50);
            c.split = crate::data::Split::Fractions([0.8, 0.1, 0.1]);
        });
        SweepRun::new(String::new(), config, parameters)
    }

    #[test]
    fn runs_side_by_side_share_the_time() {
        let runs = [run(1, 9), run(1, 9), run(1, 9), run(2, 9)];
        let jobs = |threads| 2 / threads;
        let total = total_seconds(&runs, &[10, 10, 2, 3], &[1.0, 1.0, 1.0, 5.0], jobs);
        assert_eq!(total, 11.0 + 15.0);
        // the longest run cannot be divided
        assert_eq!(total_seconds(&runs[..2], &[10, 2], &[1.0, 1.0], jobs), 10.0);
    }

    #[test]
    fn what_changes_the_time_of_an_epoch_sets_runs_apart() {
        assert!(SLOW_OR_FAST.iter().all(|key| TrainConfig::setting(key).is_some()));
        let base = TrainConfig::default();
        for change in [
            |c: &mut TrainConfig| c.backend = crate::gemm::BackendChoice::Rust,
            |c: &mut TrainConfig| c.deterministic = true,
            |c: &mut TrainConfig| c.activations = vec![crate::model::Activation::Gelu],
        ] {
            assert_ne!(kind(&base), kind(&base.clone().with(change)));
        }
        assert_eq!(kind(&base), kind(&base.clone().with(|c| (c.lr, c.seed) = (0.5, 7))));
    }

    #[test]
    fn steps_are_measured_or_derived_from_others() {
        let x = ndarray::Array2::from_shape_fn((100, 3), |(i, j)| ((i * 7 + j) % 5) as f32);
        let labels: Vec<u32> = (0..100).map(|i| i % 2).collect();
        let data = Dataset::from_arrays(x.view(), &labels).unwrap();
        let mut short = run(1, 18);
        short.config.hidden = vec![16];
        short.config.epochs = 2;
        let seconds = epoch_seconds(&[run(1, 9), short.clone()], &data, |_| 2).unwrap();
        let ratio = seconds[1] / seconds[0];
        assert!(seconds[0] > 0.0 && (ratio - 2.0).abs() < 1e-9, "{seconds:?}");
        assert_eq!(epoch_seconds(&[short], &data, |_| 1), None, "too few steps to measure");
    }
}
