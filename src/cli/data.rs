//! `densely data`.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::flags::DataFlags;
use super::{finite, make_absolute, print_note, print_raw, print_text, sheet};
use crate::data::{Augment, ColumnOverview, Contents, Overview, Use};
use crate::error::Error;
use crate::figures::measure;
use crate::report::{Column, Layout, Paint, Stream, Text, cut, grouped, plural};
use crate::store::RunOptions;
use crate::text::safe;
use crate::train::TrainConfig;
use crate::train::setting::Configuration as _;

/// Look at data: columns, kinds, missing values, target, parts, and which flags decide otherwise
///
/// Says what `densely train` would make of the data with the same flags, without training. Of images, --sheet makes a picture.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    flags: DataFlags,

    /// Write images of each class, or with --augment what becomes of them, as a picture
    #[arg(long, value_name = "FILE.png", value_hint = clap::ValueHint::FilePath)]
    sheet: Option<PathBuf>,

    /// Show ten images and what this augmentation makes of them: one or several of shift, flip, affine and elastic, each with a strength
    /// if it is not 1, such as affine:0.5,elastic
    #[arg(long, value_name = "A,A,...", requires = "sheet")]
    augment: Option<Augment>,

    /// Decides what the augmentation draws [default: 0]
    #[arg(long, value_name = "N", requires = "augment")]
    seed: Option<u64>,

    /// Write one JSON object to standard output
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  densely data flats.csv
  densely data flats.csv --target rent --ignore id
  densely data train.csv --test test.csv --json | jq '.columns[] | select(.missing > 0)'
  densely data mnist --augment affine,elastic --sheet sheet.png";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let (mut options, mut config) = (RunOptions::default(), TrainConfig::default());
    let mut table = args.flags.table.clone();
    options.take_from(&mut table)?;
    config.take_from(&mut table)?;
    let name = options.data.clone();
    make_absolute(&mut options)?;
    options.check()?;
    if let Some(file) = &args.sheet {
        sheet::require_target(file, &options)?;
    }
    let source = options.source();
    let (overview, images) = source.overview_with_images(config.split, config.split_seed)?;
    let (augment, seed) = (args.augment.unwrap_or_default(), args.seed.unwrap_or(0));
    if let Some(file) = &args.sheet {
        let problem = || Error::usage(format!("--sheet is for images; {name} is a table"));
        sheet::write(file, &images.ok_or_else(problem)?, augment, seed)?;
    }
    if args.json {
        return print_raw(&json(&name, &overview).to_string());
    }
    print_text(&text(&name, &overview, Stream::Out.width()))?;
    if let Some(file) = &args.sheet {
        sheet::print_caption(file, augment, seed)?;
    }
    overview.notices.iter().for_each(|notice| print_note(notice));
    Ok(())
}

fn json(name: &str, overview: &Overview) -> Value {
    let Overview { samples, image, inputs, targets, parts: [train, val, test], notices, .. } =
        overview;
    let classes: serde_json::Map<String, Value> =
        overview.classes.iter().map(|(class, count)| (class.clone(), (*count).into())).collect();
    json!({
        "data": name,
        "samples": samples,
        "image": image,
        "inputs": inputs,
        "pca": overview.projected.map(|(inputs, kept)| json!({ "inputs": inputs, "variance": kept })),
        "task": if targets.is_empty() { "classification" } else { "regression" },
        "targets": targets,
        "classes": classes,
        "parts": { "train": train, "val": val, "test": test },
        "columns": overview.columns.iter().map(column_json).collect::<Vec<_>>(),
        "notices": notices,
    })
}

fn column_json(column: &ColumnOverview) -> Value {
    let mut line = json!({
        "name": column.name,
        "missing": column.missing,
        "use": role(column.role).0,
        "inputs": match column.role { Use::Inputs(n) => n, _ => 0 },
    });
    let more = match &column.contents {
        Contents::Numbers { least, largest, mean, distinct } => json!({
            "kind": "numbers",
            "least": finite((*least).into()),
            "largest": finite((*largest).into()),
            "mean": finite(*mean),
            "distinct": distinct,
        }),
        Contents::Texts(levels) => json!({
            "kind": "texts",
            "distinct": levels.len(),
            "levels": levels.iter().take(MOST_LEVELS).map(|(level, count)| json!([level, count])).collect::<Vec<_>>(),
        }),
    };
    if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
        line.extend(more);
    }
    line
}

