//! Thirty seconds of trouble, drawn from a seed.
//!
//! *Weather* lasts for a while and touches packets: losses, reordering, damage, a narrow link. A *break* takes the whole
//! network, an address or a program away for a moment. After each break the network is good for two seconds, in which
//! the session must live again; the attacker, the clocks and the MTU are as bad as ever meanwhile. Then weather returns.

use core::ops::Range;
use core::time::Duration;

use rift::Config;
use rift_sim::peer::Repertoire;
use rift_sim::{Clock, GilbertElliott, Jitter, LinkConfig, Loss, QueueLimit, Random, Rate, Time};

/// Nothing new goes wrong from here on.
pub const CALM_AT: Time = Time::from_secs(22);
/// Everything has arrived by then, and the sessions of clients that are gone have ended.
pub const END: Time = Time::from_secs(30);
/// A session must live again this long after the network does.
pub const RETURN: Duration = Duration::from_secs(2);
/// From the end of a break to the beginning of the next one at least.
const BETWEEN_BREAKS: Duration = Duration::from_millis(2300);
/// And at most this much longer.
const GAP_MAX: Duration = Duration::from_millis(500);
/// UDP payload of an Ethernet link.
const PAYLOAD_MAX: usize = 1472;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Packets are lost, each by itself.
    Loss,
    /// Packets are lost in bursts.
    Bursts,
    /// Packets are held back while others pass.
    Reorder,
    /// Packets arrive twice.
    Duplicate,
    /// Bits flip.
    Corrupt,
    /// Packets lose their ends.
    Truncate,
    /// The delay varies.
    Jitter,
    /// The link is slow.
    Narrow,
    /// The largest packet that passes changes.
    Mtu,
    /// The clocks run at different speeds.
    Drift,
    /// An attacker sends what he has heard, as it was or changed, from anywhere.
    Injector,
    /// Nothing passes, one way or both.
    Outage,
    /// A NAT gives the client another address without a word.
    Rebind,
    /// The client moves to another address and says so.
    Move,
    /// The client's program stands still.
    ClientPause,
    /// The host's program stands still.
    HostPause,
    /// The client's program is started again.
    ClientRestart,
    /// The host's program is started again.
    HostRestart,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Loss,
        Self::Bursts,
        Self::Reorder,
        Self::Duplicate,
        Self::Corrupt,
        Self::Truncate,
        Self::Jitter,
        Self::Narrow,
        Self::Mtu,
        Self::Drift,
        Self::Injector,
        Self::Outage,
        Self::Rebind,
        Self::Move,
        Self::ClientPause,
        Self::HostPause,
        Self::ClientRestart,
        Self::HostRestart,
    ];

    /// A word for it in tables.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Bursts => "bursts",
            Self::Reorder => "reorder",
            Self::Duplicate => "duplicate",
            Self::Corrupt => "corrupt",
            Self::Truncate => "truncate",
            Self::Jitter => "jitter",
            Self::Narrow => "narrow",
            Self::Mtu => "mtu",
            Self::Drift => "drift",
            Self::Injector => "injector",
            Self::Outage => "outage",
            Self::Rebind => "rebind",
            Self::Move => "move",
            Self::ClientPause => "client-pause",
            Self::HostPause => "host-pause",
            Self::ClientRestart => "client-restart",
            Self::HostRestart => "host-restart",
        }
    }

    const fn is_break(self) -> bool {
        matches!(
            self,
            Self::Outage
                | Self::Rebind
                | Self::Move
                | Self::ClientPause
                | Self::HostPause
                | Self::ClientRestart
                | Self::HostRestart
        )
    }

    /// How long such a break lasts, in milliseconds.
    const fn millis(self) -> Range<u64> {
        match self {
            // Longer than five seconds ends the session, which must then begin again.
            Self::Outage => 100..7000,
            Self::ClientPause | Self::HostPause => 50..6000,
            Self::ClientRestart | Self::HostRestart => 1..2500,
            Self::Loss
            | Self::Bursts
            | Self::Reorder
            | Self::Duplicate
            | Self::Corrupt
            | Self::Truncate
            | Self::Jitter
            | Self::Narrow
            | Self::Mtu
            | Self::Drift
            | Self::Injector
            | Self::Rebind
            | Self::Move => 0..1,
        }
    }
}

/// A fault that lasts.
#[derive(Clone, Debug)]
pub struct Weather {
    /// What it is.
    pub fault: Fault,
    /// When.
    pub during: Range<Time>,
    /// How bad it is, `0.0..1.0`.
    pub strength: f64,
    /// Whether it is on the way to the host, and on the way to the client.
    pub ways: [bool; 2],
}

/// A fault after which everything must be well again.
#[derive(Clone, Debug)]
pub struct Break {
    /// What it is.
    pub fault: Fault,
    /// From its beginning to its end.
    pub during: Range<Time>,
    /// Whether it is on the way to the host, and on the way to the client, where that matters.
    pub ways: [bool; 2],
}

