//! `densely sweep`.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use densely::data::{self, Dataset};
use densely::engine::Score;
use densely::gemm::Backend;
use densely::model::Init;
use densely::report::{
    RankedRuns, RunDir, SweepDir, SweepTerminal, duration, percent, ranking, say,
};
use densely::train::{
    Divergence, EpochEnd, Observer, Opened, Progress, Request, RunResult, Status, SweepHost,
    SweepRun, Trainer, rank, sweep,
};
use densely::{Error, Result};
use serde_json::{Value, json};

use super::grid_settings::grid_file;
use super::run_args::{MACHINE, NETWORK, OPTIMIZER, OUTPUT, RUN, RunArgs, integer};
use super::settings::{self, Settings};
use super::signals::Signals;
use super::values::{self, Activations, Sizes};
use super::{print_note, print_result};

/// Train every combination of settings and rank them
///
/// Each run has a directory of its own, as if `densely train` had made it. The ranking is by validation accuracy; only the
/// winner is measured on the test part, for a choice by test accuracy would make that figure worthless. Stopped or killed,
/// the same command goes on where it was.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Sizes of the hidden layers [default: 784,784,784;1024,512,256;512,256,128;256,128,64;128,64,28]
    #[arg(long, value_name = "N,N,...;...", value_delimiter = ';', value_parser = values::sizes,
          help_heading = NETWORK)]
    hidden: Option<Vec<Sizes>>,

    /// One activation for all hidden layers, or one each [default: relu,selu,tanh for three hidden layers, relu for any
    /// other number]
    #[arg(long, value_name = "A,A,...;...", value_delimiter = ';', value_parser = values::activations,
          help_heading = NETWORK)]
    activations: Option<Vec<Activations>>,

    /// Ways to draw initial weights [default: auto]
    #[arg(long, value_name = "I,I,...", value_delimiter = ',', value_parser = values::init(),
          help_heading = NETWORK)]
    init: Option<Vec<Init>>,

    /// Adam's learning rates [default: 0.01,0.001,0.0001]
    #[arg(long, value_name = "X,X,...", value_delimiter = ',', allow_negative_numbers = true,
          help_heading = OPTIMIZER)]
    lr: Option<Vec<f64>>,

    /// Decoupled weight decays [default: 0]
    #[arg(long, value_name = "X,X,...", value_delimiter = ',', allow_negative_numbers = true,
          help_heading = OPTIMIZER)]
    weight_decay: Option<Vec<f64>>,

    /// Samples per step [default: 100,500,1000]
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', value_parser = values::count(),
          help_heading = OPTIMIZER)]
    batch_size: Option<Vec<u64>>,

    /// Passes over the training part [default: 200]
    #[arg(long, value_name = "N", value_parser = values::count(), help_heading = RUN)]
    epochs: Option<u64>,

    /// Seeds, each of which decides everything random of a run [default: 0]
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', value_parser = values::count(),
          help_heading = RUN)]
    seed: Option<Vec<u64>>,

    /// Measure every run on the test part, not only the winner
    #[arg(long, help_heading = RUN)]
    test_all: bool,

    /// Runs at a time [default: as many as there are cores where networks are small, one where they are large]
    #[arg(long, value_name = "N", value_parser = values::count(), help_heading = MACHINE)]
    jobs: Option<u64>,

    /// Worker threads of each run [default: the cores, divided among the runs at a time]
    #[arg(long, value_name = "N", value_parser = values::count(), help_heading = MACHINE)]
    threads: Option<u64>,

    /// The directory for the sweep's files [default: runs/sweep-<hash of the grid>]
    #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
    out: Option<PathBuf>,

    /// Take settings from a file, such as the sweep.toml of a sweep; flags win over it
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    config: Option<PathBuf>,

    /// Show the settings that would be used, as such a file, and stop
    #[arg(long, help_heading = OUTPUT)]
    print_config: bool,

    #[command(flatten)]
    run: RunArgs,
}

const EXAMPLES: &str = "\
Examples:
  densely sweep --patience 10
  densely sweep --hidden '128,64,28;64,32' --activations relu --lr 0.01,0.001 --epochs 10
  densely sweep --hidden 256 --lr 0.003 --batch-size 100 --seed 0,1,2,3,4 --test-all
  densely sweep /usr/share/datasets/fashion-mnist --config sweep.toml --jobs 2";

