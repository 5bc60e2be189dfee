//! A UDP port of this machine, opened at the router that stands between it and the internet: by PCP (RFC 6887), by NAT-PMP
//! (RFC 6886) with routers that know no better, and by UPnP (UPnP-IGD 1 and 2) with those that know neither. What the router answers is
//! a candidate of kind *mapped* (SPEC §18.1).
//!
//! The order: PCP is asked first; a router that answers that it knows NAT-PMP alone is asked that. Where that was refused, or was not
//! answered for two seconds, UPnP is tried beside it. Who opens the port first keeps it, and the others are not asked meanwhile; when it
//! is lost, all begin anew.
//!
//! It is written by hand because it is small, and because what it reads comes from whoever is on the local network. `crab_nat` and
//! `portmapper` bring an asynchronous runtime, which nothing of a host's has. `igd-next` (0.18) takes the first who answers for the
//! router, waits up to ten seconds for each of its answers in a call that nothing can end, and goes through a proxy where the environment
//! names one; none of that can be set. HTTP is parsed by `httparse` and XML by `roxmltree`, which has bounds of its own: neither calls
//! anything.
//!
//! [`Opener`] decides, without sockets and clocks, by [`Mapper`] (PCP, NAT-PMP) and [`Upnp`]; [`PortMapping`] is a thread that asks
//! the router of the default route.
//!
//! Invariants: nothing but the router's own answers, to what was asked, changes anything, and nobody but the router is called; where
//! nobody answers, at most thirteen datagrams leave in sixteen seconds, and none for ten minutes. An answer over TCP is at most
//! [`RESPONSE_MAX`] bytes and three seconds long.

mod exchange;
mod mapper;
mod opener;
mod thread;
mod upnp;
mod wire;

pub use mapper::{LIFETIME_S, Mapper};
pub use opener::{Opener, Transmit, Way};
pub use thread::PortMapping;
pub use upnp::{Call, FOUND_MAX, RESPONSE_MAX, SEARCH_ADDRESS, Upnp, UpnpTransmit, is_whole};
pub use wire::{MESSAGE_MAX, PORT};
