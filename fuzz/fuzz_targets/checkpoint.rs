#![no_main]

#[path = "../../tests/corpora/readers.rs"]
mod readers;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| readers::checkpoint(bytes));

// three of four mutations keep the length of the header right
fuzz_mutator!(|bytes: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let size = fuzzer_mutate(bytes, size, max_size);
    if seed % 4 != 0 {
        readers::repair_length(&mut bytes[..size]);
    }
    size
});
