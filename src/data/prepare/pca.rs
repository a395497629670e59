//! Principal components: the inputs that stand for all others, learnt from the training part.
//!
//! Of the inputs `x` that the columns become (scaled numbers, levels), the network sees `W (x - mean)`: the rows of `W` are the directions
//! in which the training part varies most, one after the other, each at right angles to those before (Jolliffe, "Principal Component
//! Analysis").

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::Prepare;
use crate::data::table::Table;
use crate::error::{Error, Result};
use crate::gemm::{Backend, gemm};
use crate::linalg::symmetric_eigen;
use crate::memory::require_bytes;

/// The most values of components that a model file holds, whose header has at most 100 MB.
const MOST_VALUES: usize = 1 << 21;

/// The principal components that take the place of the inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pca {
    /// The mean of each input over the training part.
    pub mean: Vec<f64>,
    /// Row-major (components, inputs): directions of length 1, by falling variance. The largest entry of each, of equal ones the
    /// first, is positive.
    pub components: Vec<f32>,
    /// The share of the inputs' variance that the components have, 0 to 1.
    pub kept: f64,
}

impl Pca {
    /// The number of components.
    pub fn n_components(&self) -> usize {
        self.components.len() / self.mean.len().max(1)
    }

    /// Learns the first `k` components of the inputs that `prepare` makes of the training rows.
    pub(super) fn fit(
        prepare: &Prepare,
        table: &Table,
        is_train: &[bool],
        k: usize,
    ) -> Result<Self> {
        let n = prepare.encoded_width();
        let n_train = is_train.iter().filter(|is_train| **is_train).count();
        let most = n.min(n_train);
        if !(1..=most).contains(&k) {
            let expected = format!("1 to {most}: there are {n} inputs and {n_train} training rows");
            return Err(Error::argument("pca", k.to_string(), expected));
        }
        if k.saturating_mul(n) > MOST_VALUES {
            let expected = format!(
                "at most {} for {n} inputs, so that a model file holds them",
                MOST_VALUES / n
            );
            return Err(Error::argument("pca", k.to_string(), expected));
        }
        // the sums of products, twice while they are decomposed, and the products of a block
        let bytes = (n as u64).saturating_mul(n as u64).saturating_mul(8 + 8 + 8 + 4);
        require_bytes(bytes, &format!("pca of {n} inputs"), "expected fewer inputs, or no pca")?;
        // one BLAS thread, whoever computed before: the results have the same bits then
        for backend in Backend::all() {
            backend.require_addresses(1)?;
            backend.prepare_thread();
        }
        let mut mean = vec![0.0; n];
        prepare.encode_training_rows(table, is_train, |rows| {
            for row in rows.chunks_exact(n) {
                mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
            }
        })?;
        mean.iter_mut().for_each(|sum| *sum /= n_train as f64);
        let mut products = Array2::<f64>::zeros((n, n));
        let mut block = Array2::<f32>::zeros((n, n));
        prepare.encode_training_rows(table, is_train, |rows| {
            for row in rows.chunks_exact_mut(n) {
                row.iter_mut().zip(&mean).for_each(|(x, mean)| *x = (f64::from(*x) - mean) as f32);
            }
            // products <- products + x^T x
            if let Ok(x) = ArrayView2::from_shape((rows.len() / n, n), rows) {
                gemm(Backend::Rust, block.view_mut(), x.t(), x, 0.0);
                products.zip_mut_with(&block, |sum, more| *sum += f64::from(*more));
            }
        })?;
        let all: f64 = products.diag().sum();
        let (values, vectors) = symmetric_eigen(products)?;
        let first: f64 = values[..k].iter().map(|value| value.max(0.0)).sum();
        let mut components = Vec::with_capacity(k * n);
        for vector in vectors.rows().into_iter().take(k) {
            let largest =
                vector.iter().fold(0.0f64, |best, x| if x.abs() > best.abs() { *x } else { best });
            components.extend(vector.iter().map(|x| (x * largest.signum()) as f32));
        }
        let kept = if all > 0.0 { (first / all).min(1.0) } else { 1.0 };
        Ok(Self { mean, components, kept })
    }

