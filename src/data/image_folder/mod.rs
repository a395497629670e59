//! Reads folders of PNG and JPEG images: one folder for each class, or `train/`, `valid/` (or `val/`) and `test/` with such folders.
//!
//! Names decide: a file that ends with `.png`, `.jpg` or `.jpeg` is an image, whatever format its contents have. Hidden files do not
//! count, symbolic links do. Everything is in the order of the names.

mod decode;
mod jpeg;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::text::plural;

/// Labelled images of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageFolder {
    /// Row by row, the channels of a pixel side by side; the training part first, then validation, then test.
    pub pixels: Vec<u8>,
    /// Height and width.
    pub size: (usize, usize),
    /// Values of a pixel: 1 if all images are grey, else 3 (red, green, blue).
    pub channels: usize,
    /// The file of each image, seen from the directory.
    pub names: Vec<String>,
    /// The class of each image.
    pub labels: Vec<u32>,
    /// The names of the classes, which are those of the folders.
    pub class_names: Vec<String>,
    /// The number of images for training, validation and test; 0 for a part without a folder.
    pub counts: [usize; 3],
    /// What a user should know about how they were read, a line each.
    pub notices: Vec<String>,
}

/// Images without labels.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Images {
    /// Row by row, the channels of a pixel side by side.
    pub pixels: Vec<u8>,
    /// Height and width.
    pub size: (usize, usize),
    /// The files, one for each image.
    pub paths: Vec<PathBuf>,
    /// What a user should know about how they were read, a line each.
    pub notices: Vec<String>,
}

/// The folders that are parts of the data rather than classes.
const PARTS: [(&str, usize); 4] = [("train", 0), ("valid", 1), ("val", 1), ("test", 2)];

/// Whether a path is a directory that [`read_image_folder`] reads.
pub fn is_image_folder(path: &Path) -> bool {
    let has_image = |class: &PathBuf| listed(class).is_ok_and(|found| !found.images.is_empty());
    let has_class =
        |path: &Path| listed(path).is_ok_and(|found| found.folders.iter().any(has_image));
    path.is_dir() && (has_class(path) || has_class(&path.join("train")))
}

/// Reads the images of a directory.
///
/// Images of different sizes are stretched to `size` (width, height) if there is one, by a linear filter that takes all pixels into
/// account. A transparent pixel is laid on white. Values of 16 bits become values of 8. An orientation in the file's metadata is not
/// regarded.
///
/// # Errors
/// If an image is damaged, images differ in size and `size` is not given, validation or test has a class that training lacks, there are
/// no images, or they do not fit into memory; the message names the file.
pub fn read_image_folder(path: &Path, size: Option<(usize, usize)>) -> Result<ImageFolder> {
    let mut files = Files::default();
    let top = list(path)?;
    let train = top.folders.iter().find(|folder| name_of(folder) == "train");
    let has_parts = match train {
        Some(train) => !list(train)?.folders.is_empty(),
        None => false,
    };
    let mut counts = [0; 3];
    if has_parts {
        let of = |part: usize| {
            let is_part = move |folder: &&PathBuf| PARTS.contains(&(&name_of(folder)[..], part));
            top.folders.iter().filter(is_part)
        };
        if let [first, second, ..] = of(1).collect::<Vec<_>>()[..] {
            let problem =
                format!("both `{}` and `{}`; expected one", name_of(first), name_of(second));
            return Err(Error::invalid_file(path, problem));
        }
        for (part, count) in counts.iter_mut().enumerate() {
            for folder in of(part) {
                let listed = list(folder)?;
                if listed.folders.is_empty() && !listed.images.is_empty() {
                    let problem = "images without a class; expected a folder for each class";
                    return Err(Error::invalid_file(folder, problem));
                }
                *count = files.add_classes(listed, part == 0)?;
            }
        }
        let is_part = |folder: &PathBuf| PARTS.iter().any(|part| part.0 == name_of(folder));
        for other in top.folders.iter().filter(|folder| !is_part(folder)) {
            let notice = "is not read: it is none of `train`, `valid`, `val`, `test`";
            files.notices.push(format!("{} {notice}", crate::text::safe_path(other)));
        }
    } else {
        counts[0] = files.add_classes(top, true)?;
    }
    if counts[0] == 0 {
        let problem = "no PNG or JPEG images in folders here; expected a folder for each class";
        return Err(Error::invalid_file(path, problem));
    }
    if files.n_skipped > 0 {
        let verb = if files.n_skipped == 1 { "is" } else { "are" };
        files.notices.push(format!(
            "{} {verb} no PNG or JPEG image and not read",
            plural(files.n_skipped, "file")
        ));
    }
    let read = decode::read(&files.paths, size, None)?;
    let notices = [files.notices, read.notices].concat();
    let (labels, class_names) = (files.labels, files.class_names);
    let (size, channels) = (read.size, read.channels);
    let name = |file: &PathBuf| file.strip_prefix(path).unwrap_or(file).display().to_string();
    let names = files.paths.iter().map(name).collect();
    let pixels = read.pixels;
    Ok(ImageFolder { pixels, size, channels, names, labels, class_names, counts, notices })
}

