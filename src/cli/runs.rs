//! `densely runs`.

use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::{Value, json};

use super::{print_note, print_raw, print_text};
use crate::report::{Column, Layout, Paint, Stream, Text, cut, date, grouped, plural};
use crate::store::{Listed, ListedKind, RUNS, RunConfig, list};
use crate::task::Metric;
use crate::train::setting::Configuration as _;
use crate::train::{EpochRecord, TrainConfig};

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
        return print_raw(&lines.join("\n"));
    }
    print_text(&table(&lines, Stream::Out.width()))
}

/// A run or a sweep in words.
struct Line {
    path: String,
    time: SystemTime,
    data: String,
    network: String,
    /// What its recipe has beside the plain one.
    recipe: String,
    epochs: String,
    done: usize,
    /// What it is compared by.
    metric: Metric,
    /// Its value on the validation and the test part.
    val: Option<f64>,
    test: Option<f64>,
    /// The accuracy or the RMSE, likewise.
    usual: [Option<f64>; 2],
    state: String,
    /// Of a sweep: the runs that have begun, and all of them.
    runs: Option<(usize, usize)>,
}

impl Line {
    fn of(listed: &Listed) -> Self {
        let plain = |network: String, state: String| Self {
            path: listed.path.display().to_string(),
            time: listed.changed,
            data: String::new(),
            network,
            recipe: String::new(),
            epochs: String::new(),
            done: 0,
            metric: Metric::Accuracy,
            val: None,
            test: None,
            usual: [None; 2],
            state,
            runs: None,
        };
        match &listed.kind {
            ListedKind::Run { config, history, results } => {
                let epochs = |results: &&Value| results["epochs"].as_u64().map(|n| n as usize);
                // those of an earlier end are out of date; without the figures of the epochs, they are all there is
                let results = results
                    .as_ref()
                    .filter(|results| history.is_empty() || epochs(results) == Some(history.len()));
                let done = results.as_ref().and_then(epochs).unwrap_or(history.len());
                let is_regression = history.iter().any(EpochRecord::is_regression)
                    || results.is_some_and(|results| results.get("val_rmse").is_some());
                let metric = config.train.metric_for(is_regression);
                let network = network(config, is_regression);
                let line = plain(network, state(config, done, results));
                let value = |metric: Metric, part: &str| {
                    results.and_then(|results| results[metric.key(part)].as_f64())
                };
                // of a run that has not come to its end
                let mut epochs = history.iter().filter(|epoch| epoch.value(metric).is_some());
                let best = epochs.next().map(|first| {
                    epochs.fold(first, |best, epoch| {
                        if epoch.is_better_than(best, metric) { epoch } else { best }
                    })
                });
                let val = |metric: Metric| {
                    value(metric, "val").or(best.and_then(|best| best.value(metric)))
                };
                let usual = Metric::default_for(is_regression);
                Self {
                    data: short_name(&config.options.data),
                    recipe: recipe(&config.train),
                    epochs: format!("{done}/{}", config.train.epochs.max(done)),
                    done,
                    metric,
                    val: val(metric),
                    test: value(metric, "test"),
                    usual: [val(usual), value(usual, "test")],
                    ..line
                }
            }
            ListedKind::Sweep { data, runs, begun, ended, best, mean } => {
                let state = if ended < runs { "unfinished" } else { "done" };
                let count = match begun < runs {
                    true => format!("{} of {}", grouped(*begun as u64), plural(*runs, "run")),
                    false => plural(*runs, "run"),
                };
                Self {
                    data: short_name(data),
                    metric: best.or(*mean).map_or(Metric::Accuracy, |(metric, _)| metric),
                    val: best.map(|(_, value)| value),
                    test: mean.map(|(_, value)| value),
                    runs: Some((*begun, *runs)),
                    ..plain(count, state.to_owned())
                }
            }
            ListedKind::Unreadable(error) => plain(String::new(), error.to_string()),
        }
    }

    fn json(&self) -> Value {
        let time = jiff::Timestamp::try_from(self.time).map(|time| time.to_string()).ok();
        let mut line = json!({
            "path": self.path,
            "time": time,
            "data": self.data,
            "network": self.network,
            "recipe": self.recipe,
            "epochs": self.done,
            "state": self.state,
            "runs_begun": self.runs.map(|(begun, _)| begun),
            "runs": self.runs.map(|(_, all)| all),
        });
        let usual = Metric::default_for(self.metric.is_regression());
        line[usual.key("val")] = json!(self.usual[0]);
        line[usual.key("test")] = json!(self.usual[1]);
        line[self.metric.key("val")] = json!(self.val);
        line[self.metric.key("test")] = json!(self.test);
        line
    }
}

/// The sizes of the hidden layers: `512-256-128`.
fn network(config: &RunConfig, is_regression: bool) -> String {
    let sizes: Vec<String> = config.train.hidden.iter().map(usize::to_string).collect();
    match sizes.is_empty() {
        true if is_regression => "linear".to_owned(),
        true => "softmax".to_owned(),
        false => sizes.join("-"),
    }
}

