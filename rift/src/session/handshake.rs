//! How a session begins and ends (SPEC §4, §6).

use super::{CloseReason, Config, Keys, PathId, Session, Transmit, transmit};
use crate::crypto::{ChaChaPoly, Handshake, Mac1Key, PacketKey, PublicKey, Secrets, Side};
use crate::session::types::Discard;
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::handshake::{
    INITIATION_LEN, INITIATION_NOISE_LEN, INITIATION_PAYLOAD_LEN, Initiation, Reply,
};
use crate::wire::{Kind, handshake};

/// A first flight is repeated after this long, then each time half as long again.
const FIRST_REPEAT_US: u64 = 100_000;
const REPEAT_US_MAX: u64 = 2_000_000;
/// When the copies of a close leave, in µs after the one before: nobody acknowledges it, and losses come in bursts.
const CLOSE_AFTER_US: [u64; 5] = [0, 0, 20_000, 40_000, 80_000];
/// Bytes of a third message: head, static key and payload with their tags.
const CONFIRMATION_LEN: usize = Reply::HEAD_LEN + 32 + 16 + 16;

/// Where a session is between its beginning and its end.
pub(crate) enum Phase<H> {
    /// Client: the first flight is out.
    Initiating { handshake: H, host: Option<PublicKey>, message: [u8; INITIATION_LEN], flight: Flight },
    /// Client: the third message is out, and nothing sealed has come back yet.
    Confirming { message: [u8; CONFIRMATION_LEN], flight: Flight },
    /// Both sides have the keys.
    Established,
    /// The peer is being told that it is over.
    Closing { code: u16, sent: usize, due: Instant },
    /// Over.
    Closed,
}

/// A handshake message on its way, repeated until it is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    due: Instant,
    pause_us: u64,
    gives_up: Instant,
}

impl Flight {
    const fn new(now: Instant, patience_us: u32) -> Self {
        Self { due: now, pause_us: FIRST_REPEAT_US, gives_up: now.plus_micros(patience_us as u64) }
    }

    fn next(&self) -> Instant {
        self.due.min(self.gives_up)
    }

    fn leaves(&mut self, now: Instant) {
        self.due = now.plus_micros(self.pause_us);
        self.pause_us = (self.pause_us * 3 / 2).min(REPEAT_US_MAX);
    }
}

/// A finished handshake, from which the host makes a session: see [`crate::Endpoint`].
pub struct Established {
    pub(crate) secrets: Secrets,
    pub(crate) local_connection: u32,
    pub(crate) remote_connection: u32,
    pub(crate) from: core::net::SocketAddr,
    pub(crate) is_stranger: bool,
}

impl Established {
    /// Who it is.
    #[must_use]
    pub const fn peer(&self) -> PublicKey {
        self.secrets.peer
    }

    /// Where its last message came from.
    #[must_use]
    pub const fn from(&self) -> core::net::SocketAddr {
        self.from
    }

    /// Whether it did not know the host's key and came through the pairing window (SPEC §4.10): it may pair and
    /// nothing else, whoever it is.
    #[must_use]
    pub const fn is_stranger(&self) -> bool {
        self.is_stranger
    }

    /// The id by which datagrams to the session will be known.
    #[must_use]
    pub const fn connection(&self) -> u32 {
        self.local_connection
    }

    /// Seals the one datagram that tells the peer why it is not let in. Returns its length, 0 when `out` is too short.
    pub(crate) fn refuse(self, reason: CloseReason, out: &mut [u8]) -> usize {
        // One packet: the core's own engine is as good as any.
        let key = PacketKey::<ChaChaPoly>::new(self.secrets.send);
        transmit::seal_close(&key, false, self.remote_connection, 0, reason.code(), out).unwrap_or(0)
    }
}

impl core::fmt::Debug for Established {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Established")
            .field("peer", &self.secrets.peer)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Client: begins a session with `host`. `handshake` is an initiator of [`Opening::XX`](crate::Opening::XX); `connection` is an
    /// unpredictable number by which this side will know the session's datagrams.
    ///
    /// A handshake that cannot write its first message gives a session that is closed from the start.
    pub fn connect(
        config: &Config,
        mut handshake: H,
        host: PublicKey,
        connection: u32,
        memory: M,
        path: PathId,
        now: Instant,
    ) -> Self {
        handshake.expect_peer(host);
        Self::initiate(config, handshake, Some(host), connection, memory, path, now)
    }

    /// Client: begins a session with a host whose key is not known, to pair with it (SPEC §8.5); the other arguments
    /// are those of [`Self::connect`]. The host answers while its pairing window is open. Nothing but pairing happens in
    /// such a session.
    pub fn approach(
        config: &Config,
        handshake: H,
        connection: u32,
        memory: M,
        path: PathId,
        now: Instant,
    ) -> Self {
        Self::initiate(config, handshake, None, connection, memory, path, now)
    }

