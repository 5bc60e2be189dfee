//! Draws bytes for `wavry_fuzz::session_peer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::session_peer::run(data));