/// Ranks that are shown on the terminal.
const SHOWN: usize = 10;

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let start = Instant::now();
    let settings = args.settings()?;
    let (json, quiet) = (settings.switch("json")?, settings.switch("quiet")?);
    let test_all = settings.switch("test_all")?;
    let mut grid = settings.grid()?;
    grid.base.data = super::absolute_data(&grid.base.data)?;
    grid.base.backend = Backend::of(grid.base.backend)?.choice();
    grid.runs(1, 1)?; // what is impossible with any data is refused before the data is read
    let file = grid_file(&grid)?;
    if args.print_config {
        return print_result(file.trim_end());
    }
    let loaded = data::load(&grid.base.data)?;
    if !quiet {
        loaded.notices.iter().for_each(|notice| print_note(notice));
    }
    let data = &loaded.data;
    let runs = grid.runs(data.n_features(), data.n_classes())?;
    if grid.base.split.apply(data)?.val.is_empty() {
        return Err(Error::usage(format!(
            "split `{}`: a sweep chooses by validation accuracy; expected a split with a validation part",
            grid.base.split
        ))
        .into());
    }
    let path = settings.text("out")?.map_or_else(|| default_directory(&file), PathBuf::from);
    let directory = SweepDir::open(&path, &file)?;
    let backend = Backend::of(grid.base.backend)?;
    let signals = Signals::watch()?;
    let host = Host {
        runs: &runs,
        signals: &signals,
        directory: &directory,
        terminal: (!quiet).then(|| SweepTerminal::new(&runs, data.name(), backend)),
        json,
        results: Mutex::default(),
        trained: AtomicBool::new(false),
    };
    if json {
        host.print(&json!({
            "event": "start", "runs": runs.len(), "data": data.name(), "sweep_dir": path.display().to_string(),
        }))?;
    }
    let swept = sweep(&runs, data, |threads| grid.jobs_for(threads), &&host);
    let Host { results, terminal, .. } = host;
    terminal.iter().for_each(SweepTerminal::finish);
    if let (Err(Error::Stopped), Some(interrupted)) = (&swept, signals.received()) {
        if json {
            let sweep_dir = path.display().to_string();
            print_result(&json!({ "event": "stopped", "sweep_dir": sweep_dir }).to_string())?;
        }
        say(&format!(
            "{interrupted}; the states of all runs are saved in {}: the same command goes on",
            path.display()
        ));
        return Err(interrupted.into());
    }
    swept?;
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    rank(&mut results, &runs);
    let tested = if test_all { results.len() } else { 1 };
    for result in results.iter_mut().take(tested).filter(|result| result.is_ranked()) {
        result.test = test(&directory, &runs[result.number], data)?;
    }
    directory.write_results(&results, &runs)?;
    let failed = results.iter().filter(|result| result.status == Status::Failed).count();
    let winner = results.first().filter(|winner| winner.is_ranked());
    let best_model =
        winner.map(|winner| directory.run_path(&runs[winner.number]).join("best.safetensors"));
    let (test, seconds) = (winner.and_then(|winner| winner.test), start.elapsed().as_secs_f64());
    if json {
        print_result(
            &json!({
                "event": "done",
                "runs": results.len(),
                "failed": failed,
                "best_run": winner.map(|winner| &runs[winner.number].name),
                "val_accuracy": winner.and_then(RunResult::best).and_then(|best| best.val_accuracy),
                "test_loss": test.map(|test| test.loss()),
                "test_accuracy": test.map(|test| test.accuracy()),
                "seconds": seconds,
                "sweep_dir": path.display().to_string(),
            })
            .to_string(),
        )?;
    } else {
        let mut text = ranking(&results, &runs, SHOWN);
        if let Some(test) = test {
            let (accuracy, loss) = (percent(test.accuracy()), test.loss());
            text += &format!("\n\ntest accuracy of the winner {accuracy}, loss {loss:.4}");
        }
        text += &format!(
            "\n{} in all; results: {}",
            duration(seconds),
            path.join("results.csv").display()
        );
        if let Some(model) = best_model {
            text += &format!("\nmodel: {}", model.display());
        }
        print_result(&text)?;
    }
    if winner.is_none() {
        anyhow::bail!(
            "none of the {} runs has come to a result; results.csv says why",
            results.len()
        );
    }
    if !settings.switch("no_report")? {
        if let Some(interrupted) = signals.received() {
            say(&format!(
                "{interrupted}; the sweep is finished, its report is made by: densely report {}",
                path.display()
            ));
            return Err(interrupted.into());
        }
        let ranked = RankedRuns::new(runs, results)?;
        let page = super::report::of_sweep(&directory, &path, data, &ranked)?;
        if !json {
            print_result(&format!("report: {}", page.display()))?;
        }
    }
    Ok(())
}

/// The score of the model that a run has kept on the test part.
fn test(directory: &SweepDir, run: &SweepRun, data: &Dataset) -> Result<Option<Score>> {
    match directory.read_run(run)? {
        Some(state) => Ok(Trainer::resume(state, data)?.test()),
        None => Ok(None),
    }
}

/// Keeps the runs' files, and shows what happens.
struct Host<'a> {
    runs: &'a [SweepRun],
    signals: &'a Signals,
    directory: &'a SweepDir,
    terminal: Option<SweepTerminal<'a>>,
    json: bool,
    results: Mutex<Vec<RunResult>>,
    /// Whether there is anything new to write.
    trained: AtomicBool,
}

