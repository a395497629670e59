//! Every buffer that a step or an evaluation writes: one allocation, one offset table.

use std::ops::Range;

use super::buffer::Buffer;
use super::clock::Phases;
use super::kernels::columns::Columns;
use super::partition::Partition;
use super::score::Score;
use crate::error::{Error, Result};
use crate::model::{LayerSpec, Layout, Norm, Spec};

/// Samples per chunk of an evaluation: enough of them for an efficient matrix product, few enough for the second-level cache
/// (256 x 784 values take 784 KiB).
pub const EVALUATION_ROWS: usize = 256;

/// A weight gradient is computed and applied in blocks of at most this many values, 512 KiB: the gradient is still in the
/// cache when Adam reads it, and the product is wide enough to repay the packing of its operands.
const GRADIENT_BLOCK: usize = 1 << 17;

/// The ranges of a layer's buffers in the arena; all are row-major (batch, n).
#[derive(Clone, Debug)]
pub struct LayerOffsets {
    /// What enters the layer: the gathered batch, or the activations of the layer below. (batch, n_in)
    pub input: Range<usize>,
    /// `f'(z)` of this layer if its activation keeps it, else empty. (batch, n_out)
    pub slope: Range<usize>,
    /// The gradient of the pre-activation. The output layer's first holds the logits. (batch, n_out)
    pub dz: Range<usize>,
    pub norm: NormOffsets,
}

/// What the norm of a layer has; everything is empty without one.
#[derive(Clone, Debug)]
pub struct NormOffsets {
    /// Products with a mean of 0 and a variance of 1. (batch, n_out)
    pub normed: Range<usize>,
    /// What they were multiplied by for that: (n_out) for batch norm, (batch) for layer norm.
    pub inverses: Range<usize>,
    /// Of batch norm the means, and the gradients of gains and shifts, (3, n_out). Of layer norm the gradient by what it made, (batch, n_out).
    pub grads: Range<usize>,
}

/// The ranges of a worker's own buffers in the arena.
#[derive(Clone, Debug)]
pub struct WorkerOffsets {
    /// A block of a weight gradient, in phase 2.
    pub gradient: Range<usize>,
    /// In the same memory, in phase 1: a block of the first layer's weights, gathered to the columns of the input that are not
    /// zero throughout the batch. Its size does not depend on the number of workers.
    pub gathered_w: Range<usize>,
    /// Two buffers of [`EVALUATION_ROWS`] rows of the widest layer, used alternately in an evaluation.
    pub evaluation: [Range<usize>; 2],
    /// Slopes that an evaluation computes and ignores, and before them normed products; empty if no layer has such.
    pub evaluation_slope: Range<usize>,
}

/// The offset table: the range of every buffer in the arena.
#[derive(Clone, Debug)]
pub struct Offsets {
    /// The most rows that a batch may have.
    pub batch: usize,
    /// How work is cut.
    pub partition: Partition,
    /// Per layer.
    pub layers: Vec<LayerOffsets>,
    /// The inputs before they are multiplied by learned factors, and the gradient by what came of it, (batch, n_in); empty without such.
    pub unscaled: Range<usize>,
    pub input_gradient: Range<usize>,
    /// Per worker.
    pub workers: Vec<WorkerOffsets>,
}

impl Offsets {
    /// Where the outputs of a layer are: the inputs of the next one, or the logits.
    pub fn output(&self, l: usize) -> &Range<usize> {
        self.layers.get(l + 1).map_or(&self.layers[l].dz, |above| &above.input)
    }
}

/// The score of a chunk of a batch, alone on its cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub struct ChunkScore(pub Score);

/// What a worker keeps between phases and after a pass, alone on its cache lines.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct WorkerState {
    pub phases: Phases,
    /// The columns of the input that are not zero throughout the batch.
    pub columns: Columns,
}

impl WorkerState {
    fn new(n_in: usize) -> Self {
        Self { phases: Phases::default(), columns: Columns::none_of(n_in) }
    }
}

/// The buffers of an engine.
#[derive(Debug)]
pub struct Workspace {
    pub offsets: Offsets,
    pub arena: Buffer,
    /// Per worker.
    pub worker_states: Vec<WorkerState>,
    /// Per chunk of a batch.
    pub scores: Vec<ChunkScore>,
    /// Where gradients are clipped: a whole gradient, and the sums of squares of its parts.
    pub grads: Buffer,
    pub squares: Vec<f64>,
}