    /// Rejects what no training can have made of `n` inputs.
    pub(super) fn check(&self, n: usize) -> Result<(), String> {
        let Self { mean, components, kept } = self;
        if n == 0 || mean.len() != n || components.is_empty() || components.len() % n != 0 {
            return Err(format!(
                "its principal components have {} means and {} values; expected {n} and a multiple of it",
                mean.len(),
                components.len()
            ));
        }
        let numbers = mean.iter().copied().chain(components.iter().map(|x| f64::from(*x)));
        match numbers.chain([*kept]).all(f64::is_finite) {
            true => Ok(()),
            false => Err("its principal components hold numbers that are not finite".to_owned()),
        }
    }

    /// What projects rows.
    pub(super) fn projection(&self) -> Projection {
        let (n, k) = (self.mean.len(), self.n_components());
        let weights =
            (0..n * k).map(|at| f64::from(self.components[at % k * n + at / k])).collect();
        Projection { weights, mean: self.mean.clone(), sums: vec![0.0; k] }
    }
}

/// Projects row after row. A row's result depends on that row alone, to the bit.
#[derive(Clone)]
pub(super) struct Projection {
    /// Row-major (inputs, components).
    weights: Vec<f64>,
    mean: Vec<f64>,
    sums: Vec<f64>,
}

impl Projection {
    /// `out[k] = sum_j (x[j] - mean[j]) weights[j, k]`, summed in f64.
    pub fn row(&mut self, out: &mut [f32], x: &[f32]) {
        self.sums.fill(0.0);
        let weights = self.weights.chunks_exact(self.sums.len());
        for ((x, mean), weights) in x.iter().zip(&self.mean).zip(weights) {
            let x = f64::from(*x) - mean;
            self.sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += x * w);
        }
        out.iter_mut().zip(&self.sums).for_each(|(out, sum)| *out = *sum as f32);
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::super::{Roles, TableOptions, TaskChoice};
    use super::*;

    /// `rows` rows of three columns of numbers that depend on each other and a text, and a target.
    fn table(rows: usize) -> Table {
        let noise = |i: usize, f: usize| (i * f % 101) as f32 / 101.0;
        let x = Array2::from_shape_fn((rows, 3), |(i, j)| match j {
            0 => 5.0 * noise(i, 37),
            1 => 1e4 + 2.0 * noise(i, 37) + 0.1 * noise(i, 53),
            _ => noise(i, 71),
        });
        Table::from_array("t", ["a", "b", "c"], x)
            .and_then(|table| table.with_texts("d", (0..rows).map(|i| ["p", "q", "r"][i * 7 % 3])))
            .and_then(|table| {
                table.with_numbers("y", (0..rows).map(|i| i as f32).collect::<Vec<_>>())
            })
            .unwrap()
    }

    fn fitted(rows: usize, train: &[u32], pca: Option<usize>) -> Result<Prepare> {
        let task = TaskChoice::Regression;
        let options = TableOptions { pca, task, ..TableOptions::default() };
        let table = table(rows);
        Ok(Prepare::fit(&table, &Roles::of(&table, &options)?, &options, train)?.0)
    }

