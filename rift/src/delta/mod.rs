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
mod control;
mod delivery;
mod flight;
mod loss;

use crate::time::Instant;
use baseline::Delay;
use control::{Control, Signals, Verdict};
use delivery::{Delivery, Headroom, Trains};
use flight::Flight;
use loss::Loss;

/// Smallest queue that counts as overuse, in µs. Below it are the timers of hosts and the bursts of Wi-Fi.
const THRESHOLD_US_MIN: u64 = 6_000;
/// Largest, in µs: whatever the jitter, this long a queue is too long for a game.
const THRESHOLD_US_MAX: u64 = 40_000;
/// Packets at the current rate a queue must exceed: fewer are not a queue but a picture on its way.
const THRESHOLD_PACKETS: u64 = 3;
/// Jitter above which dispersed pictures say nothing, in µs.
const DISPERSING_JITTER_US: i64 = 2_000;
/// Bytes of a full packet.
const PACKET_BYTES: u64 = 1200;
/// Window of the delivery rate a cut goes to, in µs: shorter than a queue takes to be judged, longer than a picture.
const DELIVERED_NOW_US: u64 = 50_000;
/// The same when the link collapses, in µs: the queue is known to have been busy for the last 15 ms.
const DELIVERED_LATEST_US: u64 = 20_000;
/// Window of the delivery rate growth is bounded by, in µs: a dozen pictures.
const DELIVERED_US: u64 = 200_000;
/// Headers, input and control of a media session, in thousandths of the grant.
const OVERHEAD_PERMILLE: u64 = 30;
/// Smallest picture worth sending, in bits: below it the frame rate falls instead.
const PICTURE_BITS_MIN: u64 = 20_000;
/// The frame rate is never limited below this, in mHz.
const PICTURE_RATE_MILLIHERTZ_MIN: u32 = 10_000;

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
    /// Departure of the latest packet reported.
    sent_reported_us: u64,
    /// When the last silence ended: what was sent before and is told lost was lost to the outage, or only its report.
    outage_until_us: u64,
    picture_rate_millihertz: u32,
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
            sent_reported_us: 0,
            outage_until_us: 0,
            picture_rate_millihertz: 60_000,
        }
    }

    /// Says how many pictures per 1000 s are sent: the size of a usual picture follows from it. At least 1000 mHz.
    pub fn set_picture_rate(&mut self, millihertz: u32) {
        self.picture_rate_millihertz = millihertz.max(1000);
    }

    /// Takes note of a datagram that left: everything that feedback will report, media or not.
    pub fn on_sent(&mut self, now: Instant, bytes: usize) {
        self.flight.on_sent(now, bytes as u64, self.control.rate_bps());
    }

    /// Takes the peer's report on packets, each told once and in the order of sending; `rtt_us` is the session's
    /// current estimate of the round trip.
    ///
    /// Work: a constant for each report and a constant for the call.
    pub fn on_feedback(&mut self, now: Instant, rtt_us: u32, reports: impl Iterator<Item = PacketReport>) {
        self.rtt_us = u64::from(rtt_us).clamp(500, 2_000_000);
        let train_gap_us = self.train_gap_us();
        if self.flight.is_silenced() {
            self.outage_until_us = now.as_micros();
        }
        let (mut arrived, mut marked, mut reported) = (0, 0, 0_u64);
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
                self.trains.on_loss();
                continue;
            };
            arrived += 1;
            marked += u64::from(ce);
            self.delay.on_packet(at_us, at_us.wrapping_sub(sent_us).cast_signed());
            self.delivery.on_packet(at_us, report.bytes);
            self.trains.on_packet(sent_us, at_us, report.bytes, train_gap_us);
        }
        if let Some(before_bps) = self.flight.on_feedback(now, reported, self.control.rate_bps()) {
            self.control.on_return(now, before_bps);
        }
        if arrived == 0 {
            return;
        }
        self.delay.on_feedback();
        let signals = self.signals(arrived, marked);
        if self.control.step(now, &signals) == Verdict::Rebase {
            self.delay.rebase();
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
        let rate = self.control.rate_bps();
        let (data_shards, parity_shards) = self.usual_shards();
        let parity_permille = parity_shards * 1000 / (data_shards + parity_shards);
        let payload = rate * (1000 - OVERHEAD_PERMILLE) / 1000;
        // Parity comes in whole shards; a picture of less than one has parity longer than itself.
        let parity = parity_shards * PACKET_BYTES * 8 * u64::from(self.picture_rate_millihertz) / 1000;
        let media = payload - parity.min(payload / 2);
        // Where the grant is at its least, pictures come before parity; one that cannot grow keeps room for both.
        let payload_max = self.control.max_bps() / 1000 * (1000 - OVERHEAD_PERMILLE);
        let least = self.control.min_bps().min(payload_max.saturating_sub(parity));
        let sustained = u32::try_from(media * 1000 / PICTURE_BITS_MIN).unwrap_or(u32::MAX);
        Budget {
            bitrate_bps: saturated(media.max(least)),
            pacing_bps: saturated(rate),
            parity_permille: u16::try_from(parity_permille).unwrap_or(1000),
            picture_rate_millihertz_max: (sustained < self.picture_rate_millihertz)
                .then_some(sustained.max(PICTURE_RATE_MILLIHERTZ_MIN)),
            state: self.control.state(),
        }
    }

    /// Parity shards a picture of `data_shards` should carry, by the loss of the last seconds; never by delay.
    #[must_use]
    pub fn parity_for(&self, data_shards: usize) -> usize {
        self.loss.parity_for(data_shards)
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

    fn signals(&self, arrived: u64, marked: u64) -> Signals {
        let trickles = self.flight.trickles();
        // A trickle is a packet or two in 40 ms: on a path that jitters, seldom does one of so few show the real queue.
        let queue_us = self.delay.queue_us().min(if trickles { self.delay.run_us() } else { i64::MAX });
        Signals {
            rtt_us: self.rtt_us,
            queue_us: queue_us.cast_unsigned(),
            threshold_us: self.threshold_us(),
            trend: self.delay.trend(),
            latest_us: self.delay.latest_us().cast_unsigned(),
            floor_us: self.delay.floor_us().cast_unsigned(),
            delivered_latest_bps: self.delivery.rate_bps(DELIVERED_LATEST_US),
            delivered_now_bps: self.delivery.rate_bps(DELIVERED_NOW_US),
            delivered_bps: self.delivery.rate_bps(DELIVERED_US),
            standing_for_us: self.delay.standing_for_us(),
            headroom: self.headroom(),
            limited: self.flight.limited(),
            trickles,
            loss_permille: u64::from(self.loss.recent_permille()),
            arrived,
            marked,
        }
    }

    /// Jitter as long as a few packets disperses a picture as a bottleneck would; it seldom leaves one as it was.
    fn headroom(&self) -> Headroom {
        match self.trains.headroom(self.sent_reported_us) {
            Headroom::About(_) if self.delay.jitter_us() > DISPERSING_JITTER_US => Headroom::Unknown,
            headroom @ (Headroom::Unknown | Headroom::AtLeast(_) | Headroom::About(_)) => headroom,
        }
    }

    fn threshold_us(&self) -> u64 {
        let packets_us = THRESHOLD_PACKETS * PACKET_BYTES * 8_000_000 / self.control.rate_bps();
        let jitter_us = (self.delay.usual_us() + 3 * self.delay.jitter_us()).cast_unsigned();
        THRESHOLD_US_MIN.max(packets_us).max(jitter_us).min(THRESHOLD_US_MAX.max(packets_us))
    }

    /// Packets of one picture leave at most a batch apart; a quarter more tells pictures apart.
    fn train_gap_us(&self) -> u64 {
        let batch_us = 2 * PACKET_BYTES * 8_000_000 / (self.control.rate_bps() / 2 * 3);
        (batch_us / 4 * 5).max(2_500)
    }

    /// Data and parity shards of a picture that uses its share of the grant.
    fn usual_shards(&self) -> (u64, u64) {
        let bits = self.control.rate_bps() * 1000 / u64::from(self.picture_rate_millihertz);
        let shards = (bits / 8).div_ceil(PACKET_BYTES).max(1);
        let mut data = shards;
        // Parity is a function of the data beside it: three rounds settle it to a shard.
        for _ in 0..3 {
            data = shards.saturating_sub(self.parity_for(data as usize) as u64).max(1);
        }
        (data, self.parity_for(data as usize) as u64)
    }
}

fn saturated(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
