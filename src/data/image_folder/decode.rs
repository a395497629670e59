//! Decodes images on all cores: first what the files say about sizes and colours, then the pixels, each to its place.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use image::imageops::{FilterType, resize};
use image::{DynamicImage, ImageBuffer, ImageDecoder as _, ImageReader, Limits, Pixel};

use super::jpeg;
use crate::error::{Error, Result};
use crate::files;
use crate::memory::{require_bytes, try_reserve};

/// Wider or higher images are damaged, or made to exhaust memory.
const LARGEST_SIDE: u32 = 1 << 15;

/// The memory that the decoder may take for one image.
const MOST_BYTES: u64 = 1 << 29;

/// No PNG or JPEG image has more values in each of its bytes (deflate: 1032).
const MOST_VALUES_PER_BYTE: u64 = 1100;

const SMALLER: &str = "use fewer or smaller images";

/// Images of one size.
pub struct Decoded {
    pub pixels: Vec<u8>,
    /// Height and width.
    pub size: (usize, usize),
    pub channels: usize,
    pub notices: Vec<String>,
}

/// What is known of an image before it is decoded.
#[derive(Clone, Copy, Default)]
struct Header {
    width: usize,
    height: usize,
    is_grey: bool,
    has_alpha: bool,
    is_deep: bool,
}

/// Reads images, of which there is at least one. `size` is width and height; without `channels`, it follows from the images.
pub fn read(
    paths: &[PathBuf],
    size: Option<(usize, usize)>,
    channels: Option<usize>,
) -> Result<Decoded> {
    let mut headers = vec![Header::default(); paths.len()];
    let places = headers.iter_mut().zip(paths);
    in_parallel(places, |(header, path)| {
        *header = read_header(&files::read(path)?, path)?;
        Ok(())
    })?;
    let (width, height) = match size {
        Some(size) => size,
        None => common_size(paths, &headers)?,
    };
    if width == 0 || height == 0 || width.max(height) > LARGEST_SIDE as usize {
        let expected = format!("WxH with numbers from 1 to {LARGEST_SIDE}");
        return Err(Error::argument("image_size", format!("{width}x{height}"), expected));
    }
    let channels = match channels {
        Some(channels @ (1 | 3)) => channels,
        Some(other) => return Err(Error::argument("channels", other.to_string(), "1 or 3")),
        None if headers.iter().all(|header| header.is_grey) => 1,
        None => 3,
    };
    let values = width * height * channels;
    let bytes = (values as u64).saturating_mul(paths.len() as u64);
    let subject = format!("{} images of {width}x{height} pixels", paths.len());
    require_bytes(bytes, &subject, SMALLER)?;
    let refused = |_| Error::Memory { what: subject.clone(), needed_bytes: bytes, remedy: SMALLER };
    let mut pixels = Vec::new();
    try_reserve(&mut pixels, values * paths.len()).map_err(refused)?;
    pixels.resize(values * paths.len(), 0);
    in_parallel(pixels.chunks_exact_mut(values).zip(paths), |(out, path)| {
        let image = decode(&files::read(path)?, path)?;
        let found = match (channels, image.color().has_alpha()) {
            (1, false) => sized(image.into_luma8(), width, height),
            (1, true) => sized(on_white(&image.into_luma_alpha8()), width, height),
            (_, false) => sized(image.into_rgb8(), width, height),
            (_, true) => sized(on_white(&image.into_rgba8()), width, height),
        };
        match found.len() == out.len() {
            true => out.copy_from_slice(&found),
            false => return Err(Error::invalid_file(path, "the file has changed meanwhile")),
        }
        Ok(())
    })?;
    let notices = notices(&headers, (width, height), channels);
    Ok(Decoded { pixels, size: (height, width), channels, notices })
}

/// The size of all images.
fn common_size(paths: &[PathBuf], headers: &[Header]) -> Result<(usize, usize)> {
    let first = headers[0];
    let differs = |header: &Header| (header.width, header.height) != (first.width, first.height);
    match headers.iter().position(differs) {
        None => Ok((first.width, first.height)),
        Some(at) => {
            let problem = format!(
                "{}x{} pixels, expected {}x{} as in {}; --image-size WxH stretches all to one size",
                headers[at].width,
                headers[at].height,
                first.width,
                first.height,
                paths[0].display()
            );
            Err(Error::invalid_file(&paths[at], problem))
        }
    }
}

fn notices(headers: &[Header], size: (usize, usize), channels: usize) -> Vec<String> {
    let count = |is: &dyn Fn(&Header) -> bool| headers.iter().filter(|header| is(header)).count();
    [
        (count(&|h| (h.width, h.height) != size), "stretched to one size"),
        (count(&|h| channels == 1 && !h.is_grey), "in colour, made grey as the model expects"),
        (count(&|h| h.has_alpha), "with transparency, laid on white"),
        (count(&|h| h.is_deep), "of 16 bits, read as 8 bits"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| {
        let noun = if count == 1 { "image" } else { "images" };
        format!("{count} {noun} {what}")
    })
    .collect()
}

/// The decoder of a file that is within limits.
fn reader<'b>(bytes: &'b [u8], path: &Path) -> Result<ImageReader<Cursor<&'b [u8]>>> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let mut reader = reader.map_err(Error::io("read", path))?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST_SIDE);
    limits.max_image_height = Some(LARGEST_SIDE);
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    Ok(reader)
}

