mod norms;

use std::ops::ControlFlow;

use ndarray::Array2;

use super::super::{Adam, Engine, EngineOptions, State};
use super::order::SIDE;
use crate::data::{Dataset, Features};
use crate::gemm::Backend;
use crate::gemm::panels::Tiles;
use crate::isa::{Isa, tests::on_each_isa};
use crate::model::{Activation, Init, Layout, Spec, initialize};
use crate::rng::{Purpose, Rng};

const SAMPLES: usize = 300;

/// A feature's values: they are 0 for all features but `keep` of 8, and for a third of the samples of these.
fn value(rng: &mut Rng, i: usize, n: usize, keep: usize) -> f32 {
    let (sample, feature) = (i / n, i % n);
    if keep == 8 || feature / 5 % 8 < keep && (sample + feature) % 3 > 0 {
        rng.symmetric()
    } else {
        0.0
    }
}

/// Grey images of 8x12 pixels, of which most are blank.
fn images() -> Dataset {
    let mut rng = Rng::new(1, Purpose::Init, 0);
    let pixels =
        (0..SAMPLES * 96).map(|i| (value(&mut rng, i, 96, 2).abs() * 255.0) as u8).collect();
    let labels = (0..SAMPLES as u32).map(|i| i * 7 % 3).collect();
    let names = ["a", "b", "c"].map(str::to_owned).to_vec();
    Dataset::of_classes("images", Features::U8(pixels), 96, labels, names)
        .unwrap()
        .with_image_size((8, 12), 1)
}

/// Rows of 70 numbers, of which few or all are not 0.
fn rows(keep: usize) -> Dataset {
    let mut rng = Rng::new(2, Purpose::Init, 0);
    let x = (0..SAMPLES * 70).map(|i| value(&mut rng, i, 70, keep)).collect();
    let x = Array2::from_shape_vec((SAMPLES, 70), x).unwrap();
    let labels: Vec<u32> = (0..SAMPLES as u32).map(|i| i * 11 % 40).collect();
    Dataset::from_arrays(x.view(), &labels).unwrap()
}

fn engine(data: &Dataset, isa: Isa, options: EngineOptions) -> (Engine, Vec<f32>) {
    let activations = [Activation::Relu, Activation::Gelu, Activation::Tanh];
    let spec = Spec::new(data.n_features(), &[90, 33, 9], &activations, data.n_outputs()).unwrap();
    let layout = Layout::new(&spec).unwrap();
    let mut params = vec![0.0; layout.len()];
    initialize(&mut params, &spec, &layout, Init::Auto, 5).unwrap();
    params.iter_mut().for_each(|w| *w += 0.01);
    (Engine::with_isa(&spec, options, isa).unwrap(), params)
}

fn options(backend: Backend, threads: usize) -> EngineOptions {
    EngineOptions::new(SAMPLES).with(|c| (c.backend, c.threads) = (backend, threads))
}

/// Training on batches of 130, 130 and 40 samples; afterwards the gradient.
fn trained(data: &Dataset, isa: Isa, options: EngineOptions) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (mut engine, params) = engine(data, isa, options);
    let order: Vec<u32> = (0..SAMPLES as u32).rev().collect();
    let mut state = State::new(&params).unwrap();
    let adam = Adam::default().with(|c| (c.lr, c.weight_decay) = (0.01, 0.1));
    let trained = engine.train(&mut state, &adam, data, &order, 130, |_| ControlFlow::Continue(()));
    assert!(trained.broken.is_none() && trained.steps == 3);
    let mut grads = vec![0.0; params.len()];
    engine.gradient(&mut grads, state.params(), data, &order[..257]);
    (state.params().to_vec(), state.m().to_vec(), grads)
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= tolerance, "{what} {i}: {found} {expected}");
    }
}

