//! `densely bench`: what is asked for, and the cells that follow from it. `cell` trains and times, `roofline` says what the machine can do at most, `table`
//! shows both.

use crate::engine::{Engine, EngineOptions, Isa, MAX_THREADS, default_threads};
use crate::error::{Error, Result};
use crate::gemm::{Backend, BackendChoice};
use crate::model::{Layout, Spec};
use crate::report::{Stream, plural, say};
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;

mod cell;
mod dense;
mod roofline;
mod table;
mod workload;

use cell::{Cell, Measurement};
pub use dense::NAME as MADE_UP;
use roofline::{Peaks, Roofline};
use table::table;
use workload::Workload;

use super::doctor::busy;
use super::values::{self, Sizes};
use super::{print_note, print_raw, print_text};

/// Measure the speed of training on this machine
///
/// A cell is a network, a batch size, a backend and a number of threads. Each cell trains whole steps, shuffled as in
/// an epoch, for some time after a warm-up. The result is the median of three rounds, each of which runs every cell once.
/// An epoch is that of `densely train`: all samples of the training part, which are the first 50,000 images of MNIST.
/// A second table says where the time of a step goes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// `mnist`, any other data that `densely train` takes (a table, a directory of images, arrays), or `dense`: made-up
    /// normal numbers of MNIST's sizes, 50,000 samples of 784 inputs in 10 classes, none of them zero
    #[arg(default_value = "mnist", value_parser = NonEmptyStringValueParser::new(),
          value_hint = clap::ValueHint::AnyPath)]
    data: String,

    /// Hidden sizes of the networks
    #[arg(long, value_name = "N,N,...;...", value_delimiter = ';', value_parser = values::sizes,
          default_value = "784,784,784;1024,512,256;512,256,128;256,128,64;128,64,28")]
    hidden: Vec<Sizes>,

    /// Batch sizes [default: 500, or the training part where that is smaller]
    #[arg(long, value_name = "N,N,...", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Vec<u32>,

    /// Backends; `auto` is what `densely train` chooses for the cell [default: all of this build]
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
  densely bench dense --backend auto
  densely bench houses.csv --hidden 256,256 --batch-size 64
  densely bench --json > bench.json";

/// Rounds, each of which runs every cell once; the result is their median.
const ROUNDS: usize = 3;

/// The batch size without `--batch-size`, where there are as many samples.
const BATCH_SIZE: usize = 500;

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if !(args.seconds > 0.0 && args.seconds <= 3600.0) {
        let problem = format!("--seconds {}: expected more than 0 and at most 3600", args.seconds);
        return Err(Error::usage(problem).into());
    }
    let workload = Workload::of(&args.data)?;
    let mut cells = args.cells(&workload)?;
    busy().iter().for_each(|note| print_note(note));
    let mut peaks = Peaks::new(cells.iter().map(|cell| cell.options.threads));
    peaks.measure();
    for round in 0..ROUNDS {
        say(format!("round {} of {ROUNDS}: {}", round + 1, plural(cells.len(), "cell")));
        for cell in &mut cells {
            cell.measure(&workload, round, args.seconds / ROUNDS as f64)?;
        }
        peaks.measure();
    }
    let mut roofline = Roofline::new(peaks);
    let measured: Vec<Measurement> =
        cells.into_iter().map(|cell| cell.measurement(&workload, &mut roofline)).collect();
    match args.json {
        true => print_raw(&json(&measured, &workload, &roofline.peaks)),
        false => print_text(&table(&measured, &workload, &roofline.peaks, Stream::Out.width())),
    }
}

fn json(measured: &[Measurement], workload: &Workload, peaks: &Peaks) -> String {
    let backends: Vec<String> = Backend::all().into_iter().map(Backend::describe).collect();
    let (threads, peak) = peaks.highest();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "cpu": Isa::detect().name(),
        "backends": backends,
        "data": workload.data.name(),
        "samples": workload.rows.len(),
        "peak_gflops": peak,
        "peak_threads": threads,
        "cells": measured,
    })
    .to_string()
}

