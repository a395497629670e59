//! What is drawn for a sample: where each pixel of the new image comes from.

use super::{Augment, ImageShape};
use crate::rng::{Purpose, Rng};

/// The longest shift, as a share of the side: 2 pixels of 28.
const SHIFT: f64 = 2.0 / 28.0;

/// The largest angle of a rotation or a shear: the beta of Cireșan et al. (2010), 15 degrees.
const ANGLE: f64 = 15.0 * std::f64::consts::PI / 180.0;

/// The largest change of height or width, as a share: the middle of the gamma of Cireșan et al. (2010), 15 to 20 %.
const SCALE: f64 = 0.175;

/// The standard deviation of an elastic displacement, in one direction, as a share of the side.
///
/// Simard et al. (2003) draw a uniform number from -1 to 1 for each pixel, smooth by a Gaussian of standard deviation sigma, and
/// multiply by alpha: the result has the standard deviation `alpha / (sigma sqrt(12 pi))`. Cireșan et al. (2010) have sigma 5 to 6 and alpha 36
/// to 38 on 29x29 pixels: this is alpha 37 for the sigma of [`KNOTS`], 1.12 pixels of 29.
const DEVIATION: f64 = 0.0386;

/// Elastic displacements are cubic B-splines over three spans in each direction, so that there are this many knots.
///
/// A B-spline approximates a Gaussian whose standard deviation is that of its basis function, the length of a span by the root of 3:
/// 5.4 pixels of 29. A spline over a few random knots is therefore what a smoothed field of random pixels is, for a hundredth of the work. Its
/// deviation depends a little on the position: it is 4 % larger at a knot than between four of them.
pub(super) const KNOTS: usize = SPANS + 3;

/// The spans between the first and the last pixel.
pub(super) const SPANS: usize = 3;

/// The mean over all positions of the sum of a cubic B-spline's squared weights.
const SQUARED_WEIGHTS: f64 = 151.0 / 315.0;

/// Displacements to the right and down at each knot, in pixels: [row][column].
pub(super) type Knots = [[[f32; 2]; KNOTS]; KNOTS];

/// What is drawn.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // in a box, each sample would allocate
pub(super) enum Change {
    /// Every pixel moves by so many pixels to the right and down: none without augmentation.
    Shift([isize; 2]),
    /// Pixels come from anywhere.
    Warp(Warp),
}

/// The value at `(x, y)`, from the centre of the new image to the right and down, is that of the old image at
/// `matrix (x, y) + origin`, from the centre of its first pixel, plus what the spline over the knots is at `(x, y)`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Warp {
    pub matrix: [[f32; 2]; 2],
    pub origin: [f32; 2],
    pub knots: Option<Knots>,
}

impl Change {
    /// Draws the change of a sample in an epoch.
    pub fn draw(augment: Augment, shape: ImageShape, seed: u64, epoch: usize, sample: u32) -> Self {
        let index = (epoch as u64) << 32 | u64::from(sample);
        let mut rng = Rng::new(seed, Purpose::Augment, index);
        let sides = [shape.width, shape.height];
        let shift = augment.shift.map_or([0; 2], |strength| {
            sides.map(|side| {
                // even a weak one of a small image is a shift
                let most = ((strength * SHIFT * side as f64).round() as u32).max(1);
                rng.below(2 * most + 1) as isize - most as isize
            })
        });
        if !augment.warps() {
            return Self::Shift(shift);
        }
        let mut inverse = augment
            .affine
            .map_or([[1.0, 0.0], [0.0, 1.0]], |strength| inverse_affine(&mut rng, strength));
        // -1 to 1 lies below `strength - 1` with the probability `strength / 2`
        if augment.flip.is_some_and(|strength| f64::from(rng.symmetric()) < strength - 1.0) {
            inverse[0] = inverse[0].map(|x| -x);
        }
        let knots = augment.elastic.map(|strength| {
            let range = strength * DEVIATION * 3f64.sqrt() / SQUARED_WEIGHTS;
            let ranges = sides.map(|side| (range * side as f64) as f32);
            let mut knots = [[ranges; KNOTS]; KNOTS];
            for displacement in knots.as_flattened_mut().as_flattened_mut() {
                *displacement *= rng.symmetric();
            }
            knots
        });
        let shift = shift.map(|pixels| pixels as f64);
        let origin = [0, 1].map(|i| {
            let centre = (sides[i] as f64 - 1.0) / 2.0;
            (centre - inverse[i][0] * shift[0] - inverse[i][1] * shift[1]) as f32
        });
        Self::Warp(Warp { matrix: inverse.map(|row| row.map(|x| x as f32)), origin, knots })
    }
}

