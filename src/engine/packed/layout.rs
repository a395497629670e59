//! Where everything lies: the offset table of the packed vectors and of the buffers of a step.

use std::ops::Range;

use crate::engine::buffer::Buffer;
use crate::engine::partition::{Partition, even_range};
use crate::error::{Error, Result};
use crate::gemm::panels::{SPARSE_ROWS, Tiles};
use crate::model::{Layout, Norm, Spec};

/// Inputs of the first layer have a bit each for whether they are zero, in words of this many.
pub const MASK_BITS: usize = 16;

/// The most values of the widest layer in a block of rows, 384 KiB: forward and backward of these rows stay in a second-level cache of 512 KiB.
const ROWS_BLOCK: usize = 96 * 1024;

/// How many samples of an evaluation a worker takes through all layers together, in rows of its own of the buffers of the batch.
pub const EVALUATION_BLOCK: usize = 64;

/// The fewest rows in such a block, and the most: all weights of a layer are read once for each block. Where fewer rows would fit, as many as that
/// pass together, from a slower cache: half the time at 4,096 outputs, 6 % at 1,024 (Zen 4).
const FEWEST_ROWS: usize = 120;
pub const MOST_ROWS: usize = 256;

/// The most inputs and outputs in a block of a weight gradient, 128 KiB: with the parameters and moments that it changes it fits a second-level
/// cache, and `dz` is read from a slower one only as often as there are blocks of inputs.
const BLOCK_INPUTS: usize = 128;
const BLOCK_OUTPUTS: usize = 256;

/// The most values along k of the weights that stay in the first-level cache while rows pass: 24 KiB.
const WEIGHTS_BLOCK: usize = 4 * 1024;

/// How many samples a deterministic step adds up at a time: blocks of these, counted from the batch's first sample, have sums of their own, which are then
/// added in their order.
const FIXED_SAMPLES: usize = 128;

/// The most values of `dz` that stay in the first-level cache while inputs pass: 16 KiB.
const SAMPLES_BLOCK: usize = 4 * 1024;

/// The first layer is split by outputs for at most so many samples in a batch for each of its outputs and each worker but one. Two workers on cores that share
/// no cache gain 15 % of a step with 8 samples, and 40 % with 1; where they share one, they lose 10 % with 8, and gain 6 % with 1 (Zen 4).
const SAMPLES_PER_OUTPUT: u128 = 8;

/// One layer, with its matrices in panels of `L` columns; see `gemm::panels`. In the packed vectors of parameters and moments:
/// `w` is `[out_panels][n_in][L]` and `b` is `[out_panels][L]`. In the arena, with the samples of a batch as rows: `input` is
/// `[in_panels][capacity][L]`, `dz` and `slope` are `[out_panels][capacity][L]`.
#[derive(Clone, Debug)]
pub struct PackedLayer {
    pub n_in: usize,
    pub n_out: usize,
    pub in_panels: usize,
    pub out_panels: usize,
    pub w: Range<usize>,
    pub b: Range<usize>,
    /// The weights a second time, for the backward pass: `[in_panels][n_out][L]`, in a vector of their own. Empty where nobody needs them.
    pub transposed: Range<usize>,
    /// Of the first layer, that of worker 0: see [`PackedLayout::input`].
    pub input: Range<usize>,
    /// The gradient of the pre-activation; of the output layer, first the logits.
    pub dz: Range<usize>,
    /// `f'(z)`, for the activations that keep it; else empty.
    pub slope: Range<usize>,
    /// Where the sums of squares of its gradient are, among those of all layers: `[in_panels + 3][out_panels]`, the last of the biases, and of the gains and shifts of
    /// the norm.
    pub squares: Range<usize>,
    pub norm: PackedNorm,
}

/// What a norm has; everything is empty without one.
#[derive(Clone, Debug)]
pub struct PackedNorm {
    /// Its tensors in the packed vectors, each `[out_panels][L]`.
    pub tensors: Vec<Range<usize>>,
    /// Products with a mean of 0 and a variance of 1: `[out_panels][capacity][L]`.
    pub normed: Range<usize>,
    /// What they were multiplied by for that: `[out_panels][L]` for batch norm, `[capacity]` for layer norm.
    pub inverses: Range<usize>,
    /// Of batch norm the gradients of gains and shifts: `[2][out_panels][L]`. Of layer norm the gradient by what it made: `[out_panels][capacity][L]`.
    pub grads: Range<usize>,
}

