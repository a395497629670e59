//! Dropout and Gaussian noise: random numbers that are functions of a key and of where they are used, so that it does not matter who computes them,
//! in what order, or how often.
//!
//! A step, a layer and a purpose have a key ([`crate::rng::key`]), from which each sample gets one of its own. The number of a unit is a hash of 32 bits of that and
//! of the unit's number: multiplications and shifts of the form that MurmurHash3's finaliser has, with constants that Wellons found to have the least bias
//! (`lowbias32`, 2018).

use super::{exp, fma};
use crate::isa::kernel;
use crate::rng::key;

/// The random bits of a unit of a sample, by the two halves of the sample's key.
#[inline(always)]
fn bits([low, high]: [u32; 2], unit: u32) -> u32 {
    let x = unit.wrapping_mul(0x9e37_79b9).wrapping_add(low);
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d) ^ high;
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// The key of a sample.
#[inline(always)]
fn halves(step: u64, sample: u32) -> [u32; 2] {
    let key = key(step, &[u64::from(sample)]);
    [key as u32, (key >> 32) as u32]
}

/// A number of the standard normal distribution by 32 random bits: its inverse function, from Giles' approximation of the inverse error function in single precision ("Approximating
/// the erfinv function", GPU Computing Gems, 2011).
#[inline(always)]
fn normal<const FMA: bool>(bits: u32) -> f32 {
    // between -1 and 1, both excluded
    let x = (bits as i32) as f32 * (1.0 / (1u32 << 31) as f32);
    let x = x.clamp(-0.999_999_94, 0.999_999_94);
    let w = -exp::ln::<FMA>((1.0 - x) * (1.0 + x));
    let polynomial = |coefficients: [f32; 9], w: f32| {
        let mut p = coefficients[0];
        for c in &coefficients[1..] {
            p = fma::<FMA>(p, w, *c);
        }
        p
    };
    let central = polynomial(CENTRAL, w - 2.5);
    let tail = polynomial(TAIL, w.sqrt() - 3.0);
    std::f32::consts::SQRT_2 * x * if w < 5.0 { central } else { tail }
}

const CENTRAL: [f32; 9] = [
    2.810_226_4e-8,
    3.432_739_4e-7,
    -3.523_387_7e-6,
    -4.391_506_5e-6,
    0.000_218_580_87,
    -0.001_253_725,
    -0.004_177_681_6,
    0.246_640_73,
    1.501_409_4,
];

const TAIL: [f32; 9] = [
    -0.000_200_214_26,
    0.000_100_950_56,
    0.001_349_343_2,
    -0.003_673_428_4,
    0.005_739_507_7,
    -0.007_622_461_3,
    0.009_438_870_5,
    1.001_674,
    2.832_976_8,
];

/// Where random numbers are used: samples as rows, some units as columns.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The key of the step, the layer and the purpose.
    pub key: u64,
    /// The sample of each row.
    pub samples: &'a [u32],
    /// The unit of the first column.
    pub first_unit: usize,
    /// The number of columns.
    pub units: usize,
}

kernel! {
    /// Dropout (Srivastava et al., 2014): each value is set to 0 with the probability `rate`, and else divided by `1 - rate`; so is its slope, if slopes are
    /// given, (rows, units) like the values.
    pub fn dropout(values: &mut [f32], slopes: &mut [f32], place: Place<'_>, rate: f32) {
        let Place { key, samples, first_unit, units } = place;
        assert_eq!(values.len(), samples.len() * units, "dropout: the values do not fit the samples");
        assert!(slopes.is_empty() || slopes.len() == values.len(), "dropout: {} slopes", slopes.len());
        let (dropped, kept) = ((f64::from(rate) * 2f64.powi(32)) as u32, 1.0 / (1.0 - rate));
        for (i, (row, &sample)) in values.chunks_exact_mut(units).zip(samples).enumerate() {
            let sample = halves(key, sample);
            let factor = |j: usize| match bits(sample, (first_unit + j) as u32) < dropped {
                true => 0.0,
                false => kept,
            };
            match slopes.get_mut(i * units..(i + 1) * units) {
                Some(slopes) => {
                    for (j, (value, slope)) in row.iter_mut().zip(slopes).enumerate() {
                        let factor = factor(j);
                        (*value, *slope) = (*value * factor, *slope * factor);
                    }
                }
                None => row.iter_mut().enumerate().for_each(|(j, value)| *value *= factor(j)),
            }
        }
    }
}

