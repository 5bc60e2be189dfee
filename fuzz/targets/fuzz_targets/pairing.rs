//! Draws bytes for `wavry_fuzz::pairing`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::pairing::run(data));
