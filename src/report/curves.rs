//! How well probabilities rank and how far they can be trusted: ROC curves and calibration.

use ndarray::ArrayView2;

use crate::task::largest;

/// The rate of true positives over the rate of false positives, for every threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct Roc {
    /// The class that is separated from the others.
    pub class: usize,
    /// From (0, 0) to (1, 1), without those on a straight line between others.
    pub points: Vec<(f64, f64)>,
    /// The area below.
    pub auc: f64,
}

/// The ROC curve of each class that can be told from others; of two classes, only that of the second.
///
/// `outputs` is (samples, classes), ranked as in [`crate::task::auc`], whose value is the mean of the areas. Classes that do not
/// occur, or that alone occur, are left out.
///
/// # Panics
/// If `truth` has not a class for each sample.
pub fn roc_curves(outputs: ArrayView2<'_, f32>, truth: &[u32]) -> Vec<Roc> {
    assert_eq!(outputs.nrows(), truth.len(), "roc: lengths differ");
    if outputs.ncols() == 2 {
        let scores = outputs.rows().into_iter().map(|row| f64::from(row[1]) - f64::from(row[0]));
        let samples = scores.zip(truth.iter().map(|&class| class == 1)).collect();
        return roc(1, samples).into_iter().collect();
    }
    let of_class = |class: usize| {
        let scores = outputs.column(class).into_iter().map(|&z| f64::from(z));
        roc(class, scores.zip(truth.iter().map(|&own| own as usize == class)).collect())
    };
    (0..outputs.ncols()).filter_map(of_class).collect()
}

/// Of scores and whether they are those of a positive; `None` without both kinds.
fn roc(class: usize, mut samples: Vec<(f64, bool)>) -> Option<Roc> {
    let positives = samples.iter().filter(|sample| sample.1).count();
    let negatives = samples.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    samples.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut hits, mut mistakes, mut twice_area) = (0, 0, 0);
    let mut corners = vec![(0, 0)];
    for tied in samples.chunk_by(|a, b| a.0 == b.0) {
        let more = tied.iter().filter(|sample| sample.1).count();
        let wrong = tied.len() - more;
        twice_area += wrong * (2 * hits + more);
        (hits, mistakes) = (hits + more, mistakes + wrong);
        if let [.., (x0, y0), (x1, y1)] = corners[..]
            && (x1 - x0) * (hits - y1) == (mistakes - x1) * (y1 - y0)
        {
            corners.pop();
        }
        corners.push((mistakes, hits));
    }
    let rate = |(x, y): (usize, usize)| (x as f64 / negatives as f64, y as f64 / positives as f64);
    let auc = twice_area as f64 / (2.0 * positives as f64 * negatives as f64);
    Some(Roc { class, points: corners.into_iter().map(rate).collect(), auc })
}

/// How often what was said with some probability is so.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Those that hold samples, from the lowest probability to the highest.
    pub bins: Vec<Bin>,
    /// The expected calibration error: the mean over the samples of the distance between the two shares of their bin (Guo et
    /// al., 2017).
    pub error: f64,
}

/// The samples whose probability lies in one interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Bin {
    /// The mean of the probabilities.
    pub said: f64,
    /// The share of the samples for which it is so.
    pub is_so: f64,
    /// How many samples.
    pub samples: usize,
}

/// Equal intervals from 0 to 1.
const BINS: usize = 10;

