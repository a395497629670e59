//! Training: epochs over a data set, validation, the best epoch, and a state that can be saved.
//!
//! [`Trainer`] is the epoch loop. It prints nothing and writes nothing: it tells an [`Observer`] what happens.
//! [`sweep()`] trains every combination of the settings of a [`Grid`], and [`rank`] orders the results.

mod checkpoint_every;
mod config;
mod grid;
mod observer;
mod state;
mod sweep;
mod trainer;

pub use checkpoint_every::CheckpointEvery;
pub use config::TrainConfig;
pub use grid::{Grid, MAX_RUNS, SweepRun};
pub use observer::{EpochEnd, EpochRecord, Observer, Outcome, Progress, Request};
pub use state::{Divergence, PartialEpoch, TrainerState};
pub use sweep::{Opened, RunResult, Status, SweepHost, rank, sweep};
pub use trainer::Trainer;
