//! Draws bytes for `wavry_fuzz::fec`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::fec::run(data));
