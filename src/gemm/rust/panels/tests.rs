use super::*;
use crate::isa::tests::on_each_isa;
use crate::rng::{Purpose, Rng};

fn random(rng: &mut Rng, len: usize) -> Vec<f32> {
    (0..len).map(|_| rng.symmetric()).collect()
}

/// The sums of a tile in f64, of terms that `a` and the list of p name.
fn expected(
    c: &[f32],
    b: &[f32],
    (rows, width): (usize, usize),
    list: &[u32],
    accumulate: bool,
    a: impl Fn(usize, usize) -> f32,
) -> Vec<f64> {
    let value = |i: usize| {
        let (row, column) = (i / width, i % width);
        let terms = list
            .iter()
            .map(|&p| f64::from(a(row, p as usize)) * f64::from(b[p as usize * width + column]));
        terms.sum::<f64>() + if accumulate { f64::from(c[i]) } else { 0.0 }
    };
    (0..rows * width).map(value).collect()
}

fn assert_close(found: &[f32], expected: &[f64], k: usize, what: &str) {
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let bound = 1e-6 * (k as f64 + 1.0);
        assert!((f64::from(*found) - expected).abs() <= bound, "{what} {i}: {found} {expected}");
    }
    let beyond = &found[expected.len()..];
    assert!(beyond.iter().all(|x| *x == 77.0), "{what}: written beyond the tile");
}

#[test]
fn every_tile_equals_the_definition() {
    on_each_isa(|isa| {
        let (tiles, mut rng) = (Tiles::of(isa), Rng::new(8, Purpose::Init, 0));
        let width = tiles.width;
        for rows in 1..=tiles.max_rows() {
            let functions = &tiles.rows[rows - 1];
            for k in [0, 1, width - 1, width, width + 1, 3 * width + 5] {
                // A of (capacity, k) in panels, of which the tile has the rows from 2 on
                let (capacity, panels) = (rows + 5, k.div_ceil(width));
                let step = capacity * width;
                let a = random(&mut rng, panels * step + 2 * width);
                let b = random(&mut rng, k * width);
                let sparse: Vec<u32> = (0..k as u32).filter(|p| p % 3 != 1).collect();
                let all: Vec<u32> = (0..k as u32).collect();
                for accumulate in [false, true] {
                    let mut start = random(&mut rng, rows * width);
                    start.extend([77.0; 32]);
                    for (list, is_sparse) in [(&all, false), (&sparse, true)] {
                        let mut c = start.clone();
                        let tile = Tile {
                            a: a[2 * width..].as_ptr(),
                            a_panel_step: step,
                            b: b.as_ptr(),
                            c: c.as_mut_ptr(),
                            k: list.len(),
                            indices: list.as_ptr(),
                            accumulate,
                        };
                        let what = format!("{isa:?} {rows} {k} {accumulate} {is_sparse}");
                        let function =
                            if is_sparse { functions.along_sparse } else { functions.along };
                        // SAFETY: this CPU has the instruction set; the sizes are those of the vectors.
                        unsafe { function(&tile) };
                        let along =
                            expected(&start, &b, (rows, width), list, accumulate, |i, p| {
                                a[p / width * step + (2 + i) * width + p % width]
                            });
                        assert_close(&c, &along, k, &what);

                        // A of (k, rows) in one panel, from its second column on
                        let a = random(&mut rng, (k + 1) * width);
                        let mut c = start.clone();
                        let tile = Tile { a: a[1..].as_ptr(), c: c.as_mut_ptr(), ..tile };
                        let function =
                            if is_sparse { functions.across_sparse } else { functions.across };
                        // SAFETY: as above.
                        unsafe { function(&tile) };
                        let across =
                            expected(&start, &b, (rows, width), list, accumulate, |i, p| {
                                a[p * width + i + 1]
                            });
                        assert_close(&c, &across, k, &what);
                    }
                }
            }
        }
    });
}

#[test]
fn matrices_are_transposed() {
    on_each_isa(|isa| {
        let (tiles, mut rng) = (Tiles::of(isa), Rng::new(9, Purpose::Init, 0));
        for rows in [0, 1, 3, 4, 7, 8, 15, 16, 17, tiles.width] {
            for columns in [0, 1, 3, 4, 5, 17, 33] {
                let (from_step, to_step) = (columns + 3, rows + 2);
                let from = random(&mut rng, rows * from_step + 1);
                let mut to = vec![77.0; columns * to_step + 1];
                // SAFETY: this CPU has the instruction set; the sizes are those of the vectors.
                unsafe {
                    let (to, from) = (to.as_mut_ptr(), from.as_ptr());
                    tiles.transpose((to, to_step), (from, from_step), rows, columns);
                }
                for (i, found) in to.iter().enumerate() {
                    let (column, row) = (i / to_step, i % to_step);
                    let inside = column < columns && row < rows;
                    let expected = if inside { from[row * from_step + column] } else { 77.0 };
                    assert_eq!(*found, expected, "{isa:?} {rows} {columns} {i}");
                }
            }
        }
    });
}
