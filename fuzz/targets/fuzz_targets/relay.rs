//! Draws bytes for `wavry_fuzz::relay`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::relay::run(data));
