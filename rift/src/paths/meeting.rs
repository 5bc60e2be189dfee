//! What two peers share who were introduced to each other: a secret that tells their checks from all others'.

use blake2::Blake2sMac;
use blake2::digest::consts::U16;
use hmac::Mac;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto::derive;
use crate::wire::check::{CHECK_MAC_LEN, Check, MEETING_ID_LEN};

/// The meeting token: drawn for one introduction by who introduces, told to both peers and nobody else. It lets checks
/// be answered and nothing more: who the peer is, the handshake proves.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MeetingSecret([u8; Self::LEN]);

impl MeetingSecret {
    /// Its bytes' number.
    pub const LEN: usize = 32;

    /// The secret with these bytes, drawn for this introduction.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// Its bytes, to be told to a peer in a session.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl core::fmt::Debug for MeetingSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("MeetingSecret")
    }
}

/// What is derived of it: the name on the wire, and the key of MACs.
#[derive(Clone)]
pub(super) struct Meeting {
    id: [u8; MEETING_ID_LEN],
    key: [u8; 32],
}

impl Meeting {
    pub(super) fn new(secret: &MeetingSecret) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = derive(&secret.0, b"rift meeting id");
        Self { id: [a, b, c, d, e, f, g, h], key: derive(&secret.0, b"rift meeting checks") }
    }

    pub(super) const fn id(&self) -> [u8; MEETING_ID_LEN] {
        self.id
    }

    pub(super) fn write(&self, check: Check) -> [u8; Check::LEN] {
        check.to_bytes(|covered| self.mac(covered))
    }

    /// A check of this meeting; `None` for anything else.
    pub(super) fn read(&self, datagram: &[u8]) -> Option<Check> {
        let check = Check::parse(datagram).filter(|check| check.meeting == self.id)?;
        let covered = datagram.first_chunk()?;
        bool::from(self.mac(covered).ct_eq(&check.mac)).then_some(check)
    }

    fn mac(&self, covered: &[u8; Check::COVERED_LEN]) -> [u8; CHECK_MAC_LEN] {
        let mac = <Blake2sMac<U16> as Mac>::new_from_slice(&self.key);
        let mut mac = mac.expect("BLAKE2s takes keys of up to 32 bytes");
        mac.update(covered);
        mac.finalize().into_bytes().into()
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}
