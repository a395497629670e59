//! Training: epochs over a data set, validation, the best epoch, and a state that can be saved.
//!
//! [`Trainer`] is the epoch loop. It prints nothing and writes nothing: it tells an [`Observer`] what happens.

mod config;
mod observer;
mod state;
mod trainer;

pub use config::TrainConfig;
pub use observer::{EpochEnd, EpochRecord, Observer, Outcome};
pub use state::TrainerState;
pub use trainer::Trainer;
