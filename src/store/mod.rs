//! What lasts: the directories of runs and sweeps, checkpoints, configuration files, and the thread that saves.
//!
//! [`RunDir`] is an [`crate::train::Observer`] that keeps the files of a run; [`SweepDir`] keeps those of a sweep and of its
//! runs. [`Checkpoint`] is the file that a run resumes from, [`RunConfig`] its `config.toml`. Nothing here trains, and nothing
//! here is made for people to look at.

mod checkpoint;
mod checkpoint_every;
mod config;
mod csv;
mod metrics;
pub mod names;
mod results;
mod run_dir;
mod run_options;
mod runs;
mod saver;
mod sweep_dir;
mod sweep_rows;
mod verify;

pub use checkpoint::Checkpoint;
pub use checkpoint_every::CheckpointEvery;
#[cfg(feature = "cli")]
pub(crate) use config::parse_table;
pub use config::{RunConfig, SweepConfig};
#[cfg(feature = "cli")]
pub(crate) use csv::{csv_exact, csv_field};
#[cfg(feature = "cli")]
pub(crate) use metrics::epoch_line;
#[cfg(feature = "cli")]
pub(crate) use results::done_event;
pub use run_dir::{RunDir, SavedRun, read_runs};
pub use run_options::RunOptions;
pub use runs::{
    LATEST, Listed, ListedKind, RUNS, config_beside, last_trained, list, model_path, run_path,
};
pub use sweep_dir::SweepDir;
pub use sweep_rows::add_tests;
pub use verify::verify_path;
