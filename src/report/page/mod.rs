//! Reports: pages and pictures, made from the records of runs.

mod axis;
mod canvas;
mod chart;
mod confusion;
mod convergence;
mod effects;
mod gallery;
mod html;
mod palette;
mod picture;
mod run;
mod sweep;
mod sweep_charts;

pub use run::{Measured, RunRecord, write_run_report};
pub use sweep::{SweepRecord, write_sweep_report};
