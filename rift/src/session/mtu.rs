//! How long a path's datagrams may be (SPEC §16.7–§16.10): searched with packets of padding whose loss tells nothing else,
//! given up at once when long datagrams vanish and short ones do not (RFC 8899).
//!
//! [`PathMtu`] is the search of one path; it knows neither packets nor peers. Invariant: what [`PathMtu::len`] says was
//! either carried by this path before, or is what the application assumed of every path.

use super::{Carried, Class, Discard, PathId, Session, TAG_LEN, Transmit, transmit};
use crate::crypto::Handshake;
use crate::limits::DATAGRAM_MIN;
use crate::storage::Memory;
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::frame::{FrameType, emit, emit_last};
use crate::wire::header::DataHeader;
use crate::wire::path::DatagramLimit;
use crate::wire::shard::ShardHead;

/// What an Ethernet leaves below IPv6 and below IPv4: tried first, because most paths carry it.
const COMMON: [u16; 2] = [1452, 1472];
/// Up to this length any path that is fast enough for pictures may use what it carries.
const COMMON_MAX: u16 = 1500;
/// A longer datagram takes at most this long at the granted rate, in µs: so long may input wait behind it.
const LONG_US: u64 = 1_000;
/// Probes of one length before the path counts as too narrow for it (RFC 8899 §5.1.2: `MAX_PROBES`).
const TRIES: u8 = 3;
/// A search ends when less than this is to be gained, in bytes; above [`COMMON_MAX`] a sixteenth.
const STEP: u16 = 16;
/// After so long it is looked whether the path has become wider (RFC 8899 §5.1.1: `PMTU_RAISE_TIMER`).
const RAISE_US: u64 = 600_000_000;
/// Nothing is known of a probe after this long, where nothing else is sent that would be reported: it was lost.
const PROBE_US: u64 = 2_000_000;
/// So many long datagrams lost in a row, and so many short ones that arrived from among them, are a narrower path.
const LONG_LOST: u8 = 6;
const SHORT_ARRIVED: u8 = 2;
/// A search begins this long after a path became narrower, and twice as long after each time that follows.
const HOLD_US: u32 = 1_000_000;
const HOLD_US_MAX: u32 = 64_000_000;

/// What was found out of one path.
#[derive(Clone, Copy, Debug)]
pub(super) struct PathMtu {
    /// The length of the longest datagrams that are sent.
    len: u16,
    /// This length and those beyond were not carried.
    too_long: u16,
    /// The length of the probe under way, 0 = none; when it left, and how many of this length were lost before.
    probe: u16,
    probed_at: Instant,
    tries: u8,
    /// When the next probe may leave.
    due: Instant,
    /// Long datagrams lost since one arrived, the least of their lengths, and short ones that arrived meanwhile.
    long_lost: u8,
    lost_len: u16,
    short_arrived: u8,
    /// What was granted before the first of them was lost, in bits per second.
    granted_bps: u32,
    hold_us: u32,
}

impl PathMtu {
    /// A path of which only `len` is assumed.
    pub(super) const fn new(len: u16) -> Self {
        Self {
            len,
            too_long: u16::MAX,
            probe: 0,
            probed_at: Instant::ZERO,
            tries: 0,
            due: Instant::ZERO,
            long_lost: 0,
            lost_len: u16::MAX,
            short_arrived: 0,
            granted_bps: 0,
            hold_us: HOLD_US,
        }
    }

    /// The length of the longest datagrams that are sent, in bytes of UDP payload.
    pub(super) const fn len(&self) -> u16 {
        self.len
    }

    /// The length to try next; `None` when nothing up to `ceiling` is worth it.
    fn next(&self, ceiling: u16) -> Option<u16> {
        let is_open = |len: &u16| self.len < *len && *len < self.too_long && *len <= ceiling;
        if let Some(len) = COMMON.into_iter().chain([ceiling]).find(is_open) {
            return Some(len);
        }
        let end = self.too_long.min(ceiling.saturating_add(1));
        let step = if self.len < COMMON_MAX { STEP } else { self.len / STEP };
        (end.saturating_sub(self.len) > step).then(|| self.len + (end - self.len) / 2)
    }

