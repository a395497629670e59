//! From files of tables to a data set. Rows are put into parts first: what is learnt about columns comes from the training part.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::notices::{mostly_numbers, unknown_levels, whole_names};
use super::{Form, Loaded, Source};
use crate::data::draw::{Files as FileLengths, Rows};
use crate::data::libsvm::{LibsvmOptions, LibsvmTable, read_libsvm};
use crate::data::npz::{self, Inputs};
use crate::data::parquet::read_parquet;
use crate::data::prepare::{Prepare, Prepared, Roles, TableOptions, Target};
use crate::data::table::{Column, Kind, ReadOptions, ReadTable, Table, read_csv};
use crate::data::{Dataset, Features, Parts, Split};
use crate::error::{Error, Result};
use crate::files;
use crate::text::{grouped, plural};

/// Reads a table and learns from its training part.
pub(super) fn load(source: &Source, files: Files, split: Split, split_seed: u64) -> Result<Loaded> {
    let Plan { table, files, parts, prepare, notices, .. } =
        Plan::of(source, files, split, split_seed)?;
    let prepare = Arc::new(prepare);
    let loaded = finish(source, table, &prepare, files, Some((split, split_seed)), notices)?;
    Ok(with_repeated_rows(loaded, &parts))
}

/// A table that was read, and what is to be made of it.
pub(super) struct Plan {
    /// The rows that have a target.
    pub table: Table,
    files: FileRows,
    /// How many rows had no target.
    left_out: usize,
    /// What was asked for, with names as the table has them.
    pub options: TableOptions,
    pub roles: Roles,
    pub parts: Parts,
    pub prepare: Prepare,
    pub notices: Vec<String>,
}

impl Plan {
    /// Reads a table, puts its rows into parts, and learns from its training part.
    pub fn of(source: &Source, files: Files, split: Split, split_seed: u64) -> Result<Self> {
        let Files { mut table, rows: mut files, targets, mut notices, missing } = files;
        let mut options = source.table.clone();
        for names in [&mut options.target, &mut options.ignore, &mut options.categorical] {
            *names = whole_names(names, &table);
        }
        if options.target.is_empty() {
            options.target = targets;
        }
        let asked_for = [&options.categorical[..], &options.ignore].concat();
        notices.extend(mostly_numbers(&table, &asked_for, |row| files.place(row)));
        let mut roles = Roles::of(&table, &options)?;
        let n_rows = table.n_rows();
        files.drop_rows(&mut table, &roles.targets, &missing, &mut notices)?;
        let labels = roles.labels(&table);
        let rows = Rows {
            name: &source.data,
            n: table.n_rows(),
            labels: &labels,
            n_classes: roles.classes.as_ref().map_or(0, Vec::len),
            files: files.lengths(),
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
        let left_out = n_rows - table.n_rows();
        Ok(Self { table, files, left_out, options, roles, parts, prepare, notices })
    }

    /// What messages call a row.
    pub fn place(&self, row: usize) -> String {
        let more = if self.left_out > 0 { ", not counting those without a target" } else { "" };
        format!("{}{more}", self.files.place(row))
    }
}

/// Reads a table and makes of it what a training made of its own.
pub(super) fn load_prepared(
    source: &Source,
    files: Files,
    prepare: &Arc<Prepare>,
) -> Result<Loaded> {
    let Files { mut table, rows: mut files, mut notices, missing, .. } = files;
    let targets = prepare.targets(&table)?;
    files.drop_rows(&mut table, &targets, &missing, &mut notices)?;
    finish(source, table, prepare, files, None, notices)
}

/// The rows of each file.
#[derive(Clone, Copy, Debug)]
struct FileRows {
    train: usize,
    val: Option<usize>,
    test: Option<usize>,
}

impl FileRows {
    /// What a split needs; `None` if all rows are of one file.
    fn lengths(self) -> Option<FileLengths> {
        match (self.val, self.test) {
            (None, None) => None,
            (val, _) => Some(FileLengths { train: self.train, val: val.unwrap_or(0) }),
        }
    }

