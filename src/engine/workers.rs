//! Persistent threads that run one job together.
//!
//! The calling thread is worker 0; the others are started once and wait between jobs. A job is a closure that every
//! worker runs with its own number, meeting the others at a barrier as often as it likes. Use it for work of
//! microseconds that is repeated; for anything else the standard library's scoped threads are simpler.
#![allow(unsafe_code)]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::barrier::Barrier;
use crate::error::{Error, Result};
use crate::sync::{AtomicBool, Builder, JoinHandle, Mutex, UnsafeCell};

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
                match catch_unwind(AssertUnwindSafe(prepare)) {
                    Ok(()) => crew.serve(number),
                    Err(_) => crew.gate.break_all(), // rather than let `run` wait for ever
                }
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
    /// If a worker panicked: with its payload, after all have stopped. The crew remains usable. Also if a thread's `prepare`
    /// panicked, before anything is run.
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
        crew.job.with_mut(|place| unsafe { *place = Some(job) });
        let opened = crew.gate.wait();
        // without all of its threads the crew's gate opens to nobody: no worker has seen the job
        assert!(opened, "a worker could not be prepared");
        crew.guarded(|| caller(&crew.member(0)));
        let finished = crew.gate.wait();
        debug_assert!(finished, "a gate that has opened is broken only by a drop");
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
            if let Some(job) = self.job.with(|place| unsafe { *place }) {
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
            match first.is_none() && !payload.is::<OtherPanicked>() {
                true => *first = Some(payload),
                // not dropped: that runs code of whoever panicked, and a panic from here would leave the others in the job
                false => std::mem::forget(payload),
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

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::explore;

    struct Cells(Vec<UnsafeCell<usize>>);

    // SAFETY: none is claimed: loom watches who is in a cell, and the models ask it whether they race.
    unsafe impl Sync for Cells {}

    impl Cells {
        fn write(&self, number: usize, value: usize) {
            // SAFETY: as above.
            self.0[number].with_mut(|cell| unsafe { *cell = value });
        }

        fn all_are(&self, value: usize) {
            // SAFETY: as above.
            assert!(self.0.iter().all(|cell| cell.with(|cell| unsafe { *cell }) == value));
        }
    }

    fn cells(count: usize) -> Cells {
        Cells((0..count).map(|_| UnsafeCell::new(0)).collect())
    }

    /// A job whose data are gone behind it: what it leaves is read by the caller alone.
    fn run(workers: &mut Workers, count: usize, value: usize) {
        let cells = cells(count);
        let share = |member: &Member<'_>| {
            cells.write(member.number(), value);
            member.meet();
            cells.all_are(value);
        };
        workers.run(share, &share);
        (0..count).for_each(|number| cells.write(number, 0));
    }

    #[test]
    fn loom_jobs_follow_one_another() {
        for (count, jobs, bound) in [(2, 2, Some(3)), (3, 1, Some(1))] {
            explore(&format!("{count} workers, {jobs} jobs"), bound, move || {
                let mut workers = Workers::new(count, || ()).unwrap();
                (1..=jobs).for_each(|job| run(&mut workers, count, job));
            });
        }
    }

    #[test]
    fn loom_a_crew_without_a_job_ends() {
        for (count, bound) in [(2, None), (3, Some(2))] {
            explore(&format!("{count} workers, no job"), bound, move || {
                drop(Workers::new(count, || ()).unwrap());
            });
        }
    }

    #[test]
    fn loom_a_panic_ends_the_job_everywhere_and_the_crew_survives() {
        for (count, culprit, bound) in
            [(2, 0, Some(2)), (2, 1, Some(2)), (3, 0, Some(1)), (3, 2, Some(1))]
        {
            explore(&format!("{count} workers, {culprit} panics"), bound, move || {
                let mut workers = Workers::new(count, || ()).unwrap();
                let cells = cells(count);
                let share = |member: &Member<'_>| {
                    cells.write(member.number(), 1);
                    if member.number() == culprit {
                        resume_unwind(Box::new("on purpose"));
                    }
                    member.meet();
                    unreachable!("worker {culprit} does not come");
                };
                let job = AssertUnwindSafe(|| workers.run(share, &share));
                assert_eq!(catch_unwind(job).unwrap_err().downcast_ref(), Some(&"on purpose"));
                cells.all_are(1);
                run(&mut workers, count, 2);
            });
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

    #[test]
    fn a_second_payload_whose_drop_panics_does_not_end_the_job_early() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        let mut workers = Workers::new(2, || ()).unwrap();
        let share = |member: &Member<'_>| match member.number() {
            0 => {
                assert!(catch_unwind(AssertUnwindSafe(|| member.meet())).is_err());
                resume_unwind(Box::new(Bomb));
            }
            _ => resume_unwind(Box::new("the first")),
        };
        let result = catch_unwind(AssertUnwindSafe(|| workers.run(share, &share)));
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&"the first"));
        workers.run(|member| member.meet(), &|member| member.meet());
    }

    #[test]
    fn a_crew_that_could_not_be_prepared_refuses_jobs() {
        let prepare = || {
            if std::thread::current().name() == Some("densely-2") {
                resume_unwind(Box::new("no memory"));
            }
        };
        let mut workers = Workers::new(3, prepare).unwrap();
        let share = |_: &Member<'_>| unreachable!("no job is run");
        assert!(catch_unwind(AssertUnwindSafe(|| workers.run(share, &share))).is_err());
    }
}
