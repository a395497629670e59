//! The engine of one network: its threads, its buffers, and the jobs that they run.

use std::ops::ControlFlow;

use super::augmenting::WorkerAugmenter;
use super::chunk_counter::ChunkCounter;
use super::context::{Context, Params, Recipe};
use super::halt::Halt;
use super::optimizer::Vectors;
use super::packed::PackedNetwork;
use super::partition::Partition;
use super::shared::Shared;
use super::step::{self, Pass, Report};
use super::workers::{Member, Workers};
use super::workspace::Workspace;
use super::{Broken, Buffer, EngineOptions, Phases, Score, Steps, Trained, update};
use crate::data::{Augment, Dataset, ImageShape};
use crate::error::{Error, Result};
use crate::gemm::Backend;
use crate::isa::Isa;
use crate::model::{Layout, Norm, Spec, Tensor};
use crate::task::{Loss, TargetScale};

/// What a pass changes, of one network: flat vectors, and how many steps were taken before.
pub struct Changed<'a> {
    pub params: &'a mut [f32],
    pub m: &'a mut [f32],
    pub v: &'a mut [f32],
    /// Empty if there is none.
    pub average: &'a mut [f32],
    pub steps: u64,
}

impl Changed<'_> {
    /// Panics unless the vectors have this length; the average may be empty.
    pub fn require_len(&self, len: usize) {
        let Self { params, m, v, average, .. } = self;
        assert!(
            params.len() == len && m.len() == len && v.len() == len,
            "train: params, m and v have {}, {} and {} values; expected {len} each",
            params.len(),
            m.len(),
            v.len()
        );
        assert!(
            average.is_empty() || average.len() == len,
            "train: the average has {} values; expected {len}",
            average.len()
        );
    }
}

/// The threads and buffers that train and evaluate one network, alone or as a member of an ensemble. [`super::Engine`] says what its methods do.
#[derive(Debug)]
pub struct NetworkEngine {
    pub(super) spec: Spec,
    pub(super) loss: Loss,
    /// As they were given.
    options: EngineOptions,
    /// One for each output of a regression; empty for classes.
    pub(super) scales: Vec<TargetScale>,
    pub(super) layout: Layout,
    backend: Backend,
    pub(super) isa: Isa,
    workers: Workers,
    workspace: Workspace,
    /// With the Rust backend, what a step works on.
    pub(super) packed: Option<PackedNetwork>,
    /// The samples of a pass in another order.
    sorted: Vec<u32>,
    /// Per worker, if images are augmented in training.
    augmenters: Vec<WorkerAugmenter>,
    /// The parameters of an evaluation, into whose weights batch norm and the factors of inputs are multiplied, if there are some.
    pub(super) folded: Option<Buffer>,
}

impl NetworkEngine {
    /// Starts the threads and allocates everything.
    pub fn new(spec: &Spec, options: EngineOptions, isa: Isa) -> Result<Self> {
        let EngineOptions { backend, threads, batch_size, deterministic, loss, frozen, .. } =
            options;
        options.check_recipe()?;
        options.check_threads()?;
        let hidden = spec.layers().len() - 1;
        if frozen > hidden {
            return Err(Error::usage(format!(
                "{frozen} frozen layers: expected at most {hidden}, the hidden ones; the output layer learns"
            )));
        }
        let mut layout = Layout::new(spec)?;
        layout.freeze(frozen);
        let partition = Partition { workers: threads, fixed: deterministic };
        // the workers first: OpenBLAS maps its buffers when they prepare
        let workers = Workers::new(threads, move || backend.prepare_thread())?;
        let packed = match backend {
            Backend::Rust => {
                let averages = options.averaging.is_some();
                Some(PackedNetwork::new(
                    spec, &layout, batch_size, frozen, averages, partition, isa,
                )?)
            }
            Backend::Blas(_) => None,
        };
        let folded = match spec.folds() {
            true => Some(Buffer::zeros(layout.len(), "the network to evaluate")?),
            false => None,
        };
        let mut workspace = Workspace::new(spec, &layout, batch_size, packed.is_some(), partition)?;
        if options.clip_norm.is_some() && batch_size > 0 {
            let (len, parts) = match &packed {
                Some(packed) => (packed.params_len(), packed.squares_len()),
                None => (layout.len(), update::squares_before(&layout, layout.layers().len())),
            };
            let scales = layout.input_scales().map_or(0, |scales| scales.range.len());
            workspace = workspace.with_gradient(len + scales, parts + scales)?;
        }
        let outputs = if loss.is_regression() { 0..spec.n_out() } else { 0..0 };
        let scales = outputs.map(|output| TargetScale::unscaled(output.to_string())).collect();
        Ok(Self {
            spec: spec.clone(),
            loss,
            options,
            scales,
            layout,
            backend,
            isa,
            workers,
            workspace,
            packed,
            sorted: Vec::new(),
            folded,
            augmenters: Vec::new(),
        })
    }

