//! What each column of a table is for.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::Target;
use crate::data::table::{
    Column, Kind, LARGEST_EXACT, MISSING, Table, Value, digits, value_of_cell,
};
use crate::error::{Error, Result};
use crate::text;
use crate::text::plural;

/// Whether classes or numbers are to be learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TaskChoice {
    /// Classes where the target is a text, or whole numbers with at most 20 values; numbers otherwise.
    #[default]
    Auto,
    /// Every value of the target is a class.
    Classification,
    /// The target is a number.
    Regression,
}

/// What a user says about the columns of a table.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct TableOptions {
    /// The columns to predict; none: the last column.
    pub target: Vec<String>,
    /// Classes or numbers.
    pub task: TaskChoice,
    /// Columns that are no inputs.
    pub ignore: Vec<String>,
    /// Columns whose values are names, even if they are numbers or hardly repeat.
    pub categorical: Vec<String>,
    /// The classes of the target, in the order of the outputs; none: those that occur. A class that no row has gets an output too, and a
    /// target that is none of them is an error.
    pub classes: Vec<String>,
    /// The column with the weights of the rows.
    pub weight: Option<String>,
    /// How numbers are scaled.
    pub scale: super::Scale,
    /// What is done about missing numbers.
    pub missing: super::Missing,
    /// How many principal components take the place of the inputs; `None`: the network sees the inputs themselves.
    pub pca: Option<usize>,
    /// Whether columns of numbers with one value in the training part are inputs too, because a network that has been trained before
    /// has inputs for them.
    pub keep_constant: bool,
}

/// The most values of whole numbers that are taken for classes.
const MOST_CLASSES: usize = 20;

/// What each column of a table is for, by position.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Roles {
    /// The columns that may become inputs.
    pub inputs: Vec<usize>,
    /// The columns to predict.
    pub targets: Vec<usize>,
    /// The column with the weights of the rows.
    pub weight: Option<usize>,
    /// The names of the classes; `None` if numbers are predicted.
    pub classes: Option<Vec<String>>,
    /// What was decided, a line each.
    pub notices: Vec<String>,
}

impl Roles {
    /// Decides what the columns are for.
    ///
    /// # Errors
    /// If a column that an option names does not exist or does not suit its purpose, or nothing is left to learn from.
    pub fn of(table: &Table, options: &TableOptions) -> Result<Self> {
        let find = |name: &String, flag: &str| position(table, name, flag);
        let targets: Vec<usize> = match options.target.is_empty() {
            true => vec![table.columns().len().saturating_sub(1)],
            false => {
                options.target.iter().map(|name| find(name, "target")).collect::<Result<_>>()?
            }
        };
        if table.columns().len() < 2 {
            let problem = format!(
                "expected at least two columns, one of them the target, found {}",
                table.columns().len()
            );
            return Err(Error::invalid(table.name(), problem));
        }
        let ignore: Vec<usize> =
            options.ignore.iter().map(|name| find(name, "ignore")).collect::<Result<_>>()?;
        for name in &options.categorical {
            find(name, "categorical")?;
        }
        let weight = options.weight.as_ref().map(|name| find(name, "weight")).transpose()?;
        let chosen: Vec<usize> = targets.iter().copied().chain(weight).collect();
        for (i, column) in chosen.iter().enumerate() {
            if chosen[..i].contains(column) || ignore.contains(column) {
                let name = &table.columns()[*column].name;
                return Err(Error::usage(match targets[..i.min(targets.len())].contains(column) {
                    true if i < targets.len() => {
                        format!("column `{name}` is named twice as `target`; expected it once")
                    }
                    _ => format!(
                        "column `{name}` is named for two purposes (`target`, `weight`, `ignore`); expected one"
                    ),
                }));
            }
        }
        let inputs: Vec<usize> = (0..table.columns().len())
            .filter(|column| !chosen.contains(column) && !ignore.contains(column))
            .collect();
        if inputs.is_empty() {
            return Err(Error::usage("no column is left as an input; expected at least one"));
        }
        let mut notices = Vec::new();
        let classes = classes(table, &targets, options, &mut notices)?;
        let classes = declared(table, targets[0], classes, &options.classes)?;
        Ok(Self { inputs, targets, weight, classes, notices })
    }
}

