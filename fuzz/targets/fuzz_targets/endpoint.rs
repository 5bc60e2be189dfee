//! Draws bytes for `wavry_fuzz::endpoint`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::endpoint::run(data));
