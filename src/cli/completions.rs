//! `densely completions`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, print_json};

/// Write a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  densely completions bash > ~/.local/share/bash-completion/completions/densely
  densely completions zsh > ~/.zfunc/_densely
  densely completions fish > ~/.config/fish/completions/densely.fish";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "densely", &mut script);
    print_json(String::from_utf8_lossy(&script).trim_end())
}
