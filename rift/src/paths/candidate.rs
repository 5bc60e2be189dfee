//! Where a peer may be reached (SPEC §18.1).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::limits::CANDIDATES_MAX;

/// What an address is to the peer that offers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CandidateKind {
    /// An address of its own.
    Host,
    /// One that a NAT shows for it, as a STUN server saw it (RFC 8489).
    Reflexive,
    /// One that its router gave it upon request: UPnP-IGD, NAT-PMP, PCP.
    Mapped,
    /// One that only a check showed. Never told to others.
    PeerReflexive,
}

impl CandidateKind {
    /// The byte that stands for it; `None` for one that is not told.
    #[must_use]
    pub const fn code(self) -> Option<u8> {
        match self {
            Self::Host => Some(0),
            Self::Reflexive => Some(1),
            Self::Mapped => Some(2),
            Self::PeerReflexive => None,
        }
    }

    /// The kind a byte stands for.
    #[must_use]
    pub const fn of(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Host),
            1 => Some(Self::Reflexive),
            2 => Some(Self::Mapped),
            _ => None,
        }
    }

    /// What a round trip over it counts as longer, in µs: of paths about as fast, the one that needs fewer boxes on the
    /// way to remember it is taken.
    pub(super) const fn penalty_us(self) -> u64 {
        match self {
            Self::Host => 0,
            Self::Mapped => 3_000,
            Self::Reflexive | Self::PeerReflexive => 5_000,
        }
    }
}

/// An address and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What it is.
    pub kind: CandidateKind,
    /// The address. Never one of those that [`CandidateError::Address`] names.
    pub address: SocketAddr,
}

/// Why a candidate was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CandidateError {
    /// No peer is there: port 0, or an address that is unspecified, loopback, link-local, multicast, broadcast or
    /// reserved.
    Address,
    /// There are as many as there may be.
    Full,
}

impl Candidate {
    /// A candidate; an IPv4 address in IPv6 form becomes one of IPv4.
    ///
    /// # Errors
    /// [`CandidateError::Address`].
    pub fn new(kind: CandidateKind, address: SocketAddr) -> Result<Self, CandidateError> {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        if address.port() == 0 || !is_somewhere(address.ip()) {
            return Err(CandidateError::Address);
        }
        Ok(Self { kind, address })
    }

    /// Whether its address means something in one network only: RFC 1918, RFC 4193.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        match self.address.ip() {
            IpAddr::V4(ip) => ip.is_private(),
            IpAddr::V6(ip) => ip.is_unique_local(),
        }
    }
}

/// Whether a datagram from elsewhere could have this address as its source.
fn is_somewhere(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let first = ip.octets()[0];
            first != 0 && first < 224 && !ip.is_loopback() && !ip.is_link_local()
        }
        // A link-local address is none without the name of a link, which the peer does not know.
        IpAddr::V6(ip) => {
            !ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast() && !ip.is_unicast_link_local()
        }
    }
}

/// A peer's candidates: no address twice, at most [`CANDIDATES_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidates(heapless::Vec<Candidate, CANDIDATES_MAX>);

impl Candidates {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(heapless::Vec::new())
    }

    /// Adds one. An address that is there already stays as it is.
    ///
    /// # Errors
    /// [`CandidateError`].
    pub fn push(&mut self, kind: CandidateKind, address: SocketAddr) -> Result<(), CandidateError> {
        let candidate = Candidate::new(kind, address)?;
        if self.0.iter().any(|known| known.address == candidate.address) {
            return Ok(());
        }
        self.0.push(candidate).map_err(|_| CandidateError::Full)
    }

    /// In the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Candidate> {
        self.0.iter()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the two peers may be in one network: a NAT shows the same address for both, or both have addresses of one
    /// subnet (24 bits of IPv4, 64 of IPv6).
    #[must_use]
    pub fn shares_network(&self, other: &Self) -> bool {
        let reflexive = |candidate: &&Candidate| candidate.kind == CandidateKind::Reflexive;
        let own = |candidate: &&Candidate| candidate.kind == CandidateKind::Host;
        self.0.iter().filter(reflexive).any(|mine| {
            other.0.iter().filter(reflexive).any(|theirs| mine.address.ip() == theirs.address.ip())
        }) || self.0.iter().filter(own).any(|mine| {
            other.0.iter().filter(own).any(|theirs| subnet(mine.address.ip()) == subnet(theirs.address.ip()))
        })
    }
}

fn subnet(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & 0xffff_ff00).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(texts: &[(CandidateKind, &str)]) -> Candidates {
        let mut candidates = Candidates::new();
        for &(kind, text) in texts {
            candidates.push(kind, text.parse().unwrap()).unwrap();
        }
        candidates
    }

    /// SPEC §18.1.
    #[test]
    fn addresses_at_which_no_peer_can_be_are_no_candidates() {
        for text in [
            "127.0.0.1:1",
            "0.0.0.0:1",
            "0.1.2.3:1",
            "224.0.0.251:5353",
            "255.255.255.255:1",
            "240.0.0.1:1",
            "169.254.1.1:1",
            "192.0.2.1:0",
            "[::]:1",
            "[::1]:1",
            "[ff02::1]:1",
            "[fe80::1]:1",
            "[::ffff:127.0.0.1]:1",
        ] {
            let address = text.parse().unwrap();
            assert_eq!(Candidate::new(CandidateKind::Host, address), Err(CandidateError::Address), "{text}");
        }
        let mapped = Candidate::new(CandidateKind::Host, "[::ffff:192.0.2.1]:4747".parse().unwrap()).unwrap();
        assert_eq!(mapped.address, "192.0.2.1:4747".parse().unwrap());
    }

    #[test]
    fn seventeenth_candidate_and_a_repeated_one_are_not_kept() {
        let mut candidates = Candidates::new();
        for port in 1..=16 {
            let address = SocketAddr::from(([192, 0, 2, 1], port));
            candidates.push(CandidateKind::Host, address).unwrap();
            candidates.push(CandidateKind::Reflexive, address).unwrap();
        }
        assert_eq!(candidates.len(), CANDIDATES_MAX);
        let another = SocketAddr::from(([192, 0, 2, 1], 17));
        assert_eq!(candidates.push(CandidateKind::Host, another), Err(CandidateError::Full));
    }

    #[test]
    fn network_is_shared_by_a_common_nat_or_a_common_subnet() {
        use CandidateKind::{Host, Reflexive};
        let at_home = kinds(&[(Host, "192.168.1.2:1"), (Reflexive, "203.0.113.1:7")]);
        let beside = kinds(&[(Host, "192.168.1.9:1"), (Reflexive, "198.51.100.1:7")]);
        let behind_the_same = kinds(&[(Host, "10.0.0.2:1"), (Reflexive, "203.0.113.1:8")]);
        let elsewhere = kinds(&[(Host, "192.168.2.2:1"), (Reflexive, "198.51.100.2:7")]);
        assert!(at_home.shares_network(&beside) && at_home.shares_network(&behind_the_same));
        assert!(!at_home.shares_network(&elsewhere));
        assert!(!at_home.shares_network(&Candidates::new()));
    }
}
