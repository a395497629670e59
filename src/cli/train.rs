//! `densely train`.

use std::io::stdout;
use std::path::{Path, PathBuf};

use densely::data;
use densely::gemm::Backend;
use densely::model::{Init, Model, Spec};
use densely::report::{
    JsonLines, REPORT, RunDir, Standing, Terminal, say, summary, write_run_report,
};
use densely::train::{Observer, Outcome, TrainConfig, Trainer, TrainerState};
use densely::{Error, Result};

use super::run_args::{MACHINE, NETWORK, OPTIMIZER, OUTPUT, RUN, RunArgs, integer};
use super::settings::{self, Settings};
use super::signals::{Interrupted, Signals};
use super::values::{self, Activations, Sizes};
use super::{absolute, absolute_data, print_note, print_result};

/// Train a network and keep its best epoch
///
/// Trains on DATA, validates after every epoch, keeps the epoch with the best validation accuracy, and measures that one
/// on the test part. Everything is written to a directory of its own.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
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

    /// Decoupled weight decay (AdamW) of all parameters [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = OPTIMIZER)]
    weight_decay: Option<f64>,

    /// Samples per step [default: 500]
    #[arg(long, value_name = "N", value_parser = values::count(), help_heading = OPTIMIZER)]
    batch_size: Option<u64>,

    /// Passes over the training part [default: 20]
    #[arg(long, value_name = "N", value_parser = values::count(), help_heading = RUN)]
    epochs: Option<u64>,

    /// Decides everything random [default: 0]
    #[arg(long, value_name = "N", value_parser = values::count(), help_heading = RUN)]
    seed: Option<u64>,

    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N", value_parser = values::count(), help_heading = MACHINE)]
    threads: Option<u64>,

    /// The directory for the run's files [default: runs/<time>-<id>]
    #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
    out: Option<PathBuf>,

    /// Go on with the run in DIR, with its own settings; only --epochs, --checkpoint-every, --no-report, --json and
    /// --quiet may join
    #[arg(long, value_name = "DIR", help_heading = OUTPUT, conflicts_with_all = [
        "data", "hidden", "activations", "init", "init_from", "lr", "beta1", "beta2", "eps", "weight_decay",
        "batch_size", "patience", "split", "seed", "shuffle", "threads", "deterministic", "backend", "out",
    ])]
    resume: Option<PathBuf>,

    /// Take settings from a file, such as the config.toml of a run; flags win over it
    #[arg(long, value_name = "FILE", help_heading = OUTPUT, conflicts_with = "resume")]
    config: Option<PathBuf>,

    /// Show the settings that would be used, as such a file, and stop
    #[arg(long, help_heading = OUTPUT)]
    print_config: bool,

    #[command(flatten)]
    run: RunArgs,
}

