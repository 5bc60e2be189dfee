//! What a session asks of congestion control, and the answer of one that never fills a path.

use crate::time::Instant;

use super::{Budget, Config, Delta, PacketReport, State, Stats};

/// Congestion control of one direction. The methods are those of [`Delta`], and described there.
pub trait Controller {
    /// See [`Delta::new`].
    fn new(config: &Config) -> Self;
    /// See [`Delta::set_picture_rate`].
    fn set_picture_rate(&mut self, millihertz: u32);
    /// See [`Delta::is_answered`].
    fn is_answered(&self) -> bool;
    /// See [`Delta::set_answered`].
    fn set_answered(&mut self, is_answered: bool);
    /// See [`Delta::window`].
    fn window(&self) -> u8;
    /// See [`Delta::set_window`].
    fn set_window(&mut self, pictures: u8);
    /// See [`Delta::on_sent`].
    fn on_sent(&mut self, now: Instant, bytes: usize);
    /// See [`Delta::on_forgotten`].
    fn on_forgotten(&mut self, bytes: usize);
    /// See [`Delta::on_feedback`].
    fn on_feedback(&mut self, now: Instant, rtt_us: u32, reports: impl Iterator<Item = PacketReport>);
    /// See [`Delta::handle_timeout`].
    fn handle_timeout(&mut self, now: Instant);
    /// See [`Delta::poll_timeout`].
    fn poll_timeout(&self) -> Option<Instant>;
    /// See [`Delta::budget`].
    fn budget(&self) -> Budget;
    /// See [`Delta::parity_for`].
    fn parity_for(&self, data_shards: usize) -> usize;
    /// See [`Delta::cover_for`].
    fn cover_for(&self, data_shards: usize) -> (usize, u8);
    /// See [`Delta::sendable_bytes`].
    fn sendable_bytes(&self, now: Instant) -> usize;
    /// See [`Delta::stats`].
    fn stats(&self) -> Stats;
}

impl Controller for Delta {
    fn new(config: &Config) -> Self {
        Self::new(config)
    }

    fn set_picture_rate(&mut self, millihertz: u32) {
        self.set_picture_rate(millihertz);
    }

    fn is_answered(&self) -> bool {
        self.is_answered()
    }

    fn set_answered(&mut self, is_answered: bool) {
        self.set_answered(is_answered);
    }

    fn window(&self) -> u8 {
        self.window()
    }

    fn set_window(&mut self, pictures: u8) {
        self.set_window(pictures);
    }

    #[inline]
    fn on_sent(&mut self, now: Instant, bytes: usize) {
        self.on_sent(now, bytes);
    }

    fn on_forgotten(&mut self, bytes: usize) {
        self.on_forgotten(bytes);
    }

    fn on_feedback(&mut self, now: Instant, rtt_us: u32, reports: impl Iterator<Item = PacketReport>) {
        self.on_feedback(now, rtt_us, reports);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn budget(&self) -> Budget {
        self.budget()
    }

    fn parity_for(&self, data_shards: usize) -> usize {
        self.parity_for(data_shards)
    }

    fn cover_for(&self, data_shards: usize) -> (usize, u8) {
        self.cover_for(data_shards)
    }

    #[inline]
    fn sendable_bytes(&self, now: Instant) -> usize {
        self.sendable_bytes(now)
    }

    fn stats(&self) -> Stats {
        self.stats()
    }
}

/// Grants what it was made with. For messages that are few and small, each a round trip after the other: the windows of
/// the streams bound what is on its way.
#[derive(Clone, Copy, Debug)]
pub struct Steady {
    bitrate_bps: u32,
}

impl Controller for Steady {
    fn new(config: &Config) -> Self {
        Self { bitrate_bps: config.bitrate_bps_start }
    }

    fn set_picture_rate(&mut self, _: u32) {}

    fn is_answered(&self) -> bool {
        false
    }

    fn set_answered(&mut self, _: bool) {}

    fn window(&self) -> u8 {
        0
    }

    fn set_window(&mut self, _: u8) {}

    fn on_sent(&mut self, _: Instant, _: usize) {}

    fn on_forgotten(&mut self, _: usize) {}

    fn on_feedback(&mut self, _: Instant, _: u32, reports: impl Iterator<Item = PacketReport>) {
        // Whoever tells of them takes note of what became of them as he does.
        reports.for_each(drop);
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn budget(&self) -> Budget {
        Budget {
            bitrate_bps: self.bitrate_bps,
            pacing_bps: self.bitrate_bps,
            pace_permille: 1000,
            parity_permille: 0,
            picture_rate_millihertz_max: None,
            state: State::Stable,
        }
    }

    fn parity_for(&self, _: usize) -> usize {
        0
    }

    fn cover_for(&self, _: usize) -> (usize, u8) {
        (0, 0)
    }

    fn sendable_bytes(&self, _: Instant) -> usize {
        usize::MAX
    }

    fn stats(&self) -> Stats {
        Stats::default()
    }
}
