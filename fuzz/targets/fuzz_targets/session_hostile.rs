//! Draws bytes for `wavry_fuzz::session_hostile`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::session_hostile::run(data));
