//! The command line of densely; everything it does is in `densely::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    densely::cli::main()
}

/// How many threads OpenBLAS starts when it is loaded, which is before `main`: none besides the caller.
///
/// densely's workers call it one by one, so that it needs none. For each it would map 128 MB of addresses, and try for ever where
/// a limit forbids that; where threads are limited, it would raise SIGINT. This takes the place of the function of that name in
/// the shared library, which reads the environment variable `OPENBLAS_NUM_THREADS` (`driver/others/openblas_env.c`).
/// A static OpenBLAS would define it twice; densely links the shared one.
#[cfg(all(target_os = "linux", feature = "openblas"))]
#[allow(unsafe_code)]
// SAFETY: the signature is that of the library's function.
#[unsafe(no_mangle)]
pub extern "C" fn openblas_num_threads_env() -> std::ffi::c_int {
    1
}

/// The system's allocator, which asks for huge pages where much is allocated. Where it has no memory, the program ends with one line.
struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

#[allow(unsafe_code)]
mod allocator {
    use std::alloc::{GlobalAlloc, Layout, System};

    fn checked(pointer: *mut u8, bytes: usize) -> *mut u8 {
        match pointer.is_null() {
            true => densely::cli::out_of_memory(bytes),
            false => densely::cli::prefer_huge_pages(pointer, bytes),
        }
        pointer
    }

    // SAFETY: every call is passed on to the system's allocator as it is.
    unsafe impl GlobalAlloc for super::Allocator {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the caller's promises are those of `System`; so below.
            checked(unsafe { System.alloc(layout) }, layout.size())
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            // SAFETY: as above.
            checked(unsafe { System.alloc_zeroed(layout) }, layout.size())
        }

        unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            // SAFETY: as above.
            checked(unsafe { System.realloc(pointer, layout, size) }, size)
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            // SAFETY: as above.
            unsafe { System.dealloc(pointer, layout) }
        }
    }
}
