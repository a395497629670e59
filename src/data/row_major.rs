//! The values of an array, row by row.

use ndarray::{CowArray, Ix2};

/// The values of `x`, row-major. An array that is owned and row-major is taken without a copy.
pub(super) fn row_major<T: Clone>(x: CowArray<'_, T, Ix2>) -> Vec<T> {
    let len = x.len();
    if x.is_view() || !x.is_standard_layout() {
        return x.iter().cloned().collect();
    }
    match x.into_owned().into_raw_vec_and_offset() {
        (values, None | Some(0)) if values.len() == len => values,
        (values, start) => values[start.unwrap_or(0)..][..len].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, s};

    use super::*;

    #[test]
    fn owned_rows_are_taken_and_everything_else_is_copied() {
        let x = Array2::from_shape_fn((4, 3), |(i, j)| (10 * i + j) as f32);
        let at = x.as_ptr();
        assert_eq!(row_major(x.view().into()), x.iter().copied().collect::<Vec<_>>());
        assert_eq!(row_major(x.t().into()), x.t().iter().copied().collect::<Vec<_>>());
        let sliced = x.clone().slice_move(s![1..3, ..]);
        assert_eq!(row_major(sliced.into()), [10.0, 11.0, 12.0, 20.0, 21.0, 22.0]);
        let columns = x.clone().reversed_axes();
        assert_eq!(row_major(columns.into())[..4], [0.0, 10.0, 20.0, 30.0]);
        let taken = row_major(x.into());
        assert_eq!(taken.as_ptr(), at);
    }
}