/// What one worker converts of a layer: some weights, and the biases of some panels of outputs.
#[derive(Clone, Debug)]
pub struct Owned {
    pub in_panels: Range<usize>,
    pub out_panels: Range<usize>,
    pub biases: Range<usize>,
}

/// A worker's own buffers in the arena.
#[derive(Clone, Debug)]
pub struct WorkerBuffers {
    /// The inputs of the first layer, if that is split by outputs: every worker gathers all of them. Else those that all workers share.
    pub input: Range<usize>,
    /// A block of a weight gradient.
    pub gradient: Range<usize>,
    /// The outputs of a block of rows as the losses want them, row-major.
    pub outputs: Range<usize>,
    /// Parts of the gradient of a layer's inputs, `[in_panels][capacity][L]`, in turn for one layer and the next; empty where no such layer is split by outputs.
    pub parts: [Range<usize>; 2],
}

/// The offset table.
#[derive(Clone, Debug)]
pub struct PackedLayout {
    /// `L`.
    pub width: usize,
    /// The rows that a panel of the arena has: the batch, and some more so that panels do not compete for the same cache sets.
    pub capacity: usize,
    pub layers: Vec<PackedLayer>,
    /// The lengths of the packed vectors, of that of transposed weights, and of the arena.
    pub params_len: usize,
    pub transposed_len: usize,
    pub arena_len: usize,
    /// The number of sums of squares of a gradient.
    pub squares_len: usize,
    /// The rows of a batch that pass through all layers together.
    pub rows_block: usize,
    /// How many layers, counted from the inputs, are split by outputs: see `by_outputs`.
    pub split: usize,
    pub workers: Vec<WorkerBuffers>,
    /// The words of the masks: `[mask_blocks][capacity]`, as often as there are inputs of the first layer.
    pub mask_blocks: usize,
    pub masks_len: usize,
    /// The length of a worker's list of indices.
    pub list_len: usize,
    /// How many samples of a batch a product of phase 2 adds up at a time.
    pub samples_block: usize,
    /// The inputs before they are multiplied by learned factors, and the gradient by what came of it, `[in_panels][capacity][L]`; empty without such.
    pub unscaled: Range<usize>,
    pub input_gradient: Range<usize>,
}

