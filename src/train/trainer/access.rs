//! What a trainer shows of itself.

use super::Trainer;
use crate::data::{Dataset, Parts};
use crate::gemm::Backend;
use crate::model::{Layout, Model, Spec};
use crate::task::{Metric, Task};
use crate::train::{TrainConfig, TrainerState};

impl Trainer<'_> {
    /// The state between two steps.
    pub fn state(&self) -> &TrainerState {
        &self.state
    }

    /// The number of worker threads.
    pub fn threads(&self) -> usize {
        self.state.threads
    }

    /// The whole state of the run; the workers end, and their memory is free.
    pub fn into_state(self) -> TrainerState {
        self.state
    }

    /// The resolved settings: activations and backend are those that run.
    pub fn config(&self) -> &TrainConfig {
        &self.state.config
    }

    /// The data set.
    pub fn data(&self) -> &Dataset {
        self.data
    }

    /// The rows of the training, validation and test parts.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// What the outputs mean: the loss, and how targets are standardised.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// What chooses the best epoch.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// The network.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The number of values that the network learns, in frozen layers too.
    pub fn parameters(&self) -> usize {
        Layout::new(&self.spec).map_or(0, |layout| layout.parameters())
    }

    /// What computes the matrix products.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// The model with the weights that are kept: of the best epoch, or the last one without a validation part.
    pub fn best_model(&self) -> Model {
        self.model(&self.state.best_params)
    }

    /// The model with the weights of the last epoch, or with their moving average if there is one.
    pub fn last_model(&self) -> Model {
        self.model(self.state.optimizer.weights())
    }

    /// Everything of a model except its parameters.
    pub(crate) fn model_without_params(&self) -> Model {
        self.model(&[])
    }

    fn model(&self, params: &[f32]) -> Model {
        let metadata = Some(self.metadata.clone());
        Model {
            spec: self.spec.clone().undisturbed(),
            params: params.to_vec(),
            metadata,
            layer_names: Vec::new(),
        }
    }
}
