//! `densely report`.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use super::out_of_fold::OutOfFold;
use super::raw_outputs::RawOutputs;
use super::{load_again, print_text};
use crate::data::{Dataset, Part, Parts, SourceData};
use crate::engine::{Engine, EngineOptions};
use crate::error::{Error, Result};
use crate::gemm::Backend;
use crate::model::Model;
use crate::report::{
    Important, Measured, RunRecord, Samples, SweepRecord, Text, write_run_report,
    write_sweep_report,
};
use crate::store::names::REPORT;
use crate::store::{RunConfig, RunDir, SavedRun, SweepDir, last_trained, read_runs, run_path};
use crate::text::{self, shell};
use crate::train::{RankedRuns, SHUFFLES, SweepRun, TrainerState, importance};

/// Make a page with pictures of a run, a sweep, or several runs
///
/// The page is one file that opens offline; every picture is beside it as SVG and PNG. The report of a run, and of a sweep, is
/// written into its own directory; several runs are compared side by side, and over their seeds.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Directories of runs, or of one sweep; `latest` is the last run in runs/
    #[arg(required = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    directories: Vec<PathBuf>,

    /// Where the report goes [default: the directory itself; of several, runs/compared-<hash>]
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    out: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  densely report runs/20261122-101500-3f2a
  densely report runs/sweep-1b2c3d4e
  densely report runs/seed-0 runs/seed-1 runs/seed-2 --out runs/seeds";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let directories =
        args.directories.iter().map(|path| run_path(path)).collect::<Result<Vec<_>>>()?;
    let page = match &directories[..] {
        [one] if SweepDir::is_one(one) => {
            let (directory, config) = SweepDir::at(one)?;
            let first = config.grid.first()?;
            let source = config.options.source().open()?;
            let data = source.load(first.split, first.split_seed)?.0;
            let mut runs = config.grid.runs(data.n_features(), data.n_outputs())?;
            directory.keep_names(&mut runs);
            let ranked = directory.ranked_runs(&runs)?;
            let best = ranked.fold_scores().into_iter().next().filter(|best| best.is_complete());
            let out_of_fold = match best {
                None => None,
                Some(best) => OutOfFold::of(best.runs(&runs), &directory, &source)?,
            };
            let out = args.out.as_deref().unwrap_or(one);
            let name = &config.options.data;
            of_sweep(&directory, out, name, &source, &ranked, out_of_fold.as_ref())?
        }
        [one] => of_directory(one, args.out.as_deref().unwrap_or(one))?,
        several => {
            let all = several.iter().map(|path| super::absolute(&path.to_string_lossy()));
            let all = all.collect::<Result<Vec<_>>>()?;
            let hash = xxhash_rust::xxh3::xxh3_64(all.join("\n").as_bytes()) as u32;
            let default = PathBuf::from("runs").join(format!("compared-{hash:08x}"));
            of_several(several, args.out.as_deref().unwrap_or(&default))?
        }
    };
    print_text(&Text::from("report: ").path(&page))
}

/// The report of the run in a directory.
fn of_directory(directory: &Path, out: &Path) -> Result<PathBuf> {
    let SavedRun { config, state, .. } = RunDir::read(directory)?;
    let problem = "the run has no finished epoch; continue it with `densely train --resume`";
    let state = state.ok_or_else(|| Error::invalid_file(directory, problem))?;
    let data = load_again(&config.options, &config.train, state.prepare(), true)?;
    of_state(directory, out, &config, &state, &data)
}

/// The page of the sweep that a run is part of, relative to the directory of the run's report.
fn sweep_of(directory: &Path, out: &Path) -> Option<String> {
    url(out, &SweepDir::around(directory)?.join(REPORT))
}

/// A file as a link in a page that is in a directory.
fn url(directory: &Path, file: &Path) -> Option<String> {
    let directory = directory.canonicalize().ok()?;
    let file = file.parent()?.canonicalize().ok()?.join(file.file_name()?);
    let shared = directory.components().zip(file.components()).take_while(|(a, b)| a == b).count();
    let up = directory.components().skip(shared).map(|_| Component::ParentDir);
    let relative: PathBuf = up.chain(file.components().skip(shared)).collect();
    Some(text::url(&relative))
}

/// The report of a run whose state is at hand.
pub fn of_state(
    directory: &Path,
    out: &Path,
    config: &RunConfig,
    state: &TrainerState,
    data: &Dataset,
) -> Result<PathBuf> {
    let parts = config.train.parts(data)?;
    let model = state.best_model(data)?;
    let backend = Backend::of(config.train.backend)?;
    let measured = measure(&model, data, &parts, backend, state.threads())?;
    let importance = what_matters((&model, state), data, &parts, backend);
    make(out)?;
    let sweep = sweep_of(directory, out);
    let record = RunRecord {
        config,
        state,
        model: &model,
        data,
        parts: &parts,
        backend,
        measured,
        importance,
        run_dir: directory,
        trained: last_trained(directory),
        sweep: sweep.as_deref(),
    };
    write_run_report(&record, out)
}

