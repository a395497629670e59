//! The flags of every command that takes a model file, and of those that compute with it.

use std::path::PathBuf;

use crate::engine::{Engine, EngineOptions, default_threads, require_memory};
use crate::error::Result;
use crate::gemm::{Backend, BackendChoice};
use crate::model::Model;
use crate::store::model_path;

use super::values::{self, Activations};
use super::{foreign, print_note};

/// Which model.
#[derive(Debug, clap::Args)]
pub struct ModelArgs {
    /// A model file (also a PyTorch state dict in safetensors), or the directory of a run, whose best model is taken; `latest` is the last run in runs/
    #[arg(value_name = "MODEL", value_hint = clap::ValueHint::AnyPath)]
    pub model: PathBuf,

    /// The activations of a model file that does not contain them
    #[arg(long, value_name = "A,A,...", value_parser = values::activations)]
    activations: Option<Activations>,
}

impl ModelArgs {
    /// Reads a model to compute with. Prints a note where its activations are a guess.
    pub fn load(&self) -> Result<Model> {
        let model = self.read()?;
        model.check_finite(&self.model.display().to_string())?;
        self.report_guess(&model);
        Ok(model)
    }

    /// Reads a model to look at. Prints a note where something is wrong with it.
    pub fn load_any(&self) -> Result<Model> {
        let model = self.read()?;
        if let Err(problem) = model.check_finite(&self.model.display().to_string()) {
            print_note(&problem.to_string());
        }
        self.report_guess(&model);
        Ok(model)
    }

    fn read(&self) -> Result<Model> {
        let activations = self.activations.as_ref().map_or(&[][..], |activations| &activations.0);
        Model::load(&self.path()?, activations)
    }

    /// The model file.
    pub fn path(&self) -> Result<PathBuf> {
        model_path(&self.model)
    }

    fn report_guess(&self, model: &Model) {
        let path = self.model.display().to_string();
        foreign::report_layers(&path, model, self.activations.is_some());
    }
}

/// What computes.
#[derive(Debug, clap::Args)]
pub struct EngineArgs {
    /// Worker threads [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// What computes the matrix products; auto is pure Rust on a CPU with AVX2, and OpenBLAS on others, if the build has it
    #[arg(long, value_parser = values::backend(), default_value = "auto")]
    backend: BackendChoice,
}

impl EngineArgs {
    /// The backend that was asked for.
    pub fn backend(&self) -> Result<Backend> {
        Backend::of(self.backend)
    }

    /// Worker threads.
    pub fn threads(&self, backend: Backend) -> usize {
        self.threads.unwrap_or_else(|| default_threads().min(backend.max_threads()))
    }

    /// An engine that computes a model's outputs for a number of samples, and does not train.
    pub fn engine(&self, model: &Model, backend: Backend, samples: usize) -> Result<Engine> {
        // the outputs, and a number for each sample
        let values = samples.saturating_mul(model.spec.n_out().saturating_add(1));
        let what = format!("the output of {samples} samples");
        require_memory(values, &what)?;
        Engine::of_model(model, self.options(backend))
    }

    /// The settings of an engine that does not train.
    pub fn options(&self, backend: Backend) -> EngineOptions {
        EngineOptions { backend, threads: self.threads(backend), ..EngineOptions::to_evaluate() }
    }
}
