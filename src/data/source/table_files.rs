//! Reads the files of tables, of a training, a validation and a test part, and puts them one below the other.

use std::collections::HashMap;
use std::path::Path;

use super::notices::whole_names;
use super::{Form, Source};
use crate::data::Parts;
use crate::data::draw::Files as FileLengths;
use crate::data::libsvm::{LibsvmOptions, LibsvmTable, read_libsvm};
use crate::data::npz::{self, Arrays, Inputs, read_arrays};
use crate::data::parquet::read_parquet;
use crate::data::prepare::Prepare;
use crate::data::table::{Column, Kind, ReadOptions, ReadTable, Table, read_csv};
use crate::error::{Error, Result};
use crate::text::{grouped, plural};

/// The rows of each file.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileRows {
    train: usize,
    val: Option<usize>,
    test: Option<usize>,
}

impl FileRows {
    /// What a split needs; `None` if all rows are of one file.
    pub fn lengths(self) -> Option<FileLengths> {
        match (self.val, self.test) {
            (None, None) => None,
            (val, _) => Some(FileLengths { train: self.train, val: val.unwrap_or(0) }),
        }
    }

    /// `row 7`, or `row 7 of the test file`.
    pub fn place(self, row: usize) -> String {
        let val = self.val.unwrap_or(0);
        let (row, file) = match row {
            _ if row < self.train => (row, ""),
            _ if row < self.train + val => (row - self.train, " of the validation file"),
            _ => (row - self.train - val, " of the test file"),
        };
        format!("row {}{file}", grouped(row as u64 + 1))
    }

    /// Drops rows whose target is missing, and says so. Returns for each row whether it stays.
    pub fn drop_rows(
        &mut self,
        table: &mut Table,
        targets: &[usize],
        missing: &MissingWords,
        notices: &mut Vec<String>,
    ) -> Result<Vec<bool>> {
        let keep = table.complete_rows(targets);
        let Some(first) = keep.iter().position(|keep| !keep) else { return Ok(keep) };
        let dropped = keep.iter().filter(|keep| !**keep).count();
        let name = |&target: &usize| &table.columns()[target].name[..];
        let target = targets.iter().map(name).collect::<Vec<_>>().join("` or `");
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
            None => Ok(keep),
            Some((part, _)) => Err(Error::invalid(
                table.name(),
                format!("`{target}` has no value in any row of the {part} file"),
            )),
        }
    }
}

/// Of columns of texts: what stands for missing ones, and how often.
pub(super) type MissingWords = Vec<(String, Vec<(&'static str, usize)>)>;

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
    pub table: Table,
    pub rows: FileRows,
    /// The parts, where the caller names their rows.
    pub parts: Option<Parts>,
    /// What is predicted unless the user says otherwise; nothing for the last column.
    pub targets: Vec<String>,
    pub notices: Vec<String>,
    /// Of columns of texts: what stands for missing ones.
    pub missing: MissingWords,
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

    /// Tables in memory, and perhaps the rows of the first one in each part.
    pub fn in_memory(
        train: Table,
        valid: Option<Table>,
        test: Option<Table>,
        parts: Option<Parts>,
    ) -> Result<Self> {
        let files =
            Self::joined(ReadTable::of(train), valid.map(ReadTable::of), test.map(ReadTable::of))?;
        Ok(Self { parts, ..files })
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
        Ok(Self { table, rows, parts: None, targets: Vec::new(), notices, missing })
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
    match Form::of(&name)? {
        Form::Delimited => Ok((read_csv(path, options)?, libsvm)),
        Form::Parquet => Ok((ReadTable::of(read_parquet(path)?), libsvm)),
        Form::Libsvm => {
            let LibsvmTable { table, first, .. } = read_libsvm(path, &libsvm)?;
            let more = wider_than(&table, &libsvm);
            let mut libsvm = libsvm;
            (libsvm.min_features, libsvm.first) = (table.columns().len() - 1, Some(first));
            Ok((ReadTable { notices: more.into_iter().collect(), ..ReadTable::of(table) }, libsvm))
        }
        Form::Arrays => match read_arrays(path)? {
            Arrays::Table { train, valid: None, test: None } => Ok((ReadTable::of(train), libsvm)),
            Arrays::Table { .. } => {
                let problem = "arrays of several parts; expected those of one, `X` and `y`";
                Err(Error::invalid_file(path, problem))
            }
            Arrays::Images { .. } => Err(Error::invalid_file(path, format!("images; {A_TABLE}"))),
        },
        Form::Idx | Form::Folder => Err(Error::invalid_file(path, A_TABLE)),
    }
}

const A_TABLE: &str =
    "expected a table: .csv, .tsv, .txt or .svm (also .gz or .zst), .parquet, or .npz with numbers";

/// Reads a table in any form: delimited text, LibSVM, Parquet, or NumPy's arrays with labels, by the end of its name.
///
/// With `prepare`, it is read for a model: what its columns hold is known then, it needs no targets, and arrays need no labels.
///
/// # Errors
/// If the file cannot be read, is damaged, or is no table; the message names it.
///
/// ```
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("flats.csv");
/// std::fs::write(&path, "rooms,city\n2,Oslo\n3,Rome\n")?;
/// let table = densely::data::read_table(&path, None)?.table;
/// assert_eq!((table.n_rows(), &table.columns()[1].name[..]), (2, "city"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_any_table(path: &Path, prepare: Option<&Prepare>) -> Result<ReadTable> {
    let Some(prepare) = prepare else {
        return Ok(read_table(path, &ReadOptions::default(), LibsvmOptions::default())?.0);
    };
    match read_inputs(path, prepare)? {
        Some(read) => Ok(read),
        None => read_csv(path, &prepare.read_options()),
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

/// Reads a file of rows for a model that names no columns. `None` for images, and for what the name does not tell.
///
/// # Errors
/// If the file cannot be read or is damaged.
#[cfg(feature = "cli")]
pub(crate) fn read_unknown_table(path: &Path) -> Result<Option<Table>> {
    match Form::of_name(&path.display().to_string()) {
        Some(Form::Arrays) => match npz::read_inputs(path)? {
            Inputs::Table(table) => Ok(Some(table)),
            Inputs::Images { .. } => Ok(None),
        },
        Some(Form::Delimited | Form::Libsvm | Form::Parquet) => {
            Ok(Some(read_any_table(path, None)?.table))
        }
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
