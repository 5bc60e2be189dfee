//! The rate: when it grows, when it is cut, and to what.
//!
//! Clocked by time and round trips, never by the number of samples. The state machine sees numbers the other parts
//! measured and knows nothing of packets.

mod losses;

use super::State;
use super::competition::{Competition, Contest, QUEUE_US_MIN};
use super::ecn::Marks;
use super::growth::{self, Growth};
use super::probe::Headroom;
use super::signals::{Signals, Verdict};
use crate::time::Instant;

/// A queue is drained over this time: the deeper it is, the deeper the cut.
const DRAIN_US: u64 = 200_000;
/// The least a cut leaves of what was delivered, in thousandths: small pictures keep coming.
const CUT_PERMILLE_MIN: u64 = 300;
/// A queue this long, in µs, is drained as fast as small pictures allow: with this share of what was delivered.
const QUEUE_US_DEEP: u64 = 50_000;
const CUT_PERMILLE_DEEP: u64 = 200;
/// The same of the first cut, which may answer somebody's burst, in thousandths.
const CUT_PERMILLE_FIRST: u64 = 500;
/// A short queue is drained over this time, by at most this share of what is delivered, in thousandths.
const TRIM_US: u64 = 150_000;
const TRIM_PERMILLE_MAX: u64 = 50;
/// The same time where the path marks.
const TRIM_MARKED_US: u64 = 15_000;
/// What is sent is told only after a while: so long does what is delivered speak of the time before, in µs.
const TOLD_US: u64 = 150_000;
/// For how long the grant must have been used before what is delivered says what the path carries, in µs.
const USED_US: u64 = 400_000;
/// What is used of the capacity measured at a cut once the queue is gone, in thousandths.
const RESUME_PERMILLE: u64 = 970;
/// What a cut leaves of the rate while the application uses little of it, in thousandths.
const TRICKLE_CUT_PERMILLE: u64 = 850;
/// A queue this long is no jitter, however little was sent, in µs.
const QUEUE_US_CERTAIN: u64 = 100_000;
/// A queue that grows is none of jitter's from here on, however little was sent, in µs.
const QUEUE_US_GROWN: u64 = 30_000;
/// What is sent of what arrives to see whether a queue is somebody else's, in thousandths.
const YIELD_PERMILLE: u64 = 850;
/// Added to the round trip before a cut is judged: feedback comes per picture, not at once.
const SETTLE_US: u64 = 30_000;
/// Longest time one step grows by; what was silent for longer has not been measured.
const STEP_US_MAX: u64 = 50_000;
/// After so long without congestion the remembered capacity is forgotten, in µs.
const REMEMBER_US: u64 = 6_000_000;
/// Longest time a queue may stand unseen empty before it is drained, in µs: less than the base is remembered.
const STANDING_US_MAX: u64 = 4_000_000;
/// What such a drain leaves of what was delivered, in thousandths.
const FORCED_DRAIN_PERMILLE: u64 = 700;
/// Cuts that leave a queue unshrunk before it is taken for the path's own delay.
const FUTILE_CUTS: u32 = 4;
/// A queue that falls at this pace is draining and needs no further cut, in µs per ms.
const DRAINING: i64 = -15;
/// A queue that grows at this pace is watched: the rate waits, in µs per ms.
const GROWING: i64 = 40;

/// The rate controller.
#[derive(Clone, Debug)]
pub(super) struct Control {
    min_bps: u64,
    max_bps: u64,
    rate_bps: u64,
    state: State,
    starting: bool,
    /// Delivered at the last cut; 0 when there was none lately.
    capacity_bps: u64,
    /// What pictures were dispersed to lately, or delivered at the last cut; 0 when the path is not known.
    bottleneck_bps: u64,
    /// The rate before the last congestion; a quarter less for each that came before it was back there.
    memory_bps: u64,
    competition: Competition,
    /// What the rate returns to once drained: what was delivered at the last cut, or the rate itself before cuts that
    /// a trickle did not cause.
    resume_bps: u64,
    /// The rate when congestion began: what a drained path is not known to exceed.
    entered_bps: u64,
    entered: Instant,
    /// Whether that cut was made deeper when the first arrivals after the fall were seen.
    deepened: bool,
    /// Whether less than what arrives was tried on a queue that seems to be somebody else's.
    yielded: bool,
    stepped: Instant,
    cut: Instant,
    /// When congestion was last over.
    calm_since: Instant,
    /// When the queue was last kept from growing.
    trimmed: Instant,
    /// When pictures were last dispersed, or unknown, or met a queue.
    narrow: Instant,
    /// When the application last used less than its grant.
    limited: Instant,
    queue_at_cut_us: u64,
    futile: u32,
    /// The queue when these cuts began to be counted, in µs.
    futile_queue_us: u64,
    marks: Marks,
    loss_floor_permille: u64,
    loss_at_cut_permille: u64,
    loss_judged: Instant,
}