    fn initiate(
        config: &Config,
        mut handshake: H,
        host: Option<PublicKey>,
        connection: u32,
        memory: M,
        path: PathId,
        now: Instant,
    ) -> Self {
        let mut payload = [0; INITIATION_PAYLOAD_LEN];
        payload[..4].copy_from_slice(&connection.to_be_bytes());
        let mut noise = [0; INITIATION_NOISE_LEN];
        let mut message = [0; INITIATION_LEN];
        let written = handshake.write_message(&payload, &mut noise).ok().and_then(|len| {
            let key = host.as_ref().map_or_else(Mac1Key::stranger, Mac1Key::new);
            Initiation::emit(&mut message, noise.get(..len)?, |bytes| key.mac1(bytes))
        });
        let phase = match written {
            Some(_) => {
                Phase::Initiating { handshake, host, message, flight: Flight::new(now, config.handshake_us) }
            }
            None => Phase::Closed,
        };
        let mut session = Self::new(Side::Initiator, config, memory, path, phase, now);
        session.local_connection = connection;
        session.is_stranger = host.is_none();
        if session.is_closed() {
            session.pending.closed = Some(CloseReason::Unanswered);
        }
        session
    }

    /// Host: the session of a finished handshake. Nothing flows before [`Self::admit`].
    pub fn from_established(
        config: &Config,
        established: Established,
        memory: M,
        path: PathId,
        now: Instant,
    ) -> Self {
        let mut session = Self::new(Side::Responder, config, memory, path, Phase::Established, now);
        session.local_connection = established.local_connection;
        session.remote_connection = established.remote_connection;
        session.is_stranger = established.is_stranger;
        session.install(&established.secrets);
        if session.is_stranger {
            session.pairing.begin(now);
        }
        session.pending.authenticated = true;
        session
    }

    fn install(&mut self, secrets: &Secrets) {
        self.peer = Some(secrets.peer);
        self.transcript = secrets.transcript;
        self.keys = Some(Keys::new(self.side, secrets, self.now));
    }

    /// Client: takes the host's answer.
    pub(super) fn handle_response(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Discard> {
        let Phase::Initiating { handshake, host, .. } = &mut self.phase else {
            return Err(Discard::Unexpected);
        };
        let reply = Reply::parse(datagram).filter(|reply| reply.kind == Kind::Response);
        let reply = reply.ok_or(Discard::Malformed)?;
        if reply.connection != self.local_connection {
            return Err(Discard::UnknownConnection);
        }
        let mut payload = [0; 64];
        let len = handshake.read_message(reply.noise, &mut payload).map_err(|_| Discard::Authentication)?;
        let host = *host;
        let remote = payload.get(..len).and_then(handshake::connection_of).ok_or(Discard::Malformed)?;
        let mut message = [0; CONFIRMATION_LEN];
        let written = Reply::emit_head(&mut message, true, remote)
            .and_then(|()| handshake.write_message(&[], message.get_mut(Reply::HEAD_LEN..)?).ok());
        let secrets = handshake.finish().filter(|_| written == Some(CONFIRMATION_LEN - Reply::HEAD_LEN));
        let Some(secrets) = secrets else {
            self.finish(now, None, CloseReason::Unanswered);
            return Ok(());
        };
        if host.is_some_and(|host| host != secrets.peer) {
            self.finish(now, None, CloseReason::WrongPeer);
            return Ok(());
        }
        self.remote_connection = remote;
        self.install(&secrets);
        if self.is_stranger {
            self.pairing.begin(now);
        }
        self.pending.authenticated = true;
        self.heard_at = now;
        self.phase = Phase::Confirming { message, flight: Flight::new(now, self.config.handshake_us) };
        Ok(())
    }

    /// Something sealed by the peer has come: it has the keys too.
    pub(super) fn on_sealed(&mut self) {
        if matches!(self.phase, Phase::Confirming { .. }) {
            self.phase = Phase::Established;
        }
    }

    pub(super) fn handshake_due(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Initiating { flight, .. } | Phase::Confirming { flight, .. } => Some(flight.next()),
            Phase::Closing { due, .. } => Some(*due),
            Phase::Established | Phase::Closed => None,
        }
    }

    /// Gives an unanswered handshake up. Returns whether it did.
    pub(super) fn handle_handshake_timeout(&mut self, now: Instant) -> bool {
        match &self.phase {
            Phase::Initiating { flight, .. } | Phase::Confirming { flight, .. } if flight.gives_up <= now => {
                self.finish(now, None, CloseReason::Unanswered);
                true
            }
            Phase::Initiating { .. }
            | Phase::Confirming { .. }
            | Phase::Established
            | Phase::Closing { .. }
            | Phase::Closed => false,
        }
    }

    /// The handshake or closing datagram that is due.
    pub(super) fn transmit_handshake(&mut self, now: Instant, out: &mut [u8]) -> Option<Transmit> {
        let len = match &mut self.phase {
            Phase::Initiating { message, flight, .. } => put(message, flight, now, out)?,
            Phase::Confirming { message, flight } => put(message, flight, now, out)?,
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
                let number = self.sent.next();
                let keys = self.keys.as_ref()?;
                let len = transmit::seal_close(
                    keys.send(),
                    keys.send_phase(),
                    self.remote_connection,
                    number,
                    code,
                    out,
                )?;
                self.note_sent(now, len, super::Carried::empty());
                len
            }
            Phase::Established | Phase::Closed => return None,
        };
        Some(transmit::realtime(self.path, len))
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

/// Copies a due message out and sets when it is due again.
fn put(message: &[u8], flight: &mut Flight, now: Instant, out: &mut [u8]) -> Option<usize> {
    if flight.due > now {
        return None;
    }
    out.get_mut(..message.len())?.copy_from_slice(message);
    flight.leaves(now);
    Some(message.len())
}
