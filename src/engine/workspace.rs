//! Every buffer that a step or an evaluation writes: one allocation, one offset table.

use std::ops::Range;

use super::buffer::Buffer;
use super::clock::Phases;
use super::kernels::columns::Columns;
use super::kernels::loss::Score;
use super::pieces::Partition;
use crate::error::{Error, Result};
use crate::model::{Activation, Layout, Spec};

/// Samples per block of an evaluation: large enough for the matrix product, small enough for the second-level cache.
pub const EVALUATION_ROWS: usize = 256;

/// A weight gradient is computed and applied in blocks of at most so many values. 1 MiB: the gradient is still in the
/// cache when Adam reads it, and the product is wide enough to repay the packing of its operands.
const GRADIENT_BLOCK: usize = 1 << 17;

/// Where a layer's buffers lie in the arena; all are (batch, n) in rows.
#[derive(Clone, Debug)]
pub struct LayerBuffers {
    /// What enters the layer: the gathered batch, or the activations of the layer below. (batch, n_in)
    pub input: Range<usize>,
    /// `f'(z)` of this layer where the activation asks for it, else empty. (batch, n_out)
    pub slope: Range<usize>,
    /// The pre-activation's gradient; the output layer's logits before. (batch, n_out)
    pub dz: Range<usize>,
}

/// Where a worker's own buffers lie in the arena.
#[derive(Clone, Debug)]
pub struct WorkerBuffers {
    /// A block of a weight gradient, in phase 2.
    pub gradient: Range<usize>,
    /// In the same place, in phase 1: a block of the first layer's weights without the columns that meet zeros. Its size does
    /// not depend on the number of workers.
    pub picked: Range<usize>,
    /// Two buffers of [`EVALUATION_ROWS`] rows of the widest layer, used by turns in an evaluation.
    pub evaluation: [Range<usize>; 2],
    /// Slopes that an evaluation computes and ignores; empty if no activation asks for them.
    pub evaluation_slope: Range<usize>,
}

/// The offset table over the arena.
#[derive(Clone, Debug)]
pub struct Places {
    /// Rows of a batch at most.
    pub batch: usize,
    /// How work is cut.
    pub partition: Partition,
    /// Per layer.
    pub layers: Vec<LayerBuffers>,
    /// Per worker.
    pub workers: Vec<WorkerBuffers>,
}

/// The score of a piece of a batch, alone on its cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub struct PieceScore(pub Score);

/// What a worker remembers, alone on its cache lines.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct Slot {
    pub phases: Phases,
    /// The inputs that are not zero throughout the batch.
    pub columns: Columns,
}

impl Slot {
    fn new(n_in: usize) -> Self {
        Self { phases: Phases::default(), columns: Columns::none_of(n_in) }
    }
}

/// The buffers.
#[derive(Debug)]
pub struct Workspace {
    pub places: Places,
    pub arena: Buffer,
    /// Per worker.
    pub slots: Vec<Slot>,
    /// Per piece of a batch.
    pub scores: Vec<PieceScore>,
}