    /// When a probe of some length up to `ceiling` should leave, or the one under way counts as lost.
    fn due(&self, ceiling: u16) -> Option<Instant> {
        if ceiling <= self.len {
            return None;
        }
        if self.probe != 0 {
            return Some(self.probed_at.plus_micros(PROBE_US));
        }
        Some(if self.next(ceiling).is_some() { self.due } else { self.probed_at.plus_micros(RAISE_US) })
    }

    /// The length of the probe to send now, if one is due.
    fn begin(&mut self, now: Instant, ceiling: u16) -> Option<u16> {
        if self.due(ceiling)? > now {
            return None;
        }
        if self.probe != 0 {
            self.on_probe(now, false);
        } else if self.next(ceiling).is_none() {
            // It was long ago that this was too long.
            (self.too_long, self.hold_us) = (u16::MAX, HOLD_US);
        }
        let len = self.next(ceiling)?;
        (self.probe, self.probed_at) = (len, now);
        Some(len)
    }

    /// The probe under way has arrived or was lost (SPEC §16.8).
    pub(super) fn on_probe(&mut self, now: Instant, arrived: bool) {
        let probe = core::mem::take(&mut self.probe);
        if probe == 0 {
            return;
        }
        self.due = now;
        if arrived {
            (self.len, self.tries) = (self.len.max(probe), 0);
            return;
        }
        self.tries += 1;
        if self.tries >= TRIES {
            (self.too_long, self.tries) = (probe, 0);
        }
    }

    /// Nothing will be heard of a probe under way.
    pub(super) const fn forget_probe(&mut self) {
        self.probe = 0;
    }

    /// The system says that the path's first link does not carry `len`. Returns whether datagrams get shorter by that.
    fn on_refused(&mut self, now: Instant, len: u16) -> bool {
        if self.probe >= len {
            (self.probe, self.tries, self.due) = (0, 0, now);
        }
        self.too_long = self.too_long.min(len);
        let is_narrower = self.len >= len;
        if is_narrower {
            self.fall(now);
            self.too_long = len;
        }
        is_narrower
    }

    /// What has become of a datagram that was no probe, while so much is granted (SPEC §16.9). When the path has become
    /// narrower: what was granted before it did.
    pub(super) fn on_fate(&mut self, now: Instant, len: u16, arrived: bool, granted_bps: u32) -> Option<u32> {
        if usize::from(self.len) <= DATAGRAM_MIN {
            return None;
        }
        if arrived {
            if len >= self.lost_len {
                (self.long_lost, self.lost_len, self.short_arrived) = (0, u16::MAX, 0);
            } else if self.long_lost > 0 {
                self.short_arrived = self.short_arrived.saturating_add(1);
            }
            return None;
        }
        if usize::from(len) <= DATAGRAM_MIN {
            return None;
        }
        if self.long_lost == 0 {
            self.granted_bps = granted_bps;
        }
        self.long_lost = self.long_lost.saturating_add(1);
        self.lost_len = self.lost_len.min(len);
        let is_narrower = self.long_lost >= LONG_LOST && self.short_arrived >= SHORT_ARRIVED;
        let granted_bps = self.granted_bps;
        if is_narrower {
            self.fall(now);
        }
        is_narrower.then_some(granted_bps)
    }

    fn fall(&mut self, now: Instant) {
        let hold_us = self.hold_us;
        *self = Self {
            due: now.plus_micros(hold_us.into()),
            hold_us: hold_us.saturating_mul(2).min(HOLD_US_MAX),
            ..Self::new(DATAGRAM_MIN as u16)
        };
    }

    /// The peer takes no longer ones.
    fn limit(&mut self, len: u16) {
        self.len = self.len.min(len);
    }
}

