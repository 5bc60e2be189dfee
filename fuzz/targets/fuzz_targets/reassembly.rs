//! Draws bytes for `wavry_fuzz::reassembly`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::reassembly::run(data));
