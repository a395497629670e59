//! `densely eval`.

use std::collections::HashSet;
use std::sync::Arc;

use clap::builder::NonEmptyStringValueParser;

use crate::data::{Dataset, Part, Parts, Source, Split};
use crate::engine::require_memory;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::report::{Confusion, Errors, Important, Stream, Text, grouped, plural, say};
use crate::store::{RunConfig, config_beside};
use crate::task::{Metric, auc};
use crate::train::{SHUFFLES, check_importance, importance};

use super::eval_end::Ended;
use super::model_args::{EngineArgs, ModelArgs};
use super::values;
use super::{foreign, print_note};

/// Measure a model: accuracy, scores per class, confusion matrix; of numbers RMSE, MAE, R2
///
/// On the data that the model was trained on, the test part of that run is measured (without one, its validation part, or
/// else its training part); other data is measured whole.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// mnist, a directory of IDX files (raw or .gz), or a table with the targets [default: the data that the run was trained on]
    #[arg(value_parser = NonEmptyStringValueParser::new(), value_hint = clap::ValueHint::AnyPath)]
    data: Option<String>,

    /// Which samples: train, val, test, or all [default: test if it has samples, or all of data that the model was not trained on]
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

    /// Also tell how much worse the model becomes when a column is shuffled among the samples, five times each, the most important column first
    #[arg(long)]
    importance: bool,

    /// Write one JSON object to standard output
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  densely eval latest
  densely eval runs/fashion --part val
  densely eval runs/flats --importance
  densely eval best.safetensors /usr/share/datasets/fashion-mnist --part all --json";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let model = args.model.load()?;
    let (source, split, split_seed) = source(args)?;
    let prepare = model.prepare().cloned().map(Arc::new);
    let loaded = match model.metadata() {
        Some(_) => source.load_for(prepare.as_ref(), split, split_seed)?,
        None => {
            let mut source = source.clone();
            foreign::take_as_given(&mut source, Some(&model));
            source.load(args.split.unwrap_or(split), args.split_seed.unwrap_or(split_seed))?
        }
    };
    loaded.notices.iter().for_each(|notice| print_note(&foreign::without_flags(notice)));
    model.check_inputs(&loaded.data)?;
    let measured = Measured::new(args, &model, &loaded.data)?;
    let is_foreign = model.metadata().is_none();
    let model = model
        .with_outputs_of(&loaded.data)
        .map_err(|error| foreign::with_command(error, &args.model.model, &source.data))?;
    let data = model.match_classes(loaded.data)?;
    if args.importance {
        check_importance(&data)?;
    }
    let rows = measured.rows;
    let backend = args.engine.backend()?;
    // the counts of the confusion matrix take 64 bits each
    let classes = model.spec.n_out();
    require_memory(classes.saturating_mul(2 * classes), "the confusion matrix of the classes")?;
    let mut engine = args.engine.engine(&model, backend, rows.len())?;
    if is_foreign {
        foreign::report_outputs(&args.model.model.display().to_string(), &model, &data);
    }
    let about = format!(
        "{} on {}: {}, {}",
        backend.describe(),
        data.name(),
        plural(rows.len(), "sample"),
        measured.what
    );
    say(Text::from(about).wrapped(Stream::Err.width(), 2));
    let score = engine.evaluate(&model.params, &data, &rows);
    let important = match args.importance {
        true => {
            let metric = metric_of(args, &model)?;
            let columns = importance(&mut engine, &model, &data, &rows, metric, SHUFFLES)?;
            Some(Important { metric, samples: rows.len(), columns })
        }
        false => None,
    };
    let ended = Ended {
        source: &source.data,
        part: measured.part,
        score,
        importance: important.as_ref(),
        json: args.json,
    };
    if data.is_regression() {
        let predictions = engine.predict(&model.params, &data, &rows);
        let names = data.target_names().to_vec();
        let errors = Errors::new(names, predictions.view(), &data.targets_of(&rows));
        return ended.numbers(&errors);
    }
    let logits = engine.logits(&model.params, &data, &rows);
    let truth: Vec<u32> = rows.iter().map(|&row| data.labels()[row as usize]).collect();
    let confusion = Confusion::new(model.labels(), logits.view(), truth.iter().copied());
    // of several classes, probabilities are compared across samples
    let auc = match classes {
        0..=2 => auc(logits.view(), &truth),
        _ => auc(engine.predict(&model.params, &data, &rows).view(), &truth),
    };
    ended.classes(&confusion, auc)
}

/// What chose the epochs of the run that the model lies in, or what suits its loss.
fn metric_of(args: &Args, model: &Model) -> Result<Metric> {
    let (is_regression, loss) = (model.task().is_regression(), model.task().loss());
    let config = config_beside(&args.model.path()?)?;
    let of_run = config.map(|config| config.train.metric_for(is_regression));
    let fits = |metric: &Metric| metric.is_loss() || metric.is_regression() == is_regression;
    Ok(of_run.filter(fits).unwrap_or_else(|| Metric::suited_to(loss)))
}

/// The data to measure on: what was asked for, or else that of the run which the model lies in, with its split.
fn source(args: &Args) -> Result<(Source, Split, u64)> {
    if let Some(data) = &args.data {
        return Ok((Source::of(data), Split::Auto, 0));
    }
    let model = args.model.path()?;
    match config_beside(&model)? {
        Some(RunConfig { options, train, .. }) => {
            Ok((options.source(), train.split, train.split_seed))
        }
        None => Err(Error::usage(format!(
            "{} lies in no run, so that its data is not known; expected DATA after it",
            model.display()
        ))),
    }
}

/// [`Parts::measurable`]; a note says where that is not the test part.
fn measurable(parts: &Parts) -> Part {
    let part = parts.measurable();
    if part != Part::Test {
        let name = part.name();
        print_note(&format!("the split leaves no test part; the {name} part is measured"));
    }
    part
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
        let seed = args.split_seed.or(own.map(|own| own.split_seed)).unwrap_or_default();
        let split = match (args.split, own) {
            (Some(split), _) => split.resolved(data),
            (None, Some(own)) => own.split,
            (None, None) => Split::Auto.resolved(data),
        };
        if args.split_seed.is_some() && !split.draws(data) {
            print_note(&format!(
                "--split-seed has no effect: the split `{split}` of this data draws no samples"
            ));
        }
        let other_data = own.is_none() && args.split.is_none();
        let (part, rows) = match args.part.or(other_data.then_some(Part::All)) {
            Some(Part::All) => (Part::All, (0..data.len() as u32).collect()),
            asked => {
                let parts = split.apply(data, seed)?;
                let part = asked.unwrap_or_else(|| measurable(&parts));
                (part, parts.rows(part, data.len()))
            }
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
        let what = match part {
            Part::All => "all of it".to_owned(),
            part => format!("the {} part (split {split})", part.name()),
        };
        let part = match part {
            Part::Train => "train",
            Part::Val => "val",
            Part::Test => "test",
            Part::All => "all",
        };
        Ok(Self { rows, what, part })
    }
}
