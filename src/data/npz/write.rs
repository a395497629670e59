//! Writes arrays, and archives of them.

use std::io::{self, Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::header::MAGIC;
use crate::files;

/// The header ends at a multiple of this, so that a program may map the values into its memory.
const ALIGNMENT: usize = 64;

/// The values of an array to write, row-major.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Array<'a> {
    /// `float32`
    F32(&'a [f32]),
    /// `float64`
    F64(Vec<f64>),
    /// `bool`
    Bool(Vec<bool>),
    /// Texts of one width, with zeros after them. NumPy drops zeros at the end of a text.
    Text(Vec<String>),
}

impl Array<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Text(values) => values.len(),
        }
    }

    /// The characters of the longest text.
    fn characters(texts: &[String]) -> usize {
        texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1)
    }

    /// The type in NumPy's words.
    fn descr(&self) -> String {
        match self {
            Self::F32(_) => "<f4".to_owned(),
            Self::F64(_) => "<f8".to_owned(),
            Self::Bool(_) => "|b1".to_owned(),
            Self::Text(texts) => format!("<U{}", Self::characters(texts)),
        }
    }

    fn write_values(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::F32(values) => out.write_all(&files::le_bytes(values)),
            Self::F64(values) => {
                values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
            }
            Self::Bool(values) => {
                values.iter().try_for_each(|&value| out.write_all(&[u8::from(value)]))
            }
            Self::Text(texts) => {
                let width = Self::characters(texts);
                texts.iter().try_for_each(|text| {
                    let characters = text.chars().map(u32::from).chain(std::iter::repeat(0));
                    characters.take(width).try_for_each(|code| out.write_all(&code.to_le_bytes()))
                })
            }
        }
    }
}

/// Writes an array of a shape as a `.npy` file of version 1.
///
/// # Errors
/// What `out` returns.
pub fn write_npy(shape: &[usize], values: &Array<'_>, out: &mut impl Write) -> io::Result<()> {
    debug_assert_eq!(shape.iter().product::<usize>(), values.len());
    // a tuple of one has a comma in Python, and longer ones may have it
    let lengths: String = shape.iter().map(|length| format!("{length},")).collect();
    let dictionary =
        format!("{{'descr':'{}','fortran_order':False,'shape':({lengths})}}", values.descr());
    // before the dictionary are ten bytes, after it spaces and the end of a line
    let whole = (10 + dictionary.len() + 1).next_multiple_of(ALIGNMENT);
    let width = whole - 11;
    let length = u16::try_from(width + 1).map_err(io::Error::other)?;
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(&length.to_le_bytes())?;
    writeln!(out, "{dictionary:width$}")?;
    values.write_values(out)
}

/// The bytes of an `.npz` archive of arrays, (name, shape, values), not compressed: equal for equal arrays.
///
/// # Errors
/// If they do not fit into an archive.
pub fn npz_bytes(arrays: &[(String, Vec<usize>, Array<'_>)]) -> io::Result<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, shape, values) in arrays {
        // an entry of more than 4 GB has to say so before it begins
        let is_large = values.len() > (u32::MAX / 8) as usize;
        archive.start_file(format!("{name}.npy"), options.large_file(is_large))?;
        write_npy(shape, values, &mut archive)?;
    }
    Ok(archive.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, IxDyn};
    use ndarray_npy::ReadNpyExt as _;

    use super::*;
    use crate::data::npz::{Values, read_npy_bytes};

    fn bytes(shape: &[usize], values: Array<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_npy(shape, &values, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn arrays_of_every_number_of_dimensions_come_back() {
        for shape in [&[][..], &[0], &[1], &[5], &[2, 3], &[3, 0], &[123_456, 1], &[2, 1, 3, 2]] {
            let n: usize = shape.iter().product();
            let values: Vec<f32> = (0..n).map(|i| i as f32 / 4.0).collect();
            let bytes = bytes(shape, Array::F32(&values));
            assert_eq!((bytes.len() - 4 * n) % ALIGNMENT, 0, "{shape:?}");
            let array = ArrayD::from_shape_vec(IxDyn(shape), values.clone()).unwrap();
            assert_eq!(ArrayD::<f32>::read_npy(&bytes[..]).unwrap(), array, "{shape:?}");
            if n > 0 {
                let own = read_npy_bytes("a.npy", &bytes).unwrap();
                assert_eq!((own.shape, own.values), (shape.to_vec(), Values::F32(values)));
            }
        }
    }

    #[test]
    fn values_of_every_type_come_back() {
        let doubles = [0.1, -1e300, f64::NAN];
        let read = ArrayD::<f64>::read_npy(&bytes(&[3], Array::F64(doubles.to_vec()))[..]).unwrap();
        assert!(read.iter().zip(doubles).all(|(a, b)| a.to_bits() == b.to_bits()));
        let truths = [true, false, true];
        let read =
            ArrayD::<bool>::read_npy(&bytes(&[3], Array::Bool(truths.to_vec()))[..]).unwrap();
        assert!(read.iter().eq(&truths));
        // `ndarray-npy` reads no texts
        let texts = ["", "hübsch", "x", "雪 🙂", "x"].map(str::to_owned);
        let own = read_npy_bytes("a.npy", &bytes(&[5], Array::Text(texts.to_vec()))).unwrap();
        let Values::Text { codes, levels } = own.values else { panic!("they are texts") };
        let read: Vec<&str> = codes.iter().map(|&code| &levels[code as usize][..]).collect();
        assert_eq!(read, texts);
        assert!(bytes(&[1], Array::Text(vec![String::new()])).len() > ALIGNMENT);
    }

    #[test]
    fn an_archive_holds_its_arrays() {
        let arrays = [
            ("a".to_owned(), vec![2], Array::F32(&[1.0, 2.0])),
            ("b c".to_owned(), vec![], Array::Bool(vec![true])),
        ];
        let bytes = npz_bytes(&arrays).unwrap();
        assert_eq!(bytes, npz_bytes(&arrays).unwrap());
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let mut entry = archive.by_name("a.npy").unwrap();
        assert_eq!(ArrayD::<f32>::read_npy(&mut entry).unwrap().as_slice(), Some(&[1.0, 2.0][..]));
        drop(entry);
        assert!(archive.by_name("b c.npy").is_ok());
    }
}
