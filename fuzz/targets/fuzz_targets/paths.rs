//! Draws bytes for `wavry_fuzz::paths`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::paths::run(data));
