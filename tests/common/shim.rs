//! Loaded into a process before its C library (`LD_PRELOAD`), it lets a chosen call kill the process or fail.
//!
//! `DENSELY_SHIM="kill rename 3"` ends the process as `kill -9` does, just before the third `rename`; `"kill-after rename 3"`
//! just after it; `"fail write 5 28"` lets the fifth `write` to a file, and every later one, fail with error 28, which is a
//! full disk on Linux, and `"fail-once write 5 28"` the fifth alone; where that happens, the file that `DENSELY_SHIM_MARK` names is
//! made. The calls are `rename`, `fsync` and `write`; writes to the three standard streams do not count.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn getpid() -> c_int;
    fn kill(process: c_int, signal: c_int) -> c_int;
    fn __errno_location() -> *mut c_int;
}

/// The next library that has the function.
const NEXT: *mut c_void = -1isize as *mut c_void;

struct Plan {
    action: String,
    call: String,
    at: usize,
    error: c_int,
    calls: AtomicUsize,
}

fn plan() -> Option<&'static Plan> {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    let read = || {
        let text = std::env::var("DENSELY_SHIM").ok()?;
        let mut words = text.split(' ').map(str::to_owned);
        let (action, call) = (words.next()?, words.next()?);
        let at = words.next()?.parse().ok()?;
        let error = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        Some(Plan { action, call, at, error, calls: AtomicUsize::new(0) })
    };
    PLAN.get_or_init(read).as_ref()
}

/// Calls the real function, unless the plan says otherwise.
fn pass<R: From<i8>>(call: &str, real: impl FnOnce() -> R) -> R {
    let Some(plan) = plan().filter(|plan| plan.call == call) else { return real() };
    let number = plan.calls.fetch_add(1, Relaxed) + 1;
    // SAFETY: plain calls of the C library.
    let end = || unsafe { kill(getpid(), 9) };
    match &plan.action[..] {
        "kill" if number == plan.at => drop(end()),
        "fail" | "fail-once" if number == plan.at || (number > plan.at && plan.action == "fail") => {
            if let Ok(mark) = std::env::var("DENSELY_SHIM_MARK") {
                drop(std::fs::File::create(mark));
            }
            // SAFETY: the address of this thread's error number.
            unsafe { *__errno_location() = plan.error };
            return R::from(-1);
        }
        _ => {}
    }
    let result = real();
    if plan.action == "kill-after" && number == plan.at {
        end();
    }
    result
}

fn real(name: &CStr) -> *mut c_void {
    // SAFETY: a lookup by name; the caller knows the function's type.
    unsafe { dlsym(NEXT, name.as_ptr()) }
}

/// # Safety
/// As `rename` of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    type Rename = unsafe extern "C" fn(*const c_char, *const c_char) -> c_int;
    // SAFETY: this is the function's type.
    let rename: Rename = unsafe { std::mem::transmute(real(c"rename")) };
    // SAFETY: the caller's promise.
    pass("rename", || unsafe { rename(from, to) })
}

/// # Safety
/// As `fsync` of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(file: c_int) -> c_int {
    // SAFETY: this is the function's type.
    let fsync: unsafe extern "C" fn(c_int) -> c_int = unsafe { std::mem::transmute(real(c"fsync")) };
    // SAFETY: the caller's promise.
    pass("fsync", || unsafe { fsync(file) })
}

/// # Safety
/// As `write` of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(file: c_int, bytes: *const c_void, count: usize) -> isize {
    type Write = unsafe extern "C" fn(c_int, *const c_void, usize) -> isize;
    // SAFETY: this is the function's type.
    let write: Write = unsafe { std::mem::transmute(real(c"write")) };
    // SAFETY: the caller's promise.
    let real = || unsafe { write(file, bytes, count) };
    if file <= 2 { real() } else { pass("write", real) }
}
