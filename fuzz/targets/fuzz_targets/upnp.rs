//! Draws bytes for `wavry_fuzz::upnp`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wavry_fuzz::upnp::run(data));
