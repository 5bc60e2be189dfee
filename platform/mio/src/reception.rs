//! What a host's socket has received, on its way to sessions, to the endpoint, or to who is met at a gateway.

use rift::{
    Class, CloseReason, Ecn, Endpoint, Established, Handshake, Instant, Memory, PathId, Permissions, Route,
    Session, SessionIndex, Transmit,
};

use crate::host::{Decision, HostApplication, HostStats};
use crate::meet::{Heard, Meeting, way};
use crate::outbox::Wire;
use crate::slot::Slot;
use crate::socket::{Destination, Received, Sender};

/// Bytes of the longest answer to somebody who has no session.
const REPLY_LEN: usize = rift::limits::REPLY_MAX;

/// One batch on its way to sessions or to the endpoint.
pub(crate) struct Reception<'a, M: Memory, H: Handshake> {
    pub(crate) now: Instant,
    pub(crate) endpoint: &'a mut Endpoint<H>,
    pub(crate) slots: &'a mut Vec<Option<Slot<M, H>>>,
    pub(crate) stats: &'a mut HostStats,
    pub(crate) sender: &'a mut Sender,
    /// Others wait for room in the socket: strangers do not overtake them.
    pub(crate) is_blocked: bool,
    pub(crate) meeting: Option<&'a mut Meeting>,
}

impl<M: Memory, H: Handshake> Reception<'_, M, H> {
    /// Cuts the batch into runs for the same session, almost always one.
    pub(crate) fn take(&mut self, host: &mut impl HostApplication<M, H>, received: Received<'_>) {
        if self.meeting.as_ref().is_some_and(|meeting| meeting.is_beside(received.from)) {
            return self.take_beside(host, received);
        }
        let Received { from, local, received_at, ecn, bytes, stride } = received;
        if way::tag(from).is_some() {
            // Nobody has such an address.
            self.stats.discarded += bytes.len().div_ceil(stride) as u64;
            return;
        }
        let destination = Destination { to: from, source: local };
        let mut run: Option<(SessionIndex, usize)> = None;
        let mut at = 0;
        while at < bytes.len() {
            let end = (at + stride).min(bytes.len());
            let index = self.route(host, destination, &bytes[at..end]);
            if let Some((known, start)) = run
                && index != Some(known)
            {
                self.deliver(known, destination, received_at, ecn, &mut bytes[start..at], stride);
                run = None;
            }
            run = run.or(index.map(|index| (index, at)));
            at = end;
        }
        if let Some((known, start)) = run {
            self.deliver(known, destination, received_at, ecn, &mut bytes[start..], stride);
        }
    }

    /// What comes from a gateway or a relay: each datagram by itself.
    fn take_beside(&mut self, host: &mut impl HostApplication<M, H>, received: Received<'_>) {
        let Received { from, received_at, ecn, bytes, stride, .. } = received;
        for datagram in bytes.chunks_mut(stride) {
            let Some(meeting) = self.meeting.as_deref_mut() else { return };
            let Heard::Enclosed(at, way) = meeting.handle_datagram(self.now, from, ecn, datagram) else {
                continue;
            };
            let (destination, inner) = (Destination { to: way, source: None }, &mut datagram[at..]);
            if !inner.is_empty()
                && let Some(index) = self.route(host, destination, inner)
            {
                let len = inner.len();
                self.deliver(index, destination, received_at, ecn, inner, len);
            }
        }
    }

    /// Which session a datagram is for; anything else is dealt with here.
    fn route(
        &mut self,
        host: &mut impl HostApplication<M, H>,
        destination: Destination,
        datagram: &[u8],
    ) -> Option<SessionIndex> {
        let mut reply = [0; REPLY_LEN];
        let responder = |opening| host.responder(opening);
        match self.endpoint.handle_datagram(self.now, destination.to, datagram, responder, &mut reply) {
            Ok(Route::Session(index)) => return Some(index),
            Ok(Route::Reply(len)) => self.answer(destination, &reply[..len]),
            Ok(Route::Established(established)) => self.open(host, destination, established),
            Err(_) => {
                let (now, from) = (self.now, destination.to);
                let meeting = self.meeting.as_deref_mut();
                let is_check = meeting.is_some_and(|meeting| meeting.handle_check(now, from, datagram));
                self.stats.discarded += u64::from(!is_check);
            }
        }
        None
    }

    fn deliver(
        &mut self,
        index: SessionIndex,
        destination: Destination,
        received_at: Instant,
        ecn: Ecn,
        bytes: &mut [u8],
        stride: usize,
    ) {
        match self.slots.get_mut(usize::from(index.0)) {
            Some(Some(slot)) => {
                let path = slot.path_to(destination);
                slot.session.handle_datagrams(self.now, path, received_at, ecn, bytes, stride);
                // Whoever it was, it was not the client, or it is not there any more.
                if !slot.session.uses_path(path) {
                    self.stats.misdirected += bytes.len().div_ceil(stride) as u64;
                }
            }
            None | Some(None) => self.stats.misdirected += bytes.len().div_ceil(stride) as u64,
        }
    }

    /// Makes a session for a peer that the application lets in.
    fn open(
        &mut self,
        host: &mut impl HostApplication<M, H>,
        destination: Destination,
        established: Established,
    ) {
        let Some(place) = self.slots.iter().position(Option::is_none) else {
            return self.refuse(destination, established, CloseReason::Busy);
        };
        let (peer, from) = (established.peer(), destination.to);
        let decision = if established.is_stranger() {
            let nothing = Permissions::empty();
            host.stranger(self.now, peer, from).map_or(
                Decision::Refuse(CloseReason::Refused),
                |(config, memory)| Decision::Admit { config, memory, permissions: nothing },
            )
        } else {
            host.established_by(self.now, established.suite(), peer, from)
        };
        match decision {
            Decision::Refuse(reason) => self.refuse(destination, established, reason),
            Decision::Admit { config, memory, permissions } => {
                let index = SessionIndex(u16::try_from(place).expect("there are SESSIONS_MAX places"));
                let is_adopted = self.endpoint.adopt(established.connection(), index);
                debug_assert!(is_adopted, "the endpoint has as many places as the driver");
                let mut session =
                    Session::from_established(&config, established, memory, PathId(0), self.now);
                // Without effect on a stranger. Nobody is given more than it asked for.
                session.admit(self.now, permissions & session.wanted());
                self.slots[place] = Some(Slot::new(session, destination));
                self.stats.sessions_opened += 1;
            }
        }
    }

    fn refuse(&mut self, destination: Destination, established: Established, reason: CloseReason) {
        let mut farewell = [0; REPLY_LEN];
        let len = self.endpoint.refuse(established, reason, &mut farewell);
        self.stats.refused += 1;
        self.answer(destination, &farewell[..len]);
    }

    /// Answers somebody without a session; the peer repeats itself when the answer is dropped.
    fn answer(&mut self, destination: Destination, bytes: &[u8]) {
        let transmit = Transmit {
            path: PathId(0),
            len: bytes.len(),
            segment: None,
            class: Class::Realtime,
            ecn: Ecn::NotEct,
        };
        if self.is_blocked || self.sender.put(destination, &transmit, bytes).is_err() {
            self.stats.replies_dropped += 1;
        }
    }
}
