//! `densely train`.

use std::io::stdout;
use std::path::{Path, PathBuf};

use densely::data::{self, Split};
use densely::gemm::BackendChoice;
use densely::model::{Init, Model};
use densely::report::{JsonLines, RunDir, Terminal, summary};
use densely::train::{Observer, TrainConfig, Trainer, TrainerState};
use densely::{Error, Result};

use super::values::{self, Activations, Sizes};
use super::{print_note, print_result};

/// Train a network and keep its best epoch
///
/// Trains on DATA, validates after every epoch, keeps the epoch with the best validation accuracy, and measures that one
/// on the test part. Everything is written to a directory of its own.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// `mnist`, or a directory of IDX files (raw or .gz) [default: mnist]
    data: Option<String>,

    /// Sizes of the hidden layers; "" for none, which is softmax regression [default: 512,256,128]
    #[arg(long, value_name = "N,N,...", value_parser = values::sizes, help_heading = NETWORK)]
    hidden: Option<Sizes>,

    /// One activation for all hidden layers, or one each: identity, relu, leaky-relu, elu, selu, gelu, silu, sigmoid,
    /// tanh [default: relu,selu,tanh for three hidden layers, relu for any other number]
    #[arg(long, value_name = "A,A,...", value_parser = values::activations, help_heading = NETWORK)]
    activations: Option<Activations>,

    /// Initial weights; `auto` is He, LeCun or Glorot by activation [default: auto]
    #[arg(long, value_parser = values::init(), conflicts_with = "init_from", help_heading = NETWORK)]
    init: Option<Init>,

    /// Start from the weights of a model file, which also says the sizes and activations
    #[arg(long, value_name = "MODEL", help_heading = NETWORK)]
    init_from: Option<String>,

    /// Adam's learning rate [default: 0.001]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = OPTIMIZER)]
    lr: Option<f64>,

    /// Decay of Adam's first moment [default: 0.9]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = OPTIMIZER)]
    beta1: Option<f64>,

    /// Decay of Adam's second moment [default: 0.999]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = OPTIMIZER)]
    beta2: Option<f64>,

    /// Added to the root of Adam's second moment [default: 1e-8]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = OPTIMIZER)]
    eps: Option<f64>,

    /// Decoupled weight decay (AdamW) of all parameters [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = OPTIMIZER)]
    weight_decay: Option<f64>,

    /// Samples per step [default: 500]
    #[arg(long, value_name = "N", help_heading = OPTIMIZER)]
    batch_size: Option<usize>,

    /// Passes over the training part [default: 20]
    #[arg(long, value_name = "N", help_heading = RUN)]
    epochs: Option<usize>,

    /// Stop after N epochs without a better one [default: never]
    #[arg(long, value_name = "N", help_heading = RUN)]
    patience: Option<usize>,

    /// Training, validation and test parts: `pooled` (50:5:15 of all), `canonical` (the official test images),
    /// N,N,N samples, or F,F,F fractions [default: pooled]
    #[arg(long, value_name = "SPLIT", help_heading = RUN)]
    split: Option<Split>,

    /// Decides everything random [default: 0]
    #[arg(long, value_name = "N", help_heading = RUN)]
    seed: Option<u64>,

    /// Whether each epoch sees the samples in a new order [default: on]
    #[arg(long, value_name = "on|off", value_parser = values::on_off(), help_heading = RUN)]
    shuffle: Option<bool>,

    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N", help_heading = MACHINE)]
    threads: Option<usize>,

    /// Who computes the matrix products [default: auto]
    #[arg(long, value_parser = values::backend(), help_heading = MACHINE)]
    backend: Option<BackendChoice>,

    /// The directory for the run's files [default: runs/<time>-<id>]
    #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
    out: Option<PathBuf>,

    /// Go on with the run in DIR, with its own settings; only --epochs, --json and --quiet may join
    #[arg(long, value_name = "DIR", help_heading = OUTPUT, conflicts_with_all = [
        "data", "hidden", "activations", "init", "init_from", "lr", "beta1", "beta2", "eps", "weight_decay",
        "batch_size", "patience", "split", "seed", "shuffle", "threads", "backend", "out",
    ])]
    resume: Option<PathBuf>,

    /// Write one JSON object a line to standard output
    #[arg(long, help_heading = OUTPUT)]
    json: bool,

    /// Show no progress, only the result
    #[arg(long, short, help_heading = OUTPUT)]
    quiet: bool,
}

const NETWORK: &str = "Network";
const OPTIMIZER: &str = "Optimizer (Adam)";
const RUN: &str = "Run";
const MACHINE: &str = "Machine";
const OUTPUT: &str = "Output";

