//! Norms of layers of several panels against their definition in f64, by every instruction set.

use super::*;
use crate::data::Dataset;
use crate::model::{NORM_EPS, NORM_MOMENTUM, Norm};

/// Units of both hidden layers: several panels, the last of which is not full.
const UNITS: usize = 603;

/// (rows, columns), row-major.
struct Matrix {
    values: Vec<f64>,
    columns: usize,
}

impl Matrix {
    fn of(values: &[f32], columns: usize) -> Self {
        Self { values: values.iter().map(|&x| f64::from(x)).collect(), columns }
    }

    fn rows(&self) -> std::slice::Chunks<'_, f64> {
        self.values.chunks(self.columns)
    }

    fn transposed(&self) -> Self {
        let (rows, columns) = (self.values.len() / self.columns, self.columns);
        let value = |i: usize| self.values[i % rows * columns + i / rows];
        Self { values: (0..rows * columns).map(value).collect(), columns: rows }
    }

    /// `self other^T`
    fn by_rows(&self, other: &Self) -> Self {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum();
        let row = |a| other.rows().map(move |b| dot(a, b));
        let columns = other.values.len() / other.columns;
        Self { values: self.rows().flat_map(row).collect(), columns }
    }

    fn map(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Self {
        let values = self.values.iter().zip(&other.values).map(|(a, b)| f(*a, *b));
        Self { values: values.collect(), columns: self.columns }
    }

    fn column_sums(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.columns];
        for row in self.rows() {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        sums
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// What a layer has computed: normalised products, inverse deviations by group, and activations.
struct Hidden {
    normed: Matrix,
    inverses: Vec<f64>,
    a: Matrix,
    means: Vec<f64>,
    variances: Vec<f64>,
}

/// The loss, the gradient, and what batch norm makes of the running statistics, of a network with tanh and this norm in both hidden layers.
fn defined(
    norm: Norm,
    layout: &Layout,
    params: &[f32],
    data: &Dataset,
) -> (f64, Vec<f64>, Vec<f64>) {
    let all = |range: std::ops::Range<usize>| Matrix::of(&params[range], 1).values;
    let Features::F32(x) = data.features() else { panic!("expected numbers") };
    let mut a = Matrix::of(x, data.n_features());
    let n = data.len() as f64;
    let (mut hidden, mut inputs) = (Vec::<Hidden>::new(), Vec::new());
    for layer in &layout.layers()[..2] {
        let mut z = a.by_rows(&Matrix::of(&params[layer.w()], layer.n_in));
        let b = all(layer.b());
        z.values
            .chunks_mut(layer.n_out)
            .for_each(|row| row.iter_mut().zip(&b).for_each(|(z, b)| *z += b));
        // a group is what is normalised together: a row of this matrix
        let groups = if norm == Norm::Batch { z.transposed() } else { z };
        let means: Vec<f64> = groups.rows().map(mean).collect();
        let squares = |(row, m): (&[f64], &f64)| {
            row.iter().map(|z| (z - m).powi(2)).sum::<f64>() / row.len() as f64
        };
        let variances: Vec<f64> = groups.rows().zip(&means).map(squares).collect();
        let inverses: Vec<f64> = variances.iter().map(|v| 1.0 / (v + NORM_EPS).sqrt()).collect();
        let of_group = |(row, (m, inverse))| -> Vec<f64> {
            let row: &[f64] = row;
            row.iter().map(|z: &f64| (z - m) * inverse).collect()
        };
        let values = groups.rows().zip(means.iter().zip(&inverses)).flat_map(of_group).collect();
        let normed = Matrix { values, columns: groups.columns };
        let normed = if norm == Norm::Batch { normed.transposed() } else { normed };
        let [gains, shifts] = [0, 1].map(|which| all(layer.norm(which)));
        let y = normed.rows().flat_map(|row| {
            row.iter().zip(gains.iter().zip(&shifts)).map(|(n, (g, s))| (g * n + s).tanh())
        });
        let outputs = Matrix { values: y.collect(), columns: layer.n_out };
        inputs
            .push(std::mem::replace(&mut a, Matrix { values: outputs.values.clone(), ..outputs }));
        hidden.push(Hidden { normed, inverses, a: outputs, means, variances });
    }
    let last = &layout.layers()[2];
    let mut dz = a.by_rows(&Matrix::of(&params[last.w()], last.n_in));
    inputs.push(a);
    let b = all(last.b());
    let mut loss = 0.0;
    for (row, &label) in dz.values.chunks_mut(last.n_out).zip(data.labels()) {
        row.iter_mut().zip(&b).for_each(|(z, b)| *z += b);
        let sum: f64 = row.iter().map(|z| z.exp()).sum();
        loss += (sum.ln() - row[label as usize]) / n;
        row.iter_mut().for_each(|z| *z = z.exp() / sum / n);
        row[label as usize] -= 1.0 / n;
    }
    let (mut grads, mut after) = (vec![0.0; layout.len()], Matrix::of(params, 1).values);
    for (l, layer) in layout.layers().iter().enumerate().rev() {
        grads[layer.w()].copy_from_slice(&dz.transposed().by_rows(&inputs[l].transposed()).values);
        grads[layer.b()].copy_from_slice(&dz.column_sums());
        let Some(Hidden { normed, inverses, a, means, variances }) =
            l.checked_sub(1).map(|l| &hidden[l])
        else {
            break;
        };
        let below = &layout.layers()[l - 1];
        let da = dz.by_rows(&Matrix::of(&params[layer.w()], layer.n_in).transposed());
        let dy = da.map(a, |da, a| da * (1.0 - a * a));
        grads[below.norm(0)].copy_from_slice(&dy.map(normed, |dy, n| dy * n).column_sums());
        grads[below.norm(1)].copy_from_slice(&dy.column_sums());
        let gains = all(below.norm(0));
        let scaled = dy.rows().flat_map(|row| row.iter().zip(&gains).map(|(dy, gain)| dy * gain));
        let dn = Matrix { values: scaled.collect(), columns: dy.columns };
        let grouped = |m: Matrix| if norm == Norm::Batch { m.transposed() } else { m };
        let copy = |m: &Matrix| Matrix { values: m.values.clone(), columns: m.columns };
        let (dn, normed) = (grouped(dn), grouped(copy(normed)));
        let of_group = |((dn, normed), inverse): ((&[f64], &[f64]), &f64)| -> Vec<f64> {
            let products: Vec<f64> = dn.iter().zip(normed).map(|(d, n)| d * n).collect();
            let (first, second) = (mean(dn), mean(&products));
            dn.iter().zip(normed).map(|(d, n)| inverse * (d - first - n * second)).collect()
        };
        let values = dn.rows().zip(normed.rows()).zip(inverses).flat_map(of_group).collect();
        dz = grouped(Matrix { values, columns: dn.columns });
        if norm == Norm::Batch {
            for (which, found, factor) in [(2, means, 1.0), (3, variances, n / (n - 1.0))] {
                for (to, found) in after[below.norm(which)].iter_mut().zip(found) {
                    *to += f64::from(NORM_MOMENTUM) * (factor * found - *to);
                }
            }
        }
    }
    (loss, grads, after)
}

#[test]
fn norms_of_several_panels_equal_their_definition() {
    let (data, all) = (rows(8), (0..SAMPLES as u32).collect::<Vec<_>>());
    for norm in [Norm::Batch, Norm::Layer] {
        let hidden = [UNITS; 2];
        let spec = Spec::new(70, &hidden, &[Activation::Tanh], 40).unwrap().with_norm(norm);
        let layout = Layout::new(&spec).unwrap();
        let mut params = vec![0.0; layout.len()];
        initialize(&mut params, &spec, &layout, Init::Auto, 5).unwrap();
        for tensor in layout.tensors().iter().filter(|tensor| tensor.shape.len() == 1) {
            let values = params[tensor.range.clone()].iter_mut().enumerate();
            values.for_each(|(i, x)| *x += (i % 7) as f32 / 20.0);
        }
        let (loss, grads, after) = defined(norm, &layout, &params, &data);
        on_each_isa(|isa| {
            for threads in [1, 2] {
                let what = format!("{norm} norm {isa:?} {threads}");
                let options = options(Backend::Rust, threads);
                let mut engine = Engine::with_isa(&spec, options, isa).unwrap();
                let mut found = vec![0.0; params.len()];
                let score = engine.gradient(&mut found, &params, &data, &all);
                assert!((score.loss() - loss).abs() < 1e-5, "{what}: {} {loss}", score.loss());
                for tensor in layout.tensors().iter().filter(|tensor| tensor.trained) {
                    let expected = &grads[tensor.range.clone()];
                    let largest = expected.iter().fold(0.0f64, |max, x| max.max(x.abs()));
                    for (found, expected) in found[tensor.range.clone()].iter().zip(expected) {
                        let error = (f64::from(*found) - expected).abs();
                        assert!(
                            error < 2e-5 * largest,
                            "{what} {}: {found} {expected}",
                            tensor.name
                        );
                    }
                }
                let mut state = State::new(&params).unwrap();
                let next = |_| ControlFlow::Continue(());
                engine.train(&mut state, &Adam::default(), &data, &all, SAMPLES, next);
                for tensor in layout.tensors().iter().filter(|t| t.name.contains("running")) {
                    let found = &state.params()[tensor.range.clone()];
                    for (found, expected) in found.iter().zip(&after[tensor.range.clone()]) {
                        let error = (f64::from(*found) - expected).abs();
                        assert!(error < 2e-6, "{what} {}: {found} {expected}", tensor.name);
                    }
                }
            }
        });
    }
}