kernel! {
    /// Adds Gaussian noise of a standard deviation to values (rows, units).
    pub fn add_noise(values: &mut [f32], place: Place<'_>, deviation: f32) {
        let Place { key, samples, first_unit, units } = place;
        assert_eq!(values.len(), samples.len() * units, "noise: the values do not fit the samples");
        for (row, &sample) in values.chunks_exact_mut(units).zip(samples) {
            let sample = halves(key, sample);
            for (j, value) in row.iter_mut().enumerate() {
                let noise = normal::<FMA>(bits(sample, (first_unit + j) as u32));
                *value = fma::<FMA>(deviation, noise, *value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::tests::on_each_isa;
    use crate::model::Activation;
    use crate::rng::Purpose;

    fn place(samples: &[u32], first_unit: usize, units: usize) -> Place<'_> {
        Place { key: key(7, &[Purpose::Noise as u64, 3]), samples, first_unit, units }
    }

    #[test]
    fn noise_is_normal_and_independent() {
        on_each_isa(|isa| {
            let samples: Vec<u32> = (0..4000).collect();
            let mut values = vec![0.0; 4000 * 50];
            add_noise(isa, &mut values, place(&samples, 0, 50), 1.0);
            let n = values.len() as f64;
            let moment = |p: i32| values.iter().map(|&x| f64::from(x).powi(p)).sum::<f64>() / n;
            // deviations of the sample moments of 200,000 normal numbers: 0.0022, 0.0032, 0.0087, 0.022
            assert!(moment(1).abs() < 0.01 && (moment(2) - 1.0).abs() < 0.015);
            assert!(moment(3).abs() < 0.04 && (moment(4) - 3.0).abs() < 0.1);
            for limit in [-2.0, -1.0, 0.5, 1.5, 3.0] {
                let share = values.iter().filter(|&&x| x < limit).count() as f64 / n;
                let expected = Activation::Gelu.value(f64::from(limit)) / f64::from(limit);
                assert!((share - expected).abs() < 0.005, "{limit}: {share} {expected}");
            }
            for lag in [1, 49, 50, 51] {
                let products = values.iter().zip(&values[lag..]).map(|(x, y)| f64::from(x * y));
                assert!((products.sum::<f64>() / n).abs() < 0.01, "lag {lag}");
            }
        });
    }

    #[test]
    fn dropout_keeps_its_share_and_scales_it() {
        on_each_isa(|isa| {
            let samples: Vec<u32> = (0..1000).map(|i| 3 * i).collect();
            for rate in [0.0, 0.1, 0.5, 0.9] {
                let mut values = vec![2.0; 1000 * 37];
                let mut slopes = vec![0.5; 1000 * 37];
                dropout(isa, &mut values, &mut slopes, place(&samples, 0, 37), rate);
                let kept = values.iter().filter(|&&x| x != 0.0).count() as f64 / 37_000.0;
                assert!((kept - f64::from(1.0 - rate)).abs() < 0.01, "{rate}: {kept}");
                for (value, slope) in values.iter().zip(&slopes) {
                    assert!(*value == 0.0 || (value * (1.0 - rate) - 2.0).abs() < 1e-6);
                    assert_eq!(*value, 4.0 * slope);
                }
            }
        });
    }

    #[test]
    fn numbers_depend_on_sample_and_unit_alone() {
        on_each_isa(|isa| {
            let all = |samples: &[u32], first: usize, units: usize| {
                let mut values = vec![1.0; samples.len() * units];
                add_noise(isa, &mut values, place(samples, first, units), 0.5);
                dropout(isa, &mut values, &mut [], place(samples, first, units), 0.3);
                values
            };
            let whole = all(&[5, 6, 9], 0, 40);
            for (row, sample) in [5, 6, 9].into_iter().enumerate() {
                for (first, units) in [(0, 40), (0, 16), (16, 24), (39, 1), (3, 7)] {
                    let part = all(&[sample], first, units);
                    assert_eq!(part, whole[row * 40 + first..][..units]);
                }
            }
        });
    }
}