impl Workspace {
    /// Buffers for batches of up to `batch` samples.
    ///
    /// # Errors
    /// If the sizes overflow or the memory cannot be had.
    pub fn new(spec: &Spec, layout: &Layout, batch: usize, partition: Partition) -> Result<Self> {
        let mut end = 0usize;
        let mut take = |rows: usize, columns: usize| -> Result<Range<usize>> {
            let len = rows.checked_mul(columns).filter(|&len| len <= isize::MAX as usize / 64);
            let place = len.zip(Buffer::next_line(end));
            let place = place.and_then(|(len, start)| Some(start..start.checked_add(len)?));
            let place = place.ok_or_else(|| {
                Error::usage(format!(
                    "a batch of {batch} samples overflows; expected a smaller one"
                ))
            })?;
            end = place.end;
            Ok(place)
        };
        let keeps_slope = |activation: Activation| !activation.derivative_follows_from_value();
        let mut layers = Vec::with_capacity(layout.layers().len());
        for (place, layer) in layout.layers().iter().zip(spec.layers()) {
            layers.push(LayerBuffers {
                input: take(batch, place.n_in)?,
                slope: take(if keeps_slope(layer.activation) { batch } else { 0 }, place.n_out)?,
                dz: take(batch, place.n_out)?,
            });
        }
        let widest = layout.layers().iter().map(|layer| layer.n_in.max(layer.n_out)).max();
        let widest = widest.unwrap_or(0);
        let any_slope = spec.layers().iter().any(|layer| keeps_slope(layer.activation));
        let gradient = layout.layers().iter().map(|layer| {
            let pieces = partition.layer(layer.n_out);
            let most = (0..pieces.count()).map(|piece| pieces.rows(piece).len()).max();
            most.unwrap_or(0).min(gradient_rows(layer.n_in)) * layer.n_in
        });
        let first = &layout.layers()[0];
        let picked = first.n_out.min(gradient_rows(first.n_in)) * first.n_in;
        let gradient = gradient.max().unwrap_or(0).max(picked);
        let workers = (0..partition.workers)
            .map(|_| {
                let gradient = take(1, gradient)?;
                Ok(WorkerBuffers {
                    picked: gradient.start..gradient.start + picked,
                    gradient,
                    evaluation: [take(EVALUATION_ROWS, widest)?, take(EVALUATION_ROWS, widest)?],
                    evaluation_slope: take(if any_slope { EVALUATION_ROWS } else { 0 }, widest)?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let slots = (0..workers.len()).map(|_| Slot::new(spec.n_in())).collect();
        // a smaller batch has no more pieces than a larger one, or as many as there are workers, twice
        let pieces = partition.batch(batch).count().max(2 * workers.len());
        let scores = vec![PieceScore::default(); pieces];
        let arena = Buffer::zeros(end, "the workspace")?;
        Ok(Self { places: Places { batch, partition, layers, workers }, arena, slots, scores })
    }
}

/// How many rows of a weight gradient with so many columns make a block.
pub fn gradient_rows(n_in: usize) -> usize {
    (GRADIENT_BLOCK / n_in).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_do_not_overlap() {
        let activations = [Activation::Relu, Activation::Gelu];
        let spec = Spec::new(5, &[7, 3], &activations, 4).unwrap();
        let layout = Layout::new(&spec).unwrap();
        let workspace =
            Workspace::new(&spec, &layout, 9, Partition { workers: 2, fixed: false }).unwrap();
        let places = &workspace.places;
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for layer in &places.layers {
            ranges.extend([layer.input.clone(), layer.slope.clone(), layer.dz.clone()]);
        }
        for worker in &places.workers {
            ranges.extend(worker.evaluation.clone());
            ranges.extend([worker.gradient.clone(), worker.evaluation_slope.clone()]);
        }
        ranges.retain(|range| !range.is_empty());
        ranges.sort_by_key(|range| range.start);
        assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
        assert!(
            ranges.iter().all(|range| range.start % 16 == 0 && range.end <= workspace.arena.len())
        );
        assert_eq!(places.layers[1].slope.len(), 9 * 3);
        assert_eq!(ranges.len(), 3 + 1 + 3 + 2 * 4);
    }

    #[test]
    fn batches_that_overflow_are_refused() {
        let spec = Spec::new(784, &[], &[], 10).unwrap();
        let layout = Layout::new(&spec).unwrap();
        let partition = Partition { workers: 1, fixed: false };
        assert!(Workspace::new(&spec, &layout, usize::MAX / 100, partition).is_err());
        // each buffer has room by itself, and their sum just misses the end of what can be addressed
        let spec = Spec::new(1, &[1; 63], &[], 1).unwrap();
        let layout = Layout::new(&spec).unwrap();
        assert!(Workspace::new(&spec, &layout, (1 << 57) - 1, partition).is_err());
    }
}
