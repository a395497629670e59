//! Compares every backend with the oracle, at sizes that hit the tails, in every storage order.

use ndarray::{Array2, ArrayView2, ShapeBuilder as _, s};

use super::{Backend, BackendChoice, gemm, naive};
use crate::rng::{Purpose, Rng};

fn random(rng: &mut Rng, shape: (usize, usize), by_columns: bool) -> Array2<f32> {
    Array2::from_shape_simple_fn(shape.set_f(by_columns), || rng.symmetric())
}

pub fn assert_close(
    found: ArrayView2<'_, f32>,
    expected: ArrayView2<'_, f32>,
    k: usize,
    what: &str,
) {
    // as |x| <= 1, the error of a sum of k products is below k * k * 2^-24, and in practice far below it
    let tolerance = 1e-6 * (k as f32 + 1.0);
    for (index, expected) in expected.indexed_iter() {
        let found = found[index];
        assert!((found - expected).abs() <= tolerance, "{what} {index:?}: {found} {expected}");
    }
}

#[test]
fn products_equal_the_oracle_at_tail_sizes_and_all_transposes() {
    let sizes = [1usize, 7, 8, 9, 15, 16, 17, 33];
    let mut rng = Rng::new(1, Purpose::Init, 0);
    for backend in Backend::all() {
        for (i, &m) in sizes.iter().enumerate() {
            for (j, &n) in sizes.iter().enumerate() {
                for k in [sizes[(i + j) % sizes.len()], sizes[(i * 3 + j) % sizes.len()]] {
                    for orders in 0..8 {
                        let a = random(&mut rng, (m, k), orders & 1 == 1);
                        let b = random(&mut rng, (k, n), orders & 2 == 2);
                        let start = random(&mut rng, (m, n), orders & 4 == 4);
                        for beta in [0.0, 1.0, -0.5] {
                            let expected = naive::product(a.view(), b.view(), beta, start.view());
                            let mut c = start.clone();
                            gemm(backend, c.view_mut(), a.view(), b.view(), beta);
                            let what = format!("{backend:?} {m}x{n}x{k} orders {orders} {beta}");
                            assert_close(c.view(), expected.view(), k, &what);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn products_of_several_blocks_equal_the_oracle() {
    let mut rng = Rng::new(2, Purpose::Init, 0);
    let (m, n, k) = (127, 300, 519);
    let (a, b) = (random(&mut rng, (m, k), false), random(&mut rng, (n, k), false));
    let expected = naive::product(a.view(), b.t(), 0.0, Array2::zeros((m, n)).view());
    for backend in Backend::all() {
        let mut c = Array2::from_elem((m, n), f32::NAN);
        gemm(backend, c.view_mut(), a.view(), b.t(), 0.0);
        assert_close(c.view(), expected.view(), k, backend.name());
    }
}

#[test]
fn beta_zero_ignores_the_values_in_c() {
    for backend in Backend::all() {
        for k in [0, 1, 5] {
            let (a, b) = (Array2::ones((3, k)), Array2::ones((k, 4)));
            let mut c = Array2::from_elem((3, 4), f32::NAN);
            gemm(backend, c.view_mut(), a.view(), b.view(), 0.0);
            assert_eq!(c, Array2::from_elem((3, 4), k as f32), "{backend:?} k {k}");
        }
    }
}

#[test]
fn empty_products_are_allowed() {
    for backend in Backend::all() {
        for (m, n, k) in [(0, 3, 2), (3, 0, 2), (0, 0, 0)] {
            let mut c = Array2::zeros((m, n));
            let (a, b) = (Array2::zeros((m, k)), Array2::zeros((k, n)));
            gemm(backend, c.view_mut(), a.view(), b.view(), 1.0);
        }
        let mut c = Array2::from_elem((2, 2), 3.0);
        let (a, b) = (Array2::zeros((2, 0)), Array2::zeros((0, 2)));
        gemm(backend, c.view_mut(), a.view(), b.view(), 2.0);
        assert_eq!(c, Array2::from_elem((2, 2), 6.0));
    }
}

#[test]
fn products_of_submatrices_leave_the_rest_alone() {
    let mut rng = Rng::new(3, Purpose::Init, 0);
    let (a, b) = (random(&mut rng, (10, 12), false), random(&mut rng, (12, 9), false));
    for backend in Backend::all() {
        let mut c = Array2::from_elem((10, 9), 7.0);
        let (a, b) = (a.slice(s![2..5, 1..11]), b.slice(s![1..11, 3..7]));
        gemm(backend, c.slice_mut(s![4..7, 2..6]), a, b, 0.0);
        let expected = naive::product(a, b, 0.0, Array2::zeros((3, 4)).view());
        assert_close(c.slice(s![4..7, 2..6]), expected.view(), 10, backend.name());
        let outside =
            c.indexed_iter().filter(|((i, j), _)| !(4..7).contains(i) || !(2..6).contains(j));
        assert!(outside.clone().count() > 0 && outside.clone().all(|(_, x)| *x == 7.0));
    }
}

#[test]
#[should_panic(expected = "a is 2x3, b is 4x5, c is 2x5")]
fn shapes_that_differ_are_named() {
    let (a, b) = (Array2::zeros((2, 3)), Array2::zeros((4, 5)));
    gemm(Backend::Rust, Array2::zeros((2, 5)).view_mut(), a.view(), b.view(), 0.0);
}

#[test]
fn only_blas_rejects_strides_without_a_unit() {
    let wide = Array2::<f32>::ones((4, 8));
    let every_second = wide.slice(s![..;2, ..;2]);
    let b = Array2::<f32>::ones((4, 3));
    let product = |backend| {
        let mut c = Array2::<f32>::zeros((2, 3));
        gemm(backend, c.view_mut(), every_second, b.view(), 0.0);
        c
    };
    assert_eq!(product(Backend::Rust), Array2::from_elem((2, 3), 4.0));
    if let Ok(blas) = Backend::of(BackendChoice::Blas) {
        let panic = std::panic::catch_unwind(|| product(blas)).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains("a is 2x4 with strides [16, 2]"), "{message}");
    }
}

#[test]
fn a_choice_gives_exactly_its_backend_or_an_error() {
    for backend in Backend::all() {
        assert_eq!(Backend::of(backend.choice()).unwrap(), backend);
    }
    if cfg!(not(feature = "openblas")) {
        let message = Backend::of(BackendChoice::Blas).unwrap_err().to_string();
        assert!(message.contains("cargo feature `openblas`"), "{message}");
    }
}