impl<M: Memory, H: Handshake> Session<M, H> {
    /// The driver says that its system refused a datagram of `len` bytes on `path` as too long for the first link
    /// (`EMSGSIZE`): so long ones are not tried again for ten minutes.
    pub fn handle_too_long(&mut self, now: Instant, path: PathId, len: u16) {
        if usize::from(len) <= DATAGRAM_MIN {
            return;
        }
        if self.active.id == path {
            if self.active.mtu.on_refused(now, len) {
                self.on_narrower();
            }
        } else if let Some(other) = self.paths.others.iter_mut().find(|other| other.id == path) {
            other.mtu.on_refused(now, len);
        }
    }

    /// The length of the longest datagrams that pictures and bulk are sent in on the path in use, in bytes of UDP payload.
    #[must_use]
    pub const fn datagram_len(&self) -> u16 {
        self.active.mtu.len()
    }

    /// The length of the datagrams of the next picture.
    pub(super) fn picture_datagram_len(&self) -> usize {
        usize::from(self.active.mtu.len().min(self.worthwhile_len()))
    }

    /// At the granted rate longer datagrams would keep input waiting.
    fn worthwhile_len(&self) -> u16 {
        let bytes = self.pacer.pacing_bps() / 8 * LONG_US / 1_000_000;
        u16::try_from(bytes).unwrap_or(u16::MAX).max(COMMON_MAX).max(self.config.datagram_len)
    }

    /// The longest datagram that may be tried; 0 while none may.
    fn datagram_ceiling(&self) -> u16 {
        let is_proven = self.is_live() && self.active.room.is_none() && self.active.is_proven;
        if !is_proven || self.is_stranger {
            return 0;
        }
        self.config.datagram_len_max.min(self.peer_datagram_len).min(self.worthwhile_len())
    }

    /// When something about the length of datagrams is due.
    pub(super) fn mtu_due(&self) -> Option<Instant> {
        if usize::from(self.peer_datagram_len) <= DATAGRAM_MIN {
            return None;
        }
        self.active.mtu.due(self.datagram_ceiling())
    }

    /// A packet as long as the path may carry, once nothing else wants to leave.
    pub(super) fn transmit_mtu_probe(&mut self, now: Instant, out: &mut [u8]) -> Option<Transmit> {
        if !self.is_established() || self.mtu_due()? > now {
            return None;
        }
        let ceiling = self.datagram_ceiling();
        let len = usize::from(self.active.mtu.begin(now, ceiling)?);
        let mut writer = Writer::new(out.get_mut(DataHeader::LEN..len.checked_sub(TAG_LEN)?)?);
        emit_last(&mut writer, FrameType::MtuProbe)?;
        let rest = writer.room();
        writer.reserve(rest)?.fill(0);
        let payload_len = writer.len();
        let len = self.seal(out, payload_len)?;
        self.note_sent(now, len, Carried::MTU_PROBE);
        self.pacer.on_sent(now, len);
        Some(Transmit { class: Class::Media, ..transmit::realtime(self.active.id, len) })
    }

    /// Has the peer told how long datagrams may be that come here, where that is more than it assumes.
    pub(super) fn tell_datagram_limit(&mut self) {
        if usize::from(self.config.datagram_len_taken) > DATAGRAM_MIN && !self.is_stranger {
            self.latches.set(Carried::DATAGRAM_LIMIT, self.sent.next());
        }
    }

    pub(super) fn write_datagram_limit(&self, now: Instant, writer: &mut Writer<'_>, carried: &mut Carried) {
        let message = DatagramLimit { len: self.config.datagram_len_taken };
        if self.latches.is_due(Carried::DATAGRAM_LIMIT, now)
            && emit(writer, FrameType::DatagramLimit, |body| message.emit(body)).is_some()
        {
            *carried |= Carried::DATAGRAM_LIMIT | Carried::ELICITING;
        }
    }

