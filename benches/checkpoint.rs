//! What it costs to keep a run's files: how long the training waits for them, and the CPU time of the thread that writes.
//!
//! Trains on MNIST with the observer that keeps a run's directory, in a temporary directory. The shares are of the time of
//! an epoch, its validation included; the thread's CPU time is shared by all cores, so that at worst it delays the training
//! by that time divided by their number.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::time::{Duration, Instant};

use densely::store::{RunDir, RunOptions};
use densely::train::{EpochEnd, Observer, Progress, Request, TrainConfig, Trainer};

/// Forwards to the directory, and sums up how long each call took.
struct Timed {
    run_dir: RunDir,
    waited: Duration,
    /// CPU time of the thread that writes.
    writer: Option<Duration>,
}

impl Timed {
    fn timed<R>(&mut self, call: impl FnOnce(&mut RunDir) -> R) -> R {
        let start = Instant::now();
        let result = call(&mut self.run_dir);
        self.waited += start.elapsed();
        result
    }
}

impl Observer for Timed {
    fn start(&mut self, trainer: &Trainer<'_>) -> densely::Result<()> {
        self.run_dir.start(trainer)
    }

    fn step(&mut self, epoch: usize, progress: Progress) {
        self.timed(|run_dir| run_dir.step(epoch, progress));
    }

    fn request(&mut self) -> Request {
        self.timed(RunDir::request)
    }

    fn save(&mut self, trainer: &Trainer<'_>, reason: Request) -> densely::Result<()> {
        self.timed(|run_dir| run_dir.save(trainer, reason))
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> densely::Result<()> {
        // the last one waits for the disk: once in a run, whatever its length
        let result = match end.record.epoch == end.trainer.config().epochs {
            true => self.run_dir.epoch(end),
            false => self.timed(|run_dir| run_dir.epoch(end)),
        };
        self.writer = writer_time();
        result
    }
}

/// CPU time of the thread that writes; `None` where the system does not say.
fn writer_time() -> Option<Duration> {
    for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        let read = |name| std::fs::read_to_string(task.path().join(name));
        if read("comm").ok()?.starts_with("densely-saver") {
            let nanoseconds = read("schedstat").ok()?.split(' ').next()?.parse().ok()?;
            return Some(Duration::from_nanos(nanoseconds));
        }
    }
    None
}

fn main() {
    let data = common::mnist();
    println!(
        "network            batch  epochs   s/epoch   waited ms/epoch  share  writer's CPU ms/epoch  share"
    );
    for (hidden, batch_size, epochs) in [
        (&[784, 784, 784][..], 1000, 6),
        (&[1024, 512, 256], 500, 6),
        (&[512, 256, 128], 500, 12),
        (&[128, 64, 28], 500, 40),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut timed = Timed {
            run_dir: RunDir::create(&directory.path().join("run"), RunOptions::default()).unwrap(),
            waited: Duration::ZERO,
            writer: None,
        };
        let config = TrainConfig::default().with(|c| {
            c.hidden = hidden.to_vec();
            c.batch_size = batch_size;
            c.epochs = epochs;
        });
        let mut trainer = Trainer::new(config, &data).unwrap();
        let start = Instant::now();
        trainer.train(&mut timed).unwrap();
        let epoch = start.elapsed().as_secs_f64() / epochs as f64;
        assert!(trainer.state().history()[epochs - 1].val_accuracy > Some(0.9));
        let waited = timed.waited.as_secs_f64() / (epochs - 1) as f64;
        let writer = timed.writer.map_or(f64::NAN, |time| time.as_secs_f64()) / epochs as f64;
        println!(
            "{:<18} {batch_size:>5} {epochs:>7} {epoch:>9.3} {:>17.2} {:>5.2}% {:>22.2} {:>5.2}%",
            common::name(hidden),
            1e3 * waited,
            100.0 * waited / epoch,
            1e3 * writer,
            100.0 * writer / epoch,
        );
    }
}
