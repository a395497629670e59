//! `densely bench`.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use crate::data::{self, Dataset, Features, epoch_order};
use crate::engine::{
    Adam, Buffer, Engine, EngineOptions, Isa, MAX_THREADS, Phases, State, default_threads,
    peak_gflops,
};
use crate::error::{Error, Result};
use crate::gemm::{Backend, BackendChoice};
use crate::model::{Init, Spec, initialize};
use crate::report::{Column, Layout, Paint, Stream, Text, grouped, plural, say};
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;
use serde_json::json;

mod roofline;

use roofline::{Measured, Roofline, Shares};

use super::doctor::busy;
use super::values::{self, Sizes};
use super::{print_note, print_raw, print_text};

/// Measure the speed of training on this machine
///
/// A cell is a network, a batch size, a backend and a number of threads. Each cell trains whole steps, shuffled as in
/// an epoch, for some time after a warm-up. The result is the median of three rounds, each of which runs every cell once.
/// A second table says where the time of a step goes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// `mnist` or a directory of IDX files
    #[arg(default_value = "mnist", value_parser = NonEmptyStringValueParser::new(),
          value_hint = clap::ValueHint::AnyPath)]
    data: String,

    /// Hidden sizes of the networks
    #[arg(long, value_name = "N,N,...;...", value_delimiter = ';', value_parser = values::sizes,
          default_value = "784,784,784;1024,512,256;512,256,128;256,128,64;128,64,28")]
    hidden: Vec<Sizes>,

    /// Batch sizes
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', default_value = "500",
          value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Vec<u32>,

    /// Backends
    #[arg(long, value_name = "B,B", value_delimiter = ',', value_parser = values::backend())]
    backend: Vec<BackendChoice>,

    /// Numbers of threads [default: one per core]
    #[arg(long, value_name = "N,N,...", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(1..=MAX_THREADS as i64))]
    threads: Vec<u32>,

    /// Measure each cell with --deterministic too
    #[arg(long)]
    deterministic: bool,

    /// Seconds for each cell
    #[arg(long, value_name = "S", default_value_t = 6.0)]
    seconds: f64,

    /// Write one JSON object to standard output
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  densely bench
  densely bench --hidden 512,256,128 --batch-size 100,500,1000
  densely bench --hidden 784,784,784 --backend blas --threads 1,2
  densely bench --json > bench.json";

/// Rounds, each of which runs every cell once; the result is their median.
const ROUNDS: usize = 3;

/// What was measured of a cell.
#[derive(Serialize)]
struct Measurement {
    hidden: Vec<usize>,
    batch_size: usize,
    backend: &'static str,
    threads: usize,
    deterministic: bool,
    /// Seconds that an epoch over all samples would take: the median of the rounds, and each of them.
    epoch_seconds: f64,
    rounds: Vec<f64>,
    samples_per_second: f64,
    /// 6 floating-point operations a weight and sample, 4 in the first layer, whether zeros are left out or not.
    gflops: f64,
    share_of_peak: f64,
    /// Between the slowest and the fastest round, as a share of the median.
    spread: f64,
    phases: Shares,
}

impl Measurement {
    /// What the cell is called in the first columns of a table.
    fn names(&self) -> [String; 4] {
        let network: Vec<String> = self.hidden.iter().map(usize::to_string).collect();
        [
            if network.is_empty() { "none".to_owned() } else { network.join("-") },
            self.batch_size.to_string(),
            self.backend.to_owned(),
            self.threads.to_string(),
        ]
    }
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if !(args.seconds > 0.0 && args.seconds <= 3600.0) {
        let problem = format!("--seconds {}: expected more than 0 and at most 3600", args.seconds);
        return Err(Error::usage(problem).into());
    }
    let loaded = data::load(&args.data)?;
    let data = &loaded.data;
    let mut cells = args.cells(data)?;
    let most = cells.iter().map(|cell| cell.options.threads).max().unwrap_or(1);
    let most = most.min(default_threads()); // more threads than cores have no higher peak
    busy().iter().for_each(|note| print_note(note));
    let mut peak = peak_gflops(most);
    for round in 0..ROUNDS {
        say(format!("round {} of {ROUNDS}: {}", round + 1, plural(cells.len(), "cell")));
        for cell in &mut cells {
            cell.measure(data, round, args.seconds / ROUNDS as f64)?;
        }
        peak = peak.max(peak_gflops(most));
    }
    let mut roofline = Roofline::default();
    let measured: Vec<Measurement> =
        cells.into_iter().map(|cell| cell.measurement(data, (peak, most), &mut roofline)).collect();
    if args.json {
        let version = env!("CARGO_PKG_VERSION");
        let backends: Vec<String> = Backend::all().into_iter().map(Backend::describe).collect();
        return print_raw(
            &json!({
                "version": version,
                "cpu": Isa::detect().name(),
                "backends": backends,
                "data": data.name(),
                "samples": data.len(),
                "peak_gflops": peak,
                "peak_threads": most,
                "cells": measured,
            })
            .to_string(),
        );
    }
    print_text(&table(&measured, data, peak, most, Stream::Out.width()))
}

