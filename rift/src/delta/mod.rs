//! DELTA: how much may be sent, and how it is split. Differential Latency Estimation and Tuning Algorithm.
//!
//! A pure function of its history: times, bytes sent and the fate of every packet go in, a [`Budget`] comes out. It
//! computes in integers, so the same history gives the same decisions on every machine. It knows neither packets nor
//! pictures nor encoders. `DELTA.md` beside this crate holds signals, states, equations and the reason of every
//! constant.
//!
//! Use: [`Delta::on_sent`] for every datagram, [`Delta::on_feedback`] for every report of the peer,
//! [`Delta::handle_timeout`] at [`Delta::poll_timeout`]; then read [`Delta::budget`].

mod baseline;
mod competition;
mod control;
mod controller;
mod delivery;
mod ecn;
mod flight;
mod growth;
mod loss;
mod probe;
mod signals;
mod split;
mod trend;

use crate::time::Instant;
use baseline::Delay;
use control::Control;
pub use controller::{Controller, Steady};
use delivery::Delivery;
use flight::Flight;
use loss::Loss;
use probe::{Headroom, Trains};
use signals::{Signals, Verdict};
use split::{PACKET_BYTES, Split};

/// Smallest queue that counts as overuse, in µs. Below it are the timers of hosts and the bursts of Wi-Fi.
const THRESHOLD_US_MIN: u64 = 6_000;
/// Largest, in µs: whatever the jitter, this long a queue is too long for a game.
const THRESHOLD_US_MAX: u64 = 40_000;
/// Added where delays jump about, in µs: the least of a short time is seldom the least there is.
const MARGIN_JUMPING_US: u64 = 3_000;
/// Packets at the current rate a queue must exceed: fewer are not a queue but a picture on its way.
const THRESHOLD_PACKETS: u64 = 3;
/// Least time by which packets of others may set two of ours apart, in µs.
const STEP_US_MIN: u64 = 1_500;
/// Jitter above which dispersed pictures say nothing, in µs.
const DISPERSING_JITTER_US: i64 = 2_000;
/// Pace of a picture that probes, and of one on a path of known rate, in thousandths of the grant.
const PACE_PROBE: u16 = 1_500;
const PACE_NEAR: u16 = 1_200;
/// Pace where the path was wide before the last congestion: whether it is again is soon seen.
const PACE_RETURN: u16 = 2_500;
/// Pace where the path marks: a burst would mark itself.
const PACE_MARKED: u16 = 1_050;
/// Bits of a picture that is a train even where it is a small one.
const PROBING_BITS: u64 = 8 * PACKET_BYTES * 8;
/// On a path of known rate one picture in so many probes.
const PROBE_EVERY: u64 = 4;
/// Window of the delivery rate a cut goes to, in µs: shorter than a queue takes to be judged, longer than a picture.
const DELIVERED_NOW_US: u64 = 50_000;
/// What jitter leaves of a rate measured over that time, in thousandths.
const UNBUNCHED_PERMILLE: u64 = 850;
/// Window of the delivery rate growth is bounded by, in µs: a dozen pictures.
const DELIVERED_US: u64 = 200_000;
/// The limits of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// The grant never falls below this, in bit/s; at least 1000.
    pub bitrate_bps_min: u32,
    /// The grant before the first feedback, in bit/s.
    pub bitrate_bps_start: u32,
    /// The grant never exceeds this, in bit/s.
    pub bitrate_bps_max: u32,
}

/// What became of one sent packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It arrived.
    Arrived {
        /// When, in µs on the receiver's clock: any epoch, never wrapping.
        at_us: u64,
        /// Whether it was marked Congestion Experienced (RFC 3168, RFC 9331).
        ce: bool,
    },
    /// It did not, and is not expected any more.
    Lost,
}

/// The fate of one packet, told once, in the order of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketReport {
    /// When it left, on the sender's clock.
    pub sent_at: Instant,
    /// Its UDP payload, as told to [`Delta::on_sent`].
    pub bytes: u16,
    /// What became of it.
    pub outcome: Outcome,
}

/// What DELTA thinks of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// No queue: the rate may grow.
    #[default]
    Stable,
    /// A queue builds: the rate waits.
    Rising,
    /// A queue stands, or feedback is missing: the rate was cut and waits for it to drain.
    Congested,
}