const EXAMPLES: &str = "\
Examples:
  densely train
  densely train --hidden 784,784,784 --batch-size 1000 --epochs 200 --patience 10
  densely train --hidden 300,100 --activations gelu --weight-decay 0.01 --split canonical
  densely train /usr/share/datasets/fashion-mnist --seed 7 --out runs/fashion
  densely train --resume runs/fashion --epochs 40
  densely train --config runs/fashion/config.toml --seed 8
  densely train --json --quiet | tail -1";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let settings = args.settings()?;
    let (json, quiet) = (settings.switch("json")?, settings.switch("quiet")?);
    let plan = match &args.resume {
        Some(directory) => resumed(directory, &settings)?,
        None => fresh(&settings)?,
    };
    if args.print_config {
        return print_result(toml::to_string(&plan.config)?.trim_end());
    }
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
        Directory::Open(run_dir) => *run_dir,
    };
    let (path, best_model) = (run_dir.path().to_owned(), run_dir.best_model());
    let signals = Signals::watch()?;

    let mut observers: Vec<Box<dyn Observer>> =
        vec![Box::new(&mut run_dir), Box::new(signals.clone())];
    if !finished && !quiet {
        observers.push(Box::new(Terminal::new()));
    }
    if json {
        observers.push(Box::new(JsonLines::new(stdout(), path.clone())));
    }
    let result = trainer.run(&mut observers);
    drop(observers);
    let end =
        End { state: trainer.state(), path: &path, finished, interrupted: signals.received() };
    let outcome = end.outcome(result)?;
    if finished && !quiet && trainer.state().diverged.is_none() {
        print_note(&format!(
            "the run in {} is finished: {}",
            path.display(),
            reason(trainer.state())
        ));
    }
    let mut printed = Ok(());
    if !json && outcome.best_epoch > 0 {
        printed = print_result(&format!("{}\nmodel: {}", summary(&outcome), best_model.display()));
    }
    // the report of a run that was finished before is left as it is
    let page = path.join(REPORT);
    if !finished && !settings.switch("no_report")? && outcome.best_epoch > 0 {
        if let Some(interrupted) = signals.received() {
            say(&format!(
                "{interrupted}; the run is finished, its report is made by: densely report {}",
                path.display()
            ));
            return Err(interrupted.into());
        }
        write_run_report(&mut trainer, &path, &path)?;
    }
    if !json && page.exists() {
        print_result(&format!("report: {}", page.display()))?;
    }
    if finished && !quiet && !page.exists() && outcome.best_epoch > 0 {
        print_note(&format!("it has no report; one is made by: densely report {}", path.display()));
    }
    printed?;
    divergence(trainer.state(), &path)
}

/// How the training of this process has ended.
struct End<'a> {
    state: &'a TrainerState,
    path: &'a Path,
    /// Whether the run was finished before.
    finished: bool,
    interrupted: Option<Interrupted>,
}

impl End<'_> {
    /// What came out; where nothing did, how to go on is said.
    fn outcome(self, result: Result<Outcome>) -> anyhow::Result<Outcome> {
        let Self { state, path, finished, interrupted } = self;
        let go_on = format!("densely train --resume {}", path.display());
        match (result, interrupted) {
            (Ok(outcome), _) => Ok(outcome),
            (Err(Error::Stopped), Some(interrupted)) => {
                let epoch = state.epoch() + usize::from(state.partial.is_some());
                let step = state.optimizer.steps;
                say(&format!(
                    "{interrupted} behind step {step} (epoch {epoch}); the state is saved, go on with it by: {go_on}"
                ));
                Err(interrupted.into())
            }
            (Err(error @ Error::Io { .. }), _) if !finished && RunDir::has_checkpoint(path) => {
                anyhow::bail!("{error}; go on with what was saved by: {go_on}")
            }
            (Err(error), _) => Err(error.into()),
        }
    }
}

/// A run that has diverged is no success, however often it is looked at.
fn divergence(state: &TrainerState, path: &Path) -> anyhow::Result<()> {
    let Some(divergence) = state.diverged else { return Ok(()) };
    let last = path.join("last.safetensors");
    let more = match state.epoch() {
        0 => String::new(),
        _ => format!("; a new run can begin with --init-from {}", last.display()),
    };
    Err(Error::invalid(path.display().to_string(), format!("{divergence}{more}")).into())
}

/// Why there is nothing left to train.
fn reason(state: &TrainerState) -> String {
    match state.config.patience {
        Some(patience) if state.epoch() < state.config.epochs => format!(
            "its patience of {patience} ran out behind epoch {}; a new run can begin with --init-from its model",
            state.epoch()
        ),
        _ => format!("all {} epochs are done; it goes on with more --epochs", state.epoch()),
    }
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
    Open(Box<RunDir>),
}

/// A new run.
fn fresh(settings: &Settings) -> Result<Plan> {
    let out = settings.text("out")?.map_or_else(default_directory, PathBuf::from);
    let mut config = settings.config()?;
    config.data = absolute_data(&config.data)?;
    config.init_from = config.init_from.map(|path| absolute(&path)).transpose()?;
    config.check()?;
    if config.init_from.is_some() && config.init != Init::Auto {
        return Err(Error::usage(
            "init and init-from: expected one of them, the weights come from one place",
        ));
    }
    begin(config, settings.has("hidden"), Directory::New(out))
}

