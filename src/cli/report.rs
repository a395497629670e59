//! `densely report`.

use std::path::{Path, PathBuf};

use densely::data::{self, Dataset};
use densely::report::{
    REPORT, RankedRuns, RunDir, Standing, SweepDir, ranked_runs, write_run_report,
    write_sweep_report,
};
use densely::train::{SweepRun, Trainer};
use densely::{Error, Result};

use super::settings::Settings;
use super::{print_note, print_result};

/// Make a page with pictures of a run, a sweep, or several runs
///
/// The page is one file that opens offline; every picture is beside it as SVG and PNG. The report of a run, and of a sweep, is
/// written into its own directory; several runs are compared side by side, and over their seeds.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directories of runs, or of one sweep
    #[arg(required = true, value_name = "DIR")]
    directories: Vec<PathBuf>,

    /// Where the report goes [default: the directory itself; of several, runs/compared-<hash>]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  densely report runs/20261122-101500-3f2a
  densely report runs/sweep-1b2c3d4e
  densely report runs/seed-0 runs/seed-1 runs/seed-2 --out runs/seeds";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let page = match &args.directories[..] {
        [one] if SweepDir::is_one(one) => {
            let directory = SweepDir::at(one);
            let grid = Settings::read_grid(&directory.grid_path())?.grid()?;
            let loaded = data::load(&grid.base.data)?;
            let runs = grid.runs(loaded.data.n_features(), loaded.data.n_classes())?;
            let mut ranked = directory.ranked_runs(&runs)?;
            directory.read_tests(&mut ranked.results, &runs);
            of_sweep(&directory, args.out.as_deref().unwrap_or(one), &loaded.data, &ranked)?
        }
        [one] => of_run(one, args.out.as_deref().unwrap_or(one))?,
        several => {
            let all = several.iter().map(|path| super::absolute(&path.to_string_lossy()));
            let all = all.collect::<Result<Vec<_>>>()?;
            let hash = xxhash_rust::xxh3::xxh3_64(all.join("\n").as_bytes()) as u32;
            let default = PathBuf::from("runs").join(format!("compared-{hash:08x}"));
            of_several(several, args.out.as_deref().unwrap_or(&default))?
        }
    };
    print_result(&format!("report: {}", page.display()))
}

/// The report of one run.
fn of_run(directory: &Path, out: &Path) -> Result<PathBuf> {
    let Standing { config, state } = RunDir::read(directory)?;
    let problem = "the run has no finished epoch; go on with it by `densely train --resume`";
    let state = state.ok_or_else(|| Error::invalid_file(directory, problem))?;
    let loaded = data::load(&config.data)?;
    loaded.notices.iter().for_each(|notice| print_note(notice));
    let mut trainer = Trainer::resume(state, &loaded.data)?;
    make(out)?;
    write_run_report(&mut trainer, directory, out)
}

/// The report of a sweep, and in its own directory that of the winner.
pub fn of_sweep(
    directory: &SweepDir,
    out: &Path,
    data: &Dataset,
    ranked: &RankedRuns,
) -> Result<PathBuf> {
    make(out)?;
    let canonical = |path: &Path| path.canonicalize().map_err(Error::io("find", path));
    let path = canonical(directory.path())?;
    let here = canonical(out)? == path;
    if let Some(winner) = ranked.results.first().filter(|winner| here && winner.is_ranked()) {
        let run = &ranked.runs[winner.number];
        if let Some(state) = directory.read_run(run)? {
            let run_path = directory.run_path(run);
            write_run_report(&mut Trainer::resume(state, data)?, &run_path, &run_path)?;
        }
    }
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    write_sweep_report(ranked, out, &name, |run: &SweepRun| {
        let report = Path::new(&run.name).join(REPORT);
        (here && path.join(&report).is_file()).then(|| report.display().to_string())
    })
}

/// Several runs side by side.
fn of_several(directories: &[PathBuf], out: &Path) -> Result<PathBuf> {
    if let Some(sweep) = directories.iter().find(|directory| SweepDir::is_one(directory)) {
        return Err(Error::usage(format!(
            "{} is a sweep: expected one sweep by itself, or directories of runs",
            sweep.display()
        )));
    }
    let runs = ranked_runs(directories)?;
    make(out)?;
    write_sweep_report(&runs, out, "runs compared", |_| None)
}

fn make(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).map_err(Error::io("create", directory))
}
