//! Draws bytes for `wavry_fuzz::control`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::control::run(data));
