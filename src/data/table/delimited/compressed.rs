//! Decompresses what is compressed: gzip and zstd, recognised by their first bytes.

use std::io::{self, BufRead, BufReader, Cursor, Error, ErrorKind, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::data::gzip::members;

/// A stream, and whether it was compressed.
pub struct Decoded<'a> {
    /// The contents, decompressed.
    pub stream: Box<dyn Read + Send + 'a>,
    /// Whether they were compressed.
    pub is_compressed: bool,
}

/// A stream, decompressed if its first four bytes are those of gzip or zstd.
///
/// # Errors
/// If the stream cannot be read.
pub fn decoded<'a>(mut source: impl Read + Send + 'a) -> io::Result<Decoded<'a>> {
    let mut start = Vec::with_capacity(4);
    source.by_ref().take(4).read_to_end(&mut start)?;
    let (is_gzip, is_zstd) = match start[..] {
        [0x1f, 0x8b, ..] => (true, false),
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => (false, true),
        _ => (false, false),
    };
    let source = Cursor::new(start).chain(source);
    let buffered = |source| BufReader::with_capacity(1 << 16, source);
    let stream: Box<dyn Read + Send + 'a> = match (is_gzip, is_zstd) {
        (true, _) => Box::new(members(buffered(source))),
        (_, true) => Box::new(Frames::new(buffered(source))),
        _ => Box::new(source),
    };
    Ok(Decoded { stream, is_compressed: is_gzip || is_zstd })
}

/// The frames of a zstd stream, one after the other. Skippable frames are skipped, and checksums checked.
struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    is_within: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(source: R) -> Self {
        Self { source, decoder: FrameDecoder::new(), is_within: false }
    }

    /// Begins the next frame. False at the end of the stream.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            let length = match self.decoder.init(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => u64::from(length),
                Err(error) => return Err(damaged(error)),
            };
            if io::copy(&mut self.source.by_ref().take(length), &mut io::sink())? < length {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(false)
    }
}

fn damaged(error: FrameDecoderError) -> Error {
    Error::new(ErrorKind::InvalidData, error.to_string())
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_within && !self.begin()? {
                return Ok(0);
            }
            self.is_within = true;
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.source, one).map_err(damaged)?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let promised = self.decoder.get_checksum_from_data();
            if promised.is_some() && promised != self.decoder.get_calculated_checksum() {
                return Err(Error::new(ErrorKind::InvalidData, "the checksum does not match"));
            }
            self.is_within = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"one,two\n1,2\n";

    fn frame() -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(TEXT, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut found = Vec::new();
        decoded(bytes)?.stream.read_to_end(&mut found)?;
        Ok(found)
    }

    #[test]
    fn frames_are_joined_and_skippable_ones_skipped() {
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let all = [&skippable[..], &frame(), &skippable, &frame()].concat();
        assert_eq!(read(&all).unwrap(), [TEXT, TEXT].concat());
        assert_eq!(read(b"a").unwrap(), b"a");
        assert_eq!(read(b"").unwrap(), b"");
    }

    #[test]
    fn what_is_cut_or_changed_is_an_error() {
        let frame = frame();
        for cut in 4..frame.len() {
            assert!(read(&frame[..cut]).is_err(), "{cut}");
        }
        let mut changed = frame.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(read(&changed).unwrap_err().to_string().contains("checksum"));
        assert!(read(&[&frame[..], b"x"].concat()).is_err());
    }
}