/// What a model says of the test part, or of the validation part if there is no test part.
fn measure(
    model: &Model,
    data: &Dataset,
    parts: &Parts,
    backend: Backend,
    threads: usize,
) -> Result<Option<Measured>> {
    let part = match parts.measurable() {
        Part::Train => return Ok(None),
        part => part,
    };
    let (part, rows) = (part.name(), parts.rows(part, data.len()));
    let options = EngineOptions { backend, threads, ..EngineOptions::to_evaluate() };
    let mut engine = Engine::of_model(model, options)?;
    let score = engine.evaluate(model.params(), data, &rows);
    let outputs = RawOutputs::of(&mut engine, model, data, &rows);
    Ok(Some(outputs.measured(data, Samples { part, rows }, score)))
}

/// What matters to a model of a table by the run's metric, on the part that is measured or some of it; nothing where it would take longer than a page should.
fn what_matters(
    record: (&Model, &TrainerState),
    data: &Dataset,
    parts: &Parts,
    backend: Backend,
) -> Option<Important> {
    let (model, state) = record;
    let prepare = data.prepare().filter(|prepare| prepare.pca().is_none())?;
    let part = parts.measurable();
    let all = (part != Part::Train).then(|| parts.rows(part, data.len()))?;
    let passes = (prepare.inputs().len() * SHUFFLES) as f64;
    let most = IMPORTANCE_FLOPS / (passes * 2.0 * model.params().len() as f64);
    if most < all.len().min(FEWEST_ROWS) as f64 {
        return None;
    }
    // from all over the part, which may be sorted
    let stride = (all.len() as f64 / most).ceil().max(1.0) as usize;
    let rows: Vec<u32> = all.into_iter().step_by(stride).collect();
    let options =
        EngineOptions { backend, threads: state.threads(), ..EngineOptions::to_evaluate() };
    let mut engine = Engine::of_model(model, options).ok()?;
    let metric = state.config().metric_for(data.is_regression());
    let columns = importance(&mut engine, model, data, &rows, metric, SHUFFLES);
    // a page without it is better than none
    Some(Important { metric, samples: rows.len(), columns: columns.ok()? })
}

/// The most arithmetic that a page spends on it, half a second or so.
const IMPORTANCE_FLOPS: f64 = 3e10;

/// Fewer samples say nothing.
const FEWEST_ROWS: usize = 200;

/// The report of a sweep, and in its own directory that of the winner; of a cross-validation that of its predictions instead.
/// `name` is what the user calls the data.
pub fn of_sweep(
    directory: &SweepDir,
    out: &Path,
    name: &str,
    source: &SourceData,
    ranked: &RankedRuns,
    out_of_fold: Option<&OutOfFold>,
) -> Result<PathBuf> {
    make(out)?;
    let canonical = |path: &Path| path.canonicalize().map_err(Error::io("find", path));
    let path = canonical(directory.path())?;
    let here = canonical(out)? == path;
    let winner = ranked.results().first().filter(|winner| here && winner.is_ranked());
    let winner = winner.map(|winner| ranked.run_of(winner)).filter(|run| run.fold.is_none());
    if let Some(run) = winner
        && let SavedRun { config, state: Some(state), .. } = directory.read_run(run)?
    {
        let run_path = directory.run_path(run);
        let data = source.load(config.train.split, config.train.split_seed)?.0;
        of_state(&run_path, &run_path, &config, &state, &data)?;
    }
    let title = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let data = vec![name.to_owned(); ranked.runs().len()];
    let measured = out_of_fold.map(|out_of_fold| (out_of_fold.measured(), &*out_of_fold.data));
    let trained = |run: &SweepRun| last_trained(&directory.run_path(run));
    let record = SweepRecord {
        ranked,
        data: &data,
        title: &title,
        trained: ranked.runs().iter().map(trained).max().unwrap_or(SystemTime::UNIX_EPOCH),
        report: &format!("densely report {}/RUN", shell(directory.path())),
        out_of_fold: measured.as_ref().map(|(measured, data)| (measured, *data)),
    };
    write_sweep_report(&record, out, &|run: &SweepRun| report_of(&directory.run_path(run), out))
}

/// The report of a run as a link in a page that is in a directory, if there is one.
fn report_of(run: &Path, out: &Path) -> Option<String> {
    let report = run.join(REPORT);
    if report.is_file() { url(out, &report) } else { None }
}

