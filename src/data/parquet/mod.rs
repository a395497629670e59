//! Reads Parquet files into tables, with the cargo feature `parquet`.
//!
//! | a column of | becomes |
//! |---|---|
//! | integers, floating-point numbers, decimals | numbers |
//! | dates; times and timestamps | numbers: days; seconds |
//! | truth values | texts, `true` and `false` |
//! | texts | texts |
//!
//! What is null is missing. Columns within columns, lists and raw bytes are refused by name. Numbers are kept in 32 bits, which tell
//! timestamps of these years apart if they differ by about two minutes.

#[cfg(feature = "parquet")]
#[path = "enabled.rs"]
mod reader;
#[cfg(not(feature = "parquet"))]
#[path = "disabled.rs"]
mod reader;
#[cfg(test)]
#[cfg(feature = "parquet")]
mod tests;

pub use reader::{read_parquet, read_parquet_bytes};