/// What may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// For the encoder, in bit/s: parity, headers and small channels are taken out, but never below the least grant
    /// and never above the grant.
    pub bitrate_bps: u32,
    /// The whole grant, in bit/s of UDP payload: what [`crate::pacing::Pacer::set_rate`] takes.
    pub pacing_bps: u32,
    /// Pace within a picture, in thousandths of the grant: fast where there may be headroom to find, slow where the
    /// path is known.
    pub pace_permille: u16,
    /// Share of parity in the shards of a picture of usual size, in thousandths; at most 500.
    pub parity_permille: u16,
    /// Highest frame rate the grant can feed, in mHz; `None` when the grant is no reason to lower it.
    pub picture_rate_millihertz_max: Option<u32>,
    /// What the path is thought to be.
    pub state: State,
}

/// What DELTA measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Standing queue: the least any packet of the last 40 ms waited, in µs.
    pub queue_us: u32,
    /// Least one-way delay of the last seconds, in µs, with the unknown offset of the two clocks in it.
    pub base_owd_us: i64,
    /// Growth of the queue, in µs per ms.
    pub trend: i64,
    /// Queue above which the path counts as overused, in µs.
    pub threshold_us: u32,
    /// Rate of arrival over the last 200 ms, in bit/s.
    pub delivered_bps: u32,
    /// Packets lost in the last second, in thousandths.
    pub loss_permille: u16,
    /// Mean run of losses over the last eight seconds, in thousandths of a packet.
    pub loss_burst_milli: u32,
    /// Bytes sent and not reported.
    pub in_flight_bytes: u64,
}

// Small enough for a board to have one a session.
const _: () = assert!(size_of::<Delta>() <= 4096);

/// The congestion controller of one direction; see the module. At most 4 KiB.
#[derive(Clone, Debug)]
pub struct Delta {
    control: Control,
    delay: Delay,
    delivery: Delivery,
    trains: Trains,
    flight: Flight,
    loss: Loss,
    rtt_us: u64,
    /// When anything was last heard of, and the last feedback.
    now: Instant,
    reported: Instant,
    /// Departure of the latest packet reported.
    sent_reported_us: u64,
    /// When the last silence ended: what was sent before and is told lost was lost to the outage, or only its report.
    outage_until_us: u64,
    split: Split,
}