#[test]
fn every_instruction_set_takes_the_steps_of_the_other_backend() {
    let backends = Backend::all();
    let cases =
        [("images", images(), true), ("sparse rows", rows(2), true), ("rows", rows(8), false)];
    for (name, data, skips_zeros) in &cases {
        // OpenBLAS in a build that has it
        let expected = trained(data, Isa::detect(), options(backends[0], 1));
        on_each_isa(|isa| {
            let found = trained(data, isa, options(Backend::Rust, 2));
            let what = format!("{name} {isa:?}");
            // Adam's first steps have the size of the learning rate, whatever rounding does to a gradient that is nearly 0
            assert_close(&found.0, &expected.0, 2e-3, &what);
            assert_close(&found.1, &expected.1, 2e-5, &what);
            assert_close(&found.2, &expected.2, 2e-4, &what);
            let (mut engine, params) = engine(data, isa, options(Backend::Rust, 1));
            let all: Vec<u32> = (0..SAMPLES as u32).collect();
            engine.gradient(&mut vec![0.0; params.len()], &params, data, &all);
            assert_eq!(
                engine.engines[0].packed.as_ref().unwrap().skips_zeros,
                *skips_zeros,
                "{what}"
            );
        });
    }
}

#[test]
fn results_of_large_batches_do_not_depend_on_the_number_of_workers() {
    for data in [images(), rows(2), rows(8)] {
        on_each_isa(|isa| {
            let expected = trained(&data, isa, options(Backend::Rust, 1));
            for threads in [2, 3, 7] {
                assert!(
                    trained(&data, isa, options(Backend::Rust, threads)) == expected,
                    "{isa:?} {threads}"
                );
            }
        });
    }
}

/// The masks of one data set say nothing of the values of another.
#[test]
fn an_engine_goes_from_one_data_set_to_another() {
    let (sparse, dense) = (rows(2), rows(8));
    on_each_isa(|isa| {
        let (mut engine, params) = engine(&sparse, isa, options(Backend::Rust, 2));
        let all: Vec<u32> = (0..SAMPLES as u32).collect();
        let mut gradient = |data: &Dataset| {
            let mut grads = vec![0.0; params.len()];
            engine.gradient(&mut grads, &params, data, &all);
            grads
        };
        let first = gradient(&sparse);
        gradient(&dense);
        assert!(gradient(&sparse) == first, "{isa:?}");
    });
}

/// Two workers split layers by outputs where one has no reason to.
#[test]
fn layers_split_by_outputs_take_the_steps_of_layers_split_by_rows() {
    const BATCH: usize = 20;
    for (data, activations) in [
        (images(), [Activation::Relu, Activation::Gelu, Activation::Tanh]),
        (rows(8), [Activation::Silu, Activation::Tanh, Activation::Relu]),
    ] {
        let spec =
            Spec::new(data.n_features(), &[128, 64, 64], &activations, data.n_outputs()).unwrap();
        let layout = Layout::new(&spec).unwrap();
        let mut params = vec![0.0; layout.len()];
        initialize(&mut params, &spec, &layout, Init::Auto, 5).unwrap();
        on_each_isa(|isa| {
            for (frozen, deterministic) in [(0, false), (1, false), (3, false), (0, true)] {
                let trained = |threads: usize| {
                    let options = EngineOptions::new(BATCH).with(|c| {
                        (c.backend, c.threads) = (Backend::Rust, threads);
                        (c.frozen, c.deterministic) = (frozen, deterministic);
                    });
                    let mut engine = Engine::with_isa(&spec, options, isa).unwrap();
                    let split = engine.engines[0].packed.as_ref().unwrap().layout.split;
                    let layers = if deterministic { 1 } else { 3 };
                    assert_eq!(split, if threads == 2 { layers } else { 0 });
                    let order: Vec<u32> = (0..7 * BATCH as u32 - 3).rev().collect();
                    let mut state = State::new(&params).unwrap();
                    let next = |_| ControlFlow::Continue(());
                    engine.train(&mut state, &Adam::default(), &data, &order, BATCH, next);
                    let mut grads = vec![0.0; params.len()];
                    engine.gradient(&mut grads, state.params(), &data, &order[..BATCH - 1]);
                    (state.params().to_vec(), grads)
                };
                let (one, two, again) = (trained(1), trained(2), trained(2));
                let what = format!("{isa:?} {frozen} {deterministic}");
                assert!(two == again, "{what}");
                assert!(one.0 != params, "{what}");
                match deterministic {
                    true => assert!(two == one, "{what}"),
                    false => {
                        assert_close(&two.0, &one.0, 1e-4, &what);
                        assert_close(&two.1, &one.1, 2e-5, &what);
                    }
                }
            }
        });
    }
}

