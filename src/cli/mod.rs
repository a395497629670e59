//! Commands: what is typed is parsed, checked and handed to the library; a file for each command.
#![allow(rustdoc::invalid_html_tags)] // the comments of flags are help texts

mod asked;
mod bench;
mod completions;
mod cv;
mod data;
mod doctor;
mod errors;
mod eval;
mod eval_end;
mod export;
mod flags;
mod folds_end;
mod foreign;
mod inspect;
mod model_args;
mod no_effect;
mod out_of_fold;
mod predict;
mod raw_outputs;
mod report;
mod runs;
mod sheet;
mod signals;
mod sweep;
mod sweep_end;
mod sweep_host;
mod sweep_runs;
mod train;
mod values;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use console::measure_text_width;

use crate::data::prepare::Prepare;
use crate::data::{Dataset, Loaded};
use crate::error::{Error, Result};
use crate::gemm::Blas;
use crate::report::{Paint, Stream, Text, respect_dumb_terminal, say};
use crate::store::{RunOptions, model_path};
use crate::train::TrainConfig;
use signals::Interrupted;

/// Trains multilayer perceptrons on a CPU, fast.
#[derive(Debug, Parser)]
#[command(name = "densely", version, arg_required_else_help = true, after_help = FIRST_STEPS)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const FIRST_STEPS: &str = "\
First steps:
  densely train                               train on MNIST, which is built in
  densely eval latest                         measure the model that was kept
  densely train --help                        every setting, with examples";

#[derive(Debug, Subcommand)]
enum Command {
    Train(Box<train::Args>),
    Eval(eval::Args),
    Predict(predict::Args),
    Sweep(Box<sweep::Args>),
    Cv(Box<cv::Args>),
    Report(report::Args),
    Runs(runs::Args),
    Data(data::Args),
    Inspect(inspect::Args),
    Export(export::Args),
    Doctor(doctor::Args),
    Bench(bench::Args),
    Completions(completions::Args),
}

/// The program: parses the command line, runs the command, reports an error, and returns the exit code.
pub fn main() -> ExitCode {
    respect_dumb_terminal();
    if let Some(blas) = Blas::new() {
        // SAFETY: the program begins here; there is no other thread.
        #[allow(unsafe_code)]
        unsafe {
            blas.stop_idle_threads();
        }
    }
    let Err(error) = run() else { return ExitCode::SUCCESS };
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        return ExitCode::from(interrupted.exit_code()); // the command has said what happened
    }
    // densely's own errors contain their causes; others are a chain
    match error.downcast_ref::<Error>() {
        Some(own) => say(error_line(&errors::explain(own))),
        None => say(error_line(&format!("{error:#}"))),
    }
    match error.downcast_ref::<Error>().is_some_and(Error::is_usage) {
        true => ExitCode::from(2),
        false => ExitCode::FAILURE,
    }
}

pub use crate::memory::prefer_huge_pages;

/// Ends the process with one line and code 1 after an allocation has failed, unless its caller copes with that. Files are complete
/// at any time. For the program's allocator, which may call nothing that allocates.
pub fn out_of_memory(bytes: usize) {
    if crate::memory::may_fail() {
        return;
    }
    let mut line = [0; 160];
    let mut rest = &mut line[..];
    let remedy =
        "use smaller layers, a smaller batch or fewer samples, or raise the limit (ulimit -v)";
    drop(writeln!(rest, "error: no memory is left for another {bytes} bytes: {remedy}"));
    let unused = rest.len();
    let used = line.len() - unused;
    drop(std::io::stderr().write_all(&line[..used]));
    signal_hook::low_level::exit(1);
}

