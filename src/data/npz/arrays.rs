//! What arrays of the usual names mean: images or rows with their labels, of the training, validation and test parts.

use std::io::Cursor;
use std::path::Path;

use super::archive::Archive;
use super::columns::table;
use super::values::shown;
use super::{NpyArray, ReadSeek, Values, open, read_array};
use crate::data::table::{MOST_COLUMNS, Table, merge};
use crate::error::{Error, Result};
use crate::memory::require_bytes;

const SMALLER: &str = "expected less data";

/// The names that are looked for, without regard to case, with the part and whether they are inputs. The last six are those of
/// MedMNIST.
const NAMES: [(&str, usize, bool); 16] = [
    ("x_train", 0, true),
    ("y_train", 0, false),
    ("x_valid", 1, true),
    ("y_valid", 1, false),
    ("x_val", 1, true),
    ("y_val", 1, false),
    ("x_test", 2, true),
    ("y_test", 2, false),
    ("x", 0, true),
    ("y", 0, false),
    ("train_images", 0, true),
    ("train_labels", 0, false),
    ("val_images", 1, true),
    ("val_labels", 1, false),
    ("test_images", 2, true),
    ("test_labels", 2, false),
];

/// Labelled data from an `.npz` file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant)] // there is one at a time
pub enum Arrays {
    /// Bytes of (images, height, width), or with 1, 3 or 4 channels as a fourth dimension.
    Images {
        /// Row by row, the channels of a pixel side by side; the training part first, then validation, then test.
        pixels: Vec<u8>,
        /// Height and width.
        size: (usize, usize),
        /// Values of a pixel.
        channels: usize,
        /// A label for each image: one dimension.
        labels: NpyArray,
        /// The number of images for training, validation and test; 0 for a part that the file does not have.
        counts: [usize; 3],
    },
    /// Anything else: columns `x0`, `x1`, ... and the target `y`, or `y0`, `y1`, ... if it has several columns.
    Table {
        /// The training part, or everything.
        train: Table,
        /// The validation part.
        valid: Option<Table>,
        /// The test part.
        test: Option<Table>,
    },
}

/// Data without labels.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Inputs {
    /// As [`Arrays::Images`].
    Images {
        /// Row by row, the channels of a pixel side by side.
        pixels: Vec<u8>,
        /// Height and width.
        size: (usize, usize),
        /// Values of a pixel.
        channels: usize,
        /// The number of images.
        count: usize,
    },
    /// As [`Arrays::Table`], without a target.
    Table(Table),
}

/// Reads `x_train`, `y_train` and perhaps `x_test`, `y_test`, `x_valid` or `x_val`, `y_valid` or `y_val`; or `X`, `y`.
///
/// # Errors
/// If the archive or an array is damaged, an array that is needed is missing, the shapes do not fit, or there are no rows.
pub fn read_arrays(path: &Path) -> Result<Arrays> {
    let (source, name) = open(path)?;
    arrays(source, &name)
}

/// Reads the bytes of an `.npz` file; otherwise as [`read_arrays`]. Messages call it `name`.
///
/// # Errors
/// As [`read_arrays`].
pub fn read_arrays_bytes(name: &str, bytes: &[u8]) -> Result<Arrays> {
    arrays(Cursor::new(bytes), name)
}

/// Reads inputs without labels: a `.npy` file, or of an `.npz` file the only array, or else `X` or `x_test`.
///
/// # Errors
/// As [`read_arrays`], or if the archive does not say which array is meant.
pub fn read_inputs(path: &Path) -> Result<Inputs> {
    let (source, name) = open(path)?;
    inputs(source, &name)
}

/// Reads the bytes of a file; otherwise as [`read_inputs`]. Messages call it `name`.
///
/// # Errors
/// As [`read_inputs`].
pub fn read_inputs_bytes(name: &str, bytes: &[u8]) -> Result<Inputs> {
    inputs(Cursor::new(bytes), name)
}

/// An array and what messages call it.
struct Named {
    name: String,
    array: NpyArray,
}

/// Inputs and labels of a part.
struct Pair {
    x: Named,
    y: Named,
}

