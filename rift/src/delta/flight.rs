//! What is on its way: bytes in flight, whether the grant was used, and whether the peer fell silent.

use crate::time::Instant;

/// Time constant of the comparison of sent and granted bytes: long enough for an encoder to follow a new rate.
const USE_US: u64 = 300_000;
/// The same for what fills a path within a round trip: a few pictures.
const FILL_US: u64 = 60_000;
/// Below this share of the grant over that time a sender fills nothing, in thousandths.
const FILLED_PERMILLE: u64 = 500;
/// Grain of that comparison.
const USE_STEP_US: u64 = 5_000;
/// Below this share of the grant the application, not the network, limits what is sent, in thousandths.
const USED_PERMILLE: u64 = 750;
/// Silence is missing feedback for three round trips and at least this long, in µs: several reports in a row.
const SILENCE_US_MIN: u64 = 150_000;
/// Time feedback may take beyond the round trip before the window closes, in µs.
const FEEDBACK_US: u64 = 150_000;
/// The window is never smaller: ten packets, as an initial window (RFC 6928).
const WINDOW_BYTES_MIN: u64 = 12_000;
/// While the window is closed a packet may leave this often, in µs.
const PROBE_US: u64 = 100_000;
/// Bytes of that packet.
const PROBE_BYTES: usize = 1500;

/// Accounts of the sender.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    bytes: u64,
    sent_last: Instant,
    /// Since when feedback is missing: the last feedback, or the first packet sent after all were reported.
    waiting_since: Instant,
    /// The rate before the silence under way.
    silenced_bps: Option<u64>,
    sent: Leaky,
    granted: Leaky,
    sent_lately: Leaky,
    granted_lately: Leaky,
    used_at: Instant,
}

/// A sum that forgets with a time constant.
#[derive(Clone, Copy, Debug)]
struct Leaky(u64);

impl Leaky {
    fn fade(&mut self, steps: u64, constant_us: u64) {
        for _ in 0..steps.min(8 * constant_us / USE_STEP_US) {
            self.0 -= self.0 * USE_STEP_US / constant_us;
        }
    }

    const fn add(&mut self, bits: u64) {
        self.0 = self.0.saturating_add(bits);
    }
}

impl Flight {
    pub(super) const fn new() -> Self {
        Self {
            bytes: 0,
            sent_last: Instant::ZERO,
            waiting_since: Instant::ZERO,
            silenced_bps: None,
            sent: Leaky(0),
            granted: Leaky(0),
            sent_lately: Leaky(0),
            granted_lately: Leaky(0),
            used_at: Instant::ZERO,
        }
    }

    pub(super) fn on_sent(&mut self, now: Instant, bytes: u64, rate_bps: u64) {
        self.account(now, rate_bps);
        if self.bytes == 0 {
            self.waiting_since = now;
        }
        self.sent.add(bytes * 8);
        self.sent_lately.add(bytes * 8);
        self.bytes = self.bytes.saturating_add(bytes);
        self.sent_last = now;
    }

    /// Takes note that `reported` bytes are no longer in flight; the rate before the silence when this ends one.
    pub(super) fn on_feedback(&mut self, now: Instant, reported: u64, rate_bps: u64) -> Option<u64> {
        self.account(now, rate_bps);
        self.bytes = self.bytes.saturating_sub(reported);
        self.waiting_since = now;
        self.silenced_bps.take()
    }

    /// Of these bytes nothing will be heard.
    pub(super) const fn on_forgotten(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(super) fn on_silence(&mut self, now: Instant, rate_bps: u64) {
        self.account(now, rate_bps);
        self.waiting_since = now;
        self.silenced_bps.get_or_insert(rate_bps);
    }

    /// Whether feedback has been missing for so long that the rate was cut.
    pub(super) const fn is_silenced(&self) -> bool {
        self.silenced_bps.is_some()
    }

    pub(super) fn silent_at(&self, rtt_us: u64) -> Option<Instant> {
        (self.bytes > 0).then(|| self.waiting_since.plus_micros((3 * rtt_us).max(SILENCE_US_MIN)))
    }

    /// Whether less than three quarters of the grant was used lately.
    pub(super) const fn limited(&self) -> bool {
        self.sent.0 < self.granted.0 / 1000 * USED_PERMILLE
    }

    /// Share of the grant that was sent lately, in thousandths; 1000 before anything was granted.
    pub(super) fn used_permille(&self) -> u64 {
        (self.sent.0.saturating_mul(1000)).checked_div(self.granted.0).unwrap_or(1000)
    }

    /// Whether so little was sent, over the last pictures as well, that no queue is of the sender's making.
    pub(super) const fn trickles(&self) -> bool {
        self.limited() && self.sent_lately.0 < self.granted_lately.0 / 1000 * FILLED_PERMILLE
    }

    pub(super) const fn in_flight_bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn sendable_bytes(&self, now: Instant, rate_bps: u64, rtt_us: u64) -> usize {
        let window = (rate_bps / 8 * (rtt_us + FEEDBACK_US) / 1_000_000).max(WINDOW_BYTES_MIN);
        let open = usize::try_from(window.saturating_sub(self.bytes)).unwrap_or(usize::MAX);
        let probe = now.micros_since(self.sent_last) >= PROBE_US;
        if probe { open.max(PROBE_BYTES) } else { open }
    }

    fn account(&mut self, now: Instant, rate_bps: u64) {
        if self.used_at == Instant::ZERO {
            self.used_at = now;
        }
        let steps = now.micros_since(self.used_at) / USE_STEP_US;
        if steps == 0 {
            return;
        }
        self.sent.fade(steps, USE_US);
        self.granted.fade(steps, USE_US);
        self.sent_lately.fade(steps, FILL_US);
        self.granted_lately.fade(steps, FILL_US);
        let step_bits = rate_bps * USE_STEP_US / 1_000_000;
        self.granted.add(step_bits * steps.min(USE_US / USE_STEP_US));
        self.granted_lately.add(step_bits * steps.min(FILL_US / USE_STEP_US));
        self.used_at = self.used_at.plus_micros(steps * USE_STEP_US);
    }
}