/// The calibration of probabilities, (samples, classes): of two classes, of the probability of the second; of more, of that of the
/// most probable class. `None` if no sample has finite probabilities.
///
/// # Panics
/// If `truth` has not a class for each sample.
pub fn calibration(probabilities: ArrayView2<'_, f32>, truth: &[u32]) -> Option<Calibration> {
    assert_eq!(probabilities.nrows(), truth.len(), "calibration: lengths differ");
    let mut bins = [(0.0, 0, 0); BINS];
    for (row, &truth) in probabilities.rows().into_iter().zip(truth) {
        if !row.iter().all(|p| p.is_finite()) {
            continue;
        }
        let class = if row.len() == 2 { 1 } else { largest(row) };
        let said = f64::from(row[class]);
        let bin = &mut bins[((said * BINS as f64) as usize).min(BINS - 1)];
        *bin = (bin.0 + said, bin.1 + usize::from(truth as usize == class), bin.2 + 1);
    }
    let all: usize = bins.iter().map(|bin| bin.2).sum();
    let bin = |&(said, hits, samples): &(f64, usize, usize)| {
        let n = samples as f64;
        Bin { said: said / n, is_so: hits as f64 / n, samples }
    };
    let bins: Vec<Bin> = bins.iter().filter(|bin| bin.2 > 0).map(bin).collect();
    let gap = |bin: &Bin| bin.samples as f64 * (bin.said - bin.is_so).abs();
    let error = bins.iter().map(gap).sum::<f64>() / all as f64;
    (all > 0).then_some(Calibration { bins, error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::auc;
    use ndarray::{Array2, array};

    /// Outputs with many ties, and classes.
    fn outputs(samples: usize, classes: usize) -> (Array2<f32>, Vec<u32>) {
        let outputs = Array2::from_shape_fn((samples, classes), |(i, j)| {
            ((i * 7919 + j * 104_729 + i * i * 31) % 23) as f32 / 4.0
        });
        (outputs, (0..samples).map(|i| (i * 5 % (classes + 1) % classes) as u32).collect())
    }

    /// By definition: the rates at every threshold, and the share of pairs in order.
    fn naive(scores: &[f64], is_positive: &[bool]) -> (Vec<(f64, f64)>, f64) {
        let count = |wanted: bool, least: f64| {
            let pairs = scores.iter().zip(is_positive);
            pairs.filter(|(score, is)| **is == wanted && **score >= least).count() as f64
        };
        let all = |wanted| count(wanted, f64::NEG_INFINITY);
        let rates =
            |least: &f64| (count(false, *least) / all(false), count(true, *least) / all(true));
        let mut wins = 0.0;
        for (a, _) in scores.iter().zip(is_positive).filter(|(_, is)| **is) {
            for (b, _) in scores.iter().zip(is_positive).filter(|(_, is)| !**is) {
                wins += if a > b {
                    1.0
                } else if a == b {
                    0.5
                } else {
                    0.0
                };
            }
        }
        (scores.iter().map(rates).collect(), wins / all(true) / all(false))
    }

    #[test]
    fn curves_are_those_of_every_threshold() {
        for (samples, classes) in [(61, 2), (97, 3), (40, 7)] {
            let (outputs, truth) = outputs(samples, classes);
            let curves = roc_curves(outputs.view(), &truth);
            assert_eq!(curves.len(), if classes == 2 { 1 } else { classes });
            for Roc { class, points, auc } in &curves {
                let score = |row: ndarray::ArrayView1<'_, f32>| match classes {
                    2 => f64::from(row[1]) - f64::from(row[0]),
                    _ => f64::from(row[*class]),
                };
                let scores: Vec<f64> = outputs.rows().into_iter().map(score).collect();
                let is: Vec<bool> = truth.iter().map(|&own| own as usize == *class).collect();
                let (rates, expected) = naive(&scores, &is);
                assert!((auc - expected).abs() < 1e-12, "{auc} {expected}");
                assert_eq!((points[0], *points.last().unwrap()), ((0.0, 0.0), (1.0, 1.0)));
                assert!(points[1..points.len() - 1].iter().all(|point| rates.contains(point)));
                // every threshold lies on the curve, also where its point was left out
                for (x, y) in rates {
                    let on = points.windows(2).any(|ends| {
                        let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
                        let cross = (x1 - x0) * (y - y0) - (x - x0) * (y1 - y0);
                        cross.abs() < 1e-12 && x0 <= x && x <= x1 && y0 <= y && y <= y1
                    });
                    assert!(on, "({x}, {y}) is not on {points:?}");
                }
            }
            let mean = curves.iter().map(|roc| roc.auc).sum::<f64>() / curves.len() as f64;
            assert!((mean - auc(outputs.view(), &truth)).abs() < 1e-12);
        }
        assert!(roc_curves(array![[1.0, 0.0]].view(), &[1]).is_empty(), "one class alone");
    }

    #[test]
    fn calibration_compares_what_was_said_with_what_is() {
        // two said 0.25 of which one is so; two said 1 of which one is so; one has no probability
        let probabilities =
            array![[0.75, 0.25], [0.75, 0.25], [0.0, 1.0], [0.0, 1.0], [f32::NAN, 0.5]];
        let found = calibration(probabilities.view(), &[0, 1, 1, 0, 1]).unwrap();
        let bin = |said, samples| Bin { said, is_so: 0.5, samples };
        assert_eq!(found.bins, [bin(0.25, 2), bin(1.0, 2)]);
        assert!((found.error - (0.25 + 0.5) / 2.0).abs() < 1e-12);
        // of more classes, the most probable one counts
        let three = array![[0.5, 0.25, 0.25], [0.125, 0.375, 0.5]];
        let found = calibration(three.view(), &[0, 1]).unwrap();
        assert_eq!(found.bins, [bin(0.5, 2)]);
        assert_eq!(found.error, 0.0);
        assert_eq!(calibration(array![[f32::NAN; 2]].view(), &[0]), None);
    }
}
