//! Persistent threads that run one job together.
//!
//! The calling thread is worker 0; the others are started once and wait between jobs. A job is a closure that every worker
//! runs with its own number, and in which it may wait for the others at a barrier any number of times. Use it for repeated
//! work of microseconds; for anything else the standard library's scoped threads are simpler.
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

/// A worker within a job. Only [`Workers::run`] creates members: one for each thread, each with its own number.
pub struct Member<'a> {
    number: usize,
    barrier: &'a Barrier,
}

impl Member<'_> {
    /// The worker's number: 0 for the calling thread.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The number of workers of the job.
    pub fn count(&self) -> usize {
        self.barrier.participants()
    }

    /// Waits at the barrier for all workers of the job; afterwards all see what each wrote before.
    ///
    /// # Panics
    /// If another worker panicked, so that the job ends everywhere.
    pub fn synchronise(&self) {
        if !self.barrier.wait() {
            resume_unwind(Box::new(OtherPanicked)); // without a message: the worker that panicked first prints one
        }
    }
}

/// The payload of a panic in a worker that ends because another one panicked.
struct OtherPanicked;

/// A crew of threads that run jobs together.
#[derive(Debug)]
pub struct Workers {
    crew: Arc<Crew>,
    threads: Vec<JoinHandle<()>>,
}

struct Crew {
    /// All workers wait here before and after a job.
    gate: Barrier,
    /// All workers wait here within a job; a panic breaks it.
    barrier: Barrier,
    job: UnsafeCell<Option<*const Job<'static>>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    quit: AtomicBool,
}

// SAFETY: the caller alone writes `job`, while the others wait at the gate, and the others read it after the gate; the closure
// that it points to is `Sync`. All other fields are `Sync` themselves.
unsafe impl Sync for Crew {}
// SAFETY: as above; no field is tied to a thread.
unsafe impl Send for Crew {}

impl std::fmt::Debug for Crew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crew").finish_non_exhaustive()
    }
}

impl Workers {
    /// Starts `count - 1` threads. Each of them runs `prepare` first, and so does the calling thread.
    ///
    /// # Errors
    /// If the operating system cannot start a thread.
    pub fn new(count: usize, prepare: impl Fn() + Copy + Send + 'static) -> Result<Self> {
        assert!(count > 0, "workers: count is 0");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let crew = Arc::new(Crew {
            gate: Barrier::new(count, cores),
            barrier: Barrier::new(count, cores),
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
                    Err(_) => crew.gate.break_all(), // or else `run` would wait forever
                }
            });
            // on an error, dropping `workers` ends the threads that have started
            workers.threads.push(spawned.map_err(|error| {
                Error::invalid("threads", format!("cannot start {count} threads: {error}"))
            })?);
        }
        prepare();
        Ok(workers)
    }

    /// Runs a job: `caller` on this thread, as worker 0, and `others` on every other worker. Returns when all have finished.
    ///
    /// # Panics
    /// If a worker panics: with its payload, after all workers have stopped. The crew remains usable. Also if a thread's
    /// `prepare` has panicked, before any worker runs the job.
    pub fn run(&mut self, caller: impl FnOnce(&Member<'_>), others: &Job<'_>) {
        let crew = &*self.crew;
        if self.threads.is_empty() {
            return caller(&crew.member(0));
        }
        let job: *const Job<'_> = others;
        // SAFETY: only the lifetime changes. The workers use the pointer between the two waits at the gate below, and this
        // function does not return or unwind before the second one.
        let job = unsafe { std::mem::transmute::<*const Job<'_>, *const Job<'static>>(job) };
        // SAFETY: the others are waiting at the gate and do not read `job` before it opens.
        crew.job.with_mut(|cell| unsafe { *cell = Some(job) });
        let opened = crew.gate.wait();
        // a gate that is broken opens for no worker, so none of them has seen the job
        assert!(opened, "workers: a thread could not be prepared; see its panic");
        crew.guarded(|| caller(&crew.member(0)));
        let finished = crew.gate.wait();
        debug_assert!(finished, "once open, only a drop breaks the gate");
        if crew.barrier.is_broken() {
            crew.barrier.reset();
            let payload = crew.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
            resume_unwind(payload.unwrap_or_else(|| Box::new("a worker panicked")));
        }
    }
}