    /// The scales of targets.
    pub fn set_targets(&mut self, targets: Vec<TargetScale>) -> Result<()> {
        if targets.len() != self.scales.len() {
            return Err(Error::argument(
                "targets",
                format!("{} of them", targets.len()),
                format!("{}, for the loss {}", self.scales.len(), self.loss),
            ));
        }
        self.scales = targets;
        Ok(())
    }

    /// Lets steps augment images.
    pub fn augment(&mut self, augment: Augment, shape: ImageShape) -> Result<()> {
        if shape.n_values() != self.spec.n_in() {
            let (found, n_in) = (shape.n_values(), self.spec.n_in());
            let found = format!("{augment} of images of {found} values");
            return Err(Error::argument("augment", found, format!("{n_in} values")));
        }
        let workers = 0..self.workspace.offsets.partition.workers;
        self.augmenters = workers.map(|_| WorkerAugmenter::new(augment, shape)).collect();
        Ok(())
    }

    /// How the tensors learn: as those that are given, which are the same tensors in the same order.
    pub fn set_tensors(&mut self, tensors: &[Tensor]) -> Result<()> {
        self.become_member(self.options.seed, tensors);
        let least = self.options.frozen;
        let frozen = self.layout.frozen_layers();
        if frozen < least || frozen == self.layout.layers().len() {
            let expected = format!("{least} to {}", self.layout.layers().len() - 1);
            return Err(Error::argument("frozen layers", frozen.to_string(), expected));
        }
        Ok(())
    }

    /// Becomes the engine of another member of an ensemble.
    pub fn become_member(&mut self, seed: u64, tensors: &[Tensor]) {
        self.options.seed = seed;
        let mut differs = false;
        for (own, tensor) in self.layout.tensors_mut().iter_mut().zip(tensors) {
            differs |= own.trained != tensor.trained;
            (own.trained, own.rate, own.decay) = (tensor.trained, tensor.rate, tensor.decay);
        }
        if differs {
            // steps write those of tensors that are trained alone, and add up all
            self.workspace.squares.fill(0.0);
        }
    }

    /// What the last pass spent in each phase, on each worker.
    pub fn worker_phases(&self) -> impl Iterator<Item = Phases> {
        self.workspace.worker_states.iter().map(|state| state.phases)
    }

    /// A pass over training samples. The caller counts the steps.
    pub fn train(
        &mut self,
        state: Changed<'_>,
        steps: &dyn Steps,
        data: &Dataset,
        order: &[u32],
        batch_size: usize,
        mut on_step: impl FnMut(Score) -> ControlFlow<()>,
    ) -> Trained {
        let offsets = &self.workspace.offsets;
        assert!(offsets.batch > 0, "train: the engine was made to evaluate; expected a batch size");
        assert!(
            (1..=offsets.batch).contains(&batch_size),
            "train: batch size {batch_size}; expected 1 to {}",
            offsets.batch
        );
        self.require_fit(data);
        self.require_truth(data);
        let largest = batch_size.min(order.len());
        if self.packed.is_none() && offsets.partition.looks_for_zero_columns(largest) {
            data.occupancy(); // computed here, not in the first step
        }
        state.require_len(self.layout.len());
        let Changed { params, m, v, average, steps: taken_steps } = state;
        let len = self.layout.len();
        let averaged = if self.options.averaging.is_some() { len } else { 0 };
        assert_eq!(average.len(), averaged, "train: the state's average has another length");
        let mut sorted = std::mem::take(&mut self.sorted);
        let mut taken = order;
        if let Some(packed) = &mut self.packed {
            if packed.sort(&mut sorted, data, order, batch_size) {
                taken = &sorted;
            }
            packed.begin(data, &taken[..largest]);
        }
        let pass = Pass {
            order: taken,
            batch_size,
            steps,
            first_step: taken_steps + 1,
            vectors: Vectors {
                params: Shared::new(params),
                m: Shared::new(m),
                v: Shared::new(v),
                average: Shared::new(average),
            },
        };
        let halt = Halt::default();
        let mut trained = Trained { score: Score::default(), steps: 0, broken: None };
        self.run(
            Params::Trained(pass.vectors.params),
            data,
            &halt,
            |context, member, report| step::train(context, member, &pass, report),
            &mut |score| {
                trained.score += score;
                trained.steps += 1;
                if !score.loss_sum.is_finite() || on_step(score).is_break() {
                    halt.request();
                }
            },
        );
        self.sorted = sorted;
        let last = order.chunks(batch_size).nth((trained.steps as usize).saturating_sub(1));
        trained.broken = match trained.score.loss_sum.is_finite() {
            true => halt.broken_weights().map(|layer| Broken::Weights { layer }),
            false => Some(self.broken_outputs(last.map_or(0, <[u32]>::len))),
        };
        trained
    }

