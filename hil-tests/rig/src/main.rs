//! The rig: sets up a machine, builds, demos, tests and benches Wavry

fn main() {}
