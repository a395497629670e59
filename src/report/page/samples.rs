//! The samples that a page shows.

/// Some samples of a data set.
pub struct Samples {
    /// The name of their part.
    pub part: &'static str,
    /// Their numbers in the data set.
    pub rows: Vec<u32>,
}
