//! Reads IDX files, the format of MNIST and its relatives, raw or gzip-compressed.
//!
//! Layout (LeCun, "The MNIST database"): a big-endian `u32` with the type (`08`, unsigned byte) and the number of
//! dimensions, a big-endian `u32` per dimension, then the values. A size in a header is checked against the available
//! memory, and memory grows only with the bytes that are read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::gzip::decoded;
use super::{Dataset, Features};
use crate::error::{Error, Result};
use crate::memory::require_bytes;

pub(super) const IMAGES_MAGIC: u32 = 0x0803;
pub(super) const LABELS_MAGIC: u32 = 0x0801;

/// Images of one size.
#[derive(Debug, PartialEq, Eq)]
pub struct Images {
    /// The pixels, row-major (count, height, width).
    pub pixels: Vec<u8>,
    /// The number of images.
    pub count: usize,
    /// Rows of an image; at least 1.
    pub height: usize,
    /// Columns of an image; at least 1.
    pub width: usize,
}

/// One half of a data set: images with as many labels.
#[derive(Debug)]
pub struct Half {
    /// The images.
    pub images: Images,
    /// The class of each image.
    pub labels: Vec<u8>,
}

/// Joins the halves in file order. The classes are the labels that occur. Errors name `subject`.
///
/// # Errors
/// If the images differ in size, a test label is out of the range of the training file's, or there are no examples.
pub fn pool(name: &str, subject: &str, train: Half, test: Option<Half>) -> Result<Dataset> {
    let Half { images, labels } = train;
    let Images { mut pixels, count, height, width } = images;
    let of_test = test.as_ref().map_or(0, |half| half.labels.len() * height * width);
    let samples = labels.len() + test.as_ref().map_or(0, |half| half.labels.len());
    require_values(subject, pixels.len() + of_test + 4 * samples)?;
    let mut labels: Vec<u32> = labels.into_iter().map(u32::from).collect();
    let range = labels.iter().min().copied()..=labels.iter().max().copied();
    if let Some(Half { images, labels: test_labels }) = test {
        if (images.height, images.width) != (height, width) {
            let problem = format!(
                "the images of the test file are {}x{}, expected {height}x{width} as in the training file",
                images.height, images.width
            );
            return Err(Error::invalid(subject, problem));
        }
        let labelled = test_labels.iter().map(|&label| Some(u32::from(label)));
        if let Some((i, label)) = labelled.enumerate().find(|(_, label)| !range.contains(label)) {
            let number = |label: &Option<u32>| label.unwrap_or_default();
            let problem = format!(
                "label {} of example {i} of the test file is out of range; the training file has the classes {} to {}",
                number(&label),
                number(range.start()),
                number(range.end())
            );
            return Err(Error::invalid(subject, problem));
        }
        pixels.extend_from_slice(&images.pixels);
        labels.extend(test_labels.into_iter().map(u32::from));
    }
    if labels.is_empty() {
        return Err(Error::invalid(subject, "the files hold no examples"));
    }
    let data = Dataset::new(name, Features::U8(pixels), labels, height * width)?;
    Ok(data.with_images((height, width), count).with_occurring_classes())
}

pub(super) fn open(path: &Path) -> Result<File> {
    if path.is_dir() {
        return Err(Error::invalid_file(path, "expected an IDX file, found a directory"));
    }
    File::open(path).map_err(Error::io("open", path))
}

/// Reads a file of images, raw or compressed.
pub(crate) fn read_images_file(path: &Path) -> Result<Images> {
    read_images(open(path)?, path)
}

/// Reads images, raw or compressed, to the end of a stream. Errors name `path`.
///
/// # Errors
/// If the stream is damaged or not an IDX file of images, or its header asks for more than the available memory.
pub fn read_images(source: impl Read, path: &Path) -> Result<Images> {
    let mut reader = decoded(source).map_err(Error::io("read", path))?;
    let [count, height, width] = read_header(&mut reader, path, IMAGES_MAGIC, "images")?;
    if height == 0 || width == 0 {
        return Err(Error::invalid_file(path, format!("images of {height}x{width} pixels")));
    }
    let pixels = read_values(reader, path, &[count, height, width])?;
    Ok(Images { pixels, count, height, width })
}

/// Reads labels, raw or compressed, to the end of a stream. Errors name `path`.
///
/// # Errors
/// As [`read_images`].
pub fn read_labels(source: impl Read, path: &Path) -> Result<Vec<u8>> {
    let mut reader = decoded(source).map_err(Error::io("read", path))?;
    let [count] = read_header(&mut reader, path, LABELS_MAGIC, "labels")?;
    read_values(reader, path, &[count])
}

