//! Whole sessions, both ends real, against everything a network and an attacker can do; in virtual time, from seeds.
//!
//! [`scenario`] draws thirty seconds of faults from a seed, [`world`] plays them on the simulator's network with the
//! programs of a client and a host ([`client`], [`host`]) and an attacker who holds every datagram ([`injector`]), and
//! [`check`] says what must hold whatever happens. [`sweep`] does so for many seeds and adds them up. [`flood`] is
//! about numbers instead: a hundred million hostile datagrams at one session.
//!
//! Invariant: a seed decides everything. What fails is played again by its seed alone.

pub mod args;
pub mod check;
pub mod client;
pub mod flood;
pub mod host;
pub mod injector;
pub mod node;
pub mod scenario;
pub mod sweep;
pub mod totals;
pub mod work;
pub mod world;
