//! Finds the IDX files of a data set in a directory, by the names under which data sets are published.
//!
//! MNIST's `train-images-idx3-ubyte`, raw or `.gz`; `train-images.idx3-ubyte`; EMNIST's `emnist-letters-test-images-idx3-ubyte`;
//! a directory of a file's name that holds the file, as some archives unpack. Test files alone are a data set too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::Dataset;
use super::idx::{Half, open, pool, read_images_file, read_labels};
use crate::error::{Error, Result};

/// Which examples a file is of, and what it says of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Role {
    is_test: bool,
    holds_labels: bool,
}

/// The files of one data set; the best form of each first.
type Files = BTreeMap<Role, BTreeSet<(u8, PathBuf)>>;

/// Reads a directory with images and labels for training, for testing, or both.
///
/// # Errors
/// If a file is missing or damaged, or there are several data sets.
pub fn read_directory(directory: &Path) -> Result<Dataset> {
    let files = find(directory)?;
    let train = read_half(&files, false)?;
    let test = read_half(&files, true)?;
    let name = directory.file_name().map_or_else(|| "idx".into(), |name| name.to_string_lossy());
    let (first, second) = match train {
        Some(train) => (train, test),
        None => match test {
            Some(test) => (test, None),
            None => {
                return Err(Error::invalid_file(
                    directory,
                    "no train-images-idx3-ubyte here (or .gz); expected a directory of IDX files",
                ));
            }
        },
    };
    pool(&name, &directory.display().to_string(), first, second)
}

/// The files of the data set in a directory: those without a prefix, or else the only ones with the same prefix.
fn find(directory: &Path) -> Result<Files> {
    let mut sets: BTreeMap<String, Files> = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(Error::io("list", directory))? {
        let path = entry.map_err(Error::io("list", directory))?.path();
        let Some(name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            continue;
        };
        // macOS leaves `._name` beside a file
        let Some((prefix, role, form)) = parse(&name).filter(|_| !name.starts_with('.')) else {
            continue;
        };
        let inner = path.join(&name);
        let (form, path) = match (path.is_dir(), inner.is_file()) {
            (false, _) => (form, path),
            (true, true) => (form + 4, inner),
            (true, false) => (form + 8, path), // reported when it is opened
        };
        let files = sets.entry(prefix.to_owned()).or_default();
        files.entry(role).or_default().insert((form, path));
    }
    let has_training = |files: &Files| files.keys().any(|role| !role.is_test);
    if sets.get("").is_some_and(has_training) {
        return Ok(sets.remove("").unwrap_or_default());
    }
    match sets.len() {
        0 | 1 => Ok(sets.into_values().next().unwrap_or_default()),
        _ => {
            let name = |prefix: &str| match prefix.trim_end_matches(SEPARATORS) {
                "" => "one without a prefix".to_owned(),
                name => name.to_owned(),
            };
            let names: Vec<String> = sets.keys().map(|prefix| name(prefix)).collect();
            let problem = format!("several data sets ({}); expected one", names.join(", "));
            Err(Error::invalid_file(directory, problem))
        }
    }
}

const SEPARATORS: [char; 3] = ['-', '_', '.'];

/// Prefix, role and form of a file name; of two forms the lower is preferred.
fn parse(name: &str) -> Option<(&str, Role, u8)> {
    let (stem, compressed) = match name.strip_suffix(".gz") {
        Some(stem) => (stem, 1),
        None => (name, 0),
    };
    let stem = stem.strip_suffix("-ubyte").or_else(|| stem.strip_suffix(".ubyte"))?;
    for (kind, holds_labels) in [("images?idx3", false), ("labels?idx1", true)] {
        for (separator, form) in [("-", 0), (".", 2)] {
            let Some(stem) = stem.strip_suffix(&kind.replace('?', separator)) else { continue };
            let stem = stem.strip_suffix(SEPARATORS)?;
            for (part, is_test) in [("train", false), ("t10k", true), ("test", true)] {
                if let Some(prefix) = stem.strip_suffix(part)
                    && (prefix.is_empty() || prefix.ends_with(SEPARATORS))
                {
                    return Some((prefix, Role { is_test, holds_labels }, form + compressed));
                }
            }
        }
    }
    None
}

