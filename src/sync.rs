//! The types through which threads share data: the standard library's, or loom's in a build with `--cfg loom`.
//!
//! loom runs a test many times: in every order of events, and with every value that the memory model allows a load to see. Only
//! code that is tested with loom imports from here; all other code uses the standard library.

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

/// [`std::cell::UnsafeCell`] with the interface of loom's, which tracks every access.
#[cfg(not(loom))]
#[derive(Debug)]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    /// A cell that holds a value.
    pub fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Calls `f` with a pointer to read from.
    #[inline(always)]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Calls `f` with a pointer to write to.
    #[inline(always)]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Runs a model in every order of events, with every value that the memory model allows a load to see, and prints the number of
/// orders. With a bound, runs only the orders with at most that many preemptions (`LOOM_MAX_PREEMPTIONS` sets another bound).
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
