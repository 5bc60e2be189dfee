//! boringtun as a rival: two WireGuard tunnels in one thread.

use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};

/// Two tunnels with a session between them.
pub(super) struct Pair {
    one: Tunn,
    other: Tunn,
    sealed: Vec<u8>,
    opened: Vec<u8>,
}

impl Pair {
    /// Connected; `None` when that fails.
    pub(super) fn connected() -> Option<Self> {
        let (one_key, other_key) = (StaticSecret::from([1; 32]), StaticSecret::from([2; 32]));
        let (one_public, other_public) = (PublicKey::from(&one_key), PublicKey::from(&other_key));
        let mut pair = Self {
            one: Tunn::new(one_key, other_public, None, None, 1, None),
            other: Tunn::new(other_key, one_public, None, None, 2, None),
            sealed: vec![0; 2048],
            opened: vec![0; 2048],
        };
        let initiation = written(pair.one.format_handshake_initiation(&mut pair.sealed, false))?;
        let response = written(pair.other.decapsulate(None, &initiation, &mut pair.sealed))?;
        let confirmation = written(pair.one.decapsulate(None, &response, &mut pair.sealed))?;
        let _ = pair.other.decapsulate(None, &confirmation, &mut pair.sealed);
        Some(pair)
    }

    /// Sends an IP packet through both; returns the bytes of the datagram that carried it.
    pub(super) fn carry(&mut self, packet: &[u8]) -> Option<usize> {
        let TunnResult::WriteToNetwork(datagram) = self.one.encapsulate(packet, &mut self.sealed) else {
            return None;
        };
        let opened = self.other.decapsulate(None, datagram, &mut self.opened);
        let TunnResult::WriteToTunnelV4(opened, _) = opened else { return None };
        (opened.len() == packet.len()).then_some(datagram.len())
    }
}

/// An IPv4 packet of `len` bytes with a head that boringtun takes.
pub(super) fn ip_packet(len: u16) -> Vec<u8> {
    let mut packet = vec![0x5a; usize::from(len)];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet[12..16].copy_from_slice(&[10, 0, 0, 1]);
    packet[16..20].copy_from_slice(&[10, 0, 0, 2]);
    packet
}

fn written(result: TunnResult<'_>) -> Option<Vec<u8>> {
    if let TunnResult::WriteToNetwork(bytes) = result { Some(bytes.to_vec()) } else { None }
}
