//! From images to a data set: IDX files without labels, folders of PNG and JPEG files, and NumPy's arrays.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::table_files::Files as TableFiles;
use super::{Form, Loaded, Read, Source};
use crate::data::draw::Files;
use crate::data::idx_directory::read_directory;
use crate::data::image_folder::{read_image_folder, read_images};
use crate::data::npz::{Arrays, Inputs, NpyArray, Values, read_arrays, read_inputs};
use crate::data::table::digits;
use crate::data::{Dataset, Features, Part, SampleNames, idx, mnist};
use crate::error::{Error, Result};

/// Reads IDX files of images without labels, one after the other; `-` is standard input. `None` if the files hold
/// no images.
///
/// # Errors
/// If a file is damaged, or the images differ in size; the message names the file.
pub fn load_images(paths: &[PathBuf]) -> Result<Option<Dataset>> {
    let mut pixels = Vec::new();
    let mut size = None;
    let mut count = 0;
    for path in paths {
        let images = if path.as_os_str() == "-" {
            idx::read_images(std::io::stdin().lock(), Path::new("standard input"))?
        } else {
            idx::read_images_file(path)?
        };
        let found = (images.height, images.width);
        let (height, width) = *size.get_or_insert(found);
        if found != (height, width) {
            let problem = format!(
                "images of {}x{} pixels, expected {height}x{width} as in {}",
                found.0,
                found.1,
                paths[0].display()
            );
            return Err(Error::invalid_file(path, problem));
        }
        count += images.count;
        idx::require_values(&path.display().to_string(), pixels.len() + images.pixels.len())?;
        match pixels.is_empty() {
            true => pixels = images.pixels,
            false => pixels.extend_from_slice(&images.pixels),
        }
    }
    let size = size.unwrap_or_default();
    let name = paths.first().map_or_else(String::new, |path| path.display().to_string());
    let n_features = size.0.saturating_mul(size.1);
    if count == 0 {
        return Ok(None);
    }
    let data = Dataset::of_features(name, Features::U8(pixels), count, n_features)?;
    Ok(Some(data.with_images(size, count)))
}

/// The images that a model expects.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct InputImages {
    /// Height and width.
    pub size: Option<(usize, usize)>,
    /// Values of a pixel.
    pub channels: usize,
}

/// Images without labels.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoadedImages {
    /// The images, without labels.
    pub data: Dataset,
    /// The name of each image; empty where they have none.
    pub names: Vec<String>,
    /// How they were read, where that is not evident, one line each.
    pub notices: Vec<String>,
}

impl LoadedImages {
    /// Images without names.
    fn of(data: Dataset) -> Self {
        Self { data, names: Vec::new(), notices: Vec::new() }
    }
}

impl InputImages {
    /// Images of this height and width, with as many values a pixel.
    pub fn new(size: Option<(usize, usize)>, channels: usize) -> Self {
        Self { size, channels }
    }

    /// Reads images without labels in any form: IDX files, PNG and JPEG files and folders of them (stretched to the size, if there
    /// is one), or NumPy's arrays. `None` if there are none.
    ///
    /// # Errors
    /// As [`load_images`]; also if the inputs are of several forms.
    pub fn load(self, paths: &[PathBuf]) -> Result<Option<LoadedImages>> {
        let name = paths.first().map_or_else(String::new, |path| path.display().to_string());
        let is_picture = |path: &PathBuf| {
            let extension = path.extension().map(|end| end.to_string_lossy().to_ascii_lowercase());
            path.is_dir() || matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg"))
        };
        if paths.iter().all(is_picture) {
            let size = self.size.map(|(height, width)| (width, height));
            let images = read_images(paths, size, self.channels)?;
            let names: Vec<String> =
                images.paths.iter().map(|path| path.display().to_string()).collect();
            let n = images.size.0 * images.size.1 * self.channels;
            let pixels = Features::U8(images.pixels);
            let data = Dataset::of_features(name, pixels, names.len(), n)?;
            let data = data.with_image_size(images.size, self.channels);
            return Ok(Some(LoadedImages { data, names, notices: images.notices }));
        }
        if let [path] = paths
            && Form::of_name(&name) == Some(Form::Arrays)
        {
            return match read_inputs(path)? {
                Inputs::Images { pixels, size, channels, count } => {
                    let n = size.0 * size.1 * channels;
                    let data = Dataset::of_features(name, Features::U8(pixels), count, n)?;
                    Ok(Some(LoadedImages::of(data.with_image_size(size, channels))))
                }
                Inputs::Table(_) => Err(Error::invalid_file(
                    path,
                    "found an array of numbers; the model expects images, arrays of bytes (images, height, width)",
                )),
            };
        }
        if let Some(directory) = paths.iter().find(|path| path.is_dir()) {
            let problem =
                "a folder beside files that are no PNG or JPEG images; expected inputs of one form";
            return Err(Error::invalid_file(directory, problem));
        }
        Ok(load_images(paths)?.map(LoadedImages::of))
    }
}

