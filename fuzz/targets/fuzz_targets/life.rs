//! Draws bytes for `wavry_fuzz::life`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::life::run(data));