/// Everything that is decided before a scenario begins.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What decided it.
    pub seed: u64,
    /// The kinds of fault in it.
    pub faults: Vec<Fault>,
    /// What lasts.
    pub weather: Vec<Weather>,
    /// What breaks, in order, never two at once.
    pub breaks: Vec<Break>,
    /// The link both ways without any fault.
    pub link: LinkConfig,
    /// The client's clock and the host's.
    pub clocks: [Clock; 2],
    /// Both sessions' limits.
    pub session: Config,
    /// Pictures per second.
    pub pictures_per_second: u32,
    /// What the client does.
    pub repertoire: Repertoire,
    /// And how often, in microseconds.
    pub input_period_us: u64,
    /// Whether the client knows how to call from the beginning.
    pub calls: bool,
    /// Bytes of a file that the client sends; 0 = none.
    pub file_len: usize,
}

impl Scenario {
    /// The scenario of this seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed).fork(0x5ce0);
        let faults = draw_faults(&mut random);
        let delay_us_max = if random.chance(0.2) { 100_000 } else { 40_000 };
        let delay = Duration::from_micros(500 + random.below(delay_us_max));
        let queue = Duration::from_millis(30 + random.below(200));
        let link = LinkConfig {
            rate: Rate::Constant(3_000_000 + random.below(40_000_000)),
            queue: QueueLimit::Time(queue),
            delay,
            payload_max: PAYLOAD_MAX,
            mark_above: random.chance(0.3).then(|| Duration::from_millis(1 + random.below(20))),
            ..LinkConfig::default()
        };
        let session = Config {
            bitrate_bps_min: 300_000,
            bitrate_bps_start: 1_000_000,
            bitrate_bps_max: 1_500_000 + u32::try_from(random.below(2_000_000)).unwrap_or(0),
            // A host that was restarted between its response and the confirmation does not know who confirms, and one whose
            // client was moved then does not believe it (SPEC §4.4): they begin again.
            handshake_us: 1_200_000,
            key_us: 1_000_000 + u32::try_from(random.below(20_000_000)).unwrap_or(0),
            // Both look for what the link carries, and must notice when it carries less (SPEC §16.8, §16.9).
            datagram_len_max: PAYLOAD_MAX as u16,
            datagram_len_taken: PAYLOAD_MAX as u16,
            ..Config::default()
        };
        let drifts = faults.contains(&Fault::Drift);
        let clocks = [0; 2].map(|_| draw_clock(&mut random, drifts));
        let weather = faults.iter().filter(|fault| !fault.is_break());
        let weather =
            weather.flat_map(|&fault| draw_weather(&mut random.fork(fault as u64), fault)).collect();
        let breaks = draw_breaks(&mut random, &faults);
        Self {
            seed,
            weather,
            breaks,
            link,
            clocks,
            session,
            pictures_per_second: [15, 30, 60][usize::try_from(random.below(3)).unwrap_or(0)],
            repertoire: if random.chance(0.5) { Repertoire::Presses } else { Repertoire::Everything },
            input_period_us: 5_000 + random.below(20_000),
            calls: random.chance(0.6),
            file_len: if random.chance(0.4) { 1000 + random.below(200_000) as usize } else { 0 },
            faults,
        }
    }

    /// Whether the network must be good at `now`: a break has just ended, or everything is over.
    #[must_use]
    pub fn is_calm(&self, now: Time) -> bool {
        let is_over = |one: &Break| one.during.end <= now && now < one.during.end + RETURN;
        now >= CALM_AT || self.breaks.iter().any(is_over)
    }

    /// The weather at `now`.
    pub fn weather_at(&self, now: Time) -> impl Iterator<Item = &Weather> {
        let is_calm = self.is_calm(now);
        self.weather.iter().filter(move |weather| {
            let outlasts = matches!(weather.fault, Fault::Mtu | Fault::Injector | Fault::Drift);
            weather.during.contains(&now) && (outlasts || !is_calm)
        })
    }

    /// The link one way (0: to the host) at `now`.
    #[must_use]
    pub fn link_at(&self, now: Time, way: usize) -> LinkConfig {
        let mut link = self.link.clone();
        let dark = self.breaks.iter().filter(|one| one.fault == Fault::Outage && one.ways[way]);
        link.blackouts = dark.map(|one| one.during.clone()).collect();
        for weather in self.weather_at(now).filter(|weather| weather.ways[way]) {
            weather.apply(&mut link);
        }
        link
    }

    /// What people read when it fails.
    #[must_use]
    pub fn describe(&self) -> String {
        let words: Vec<&str> = self.faults.iter().map(|fault| fault.word()).collect();
        let breaks = self.breaks.iter().map(|one| {
            let (from, to) = (one.during.start.as_secs_f64(), one.during.end.as_secs_f64());
            format!("{} {from:.3}–{to:.3} s", one.fault.word())
        });
        let breaks: Vec<String> = breaks.collect();
        format!(
            "{}; {} µs away; breaks: {}",
            words.join(", "),
            self.link.delay.as_micros(),
            if breaks.is_empty() { "none".to_owned() } else { breaks.join(", ") }
        )
    }
}

