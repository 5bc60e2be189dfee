//! RIFT over a smoltcp interface: for machines without an operating system, an allocator or threads.
//!
//! [`Network`] is an interface with one UDP socket and, where it is asked for, DHCP. [`ClientDriver`] drives one session
//! over it as the side that asks, [`HostDriver`] as the side that answers. A driver is called in a loop: each `turn` takes
//! what came, tells what happened, sends what is due, and returns when to be called again; in between the program sleeps
//! until that time or an interrupt of its network device. Time, entropy and all memory are arguments.
//!
//! smoltcp (0BSD) is the TCP/IP stack of boards in Rust; its version here is the one that embassy-net uses, so that a
//! program with both has one copy. It neither reads nor writes ECN and DSCP, so datagrams leave and come without.
//!
//! Invariants: nothing allocates; a turn does bounded work; what does not fit the socket waits, in order, and is not lost;
//! no error of the network ends a driver.

#![no_std]

mod client;
mod host;
mod network;
mod outbox;

pub use client::ClientDriver;
pub use host::{Decision, HostApplication, HostDriver, HostStats};
pub use network::{
    Addressing, Ipv4Addressing, Network, NetworkStats, NetworkStorage, StaticIpv4, StaticIpv6,
};

/// Rounds of telling and sending of one turn: an application that answers every event with another cannot keep the driver
/// from the network.
const ROUNDS_MAX: usize = 8;
/// Datagrams taken in one turn: what is left waits for the next, so that sending is never starved.
const RECEIVES_PER_TURN: usize = 32;

/// When to act again on a deadline that was due already when everything was last polled: a session that asks for the past
/// must not make the loop spin.
fn not_before(due: Option<rift::Instant>, polled_at: rift::Instant) -> Option<rift::Instant> {
    const PAUSE_US: u64 = 500;
    due.map(|due| if due <= polled_at { polled_at.plus_micros(PAUSE_US) } else { due })
}
