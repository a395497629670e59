//! `densely export`.

use std::path::{Path, PathBuf};

use super::model_args::ModelArgs;
use super::print_text;
use crate::error::{Error, Result};
use crate::files;
use crate::model::{Model, torch};
use crate::report::Text;

/// Write a model for other programs
///
/// What makes inputs of a table's columns, and what the outputs mean, goes with it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Output {
    /// An archive of NumPy's arrays
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    npz: Option<PathBuf>,

    /// A directory with the weights and a Python file that builds the network as a module of PyTorch
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    torch: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  densely export latest --npz model.npz
  densely export runs/fashion --torch fashion";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let model = args.model.load()?;
    if let Some(path) = &args.output.npz {
        write(path, &model.to_npz()?)?;
    }
    if let Some(path) = &args.output.torch {
        to_torch(&model, path)?;
    }
    Ok(())
}

/// Writes a file, and says so.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    files::write_atomic(path, bytes)?;
    print_text(&Text::from("wrote ").path(path))
}

fn to_torch(model: &Model, directory: &Path) -> anyhow::Result<()> {
    let contents = model.to_torch()?;
    create(directory)?;
    let paths = torch::FILES.map(|name| directory.join(name));
    paths.iter().zip(contents).try_for_each(|(path, bytes)| write(path, &bytes))
}

fn create(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory).map_err(Error::io("create", directory))
}
