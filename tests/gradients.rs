//! Gradients against finite differences of a forward pass in f64, written from the definitions.
#![allow(clippy::unwrap_used)]

mod common;

use common::dataset;
use densely::data::{Dataset, Features};
use densely::engine::{Engine, EngineOptions};
use densely::gemm::Backend;
use densely::model::{Activation, Init, Layout, Spec, initialize};
use ndarray::Array2;

/// The mean softmax cross-entropy over `rows`, and the smallest |z| before an activation with a kink.
fn twin(spec: &Spec, layout: &Layout, params: &[f64], data: &Dataset, rows: &[u32]) -> (f64, f64) {
    let Features::F32(values) = data.features() else { panic!("the test data is f32") };
    let (mut loss, mut smallest) = (0.0, f64::INFINITY);
    for &row in rows {
        let start = row as usize * spec.n_in();
        let mut a: Vec<f64> =
            values[start..start + spec.n_in()].iter().map(|&x| f64::from(x)).collect();
        for (layer, place) in spec.layers().iter().zip(layout.layers()) {
            let (w, b) = (&params[place.w()], &params[place.b()]);
            let z = w
                .chunks(place.n_in)
                .zip(b)
                .map(|(w, b)| w.iter().zip(&a).map(|(w, a)| w * a).sum::<f64>() + b);
            a = z
                .map(|z| {
                    if has_kink(layer.activation) {
                        smallest = smallest.min(z.abs());
                    }
                    layer.activation.value(z)
                })
                .collect();
        }
        let maximum = a.iter().copied().fold(f64::MIN, f64::max);
        let total: f64 = a.iter().map(|z| (z - maximum).exp()).sum();
        loss += total.ln() + maximum - a[data.labels()[row as usize] as usize];
    }
    (loss / rows.len() as f64, smallest)
}

fn has_kink(activation: Activation) -> bool {
    matches!(activation, Activation::Relu | Activation::LeakyRelu | Activation::Selu)
}

fn check(activations: &[Activation], hidden: &[usize]) {
    check_on(&dataset(17, 5, 4), &[3, 0, 11, 12, 16, 7, 8, 1, 5], activations, hidden);
}

fn check_on(data: &Dataset, rows: &[u32], activations: &[Activation], hidden: &[usize]) {
    let spec = Spec::new(data.n_features(), hidden, activations, 4).unwrap();
    let layout = Layout::new(&spec).unwrap();
    // weights under which nothing comes near a kink, where a finite difference means nothing
    let mut params = vec![0.0f32; layout.len()];
    let (params, exact) = (0..200)
        .find_map(|seed| {
            initialize(&mut params, &spec, &layout, Init::Glorot, seed).unwrap();
            params.iter_mut().for_each(|w| *w = 1.5 * *w + 0.01);
            let exact: Vec<f64> = params.iter().map(|&w| f64::from(w)).collect();
            let (_, smallest) = twin(&spec, &layout, &exact, data, rows);
            (smallest > 1e-3).then(|| (params.clone(), exact))
        })
        .expect("some seed keeps away from the kinks");
    for backend in Backend::all() {
        for threads in [1, 2, 5] {
            let options = EngineOptions::new(rows.len()).with(|c| {
                c.backend = backend;
                c.threads = threads;
            });
            let mut engine = Engine::new(&spec, options).unwrap();
            let mut grads = vec![f32::NAN; layout.len()];
            let score = engine.gradient(&mut grads, &params, data, rows);
            let (loss, _) = twin(&spec, &layout, &exact, data, rows);
            assert!((score.loss() - loss).abs() < 1e-6, "{} {loss}", score.loss());
            let mut shifted = exact.clone();
            // of a large network a few hundred, spread over every layer
            let stride = (grads.len() / 300).max(1) | 1;
            for (i, &found) in grads.iter().enumerate().step_by(stride) {
                let h = 1e-5;
                shifted[i] = exact[i] + h;
                let (up, _) = twin(&spec, &layout, &shifted, data, rows);
                shifted[i] = exact[i] - h;
                let (down, _) = twin(&spec, &layout, &shifted, data, rows);
                shifted[i] = exact[i];
                let expected = (up - down) / (2.0 * h);
                assert!(
                    (f64::from(found) - expected).abs() < 2e-6,
                    "{activations:?} {backend:?} {threads} parameter {i}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn every_activation_and_the_loss() {
    for activation in Activation::ALL {
        check(&[activation], &[6, 3]);
    }
}

#[test]
fn mixtures_and_depths() {
    use Activation::{Relu, Selu, Silu, Tanh};
    check(&[Relu, Selu, Tanh], &[7, 6, 5]);
    check(&[], &[]);
    check(&[Silu], &[1]);
    check(&[Tanh, Silu, Tanh, Selu, Tanh], &[3, 4, 2, 9, 3]);
}

/// Small batches: layers that are as wide as the batch, and have a cache line for each worker, are cut by columns.
#[test]
fn layers_wider_than_the_batch() {
    use Activation::{Elu, Gelu, Silu, Tanh};
    check(&[Elu, Gelu, Tanh], &[83, 40, 3]);
    check(&[Gelu, Tanh, Silu], &[5, 81, 90]);
    // one row of a matrix is contiguous, whichever columns of it
    check_on(&dataset(17, 5, 4), &[6], &[Tanh, Gelu], &[83, 40]);
}

#[test]
fn inputs_that_are_blank_throughout_a_batch() {
    // 70 inputs, of which a batch lights up 39; most of them are blank in most samples
    let lit = |i: usize, j: usize| (j % 9 < 5) && (i + j).is_multiple_of(4);
    let values = Array2::from_shape_fn((170, 70), |(i, j)| match lit(i, j) {
        true => ((i * 31 + j * 17) % 97) as f32 / 97.0 + 0.1,
        false => 0.0,
    });
    let labels: Vec<u32> = (0..170).map(|i| i * 7 % 4).collect();
    let data = Dataset::from_arrays(values.view(), &labels).unwrap();
    let rows: Vec<u32> = (3..168).collect();
    check_on(&data, &rows, &[], &[]);
    check_on(&data, &rows, &[Activation::Gelu], &[3]);
    check_on(&data, &rows, &[Activation::Silu], &[170]);
}
