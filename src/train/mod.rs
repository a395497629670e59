//! Training: epochs over a data set, validation, the best epoch, and a state that can be saved.
//!
//! [`Trainer`] is the epoch loop. It prints nothing and writes nothing: it notifies an [`Observer`].
//! [`sweep()`] trains every combination of the settings of a [`Grid`], on several folds if that is asked for, and [`rank`] orders
//! the results.
//! [`TrainConfig`] declares every setting of a training, once.

pub(crate) mod config;
#[cfg(feature = "cli")]
mod estimate;
mod folds;
mod follow;
mod grid;
mod importance;
mod measure;
mod no_effect;
mod observer;
mod preset;
mod ranking;
mod record;
mod run_result;
mod schedule;
pub(crate) mod setting;
mod state;
mod sweep;
mod trainer;

pub(crate) use config::SgdRuns;
pub use config::{Folds, OptimizerKind, Sharing, TrainConfig};
#[cfg(feature = "cli")]
pub(crate) use estimate::{epoch_seconds, total_seconds};
pub use folds::{FoldScores, fold_scores};
#[cfg(feature = "cli")]
pub(crate) use follow::FOLLOWING;
pub(crate) use follow::written;
pub use grid::{Grid, MAX_RUNS};
pub use importance::{Importance, importance};
#[cfg(feature = "cli")]
pub(crate) use importance::{SHUFFLES, check_importance};
pub use observer::{EpochEnd, Observer, Outcome, Progress, Request, TargetErrors};
pub use preset::Preset;
#[cfg(feature = "cli")]
pub(crate) use ranking::ranking_metric;
pub(crate) use ranking::shared_metric;
pub use ranking::{RankedRuns, rank, ranks};
pub use record::EpochRecord;
pub use run_result::{Fold, RunResult, Status, SweepRun};
pub use schedule::{Schedule, Warmup};
pub use state::{Divergence, PartialEpoch, TrainerState};
pub use sweep::{Opened, SweepHost, sweep};
pub use trainer::Trainer;
