//! Which instruction set the kernels use, and the macro that compiles a body for each.
#![allow(unsafe_code)]

/// An instruction set that this CPU has. The only ways to get one are [`Isa::detect`] and [`Isa::available`].
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
    /// The best one of this CPU.
    pub fn detect() -> Self {
        let available = Self::available();
        available[available.len() - 1]
    }

    /// All that this CPU has, from the plainest to the best.
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

    /// For people: `AVX-512`, `AVX2` or `portable`.
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

/// Asks for values to be brought near the CPU; they are not read.
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

/// Defines a function that takes an [`Isa`] first and runs its body compiled for it.
///
/// The body may use the constant `FMA`: whether `fma` is one instruction. What it calls must be
/// `#[inline(always)]`, or it is compiled for the plainest instruction set.
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
            fn body<const FMA: bool>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? { body::<true>($($arg),*) }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $ty),*) $(-> $ret)? { body::<true>($($arg),*) }

            use $crate::isa::Level;
            match isa.0 {
                Level::Portable => body::<{ cfg!(target_feature = "fma") || cfg!(target_arch = "aarch64") }>($($arg),*),
                // SAFETY: an `Isa` of this level exists only where the CPU was found to have these features.
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

    /// Runs a check on every instruction set that this machine has, and says aloud which ones it has not.
    pub fn on_each_isa(mut check: impl FnMut(Isa)) {
        let available = Isa::available();
        if available.len() < 3 {
            // past the test harness, which keeps what a passing test prints to itself
            writeln!(std::io::stderr(), "skipped in part: this CPU has only {available:?}")
                .unwrap();
        }
        available.into_iter().for_each(&mut check);
    }
}
