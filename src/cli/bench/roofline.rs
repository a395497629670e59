//! Where the time of a step goes, and how much of it the arithmetic and the memory of this machine need at least.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::engine::{Phases, Spent, default_threads, memory_gbs, peak_gflops, read_gbs};
use crate::model::Layout;
use crate::report::Column;
use serde::Serialize;

/// A phase of a step.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Phase {
    /// Its share of the time of all threads.
    pub share: f64,
    /// The time that it takes at least, as a share of the time that it took: the longer of its executed arithmetic at the peak rate and of the bytes
    /// that it has to move at the rate of a loop over as much memory. Nothing for waiting, where a phase has no work, and where threads share cores.
    pub roofline: Option<f64>,
    /// The multiply-adds that its matrix products execute for each sample.
    pub multiply_adds: f64,
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

    /// Their cells: a share of the time, and in brackets the roofline.
    pub fn cells(&self) -> [String; 5] {
        let percent = |share: f64| format!("{:.0}%", 100.0 * share);
        let cells = self.working().map(|Phase { share, roofline, .. }| {
            format!("{} ({})", percent(share), roofline.map_or("-".to_owned(), percent))
        });
        let [gather, forward, backward, update] = cells;
        [gather, forward, backward, update, percent(self.wait.share)]
    }

    /// The rooflines of all phases but waiting.
    pub fn bounds(&self) -> [Option<f64>; 4] {
        self.working().map(|phase| phase.roofline)
    }

    fn working(&self) -> [Phase; 4] {
        let Self { gather, forward, backward, update, .. } = *self;
        [gather, forward, backward, update]
    }
}

/// GFLOP/s that numbers of threads can do at most: the best of several measurements.
#[derive(Debug)]
pub struct Peaks(BTreeMap<usize, f64>);

impl Peaks {
    /// For these numbers of threads. More threads than cores have no higher peak.
    pub fn new(threads: impl Iterator<Item = usize>) -> Self {
        Self(threads.map(|threads| (threads.min(default_threads()), 0.0)).collect())
    }

    /// Measures all of them once more.
    pub fn measure(&mut self) {
        self.0.iter_mut().for_each(|(&threads, peak)| *peak = peak.max(peak_gflops(threads)));
    }

    /// That of a number of threads.
    ///
    /// # Panics
    /// If it is none of those that were announced.
    pub fn of(&self, threads: usize) -> f64 {
        self.0[&threads.min(default_threads())]
    }

    /// Numbers of threads, from the fewest on, and their peaks.
    pub fn iter(&self) -> impl Iterator<Item = (usize, f64)> {
        self.0.iter().map(|(&threads, &peak)| (threads, peak))
    }

    /// The most threads, and their peak.
    pub fn highest(&self) -> (usize, f64) {
        self.iter().last().unwrap_or_default()
    }
}

/// Whether a loop over memory also writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Access {
    Read,
    Change,
}

/// What a machine can do.
#[derive(Debug)]
pub struct Roofline {
    pub peaks: Peaks,
    /// Bytes a second over a number of bytes by a number of threads.
    bandwidths: HashMap<(Access, usize, usize), f64>,
}

/// What was measured of a cell.
pub struct Measured<'a> {
    pub layout: &'a Layout,
    /// Of all workers together.
    pub phases: Phases,
    pub samples: usize,
    pub batch_size: usize,
    pub threads: usize,
    /// The bytes of all inputs of an epoch.
    pub input_bytes: usize,
    /// Of a sample's inputs.
    pub sample_bytes: usize,
}

impl Measured<'_> {
    /// The multiply-adds that all phases together execute for a sample.
    pub fn multiply_adds_per_sample(&self) -> f64 {
        let Phases { gather, forward, backward, update, .. } = self.phases;
        let all = [gather, forward, backward, update].map(|spent| spent.multiply_adds);
        all.iter().sum::<u64>() as f64 / self.samples as f64
    }
}

impl Roofline {
    /// A machine with these peaks.
    pub fn new(peaks: Peaks) -> Self {
        Self { peaks, bandwidths: HashMap::new() }
    }

    /// The phases of a cell.
    pub fn shares(&mut self, measured: &Measured<'_>) -> Shares {
        let Phases { gather, forward, backward, update, wait, .. } = measured.phases;
        let least = match measured.threads <= default_threads() {
            true => self.memory_seconds(measured).map(Some),
            false => [None; 4],
        };
        let peak = 1e9 * self.peaks.of(measured.threads);
        let total: Duration =
            [gather, forward, backward, update, wait].map(|s| s.time).iter().sum();
        let phase = |spent: Spent, moved: Option<f64>| {
            // the mean of all threads
            let seconds = spent.time.as_secs_f64() / measured.threads as f64;
            let least = moved.map(|moved| moved.max(2.0 * spent.multiply_adds as f64 / peak));
            let least = least.filter(|&least| least > 0.0 && seconds > 0.0);
            Phase {
                share: spent.time.as_secs_f64() / total.as_secs_f64().max(1e-9),
                roofline: least.map(|least| least / seconds),
                multiply_adds: spent.multiply_adds as f64 / measured.samples as f64,
            }
        };
        Shares {
            gather: phase(gather, least[0]),
            forward: phase(forward, least[1]),
            backward: phase(backward, least[2]),
            update: phase(update, least[3]),
            wait: phase(wait, None),
        }
    }

    /// The seconds that the memory of this machine needs about at least for what gathering, forward, backward and the update of all steps move: inputs are
    /// read; weights are read, backward without those of the first layer; parameters and both moments are read and written.
    fn memory_seconds(&mut self, measured: &Measured<'_>) -> [f64; 4] {
        let Measured { layout, samples, batch_size, threads, .. } = *measured;
        let (samples, steps) = (samples as f64, samples as f64 / batch_size as f64);
        let weights = |skip: usize| -> f64 {
            let weights = layout.layers().iter().skip(skip).map(|layer| layer.n_in * layer.n_out);
            4.0 * steps * weights.sum::<usize>() as f64
        };
        // parameters, moments and the gradient lie there
        let network = 16 * layout.len();
        let inputs = self.bandwidth(Access::Read, measured.input_bytes, threads);
        let read = self.bandwidth(Access::Read, network, threads);
        let changed = self.bandwidth(Access::Change, network, threads);
        [
            measured.sample_bytes as f64 * samples / inputs,
            weights(0) / read,
            weights(1) / read,
            24.0 * layout.len() as f64 * steps / changed,
        ]
    }

    /// Bytes a second that threads move together, over as much memory.
    fn bandwidth(&mut self, access: Access, bytes: usize, threads: usize) -> f64 {
        // sizes that differ by less than a half need no measurement of their own; more than this fits no cache
        let bytes = bytes.next_power_of_two().clamp(1 << 14, 1 << 28);
        let measure = || match access {
            Access::Read => 1e9 * read_gbs(bytes, threads),
            Access::Change => 1e9 * memory_gbs(bytes, threads),
        };
        *self.bandwidths.entry((access, bytes, threads)).or_insert_with(measure)
    }
}
