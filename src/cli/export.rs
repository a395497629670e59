//! `densely export`.

use std::path::{Path, PathBuf};

use crate::data::prepare::Input;
use crate::error::{Error, Result};
use crate::files;
use crate::model::onnx::{DEFAULT_OPSET, OPSETS, Port, ports, to_onnx};
use crate::model::{Model, torch};
use crate::report::grouped;
use crate::task::Task;
use crate::text::{first_ones, safe, safe_path};

use super::model_args::ModelArgs;
use super::{foreign, print_result};

/// Write a model for other tools
///
/// What the training learnt of a table is part of what is written: raw columns go in, probabilities and names of classes, or
/// numbers in the targets' units, come out.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    output: Output,

    /// The version of ONNX's operators: 13 to 21
    #[arg(long, value_name = "N", default_value_t = DEFAULT_OPSET, requires = "onnx", value_parser = opset)]
    opset: u32,
}

/// What is written: one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Output {
    /// An ONNX graph, for onnxruntime and others: an input `features`, or one for each column of a table with texts
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    onnx: Option<PathBuf>,

    /// An archive of NumPy's arrays
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    npz: Option<PathBuf>,

    /// A directory with the weights, and a Python file that builds the network as a module of PyTorch
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    torch: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  densely export latest --onnx model.onnx
  densely export runs/flats --onnx flats.onnx --opset 13
  densely export latest --npz model.npz
  densely export runs/flats --torch flats-torch";

/// Parses a version of the operators.
fn opset(text: &str) -> Result<u32, String> {
    let opset = text.parse().ok().filter(|opset| OPSETS.contains(opset));
    opset.ok_or_else(|| format!("expected {} to {}", OPSETS.start(), OPSETS.end()))
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let Output { onnx: onnx_file, npz, torch: directory } = &args.output;
    let source = args.model.path()?;
    if let Some(file) = onnx_file.as_ref().or(npz.as_ref()) {
        require_name(file, "a file")?;
        require_parent(file)?;
        require_target(file, &source)?;
    }
    if let Some(directory) = directory {
        require_name(directory, "a directory")?;
        require_directory(directory)?;
        let files = torch::FILES.map(|name| directory.join(name));
        files.iter().try_for_each(|file| require_target(file, &source))?;
        require_own_module(&files[1])?;
    }
    let model = args.model.load()?;
    if model.metadata().is_none() && directory.is_none() {
        foreign::report_export(&args.model.model.display().to_string(), &model);
    }
    // the parser asks for one of them
    if let Some(path) = onnx_file {
        print_result(&onnx(&model, path, args.opset)?)?;
    }
    if let Some(path) = npz {
        write(path, &model.to_npz()?, "arrays of NumPy")?;
    }
    if let Some(directory) = directory {
        let [weights, module] = model.to_torch().map_err(|error| match error {
            Error::Invalid { problem, .. } => Error::invalid_file(&source, problem),
            other => other,
        })?;
        std::fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
        let [first, second] = torch::FILES.map(|name| directory.join(name));
        write(&first, &weights, "the weights")?;
        write(&second, &module, "a module of PyTorch that reads them")?;
    }
    Ok(())
}

/// Rejects `-`, which is standard output in other commands.
fn require_name(path: &Path, what: &str) -> Result<()> {
    match path.as_os_str() == "-" {
        true => Err(Error::usage(format!(
            "`-`: export writes no standard output; expected the name of {what}"
        ))),
        false => Ok(()),
    }
}

/// Rejects a file in a directory that is not there.
fn require_parent(file: &Path) -> Result<()> {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.exists() => {
            let problem = format!(
                "there is no directory {}; create it first, or choose another file",
                parent.display()
            );
            Err(Error::invalid_file(file, problem))
        }
        _ => Ok(()),
    }
}

/// Rejects a file that must not be replaced: the model itself, and what is no file.
fn require_target(file: &Path, model: &Path) -> Result<()> {
    files::require_replaceable(file)?;
    let same = |path: &Path| std::fs::canonicalize(path).ok();
    if same(file).is_some_and(|file| Some(file) == same(model)) {
        let problem = "it is the model that is exported; expected another file";
        return Err(Error::invalid_file(file, problem));
    }
    Ok(())
}

/// Rejects a Python file that densely did not write.
fn require_own_module(file: &Path) -> Result<()> {
    match file.exists() && !std::fs::read(file).is_ok_and(|found| torch::is_module(&found)) {
        true => {
            let problem = "it is there, and densely did not write it; expected another directory";
            Err(Error::invalid_file(file, problem))
        }
        false => Ok(()),
    }
}

/// Rejects a path at which there is something else than a directory.
fn require_directory(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(found) if !found.is_dir() => {
            Err(Error::invalid_file(path, "it is a file; expected a directory"))
        }
        _ => Ok(()),
    }
}

/// Writes a file, and says what is in it.
fn write(path: &Path, bytes: &[u8], what: &str) -> anyhow::Result<()> {
    files::write_atomic(path, bytes)?;
    let size = grouped(bytes.len() as u64);
    print_result(&format!("{}: {what}, {size} bytes", safe_path(path)))
}

/// Writes an ONNX file; returns what is in it, in a few lines.
fn onnx(model: &Model, path: &Path, opset: u32) -> Result<String> {
    let (bytes, ports) = (to_onnx(model, opset)?, ports(model)?);
    files::write_atomic(path, &bytes)?;
    let size = grouped(bytes.len() as u64);
    let mut lines = vec![format!("{}: ONNX, opset {opset}, {size} bytes", safe_path(path))];
    lines.extend(listed("input", &ports.inputs));
    if let (Some(prepare), [_]) = (model.prepare(), &ports.inputs[..]) {
        lines.push(named("columns", prepare.inputs().iter().map(Input::column)));
    }
    lines.extend(listed("output", &ports.outputs));
    lines.push(match &model.task() {
        Task::Classification { classes } => named("classes", classes.iter().map(|name| &name[..])),
        Task::Regression(regression) => {
            named("targets", regression.targets.iter().map(|target| &target.name[..]))
        }
    });
    Ok(lines.join("\n"))
}

/// The names of what lies side by side in a tensor.
fn named<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> String {
    format!("  {what}: {}", first_ones(&names.map(safe).collect::<Vec<_>>()))
}

/// At most so many inputs are listed.
const LISTED: usize = 20;

/// A line for each input or output.
fn listed(what: &str, ports: &[Port]) -> Vec<String> {
    let mut lines: Vec<String> =
        ports.iter().take(LISTED).map(|port| format!("{what} {port}")).collect();
    if let Some(more @ 1..) = ports.len().checked_sub(LISTED) {
        lines.push(format!("and {more} more"));
    }
    lines
}
