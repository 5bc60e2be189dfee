//! Draws bytes for `wavry_fuzz::migration`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::migration::run(data));
