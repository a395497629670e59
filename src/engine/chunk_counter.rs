//! The counter from which workers draw the numbers of chunks.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Hands out chunk numbers: in every phase from 0, each number to one worker.
///
/// Phases are numbered from 0, and all workers pass a barrier between two of them. Three counters suffice: while workers draw
/// in phase `p`, the counter of `p - 1` is no longer read, and that of `p + 1` is reset.
#[derive(Debug, Default)]
pub struct ChunkCounter {
    next: [AtomicUsize; 3],
}

impl ChunkCounter {
    /// The next number below `count` that no worker has drawn in this phase.
    pub fn draw(&self, phase: usize, count: usize) -> Option<usize> {
        // Relaxed: only the number is passed on here; the barriers order the data that it stands for
        let number = self.next[phase % 3].fetch_add(1, Ordering::Relaxed);
        (number < count).then_some(number)
    }

    /// Resets the counter of the next phase. One of the workers calls this within a phase.
    pub fn reset_next(&self, phase: usize) {
        self.next[(phase + 1) % 3].store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_drawn_once_in_every_phase() {
        let counter = ChunkCounter::default();
        let barrier = std::sync::Barrier::new(3);
        let drawn: Vec<Vec<(usize, usize)>> = std::thread::scope(|scope| {
            let worker = |worker: usize| {
                let (counter, barrier) = (&counter, &barrier);
                move || {
                    let mut drawn = Vec::new();
                    for phase in 0..50 {
                        while let Some(number) = counter.draw(phase, 7) {
                            drawn.push((phase, number));
                        }
                        if worker == 0 {
                            counter.reset_next(phase);
                        }
                        barrier.wait();
                    }
                    drawn
                }
            };
            let threads: Vec<_> = (0..3).map(|i| scope.spawn(worker(i))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut all: Vec<_> = drawn.into_iter().flatten().collect();
        all.sort_unstable();
        let expected = (0..50).flat_map(|phase| (0..7).map(move |number| (phase, number)));
        assert!(all.into_iter().eq(expected));
    }
}
