//! What tells data sets apart.

use xxhash_rust::xxh3::Xxh3;

use super::{Dataset, Features, Files};
use crate::files;

impl Dataset {
    /// A 128-bit hash (XXH3) of everything that a training depends on: the sizes, the shape of the images, where the training
    /// file ends or which rows are in which part, the names of the classes or targets, the labels, targets, weights and values (where
    /// they are principal components, the values before: the last bits of components depend on the CPU). It tells data sets apart, but is not cryptographic.
    /// Computed on the first call.
    pub fn fingerprint(&self) -> String {
        self.fingerprint.get_or_init(|| format!("xxh3-2:{:032x}", self.hash())).clone()
    }

    /// Whether a fingerprint is that of this data, also one that densely wrote before image shapes were part of it.
    pub fn has_fingerprint(&self, fingerprint: &str) -> bool {
        match fingerprint.starts_with("xxh3:") {
            true => {
                self.earlier_hash().is_some_and(|hash| fingerprint == format!("xxh3:{hash:032x}"))
            }
            false => fingerprint == self.fingerprint(),
        }
    }

    fn hash(&self) -> u128 {
        let mut hash = Xxh3::new();
        let (height, width) = self.image.unwrap_or_default();
        // no file is that long: the maximum stands for none
        let file = self.files.map_or(u64::MAX, |files| files.train as u64);
        for size in [self.len(), self.n_features, self.n_classes(), height, width] {
            hash.update(&(size as u64).to_le_bytes());
        }
        hash.update(&file.to_le_bytes());
        if self.channels > 1 {
            hash.update(b"channels");
            hash.update(&(self.channels as u64).to_le_bytes());
        }
        if let Some(Files { val: val @ 1.., .. }) = self.files {
            hash.update(b"validation file");
            hash.update(&(val as u64).to_le_bytes());
        }
        for rows in self.parts.iter().flat_map(|parts| [&parts.train, &parts.val, &parts.test]) {
            hash.update(b"rows of a part");
            hash.update(&(rows.len() as u64).to_le_bytes());
            rows.iter().for_each(|row| hash.update(&row.to_le_bytes()));
        }
        for class in &self.classes {
            hash.update(&(class.len() as u64).to_le_bytes());
            hash.update(class.as_bytes());
        }
        self.hash_values(&mut hash, self.labels.iter().copied());
        self.hash_targets_and_weights(&mut hash);
        hash.digest128()
    }

    /// Adds nothing where there are neither: such data keeps the fingerprint that it had before there were any.
    fn hash_targets_and_weights(&self, hash: &mut Xxh3) {
        if self.is_regression() {
            hash.update(b"targets");
            hash.update(&(self.target_names.len() as u64).to_le_bytes());
            for name in &self.target_names {
                hash.update(&(name.len() as u64).to_le_bytes());
                hash.update(name.as_bytes());
            }
            hash.update(&files::le_bytes(&self.targets));
        }
        if let Some(weights) = &self.weights {
            hash.update(b"weights");
            hash.update(&files::le_bytes(weights));
        }
    }

    /// The fingerprint of format 1: of the sizes, the labels as numbers, and the values.
    pub(super) fn earlier_hash(&self) -> Option<u128> {
        if self.is_regression() || self.weights.is_some() || self.parts.is_some() {
            return None;
        }
        let classes: Option<Vec<u32>> =
            self.classes.iter().map(|class| class.parse().ok()).collect();
        let classes = classes?;
        let n_classes = classes.iter().max().map_or(0, |&class| class as usize + 1);
        let mut hash = Xxh3::new();
        for size in [self.len(), self.n_features, n_classes] {
            hash.update(&(size as u64).to_le_bytes());
        }
        self.hash_values(&mut hash, self.labels.iter().map(|&label| classes[label as usize]));
        Some(hash.digest128())
    }

    fn hash_values(&self, hash: &mut Xxh3, labels: impl Iterator<Item = u32>) {
        for label in labels {
            hash.update(&label.to_le_bytes());
        }
        match (&self.features, self.unprojected) {
            (_, Some(unprojected)) => {
                hash.update(b"before the principal components");
                hash.update(&(self.n_features as u64).to_le_bytes());
                hash.update(&unprojected.to_le_bytes());
            }
            (Features::U8(values), None) => hash.update(values),
            (Features::F32(values), None) => hash.update(&files::le_bytes(values)),
        }
    }
}
