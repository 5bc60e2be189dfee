//! Checks between two peers that were introduced to each other, and their answers (SPEC §18.4).
//!
//! ```text
//!  0      1      2            10       18            34      36      52
//! +------+------+------------+--------+-------------+-------+-------+
//! | 0x28 | what | meeting id | number | IPv6 address| port  | mac   |
//! +------+------+------------+--------+-------------+-------+-------+
//! what: bit 0 = from who was called, bit 1 = an answer
//! address and port: of an answer, where its check came from (IPv4 as ::ffff:a.b.c.d); zeros in a check
//! ```
//!
//! Both are as long as each other: an answer never is more than was sent.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::{Reader, Writer};

/// Bytes of the id of a meeting.
pub const MEETING_ID_LEN: usize = 8;
/// Bytes of the MAC that ends a check.
pub const CHECK_MAC_LEN: usize = 16;

/// A check or the answer to one, whose MAC nobody has looked at yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Whether who was called sends it.
    pub from_callee: bool,
    /// Which introduction it belongs to.
    pub meeting: [u8; MEETING_ID_LEN],
    /// Which check of its sender it is, or answers.
    pub number: u64,
    /// An answer: where the check came from.
    pub seen: Option<SocketAddr>,
    /// The MAC.
    pub mac: [u8; CHECK_MAC_LEN],
}

impl Check {
    /// Bytes on the wire.
    pub const LEN: usize = 52;
    /// Bytes that the MAC covers: all before it.
    pub const COVERED_LEN: usize = Self::LEN - CHECK_MAC_LEN;
    const FIRST: u8 = 0x28;
    const FROM_CALLEE: u8 = 1;
    const ANSWER: u8 = 2;

    /// Reads one; `None` when it is none.
    #[must_use]
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(datagram);
        let (first, what) = (reader.u8()?, reader.u8()?);
        let meeting = reader.bytes(MEETING_ID_LEN)?.try_into().ok()?;
        let number = reader.u64()?;
        let ip = Ipv6Addr::from(<[u8; 16]>::try_from(reader.bytes(16)?).ok()?);
        let port = reader.u16()?;
        let mac = reader.bytes(CHECK_MAC_LEN)?.try_into().ok()?;
        let is_answer = what & Self::ANSWER != 0;
        let is_whole = first == Self::FIRST && what <= Self::FROM_CALLEE | Self::ANSWER && reader.is_empty();
        if !is_whole || !is_answer && (!ip.is_unspecified() || port != 0) {
            return None;
        }
        let seen = is_answer.then(|| SocketAddr::new(IpAddr::V6(ip).to_canonical(), port));
        Some(Self { from_callee: what & Self::FROM_CALLEE != 0, meeting, number, seen, mac })
    }

    /// Its bytes, with the MAC that `mac` makes of those before it.
    #[must_use]
    pub fn to_bytes(
        self,
        mac: impl FnOnce(&[u8; Self::COVERED_LEN]) -> [u8; CHECK_MAC_LEN],
    ) -> [u8; Self::LEN] {
        let mut covered = [0; Self::COVERED_LEN];
        let mut writer = Writer::new(&mut covered);
        let answer = if self.seen.is_some() { Self::ANSWER } else { 0 };
        let ip = self.seen.map_or(Ipv6Addr::UNSPECIFIED, |seen| match seen.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        });
        // There is room for all of it.
        let _ = writer
            .u8(Self::FIRST)
            .and_then(|()| writer.u8(u8::from(self.from_callee) | answer))
            .and_then(|()| writer.bytes(&self.meeting))
            .and_then(|()| writer.u64(self.number))
            .and_then(|()| writer.bytes(&ip.octets()))
            .and_then(|()| writer.u16(self.seen.map_or(0, |seen| seen.port())));
        let mac = mac(&covered);
        let mut out = [0; Self::LEN];
        let mut writer = Writer::new(&mut out);
        let _ = writer.bytes(&covered).and_then(|()| writer.bytes(&mac));
        out
    }
}
