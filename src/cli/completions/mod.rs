//! `densely completions`: the scripts for shells, and the answers to what the scripts ask.
//!
//! In bash, zsh and fish, the script is short and runs `densely completions SHELL -- WORDS` at every Tab. So it offers what lies on
//! the disk beside fixed words, and an installed script fits a later densely. The other shells get clap's script, which
//! knows commands and flags alone.

mod offers;

use std::ffi::OsString;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, print_raw};

/// Write a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The shell
    shell: Shell,

    /// Instead of a script, what the last of these words can become: one a line, with its help after a tab
    #[arg(last = true, hide = true)]
    words: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  densely completions bash > ~/.local/share/bash-completion/completions/densely
  densely completions zsh > ~/.zfunc/_densely    # a directory of $fpath, before compinit
  densely completions fish > ~/.config/fish/completions/densely.fish
  source <(densely completions bash)    # for this session alone; so in zsh";

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut command = Cli::command();
    if !args.words.is_empty() {
        let words: Vec<_> = args.words.iter().map(|word| word.to_string_lossy()).collect();
        let offers = offers::offers(&mut command, &words);
        return match offers.is_empty() {
            true => Ok(()),
            false => print_raw(&offers.join("\n")),
        };
    }
    let script = match args.shell {
        Shell::Bash => include_str!("script.bash").to_owned(),
        Shell::Zsh => include_str!("script.zsh").to_owned(),
        Shell::Fish => include_str!("script.fish").to_owned(),
        other => {
            let mut script = Vec::new();
            clap_complete::generate(other, &mut command, "densely", &mut script);
            String::from_utf8_lossy(&script).into_owned()
        }
    };
    print_raw(script.trim_end())
}
