//! The flags of every command that takes a model file, and of those that compute with it.

use std::path::PathBuf;

use densely::Result;
use densely::engine::{Engine, EngineOptions, default_threads};
use densely::gemm::{Backend, BackendChoice};
use densely::model::Model;

use super::values::{self, Activations};

/// Which model.
#[derive(Debug, clap::Args)]
pub struct ModelArgs {
    /// A model file, such as best.safetensors
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// The activations of a model file that does not say them
    #[arg(long, value_name = "A,A,...", value_parser = values::activations)]
    activations: Option<Activations>,
}

impl ModelArgs {
    /// Reads the model.
    pub fn load(&self) -> Result<Model> {
        let activations = self.activations.as_ref().map_or(&[][..], |activations| &activations.0);
        Model::load(&self.model, activations)
    }
}

/// What computes.
#[derive(Debug, clap::Args)]
pub struct EngineArgs {
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// Who computes the matrix products
    #[arg(long, value_parser = values::backend(), default_value = "auto")]
    backend: BackendChoice,
}

impl EngineArgs {
    /// The backend that was asked for.
    pub fn backend(&self) -> Result<Backend> {
        Backend::of(self.backend)
    }

    /// An engine that evaluates a model; it is not made for training.
    pub fn engine(&self, model: &Model) -> Result<Engine> {
        let options = EngineOptions {
            backend: self.backend()?,
            threads: self.threads.unwrap_or_else(default_threads),
            batch_size: 1,
        };
        Engine::new(&model.spec, options)
    }
}
