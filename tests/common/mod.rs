//! What the integration tests share: inputs that every language computes alike, and a small data set on disk.
#![allow(dead_code)]

use std::path::Path;

use densely::data::Dataset;
use ndarray::Array2;

/// `((i * factor) mod modulus) / modulus * 2 - 1`, as in tests/parity/pytorch.py.
pub fn ramp(n: usize, factor: usize, modulus: usize) -> Vec<f64> {
    (0..n).map(|i| (i * factor % modulus) as f64 / modulus as f64 * 2.0 - 1.0).collect()
}

/// `samples` rows of `n` features between -1 and 1, with classes `i * 7 % classes`.
pub fn dataset(samples: usize, n: usize, classes: u32) -> Dataset {
    let x = ramp(samples * n, 104_729, 1013).into_iter().map(|x| x as f32).collect();
    let x = Array2::from_shape_vec((samples, n), x).unwrap();
    let labels: Vec<u32> = (0..samples as u32).map(|i| i * 7 % classes).collect();
    Dataset::from_arrays(x.view(), &labels).unwrap()
}

/// Writes four IDX files of 5x4 images in three classes that are easy to tell apart: `train` and `test` of them.
pub fn write_idx(directory: &Path, train: usize, test: usize) {
    std::fs::create_dir_all(directory).unwrap();
    for (part, count, offset) in [("train", train, 0), ("t10k", test, train)] {
        let mut images = header(0x0803, &[count, 5, 4]);
        let mut labels = header(0x0801, &[count]);
        for i in offset..offset + count {
            let class = i * 5 % 3;
            labels.push(class as u8);
            let pixel = |p: usize| {
                let noise = (i * 31 + p * 17) % 97;
                (noise + if p % 3 == class { 120 } else { 0 }) as u8
            };
            images.extend((0..20).map(pixel));
        }
        std::fs::write(directory.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        std::fs::write(directory.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
    }
}

/// An IDX header.
pub fn header(magic: u32, sizes: &[usize]) -> Vec<u8> {
    let sizes = sizes.iter().map(|&size| size as u32);
    std::iter::once(magic).chain(sizes).flat_map(u32::to_be_bytes).collect()
}
