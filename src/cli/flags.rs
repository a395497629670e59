//! The flags of `train` and `sweep`, made from the tables of settings.

use clap::builder::{PossibleValuesParser, TypedValueParser as _, ValueParser};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use toml::{Table, Value};

use crate::store::RunOptions;
use crate::train::config::GROUPS;
use crate::train::config::group::{DATA, OUTPUT, RUN};
use crate::train::setting::{Configuration, Setting, Sweep, settings};
use crate::train::{FOLLOWING, Grid, Sharing, TrainConfig};

settings! {
    /// Where files, results and progress go.
    pub struct OutputOptions {
        /// The directory for the files [default: one under runs/ with a name of its own]
        out: Option<String> = None, { value_name: "DIR", group: OUTPUT }
        /// Write no report at the end
        no_report: bool = false, { group: OUTPUT, implied: Some("on"), resume: true }
        /// Write one JSON object a line to standard output
        json: bool = false, { group: OUTPUT, implied: Some("on"), resume: true }
        /// Show no progress, only the result
        quiet: bool = false, { group: OUTPUT, implied: Some("on"), resume: true, short: Some('q') }
    }
}

settings! {
    /// What a sweep does at its end.
    pub struct SweepOptions {
        /// Measure every run on the test part, not only the winner
        test_all: bool = false, { group: RUN, implied: Some("on") }
    }
}

/// The keys that only a command line and the files for it have.
pub fn command_keys(sweep: bool) -> Vec<&'static str> {
    let output = OutputOptions::SETTINGS.iter().map(|setting| setting.key);
    let more = SweepOptions::SETTINGS.iter().map(|setting| setting.key).filter(|_| sweep);
    output.chain(more).collect()
}

/// The settings that were given as flags, by their keys: of a sweep, or of a single run.
#[derive(Clone, Debug)]
pub struct SettingFlags<const SWEEP: bool> {
    pub table: Table,
}

/// The value name of a switch, which says its values.
const ON_OFF: &str = "on|off";

/// A setting as the command line sees it.
struct Flag {
    key: &'static str,
    help: String,
    value_name: String,
    group: &'static str,
    implied: Option<&'static str>,
    positional: bool,
    short: Option<char>,
    /// What separates the values of a list.
    separator: Option<char>,
    resume: bool,
    choices: Vec<&'static str>,
    parse: fn(&str) -> Result<Value, String>,
}

impl Flag {
    fn new<C: Configuration>(setting: &Setting<C>, sweep: bool, default: &str) -> Self {
        let separator = setting.sweep.separator().filter(|_| sweep);
        let help = match (setting.help.trim(), &(setting.elements)()[..]) {
            (help, []) => help.to_owned(),
            (help, names) => format!("{help}: {}", names.join(", ")),
        };
        let default = setting.default.unwrap_or(default);
        // a sweep takes its settings as they are
        let of_table = match !sweep && FOLLOWING.contains(&setting.key) {
            true => "; of a table, what suits its size",
            false => "",
        };
        let value_name = match separator {
            Some(separator) => format!("{}{separator}...", setting.value_name),
            None => setting.value_name.to_owned(),
        };
        Self {
            key: setting.key,
            help: match default {
                "" | "off" => help,
                default => format!("{help} [default: {default}{of_table}]"),
            },
            value_name,
            group: setting.group,
            implied: setting.implied,
            positional: setting.positional,
            short: setting.short,
            separator,
            resume: setting.resume,
            choices: (setting.choices)(),
            parse: setting.parse,
        }
    }

    /// The flags of a struct of settings.
    fn of<C: Configuration>(sweep: bool) -> impl Iterator<Item = Self> {
        let defaults = C::default();
        let there = move |setting: &&Setting<C>| !sweep || setting.sweep != Sweep::Absent;
        let flag =
            move |setting: &Setting<C>| Self::new(setting, sweep, &(setting.text)(&defaults));
        C::SETTINGS.iter().filter(there).map(flag)
    }

    /// All flags of a command, in the order in which help lists them.
    fn all(sweep: bool) -> Vec<Self> {
        let mut flags = Vec::new();
        if sweep {
            let grid = Grid::default();
            let settings =
                TrainConfig::SETTINGS.iter().filter(|setting| setting.sweep != Sweep::Absent);
            flags.extend(settings.map(|setting| Self::new(setting, true, &grid.text(setting))));
            flags.extend(Self::of::<SweepOptions>(true));
            flags.extend(Self::of::<Sharing>(true));
        } else {
            flags.extend(Self::of::<TrainConfig>(false));
        }
        flags.extend(Self::of::<RunOptions>(sweep));
        flags.extend(Self::of::<OutputOptions>(sweep));
        flags.sort_by_key(|flag| GROUPS.iter().position(|group| *group == flag.group));
        flags
    }

