//! The rate: when it grows, when it is cut, and to what.
//!
//! Clocked by time and round trips, never by the number of samples. The state machine sees numbers the other parts
//! measured and knows nothing of packets.

use super::State;
use super::delivery::Headroom;
use crate::time::Instant;

/// A queue is drained over this time: the deeper it is, the deeper the cut.
const DRAIN_US: u64 = 200_000;
/// The least a cut leaves of what was delivered, in thousandths: small pictures keep coming.
const CUT_PERMILLE_MIN: u64 = 350;
/// What is used of the capacity measured at a cut once the queue is gone, in thousandths.
const RESUME_PERMILLE: u64 = 970;
/// What a cut leaves of the rate while the application uses little of it, in thousandths.
const TRICKLE_CUT_PERMILLE: u64 = 850;
/// A queue this long is no jitter, however little was sent, in µs.
const QUEUE_US_CERTAIN: u64 = 100_000;
/// Added to the round trip before a cut is judged: feedback comes per picture, not at once.
const SETTLE_US: u64 = 30_000;
/// Longest time one step grows by; what was silent for longer has not been measured.
const STEP_US_MAX: u64 = 50_000;
/// Growth at the start, in thousandths a second: e-fold in half a second.
const START_PER_S: u64 = 2_000;
/// Growth where pictures pass undispersed, in thousandths a second.
const OPEN_PER_S: u64 = 1_000;
/// Growth below nine tenths of the remembered capacity, in thousandths a second.
const BELOW_PER_S: u64 = 350;
/// Growth around the remembered capacity, in thousandths a second.
const NEAR_PER_S: u64 = 40;
/// Calm after which that growth quickens, in µs, and by how much, in thousandths a second for each second.
const CALM_US: u64 = 1_000_000;
const NEAR_GAIN_PER_S: u64 = 80;
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
/// Share of the congestion estimate a new round of marks has: 1 / 16 (RFC 8257 §3.3).
const ALPHA_SHIFT: u64 = 4;
/// The estimate before the first round, in thousandths: a path that starts to mark is neither trusted nor feared.
const ALPHA_START_PERMILLE: u64 = 300;

/// What is known at one feedback.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signals {
    pub(super) rtt_us: u64,
    pub(super) queue_us: u64,
    /// The least of the last 15 ms and of the last 160 ms.
    pub(super) latest_us: u64,
    pub(super) floor_us: u64,
    /// Queue above which the link counts as overused, in µs.
    pub(super) threshold_us: u64,
    /// µs per ms.
    pub(super) trend: i64,
    /// Over the last 20 and 50 ms: the bottleneck's own rate while it is busy.
    pub(super) delivered_latest_bps: u64,
    pub(super) delivered_now_bps: u64,
    /// Over the last 200 ms: what the application got through.
    pub(super) delivered_bps: u64,
    /// For how long the queue was never seen empty, in µs.
    pub(super) standing_for_us: u64,
    pub(super) headroom: Headroom,
    /// Whether less was sent than granted.
    pub(super) limited: bool,
    /// Whether so little was sent that a queue is not of the sender's making.
    pub(super) trickles: bool,
    /// Loss of the last second, in thousandths.
    pub(super) loss_permille: u64,
    /// Packets of this feedback that arrived, and those of them that were marked.
    pub(super) arrived: u64,
    pub(super) marked: u64,
}

/// What the owner has to do besides using the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Continue,
    /// The queue left after several cuts is the path's own delay: take it as the base.
    Rebase,
}

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
    /// What the rate returns to once drained: what was delivered at the last cut, or the rate itself before cuts that
    /// a trickle did not cause.
    resume_bps: u64,
    /// The rate when congestion began: what a drained path is not known to exceed.
    entered_bps: u64,
    stepped: Instant,
    cut: Instant,
    /// When congestion was last over.
    calm_since: Instant,
    /// When the application last used less than its grant.
    limited: Instant,
    queue_at_cut_us: u64,
    futile: u32,
    marks: Marks,
    loss_floor_permille: u64,
    loss_at_cut_permille: u64,
    loss_judged: Instant,
}

#[derive(Clone, Debug)]
struct Marks {
    alpha_permille: u64,
    round_ends: Instant,
    arrived: u64,
    marked: u64,
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
            resume_bps: 0,
            entered_bps: start_bps,
            stepped: Instant::ZERO,
            cut: Instant::ZERO,
            calm_since: Instant::ZERO,
            limited: Instant::ZERO,
            queue_at_cut_us: 0,
            futile: 0,
            marks: Marks {
                alpha_permille: ALPHA_START_PERMILLE,
                round_ends: Instant::ZERO,
                arrived: 0,
                marked: 0,
            },
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
        if self.on_marks(now, signals) || self.on_loss(now, signals) {
            return Verdict::Continue;
        }
        let collapsed = signals.latest_us > signals.threshold_us / 2 * 5;
        let over = signals.queue_us > signals.threshold_us && signals.floor_us > signals.threshold_us / 3;
        if self.state == State::Congested {
            return self.drain(now, signals, over || collapsed);
        }
        if collapsed {
            self.cut(now, signals, signals.latest_us, signals.delivered_latest_bps);
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
        let growing = signals.trend > GROWING && signals.queue_us > signals.threshold_us / 3;
        self.state = if over || building || growing { State::Rising } else { State::Stable };
        if self.state == State::Stable {
            self.grow(now, elapsed, signals);
        }
        Verdict::Continue
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
        if now.micros_since(self.calm_since) > REMEMBER_US {
            self.capacity_bps = 0;
        }
        let per_s = self.growth_per_s(now, signals);
        let grown = self.rate_bps + self.rate_bps * per_s / 1000 * elapsed_us / 1_000_000;
        // What was never delivered is not known to fit: half as much again is as far as one may guess.
        let bound = signals.delivered_bps + signals.delivered_bps / 2;
        self.set(grown.min(bound).max(self.rate_bps));
    }

