//! `densely cv`.

use std::time::Instant;

use super::asked::Asked;
use super::flags::{FileArgs, OutputOptions, SettingFlags, TrainsFolds};
use super::folds_end;
use super::sweep_runs::{Command, checked};
use crate::error::{Error, Result};
use crate::store::SweepConfig;
use crate::train::{Grid, TrainConfig};

/// Estimate how well a network will do on new data, by cross-validation
///
/// The samples are divided into K folds, in each of which every class has its share. For each fold, a network is trained on the
/// other folds, a twelfth of which chooses the best epoch, and is tested on that fold: every sample is predicted once by a network
/// that has not seen it. Those predictions go into predictions.csv. A test file of the data is left alone. Stopped or killed,
/// the same command resumes it. `densely sweep --folds` compares several settings in the same way.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    settings: SettingFlags<TrainsFolds>,

    #[command(flatten)]
    file: FileArgs,
}

const EXAMPLES: &str = "\
Examples:
  densely cv houses.csv
  densely cv houses.csv --target price --folds 10 --hidden 256,128 --metric mae
  densely cv photos/ --epochs 30 --jobs 2 --json | tail -1";

/// Folds where no number of them is given.
const USUAL: usize = 5;

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let start = Instant::now();
    let asked = Asked::new(&args.settings, &args.file)?;
    let output: OutputOptions = asked.get()?;
    let command = Command {
        name: "cv",
        asked: &asked,
        config: config(&asked)?,
        output: output.clone(),
        print_config: args.file.print_config,
        flags: String::new(),
    };
    match command.train()? {
        Some(finished) => folds_end::finish(finished, &output, start),
        None => Ok(()),
    }
}

/// One configuration on several folds.
fn config(asked: &Asked) -> Result<SweepConfig> {
    let mut grid = Grid::new(TrainConfig::default());
    grid.folds.folds = Some(USUAL);
    let config = checked(SweepConfig { grid, ..SweepConfig::default() }, asked)?;
    let folds = config.grid.folds.folds.unwrap_or(1);
    match config.grid.runs(1, 1)?.len() / folds {
        1 => Ok(config),
        combinations => Err(Error::usage(format!(
            "{combinations} combinations of settings; expected one value of each: `densely sweep --folds {folds}` compares \
             several"
        ))),
    }
}
