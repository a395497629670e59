//! Vectors of `f32` that begin at a cache line, and whose failed allocation is an error instead of an abort.

use std::ops::{Deref, DerefMut};

use bytemuck::{Pod, Zeroable};

use crate::error::Result;
use crate::memory::{too_large, try_reserve};

pub use crate::memory::require_memory;

/// A cache line: 64 bytes, as many as an AVX-512 register holds.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;

/// A fixed-size vector of `f32`, zero at first, aligned to 64 bytes: a vector load never crosses a cache line.
#[derive(Clone, Debug)]
pub struct Buffer {
    lines: Vec<Line>,
    len: usize,
}

impl Buffer {
    /// A buffer of `len` zeros. The error names `what` if memory cannot be allocated.
    ///
    /// # Errors
    /// [`crate::Error::Memory`] if memory cannot be allocated, or if the system would grant more than the machine has.
    pub fn zeros(len: usize, what: &str) -> Result<Self> {
        require_memory(len, what)?;
        let needed = len.div_ceil(LINE);
        let mut lines = Vec::new();
        try_reserve(&mut lines, needed).map_err(|_| too_large(len, what))?;
        lines.resize(needed, Line([0.0; LINE]));
        Ok(Self { lines, len })
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

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &bytemuck::cast_slice(&self.lines)[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.len]
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
