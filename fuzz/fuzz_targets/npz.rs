#![no_main]

#[path = "../../tests/corpora/readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| readers::npz(bytes));
