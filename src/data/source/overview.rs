//! What is in a data set, and what a training would make of it: looked at before anyone trains.

use std::collections::{HashMap, HashSet};

use super::notices::infinite;
use super::tables::{Opened, Plan};
use super::{Loaded, Read, Source};
use crate::data::prepare::Target;
use crate::data::table::{Kind, MISSING, Table};
use crate::data::{Dataset, Parts, Split};
use crate::error::Result;

/// What is in a data set, and what a training would make of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Overview {
    /// The number of samples that have a target.
    pub samples: usize,
    /// Height and width of images; `None` for a table.
    pub image: Option<(usize, usize)>,
    /// How many inputs a network has.
    pub inputs: usize,
    /// How many inputs principal components take the place of, and the share of their variance that these have; `None` without any.
    pub projected: Option<(usize, f64)>,
    /// The columns of a table, in its order.
    pub columns: Vec<ColumnOverview>,
    /// The targets that are numbers; empty for classes.
    pub targets: Vec<String>,
    /// The classes with the number of their samples; empty for a regression.
    pub classes: Vec<(String, usize)>,
    /// The sizes of the training, validation and test part.
    pub parts: [usize; 3],
    /// What was decided, a line each.
    pub notices: Vec<String>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ColumnOverview {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub contents: Contents,
    /// How many rows have no value.
    pub missing: usize,
    /// What it is for.
    pub role: Use,
}

/// What is in a column.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Contents {
    /// Numbers.
    Numbers {
        /// The least; NaN if all are missing.
        least: f32,
        /// The largest; NaN if all are missing.
        largest: f32,
        /// Their mean; NaN if all are missing.
        mean: f64,
        /// How many differ, if these are at most 1,000.
        distinct: Option<usize>,
    },
    /// Texts: the levels with the number of their rows, the most frequent first.
    Texts(Vec<(String, usize)>),
}

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Use {
    /// It becomes this many inputs.
    Inputs(usize),
    /// It is predicted.
    Target,
    /// It weights the rows.
    Weight,
    /// The user leaves it out.
    Ignored,
    /// It has one value in the training part.
    Constant,
    /// Its texts hardly repeat.
    Key,
}

impl Source {
    /// Looks at the data, and at what a training would make of it.
    ///
    /// # Errors
    /// As [`Source::load`].
    pub fn overview(&self, split: Split, split_seed: u64) -> Result<Overview> {
        Ok(self.overview_with_images(split, split_seed)?.0)
    }

    /// Likewise, with the images themselves; `None` for a table.
    ///
    /// # Errors
    /// As [`Source::load`].
    pub fn overview_with_images(
        &self,
        split: Split,
        split_seed: u64,
    ) -> Result<(Overview, Option<Dataset>)> {
        self.require_split(split)?;
        match self.read()? {
            Read::Tables(files) => {
                let opened = Opened::of(&self.table, *files)?;
                let plan = Plan::of(&self.data, opened, split, split_seed)?;
                Ok((Overview::of_table(&plan), None))
            }
            Read::Images(loaded) => {
                let Loaded { data, notices } = self.finish(*loaded, split, split_seed)?;
                let parts = split.resolved(&data).apply(&data, split_seed)?;
                Ok((Overview::of_data(&data, &parts, notices), Some(data)))
            }
        }
    }
}

impl Overview {
    fn of_data(data: &Dataset, parts: &Parts, notices: Vec<String>) -> Self {
        let mut classes: Vec<_> = data.classes().iter().map(|class| (class.clone(), 0)).collect();
        data.labels().iter().for_each(|&label| classes[label as usize].1 += 1);
        Self {
            samples: data.len(),
            image: data.image(),
            inputs: data.n_features(),
            projected: None,
            columns: Vec::new(),
            targets: data.target_names().to_vec(),
            classes,
            parts: [&parts.train, &parts.val, &parts.test].map(Vec::len),
            notices: [notices, parts.lacking(data)].concat(),
        }
    }

