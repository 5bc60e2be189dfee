//! Wavry's gateway: devices that cannot find each other by themselves enrol with it, say that they are there, and are
//! introduced to each other (`rift/SPEC.md` §18).
//!
//! [`state`] is the gateway as a value: it does no I/O and reads no clock. `storage` is what it remembers for good.
//! `shell` joins them to a UDP socket, and `health` tells machines how it is. tokio drives it because sqlx, which
//! speaks to the database, needs it; axum serves HTTP on the same. Without the feature `shell` there is [`state`] alone.
//!
//! What it can: introduce, or not; see who is there, from which address, and who looks for whom. What it cannot: enter a
//! host, read or change what two devices say to each other, or make a host let in somebody who is not on its list.

#[cfg(feature = "shell")]
pub mod args;
#[cfg(feature = "shell")]
pub mod commands;
#[cfg(feature = "shell")]
pub mod config;
#[cfg(feature = "shell")]
pub mod directory;
#[cfg(feature = "shell")]
pub mod health;
#[cfg(feature = "shell")]
pub mod leases;
#[cfg(feature = "shell")]
pub mod operate;
#[cfg(feature = "shell")]
pub mod shell;
pub mod state;
#[cfg(feature = "shell")]
pub mod storage;

#[cfg(feature = "shell")]
pub use commands::{block_on, carry_out, make_operator_token, make_token};
#[cfg(feature = "shell")]
pub use directory::{GatewayError, StateDirectory};
