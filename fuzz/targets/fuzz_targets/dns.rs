//! Draws bytes for `wavry_fuzz::dns`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::dns::run(data));
