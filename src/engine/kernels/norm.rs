//! Sums and element-wise passes of batch norm, by columns, and of layer norm, by rows. See [`crate::model::Norm`] for the definitions.
//!
//! Matrices are row-major (rows, n). Those of a layer may come in pieces: some rows of some columns at a time.

use super::fma;
use crate::isa::kernel;

/// The number of rows whose sums are made in a register or in the first-level cache before they are added to the whole, so that rounding grows with its
/// root.
const BLOCK: usize = 64;

/// Adds to `sums` (n) what `term` makes of each element of its column: `term(row, column, index in the matrix)`.
#[inline(always)]
fn add_columns(sums: &mut [f32], len: usize, term: impl Fn(usize, usize) -> f32) {
    let n = sums.len();
    assert!(n > 0 && len.is_multiple_of(n), "norm: {len} values are not whole rows of {n}");
    const WIDTH: usize = 16;
    for first in (0..n).step_by(WIDTH) {
        let width = WIDTH.min(n - first);
        let mut row = 0;
        while row < len / n {
            let end = (row + BLOCK).min(len / n);
            let mut block = [0.0; WIDTH];
            for r in row..end {
                let at = r * n + first;
                for (j, sum) in block[..width].iter_mut().enumerate() {
                    *sum += term(at + j, first + j);
                }
            }
            sums[first..first + width]
                .iter_mut()
                .zip(&block)
                .for_each(|(sum, block)| *sum += block);
            row = end;
        }
    }
}

kernel! {
    /// `sums[j] += sum over rows of values[r, j]`
    pub fn add_column_sums(sums: &mut [f32], values: &[f32]) {
        add_columns(sums, values.len(), |at, _| values[at]);
    }
}

kernel! {
    /// `sums[j] += sum over rows of (values[r, j] - means[j])^2`
    pub fn add_column_squares(sums: &mut [f32], values: &[f32], means: &[f32]) {
        assert_eq!(sums.len(), means.len(), "norm: the lengths differ");
        add_columns(sums, values.len(), |at, j| {
            let distance = values[at] - means[j];
            distance * distance
        });
    }
}

kernel! {
    /// `sums[j] += sum over rows of a[r, j] b[r, j]`
    pub fn add_column_products(sums: &mut [f32], a: &[f32], b: &[f32]) {
        assert_eq!(a.len(), b.len(), "norm: the lengths differ");
        add_columns(sums, a.len(), |at, _| a[at] * b[at]);
    }
}

kernel! {
    /// `normed = (values - means) inverses` and then `values = gains normed`, by columns.
    pub fn normalize_columns(values: &mut [f32], normed: &mut [f32], means: &[f32], inverses: &[f32], gains: &[f32]) {
        let n = means.len();
        assert!(inverses.len() == n && gains.len() == n && values.len() == normed.len(), "norm: the lengths differ");
        for (values, normed) in values.chunks_exact_mut(n).zip(normed.chunks_exact_mut(n)) {
            let columns = means.iter().zip(inverses).zip(gains);
            for ((z, x), ((mean, inverse), gain)) in values.iter_mut().zip(normed).zip(columns) {
                *x = (*z - *mean) * *inverse;
                *z = *gain * *x;
            }
        }
    }
}

kernel! {
    /// `values = factors (values - a - normed b)`, by columns: the gradient through batch norm, with `a` and `b` the means over the batch of the gradient, and of it times
    /// `normed`.
    pub fn project_columns(values: &mut [f32], normed: &[f32], factors: &[f32], a: &[f32], b: &[f32]) {
        let n = factors.len();
        assert!(a.len() == n && b.len() == n && values.len() == normed.len(), "norm: the lengths differ");
        for (values, normed) in values.chunks_exact_mut(n).zip(normed.chunks_exact(n)) {
            for (((dz, x), factor), (a, b)) in values.iter_mut().zip(normed).zip(factors).zip(a.iter().zip(b)) {
                *dz = *factor * (*dz - fma::<FMA>(*x, *b, *a));
            }
        }
    }
}

kernel! {
    /// `values[r, j] += b[j]`, and `sums[r] += ` the sum of the first `count` of them.
    pub fn add_biases_and_sum_rows(sums: &mut [f32], values: &mut [f32], b: &[f32], count: usize) {
        assert_eq!(values.len(), sums.len() * b.len(), "norm: the lengths differ");
        for (sum, row) in sums.iter_mut().zip(values.chunks_exact_mut(b.len())) {
            row.iter_mut().zip(b).for_each(|(z, b)| *z += *b);
            *sum += sum_of(count, |j| row[j]);
        }
    }
}

