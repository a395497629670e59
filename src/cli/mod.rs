//! Commands: what is typed, checked, and handed to the library; a file each.

mod bench;
mod completions;
mod doctor;
mod eval;
mod grid_settings;
mod inspect;
mod model_args;
mod predict;
mod report;
mod run_args;
mod settings;
mod signals;
mod sweep;
mod train;
mod values;

use std::io::Write as _;

use clap::{Parser, Subcommand};
use densely::report::say;
use densely::train::TrainConfig;
use densely::{Error, Result};

pub use signals::Interrupted;

/// Trains multilayer perceptrons on a CPU, fast.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = FIRST_STEPS)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const FIRST_STEPS: &str = "\
First steps:
  densely train                               train on MNIST, which is built in
  densely eval runs/<name>/best.safetensors   measure the model that was kept
  densely train --help                        every setting, with examples";

#[derive(Debug, Subcommand)]
enum Command {
    Train(Box<train::Args>),
    Eval(eval::Args),
    Predict(predict::Args),
    Sweep(Box<sweep::Args>),
    Report(report::Args),
    Inspect(inspect::Args),
    Doctor(doctor::Args),
    Bench(bench::Args),
    Completions(completions::Args),
}

/// Parses the command line and runs the command.
pub fn run() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Train(args) => train::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

/// Writes a result to standard output; a reader that has gone away is not an error.
fn print_result(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to standard output"))
        }
        _ => Ok(()),
    }
}

/// Paths are kept absolute, so that a run can be resumed from any directory.
fn absolute(path: &str) -> Result<String> {
    let problem = |error: String| Error::usage(format!("path `{path}`: {error}"));
    let absolute = std::path::absolute(path).map_err(|error| problem(error.to_string()))?;
    let absolute = absolute.into_os_string().into_string();
    absolute.map_err(|_| problem("expected UTF-8".to_owned()))
}

/// The same for what names data, unless it is the name of a data set.
fn absolute_data(data: &str) -> Result<String> {
    if data == TrainConfig::default().data { Ok(data.to_owned()) } else { absolute(data) }
}

/// Writes a remark to standard error, beside the results.
fn print_note(text: &str) {
    say(&format!("note: {text}"));
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
