//! A cell: a network that is trained for a while in each round.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::roofline::{Measured, Roofline, Shares};
use super::workload::Workload;
use crate::data::{Features, epoch_order};
use crate::engine::{Adam, Buffer, Engine, EngineOptions, Phases, State};
use crate::error::{Error, Result};
use crate::model::{Init, Layout, Spec, initialize};

/// The samples of a warm-up, about.
const WARM_UP: usize = 2_000;

/// A network in training, between its rounds.
pub struct Cell {
    hidden: Vec<usize>,
    pub spec: Spec,
    pub options: EngineOptions,
    /// Whether `--backend auto` has chosen the backend.
    is_auto: bool,
    layout: Layout,
    state: State,
    rounds: Vec<f64>,
    /// Of all rounds and workers.
    phases: Phases,
    samples: usize,
}

/// What was measured of a cell.
#[derive(Serialize)]
pub struct Measurement {
    hidden: Vec<usize>,
    batch_size: usize,
    backend: &'static str,
    /// Whether `--backend auto` has chosen it.
    auto: bool,
    threads: usize,
    pub deterministic: bool,
    /// Seconds that an epoch over all samples would take: the median of the rounds, and each of them.
    pub epoch_seconds: f64,
    rounds: Vec<f64>,
    pub samples_per_second: f64,
    /// The arithmetic of all weights, as if no input were zero: 6 floating-point operations a weight and sample, 4 in the first layer. Also as a share of
    /// the peak of as many threads.
    pub gflops: f64,
    pub share_of_peak: f64,
    /// The arithmetic of matrix products that was executed.
    executed_gflops: f64,
    pub executed_share_of_peak: f64,
    /// What as many threads can do, or all cores if they are fewer.
    peak_gflops: f64,
    /// Between the slowest and the fastest round, as a share of the median.
    pub spread: f64,
    pub phases: Shares,
}

impl Measurement {
    /// What the cell is called in the first columns of a table.
    pub fn names(&self) -> [String; 5] {
        let network: Vec<String> = self.hidden.iter().map(usize::to_string).collect();
        [
            if network.is_empty() { "none".to_owned() } else { network.join("-") },
            self.batch_size.to_string(),
            self.backend.to_owned() + if self.auto { " (auto)" } else { "" },
            self.threads.to_string(),
            if self.deterministic { "yes" } else { "no" }.to_owned(),
        ]
    }

    /// Whether `--backend auto` has chosen the backend.
    pub fn is_auto(&self) -> bool {
        self.auto
    }
}

impl Cell {
    /// A cell before its first round.
    ///
    /// # Errors
    /// If sizes overflow or memory cannot be allocated.
    pub fn new(
        hidden: &[usize],
        spec: &Spec,
        options: EngineOptions,
        is_auto: bool,
    ) -> Result<Self> {
        let layout = Layout::new(spec)?;
        let mut params = Buffer::zeros(layout.len(), "the network")?;
        initialize(&mut params, spec, &layout, Init::Auto, 0)?;
        let state = State::new(&params)?;
        Ok(Self {
            hidden: hidden.to_vec(),
            spec: spec.clone(),
            options,
            is_auto,
            layout,
            state,
            rounds: Vec::new(),
            phases: Phases::default(),
            samples: 0,
        })
    }

