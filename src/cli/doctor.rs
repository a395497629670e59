//! `densely doctor`.

use std::path::Path;

use crate::data;
use crate::engine::{Isa, default_threads, peak_gflops, product_gflops};
use crate::gemm::{Backend, Blas, gemm};
use crate::report::{Paint, Stream, Text, plural};
use ndarray::Array2;
use serde_json::json;

use super::{print_json, print_note, print_text};

/// Check the build and the machine
///
/// Says what this binary was built with, what it runs on, and how fast the matrix products are beside what the CPU can
/// do. Exits with 1 if something is wrong, and says what to do.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Write one JSON object to standard output
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  densely doctor
  densely doctor --json | jq .backends";

/// Below this share of the CPU's peak something is wrong with a backend, not with the machine.
const SUSPICIOUS: f64 = 0.25;

/// Kernels of OpenBLAS without AVX2: for older CPUs, or for one that it does not know.
const GENERIC_CORES: [&str; 20] = [
    "Generic",
    "Prescott",
    "Core2",
    "Penryn",
    "Dunnington",
    "Nehalem",
    "Atom",
    "Nano",
    "Banias",
    "Sandybridge",
    "Athlon",
    "Opteron",
    "Opteron_SSE3",
    "Opteron(SSE3)",
    "Barcelona",
    "Bobcat",
    "Bulldozer",
    "Piledriver",
    "Steamroller",
    "Katmai",
];

/// A remark if other programs have been using a good part of the cores during the last minute, where Linux says so.
pub fn busy() -> Option<String> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = text.split_whitespace().next()?.parse().ok()?;
    let cores = default_threads();
    (load > 0.3 * cores as f64).then(|| {
        format!(
            "the machine has been busy (load {load:.1} on {}): figures may be too low",
            plural(cores, "core")
        )
    })
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let threads = default_threads();
    let isa = Isa::detect().name();
    busy().iter().for_each(|note| print_note(note));
    let mut peak = peak_gflops(threads);
    let mut problems = Vec::new();
    let rates: Vec<(Backend, f64)> = Backend::all()
        .into_iter()
        .map(|backend| {
            let rate = product_gflops(backend, threads);
            // the clock of a shared machine drifts: the best of several counts, and what a product reached cannot be above it
            peak = peak.max(peak_gflops(threads)).max(rate);
            (backend, rate)
        })
        .collect();
    for (backend, rate) in &rates {
        if *backend == Backend::auto() && rate / peak < SUSPICIOUS {
            problems.push(format!(
                "`{}` reaches {:.0} % of the CPU's peak; is the machine busy? Otherwise try another `--backend`",
                backend.name(),
                100.0 * rate / peak
            ));
        }
    }
    for backend in Backend::all() {
        let error = product_error(backend);
        if error.is_nan() || error > 1e-4 {
            problems.push(format!(
                "a product of `{}` is wrong by {error:.1e}; install another OpenBLAS, or use the other `--backend`",
                backend.name()
            ));
        }
    }
    let blas = Blas::new().map(Blas::describe);
    if let Some(blas) = &blas
        && GENERIC_CORES.contains(&&blas.core[..])
        && isa != "portable"
    {
        problems.push(format!(
            "OpenBLAS {} uses its {} kernels on a CPU with {isa}; install a newer libopenblas, or use `--backend rust`",
            blas.version, blas.core
        ));
    }
    let online = online_cpus();
    if let Some(online) = online.filter(|&online| threads < online.min(crate::engine::MAX_THREADS))
    {
        problems.push(format!(
            "this process may use {threads} of {online} CPUs; lift the limit (taskset, cgroup, container), or expect that speed"
        ));
    }
    let cache = data::mnist_cache();
    let cache_state = match &cache {
        Ok(directory) => (directory.display().to_string(), writable(directory)),
        Err(error) => (error.to_string(), false),
    };
    if cfg!(feature = "embedded-mnist") && !cache_state.1 {
        problems.push(format!(
            "the cache directory {} cannot be written: MNIST is decoded at every start; set XDG_CACHE_HOME to a \
             directory that can",
            cache_state.0
        ));
    }

    let on_off = |on: bool| if on { "yes" } else { "no" };
    if args.json {
        let backends = rates.iter().map(|(backend, rate)| {
            json!({
                "backend": backend.name(),
                "description": backend.describe(),
                "gflops": rate,
                "share_of_peak": rate / peak,
            })
        });
        let line = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "features": {
                "openblas": cfg!(feature = "openblas"),
                "embedded-mnist": cfg!(feature = "embedded-mnist"),
            },
            "cpu": isa,
            "threads": threads,
            "online_cpus": online,
            "peak_gflops": peak,
            "backends": backends.collect::<Vec<_>>(),
            "cache": cache_state.0,
            "problems": problems,
        });
        print_json(&line.to_string())?;
    } else {
        let mut text = format!(
            "densely      {}\n\
             openblas     {}\n\
             mnist inside {}\n\
             cpu          {isa}, {}, {peak:.0} GFLOP/s of f32 multiply-adds\n",
            env!("CARGO_PKG_VERSION"),
            on_off(cfg!(feature = "openblas")),
            on_off(cfg!(feature = "embedded-mnist")),
            plural(threads, "thread"),
        );
        for (backend, rate) in &rates {
            let share = 100.0 * rate / peak;
            let (name, description) = (backend.name(), backend.describe());
            text += &format!("{name:<12} {rate:.0} GFLOP/s, {share:.0} % of that: {description}\n");
        }
        let cache = match (std::env::var("HOME"), &cache_state.0) {
            (Ok(home), cache) if !home.is_empty() && cache.starts_with(&format!("{home}/")) => {
                format!("~{}", &cache[home.len()..])
            }
            (_, cache) => cache.clone(),
        };
        text += &format!("cache        {cache}");
        let text = Text::from(text).wrapped(Stream::Out.width(), "cache        ".len());
        print_text(&match problems.is_empty() {
            true => text.with(Paint::Best, "\nall is well"),
            false => text,
        })?;
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(anyhow::anyhow!("{}", problems.join("\nerror: "))),
    }
}

/// The largest error of a product of numbers between -1 and 1 with 50 terms: about 1e-6 if all is well.
fn product_error(backend: Backend) -> f32 {
    let (m, n, k) = (33, 47, 50);
    let value = |i: usize, j: usize| ((i * 37 + j * 101) % 199) as f32 / 99.0 - 1.0;
    let (a, b) = (
        Array2::from_shape_fn((m, k), |(i, p)| value(i, p)),
        Array2::from_shape_fn((n, k), |(j, p)| value(p, j)),
    );
    let mut c = Array2::from_elem((m, n), f32::NAN);
    gemm(backend, c.view_mut(), a.view(), b.t(), 0.0);
    c.indexed_iter().fold(0.0, |worst, ((i, j), &found)| {
        let exact: f64 = (0..k).map(|p| f64::from(a[(i, p)]) * f64::from(b[(j, p)])).sum();
        let error = (f64::from(found) - exact).abs() as f32;
        if error > worst || error.is_nan() { error } else { worst }
    })
}

/// How many CPUs the system has, whether this process may use them or not; `None` where the system does not say.
fn online_cpus() -> Option<usize> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online").ok()?;
    text.trim().split(',').try_fold(0, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        Some(sum + last.checked_sub(first)? + 1)
    })
}

/// Whether a file could be made in this directory, which need not exist yet.
fn writable(directory: &Path) -> bool {
    std::fs::create_dir_all(directory).is_ok() && tempfile::tempfile_in(directory).is_ok()
}
