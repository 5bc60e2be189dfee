//! Draws bytes for `wavry_fuzz::noise_differential`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::noise_differential::run(data));
