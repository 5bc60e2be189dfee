//! One path of a session: its ids, its packet numbers each way, and whether the peer's address on it is proven
//! (SPEC §16).

use core::ops::Range;

use super::keys::Keys;
use super::mtu::PathMtu;
use super::{Discard, PathId, TAG_LEN};
use crate::crypto::{Aead, ReplayWindow, packet_number};
use crate::time::Instant;
use crate::wire::header::DataHeader;
use crate::wire::path::NewConnection;

/// An address that is not proven is sent at most this many times what came from it.
pub(super) const AMPLIFICATION_MAX: u64 = 3;
/// A challenge is repeated after this long, then after twice as long each time.
const CHALLENGE_US: u64 = 50_000;
const CHALLENGE_US_MAX: u64 = 1_000_000;
/// Bytes of the longest packet that a host proves an address with.
const PROBE_LEN_MAX: u64 = 64;
/// Packets of one use of a path are told apart from those of another by this many bits.
const NUMBER_BITS: u32 = 48;

/// The id that one direction's packets carry, and where their numbers begin.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Direction {
    pub(super) connection: u32,
    first: u32,
}

impl Direction {
    pub(super) const fn new(connection: u32, first: u32) -> Self {
        Self { connection, first }
    }

    pub(super) const fn of(new: &NewConnection) -> Self {
        Self::new(new.connection, new.first)
    }

    /// The packet number of the packet sent as number `index` on this path.
    pub(super) const fn number(self, index: u64) -> u64 {
        (self.first & 0x7fff_ffff) as u64 + index
    }

    /// What the key phase is xored with.
    pub(super) const fn mask(self) -> bool {
        self.first >> 31 == 1
    }

    pub(super) const fn announced(self, number: u16) -> NewConnection {
        NewConnection { number, connection: self.connection, first: self.first, token: [0; 16] }
    }
}

/// A challenge on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Challenge {
    pub(super) data: [u8; 8],
    pub(super) due: Instant,
    pub(super) sent_at: Option<Instant>,
    pub(super) tries: u8,
    pause_us: u64,
}

impl Challenge {
    pub(super) const fn new(data: [u8; 8], now: Instant) -> Self {
        Self { data, due: now, sent_at: None, tries: 0, pause_us: CHALLENGE_US }
    }

    pub(super) fn leaves(&mut self, now: Instant) {
        self.sent_at.get_or_insert(now);
        self.tries = self.tries.saturating_add(1);
        self.due = now.plus_micros(self.pause_us);
        self.pause_us = (self.pause_us * 2).min(CHALLENGE_US_MAX);
    }
}

#[derive(Debug)]
pub(super) struct Path {
    /// Where its packets go, by the driver's name.
    pub(super) id: PathId,
    pub(super) number: u16,
    pub(super) local: Direction,
    pub(super) remote: Direction,
    pub(super) mtu: PathMtu,
    /// Packets sent on it.
    pub(super) sent: u64,
    pub(super) replay: ReplayWindow,
    /// Which use of a path this is: packets of a later one are newer, whatever their numbers.
    pub(super) epoch: u16,
    /// Of which packets sent on it an account is kept, and what is added to their numbers there.
    pub(super) logged: Range<u64>,
    pub(super) shift: u64,
    /// Bytes that may be sent to an address that is not proven; `None` = it is.
    pub(super) room: Option<u64>,
    /// Where the peer was before its address changed, if that was proven.
    pub(super) fallback: Option<PathId>,
    pub(super) challenge: Option<Challenge>,
    pub(super) response: Option<[u8; 8]>,
    /// Client: the host has answered on it.
    pub(super) is_proven: bool,
    pub(super) heard_at: Instant,
}

impl Path {
    /// The path of the handshake.
    pub(super) const fn first(id: PathId, datagram_len: u16, now: Instant) -> Self {
        let mtu = PathMtu::new(datagram_len);
        Self::new(id, 0, Direction::new(0, 0), Direction::new(0, 0), mtu, now)
    }