/// A run that goes on: from its checkpoint, or from the beginning if it did not get that far.
fn resumed(path: &Path, settings: &Settings) -> Result<Plan> {
    let (run_dir, Standing { config, state }) = RunDir::open(path)?;
    let config = settings.config_over(config)?;
    config.check()?;
    match state {
        Some(mut state) => {
            let begun = state.epoch() + usize::from(state.partial.is_some());
            if config.epochs < begun {
                return Err(Error::usage(format!(
                    "{} epochs: the run in {} has begun epoch {begun} already; expected as many --epochs or more",
                    config.epochs,
                    path.display(),
                )));
            }
            let finished = state.is_finished();
            let before = std::mem::replace(&mut state.config, config);
            if finished && state.is_finished() {
                state.config = before; // a finished run stays as it is
            }
            let config = state.config.clone();
            let start = Start::State(Box::new(state));
            Ok(Plan { config, start, directory: Directory::Open(Box::new(run_dir)) })
        }
        None => {
            print_note(&format!("{} has no checkpoint: the run begins at epoch 1", path.display()));
            begin(config, true, Directory::Open(Box::new(run_dir)))
        }
    }
}

/// A run from epoch 1; with `init_from`, the model says the sizes and activations that were not asked for.
fn begin(mut config: TrainConfig, hidden_was_asked: bool, directory: Directory) -> Result<Plan> {
    let start = match &config.init_from {
        None => Start::Weights,
        Some(path) => {
            let model = Model::load(Path::new(path), &config.activations)?;
            model.check_finite(path)?;
            let hidden = model.spec.hidden();
            if hidden_was_asked && config.hidden != hidden {
                return Err(Error::usage(format!(
                    "hidden sizes {:?}: {path} has {hidden:?}; expected the same, or none",
                    config.hidden
                )));
            }
            config.hidden = hidden;
            Start::Model(Box::new(model))
        }
    };
    // what is left to defaults is resolved here, so that a configuration says what will run
    config.activations = Spec::new(1, &config.hidden, &config.activations, 1)?.activations();
    config.backend = Backend::of(config.backend)?.choice();
    Ok(Plan { config, start, directory })
}

impl Args {
    /// The flags over the configuration file.
    fn settings(&self) -> Result<Settings> {
        let mut settings = match &self.config {
            Some(path) => Settings::read(path)?,
            None => Settings::default(),
        };
        let hidden = self.hidden.as_ref().map(|hidden| settings::sizes(&hidden.0)).transpose()?;
        let out = self.out.as_ref().map(|path| path.to_string_lossy().into_owned());
        settings.set("hidden", hidden);
        settings.set("activations", self.activations.as_ref().map(|a| settings::activations(&a.0)));
        settings.set("init", self.init.map(Init::name));
        settings.set("init_from", self.init_from.clone());
        settings.set("lr", self.lr);
        settings.set("weight_decay", self.weight_decay);
        settings.set("batch_size", self.batch_size.map(integer));
        settings.set("epochs", self.epochs.map(integer));
        settings.set("seed", self.seed.map(integer));
        settings.set("threads", self.threads.map(integer));
        settings.set("out", out);
        self.run.apply(&mut settings);
        Ok(settings)
    }
}

/// `runs/<time>-<id>`; the id keeps apart what starts in the same second.
fn default_directory() -> PathBuf {
    let now = jiff::Zoned::now();
    let id = now.timestamp().as_microsecond() as u64 ^ (u64::from(std::process::id()) << 7);
    let name = format!("{}-{:04x}", now.strftime("%Y%m%d-%H%M%S"), id & 0xffff);
    Path::new("runs").join(name)
}