/// Images with their labels in any form, or arrays that turn out to be tables. The files of `valid` and `test` are those of
/// [`with_own_parts`].
pub(super) fn read(source: &Source, form: Form) -> Result<Read> {
    let images = match form {
        Form::Idx if source.data == "mnist" => mnist::load()?,
        Form::Idx => {
            let data = read_directory(Path::new(&source.data))?;
            Loaded { notices: data.warnings(), data }
        }
        Form::Folder => folder(source)?,
        _ => return arrays(source),
    };
    Ok(Read::Images(Box::new(images)))
}

/// The same images with the validation and the test part that a source names besides.
pub(super) fn with_own_parts(source: &Source, loaded: Loaded) -> Result<Loaded> {
    let Loaded { mut data, mut notices } = loaded;
    for (path, part) in [(&source.valid, Part::Val), (&source.test, Part::Test)] {
        let Some(path) = path else { continue };
        let own = Source { data: path.clone(), valid: None, test: None, ..source.clone() };
        let form = own.form()?;
        let read = match form {
            Form::Idx | Form::Folder | Form::Arrays => read(&own, form)?,
            _ => return Err(Error::invalid(&path[..], IMAGES)),
        };
        let Read::Images(images) = read else { return Err(Error::invalid(&path[..], IMAGES)) };
        // a part of one class is no training part of one class
        let warnings = images.data.warnings();
        notices.extend(images.notices.into_iter().filter(|notice| !warnings.contains(notice)));
        data = match part {
            Part::Val => data.with_valid(images.data)?,
            _ => data.with_test(images.data)?,
        };
    }
    Ok(Loaded { data, notices })
}

const IMAGES: &str = "it is a table; expected images, as in the training part: a directory of IDX files or of folders, or .npz";

/// A folder of images for each class.
fn folder(source: &Source) -> Result<Loaded> {
    let path = Path::new(&source.data);
    let size = source.image_size.map(|size| (size.width, size.height));
    let found = read_image_folder(path, size)?;
    let n_features = found.size.0 * found.size.1 * found.channels;
    let name = path.file_name().map_or_else(|| "images".into(), |name| name.to_string_lossy());
    let features = Features::U8(found.pixels);
    let data = Dataset::of_classes(name, features, n_features, found.labels, found.class_names)?;
    let data = data.with_sample_names(SampleNames::Files(Arc::new(found.names)));
    let data = with_parts(data.with_image_size(found.size, found.channels), found.counts);
    Ok(Loaded { notices: [found.notices, data.warnings()].concat(), data })
}

/// NumPy's arrays with labels.
fn arrays(source: &Source) -> Result<Read> {
    let path = Path::new(&source.data);
    match read_arrays(path)? {
        Arrays::Images { pixels, size, channels, labels, counts } => {
            let (labels, classes) = classes(labels);
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let n_features = size.0 * size.1 * channels;
            let data =
                Dataset::of_classes(name, Features::U8(pixels), n_features, labels, classes)?;
            let data = with_parts(data.with_image_size(size, channels), counts);
            Ok(Read::Images(Box::new(Loaded { notices: data.warnings(), data })))
        }
        Arrays::Table { train, valid, test } => {
            let files = TableFiles::with(train, valid, test, source)?;
            Ok(Read::Tables(Box::new(files)))
        }
    }
}

/// Records the parts that have files of their own.
fn with_parts(data: Dataset, [train, val, test]: [usize; 3]) -> Dataset {
    match val + test {
        0 => data,
        _ => data.with_files(Files { train, val }),
    }
}

/// The number of each label among the classes, and the classes: numbers by size, texts by alphabet.
fn classes(labels: NpyArray) -> (Vec<u32>, Vec<String>) {
    let (texts, order): (Vec<String>, Vec<String>) = match labels.values {
        Values::Text { codes, levels } => {
            let mut order = levels.clone();
            order.sort();
            (codes.into_iter().map(|code| levels[code as usize].clone()).collect(), order)
        }
        Values::U8(values) => numbered(values.into_iter().map(f32::from).collect()),
        Values::F32(values) => numbered(values),
    };
    let mut order = order;
    order.dedup();
    let numbers: std::collections::HashMap<&str, u32> =
        order.iter().zip(0..).map(|(class, number)| (&class[..], number)).collect();
    (texts.iter().map(|text| numbers[&text[..]]).collect(), order)
}

/// The digits of numbers, and the same by size.
fn numbered(values: Vec<f32>) -> (Vec<String>, Vec<String>) {
    let mut sorted = values.clone();
    sorted.sort_by(f32::total_cmp);
    sorted.dedup();
    let texts = |values: Vec<f32>| values.into_iter().map(digits).collect();
    (texts(values), texts(sorted))
}
