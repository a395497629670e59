//! Training throughput per epoch on MNIST: five architectures, both backends, one report. Elements are samples.
//!
//! One cell: `cargo bench --bench epoch -- 512-256-128/blas`.
#![allow(missing_docs)]

mod common;

use std::time::{Duration, Instant};

use common::{ARCHITECTURES, Training, mnist, name};
use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use densely::gemm::Backend;

const BATCH: usize = 500;
const SAMPLES: usize = 50_000;

fn epochs(criterion: &mut Criterion) {
    let data = mnist();
    for hidden in ARCHITECTURES {
        let mut group = criterion.benchmark_group(format!("epoch/{}", name(&hidden)));
        group.throughput(Throughput::Elements(SAMPLES as u64)).sampling_mode(SamplingMode::Flat);
        group.sample_size(10).warm_up_time(Duration::from_millis(1));
        for backend in Backend::all() {
            let id = BenchmarkId::from_parameter(backend.name());
            // ten epochs, whatever they take
            let mut training = Training::new(&data, &hidden, backend, BATCH);
            let start = Instant::now();
            training.pass(BATCH, SAMPLES);
            group.measurement_time(15 * start.elapsed());
            group.bench_function(id, |bencher| {
                let mut training = Training::new(&data, &hidden, backend, BATCH);
                bencher.iter(|| training.pass(BATCH, SAMPLES));
                training.assert_learnt();
            });
        }
        group.finish();
    }
}

criterion_group!(benches, epochs);
criterion_main!(benches);