/// Reads images without labels, such as those that a model is asked about: files, or folders of files. They become grey for 1
/// channel, coloured for 3.
///
/// # Errors
/// As [`read_image_folder`], without what concerns classes.
pub fn read_images(
    paths: &[PathBuf],
    size: Option<(usize, usize)>,
    channels: usize,
) -> Result<Images> {
    let (mut files, mut skipped) = (Vec::new(), Vec::new());
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let Listed { folders, images, n_others } = list(path)?;
        if let (true, Some(first)) = (images.is_empty(), folders.first()) {
            let problem = format!(
                "no PNG or JPEG images in it, but {}; expected the folders themselves, such as {}",
                plural(folders.len(), "folder"),
                crate::text::safe_path(first)
            );
            return Err(Error::invalid_file(path, problem));
        }
        if !folders.is_empty() || n_others > 0 {
            let counts = [(folders.len(), "folder"), (n_others, "other file")];
            let counts = counts.into_iter().filter(|(count, _)| *count > 0);
            let counts: Vec<String> = counts.map(|(count, what)| plural(count, what)).collect();
            let shown = crate::text::safe_path(path);
            skipped.push(format!("not read in {shown}: {}", counts.join(" and ")));
        }
        files.extend(images);
    }
    if files.is_empty() {
        let subject = paths.first().map_or_else(String::new, |path| path.display().to_string());
        return Err(Error::invalid(subject, "no PNG or JPEG images; expected at least one"));
    }
    let read = decode::read(&files, size, Some(channels))?;
    let notices = [skipped, read.notices].concat();
    Ok(Images { pixels: read.pixels, size: read.size, paths: files, notices })
}

/// The images of several parts.
#[derive(Default)]
struct Files {
    paths: Vec<PathBuf>,
    labels: Vec<u32>,
    class_names: Vec<String>,
    n_skipped: usize,
    notices: Vec<String>,
}

impl Files {
    /// Adds the images of the folders of a part, and returns how many there are. The first part says what the classes are.
    fn add_classes(&mut self, part: Listed, is_first: bool) -> Result<usize> {
        let before = self.paths.len();
        self.n_skipped += part.n_others + part.images.len();
        for folder in part.folders {
            let name = name_of(&folder);
            let class = list(&folder)?;
            self.n_skipped += class.n_others + class.folders.len();
            if class.images.is_empty() {
                let shown = crate::text::safe_path(&folder);
                self.notices.push(format!("{shown} has no images and is no class"));
                continue;
            }
            if is_first {
                self.class_names.push(name.clone());
            }
            let Some(label) = self.class_names.iter().position(|class| *class == name) else {
                let problem =
                    "a class of which the training part has no images; expected one of its folders";
                return Err(Error::invalid_file(&folder, problem));
            };
            self.labels.extend(class.images.iter().map(|_| label as u32));
            self.paths.extend(class.images);
        }
        Ok(self.paths.len() - before)
    }
}

/// What is in a directory, by name.
#[derive(Default)]
struct Listed {
    folders: Vec<PathBuf>,
    images: Vec<PathBuf>,
    n_others: usize,
}

fn list(path: &Path) -> Result<Listed> {
    listed(path).map_err(Error::io("list", path))
}

fn listed(path: &Path) -> std::io::Result<Listed> {
    let mut found = Listed::default();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        match path.extension().map(|extension| extension.to_ascii_lowercase()) {
            _ if path.is_dir() => found.folders.push(path),
            // a broken link is reported when it is opened, anything that is no file is none
            Some(extension) if ["png", "jpg", "jpeg"].iter().any(|known| extension == *known) => {
                match path.metadata() {
                    Ok(metadata) if !metadata.is_file() => found.n_others += 1,
                    _ => found.images.push(path),
                }
            }
            _ => found.n_others += 1,
        }
    }
    found.folders.sort();
    found.images.sort();
    Ok(found)
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
