//! A reusable barrier that spins briefly, then sleeps, and can be broken.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// A quarter to half a millisecond on current CPUs: longer than workers of an even partition usually wait for one another,
/// and not so long that other programs would miss it.
const SPINS: u32 = 10_000;

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
            self.generation.store(generation.wrapping_add(1), Ordering::SeqCst);
            self.wake_sleepers();
            return !self.broken.load(Ordering::Acquire);
        }
        let waiting = || {
            self.generation.load(Ordering::SeqCst) == generation
                && !self.broken.load(Ordering::SeqCst)
        };
        for _ in 0..self.spins {
            if !waiting() {
                break;
            }
            spin_loop();
        }
        if waiting() {
            // SeqCst pairs this with `wake_sleepers`: either it sees the sleeper, or the sleeper sees the change
            self.sleepers.fetch_add(1, Ordering::SeqCst);
            let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
            while waiting() {
                guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
            }
            self.sleepers.fetch_sub(1, Ordering::SeqCst);
        }
        !self.broken.load(Ordering::Acquire)
    }

    /// Releases everyone who waits, now and until [`Barrier::mend`]: their waits return false.
    pub fn break_all(&self) {
        self.broken.store(true, Ordering::SeqCst);
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

    fn wake_sleepers(&self) {
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.wake.notify_all();
        }
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
