//! The hosts that carry pictures: the same sender and the same receiver for every controller.

use std::collections::VecDeque;

use rift::Instant;
use rift::delta::{Delta, Outcome, PacketReport};
use rift::pacing::Pacer;

use super::controller::{Brief, Controller};
use super::source::Source;
use super::wire::{self, Arrival, SHARD, SHARD_HEAD, Shard};
use crate::packet::{NodeId, Packet};
use crate::random::Random;

/// From capture to the first shard, in µs: encoding takes a quarter of a picture at 60 Hz.
pub(super) const ENCODE_US: u64 = 4_000;
/// Headers, input and control, in thousandths of a grant whose owner does not split it itself.
const OVERHEAD_PERMILLE: u64 = 30;
/// How often a receiver reports, in µs, when something arrived; and how often it repeats each arrival.
const FEEDBACK_US: u64 = 10_000;
const REPEATS: u8 = 3;
/// A packet is lost once this many sent after it have arrived.
const REORDER: usize = 3;
/// A sender whose window is shut looks again after this, in µs.
const SHUT_US: u64 = 5_000;
/// Samples of a sender are kept this far apart, in µs.
const SAMPLE_US: u64 = 20_000;

/// A picture as its sender knows it, on the sender's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct PictureSent {
    pub(super) captured: Instant,
}

/// What a controller thought, now and then.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) grant_bps: u64,
    pub(super) about: String,
}

/// When a sender speaks: from, until, and a pause in between, on its own clock and in µs.
#[derive(Clone, Debug)]
pub(super) struct Timetable {
    pub(super) spans: Vec<(u64, u64)>,
}

impl Timetable {
    fn active(&self, now_us: u64) -> bool {
        self.spans.iter().any(|&(from, until)| (from..until).contains(&now_us))
    }

    fn next_start(&self, now_us: u64) -> Option<u64> {
        self.spans.iter().map(|&(from, _)| from).filter(|&from| from > now_us).min()
    }
}

struct Waiting {
    shard: Shard,
    bytes: u16,
    since_us: u64,
}

#[derive(Clone, Copy)]
struct Sent {
    at: Instant,
    bytes: u16,
    arrival: Option<(u64, bool)>,
}

/// Sends pictures.
pub(super) struct Sender {
    pub(super) to: NodeId,
    controller: Box<dyn Controller>,
    /// Parity for those who have no rule of their own: DELTA's, fed the same reports.
    shadow: Option<Delta>,
    pacer: Pacer,
    source: Source,
    timetable: Timetable,
    next_picture: Option<u64>,
    pub(super) pictures: Vec<PictureSent>,
    backlog: VecDeque<Waiting>,
    sent: VecDeque<Sent>,
    /// Number of the first of them.
    first: u64,
    rtt_us: u64,
    pub(super) samples: Vec<Sample>,
    describes: bool,
    reports: Vec<PacketReport>,
}

impl Sender {
    pub(super) fn new(
        controller: Box<dyn Controller>,
        brief: &Brief,
        timetable: Timetable,
        random: Random,
        describes: bool,
    ) -> Self {
        let shadow = controller.parity_for(1).is_none().then(|| {
            let mut shadow = Delta::new(&brief.limits);
            shadow.set_picture_rate(brief.picture_millihertz);
            shadow
        });
        let start = u64::from(brief.limits.bitrate_bps_start);
        let source = Source::new(brief.picture_millihertz, start, random);
        let mut pacer = Pacer::new(Instant::ZERO);
        pacer.set_picture_period(source.period_us());
        let next_picture = timetable.spans.iter().map(|&(from, _)| from).min();
        Self {
            to: NodeId::default(),
            controller,
            shadow,
            pacer,
            source,
            timetable,
            next_picture,
            pictures: Vec::new(),
            backlog: VecDeque::new(),
            sent: VecDeque::new(),
            first: 0,
            rtt_us: 100_000,
            samples: Vec::new(),
            describes,
            reports: Vec::new(),
        }
    }

    pub(super) fn handle_wake(&mut self, now: Instant) {
        if self.controller.poll_timeout().is_some_and(|due| due <= now) {
            self.controller.handle_timeout(now);
            self.follow();
        }
        if self.next_picture.is_some_and(|due| due <= now.as_micros()) {
            self.take_picture(now);
        }
        self.sample(now);
    }