    #[test]
    fn inputs_become_the_components_of_the_definition() {
        let train: Vec<u32> = (0..500).filter(|i| i % 4 != 1).collect();
        let whole = fitted(500, &train, None).unwrap();
        let n = whole.n_inputs();
        let x = whole.apply(table(500), false).unwrap().inputs;
        // naive, in f64: the variances along the components are those that no direction exceeds
        let mean = |j: usize| {
            train.iter().map(|&i| f64::from(x[i as usize * n + j])).sum::<f64>()
                / train.len() as f64
        };
        let means: Vec<f64> = (0..n).map(mean).collect();
        let centred = |i: u32, j: usize| f64::from(x[i as usize * n + j]) - means[j];
        let covariance = Array2::from_shape_fn((n, n), |(a, b)| {
            train.iter().map(|&i| centred(i, a) * centred(i, b)).sum::<f64>() / train.len() as f64
        });
        let trace: f64 = covariance.diag().sum();
        let mut before = f64::INFINITY;
        for k in 1..=n {
            let prepare = fitted(500, &train, Some(k)).unwrap();
            let pca = prepare.pca().unwrap();
            assert_eq!((prepare.n_inputs(), pca.n_components()), (k, k));
            let w = Array2::from_shape_vec((k, n), pca.components.clone()).unwrap().mapv(f64::from);
            let mut kept = 0.0;
            for (a, row) in w.rows().into_iter().enumerate() {
                let along = covariance.dot(&row);
                let variance = row.dot(&along);
                // an eigenvector of length 1, at right angles to the others
                assert!(
                    (&along - &(&row * variance)).iter().all(|x| x.abs() < 1e-5 * trace),
                    "{k} {a}"
                );
                for (b, other) in w.rows().into_iter().enumerate() {
                    assert!(
                        (row.dot(&other) - f64::from(u8::from(a == b))).abs() < 1e-5,
                        "{a} {b}"
                    );
                }
                let largest = row
                    .iter()
                    .copied()
                    .fold(0.0f64, |m, x| if x.abs() > m.abs() + 1e-6 { x } else { m });
                assert!(largest > 0.0, "{row}");
                if a + 1 == k {
                    assert!(variance <= before + 1e-5 * trace, "{k}: {variance} after {before}");
                    before = variance;
                }
                kept += variance;
            }
            assert!((pca.kept - kept / trace).abs() < 1e-5, "{k}: {} {}", pca.kept, kept / trace);
            // all rows, also those of the other parts
            let found = prepare.apply(table(500), false).unwrap().inputs;
            for i in 0..500 {
                for (a, row) in w.rows().into_iter().enumerate() {
                    let expected: f64 = (0..n).map(|j| row[j] * centred(i as u32, j)).sum();
                    assert!((f64::from(found[i * k + a]) - expected).abs() < 1e-4, "{k}: {i} {a}");
                }
            }
        }
        // b follows a, and the levels of d add up to 1
        assert!(fitted(500, &train, Some(n - 1)).unwrap().pca().unwrap().kept > 0.999);
    }

    #[test]
    fn other_rows_than_those_of_the_training_part_do_not_matter() {
        let train: Vec<u32> = (0..60).collect();
        assert_eq!(fitted(60, &train, Some(2)).unwrap(), fitted(300, &train, Some(2)).unwrap());
    }

    #[test]
    fn rows_one_by_one_are_the_rows_together() {
        let train: Vec<u32> = (0..100).collect();
        let prepare = fitted(100, &train, Some(3)).unwrap();
        let together = prepare.apply(table(100), true).unwrap();
        let mut inputs = Vec::new();
        for row in 0..100 {
            let mut one = table(100);
            one.retain(&(0..100).map(|i| i == row).collect::<Vec<_>>());
            inputs.extend(prepare.apply(one, true).unwrap().inputs);
        }
        assert_eq!(inputs, together.inputs);
        assert_eq!(together.targets.len(), 100);
    }

    #[test]
    fn more_components_than_inputs_or_rows_are_refused_with_the_numbers() {
        let message = |train: &[u32], k| fitted(100, train, Some(k)).unwrap_err().to_string();
        let all: Vec<u32> = (0..100).collect();
        let found = message(&all, 7);
        assert_eq!(found, "pca is 7; expected 1 to 6: there are 6 inputs and 100 training rows");
        let found = message(&all[..4], 5);
        assert_eq!(found, "pca is 5; expected 1 to 4: there are 6 inputs and 4 training rows");
        assert!(message(&all, 0).contains("pca is 0; expected 1 to 6"));
    }

    #[test]
    fn damage_is_found() {
        let train: Vec<u32> = (0..100).collect();
        let prepare = fitted(100, &train, Some(3)).unwrap();
        prepare.check(3).unwrap();
        let damaged = |change: fn(&mut Pca)| {
            let mut prepare = prepare.clone();
            change(prepare.pca.as_mut().unwrap());
            prepare.check(3).unwrap_err();
        };
        damaged(|pca| pca.mean.truncate(2));
        damaged(|pca| pca.components.truncate(17));
        damaged(|pca| pca.components.truncate(12));
        damaged(|pca| pca.components[4] = f32::NAN);
        let json = serde_json::to_string(&prepare).unwrap();
        assert_eq!(serde_json::from_str::<Prepare>(&json).unwrap(), prepare);
    }
}