/// Draws an affine map of images, and returns its inverse, which leads from new to old positions.
fn inverse_affine(rng: &mut Rng, strength: f64) -> [[f64; 2]; 2] {
    let mut uniform = |range: f64| strength * range * f64::from(rng.symmetric());
    let [width, height] = [(); 2].map(|()| 1.0 + uniform(SCALE));
    let angle = uniform(ANGLE);
    // scaled first, then rotated or sheared
    match rng.below(2) {
        0 => {
            let (sin, cos) = angle.sin_cos();
            [[cos / width, sin / width], [-sin / height, cos / height]]
        }
        _ => [[1.0 / width, -angle.tan() / width], [0.0, 1.0 / height]],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: ImageShape = ImageShape { height: 28, width: 28, channels: 1 };

    fn drawn(augment: &str, epoch: usize, sample: u32) -> Change {
        Change::draw(augment.parse().unwrap(), SHAPE, 7, epoch, sample)
    }

    fn warp(augment: &str, sample: u32) -> Warp {
        match drawn(augment, 1, sample) {
            Change::Warp(warp) => warp,
            shift => panic!("{shift:?}"),
        }
    }

    #[test]
    fn draws_depend_on_seed_epoch_and_sample_alone() {
        for augment in ["affine", "elastic", "affine,elastic"] {
            let drawn = |seed, epoch, sample| {
                Change::draw(augment.parse().unwrap(), SHAPE, seed, epoch, sample)
            };
            let one = drawn(3, 5, 9);
            assert_eq!(one, drawn(3, 5, 9));
            for other in [drawn(4, 5, 9), drawn(3, 6, 9), drawn(3, 5, 10), drawn(3, 9, 5)] {
                assert_ne!(one, other);
            }
        }
    }

    #[test]
    fn shifts_are_whole_pixels_and_all_are_drawn() {
        for (augment, most) in [("shift", 2), ("shift:0.5", 1), ("shift:0.01", 1), ("shift:2", 4)] {
            let mut seen = std::collections::BTreeSet::new();
            for sample in 0..2000 {
                let Change::Shift(shift) = drawn(augment, 1, sample) else { panic!() };
                seen.extend(shift);
            }
            assert!(seen.into_iter().eq(-most..=most), "{augment}");
        }
    }

    #[test]
    fn affine_maps_have_the_documented_ranges() {
        let (mut rotations, mut largest) = (0, [0.0f64; 3]);
        for sample in 0..4000 {
            let [[a, b], [c, d]] = warp("affine", sample).matrix.map(|row| row.map(f64::from));
            // the map is the inverse: a scaling, then a rotation or a shear
            let (width, height, angle) = match c == 0.0 {
                true => (1.0 / a, 1.0 / d, (b / a).atan()),
                false => (1.0 / a.hypot(b), 1.0 / c.hypot(d), b.atan2(a)),
            };
            rotations += usize::from(c != 0.0);
            let found = [width - 1.0, height - 1.0, angle];
            largest.iter_mut().zip(found).for_each(|(most, x)| *most = most.max(x.abs()));
        }
        assert!(rotations.abs_diff(2000) < 200, "{rotations}");
        for (most, range) in largest.into_iter().zip([SCALE, SCALE, ANGLE]) {
            assert!((0.98 * range..range + 1e-6).contains(&most), "{most} of {range}");
        }
    }

    #[test]
    fn flips_have_their_probability_and_go_with_the_rest() {
        for (augment, share) in [("flip", 0.5), ("flip:0.5", 0.25), ("flip:2", 1.0)] {
            let flipped = (0..4000)
                .filter(|sample| warp(augment, *sample).matrix == [[-1.0, 0.0], [0.0, 1.0]]);
            assert!((flipped.count() as f64 / 4000.0 - share).abs() < 0.03, "{augment}");
        }
        let (plain, flipped) = (warp("affine", 3), warp("flip:2,affine", 3));
        assert_eq!(flipped.matrix, [plain.matrix[0].map(|x| -x), plain.matrix[1]]);
        assert_eq!(flipped.origin, plain.origin);
    }

    #[test]
    fn a_shift_moves_what_is_scaled_and_turned() {
        // the origin is where the centre of the new image, moved back, was
        let Warp { matrix, origin, .. } = (0..)
            .map(|sample| warp("shift,affine", sample))
            .find(|warp| warp.origin != [13.5; 2])
            .unwrap();
        let shifted = |shift: [f32; 2]| {
            [0, 1].map(|i| 13.5 - matrix[i][0] * shift[0] - matrix[i][1] * shift[1])
        };
        let close = |a: [f32; 2]| a.iter().zip(origin).all(|(a, b)| (a - b).abs() < 1e-5);
        let whole = |i: i32| (i - 2) as f32;
        assert!((0..25).any(|i| close(shifted([whole(i % 5), whole(i / 5)]))), "{origin:?}");
    }

    #[test]
    fn the_constants_are_those_of_the_papers() {
        let sigma = 28.0 / SPANS as f64 / 3f64.sqrt();
        let alpha = DEVIATION * 29.0 * sigma * (12.0 * std::f64::consts::PI).sqrt();
        assert!((5.0..6.0).contains(&sigma) && (36.0..38.0).contains(&alpha), "{sigma} {alpha}");
    }
}