impl Roles {
    /// What is to be learnt.
    pub(crate) fn target(&self, table: &Table) -> Target {
        let name = |&column: &usize| table.columns()[column].name.clone();
        match &self.classes {
            Some(classes) => {
                Target::Classes { column: name(&self.targets[0]), classes: classes.clone() }
            }
            None => Target::Numbers { columns: self.targets.iter().map(name).collect() },
        }
    }

    /// The class of each row, none of which may lack one; empty if numbers are predicted.
    pub fn labels(&self, table: &Table) -> Vec<u32> {
        let Some(classes) = &self.classes else { return Vec::new() };
        let target = self.targets[0];
        match &table.columns()[target].kind {
            Kind::Text(levels) => {
                let numbers: HashMap<&str, u32> =
                    classes.iter().zip(0..).map(|(class, number)| (&class[..], number)).collect();
                let of_level: Vec<u32> = levels
                    .iter()
                    .map(|level| numbers.get(&level[..]).copied().unwrap_or_default())
                    .collect();
                table.codes(target).map(|code| of_level[code as usize]).collect()
            }
            Kind::Number => {
                let of_class: HashMap<&str, u32> =
                    classes.iter().zip(0..).map(|(class, number)| (&class[..], number)).collect();
                let number = |value| of_class.get(&digits(value)[..]).copied().unwrap_or_default();
                let numbers: HashMap<u32, u32> = distinct(table.numbers(target))
                    .into_iter()
                    .map(|value| (value.to_bits(), number(value)))
                    .collect();
                table.numbers(target).map(|value| numbers[&(value + 0.0).to_bits()]).collect()
            }
        }
    }
}

/// The column of a name.
pub fn position(table: &Table, name: &str, purpose: &str) -> Result<usize> {
    table.position(name).ok_or_else(|| {
        let names: Vec<&str> = table.columns().iter().map(|column| &column.name[..]).collect();
        let likeness =
            |other: &str| strsim::jaro_winkler(&other.to_lowercase(), &name.to_lowercase());
        let closest = names.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let hint = match closest.filter(|closest| likeness(closest) >= LIKE) {
            Some(closest) => format!("is it `{closest}`?"),
            None => format!("it has {}", listed(&names)),
        };
        Error::usage(format!(
            "{purpose} `{name}`: {} has no column of that name; {hint}",
            table.name()
        ))
    })
}

/// From this similarity of Jaro and Winkler on, a name may be a slip of another.
const LIKE: f64 = 0.85;

/// Names of columns in a row, shortened where there are many.
pub(super) fn listed(names: &[&str]) -> String {
    text::listed(&names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>())
}