impl Weather {
    fn apply(&self, link: &mut LinkConfig) {
        let strength = self.strength;
        match self.fault {
            Fault::Loss => link.loss = Loss::Random(0.01 + strength * 0.15),
            Fault::Bursts => {
                let bursts = GilbertElliott::bursts(0.005 + strength * 0.08, 1.5 + strength * 10.0);
                link.loss = Loss::GilbertElliott(bursts);
            }
            Fault::Reorder => {
                link.reorder = 0.01 + strength * 0.1;
                link.reorder_delay = Duration::from_micros(1000 + (strength * 40_000.0) as u64);
            }
            Fault::Duplicate => link.duplicate = 0.02 + strength * 0.2,
            Fault::Corrupt => link.corrupt = 0.005 + strength * 0.05,
            Fault::Truncate => link.truncate = 0.005 + strength * 0.05,
            Fault::Jitter => {
                let deviation = Duration::from_micros(200 + (strength * 10_000.0) as u64);
                link.jitter = Some(Jitter { deviation, reorders: strength < 0.5 });
            }
            Fault::Narrow => link.rate = Rate::Constant(700_000 + (strength * 1_500_000.0) as u64),
            Fault::Mtu => link.payload_max = 1200 + (strength * 270.0) as usize,
            Fault::Drift
            | Fault::Injector
            | Fault::Outage
            | Fault::Rebind
            | Fault::Move
            | Fault::ClientPause
            | Fault::HostPause
            | Fault::ClientRestart
            | Fault::HostRestart => {}
        }
    }
}

/// Three to nine kinds.
fn draw_faults(random: &mut Random) -> Vec<Fault> {
    let mut left = Fault::ALL.to_vec();
    let count = 3 + random.below(7);
    let mut drawn: Vec<Fault> = (0..count).map(|_| left.swap_remove(below(random, left.len()))).collect();
    drawn.sort_unstable();
    drawn
}

/// Another offset for each, and at most 50 ppm away from true time: together what SPEC §12.1 allows.
fn draw_clock(random: &mut Random, drifts: bool) -> Clock {
    let drift_ppb = i32::try_from(random.below(100_001)).unwrap_or(0) - 50_000;
    let offset_us = 1_000_000 + random.below(4_000_000_000_000);
    Clock { offset_us, drift_ppb: if drifts { drift_ppb } else { 0 } }
}

fn draw_weather(random: &mut Random, fault: Fault) -> Vec<Weather> {
    if fault == Fault::Drift {
        return vec![Weather { fault, during: Time::ZERO..END, strength: 1.0, ways: [true; 2] }];
    }
    let count = 1 + random.below(3);
    let mut weather = Vec::new();
    for _ in 0..count {
        let start = Time::from_millis(random.below(18_000));
        let end = (start + Duration::from_millis(1000 + random.below(12_000))).min(CALM_AT);
        weather.push(Weather { fault, during: start..end, strength: random.unit(), ways: draw_ways(random) });
    }
    weather
}

/// Each kind once, as far as time reaches, then again: long breaks leave room for one of each kind that is to come.
fn draw_breaks(random: &mut Random, faults: &[Fault]) -> Vec<Break> {
    let mut kinds: Vec<Fault> = faults.iter().copied().filter(|fault| fault.is_break()).collect();
    for last in (1..kinds.len()).rev() {
        kinds.swap(last, below(random, last + 1));
    }
    let mut breaks = Vec::new();
    let mut at = Time::from_millis(random.below(3_000));
    while !kinds.is_empty() {
        let fault = kinds[breaks.len() % kinds.len()];
        let to_come = u32::try_from(kinds.len().saturating_sub(breaks.len() + 1)).unwrap_or(0);
        let latest = Time::ZERO + ((CALM_AT - Time::ZERO) - RETURN - (BETWEEN_BREAKS + GAP_MAX) * to_come);
        if at >= latest {
            break;
        }
        let millis = fault.millis();
        let lasts = Duration::from_millis(millis.start + random.below(millis.end - millis.start));
        let end = (at + lasts).min(latest);
        breaks.push(Break { fault, during: at..end, ways: draw_ways(random) });
        at = end + BETWEEN_BREAKS + random.duration(GAP_MAX);
    }
    breaks
}

/// Mostly both.
fn draw_ways(random: &mut Random) -> [bool; 2] {
    match random.below(4) {
        0 => [true, false],
        1 => [false, true],
        _ => [true; 2],
    }
}

fn below(random: &mut Random, len: usize) -> usize {
    usize::try_from(random.below(len as u64)).unwrap_or(0)
}
