//! How a host's session begins: from a finished handshake, and on trial until its client has shown that it is there
//! (SPEC §4.13).

use super::handshake::Phase;
use super::path::Direction;
use super::sent::Carried;
use super::{CloseReason, Config, PathId, Session, Transmit, sealing, transmit};
use crate::channel::permissions::Permissions;
use crate::crypto::{AddressToken, ChaChaPoly, Handshake, PacketKey, PublicKey, Secrets, Side, Suite};
use crate::limits::DATAGRAM_MIN;
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::handshake::{ANSWER_MAX, Kept};

/// With less room than this nothing of use fits a packet.
const PACKET_MIN: usize = 64;

/// A finished handshake, from which the host makes a session: see [`crate::Endpoint`].
pub struct Established {
    pub(crate) secrets: Secrets,
    pub(crate) local_connection: u32,
    pub(crate) remote_connection: u32,
    pub(crate) from: core::net::SocketAddr,
    pub(crate) is_stranger: bool,
    /// What the client asked for.
    pub(crate) wanted: Permissions,
    /// What its secrets rest on.
    pub(crate) suite: Suite,
    /// The second message of IK, which has not been sent yet.
    pub(crate) answer: Option<Kept<ANSWER_MAX>>,
    /// Bytes that may be sent before the client's first packet.
    pub(crate) room: usize,
}

impl Established {
    /// Who it is.
    #[must_use]
    pub const fn peer(&self) -> PublicKey {
        self.secrets.peer
    }

    /// What its secrets rest on. Who was hybrid once and is not now is somebody else, or somebody on the way has broken
    /// X25519: a host that remembers refuses it.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
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

    /// What the client would like to do. It need not be given more.
    #[must_use]
    pub const fn wanted(&self) -> Permissions {
        self.wanted
    }

    /// Whether the client is known to be where it says: it heard something there, now or not long ago.
    #[must_use]
    pub const fn is_address_proven(&self) -> bool {
        self.room == usize::MAX
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
        let answer = self.answer.as_ref().map_or(&[][..], Kept::as_slice);
        let Some((head, rest)) = out.split_at_mut_checked(answer.len()) else { return 0 };
        head.copy_from_slice(answer);
        sealing::seal_close(&key, false, 0, self.remote_connection, 0, reason.code(), rest)
            .map_or(0, |len| answer.len() + len)
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

/// A session whose client may be a recording: nothing has come that only somebody can say who heard the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    /// The second message of IK, as long as it has not been sent.
    answer: Option<Kept<ANSWER_MAX>>,
    /// Bytes that may still be sent.
    room: usize,
}

impl<M: Memory, H: Handshake> Session<M, H> {
    /// Host: the session of a finished handshake. Nothing flows before [`Self::admit`]; until
    /// [`Event::Live`](super::Event::Live) it shows pictures at most.
    pub fn from_established(
        config: &Config,
        established: Established,
        memory: M,
        path: PathId,
        now: Instant,
    ) -> Self {
        let mut session = Self::new(Side::Responder, config, memory, path, Phase::Established, now);
        session.local_connection = established.local_connection;
        session.active.remote = Direction::new(established.remote_connection, 0);
        session.active.local = Direction::new(established.local_connection, 0);
        session.is_stranger = established.is_stranger;
        session.wanted = established.wanted;
        session.install(&established.secrets);
        if session.is_stranger {
            session.pairing.begin(now);
        }
        session.pending.authenticated = true;
        match established.answer {
            Some(answer) => {
                session.trial = Some(Trial { answer: Some(answer), room: established.room });
            }
            // Who came to pair is nobody yet.
            None => {
                session.pending.live = !session.is_stranger;
                session.tell_datagram_limit();
            }
        }
        session
    }

    /// Host: what the client asked for in its handshake. It need not be given more.
    #[must_use]
    pub const fn wanted(&self) -> Permissions {
        self.wanted
    }

    /// Host: whether the client has shown that it is there now. Until then it may be the recording of a first flight that
    /// never arrived, sent by somebody else.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.trial.is_none()
    }

    /// Host: gives the client a token for its next call (see [`crate::Endpoint::make_token`]). Only the newest counts.
    pub fn offer_token(&mut self, token: AddressToken) {
        if self.side == Side::Responder && self.is_established() && !self.is_stranger {
            self.token = Some(token);
            self.latches.set(Carried::TOKEN, self.sent.next());
        }
    }

    /// A packet of the client has opened.
    pub(super) fn on_live(&mut self) {
        if self.trial.take().is_some() {
            // Of a session that is over nothing is told any more.
            self.pending.live = !self.is_closing();
            self.tell_datagram_limit();
        }
    }

    /// Bytes that may be sent now.
    pub(super) fn trial_room(&self) -> usize {
        let trial =
            self.trial.map_or(usize::MAX, |trial| if trial.answer.is_some() { 0 } else { trial.room });
        trial.min(self.active.room.map_or(usize::MAX, |room| usize::try_from(room).unwrap_or(usize::MAX)))
    }

    /// Whether nothing more can be sent before the client's first packet.
    pub(super) fn is_trial_spent(&self) -> bool {
        self.trial.is_some_and(|trial| trial.answer.is_none() && trial.room < PACKET_MIN)
            || self.active.room.is_some_and(|room| room < PACKET_MIN as u64)
    }

    /// Whether nothing more can be sent, the answer included, before the client has shown that it is there.
    pub(super) fn is_room_spent(&self) -> bool {
        self.trial.is_some_and(|trial| trial.room < PACKET_MIN)
            || self.active.room.is_some_and(|room| room < PACKET_MIN as u64)
    }

    pub(super) fn spend_trial(&mut self, len: usize) {
        self.active.spend(len);
        if let Some(trial) = &mut self.trial {
            trial.room = trial.room.saturating_sub(len);
        }
    }

    /// Like `transmit_realtime`, with the answer in front as long as it has not left, and within what may be sent.
    pub(super) fn transmit_on_trial(&mut self, now: Instant, out: &mut [u8]) -> Option<Transmit> {
        let Trial { answer, room } = self.trial?;
        let lead = answer.map_or(0, |answer| answer.as_slice().len());
        let room = room.min(DATAGRAM_MIN).min(out.len());
        let (head, rest) = out.get_mut(..room)?.split_at_mut_checked(lead)?;
        if let Some(answer) = answer {
            head.copy_from_slice(answer.as_slice());
        }
        let packet = if rest.len() < PACKET_MIN { None } else { self.transmit_realtime(now, rest) };
        let len = lead + packet.map_or(0, |packet| packet.len);
        if let Some(trial) = &mut self.trial {
            trial.answer = None;
        }
        self.spend_trial(len);
        (len > 0).then(|| transmit::realtime(self.active.id, len))
    }
}
