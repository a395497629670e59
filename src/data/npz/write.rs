//! Writes arrays.

use std::io::{self, Write};

use super::header::MAGIC;
use crate::files;

/// The header ends at a multiple of this, so that a program may map the values into its memory.
const ALIGNMENT: usize = 64;

/// Writes a `float32` array of a shape, whose values are row-major, as a `.npy` file of version 1.
///
/// # Errors
/// What `out` returns.
pub fn write_npy(shape: &[usize], values: &[f32], out: &mut impl Write) -> io::Result<()> {
    debug_assert_eq!(shape.iter().product::<usize>(), values.len());
    // a tuple of one has a comma in Python, and longer ones may have it
    let lengths: String = shape.iter().map(|length| format!("{length},")).collect();
    let dictionary = format!("{{'descr':'<f4','fortran_order':False,'shape':({lengths})}}");
    // before the dictionary are ten bytes, after it spaces and the end of a line
    let whole = (10 + dictionary.len() + 1).next_multiple_of(ALIGNMENT);
    let width = whole - 11;
    let length = u16::try_from(width + 1).map_err(io::Error::other)?;
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(&length.to_le_bytes())?;
    writeln!(out, "{dictionary:width$}")?;
    out.write_all(&files::le_bytes(values))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array, ArrayD, IxDyn};
    use ndarray_npy::ReadNpyExt as _;

    use super::*;
    use crate::data::npz::{Values, read_npy_bytes};

    #[test]
    fn arrays_of_every_number_of_dimensions_come_back() {
        for shape in [&[][..], &[0], &[1], &[5], &[2, 3], &[3, 0], &[123_456, 1], &[2, 1, 3, 2]] {
            let n: usize = shape.iter().product();
            let values = (0..n).map(|i| i as f32 / 4.0).collect();
            let array = Array::from_shape_vec(IxDyn(shape), values).unwrap();
            let mut bytes = Vec::new();
            write_npy(shape, array.as_slice().unwrap(), &mut bytes).unwrap();
            assert_eq!((bytes.len() - 4 * n) % ALIGNMENT, 0, "{shape:?}");
            assert_eq!(ArrayD::<f32>::read_npy(&bytes[..]).unwrap(), array, "{shape:?}");
            if n > 0 {
                let own = read_npy_bytes("a.npy", &bytes).unwrap();
                assert_eq!(own.shape, shape);
                assert_eq!(own.values, Values::F32(array.into_raw_vec_and_offset().0));
            }
        }
    }
}
