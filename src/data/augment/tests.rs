//! Augmentation against its definition, in `f64` and pixel by pixel.

use super::draw::{Change, KNOTS, Knots, SPANS, Warp};
use super::*;
use crate::isa::Isa;
use crate::isa::tests::on_each_isa;

/// Sizes that hit the tails of blocks and bands.
const SHAPES: [(usize, usize, usize); 12] = [
    (1, 1, 1),
    (1, 9, 1),
    (7, 1, 3),
    (2, 3, 1),
    (8, 16, 1),
    (9, 17, 1),
    (28, 28, 1),
    (15, 31, 2),
    (13, 33, 3),
    (32, 32, 3),
    (5, 127, 1),
    (64, 20, 4),
];

fn shapes() -> impl Iterator<Item = ImageShape> {
    SHAPES.into_iter().map(|(height, width, channels)| ImageShape { height, width, channels })
}

/// Pixels that follow no simple pattern, a third of them 0.
fn pixels(shape: ImageShape) -> Vec<u8> {
    let pixel = |i: usize| (i * 7919 + i * i * 31) as u8;
    (0..shape.n_values()).map(|i| if i.is_multiple_of(3) { 0 } else { pixel(i) }).collect()
}

fn augmenter(isa: Isa, augment: &str, shape: ImageShape) -> Augmenter {
    Augmenter::with_isa(isa, augment.parse().unwrap(), shape)
}

/// The cubic B-spline's basis function.
fn basis(x: f64) -> f64 {
    match x.abs() {
        x if x < 1.0 => (4.0 - 6.0 * x * x + 3.0 * x * x * x) / 6.0,
        x if x < 2.0 => (2.0 - x).powi(3) / 6.0,
        _ => 0.0,
    }
}

/// The displacement at a pixel.
fn displacement(knots: &Knots, shape: ImageShape, row: usize, column: usize) -> [f64; 2] {
    // the first knot is a span before the first pixel
    let place = |pixel: usize, side: usize| match side {
        1 => 1.0,
        side => 1.0 + (SPANS * pixel) as f64 / (side - 1) as f64,
    };
    let mut sum = [0.0; 2];
    for (i, row_of_knots) in knots.iter().enumerate() {
        for (j, knot) in row_of_knots.iter().enumerate() {
            let weight = basis(place(row, shape.height) - i as f64)
                * basis(place(column, shape.width) - j as f64);
            (0..2).for_each(|axis| sum[axis] += weight * f64::from(knot[axis]));
        }
    }
    sum
}

/// The definition of a warp.
fn naive(pixels: &[u8], shape: ImageShape, warp: &Warp) -> Vec<f64> {
    let ImageShape { height, width, channels } = shape;
    let old = |row: f64, column: f64, channel: usize| {
        let is_there = (0.0..height as f64).contains(&row) && (0.0..width as f64).contains(&column);
        let at = |row: f64, column: f64| (row as usize * width + column as usize) * channels;
        if is_there { f64::from(pixels[at(row, column) + channel]) / 255.0 } else { 0.0 }
    };
    let mut new = Vec::new();
    for row in 0..height {
        for column in 0..width {
            let place = [(column, width), (row, height)]
                .map(|(pixel, side)| pixel as f64 - (side - 1) as f64 / 2.0);
            let moved =
                warp.knots.map_or([0.0; 2], |knots| displacement(&knots, shape, row, column));
            let [x, y] = [0, 1].map(|i| {
                let [a, b] = warp.matrix[i].map(f64::from);
                a * place[0] + b * place[1] + f64::from(warp.origin[i]) + moved[i]
            });
            let (right, down) = (x - x.floor(), y - y.floor());
            for channel in 0..channels {
                let at = |i: f64, j: f64| old(y.floor() + i, x.floor() + j, channel);
                let upper = (1.0 - right) * at(0.0, 0.0) + right * at(0.0, 1.0);
                let lower = (1.0 - right) * at(1.0, 0.0) + right * at(1.0, 1.0);
                new.push((1.0 - down) * upper + down * lower);
            }
        }
    }
    new
}

