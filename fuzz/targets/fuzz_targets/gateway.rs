//! Draws bytes for `wavry_fuzz::gateway`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::gateway::run(data));
