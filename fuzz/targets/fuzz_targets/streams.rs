//! Draws bytes for `wavry_fuzz::streams`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::streams::run(data));