    /// The first layer whose outputs are not finite, after a batch whose loss was not. Data sets hold only finite numbers.
    fn broken_outputs(&self, rows: usize) -> Broken {
        if let Some(packed) = &self.packed {
            return Broken::Outputs { layer: packed.broken_outputs(rows) };
        }
        let (arena, layers) = (&self.workspace.arena, self.layout.layers());
        let above = self.workspace.offsets.layers.iter().zip(layers).skip(1);
        let mut outputs =
            above.map(|(offsets, layer)| &arena[offsets.input.clone()][..rows * layer.n_in]);
        let hidden = outputs.position(|outputs| outputs.iter().any(|x| !x.is_finite()));
        Broken::Outputs { layer: hidden.unwrap_or(layers.len() - 1) }
    }

    /// Makes the running statistics of batch norms the means over batches of these rows, of which the last is left out if it is smaller.
    pub fn average_statistics(
        &mut self,
        params: &mut [f32],
        data: &Dataset,
        rows: &[u32],
        batch_size: usize,
    ) {
        let batch = self.workspace.offsets.batch;
        assert!(
            (1..=batch).contains(&batch_size),
            "statistics: batch size {batch_size}; expected 1 to {batch}"
        );
        let size = batch_size.min(rows.len());
        if size == 0 || self.spec.norm() != Norm::Batch {
            return;
        }
        self.require_fit(data);
        assert_eq!(params.len(), self.layout.len(), "params do not have the layout's length");
        if let Some(packed) = &mut self.packed {
            packed.begin(data, &rows[..size]);
        }
        let batches = rows[..rows.len() / size * size].chunks(size);
        let params = Shared::new(params);
        self.run(
            Params::Trained(params),
            data,
            &Halt::default(),
            |context, member, _| step::average_statistics(context, member, params, batches.clone()),
            &mut |_| (),
        );
    }

    /// The gradient over one batch, into a vector as long as the parameters.
    pub fn gradient(
        &mut self,
        grads: &mut [f32],
        params: &[f32],
        data: &Dataset,
        rows: &[u32],
    ) -> Score {
        let (batch, found) = (self.workspace.offsets.batch, rows.len());
        assert!((1..=batch).contains(&found), "gradient: {found} rows; expected 1 to {batch}");
        self.require_fit(data);
        self.require_truth(data);
        if let Some(packed) = &mut self.packed {
            packed.begin(data, rows);
        }
        let mut total = Score::default();
        let shared = Shared::new(grads);
        self.run(
            Params::Fixed(params),
            data,
            &Halt::default(),
            |context, member, report| step::gradient(context, member, rows, shared, report),
            &mut |score| total = score,
        );
        total
    }

    /// Panics unless `data` has what the loss compares the outputs with.
    pub(super) fn require_truth(&self, data: &Dataset) {
        assert!(data.has_labels(), "the data has no labels to compare outputs with");
        let (n_out, loss) = (self.spec.n_out(), self.loss);
        if loss.is_regression() {
            let found = data.target_names().len();
            assert_eq!(found, n_out, "the data has {found} targets, the network {n_out} outputs");
        } else {
            assert!(!data.is_regression(), "the data has targets, the loss {loss} needs classes");
        }
    }

    /// Panics unless `data` has the inputs of the network, and no more classes than it has outputs.
    pub(super) fn require_fit(&self, data: &Dataset) {
        let (features, classes) = (data.n_features(), data.n_classes());
        assert_eq!(features, self.spec.n_in(), "the data's features are not the network's inputs");
        let n_out = self.spec.n_out();
        assert!(classes <= n_out, "the data has {classes} classes, the network {n_out} outputs");
    }

    /// Runs a job on all workers; only worker 0, the calling thread, receives `report`.
    pub(super) fn run(
        &mut self,
        params: Params<'_>,
        data: &Dataset,
        halt: &Halt,
        job: impl Fn(&Context<'_>, &Member<'_>, Report<'_>) + Sync,
        report: &mut dyn FnMut(Score),
    ) {
        let Self { spec, loss, scales, layout, backend, isa, workers, workspace, .. } = self;
        let recipe = Recipe {
            seed: self.options.seed,
            label_smoothing: self.options.label_smoothing as f32,
            averaging: self.options.averaging,
            clip_norm: self.options.clip_norm,
            grads: Shared::new(&mut workspace.grads),
            squares: Shared::new(&mut workspace.squares),
        };
        let packed = self.packed.as_mut().map(PackedNetwork::share);
        let context = Context {
            spec,
            loss: *loss,
            frozen: layout.frozen_layers(),
            scales,
            layout,
            backend: *backend,
            isa: *isa,
            offsets: &workspace.offsets,
            data,
            arena: Shared::new(&mut workspace.arena),
            worker_states: Shared::new(&mut workspace.worker_states),
            scores: Shared::new(&mut workspace.scores),
            augmenters: Shared::new(&mut self.augmenters),
            chunk_counter: &ChunkCounter::default(),
            halt,
            params,
            recipe,
            packed: packed.as_ref(),
        };
        backend.prepare_thread(); // this thread may not be the one that created the engine
        workers.run(|member| job(&context, member, Some(report)), &|member| {
            job(&context, member, None)
        });
    }
}
