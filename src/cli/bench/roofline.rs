//! Where the time of a step goes, and how much of it the arithmetic and the memory of this machine need at least.

use std::collections::HashMap;
use std::time::Duration;

use crate::engine::{Phases, memory_gbs};
use crate::model::Layout;
use crate::report::Column;
use serde::Serialize;

/// A phase of a step.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Phase {
    /// Its share of the time, on the thread that called.
    pub share: f64,
    /// The time that it takes at least by its share: the longer of its arithmetic at the peak rate and of the bytes that it has to move at the rate
    /// of a loop over as much memory. Nothing for waiting. Inputs that are left out because they are zero count as arithmetic.
    pub roofline: Option<f64>,
}

/// The phases of a step.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Shares {
    pub gather: Phase,
    pub forward: Phase,
    pub backward: Phase,
    pub update: Phase,
    pub wait: Phase,
}

impl Shares {
    /// The columns of a table.
    pub const COLUMNS: [Column; 5] = [
        Column::right("gather", 1, 10, 3),
        Column::right("forward", 1, 10, 2),
        Column::right("backward", 1, 10, 2),
        Column::right("update", 1, 10, 1),
        Column::right("wait", 1, 5, 4),
    ];

    /// Their cells: a share of the time, and in brackets of the roofline.
    pub fn cells(&self) -> [String; 5] {
        let Self { gather, forward, backward, update, wait } = *self;
        [gather, forward, backward, update, wait].map(|Phase { share, roofline }| match roofline {
            Some(roofline) => format!("{:.0}% ({:.0}%)", 100.0 * share, 100.0 * roofline),
            None => format!("{:.0}%", 100.0 * share),
        })
    }
}

/// What a machine can do.
#[derive(Debug, Default)]
pub struct Roofline {
    /// GB/s over a number of bytes by a number of threads.
    bandwidths: HashMap<(usize, usize), f64>,
}

/// What was measured of a cell.
pub struct Measured<'a> {
    pub layout: &'a Layout,
    pub phases: Phases,
    pub samples: usize,
    pub batch_size: usize,
    pub threads: usize,
    /// The bytes of the data set's inputs.
    pub input_bytes: usize,
    /// Of a sample's inputs.
    pub sample_bytes: usize,
    /// GFLOP/s of the threads.
    pub peak: f64,
}

impl Roofline {
    /// The phases of a cell.
    pub fn shares(&mut self, measured: &Measured<'_>) -> Shares {
        let Measured { layout, phases, samples, batch_size, threads, .. } = *measured;
        let Phases { gather, forward, backward, update, wait, .. } = phases;
        let [gather, forward, backward, update, wait] =
            [gather, forward, backward, update, wait].map(|spent| spent.time);
        let total = (gather + forward + backward + update + wait).as_secs_f64().max(1e-9);
        let (samples, steps) = (samples as f64, samples as f64 / batch_size as f64);
        let weights = |skip: usize| -> f64 {
            layout.layers().iter().skip(skip).map(|l| 2.0 * (l.n_in * l.n_out) as f64).sum()
        };
        let flop = |per_sample: f64| per_sample * samples / measured.peak / 1e9;
        let n_in = layout.layers().first().map_or(0, |layer| layer.n_in);
        let gathered = (measured.sample_bytes + 4 * n_in) as f64 * samples;
        let gathered = gathered / self.bandwidth(measured.input_bytes, threads);
        // parameters and two moments are read and written; they and the gradient lie there
        let moved = 24.0 * layout.len() as f64 * steps;
        let moved = moved / self.bandwidth(16 * layout.len(), threads);
        let phase = |time: Duration, least: Option<f64>| {
            let time = time.as_secs_f64();
            let roofline = least.filter(|_| time > 0.0).map(|least| least / time);
            Phase { share: time / total, roofline }
        };
        Shares {
            gather: phase(gather, Some(gathered)),
            forward: phase(forward, Some(flop(weights(0)))),
            backward: phase(backward, Some(flop(weights(1)))),
            update: phase(update, Some(flop(weights(0)).max(moved))),
            wait: phase(wait, None),
        }
    }

    /// Bytes a second that threads read and write together, over as much memory.
    fn bandwidth(&mut self, bytes: usize, threads: usize) -> f64 {
        // sizes that differ by less than a half need no measurement of their own; more than this fits no cache
        let bytes = bytes.next_power_of_two().clamp(1 << 14, 1 << 28);
        let measure = || 1e9 * memory_gbs(bytes, threads);
        *self.bandwidths.entry((bytes, threads)).or_insert_with(measure)
    }
}
