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

/// Checks the two functions of tiles with `rows` rows and `panels` panels, with the values of p in a list.
fn check_tiles(isa: Isa, functions: &TileFns, (rows, panels): (usize, usize), is_sparse: bool) {
    let (width, mut rng) = (Tiles::of(isa).width, Rng::new(8, Purpose::Init, 0));
    for k in [0, 1, width - 1, width, width + 1, 3 * width + 5] {
        // A of (capacity, k) in panels, of which the tile has the rows from 2 on
        let (capacity, a_panels) = (rows + 5, k.div_ceil(width));
        let a_panel_step = capacity * width;
        let along = random(&mut rng, a_panels * a_panel_step + 2 * width);
        // A of (k, rows) in one panel, from its second column on
        let across = random(&mut rng, (k + 1) * width);
        let (b_panel_step, c_panel_step) = ((k + 2) * width, (rows + 3) * width);
        let b = random(&mut rng, panels * b_panel_step);
        let list: Vec<u32> = (0..k as u32).filter(|p| !is_sparse || p % 3 != 1).collect();
        for accumulate in [false, true] {
            let start = random(&mut rng, panels * c_panel_step);
            for is_along in [true, false] {
                let mut c = vec![77.0; start.len()];
                for panel in 0..panels {
                    let tile = panel * c_panel_step..panel * c_panel_step + rows * width;
                    c[tile.clone()].copy_from_slice(&start[tile]);
                }
                let a = if is_along { along[2 * width..].as_ptr() } else { across[1..].as_ptr() };
                let tile = Tile {
                    a,
                    a_panel_step,
                    b: b.as_ptr(),
                    b_panel_step,
                    c: c.as_mut_ptr(),
                    c_panel_step,
                    k: list.len(),
                    indices: list.as_ptr(),
                    accumulate,
                };
                let function = if is_along { functions.along } else { functions.across };
                // SAFETY: this CPU has the instruction set; the sizes are those of the vectors.
                unsafe { function(&tile) };
                let value = |row: usize, p: usize| match is_along {
                    true => along[p / width * a_panel_step + (2 + row) * width + p % width],
                    false => across[p * width + row + 1],
                };
                for (panel, c) in c.chunks(c_panel_step).enumerate() {
                    let (b, start) = (&b[panel * b_panel_step..], &start[panel * c_panel_step..]);
                    let sums = expected(start, b, (rows, width), &list, accumulate, value);
                    let what = format!("{isa:?} {rows}x{panels} {k} {accumulate} {is_along}");
                    assert_close(c, &sums, k, &what);
                }
            }
        }
    }
}

#[test]
fn every_tile_equals_the_definition() {
    on_each_isa(|isa| {
        let tiles = Tiles::of(isa);
        for (i, functions) in tiles.rows.iter().enumerate() {
            check_tiles(isa, functions, (i + 1, 1), false);
        }
        for (i, functions) in tiles.sparse.iter().enumerate() {
            for (j, functions) in functions.iter().enumerate() {
                check_tiles(isa, functions, (i + 1, j + 1), true);
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