    fn growth_per_s(&mut self, now: Instant, signals: &Signals) -> u64 {
        if let Headroom::About(bottleneck) = signals.headroom
            && self.rate_bps > bottleneck / 20 * 17
        {
            self.starting = false;
            return NEAR_PER_S;
        }
        if self.starting && self.loss_at_cut_permille == 0 {
            return START_PER_S;
        }
        if let Headroom::AtLeast(carried) = signals.headroom
            && carried > self.rate_bps / 5 * 6
        {
            return OPEN_PER_S;
        }
        let near = self.capacity_bps / 10 * 9..self.capacity_bps / 10 * 11;
        if near.contains(&self.rate_bps) {
            let calm_us = now.micros_since(self.calm_since);
            return (NEAR_PER_S + calm_us.saturating_sub(CALM_US) * NEAR_GAIN_PER_S / 1_000_000)
                .min(BELOW_PER_S);
        }
        BELOW_PER_S
    }

    fn drain(&mut self, now: Instant, signals: &Signals, over: bool) -> Verdict {
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
            self.futile = if shrunk { 0 } else { self.futile + 1 };
            if self.futile >= FUTILE_CUTS {
                self.futile = 0;
                return Verdict::Rebase;
            }
            self.cut(now, signals, signals.queue_us, signals.delivered_now_bps);
        }
        Verdict::Continue
    }

    /// One cut, to what was delivered less what drains the queue in [`DRAIN_US`].
    fn cut(&mut self, now: Instant, signals: &Signals, queue_us: u64, delivered_bps: u64) {
        if self.state != State::Congested {
            self.entered_bps = self.rate_bps;
        }
        let grows = self.state == State::Congested
            && signals.trend > GROWING
            && signals.latest_us > self.queue_at_cut_us / 2 * 3;
        if signals.trickles {
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
        let keep = (DRAIN_US.saturating_sub(queue_us) * 1000 / DRAIN_US).max(CUT_PERMILLE_MIN);
        self.set(delivered * keep / 1000);
        self.enter_congestion(now, signals);
    }

    fn enter_congestion(&mut self, now: Instant, signals: &Signals) {
        self.state = State::Congested;
        self.cut = now;
        self.calm_since = now;
        self.queue_at_cut_us = signals.queue_us;
    }

    /// Once a round trip: the share of marked packets, smoothed, halves into the rate. True when it was cut.
    fn on_marks(&mut self, now: Instant, signals: &Signals) -> bool {
        let marks = &mut self.marks;
        marks.arrived += signals.arrived;
        marks.marked += signals.marked;
        if now < marks.round_ends || marks.arrived == 0 {
            return false;
        }
        let share = marks.marked * 1000 / marks.arrived;
        let marked = marks.marked > 0;
        marks.alpha_permille =
            marks.alpha_permille - (marks.alpha_permille >> ALPHA_SHIFT) + (share >> ALPHA_SHIFT);
        marks.round_ends = now.plus_micros(signals.rtt_us);
        (marks.arrived, marks.marked) = (0, 0);
        if marked {
            self.starting = false;
            self.set(self.rate_bps - self.rate_bps * self.marks.alpha_permille / 2000);
            (self.capacity_bps, self.resume_bps) = (self.rate_bps, self.rate_bps);
            self.enter_congestion(now, signals);
        }
        marked
    }

    /// Loss above a tenth is congestion unless a cut has shown that it is not: then it stays when the rate falls.
    fn on_loss(&mut self, now: Instant, signals: &Signals) -> bool {
        if now.micros_since(self.loss_judged) < signals.rtt_us + LOSS_JUDGED_US {
            return false;
        }
        if self.loss_at_cut_permille > 0 {
            if signals.loss_permille > self.loss_at_cut_permille / 4 * 3 {
                self.loss_floor_permille = signals.loss_permille;
            } else {
                self.capacity_bps = self.rate_bps;
                self.starting = false;
            }
            self.loss_at_cut_permille = 0;
        }
        if signals.loss_permille < self.loss_floor_permille / 2 {
            self.loss_floor_permille = 0;
        }
        let excess = signals.loss_permille.saturating_sub(self.loss_floor_permille);
        // A trickle is lost to its own rate only where the link carries much less than it.
        let limited = signals.limited && signals.loss_permille < LOSS_PERMILLE_LIMITED;
        if limited || signals.loss_permille < LOSS_PERMILLE || excess < LOSS_PERMILLE / 2 {
            return false;
        }
        self.loss_at_cut_permille = signals.loss_permille;
        self.loss_judged = now;
        self.resume_bps = signals.delivered_bps.clamp(self.min_bps, self.max_bps).min(self.rate_bps);
        self.set(self.resume_bps);
        if signals.queue_us > signals.threshold_us / 2 {
            self.capacity_bps = self.resume_bps;
            self.starting = false;
        }
        self.enter_congestion(now, signals);
        true
    }

    fn set(&mut self, rate_bps: u64) {
        self.rate_bps = rate_bps.clamp(self.min_bps, self.max_bps);
    }
}

/// Loss that is taken for congestion, in thousandths; below it parity answers.
const LOSS_PERMILLE: u64 = 100;
/// The same while the application limits what is sent: the highest that parity answers.
const LOSS_PERMILLE_LIMITED: u64 = 250;
/// How long the loss of one second takes to tell of a cut, beyond a round trip.
const LOSS_JUDGED_US: u64 = 1_000_000;
