//! RIFT over embassy-net: asynchronous, for machines without an operating system or an allocator.
//!
//! [`run_client`] drives one session over a UDP socket as the side that asks, [`run_host`] as the side that answers. Each is
//! a future that sleeps until a datagram, a deadline or the application wakes it, and ends with the session. The stack's
//! own runner, addresses (DHCP or static, IPv4 and IPv6) and sockets are embassy-net's affair; [`configuration`] makes the
//! usual ones from plain addresses. Memory is the caller's ([`Scratch`]); time is embassy-time's; entropy comes with the
//! session.
//!
//! embassy-net (MIT or Apache-2.0) is the asynchronous face of smoltcp, and embassy-time its clock. No type of smoltcp is
//! named here. The stack neither reads nor writes ECN and DSCP, so datagrams leave and come without.
//!
//! Invariants: nothing allocates; what does not fit the socket waits, in order, and is not lost, while what comes is still
//! taken; no error of the network ends a session.

#![no_std]

mod address;
mod client;
mod host;
mod link;

pub use address::{Addressing, Ipv4Addressing, StaticIpv4, StaticIpv6, configuration};
pub use client::{Application, run_client};
pub use host::{Decision, HostApplication, HostDriver, HostStats, run_host};
pub use link::{Scratch, now};

/// Rounds of telling and sending between two waits: an application that answers every event with another cannot keep the
/// driver from the network.
const ROUNDS_MAX: usize = 8;
/// Datagrams taken between two rounds of sending: what is left waits, so that sending is never starved.
const RECEIVES_PER_ROUND: usize = 32;