/// The most frequent levels are shown.
const MOST_LEVELS: usize = 20;

/// A word, and the flag that decides otherwise.
fn role(role: Use) -> (&'static str, &'static str) {
    match role {
        Use::Inputs(_) => ("input", "--ignore"),
        Use::Target => ("target", "--target"),
        Use::Weight => ("weight", "--weight"),
        Use::Ignored => ("ignored", "--ignore"),
        Use::Constant => ("left out: one value", ""),
        Use::Key => ("left out: hardly repeats", "--categorical"),
    }
}

const COLUMNS: [Column; 5] = [
    Column::left("column", 0, 6, 0),
    Column::left("kind", 2, 7, 0),
    Column::right("missing", 2, 7, 2),
    Column::left("use", 2, 5, 0),
    Column::left("values", 2, 6, 1),
];

/// `12 inputs`, or what they are made of.
fn inputs(overview: &Overview) -> String {
    match overview.projected {
        None => plural(overview.inputs, "input"),
        Some((inputs, kept)) => format!(
            "{} of {} ({:.1} % of the variance)",
            plural(overview.inputs, "principal component"),
            plural(inputs, "input"),
            100.0 * kept
        ),
    }
}

fn text(name: &str, overview: &Overview, width: Option<usize>) -> Text {
    let count = |n: usize| grouped(n as u64);
    let [train, val, test] = overview.parts.map(count);
    let what = match overview.image {
        Some((height, width)) => format!("images of {height}x{width}"),
        None => plural(overview.columns.len(), "column"),
    };
    let mut text = Text::from(format!(
        "{name}: {}, {what}, {}\n{train} training, {val} validation, {test} test samples\n",
        plural(overview.samples, "sample"),
        inputs(overview),
    ));
    match &overview.classes[..] {
        [] => {
            text = text
                .with(Paint::Plain, format!("predicts: {}\n", safe(&overview.targets.join(", "))))
        }
        classes => {
            let shown = classes
                .iter()
                .take(MOST_LEVELS)
                .map(|(class, n)| format!("{} {}", safe(class), count(*n)));
            let more = if classes.len() > MOST_LEVELS { ", ..." } else { "" };
            let shown = shown.collect::<Vec<_>>().join(", ");
            let line = format!("{}: {shown}{more}\n", plural(classes.len(), "class"));
            text = text.with(Paint::Plain, line);
        }
    }
    if overview.columns.is_empty() {
        return text;
    }
    let rows: Vec<[String; 5]> = overview.columns.iter().map(row).collect();
    let layout = Layout::of(&COLUMNS, &rows, width);
    text = text.with(Paint::Plain, "\n").with(Paint::Head, layout.head());
    for row in rows {
        text = text.with(Paint::Plain, format!("\n{}", layout.row(row)));
    }
    text
}

/// A number with all of its digits, unless it has many zeros.
fn short(x: f32) -> String {
    match x.abs() {
        0.0 | 1e-5..1e9 => x.to_string(),
        _ => format!("{x:e}"),
    }
}

fn row(column: &ColumnOverview) -> [String; 5] {
    let used = match column.role {
        Use::Inputs(1) => "input".to_owned(),
        Use::Inputs(n) => format!("{n} inputs"),
        other => match role(other) {
            (word, "") => word.to_owned(),
            (word, flag) => format!("{word} ({flag})"),
        },
    };
    let missing = match column.missing {
        0 => String::new(),
        n => grouped(n as u64),
    };
    let (kind, values) = match &column.contents {
        Contents::Numbers { least, largest, mean, distinct } => {
            let distinct =
                distinct.map_or("more than 1,000 values".to_owned(), |n| plural(n, "value"));
            let [low, high] = [*least, *largest].map(short);
            let range = format!("{distinct} from {low} to {high}, mean {}", measure(*mean));
            ("numbers", if least.is_nan() { "none".to_owned() } else { range })
        }
        Contents::Texts(levels) => {
            let shown: Vec<String> = levels
                .iter()
                .take(4)
                .map(|(level, n)| format!("{} {}", cut(&safe(level), 20), grouped(*n as u64)))
                .collect();
            let more = if levels.len() > 4 { ", ..." } else { "" };
            ("texts", format!("{}: {}{more}", plural(levels.len(), "level"), shown.join(", ")))
        }
    };
    [cut(&safe(&column.name), 40), kind.to_owned(), missing, used, cut(&values, 80)]
}