fn arrays<S: ReadSeek>(source: S, name: &str) -> Result<Arrays> {
    let mut archive = Archive::open(source, name)?;
    let found = roles(archive.names(), name)?;
    let mut parts: [Option<Pair>; 3] = [None, None, None];
    for (part, place) in parts.iter_mut().enumerate() {
        let of = |is_x| found.iter().find(|role| (role.1, role.2) == (part, is_x));
        let (x, y) = match (of(true), of(false)) {
            (Some(x), Some(y)) => (&x.0, &y.0),
            (None, None) => continue,
            (Some(alone), None) | (None, Some(alone)) => {
                let other = NAMES.iter().position(|name| name.0 == alone.0.to_lowercase());
                let other = other.map_or("its partner", |at| NAMES[at ^ 1].0);
                let problem = format!("`{}` without `{other}`; expected both", alone.0);
                return Err(Error::invalid(name, problem));
            }
        };
        let named = |array: &String, archive: &mut Archive<'_, S>| {
            let subject = format!("{name}, `{array}`");
            Ok::<_, Error>(Named { name: subject, array: archive.read(array)? })
        };
        let pair = Pair { x: named(x, &mut archive)?, y: named(y, &mut archive)? };
        pair.check()?;
        *place = Some(pair);
    }
    let [Some(train), valid, test] = parts else {
        let problem =
            format!("expected `x_train` and `y_train`, or `X` and `y`, found {}", listed(&archive));
        return Err(Error::invalid(name, problem));
    };
    for part in [&valid, &test].into_iter().flatten() {
        train.require_same_shape(part)?;
    }
    if train.x.image().is_some() && train.y.array.width() == 1 {
        return joined(name, train, valid, test);
    }
    let table = |pair: Pair| table(name, pair.x.array, Some(pair.y.array));
    let (valid, test) = (valid.map(table).transpose()?, test.map(table).transpose()?);
    Ok(Arrays::Table { train: table(train)?, valid, test })
}

fn inputs<S: ReadSeek>(mut source: S, name: &str) -> Result<Inputs> {
    let mut start = [0; 2];
    let unreadable = |error| super::unreadable(&error, name, "the first bytes");
    source.read_exact(&mut start).map_err(unreadable)?;
    source.rewind().map_err(unreadable)?;
    let x = match &start == b"PK" {
        false => Named { name: name.to_owned(), array: read_array(&mut source, name)? },
        true => {
            let mut archive = Archive::open(source, name)?;
            let roles = roles(archive.names(), name)?;
            let inputs: Vec<&String> = roles.iter().filter(|r| r.2).map(|r| &r.0).collect();
            let of_test = roles.iter().find(|role| role.1 == 2 && role.2).map(|role| &role.0);
            let chosen = match (archive.names(), &inputs[..]) {
                ([only], _) => Some(only),
                (_, [only]) => Some(*only),
                _ => of_test,
            };
            let Some(chosen) = chosen.cloned() else {
                let problem =
                    format!("expected one array, `X` or `x_test`, found {}", listed(&archive));
                return Err(Error::invalid(name, problem));
            };
            Named { name: format!("{name}, `{chosen}`"), array: archive.read(&chosen)? }
        }
    };
    x.check_rows()?;
    match (x.image(), x.array) {
        (Some((height, width, channels)), NpyArray { shape, values: Values::U8(pixels) }) => {
            Ok(Inputs::Images { pixels, size: (height, width), channels, count: shape[0] })
        }
        (_, array) => table(name, array, None).map(Inputs::Table),
    }
}

/// The arrays with a name that means something: which part, and whether they are inputs.
fn roles(names: &[String], name: &str) -> Result<Vec<(String, usize, bool)>> {
    let mut roles: Vec<(String, usize, bool)> = Vec::new();
    for array in names {
        let lower = array.to_lowercase();
        let Some(&(_, part, is_x)) = NAMES.iter().find(|known| known.0 == lower) else { continue };
        if let Some(other) = roles.iter().find(|role| (role.1, role.2) == (part, is_x)) {
            let problem =
                format!("`{}` and `{array}` mean the same; expected one of them", other.0);
            return Err(Error::invalid(name, problem));
        }
        roles.push((array.clone(), part, is_x));
    }
    Ok(roles)
}

/// The names of the arrays of a file, for a message.
fn listed<S: ReadSeek>(archive: &Archive<'_, S>) -> String {
    let quoted: Vec<String> = archive.names().iter().map(|name| format!("`{name}`")).collect();
    match quoted.is_empty() {
        true => "no arrays".to_owned(),
        false => quoted.join(", "),
    }
}

impl Named {
    /// Rejects what has no rows, or rows without values.
    fn check_rows(&self) -> Result<()> {
        let shape = &self.array.shape;
        let expected = match shape.len() {
            0 | 1 => "expected rows and columns",
            _ if shape.contains(&0) => "expected at least one row of at least one value",
            _ if self.array.width() > MOST_COLUMNS => "expected at most 1048576 values in a row",
            _ => return Ok(()),
        };
        Err(Error::invalid(&self.name, format!("the shape is {}; {expected}", shown(shape))))
    }

