//! Leases as the kernel's part keeps them; laid out as in `forward.bpf.c`.

#![expect(unsafe_code, reason = "what the kernel shares is plain bytes")]

use core::net::{IpAddr, SocketAddr};

use aya::Pod;

/// How a peer's port and addresses stand in a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Peer {
    at: [u8; 16],
    local: [u8; 16],
    port: [u8; 2],
    pad: u16,
    /// Noted by the kernel's part.
    interface: u32,
    /// The same, in nanoseconds since boot.
    due: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) expires: u64,
    pub(crate) cost: u64,
    pub(crate) burst: u64,
    pub(crate) peers: [Peer; 2],
}

// SAFETY: numbers and arrays of them, with no room between.
unsafe impl Pod for Entry {}

const _: () = assert!(size_of::<Peer>() == 16 + 16 + 2 + 2 + 4 + 8, "nothing is between the fields");
const _: () = assert!(size_of::<Entry>() == 3 * 8 + 2 * size_of::<Peer>(), "nothing is between the fields");

impl Peer {
    /// One that is bound at `at`, and knows the relay by `local`.
    pub(crate) fn bound(at: SocketAddr, local: IpAddr) -> Self {
        let octets = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        Self { at: octets(at.ip()), local: octets(local), port: at.port().to_be_bytes(), ..Self::default() }
    }

    fn is_at_the_same_place(&self, other: &Self) -> bool {
        (self.at, self.local, self.port) == (other.at, other.local, other.port)
    }
}

impl Entry {
    /// This, with what the kernel's part has noted in `known`: how far ahead of its rate each peer is, wherever it is now,
    /// and where those come in who are where they were.
    pub(crate) fn with_notes_of(mut self, known: &Self) -> Self {
        for (peer, known) in self.peers.iter_mut().zip(&known.peers) {
            peer.due = known.due;
            if peer.is_at_the_same_place(known) {
                peer.interface = known.interface;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_stay_and_places_change() {
        let peer = |port| Peer::bound(SocketAddr::from(([192, 0, 2, 1], port)), IpAddr::from([192, 0, 2, 9]));
        let noted = |peer, interface, due| Peer { interface, due, ..peer };
        let known = Entry { peers: [noted(peer(1), 3, 30), noted(peer(2), 4, 40)], ..Entry::default() };
        let fresh = Entry { expires: 9, peers: [peer(1), peer(5)], ..Entry::default() };
        let both = fresh.with_notes_of(&known);
        assert_eq!(both.peers, [noted(peer(1), 3, 30), noted(peer(5), 0, 40)]);
        assert_eq!(both.expires, 9);
    }
}