/// Several runs side by side.
fn of_several(directories: &[PathBuf], out: &Path) -> Result<PathBuf> {
    if let Some(sweep) = directories.iter().find(|directory| SweepDir::is_one(directory)) {
        return Err(Error::usage(format!(
            "{} is a sweep or a cross-validation: expected one of them by itself, or directories of runs",
            sweep.display()
        )));
    }
    let mut seen = HashSet::new();
    let is_again = |path: &&PathBuf| path.canonicalize().is_ok_and(|path| !seen.insert(path));
    if let Some(again) = directories.iter().find(is_again) {
        let again = again.display();
        return Err(Error::usage(format!("{again} is named twice; expected different runs")));
    }
    let (ranked, data) = read_runs(directories)?;
    make(out)?;
    let trained = directories.iter().map(|directory| last_trained(directory)).max();
    let record = SweepRecord {
        ranked: &ranked,
        data: &data,
        title: "runs compared",
        trained: trained.unwrap_or(SystemTime::UNIX_EPOCH),
        report: "densely report RUN",
        out_of_fold: None,
    };
    write_sweep_report(&record, out, &|run: &SweepRun| report_of(Path::new(&run.name), out))
}

fn make(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).map_err(Error::io("create", directory))
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::store::RunOptions;
    use crate::task::{Choice, Metric};
    use crate::train::{TrainConfig, Trainer};

    /// 300 samples of three features, which are easy to learn from; targets of about 20,000 and of about 1.
    fn features() -> Array2<f32> {
        Array2::from_shape_fn((300, 3), |(i, j)| ((i * (7 + 5 * j)) % 199) as f32 / 99.0 - 1.0)
    }

    fn numbers(targets: usize) -> Dataset {
        let x = features();
        let y = Array2::from_shape_fn((300, targets), |(i, t)| match t {
            0 => 20_000.0 + 9000.0 * x[(i, 0)] - 4000.0 * x[(i, 1)] * x[(i, 2)],
            _ => 1.0 + x[(i, 1)] + t as f32,
        });
        Dataset::from_targets(x.view(), y.view()).unwrap()
    }

    fn classes(n: u32) -> Dataset {
        let x = features();
        let class = |i: usize| ((x[(i, 0)] + 1.0) / 2.01 * n as f32) as u32;
        let labels: Vec<u32> = (0..300).map(class).collect();
        Dataset::from_arrays(x.view(), &labels).unwrap()
    }

    /// The page of a short run, made as the command makes it.
    fn page(data: &Dataset, metric: Metric) -> String {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run");
        let config = TrainConfig::default().with(|config| {
            (config.hidden, config.batch_size, config.epochs) = (vec![16], 20, 6);
            (config.threads, config.lr, config.metric) = (Some(1), 0.01, Choice::Of(metric));
        });
        let mut trainer = Trainer::new(config, data).unwrap();
        let mut run_dir = RunDir::create(&path, RunOptions::default()).unwrap();
        trainer.run(&mut run_dir).unwrap();
        let config = run_dir.config(&trainer);
        let page = of_state(&path, &path, &config, trainer.state(), data).unwrap();
        let page = std::fs::read_to_string(page).unwrap();
        assert!(!page.contains("NaN"));
        page
    }

    #[test]
    fn the_page_of_a_regression_speaks_of_its_errors() {
        for (targets, metric) in [(1, Metric::Rmse), (3, Metric::R2), (8, Metric::Mae)] {
            let page = page(&numbers(targets), metric);
            for part in [
                "test RMSE</span>",
                "test MAE</span>",
                "test R2</span>",
                "RMSE, logarithmic",
                "Predictions against the truth",
                "The worst predictions",
                "linear</p>",
                "errors of target",
            ] {
                assert!(page.contains(part), "{targets} targets: {part}");
            }
            assert!(!page.contains("ccuracy") && !page.contains("softmax"), "{targets} targets");
            let score = page.split("test RMSE</span>").next().unwrap();
            let score = score.rsplit("<b>").next().unwrap().split('<').next().unwrap();
            assert!(score.parse::<f64>().unwrap() < 20_000.0, "in the target's units: {score}");
            // wide and narrow, a panel for truth and one for errors, of at most six targets
            assert_eq!(page.matches("h.01").count(), 2 * 2 * targets.min(6) * 30, "{targets}");
        }
    }

    #[test]
    fn the_page_of_classes_has_curves_and_calibration() {
        for (n, metric) in [(2, Metric::Auc), (3, Metric::Accuracy), (12, Metric::MacroF1)] {
            let page = page(&classes(n), metric);
            for part in
                ["ROC curves", "Calibration", "expected calibration error", "test AUC</span>"]
            {
                assert!(page.contains(part), "{n} classes: {part}");
            }
            assert_eq!(page.contains("macro AUC"), n > 2);
            assert_eq!(page.contains("Macro F1</text>"), metric == Metric::MacroF1);
        }
    }
}