const EXAMPLES: &str = "\
Examples:
  densely train
  densely train --hidden 784,784,784 --batch-size 1000 --epochs 200 --patience 10
  densely train --hidden 300,100 --activations gelu --weight-decay 0.01 --split canonical
  densely train /usr/share/datasets/fashion-mnist --seed 7 --out runs/fashion
  densely train --resume runs/fashion --epochs 40
  densely train --json --quiet | tail -1";

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<()> {
    let (json, quiet) = (args.json, args.quiet);
    let plan = match &args.resume {
        Some(directory) => resumed(directory, args.epochs)?,
        None => fresh(args)?,
    };
    let loaded = data::load(&plan.config.data)?;
    if !quiet {
        loaded.notices.iter().for_each(|notice| print_note(notice));
    }
    let data = &loaded.data;
    let mut trainer = match plan.start {
        Start::Weights => Trainer::new(plan.config, data)?,
        Start::Model(model) => Trainer::from_model(plan.config, &model, data)?,
        Start::State(state) => Trainer::resume(*state, data)?,
    };
    let finished = trainer.state().is_finished();
    let mut run_dir = match plan.directory {
        Directory::New(path) => RunDir::create(&path)?,
        Directory::Open(run_dir) => run_dir,
    };
    let (path, best_model) = (run_dir.path().to_owned(), run_dir.best_model());

    let mut observers: Vec<Box<dyn Observer>> = Vec::new();
    if !finished {
        if !quiet {
            observers.push(Box::new(Terminal::new()));
        }
        observers.push(Box::new(&mut run_dir));
    }
    if json {
        observers.push(Box::new(JsonLines::new(stdout(), path.clone())));
    }
    let outcome = trainer.run(&mut observers)?;
    drop(observers);
    if finished {
        print_note(&format!(
            "the run in {} is finished; nothing to do, unless with more --epochs",
            path.display()
        ));
    }
    if !json {
        print_result(&format!("{}\nmodel: {}", summary(&outcome), best_model.display()))?;
    }
    Ok(())
}

/// What is to be run, and where.
struct Plan {
    config: TrainConfig,
    start: Start,
    directory: Directory,
}

/// What a run starts from.
enum Start {
    Weights,
    Model(Box<Model>),
    State(Box<TrainerState>),
}

/// The run's directory: made as late as possible, so that a refused run leaves nothing behind.
enum Directory {
    New(PathBuf),
    Open(RunDir),
}

/// A new run.
fn fresh(args: Args) -> Result<Plan> {
    let directory = Directory::New(args.out.clone().unwrap_or_else(default_directory));
    let hidden_flag = args.hidden.clone();
    let config = resolve(args)?;
    let plan = begin(config, hidden_flag.as_ref().map(|sizes| &sizes.0[..]), directory)?;
    plan.config.check()?;
    Ok(plan)
}

/// A run that goes on: from its checkpoint, or from the beginning if it did not get that far.
fn resumed(path: &Path, epochs: Option<usize>) -> Result<Plan> {
    let (run_dir, mut config, state) = RunDir::open(path)?;
    config.epochs = epochs.unwrap_or(config.epochs);
    config.check()?;
    match state {
        Some(mut state) => {
            state.config = config.clone();
            let start = Start::State(Box::new(state));
            Ok(Plan { config, start, directory: Directory::Open(run_dir) })
        }
        None => {
            let hidden = config.hidden.clone();
            begin(config, Some(&hidden), Directory::Open(run_dir))
        }
    }
}

/// A run from epoch 1; with `init_from`, the model's sizes and activations fill in what the flags do not say.
fn begin(mut config: TrainConfig, hidden: Option<&[usize]>, directory: Directory) -> Result<Plan> {
    let Some(path) = &config.init_from else {
        return Ok(Plan { config, start: Start::Weights, directory });
    };
    let model = Model::load(Path::new(path), &config.activations)?;
    if let Some(hidden) = hidden.filter(|hidden| *hidden != model.spec.hidden()) {
        return Err(Error::usage(format!(
            "--hidden {hidden:?}: {path} has {:?}; expected the same, or no --hidden",
            model.spec.hidden()
        )));
    }
    (config.hidden, config.activations) = (model.spec.hidden(), model.spec.activations());
    Ok(Plan { config, start: Start::Model(Box::new(model)), directory })
}

/// The flags over the defaults.
fn resolve(args: Args) -> Result<TrainConfig> {
    let default = TrainConfig::default();
    let data = match args.data {
        Some(path) if path != default.data => absolute(&path)?,
        _ => default.data,
    };
    Ok(TrainConfig {
        data,
        hidden: args.hidden.map_or(default.hidden, |sizes| sizes.0),
        activations: args.activations.map_or(default.activations, |activations| activations.0),
        init: args.init.unwrap_or(default.init),
        lr: args.lr.unwrap_or(default.lr),
        beta1: args.beta1.unwrap_or(default.beta1),
        beta2: args.beta2.unwrap_or(default.beta2),
        eps: args.eps.unwrap_or(default.eps),
        weight_decay: args.weight_decay.unwrap_or(default.weight_decay),
        batch_size: args.batch_size.unwrap_or(default.batch_size),
        epochs: args.epochs.unwrap_or(default.epochs),
        patience: args.patience.or(default.patience),
        split: args.split.unwrap_or(default.split),
        seed: args.seed.unwrap_or(default.seed),
        shuffle: args.shuffle.unwrap_or(default.shuffle),
        threads: args.threads.unwrap_or(default.threads),
        backend: args.backend.unwrap_or(default.backend),
        init_from: args.init_from.map(|path| absolute(&path)).transpose()?,
    })
}

/// Paths are kept absolute, so that a run can be resumed from any directory.
fn absolute(path: &str) -> Result<String> {
    let problem = |error: String| Error::usage(format!("path `{path}`: {error}"));
    let absolute = std::path::absolute(path).map_err(|error| problem(error.to_string()))?;
    let absolute = absolute.into_os_string().into_string();
    absolute.map_err(|_| problem("expected UTF-8".to_owned()))
}

/// `runs/<time>-<id>`; the id keeps apart what starts in the same second.
fn default_directory() -> PathBuf {
    let now = jiff::Zoned::now();
    let id = now.timestamp().as_microsecond() as u64 ^ (u64::from(std::process::id()) << 7);
    let name = format!("{}-{:04x}", now.strftime("%Y%m%d-%H%M%S"), id & 0xffff);
    Path::new("runs").join(name)
}
