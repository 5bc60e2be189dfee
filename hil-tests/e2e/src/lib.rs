//! End-to-end tests with real X servers, shells and sockets: what they share.
//!
//! The programs under test are those that `cargo build --bins` has put beside the test; `cargo rig test` builds them.
//! Everything a test starts is in a guard that ends and reaps it. There are no time limits but hang guards.

pub mod link;
pub mod process;
pub mod programs;
pub mod screen;

/// Nothing on these machines takes this long; what does hangs.
pub const HANG_GUARD: core::time::Duration = core::time::Duration::from_secs(60);
