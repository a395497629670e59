//! Reports: pages and pictures, made from the records of runs.

mod gallery;
mod html;
mod picture;
mod plots;
mod run;
mod sweep;

pub use run::{Measured, RunRecord, write_run_report};
pub use sweep::{SweepRecord, write_sweep_report};