    pub(super) fn next_wake(&self, now: Instant) -> Option<Instant> {
        let picture = self.next_picture.map(Instant::from_micros);
        let send = self.backlog.front().map(|next| {
            if self.controller.sendable_bytes(now) < usize::from(next.bytes) {
                now.plus_micros(SHUT_US)
            } else {
                self.pacer.ready_at(now, self.wanted())
            }
        });
        [picture, send, self.controller.poll_timeout()].into_iter().flatten().min()
    }

    pub(super) fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool {
        let Some(next) = self.backlog.front() else { return false };
        let bytes = usize::from(next.bytes);
        // Half a batch is worth a wake-up; once awake, whatever the pacer has left goes with it.
        let ready = self.pacer.ready_at(now, self.wanted()) <= now
            || (self.pacer.budget_bytes(now) >= bytes && self.sent.back().is_some_and(|sent| sent.at == now));
        if !ready || self.controller.sendable_bytes(now) < bytes {
            return false;
        }
        wire::write_shard(&next.shard, bytes, &mut packet.bytes);
        packet.ecn = self.controller.ecn();
        packet.to = self.to;
        self.backlog.pop_front();
        self.sent.push_back(Sent { at: now, bytes: bytes as u16, arrival: None });
        self.pacer.on_sent(now, bytes);
        self.controller.on_sent(now, bytes);
        if let Some(shadow) = &mut self.shadow {
            shadow.on_sent(now, bytes);
        }
        true
    }

    pub(super) fn handle_feedback(&mut self, now: Instant, bytes: &[u8]) {
        let mut highest = None;
        for arrival in wire::read_feedback(bytes) {
            let Some(sent) = arrival
                .number
                .checked_sub(self.first)
                .and_then(|index| self.sent.get_mut(usize::try_from(index).ok()?))
            else {
                continue;
            };
            if sent.arrival.is_none() {
                sent.arrival = Some((arrival.at_us, arrival.ce));
                highest = highest.max(Some((arrival.number, sent.at, arrival.at_us)));
            }
        }
        let Some((highest, sent_at, arrived_us)) = highest else { return };
        // The receiver's stamps tell how long it held the newest packet before it reported.
        let held = wire::read_feedback(bytes).map(|one| one.at_us).max().unwrap_or(arrived_us) - arrived_us;
        let sample = now.micros_since(sent_at).saturating_sub(held);
        self.rtt_us = (self.rtt_us * 7 + sample) / 8;
        self.report(now, highest);
    }

    /// Tells the controller of everything up to a few packets before the newest that arrived, and of what arrived.
    fn report(&mut self, now: Instant, highest: u64) {
        let known = usize::try_from(highest - self.first).unwrap_or(0) + 1;
        let settled = known.saturating_sub(REORDER);
        let mut reports = core::mem::take(&mut self.reports);
        reports.clear();
        for index in 0..known {
            let Sent { at, bytes, arrival } = self.sent[index];
            let outcome = match arrival {
                Some((at_us, ce)) => Outcome::Arrived { at_us, ce },
                None if index < settled => Outcome::Lost,
                None => break,
            };
            reports.push(PacketReport { sent_at: at, bytes, outcome });
        }
        self.sent.drain(..reports.len());
        self.first += reports.len() as u64;
        let rtt_us = u32::try_from(self.rtt_us).unwrap_or(u32::MAX);
        self.controller.on_feedback(now, rtt_us, &reports);
        if let Some(shadow) = &mut self.shadow {
            shadow.on_feedback(now, rtt_us, reports.iter().copied());
        }
        self.reports = reports;
        self.follow();
    }

    fn follow(&mut self) {
        let grant = self.controller.grant();
        self.pacer.set_pace(grant.pace_permille);
        self.pacer.set_rate(grant.total_bps);
    }

