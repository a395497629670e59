//! Reads the files of tables, of a training, a validation and a test part, and puts them one below the other.

use std::collections::HashMap;
use std::path::Path;

use super::{Form, Source};
use crate::data::Parts;
use crate::data::draw::Files as FileLengths;
use crate::data::libsvm::{LibsvmOptions, LibsvmTable, read_libsvm};
use crate::data::npz::{self, Arrays, Inputs, read_arrays};
use crate::data::parquet::read_parquet;
use crate::data::prepare::Prepare;
use crate::data::table::{Kind, ReadOptions, ReadTable, Table, read_csv};
use crate::error::{Error, Result};
use crate::text::grouped;

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

    /// Drops rows whose target is missing, and says so. Returns for each row whether it stays.
    pub fn drop_rows(
        &mut self,
        table: &mut Table,
        targets: &[usize],
        notices: &mut Vec<String>,
    ) -> Result<Vec<bool>> {
        let keep = table.complete_rows(targets);
        let Some(first) = keep.iter().position(|keep| !keep) else { return Ok(keep) };
        let dropped = keep.iter().filter(|keep| !**keep).count();
        let target = table.columns()[targets[0]].name.clone();
        if dropped == keep.len() {
            let problem = format!("`{target}` has no value in any row; expected the target there");
            return Err(Error::invalid(table.name(), problem));
        }
        notices.push(format!(
            "left out, because `{target}` has no value there: {} of {} rows (row {} is the first)",
            grouped(dropped as u64),
            grouped(keep.len() as u64),
            first + 1
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

/// The tables of a source, one below the other.
pub(super) struct Files {
    pub table: Table,
    pub rows: FileRows,
    /// The parts, where the caller names their rows.
    pub parts: Option<Parts>,
    /// What is predicted unless the user says otherwise; nothing for the last column.
    pub targets: Vec<String>,
    pub notices: Vec<String>,
}

impl Files {
    /// Reads the files of a source. `text` names columns of texts.
    pub fn read(source: &Source, text: &[String]) -> Result<Self> {
        let mut options = ReadOptions { text: text.to_vec(), ..ReadOptions::default() };
        loop {
            let main = Path::new(&source.data);
            let (main, libsvm) = read_table(main, &options, LibsvmOptions::default())?;
            let (val, test) = others(source, &main, &options, libsvm)?;
            let texts = mixed(&main.table, [&val, &test]);
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
        let main = plain(train);
        let (val, own_test) =
            others(source, &main, &ReadOptions::default(), LibsvmOptions::default())?;
        // arrays name the columns of their labels `y0`, `y1`, ...
        let names = main.table.columns().iter().map(|column| &column.name);
        let is_label = |name: &&String| {
            let number = name.strip_prefix('y');
            number.is_some_and(|n| !n.is_empty() && n.bytes().all(|digit| digit.is_ascii_digit()))
        };
        let targets = names.filter(is_label).cloned().collect();
        let files = Self::joined(main, val.or(valid.map(plain)), own_test.or(test.map(plain)))?;
        Ok(Self { targets, ..files })
    }

    /// Tables in memory, and perhaps the rows of the first one in each part.
    pub fn in_memory(
        train: Table,
        valid: Option<Table>,
        test: Option<Table>,
        parts: Option<Parts>,
    ) -> Result<Self> {
        let files = Self::joined(plain(train), valid.map(plain), test.map(plain))?;
        Ok(Self { parts, ..files })
    }

    fn joined(main: ReadTable, val: Option<ReadTable>, test: Option<ReadTable>) -> Result<Self> {
        let ReadTable { mut table, mut notices, .. } = main;
        let mut rows = FileRows { train: table.n_rows(), val: None, test: None };
        for (more, count) in [(val, &mut rows.val), (test, &mut rows.test)] {
            let Some(more) = more else { continue };
            *count = Some(more.table.n_rows());
            notices.extend(more.notices);
            table.append(more.table)?;
        }
        Ok(Self { table, rows, parts: None, targets: Vec::new(), notices })
    }
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
        Form::Parquet => Ok((plain(read_parquet(path)?), libsvm)),
        Form::Libsvm => {
            let LibsvmTable { table, first, .. } = read_libsvm(path, &libsvm)?;
            let mut libsvm = libsvm;
            (libsvm.min_features, libsvm.first) = (table.columns().len() - 1, Some(first));
            Ok((plain(table), libsvm))
        }
        Form::Arrays => match read_arrays(path)? {
            Arrays::Table { train, valid: None, test: None } => Ok((plain(train), libsvm)),
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

/// A table whose columns have names.
fn plain(table: Table) -> ReadTable {
    ReadTable { table, has_header: true, notices: Vec::new() }
}

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
        Some(table) => Ok(plain(table)),
        None => read_csv(path, &prepare.read_options()),
    }
}

/// Reads a file of rows without targets for a model, whole: Parquet, LibSVM or arrays. `None` for text, which
/// [`crate::data::table::TableStream`] reads as it arrives.
///
/// # Errors
/// If the file cannot be read, or holds images.
pub fn read_inputs(path: &Path, prepare: &Prepare) -> Result<Option<Table>> {
    match Form::of_name(&path.display().to_string()) {
        Some(Form::Parquet) => read_parquet(path).map(Some),
        Some(Form::Libsvm) => {
            // the numbers of the features are the names of the columns
            let numbers =
                || prepare.inputs().iter().filter_map(|input| input.column().parse::<usize>().ok());
            let mut options = LibsvmOptions::default();
            if numbers().any(|number| number == 0) {
                options.first = Some(0);
            }
            let first = options.first.unwrap_or(1);
            options.min_features = numbers().max().map_or(0, |last| last + 1 - first);
            options.first = Some(first);
            Ok(Some(read_libsvm(path, &options)?.table))
        }
        Some(Form::Arrays) => match npz::read_inputs(path)? {
            Inputs::Table(table) => Ok(Some(table)),
            Inputs::Images { .. } => Err(Error::invalid_file(
                path,
                "found images; the model was trained on a table, and expects one",
            )),
        },
        _ => Ok(None),
    }
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
