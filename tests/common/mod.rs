//! What the integration tests share: inputs that every language computes alike, and a small data set on disk.
#![allow(dead_code)]

use std::path::Path;
#[cfg(feature = "cli")]
use std::{
    path::PathBuf,
    process::{Command, Output},
};

use densely::data::Dataset;
use ndarray::Array2;
use serde_json::Value;

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

/// `samples` rows of `n` features between -1 and 1, with `n_targets` targets between 0 and 10.
pub fn numbers(samples: usize, n: usize, n_targets: usize) -> Dataset {
    let array = |columns: usize, factor, scale: f64, shift: f64| {
        let values = ramp(samples * columns, factor, 1013).into_iter();
        let values = values.map(|x| (scale * x + shift) as f32).collect();
        Array2::from_shape_vec((samples, columns), values).unwrap()
    };
    let (x, y) = (array(n, 104_729, 1.0, 0.0), array(n_targets, 7907, 5.0, 5.0));
    Dataset::from_targets(x.view(), y.view()).unwrap()
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

/// A folder with a data set in it, in which commands run.
#[cfg(feature = "cli")]
pub struct Sandbox(pub tempfile::TempDir);

#[cfg(feature = "cli")]
impl Sandbox {
    pub fn new() -> Self {
        let sandbox = Self(tempfile::tempdir().unwrap());
        write_idx(&sandbox.path("data"), 240, 60);
        sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_densely"));
        command.args(args).current_dir(self.0.path());
        command.env("XDG_CACHE_HOME", self.path("cache")).env_remove("CLICOLOR_FORCE");
        command.output().unwrap()
    }

    /// Standard output of a command that has to succeed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// The one line of a command that has to fail with this code.
    pub fn fails(&self, args: &[&str], code: i32) -> String {
        let output = self.run(args);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {message}");
        assert!(message.starts_with("error: "), "{args:?}: {message}");
        assert!(!message.contains("panicked"), "{args:?}: {message}");
        assert_eq!(text(&output.stdout), "", "{args:?}");
        message
    }

    pub fn train(&self, out: &str, more: &[&str]) -> String {
        let common = ["train", "data", "--out", out, "--hidden", "16,8", "--lr", "0.01"];
        let rest = ["--batch-size", "20", "--threads", "2"];
        self.ok(&[&common[..], &rest, more].concat())
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }
}

/// Output as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// An object a line.
pub fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The epoch lines without what differs from run to run.
pub fn timeless(lines: &[Value]) -> Vec<Value> {
    let mut lines = lines.to_vec();
    for line in &mut lines {
        let line = line.as_object_mut().unwrap();
        line.remove("seconds");
        line.remove("samples_per_second");
    }
    lines
}