/// The settings of the recipe that are not the default: `norm batch, dropout 0.2, sgd, cosine`.
fn recipe(config: &TrainConfig) -> String {
    const KEYS: [&str; 13] = [
        "ensemble",
        "norm",
        "noise",
        "dropout",
        "input_noise",
        "input_dropout",
        "augment",
        "optimizer",
        "schedule",
        "warmup",
        "clip_norm",
        "ema",
        "label_smoothing",
    ];
    let default = TrainConfig::default();
    let settings = KEYS.iter().filter_map(|key| TrainConfig::setting(key));
    let differing = settings.filter(|setting| (setting.get)(config) != (setting.get)(&default));
    let texts = differing.map(|setting| match ((setting.text)(config), setting.run_name) {
        (text, Some("")) => text, // it speaks for itself
        (text, _) => format!("{} {text}", setting.key.replace('_', " ")),
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn state(config: &RunConfig, done: usize, results: Option<&Value>) -> String {
    match results {
        Some(results) if results["diverged"].is_string() => "diverged",
        Some(_) => "done",
        _ if done >= config.train.epochs => "done",
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

/// The number of the column that also holds the recipe.
const NETWORK: usize = 2;

/// The network, and as many whole settings of the recipe as fit.
fn with_recipe(network: &str, recipe: &str, available: Option<usize>) -> String {
    const MORE: &str = ", …";
    let fits = |text: &str, more: &str| {
        available.is_none_or(|most| text.chars().count() + more.chars().count() <= most)
    };
    let mut text = network.to_owned();
    let mut settings = recipe.split(", ").filter(|setting| !setting.is_empty()).peekable();
    while let Some(setting) = settings.next() {
        let longer = format!("{text}, {setting}");
        if !fits(&longer, if settings.peek().is_some() { MORE } else { "" }) {
            text += if fits(&text, MORE) { MORE } else { "" };
            break;
        }
        text = longer;
    }
    text
}

/// On a terminal, a longer state is cut: the reason why a file cannot be read.
const LONGEST_STATE: usize = 24;

/// Columns as wide as what they hold.
fn table(lines: &[Line], width: Option<usize>) -> Text {
    let value = |line: &Line, value: Option<f64>| match (value, line.metric) {
        (None, _) => "-".to_owned(),
        (Some(value), Metric::Accuracy) => Metric::Accuracy.text(value),
        (Some(value), metric) => format!("{} {}", metric.title(), metric.text(value)),
    };
    let mut rows: Vec<[String; 8]> = (lines.iter())
        .map(|line| {
            [
                date(line.time),
                line.data.clone(),
                line.network.clone(),
                line.epochs.clone(),
                value(line, line.val),
                value(line, line.test),
                match width {
                    Some(_) => cut(&line.state, LONGEST_STATE),
                    None => line.state.clone(),
                },
                line.path.clone(),
            ]
        })
        .collect();
    // recipes take what the other columns leave
    let spare = width.map(|width| width.saturating_sub(Layout::of(&COLUMNS, &rows, None).total()));
    let widest = rows.iter().map(|row| row[NETWORK].chars().count()).max().unwrap_or(0);
    for (row, line) in rows.iter_mut().zip(lines) {
        row[NETWORK] = with_recipe(&line.network, &line.recipe, spare.map(|spare| widest + spare));
    }
    let layout = Layout::of(&COLUMNS, &rows, width);
    let mut text = Text::default().with(Paint::Head, layout.head());
    for row in &rows {
        let (path, line) = (&row[row.len() - 1], layout.row(row));
        let before = line.strip_suffix(&path[..]).unwrap_or(&line).to_owned();
        text = text.with(Paint::Plain, format!("\n{before}")).with(Paint::Path, path);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_take_the_width_that_is_left() {
        let config = TrainConfig::default().with(|c| {
            (c.norm, c.dropout) = (crate::model::Norm::Batch, vec![0.2, 0.5]);
            (c.schedule, c.clip_norm) = ("linear:0.5".parse().unwrap(), Some(1.0));
        });
        let recipe = recipe(&config);
        assert_eq!(recipe, "norm batch, dropout 0.2,0.5, linear:0.5, clip norm 1");
        let cell = |available| with_recipe("64-32", &recipe, available);
        assert_eq!((cell(None), cell(Some(59))), (format!("64-32, {recipe}"), cell(None)));
        assert_eq!(cell(Some(58)), "64-32, norm batch, dropout 0.2,0.5, linear:0.5, …");
        assert_eq!(
            [7, 8, 20].map(|most| cell(Some(most))),
            ["64-32", "64-32, …", "64-32, norm batch, …"]
        );
        assert_eq!(with_recipe("64-32", "", Some(80)), "64-32");
    }
}
