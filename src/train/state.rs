//! The whole state of a run, between two steps.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::record::is_plausible_time;
use super::setting::Configuration as _;
use super::{EpochRecord, TrainConfig};
use crate::data::Dataset;
use crate::data::prepare::Prepare;
use crate::engine::{Broken, Buffer, MAX_THREADS, Score, State};
use crate::error::{Error, Result};
use crate::model::{Metadata, Model};

/// Everything that the rest of a run depends on, besides the data. A run that resumes from it, on the same data, machine and
/// build, is bit for bit the run that never stopped.
///
/// It holds no state of a random generator: an epoch's order is a function of the seed and the epoch's number.
/// [`crate::store::Checkpoint`] is its form in a file.
#[derive(Clone, Debug)]
pub struct TrainerState {
    /// The resolved settings of the run.
    pub(crate) config: TrainConfig,
    /// [`crate::data::Dataset::fingerprint`] of the data.
    pub(crate) data_fingerprint: String,
    /// The number of worker threads, whether it was asked for or not.
    pub(crate) threads: usize,
    /// Parameters, moments and the step count.
    pub(crate) optimizer: State,
    /// The finished epochs, in order.
    pub(crate) history: Vec<EpochRecord>,
    /// What is done of the epoch after them, if it has begun.
    pub(crate) partial: Option<PartialEpoch>,
    /// The parameters that are kept so far; those before the first step at first.
    pub(crate) best_params: Buffer,
    /// The epoch that they come from, from 1; 0 before the first.
    pub(crate) best_epoch: usize,
    /// Why the run is over before its last epoch, if it is. In a saved state, everything else is as it was when it was saved
    /// last before that.
    pub(crate) diverged: Option<Divergence>,
    /// What made inputs of the rows of a table; `None` for other data.
    pub(crate) prepare: Option<Arc<Prepare>>,
}

/// An epoch that is not finished.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartialEpoch {
    /// Of the samples that were trained on, which are the first ones of the epoch's order.
    pub score: Score,
    /// The time that the training took.
    pub seconds: f64,
}

impl PartialEpoch {
    /// What is done of an epoch, and the seconds that it took.
    pub fn new(score: Score, seconds: f64) -> Self {
        Self { score, seconds }
    }

    fn is_plausible(&self) -> bool {
        self.score.is_plausible() && is_plausible_time(self.seconds)
    }
}

/// The end of a run whose numbers stopped being finite.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// From 1.
    pub epoch: usize,
    /// The optimizer's step, counted from 1 over all epochs.
    pub step: u64,
    /// What it met.
    #[serde(flatten)]
    pub broken: Broken,
}

impl Divergence {
    /// The end of a run: in which epoch and step, both from 1, and what was not finite.
    pub fn new(epoch: usize, step: u64, broken: Broken) -> Self {
        Self { epoch, step, broken }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epoch, step, broken } = self;
        let remedy = match broken {
            Broken::Weights { .. } => {
                "a lower learning rate helps, or smaller inputs, between about -10 and 10"
            }
            _ => "a lower learning rate helps",
        };
        write!(f, "the training diverged in step {step} (epoch {epoch}): {broken}; {remedy}")
    }
}

/// More than any machine takes, and far from where their number overflows.
const MOST_STEPS: u64 = 1 << 53;

impl TrainerState {
    /// The resolved settings of the run.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }

    /// Replaces what a resumed run may change, which is the number of epochs.
    ///
    /// # Errors
    /// [`Error::Argument`] if another setting differs, or if the learning rate was planned for other epochs.
    pub fn reconfigure(&mut self, config: TrainConfig) -> Result<()> {
        for setting in TrainConfig::SETTINGS.iter().filter(|setting| !setting.resume) {
            if (setting.get)(&config) != (setting.get)(&self.config) {
                let (found, expected) = ((setting.text)(&config), (setting.text)(&self.config));
                return Err(Error::argument(setting.key, found, expected));
            }
        }
        if config.epochs != self.config.epochs && self.config.plans_epochs() {
            let expected = format!(
                "{}, for which the learning rate was planned; --init-from starts a new training on its model",
                self.config.epochs
            );
            return Err(Error::argument("epochs", config.epochs.to_string(), expected));
        }
        config.check()?;
        self.config = config;
        Ok(())
    }

    /// [`crate::data::Dataset::fingerprint`] of the data.
    pub fn data_fingerprint(&self) -> &str {
        &self.data_fingerprint
    }

    /// What made inputs of the rows of a table, and does so again when the run resumes; `None` for other data.
    pub fn prepare(&self) -> Option<&Arc<Prepare>> {
        self.prepare.as_ref()
    }

    /// The number of worker threads, with which a run resumes.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Parameters, moments and the step count.
    pub fn optimizer(&self) -> &State {
        &self.optimizer
    }