    /// Trains for a number of seconds, and keeps the time that an epoch would have taken.
    ///
    /// # Errors
    /// If memory cannot be allocated, or a thread cannot be started.
    pub fn measure(&mut self, workload: &Workload, round: usize, seconds: f64) -> Result<()> {
        let engine = Engine::new(&self.spec, self.options)?;
        let mut engine = engine.with_targets(workload.task.targets().to_vec())?;
        let mut order = Vec::new();
        epoch_order(&mut order, &workload.rows, true, 0, round + 1);
        let batch = self.options.batch_size;
        // whole batches: to warm up and to learn the rate, then a quarter of the time at once
        let mut samples = batch.max(WARM_UP / batch * batch).min(order.len());
        let (start, limit) = (Instant::now(), Duration::from_secs_f64(seconds));
        let (mut trained, mut time) = (0usize, Duration::ZERO);
        let mut warm = false;
        while start.elapsed() < limit || trained == 0 {
            let began = Instant::now();
            let (data, pass) = (&workload.data, &order[..samples]);
            let next = |_| ControlFlow::Continue(());
            let passed = engine.train(&mut self.state, &Adam::default(), data, pass, batch, next);
            if let Some(broken) = passed.broken {
                let hidden: Vec<String> = self.hidden.iter().map(usize::to_string).collect();
                let problem = format!(
                    "with {} in batches of {batch}, {broken}; expected smaller numbers, such as standardised ones",
                    if hidden.is_empty() { "no hidden layer".into() } else { hidden.join("-") }
                );
                return Err(Error::invalid(workload.data.name(), problem));
            }
            if warm {
                time += began.elapsed();
                trained += samples;
                engine.worker_phases().for_each(|own| self.phases += own);
            }
            warm = true;
            let rate = samples as f64 / began.elapsed().as_secs_f64();
            samples = ((rate * seconds / 4.0) as usize / batch * batch).clamp(batch, order.len());
            let turn = samples % order.len();
            order.rotate_left(turn);
        }
        self.samples += trained;
        self.rounds.push(time.as_secs_f64() / trained as f64 * order.len() as f64);
        Ok(())
    }

    /// What all rounds came to.
    pub fn measurement(self, workload: &Workload, roofline: &mut Roofline) -> Measurement {
        let value = match workload.data.features() {
            Features::U8(_) => 1,
            Features::F32(_) => 4,
        };
        let measured = Measured {
            layout: &self.layout,
            phases: self.phases,
            samples: self.samples,
            batch_size: self.options.batch_size,
            threads: self.options.threads,
            input_bytes: value * workload.rows.len() * workload.data.n_features(),
            sample_bytes: value * workload.data.n_features(),
        };
        let peak = roofline.peaks.of(self.options.threads);
        let phases = roofline.shares(&measured);
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let epoch_seconds = sorted[sorted.len() / 2];
        let samples_per_second = workload.rows.len() as f64 / epoch_seconds;
        let gflops = |per_sample: f64| per_sample * samples_per_second / 1e9;
        let layers = self.layout.layers().iter().enumerate();
        let dense = layers.map(|(l, layer)| if l == 0 { 4 } else { 6 } * layer.n_in * layer.n_out);
        let dense = gflops(dense.sum::<usize>() as f64);
        let executed = gflops(2.0 * measured.multiply_adds_per_sample());
        Measurement {
            hidden: self.hidden,
            batch_size: self.options.batch_size,
            backend: self.options.backend.name(),
            auto: self.is_auto,
            threads: self.options.threads,
            deterministic: self.options.deterministic,
            epoch_seconds,
            rounds: self.rounds,
            samples_per_second,
            gflops: dense,
            share_of_peak: dense / peak,
            executed_gflops: executed,
            executed_share_of_peak: executed / peak,
            peak_gflops: peak,
            spread: (sorted[sorted.len() - 1] - sorted[0]) / epoch_seconds,
            phases,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;
    use ndarray::Array2;

    #[test]
    fn a_training_that_diverges_has_no_speed() {
        // the square of the gradient is no number
        let x = Array2::from_shape_fn((60, 3), |(i, j)| ((i * 7 + j * 5) % 13) as f32 * 1e22);
        let labels: Vec<u32> = (0..60).map(|i| i % 2).collect();
        let data = Dataset::from_arrays(x.view(), &labels).unwrap();
        let workload = Workload::new(data, (0..60).collect()).unwrap();
        let spec = workload.spec(&[4]).unwrap();
        let mut cell = Cell::new(&[4], &spec, EngineOptions::new(20), false).unwrap();
        let error = cell.measure(&workload, 0, 0.01).unwrap_err().to_string();
        assert!(error.contains("with 4 in batches of 20"), "{error}");
    }
}
