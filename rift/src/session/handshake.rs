//! How a session begins and ends (SPEC §4, §6).

use super::calling::Calling;
use super::{CloseReason, Session, Transmit, sealing, transmit};
use crate::crypto::Handshake;
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::handshake::Reply;
use crate::wire::request::Request;

/// A first flight is repeated after this long, then each time half as long again.
const FIRST_REPEAT_US: u64 = 100_000;
const REPEAT_US_MAX: u64 = 2_000_000;
/// Confirmations that leave alone; with each further one the first flight leaves too (SPEC §4.5). The fourth is due after
/// 475 ms, longer than most round trips, and soon enough for a session to be back within 2 s.
const CONFIRMATIONS_ALONE: u8 = 3;
/// When the copies of a close leave, in µs after the one before: nobody acknowledges it, and losses come in bursts.
const CLOSE_AFTER_US: [u64; 5] = [0, 0, 20_000, 40_000, 80_000];
/// Bytes of a third message: head, static key and payload with their tags.
pub(super) const CONFIRMATION_LEN: usize = Reply::HEAD_LEN + 32 + 16 + Request::FRAME_LEN + 16;

/// Where a session is between its beginning and its end.
pub(crate) enum Phase<H> {
    /// Client: the first flight is out.
    Initiating(Calling<H>),
    /// Client: the third message is out, and nothing sealed has come back yet.
    Confirming(Confirming<H>),
    /// Both sides have the keys.
    Established,
    /// The peer is being told that it is over.
    Closing { code: u16, sent: usize, due: Instant },
    /// Over.
    Closed,
}

/// A client's handshake whose third message is out.
pub(crate) struct Confirming<H> {
    /// The handshake as it was before the response: a host that has forgotten it gives another one.
    pub(super) calling: Calling<H>,
    message: [u8; CONFIRMATION_LEN],
    flight: Flight,
    sent: u8,
    /// Whether the first flight has left for the confirmation that is due.
    has_asked: bool,
}

impl<H> Confirming<H> {
    pub(super) const fn new(calling: Calling<H>, message: [u8; CONFIRMATION_LEN], flight: Flight) -> Self {
        Self { calling, message, flight, sent: 0, has_asked: false }
    }

    /// Whether the host is asked again, and so may give another response.
    pub(super) const fn asks_again(&self) -> bool {
        self.sent >= CONFIRMATIONS_ALONE
    }

    /// Copies the datagram that is due out. Returns its length.
    fn put(&mut self, now: Instant, is_stranger: bool, out: &mut [u8]) -> Option<usize> {
        // Who pairs has told a person that the host is there: that person begins again.
        if self.asks_again() && !self.has_asked && !is_stranger {
            let (len, is_last) = self.calling.message.put(out)?;
            self.has_asked = is_last;
            return Some(len);
        }
        out.get_mut(..self.message.len())?.copy_from_slice(&self.message);
        self.flight.leaves(now);
        self.sent = self.sent.saturating_add(1);
        self.has_asked = false;
        Some(self.message.len())
    }
}

/// A handshake message on its way, repeated until it is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    due: Instant,
    pause_us: u64,
    gives_up: Instant,
    is_hurried: bool,
}

impl Flight {
    pub(super) const fn new(now: Instant, patience_us: u32) -> Self {
        let gives_up = now.plus_micros(patience_us as u64);
        Self { due: now, pause_us: FIRST_REPEAT_US, gives_up, is_hurried: false }
    }

    /// It leaves again at once: the first time, so that nobody makes it leave as often as he likes.
    pub(super) fn hurry(&mut self, now: Instant) {
        if !self.is_hurried {
            self.is_hurried = true;
            self.due = self.due.min(now);
        }
    }

    fn next(&self) -> Instant {
        self.due.min(self.gives_up)
    }

