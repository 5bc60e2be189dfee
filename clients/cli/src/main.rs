//! Wavry's command line: keys, identities, doctor

fn main() {}