/// The names of the classes of a target; `None` if it is to be predicted as a number.
fn classes(
    table: &Table,
    targets: &[usize],
    options: &TableOptions,
    notices: &mut Vec<String>,
) -> Result<Option<Vec<String>>> {
    let [target] = targets[..] else {
        if options.task == TaskChoice::Classification {
            return Err(Error::usage("classification of several targets; expected one target"));
        }
        targets.iter().try_for_each(|&target| require_numbers(table, target))?;
        return Ok(None);
    };
    let name = &table.columns()[target].name;
    let is_named = options.categorical.contains(name);
    let values = match &table.columns()[target].kind {
        Kind::Text(levels) if options.task != TaskChoice::Regression => {
            // a level may be left over from rows that are gone
            let mut occurs = vec![false; levels.len()];
            for code in table.codes(target).filter(|&code| code != MISSING) {
                occurs[code as usize] = true;
            }
            let occurring = levels.iter().zip(occurs).filter(|(_, occurs)| *occurs);
            let mut names: Vec<String> = occurring.map(|(level, _)| level.clone()).collect();
            names.sort();
            notices.push(format!(
                "target `{name}`{}: {}",
                which(options),
                match &names[..] {
                    [] => "no class".to_owned(),
                    [one] => format!("one class, {one}"),
                    several => format!("{} classes", several.len()),
                }
            ));
            return Ok(Some(names));
        }
        Kind::Text(_) => {
            require_numbers(table, target)?;
            return Ok(None);
        }
        Kind::Number => distinct(table.numbers(target)),
    };
    let whole = values.iter().all(|value| value.fract() == 0.0 && value.is_finite());
    let few = values.len() <= MOST_CLASSES;
    let is_class = match options.task {
        TaskChoice::Classification => true,
        TaskChoice::Regression => false,
        TaskChoice::Auto => is_named || whole && few,
    };
    if is_class && values.iter().any(|value| value.abs() >= LARGEST_EXACT) {
        let problem = format!(
            "target `{name}` has values of {LARGEST_EXACT} and more, which 32-bit numbers do not tell apart; expected smaller ones, \
             or --categorical {name}, which keeps them as texts"
        );
        return Err(Error::invalid(table.name(), problem));
    }
    let other = |flag: &str| match options.task {
        TaskChoice::Auto => format!(" ({flag})"),
        _ => String::new(),
    };
    notices.push(match is_class {
        true => format!(
            "target `{name}`{}: {}, each a class{}",
            which(options),
            plural(values.len(), "value"),
            other("--task regression predicts it as a number")
        ),
        false => format!(
            "target `{name}`{}: predicted as a number{}",
            which(options),
            other("--task classification takes each value for a class")
        ),
    });
    Ok(is_class.then(|| values.into_iter().map(digits).collect()))
}

/// The classes that a user declares in the place of those that occur.
fn declared(
    table: &Table,
    target: usize,
    occurring: Option<Vec<String>>,
    declared: &[String],
) -> Result<Option<Vec<String>>> {
    if declared.is_empty() {
        return Ok(occurring);
    }
    let Some(occurring) = occurring else {
        return Err(Error::usage(
            "classes are declared, but numbers are predicted; expected none, or a classification",
        ));
    };
    let name = &table.columns()[target].name;
    let mut seen = HashSet::new();
    if let Some(again) = declared.iter().find(|class| !seen.insert(&class[..])) {
        return Err(Error::usage(format!(
            "class `{again}` is declared twice; expected names that differ"
        )));
    }
    match occurring.iter().find(|class| !seen.contains(&class[..])) {
        None => Ok(Some(declared.to_vec())),
        Some(class) => Err(Error::invalid(
            table.name(),
            format!(
                "target `{name}` has the class `{class}`, which is none of those that are declared"
            ),
        )),
    }
}

/// How the target was chosen, where nobody named it.
fn which(options: &TableOptions) -> &'static str {
    match options.target.is_empty() {
        true => ", the last column (--target names another)",
        false => "",
    }
}

/// The different values that are not missing, by size.
fn distinct(values: impl Iterator<Item = f32>) -> Vec<f32> {
    let mut seen: HashMap<u32, f32> = HashMap::new();
    for value in values.filter(|value| !value.is_nan()) {
        let value = value + 0.0; // -0 is 0
        seen.entry(value.to_bits()).or_insert(value);
    }
    let mut values: Vec<f32> = seen.into_values().collect();
    values.sort_by(f32::total_cmp);
    values
}

fn require_numbers(table: &Table, target: usize) -> Result<()> {
    match &table.columns()[target] {
        column if column.kind == Kind::Number => Ok(()),
        Column { name, kind } => {
            // as numbers are written in a file: one that is too large is a number too
            let is_text = |level: &String| value_of_cell(level.as_bytes()) == Value::Text;
            let texts: Vec<bool> = match kind {
                Kind::Text(levels) => levels.iter().map(is_text).collect(),
                Kind::Number => Vec::new(),
            };
            let is_text = |code: u32| texts.get(code as usize) == Some(&true);
            let first = table.codes(target).enumerate().find(|&(_, code)| is_text(code));
            let such = match (first, kind) {
                (Some((row, code)), Kind::Text(levels)) => {
                    format!(" such as `{}` in row {}", levels[code as usize], row + 1)
                }
                _ => String::new(),
            };
            let problem =
                format!("target `{name}` holds texts{such}; expected numbers for a regression");
            Err(Error::invalid(table.name(), problem))
        }
    }
}
