//! What threads share: the standard library's types, or those of loom in a build with `--cfg loom`.
//!
//! loom runs a test again and again, in every order of events and with every value that the memory model allows a load
//! to see. Only what is tested so imports from here; the rest uses the standard library.

#[cfg(loom)]
pub use loom::{
    cell::UnsafeCell,
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicUsize},
    sync::{Condvar, Mutex},
    thread::{Builder, JoinHandle},
};
#[cfg(not(loom))]
pub use std::{
    hint::spin_loop,
    sync::atomic::{AtomicBool, AtomicUsize},
    sync::{Condvar, Mutex},
    thread::{Builder, JoinHandle},
};

/// [`std::cell::UnsafeCell`] with the interface of loom's, which sees who is in it and when.
#[cfg(not(loom))]
#[derive(Debug)]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    /// A cell with a value in it.
    pub fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Lends a pointer to read from.
    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Lends a pointer to write to.
    #[inline(always)]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Runs a model in every order of events, with every value that the memory model lets a load see; with a bound, in those with
/// so many preemptions at most (`LOOM_MAX_PREEMPTIONS` sets another). Says how many there were.
///
/// `RUSTFLAGS="--cfg loom" cargo test --release --no-default-features --lib loom -- --nocapture --test-threads 1`
#[cfg(all(test, loom))]
pub fn explore(name: &str, preemptions: Option<usize>, model: impl Fn() + Sync + Send + 'static) {
    use std::io::Write as _;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    let orders = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&orders);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(preemptions);
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    writeln!(std::io::stdout(), "{name}: {} orders", orders.load(Ordering::Relaxed)).unwrap();
}