/// A warp that changes nothing.
fn identity(shape: ImageShape) -> Warp {
    let origin = [shape.width, shape.height].map(|side| (side as f32 - 1.0) / 2.0);
    Warp { matrix: [[1.0, 0.0], [0.0, 1.0]], origin, knots: None }
}

fn scaled(pixels: &[u8]) -> Vec<f32> {
    pixels.iter().map(|&pixel| f32::from(pixel) / 255.0).collect()
}

/// What a warp makes of pixels.
fn warped(isa: Isa, shape: ImageShape, pixels: &[u8], warp: &Warp) -> Vec<f32> {
    let mut out = vec![f32::NAN; shape.n_values()];
    augmenter(isa, "affine,elastic", shape).warp(&mut out, pixels, warp);
    out
}

#[test]
fn nothing_changes_without_augmentation_and_at_strength_0() {
    on_each_isa(|isa| {
        for shape in shapes() {
            let pixels = pixels(shape);
            let mut out = vec![f32::NAN; shape.n_values()];
            augmenter(isa, "none", shape).augment(&mut out, &pixels, 1, 2, 3);
            assert_eq!(out, scaled(&pixels), "{isa:?} {shape:?}");
            for knots in [None, Some([[[0.0; 2]; KNOTS]; KNOTS])] {
                let warp = Warp { knots, ..identity(shape) };
                assert_eq!(
                    warped(isa, shape, &pixels, &warp),
                    scaled(&pixels),
                    "{isa:?} {shape:?}"
                );
            }
        }
        // every byte
        let shape = ImageShape { height: 16, width: 16, channels: 1 };
        let pixels: Vec<u8> = (0..=255).collect();
        assert_eq!(warped(isa, shape, &pixels, &identity(shape)), scaled(&pixels), "{isa:?}");
    });
}

#[test]
fn a_flip_mirrors_every_pixel() {
    on_each_isa(|isa| {
        for shape in shapes() {
            let pixels = pixels(shape);
            let mut out = vec![f32::NAN; shape.n_values()];
            augmenter(isa, "flip:2", shape).augment(&mut out, &pixels, 1, 2, 3);
            let row = |row: &[u8]| {
                row.chunks(shape.channels).rev().flatten().copied().collect::<Vec<u8>>()
            };
            let mirrored: Vec<u8> =
                pixels.chunks(shape.width * shape.channels).flat_map(row).collect();
            assert_eq!(out, scaled(&mirrored), "{isa:?} {shape:?}");
        }
    });
}

/// The pixels moved to the right and down, with zeros where there were none.
fn moved(pixels: &[u8], shape: ImageShape, right: isize, down: isize) -> Vec<u8> {
    let ImageShape { height, width, channels } = shape;
    let mut out = vec![0; pixels.len()];
    for row in 0..height {
        for column in 0..width {
            let to = (row.checked_add_signed(down), column.checked_add_signed(right));
            if let (Some(to_row), Some(to_column)) = to
                && to_row < height
                && to_column < width
            {
                for channel in 0..channels {
                    let at = |row: usize, column: usize| (row * width + column) * channels;
                    out[at(to_row, to_column) + channel] = pixels[at(row, column) + channel];
                }
            }
        }
    }
    out
}

#[test]
fn shifts_by_whole_pixels_are_exact() {
    on_each_isa(|isa| {
        for shape in shapes() {
            let pixels = pixels(shape);
            for (right, down) in
                [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1), (2, -3), (-200, 5), (4, 99)]
            {
                let expected = scaled(&moved(&pixels, shape, right, down));
                let mut out = vec![f32::NAN; shape.n_values()];
                kernels::shift(isa, &mut out, &pixels, shape, right, down);
                assert_eq!(out, expected, "{isa:?} {shape:?} {right} {down}");
                // the same by way of a warp
                let Warp { matrix, origin: [x, y], knots } = identity(shape);
                let origin = [x - right as f32, y - down as f32];
                let out = warped(isa, shape, &pixels, &Warp { matrix, origin, knots });
                assert_eq!(out, expected, "{isa:?} {shape:?} {right} {down}");
            }
        }
    });
}

