//! `densely sweep`.

use std::time::Instant;

use super::asked::Asked;
use super::flags::{FileArgs, OutputOptions, SettingFlags, SweepOptions, TrainsSweep};
use super::folds_end;
use super::sweep_end::Ended;
use super::sweep_runs::{Command, Finished, checked};
use super::{print_next, print_raw, print_text};
use crate::data::SourceData;
use crate::error::{Error, Result};
use crate::report::{Stream, Text};
use crate::store::names::RESULTS_CSV;
use crate::store::{SweepConfig, SweepDir};
use crate::text::shell;
use crate::train::{RankedRuns, RunResult, SweepRun, Trainer};

/// Train every combination of settings and rank them
///
/// A setting may have several values, separated by a comma, or by a semicolon where one value may contain commas. Each run
/// has a directory of its own, as if `densely train` had made it. The ranking is by the metric on the validation part:
/// accuracy, or RMSE where the targets are numbers. Only the winner is measured on the test part, because a choice by that
/// part would make its figures worthless. With --folds, each combination is trained once for each fold, and the mean over the
/// folds ranks. Stopped or killed, the same command resumes it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    settings: SettingFlags<TrainsSweep>,

    #[command(flatten)]
    file: FileArgs,
}

const EXAMPLES: &str = "\
Examples:
  densely sweep --patience 10
  densely sweep --hidden '128,64,28;64,32' --activations relu --lr 0.01,0.001 --epochs 10
  densely sweep --hidden 256 --lr 0.003 --batch-size 100 --seed 0,1,2,3,4 --test-all
  densely sweep houses.csv --hidden '128,64;256' --lr 0.003,0.001 --folds 5
  densely sweep /usr/share/datasets/fashion-mnist --config sweep.toml --jobs 2";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let start = Instant::now();
    let asked = Asked::new(&args.settings, &args.file)?;
    let (output, options): (OutputOptions, SweepOptions) = (asked.get()?, asked.get()?);
    let config = checked(SweepConfig::default(), &asked)?;
    if options.test_all && config.grid.folds.folds.is_some() {
        let problem =
            "--test-all beside --folds, which test every run on its fold; expected one of them";
        return Err(Error::usage(problem).into());
    }
    let command = Command {
        name: "sweep",
        asked: &asked,
        config,
        output: output.clone(),
        print_config: args.file.print_config,
        flags: if options.test_all { " --test-all".to_owned() } else { String::new() },
    };
    let Some(mut finished) = command.train()? else { return Ok(()) };
    if finished.config.grid.folds.folds.is_some() {
        return folds_end::finish(finished, &output, start);
    }
    let tested = if options.test_all { finished.results.len() } else { 1 };
    for result in finished.results.iter_mut().take(tested).filter(|result| result.is_ranked()) {
        measure(result, &finished.directory, &finished.runs, &finished.source)?;
    }
    let Finished {
        config, source, runs, results, metric, directory, path, signals, printed, ..
    } = finished;
    directory.write_results(&results, &runs)?;
    let ended = Ended {
        metric,
        results: &results,
        runs: &runs,
        path: &path,
        seconds: start.elapsed().as_secs_f64(),
    };
    let mut printed = printed.and(match output.json {
        true => print_raw(&ended.json().to_string()),
        false => print_text(&ended.text(Stream::Out.width())),
    });
    let winner = ended.winner().map(|winner| directory.run_path(&runs[winner.number]));
    let (failures, has_winner, count) = (ended.failures(), winner.is_some(), runs.len());
    if !output.no_report && has_winner {
        signals.stop_before_report("sweep", &path)?;
        let ranked = RankedRuns::new(runs, results)?;
        let page = super::report::of_sweep(
            &directory,
            &path,
            &config.options.data,
            &source,
            &ranked,
            None,
        )?;
        if !output.json {
            printed = printed.and(print_text(&Text::from("report: ").path(&page)));
        }
    }
    if let Some(winner) = winner.filter(|_| !(output.quiet || output.json)) {
        let scores = match metric.is_regression() {
            true => "the winner: errors per target",
            false => "the winner: scores per class",
        };
        print_next(&[
            (format!("densely eval {}", shell(&winner)), scores),
            (format!("densely runs {}", shell(&path)), "all runs"),
        ]);
    }
    match (failures, has_winner) {
        (_, false) => {
            anyhow::bail!("none of the {count} runs has a result; {RESULTS_CSV} says why")
        }
        (Some(failures), true) => anyhow::bail!("{failures}"),
        (None, true) => printed,
    }
}

/// Measures the model that a run has kept on the test part.
fn measure(
    result: &mut RunResult,
    directory: &SweepDir,
    runs: &[SweepRun],
    source: &SourceData,
) -> Result<()> {
    let run = &runs[result.number];
    if let Some(state) = directory.read_run(run)?.state {
        let data = source.load(run.config.split, run.config.split_seed)?.0;
        result.measure(&mut Trainer::resume(state, &data)?);
    }
    Ok(())
}
