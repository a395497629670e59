//! What the word under the cursor can become, from the definition of the command line and the files on the disk.
//!
//! clap's own engine for this is an unstable feature, and its code takes the word after a switch for the switch's value, although
//! that value has to follow `=` here.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use clap::{Arg, Command, Id, ValueHint};

use crate::cli::bench::MADE_UP;
use crate::data::Split;
use crate::model::Activation;
use crate::store::{LATEST, RunOptions};

/// The offers for the last of the words, of which the first is the program. Each replaces the whole word. A tab and a help text, which
/// may be empty, follow a fixed word, and nothing follows a path.
pub fn offers(program: &mut Command, words: &[Cow<str>]) -> Vec<String> {
    program.build();
    let Some((current, before)) = words.split_last() else { return Vec::new() };
    let mut place = Place::start(program);
    before.iter().skip(1).for_each(|word| place.pass(word));
    place.offers(current)
}

/// A place in a command line.
struct Place<'a> {
    command: &'a Command,
    /// The flag whose value comes next.
    flag: Option<&'a Arg>,
    given: Vec<&'a Id>,
    /// The positional arguments before this place.
    positionals: usize,
    /// After `--`, no word is a flag.
    escaped: bool,
}

impl<'a> Place<'a> {
    fn start(command: &'a Command) -> Self {
        Self { command, flag: None, given: Vec::new(), positionals: 0, escaped: false }
    }

    /// Goes past a word.
    fn pass(&mut self, word: &str) {
        if self.flag.take().is_some() {
            return;
        }
        if self.escaped || word == "-" || !word.starts_with('-') {
            match self.command.find_subcommand(word) {
                Some(command) => *self = Self::start(command),
                None => self.positionals += 1,
            }
            return;
        }
        if word == "--" {
            self.escaped = true;
            return;
        }
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let Some(arg) = self.find(name) else { return };
        self.given.push(arg.get_id());
        let takes_word = arg.get_num_args().is_some_and(|number| number.takes_values())
            && !arg.is_require_equals_set();
        self.flag = Some(arg).filter(|_| takes_word && value.is_none());
    }

