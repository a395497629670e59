//! `densely runs`.

use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::{print_json, print_note, print_result};
use crate::report::{percent, plural};
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
    print_result(&table(&lines))
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

/// Columns as wide as what they hold; the path comes last, because it may be long.
fn table(lines: &[Line]) -> String {
    let share = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), percent);
    let time = |time: SystemTime| match jiff::Timestamp::try_from(time) {
        Ok(time) => {
            let local = time.to_zoned(jiff::tz::TimeZone::system());
            local.strftime("%Y-%m-%d %H:%M").to_string()
        }
        Err(_) => String::new(),
    };
    let head = ["time", "data", "network", "epochs", "validation", "test", "state", "run"]
        .map(str::to_owned);
    let mut rows = vec![head];
    rows.extend(lines.iter().map(|line| {
        [
            time(line.time),
            line.data.clone(),
            line.network.clone(),
            line.epochs.clone(),
            share(line.val_accuracy),
            share(line.test_accuracy),
            line.state.clone(),
            line.path.clone(),
        ]
    }));
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let text = rows.iter().map(|row| {
        let cells =
            row.iter().zip(widths).enumerate().map(|(column, (cell, width))| match column {
                3..=5 => format!("{cell:>width$}"),
                7 => cell.clone(),
                _ => format!("{cell:<width$}"),
            });
        cells.collect::<Vec<_>>().join("  ")
    });
    text.collect::<Vec<_>>().join("\n")
}