impl PackedLayout {
    /// The table for batches of up to `batch` samples: 0 if nothing but evaluations is wanted.
    ///
    /// # Errors
    /// If the sizes overflow.
    pub fn new(
        spec: &Spec,
        layout: &Layout,
        batch: usize,
        frozen: usize,
        partition: Partition,
        tiles: &Tiles,
    ) -> Result<Self> {
        let (width, workers) = (tiles.width, partition.workers);
        let overflow = || {
            Error::usage(format!(
                "the buffers for a batch of {batch} samples exceed what can be addressed; expected a smaller batch size"
            ))
        };
        let evaluated = workers.checked_mul(EVALUATION_BLOCK).ok_or_else(overflow)?;
        let capacity = padded_rows(batch.max(evaluated), width).ok_or_else(overflow)?;
        let (mut params_len, mut transposed_len, mut arena_len, mut squares_len) = (0, 0, 0, 0);
        let take = |end: &mut usize, sizes: [usize; 3]| {
            let len = sizes.into_iter().try_fold(1usize, usize::checked_mul);
            let len = len.filter(|&len| len <= isize::MAX as usize / 64);
            let range = len.zip(Buffer::next_line(*end));
            let range = range.and_then(|(len, start)| Some(start..start.checked_add(len)?));
            let range = range.ok_or_else(overflow)?;
            *end = range.end;
            Ok::<_, Error>(range)
        };
        let mut layers = Vec::with_capacity(layout.layers().len());
        for (l, (sizes, layer)) in layout.layers().iter().zip(spec.layers()).enumerate() {
            let (n_in, n_out) = (sizes.n_in, sizes.n_out);
            let (in_panels, out_panels) = (n_in.div_ceil(width), n_out.div_ceil(width));
            let passes_back =
                (l > frozen || l == 0 && frozen == 0 && spec.scales_inputs()) && batch > 0;
            let slopes = if layer.keeps_slope() { out_panels } else { 0 };
            layers.push(PackedLayer {
                n_in,
                n_out,
                in_panels,
                out_panels,
                w: take(&mut params_len, [out_panels, n_in, width])?,
                b: take(&mut params_len, [out_panels, width, 1])?,
                transposed: take(
                    &mut transposed_len,
                    [if passes_back { in_panels } else { 0 }, n_out, width],
                )?,
                input: take(&mut arena_len, [in_panels, capacity, width])?,
                dz: take(&mut arena_len, [out_panels, capacity, width])?,
                slope: take(&mut arena_len, [slopes, capacity, width])?,
                squares: take(&mut squares_len, [in_panels + 3, out_panels, 1])?,
                norm: {
                    let norm = layer.norm;
                    let tensors = norm.tensors().iter();
                    let matrix = if norm == Norm::None { 0 } else { out_panels };
                    let (inverses, grads) = match norm {
                        Norm::Batch => ([out_panels, width, 1], [2, out_panels, width]),
                        Norm::Layer => ([capacity, 1, 1], [out_panels, capacity, width]),
                        _ => ([0; 3], [0; 3]),
                    };
                    PackedNorm {
                        tensors: tensors
                            .map(|_| take(&mut params_len, [out_panels, width, 1]))
                            .collect::<Result<_>>()?,
                        normed: take(&mut arena_len, [matrix, capacity, width])?,
                        inverses: take(&mut arena_len, inverses)?,
                        grads: take(&mut arena_len, grads)?,
                    }
                },
            });
        }
        let widest = layers.iter().map(|layer| layer.in_panels.max(layer.out_panels) * width).max();
        let rows_block = match ROWS_BLOCK / widest.unwrap_or(1) {
            ..FEWEST_ROWS => MOST_ROWS,
            rows => rows.min(MOST_ROWS),
        };
        let (most_in, most_out) = block_panels(width);
        let gradient = layers.iter().map(|layer| {
            layer.in_panels.min(most_in) * layer.out_panels.min(most_out) * width * width
        });
        let gradient = gradient.max().unwrap_or(0);
        let n_in = layers[0].n_in;
        let longest_block = rows_block.min(batch.max(EVALUATION_BLOCK));
        let tiles = longest_block.div_ceil(SPARSE_ROWS);
        let longest = n_in.min(2 * WEIGHTS_BLOCK / width + width.max(MASK_BITS)) + 8 + MASK_BITS;
        let samples_block = if partition.fixed { FIXED_SAMPLES } else { SAMPLES_BLOCK / width };
        let list_len = (tiles * longest).max(width * (samples_block + 8));
        let split = match spec.norm() {
            Norm::None if !spec.scales_inputs() => split_layers(&layers, batch, partition),
            _ => 0,
        };
        let parts = layers[..split].iter().skip(1).map(|layer| layer.in_panels).max().unwrap_or(0);
        let workers = (0..workers)
            .map(|worker| {
                let input = match split == 0 || worker == 0 {
                    true => layers[0].input.clone(),
                    false => take(&mut arena_len, [layers[0].in_panels, capacity, width])?,
                };
                let parts = [parts, capacity, width];
                Ok(WorkerBuffers {
                    input,
                    gradient: take(&mut arena_len, [gradient, 1, 1])?,
                    outputs: take(&mut arena_len, [longest_block, spec.n_out(), 1])?,
                    parts: [take(&mut arena_len, parts)?, take(&mut arena_len, parts)?],
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let scaled = if spec.scales_inputs() && batch > 0 { layers[0].in_panels } else { 0 };
        let mut matrix = || take(&mut arena_len, [scaled, capacity, width]);
        let (unscaled, input_gradient) = (matrix()?, matrix()?);
        let mask_blocks = n_in.div_ceil(MASK_BITS);
        let copies = if split > 0 { workers.len() } else { 1 };
        let masks_len = (mask_blocks.checked_mul(capacity)).and_then(|len| len.checked_mul(copies));
        Ok(Self {
            width,
            capacity,
            layers,
            params_len,
            transposed_len,
            arena_len,
            squares_len,
            rows_block,
            split,
            workers,
            mask_blocks,
            masks_len: masks_len.ok_or_else(overflow)?,
            list_len,
            samples_block,
            unscaled,
            input_gradient,
        })
    }

    /// The position of a row of a panel of one of the arena's matrices that begins at `start`.
    pub fn at(&self, start: usize, panel: usize, row: usize) -> usize {
        start + (panel * self.capacity + row) * self.width
    }

    /// The blocks along k of some rows of weights, of whole panels of A. The first row is the first of a panel.
    pub fn weight_blocks(&self, k: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        panel_blocks(k, self.width, WEIGHTS_BLOCK / self.width)
    }

    /// The same where zeros are left out, and with them a part of the weights: twice as long, and whole words of the masks.
    pub fn sparse_blocks(&self, k: usize) -> impl Iterator<Item = Range<usize>> {
        panel_blocks(0..k, self.width.max(MASK_BITS), 2 * WEIGHTS_BLOCK / self.width)
    }

    /// The outputs of the network.
    pub fn n_out(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.n_out)
    }

    /// The rows in which a worker evaluates `count` samples.
    pub fn evaluation_rows(&self, worker: usize, count: usize) -> Range<usize> {
        let start = worker * EVALUATION_BLOCK;
        start..start + count.min(EVALUATION_BLOCK)
    }

    /// The inputs of a layer as a worker has them.
    pub fn input(&self, l: usize, worker: usize) -> &Range<usize> {
        match l {
            0 => &self.workers[worker].input,
            _ => &self.layers[l].input,
        }
    }

    /// Where the outputs of a layer are: the inputs of the next one, or the outputs of the network.
    pub fn output(&self, l: usize) -> &Range<usize> {
        self.layers.get(l + 1).map_or(&self.layers[l].dz, |above| &above.input)
    }

    /// How many columns of a panel of `n` columns are not padding.
    pub fn columns(&self, n: usize, panel: usize) -> usize {
        self.width.min(n - panel * self.width)
    }

    /// The number of the first block of a worker's masks.
    pub fn first_mask_block(&self, worker: usize) -> usize {
        if self.split > 0 { worker * self.mask_blocks } else { 0 }
    }

    /// What a worker converts of a layer: if it is split by outputs what the worker changes, else as much as any other worker, and most of what it changes.
    pub fn owned(&self, l: usize, worker: usize) -> Owned {
        let layer = &self.layers[l];
        if l < self.split {
            let own = self.own_panels(l, worker);
            return Owned { in_panels: 0..layer.in_panels, out_panels: own.clone(), biases: own };
        }
        let all = 0..layer.out_panels;
        Owned {
            in_panels: even_range(layer.in_panels, worker, self.workers.len()),
            biases: if worker == 0 { all.clone() } else { 0..0 },
            out_panels: all,
        }
    }

    /// A worker's panels of the outputs of a layer that is split by outputs.
    pub fn own_panels(&self, l: usize, worker: usize) -> Range<usize> {
        even_range(self.layers[l].out_panels, worker, self.workers.len())
    }
}

/// How many layers, counted from the inputs, are split by outputs: those for which that moves less between cores, and shares the work evenly. It
/// depends on the sizes and the number of workers alone.
fn split_layers(layers: &[PackedLayer], batch: usize, partition: Partition) -> usize {
    let workers = partition.workers;
    if workers == 1 || batch == 0 {
        return 0;
    }
    // the output layer is not: the loss needs all outputs of a sample. Above the first, sums of parts depend on the number of workers
    let most = if partition.fixed { 1 } else { usize::MAX }.min(layers.len() - 1);
    let splits = |(l, layer): (usize, &PackedLayer)| {
        let (n_in, n_out, panels) = (layer.n_in as u128, layer.n_out as u128, layer.out_panels);
        let moves_less = match l {
            // no weights and no inputs, for gathering every sample once more for each further worker
            0 => batch as u128 * (workers as u128 - 1) <= SAMPLES_PER_OUTPUT * n_out,
            // outputs and parts of the gradient of the inputs, instead of the weights and their transpose
            _ => batch as u128 * (n_in + n_out) <= 2 * n_in * n_out,
        };
        // who has the most panels has at most a fifteenth more than its share, or a third where much less is moved
        let most = (panels.div_ceil(workers) * workers) as u128;
        let evenly = 15 * most <= 16 * panels as u128;
        moves_less && (evenly || batch as u128 <= 4 * n_out && 3 * most <= 4 * panels as u128)
    };
    layers[..most].iter().enumerate().take_while(|&layer| splits(layer)).count()
}

/// Even blocks of a range of about `most` values, cut at multiples of `width` from its start.
fn panel_blocks(k: Range<usize>, width: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let (panels, count) = (k.len().div_ceil(width), k.len().div_ceil(most));
    (0..count).map(move |i| {
        let block = even_range(panels, i, count);
        k.start + block.start * width..(k.start + block.end * width).min(k.end)
    })
}

/// The most panels of inputs and of outputs in a block of a weight gradient.
pub fn block_panels(width: usize) -> (usize, usize) {
    (BLOCK_INPUTS / width, BLOCK_OUTPUTS / width)
}

/// `batch` and a few rows more, so that the distance between panels is 7 cache lines more than a multiple of 8 of them.
fn padded_rows(batch: usize, width: usize) -> Option<usize> {
    /// Values of a cache line.
    const LINE: usize = 16;
    let rows = batch.checked_next_multiple_of((8 * LINE / width).max(1))?;
    rows.checked_add((7 * LINE).div_ceil(width))
}