/// The message of a panic in an engine for networks of this size.
fn refused(
    n_in: usize,
    n_out: usize,
    data: &Dataset,
    act: impl FnOnce(&mut Engine, &[f32]),
) -> String {
    let spec = Spec::new(n_in, &[5], &[], n_out).unwrap();
    let params = vec![0.0; Layout::new(&spec).unwrap().len()];
    let mut engine = Engine::new(&spec, options(Backend::Rust, 2)).unwrap();
    assert!(data.len() == SAMPLES);
    let act = std::panic::AssertUnwindSafe(|| act(&mut engine, &params));
    *std::panic::catch_unwind(act).unwrap_err().downcast::<String>().unwrap()
}

#[test]
fn data_of_other_sizes_is_refused_before_anything_reads_it() {
    let (data, all) = (images(), (0..SAMPLES as u32).collect::<Vec<_>>());
    // fewer inputs and more, and fewer outputs than classes
    for (n_in, n_out, expected) in
        [(17, 3, "network's inputs"), (97, 3, "network's inputs"), (96, 2, "3 classes")]
    {
        let found = [
            refused(n_in, n_out, &data, |engine, params| {
                engine.predict(params, &data, &all);
            }),
            refused(n_in, n_out, &data, |engine, params| {
                engine.evaluate(params, &data, &all);
            }),
            refused(n_in, n_out, &data, |engine, params| {
                engine.gradient(&mut vec![0.0; params.len()], params, &data, &all);
            }),
            refused(n_in, n_out, &data, |engine, params| {
                let mut state = State::new(params).unwrap();
                let next = |_| ControlFlow::Continue(());
                engine.train(&mut state, &Adam::default(), &data, &all, 30, next);
            }),
        ];
        assert!(found.iter().all(|message| message.contains(expected)), "{found:?}");
    }
}

/// Blocks of samples have sums of their own in a deterministic step, so that several processes can compute them.
#[test]
fn gradients_are_sums_of_fixed_blocks_of_samples() {
    const BLOCK: usize = 128;
    for data in [images(), rows(2), rows(8)] {
        on_each_isa(|isa| {
            let options = options(Backend::Rust, 2).with(|c| c.deterministic = true);
            let (mut engine, params) = engine(&data, isa, options);
            let all: Vec<u32> = (0..SAMPLES as u32).collect();
            let mut gradient = |rows: &[u32]| {
                let mut grads = vec![0.0; params.len()];
                engine.gradient(&mut grads, &params, &data, rows);
                grads
            };
            // 256 samples: the mean of two blocks is half of the sum of their means
            let whole = gradient(&all[..2 * BLOCK]);
            let parts = [gradient(&all[..BLOCK]), gradient(&all[BLOCK..2 * BLOCK])];
            for (whole, (a, b)) in whole.iter().zip(parts[0].iter().zip(&parts[1])) {
                assert_eq!(*whole, 0.5 * a + 0.5 * b, "{isa:?}");
            }
        });
    }
}

/// Grey images of 8x12 pixels, of which a class lights one square of 4x4; the classes take turns.
fn squares() -> Dataset {
    let (rows, columns) = (8, 12);
    let lit = |sample: usize, pixel: usize| {
        let square = pixel / columns / SIDE * columns / SIDE + pixel % columns / SIDE;
        if square == sample % 3 { 255 } else { 0 }
    };
    let n = rows * columns;
    let pixels = (0..SAMPLES * n).map(|i| lit(i / n, i % n)).collect();
    let labels = (0..SAMPLES as u32).map(|i| i % 3).collect();
    let names = ["a", "b", "c"].map(str::to_owned).to_vec();
    Dataset::of_classes("squares", Features::U8(pixels), n, labels, names)
        .unwrap()
        .with_image_size((rows, columns), 1)
}

