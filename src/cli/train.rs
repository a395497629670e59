//! `densely train`.

use std::io::{IsTerminal as _, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueHint;

use super::asked::Asked;
use super::flags::{FileArgs, OutputOptions, SettingFlags, TrainsRun};
use super::no_effect::note_settings_without_effect;
use super::signals::{Interrupted, Signals};
use super::{
    foreign, load, load_again, make_absolute, print_next, print_note, print_result, print_text,
    report, say_command, told,
};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::gemm::Backend;
use crate::model::{Model, Spec};
use crate::report::{JsonLines, Stream, Terminal, Text, plural, summary};
use crate::store::names::{BEST, LAST, REPORT};
use crate::store::{RunConfig, RunDir, RunOptions, SavedRun, run_path};
use crate::text::shell;
use crate::train::config::group::OUTPUT;
use crate::train::setting::Configuration as _;
use crate::train::{Observer, Outcome, TrainConfig, Trainer, TrainerState};

/// Train a network and keep its best epoch
///
/// Trains on DATA, validates after every epoch, keeps the epoch with the best validation accuracy, and measures that one
/// on the test part. Everything is written to a directory of its own.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    settings: SettingFlags<TrainsRun>,

    /// Resume the run in DIR, or the `latest` one, with its own settings; only --checkpoint-every, --no-report, --json, --quiet,
    /// more --epochs unless its learning rate was planned for them (--schedule, a share of --warmup), and DATA, --valid and --test
    /// where the same data has moved, may be given too
    #[arg(long, value_name = "DIR", help_heading = OUTPUT, conflicts_with = "config", value_hint = ValueHint::DirPath)]
    resume: Option<PathBuf>,

    #[command(flatten)]
    file: FileArgs,
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
    let asked = Asked::new(&args.settings, &args.file)?;
    let output: OutputOptions = asked.get()?;
    let plan = match &args.resume {
        Some(directory) => resumed(&run_path(directory)?, &asked)?,
        None => fresh(&asked, &output)?,
    };
    let mut plan = plan;
    let quiet = output.quiet || args.file.print_config;
    let data = match args.file.print_config && !plan.follows_data()? {
        true => None,
        false => Some(plan.data(&asked, quiet)?),
    };
    let Some(data) = data.filter(|_| !args.file.print_config) else {
        return print_result(&asked.shown(&plan.config.to_toml()?));
    };
    let RunConfig { options, train: config, .. } = plan.config;
    let mut trainer = match plan.start {
        Start::Weights => Trainer::new(config, &data),
        Start::Model(model) => Trainer::from_model(config, &model, &data),
        Start::State(state) => Trainer::resume(*state, &data),
    }
    .map_err(|error| asked.locate(error))?;
    let finished = trainer.state().is_finished();
    if !finished && !output.quiet {
        trainer.parts().lacking(&data).iter().for_each(|note| print_note(note));
        note_settings_without_effect(&asked, &[trainer.config()]);
        if let Some(asked) = trainer.config().threads.filter(|&asked| asked > trainer.threads()) {
            let used = plural(trainer.threads(), "thread");
            print_note(&format!(
                "--threads {asked}: uses {used}; a step of this network has no work for more"
            ));
        }
    }
    let mut run_dir = match plan.directory {
        Directory::New(path) => RunDir::create(&path, options)?,
        Directory::Open(run_dir) => *run_dir,
    };
    let path = run_dir.path().to_owned();
    let signals = Signals::watch()?;
    let run_config = run_dir.config(&trainer);

    let options = run_config.options.clone();
    let mut json = output.json.then(|| JsonLines::new(stdout(), options, path.clone()));
    let mut observers: Vec<Box<dyn Observer>> =
        vec![Box::new(&mut run_dir), Box::new(signals.clone())];
    if !finished && !output.quiet {
        // JSON lines on the same terminal would run into a bar
        observers.push(Box::new(Terminal::new(!(output.json && stdout().is_terminal()))));
    }
    observers.extend(json.iter_mut().map(|json| -> Box<dyn Observer> { Box::new(json) }));
    let result = trainer.run(&mut observers);
    drop(observers);
    let end =
        End { state: trainer.state(), path: &path, finished, interrupted: signals.received() };
    let outcome = end.outcome(result)?;
    if finished && !output.quiet && trainer.state().diverged().is_none() {
        let reason = reason(trainer.state());
        print_note(&format!("the run in {} is finished: {reason}", path.display()));
    }
    if !output.quiet && outcome.val_metric.is_some_and(f64::is_nan) {
        print_note(&format!(
            "{} is undefined on the validation part: it takes two classes, or targets that differ; the loss has chosen the epoch \
             (--metric chooses by another)",
            outcome.metric.title()
        ));
    }
    let has_model = outcome.best_epoch > 0;
    let mut printed = Ok(());
    if !output.json && has_model {
        let text = summary(&outcome).wrapped(Stream::Out.width(), 2);
        printed = print_text(&text.then("\nmodel: ".into()).path(&path.join(BEST)));
    }
    let state = trainer.into_state(); // the engine's memory is free before the report starts its own
    // the report of a run that was finished before stays as it is
    let page = path.join(REPORT);
    if !(output.no_report || finished && page.exists()) && has_model {
        signals.stop_before_report("run", &path)?;
        report::of_state(&path, &path, &run_config, &state, &data)?;
    }
    if !output.json && page.exists() {
        print_text(&Text::from("report: ").path(&page))?;
    }
    if finished && !output.quiet && !page.exists() && has_model {
        print_note(&format!("it has no report; make one with: densely report {}", shell(&path)));
    }
    printed?;
    if !(finished || output.quiet || output.json) && has_model && state.diverged().is_none() {
        let run = shell(&path);
        let scores = match data.is_regression() {
            true => "errors in the target's units",
            false => "scores per class, confusion matrix",
        };
        let predicted = match data.prepare() {
            Some(_) => "predict rows of tables",
            None => "classify images in IDX files",
        };
        print_next(&[
            (format!("densely eval {run}"), scores),
            (format!("densely predict {run} INPUT..."), predicted),
        ]);
    }
    if let Some(error) = json.and_then(JsonLines::into_failure) {
        return Err(error.into());
    }
    divergence(&state, &path)
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
    /// The outcome; where there is none, says how to continue.
    fn outcome(self, result: Result<Outcome>) -> anyhow::Result<Outcome> {
        let Self { state, path, finished, interrupted } = self;
        let resume = format!("densely train --resume {}", shell(path));
        match (result, interrupted) {
            (Ok(outcome), _) => Ok(outcome),
            (Err(Error::Stopped), Some(interrupted)) => {
                let (epoch, step) = (state.epochs_begun(), state.optimizer().steps());
                let saved = format!(
                    "{interrupted} after step {step} (epoch {epoch}); the state is saved, continue with:"
                );
                say_command(&saved, &resume);
                Err(interrupted.into())
            }
            (Err(error @ Error::Io { .. }), _) if !finished && RunDir::has_checkpoint(path) => {
                anyhow::bail!("{error}; continue from what was saved with: {resume}")
            }
            (Err(error), _) => Err(error.into()),
        }
    }
}

