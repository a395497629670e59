//! `densely eval`.

use crate::data::{self, Dataset, Part, Split};
use crate::engine::require_memory;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::report::{Confusion, grouped, percent, say};
use serde_json::json;

use super::model_args::{EngineArgs, ModelArgs};
use super::values;
use super::{print_note, print_result};

/// Measure a model: loss, accuracy, scores per class, confusion matrix
///
/// On data that can be split, the test part is used, under the split that the model was trained with.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// `mnist`, or a directory of IDX files (raw or .gz)
    #[arg(default_value = "mnist")]
    data: String,

    /// Which samples: train, val, test, or all
    #[arg(long, value_parser = values::part(), default_value = "test")]
    part: Part,

    /// Another split than the model's own: `pooled`, `canonical`, N,N,N or F,F,F
    #[arg(long, value_name = "SPLIT")]
    split: Option<Split>,

    #[command(flatten)]
    engine: EngineArgs,

    /// Write one JSON object to standard output
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  densely eval runs/fashion/best.safetensors /usr/share/datasets/fashion-mnist
  densely eval best.safetensors --part val
  densely eval best.safetensors mnist --part all --json";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let model = args.model.load()?;
    let loaded = data::load(&args.data)?;
    loaded.notices.iter().for_each(|notice| print_note(notice));
    let data = &loaded.data;
    model.check_inputs(data)?;
    if let Some(metadata) = &model.metadata
        && metadata.data_fingerprint != data.fingerprint()
    {
        print_note(&format!("{} is not the data that the model was trained on", data.name()));
    }
    let rows = rows(args, &model, data)?;
    let backend = args.engine.backend()?;
    // the counts of the confusion matrix take 64 bits each
    let classes = model.spec.n_out();
    require_memory(classes.saturating_mul(2 * classes), "the confusion matrix of the classes")?;
    let mut engine = args.engine.engine(&model, backend, rows.len())?;
    say(&format!(
        "{} on {}: {} samples",
        backend.describe(),
        data.name(),
        grouped(rows.len() as u64)
    ));
    let score = engine.evaluate(&model.params, data, &rows);
    let logits = engine.logits(&model.params, data, &rows);
    let truth = rows.iter().map(|&row| data.labels()[row as usize]);
    let confusion = Confusion::new(model.labels(), logits.view(), truth);
    let text = if args.json {
        let counts: Vec<Vec<u64>> =
            confusion.counts().rows().into_iter().map(|row| row.to_vec()).collect();
        json!({
            "loss": score.loss(),
            "accuracy": score.accuracy(),
            "samples": score.samples,
            "classes": confusion.classes(),
            "confusion": counts,
        })
        .to_string()
    } else {
        let (accuracy, samples) = (percent(score.accuracy()), grouped(score.samples));
        let summary =
            format!("accuracy {accuracy}, loss {:.4}, on {samples} samples", score.loss());
        format!("{summary}\n\n{}", confusion.tables())
    };
    print_result(&text)
}

/// The samples to measure.
fn rows(args: &Args, model: &Model, data: &Dataset) -> Result<Vec<u32>> {
    if args.part == Part::All {
        return Ok((0..data.len() as u32).collect());
    }
    let stored = model.metadata.as_ref().map(|metadata| metadata.split);
    let split = args.split.or(stored).unwrap_or_default();
    let rows = split.apply(data)?.rows(args.part, data.len());
    if rows.is_empty() {
        return Err(Error::usage(format!(
            "the split `{split}` leaves no samples for this part of {}; expected another --part or --split",
            data.name()
        )));
    }
    Ok(rows)
}
