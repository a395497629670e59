//! The flags of `train`, `sweep` and `cv`, made from the tables of settings.

use std::marker::PhantomData;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _, ValueParser};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use toml::{Table, Value};

use crate::store::RunOptions;
use crate::train::config::GROUPS;
use crate::train::config::group::{DATA, OUTPUT, RUN};
use crate::train::setting::{Configuration, Setting, Sweep, settings};
use crate::train::{FOLLOWING, Folds, Grid, Preset, Sharing, TrainConfig};

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

settings! {
    /// Where settings come from that are not given.
    pub struct PresetOptions {
        /// Settings that do well together; flags and a file of --config win over them
        preset: Option<&'static Preset> = None, { value_name: "NAME", group: RUN, default: Some("none") }
    }
}

/// What a command trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Run,
    Sweep,
    /// One configuration on several folds.
    CrossValidation,
}

/// The keys that only a command line and the files for it have.
pub fn command_keys(kind: Kind) -> Vec<&'static str> {
    let output = OutputOptions::SETTINGS.iter().map(|setting| setting.key);
    let preset = PresetOptions::SETTINGS.iter().map(|setting| setting.key);
    let more = SweepOptions::SETTINGS.iter().filter(|_| kind == Kind::Sweep);
    output.chain(preset).chain(more.map(|setting| setting.key)).collect()
}

/// A command, for the flags that it has.
pub trait Trains {
    const KIND: Kind;
}

/// `densely train`.
#[derive(Clone, Debug)]
pub struct TrainsRun;

/// `densely sweep`.
#[derive(Clone, Debug)]
pub struct TrainsSweep;

/// `densely cv`.
#[derive(Clone, Debug)]
pub struct TrainsFolds;

impl Trains for TrainsRun {
    const KIND: Kind = Kind::Run;
}

impl Trains for TrainsSweep {
    const KIND: Kind = Kind::Sweep;
}

impl Trains for TrainsFolds {
    const KIND: Kind = Kind::CrossValidation;
}

/// The settings that were given as flags of a command, by their keys.
#[derive(Clone, Debug)]
pub struct SettingFlags<C> {
    pub table: Table,
    command: PhantomData<C>,
}

/// The value name of a switch, which says its values.
const ON_OFF: &str = "on|off";

/// What `--folds` means where there is always a number of them.
const FOLDS: &str =
    "The number of folds; each tests a run that was trained on the others [default: 5]";

/// What `--split-seed` means there.
const SPLIT_SEED: &str = "Decides which samples are in which fold [default: 0]";

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
    choices: Vec<PossibleValue>,
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
        let of_table = match FOLLOWING.contains(&setting.key) {
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
            choices: (setting.choices)().into_iter().map(PossibleValue::new).collect(),
            parse: setting.parse,
        }
    }

    /// The flags of a struct of settings, without those that several runs do not have.
    fn of<C: Configuration>(kind: Kind) -> impl Iterator<Item = Self> {
        let defaults = C::default();
        let there =
            move |setting: &&Setting<C>| kind == Kind::Run || setting.sweep != Sweep::Absent;
        let flag = move |setting: &Setting<C>| {
            Self::new(setting, kind == Kind::Sweep, &(setting.text)(&defaults))
        };
        C::SETTINGS.iter().filter(there).map(flag)
    }

    /// The flag of presets, whose long help says what each is.
    fn preset(kind: Kind) -> impl Iterator<Item = Self> {
        let about = |choice: PossibleValue| match Preset::find(choice.get_name()) {
            Ok(preset) => choice.help(preset.about),
            Err(_) => choice,
        };
        Self::of::<PresetOptions>(kind).map(move |flag| Self {
            choices: flag.choices.into_iter().map(about).collect(),
            ..flag
        })
    }

    /// All flags of a command, in the order in which help lists them.
    fn all(kind: Kind) -> Vec<Self> {
        let settings: Vec<Self> = match kind {
            Kind::Run => Self::of::<TrainConfig>(kind).collect(),
            Kind::Sweep => {
                let grid = Grid::default();
                let settings =
                    TrainConfig::SETTINGS.iter().filter(|setting| setting.sweep != Sweep::Absent);
                let settings =
                    settings.map(|setting| Self::new(setting, true, &grid.text(setting)));
                settings.chain(Self::of::<SweepOptions>(kind)).collect()
            }
            // the folds are the split
            Kind::CrossValidation => {
                let own = Self::of::<TrainConfig>(kind).filter(|flag| flag.key != "split");
                own.map(|flag| match flag.key {
                    "split_seed" => Self { help: SPLIT_SEED.to_owned(), ..flag },
                    _ => flag,
                })
                .collect()
            }
        };
        let mut flags: Vec<Self> = Self::preset(kind).chain(settings).collect();
        if kind != Kind::Run {
            flags.extend(Self::of::<Folds>(kind).map(|flag| match kind {
                Kind::CrossValidation => Self { help: FOLDS.to_owned(), ..flag },
                _ => flag,
            }));
            flags.extend(Self::of::<Sharing>(kind));
        }
        let options = Self::of::<RunOptions>(kind);
        let is_part = |flag: &Self| ["valid", "test"].contains(&flag.key);
        flags.extend(options.filter(|flag| kind != Kind::CrossValidation || !is_part(flag)));
        flags.extend(Self::of::<OutputOptions>(kind));
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

    fn arg(&self, kind: Kind) -> Arg {
        let arg = Arg::new(self.key)
            .help(self.help.clone())
            .value_parser(self.parser())
            .hide_possible_values(self.implied.is_some() || self.value_name.starts_with(ON_OFF));
        let arg = match kind == Kind::Run && !self.resume {
            true => arg.conflicts_with("resume"),
            false => arg,
        };
        let arg = match &self.value_name[..] {
            "DIR" => arg.value_hint(ValueHint::DirPath),
            "DATA" | "MODEL" | "PATH" => arg.value_hint(ValueHint::AnyPath),
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
    [Kind::Run, Kind::Sweep, Kind::CrossValidation]
        .iter()
        .any(|&kind| Flag::all(kind).iter().any(|flag| flag.key == key && !flag.positional))
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
        let all = Flag::all(Kind::Run).into_iter();
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
        command.args(Self::flags().iter().map(|flag| flag.arg(Kind::Run)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<C: Trains> clap::FromArgMatches for SettingFlags<C> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self { table: given(Flag::all(C::KIND), matches), command: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.table.extend(Self::from_arg_matches(matches)?.table);
        Ok(())
    }
}

impl<C: Trains> clap::Args for SettingFlags<C> {
    fn augment_args(command: Command) -> Command {
        command.args(Flag::all(C::KIND).iter().map(|flag| flag.arg(C::KIND)))
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