/// A run that has diverged is an error, however often it is looked at.
fn divergence(state: &TrainerState, path: &Path) -> anyhow::Result<()> {
    let Some(divergence) = state.diverged() else { return Ok(()) };
    let more = match state.epoch() {
        0 => String::new(),
        _ => format!("; a new run can start with --init-from {}", shell(&path.join(LAST))),
    };
    Err(Error::invalid(path.display().to_string(), format!("{divergence}{more}")).into())
}

/// Why there is nothing left to train.
fn reason(state: &TrainerState) -> String {
    let (config, epoch) = (state.config(), state.epoch());
    match config.patience {
        Some(patience) if epoch < config.epochs => format!(
            "its patience of {patience} ran out after epoch {epoch}; a new run can start with --init-from its model"
        ),
        _ if config.plans_epochs() => format!(
            "all {epoch} epochs that its learning rate was planned for are done; a new run can start with --init-from its model"
        ),
        _ => format!("all {epoch} epochs are done; give more --epochs to continue it"),
    }
}

/// What is to be run, and where.
struct Plan {
    /// Whether it begins with this command.
    is_new: bool,
    config: RunConfig,
    start: Start,
    directory: Directory,
}

/// The settings that a model of a table has decided.
const OF_COLUMNS: [&str; 7] =
    ["target", "task", "ignore", "categorical", "scale", "missing", "pca"];

/// Those of them that a new output layer leaves open.
const OF_HEADS: [&str; 2] = ["target", "task"];

impl Plan {
    /// Whether some of its settings follow from its data: those of a new run on a table.
    fn follows_data(&self) -> Result<bool> {
        Ok(self.is_new && self.config.options.source().may_be_table()?)
    }

