//! The picture that `densely data --sheet` writes.

use std::path::Path;

use super::print_text;
use crate::data::{Augment, Augmenter, Dataset, Features, ImageShape};
use crate::error::{Error, Result};
use crate::files;
use crate::report::{self, Text};
use crate::store::RunOptions;

const ROWS: usize = 10;
const COLUMNS: usize = 12;

/// Rejects a file that must not be made: what is no PNG file, and what would be part of the data, or replace it.
pub fn require_target(file: &Path, options: &RunOptions) -> Result<()> {
    let refuse = |problem: &str| Err(Error::invalid_file(file, problem));
    let is_png = file.extension().is_some_and(|end| end.eq_ignore_ascii_case("png"));
    if !is_png {
        return refuse("expected a name that ends with .png");
    }
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let Ok(directory) = directory.unwrap_or(Path::new(".")).canonicalize() else {
        return refuse("there is no such directory; create it first, or choose another file");
    };
    let data = [Some(&options.data), options.valid.as_ref(), options.test.as_ref()];
    let is_inside = |data: &&String| {
        Path::new(data).canonicalize().is_ok_and(|data| directory.starts_with(data))
    };
    // a directory may have the name of what is built in
    let built_in = RunOptions::default().data;
    if data.into_iter().flatten().filter(|data| **data != built_in).any(|data| is_inside(&data)) {
        return refuse(
            "it lies in the data, of which it would be a part; expected another directory",
        );
    }
    files::require_replaceable(file)
}

/// Writes images of a data set beside what augmentation makes of them; without any, more of the images.
pub fn write(file: &Path, data: &Dataset, augment: Augment, seed: u64) -> Result<()> {
    let images = Images::of(data, augment)?;
    let rows = match augment.is_none() {
        true => images.alone(),
        false => images.beside_draws(augment, seed),
    };
    files::write_atomic(file, &report::sheet(&rows, images.shape, !augment.is_none())?)
}

/// What is in the file, for people.
pub fn print_caption(file: &Path, augment: Augment, seed: u64) -> anyhow::Result<()> {
    let what = match augment.is_none() {
        true => "images of the data".to_owned(),
        false => format!(
            "images of the data, and beside each what {augment} makes of it in epochs 1 to {} with seed {seed}",
            COLUMNS - 1
        ),
    };
    print_text(&Text::from("sheet: ").path(file).then(format!(": {what}").into()))
}

/// The images of a data set, and which of them are shown.
struct Images<'a> {
    pixels: &'a [u8],
    shape: ImageShape,
    samples: Vec<u32>,
}

impl<'a> Images<'a> {
    fn of(data: &'a Dataset, augment: Augment) -> Result<Self> {
        let shape = ImageShape::of(data, augment)?;
        let pixels = match data.features() {
            Features::U8(pixels) => &pixels[..],
            Features::F32(_) => &[], // these have no such shape
        };
        Ok(Self { pixels, shape, samples: in_turn(data) })
    }

    /// Rows of images, of one class each where there are as many classes as rows.
    fn alone(&self) -> Vec<Vec<Vec<f32>>> {
        let n_rows = ROWS.min(self.samples.len());
        let n_columns = COLUMNS.min(self.samples.len() / n_rows);
        let mut augmenter = Augmenter::new(Augment::default(), self.shape);
        let mut image = |i: usize| self.augmented(&mut augmenter, self.samples[i], 0, 1);
        let row = |row| (0..n_columns).map(|column| image(column * n_rows + row)).collect();
        (0..n_rows).map(row).collect()
    }

    /// Rows of an image and what augmentation makes of it in the first epochs.
    fn beside_draws(&self, augment: Augment, seed: u64) -> Vec<Vec<Vec<f32>>> {
        let mut original = Augmenter::new(Augment::default(), self.shape);
        let mut augmenter = Augmenter::new(augment, self.shape);
        let row = |&sample: &u32| {
            let first = self.augmented(&mut original, sample, seed, 1);
            let draw = |epoch| self.augmented(&mut augmenter, sample, seed, epoch);
            std::iter::once(first).chain((1..COLUMNS).map(draw)).collect()
        };
        self.samples.iter().take(ROWS).map(row).collect()
    }

    /// A sample as a training with this seed sees it in an epoch.
    fn augmented(
        &self,
        augmenter: &mut Augmenter,
        sample: u32,
        seed: u64,
        epoch: usize,
    ) -> Vec<f32> {
        let n = self.shape.n_values();
        let mut out = vec![0.0; n];
        let pixels = &self.pixels[sample as usize * n..][..n];
        augmenter.augment(&mut out, pixels, seed, epoch, sample);
        out
    }
}

/// The first sample of each class, then the second ones, and so on, as many as a sheet has.
fn in_turn(data: &Dataset) -> Vec<u32> {
    let mut turns = vec![0u32; data.n_classes().max(1)];
    let mut order: Vec<(u32, u32, u32)> = (0..data.len() as u32)
        .map(|sample| {
            let class = data.labels().get(sample as usize).copied().unwrap_or(0);
            let turn = &mut turns[class as usize];
            *turn += 1;
            (*turn, class, sample)
        })
        .collect();
    order.sort_unstable();
    order.into_iter().take(ROWS * COLUMNS).map(|(.., sample)| sample).collect()
}
