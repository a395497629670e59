//! Training: epochs over a data set, validation, the best epoch, and a state that can be saved.
//!
//! [`Trainer`] is the epoch loop. It prints nothing and writes nothing: it notifies an [`Observer`].
//! [`sweep()`] trains every combination of the settings of a [`Grid`], and [`rank`] orders the results.
//! [`TrainConfig`] declares every setting of a training, once.

pub(crate) mod config;
#[cfg(feature = "cli")]
mod estimate;
mod follow;
mod grid;
mod measure;
mod observer;
mod record;
pub(crate) mod setting;
mod state;
mod sweep;
mod trainer;

pub use config::{Sharing, TrainConfig};
#[cfg(feature = "cli")]
pub(crate) use estimate::{epoch_seconds, total_seconds};
#[cfg(feature = "cli")]
pub(crate) use follow::FOLLOWING;
pub use grid::{Grid, MAX_RUNS};
pub use observer::{EpochEnd, Observer, Outcome, Progress, Request, TargetErrors};
pub use record::EpochRecord;
pub use state::{Divergence, PartialEpoch, TrainerState};
#[cfg(feature = "cli")]
pub(crate) use sweep::ranking_metric;
pub(crate) use sweep::shared_metric;
pub use sweep::{Opened, RankedRuns, RunResult, Status, SweepHost, SweepRun, rank, sweep};
pub use trainer::Trainer;
