//! Data without zeros: normal numbers of MNIST's sizes, as `benches/peers/data.py dense` makes them.

use ndarray::Array2;

use crate::data::{Dataset, Features};
use crate::error::{Error, Result};
use crate::gemm::{Backend, gemm};
use crate::memory::{too_large, try_reserve};
use crate::rng::{Purpose, Rng};

/// What the command line calls it.
pub const NAME: &str = "dense";

const SAMPLES: usize = 50_000;
const INPUTS: usize = 784;
const CLASSES: usize = 10;

/// The data, the same every time. The class of a sample is the largest of ten random linear functions of its inputs.
///
/// # Errors
/// If there is no memory for it.
pub fn data() -> Result<Dataset> {
    samples(SAMPLES)
}

fn samples(count: usize) -> Result<Dataset> {
    let inputs = normals(count * INPUTS, 0)?;
    let shape_error = |error| Error::usage(format!("{NAME}: {error}"));
    let teacher = Array2::from_shape_vec((INPUTS, CLASSES), normals(INPUTS * CLASSES, 1)?);
    let teacher = teacher.map_err(shape_error)?;
    let mut scores = Array2::zeros((count, CLASSES));
    let x = ndarray::ArrayView2::from_shape((count, INPUTS), &inputs).map_err(shape_error)?;
    gemm(Backend::Rust, scores.view_mut(), x, teacher.view(), 0.0);
    let labels = scores.rows().into_iter().map(|row| crate::task::largest(row) as u32).collect();
    Dataset::new(NAME, Features::F32(inputs), labels, INPUTS)
}

/// `count` normal numbers, none of which is zero (Marsaglia's polar method).
fn normals(count: usize, stream: u64) -> Result<Vec<f32>> {
    let mut rng = Rng::new(INPUTS as u64, Purpose::Init, stream);
    let mut values = Vec::new();
    try_reserve(&mut values, count + 1).map_err(|_| too_large(count, "the data"))?;
    while values.len() < count {
        let (x, y) = (rng.symmetric(), rng.symmetric());
        let square = x * x + y * y;
        if square < 1.0 && x != 0.0 && y != 0.0 {
            let factor = (-2.0 * square.ln() / square).sqrt();
            values.extend([factor * x, factor * y]);
        }
    }
    values.truncate(count);
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_normal_and_none_is_zero() {
        let data = samples(500).unwrap();
        assert_eq!((data.len(), data.n_features(), data.n_classes()), (500, INPUTS, CLASSES));
        let Features::F32(values) = data.features() else { panic!("expected numbers") };
        assert!(values.iter().all(|x| x.is_finite() && *x != 0.0));
        let moment = |power: i32| {
            values.iter().map(|&x| f64::from(x).powi(power)).sum::<f64>() / values.len() as f64
        };
        // five standard deviations of each moment
        for (power, expected, deviation) in [(1, 0.0, 1.0f64), (2, 1.0, 2.0), (4, 3.0, 96.0)] {
            let error = (moment(power) - expected).abs();
            assert!(error < 5.0 * (deviation / values.len() as f64).sqrt(), "{power}: {error}");
        }
        let mut counts = [0; CLASSES];
        data.labels().iter().for_each(|&label| counts[label as usize] += 1);
        assert!(counts.iter().all(|&count| count > 10), "{counts:?}");
    }

    #[test]
    fn the_numbers_are_the_same_every_time() {
        assert_eq!(normals(101, 0).unwrap(), normals(101, 0).unwrap());
        assert_ne!(normals(4, 0).unwrap(), normals(4, 1).unwrap());
    }
}
