//! Reports: pages and pictures, made from the records of runs.

mod axis;
mod canvas;
mod chart;
mod confusion;
mod convergence;
mod effects;
mod folds;
mod gallery;
mod html;
mod measured;
mod metric;
mod numbers;
mod palette;
mod picture;
mod probabilities;
mod run;
mod run_classes;
mod run_numbers;
mod samples;
mod series;
mod sheet;
mod sweep;
mod sweep_charts;

pub use measured::{Measured, Outputs};
pub use run::{RunRecord, write_run_report};
pub use run_classes::Classes;
pub use samples::Samples;
pub use sheet::sheet;
pub use sweep::{SweepRecord, write_sweep_report};
