//! How hosts and clients that know no way to each other meet (SPEC §18), on the socket of their sessions: the address that a
//! gateway sees, the hole that a check makes in a NAT and the binding at a relay are all of that one socket.
//!
//! [`Gateway`] is a device's conversation with its gateway, [`Callee`] the part of a host and [`Caller`] that of a client.
//! They do no I/O but for looking which addresses this machine has: drivers give them datagrams and the time. What goes
//! through a relay has an address of its own here, see [`way`].

mod callee;
mod caller;
mod detour;
mod gateway;
mod leg;
mod meeting;
mod nearest;
pub(crate) mod way;

use core::net::SocketAddr;

use rift::paths::{CandidateKind, Candidates};

pub use callee::{Callee, GRANTS_MAX};
pub use caller::Caller;
pub(crate) use caller::CallerStep;
pub use detour::LendStream;
pub use gateway::{Enrolment, Gateway, GatewayPlace, GatewayState, Trouble};

pub(crate) use meeting::Meeting;

/// The longest datagram that is written here.
pub(crate) const DATAGRAM_LEN: usize = 2048;

/// Whether this address, of a peer of a session, stands for a way through a relay.
#[must_use]
pub fn is_relayed(peer: SocketAddr) -> bool {
    way::tag(peer).is_some()
}

/// What a datagram that somebody beside the peers of sessions sent turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It has been dealt with.
    Done,
    /// After so many bytes it is a datagram of a session, which came this way.
    Enclosed(usize, SocketAddr),
}

/// Where a socket bound to `local` may be reached, as this machine, a gateway (`seen`) and a router that was asked (`mapped`)
/// know it.
pub(crate) fn candidates(
    local: SocketAddr,
    seen: Option<SocketAddr>,
    mapped: Option<SocketAddr>,
) -> Candidates {
    let mut candidates = Candidates::new();
    if let Some(mapped) = mapped.filter(|&mapped| Some(mapped) != seen) {
        let _ = candidates.push(CandidateKind::Mapped, mapped);
    }
    if let Some(seen) = seen {
        // What cannot be reached is no candidate.
        let _ = candidates.push(CandidateKind::Reflexive, seen);
    }
    let own = if local.ip().is_unspecified() {
        // A machine that does not tell its addresses is reached by the reflexive one.
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        interfaces.into_iter().map(|interface| interface.ip()).collect()
    } else {
        vec![local.ip()]
    };
    for ip in own.into_iter().filter(|ip| ip.is_ipv4() || local.is_ipv6()) {
        let _ = candidates.push(CandidateKind::Host, SocketAddr::new(ip, local.port()));
    }
    candidates
}