impl Crew {
    fn member(&self, number: usize) -> Member<'_> {
        Member { number, barrier: &self.barrier }
    }

    /// Runs job after job as the worker of that number, until the crew is dropped.
    fn serve(&self, number: usize) {
        while self.gate.wait() && !self.quit.load(Ordering::Acquire) {
            // SAFETY: between the two waits at the gate `job` is set, does not change, and outlives its use (see `run`).
            if let Some(job) = self.job.with(|cell| unsafe { *cell }) {
                // SAFETY: as above.
                let job = unsafe { &*job };
                self.guarded(|| job(&self.member(number)));
            }
            if !self.gate.wait() {
                break;
            }
        }
    }

    /// Runs the job on one worker. A panic ends the job on all workers, and its payload is kept for the caller.
    fn guarded(&self, job: impl FnOnce()) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(job)) {
            let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            match first.is_none() && !payload.is::<OtherPanicked>() {
                true => *first = Some(payload),
                // not dropped: a drop runs code of the job, and a panic from here would leave the others in the job
                false => std::mem::forget(payload),
            }
            self.barrier.break_all();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.crew.quit.store(true, Ordering::Release);
        self.crew.gate.break_all();
        for thread in self.threads.drain(..) {
            // `guarded` has caught the worker's panics: a join has nothing more to report
            drop(thread.join());
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::explore;

    struct Cells(Vec<UnsafeCell<usize>>);

    // SAFETY: none is claimed: loom tracks who accesses a cell, and these tests have it look for races.
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

    /// Runs a job whose data are dropped after it; only the caller reads what it wrote.
    fn run_and_check(workers: &mut Workers, count: usize, value: usize) {
        let cells = cells(count);
        let job = |member: &Member<'_>| {
            cells.write(member.number(), value);
            member.synchronise();
            cells.all_are(value);
        };
        workers.run(job, &job);
        (0..count).for_each(|number| cells.write(number, 0));
    }

    #[test]
    fn loom_jobs_follow_one_another() {
        for (count, jobs, bound) in [(2, 2, Some(3)), (3, 1, Some(1))] {
            explore(&format!("{count} workers, {jobs} jobs"), bound, move || {
                let mut workers = Workers::new(count, || ()).unwrap();
                (1..=jobs).for_each(|job| run_and_check(&mut workers, count, job));
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
    fn loom_a_panic_ends_the_job_on_all_workers_and_the_crew_remains_usable() {
        for (count, culprit, bound) in
            [(2, 0, Some(2)), (2, 1, Some(2)), (3, 0, Some(1)), (3, 2, Some(1))]
        {
            explore(&format!("{count} workers, {culprit} panics"), bound, move || {
                let mut workers = Workers::new(count, || ()).unwrap();
                let cells = cells(count);
                let job = |member: &Member<'_>| {
                    cells.write(member.number(), 1);
                    if member.number() == culprit {
                        resume_unwind(Box::new("on purpose"));
                    }
                    member.synchronise();
                    unreachable!("worker {culprit} does not reach the barrier");
                };
                let run = AssertUnwindSafe(|| workers.run(job, &job));
                assert_eq!(catch_unwind(run).unwrap_err().downcast_ref(), Some(&"on purpose"));
                cells.all_are(1);
                run_and_check(&mut workers, count, 2);
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
                let job = |member: &Member<'_>| {
                    runs[member.number()].fetch_add(1, Ordering::Relaxed);
                    member.synchronise();
                    assert!(runs.iter().all(|runs| runs.load(Ordering::Relaxed) == 1));
                };
                workers.run(job, &job);
            }
        }
    }

    #[test]
    fn a_panic_on_any_worker_reaches_the_caller_and_the_crew_remains_usable() {
        let mut workers = Workers::new(3, || ()).unwrap();
        for culprit in 0..3 {
            let result = catch_unwind(AssertUnwindSafe(|| {
                let job = |member: &Member<'_>| {
                    member.synchronise();
                    assert!(member.number() != culprit, "worker {} fails", member.number());
                    member.synchronise();
                };
                workers.run(job, &job);
            }));
            let payload = result.unwrap_err();
            let message = payload.downcast_ref::<String>().unwrap();
            assert_eq!(message, &format!("worker {culprit} fails"));
            let sum = AtomicUsize::new(0);
            let job = |member: &Member<'_>| {
                sum.fetch_add(member.number(), Ordering::Relaxed);
                member.synchronise();
            };
            workers.run(job, &job);
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
        let job = |member: &Member<'_>| match member.number() {
            0 => {
                assert!(catch_unwind(AssertUnwindSafe(|| member.synchronise())).is_err());
                resume_unwind(Box::new(Bomb));
            }
            _ => resume_unwind(Box::new("the first")),
        };
        let result = catch_unwind(AssertUnwindSafe(|| workers.run(job, &job)));
        assert_eq!(result.unwrap_err().downcast_ref(), Some(&"the first"));
        workers.run(|member| member.synchronise(), &|member| member.synchronise());
    }

    #[test]
    fn a_crew_that_could_not_be_prepared_rejects_jobs() {
        let prepare = || {
            if std::thread::current().name() == Some("densely-2") {
                resume_unwind(Box::new("no memory"));
            }
        };
        let mut workers = Workers::new(3, prepare).unwrap();
        let job = |_: &Member<'_>| unreachable!("no job is run");
        assert!(catch_unwind(AssertUnwindSafe(|| workers.run(job, &job))).is_err());
    }
}