    /// The flag with this name, `--epochs` or `-q`.
    fn find(&self, name: &str) -> Option<&'a Arg> {
        self.command.get_arguments().find(|arg| match name.strip_prefix("--") {
            Some(long) => arg.get_long() == Some(long),
            None => {
                let short = name.strip_prefix('-').and_then(|letter| letter.parse().ok());
                short.is_some() && arg.get_short() == short
            }
        })
    }

    fn offers(&self, current: &str) -> Vec<String> {
        if let Some(flag) = self.flag {
            return self.values(flag, current);
        }
        if current.starts_with('-') && !self.escaped {
            return match current.split_once('=') {
                Some((name, value)) => {
                    let values = self.find(name).map(|flag| self.values(flag, value));
                    values.into_iter().flatten().map(|value| format!("{name}={value}")).collect()
                }
                None => self.flags(current),
            };
        }
        let mut offers = match self.positionals {
            0 => self.commands(current),
            _ => Vec::new(),
        };
        offers.extend(self.positional().map(|arg| self.values(arg, current)).into_iter().flatten());
        match offers.is_empty() && current.is_empty() && !self.escaped {
            true => self.flags(current),
            false => offers,
        }
    }

    fn commands(&self, current: &str) -> Vec<String> {
        let commands = self.command.get_subcommands().filter(|command| !command.is_hide_set());
        let lines = commands
            .map(|command| (command.get_name().to_owned(), first_line(command.get_about())));
        lines.filter(|(name, _)| name.starts_with(current)).map(with_help).collect()
    }

    /// The flags that are not given yet.
    fn flags(&self, current: &str) -> Vec<String> {
        let flags = self
            .command
            .get_arguments()
            .filter(|arg| !arg.is_hide_set() && !self.given.contains(&arg.get_id()));
        let lines = flags
            .filter_map(|arg| Some((format!("--{}", arg.get_long()?), first_line(arg.get_help()))));
        lines.filter(|(name, _)| name.starts_with(current)).map(with_help).collect()
    }

    /// The positional argument that this place belongs to.
    fn positional(&self) -> Option<&'a Arg> {
        let all: Vec<&Arg> =
            self.command.get_positionals().filter(|arg| !arg.is_last_set()).collect();
        let last = all.last().copied();
        let repeated =
            last.filter(|arg| arg.get_num_args().is_some_and(|number| number.max_values() > 1));
        all.get(self.positionals).copied().or(repeated)
    }

    /// What the value of an argument can be. In a list, the values before the last separator stay.
    fn values(&self, arg: &Arg, current: &str) -> Vec<String> {
        let is_separator = |c: char| {
            arg.get_value_delimiter() == Some(c) || (c == ',' && arg.get_id() == "activations")
        };
        let done = current.rfind(is_separator).map_or(0, |at| at + 1);
        let (before, last) = current.split_at(done);
        let words = self.words(arg).into_iter().filter(|word| word.starts_with(last));
        let mut values: Vec<String> = words.map(|word| format!("{before}{word}\t")).collect();
        let is_wanted: fn(&str) -> bool = match (arg.get_value_hint(), arg.get_id().as_str()) {
            (ValueHint::DirPath, _) | (ValueHint::AnyPath, "data") => |_| false,
            (ValueHint::FilePath, "config") => |name| name.ends_with(".toml"),
            (ValueHint::AnyPath, "model" | "init_from") => |name| name.ends_with(".safetensors"),
            (ValueHint::FilePath | ValueHint::AnyPath, _) => |_| true,
            _ => return values,
        };
        values.extend(paths(current, is_wanted));
        values
    }

    /// The words that are values of an argument.
    fn words(&self, arg: &Arg) -> Vec<String> {
        match arg.get_id().as_str() {
            "data" if self.command.get_name() == "bench" => {
                vec![RunOptions::default().data, MADE_UP.to_owned()]
            }
            "data" => vec![RunOptions::default().data],
            "model" | "init_from" | "resume" | "directories" => vec![LATEST.to_owned()],
            "activations" => {
                Activation::ALL.map(|activation| activation.name().to_owned()).to_vec()
            }
            "split" => [Split::Auto, Split::Pooled, Split::Canonical]
                .map(|split| split.to_string())
                .to_vec(),
            _ => {
                arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
            }
        }
    }
}

fn first_line(help: Option<&clap::builder::StyledStr>) -> String {
    let help = help.map(ToString::to_string).unwrap_or_default();
    help.lines().next().unwrap_or_default().to_owned()
}

fn with_help((text, help): (String, String)) -> String {
    format!("{text}\t{help}")
}

/// The directories, each with a slash at its end, and the files that are wanted, whose paths begin so.
fn paths(current: &str, is_wanted: fn(&str) -> bool) -> Vec<String> {
    let (directory, start) = current.split_at(current.rfind('/').map_or(0, |at| at + 1));
    let folder = match (directory, directory.strip_prefix("~/"), std::env::home_dir()) {
        (_, Some(rest), Some(home)) => home.join(rest),
        ("", ..) => PathBuf::from("."),
        _ => PathBuf::from(directory),
    };
    let mut found: Vec<String> = entries(&folder)
        .filter(|name| name.starts_with(start))
        .filter(|name| start.starts_with('.') || !name.starts_with('.'))
        .filter(|name| name.ends_with('/') || is_wanted(name))
        // would be a flag
        .filter(|name| !directory.is_empty() || !name.starts_with('-'))
        .map(|name| format!("{directory}{name}"))
        .collect();
    if start == ".." {
        found.push(format!("{directory}../"));
    }
    found.sort();
    found
}

/// The names in a folder that a line of text can hold, those of directories with a slash.
fn entries(folder: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let slash = if entry.path().is_dir() { "/" } else { "" };
        Some(format!("{name}{slash}")).filter(|name| !name.contains(char::is_control))
    })
}
