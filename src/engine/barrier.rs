//! A reusable barrier that spins briefly, then sleeps, and can be broken.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use crate::sync::{AtomicBool, AtomicUsize, Condvar, Mutex, spin_loop};

/// A quarter to half a millisecond on current CPUs: longer than workers of an even partition usually wait for one another,
/// and not so long that other programs would miss it. loom tries every order, whatever the number.
const SPINS: u32 = if cfg!(loom) { 1 } else { 10_000 };

/// Lets `participants` threads meet again and again.
///
/// A thread that waits spins for a moment, because the others of a training step come soon, and then sleeps. If one
/// thread can no longer come, [`Barrier::break_all`] releases the others.
#[derive(Debug)]
pub struct Barrier {
    participants: usize,
    spins: u32,
    arrived: AtomicUsize,
    generation: AtomicUsize,
    broken: AtomicBool,
    sleepers: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Barrier {
    /// A barrier for so many threads. With more threads than `cores` nobody spins: it would delay the others.
    pub fn new(participants: usize, cores: usize) -> Self {
        Self {
            participants,
            spins: if participants <= cores { SPINS } else { 0 },
            arrived: AtomicUsize::new(0),
            generation: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        }
    }

    /// How many threads meet here.
    pub fn participants(&self) -> usize {
        self.participants
    }

    /// Waits until all participants have called this. Returns false if the barrier is broken.
    ///
    /// What a thread wrote before is seen by all after.
    #[must_use]
    pub fn wait(&self) -> bool {
        let generation = self.generation.load(Ordering::Acquire);
        // AcqRel: the last to arrive has seen what the others wrote, and passes it on by the new generation
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.participants {
            self.arrived.store(0, Ordering::Relaxed);
            self.generation.store(generation.wrapping_add(1), Ordering::Release);
            self.wake_sleepers();
            return !self.broken.load(Ordering::Acquire);
        }
        let waiting = || {
            self.generation.load(Ordering::Acquire) == generation
                && !self.broken.load(Ordering::Acquire)
        };
        for _ in 0..self.spins {
            if !waiting() {
                break;
            }
            spin_loop();
        }
        if waiting() {
            // Acquire pairs this with the Release in `wake_sleepers`
            self.sleepers.fetch_add(1, Ordering::Acquire);
            let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            while waiting() {
                guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            self.sleepers.fetch_sub(1, Ordering::Relaxed);
        }
        !self.broken.load(Ordering::Acquire)
    }

    /// Releases everyone who waits, now and until [`Barrier::mend`]: their waits return false.
    pub fn break_all(&self) {
        self.broken.store(true, Ordering::Release);
        self.wake_sleepers();
    }

    /// Whether the barrier is broken.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Makes a broken barrier whole again. Nobody may be waiting at it.
    pub fn mend(&self) {
        self.arrived.store(0, Ordering::Relaxed);
        self.broken.store(false, Ordering::Release);
    }

    /// Behind a change of what `waiting` looks at.
    fn wake_sleepers(&self) {
        // This and a sleeper's count of itself both read and write, so that one of the two is first and the other sees it:
        // either this one sees the sleeper, or the sleeper sees the change. A load here could come before the change.
        let nobody = self.sleepers.compare_exchange(0, 0, Ordering::Release, Ordering::Relaxed);
        if nobody.is_err() {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.wake.notify_all();
        }
    }
}

#[cfg(all(test, loom))]
#[allow(unsafe_code)]
mod loom_tests {
    use std::sync::Arc;

    use super::*;
    use crate::sync::{UnsafeCell, explore};

    struct Table {
        barrier: Barrier,
        cells: Vec<UnsafeCell<usize>>,
    }

    // SAFETY: none is claimed: loom watches who is in a cell, and the models ask it whether they race.
    unsafe impl Sync for Table {}

    impl Table {
        fn new(participants: usize, cores: usize) -> Arc<Self> {
            let cells = (0..participants).map(|_| UnsafeCell::new(0)).collect();
            Arc::new(Self { barrier: Barrier::new(participants, cores), cells })
        }

        /// Writes the own cell, meets, reads all.
        fn sit(&self, number: usize, round: usize) {
            // SAFETY: as above.
            self.cells[number].with_mut(|cell| unsafe { *cell = round });
            assert!(self.barrier.wait());
            for cell in &self.cells {
                // SAFETY: as above.
                assert_eq!(cell.with(|cell| unsafe { *cell }), round);
            }
        }
    }

    /// Everyone at the table but the first has a thread.
    fn with_threads(table: &Arc<Table>, others: fn(&Table, usize), first: impl FnOnce(&Table)) {
        let threads: Vec<_> = (1..table.barrier.participants())
            .map(|number| {
                let table = Arc::clone(table);
                loom::thread::spawn(move || others(&table, number))
            })
            .collect();
        first(table);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    /// Meets twice: what is written before the first meeting is read behind it, what was read before the second one written.
    fn twice(table: &Table, number: usize) {
        table.sit(number, 1);
        assert!(table.barrier.wait());
        // SAFETY: as above.
        table.cells[number].with_mut(|cell| unsafe { *cell = 2 });
    }

    #[test]
    fn loom_what_was_written_before_a_meeting_is_seen_after_it() {
        for (name, cores) in [("sleeping", 0), ("spinning, then sleeping", 3)] {
            for (participants, bound) in [(2, Some(3)), (3, Some(2))] {
                explore(&format!("{participants} meet, {name}"), bound, move || {
                    let table = Table::new(participants, cores);
                    with_threads(&table, twice, |table| twice(table, 0));
                });
            }
        }
    }

    #[test]
    fn loom_a_break_releases_everyone_and_a_mended_barrier_is_as_new() {
        for (name, cores) in [("sleeping", 0), ("spinning, then sleeping", 3)] {
            for (participants, bound) in [(2, None), (3, Some(2))] {
                explore(&format!("{participants}, one breaks, {name}"), bound, move || {
                    let table = Table::new(participants, cores);
                    // the first never comes: it breaks the barrier while the others wait, or are about to
                    with_threads(
                        &table,
                        |table, _| assert!(!table.barrier.wait()),
                        |table| table.barrier.break_all(),
                    );
                    assert!(table.barrier.is_broken());
                    table.barrier.mend();
                    with_threads(&table, |table, n| table.sit(n, 1), |table| table.sit(0, 1));
                });
            }
        }
    }

    #[test]
    fn loom_a_break_behind_a_meeting_takes_nobody_by_surprise() {
        explore("a meeting, then a break", None, || {
            let table = Table::new(2, 0);
            // whoever has met may hear of the break at once or at the next meeting, and sees what was written in either case
            with_threads(
                &table,
                |table, _| {
                    if table.barrier.wait() {
                        assert!(!table.barrier.wait());
                    }
                    // SAFETY: as above.
                    assert_eq!(table.cells[0].with(|cell| unsafe { *cell }), 7);
                },
                |table| {
                    // SAFETY: as above.
                    table.cells[0].with_mut(|cell| unsafe { *cell = 7 });
                    assert!(table.barrier.wait());
                    table.barrier.break_all();
                },
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// Threads add to a sum and check it after each meeting; `cores` decides between spinning and sleeping.
    fn meet(participants: usize, cores: usize, rounds: u64) {
        let (barrier, sum) = (Barrier::new(participants, cores), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..participants {
                scope.spawn(|| {
                    for round in 1..=rounds {
                        sum.fetch_add(1, Ordering::Relaxed);
                        assert!(barrier.wait());
                        assert_eq!(sum.load(Ordering::Relaxed), round * participants as u64);
                        assert!(barrier.wait());
                    }
                });
            }
        });
    }

    #[test]
    fn nobody_passes_early() {
        for participants in [1, 2, 3, 8] {
            meet(participants, 64, 2_000);
            meet(participants, 0, 500);
        }
    }

    #[test]
    fn breaking_releases_spinners_and_sleepers() {
        for cores in [0, 64] {
            let barrier = Barrier::new(3, cores);
            std::thread::scope(|scope| {
                let waiters = [scope.spawn(|| barrier.wait()), scope.spawn(|| barrier.wait())];
                std::thread::sleep(std::time::Duration::from_millis(5));
                barrier.break_all();
                assert!(waiters.into_iter().all(|waiter| !waiter.join().unwrap()));
            });
            assert!(barrier.is_broken());
            barrier.mend();
            assert!(!barrier.is_broken());
        }
    }
}