kernel! {
    /// `sums[r] += ` the sum over the first `count` columns of `(values[r, j] - means[r])^2`
    pub fn add_row_squares(sums: &mut [f32], values: &[f32], means: &[f32], n: usize, count: usize) {
        assert!(sums.len() == means.len() && values.len() == n * sums.len(), "norm: the lengths differ");
        for ((sum, mean), row) in sums.iter_mut().zip(means).zip(values.chunks_exact(n)) {
            *sum += sum_of(count, |j| (row[j] - mean) * (row[j] - mean));
        }
    }
}

kernel! {
    /// `normed = (values - means) inverses`, by rows, and then `values = gains normed`, by columns; 0 beyond the first `count` columns.
    pub fn normalize_rows(values: &mut [f32], normed: &mut [f32], means: &[f32], inverses: &[f32], gains: &[f32], count: usize) {
        let n = gains.len();
        assert!(values.len() == means.len() * n && values.len() == normed.len(), "norm: the lengths differ");
        let rows = values.chunks_exact_mut(n).zip(normed.chunks_exact_mut(n));
        for ((values, normed), (mean, inverse)) in rows.zip(means.iter().zip(inverses)) {
            values[count..].fill(0.0);
            normed[count..].fill(0.0);
            for ((z, x), gain) in values[..count].iter_mut().zip(&mut normed[..count]).zip(gains) {
                *x = (*z - *mean) * *inverse;
                *z = *gain * *x;
            }
        }
    }
}

kernel! {
    /// `a[r] += sum over columns of gains[j] dy[r, j]` and `b[r] += ` that of `gains[j] dy[r, j] normed[r, j]`
    pub fn add_row_products(a: &mut [f32], b: &mut [f32], dy: &[f32], normed: &[f32], gains: &[f32]) {
        let n = gains.len();
        assert!(a.len() == b.len() && dy.len() == n * a.len() && dy.len() == normed.len(), "norm: the lengths differ");
        for ((a, b), (dy, normed)) in a.iter_mut().zip(b).zip(dy.chunks_exact(n).zip(normed.chunks_exact(n))) {
            *a += sum_of(n, |j| gains[j] * dy[j]);
            *b += sum_of(n, |j| gains[j] * dy[j] * normed[j]);
        }
    }
}

kernel! {
    /// `values = factors (gains values - a - normed b)`, by rows: the gradient through layer norm, with `a` and `b` the means over the units of the gradient times the
    /// gains, and of that times `normed`. Columns beyond the gains are padding, and become 0.
    pub fn project_rows(values: &mut [f32], normed: &[f32], gains: &[f32], factors: &[f32], a: &[f32], b: &[f32]) {
        let (n, count) = (values.len() / factors.len().max(1), gains.len());
        assert!(values.len() == n * factors.len() && values.len() == normed.len(), "norm: the lengths differ");
        let rows = values.chunks_exact_mut(n).zip(normed.chunks_exact(n));
        for (((values, normed), factor), (a, b)) in rows.zip(factors).zip(a.iter().zip(b)) {
            values[count..].fill(0.0);
            for ((dz, x), gain) in values[..count].iter_mut().zip(normed).zip(gains) {
                *dz = *factor * (*gain * *dz - fma::<FMA>(*x, *b, *a));
            }
        }
    }
}