impl Control {
    pub(super) const fn new(min_bps: u64, start_bps: u64, max_bps: u64) -> Self {
        Self {
            min_bps,
            max_bps,
            rate_bps: start_bps,
            state: State::Stable,
            starting: true,
            capacity_bps: 0,
            bottleneck_bps: 0,
            memory_bps: 0,
            competition: Competition::new(),
            resume_bps: 0,
            entered_bps: start_bps,
            entered: Instant::ZERO,
            deepened: false,
            yielded: false,
            stepped: Instant::ZERO,
            cut: Instant::ZERO,
            calm_since: Instant::ZERO,
            trimmed: Instant::ZERO,
            narrow: Instant::ZERO,
            limited: Instant::ZERO,
            queue_at_cut_us: 0,
            futile: 0,
            futile_queue_us: 0,
            marks: Marks::new(),
            loss_floor_permille: 0,
            loss_at_cut_permille: 0,
            loss_judged: Instant::ZERO,
        }
    }

    pub(super) const fn rate_bps(&self) -> u64 {
        self.rate_bps
    }

    pub(super) const fn min_bps(&self) -> u64 {
        self.min_bps
    }

    pub(super) const fn max_bps(&self) -> u64 {
        self.max_bps
    }

    /// Whether the path's rate is known and most of it is used.
    pub(super) const fn is_near(&self) -> bool {
        self.bottleneck_bps > 0 && self.rate_bps > self.bottleneck_bps / 5 * 4
    }

    /// Whether the path was never seen full.
    pub(super) const fn is_starting(&self) -> bool {
        self.starting
    }

    /// Whether the rate is far below what it was before the last congestion, which is over.
    pub(super) fn returns(&self) -> bool {
        self.rate_bps < self.memory_bps / 2
    }

    /// When the rate was last cut.
    pub(super) const fn cut_at(&self) -> Instant {
        self.cut
    }

    /// The rate a packet's time is reckoned by: a path that was wide a moment ago is not slow for a cut.
    pub(super) fn reckoned_bps(&self) -> u64 {
        self.rate_bps.max(self.memory_bps / 8)
    }