    /// The finished epochs, in order.
    pub fn history(&self) -> &[EpochRecord] {
        &self.history
    }

    /// The number of finished epochs.
    pub fn epoch(&self) -> usize {
        self.history.len()
    }

    /// The number of epochs that have begun: the finished ones, and one more if the state lies within an epoch.
    pub fn epochs_begun(&self) -> usize {
        self.history.len() + usize::from(self.partial.is_some())
    }

    /// What is done of the epoch after the finished ones, if it has begun.
    pub fn partial(&self) -> Option<PartialEpoch> {
        self.partial
    }

    /// The parameters that are kept so far; those before the first step at first.
    pub fn best_params(&self) -> &[f32] {
        &self.best_params
    }

    /// The epoch that they come from, from 1; 0 before the first.
    pub fn best_epoch(&self) -> usize {
        self.best_epoch
    }

    /// The model with the parameters that are kept, for the data that the run was trained on.
    ///
    /// # Errors
    /// If it is other data.
    pub fn best_model(&self, data: &Dataset) -> Result<Model> {
        self.require_data(data)?;
        let TrainConfig { split, split_seed, .. } = &self.config;
        let spec = self.config.spec(data.n_features(), data.n_outputs())?.undisturbed();
        let task = self.config.task(data, &self.config.parts(data)?)?;
        let metadata = Metadata::of(data, *split, *split_seed, self.data_fingerprint.clone());
        let metadata = metadata.with_task(&task);
        Model::new(spec, self.best_params.to_vec(), Some(metadata))
    }

    /// Rejects other data than the run was trained on.
    ///
    /// # Errors
    /// [`Error::Usage`] with both fingerprints.
    pub(crate) fn require_data(&self, data: &Dataset) -> Result<()> {
        if data.has_fingerprint(&self.data_fingerprint) {
            return Ok(());
        }
        Err(Error::usage(format!(
            "the run was trained on data with the fingerprint {}, {} has {}; expected the same",
            self.data_fingerprint,
            data.name(),
            data.fingerprint()
        )))
    }

    /// The figures of the epoch whose parameters are kept.
    pub fn best(&self) -> Option<&EpochRecord> {
        self.best_epoch.checked_sub(1).and_then(|best| self.history.get(best))
    }

    /// Why the run is over before its last epoch, if it is.
    pub fn diverged(&self) -> Option<Divergence> {
        self.diverged
    }

    /// Whether the run has come to its end: all epochs are done, patience has run out, or it has diverged.
    pub fn is_finished(&self) -> bool {
        let stale = self.epoch() - self.best_epoch;
        let no_patience = self.config.patience.is_some_and(|patience| stale >= patience);
        let between_epochs = self.partial.is_none();
        self.diverged.is_some()
            || (between_epochs && (self.epoch() >= self.config.epochs || no_patience))
    }

    /// Rejects what no run can have reached.
    ///
    /// # Errors
    /// What contradicts what.
    pub(crate) fn check(&self) -> Result<()> {
        let State { params, m, v, average, .. } = &self.optimizer;
        let averaged = if self.config.ema.is_some() { params.len() } else { 0 };
        if [m.len(), v.len(), self.best_params.len()] != [params.len(); 3]
            || average.len() != averaged
        {
            return Err(damaged("its vectors differ in length"));
        }
        let epochs = self.history.iter().map(|record| record.epoch);
        if !epochs.eq(1..=self.history.len()) || self.best_epoch > self.history.len() {
            return Err(damaged("its epochs are not consecutive"));
        }
        if self.history.is_empty() != (self.best_epoch == 0) {
            return Err(damaged("the epoch that it keeps is not among its epochs"));
        }
        if let Some(record) = self.history.iter().find(|record| !record.is_plausible()) {
            return Err(damaged(format!("the figures of epoch {} are out of range", record.epoch)));
        }
        if self.partial.is_some_and(|partial| !partial.is_plausible()) {
            return Err(damaged("the figures of the epoch that has begun are out of range"));
        }
        if !(1..=MAX_THREADS).contains(&self.threads) {
            return Err(damaged(format!("{} threads, expected 1 to {MAX_THREADS}", self.threads)));
        }
        let steps = self.optimizer.steps;
        if steps > MOST_STEPS {
            return Err(damaged(format!("{steps} steps, expected at most {MOST_STEPS}")));
        }
        let vectors = [params, m, v, average, &self.best_params];
        if vectors.into_iter().any(|vector| vector.iter().any(|x| !x.is_finite())) {
            return Err(damaged("it holds numbers that are not finite"));
        }
        Ok(())
    }
}

fn damaged(error: impl fmt::Display) -> Error {
    Error::invalid("checkpoint", format!("damaged or not a checkpoint: {error}"))
}
