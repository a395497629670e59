//! Batch norm and layer norm of a layer in a step of training, and layer norm in an evaluation, for both backends. In an evaluation, batch norm is a part of the weights
//! ([`crate::model::fold`]).
//!
//! Batch norm needs all samples of a unit, so that layers with it are split by units: one worker has all of them, and no sum depends on the number of workers. Its matrices
//! come in pieces of some rows by the worker's units. Layer norm needs all units of a sample; with panels, these come in pieces as well.

use super::kernels::norm::{
    add_column_products, add_column_squares, add_column_sums, add_row_products, add_row_squares,
    normalize_columns, normalize_rows, project_columns, project_rows,
};
use crate::isa::Isa;
use crate::model::NORM_EPS;

/// The statistics of some units: their means, and their inverse deviations.
pub struct Statistics<'a> {
    pub means: &'a mut [f32],
    pub inverses: &'a mut [f32],
}

/// The tensors of a batch norm, of some units.
pub struct BatchNorm<'a> {
    pub gains: &'a [f32],
    pub biases: &'a [f32],
    /// Running means and variances.
    pub running: [&'a mut [f32]; 2],
    /// What a step does with them.
    pub running_use: Running,
}

/// What a step does with running statistics.
#[derive(Clone, Copy, Debug)]
pub enum Running {
    /// Takes over a share of the batch's.
    Update { share: f32 },
    /// Leaves them as they are.
    Keep,
    /// Normalises by them, instead of by the batch's, as frozen layers do.
    Apply,
}

/// Calls a function with each piece of two matrices of equal shapes.
pub type Pieces<'a> = &'a mut dyn FnMut(&mut dyn FnMut(&mut [f32], &mut [f32]));

/// Batch norm forward, without the shifts: `normed = (z - mean) inverse`, and `z = gain normed`. `pieces` are those of `z` and `normed`; together they have `rows` rows.
pub fn batch_norm(
    isa: Isa,
    rows: usize,
    norm: BatchNorm<'_>,
    statistics: &mut Statistics<'_>,
    pieces: Pieces<'_>,
) {
    let Statistics { means, inverses } = statistics;
    let [running_means, running_variances] = norm.running;
    match norm.running_use {
        Running::Apply => {
            let shifted = running_means.iter().zip(norm.biases).map(|(mean, b)| mean - b);
            means.iter_mut().zip(shifted).for_each(|(to, mean)| *to = mean);
            inverses.copy_from_slice(running_variances);
        }
        usage => {
            means.fill(0.0);
            inverses.fill(0.0);
            pieces(&mut |z, _| add_column_sums(isa, means, z));
            means.iter_mut().for_each(|mean| *mean /= rows as f32);
            pieces(&mut |z, _| add_column_squares(isa, inverses, z, means));
            inverses.iter_mut().for_each(|sum| *sum /= rows as f32);
            // one sample has no variance
            if let Running::Update { share } = usage
                && rows > 1
            {
                let unbiased = rows as f32 / (rows - 1) as f32;
                for (i, mean) in running_means.iter_mut().enumerate() {
                    *mean += share * (means[i] + norm.biases[i] - *mean);
                }
                for (variance, biased) in running_variances.iter_mut().zip(&**inverses) {
                    *variance += share * (unbiased * biased - *variance);
                }
            }
        }
    }
    inverses.iter_mut().for_each(|variance| *variance = inverse(*variance));
    pieces(&mut |z, normed| normalize_columns(isa, z, normed, means, inverses, norm.gains));
}

/// `1 / sqrt(variance + eps)`
fn inverse(variance: f32) -> f32 {
    1.0 / (variance + NORM_EPS as f32).sqrt()
}

