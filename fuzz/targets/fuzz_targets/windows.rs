//! Draws bytes for `wavry_fuzz::windows`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::windows::run(data));