impl Workspace {
    /// Buffers for batches of up to `batch` samples, without those of matrices if they lie in panels, in buffers of their own.
    ///
    /// # Errors
    /// If the sizes overflow or memory cannot be allocated.
    pub fn new(
        spec: &Spec,
        layout: &Layout,
        batch: usize,
        is_packed: bool,
        partition: Partition,
    ) -> Result<Self> {
        let rows = if is_packed { 0 } else { batch };
        let mut end = 0usize;
        let mut take = |rows: usize, columns: usize| -> Result<Range<usize>> {
            let len = rows.checked_mul(columns).filter(|&len| len <= isize::MAX as usize / 64);
            let range = len.zip(Buffer::next_line(end));
            let range = range.and_then(|(len, start)| Some(start..start.checked_add(len)?));
            let range = range.ok_or_else(|| {
                Error::usage(format!(
                    "the buffers for a batch of {batch} samples exceed what can be addressed; \
                     expected a smaller batch size"
                ))
            })?;
            end = range.end;
            Ok(range)
        };
        let mut layers = Vec::with_capacity(layout.layers().len());
        for (sizes, layer) in layout.layers().iter().zip(spec.layers()) {
            layers.push(LayerOffsets {
                input: take(rows, sizes.n_in)?,
                slope: take(if layer.keeps_slope() { rows } else { 0 }, sizes.n_out)?,
                dz: take(rows, sizes.n_out)?,
                norm: {
                    let n = if layer.norm == Norm::None { 0 } else { sizes.n_out };
                    let is_batch = layer.norm == Norm::Batch;
                    let by_rows = if layer.norm == Norm::Layer { rows } else { 0 };
                    NormOffsets {
                        normed: take(rows, n)?,
                        inverses: if is_batch { take(1, n)? } else { take(by_rows, 1)? },
                        grads: if is_batch { take(3, n)? } else { take(by_rows, n)? },
                    }
                },
            });
        }
        let scaled = if spec.scales_inputs() { rows } else { 0 };
        let (unscaled, input_gradient) = (take(scaled, spec.n_in())?, take(scaled, spec.n_in())?);
        let widest = layout.layers().iter().map(|layer| layer.n_in.max(layer.n_out)).max();
        let widest = widest.unwrap_or(0);
        // also for what a layer norm computes
        let any_slope =
            spec.layers().iter().any(LayerSpec::keeps_slope) || spec.norm() == Norm::Layer;
        let gradient = layout.layers().iter().map(|layer| {
            let chunks = partition.layer(layer.n_out);
            let longest = (0..chunks.count()).map(|chunk| chunks.rows(chunk).len()).max();
            longest.unwrap_or(0).min(gradient_rows(layer.n_in)) * layer.n_in
        });
        let first = &layout.layers()[0];
        let gathered_w = first.n_out.min(gradient_rows(first.n_in)) * first.n_in;
        let gradient = gradient.max().unwrap_or(0).max(gathered_w);
        let (gradient, gathered_w) = if rows == 0 { (0, 0) } else { (gradient, gathered_w) };
        let evaluated = if is_packed { 0 } else { EVALUATION_ROWS };
        let workers = (0..partition.workers)
            .map(|_| {
                let gradient = take(1, gradient)?;
                Ok(WorkerOffsets {
                    gathered_w: gradient.start..gradient.start + gathered_w,
                    gradient,
                    evaluation: [take(evaluated, widest)?, take(evaluated, widest)?],
                    evaluation_slope: take(if any_slope { evaluated } else { 0 }, widest)?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let worker_states = (0..workers.len()).map(|_| WorkerState::new(spec.n_in())).collect();
        // a smaller batch has at most as many chunks as a larger one, or two for each worker
        let chunks = partition.batch(batch).count().max(2 * workers.len());
        let scores = vec![ChunkScore::default(); chunks];
        let arena = Buffer::zeros(end, "the workspace")?;
        let offsets = Offsets { batch, partition, layers, unscaled, input_gradient, workers };
        let grads = Buffer::zeros(0, "the gradient")?;
        Ok(Self { offsets, arena, worker_states, scores, grads, squares: Vec::new() })
    }
}

impl Workspace {
    /// The same with space for a whole gradient, and for the sums of squares of as many parts.
    ///
    /// # Errors
    /// If memory cannot be allocated.
    pub fn with_gradient(mut self, len: usize, parts: usize) -> Result<Self> {
        self.grads = Buffer::zeros(len, "the gradient")?;
        self.squares = vec![0.0; parts];
        Ok(self)
    }
}

/// The most rows in a block of a weight gradient with `n_in` columns.
pub fn gradient_rows(n_in: usize) -> usize {
    (GRADIENT_BLOCK / n_in).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Activation;

    #[test]
    fn buffers_do_not_overlap() {
        let activations = [Activation::Relu, Activation::Gelu];
        let spec = Spec::new(5, &[7, 3], &activations, 4).unwrap();
        let layout = Layout::new(&spec).unwrap();
        let workspace =
            Workspace::new(&spec, &layout, 9, false, Partition { workers: 2, fixed: false })
                .unwrap();
        let offsets = &workspace.offsets;
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for layer in &offsets.layers {
            ranges.extend([layer.input.clone(), layer.slope.clone(), layer.dz.clone()]);
        }
        for worker in &offsets.workers {
            ranges.extend(worker.evaluation.clone());
            ranges.extend([worker.gradient.clone(), worker.evaluation_slope.clone()]);
        }
        ranges.retain(|range| !range.is_empty());
        ranges.sort_by_key(|range| range.start);
        assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
        assert!(
            ranges.iter().all(|range| range.start % 16 == 0 && range.end <= workspace.arena.len())
        );
        assert_eq!(offsets.layers[1].slope.len(), 9 * 3);
        assert_eq!(ranges.len(), 3 + 1 + 3 + 2 * 4);
    }

    #[test]
    fn batches_that_overflow_are_rejected() {
        let spec = Spec::new(784, &[], &[], 10).unwrap();
        let layout = Layout::new(&spec).unwrap();
        let partition = Partition { workers: 1, fixed: false };
        assert!(Workspace::new(&spec, &layout, usize::MAX / 100, false, partition).is_err());
        // each buffer is addressable by itself, and their sum is just beyond what can be addressed
        let spec = Spec::new(1, &[1; 63], &[], 1).unwrap();
        let layout = Layout::new(&spec).unwrap();
        assert!(Workspace::new(&spec, &layout, (1 << 57) - 1, false, partition).is_err());
    }
}