    /// Reads the data, and lets the settings follow from it that were not asked for.
    fn data(&mut self, asked: &Asked, quiet: bool) -> Result<Dataset> {
        let RunConfig { options, train, .. } = &mut self.config;
        let (split, split_seed, new_head) = (train.split, train.split_seed, options.has_new_head());
        let prepare = match &self.start {
            Start::Weights => None,
            Start::Model(model) => model.prepare().cloned().map(Arc::new),
            Start::State(state) => state.prepare().cloned(),
        };
        if let (Start::Model(_), Some(_)) = (&self.start, &prepare)
            && let Some(key) = OF_COLUMNS.into_iter().find(|key| {
                let is_of_head = new_head && OF_HEADS.contains(key);
                asked.has(key) && !asked.is_of_preset(key) && !is_of_head
            })
        {
            return Err(Error::usage(format!(
                "`{key}`: the model of `init_from` says what its columns are for and how they are scaled; expected the data alone"
            )));
        }
        let data = match (&self.start, prepare) {
            (Start::Model(model), None) if model.metadata().is_none() => {
                let mut source = options.source();
                foreign::take_as_given(&mut source, (!new_head).then_some(model));
                let data = told(source.load(split, split_seed)?, quiet)?;
                if data.prepare().is_some() {
                    (options.scale, options.task) = (source.table.scale, source.table.task);
                }
                data
            }
            (Start::Weights | Start::Model(_), None) => load(options, train, quiet)?,
            (Start::Model(_), Some(prepare)) if new_head => {
                let source = options.source();
                told(source.load_for_new_target(&prepare, split, split_seed)?, quiet)?
            }
            (Start::Model(_), prepare) => load_again(options, train, prepare.as_ref(), quiet)
                .map_err(foreign::with_new_head)?,
            (_, prepare) => load_again(options, train, prepare.as_ref(), quiet)?,
        };
        if let Start::Model(model) = &mut self.start {
            if self.is_new {
                let path = options.init_from.as_deref().unwrap_or_default();
                foreign::report_layers(path, model, asked.has("activations"));
            }
            **model = foreign::start_for(model, options, train, &data, quiet)?;
        }
        let is_model = matches!(self.start, Start::Model(_));
        if self.is_new {
            asked.adapt(train, &data, |key| is_model && OF_MODEL.contains(&key))?;
            if is_model && data.prepare().is_some() && asked.is_of_preset("scale") && !new_head {
                options.scale = RunOptions::default().scale; // the model has scaled its columns in its own way
            }
        }
        if self.is_new && data.prepare().is_some() {
            let is_of_model = |key: &str| is_model && matches!(key, "hidden" | "activations");
            train.follow(&data, |key| asked.has(key) || is_of_model(key))?;
            train.activations = Spec::new(1, &train.hidden, &train.activations, 1)?.activations();
        }
        Ok(data)
    }
}

/// The settings of a network, which a model to start from has.
const OF_MODEL: [&str; 4] = ["hidden", "activations", "norm", "ensemble"];

/// What a run starts from.
enum Start {
    Weights,
    Model(Box<Model>),
    State(Box<TrainerState>),
}

/// The run's directory: made as late as possible, so that a rejected run leaves nothing behind.
enum Directory {
    New(PathBuf),
    Open(Box<RunDir>),
}

/// A new run.
fn fresh(asked: &Asked, output: &OutputOptions) -> Result<Plan> {
    let out = output.out.as_ref().map_or_else(default_directory, PathBuf::from);
    let mut config = RunConfig::default();
    asked.apply(|table| config.take_from(table))?;
    make_absolute(&mut config.options)?;
    if config.options.has_new_head()
        && config.options.init_from.is_none()
        && asked.is_flag("new_head")
    {
        let problem =
            "--new-head is for a model to start from; expected --init-from MODEL beside it";
        return Err(Error::usage(problem));
    }
    config.train.follow_optimizer(|key| asked.has(key));
    let is_given = |key: &str| asked.has(key) && !asked.is_of_preset(key);
    if config.options.init_from.is_some() {
        // a model's own network takes the place of the preset's
        let drawn = (!config.options.has_new_head()).then_some("init");
        let of_preset = OF_MODEL.into_iter().chain(drawn).filter(|key| asked.is_of_preset(key));
        for setting in of_preset.filter_map(TrainConfig::setting) {
            setting.set_from(&mut config.train, setting.value(&TrainConfig::default()))?;
        }
    }
    config.check().map_err(|error| asked.locate(error))?;
    let plan = begin(config, is_given, Directory::New(out))?;
    Ok(Plan { is_new: true, ..plan })
}