#[test]
fn a_quarter_turn_is_exact() {
    on_each_isa(|isa| {
        for (side, channels) in [(4, 1), (17, 1), (28, 1), (11, 3)] {
            let shape = ImageShape { height: side, width: side, channels };
            let pixels = pixels(shape);
            let (sin, cos) = std::f64::consts::FRAC_PI_2.sin_cos();
            let [sin, cos] = [sin, cos].map(|x| x as f32);
            let warp = Warp { matrix: [[cos, sin], [-sin, cos]], ..identity(shape) };
            let out = warped(isa, shape, &pixels, &warp);
            for (i, value) in out.iter().enumerate() {
                let (pixel, channel) = (i / channels, i % channels);
                let (row, column) = (pixel / side, pixel % side);
                // clockwise: what was at the left is above
                let from = (side - 1 - column) * side + row;
                let expected = f32::from(pixels[from * channels + channel]) / 255.0;
                assert_eq!(*value, expected, "{isa:?} {shape:?} {i}");
            }
        }
    });
}

/// The draws of the first samples that are not only shifted.
fn warps(augment: &str, shape: ImageShape, count: u32) -> Vec<Warp> {
    let drawn = |sample| Change::draw(augment.parse().unwrap(), shape, 5, 1, sample);
    let warp = |change| match change {
        Change::Warp(warp) => warp,
        Change::Shift(_) => panic!(),
    };
    (0..count).map(|sample| warp(drawn(sample))).collect()
}

#[test]
fn warps_are_what_the_definition_says() {
    on_each_isa(|isa| {
        for shape in shapes() {
            let pixels = pixels(shape);
            for augment in
                ["affine", "elastic", "affine,elastic", "shift,affine:4,elastic:4", "affine:0.01"]
            {
                for warp in warps(augment, shape, 5) {
                    let (out, expected) =
                        (warped(isa, shape, &pixels, &warp), naive(&pixels, shape, &warp));
                    // places are rounded, by more where they are larger
                    let close = 1e-6 * (10 + shape.width.max(shape.height)) as f64;
                    for (i, (a, b)) in out.iter().zip(&expected).enumerate() {
                        let difference = (f64::from(*a) - b).abs();
                        assert!(difference < close, "{isa:?} {augment} {shape:?} {i}: {a} {b}");
                    }
                }
            }
        }
    });
}

#[test]
fn every_instruction_set_and_every_repetition_computes_the_same_bits() {
    let mut first: Option<Vec<Vec<u32>>> = None;
    on_each_isa(|isa| {
        let mut all = Vec::new();
        for shape in shapes() {
            let pixels = pixels(shape);
            for augment in ["none", "shift", "affine", "elastic", "shift,affine,elastic"] {
                // one augmenter for several samples, forwards and backwards: it remembers nothing
                let mut augmenter = augmenter(isa, augment, shape);
                let mut bits = |sample| {
                    let mut out = vec![f32::NAN; shape.n_values()];
                    augmenter.augment(&mut out, &pixels, 3, 8, sample);
                    out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
                };
                let found: Vec<_> = (0..6).map(&mut bits).collect();
                let again: Vec<_> = (0..6).rev().map(&mut bits).collect();
                assert!(found.iter().rev().eq(&again), "{isa:?} {augment} {shape:?}");
                all.extend(found);
            }
        }
        assert!(first.get_or_insert_with(|| all.clone()) == &all, "{isa:?}");
    });
}

#[test]
fn samples_differ_by_seed_epoch_and_sample() {
    let shape = ImageShape { height: 28, width: 28, channels: 1 };
    let pixels = pixels(shape);
    for augment in ["affine", "elastic", "affine,elastic"] {
        let mut augmenter = Augmenter::new(augment.parse().unwrap(), shape);
        let mut of = |seed, epoch, sample| {
            let mut out = vec![f32::NAN; shape.n_values()];
            augmenter.augment(&mut out, &pixels, seed, epoch, sample);
            out
        };
        let one = of(0, 1, 7);
        assert_eq!(one, of(0, 1, 7));
        for other in [of(1, 1, 7), of(0, 2, 7), of(0, 1, 8)] {
            assert_ne!(one, other, "{augment}");
        }
    }
}