    fn take_picture(&mut self, now: Instant) {
        let now_us = now.as_micros();
        if !self.timetable.active(now_us) {
            self.next_picture = self.timetable.next_start(now_us);
            self.source.restart();
            return;
        }
        self.follow();
        let grant = self.controller.grant();
        let waiting_us = self.backlog.front().map_or(0, |oldest| now_us - oldest.since_us);
        let (bytes, period_us) = self.source.next(now_us, self.media_bps(grant.total_bps, grant.media_bps));
        self.next_picture = Some(now_us + period_us);
        let captured = now.minus_micros(ENCODE_US);
        // Frames are skipped before they queue: what waits must leave within a picture's time.
        let waiting_bytes: usize = self.backlog.iter().map(|one| usize::from(one.bytes)).sum();
        let left_us = waiting_bytes as u64 * 8_000_000 / grant.total_bps.max(1);
        self.controller.on_picture(bytes, waiting_us);
        if left_us > period_us / 2 {
            self.pictures.push(PictureSent { captured });
            return;
        }
        let picture = self.pictures.len() as u32;
        let data = bytes.div_ceil(SHARD);
        self.pictures.push(PictureSent { captured });
        let parity = match (self.controller.parity_for(data), &self.shadow) {
            (Some(parity), _) => parity,
            (None, Some(shadow)) => shadow.parity_for(data),
            (None, None) => 0,
        };
        let first = self.first + (self.sent.len() + self.backlog.len()) as u64;
        for (index, number) in (0..data + parity).zip(first..) {
            let payload = if index < data { SHARD.min(bytes - index * SHARD) } else { SHARD };
            let shard = Shard { number, picture, data: data as u16 };
            self.backlog.push_back(Waiting { shard, bytes: (SHARD_HEAD + payload) as u16, since_us: now_us });
        }
    }

    /// The encoder's share of a grant.
    fn media_bps(&self, total_bps: u64, media_bps: Option<u64>) -> u64 {
        media_bps.unwrap_or_else(|| {
            let parity = self.shadow.as_ref().map_or(0, |shadow| {
                let data = usize::try_from(total_bps * self.source.period_us() / 8_000_000 / SHARD as u64);
                let data = data.unwrap_or(1).max(1);
                let parity = shadow.parity_for(data);
                parity as u64 * 1000 / (data + parity) as u64
            });
            total_bps * (1000 - OVERHEAD_PERMILLE) / 1000 * (1000 - parity) / 1000
        })
    }

    fn wanted(&self) -> usize {
        let batch = self.pacer.batch_bytes(SHARD + SHARD_HEAD) / 2;
        let first = self.backlog.front().map_or(1, |one| usize::from(one.bytes));
        let mut waiting = 0;
        for one in self.backlog.iter().take(32) {
            waiting += usize::from(one.bytes);
            if waiting >= batch {
                break;
            }
        }
        batch.clamp(first, waiting.max(first))
    }

    fn sample(&mut self, now: Instant) {
        if self.samples.last().is_none_or(|last| now.micros_since(last.at) >= SAMPLE_US) {
            let about = if self.describes { self.controller.describe() } else { String::new() };
            self.samples.push(Sample { at: now, grant_bps: self.controller.grant().total_bps, about });
        }
    }
}

/// Receives pictures and reports.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    pub(super) to: NodeId,
    /// Arrivals, and how often each was told.
    untold: VecDeque<(Arrival, u8)>,
    report_at: Option<Instant>,
    reporting: bool,
    /// Shards of each picture that arrived, and when it was complete.
    pub(super) pictures: Vec<(u16, Option<Instant>)>,
    pub(super) received: u64,
}

impl Receiver {
    pub(super) fn handle_shard(&mut self, now: Instant, packet: &Packet) {
        let Some(shard) = wire::read_shard(&packet.bytes) else { return };
        self.received += 1;
        let arrival =
            Arrival { number: shard.number, at_us: now.as_micros(), ce: packet.ecn == rift::Ecn::Ce };
        self.untold.push_back((arrival, 0));
        self.report_at.get_or_insert(now.plus_micros(FEEDBACK_US));
        let index = shard.picture as usize;
        if self.pictures.len() <= index {
            self.pictures.resize(index + 1, (0, None));
        }
        let picture = &mut self.pictures[index];
        picture.0 += 1;
        if picture.0 == shard.data {
            picture.1 = Some(now);
        }
    }

    pub(super) fn handle_wake(&mut self, now: Instant) {
        if self.report_at.is_some_and(|due| due <= now) {
            self.report_at = None;
            self.reporting = true;
        }
    }

    pub(super) const fn next_wake(&self) -> Option<Instant> {
        self.report_at
    }

    pub(super) fn poll_packet(&mut self, packet: &mut Packet) -> bool {
        if !self.reporting {
            return false;
        }
        self.reporting = false;
        wire::write_feedback(self.untold.iter().map(|&(arrival, _)| arrival), &mut packet.bytes);
        packet.to = self.to;
        for (_, told) in &mut self.untold {
            *told += 1;
        }
        self.untold.retain(|&(_, told)| told < REPEATS);
        true
    }
}