/// Rounds that differ by more than this share of their median say that something else was running.
const UNEVEN: f64 = 0.3;

const COLUMNS: [Column; 10] = [
    Column::left("network", 0, 18, 0),
    Column::right("batch", 1, 5, 2),
    Column::left("backend", 2, 7, 0),
    Column::right("threads", 1, 8, 4),
    Column::left("deterministic", 2, 13, 7),
    Column::right("s/epoch", 1, 10, 0),
    Column::right("spread", 1, 7, 5),
    Column::right("samples/s", 1, 11, 6),
    Column::right("GFLOP/s", 1, 8, 3),
    Column::right("of peak", 1, 8, 1),
];

fn table(
    measured: &[Measurement],
    data: &Dataset,
    peak: f64,
    threads: usize,
    width: Option<usize>,
) -> Text {
    let about = format!(
        "{}: {} samples an epoch; {}, {peak:.0} GFLOP/s of multiply-adds on {}\n\n",
        data.name(),
        grouped(data.len() as u64),
        Isa::detect().name(),
        plural(threads, "thread")
    );
    let rows: Vec<[String; 10]> = (measured.iter())
        .map(|cell| {
            let [network, batch, backend, threads] = cell.names();
            [
                network,
                batch,
                backend,
                threads,
                if cell.deterministic { "yes" } else { "no" }.to_owned(),
                format!("{:.3}", cell.epoch_seconds),
                format!("{:.0}%", 100.0 * cell.spread),
                grouped(cell.samples_per_second as u64),
                format!("{:.1}", cell.gflops),
                format!("{:.0}%", 100.0 * cell.share_of_peak),
            ]
        })
        .collect();
    let layout = Layout::of(&COLUMNS, &rows, width);
    let mut text = Text::from(about).wrapped(width, 2).with(Paint::Head, layout.head());
    for row in &rows {
        text = text.with(Paint::Plain, format!("\n{}", layout.row(row)));
    }
    text = text.with(Paint::Plain, "\n\n").then(phases(measured, width));
    let uneven = measured.iter().filter(|cell| cell.spread > UNEVEN).count();
    let mut remarks = "\n".to_owned();
    if uneven > 0 {
        remarks += &format!(
            "\nthe rounds of {} differ by more than {:.0} %: repeat this when the machine is quiet\n",
            plural(uneven, "cell"),
            100.0 * UNEVEN
        );
    }
    remarks += "\nspread: between the slowest and the fastest round\nof peak: the arithmetic of all weights over what the cores can do; zeros that are left out count as done\nphases: the share of a step's time, and in brackets what that phase takes at least, by its arithmetic or its memory traffic, as a share of what it took";
    text.then(Text::from(remarks).wrapped(width, 2))
}

/// The table of the phases.
fn phases(measured: &[Measurement], width: Option<usize>) -> Text {
    let [network, batch, backend, threads, ..] = COLUMNS;
    let [a, b, c, d, e] = Shares::COLUMNS;
    let columns = [network, batch, backend, threads, a, b, c, d, e];
    let rows: Vec<[String; 9]> = (measured.iter())
        .map(|cell| {
            let [network, batch, backend, threads] = cell.names();
            let [a, b, c, d, e] = cell.phases.cells();
            [network, batch, backend, threads, a, b, c, d, e]
        })
        .collect();
    let layout = Layout::of(&columns, &rows, width);
    let head = Text::default().with(Paint::Head, layout.head());
    rows.iter().fold(head, |text, row| text.with(Paint::Plain, format!("\n{}", layout.row(row))))
}

/// A network in training, between its rounds.
struct Cell {
    hidden: Vec<usize>,
    spec: Spec,
    options: EngineOptions,
    flop_per_sample: f64,
    layout: crate::model::Layout,
    state: State,
    rounds: Vec<f64>,
    /// Of all rounds.
    phases: Phases,
    samples: usize,
}