/// Reads and checks the magic number, then the sizes.
fn read_header<const DIMENSIONS: usize>(
    reader: &mut impl Read,
    path: &Path,
    magic: u32,
    kind: &str,
) -> Result<[usize; DIMENSIONS]> {
    let mut word = || -> Result<u32> {
        let mut bytes = [0; 4];
        reader.read_exact(&mut bytes).map_err(|error| unreadable(error, path, "the header"))?;
        Ok(u32::from_be_bytes(bytes))
    };
    let found = word()?;
    if found != magic {
        return Err(Error::invalid_file(
            path,
            format!(
                "expected an IDX file of {kind} (magic number {magic:#010x}), found {found:#010x}"
            ),
        ));
    }
    let mut sizes = [0; DIMENSIONS];
    for size in &mut sizes {
        *size = word()? as usize;
    }
    Ok(sizes)
}

/// Rejects more bytes than the available memory.
pub(super) fn require_values(subject: &str, bytes: usize) -> Result<()> {
    let remedy = "expected less data, or an undamaged header";
    require_bytes(bytes as u64, subject, remedy)
}

/// Reads exactly as many bytes as the product of `sizes`. Memory grows with the bytes that are read, not with what the
/// header claims.
fn read_values(mut reader: impl Read, path: &Path, sizes: &[usize]) -> Result<Vec<u8>> {
    // callers multiply the other sizes even where there are no images
    let product =
        sizes.iter().try_fold(1u64, |product, &size| product.checked_mul(size.max(1) as u64));
    let Some(product) = product.filter(|&product| product < 1 << 62) else {
        return Err(Error::invalid_file(path, format!("sizes {sizes:?} overflow")));
    };
    let expected = if sizes.contains(&0) { 0 } else { product };
    require_values(&path.display().to_string(), expected as usize)?;
    let mut values = Vec::new();
    (reader.by_ref().take(expected).read_to_end(&mut values))
        .map_err(|error| unreadable(error, path, "the values"))?;
    // after compressed data, an error here means trailing bytes that are not gzip
    let more = values.len() as u64 == expected && reader.read(&mut [0]).map_or(true, |n| n > 0);
    if more || values.len() as u64 != expected {
        let found = if more { "more" } else { &values.len().to_string() };
        return Err(Error::invalid_file(
            path,
            format!(
                "the header promises {expected} bytes ({sizes:?}), found {found}; is the file truncated or damaged?"
            ),
        ));
    }
    Ok(values)
}

fn unreadable(error: std::io::Error, path: &Path, what: &str) -> Error {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            Error::invalid_file(path, format!("the file ends within {what}; is it truncated?"))
        }
        std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => {
            Error::invalid_file(path, format!("damaged gzip data in {what}: {error}"))
        }
        _ => Error::io("read", path)(error),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use super::*;

    pub fn idx(magic: u32, sizes: &[u32], values: &[u8]) -> Vec<u8> {
        let header = [&[magic], sizes].concat();
        let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend_from_slice(values);
        bytes
    }

    pub fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn images_error(bytes: &[u8]) -> String {
        read_images(bytes, Path::new("the-file")).unwrap_err().to_string()
    }

    #[test]
    fn images_and_labels_are_read() {
        let bytes = idx(IMAGES_MAGIC, &[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        let images = read_images(&bytes[..], Path::new("x")).unwrap();
        let pixels = vec![1, 2, 3, 4, 5, 6];
        assert_eq!(images, Images { pixels, count: 2, height: 1, width: 3 });
        let bytes = idx(LABELS_MAGIC, &[3], &[7, 0, 9]);
        assert_eq!(read_labels(&bytes[..], Path::new("x")).unwrap(), [7, 0, 9]);
    }

    #[test]
    fn errors_say_how_a_file_is_damaged() {
        let good = idx(IMAGES_MAGIC, &[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        for cut in 0..good.len() {
            assert!(images_error(&good[..cut]).contains("truncated"), "cut at {cut}");
        }
        let long = [&good[..], &[0]].concat();
        assert!(images_error(&long).contains("found more"));
        assert!(images_error(&idx(LABELS_MAGIC, &[1], &[0])).contains("found 0x00000801"));
        let huge = idx(IMAGES_MAGIC, &[u32::MAX, u32::MAX, u32::MAX], &[0]);
        assert!(images_error(&huge).contains("overflow"));
        let none = idx(IMAGES_MAGIC, &[0, u32::MAX - 255, u32::MAX - 9], &[]);
        assert!(images_error(&none).contains("overflow"));
        let large = images_error(&idx(IMAGES_MAGIC, &[u32::MAX, 28, 28], &[0]));
        assert!(large.contains("the-file needs 3367.3 GB of memory"), "{large}");
        let short = images_error(&idx(IMAGES_MAGIC, &[1000, 28, 28], &[0]));
        assert!(short.contains("promises 784000 bytes"), "{short}");
        assert!(images_error(&idx(IMAGES_MAGIC, &[5, 0, 3], &[])).contains("0x3 pixels"));
    }
}
