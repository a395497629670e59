//! JPEG images, by `zune-jpeg` itself: the version within the crate `image` that is in use panics on damaged files.

use image::DynamicImage;
use memchr::memmem;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// Whether a file begins as JPEG does.
pub fn is_jpeg(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xd8")
}

/// Width and height, and whether it is grey.
pub fn header(bytes: &[u8], largest_side: usize) -> Result<(usize, usize, bool), String> {
    let decoder = headed(bytes, largest_side)?;
    let (width, height) = decoder.dimensions().ok_or("no size")?;
    Ok((width, height, decoder.input_colorspace() == Some(ColorSpace::Luma)))
}

/// The image, grey or coloured.
pub fn decode(bytes: &[u8], largest_side: usize) -> Result<DynamicImage, String> {
    let mut decoder = headed(bytes, largest_side)?;
    let is_grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let (width, height) = decoder.dimensions().ok_or("no size")?;
    let wanted = if is_grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options(largest_side).jpeg_set_out_colorspace(wanted));
    let pixels = decoder.decode().map_err(|error| format!("{error:?}"))?;
    // the decoder makes what is missing grey
    if memmem::rfind(bytes, b"\xff\xd9").is_none() {
        return Err("the image has no end; is the file truncated?".to_owned());
    }
    let (width, height) = (width as u32, height as u32);
    let image = match is_grey {
        true => image::GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        false => image::RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
    };
    image.ok_or_else(|| "fewer values than pixels".to_owned())
}

/// A decoder that has read the header.
fn headed(bytes: &[u8], largest_side: usize) -> Result<JpegDecoder<ZCursor<&[u8]>>, String> {
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options(largest_side));
    decoder.decode_headers().map_err(|error| format!("{error:?}"))?;
    Ok(decoder)
}

fn options(largest_side: usize) -> DecoderOptions {
    DecoderOptions::default().set_max_width(largest_side).set_max_height(largest_side)
}
