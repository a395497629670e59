//! Persistent threads that run one job together.
//!
//! The calling thread is worker 0; the others are started once and wait between jobs. A job is a closure that every
//! worker runs with its own number, meeting the others at a barrier as often as it likes. Use it for work of
//! microseconds that is repeated; for anything else the standard library's scoped threads are simpler.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::barrier::Barrier;
use crate::error::{Error, Result};

/// What a worker other than the caller runs.
type Job<'a> = dyn Fn(&Member<'_>) + Sync + 'a;

/// A worker within a job. Only [`Workers::run`] makes them: one for each thread, each with a number of its own.
pub struct Member<'a> {
    number: usize,
    barrier: &'a Barrier,
}

impl Member<'_> {
    /// 0 for the calling thread.
    pub fn number(&self) -> usize {
        self.number
    }

    /// How many workers the job has.
    pub fn count(&self) -> usize {
        self.barrier.participants()
    }

    /// Waits for all workers of the job; what each wrote before is seen by all after.
    ///
    /// # Panics
    /// If another worker panicked, so that the job ends everywhere.
    pub fn meet(&self) {
        if !self.barrier.wait() {
            resume_unwind(Box::new(OtherPanicked)); // without a message: the culprit prints one
        }
    }
}

/// The payload of a panic that only passes on that another worker panicked.
struct OtherPanicked;

/// A crew of threads.
#[derive(Debug)]
pub struct Workers {
    crew: Arc<Crew>,
    threads: Vec<JoinHandle<()>>,
}

struct Crew {
    /// All meet here before and after a job.
    gate: Barrier,
    /// All meet here within a job; broken by a panic.
    meeting: Barrier,
    job: UnsafeCell<Option<*const Job<'static>>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    quit: AtomicBool,
}

// SAFETY: `job` is written by the caller alone, while the others wait at the gate, and read by the others after it;
// the closure behind the pointer is `Sync`. All other fields are `Sync` themselves.
unsafe impl Sync for Crew {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Crew {}

impl std::fmt::Debug for Crew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crew").finish_non_exhaustive()
    }
}

impl Workers {
    /// Starts `count - 1` threads, each of which runs `prepare` first, as does the calling thread.
    ///
    /// # Errors
    /// If the operating system refuses a thread.
    pub fn new(count: usize, prepare: impl Fn() + Copy + Send + 'static) -> Result<Self> {
        assert!(count > 0, "workers: count is 0");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let crew = Arc::new(Crew {
            gate: Barrier::new(count, cores),
            meeting: Barrier::new(count, cores),
            job: UnsafeCell::new(None),
            panic: Mutex::new(None),
            quit: AtomicBool::new(false),
        });
        let mut workers = Self { crew, threads: Vec::with_capacity(count - 1) };
        for number in 1..count {
            let crew = Arc::clone(&workers.crew);
            let spawned = Builder::new().name(format!("densely-{number}")).spawn(move || {
                prepare();
                crew.serve(number);
            });
            // dropping `workers` ends those that have started
            workers.threads.push(spawned.map_err(|error| {
                Error::invalid("threads", format!("cannot start {count} threads: {error}"))
            })?);
        }
        prepare();
        Ok(workers)
    }

    /// Runs a job: `caller` here, as worker 0, and `others` on every other worker. Returns when all have finished.
    ///
    /// # Panics
    /// If a worker panicked: with its payload, after all have stopped. The crew remains usable.
    pub fn run(&mut self, caller: impl FnOnce(&Member<'_>), others: &Job<'_>) {
        let crew = &*self.crew;
        if self.threads.is_empty() {
            return caller(&crew.member(0));
        }
        let job: *const Job<'_> = others;
        // SAFETY: only the lifetime changes. The workers use the pointer between the two gates below, and this
        // function leaves in no way before the second one.
        let job = unsafe { std::mem::transmute::<*const Job<'_>, *const Job<'static>>(job) };
        // SAFETY: the others are waiting at the gate and do not look at `job` before it opens.
        unsafe { *crew.job.get() = Some(job) };
        let opened = crew.gate.wait();
        debug_assert!(opened, "the gate is broken only by a drop");
        crew.guarded(|| caller(&crew.member(0)));
        let finished = crew.gate.wait();
        debug_assert!(finished, "the gate is broken only by a drop");
        if crew.meeting.is_broken() {
            crew.meeting.mend();
            let payload = crew.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
            resume_unwind(payload.unwrap_or_else(|| Box::new("a worker panicked")));
        }
    }
}

impl Crew {
    fn member(&self, number: usize) -> Member<'_> {
        Member { number, barrier: &self.meeting }
    }

    /// The life of a worker.
    fn serve(&self, number: usize) {
        while self.gate.wait() && !self.quit.load(Ordering::Acquire) {
            // SAFETY: between the gates `job` is set, does not change, and outlives its use (see `run`).
            if let Some(job) = unsafe { *self.job.get() } {
                // SAFETY: as above.
                let job = unsafe { &*job };
                self.guarded(|| job(&self.member(number)));
            }
            if !self.gate.wait() {
                break;
            }
        }
    }

    /// Runs a worker's share; a panic is kept for the caller and ends the job everywhere.
    fn guarded(&self, share: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(share)) {
            let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            if first.is_none() && !payload.is::<OtherPanicked>() {
                *first = Some(payload);
            }
            self.meeting.break_all();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.crew.quit.store(true, Ordering::Release);
        self.crew.gate.break_all();
        for thread in self.threads.drain(..) {
            // a worker's panics are caught in `guarded`; there is nothing left to learn here
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn every_worker_runs_every_job_once() {
        for count in [1, 2, 3, 17] {
            let mut workers = Workers::new(count, || ()).unwrap();
            for _ in 0..50 {
                let runs: Vec<AtomicUsize> = (0..count).map(|_| AtomicUsize::new(0)).collect();
                let share = |member: &Member<'_>| {
                    runs[member.number()].fetch_add(1, Ordering::Relaxed);
                    member.meet();
                    assert!(runs.iter().all(|runs| runs.load(Ordering::Relaxed) == 1));
                };
                workers.run(share, &share);
            }
        }
    }

    #[test]
    fn a_panic_anywhere_reaches_the_caller_and_the_crew_survives() {
        let mut workers = Workers::new(3, || ()).unwrap();
        for culprit in 0..3 {
            let result = catch_unwind(AssertUnwindSafe(|| {
                let share = |member: &Member<'_>| {
                    member.meet();
                    assert!(member.number() != culprit, "worker {} fails", member.number());
                    member.meet();
                };
                workers.run(share, &share);
            }));
            let payload = result.unwrap_err();
            let message = payload.downcast_ref::<String>().unwrap();
            assert_eq!(message, &format!("worker {culprit} fails"));
            let sum = AtomicUsize::new(0);
            let share = |member: &Member<'_>| {
                sum.fetch_add(member.number(), Ordering::Relaxed);
                member.meet();
            };
            workers.run(share, &share);
            assert_eq!(sum.load(Ordering::Relaxed), 3);
        }
    }
}
