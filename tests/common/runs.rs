//! Runs of the trainer in memory.

use densely::data::Split;
use densely::gemm::{Backend, BackendChoice};
use densely::train::{EpochRecord, TrainConfig, Trainer};

/// A small run of three epochs of seven steps, the last of them with a smaller batch.
pub fn config(backend: BackendChoice, threads: usize) -> TrainConfig {
    TrainConfig {
        hidden: vec![24, 17, 9],
        batch_size: 32,
        epochs: 3,
        lr: 0.01,
        weight_decay: 0.01,
        split: Split::Counts([200, 60, 40]),
        seed: 5,
        threads,
        backend,
        ..TrainConfig::default()
    }
}

pub fn all_backends() -> Vec<BackendChoice> {
    Backend::all().into_iter().map(Backend::choice).collect()
}

/// What a run leaves: model files, and the records without their times.
pub fn remains(trainer: &Trainer<'_>) -> (Vec<u8>, Vec<u8>, Vec<EpochRecord>) {
    let timeless = |record: &EpochRecord| EpochRecord {
        seconds: 0.0,
        samples_per_second: 0.0,
        ..record.clone()
    };
    (
        trainer.best_model().to_bytes().unwrap(),
        trainer.last_model().to_bytes().unwrap(),
        trainer.state().history.iter().map(timeless).collect(),
    )
}
