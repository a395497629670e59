//! Reports: pages and pictures of runs, made after them.

mod gallery;
mod html;
mod picture;
mod plots;
mod run;
mod sweep;

pub use run::{REPORT, write_run_report};
pub use sweep::{RankedRuns, ranked_runs, write_sweep_report};