    pub(super) const fn new(
        id: PathId,
        number: u16,
        local: Direction,
        remote: Direction,
        mtu: PathMtu,
        now: Instant,
    ) -> Self {
        Self {
            id,
            number,
            local,
            remote,
            mtu,
            sent: 0,
            replay: ReplayWindow::new(),
            epoch: 0,
            logged: 0..u64::MAX,
            shift: 0,
            room: None,
            fallback: None,
            challenge: None,
            response: None,
            is_proven: number == 0,
            heard_at: now,
        }
    }

    /// Opens a packet to this path's id, in place. Returns its index on the path and its text; on `Err` nothing has
    /// changed.
    pub(super) fn open<'d, A: Aead>(
        &mut self,
        id: PathId,
        keys: &mut Keys<A>,
        header: &DataHeader,
        datagram: &'d mut [u8],
        now: Instant,
        linger_us: u64,
    ) -> Result<(u64, &'d mut [u8]), Discard> {
        let expected = self.local.number(self.replay.expected());
        let number = packet_number::expand(header.packet_number, expected);
        let index = number.checked_sub(self.local.number(0)).ok_or(Discard::Replay)?;
        if !self.replay.is_fresh(index) {
            // The same packet from where the client was before: what came from elsewhere was the copy.
            if self.fallback == Some(id)
                && self.unseal(keys, header, number, datagram, now, linger_us).is_ok()
            {
                self.return_to(id);
            }
            return Err(Discard::Replay);
        }
        let text = self.unseal(keys, header, number, datagram, now, linger_us)?;
        self.replay.accept(index);
        Ok((index, text))
    }

    fn unseal<'d, A: Aead>(
        &self,
        keys: &mut Keys<A>,
        header: &DataHeader,
        number: u64,
        datagram: &'d mut [u8],
        now: Instant,
        linger_us: u64,
    ) -> Result<&'d mut [u8], Discard> {
        let (head, sealed) = datagram.split_at_mut_checked(DataHeader::LEN).ok_or(Discard::Malformed)?;
        let text_len = sealed.len().checked_sub(TAG_LEN).ok_or(Discard::Malformed)?;
        let (text, tag) = sealed.split_at_mut(text_len);
        let tag: [u8; TAG_LEN] = (&*tag).try_into().map_err(|_| Discard::Malformed)?;
        let phase = header.phase ^ self.local.mask();
        if !keys.open(phase, self.number.into(), number, head, text, &tag, now, linger_us) {
            return Err(Discard::Authentication);
        }
        Ok(text)
    }

    /// A number that orders the packets of all paths: by use, then by index.
    pub(super) const fn order(&self, index: u64) -> u64 {
        (self.epoch as u64) << NUMBER_BITS | index
    }

    /// From now on an account is kept of what is sent, beginning with `next` there.
    pub(super) const fn begin_account(&mut self, next: u64) {
        self.shift = next.wrapping_sub(self.sent);
        self.logged = self.sent..u64::MAX;
    }

    pub(super) const fn end_account(&mut self) {
        self.logged.end = self.sent;
    }

    /// So many bytes came from an address that is not proven.
    pub(super) const fn earn(&mut self, len: usize) {
        if let Some(room) = &mut self.room {
            *room = room.saturating_add(AMPLIFICATION_MAX * len as u64);
        }
    }

    pub(super) const fn spend(&mut self, len: usize) {
        if let Some(room) = &mut self.room {
            *room = room.saturating_sub(len as u64);
        }
    }

    /// The client is where it was before.
    pub(super) fn return_to(&mut self, id: PathId) {
        self.id = id;
        self.prove();
    }

    /// The peer has answered from where it is now.
    pub(super) const fn prove(&mut self) {
        (self.room, self.fallback, self.challenge, self.is_proven) = (None, None, None, true);
    }

    /// Whether a packet of its own is due on it.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.room.is_some_and(|room| room < PROBE_LEN_MAX) {
            return None;
        }
        if self.response.is_some() {
            return Some(Instant::ZERO);
        }
        self.challenge.map(|challenge| challenge.due)
    }
}
