//! The command line of densely; everything it does is in `densely::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    densely::cli::main()
}