    /// `row 7`, or `row 7 of the test file`.
    fn place(self, row: usize) -> String {
        let val = self.val.unwrap_or(0);
        let (row, file) = match row {
            _ if row < self.train => (row, ""),
            _ if row < self.train + val => (row - self.train, " of the validation file"),
            _ => (row - self.train - val, " of the test file"),
        };
        format!("row {}{file}", grouped(row as u64 + 1))
    }

    /// Drops rows whose target is missing, and says so.
    fn drop_rows(
        &mut self,
        table: &mut Table,
        targets: &[usize],
        missing: &MissingWords,
        notices: &mut Vec<String>,
    ) -> Result<()> {
        let keep = table.complete_rows(targets);
        let Some(first) = keep.iter().position(|keep| !keep) else { return Ok(()) };
        let dropped = keep.iter().filter(|keep| !**keep).count();
        let target = table.columns()[targets[0]].name.clone();
        if dropped == keep.len() {
            let problem = format!("`{target}` has no value in any row; expected the target there");
            return Err(Error::invalid(table.name(), problem));
        }
        notices.push(format!(
            "left out, because `{target}` has no value there: {} of {} rows ({} is the first{})",
            grouped(dropped as u64),
            grouped(keep.len() as u64),
            self.place(first),
            missing_words(missing, &target)
        ));
        let kept = |rows: &[bool]| rows.iter().filter(|keep| **keep).count();
        let (train, rest) = keep.split_at(self.train);
        let (val, test) = rest.split_at(self.val.unwrap_or(0));
        *self = Self {
            train: kept(train),
            val: self.val.map(|_| kept(val)),
            test: self.test.map(|_| kept(test)),
        };
        table.retain(&keep);
        let empty = [("training", Some(self.train)), ("validation", self.val), ("test", self.test)]
            .into_iter()
            .find(|(_, rows)| *rows == Some(0));
        match empty {
            None => Ok(()),
            Some((part, _)) => Err(Error::invalid(
                table.name(),
                format!("`{target}` has no value in any row of the {part} file"),
            )),
        }
    }
}

/// Of columns of texts: what stands for missing ones, and how often.
type MissingWords = Vec<(String, Vec<(&'static str, usize)>)>;

/// `; missing is what says `None`, 40 times`: the words that might have been meant, of a column.
fn missing_words(missing: &MissingWords, column: &str) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    let words = missing.iter().filter(|(name, _)| name == column).flat_map(|(_, words)| words);
    for &(word, count) in words.filter(|(word, _)| !word.is_empty()) {
        match counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, all)) => *all += count,
            None => counts.push((word, count)),
        }
    }
    let words: Vec<String> = counts
        .into_iter()
        .map(|(word, count)| format!("`{word}` {}", plural(count, "time")))
        .collect();
    match words.is_empty() {
        true => String::new(),
        false => format!("; missing is what says {}", words.join(", ")),
    }
}

/// The tables of a source, one below the other.
pub(super) struct Files {
    table: Table,
    rows: FileRows,
    /// What is predicted unless the user says otherwise; nothing for the last column.
    targets: Vec<String>,
    notices: Vec<String>,
    missing: MissingWords,
}

impl Files {
    /// Reads the files of a source. `text` names columns of texts; `libsvm` says how LibSVM's files are to be read.
    pub fn read(source: &Source, text: &[String], libsvm: LibsvmOptions) -> Result<Self> {
        let mut options = ReadOptions { text: text.to_vec(), ..ReadOptions::default() };
        loop {
            let main = Path::new(&source.data);
            let (main, libsvm) = read_table(main, &options, libsvm)?;
            let (val, test) = others(source, &main, &options, libsvm)?;
            let mut texts = mixed(&main.table, [&val, &test]);
            texts.extend(whole_names(text, &main.table));
            match texts.is_empty() || texts.iter().all(|text| options.text.contains(text)) {
                true => return Self::joined(main, val, test),
                false => options.text.extend(texts),
            }
        }
    }

