//! A UDP port of this machine, opened at the router that stands between it and the internet: PCP (RFC 6887), and NAT-PMP
//! (RFC 6886) with routers that know no better. What the router answers is a candidate of kind *mapped* (SPEC §18.1).
//!
//! It is written by hand because it is small: two messages of at most 60 bytes. `crab_nat` and `portmapper` bring an asynchronous
//! runtime, which nothing of a host's has, and `igd-next` speaks UPnP alone, with an HTTP client and an XML parser before whatever answers
//! on the local network first.
//!
//! [`Mapper`] decides, without sockets and clocks; [`PortMapping`] is a thread that asks the router of the default route.
//!
//! Invariants: nothing but the router's own answers, to what was asked, changes anything; at most seven datagrams leave in sixteen seconds, and none for ten
//! minutes where nobody answers.

mod mapper;
mod thread;
mod wire;

pub use mapper::{LIFETIME_S, Mapper};
pub use thread::PortMapping;
pub use wire::{MESSAGE_MAX, PORT};
