//! The flags that `train` and `sweep` share.

use densely::data::Split;
use densely::gemm::BackendChoice;
use densely::train::CheckpointEvery;

use super::settings::Settings;
use super::values;

pub const NETWORK: &str = "Network";
pub const OPTIMIZER: &str = "Optimizer (Adam)";
pub const RUN: &str = "Run";
pub const MACHINE: &str = "Machine";
pub const OUTPUT: &str = "Output";

/// Settings that have one value.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// `mnist`, or a directory of IDX files (raw or .gz) [default: mnist]
    data: Option<String>,

    /// Decay of Adam's first moment [default: 0.9]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = OPTIMIZER)]
    beta1: Option<f64>,

    /// Decay of Adam's second moment [default: 0.999]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = OPTIMIZER)]
    beta2: Option<f64>,

    /// Added to the root of Adam's second moment [default: 1e-8]
    #[arg(long, value_name = "X", allow_negative_numbers = true, help_heading = OPTIMIZER)]
    eps: Option<f64>,

    /// Stop after N epochs without a better one [default: never]
    #[arg(long, value_name = "N", value_parser = values::count(), help_heading = RUN)]
    patience: Option<u64>,

    /// Training, validation and test parts: `pooled` (50:5:15 of all), `canonical` (the official test images),
    /// N,N,N samples, or F,F,F fractions [default: pooled]
    #[arg(long, value_name = "SPLIT", help_heading = RUN)]
    split: Option<Split>,

    /// Whether each epoch sees the samples in a new order [default: on]
    #[arg(long, value_name = "on|off", value_parser = values::on_off(), help_heading = RUN)]
    shuffle: Option<bool>,

    /// Who computes the matrix products [default: auto]
    #[arg(long, value_parser = values::backend(), help_heading = MACHINE)]
    backend: Option<BackendChoice>,

    /// Make the result independent of the number of threads, at some cost in speed
    #[arg(long, help_heading = MACHINE)]
    deterministic: bool,

    /// Save the state within epochs too: each 30s, 10m or 2h, or each so many `N steps` [default: behind epochs, at most
    /// once a second]
    #[arg(long, value_name = "TIME|N steps", help_heading = OUTPUT)]
    checkpoint_every: Option<CheckpointEvery>,

    /// Write no report at the end
    #[arg(long, help_heading = OUTPUT)]
    no_report: bool,

    /// Write one JSON object a line to standard output
    #[arg(long, help_heading = OUTPUT)]
    json: bool,

    /// Show no progress, only the result
    #[arg(long, short, help_heading = OUTPUT)]
    quiet: bool,
}

impl RunArgs {
    /// Puts the flags that were given over what a file says.
    pub fn apply(&self, settings: &mut Settings) {
        let name = |choice: BackendChoice| match choice {
            BackendChoice::Auto => "auto",
            BackendChoice::Blas => "blas",
            BackendChoice::Rust => "rust",
        };
        settings.set("data", self.data.clone());
        settings.set("beta1", self.beta1);
        settings.set("beta2", self.beta2);
        settings.set("eps", self.eps);
        settings.set("patience", self.patience.map(integer));
        settings.set("split", self.split.map(String::from));
        settings.set("shuffle", self.shuffle);
        settings.set("backend", self.backend.map(name));
        settings.set("deterministic", self.deterministic.then_some(true));
        settings.set("checkpoint_every", self.checkpoint_every.map(|every| every.to_string()));
        settings.set("no_report", self.no_report.then_some(true));
        settings.set("json", self.json.then_some(true));
        settings.set("quiet", self.quiet.then_some(true));
    }
}

/// As a configuration file holds it; [`values::count`] keeps it in range.
pub fn integer(n: u64) -> i64 {
    n as i64
}