    /// Tables that have been read, with those that a source names besides.
    pub fn with(
        train: Table,
        valid: Option<Table>,
        test: Option<Table>,
        source: &Source,
    ) -> Result<Self> {
        let main = ReadTable::of(train);
        let (val, own_test) =
            others(source, &main, &ReadOptions::default(), LibsvmOptions::default())?;
        // arrays name the columns of their labels `y0`, `y1`, ...
        let names = main.table.columns().iter().map(|column| &column.name);
        let is_label = |name: &&String| {
            let number = name.strip_prefix('y');
            number.is_some_and(|n| !n.is_empty() && n.bytes().all(|digit| digit.is_ascii_digit()))
        };
        let targets = names.filter(is_label).cloned().collect();
        let files = Self::joined(
            main,
            val.or(valid.map(ReadTable::of)),
            own_test.or(test.map(ReadTable::of)),
        )?;
        Ok(Self { targets, ..files })
    }

    fn joined(main: ReadTable, val: Option<ReadTable>, test: Option<ReadTable>) -> Result<Self> {
        let ReadTable { mut table, mut notices, mut missing, has_header, .. } = main;
        let mut rows = FileRows { train: table.n_rows(), val: None, test: None };
        for (more, count) in [(val, &mut rows.val), (test, &mut rows.test)] {
            let Some(more) = more else { continue };
            *count = Some(more.table.n_rows());
            require_header(&table, has_header, &more)?;
            notices.extend(more.notices);
            missing.extend(more.missing);
            table.append(more.table)?;
        }
        Ok(Self { table, rows, targets: Vec::new(), notices, missing })
    }
}

/// Rejects a file whose columns have no names, where those of the first file have, or the other way round.
fn require_header(first: &Table, has_header: bool, more: &ReadTable) -> Result<()> {
    let is_there = |column: &Column| more.table.position(&column.name).is_some();
    if has_header == more.has_header || first.columns().iter().all(is_there) {
        return Ok(());
    }
    let (headless, named) = match has_header {
        true => (more.table.name(), first),
        false => (first.name(), &more.table),
    };
    let names: Vec<&str> = named.columns().iter().map(|column| &column.name[..]).take(8).collect();
    let more = if named.columns().len() > names.len() { ",..." } else { "" };
    Err(Error::invalid(
        headless,
        format!(
            "no header: the names of the columns of {} are not in its first line; expected the line `{}{more}` there",
            named.name(),
            names.join(",")
        ),
    ))
}

/// Reads the validation and the test file of a source.
fn others(
    source: &Source,
    main: &ReadTable,
    options: &ReadOptions,
    libsvm: LibsvmOptions,
) -> Result<(Option<ReadTable>, Option<ReadTable>)> {
    let names = main.table.columns().iter().map(|column| column.name.clone());
    let known = if main.has_header { names.collect() } else { Vec::new() };
    let options = ReadOptions { known, ..options.clone() };
    let read = |path: &Option<String>| -> Result<Option<ReadTable>> {
        let Some(path) = path else { return Ok(None) };
        let path = Path::new(path);
        Ok(Some(read_table(path, &options, libsvm)?.0))
    };
    Ok((read(&source.valid)?, read(&source.test)?))
}

/// Reads a file of a table, and says how further LibSVM files are to be read.
fn read_table(
    path: &Path,
    options: &ReadOptions,
    libsvm: LibsvmOptions,
) -> Result<(ReadTable, LibsvmOptions)> {
    let name = path.display().to_string();
    let plain = ReadTable::of;
    match Form::of(&name)? {
        Form::Delimited => Ok((read_csv(path, options)?, libsvm)),
        Form::Parquet => Ok((plain(read_parquet(path)?), libsvm)),
        Form::Libsvm => {
            let LibsvmTable { table, first, .. } = read_libsvm(path, &libsvm)?;
            let more = wider_than(&table, &libsvm);
            let mut libsvm = libsvm;
            (libsvm.min_features, libsvm.first) = (table.columns().len() - 1, Some(first));
            Ok((ReadTable { notices: more.into_iter().collect(), ..plain(table) }, libsvm))
        }
        Form::Arrays | Form::Idx | Form::Folder => Err(Error::invalid_file(
            path,
            "expected a table: .csv, .tsv, .txt or .svm (also .gz or .zst), or .parquet",
        )),
    }
}