/// A run that continues: from its checkpoint, or from the beginning if it did not get that far.
fn resumed(path: &Path, asked: &Asked) -> Result<Plan> {
    let (mut run_dir, SavedRun { mut config, state, notices, .. }) = RunDir::open(path)?;
    notices.iter().for_each(|notice| print_note(notice));
    asked.apply(|table| config.take_from(table))?;
    make_absolute(&mut config.options)?;
    config.check()?;
    let Some(mut state) = state else {
        print_note(&format!("{} has no checkpoint: the run begins at epoch 1", path.display()));
        *run_dir.options_mut() = config.options.clone();
        return begin(config, |_| true, Directory::Open(Box::new(run_dir)));
    };
    let (begun, epochs) = (state.epochs_begun(), config.train.epochs);
    if epochs < begun {
        return Err(Error::usage(format!(
            "--epochs {epochs}: the run in {} has already begun epoch {begun}; expected at least {begun}",
            path.display(),
        )));
    }
    let finished = state.is_finished();
    let before = state.config().clone();
    state.reconfigure(config.train.clone())?;
    if finished && state.is_finished() {
        state.reconfigure(before.clone())?; // a finished run stays as it is
        config.train = before;
    } else {
        *run_dir.options_mut() = config.options.clone();
    }
    let start = Start::State(Box::new(state));
    let directory = Directory::Open(Box::new(run_dir));
    Ok(Plan { is_new: false, config, start, directory })
}

/// A run from epoch 1. A model to start from determines the sizes and activations that were not asked for.
fn begin(
    mut config: RunConfig,
    is_given: impl Fn(&str) -> bool,
    directory: Directory,
) -> Result<Plan> {
    let train = &mut config.train;
    let start = match &config.options.init_from {
        None => Start::Weights,
        Some(path) => {
            let model = Model::load(Path::new(path), &train.activations)?;
            model.check_finite(path)?;
            let hidden = model.spec().hidden();
            if is_given("hidden") && train.hidden != hidden {
                return Err(Error::usage(format!(
                    "hidden sizes {:?}: {path} has {hidden:?}; expected the same, or none",
                    train.hidden
                )));
            }
            let (norm, members) = (model.spec().norm(), model.spec().members());
            let (found, scales) = (train.input_scales, model.spec().scales_inputs());
            if is_given("input_scales") && found.is_some() != scales {
                let expected = match scales {
                    true => format!("a number, or not given: {path} has factors of its inputs"),
                    false => format!("none, because {path} has no factors of its inputs"),
                };
                let found = found.map_or_else(|| "none".to_owned(), |rate| rate.to_string());
                return Err(Error::argument("input_scales", found, expected));
            }
            for (key, found, own) in [
                ("norm", train.norm.to_string(), norm.to_string()),
                ("ensemble", train.ensemble.to_string(), members.to_string()),
            ] {
                if is_given(key) && found != own {
                    let expected = format!("{own}, which {path} has, or none given");
                    return Err(Error::argument(key, found, expected));
                }
            }
            (train.hidden, train.activations) = (hidden, model.spec().activations());
            (train.norm, train.ensemble) = (norm, members);
            train.input_scales = scales.then_some(found.unwrap_or(1.0));
            Start::Model(Box::new(model))
        }
    };
    // what is left to defaults is resolved here, so that a configuration says what will run; layers may follow from a table
    if !config.options.source().may_be_table()? {
        train.activations = Spec::new(1, &train.hidden, &train.activations, 1)?.activations();
    }
    // `auto` is resolved with the sizes of the network; this rejects what the build does not have
    let _ = Backend::of(train.backend)?;
    Ok(Plan { is_new: false, config, start, directory })
}

/// `runs/<time>-<id>`; the id distinguishes runs that start in the same second.
fn default_directory() -> PathBuf {
    let now = jiff::Zoned::now();
    let id = now.timestamp().as_microsecond() as u64 ^ (u64::from(std::process::id()) << 7);
    let name = format!("{}-{:04x}", now.strftime("%Y%m%d-%H%M%S"), id & 0xffff);
    Path::new("runs").join(name)
}