    /// Height, width and channels, if the values are images.
    fn image(&self) -> Option<(usize, usize, usize)> {
        match (&self.array.values, &self.array.shape[..]) {
            (Values::U8(_), &[_, height, width]) => Some((height, width, 1)),
            (Values::U8(_), &[_, height, width, channels @ (1 | 3 | 4)]) => {
                Some((height, width, channels))
            }
            _ => None,
        }
    }
}

impl Pair {
    fn check(&self) -> Result<()> {
        self.x.check_rows()?;
        let (x, y) = (&self.x.array, &self.y.array);
        let expected = match y.shape.len() {
            0 => "a label for each row",
            _ if y.n_rows() != x.n_rows() => "as many rows",
            _ if y.width() == 0 || y.width() > MOST_COLUMNS => "1 to 1048576 columns",
            _ => return Ok(()),
        };
        let problem = format!(
            "the shape is {}; expected {expected}, since that of the inputs is {}",
            shown(&y.shape),
            shown(&x.shape)
        );
        Err(Error::invalid(&self.y.name, problem))
    }

    /// Rejects another part whose rows have other shapes.
    fn require_same_shape(&self, part: &Self) -> Result<()> {
        for (own, other) in [(&self.x, &part.x), (&self.y, &part.y)] {
            let (expected, found) = (&own.array, &other.array);
            let differs = match own.image().is_some() || other.image().is_some() {
                true => expected.shape[1..] != found.shape[1..] || own.image() != other.image(),
                false => expected.width() != found.width(),
            };
            let is_text = |array: &NpyArray| matches!(array.values, Values::Text { .. });
            if is_text(expected) != is_text(found) {
                let kind = |array| if is_text(array) { "texts" } else { "numbers" };
                let (found, expected) = (kind(found), kind(expected));
                let problem = format!("{found}; expected {expected}, as in the training part");
                return Err(Error::invalid(&other.name, problem));
            }
            if differs {
                let problem = format!(
                    "the shape is {}; expected rows like those of the training part, which is {}",
                    shown(&found.shape),
                    shown(&expected.shape)
                );
                return Err(Error::invalid(&other.name, problem));
            }
        }
        Ok(())
    }
}

/// Images of all parts, one after the other.
fn joined(name: &str, train: Pair, valid: Option<Pair>, test: Option<Pair>) -> Result<Arrays> {
    let (height, width, channels) = train.x.image().unwrap_or_default();
    let count = |pair: &Option<Pair>| pair.as_ref().map_or(0, |pair| pair.x.array.n_rows());
    let counts = [train.x.array.n_rows(), count(&valid), count(&test)];
    let total: usize = counts.iter().sum();
    let bytes = total as u64 * (height * width * channels) as u64;
    require_bytes(bytes + 4 * total as u64, name, SMALLER)?;
    let NpyArray { values: mut labels, .. } = train.y.array;
    let mut pixels = Vec::new();
    append(&mut pixels, train.x.array.values);
    for pair in [valid, test].into_iter().flatten() {
        append(&mut pixels, pair.x.array.values);
        labels = labels_of_both(labels, pair.y.array.values);
    }
    let labels = NpyArray { shape: vec![total], values: labels };
    Ok(Arrays::Images { pixels, size: (height, width), channels, labels, counts })
}

/// Appends bytes, which images are.
fn append(pixels: &mut Vec<u8>, values: Values) {
    match values {
        Values::U8(values) if pixels.is_empty() => *pixels = values,
        Values::U8(values) => pixels.extend_from_slice(&values),
        _ => {}
    }
}

/// Labels one after the other: texts, or numbers.
fn labels_of_both(first: Values, second: Values) -> Values {
    let numbers = |values: Values| match values {
        Values::U8(values) => values.into_iter().map(f32::from).collect(),
        Values::F32(values) => values,
        Values::Text { .. } => Vec::new(),
    };
    match (first, second) {
        (Values::U8(mut first), Values::U8(second)) => {
            first.extend_from_slice(&second);
            Values::U8(first)
        }
        (Values::Text { mut codes, mut levels }, Values::Text { codes: more, levels: new }) => {
            let code = merge(&mut levels, &new);
            codes.extend(more.iter().map(|&old| code[old as usize]));
            Values::Text { codes, levels }
        }
        (first, second) => {
            let mut joined = numbers(first);
            joined.extend(numbers(second));
            Values::F32(joined)
        }
    }
}