    pub(super) fn handle_datagram_limit(&mut self, body: &[u8]) -> Result<(), Discard> {
        let message = DatagramLimit::parse(body).ok_or(Discard::Malformed)?;
        if self.is_stranger {
            return Err(Discard::Unexpected);
        }
        // SPEC §16.7: it is the same for as long as the session lasts.
        self.peer_datagram_len = message.len;
        self.active.mtu.limit(message.len);
        self.paths.others.iter_mut().for_each(|other| other.mtu.limit(message.len));
        Ok(())
    }

    /// What is known of a path before anything was tried on it.
    pub(super) fn untried(&self) -> PathMtu {
        let mut mtu = PathMtu::new(self.config.datagram_len);
        if self.peer_datagram_len > 0 {
            mtu.limit(self.peer_datagram_len);
        }
        mtu
    }

    /// The path in use carries less than it did.
    pub(super) fn on_narrower(&mut self) {
        self.stats.paths_narrowed += 1;
        self.drop_too_long();
    }

    /// Pictures that wait in shards too long for the path in use are left out, and so are those that refer to them; the
    /// viewer is led back by the next one.
    pub(super) fn drop_too_long(&mut self) {
        let shard_len_max = shard_len(self.active.mtu.len().into());
        self.video_out.keep_shorter(shard_len_max);
        if self.video_out.longest_shard() > shard_len_max {
            self.video_out.drop_waiting();
            self.video_out.forget_repair();
        }
    }
}

