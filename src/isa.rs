//! The instruction sets of this CPU, and the macro that compiles a kernel for each.
#![allow(unsafe_code)]

/// An instruction set that this CPU has. Only [`Isa::detect`] and [`Isa::available`] create one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(pub(crate) Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// The best instruction set of this CPU.
    pub fn detect() -> Self {
        let available = Self::available();
        available[available.len() - 1]
    }

    /// All instruction sets of this CPU, from the most basic to the best.
    pub fn available() -> Vec<Self> {
        let mut available = vec![Self(Level::Portable)];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            available.push(Self(Level::Avx2));
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                available.push(Self(Level::Avx512));
            }
        }
        available
    }

    /// Whether kernels are compiled for the vectors of this CPU, and not for the most basic ones.
    pub fn has_vectors(self) -> bool {
        self.0 != Level::Portable
    }

    /// A name to display: `AVX-512`, `AVX2` or `portable`.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "AVX-512",
        }
    }
}

/// Asks the CPU to bring values into its cache, without reading them.
#[inline(always)]
pub fn prefetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let (start, bytes) = (values.as_ptr().cast::<i8>(), size_of_val(values));
        for offset in (0..bytes).step_by(64) {
            // SAFETY: a prefetch reads nothing, and every address is allowed.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(offset)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// Asks the CPU to bring `bytes` bytes from an address into its second-level cache. Any address is allowed.
#[inline(always)]
pub fn prefetch_later<T>(address: *const T, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        for offset in (0..bytes).step_by(64) {
            // SAFETY: a prefetch reads nothing, and every address is allowed.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast::<i8>().wrapping_add(offset)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (address, bytes);
}

/// Asks the CPU to bring `bytes` bytes from an address into its cache, to be written: another core's copies become invalid. Any address is allowed.
#[inline(always)]
pub fn prefetch_to_write<T>(address: *const T, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        for offset in (0..bytes).step_by(64) {
            // SAFETY: a prefetch reads nothing, and every address is allowed; CPUs without the instruction ignore it.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(address.cast::<i8>().wrapping_add(offset)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (address, bytes);
}

/// Defines a function that takes an [`Isa`] first and runs its body compiled for it.
///
/// The body may use two constants: `FMA`, whether `fma` is one instruction, and `LANES`, how many values the vectors of AVX2 and AVX-512
/// have: 8 or 16, and 0 without these. What it calls must be
/// `#[inline(always)]`, or it is compiled for the most basic instruction set.
macro_rules! kernel {
    (
        $(#[$meta:meta])*
        pub fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    ) => {
        $(#[$meta])*
        #[allow(unsafe_code)]
        pub fn $name(isa: $crate::isa::Isa, $($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::extra_unused_type_parameters)]
            fn body<const FMA: bool, const LANES: usize>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? { body::<true, 8>($($arg),*) }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $ty),*) $(-> $ret)? { body::<true, 16>($($arg),*) }

            use $crate::isa::Level;
            match isa.0 {
                Level::Portable => body::<{ cfg!(target_feature = "fma") || cfg!(target_arch = "aarch64") }, 0>($($arg),*),
                // SAFETY: an `Isa` of this level exists only if detection found these features on this CPU.
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => unsafe { avx2($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => unsafe { avx512($($arg),*) },
            }
        }
    };
}
pub(crate) use kernel;

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write as _;

    use super::Isa;

    /// Runs a check on every instruction set of this CPU, and reports on the terminal if some are missing.
    pub fn on_each_isa(mut check: impl FnMut(Isa)) {
        let available = Isa::available();
        if available.len() < 3 {
            // written directly, because the test harness hides what a passing test prints
            writeln!(std::io::stderr(), "skipped in part: this CPU has only {available:?}")
                .unwrap();
        }
        available.into_iter().for_each(&mut check);
    }
}
