//! NumPy's arrays: reads `.npy` files and `.npz` archives of them, writes `.npy` of `float32` and archives of numbers,
//! truth values and texts.
//!
//! Format: "NEP 1, a simple file format for NumPy arrays", versions 1 to 3. Every type of numbers is read, and texts. Objects are not,
//! which are Python's own (`pickle`), nor complex numbers, dates and structures.
//!
//! The header is read and written here: the crates that do it (`ndarray-npy`, `npyz`) take a general parser of Python's literals, which follows
//! nested brackets by recursion, so that a file can overflow the stack, they read no texts, and that parser costs the build of
//! densely 30 CPU seconds. The tests compare with `ndarray-npy`. Archives are read by `zip`.

mod archive;
mod arrays;
mod columns;
mod header;
#[cfg(test)]
mod tests;
mod values;
mod write;

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

pub use arrays::{Arrays, Inputs, read_arrays, read_arrays_bytes, read_inputs, read_inputs_bytes};
pub use write::{Array, npz_bytes, write_npy};

#[cfg(feature = "parquet")]
pub(super) use values::half;

use crate::error::{Error, Result};
use crate::files;

/// An array in memory, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct NpyArray {
    /// The length of each dimension.
    pub shape: Vec<usize>,
    /// As many values as the product of the lengths.
    pub values: Values,
}

/// The values of an array.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Values {
    /// Unsigned bytes, which the file has as such.
    U8(Vec<u8>),
    /// Any other numbers, or truth values as 0 and 1.
    F32(Vec<f32>),
    /// Texts.
    Text {
        /// For each value the position of its text among the levels.
        codes: Vec<u32>,
        /// The different texts, in the order in which they first occur.
        levels: Vec<String>,
    },
}

impl NpyArray {
    /// The length of the first dimension; 1 without any.
    pub fn n_rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// The number of values in a row.
    pub fn width(&self) -> usize {
        self.shape.iter().skip(1).product()
    }
}

/// Reads a `.npy` file.
///
/// # Errors
/// If the file is damaged, holds a type that is not read, a number that is too large for 32 bits, or does not fit into memory.
///
/// ```
/// use densely::data::npz::{Values, read_npy};
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("counts.npy");
/// // numpy.save("counts.npy", numpy.uint8([3, 4]))
/// let header = b"\x93NUMPY\x01\x00\x37\x00{'descr': '|u1', 'fortran_order': False, 'shape': (2,)}";
/// std::fs::write(&path, [&header[..], &[3, 4]].concat())?;
/// let array = read_npy(&path)?;
/// assert_eq!((array.shape, array.values), (vec![2], Values::U8(vec![3, 4])));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_npy(path: &Path) -> Result<NpyArray> {
    let (mut source, name) = open(path)?;
    read_array(&mut source, &name)
}

/// Reads the bytes of a `.npy` file. Messages call it `name`.
///
/// # Errors
/// As [`read_npy`].
pub fn read_npy_bytes(name: &str, bytes: &[u8]) -> Result<NpyArray> {
    read_array(&mut Cursor::new(bytes), name)
}

/// Reads those arrays of an `.npz` file whose names are wanted, in the order of the file. A name is without `.npy`.
///
/// # Errors
/// As [`read_npy`], or if the archive is damaged or compressed otherwise than by `numpy.savez_compressed`.
pub fn read_npz(path: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, NpyArray)>> {
    let (source, name) = open(path)?;
    let mut archive = archive::Archive::open(source, &name)?;
    let wanted = archive.names().iter().filter(|name| is_wanted(name)).cloned();
    wanted
        .collect::<Vec<_>>()
        .into_iter()
        .map(|name| Ok((name.clone(), archive.read(&name)?)))
        .collect()
}

/// What arrays are read from.
trait ReadSeek: Read + Seek {}

impl<T: Read + Seek> ReadSeek for T {}

/// A file, and what messages call it.
fn open(path: &Path) -> Result<(Box<dyn ReadSeek>, String)> {
    let metadata = path.metadata().map_err(Error::io("open", path))?;
    let name = path.display().to_string();
    if !metadata.is_file() {
        // an archive cannot be read from a pipe; a directory is rejected
        return Ok((Box::new(Cursor::new(files::read(path)?)), name));
    }
    let file = File::open(path).map_err(Error::io("open", path))?;
    Ok((Box::new(BufReader::with_capacity(1 << 16, file)), name))
}

/// Reads an array to the end of a stream.
fn read_array(source: &mut dyn Read, name: &str) -> Result<NpyArray> {
    let header = header::read(source, name)?;
    values::read(source, header, name)
}

/// What is wrong when a stream cannot be read.
fn unreadable(error: &std::io::Error, name: &str, what: &str) -> Error {
    let problem = match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            format!("the file ends within {what}; is it truncated?")
        }
        std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => {
            format!("damaged data in {what}: {error}")
        }
        _ => format!("{what} cannot be read: {error}"),
    };
    Error::invalid(name, problem)
}
