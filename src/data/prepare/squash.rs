//! Inputs that no outlier dominates: robustly scaled and then bent, so that none exceeds 3 (Holzmüller et al., 2024, arXiv 2407.04491, section 3).

use serde::{Deserialize, Serialize};

/// What an input is bent towards.
const LIMIT: f64 = 3.0;

/// Makes of each encoded input `z / sqrt(1 + (z / 3)^2)` with `z = factor (x - center)`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Squash {
    /// The median of each input over the training part.
    pub center: Vec<f64>,
    /// 1 by the distance between the quartiles; where that is 0, 2 by the whole range; 0 for an input that is constant.
    pub factor: Vec<f64>,
}

impl Squash {
    /// Learns the next input of how often each of its values occurs, by size.
    pub(super) fn push(&mut self, counts: &[(f64, usize)]) {
        let quantile = |q: f64| quantile(counts, q);
        let quartiles = quantile(0.75) - quantile(0.25);
        let mut ends = counts.iter().filter(|(_, count)| *count > 0).map(|(value, _)| *value);
        let least = ends.next().unwrap_or(0.0);
        let half = (ends.next_back().unwrap_or(least) - least) / 2.0;
        let scale = if quartiles > 0.0 { quartiles } else { half };
        // a difference may be too small for its inverse, and too large for a number
        let factor = Some(1.0 / scale).filter(|factor| factor.is_finite());
        self.center.push(quantile(0.5));
        self.factor.push(factor.unwrap_or(0.0));
    }

    /// Changes rows of encoded inputs.
    pub(super) fn apply(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(self.center.len()) {
            for ((x, center), factor) in row.iter_mut().zip(&self.center).zip(&self.factor) {
                *x = bent((f64::from(*x) - center) * factor) as f32;
            }
        }
    }

    /// Rejects what no training can have made of `n` inputs.
    pub(super) fn check(&self, n: usize) -> Result<(), String> {
        let Self { center, factor } = self;
        match center.len() == n && factor.len() == n {
            false => {
                let (centers, factors) = (center.len(), factor.len());
                Err(format!("{centers} centers and {factors} factors of inputs; expected {n} each"))
            }
            true if center.iter().chain(factor).all(|x| x.is_finite()) => Ok(()),
            true => Err("its inputs are scaled by numbers that are not finite".to_owned()),
        }
    }
}

fn bent(z: f64) -> f64 {
    let share = z / LIMIT;
    // the square of the largest numbers would not be finite
    match share.abs() < 1e100 {
        true => z / (1.0 + share * share).sqrt(),
        false => LIMIT.copysign(z),
    }
}

/// A quantile of `n` values of which `nth` has each by its rank from 0, between two of them by linear interpolation; 0 if there are none.
pub(super) fn quantile_of(n: usize, q: f64, nth: impl Fn(usize) -> f64) -> f64 {
    let Some(last) = n.checked_sub(1) else { return 0.0 };
    let at = q * last as f64;
    let (low, high) = (nth(at.floor() as usize), nth(at.ceil() as usize));
    low + at.fract() * (high - low)
}

/// A quantile of values by how often each occurs, by size.
fn quantile(counts: &[(f64, usize)], q: f64) -> f64 {
    let n = counts.iter().map(|(_, count)| count).sum();
    quantile_of(n, q, |rank| {
        let mut before = 0;
        let reaches = |&&(_, count): &&(f64, usize)| {
            before += count;
            before > rank
        };
        counts.iter().find(reaches).map_or(0.0, |(value, _)| *value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_become_what_the_definition_says() {
        let mut squash = Squash::default();
        // 0, 1, 2, 3, 100: quartiles 1 and 3
        squash.push(&[(0.0, 1), (1.0, 1), (2.0, 1), (3.0, 1), (100.0, 1)]);
        // quartiles that are equal, and a range of 1
        squash.push(&[(0.0, 9), (1.0, 1)]);
        squash.push(&[(-1.0, 2), (0.0, 0), (1.0, 2)]);
        squash.push(&[(7.0, 10)]);
        assert_eq!(squash.center, [2.0, 0.0, 0.0, 7.0]);
        assert_eq!(squash.factor, [0.5, 2.0, 0.5, 0.0]);
        let mut rows = [100.0, 1.0, -1.0, 8.0, 1e38, 0.0, 1.0, -1e38];
        squash.apply(&mut rows);
        let bent = |z: f64| (z / (1.0 + z * z / 9.0).sqrt()) as f32;
        assert_eq!(rows, [bent(49.0), bent(2.0), bent(-0.5), 0.0, 3.0, 0.0, bent(0.5), 0.0]);
        squash.check(4).unwrap();
        assert!(squash.check(3).is_err());
        squash.factor[1] = f64::NAN;
        assert!(squash.check(4).is_err());
    }

    #[test]
    fn quantiles_lie_between_values() {
        let counts = [(1.0, 2), (4.0, 0), (5.0, 3)];
        let found = [0.0, 0.25, 0.3, 0.5, 1.0].map(|q| quantile(&counts, q));
        assert_eq!(found.map(|x| (x * 1e9_f64).round() / 1e9), [1.0, 1.0, 1.8, 5.0, 5.0]);
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