/// Samples of one class lie together in a batch, and pixels of one square in a panel.
#[test]
fn neighbours_among_samples_and_pixels_share_their_zeros() {
    let data = squares();
    let spec = Spec::new(data.n_features(), &[], &[], data.n_outputs()).unwrap();
    on_each_isa(|isa| {
        let mut engine = Engine::with_isa(&spec, options(Backend::Rust, 1), isa).unwrap();
        let mut state = State::new(&vec![0.01; engine.layout().len()]).unwrap();
        let order: Vec<u32> = (0..SAMPLES as u32).collect();
        let next = |_| ControlFlow::Continue(());
        engine.train(&mut state, &Adam::default(), &data, &order, 100, next);
        let all = SAMPLES * data.n_features() * Tiles::of(isa).width;
        let phases = engine.phases();
        for (what, spent) in [("forward", phases.forward), ("update", phases.update)] {
            let share = spent.multiply_adds as f64 / all as f64;
            // a sixth is not zero; a few tiles have samples of two classes
            assert!((1.0 / 6.0..0.2).contains(&share), "{isa:?}: {share} of the {what}");
        }
    });
}

/// Rows of 1,100 numbers: several blocks of inputs with every instruction set. Of the first half of the rows, not quite half of the numbers are not 0, here
/// and there; of the others few are not, in groups.
fn long_rows() -> Dataset {
    const N: usize = 1100;
    let mut rng = Rng::new(3, Purpose::Init, 0);
    let value = |i: usize| match i / N < SAMPLES / 2 {
        true if (i * 7919 + i / N * 31) % 100 < 45 => rng.symmetric(),
        true => 0.0,
        false => value(&mut rng, i, N, 2),
    };
    let x = (0..SAMPLES * N).map(value).collect();
    let x = Array2::from_shape_vec((SAMPLES, N), x).unwrap();
    let labels: Vec<u32> = (0..SAMPLES as u32).map(|i| i * 11 % 4).collect();
    Dataset::from_arrays(x.view(), &labels).unwrap()
}

/// Whether zeros are left out is decided for every pass by its first batch, so that it may not change a bit.
#[test]
fn leaving_zeros_out_changes_no_bit() {
    let (data, backends) = (long_rows(), Backend::all());
    let order: Vec<u32> = (0..SAMPLES as u32).collect();
    let adam = Adam::default().with(|c| c.lr = 0.01);
    // passes over these parts of the order, and what the last of them left out
    let trained = |backend: Backend, isa: Isa, parts: &[&[u32]]| {
        let (mut engine, params) = engine(&data, isa, options(backend, 2));
        let mut state = State::new(&params).unwrap();
        for part in parts {
            let next = |_| ControlFlow::Continue(());
            engine.train(&mut state, &adam, &data, part, SAMPLES / 2, next);
        }
        let skips_zeros =
            engine.engines[0].packed.as_ref().is_some_and(|packed| packed.skips_zeros);
        (state.params().to_vec(), state.m().to_vec(), skips_zeros)
    };
    let expected = trained(backends[0], Isa::detect(), &[&order]);
    on_each_isa(|isa| {
        let dense = trained(Backend::Rust, isa, &[&order]);
        let (first, second) = order.split_at(SAMPLES / 2);
        let sparse = trained(Backend::Rust, isa, &[first, second]);
        assert!(!dense.2 && sparse.2, "{isa:?}");
        assert!(dense.0 == sparse.0 && dense.1 == sparse.1, "{isa:?}");
        assert_close(&sparse.1, &expected.1, 2e-5, "moments");
    });
}
