//! The readers that belong to the binary, compiled once more from their files.
#![allow(dead_code)]

#[path = "../src/cli/grid_settings.rs"]
pub mod grid_settings;
#[path = "../src/cli/settings.rs"]
pub mod settings;
#[path = "../src/cli/values.rs"]
pub mod values;