    fn leaves(&mut self, now: Instant) {
        self.due = now.plus_micros(self.pause_us);
        self.pause_us = (self.pause_us * 3 / 2).min(REPEAT_US_MAX);
    }
}

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Something sealed by the peer has come: it has the keys too.
    pub(super) fn on_sealed(&mut self) {
        if matches!(self.phase, Phase::Confirming(_)) {
            self.phase = Phase::Established;
        }
        if !self.is_live() {
            self.on_live();
        }
    }

    pub(super) fn handshake_due(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Initiating(Calling { flight, .. }) | Phase::Confirming(Confirming { flight, .. }) => {
                Some(flight.next())
            }
            Phase::Closing { due, .. } => Some(*due),
            Phase::Established | Phase::Closed => None,
        }
    }

    /// Gives an unanswered handshake up. Returns whether it did.
    pub(super) fn handle_handshake_timeout(&mut self, now: Instant) -> bool {
        let (flight, is_other_version) = match &self.phase {
            Phase::Initiating(calling) => (&calling.flight, calling.is_other_version),
            Phase::Confirming(confirming) => (&confirming.flight, false),
            Phase::Established | Phase::Closing { .. } | Phase::Closed => return false,
        };
        if flight.gives_up > now {
            return false;
        }
        let reason = if is_other_version { CloseReason::Version } else { CloseReason::Unanswered };
        self.finish(now, None, reason);
        true
    }

    /// The handshake or closing datagram that is due.
    pub(super) fn transmit_handshake(&mut self, now: Instant, out: &mut [u8]) -> Option<Transmit> {
        let len = match &mut self.phase {
            Phase::Initiating(Calling { message, flight, .. }) if flight.due <= now => {
                let (len, is_last) = message.put(out)?;
                if is_last {
                    flight.leaves(now);
                }
                len
            }
            Phase::Confirming(confirming) if confirming.flight.due <= now => {
                confirming.put(now, self.is_stranger, out)?
            }
            Phase::Closing { code, sent, due } => {
                if *due > now {
                    return None;
                }
                let code = *code;
                *sent += 1;
                match CLOSE_AFTER_US.get(*sent) {
                    Some(&pause) => *due = now.plus_micros(pause),
                    None => self.phase = Phase::Closed,
                }
                // SPEC §4.13: whoever is not known to be there is told no more than that, of its end either.
                if self.is_room_spent() {
                    return None;
                }
                let (keys, path) = (self.keys.as_ref()?, &self.active);
                let len = sealing::seal_close(
                    keys.send(),
                    keys.send_phase() ^ path.remote.mask(),
                    path.number,
                    path.remote.connection,
                    path.remote.number(path.sent),
                    code,
                    out,
                )?;
                self.note_sent(now, len, super::Carried::empty());
                self.spend_trial(len);
                len
            }
            Phase::Initiating(_) | Phase::Confirming(_) | Phase::Established | Phase::Closed => {
                return None;
            }
        };
        Some(transmit::realtime(self.active.id, len))
    }

    /// The peer says that it is over. It is told once that this was heard; if that is lost it says so again to nobody.
    pub(super) fn on_close(&mut self, now: Instant, code: u16) {
        if let Phase::Closing { sent, .. } = self.phase {
            // With one copy left to send this side owes the answer, and the peer only repeats itself.
            if sent + 1 < CLOSE_AFTER_US.len() {
                self.phase = Phase::Closed;
            }
            return;
        }
        self.finish(now, Some(code), CloseReason::from_code(code));
        if let Phase::Closing { sent, .. } = &mut self.phase {
            *sent = CLOSE_AFTER_US.len() - 1;
        }
    }

    /// Whether the peer is being told that it is over, and has not said that it heard.
    pub(super) const fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. })
    }

    /// Ends the session here; tells the peer `code` if there is one to tell and a way to.
    pub(super) fn finish(&mut self, now: Instant, code: Option<u16>, reason: CloseReason) {
        if matches!(self.phase, Phase::Closing { .. } | Phase::Closed) {
            return;
        }
        self.input_in.release_all();
        self.phase = match code {
            Some(code) if self.keys.is_some() => Phase::Closing { code, sent: 0, due: now },
            _ => Phase::Closed,
        };
        self.pending.closed = Some(reason);
    }
}
