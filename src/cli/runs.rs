//! `densely runs`.

use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::{print_json, print_note, print_text};
use crate::report::{Column, Layout, Paint, Stream, Text, cut, percent, plural};
use crate::store::{Listed, ListedKind, RUNS, RunConfig, list};
use crate::train::EpochRecord;

/// List runs: time, data, network, epochs, scores, state
///
/// The latest comes first. `latest` stands for it wherever a run or a model is expected.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A directory of runs, or of a sweep
    #[arg(value_name = "DIR", default_value = RUNS, value_hint = clap::ValueHint::DirPath)]
    directory: PathBuf,

    /// Write one JSON object a line to standard output
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  densely runs
  densely runs runs/sweep-1b2c3d4e
  densely runs --json | jq -r 'select(.state == \"unfinished\") | .path'";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    if args.directory.as_os_str() == RUNS && !args.directory.exists() {
        print_note("there is no run here yet; densely train makes one");
        return Ok(());
    }
    let all = list(&args.directory)?;
    if all.is_empty() {
        print_note(&format!("there is no run in {}", args.directory.display()));
        return Ok(());
    }
    let lines: Vec<Line> = all.iter().map(Line::of).collect();
    if args.json {
        let lines: Vec<String> = lines.iter().map(|line| line.json().to_string()).collect();
        return print_json(&lines.join("\n"));
    }
    print_text(&table(&lines, Stream::Out.width()))
}

/// A run or a sweep in words.
struct Line {
    path: String,
    time: SystemTime,
    data: String,
    network: String,
    epochs: String,
    done: usize,
    val_accuracy: Option<f64>,
    test_accuracy: Option<f64>,
    state: String,
}

impl Line {
    fn of(listed: &Listed) -> Self {
        let plain = |network: String, state: String| Self {
            path: listed.path.display().to_string(),
            time: listed.changed,
            data: String::new(),
            network,
            epochs: String::new(),
            done: 0,
            val_accuracy: None,
            test_accuracy: None,
            state,
        };
        match &listed.kind {
            ListedKind::Run { config, history, results } => {
                // those of an earlier end are out of date
                let results = results
                    .as_ref()
                    .filter(|results| results["epochs"].as_u64() == Some(history.len() as u64));
                let line = plain(network(config), state(config, history, results));
                let share = |key: &str| results.and_then(|results| results[key].as_f64());
                let best = history.iter().filter_map(|epoch| epoch.val_accuracy).reduce(f64::max);
                Self {
                    data: short_name(&config.options.data),
                    epochs: format!("{}/{}", history.len(), config.train.epochs),
                    done: history.len(),
                    val_accuracy: share("val_accuracy").or(best),
                    test_accuracy: share("test_accuracy"),
                    ..line
                }
            }
            ListedKind::Sweep { runs } => plain(plural(*runs, "run"), "sweep".to_owned()),
            ListedKind::Unreadable(error) => plain(String::new(), error.to_string()),
        }
    }

    fn json(&self) -> Value {
        let time = jiff::Timestamp::try_from(self.time).map(|time| time.to_string()).ok();
        json!({
            "path": self.path,
            "time": time,
            "data": self.data,
            "network": self.network,
            "epochs": self.done,
            "val_accuracy": self.val_accuracy,
            "test_accuracy": self.test_accuracy,
            "state": self.state,
        })
    }
}

/// `512-256-128 relu,selu,tanh`.
fn network(config: &RunConfig) -> String {
    let sizes: Vec<String> = config.train.hidden.iter().map(usize::to_string).collect();
    match sizes.is_empty() {
        true => "softmax".to_owned(),
        false => sizes.join("-"),
    }
}

fn state(config: &RunConfig, history: &[EpochRecord], results: Option<&Value>) -> String {
    match results {
        Some(results) if results["diverged"].is_string() => "diverged",
        Some(_) => "done",
        _ if history.len() >= config.train.epochs => "done",
        _ => "unfinished",
    }
    .to_owned()
}

fn short_name(data: &str) -> String {
    std::path::Path::new(data)
        .file_name()
        .map_or_else(|| data.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The path comes last, because it may be long.
const COLUMNS: [Column; 8] = [
    Column::left("time", 0, 4, 5),
    Column::left("data", 2, 4, 6),
    Column::left("network", 2, 7, 4),
    Column::right("epochs", 2, 6, 1),
    Column::right("validation", 2, 10, 0),
    Column::right("test", 2, 4, 3),
    Column::left("state", 2, 5, 2),
    Column::left("run", 2, 3, 0),
];

/// On a terminal, a longer state is cut: the reason why a file cannot be read.
const LONGEST_STATE: usize = 24;

/// Columns as wide as what they hold.
fn table(lines: &[Line], width: Option<usize>) -> Text {
    let share = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), percent);
    let time = |time: SystemTime| match jiff::Timestamp::try_from(time) {
        Ok(time) => {
            let local = time.to_zoned(jiff::tz::TimeZone::system());
            local.strftime("%Y-%m-%d %H:%M").to_string()
        }
        Err(_) => String::new(),
    };
    let rows: Vec<[String; 8]> = (lines.iter())
        .map(|line| {
            [
                time(line.time),
                line.data.clone(),
                line.network.clone(),
                line.epochs.clone(),
                share(line.val_accuracy),
                share(line.test_accuracy),
                match width {
                    Some(_) => cut(&line.state, LONGEST_STATE),
                    None => line.state.clone(),
                },
                line.path.clone(),
            ]
        })
        .collect();
    let layout = Layout::of(&COLUMNS, &rows, width);
    let mut text = Text::default().with(Paint::Head, layout.head());
    for row in &rows {
        let (path, line) = (&row[row.len() - 1], layout.row(row));
        let before = line.strip_suffix(&path[..]).unwrap_or(&line).to_owned();
        text = text.with(Paint::Plain, format!("\n{before}")).with(Paint::Path, path);
    }
    text
}