fn damaged(path: &Path, problem: &str) -> Error {
    Error::invalid_file(path, format!("{problem}; expected an undamaged PNG or JPEG image"))
}

fn read_header(bytes: &[u8], path: &Path) -> Result<Header> {
    let failed = |error: image::ImageError| damaged(path, &error.to_string());
    let (header, channels) = match jpeg::is_jpeg(bytes) {
        true => {
            let header = jpeg::header(bytes, LARGEST_SIDE as usize);
            let (width, height, is_grey) = header.map_err(|problem| damaged(path, &problem))?;
            let channels = if is_grey { 1 } else { 3 };
            (Header { width, height, is_grey, has_alpha: false, is_deep: false }, channels)
        }
        false => {
            let decoder = reader(bytes, path)?.into_decoder().map_err(failed)?;
            let (width, height) = decoder.dimensions();
            let colour = decoder.color_type();
            let header = Header {
                width: width as usize,
                height: height as usize,
                is_grey: !colour.has_color(),
                has_alpha: colour.has_alpha(),
                is_deep: colour.bytes_per_pixel() > colour.channel_count(),
            };
            (header, usize::from(colour.channel_count()))
        }
    };
    let Header { width, height, .. } = header;
    let values = (width as u64).saturating_mul(height as u64).saturating_mul(channels as u64);
    if width.max(height) > LARGEST_SIDE as usize
        || values > MOST_VALUES_PER_BYTE.saturating_mul(bytes.len() as u64)
    {
        let problem = format!("{width}x{height} pixels in {} bytes", bytes.len());
        let expected = format!("an undamaged image of at most {LARGEST_SIDE} pixels a side");
        return Err(Error::invalid_file(path, format!("{problem}; expected {expected}")));
    }
    Ok(header)
}

fn decode(bytes: &[u8], path: &Path) -> Result<DynamicImage> {
    // the header has been read before, and the file may have changed since
    read_header(bytes, path)?;
    match jpeg::is_jpeg(bytes) {
        true => {
            jpeg::decode(bytes, LARGEST_SIDE as usize).map_err(|problem| damaged(path, &problem))
        }
        false => {
            let image = reader(bytes, path)?.decode();
            image.map_err(|error| damaged(path, &error.to_string()))
        }
    }
}

/// Stretches an image by a linear filter, if it has another size.
fn sized<P>(image: ImageBuffer<P, Vec<u8>>, width: usize, height: usize) -> Vec<u8>
where
    P: Pixel<Subpixel = u8> + 'static,
{
    let (width, height) = (width as u32, height as u32);
    match image.dimensions() == (width, height) {
        true => image.into_raw(),
        false => resize(&image, width, height, FilterType::Triangle).into_raw(),
    }
}

/// A pixel type, and the one without its last channel, which says how opaque it is.
trait Transparent: Pixel<Subpixel = u8> {
    type Opaque: Pixel<Subpixel = u8> + 'static;
}

impl Transparent for image::LumaA<u8> {
    type Opaque = image::Luma<u8>;
}

impl Transparent for image::Rgba<u8> {
    type Opaque = image::Rgb<u8>;
}

/// An image before a white background.
fn on_white<P: Transparent>(image: &ImageBuffer<P, Vec<u8>>) -> ImageBuffer<P::Opaque, Vec<u8>> {
    ImageBuffer::from_fn(image.width(), image.height(), |x, y| {
        let channels = image.get_pixel(x, y).channels();
        let (alpha, colours) = channels.split_last().unwrap_or((&255, channels));
        let alpha = u32::from(*alpha);
        let mut mixed = [0; 3];
        for (mixed, &value) in mixed.iter_mut().zip(colours) {
            *mixed = ((u32::from(value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        }
        *P::Opaque::from_slice(&mixed[..colours.len()])
    })
}

/// Does some work for each item on all cores. Items are taken in their order, so that the first error in that order is returned.
fn in_parallel<T: Send>(
    items: impl ExactSizeIterator<Item = T> + Send,
    work: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let n_threads = cores.min(8).min(items.len());
    let items = Mutex::new(items.enumerate());
    let failed: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    let turn = || {
        while failed.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            let next = items.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((i, item)) = next else { return };
            if let Err(error) = work(item) {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                if failed.as_ref().is_none_or(|(first, _)| i < *first) {
                    *failed = Some((i, error));
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..n_threads {
            // if there cannot be another thread, the others do its work
            drop(thread::Builder::new().spawn_scoped(scope, turn));
        }
        turn();
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}
