//! Packets that open, prove and choose paths (SPEC §16.3–§16.6). They are small or padded, and carry nothing else.

use super::path::Path;
use super::{Carried, Class, PathId, Session, TAG_LEN, Transmit, sealing};
use crate::crypto::{Handshake, Side};
use crate::limits::DATAGRAM_MIN;
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::feedback::Ecn;
use crate::wire::frame::{FrameType, emit, emit_last};
use crate::wire::header::DataHeader;
use crate::wire::path::{PathProbe, PathsInUse};

impl<M: Memory, H: Handshake> Session<M, H> {
    pub(super) fn write_paths(&mut self, now: Instant, writer: &mut Writer<'_>, carried: &mut Carried) {
        if self.side == Side::Initiator
            && self.latches.is_due(Carried::PATHS, now)
            && self.put_paths(writer).is_some()
        {
            *carried |= Carried::PATHS | Carried::ELICITING;
        }
    }

    fn put_paths(&self, writer: &mut Writer<'_>) -> Option<()> {
        let others = &self.paths.others;
        let standby = others.iter().find(|path| path.is_proven).map(|path| path.number);
        let mut tried = others.iter().map(|path| path.number).filter(|&number| Some(number) != standby);
        let message = PathsInUse {
            change: self.paths.change,
            used: self.active.number,
            standby,
            tried: [tried.next(), tried.next()],
            opened: self.connections.opened(),
        };
        emit(writer, FrameType::PathsInUse, |body| message.emit(body))
    }

    /// A packet that proves, answers or opens a path, if one is due.
    pub(super) fn transmit_aside(&mut self, now: Instant, out: &mut [u8]) -> Option<Transmit> {
        if self.paths.burst > 0 || is_due(&self.active, now) {
            return self.transmit_probe(now, out, None);
        }
        let at = self.paths.others.iter().position(|path| is_due(path, now))?;
        self.transmit_probe(now, out, Some(at))
    }

    fn transmit_probe(&mut self, now: Instant, out: &mut [u8], at: Option<usize>) -> Option<Transmit> {
        let is_client = self.side == Side::Initiator;
        let is_burst = at.is_none() && self.paths.burst > 0;
        let room = self
            .path_mut(at)?
            .room
            .map_or(DATAGRAM_MIN, |room| usize::try_from(room).unwrap_or(DATAGRAM_MIN));
        let end = DATAGRAM_MIN.min(room).min(out.len()).checked_sub(TAG_LEN)?;
        let mut writer = Writer::new(out.get_mut(DataHeader::LEN..end)?);
        let mut carried = Carried::empty();
        let path = self.path_mut(at)?;
        let is_opening = is_client && path.number > 0 && !path.is_proven;
        if is_opening || is_client && at.is_none() && self.paths.change > 0 {
            self.put_paths(&mut writer)?;
        }
        if is_burst && let Some(request) = self.video_in.repair_now() {
            emit(&mut writer, FrameType::Repair, |body| request.emit(body))?;
            carried |= Carried::REPAIR;
        }
        let path = self.path_mut(at)?;
        if is_opening {
            let announced = path.local.announced(path.number);
            emit(&mut writer, FrameType::NewConnection, |body| announced.emit(body))?;
        }
        if let Some(data) = path.response.take() {
            emit(&mut writer, FrameType::PathResponse, |body| PathProbe { data }.emit(body))?;
        }
        if let Some(challenge) = &mut path.challenge
            && (challenge.due <= now || is_burst)
        {
            challenge.leaves(now);
            let probe = PathProbe { data: challenge.data };
            emit(&mut writer, FrameType::PathChallenge, |body| probe.emit(body))?;
        }
        if is_opening || is_burst {
            emit_last(&mut writer, FrameType::Padding)?;
            let rest = writer.room();
            writer.reserve(rest)?.fill(0);
        }
        let payload_len = writer.len();
        if payload_len == 0 {
            return None;
        }
        let (len, id) = self.seal_on(at, out, payload_len)?;
        match at {
            None => {
                self.paths.burst = self.paths.burst.saturating_sub(u8::from(is_burst));
                self.note_sent(now, len, carried);
            }
            Some(at) => {
                self.stats.packets_sent += 1;
                self.stats.bytes_sent += len as u64;
                self.paths.others[at].sent += 1;
            }
        }
        if let Some(path) = self.path_mut(at) {
            path.spend(len);
        }
        Some(Transmit { path: id, len, segment: None, class: Class::Realtime, ecn: Ecn::Ect1 })
    }

    /// Seals on another path or the one in use; tells the length and where it goes.
    fn seal_on(&mut self, at: Option<usize>, out: &mut [u8], payload_len: usize) -> Option<(usize, PathId)> {
        let Some(at) = at else { return Some((self.seal(out, payload_len)?, self.active.id)) };
        let path = self.paths.others.get(at)?;
        let keys = self.keys.as_ref()?;
        Some((sealing::seal(keys, path, payload_len, out)?, path.id))
    }
}

fn is_due(path: &Path, now: Instant) -> bool {
    path.due().is_some_and(|due| due <= now)
}
