//! Reads a text file into a table and prints how long it took and how much memory: `cargo bench --bench read_csv -- FILE`.
//!
//! `benches/tables/read_csv.py` makes a file and compares this with other programs.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

use std::path::Path;
use std::time::Instant;

use densely::data::Features;
use densely::data::table::{ReadOptions, read_csv};

fn main() {
    let Some(path) = std::env::args().skip(1).find(|argument| !argument.starts_with("--")) else {
        println!("skipped: expected a file, as in `cargo bench --bench read_csv -- FILE`");
        return;
    };
    let start = Instant::now();
    let table = read_csv(Path::new(&path), &ReadOptions::default()).unwrap().table;
    let seconds = start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak_kb = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    // the other programs add the values up, too
    let sum: f64 = table.chunks().iter().map(|chunk| sum(&chunk.numbers)).sum();
    println!(
        "{{\"seconds\": {seconds:.3}, \"peak_mb\": {:.0}, \"rows\": {}, \"columns\": {}, \"sum\": {sum:.1}}}",
        peak_kb.unwrap_or(0.0) / 1e3,
        table.n_rows(),
        table.columns().len()
    );
}

fn sum(values: &Features) -> f64 {
    match values {
        Features::F32(values) => {
            values.iter().filter(|value| value.is_finite()).map(|&value| f64::from(value)).sum()
        }
        _ => 0.0,
    }
}
