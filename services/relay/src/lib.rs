//! Wavry's relay: forwards what it cannot read between two peers who find no direct path.
//!
//! [`state`] is what it knows and decides, in virtual time; the rest is sockets, threads and settings around it. A relay is
//! several [`state::Relay`]s, each with the leases of some tags, so that threads seldom wait for each other; a thread for
//! each core has a socket of its own on the one port.
//!
//! ```text
//!  kernel ─GRO─► worker: cut into runs of one lease ─► shard of that tag: forward? ─► worker ─GSO─► kernel
//!                                                       └ keep ─► later, when the lease allows it
//! ```
//!
//! What it can see: addresses, sizes, times. Of what is in a datagram it sees nothing, and of addresses and identities it
//! writes nothing down.

#[cfg(feature = "shell")]
pub mod args;
#[cfg(feature = "shell")]
pub mod beat;
#[cfg(feature = "shell")]
mod commands;
#[cfg(feature = "shell")]
mod health;
#[cfg(feature = "shell")]
pub mod metrics;
#[cfg(feature = "shell")]
mod outbox;
#[cfg(feature = "shell")]
pub mod serve;
pub mod state;
#[cfg(feature = "shell")]
mod worker;

#[cfg(feature = "shell")]
pub use commands::carry_out;
#[cfg(feature = "shell")]
pub use serve::{Running, ServeError, serve};
