//! The phases of a training step apart: gather, forward with the loss, backward, weight gradient with Adam. Per step, on the
//! calling thread, as the engine's own clock separates them within real training on MNIST.
#![allow(missing_docs)]

mod common;

use std::time::Duration;

use common::{ARCHITECTURES, Training, mnist, name};
use criterion::{Criterion, criterion_group, criterion_main};
use densely::engine::Phases;
use densely::gemm::Backend;

const BATCH: usize = 500;
const STEPS: usize = 20;

type Phase = (&'static str, fn(&Phases) -> Duration);

const PHASES: [Phase; 5] = [
    ("gather", |phases| phases.gather.time),
    ("forward", |phases| phases.forward.time),
    ("backward", |phases| phases.backward.time),
    ("update", |phases| phases.update.time),
    ("wait", |phases| phases.wait.time),
];

fn phases(criterion: &mut Criterion) {
    let data = mnist();
    for hidden in [ARCHITECTURES[0], ARCHITECTURES[2], ARCHITECTURES[4]] {
        for backend in Backend::all() {
            let group = format!("step/{}/{}", name(&hidden), backend.name());
            let mut group = criterion.benchmark_group(group);
            group.sample_size(10).warm_up_time(Duration::from_millis(100));
            group.measurement_time(Duration::from_millis(1));
            let mut training = Training::new(&data, &hidden, backend, BATCH);
            training.pass(BATCH, 50_000);
            training.assert_learnt();
            for (name, phase) in PHASES {
                group.bench_function(name, |bencher| {
                    bencher.iter_custom(|iterations| {
                        let passes = (0..iterations).map(|_| {
                            training.pass(BATCH, BATCH * STEPS);
                            phase(&training.engine.phases()) / STEPS as u32
                        });
                        passes.sum()
                    });
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, phases);
criterion_main!(benches);