impl Delta {
    /// A controller that has seen nothing. Limits out of order are put in order: start is clamped to min and max.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let min = u64::from(config.bitrate_bps_min.max(1000));
        let max = u64::from(config.bitrate_bps_max).max(min);
        let start = u64::from(config.bitrate_bps_start).clamp(min, max);
        Self {
            control: Control::new(min, start, max),
            delay: Delay::new(),
            delivery: Delivery::new(),
            trains: Trains::new(),
            flight: Flight::new(),
            loss: Loss::new(),
            rtt_us: 100_000,
            now: Instant::ZERO,
            reported: Instant::ZERO,
            sent_reported_us: 0,
            outage_until_us: 0,
            split: Split::new(),
        }
    }

    /// Says how many pictures per 1000 s are sent: the size of a usual picture follows from it. At least 1000 mHz.
    pub fn set_picture_rate(&mut self, millihertz: u32) {
        self.split.set_picture_rate(millihertz);
    }

    /// Whether the viewer can ask for what it lacks of a picture and have it in time: then less parity is enough.
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        self.loss.is_answered()
    }

    /// Says whether the viewer can ask for what it lacks of a picture and have it in time.
    pub const fn set_answered(&mut self, is_answered: bool) {
        self.loss.set_answered(is_answered);
    }

    /// Over how many pictures before its own a picture's parity may go.
    #[must_use]
    pub const fn window(&self) -> u8 {
        self.loss.window()
    }

    /// Says over how many pictures before its own a picture's parity may go; what it restores is then restored later.
    pub const fn set_window(&mut self, pictures: u8) {
        self.loss.set_window(pictures);
    }

    /// Takes note of a datagram that left: everything that feedback will report, media or not.
    pub fn on_sent(&mut self, now: Instant, bytes: usize) {
        self.now = now;
        self.flight.on_sent(now, bytes as u64, self.control.rate_bps());
    }

    /// Takes note that nothing will be told of a datagram of [`Self::on_sent`] any more: too many others left since.
    pub const fn on_forgotten(&mut self, bytes: usize) {
        self.flight.on_forgotten(bytes as u64);
    }

    /// Takes the peer's report on packets, each told once and in the order of sending; `rtt_us` is the session's
    /// current estimate of the round trip.
    ///
    /// Work: a constant for each report and a constant for the call.
    pub fn on_feedback(&mut self, now: Instant, rtt_us: u32, reports: impl Iterator<Item = PacketReport>) {
        let elapsed_us = now.micros_since(self.reported);
        self.reported = now;
        self.now = now;
        self.rtt_us = u64::from(rtt_us).clamp(500, 2_000_000);
        let (train_gap_us, step_us) = (self.train_gap_us(), self.step_us());
        if self.flight.is_silenced() {
            self.outage_until_us = now.as_micros();
        }
        let (mut arrived, mut marked, mut lost, mut reported) = (0, 0, 0_u64, 0_u64);
        for report in reports {
            reported += u64::from(report.bytes);
            let sent_us = report.sent_at.as_micros();
            self.sent_reported_us = self.sent_reported_us.max(sent_us);
            let is_lost = report.outcome == Outcome::Lost;
            // An outage is neither congestion nor bridged by parity.
            if !is_lost || sent_us >= self.outage_until_us {
                self.loss.on_packet(sent_us, is_lost);
            }
            let Outcome::Arrived { at_us, ce } = report.outcome else {
                lost += 1;
                self.trains.on_loss();
                continue;
            };
            arrived += 1;
            marked += u64::from(ce);
            self.delay.on_packet(at_us, at_us.wrapping_sub(sent_us).cast_signed(), step_us);
            self.delivery.on_packet(at_us, report.bytes);
            self.trains.on_packet(sent_us, at_us, report.bytes, train_gap_us, self.control.rate_bps());
        }
        if let Some(before_bps) = self.flight.on_feedback(now, reported, self.control.rate_bps()) {
            self.control.on_return(now, before_bps);
        }
        if arrived == 0 {
            return;
        }
        let congested = self.control.state() == State::Congested;
        self.delay.on_feedback(congested, self.control.competes());
        let signals = self.signals(arrived, marked, lost);
        if !signals.limited && self.control.is_near() && self.control.state() != State::Congested {
            let is_marked = self.control.is_marked(now);
            self.split.correct(self.flight.used_permille(), elapsed_us, is_marked);
        } else {
            self.split.release();
        }
        let cut_at = self.control.cut_at();
        if self.control.step(now, &signals) == Verdict::Rebase {
            self.delay.rebase();
        }
        if self.control.cut_at() != cut_at && self.control.returns() {
            self.trains.reset();
        }
    }

    /// Acts on the silence of the peer once [`Self::poll_timeout`] has passed; otherwise does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|at| now >= at) {
            self.flight.on_silence(now, self.control.rate_bps());
            self.control.on_silence(now);
        }
    }

    /// When to call [`Self::handle_timeout`] if no feedback comes before; `None` when nothing is in flight.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.flight.silent_at(self.rtt_us)
    }

    /// What may be sent now.
    #[must_use]
    pub fn budget(&self) -> Budget {
        let control = &self.control;
        let rate = control.rate_bps();
        let shares = self.split.shares(rate, control.min_bps(), control.max_bps(), &self.loss);
        Budget {
            bitrate_bps: saturated(shares.media_bps),
            pacing_bps: saturated(rate),
            pace_permille: self.pace_permille(),
            parity_permille: shares.parity_permille,
            picture_rate_millihertz_max: shares.picture_rate_millihertz_max,
            state: control.state(),
        }
    }

    /// Parity shards a picture of `data_shards` should carry, by the loss of the last seconds; never by delay.
    #[must_use]
    pub fn parity_for(&self, data_shards: usize) -> usize {
        self.loss.parity_for(data_shards)
    }

    /// The same in thousandths of a shard, and over how many pictures before its own it goes: no more than
    /// [`Self::window`], fewer where losses come one by one, none where the picture is large or most of it is lost.
    #[must_use]
    pub fn cover_for(&self, data_shards: usize) -> (usize, u8) {
        self.loss.cover_for(data_shards)
    }

    /// Bytes of media that may leave before more feedback: what the grant sends in a round trip and the time feedback
    /// may take, less what is in flight. Input and control do not ask. One packet each 100 ms is always allowed, so
    /// that a path that comes back is noticed.
    #[must_use]
    pub fn sendable_bytes(&self, now: Instant) -> usize {
        self.flight.sendable_bytes(now, self.control.rate_bps(), self.rtt_us)
    }

    /// What was measured.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            queue_us: saturated(self.delay.queue_us().cast_unsigned()),
            base_owd_us: self.delay.base_us(),
            trend: self.delay.trend(),
            threshold_us: saturated(self.threshold_us()),
            delivered_bps: saturated(self.delivery.rate_bps(DELIVERED_US)),
            loss_permille: u16::try_from(self.loss.recent_permille()).unwrap_or(1000),
            loss_burst_milli: saturated(self.loss.burst_milli()),
            in_flight_bytes: self.flight.in_flight_bytes(),
        }
    }

    fn signals(&self, arrived: u64, marked: u64, lost: u64) -> Signals {
        let rate_bps = self.control.rate_bps();
        let trickles = self.flight.trickles();
        // A trickle is a packet or two in 40 ms: on a path that jitters, seldom does one of so few show the real queue.
        let queue_us = self.delay.queue_us().min(if trickles { self.delay.run_us() } else { i64::MAX });
        // Jitter bunches what arrives: short windows would show more than the path carries.
        let jumps = self.delay.jumps();
        let (latest, now, all) = (
            self.delivery.run_bps(),
            self.delivery.rate_bps(DELIVERED_NOW_US),
            self.delivery.rate_bps(DELIVERED_US),
        );
        let (latest_bps, now_bps) =
            if jumps { (now, all.max(now / 1000 * UNBUNCHED_PERMILLE)) } else { (latest.max(now / 2), now) };
        Signals {
            rtt_us: self.rtt_us,
            queue_us: queue_us.cast_unsigned(),
            margin_us: if jumps { MARGIN_JUMPING_US } else { 0 },
            threshold_us: self.threshold_us(),
            trend: self.delay.trend(),
            latest_us: self.delay.latest_us().cast_unsigned(),
            floor_us: self.delay.floor_us().cast_unsigned(),
            delivered_latest_bps: latest_bps,
            delivered_now_bps: now_bps,
            delivered_bps: all,
            in_flight_bits: self.flight.in_flight_bytes().saturating_mul(8),
            standing_for_us: self.delay.standing_for_us(),
            jumps,
            headroom: self.headroom(),
            probes: rate_bps * 1000 / self.split.picture_rate_millihertz() > PROBING_BITS,
            limited: self.flight.limited(),
            trickles,
            loss_permille: u64::from(self.loss.recent_permille()),
            loss_bursts: self.loss.recent_bursts(),
            arrived,
            marked,
            lost,
        }
    }

    /// Jitter as long as a few packets disperses a picture as a bottleneck would; it seldom leaves one as it was.
    fn headroom(&self) -> Headroom {
        let headroom = self.trains.headroom(self.sent_reported_us);
        let disperses = self.delay.jitter_us() > DISPERSING_JITTER_US;
        if self.delay.jumps() || (disperses && matches!(headroom, Headroom::About(_))) {
            return Headroom::Unknown;
        }
        headroom
    }

    fn threshold_us(&self) -> u64 {
        let packets_us = THRESHOLD_PACKETS * PACKET_BYTES * 8_000_000 / self.control.reckoned_bps();
        let least_us = THRESHOLD_US_MIN.max(packets_us);
        // A mean of many is surer than one packet; where few agree by chance, their usual difference is allowed for.
        let threshold_us = if self.delay.jumps() {
            least_us + MARGIN_JUMPING_US + self.delay.jitter_us().cast_unsigned()
        } else {
            least_us.max(3 * self.delay.jitter_us().cast_unsigned())
        };
        threshold_us.min(THRESHOLD_US_MAX.max(packets_us))
    }

    /// Packets of one picture leave at most a batch apart; a quarter more tells pictures apart.
    fn train_gap_us(&self) -> u64 {
        let batch_us = 2 * PACKET_BYTES * 8_000_000 / (self.control.rate_bps() / 2 * 3);
        (batch_us / 4 * 5).max(2_500)
    }

    /// The most a queue is expected to add from one packet to the next: a few packets' time, of others' too. At the
    /// start the path is wide beside what is sent, and jitter is to be known before it ends the start.
    fn step_us(&self) -> i64 {
        let packets_us = THRESHOLD_PACKETS * PACKET_BYTES * 8_000_000 / self.control.rate_bps();
        let step_us = if self.control.is_starting() { packets_us / 2 } else { packets_us };
        step_us.max(STEP_US_MIN).cast_signed()
    }

    /// One picture in four probes; the others leave little faster than a path of known rate carries them.
    fn pace_permille(&self) -> u16 {
        let picture = self.now.as_micros() / (1_000_000_000 / self.split.picture_rate_millihertz()).max(1);
        if self.control.is_marked(self.now) {
            return PACE_MARKED;
        }
        if self.control.returns() && self.control.state() == State::Stable {
            return PACE_RETURN;
        }
        if self.control.is_near() && !picture.is_multiple_of(PROBE_EVERY) { PACE_NEAR } else { PACE_PROBE }
    }
}

fn saturated(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
