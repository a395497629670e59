//! Products of the sizes of a training step, one thread, by `gemm` with both backends. The Rust step has tiles of its own: see `densely bench`. Elements are floating-point operations: Gelem/s is GFLOP/s.
#![allow(missing_docs)]

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use densely::gemm::{Backend, gemm};
use ndarray::{Array2, ArrayView2};

/// Numbers between -1 and 1 that follow no simple pattern.
fn values(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
    let mut state = seed;
    Array2::from_shape_simple_fn((rows, columns), || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    })
}

/// One element against its definition: what is timed is a product.
fn check(c: &Array2<f32>, a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) {
    let (i, j) = (c.nrows() - 1, c.ncols() / 2);
    let exact: f64 = a.row(i).iter().zip(b.column(j)).map(|(a, b)| f64::from(a * b)).sum();
    assert!((f64::from(c[(i, j)]) - exact).abs() < 1e-3, "{} {exact}", c[(i, j)]);
}

fn products(criterion: &mut Criterion) {
    // a worker's half of a batch, for the layers of the networks that densely is measured on
    for (batch, n_in, n_out) in [
        (500, 784, 784),
        (250, 784, 512),
        (250, 512, 256),
        (50, 784, 128),
        (50, 128, 64),
        (50, 28, 10),
    ] {
        let mut group = criterion.benchmark_group(format!("gemm/{batch}x{n_in}x{n_out}"));
        group.throughput(Throughput::Elements(2 * (batch * n_in * n_out) as u64));
        group.sample_size(10).warm_up_time(Duration::from_millis(100));
        group.measurement_time(Duration::from_millis(300));
        let (input, w, dz) =
            (values(batch, n_in, 1), values(n_out, n_in, 2), values(batch, n_out, 3));
        let kinds = [
            ("forward", input.view(), w.t()),   // z = input w^T
            ("backward", dz.view(), w.view()),  // da = dz w
            ("gradient", dz.t(), input.view()), // dw = dz^T input
        ];
        for (kind, a, b) in kinds {
            for backend in Backend::all() {
                let mut c = Array2::from_elem((a.nrows(), b.ncols()), f32::NAN);
                group.bench_function(BenchmarkId::new(kind, backend.name()), |bencher| {
                    bencher.iter(|| gemm(backend, c.view_mut(), a, b, 0.0));
                    check(&c, a, b);
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