#[test]
fn elastic_displacements_have_the_documented_deviation_and_do_not_tear() {
    for (height, width) in [(28, 28), (29, 29), (32, 100)] {
        let shape = ImageShape { height, width, channels: 1 };
        let (mut squares, mut torn) = ([0.0; 2], 0);
        let warps = warps("elastic", shape, 400);
        for warp in &warps {
            let at = |row, column| displacement(&warp.knots.unwrap(), shape, row, column);
            for row in 0..height {
                for column in 0..width {
                    let there = at(row, column);
                    (0..2).for_each(|axis| squares[axis] += there[axis] * there[axis]);
                    // neighbours that change places
                    torn +=
                        usize::from(column > 0 && 1.0 + there[0] - at(row, column - 1)[0] < 0.0);
                    torn += usize::from(row > 0 && 1.0 + there[1] - at(row - 1, column)[1] < 0.0);
                }
            }
        }
        let count = (warps.len() * height * width) as f64;
        for (sum, side) in squares.into_iter().zip([width, height]) {
            let deviation = (sum / count).sqrt() / side as f64;
            assert!((deviation - 0.0386).abs() < 0.0015, "{shape:?}: {deviation}");
        }
        assert_eq!(torn, 0, "{shape:?}");
    }
}

#[test]
fn mass_stays_and_blank_surroundings_stay_blank() {
    // a disc in the middle: nothing leaves the image
    let shape = ImageShape { height: 28, width: 28, channels: 1 };
    let inside = |i: usize| {
        let [y, x] = [i / 28, i % 28].map(|x| x as f64 - 13.5);
        y.hypot(x) < 6.0
    };
    let pixels: Vec<u8> = (0..784).map(|i| if inside(i) { 200 } else { 0 }).collect();
    let mass = |values: &[f32]| values.iter().map(|&x| f64::from(x)).sum::<f64>();
    let before = mass(&scaled(&pixels));
    for (augment, close) in [("shift", 1e-9), ("affine", 0.01), ("elastic", 0.01)] {
        let mut augmenter = Augmenter::new(augment.parse().unwrap(), shape);
        let (mut sum, mut out) = (0.0, vec![f32::NAN; 784]);
        for sample in 0..2000 {
            augmenter.augment(&mut out, &pixels, 0, 1, sample);
            assert!(out.iter().all(|x| (0.0..=1.0).contains(x)));
            // exact zeros: about as many as before
            let blank = out.iter().filter(|x| x.to_bits() == 0).count();
            assert!(blank > 784 - 300, "{augment}: {blank}");
            sum += mass(&out);
        }
        let ratio = sum / 2000.0 / before;
        assert!((ratio - 1.0).abs() < close, "{augment}: {ratio}");
    }
}

#[test]
fn data_without_images_is_refused() {
    let x = ndarray::Array2::<u8>::zeros((4, 12));
    let data = Dataset::from_pixels(x.view(), &[0, 1, 0, 1]).unwrap();
    let augment: Augment = "affine,elastic".parse().unwrap();
    let message = ImageShape::of(&data, augment).unwrap_err().to_string();
    assert_eq!(
        message,
        "augment is affine,elastic, but the samples of arrays are no images; expected none, or images: IDX files, folders of PNG \
         or JPEG files, arrays of bytes (images, height, width)"
    );
    let images = data.with_image_size((2, 2), 3);
    let shape = ImageShape::of(&images, augment).unwrap();
    assert_eq!((shape, shape.n_values()), (ImageShape { height: 2, width: 2, channels: 3 }, 12));
    let x = ndarray::Array2::<f32>::zeros((4, 12));
    let data = Dataset::from_arrays(x.view(), &[0, 1, 0, 1]).unwrap().with_image_size((3, 4), 1);
    assert!(ImageShape::of(&data, augment).is_err());
}
