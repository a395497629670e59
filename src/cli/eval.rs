//! `densely eval`.

use std::collections::HashSet;

use crate::data::{self, Dataset, Part, Split};
use crate::engine::require_memory;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::report::{Confusion, Paint, Stream, Text, grouped, percent, say};
use crate::store::config_beside;
use serde_json::json;

use super::model_args::{EngineArgs, ModelArgs};
use super::values;
use super::{print_json, print_note, print_text};

/// Measure a model: loss, accuracy, scores per class, confusion matrix
///
/// On the data that the model was trained on, the test part of that run is measured; other data is measured whole.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// mnist, or a directory of IDX files (raw or .gz) [default: the data that the run was trained on]
    #[arg(value_hint = clap::ValueHint::AnyPath)]
    data: Option<String>,

    /// Which samples: train, val, test, or all [default: test, or all of data that the model was not trained on]
    #[arg(long, value_parser = values::part())]
    part: Option<Part>,

    /// Another split than the model's own: auto, pooled, canonical, N,N,N or F,F,F
    #[arg(long, value_name = "SPLIT")]
    split: Option<Split>,

    /// What `--split auto` draws by [default: the run's]
    #[arg(long, value_name = "N")]
    split_seed: Option<u64>,

    #[command(flatten)]
    engine: EngineArgs,

    /// Write one JSON object to standard output
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  densely eval latest
  densely eval runs/fashion --part val
  densely eval best.safetensors /usr/share/datasets/fashion-mnist --part all --json";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let model = args.model.load()?;
    let source = source(args)?;
    let loaded = data::load(&source)?;
    loaded.notices.iter().for_each(|notice| print_note(notice));
    model.check_inputs(&loaded.data)?;
    let measured = Measured::new(args, &model, &loaded.data)?;
    let data = model.match_classes(loaded.data)?;
    let rows = measured.rows;
    let backend = args.engine.backend()?;
    // the counts of the confusion matrix take 64 bits each
    let classes = model.spec.n_out();
    require_memory(classes.saturating_mul(2 * classes), "the confusion matrix of the classes")?;
    let mut engine = args.engine.engine(&model, backend, rows.len())?;
    let about = format!(
        "{} on {}: {} samples, {}",
        backend.describe(),
        data.name(),
        grouped(rows.len() as u64),
        measured.what
    );
    say(Text::from(about).wrapped(Stream::Err.width(), 2));
    let score = engine.evaluate(&model.params, &data, &rows);
    let logits = engine.logits(&model.params, &data, &rows);
    let truth = rows.iter().map(|&row| data.labels()[row as usize]);
    let confusion = Confusion::new(model.labels(), logits.view(), truth);
    let counted = confusion.counts().sum();
    if counted < score.samples {
        print_note(&format!(
            "{} samples have no class, because the model's outputs are not finite; they count as wrong",
            grouped(score.samples - counted)
        ));
    }
    if args.json {
        let counts: Vec<Vec<u64>> =
            confusion.counts().rows().into_iter().map(|row| row.to_vec()).collect();
        let line = json!({
            "loss": Some(score.loss()).filter(|loss| loss.is_finite()),
            "accuracy": score.accuracy(),
            "samples": score.samples,
            "macro_f1": confusion.macro_f1(),
            "data": source,
            "part": measured.part,
            "classes": confusion.classes(),
            "confusion": counts,
        });
        return print_json(&line.to_string());
    }
    let (accuracy, samples) = (percent(score.accuracy()), grouped(score.samples));
    let width = Stream::Out.width();
    let summary = Text::from("accuracy ")
        .with(Paint::Best, accuracy)
        .with(Paint::Plain, format!(", loss {:.4}, on {samples} samples\n\n", score.loss()));
    print_text(&summary.wrapped(width, 2).then(confusion.tables(width)))
}

/// The data to measure on: what was asked for, or else that of the run which the model lies in.
fn source(args: &Args) -> Result<String> {
    if let Some(data) = &args.data {
        return Ok(data.clone());
    }
    let model = args.model.path()?;
    match config_beside(&model)? {
        Some(config) => Ok(config.options.data),
        None => Err(Error::usage(format!(
            "{} lies in no run, so that its data is not known; expected DATA after it",
            model.display()
        ))),
    }
}

/// What is measured.
struct Measured {
    rows: Vec<u32>,
    /// For people.
    what: String,
    /// For programs: the part, or `all`.
    part: &'static str,
}

impl Measured {
    fn new(args: &Args, model: &Model, data: &Dataset) -> Result<Self> {
        let own = model.metadata.as_ref().filter(|own| data.has_fingerprint(&own.data_fingerprint));
        if own.is_none() && model.metadata.is_some() {
            print_note(&format!("{} is not the data that the model was trained on", data.name()));
        }
        let part = match args.part {
            Some(part) => part,
            None if own.is_none() && args.split.is_none() => Part::All,
            None => Part::Test,
        };
        let seed = args.split_seed.or(own.map(|own| own.split_seed)).unwrap_or_default();
        let split = match (args.split, own) {
            (Some(split), _) => split.resolved(data),
            (None, Some(own)) => own.split,
            (None, None) => Split::Auto.resolved(data),
        };
        let rows = match part {
            Part::All => (0..data.len() as u32).collect(),
            part => split.apply(data, seed)?.rows(part, data.len()),
        };
        if rows.is_empty() {
            return Err(Error::usage(format!(
                "the split `{split}` leaves no samples for this part of {}; expected another --part or --split",
                data.name()
            )));
        }
        if let Some(own) = own.filter(|_| part != Part::Train) {
            let trained: HashSet<u32> =
                own.split.apply(data, own.split_seed)?.train.into_iter().collect();
            let seen = rows.iter().filter(|row| trained.contains(row)).count();
            if seen > 0 {
                print_note(&format!(
                    "the model was trained on {} of these {} samples",
                    grouped(seen as u64),
                    grouped(rows.len() as u64)
                ));
            }
        }
        let (part, what) = match part {
            Part::Train => ("train", "the training part"),
            Part::Val => ("val", "the validation part"),
            Part::Test => ("test", "the test part"),
            Part::All => ("all", "all of it"),
        };
        let what = match part {
            "all" => what.to_owned(),
            _ => format!("{what} (split {split})"),
        };
        Ok(Self { rows, what, part })
    }
}
