//! The element-wise loops of a step, compiled once per instruction set.
//!
//! `kernel!` compiles one safe, portable body three times: for AVX-512, for AVX2 with FMA, and for what the target has by
//! default. The [`Isa`](crate::isa::Isa) argument, which only detection can create, selects one of them. The bodies are plain
//! loops that the compiler vectorises. Matrix products are in [`crate::gemm`].

pub mod activation;
pub mod adam;
pub mod columns;
pub mod exp;
pub mod inverse;
pub mod loss;
pub mod mean;
pub mod norm;
pub mod random;
pub mod regression;
pub mod rows;
pub mod sgd;

/// `a * b + c`: rounded once if the instruction set has FMA, else twice, because `mul_add` would then call a library function
/// for every element.
#[inline(always)]
pub fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

#[cfg(test)]
mod tests {
    /// Sizes that hit the tails of 8 and 16 lanes.
    pub const SIZES: [usize; 12] = [0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 127, 300];
}
