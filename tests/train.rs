//! Runs of the trainer: reproducible, and right about the best epoch.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/runs.rs"]
mod runs;

use common::dataset;
use densely::data::{Dataset, Part, Split};
use densely::engine::{Engine, EngineOptions};
use densely::gemm::BackendChoice;
use densely::model::Model;
use densely::train::{EpochRecord, TrainConfig, Trainer};
use runs::{all_backends, config, remains};

fn run(config: TrainConfig, data: &Dataset) -> (Vec<u8>, Vec<u8>, Vec<EpochRecord>) {
    let asked = config.threads;
    let mut trainer = Trainer::new(config, data).unwrap();
    assert_eq!(Some(trainer.threads()), asked);
    trainer.run(&mut ()).unwrap();
    remains(&trainer)
}

#[test]
fn reruns_are_equal_to_the_byte() {
    let data = dataset(300, 11, 4);
    for backend in all_backends() {
        for threads in [1, 2, 3] {
            let first = run(config(backend, threads), &data);
            assert_eq!(first, run(config(backend, threads), &data), "{backend:?} {threads}");
            let other = run(config(backend, threads).with(|c| c.seed = 6), &data);
            assert_ne!(first.0, other.0);
        }
    }
}

#[test]
fn drawn_chunks_change_nothing_whichever_worker_draws_them() {
    let data = dataset(1300, 11, 4);
    for backend in all_backends() {
        let config = |threads| {
            config(backend, threads).with(|c| {
                c.hidden = vec![600, 17];
                c.batch_size = 1200;
                c.split = Split::Counts([1240, 30, 30]);
            })
        };
        let (_, _, alone) = run(config(1), &data);
        for threads in [2, 3] {
            let first = run(config(threads), &data);
            for (a, b) in first.2.iter().zip(&alone) {
                assert!((a.train_loss - b.train_loss).abs() < 1e-4, "{backend:?} {threads}");
            }
            // another program on one of the cores, now and then
            let done = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        std::hint::black_box(
                            (0..100_000u64).map(std::hint::black_box).sum::<u64>(),
                        );
                        std::thread::sleep(std::time::Duration::from_micros(200));
                    }
                });
                let same = (0..5).all(|_| run(config(threads), &data) == first);
                done.store(true, std::sync::atomic::Ordering::Relaxed);
                assert!(same, "{backend:?} {threads}");
            });
        }
    }
}

#[test]
fn thread_counts_and_backends_agree_up_to_rounding() {
    let data = dataset(300, 11, 4);
    let (_, _, expected) = run(config(BackendChoice::Rust, 1), &data);
    for backend in all_backends() {
        for threads in [2, 3, 4] {
            let (_, _, found) = run(config(backend, threads), &data);
            for (a, b) in found.iter().zip(&expected) {
                assert!((a.train_loss - b.train_loss).abs() < 1e-4, "{backend:?} {threads}");
            }
        }
    }
}

#[test]
fn the_best_epoch_is_kept_tested_and_patience_ends_the_run() {
    let data = dataset(300, 11, 4);
    let config = config(BackendChoice::Auto, 2).with(|c| {
        c.epochs = 200;
        c.patience = Some(4);
        c.lr = 0.03;
    });
    let mut trainer = Trainer::new(config, &data).unwrap();
    let outcome = trainer.run(&mut ()).unwrap();
    let history = trainer.state().history();
    assert_eq!(outcome.last_epoch, history.len());
    assert_eq!(outcome.best_epoch + 4, history.len(), "patience ran out");
    let key = |record: &EpochRecord| (record.val_accuracy.unwrap(), -record.val_loss.unwrap());
    let best = history.iter().map(key).fold((0.0, f64::MIN), |a, b| if b > a { b } else { a });
    assert_eq!(key(&history[outcome.best_epoch - 1]), best);
    assert_eq!(outcome.val_accuracy, Some(best.0));

    // the kept weights really score what is reported, and are not those of the last epoch
    let model = trainer.best_model();
    assert_ne!(model, trainer.last_model());
    let mut engine = Engine::new(model.spec(), EngineOptions::to_evaluate()).unwrap();
    let val = trainer.parts().rows(Part::Val, data.len());
    let score = engine.evaluate(model.params(), &data, &val);
    assert!((score.accuracy() - best.0).abs() < 1e-12);
    let test = trainer.parts().rows(Part::Test, data.len());
    let score = engine.evaluate(model.params(), &data, &test);
    assert_eq!(Some(score.accuracy()), outcome.test.map(|test| test.accuracy()));
}

#[test]
fn without_validation_the_last_epoch_is_kept() {
    let data = dataset(300, 11, 4);
    let config = config(BackendChoice::Auto, 2).with(|c| c.split = Split::Counts([300, 0, 0]));
    let mut trainer = Trainer::new(config, &data).unwrap();
    let outcome = trainer.run(&mut ()).unwrap();
    assert_eq!((outcome.best_epoch, outcome.val_accuracy, outcome.test), (3, None, None));
    assert_eq!(trainer.best_model(), trainer.last_model());
}

#[test]
fn a_model_continues_where_it_was_and_must_fit() {
    let data = dataset(300, 11, 4);
    let mut trainer = Trainer::new(config(BackendChoice::Auto, 1), &data).unwrap();
    trainer.run(&mut ()).unwrap();
    let model = Model::from_bytes(&trainer.last_model().to_bytes().unwrap(), &[]).unwrap();
    let other = config(BackendChoice::Auto, 1).with(|c| c.hidden = vec![7]);
    let continued = Trainer::from_model(other, &model, &data).unwrap();
    assert_eq!(continued.last_model().params(), model.params());
    assert_eq!(continued.config().hidden, [320, 220, 90]);
    let wider = dataset(300, 12, 4);
    let error = Trainer::from_model(config(BackendChoice::Auto, 1), &model, &wider).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("11 inputs and 4 classes"), "{error}");
}

#[test]
fn probabilities_are_those_that_are_scored() {
    let data = dataset(700, 11, 4);
    let mut trainer = Trainer::new(config(BackendChoice::Auto, 2), &data).unwrap();
    trainer.run(&mut ()).unwrap();
    let model = trainer.best_model();
    let rows: Vec<u32> = (0..700).rev().collect();
    for threads in [1, 2, 5] {
        let options = EngineOptions::to_evaluate().with(|c| c.threads = threads);
        let mut engine = Engine::new(model.spec(), options).unwrap();
        let probabilities = engine.predict(model.params(), &data, &rows);
        let score = engine.evaluate(model.params(), &data, &rows);
        let own = rows.iter().zip(probabilities.rows()).map(|(&row, p)| {
            assert!((p.sum() - 1.0).abs() < 1e-5);
            -f64::from(p[data.labels()[row as usize] as usize]).ln()
        });
        let loss_sum: f64 = own.sum();
        assert!((loss_sum - score.loss_sum).abs() < 1e-3, "{loss_sum} {}", score.loss_sum);
    }
}

#[test]
#[should_panic(expected = "out of range")]
fn a_row_out_of_range_is_a_panic_not_a_hang() {
    let data = dataset(30, 11, 4);
    let spec = densely::model::Spec::new(11, &[5], &[], 4).unwrap();
    let options = EngineOptions::new(10).with(|c| c.threads = 3);
    let mut engine = Engine::new(&spec, options).unwrap();
    let params = vec![0.0; engine.layout().len()];
    engine.evaluate(&params, &data, &[0, 1, 30]);
}
