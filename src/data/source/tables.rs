//! From files of tables to a data set. Rows are put into parts first: what is learnt about columns comes from the training part.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::notices::{mostly_numbers, unknown_levels, whole_names};
use super::table_files::{FileRows, Files};
use super::{Loaded, Source};
use crate::data::draw::Rows;
use crate::data::prepare::{Prepare, Prepared, Roles, TableOptions, Target};
use crate::data::table::Table;
use crate::data::{Dataset, Features, Parts, SampleNames, Split};
use crate::error::{Error, Result};
use crate::files;
use crate::text::grouped;

/// Learns from the training part of a table, and makes a data set of all of it.
pub(super) fn load(
    source: &Source,
    opened: Opened,
    split: Split,
    split_seed: u64,
) -> Result<Loaded> {
    Plan::of(&source.data, opened, split, split_seed)?.load(
        &file_name(&source.data),
        split,
        split_seed,
    )
}

/// What people call a file.
fn file_name(path: &str) -> String {
    Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A table that was read, and what its columns are for.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    /// The rows that have a target.
    table: Table,
    files: FileRows,
    /// The rows of each file, those without a target included.
    whole: FileRows,
    /// For each of those, whether it has a target.
    kept: Arc<Vec<bool>>,
    /// The parts, where the caller has named their rows.
    named: Option<Parts>,
    options: TableOptions,
    roles: Roles,
    notices: Vec<String>,
}

impl Opened {
    /// Decides what the columns are for, and leaves out rows without a target.
    pub fn of(options: &TableOptions, files: Files) -> Result<Self> {
        let Files { mut table, rows: mut files, parts, targets, mut notices, missing } = files;
        let whole = files;
        parts.iter().try_for_each(|parts| parts.check(table.n_rows()))?;
        let mut options = options.clone();
        for names in [&mut options.target, &mut options.ignore, &mut options.categorical] {
            *names = whole_names(names, &table);
        }
        if options.target.is_empty() {
            options.target = targets;
        }
        let asked_for = [&options.categorical[..], &options.ignore].concat();
        notices.extend(mostly_numbers(&table, &asked_for, |row| files.place(row)));
        let roles = Roles::of(&table, &options)?;
        let kept = files.drop_rows(&mut table, &roles.targets, &missing, &mut notices)?;
        let named = parts.map(|parts| parts.kept(&kept));
        named.iter().try_for_each(|parts| parts.check(table.n_rows()))?;
        Ok(Self { table, files, whole, kept: Arc::new(kept), named, options, roles, notices })
    }

    /// The rows that have a target.
    pub fn n_rows(&self) -> usize {
        self.table.n_rows()
    }

    /// The columns to predict.
    pub fn target_names(&self) -> Vec<String> {
        let name = |&column: &usize| self.table.columns()[column].name.clone();
        self.roles.targets.iter().map(name).collect()
    }
}

/// A table, and what is to be made of it.
pub(super) struct Plan {
    /// The rows that have a target.
    pub table: Table,
    files: FileRows,
    whole: FileRows,
    kept: Arc<Vec<bool>>,
    /// Whether the parts are rows that the caller has named.
    has_named_rows: bool,
    /// What was asked for, with names as the table has them.
    pub options: TableOptions,
    pub roles: Roles,
    pub parts: Parts,
    pub prepare: Prepare,
    pub notices: Vec<String>,
}

impl Plan {
    /// Puts the rows of a table into parts, and learns from its training part.
    pub fn of(name: &str, opened: Opened, split: Split, split_seed: u64) -> Result<Self> {
        let Opened { table, files, whole, kept, named, options, mut roles, mut notices } = opened;
        let labels = roles.labels(&table);
        let rows = Rows {
            name,
            n: table.n_rows(),
            labels: &labels,
            n_classes: roles.classes.as_ref().map_or(0, Vec::len),
            files: files.lengths(),
            parts: named.as_ref(),
            keeps_order: false,
        };
        let parts = split.parts_of(&rows, split_seed)?;
        if let (Split::Counts(_), 1, 2..) = (split, parts.train.len(), table.n_rows()) {
            return Err(Error::usage(format!(
                "split `{split}`: the training part is 1 of {} rows; expected more: whole numbers count rows, and fractions have \
                 a point, as in 1.0,0.0,0.0",
                grouped(table.n_rows() as u64)
            )));
        }
        let (prepare, left_out) = Prepare::fit(&table, &roles, &options, &parts.train)?;
        notices.append(&mut roles.notices);
        notices.push(prepare.summary());
        notices.extend(left_out);
        notices.extend(unknown_levels(&table, &prepare, &parts));
        let has_named_rows = named.is_some();
        Ok(Self {
            table,
            files,
            whole,
            kept,
            has_named_rows,
            options,
            roles,
            parts,
            prepare,
            notices,
        })
    }

