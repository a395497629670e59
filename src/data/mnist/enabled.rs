//! MNIST from inside the binary, decompressed once into the cache directory.
//!
//! The crate `mnist` reads the four cached files. It panics on anything unexpected. Therefore it only reads files whose
//! SHA-256 was right when their size and time were last recorded, and whose headers are right now. If there is no usable
//! cache, the files are decoded in memory and read by [`idx`].

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use etcetera::BaseStrategy as _;
use sha2::{Digest as _, Sha256};

use super::super::{Dataset, Features, Loaded, Split, idx};
use crate::error::{Error, Result};
use crate::files;
use crate::memory::require_addresses;

/// An embedded file.
struct Embedded {
    name: &'static str,
    compressed: &'static [u8],
    sha256: &'static str,
    header: &'static [u8],
}

const TRAIN_IMAGES: Embedded = Embedded {
    name: "train-images-idx3-ubyte",
    compressed: include_bytes!("../../../data/mnist/train-images-idx3-ubyte.zst"),
    sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    header: &[0, 0, 8, 3, 0, 0, 0xea, 0x60, 0, 0, 0, 28, 0, 0, 0, 28],
};
const TRAIN_LABELS: Embedded = Embedded {
    name: "train-labels-idx1-ubyte",
    compressed: include_bytes!("../../../data/mnist/train-labels-idx1-ubyte.zst"),
    sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    header: &[0, 0, 8, 1, 0, 0, 0xea, 0x60],
};
const TEST_IMAGES: Embedded = Embedded {
    name: "t10k-images-idx3-ubyte",
    compressed: include_bytes!("../../../data/mnist/t10k-images-idx3-ubyte.zst"),
    sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    header: &[0, 0, 8, 3, 0, 0, 0x27, 0x10, 0, 0, 0, 28, 0, 0, 0, 28],
};
const TEST_LABELS: Embedded = Embedded {
    name: "t10k-labels-idx1-ubyte",
    compressed: include_bytes!("../../../data/mnist/t10k-labels-idx1-ubyte.zst"),
    sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    header: &[0, 0, 8, 1, 0, 0, 0x27, 0x10],
};
const FILES: [&Embedded; 4] = [&TRAIN_IMAGES, &TRAIN_LABELS, &TEST_IMAGES, &TEST_LABELS];

/// The file that records size and time of the verified files.
const STAMP: &str = "verified";

/// [`Dataset::fingerprint`] of MNIST.
const FINGERPRINT: &str = "xxh3-2:7bf55fa29d825e3bab73f220ab69df1d";

/// Loads MNIST from the cache, or decodes it in memory and adds a notice if the cache cannot be used.
pub fn load() -> Result<Loaded> {
    let problem = match cache_directory() {
        Ok(directory) => match load_cached(&directory) {
            Ok(data) => return Ok(Loaded { data, notices: Vec::new() }),
            Err(error) => error,
        },
        Err(error) => error,
    };
    let notice = format!("MNIST is decoded in memory, because it cannot be cached: {problem}");
    Ok(Loaded { data: load_from_memory()?, notices: vec![notice] })
}

/// `$XDG_CACHE_HOME/densely/mnist`, or the platform's equivalent.
pub fn cache_directory() -> Result<PathBuf> {
    let strategy = etcetera::choose_base_strategy()
        .map_err(|error| Error::invalid("cache directory", error.to_string()))?;
    Ok(strategy.cache_dir().join("densely").join("mnist"))
}

fn load_cached(directory: &Path) -> Result<Dataset> {
    let base_path = directory.to_str().ok_or_else(|| {
        Error::invalid_file(
            directory,
            "the path is not UTF-8; expected a cache directory whose path is",
        )
    })?;
    ensure_cached(directory)?;
    let data = read_cached(base_path)?;
    if data.fingerprint() == FINGERPRINT {
        return Ok(data);
    }
    // a bit lost by the disk changes neither size nor time
    repair(directory)?;
    read_cached(base_path)
}

/// Reads the cached files with the crate `mnist`. Their sizes and headers must be right; their values need not be.
fn read_cached(base_path: &str) -> Result<Dataset> {
    // the crate panics where memory is missing
    let bytes = 2 * 70_000 * (28 * 28 + 1);
    require_addresses(bytes, "MNIST", "raise the limit of the address space (ulimit -v)")?;
    // With 70,000 training examples, the crate returns all examples in file order.
    let mnist = mnist::MnistBuilder::new()
        .base_path(base_path)
        .training_set_length(70_000)
        .validation_set_length(0)
        .test_set_length(0)
        .finalize();
    let labels = mnist.trn_lbl.into_iter().map(u32::from).collect();
    // a copy: what grew while it was read is larger than its contents, and not in huge pages
    let pixels = Features::U8(mnist.trn_img.to_vec());
    let data = Dataset::new("mnist", pixels, labels, 28 * 28)?;
    Ok(data.with_images((28, 28), 60_000).with_usual_split(Split::Pooled))
}

fn load_from_memory() -> Result<Dataset> {
    let half = |images: &Embedded, labels: &Embedded| -> Result<idx::Half> {
        Ok(idx::Half {
            images: idx::read_images(&decode(images)?[..], Path::new(images.name))?,
            labels: idx::read_labels(&decode(labels)?[..], Path::new(labels.name))?,
        })
    };
    let train = half(&TRAIN_IMAGES, &TRAIN_LABELS)?;
    let data = idx::pool("mnist", "mnist", train, Some(half(&TEST_IMAGES, &TEST_LABELS)?))?;
    Ok(data.with_usual_split(Split::Pooled))
}