    pub(super) const fn competes(&self) -> bool {
        self.competition.competes()
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    /// Decides after one feedback.
    pub(super) fn step(&mut self, now: Instant, signals: &Signals) -> Verdict {
        let elapsed = now.micros_since(self.stepped).min(STEP_US_MAX);
        self.stepped = now;
        if signals.limited {
            self.limited = now;
        }
        self.bottleneck_bps = match signals.headroom {
            Headroom::AtLeast(_) => 0,
            Headroom::About(bottleneck) => bottleneck,
            Headroom::Unknown => self.capacity_bps,
        };
        let passes = matches!(signals.headroom, Headroom::AtLeast(_));
        if !passes || signals.queue_us > self.target_us(signals) {
            self.narrow = now;
        }
        if self.competition.competes() {
            return self.compete(now, elapsed, signals);
        }
        let (rates, queue) = ((self.rate_bps, signals.delivered_bps), (signals.floor_us, elapsed));
        let drains = signals.trend < DRAINING || signals.limited;
        if let Some(rate_bps) = self.competition.begins(now, rates, queue, drains) {
            self.state = State::Congested;
            self.set(rate_bps);
            return Verdict::Continue;
        }
        self.on_marks(now, signals);
        if self.on_loss(now, signals) {
            return Verdict::Continue;
        }
        let collapsed = signals.latest_us > signals.threshold_us / 2 * 5;
        let over = signals.queue_us > signals.threshold_us && signals.floor_us > signals.threshold_us / 3;
        if self.state == State::Congested {
            return self.drain(now, signals, over || collapsed);
        }
        if collapsed {
            self.cut(now, signals, self.coming_us(signals), signals.delivered_latest_bps);
            return Verdict::Continue;
        }
        if over && (signals.trend > DRAINING || signals.queue_us > 2 * signals.threshold_us) {
            self.cut(now, signals, signals.queue_us, signals.delivered_now_bps.max(signals.delivered_bps));
            return Verdict::Continue;
        }
        let undrained_us = signals.standing_for_us.min(now.micros_since(self.cut));
        if undrained_us.min(now.micros_since(self.limited)) > STANDING_US_MAX {
            // A queue too small to be overuse must not outlive the windows of the base and become it.
            self.cut(now, signals, signals.queue_us, signals.delivered_bps);
            self.set(self.resume_bps * FORCED_DRAIN_PERMILLE / 1000);
            return Verdict::Continue;
        }
        let building =
            signals.queue_us > signals.threshold_us / 4 * 3 && signals.floor_us > signals.threshold_us / 3;
        let growing =
            signals.trend > GROWING && !signals.jumps && signals.queue_us > signals.threshold_us / 3;
        self.state = if over || building || growing { State::Rising } else { State::Stable };
        if self.state == State::Stable {
            self.grow(now, elapsed, signals);
        }
        self.trim(now, signals);
        Verdict::Continue
    }

    /// Shares with a stream that keeps the queue full.
    fn compete(&mut self, now: Instant, elapsed_us: u64, signals: &Signals) -> Verdict {
        self.state = State::Congested;
        let rate = (self.rate_bps, elapsed_us, signals.rtt_us);
        let queue = (signals.queue_us, signals.threshold_us);
        match self.competition.step(now, rate, queue, signals.lost > 0, signals.limited) {
            Contest::Rate(rate_bps) => self.set(rate_bps),
            Contest::Over => {
                self.state = State::Stable;
                self.calm_since = now;
                self.memory_bps = self.memory_bps.max(self.rate_bps);
            }
            Contest::Still => return Verdict::Rebase,
        }
        Verdict::Continue
    }

    /// What stands beyond a third of the threshold is kept from growing: the rate is what was delivered, less what
    /// drains it in [`TRIM_US`]. The queue was busy for as long as it stands, so that is the bottleneck's own rate.
    fn trim(&mut self, now: Instant, signals: &Signals) {
        // Where the path marks, a queue is short before it is told of.
        let (trim_us, part) = if self.is_marked(now) { (TRIM_MARKED_US, 4) } else { (TRIM_US, 1) };
        let excess_us = signals.queue_us.saturating_sub(self.target_us(signals) / part);
        if excess_us == 0 || now.micros_since(self.limited) < USED_US || self.bottleneck_bps == 0 {
            return;
        }
        let now_bps = if signals.jumps { 0 } else { signals.delivered_now_bps };
        let delivered = signals.delivered_bps.max(now_bps);
        let kept = delivered / 1000 * (1000 - (excess_us * 1000 / trim_us).min(TRIM_PERMILLE_MAX));
        if kept < self.rate_bps {
            self.trimmed = now;
            self.set(kept);
        }
    }

    /// The queue that is let stand, in µs.
    fn target_us(&self, signals: &Signals) -> u64 {
        growth::target_us(self.rate_bps, signals.threshold_us) + signals.margin_us
    }

    /// Halves the rate: nothing was heard for several round trips.
    pub(super) fn on_silence(&mut self, now: Instant) {
        self.rate_bps = (self.rate_bps / 2).max(self.min_bps);
        self.resume_bps = 0;
        self.calm_since = now;
        self.state = State::Congested;
        self.cut = now;
    }

    /// Resumes below `before_bps` when feedback is back after a silence; the queue decides what follows.
    pub(super) fn on_return(&mut self, now: Instant, before_bps: u64) {
        self.set(before_bps / 4 * 3);
        self.state = State::Stable;
        self.stepped = now;
    }

    fn grow(&mut self, now: Instant, elapsed_us: u64, signals: &Signals) {
        if signals.limited {
            return;
        }
        if now.micros_since(self.calm_since.max(self.trimmed)) > REMEMBER_US {
            self.capacity_bps = 0;
        }
        // A path that carries a picture at this pace was only lent to somebody.
        if let Headroom::AtLeast(carried) = signals.headroom
            && self.returns()
        {
            self.set(self.rate_bps.max((carried / 5 * 4).min(self.memory_bps / 5 * 3)));
            return;
        }
        let growth_bps_s = if self.is_marked(now) {
            self.marks.growth_bps_s(now, self.rate_bps)
        } else {
            let calm_us = now.micros_since(self.calm_since);
            let growth = Growth {
                rate_bps: self.rate_bps,
                memory_bps: self.memory_bps,
                capacity_bps: self.capacity_bps,
                starting: self.starting,
                lossy: self.loss_at_cut_permille > 0,
                calm_us,
                trimmed_us: now.micros_since(self.trimmed),
                wide_us: now.micros_since(self.narrow),
                target_us: self.target_us(signals),
            };
            self.starting &= !growth.knows_the_path(signals);
            self.rate_bps * growth.per_s(signals) / 1000
        };
        let grown = self.rate_bps + growth_bps_s * elapsed_us / 1_000_000;
        // What was never delivered is not known to fit: half as much again is as far as one may guess.
        let bound = signals.delivered_bps + signals.delivered_bps / 2;
        self.set(grown.min(bound).max(self.rate_bps));
    }

    fn drain(&mut self, now: Instant, signals: &Signals, over: bool) -> Verdict {
        let fell = signals.delivered_latest_bps < self.resume_bps / 2
            && signals.latest_us > self.queue_at_cut_us / 4 * 5
            && signals.trend > 2 * GROWING;
        if over && fell && !self.deepened && !signals.jumps && !signals.trickles {
            self.deepened = true;
            // What arrived when the cut was made had passed before the link fell.
            self.cut(now, signals, self.coming_us(signals), signals.delivered_latest_bps);
            return Verdict::Continue;
        }
        // What arrives beyond what is sent now comes out of our own queue, at the bottleneck's rate.
        if over && !signals.jumps && !signals.trickles && signals.delivered_now_bps > self.rate_bps / 20 * 23
        {
            self.resume_bps = self.resume_bps.min(signals.delivered_now_bps);
            if signals.latest_us > QUEUE_US_DEEP {
                self.set(self.rate_bps.min(self.resume_bps / 1000 * CUT_PERMILLE_DEEP));
            }
        }
        let judged = now.micros_since(self.cut) >= signals.rtt_us + SETTLE_US;
        let drained =
            signals.queue_us <= signals.threshold_us / 2 && signals.latest_us <= signals.threshold_us;
        if drained || (judged && !over) {
            self.futile = 0;
            self.state = State::Stable;
            self.calm_since = now;
            let resumed = if signals.trickles { 1000 } else { RESUME_PERMILLE };
            self.set(self.rate_bps.max(self.resume_bps * resumed / 1000));
        } else if judged && signals.trend > DRAINING {
            // Cut below what was delivered, a queue of our own making shrinks.
            let shrunk = signals.queue_us < self.queue_at_cut_us / 5 * 4;
            let still = signals.queue_us.abs_diff(self.queue_at_cut_us) < signals.queue_us / 10;
            self.futile = if shrunk { 0 } else { self.futile + 1 };
            // A path becomes longer at once; what grows from cut to cut, however slowly, is somebody's queue.
            if self.futile == 1 || signals.queue_us > self.futile_queue_us / 10 * 11 {
                (self.futile, self.futile_queue_us) = (1, signals.queue_us);
            }
            // A long queue that stands still may be somebody else's; that is found out first.
            let cuts = if signals.floor_us < QUEUE_US_MIN { FUTILE_CUTS } else { 4 * FUTILE_CUTS };
            if self.futile >= cuts && still {
                self.futile = 0;
                return Verdict::Rebase;
            }
            // What arrives although the queue does not shrink is not what fills it.
            let arrives = signals.delivered_now_bps > self.rate_bps / 10 * 9;
            if !shrunk && (still || arrives) && !signals.trickles && !signals.jumps {
                // Several like us hold a queue as it is when each sends just its share.
                if !self.yielded && signals.queue_us > QUEUE_US_GROWN {
                    self.yielded = true;
                    self.set(self.rate_bps.min(signals.delivered_now_bps) * YIELD_PERMILLE / 1000);
                }
                self.cut = now;
                self.queue_at_cut_us = signals.queue_us;
                return Verdict::Continue;
            }
            self.cut(now, signals, signals.queue_us, signals.delivered_now_bps);
        }
        Verdict::Continue
    }

    /// The queue once what is on its way at the old rate has joined it.
    fn coming_us(&self, signals: &Signals) -> u64 {
        let delivered = signals.delivered_latest_bps.max(self.min_bps);
        let coming_us =
            (signals.in_flight_bits.saturating_mul(1_000_000) / delivered).saturating_sub(signals.rtt_us);
        signals.latest_us.max(coming_us)
    }

    /// One cut, to what was delivered less what drains the queue in [`DRAIN_US`].
    fn cut(&mut self, now: Instant, signals: &Signals, queue_us: u64, delivered_bps: u64) {
        if self.state != State::Congested {
            (self.entered_bps, self.entered) = (self.rate_bps, now);
            (self.deepened, self.yielded) = (false, false);
            self.competition.on_congestion(now, self.rate_bps.min(signals.delivered_bps));
            self.memory_bps = self.rate_bps.max(self.memory_bps / 4 * 3);
        }
        let grows = self.state == State::Congested
            && signals.trend > GROWING
            && signals.latest_us > self.queue_at_cut_us / 2 * 3
            && signals.latest_us > QUEUE_US_GROWN;
        let untold = queue_us < QUEUE_US_GROWN && now.micros_since(self.limited) < TOLD_US;
        if signals.trickles || untold {
            if !grows && queue_us < QUEUE_US_CERTAIN {
                // What was delivered is what the application had to say; the path may carry any multiple of it.
                self.resume_bps = self.entered_bps;
                self.set((self.rate_bps * TRICKLE_CUT_PERMILLE / 1000).max(delivered_bps.min(self.rate_bps)));
                self.enter_congestion(now, signals);
                return;
            }
            // The cuts so far took nothing from what was sent: that the queue stayed proves nothing.
            self.futile = 0;
        }
        let delivered = delivered_bps.min(self.entered_bps).clamp(self.min_bps, self.max_bps);
        self.resume_bps = delivered;
        // A queue with a floor is one; without, it may be jitter, and then nothing was learnt of the capacity.
        if signals.floor_us > signals.threshold_us / 2 || signals.latest_us > signals.threshold_us * 2 {
            self.capacity_bps = delivered;
            self.starting = false;
        }
        let least = if self.state == State::Congested { CUT_PERMILLE_MIN } else { CUT_PERMILLE_FIRST };
        self.set(delivered * Self::keep_permille(queue_us, least) / 1000);
        self.enter_congestion(now, signals);
    }

    /// What a cut leaves of what was delivered, in thousandths: the rest drains the queue in [`DRAIN_US`].
    fn keep_permille(queue_us: u64, least: u64) -> u64 {
        (DRAIN_US.saturating_sub(queue_us) * 1000 / DRAIN_US).max(least)
    }

    fn enter_congestion(&mut self, now: Instant, signals: &Signals) {
        self.state = State::Congested;
        self.cut = now;
        self.calm_since = now;
        self.queue_at_cut_us = signals.queue_us;
    }

    /// A round of marks takes half their usual share from the rate.
    fn on_marks(&mut self, now: Instant, signals: &Signals) {
        let Some(share_ppm) = self.marks.step(now, self.rate_bps, signals) else { return };
        self.starting = false;
        // What is being drained has been answered.
        if self.state == State::Congested {
            return;
        }
        self.set(self.rate_bps - self.rate_bps * share_ppm / 1_000_000);
        (self.capacity_bps, self.resume_bps) = (self.rate_bps, self.rate_bps);
        self.calm_since = now;
    }

    /// Whether the path marks.
    pub(super) fn is_marked(&self, now: Instant) -> bool {
        self.marks.is_fresh(now)
    }

    fn set(&mut self, rate_bps: u64) {
        self.rate_bps = rate_bps.clamp(self.min_bps, self.max_bps);
    }
}