/// Batch norm backward: makes the gradient by `z` of that by the outputs, `pieces` with `normed`, and writes the gradients of the gains and shifts. The pieces are
/// gone through more than once.
pub fn batch_norm_gradient(
    isa: Isa,
    rows: usize,
    gains: &[f32],
    inverses: &[f32],
    [gain_grads, shift_grads]: [&mut [f32]; 2],
    pieces: Pieces<'_>,
) {
    gain_grads.fill(0.0);
    shift_grads.fill(0.0);
    pieces(&mut |dy, normed| {
        add_column_sums(isa, shift_grads, dy);
        add_column_products(isa, gain_grads, dy, normed);
    });
    // some units at a time, so that their factors fit on the stack
    let n = gains.len();
    let mut first = 0;
    while first < n {
        let units = first..n.min(first + UNITS);
        let (mut factors, mut a, mut b) = ([0.0; UNITS], [0.0; UNITS], [0.0; UNITS]);
        for (i, unit) in units.clone().enumerate() {
            factors[i] = gains[unit] * inverses[unit];
            a[i] = shift_grads[unit] / rows as f32;
            b[i] = gain_grads[unit] / rows as f32;
        }
        let len = units.len();
        pieces(&mut |dy, normed| match n == len {
            true => project_columns(isa, dy, normed, &factors[..n], &a[..n], &b[..n]),
            false => {
                for (dy, normed) in dy.chunks_exact_mut(n).zip(normed.chunks_exact(n)) {
                    let (dy, normed) = (&mut dy[units.clone()], &normed[units.clone()]);
                    project_columns(isa, dy, normed, &factors[..len], &a[..len], &b[..len]);
                }
            }
        });
        first = units.end;
    }
}

/// The most units whose factors are computed together.
const UNITS: usize = 512;

/// The most rows of a layer norm at a time.
pub const NORM_ROWS: usize = 256;

/// What layer norm keeps of some rows: sums of their pieces.
pub struct RowSums {
    sums: [[f32; NORM_ROWS]; 2],
}

impl RowSums {
    pub fn new() -> Self {
        Self { sums: [[0.0; NORM_ROWS]; 2] }
    }

    /// The sums of the rows, to which the pieces add.
    pub fn first(&mut self, rows: usize) -> &mut [f32] {
        &mut self.sums[0][..rows]
    }

    /// Makes means of the sums over so many units.
    pub fn divide(&mut self, rows: usize, units: usize) {
        for sums in &mut self.sums {
            sums[..rows].iter_mut().for_each(|sum| *sum /= units as f32);
        }
    }

    /// Adds the squared distances of a piece from the means; `count` of its `n` columns count.
    pub fn add_squares(&mut self, isa: Isa, values: &[f32], n: usize, count: usize) {
        let rows = values.len() / n;
        let [means, squares] = &mut self.sums;
        add_row_squares(isa, &mut squares[..rows], values, &means[..rows], n, count);
    }

    /// Makes inverse deviations of the sums of squares over so many units, and keeps them.
    pub fn finish(&mut self, inverses: &mut [f32], units: usize) {
        for (to, sum) in inverses.iter_mut().zip(&mut self.sums[1]) {
            *sum = inverse(*sum / units as f32);
            *to = *sum;
        }
    }

    /// `normed = (z - mean) inverse`, and `z = gain normed`, of a piece, of whose columns `count` count.
    pub fn normalize(
        &self,
        isa: Isa,
        z: &mut [f32],
        normed: &mut [f32],
        gains: &[f32],
        count: usize,
    ) {
        let rows = z.len() / gains.len();
        let [means, inverses] = &self.sums;
        normalize_rows(isa, z, normed, &means[..rows], &inverses[..rows], gains, count);
    }

    /// Adds, for the gradient, the products of a piece of the gradient by the outputs with the gains, and with those and `normed`.
    pub fn add_products(&mut self, isa: Isa, dy: &[f32], normed: &[f32], gains: &[f32]) {
        let rows = dy.len() / gains.len();
        let [a, b] = &mut self.sums;
        add_row_products(isa, &mut a[..rows], &mut b[..rows], dy, normed, gains);
    }

    /// Makes the gradient by `z` of that by the outputs, of a piece, whose columns beyond the gains are padding.
    pub fn project(
        &self,
        isa: Isa,
        dy: &mut [f32],
        normed: &[f32],
        gains: &[f32],
        inverses: &[f32],
    ) {
        let (rows, [a, b]) = (inverses.len(), &self.sums);
        project_rows(isa, dy, normed, gains, inverses, &a[..rows], &b[..rows]);
    }
}