    /// What messages call a row.
    pub fn place(&self, row: usize) -> String {
        let mut kept = self.kept.iter().enumerate().filter(|(_, kept)| **kept);
        let row = kept.nth(row).map_or(row, |(row, _)| row);
        self.whole.place(row)
    }

    /// The data set.
    pub fn load(self, name: &str, split: Split, split_seed: u64) -> Result<Loaded> {
        let Self { table, files, kept, has_named_rows, parts, prepare, notices, .. } = self;
        // which levels are unknown in which part has been said
        let (mut loaded, _) = finish(name, table, &Arc::new(prepare), (files, &kept), notices)?;
        loaded.data = match has_named_rows {
            true => loaded.data.divided(parts.clone())?,
            false => loaded.data.fitted_to(split, split_seed),
        };
        Ok(with_repeated_rows(loaded, &parts))
    }
}

/// Reads a table and makes of it what a training made of its own.
pub(super) fn load_prepared(name: &str, files: Files, prepare: &Arc<Prepare>) -> Result<Loaded> {
    let Files { mut table, rows: mut files, parts, mut notices, missing, .. } = files;
    parts.iter().try_for_each(|parts| parts.check(table.n_rows()))?;
    let targets = prepare.targets(&table)?;
    let kept = files.drop_rows(&mut table, &targets, &missing, &mut notices)?;
    let (mut loaded, unknown) = finish(&file_name(name), table, prepare, (files, &kept), notices)?;
    loaded.notices.extend(prepare.unknown_levels(&unknown, loaded.data.len()));
    if let Some(parts) = parts {
        loaded.data = loaded.data.divided(parts.kept(&kept))?;
    }
    Ok(loaded)
}

/// Reads a table and makes the inputs that a training made of its own, for something else to be learnt: what `source` says.
pub(super) fn load_with_new_target(
    source: &Source,
    files: Files,
    prepare: &Prepare,
) -> Result<Loaded> {
    let Opened { table, files, kept, named, roles, mut notices, .. } =
        Opened::of(&source.table, files)?;
    let weight = roles.weight.map(|column| table.columns()[column].name.clone());
    let prepare = prepare.clone().with_target(roles.target(&table), weight)?;
    notices.extend(roles.notices);
    let name = file_name(&source.data);
    let (mut loaded, unknown) = finish(&name, table, &Arc::new(prepare), (files, &kept), notices)?;
    if let Some(prepare) = loaded.data.prepare() {
        loaded.notices.extend(prepare.unknown_levels(&unknown, loaded.data.len()));
    }
    if let Some(parts) = named {
        loaded.data = loaded.data.divided(parts)?;
    }
    Ok(loaded)
}

/// The data set of a table, which has the rows of its files that were `kept`, and how many values of each column are unknown levels.
fn finish(
    name: &str,
    table: Table,
    prepare: &Arc<Prepare>,
    (files, kept): (FileRows, &[bool]),
    mut notices: Vec<String>,
) -> Result<(Loaded, Vec<usize>)> {
    let prepared = prepare.apply(table, true)?;
    let Prepared { inputs, labels, targets, weights, unknown, unprojected, .. } = prepared;
    let features = Features::F32(inputs);
    let mut data = match prepare.target() {
        Target::Classes { classes, .. } => {
            Dataset::of_classes(name, features, prepare.n_inputs(), labels, classes.clone())?
        }
        Target::Numbers { columns } => {
            Dataset::new_regression(name, features, prepare.n_inputs(), targets, columns.clone())?
        }
    };
    if !weights.is_empty() {
        data = data.with_weights(weights)?;
    }
    if let Some(files) = files.lengths() {
        data = data.with_files(files);
    }
    let data = data.with_prepare(Arc::clone(prepare), unprojected);
    let data = data.with_sample_names(SampleNames::of_rows(kept));
    notices.extend(data.warnings());
    Ok((Loaded { data, notices }, unknown))
}

/// Says how many rows of the test part are in the training part too.
fn with_repeated_rows(mut loaded: Loaded, parts: &Parts) -> Loaded {
    let (data, width) = (&loaded.data, loaded.data.n_features());
    let Features::F32(values) = data.features() else { return loaded };
    let hash = |&row: &u32| {
        let mut hash = Xxh3::new();
        hash.update(&files::le_bytes(&values[row as usize * width..][..width]));
        data.labels().get(row as usize).iter().for_each(|l| hash.update(&l.to_le_bytes()));
        hash.update(&files::le_bytes(&data.targets_of(&[row])));
        hash.digest128()
    };
    if parts.test.is_empty() {
        return loaded;
    }
    let train: HashSet<u128> = parts.train.iter().map(hash).collect();
    let repeated = parts.test.iter().filter(|row| train.contains(&hash(row))).count();
    if repeated > 0 {
        loaded.notices.push(format!(
            "{} of the {} rows of the test part {} in the training part too, which flatters the score",
            grouped(repeated as u64),
            grouped(parts.test.len() as u64),
            if repeated == 1 { "is" } else { "are" }
        ));
    }
    loaded
}
