//! What people call the samples of a data set.

use std::ops::Range;
use std::sync::Arc;

use super::Dataset;

/// Where the samples come from.
#[derive(Clone, Debug, Default)]
pub(crate) enum SampleNames {
    /// They are counted, from 1.
    #[default]
    Numbers,
    /// For each sample the number of its row in the source, from 1, some rows of which were left out.
    Rows(Arc<Vec<u32>>),
    /// For each sample its file, as seen from the directory of the data.
    Files(Arc<Vec<String>>),
}

impl SampleNames {
    /// The names of rows, of which those that are `kept` have become samples.
    pub fn of_rows(kept: &[bool]) -> Self {
        match kept.iter().all(|kept| *kept) {
            true => Self::Numbers,
            false => {
                let numbers = (1..).zip(kept).filter(|(_, kept)| **kept);
                Self::Rows(Arc::new(numbers.map(|(number, _)| number).collect()))
            }
        }
    }

    /// Puts other samples in the place of some. Samples of different origin are counted together.
    pub(super) fn splice(&mut self, range: Range<usize>, other: Self) {
        *self = match (std::mem::take(self), other) {
            (Self::Files(own), Self::Files(other)) => {
                let mut names = Arc::unwrap_or_clone(own);
                names.splice(range, other.iter().cloned());
                Self::Files(Arc::new(names))
            }
            _ => Self::Numbers,
        };
    }
}

impl Dataset {
    /// Records where the samples come from.
    pub(crate) fn with_sample_names(mut self, names: SampleNames) -> Self {
        self.names = names;
        self
    }

    /// What a sample is called: its file, seen from the directory of the data, or the number, from 1, of its row in the source. Rows
    /// of a validation and a test file are counted on from those of the training file.
    pub fn sample_name(&self, sample: u32) -> String {
        match &self.names {
            SampleNames::Numbers => (sample + 1).to_string(),
            SampleNames::Rows(numbers) => numbers[sample as usize].to_string(),
            SampleNames::Files(files) => files[sample as usize].clone(),
        }
    }

    /// The heading over such names: `row` or `file`.
    pub fn sample_noun(&self) -> &'static str {
        match &self.names {
            SampleNames::Files(_) => "file",
            _ => "row",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_were_left_out_count() {
        let SampleNames::Rows(numbers) = SampleNames::of_rows(&[false, true, false, true]) else {
            panic!("rows were left out");
        };
        assert_eq!(*numbers, [2, 4]);
        assert!(matches!(SampleNames::of_rows(&[true; 3]), SampleNames::Numbers));
    }

    #[test]
    fn files_of_a_part_of_its_own_take_the_place_of_others() {
        let files = |names: &[&str]| {
            SampleNames::Files(Arc::new(names.iter().map(|&name| name.to_owned()).collect()))
        };
        let mut names = files(&["a", "b", "c"]);
        names.splice(1..2, files(&["x", "y"]));
        let SampleNames::Files(all) = &names else { panic!("they are files") };
        assert_eq!(**all, ["a", "x", "y", "c"]);
        names.splice(4..4, SampleNames::Numbers);
        assert!(matches!(names, SampleNames::Numbers));
    }
}
