//! `densely export`.

use std::path::{Path, PathBuf};

use crate::data::prepare::Input;
use crate::error::{Error, Result};
use crate::files;
use crate::model::onnx::{DEFAULT_OPSET, Port, ports, to_onnx};
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
    #[arg(long, value_name = "N", default_value_t = DEFAULT_OPSET, requires = "onnx")]
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

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let Output { onnx: onnx_file, npz, torch: directory } = &args.output;
    let files = match (onnx_file.as_ref().or(npz.as_ref()), directory) {
        (Some(file), _) => vec![file.clone()],
        (None, Some(directory)) => torch::FILES.map(|name| directory.join(name)).to_vec(),
        (None, None) => Vec::new(),
    };
    let source = args.model.path()?;
    files.iter().try_for_each(|file| require_target(file, &source))?;
    if let Some(directory) = directory {
        require_directory(directory)?;
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

/// Rejects a file that must not be replaced: the model itself, what is no file, and a module that densely did not write.
fn require_target(file: &Path, model: &Path) -> Result<()> {
    if file.as_os_str() == "-" {
        return Err(Error::usage(
            "`-` is not the name of a file; expected one, such as model.onnx",
        ));
    }
    files::require_replaceable(file)?;
    let same = |path: &Path| std::fs::canonicalize(path).ok();
    if same(file).is_some_and(|file| Some(file) == same(model)) {
        let problem = "it is the model that is exported; expected another file";
        return Err(Error::invalid_file(file, problem));
    }
    if file.file_name().is_some_and(|name| name == torch::FILES[1])
        && std::fs::read(file).is_ok_and(|found| !torch::is_module(&found))
    {
        let problem = "it is there, and densely did not write it; expected another directory";
        return Err(Error::invalid_file(file, problem));
    }
    Ok(())
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
