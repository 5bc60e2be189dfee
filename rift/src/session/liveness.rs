//! Whether the host is still there (SPEC §6.5): a client that hears nothing where it should asks, and asks again.

use super::{Carried, Session};
use crate::crypto::{Handshake, Side};
use crate::storage::Memory;
use crate::time::Instant;

/// Pictures flow while the last shard is not older than this, in µs.
const FLOWING_US: u64 = 300_000;
/// What is patient longest and shortest with pictures that flow, in µs.
const PATIENCE_US: core::ops::RangeInclusive<u64> = 20_000..=100_000;
/// Time an answer may take beyond one and a quarter round trips, in µs.
const ANSWER_US: u64 = 20_000;
/// A pause is doubted by a question, at most this often, in µs.
const QUESTION_US: u64 = 50_000;
/// Questions are never closer than this, in µs.
const PAUSE_US_MIN: u64 = 10_000;

impl<M: Memory, H: Handshake> Session<M, H> {
    /// When the next clock request is due: by the clock's own rule, or because the host is silent.
    pub(super) fn request_due(&self) -> Instant {
        let usual = self.clock.request_due();
        if self.side == Side::Initiator {
            self.silence_asks_at().map_or(usual, |at| usual.min(at))
        } else {
            usual
        }
    }

    /// When questions that were asked because nothing came should have been answered.
    pub(super) fn answer_overdue(&self) -> Instant {
        let answer_us = self.round_trip_us() * 5 / 4 + ANSWER_US;
        self.heard_at.plus_micros(self.flow_patience_us() + answer_us)
    }

    fn silence_asks_at(&self) -> Option<Instant> {
        let heard_at = self.heard_at;
        let round_trip = self.round_trip_us();
        let recently = self.shard_at.is_some_and(|at| heard_at.micros_since(at) < FLOWING_US);
        let is_flowing = self.is_flowing && recently;
        match self.clock.asked_at().filter(|&at| at > heard_at) {
            // The answer to a question may take its time only where nothing else was expected.
            Some(asked) if !is_flowing && self.clock.asked_since(heard_at) < 2 => {
                Some(asked.plus_micros(round_trip * 5 / 4 + ANSWER_US))
            }
            Some(asked) => Some(asked.plus_micros((round_trip / 8).max(PAUSE_US_MIN))),
            None => is_flowing.then(|| heard_at.plus_micros(self.flow_patience_us())),
        }
    }

    /// Host: when to say that no picture follows for now: the client would take silence for a dead path.
    pub(super) fn pause_due(&self) -> Option<Instant> {
        let left_at = self.left_at.filter(|_| self.video_out.peek().is_none() && self.is_viewed())?;
        Some(left_at.plus_micros(self.picture_period_us() * 21 / 20))
    }

    pub(super) fn say_pause(&mut self, now: Instant) {
        if self.pause_due().is_some_and(|due| due <= now) {
            self.left_at = None;
            self.latches.set(Carried::POSITION, self.sent.next());
        }
    }

    /// Client: a position came. Long after the last shard it says that no other follows for now.
    pub(super) fn on_position_at(&mut self, received_at: Instant) {
        let paused = |at: Instant| received_at.micros_since(at) > self.picture_period_us() / 2;
        if self.shard_at.is_some_and(paused) {
            self.is_flowing = false;
            if self.clock.asked_at().is_none_or(|at| received_at.micros_since(at) > QUESTION_US) {
                self.clock.request_now(received_at);
            }
        }
    }

    /// Client: how much came since the last count.
    pub(super) fn count_rate(&mut self, now: Instant) {
        let (since, bytes) = self.received_mark;
        let elapsed = now.micros_since(since);
        if elapsed >= 50_000 {
            let fresh = self.stats.bytes_received.saturating_sub(bytes);
            self.received_bps = fresh.saturating_mul(8_000_000) / elapsed;
            self.received_mark = (now, self.stats.bytes_received);
        }
    }

    fn picture_period_us(&self) -> u64 {
        let rate = self.parameters.map_or(0, |message| message.parameters.rate_millihertz).max(10_000);
        1_000_000_000 / u64::from(rate)
    }

    /// How long nothing may come while pictures flow.
    pub(super) fn flow_patience_us(&self) -> u64 {
        (self.picture_period_us() * 6 / 5).clamp(*PATIENCE_US.start(), *PATIENCE_US.end())
    }
}