fn run() -> anyhow::Result<()> {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(help) if help.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            help.exit()
        }
        Err(problem) if problem.use_stderr() => {
            return Err(Error::usage(errors::usage_line(&problem)).into());
        }
        // help, or the version
        Err(text) => return check_written(text.print().and_then(|()| std::io::stdout().flush())),
    };
    match cli.command {
        Command::Train(args) => train::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Cv(args) => cv::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Runs(args) => runs::run(&args),
        Command::Data(args) => data::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

fn error_line(problem: &str) -> Text {
    Text::default().with(Paint::Error, "error:").with(Paint::Plain, format!(" {problem}"))
}

/// Writes a result to standard output; a reader that has gone away is not an error.
fn print_result(text: &str) -> anyhow::Result<()> {
    print_text(&text.into())
}

/// [`print_result`] of a text with colours.
fn print_text(text: &Text) -> anyhow::Result<()> {
    print_raw(&text.for_stream(Stream::Out))
}

/// Writes text as it is: JSON, which escapes control characters in its own way, scripts, and what has been made safe.
fn print_raw(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    check_written(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// A number for JSON, which has no others.
fn finite(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

/// A reader that has gone away is not an error.
fn check_written(written: std::io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to standard output"))
        }
        _ => Ok(()),
    }
}

/// Writes a remark to standard error, beside the results.
fn print_note(text: &str) {
    let note = Text::default().with(Paint::Note, "note:").with(Paint::Plain, format!(" {text}"));
    say(note.wrapped(Stream::Err.width(), 2));
}

/// Says something that ends with a command to copy, which has a line of its own where the terminal would break it.
fn say_command(sentence: &str, command: &str) {
    let fits = Stream::Err
        .width()
        .is_none_or(|width| measure_text_width(sentence) + measure_text_width(command) < width);
    let text = Text::from(sentence).wrapped(Stream::Err.width(), 0);
    say(text.then(if fits { " " } else { "\n" }.into()).with(Paint::Path, command));
}

/// Names the commands that make sense after a run or a sweep, and says what they do.
fn print_next(commands: &[(String, &str)]) {
    let width = commands.iter().map(|(command, _)| measure_text_width(command)).max().unwrap_or(0);
    let fits = Stream::Err.width().is_none_or(|columns| {
        commands
            .iter()
            .all(|(_, what)| width + measure_text_width(what) + NEXT.len() + 2 <= columns)
    });
    for (command, what) in commands {
        let text = Text::from(NEXT).with(Paint::Path, command);
        let blanks = width - measure_text_width(command) + 2;
        say(match fits {
            true => text.with(Paint::Plain, format!("{:blanks$}{what}", "")),
            false => text,
        });
    }
}

/// Before a command that makes sense now.
const NEXT: &str = "next: ";

/// Reads a data set for a new training, and prints what a user should know about it.
fn load(options: &RunOptions, config: &TrainConfig, quiet: bool) -> Result<Dataset> {
    told(options.source().load(config.split, config.split_seed)?, quiet)
}

/// Reads the data set of a run again.
fn load_again(
    options: &RunOptions,
    config: &TrainConfig,
    prepare: Option<&Arc<Prepare>>,
    quiet: bool,
) -> Result<Dataset> {
    told(options.source().load_for(prepare, config.split, config.split_seed)?, quiet)
}

fn told(loaded: Loaded, quiet: bool) -> Result<Dataset> {
    if !quiet {
        loaded.notices.iter().for_each(|notice| print_note(notice));
    }
    Ok(loaded.data)
}

/// Makes the paths of a run absolute, so that it can be resumed from any directory.
fn make_absolute(options: &mut RunOptions) -> Result<()> {
    if options.data != RunOptions::default().data {
        options.data = absolute(&options.data)?;
    }
    for path in [&mut options.valid, &mut options.test].into_iter().flatten() {
        *path = absolute(path)?;
    }
    // names, or a file of names
    if let Some(names) = &mut options.class_names
        && Path::new(names).is_file()
    {
        *names = absolute(names)?;
    }
    if let Some(path) = &options.init_from {
        let model = model_path(Path::new(path))?;
        options.init_from = Some(absolute(&model.to_string_lossy())?);
    }
    Ok(())
}

fn absolute(path: &str) -> Result<String> {
    let problem = |error: String| Error::usage(format!("path `{path}`: {error}"));
    let absolute = std::path::absolute(path).map_err(|error| problem(error.to_string()))?;
    let absolute = absolute.into_os_string().into_string();
    absolute.map_err(|_| problem("expected UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