/// Reads the images and labels for training or for testing; `None` if there are neither.
fn read_half(files: &Files, is_test: bool) -> Result<Option<Half>> {
    let path = |holds_labels| {
        let files = files.get(&Role { is_test, holds_labels })?;
        files.first().map(|(_, path)| path)
    };
    let (images_path, labels_path) = match (path(false), path(true)) {
        (None, None) => return Ok(None),
        (Some(images), Some(labels)) => (images, labels),
        (Some(images), None) => return Err(alone(images, "labels", "images-idx3", "labels-idx1")),
        (None, Some(labels)) => return Err(alone(labels, "images", "labels-idx1", "images-idx3")),
    };
    let images = read_images_file(images_path)?;
    let labels = read_labels(open(labels_path)?, labels_path)?;
    if images.count != labels.len() {
        let problem = format!(
            "{} labels, expected {}, the number of images in {}",
            labels.len(),
            images.count,
            images_path.display()
        );
        return Err(Error::invalid_file(labels_path, problem));
    }
    Ok(Some(Half { images, labels }))
}

/// A file without the one that belongs to it.
fn alone(path: &Path, missing: &str, own: &str, other: &str) -> Error {
    let name = path.file_name().unwrap_or_default().to_string_lossy().replace('.', "-");
    let expected = name.trim_end_matches("-gz").replace(own, other);
    Error::invalid_file(path, format!("no {missing} beside it; expected {expected} (or .gz)"))
}

#[cfg(test)]
mod tests {
    use super::super::Features;
    use super::super::idx::tests::{gzip, idx};
    use super::super::idx::{IMAGES_MAGIC, LABELS_MAGIC};
    use super::*;

    #[test]
    fn names_of_published_data_sets_are_recognised() {
        let train = Role { is_test: false, holds_labels: false };
        let test_labels = Role { is_test: true, holds_labels: true };
        assert_eq!(parse("train-images-idx3-ubyte"), Some(("", train, 0)));
        assert_eq!(parse("train-images.idx3-ubyte.gz"), Some(("", train, 3)));
        let emnist = parse("emnist-letters-train-images-idx3-ubyte.gz");
        assert_eq!(emnist, Some(("emnist-letters-", train, 1)));
        assert_eq!(parse("emnist-letters-test-labels-idx1-ubyte").unwrap().1, test_labels);
        assert_eq!(parse("t10k-labels-idx1-ubyte").unwrap().1, test_labels);
        for other in
            ["retrain-images-idx3-ubyte", "train-images", "readme", "train-images-idx1-ubyte"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    /// Two training images and one test image under these names.
    fn write_set(directory: &Path, train: &str, test: &str, suffix: &str) {
        let images = |part: &str| directory.join(format!("{part}-images-idx3-ubyte{suffix}"));
        let labels = |part: &str| directory.join(format!("{part}-labels-idx1-ubyte{suffix}"));
        let form = |bytes: Vec<u8>| if suffix.is_empty() { bytes } else { gzip(&bytes) };
        fs::write(images(train), form(idx(IMAGES_MAGIC, &[2, 1, 2], &[1, 2, 3, 4]))).unwrap();
        fs::write(labels(train), form(idx(LABELS_MAGIC, &[2], &[1, 2]))).unwrap();
        fs::write(images(test), form(idx(IMAGES_MAGIC, &[1, 1, 2], &[5, 6]))).unwrap();
        fs::write(labels(test), form(idx(LABELS_MAGIC, &[1], &[2]))).unwrap();
    }

    #[test]
    fn other_names_labels_from_1_and_test_files_alone_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        write_set(path, "emnist-letters-train", "emnist-letters-test", ".gz");
        let data = read_directory(path).unwrap();
        assert_eq!((data.len(), data.train_file_len()), (3, Some(2)));
        assert_eq!(
            (data.n_classes(), data.classes(), data.labels()),
            (2, &["1", "2"].map(str::to_owned)[..], &[0, 1, 1][..])
        );

        write_set(path, "emnist-digits-train", "emnist-digits-test", ".gz");
        let error = read_directory(path).unwrap_err().to_string();
        assert!(
            error.contains("several data sets (emnist-digits, emnist-letters); expected one"),
            "{error}"
        );

        let mixed = tempfile::tempdir().unwrap();
        write_set(mixed.path(), "mnist-train", "t10k", "");
        let error = read_directory(mixed.path()).unwrap_err().to_string();
        assert!(error.contains("several data sets (one without a prefix, mnist)"), "{error}");

        let alone = tempfile::tempdir().unwrap();
        fs::write(alone.path().join("._x-train-images-idx3-ubyte"), "AppleDouble").unwrap();
        let path = alone.path();
        write_set(path, "train", "t10k", "");
        let names = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
        names.iter().for_each(|name| fs::remove_file(path.join(name)).unwrap());
        let data = read_directory(path).unwrap();
        assert_eq!((data.len(), data.train_file_len()), (1, Some(1)));
    }

    #[test]
    fn a_directory_of_a_files_name_is_passed_over_or_looked_into() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        write_set(path, "train", "t10k", ".gz");
        let folder = path.join("train-images-idx3-ubyte");
        fs::create_dir(&folder).unwrap();
        assert_eq!(read_directory(path).unwrap().len(), 3);
        fs::remove_file(path.join("train-images-idx3-ubyte.gz")).unwrap();
        assert!(read_directory(path).unwrap_err().to_string().contains("found a directory"));
        let bytes = idx(IMAGES_MAGIC, &[2, 1, 2], &[9, 9, 9, 9]);
        fs::write(folder.join("train-images-idx3-ubyte"), bytes).unwrap();
        assert_eq!(read_directory(path).unwrap().features(), &Features::U8(vec![9, 9, 9, 9, 5, 6]));
    }