/// Bytes of a shard in a datagram of this length.
pub(super) const fn shard_len(datagram_len: usize) -> usize {
    datagram_len - DataHeader::LEN - ShardHead::FRAME_LEN - TAG_LEN
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path that carries `width`; gives the length found and the probes it took.
    fn search(width: u16, ceiling: u16) -> (u16, u32) {
        let (mut mtu, mut now, mut probes) = (PathMtu::new(1200), Instant::ZERO, 0);
        while let Some(len) = mtu.begin(now, ceiling) {
            assert!(len <= ceiling, "{len}");
            probes += 1;
            now = now.plus_micros(40_000);
            mtu.on_probe(now, len <= width);
        }
        assert_eq!(mtu.due(ceiling).is_some(), ceiling > mtu.len());
        (mtu.len(), probes)
    }

    #[test]
    fn search_finds_every_width_within_its_step_and_ends() {
        for width in 1200..=8952 {
            for ceiling in [1200, 1400, 1452, 1500, 4000, 8952] {
                let (found, probes) = search(width, ceiling);
                let most = width.min(ceiling);
                let step = if found < COMMON_MAX { STEP } else { found / STEP };
                assert!(found <= most && most - found <= step, "{width}, {ceiling}: {found}");
                assert!(probes <= 11 * u32::from(TRIES), "{width}, {ceiling}: {probes} probes");
            }
        }
        assert_eq!((search(1452, 8952).0, search(1472, 8952).0, search(8952, 8952).0), (1452, 1472, 8952));
    }

    #[test]
    fn ten_minutes_later_it_is_looked_again_from_where_it_was() {
        let (mut mtu, mut now) = (PathMtu::new(1200), Instant::ZERO);
        while mtu.begin(now, 1472).is_some() {
            now = now.plus_micros(10_000);
            mtu.on_probe(now, false);
        }
        let due = mtu.due(1472).expect("it is looked again");
        assert!(due.micros_since(now) > RAISE_US - 1_000_000);
        assert_eq!(mtu.begin(due.minus_micros(1), 1472), None);
        assert_eq!(mtu.begin(due, 1472), Some(1452));
        mtu.on_probe(due, true);
        assert_eq!(mtu.len(), 1452);
    }

    #[test]
    fn probe_that_nobody_reports_on_counts_as_lost() {
        let mut mtu = PathMtu::new(1200);
        assert_eq!(mtu.begin(Instant::ZERO, 1452), Some(1452));
        for _ in 1..TRIES {
            let due = mtu.due(1452).expect("one is under way");
            assert_eq!(mtu.begin(due, 1452), Some(1452), "once more");
        }
        let due = mtu.due(1452).expect("one is under way");
        assert!(mtu.begin(due, 1452).is_some_and(|len| len < 1452), "it is too long");
    }

    /// SPEC §16.8.
    #[test]
    fn length_of_which_three_probes_were_lost_is_too_long() {
        let (mut mtu, now) = (PathMtu::new(1200), Instant::ZERO);
        for _ in 0..3 {
            assert_eq!(mtu.begin(now, 1452), Some(1452));
            mtu.on_probe(now, false);
        }
        assert!(mtu.begin(now, 1452).is_some_and(|len| len < 1452));
    }

    #[test]
    fn length_that_the_system_refuses_is_not_tried_again() {
        let (mut mtu, mut now) = (PathMtu::new(1200), Instant::ZERO);
        let mut refused = 0;
        while let Some(len) = mtu.begin(now, 8952) {
            now = now.plus_micros(1000);
            if len > 1472 {
                refused += 1;
                assert!(!mtu.on_refused(now, len), "nothing of that length was used");
            } else {
                mtu.on_probe(now, true);
            }
        }
        assert!(mtu.len() == 1472 && refused <= 10, "{} after {refused}", mtu.len());
        assert!(mtu.on_refused(now, 1472), "the link itself became narrower");
        assert_eq!(mtu.len(), 1200);
    }

    /// SPEC §16.9.
    #[test]
    fn long_ones_lost_among_short_ones_that_arrive_are_a_narrower_path_and_nothing_else_is() {
        let now = Instant::ZERO;
        let tell_to = |mut mtu: PathMtu, fates: &[(u16, bool)]| {
            (fates.iter().any(|&(len, arrived)| mtu.on_fate(now, len, arrived, 1).is_some()), mtu.len())
        };
        let tell = |fates: &[(u16, bool)]| tell_to(PathMtu::new(1452), fates);
        let long_lost = [(1452, false); 5];
        let short = [(80, true); 2];
        assert_eq!(tell(&[&long_lost[..], &short, &[(1452, false)]].concat()), (true, 1200));
        assert_eq!(tell(&[&long_lost[..], &long_lost, &long_lost].concat()), (false, 1452), "an outage");
        assert_eq!(tell(&[&short[..], &long_lost, &long_lost].concat()), (false, 1452), "the same, later");
        let still_under_way = [&long_lost[..], &short, &long_lost].concat();
        assert_eq!(tell_to(PathMtu::new(1200), &still_under_way), (false, 1200), "it is narrow already");
        let spoilt = [&long_lost[..], &short, &[(1452, true)], &long_lost, &short].concat();
        assert_eq!(tell(&spoilt), (false, 1452), "one arrived");
        // A shard that is shorter than the path's new width may arrive all the time.
        let tails = [&long_lost[..], &[(1240, true); 2], &[(1452, false)]].concat();
        assert_eq!(tell(&tails), (true, 1200));
        assert_eq!(tell(&[(1200, false); 40]), (false, 1452), "short ones are lost for other reasons");
    }

    #[test]
    fn path_that_keeps_changing_is_searched_ever_more_seldom() {
        let (mut mtu, mut now, mut pauses) = (PathMtu::new(1200), Instant::ZERO, [0; 9]);
        for pause in &mut pauses {
            let due = mtu.due(1452).expect("there is more to find");
            *pause = due.micros_since(now);
            now = due.max(now);
            assert_eq!(mtu.begin(now, 1452), Some(1452));
            mtu.on_probe(now, true);
            mtu.fall(now);
        }
        assert_eq!(pauses[1..4], [1_000_000, 2_000_000, 4_000_000]);
        assert_eq!(pauses[7..], [64_000_000; 2]);
    }
}