/// The sum of `count` terms, in 16 parts.
#[inline(always)]
fn sum_of(count: usize, term: impl Fn(usize) -> f32) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0.0; LANES];
    let whole = count - count % LANES;
    for first in (0..whole).step_by(LANES) {
        for (i, lane) in lanes.iter_mut().enumerate() {
            *lane += term(first + i);
        }
    }
    let rest: f32 = (whole..count).map(&term).sum();
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::super::tests::SIZES;
    use super::*;
    use crate::isa::tests::on_each_isa;
    use crate::rng::{Purpose, Rng};

    fn draws(seed: u64, n: usize) -> Vec<f32> {
        let mut rng = Rng::new(seed, Purpose::Init, 0);
        (0..n).map(|_| rng.symmetric()).collect()
    }

    fn close(found: &[f32], expected: impl Iterator<Item = f64>) {
        let expected: Vec<f64> = expected.collect();
        assert_eq!(found.len(), expected.len());
        for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(*found) - expected).abs();
            assert!(error < 2e-5 * expected.abs().max(1.0), "{i}: {found} {expected}");
        }
    }

    #[test]
    fn passes_are_their_definitions_at_every_size() {
        on_each_isa(|isa| {
            for (n, rows) in SIZES
                .into_iter()
                .filter(|&n| n > 0)
                .zip([1, 2, 63, 64, 65, 200].into_iter().cycle())
            {
                let values = draws(1, rows * n);
                let (a, b, c, by_row) = (draws(2, n), draws(3, n), draws(4, n), draws(5, rows));
                let other = draws(6, rows * n);
                let column = |term: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
                    (0..n).map(|j| (0..rows).map(|r| term(r * n + j, j)).sum()).collect()
                };
                let at = |values: &[f32], i: usize| f64::from(values[i]);
                let mut sums = vec![1.0; n];
                add_column_sums(isa, &mut sums, &values);
                close(&sums, column(&|i, _| at(&values, i)).into_iter().map(|x| x + 1.0));
                let mut sums = vec![0.0; n];
                add_column_squares(isa, &mut sums, &values, &a);
                close(&sums, column(&|i, j| (at(&values, i) - at(&a, j)).powi(2)).into_iter());
                let mut sums = vec![0.0; n];
                add_column_products(isa, &mut sums, &values, &other);
                close(&sums, column(&|i, _| at(&values, i) * at(&other, i)).into_iter());

                let (mut z, mut normed) = (values.clone(), vec![9.0; rows * n]);
                normalize_columns(isa, &mut z, &mut normed, &a, &b, &c);
                close(
                    &normed,
                    (0..rows * n).map(|i| (at(&values, i) - at(&a, i % n)) * at(&b, i % n)),
                );
                close(&z, (0..rows * n).map(|i| at(&normed, i) * at(&c, i % n)));
                let mut dz = values.clone();
                project_columns(isa, &mut dz, &other, &a, &b, &c);
                close(
                    &dz,
                    (0..rows * n).map(|i| {
                        let j = i % n;
                        at(&a, j) * (at(&values, i) - at(&b, j) - at(&other, i) * at(&c, j))
                    }),
                );

                // rows, of which the last columns may be padding
                for count in [n, n - n / 3] {
                    let row = |term: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
                        (0..rows).map(|r| (0..count).map(|j| term(r * n + j, j)).sum()).collect()
                    };
                    let (mut sums, mut z) = (vec![0.0; rows], values.clone());
                    add_biases_and_sum_rows(isa, &mut sums, &mut z, &a, count);
                    close(&z, (0..rows * n).map(|i| at(&values, i) + at(&a, i % n)));
                    close(&sums, row(&|i, _| at(&z, i)).into_iter());
                    let mut sums = vec![0.0; rows];
                    add_row_squares(isa, &mut sums, &values, &by_row, n, count);
                    close(
                        &sums,
                        row(&|i, _| (at(&values, i) - at(&by_row, i / n)).powi(2)).into_iter(),
                    );
                    let inverses = draws(7, rows);
                    let (mut z, mut normed) = (values.clone(), vec![9.0; rows * n]);
                    normalize_rows(isa, &mut z, &mut normed, &by_row, &inverses, &c, count);
                    close(
                        &normed,
                        (0..rows * n).map(|i| match i % n < count {
                            true => (at(&values, i) - at(&by_row, i / n)) * at(&inverses, i / n),
                            false => 0.0,
                        }),
                    );
                    close(&z, (0..rows * n).map(|i| at(&normed, i) * at(&c, i % n)));
                }
                let (mut first, mut second) = (vec![0.0; rows], vec![0.0; rows]);
                add_row_products(isa, &mut first, &mut second, &values, &other, &c);
                let sum = |term: &dyn Fn(usize) -> f64| -> Vec<f64> {
                    (0..rows).map(|r| (0..n).map(|j| term(r * n + j)).sum()).collect()
                };
                close(&first, sum(&|i| at(&values, i) * at(&c, i % n)).into_iter());
                close(
                    &second,
                    sum(&|i| at(&values, i) * at(&c, i % n) * at(&other, i)).into_iter(),
                );
                let (factors, second) = (draws(8, rows), draws(9, rows));
                for count in [n, n - n / 3] {
                    let mut dz = values.clone();
                    project_rows(isa, &mut dz, &other, &c[..count], &factors, &by_row, &second);
                    close(
                        &dz,
                        (0..rows * n).map(|i| {
                            let r = i / n;
                            let gradient = at(&c, i % n) * at(&values, i);
                            let projected =
                                gradient - at(&by_row, r) - at(&other, i) * at(&second, r);
                            if i % n < count { at(&factors, r) * projected } else { 0.0 }
                        }),
                    );
                }
            }
        });
    }
}
