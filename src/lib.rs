//! Trains multilayer perceptrons on a CPU, at hardware speed.
//!
//! From a table in a file to the names of classes, for rows that the training has not seen:
//!
//! ```
//! use densely::data::{load, read_table};
//! use densely::train::{TrainConfig, Trainer};
//!
//! # let directory = tempfile::tempdir().unwrap();
//! # let (flowers, new) = (directory.path().join("flowers.csv"), directory.path().join("new.csv"));
//! # let rows: String = (0..90).map(|i| format!("{},{},{}\n", 1 + i % 3, 2 * (i % 3) + i % 2, ["setosa", "versicolor", "virginica"][i % 3])).collect();
//! # std::fs::write(&flowers, format!("petal,width,kind\n{rows}")).unwrap();
//! # std::fs::write(&new, "width,petal\n0,1\n5,3\n").unwrap();
//! # let flowers = flowers.to_str().unwrap();
//! let data = load(flowers)?.data; // the last column names the classes, a tenth of the rows validates, a tenth tests
//! let mut config = TrainConfig::default();
//! config.follow(&data, |_| false)?; // the network, the batch and the epochs that suit the table
//! let mut trainer = Trainer::new(config, &data)?;
//! trainer.run(&mut ())?;
//! let model = trainer.best_model();
//! let rows = read_table(&new, model.prepare())?.table; // columns are matched by name
//! let predictions = model.predict_table(rows)?;
//! assert_eq!(predictions.labels(), [Some("setosa"), Some("virginica")]);
//! assert_eq!(predictions.values().dim(), (2, 3)); // the probabilities of the classes
//! # Ok::<(), densely::Error>(())
//! ```
//!
//! From arrays. An array that is given away is not copied:
//!
//! ```
//! use densely::data::{Dataset, Split};
//! use densely::train::{TrainConfig, Trainer};
//! use ndarray::{Array2, array};
//!
//! // two interleaved classes: the sign of the product of the two features
//! let x = Array2::from_shape_fn((600, 2), |(i, j)| ((i * (7 + 5 * j)) % 199) as f32 / 99.0 - 1.0);
//! let labels: Vec<u32> = x.rows().into_iter().map(|row| u32::from(row[0] * row[1] > 0.0)).collect();
//! let data = Dataset::from_arrays(x, labels)?.with_classes(["apart", "alike"])?;
//! let mut config = TrainConfig::default();
//! (config.hidden, config.batch_size, config.epochs) = (vec![32], 20, 50);
//! config.split = Split::Fractions([0.8, 0.1, 0.1]);
//! let mut trainer = Trainer::new(config, &data)?;
//! let outcome = trainer.run(&mut ())?;
//! println!("test accuracy {:.3}", outcome.test.unwrap().accuracy());
//! let predictions = trainer.best_model().predict(array![[0.5, 0.5], [-0.5, 0.5]].view())?;
//! assert_eq!(predictions.labels(), [Some("alike"), Some("apart")]);
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("model.safetensors");
//! trainer.best_model().save(&path)?;
//! # Ok::<(), densely::Error>(())
//! ```
//!
//! Numbers to estimate instead of classes, a column for each target, in their own units:
//!
//! ```
//! use densely::data::Dataset;
//! use densely::train::{TrainConfig, Trainer};
//! use ndarray::Array2;
//!
//! let x = Array2::from_shape_fn((400, 2), |(i, j)| ((i * (7 + 5 * j)) % 199) as f32 / 99.0 - 1.0);
//! let y = Array2::from_shape_fn((400, 1), |(i, _)| 20.0 + 5.0 * x[(i, 0)] - 3.0 * x[(i, 1)]);
//! let data = Dataset::from_targets(x.view(), y.view())?;
//! let mut config = TrainConfig::default();
//! (config.hidden, config.batch_size, config.epochs, config.lr) = (vec![16], 20, 30, 0.01);
//! let mut trainer = Trainer::new(config, &data)?;
//! let outcome = trainer.run(&mut ())?;
//! assert!(outcome.test_r2.unwrap() > 0.95);
//!
//! let model = trainer.best_model();
//! let values = model.predict(x.view())?.into_values(); // (rows, targets)
//! assert!((values[(0, 0)] - y[(0, 0)]).abs() < 2.0);
//! # Ok::<(), densely::Error>(())
//! ```
//!
//! | module | |
//! |---|---|
//! | [`train`] | [`train::Trainer`]: epochs, validation, the best epoch; [`train::sweep()`]: many runs side by side |
//! | [`data`] | [`data::Dataset`]: examples in memory, from arrays; [`data::Source`] and [`data::Tables`]: from files and tables; how they are split |
//! | [`task`] | classes or numbers: losses, and the metrics that say which epoch is better |
//! | [`model`] | networks, initial weights, model files, ONNX |
//! | [`engine`] | [`engine::Predictor`]: raw values to predictions; the layer below: steps and gradients over flat vectors, for training loops of your own |
//! | [`store`] | the directories of runs and sweeps, checkpoints, configuration files |
//! | [`gemm`], [`linalg`] | matrix products by OpenBLAS or in pure Rust; decompositions by LAPACK |
//!
//! Arrays are `ndarray` views, `f32`, row-major. Nothing prints, and errors are values: see [`Error`].
//!
//! # Features
//!
//! - `openblas`: matrix products and LAPACK by the system's OpenBLAS.
//! - `embedded-mnist`: the MNIST data inside the binary.
//! - `cli`: the command line, its terminal output and its reports. Leave it out to depend on far fewer crates.
#![deny(unsafe_code)]

mod checksum;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
pub mod data;
pub mod engine;
mod error;
mod figures;
mod files;
pub mod gemm;
mod isa;
pub mod linalg;
mod memory;
pub mod model;
#[cfg(feature = "cli")]
mod report;
mod rng;
pub mod store;
mod sync;
pub mod task;
mod text;
pub mod train;

pub use error::{Error, Occupant, Result};

/// Compiles the README's example.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
