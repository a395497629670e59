//! Reads gzip as the program `gzip` does: several members one after the other, and zeros after the last one.

use std::io::{BufRead, BufReader, Cursor, Error, ErrorKind, Read, Result};

use flate2::bufread::GzDecoder;

/// A stream, decompressed if its first two bytes are those of gzip. They may arrive one at a time.
///
/// # Errors
/// If the stream cannot be read.
pub fn decoded<'a>(mut source: impl Read + 'a) -> Result<Box<dyn Read + 'a>> {
    let mut start = Vec::with_capacity(2);
    source.by_ref().take(2).read_to_end(&mut start)?;
    let is_gzip = start == [0x1f, 0x8b];
    let source = BufReader::with_capacity(1 << 16, Cursor::new(start).chain(source));
    Ok(match is_gzip {
        true => Box::new(members(source)),
        false => Box::new(source),
    })
}

/// What a gzip stream holds, decompressed.
pub fn members<R: BufRead>(source: R) -> Members<R> {
    Members(Some(GzDecoder::new(source)))
}

/// The members of a gzip stream; `None` after the last.
pub struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while let Some(member) = &mut self.0 {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let source = self.0.take().map(GzDecoder::into_inner);
            self.0 = source.map(next_member).transpose()?.flatten();
        }
        Ok(0)
    }
}

/// What follows a member: another one, or nothing but zeros.
fn next_member<R: BufRead>(mut source: R) -> Result<Option<GzDecoder<R>>> {
    loop {
        let bytes = source.fill_buf()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
        match bytes.get(zeros) {
            Some(0x1f) if zeros == 0 => return Ok(Some(GzDecoder::new(source))),
            Some(_) if zeros == 0 => {
                return Err(Error::new(
                    ErrorKind::InvalidData,
                    "bytes after the end that are not gzip",
                ));
            }
            _ => source.consume(zeros),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(source: impl Read) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        decoded(source)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Delivers one byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
            let len = buffer.len().min(1);
            self.0.read(&mut buffer[..len])
        }
    }

    #[test]
    fn plain_and_compressed_streams_are_read_however_they_arrive() {
        for plain in [&b""[..], b"a", &[0x1f], &[0x1f, 0x8b][..1], b"some more bytes"] {
            assert_eq!(read(plain).unwrap(), plain);
            assert_eq!(read(Slow(plain)).unwrap(), plain);
            assert_eq!(read(&gzip(plain)[..]).unwrap(), plain);
            assert_eq!(read(Slow(&gzip(plain))).unwrap(), plain);
        }
    }

    #[test]
    fn members_are_joined_and_zeros_after_them_ignored() {
        let zeros = vec![0; 100_000];
        let two = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(read(&two[..]).unwrap(), b"one two");
        let padded = [&two[..], &zeros].concat();
        assert_eq!(read(&padded[..]).unwrap(), b"one two");
        assert_eq!(read(Slow(&padded[..200])).unwrap(), b"one two");
        for odd in [&b"x"[..], &[0x1f], &[0x1f, 0x8c, 8]] {
            assert!(read(&[&two[..], odd].concat()[..]).is_err(), "{odd:?}");
        }
        for cut in 3..two.len() {
            let whole = gzip(b"one ").len();
            assert_eq!(read(&two[..cut]).is_ok(), cut == whole, "{cut}");
        }
    }
}
