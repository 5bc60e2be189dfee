//! The connection ids of a session: those the host gives out and those the client was given (SPEC §16.1).

use heapless::Vec;

use super::{Carried, Discard, Session};
use crate::crypto::reset::{self, RESET_LEN, TRIGGER_LEN};
use crate::crypto::{Handshake, Side};
use crate::limits::{CONNECTIONS_MAX, CONNECTIONS_SPARE};
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::frame::{FrameType, emit};
use crate::wire::path::{NewConnection, Reset};

/// Of so many of the last packets a client remembers what a reset would have to answer, and of as many of those before whose
/// number is a multiple of that: answers are told a round trip later, and hundreds may have left by then.
const REMEMBERED: u32 = 16;

/// The ids of one side's packets.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    /// Host: given out. Client: received. By number.
    known: Vec<NewConnection, CONNECTIONS_MAX>,
    /// The number of the next to be given out.
    next: u16,
    /// Client: the largest number that any of its paths ever had. None gets it again, whatever the host says: an id that
    /// was on the wire before would tell that two paths are one session's, and its packet numbers were used (SPEC §16.1).
    opened: u16,
    /// Client: low bits of the number and end of the tag of packets sent lately, and of some sent before.
    sent: [[(u32, [u8; TRIGGER_LEN]); REMEMBERED as usize]; 2],
}

impl Connections {
    pub(super) const fn new() -> Self {
        Self {
            known: Vec::new(),
            next: 0,
            opened: 0,
            sent: [[(u32::MAX, [0; TRIGGER_LEN]); REMEMBERED as usize]; 2],
        }
    }

    /// Client: a packet was sealed.
    pub(super) fn remember(&mut self, packet_number: u32, tag: &[u8; 16]) {
        let Some(trigger) = tag.last_chunk() else { return };
        let [lately, before] = &mut self.sent;
        lately[(packet_number % REMEMBERED) as usize] = (packet_number, *trigger);
        if packet_number.is_multiple_of(REMEMBERED) {
            before[(packet_number / REMEMBERED % REMEMBERED) as usize] = (packet_number, *trigger);
        }
    }

    /// Client: whether a reset answers a packet that was sent.
    fn is_reset(&self, reset: &Reset) -> bool {
        let known = self.known.iter().find(|known| known.connection == reset.connection);
        let number = reset.packet_number;
        let [lately, before] = &self.sent;
        let places =
            [&lately[(number % REMEMBERED) as usize], &before[(number / REMEMBERED % REMEMBERED) as usize]];
        let sent = places.into_iter().find(|(sent, _)| *sent == number);
        known
            .zip(sent)
            .is_some_and(|(known, (_, trigger))| reset::verify(&known.token, trigger, &reset.proof))
    }

    /// Client: the id of a path that was never open.
    pub(super) fn open(&mut self) -> Option<NewConnection> {
        let fresh = self.known.iter().filter(|known| known.number > self.opened);
        let next = fresh.min_by_key(|known| known.number).copied()?;
        self.opened = next.number;
        Some(next)
    }

    /// Client: see [`PathsInUse::opened`].
    pub(super) const fn opened(&self) -> u16 {
        self.opened
    }

    /// Host: the one with this id.
    pub(super) fn unused(&self, connection: u32) -> Option<NewConnection> {
        self.known.iter().find(|known| known.connection == connection).copied()
    }

    /// Keeps the ids of these paths alone.
    pub(super) fn retain(&mut self, keeps: impl Fn(u16) -> bool) {
        self.known.retain(|known| keeps(known.number));
    }

    /// Client: takes a new one. One that is known, or for which there is no room, changes nothing.
    fn on_new(&mut self, new: &NewConnection) {
        let is_taken =
            |known: &NewConnection| known.number == new.number || known.connection == new.connection;
        if !self.known.iter().any(is_taken) {
            let _ = self.known.push(*new);
        }
    }
}

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Host: whether [`crate::Endpoint::tend`] should be called: the client lacks connection ids to move to.
    #[must_use]
    pub fn wants_connections(&self) -> bool {
        self.side == Side::Responder
            && self.is_established()
            && self.permissions.is_some()
            && self.connections.next < u16::MAX
            && self.connections.known.len() < CONNECTIONS_SPARE + 1 + self.paths.others.len()
    }

    /// Host: whether the client was not told yet how a reset of the handshake's id looks.
    pub(crate) const fn wants_own_token(&self) -> bool {
        self.connections.next == 0
    }

    /// Host: whether datagrams to this id are for this session.
    pub(crate) fn holds_connection(&self, connection: u32) -> bool {
        self.connections.next == 0 && connection == self.local_connection
            || self.connections.known.iter().any(|known| known.connection == connection)
    }

    /// Host: an id that datagrams to this session may carry from now on. The first is the one of the handshake.
    pub(crate) fn offer_connection(&mut self, connection: u32, first: u32, token: [u8; RESET_LEN]) {
        let connections = &mut self.connections;
        let number = connections.next;
        let Some(next) = number.checked_add(1) else { return };
        if connections.known.push(NewConnection { number, connection, first, token }).is_ok() {
            connections.next = next;
            self.latches.set(Carried::CONNECTIONS, self.sent.next());
        }
    }

    pub(super) fn write_connections(&mut self, now: Instant, writer: &mut Writer<'_>, carried: &mut Carried) {
        if !self.latches.is_due(Carried::CONNECTIONS, now) {
            return;
        }
        for known in &self.connections.known {
            if emit(writer, FrameType::NewConnection, |body| known.emit(body)).is_none() {
                return;
            }
        }
        *carried |= Carried::CONNECTIONS | Carried::ELICITING;
    }

    pub(super) fn handle_new_connection(&mut self, body: &[u8]) -> Result<(), Discard> {
        let new = NewConnection::parse(body).ok_or(Discard::Malformed)?;
        let mut open = self.paths.others.iter().chain([&self.active]);
        // A host reads a client's where it opens a path.
        if self.side == Side::Initiator
            && (new.number > self.connections.opened || open.any(|path| path.number == new.number))
        {
            self.connections.on_new(&new);
        }
        Ok(())
    }

    /// Client: the host says that it has lost this session. That is believed only in answer to a packet just sent.
    pub(super) fn handle_reset(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Discard> {
        let reset = Reset::parse(datagram).ok_or(Discard::Malformed)?;
        if self.side != Side::Initiator || !self.is_established() {
            return Err(Discard::Unexpected);
        }
        if !self.connections.is_reset(&reset) {
            return Err(Discard::Authentication);
        }
        self.finish(now, None, super::CloseReason::Reset);
        Ok(())
    }
}