impl Args {
    /// Every combination that was asked for, once. What cannot be run is an error before anything is measured.
    fn cells(&self, workload: &Workload) -> Result<Vec<Cell>> {
        let choices = match &self.backend[..] {
            [] => Backend::all().into_iter().map(Backend::choice).collect(),
            chosen => chosen.to_vec(),
        };
        let batch_sizes = match &self.batch_size[..] {
            [] => vec![BATCH_SIZE.min(workload.rows.len())],
            chosen => distinct(chosen).map(|&size| size as usize).collect(),
        };
        let threads: Vec<Option<usize>> = match &self.threads[..] {
            [] => vec![None],
            chosen => distinct(chosen).map(|&threads| Some(threads as usize)).collect(),
        };
        let deterministic = if self.deterministic { &[false, true][..] } else { &[false] };
        let mut cells = Vec::new();
        for hidden in distinct(&self.hidden) {
            let spec = workload.spec(&hidden.0)?;
            let parameters = Layout::new(&spec)?.len();
            for &batch_size in &batch_sizes {
                workload.require_batch(batch_size)?;
                let backends = backends_of(&choices, parameters, batch_size)?;
                for &threads in &threads {
                    for &(backend, is_auto) in &backends {
                        for &deterministic in deterministic {
                            let options = EngineOptions::new(batch_size).with(|options| {
                                options.backend = backend;
                                options.threads = threads.unwrap_or_else(|| {
                                    default_threads().min(backend.max_threads())
                                });
                                options.deterministic = deterministic;
                                options.loss = workload.task.loss();
                            });
                            cells.push(Cell::new(&hidden.0, &spec, options, is_auto)?);
                        }
                    }
                }
            }
        }
        cells.iter().try_for_each(|cell| check(&cell.spec, cell.options))?;
        Ok(cells)
    }
}

/// Checks that an engine can be made with these options.
fn check(spec: &Spec, options: EngineOptions) -> Result<()> {
    let EngineOptions { backend, threads, .. } = options;
    let most = backend.max_threads();
    if threads > most {
        let name = backend.name();
        return Err(Error::usage(format!(
            "--threads {threads}: expected 1 to {most} with the backend {name}"
        )));
    }
    Engine::new(spec, options).map(drop)
}

/// The backends that some choices stand for in a cell, each once, and whether `auto` is among the choices that stand for it.
fn backends_of(
    choices: &[BackendChoice],
    parameters: usize,
    batch_size: usize,
) -> Result<Vec<(Backend, bool)>> {
    let mut backends: Vec<(Backend, bool)> = Vec::new();
    for &choice in choices {
        let backend = Backend::for_training(choice, parameters, batch_size)?;
        let is_auto = choice == BackendChoice::Auto;
        match backends.iter_mut().find(|(known, _)| *known == backend) {
            Some((_, auto)) => *auto |= is_auto,
            None => backends.push((backend, is_auto)),
        }
    }
    Ok(backends)
}

/// The first of each values that are equal.
fn distinct<T: PartialEq>(values: &[T]) -> impl Iterator<Item = &T> {
    let is_first = |&(i, value): &(usize, &T)| !values[..i].contains(value);
    values.iter().enumerate().filter(is_first).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_backend_is_there_once_and_auto_is_resolved_for_the_cell() {
        use BackendChoice::{Auto, Rust};
        let of = |choices: &[BackendChoice], parameters, batch| {
            backends_of(choices, parameters, batch).unwrap()
        };
        let auto = Backend::for_training(Auto, 100_000, 500).unwrap();
        assert_eq!(of(&[Auto], 100_000, 500), [(auto, true)]);
        assert_eq!(of(&[Rust, Rust], 100_000, 500), [(Backend::Rust, false)]);
        if auto == Backend::Rust {
            assert_eq!(of(&[Rust, Auto], 100_000, 500), [(auto, true)]);
            assert_eq!(of(&[Auto, Rust], 100_000, 500), [(auto, true)]);
        }
        // the largest networks in small batches
        let large = Backend::for_training(Auto, 50_000_000, 100).unwrap();
        assert_eq!(of(&[Auto], 50_000_000, 100), [(large, true)]);
    }

    #[test]
    fn the_first_of_equal_values_stays() {
        assert!(distinct(&[2, 1, 2, 3, 1]).eq(&[2, 1, 3]));
        assert_eq!(distinct::<u32>(&[]).count(), 0);
    }
}