impl Cell {
    fn new(hidden: &Sizes, options: EngineOptions, data: &Dataset) -> Result<Self> {
        let spec = Spec::new(data.n_features(), &hidden.0, &[], data.n_classes())?;
        let layout = crate::model::Layout::new(&spec)?;
        let mut params = Buffer::zeros(layout.len(), "the network")?;
        initialize(&mut params, &spec, &layout, Init::Auto, 0)?;
        let state = State::new(&params)?;
        let layers = layout.layers().iter().enumerate();
        let flop = layers.map(|(l, layer)| if l == 0 { 4 } else { 6 } * layer.n_in * layer.n_out);
        let flop_per_sample = flop.sum::<usize>() as f64;
        let hidden = hidden.0.clone();
        let (rounds, phases) = (Vec::new(), Phases::default());
        Ok(Self {
            hidden,
            spec,
            options,
            flop_per_sample,
            layout,
            state,
            rounds,
            phases,
            samples: 0,
        })
    }

    /// Trains for a number of seconds, and keeps the time that an epoch would have taken.
    fn measure(&mut self, data: &Dataset, round: usize, seconds: f64) -> Result<()> {
        let mut engine = Engine::new(&self.spec, self.options)?;
        let rows: Vec<u32> = (0..data.len() as u32).collect();
        let mut order = Vec::new();
        epoch_order(&mut order, &rows, true, 0, round + 1);
        let batch = self.options.batch_size;
        // whole batches: some 2,000 samples to warm up and to learn the rate, then a quarter of the time at once
        let mut samples = batch.max(2_000 / batch * batch).min(order.len());
        let (start, limit) = (Instant::now(), Duration::from_secs_f64(seconds));
        let (mut trained, mut time) = (0usize, Duration::ZERO);
        let mut warm = false;
        while start.elapsed() < limit || trained == 0 {
            let began = Instant::now();
            let pass = &order[..samples];
            engine.train(&mut self.state, &Adam::default(), data, pass, batch, |_| {
                ControlFlow::Continue(())
            });
            if warm {
                time += began.elapsed();
                trained += samples;
                self.phases += engine.phases();
            }
            warm = true;
            let rate = samples as f64 / began.elapsed().as_secs_f64();
            samples = ((rate * seconds / 4.0) as usize / batch * batch).clamp(batch, order.len());
            let turn = samples % order.len();
            order.rotate_left(turn);
        }
        self.samples += trained;
        self.rounds.push(time.as_secs_f64() / trained as f64 * data.len() as f64);
        Ok(())
    }

    /// `peak` is that of a number of threads.
    fn measurement(
        self,
        data: &Dataset,
        (peak, threads): (f64, usize),
        roofline: &mut Roofline,
    ) -> Measurement {
        let value = match data.features() {
            Features::U8(_) => 1,
            Features::F32(_) => 4,
        };
        let phases = roofline.shares(&Measured {
            layout: &self.layout,
            phases: self.phases,
            samples: self.samples,
            batch_size: self.options.batch_size,
            threads: self.options.threads,
            input_bytes: value * data.len() * data.n_features(),
            sample_bytes: value * data.n_features(),
            peak: peak * self.options.threads.min(threads) as f64 / threads as f64,
        });
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let epoch_seconds = sorted[sorted.len() / 2];
        let samples_per_second = data.len() as f64 / epoch_seconds;
        let gflops = self.flop_per_sample * samples_per_second / 1e9;
        Measurement {
            hidden: self.hidden,
            batch_size: self.options.batch_size,
            backend: self.options.backend.name(),
            threads: self.options.threads,
            deterministic: self.options.deterministic,
            epoch_seconds,
            rounds: self.rounds,
            samples_per_second,
            gflops,
            share_of_peak: gflops / peak,
            spread: (sorted[sorted.len() - 1] - sorted[0]) / epoch_seconds,
            phases,
        }
    }
}

impl Args {
    /// Every combination that was asked for.
    fn cells(&self, data: &Dataset) -> Result<Vec<Cell>> {
        let backends = match &self.backend[..] {
            [] => Backend::all(),
            chosen => chosen.iter().map(|&choice| Backend::of(choice)).collect::<Result<_>>()?,
        };
        let threads: Vec<usize> = match &self.threads[..] {
            [] => vec![default_threads()],
            chosen => chosen.iter().map(|&threads| threads as usize).collect(),
        };
        let deterministic = if self.deterministic { &[false, true][..] } else { &[false] };
        let mut cells = Vec::new();
        for hidden in &self.hidden {
            for &batch_size in &self.batch_size {
                let batch_size = batch_size as usize;
                if batch_size > data.len() {
                    let problem = format!(
                        "--batch-size {batch_size}: {} has {} samples",
                        data.name(),
                        data.len()
                    );
                    return Err(Error::usage(problem));
                }
                for &threads in &threads {
                    for &backend in &backends {
                        for &deterministic in deterministic {
                            let options = EngineOptions::new(batch_size).with(|options| {
                                (options.backend, options.threads) = (backend, threads);
                                options.deterministic = deterministic;
                            });
                            cells.push(Cell::new(hidden, options, data)?);
                        }
                    }
                }
            }
        }
        Ok(cells)
    }
}
