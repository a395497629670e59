//! Vectors of `f32` that begin at a cache line, and whose failed allocation is an error instead of an abort.

use std::ops::{Deref, DerefMut};

use crate::error::Result;
use crate::memory::{too_large, try_zeroed};

pub use crate::memory::require_memory;

/// The values of a cache line: 64 bytes, as many as an AVX-512 register holds.
const LINE: usize = 16;

/// A fixed-size vector of `f32`, zero at first, aligned to 64 bytes: a vector load never crosses a cache line. The pages of a large one come
/// when they are first written, near the core that does it.
#[derive(Debug)]
pub struct Buffer {
    /// The vector from `start` on, and what it takes to begin at a cache line.
    values: Vec<f32>,
    start: usize,
    len: usize,
}

impl Buffer {
    /// A buffer of `len` zeros. The error names `what` if memory cannot be allocated.
    ///
    /// # Errors
    /// [`crate::Error::Memory`] if memory cannot be allocated, or if the system would grant more than the machine has.
    pub fn zeros(len: usize, what: &str) -> Result<Self> {
        require_memory(len, what)?;
        let values = len.checked_add(LINE).and_then(|len| try_zeroed(len).ok());
        Ok(Self::within(values.ok_or_else(|| too_large(len, what))?, len))
    }

    /// The `len` values that begin at the first cache line of a vector, which has `LINE` values more.
    fn within(values: Vec<f32>, len: usize) -> Self {
        let start = values.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        Self { values, start, len }
    }

    /// A copy of `values`.
    ///
    /// # Errors
    /// As [`Buffer::zeros`].
    pub fn copy_of(values: &[f32], what: &str) -> Result<Self> {
        let mut buffer = Self::zeros(values.len(), what)?;
        buffer.copy_from_slice(values);
        Ok(buffer)
    }

    /// `position` rounded up to the start of a cache line; `None` if that overflows.
    pub fn next_line(position: usize) -> Option<usize> {
        position.checked_next_multiple_of(LINE)
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut buffer = Self::within(vec![0.0; self.values.len()], self.len);
        buffer.copy_from_slice(self);
        buffer
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[self.start..][..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_hold_their_values() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
            let buffer = Buffer::copy_of(&values, "test").unwrap();
            assert_eq!(&*buffer, &values[..]);
            assert!(len == 0 || buffer.as_ptr().addr().is_multiple_of(64));
        }
    }

    #[test]
    fn memory_that_cannot_be_allocated_is_an_error() {
        // one length beyond any address space, and one beyond any machine, which the kernel might still grant
        for len in [1 << 60, 1 << 42] {
            let message = Buffer::zeros(len, "the workspace").unwrap_err().to_string();
            assert!(message.contains("the workspace needs"), "{message}");
        }
    }
}