/// Writes the four files in `directory` that are missing, and repairs those that are damaged.
///
/// Computes their hashes only if a size or a time differs from the record. [`load_cached`] checks the fingerprint of the
/// data on every start.
fn ensure_cached(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
    let stamp_path = directory.join(STAMP);
    let current = stamp(directory);
    let recorded = files::read_text(&stamp_path).ok();
    if current.is_some() && current == recorded && headers_are_right(directory) {
        return Ok(());
    }
    repair(directory)
}

/// Writes each file that is missing or has the wrong hash, and records sizes and times.
fn repair(directory: &Path) -> Result<()> {
    let stamp_path = directory.join(STAMP);
    for file in FILES {
        let path = directory.join(file.name);
        if files::read(&path).is_ok_and(|bytes| sha256(&bytes) == file.sha256) {
            continue;
        }
        files::write_atomic(&path, &decode(file)?)?;
    }
    match stamp(directory) {
        Some(current) => files::write_atomic(&stamp_path, current.as_bytes()),
        None => Err(Error::invalid_file(directory, "a file vanished while it was being cached")),
    }
}

/// One line per file: name, size, modification time. `None` if a file is missing.
fn stamp(directory: &Path) -> Option<String> {
    let lines = FILES.map(|file| {
        let metadata = fs::metadata(directory.join(file.name)).ok()?;
        let modified = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(format!("{} {} {}\n", file.name, metadata.len(), modified.as_nanos()))
    });
    lines.into_iter().collect()
}

fn headers_are_right(directory: &Path) -> bool {
    FILES.iter().all(|file| {
        let mut found = vec![0; file.header.len()];
        let opened = fs::File::open(directory.join(file.name));
        opened.and_then(|mut open| open.read_exact(&mut found)).is_ok() && found == file.header
    })
}

fn decode(file: &Embedded) -> Result<Vec<u8>> {
    let damaged = |error: &dyn std::fmt::Display| {
        Error::invalid(file.name, format!("the embedded copy is damaged: {error}"))
    };
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(file.compressed)
        .map_err(|error| damaged(&error))?;
    let mut bytes = Vec::new();
    decoder.read_to_end(&mut bytes).map_err(|error| damaged(&error))?;
    match sha256(&bytes) == file.sha256 {
        true => Ok(bytes),
        false => Err(damaged(&"its SHA-256 is wrong")),
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::idx_directory::read_directory;

    fn assert_same(a: &Dataset, b: &Dataset) {
        assert_eq!(a.fingerprint(), b.fingerprint());
        assert_eq!((a.image(), a.train_file_len()), (b.image(), b.train_file_len()));
    }

    #[test]
    fn the_embedded_files_are_the_published_ones() {
        for file in FILES {
            let bytes = decode(file).unwrap();
            assert!(bytes.starts_with(file.header), "{}", file.name);
        }
    }

    #[test]
    fn our_reader_agrees_with_the_mnist_crate_and_the_cache_is_repaired() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("new/mnist");
        let by_crate = load_cached(&directory).unwrap();
        assert_eq!((by_crate.len(), by_crate.n_classes()), (70_000, 10));
        assert_same(&by_crate, &read_directory(&directory).unwrap());
        assert_same(&by_crate, &load_from_memory().unwrap());
        assert_eq!(by_crate.fingerprint(), FINGERPRINT);
        // as models and checkpoints of earlier versions have it
        assert!(by_crate.has_fingerprint("xxh3:8990e0615f387ecc84fc143c8882ab2b"));

        let path = directory.join(TRAIN_IMAGES.name);
        for damage in [&b"short"[..], b""] {
            fs::write(&path, damage).unwrap();
            assert_same(&by_crate, &load_cached(&directory).unwrap());
        }
        let mut bytes = fs::read(&path).unwrap();
        bytes[5000] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_same(&by_crate, &load_cached(&directory).unwrap());
        // damage with the same size and time: a bit of an image, and a label that is not a class
        for (file, place, value) in [(&TRAIN_IMAGES, 5000, 1), (&TEST_LABELS, 100, 200)] {
            let path = directory.join(file.name);
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            let mut bytes = fs::read(&path).unwrap();
            bytes[place] ^= value;
            fs::write(&path, &bytes).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
            assert_same(&by_crate, &load_cached(&directory).unwrap());
            assert_eq!(sha256(&fs::read(&path).unwrap()), file.sha256);
        }
        fs::remove_file(directory.join(TEST_LABELS.name)).unwrap();
        assert_same(&by_crate, &load_cached(&directory).unwrap());
        fs::write(directory.join(STAMP), "nonsense").unwrap();
        assert_same(&by_crate, &load_cached(&directory).unwrap());
    }

    #[test]
    fn good_files_are_not_rewritten_and_a_directory_in_place_of_a_file_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        ensure_cached(directory.path()).unwrap();
        let before = stamp(directory.path());
        ensure_cached(directory.path()).unwrap();
        assert_eq!(before, stamp(directory.path()));

        let path = directory.path().join(TEST_LABELS.name);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let message = load_cached(directory.path()).unwrap_err().to_string();
        assert!(message.contains(TEST_LABELS.name), "{message}");
    }
}