    #[test]
    fn directories_are_read_raw_or_compressed() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            fs::write(directory.path().join(name), bytes).unwrap();
        };
        let error = || read_directory(directory.path()).unwrap_err().to_string();
        assert!(error().contains("no train-images-idx3-ubyte here"));
        write("train-images-idx3-ubyte", &idx(IMAGES_MAGIC, &[2, 1, 2], &[1, 2, 3, 4]));
        assert!(error().contains("train-labels-idx1-ubyte"));
        write("train-labels-idx1-ubyte.gz", &gzip(&idx(LABELS_MAGIC, &[3], &[1, 0, 1])));
        assert!(error().contains("3 labels, expected 2"));
        write("train-labels-idx1-ubyte.gz", &gzip(&idx(LABELS_MAGIC, &[2], &[1, 0])));
        let data = read_directory(directory.path()).unwrap();
        assert_eq!((data.len(), data.n_classes(), data.train_file_len()), (2, 2, Some(2)));

        write("t10k-images.idx3-ubyte", &idx(IMAGES_MAGIC, &[1, 1, 2], &[5, 6]));
        write("t10k-labels.idx1-ubyte", &idx(LABELS_MAGIC, &[1], &[2]));
        assert!(error().contains("label 2 of example 0 of the test file is out of range"));
        write("t10k-labels.idx1-ubyte", &idx(LABELS_MAGIC, &[1], &[0]));
        let data = read_directory(directory.path()).unwrap();
        assert_eq!(data.features(), &Features::U8(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(data.labels(), [1, 0, 0]);
        assert_eq!(data.image(), Some((1, 2)));

        write("t10k-images.idx3-ubyte", &idx(IMAGES_MAGIC, &[1, 2, 2], &[5, 6, 7, 8]));
        assert!(error().contains("2x2, expected 1x2"));
        let compressed = gzip(&idx(LABELS_MAGIC, &[2], &[1, 0]));
        write("train-labels-idx1-ubyte.gz", &compressed[..compressed.len() - 6]);
        assert!(error().contains("train-labels-idx1-ubyte.gz"));
        let trailing = [&compressed[..], b"x"].concat();
        write("train-labels-idx1-ubyte.gz", &trailing);
        assert!(error().contains("found more"), "{}", error());
        write("train-labels-idx1-ubyte.gz", &compressed);
        fs::remove_file(directory.path().join("t10k-images.idx3-ubyte")).unwrap();
        assert!(error().contains("no images beside it"), "{}", error());
        write("train-images-idx3-ubyte", b"");
        assert!(error().contains("the file ends within the header"));
        fs::remove_file(directory.path().join("train-images-idx3-ubyte")).unwrap();
        fs::create_dir(directory.path().join("train-images-idx3-ubyte")).unwrap();
        assert!(error().contains("found a directory"));
    }
}