/// Reads a file of rows without targets for a model, whole: Parquet, LibSVM or arrays. `None` for text, which
/// [`crate::data::table::TableStream`] reads as it arrives.
///
/// # Errors
/// If the file cannot be read, or holds images.
pub fn read_inputs(path: &Path, prepare: &Prepare) -> Result<Option<ReadTable>> {
    match Form::of_name(&path.display().to_string()) {
        Some(Form::Parquet) => Ok(Some(ReadTable::of(read_parquet(path)?))),
        Some(Form::Libsvm) => {
            let options = features_of(prepare);
            Ok(Some(read_table(path, &ReadOptions::default(), options)?.0))
        }
        Some(Form::Arrays) => match npz::read_inputs(path)? {
            Inputs::Table(table) => Ok(Some(ReadTable::of(table))),
            Inputs::Images { .. } => Err(Error::invalid_file(
                path,
                "found images; the model was trained on a table, and expects one",
            )),
        },
        _ => Ok(None),
    }
}

/// How a LibSVM file is to be read for a model: the numbers of the features are the names of the columns, and one that the model
/// does not use, such as 0, does not matter.
pub(super) fn features_of(prepare: &Prepare) -> LibsvmOptions {
    let numbers = prepare.inputs().iter().filter_map(|input| input.column().parse::<usize>().ok());
    LibsvmOptions { min_features: numbers.max().map_or(0, |last| last + 1), first: Some(0) }
}

/// What to say where a LibSVM file has more features than the one that it goes with.
fn wider_than(table: &Table, expected: &LibsvmOptions) -> Option<String> {
    let (first, width) = (expected.first?, table.columns().len() - 1);
    let last = |width: usize| (width + first).saturating_sub(1);
    (expected.min_features > 0 && width > expected.min_features).then(|| {
        format!(
            "{} has features up to number {}; those after {} are not used",
            table.name(),
            last(width),
            last(expected.min_features)
        )
    })
}

/// The columns that hold texts in one table and numbers in another: they are texts in all, so that `007` is no 7.
fn mixed(first: &Table, others: [&Option<ReadTable>; 2]) -> Vec<String> {
    let kind = |table: &Table, at: usize| match &table.columns()[at].kind {
        Kind::Number => table.numbers(at).any(|x| !x.is_nan()).then_some(false),
        Kind::Text(levels) => (!levels.is_empty()).then_some(true),
    };
    let mut kinds: Vec<Vec<bool>> = vec![Vec::new(); first.columns().len()];
    for other in others.into_iter().flatten() {
        let positions: HashMap<&str, usize> =
            other.table.columns().iter().zip(0..).map(|(c, i)| (&c.name[..], i)).collect();
        for (column, kinds) in first.columns().iter().zip(&mut kinds) {
            let at = positions.get(&column.name[..]);
            kinds.extend(at.and_then(|&at| kind(&other.table, at)));
        }
    }
    let is_mixed = |&(column, ref kinds): &(usize, Vec<bool>)| {
        !kinds.is_empty()
            && kind(first, column)
                .into_iter()
                .chain(kinds.iter().copied())
                .any(|kind| kind != kinds[0])
    };
    let mixed = kinds.into_iter().enumerate().filter(is_mixed);
    mixed.map(|(column, _)| first.columns()[column].name.clone()).collect()
}

/// The data set of a table.
fn finish(
    source: &Source,
    table: Table,
    prepare: &Arc<Prepare>,
    files: FileRows,
    fitted_to: Option<(Split, u64)>,
    mut notices: Vec<String>,
) -> Result<Loaded> {
    let name =
        Path::new(&source.data).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Prepared { inputs, n_rows, labels, targets, weights, unknown } =
        prepare.apply(table, true)?;
    if fitted_to.is_none() {
        // a training has said in which part they are
        notices.extend(prepare.unknown_levels(&unknown, n_rows));
    }
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
    let data = data.with_prepare(Arc::clone(prepare), fitted_to);
    notices.extend(data.warnings());
    Ok(Loaded { data, notices })
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
