#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

pub mod data;
pub mod engine;
mod error;
mod files;
pub mod gemm;
mod isa;
pub mod linalg;
mod memory;
pub mod model;
pub mod report;
mod rng;
mod sync;
pub mod train;

pub use error::{Error, Result};