    /// The value, or the values of a list.
    fn parser(&self) -> ValueParser {
        let parse = self.parse;
        if self.choices.is_empty() {
            return ValueParser::new(move |text: &str| parse(text));
        }
        let names = PossibleValuesParser::new(self.choices.clone());
        ValueParser::new(names.try_map(move |name| parse(&name)))
    }

    fn arg(&self, sweep: bool) -> Arg {
        let arg = Arg::new(self.key)
            .help(self.help.clone())
            .value_parser(self.parser())
            .hide_possible_values(self.implied.is_some() || self.value_name.starts_with(ON_OFF));
        let arg = if sweep || self.resume { arg } else { arg.conflicts_with("resume") };
        let arg = match &self.value_name[..] {
            "DIR" => arg.value_hint(ValueHint::DirPath),
            "DATA" | "MODEL" => arg.value_hint(ValueHint::AnyPath),
            _ => arg,
        };
        if self.positional {
            return arg.value_name(self.value_name.clone());
        }
        let arg = arg
            .long(self.key.replace('_', "-"))
            .help_heading(self.group)
            .allow_negative_numbers(true)
            .action(ArgAction::Set);
        let arg = match self.short {
            Some(short) => arg.short(short),
            None => arg,
        };
        let arg = match self.separator {
            Some(separator) => arg.value_delimiter(separator),
            None => arg,
        };
        match self.implied {
            // a switch: its value can be left out, and follows `=` otherwise
            Some(implied) => arg
                .value_name(ON_OFF)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value(implied),
            None => arg.value_name(self.value_name.clone()),
        }
    }
}

/// Whether a key is that of a flag.
pub fn is_flag(key: &str) -> bool {
    [false, true]
        .iter()
        .any(|&sweep| Flag::all(sweep).iter().any(|flag| flag.key == key && !flag.positional))
}

/// The values of the flags that were given.
fn given(flags: Vec<Flag>, matches: &ArgMatches) -> Table {
    let mut table = Table::new();
    for flag in flags {
        if matches.value_source(flag.key) != Some(ValueSource::CommandLine) {
            continue;
        }
        let mut values: Vec<Value> =
            matches.get_many(flag.key).into_iter().flatten().cloned().collect();
        let value = match values.len() {
            1 => values.remove(0),
            _ => Value::Array(values),
        };
        table.insert(flag.key.to_owned(), value);
    }
    table
}

/// The settings that say what data is, given as flags, by their keys.
#[derive(Clone, Debug)]
pub struct DataFlags {
    pub table: Table,
}

impl DataFlags {
    fn flags() -> Vec<Flag> {
        let all = Flag::all(false).into_iter();
        all.filter(|flag| flag.positional || flag.group == DATA || flag.key.starts_with("split"))
            .map(|flag| Flag { resume: true, ..flag })
            .collect()
    }
}

impl clap::FromArgMatches for DataFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { table: given(Self::flags(), matches) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.table.extend(Self::from_arg_matches(matches)?.table);
        Ok(())
    }
}

impl clap::Args for DataFlags {
    fn augment_args(command: Command) -> Command {
        command.args(Self::flags().iter().map(|flag| flag.arg(false)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const SWEEP: bool> clap::FromArgMatches for SettingFlags<SWEEP> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { table: given(Flag::all(SWEEP), matches) })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.table.extend(Self::from_arg_matches(matches)?.table);
        Ok(())
    }
}

impl<const SWEEP: bool> clap::Args for SettingFlags<SWEEP> {
    fn augment_args(command: Command) -> Command {
        command.args(Flag::all(SWEEP).iter().map(|flag| flag.arg(SWEEP)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// A configuration file beside the flags.
#[derive(Debug, clap::Args)]
pub struct FileArgs {
    /// Take settings from a file, such as one that an earlier run or sweep has left; flags win over it
    #[arg(long, value_name = "FILE", help_heading = OUTPUT, value_hint = ValueHint::FilePath)]
    pub config: Option<std::path::PathBuf>,

    /// Show the settings that would be used, as such a file, and stop
    #[arg(long, help_heading = OUTPUT)]
    pub print_config: bool,
}