impl Host<'_> {
    fn print(&self, event: &Value) -> Result<()> {
        print_result(&event.to_string())
            .map_err(|error| Error::invalid("standard output", format!("{error:#}")))
    }
}

impl<'a> SweepHost for &'a Host<'a> {
    type Observer = Watch<'a>;

    fn open(&self, number: usize, run: &SweepRun) -> Result<Opened<Watch<'a>>> {
        let (run_dir, mut state) = self.directory.open_run(run)?;
        if let Some(state) = state.as_mut().filter(|state| !state.is_finished()) {
            state.config.checkpoint_every = run.config.checkpoint_every;
        }
        if state.as_ref().is_none_or(|state| !state.is_finished()) {
            self.trained.store(true, Ordering::Relaxed);
            self.terminal.iter().for_each(|terminal| terminal.begins(number));
        }
        let terminal = self.terminal.as_ref();
        let signals = self.signals.clone();
        Ok(Opened { state, observer: Watch { run_dir, signals, terminal, number } })
    }

    fn ended(&self, result: RunResult) -> Result<()> {
        self.terminal.iter().for_each(|terminal| terminal.ended(&result));
        if self.json {
            let best = result.best();
            self.print(&json!({
                "event": "run",
                "run": self.runs[result.number].name,
                "status": result.status,
                "error": result.error,
                "best_epoch": best.map(|best| best.epoch),
                "epochs": result.history.len(),
                "val_accuracy": best.and_then(|best| best.val_accuracy),
                "val_loss": best.and_then(|best| best.val_loss).filter(|loss| loss.is_finite()),
                "seconds": result.seconds(),
            }))?;
        }
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.push(result);
        rank(&mut results, self.runs);
        match self.trained.load(Ordering::Relaxed) {
            true => self.directory.write_results(&results, self.runs),
            false => Ok(()), // what is there is of this sweep, and more complete
        }
    }
}

/// Keeps and watches one run.
struct Watch<'a> {
    run_dir: RunDir,
    signals: Signals,
    terminal: Option<&'a SweepTerminal<'a>>,
    number: usize,
}

impl Observer for Watch<'_> {
    fn start(&mut self, trainer: &Trainer<'_>) -> Result<()> {
        self.run_dir.start(trainer)
    }

    fn step(&mut self, epoch: usize, progress: Progress) {
        self.run_dir.step(epoch, progress);
    }

    fn request(&mut self) -> Request {
        self.run_dir.request().max(self.signals.request())
    }

    fn save(&mut self, trainer: &Trainer<'_>, reason: Request) -> Result<()> {
        self.run_dir.save(trainer, reason)
    }

    fn diverged(&mut self, divergence: &Divergence) -> Result<()> {
        self.run_dir.diverged(divergence)
    }

    fn epoch(&mut self, end: &EpochEnd<'_>) -> Result<()> {
        self.run_dir.epoch(end)?;
        self.terminal.iter().for_each(|terminal| terminal.epoch(self.number, end.record));
        Ok(())
    }
}

/// `runs/sweep-<hash of the grid>`: the same command goes on in the same directory.
fn default_directory(grid: &str) -> PathBuf {
    let hash = xxhash_rust::xxh3::xxh3_64(grid.as_bytes());
    PathBuf::from("runs").join(format!("sweep-{:08x}", hash as u32))
}

impl Args {
    /// The flags over the configuration file.
    fn settings(&self) -> Result<Settings> {
        let mut settings = match &self.config {
            Some(path) => Settings::read_grid(path)?,
            None => Settings::default(),
        };
        let list = |values: &Option<Vec<u64>>| -> Option<Vec<i64>> {
            values.as_ref().map(|values| values.iter().copied().map(integer).collect())
        };
        let hidden = self.hidden.as_ref().map(|hidden| {
            hidden.iter().map(|sizes| settings::sizes(&sizes.0)).collect::<Result<Vec<_>>>()
        });
        let activations = self.activations.as_ref().map(|several| {
            several.iter().map(|one| settings::activations(&one.0)).collect::<Vec<_>>()
        });
        let init = self.init.as_ref();
        let init = init.map(|init| init.iter().map(|init| init.name()).collect::<Vec<_>>());
        let out = self.out.as_ref().map(|path| path.to_string_lossy().into_owned());
        settings.set("hidden", hidden.transpose()?);
        settings.set("activations", activations);
        settings.set("init", init);
        settings.set("lr", self.lr.clone());
        settings.set("weight_decay", self.weight_decay.clone());
        settings.set("batch_size", list(&self.batch_size));
        settings.set("seed", list(&self.seed));
        settings.set("epochs", self.epochs.map(integer));
        settings.set("jobs", self.jobs.map(integer));
        settings.set("threads", self.threads.map(integer));
        settings.set("test_all", self.test_all.then_some(true));
        settings.set("out", out);
        self.run.apply(&mut settings);
        Ok(settings)
    }
}
