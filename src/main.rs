//! The command line of densely.

mod cli;

use std::process::ExitCode;

use densely::Error;
use densely::gemm::Blas;
use densely::report::say;

fn main() -> ExitCode {
    if let Some(blas) = Blas::new() {
        // SAFETY: the program begins here; there is no other thread.
        #[allow(unsafe_code)]
        unsafe {
            blas.stop_idle_threads();
        }
    }
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(interrupted) = error.downcast_ref::<cli::Interrupted>() {
                return ExitCode::from(interrupted.exit_code()); // the command has said what happened
            }
            // densely's own errors say their causes; of others, the chain does
            match error.downcast_ref::<Error>() {
                Some(own) => say(&format!("error: {own}")),
                None => say(&format!("error: {error:#}")),
            }
            match error.downcast_ref() {
                Some(Error::Usage(_)) => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
