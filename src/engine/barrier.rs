//! A reusable barrier that spins briefly, then sleeps, and can be broken.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use crate::sync::{AtomicBool, AtomicUsize, Condvar, Mutex, spin_loop};

/// How often a waiting thread spins before it sleeps: a quarter to half a millisecond on current CPUs. That is longer than
/// workers with even work usually wait for one another, and too short to matter to other programs. loom tries every order,
/// whatever the number.
const SPINS: u32 = if cfg!(loom) { 1 } else { 10_000 };

/// A value on cache lines of its own: who arrives does not take the line away that the others read while they wait.
#[derive(Debug)]
#[repr(align(128))]
struct Apart<T>(T);

/// A barrier for `participants` threads, which can be passed any number of times.
///
/// A thread that waits spins for a moment, because the others of a training step arrive soon, and then sleeps. If one thread
/// can no longer arrive, [`Barrier::break_all`] releases the others.
#[derive(Debug)]
pub struct Barrier {
    participants: usize,
    spins: u32,
    arrived: Apart<AtomicUsize>,
    generation: Apart<AtomicUsize>,
    broken: AtomicBool,
    sleepers: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Barrier {
    /// A barrier for `participants` threads. With more threads than `cores` no thread spins: it would delay the others.
    pub fn new(participants: usize, cores: usize) -> Self {
        Self {
            participants,
            spins: if participants <= cores { SPINS } else { 0 },
            arrived: Apart(AtomicUsize::new(0)),
            generation: Apart(AtomicUsize::new(0)),
            broken: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        }
    }

    /// The number of threads that wait for one another here.
    pub fn participants(&self) -> usize {
        self.participants
    }

    /// Waits until all participants have called this. Returns false if the barrier is broken.
    ///
    /// Afterwards all threads see what each wrote before.
    #[must_use]
    pub fn wait(&self) -> bool {
        let generation = self.generation.0.load(Ordering::Acquire);
        // AcqRel: the last thread to arrive sees what the others wrote, and publishes it with the new generation
        if self.arrived.0.fetch_add(1, Ordering::AcqRel) + 1 == self.participants {
            self.arrived.0.store(0, Ordering::Relaxed);
            self.generation.0.store(generation.wrapping_add(1), Ordering::Release);
            self.wake_sleepers();
            return !self.broken.load(Ordering::Acquire);
        }
        let waiting = || {
            self.generation.0.load(Ordering::Acquire) == generation
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

    /// Releases every thread that waits, now and until [`Barrier::reset`]: their waits return false.
    pub fn break_all(&self) {
        self.broken.store(true, Ordering::Release);
        self.wake_sleepers();
    }

    /// Whether the barrier is broken.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Repairs a broken barrier. No thread may be waiting at it.
    pub fn reset(&self) {
        self.arrived.0.store(0, Ordering::Relaxed);
        self.broken.store(false, Ordering::Release);
    }

    /// Wakes the threads that sleep in `wait`, after a change of what `waiting` reads.
    fn wake_sleepers(&self) {
        // This and the increment of `sleepers` in `wait` both read and write, so that one of the two is first and the other sees
        // it: either this thread sees the sleeper, or the sleeper sees the change. A load here could come before the change.
        let no_sleepers =
            self.sleepers.compare_exchange(0, 0, Ordering::Release, Ordering::Relaxed);
        if no_sleepers.is_err() {
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

    /// A barrier, and a cell for each of its threads.
    struct Fixture {
        barrier: Barrier,
        cells: Vec<UnsafeCell<usize>>,
    }

    // SAFETY: none is claimed: loom tracks who accesses a cell, and these tests have it look for races.
    unsafe impl Sync for Fixture {}

    impl Fixture {
        fn new(participants: usize, cores: usize) -> Arc<Self> {
            let cells = (0..participants).map(|_| UnsafeCell::new(0)).collect();
            Arc::new(Self { barrier: Barrier::new(participants, cores), cells })
        }

        /// Writes the thread's own cell, waits at the barrier, and checks all cells.
        fn write_wait_check(&self, number: usize, round: usize) {
            // SAFETY: as above.
            self.cells[number].with_mut(|cell| unsafe { *cell = round });
            assert!(self.barrier.wait());
            for cell in &self.cells {
                // SAFETY: as above.
                assert_eq!(cell.with(|cell| unsafe { *cell }), round);
            }
        }
    }

    /// Runs `first` on this thread, and `others` on a thread for each other participant.
    fn with_threads(
        fixture: &Arc<Fixture>,
        others: fn(&Fixture, usize),
        first: impl FnOnce(&Fixture),
    ) {
        let threads: Vec<_> = (1..fixture.barrier.participants())
            .map(|number| {
                let fixture = Arc::clone(fixture);
                loom::thread::spawn(move || others(&fixture, number))
            })
            .collect();
        first(fixture);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    /// Passes the barrier twice: reads after the first time what was written before it, and writes after the second time what
    /// was read before it.
    fn twice(fixture: &Fixture, number: usize) {
        fixture.write_wait_check(number, 1);
        assert!(fixture.barrier.wait());
        // SAFETY: as above.
        fixture.cells[number].with_mut(|cell| unsafe { *cell = 2 });
    }

    #[test]
    fn loom_what_is_written_before_the_barrier_is_seen_after_it() {
        for (name, cores) in [("sleeping", 0), ("spinning, then sleeping", 3)] {
            for (participants, bound) in [(2, Some(3)), (3, Some(2))] {
                explore(&format!("{participants} threads, {name}"), bound, move || {
                    let fixture = Fixture::new(participants, cores);
                    with_threads(&fixture, twice, |fixture| twice(fixture, 0));
                });
            }
        }
    }

    #[test]
    fn loom_a_break_releases_all_threads_and_a_reset_barrier_works_again() {
        for (name, cores) in [("sleeping", 0), ("spinning, then sleeping", 3)] {
            for (participants, bound) in [(2, None), (3, Some(2))] {
                explore(&format!("{participants}, one breaks, {name}"), bound, move || {
                    let fixture = Fixture::new(participants, cores);
                    // the first thread never arrives: it breaks the barrier while the others wait, or are about to
                    with_threads(
                        &fixture,
                        |fixture, _| assert!(!fixture.barrier.wait()),
                        |fixture| fixture.barrier.break_all(),
                    );
                    assert!(fixture.barrier.is_broken());
                    fixture.barrier.reset();
                    with_threads(
                        &fixture,
                        |fixture, n| fixture.write_wait_check(n, 1),
                        |fixture| fixture.write_wait_check(0, 1),
                    );
                });
            }
        }
    }

    #[test]
    fn loom_a_break_after_a_passed_barrier_loses_no_writes() {
        explore("a passed barrier, then a break", None, || {
            let fixture = Fixture::new(2, 0);
            // a thread that has arrived may see the break at once or in its next wait; either way it sees what was written
            with_threads(
                &fixture,
                |fixture, _| {
                    if fixture.barrier.wait() {
                        assert!(!fixture.barrier.wait());
                    }
                    // SAFETY: as above.
                    assert_eq!(fixture.cells[0].with(|cell| unsafe { *cell }), 7);
                },
                |fixture| {
                    // SAFETY: as above.
                    fixture.cells[0].with_mut(|cell| unsafe { *cell = 7 });
                    assert!(fixture.barrier.wait());
                    fixture.barrier.break_all();
                },
            );
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// Threads add to a sum and check it after each barrier; `cores` decides between spinning and sleeping.
    fn count_in_rounds(participants: usize, cores: usize, rounds: u64) {
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
    fn no_thread_passes_early() {
        for participants in [1, 2, 3, 8] {
            count_in_rounds(participants, 64, 2_000);
            count_in_rounds(participants, 0, 500);
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
            barrier.reset();
            assert!(!barrier.is_broken());
        }
    }
}
