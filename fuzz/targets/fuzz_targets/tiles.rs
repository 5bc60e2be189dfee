//! Draws bytes for `wavry_fuzz::tiles`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::tiles::run(data));
