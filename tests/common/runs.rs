//! Runs of the trainer in memory.

use densely::data::Split;
use densely::gemm::{Backend, BackendChoice};
use densely::train::{EpochRecord, TrainConfig, Trainer};

/// A small run of three epochs of seven steps, the last of them with a smaller batch.
/// A run whose steps have work for four threads.
pub fn config(backend: BackendChoice, threads: usize) -> TrainConfig {
    TrainConfig::default().with(|c| {
        c.hidden = vec![320, 220, 90];
        c.batch_size = 32;
        c.epochs = 3;
        c.lr = 0.01;
        c.weight_decay = 0.01;
        c.split = Split::Counts([200, 60, 40]);
        c.seed = 5;
        c.threads = Some(threads);
        c.backend = backend;
    })
}

pub fn all_backends() -> Vec<BackendChoice> {
    Backend::all().into_iter().map(Backend::choice).collect()
}

/// What a run leaves: model files, and the records without their times.
pub fn remains(trainer: &Trainer<'_>) -> (Vec<u8>, Vec<u8>, Vec<EpochRecord>) {
    let timeless = |record: &EpochRecord| {
        let mut record = record.clone();
        (record.seconds, record.samples_per_second) = (0.0, 0.0);
        record
    };
    (
        trainer.best_model().to_bytes().unwrap(),
        trainer.last_model().to_bytes().unwrap(),
        trainer.state().history().iter().map(timeless).collect(),
    )
}
