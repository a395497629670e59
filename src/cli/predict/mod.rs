//! `densely predict`.

mod tables;

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::Instant;

use ndarray::Array2;

use crate::data::{Dataset, InputImages, read_unknown_table};
use crate::error::{Error, Result};
use crate::gemm::Backend;
use crate::model::Model;
use crate::report::{PredictionFormat, Predictions, grouped, plural};

use super::model_args::{EngineArgs, ModelArgs};
use super::{check_written, print_note};

/// Predict: classes of images, classes or numbers of the rows of tables
///
/// Writes one line per image or row to standard output, in the order of the inputs. The columns of a table are matched by their
/// names; rows from standard input are answered as they arrive.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// What the model was trained on: images (IDX files, PNG and JPEG files or folders of them, .npy, .npz), or tables (.csv, .tsv, .txt,
    /// .svm, .parquet, .npy, .npz); `-` for IDX or text from standard input
    #[arg(required = true, value_hint = clap::ValueHint::FilePath)]
    input: Vec<PathBuf>,

    /// csv: index,label,probability for images, and label, or a column for each target, for tables; jsonl: an object a line;
    /// npy: the probabilities, f32 (samples, classes), or the numbers (samples, targets)
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,

    /// Name the K most probable classes
    #[arg(long, value_name = "K", default_value_t = 1)]
    top: usize,

    /// Add the probability of every class
    #[arg(long)]
    probabilities: bool,

    /// Columns of a table to copy in front of the predictions; one with the name of an output, such as the target, is copied as
    /// NAME_input
    #[arg(long, value_name = "COL,...", value_delimiter = ',')]
    keep: Vec<String>,

    /// Report samples per second on standard error
    #[arg(long)]
    stats: bool,

    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum Format {
    Csv,
    Jsonl,
    Npy,
}

const EXAMPLES: &str = "\
Examples:
  densely predict best.safetensors t10k-images-idx3-ubyte.gz > predictions.csv
  densely predict best.safetensors images.idx --top 3 --format jsonl
  zcat images.idx.gz | densely predict best.safetensors - --probabilities
  densely predict latest flats.csv --keep id > rents.csv
  densely predict best.safetensors images.idx --format npy > probabilities.npy";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let format = args.output_format()?;
    if args.input.iter().filter(|path| path.as_os_str() == "-").count() > 1 {
        let problem = "`-` may be given once: standard input can be read only once";
        return Err(Error::usage(problem).into());
    }
    let model = args.model.load()?;
    let first = args.input.first().filter(|_| model.metadata().is_none());
    let table = first.map(|path| read_unknown_table(path)).transpose()?.flatten();
    let model = match table {
        Some(table) => {
            print_note(&format!(
                "{} names no columns; its inputs are taken for the first {} of {}",
                args.model.model.display(),
                model.spec.n_in(),
                table.name()
            ));
            model.with_inputs_of(&table)?
        }
        None => model,
    };
    if let Some(prepare) = model.prepare() {
        return tables::run(args, &model, prepare, format);
    }
    if !args.keep.is_empty() {
        let problem = "--keep copies columns of tables; the model was trained on images or arrays";
        return Err(Error::usage(problem).into());
    }
    if model.task().is_regression() {
        let problem = format!(
            "{} predicts numbers; expected the rows of a table, such as a .csv or .npy file",
            args.model.model.display()
        );
        return Err(Error::usage(problem).into());
    }
    let n_out = model.spec.n_out();
    args.require_top(n_out)?;
    let metadata = model.metadata();
    let (size, channels) = metadata.map_or((None, 1), |own| (own.image, own.channels));
    let (probabilities, files) = match InputImages::new(size, channels).load(&args.input)? {
        Some(loaded) => {
            loaded.notices.iter().for_each(|notice| print_note(notice));
            (args.classify(&model, &loaded.data)?, loaded.names)
        }
        None => (Array2::zeros((0, n_out)), Vec::new()),
    };
    let predictions = Predictions { labels: model.labels(), probabilities, files };
    let mut out = BufWriter::new(io::stdout().lock());
    check_written(predictions.write(&mut out, format).and_then(|()| out.flush()))?;
    match (predictions.without_class(), predictions.probabilities.nrows()) {
        (0, _) => Ok(()),
        (without, all) => anyhow::bail!(
            "{}: {without} of {all} images have no class, because the model's outputs are not finite; expected a model \
             whose weights do not overflow",
            args.model.model.display()
        ),
    }
}

impl Args {
    /// The probabilities of the classes, (images, classes).
    fn classify(&self, model: &Model, data: &Dataset) -> Result<Array2<f32>> {
        model.check_inputs(data)?;
        let backend = self.engine.backend()?;
        let mut engine = self.engine.engine(model, backend, data.len())?;
        let rows: Vec<u32> = (0..data.len() as u32).collect();
        let start = Instant::now();
        let probabilities = engine.predict(&model.params, data, &rows);
        self.print_stats(data.len(), "images", start.elapsed().as_secs_f64(), backend);
        Ok(probabilities)
    }

    /// Rejects more classes than there are.
    fn require_top(&self, n_classes: usize) -> Result<()> {
        match (1..=n_classes).contains(&self.top) {
            true => Ok(()),
            false => Err(Error::usage(format!(
                "--top {}: expected 1 to {n_classes}, the model's classes",
                self.top
            ))),
        }
    }

    /// Says how fast samples were predicted, if that was asked for.
    fn print_stats(&self, count: usize, samples: &str, seconds: f64, backend: Backend) {
        if self.stats {
            print_note(&format!(
                "{} {samples} in {:.1} ms: {} {samples}/s, {}, {}",
                grouped(count as u64),
                1e3 * seconds,
                grouped((count as f64 / seconds.max(1e-9)) as u64),
                plural(self.engine.threads(backend), "thread"),
                backend.describe(),
            ));
        }
    }

    fn output_format(&self) -> Result<PredictionFormat> {
        let (top, all) = (self.top, self.probabilities);
        match self.format {
            Format::Csv => Ok(PredictionFormat::Csv { top, all }),
            Format::Jsonl => Ok(PredictionFormat::JsonLines { top, all }),
            Format::Npy if top != 1 || all => Err(Error::usage(
                "--format npy holds the probability of every class; expected no --top and no --probabilities",
            )),
            Format::Npy if io::stdout().is_terminal() => Err(Error::usage(
                "--format npy is binary and standard output is a terminal; expected a redirection, such as > p.npy",
            )),
            Format::Npy => Ok(PredictionFormat::Npy),
        }
    }
}