    fn of_table(plan: &Plan) -> Self {
        let Plan { table, options, roles, parts, prepare, notices, .. } = plan;
        let (classes, targets) = match prepare.target() {
            Target::Classes { classes, .. } => {
                let mut counted: Vec<_> = classes.iter().map(|class| (class.clone(), 0)).collect();
                roles.labels(table).into_iter().for_each(|label| counted[label as usize].1 += 1);
                (counted, Vec::new())
            }
            Target::Numbers { columns } => (Vec::new(), columns.clone()),
        };
        let widths: HashMap<&str, usize> =
            prepare.inputs().iter().map(|input| (input.column(), input.width())).collect();
        let role = |column: usize| {
            let name = &table.columns()[column].name;
            match widths.get(&name[..]) {
                Some(&width) => Use::Inputs(width),
                None if roles.targets.contains(&column) => Use::Target,
                None if roles.weight == Some(column) => Use::Weight,
                None if options.ignore.contains(name) => Use::Ignored,
                None => Use::Constant,
            }
        };
        let columns =
            (0..table.columns().len()).map(|column| of_column(table, column, role(column)));
        let used: Vec<usize> = (0..table.columns().len())
            .filter(|&column| matches!(role(column), Use::Inputs(_) | Use::Target | Use::Weight))
            .collect();
        Self {
            samples: table.n_rows(),
            image: None,
            inputs: prepare.n_inputs(),
            projected: prepare.pca().map(|pca| (pca.mean.len(), pca.kept)),
            columns: columns.collect(),
            targets,
            classes,
            parts: [&parts.train, &parts.val, &parts.test].map(Vec::len),
            notices: [&notices[..], &infinite(table, &used, |row| plan.place(row))].concat(),
        }
    }
}

fn of_column(table: &Table, column: usize, role: Use) -> ColumnOverview {
    let name = table.columns()[column].name.clone();
    match &table.columns()[column].kind {
        Kind::Text(levels) => {
            let (mut counts, mut missing) = (vec![0; levels.len()], 0);
            for code in table.codes(column) {
                match code {
                    MISSING => missing += 1,
                    code => counts[code as usize] += 1,
                }
            }
            let mut found: Vec<(String, usize)> =
                levels.iter().cloned().zip(counts).filter(|(_, count)| *count > 0).collect();
            found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            let role = match role {
                Use::Constant if found.len() > 1 => Use::Key,
                role => role,
            };
            ColumnOverview { name, contents: Contents::Texts(found), missing, role }
        }
        Kind::Number => {
            let (mut least, mut largest) = (f32::NAN, f32::NAN);
            let (mut sum, mut count, mut missing) = (0.0, 0usize, 0);
            let mut values = HashSet::new();
            for value in table.numbers(column) {
                if value.is_nan() {
                    missing += 1;
                    continue;
                }
                // NaN gives way to any number
                (least, largest) = (least.min(value), largest.max(value));
                (sum, count) = (sum + f64::from(value), count + 1);
                if values.len() <= MOST_COUNTED {
                    values.insert((value + 0.0).to_bits());
                }
            }
            let distinct = Some(values.len()).filter(|&n| n <= MOST_COUNTED);
            let mean = sum / count as f64;
            let contents = Contents::Numbers { least, largest, mean, distinct };
            ColumnOverview { name, contents, missing, role }
        }
    }
}

/// The most values that are counted.
const MOST_COUNTED: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_what_they_hold_and_are_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.csv");
        let mut text = String::from("key,n,c,same,w,skip,y\n");
        for i in 0..40 {
            let (n, c) = (if i == 3 { String::new() } else { (i % 7).to_string() }, i % 2);
            text += &format!("k{i},{n},c{c},5,1,x{c},{}\n", ["no", "yes"][i / 20]);
        }
        std::fs::write(&path, text).unwrap();
        let mut source = Source::of(path.to_str().unwrap());
        (source.table.weight, source.table.ignore) = (Some("w".into()), vec!["skip".into()]);
        let overview = source.overview(Split::Auto, 0).unwrap();
        let roles: Vec<Use> = overview.columns.iter().map(|column| column.role).collect();
        let expected = [
            Use::Key,
            Use::Inputs(overview.columns[1].missing + 1),
            Use::Inputs(2),
            Use::Constant,
            Use::Weight,
            Use::Ignored,
            Use::Target,
        ];
        assert_eq!(roles, expected);
        let Contents::Numbers { least, largest, distinct, .. } = overview.columns[1].contents
        else {
            panic!()
        };
        assert_eq!((least, largest, distinct, overview.columns[1].missing), (0.0, 6.0, Some(7), 1));
        assert_eq!(
            overview.columns[2].contents,
            Contents::Texts(vec![("c0".into(), 20), ("c1".into(), 20)])
        );
        assert_eq!(overview.classes, [("no".into(), 20), ("yes".into(), 20)]);
        assert_eq!((overview.samples, overview.parts), (40, [32, 4, 4]));
    }
}
