//! The cases: RFC 8867 §5.1–5.8 at its rates and at twenty times as much, and what games meet besides.
//!
//! At twenty times the rate the tests' times are shortened (the changes stay as abrupt), so that the whole table runs
//! in minutes; [`Case::about`] says what a case holds.

use core::time::Duration;

use rift::delta::Config;

use super::stream::Algorithm;
use crate::link::{GilbertElliott, Jitter, LinkConfig, Loss, QueueLimit, Rate};
use crate::queue::Discipline;
use crate::random::Random;
use crate::time::Time;

/// How a link's rate goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As fast as light.
    Unlimited,
    /// From each millisecond on so many bit/s.
    Steps(Vec<(u64, u64)>),
    /// A random walk of the rate's logarithm between 3 and 40 Mbit/s in steps of 100 ms, pulled to 15, with an outage
    /// of 50 to 250 ms every eight seconds on average.
    Cellular,
    /// This rate, in bursts of up to 4 ms, with a gap of 100 ms every five seconds while the radio scans.
    Wifi(u64),
}

/// One direction of the path.
#[derive(Clone, Debug)]
pub struct Path {
    /// Its rate.
    pub shape: Shape,
    /// What the drop-tail queue holds, in ms.
    pub queue_ms: u64,
    /// What the queue does besides.
    pub discipline: Discipline,
    /// Propagation, in µs.
    pub one_way_us: u64,
    /// Deviation of Gaussian jitter without reordering, in µs.
    pub jitter_us: u64,
    /// Losses.
    pub loss: Loss,
}

/// A flow of pictures.
#[derive(Clone, Debug)]
pub struct Flow {
    /// When it speaks, in ms.
    pub spans: Vec<(u64, u64)>,
    /// Whether it runs against the measured direction.
    pub backward: bool,
    /// Propagation of its own on top of the path's, in µs each way.
    pub tail_us: u64,
}

/// Cross traffic in the measured direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cross {
    /// One stream of everything there is, in ms.
    Long(Algorithm, u64, u64),
    /// So many streams of files with pauses of so many ms on average.
    Short(Algorithm, u32, u64),
}

/// What DELTA is to reach on every seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// Least utilisation, in percent.
    pub utilisation: f64,
    /// Largest utilisation, in percent: what is left to others.
    pub utilisation_most: f64,
    /// Largest queue, 95th and 99th percentile, in ms; infinite where the queue is not ours to keep.
    pub queue_p95: f64,
    /// See there.
    pub queue_p99: f64,
    /// Least Jain index; 0 where there is one flow.
    pub jain: f64,
    /// Longest time until the queue is below 30 ms after the path narrowed or somebody left, in s.
    pub recovery: f64,
    /// Longest time to 85 % of the path, in s.
    pub ramp: f64,
    /// Longest delay of pictures beyond the path's, 95th percentile, in ms.
    pub picture_p95: f64,
}

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its stable name.
    pub name: String,
    /// What it holds.
    pub about: &'static str,
    /// How long it lasts.
    pub seconds: u64,
    /// The measured direction, and the way back.
    pub forward: Path,
    /// See there.
    pub backward: Path,
    /// Pictures.
    pub flows: Vec<Flow>,
    /// Others.
    pub cross: Vec<Cross>,
    /// Pictures per 1000 s.
    pub picture_millihertz: u32,
    /// Limits of every sender.
    pub limits: Config,
    /// What is asked of DELTA.
    pub goal: Option<Goal>,
    /// Why the case is left out of who dominates whom; `None` where it counts.
    pub undecided: Option<&'static str>,
}

const GOAL: Goal = Goal {
    utilisation: 0.0,
    utilisation_most: f64::INFINITY,
    queue_p95: f64::INFINITY,
    queue_p99: f64::INFINITY,
    jain: 0.0,
    recovery: f64::INFINITY,
    ramp: f64::INFINITY,
    picture_p95: f64::INFINITY,
};

const fn goal(utilisation: f64, queue_p95: f64, queue_p99: f64) -> Option<Goal> {
    Some(Goal { utilisation, queue_p95, queue_p99, ..GOAL })
}

const LITERAL: Config =
    Config { bitrate_bps_min: 150_000, bitrate_bps_start: 300_000, bitrate_bps_max: 10_000_000 };
const GAME: Config =
    Config { bitrate_bps_min: 200_000, bitrate_bps_start: 1_500_000, bitrate_bps_max: 100_000_000 };
/// The dual queue of the L4S cases: classic at 15 ms, low latency marked from 0.8 to 1.2 ms (RFC 9332 appendix A).
const DUAL: Discipline = Discipline::DualQueue {
    target: Duration::from_millis(15),
    ramp_from: Duration::from_micros(800),
    ramp_to: Duration::from_micros(1_200),
};

fn path(steps: &[(u64, u64)], one_way_us: u64) -> Path {
    Path { shape: Shape::Steps(steps.to_vec()), one_way_us, ..free(one_way_us) }
}

const fn free(one_way_us: u64) -> Path {
    Path {
        shape: Shape::Unlimited,
        queue_ms: 300,
        discipline: Discipline::Fifo,
        one_way_us,
        jitter_us: 0,
        loss: Loss::None,
    }
}

fn flow(from_s: u64, until_s: u64) -> Flow {
    Flow { spans: vec![(from_s * 1000, until_s * 1000)], backward: false, tail_us: 0 }
}

fn game(name: &str, about: &'static str, seconds: u64, forward: Path) -> Case {
    let backward = free(forward.one_way_us);
    Case {
        name: name.to_owned(),
        about,
        seconds,
        forward,
        backward,
        flows: vec![flow(0, seconds)],
        cross: Vec::new(),
        picture_millihertz: 60_000,
        limits: GAME,
        goal: None,
        undecided: None,
    }
}

/// How a test of RFC 8867 is scaled: rates by `rate`, times by `num / den`.
#[derive(Clone, Copy)]
struct Scale {
    rate: u64,
    num: u64,
    den: u64,
}

const ONE: Scale = Scale { rate: 1, num: 1, den: 1 };
const TWENTY: Scale = Scale { rate: 20, num: 1, den: 1 };

impl Scale {
    const fn secs(self, secs: u64) -> u64 {
        secs * self.num / self.den
    }

    /// Steps of (second, kbit/s).
    fn path(self, steps: &[(u64, u64)]) -> Path {
        let steps: Vec<(u64, u64)> = steps
            .iter()
            .map(|&(at, kbps)| (at * 1000 * self.num / self.den, kbps * 1000 * self.rate))
            .collect();
        path(&steps, 50_000)
    }

    fn case(self, number: &str, about: &'static str, seconds: u64, forward: Path) -> Case {
        let name = if self.rate == 1 { number.to_owned() } else { format!("{number}x{}", self.rate) };
        let game = game(&name, about, seconds, forward);
        if self.rate == 1 { Case { picture_millihertz: 30_000, limits: LITERAL, ..game } } else { game }
    }
}

/// RFC 8867 §5.1 … §5.8.
fn rfc8867(scale: Scale) -> Vec<Case> {
    let s = |secs| scale.secs(secs);
    let single = scale.path(&[(0, 1000), (40, 2500), (60, 600), (80, 1000)]);
    let shared = scale.path(&[(0, 4000), (25, 2000), (50, 3500), (75, 1000), (100, 2000)]);
    let forth = scale.path(&[(0, 2000), (20, 1000), (40, 500), (60, 2000)]);
    let back = scale.path(&[(0, 2000), (35, 800), (70, 2000)]);
    let joins = s(20).max(10);
    let mut cases = vec![
        scale.case("5.1", "one flow, the path 1, 2.5, 0.6, 1 times its reference", s(100), single),
        scale.case("5.2", "two flows, the path 2, 1, 1.75, 0.5, 1 times its reference", s(125), shared),
        scale.case("5.3", "a flow each way, both ways congested", s(100), forth),
        scale.case(
            "5.4",
            "three flows join one after the other",
            joins * 3 + s(60),
            scale.path(&[(0, 3500)]),
        ),
        scale.case(
            "5.5",
            "five flows of 10 to 150 ms one way join",
            10 * 5 + s(100),
            scale.path(&[(0, 4000)]),
        ),
        scale.case("5.6", "against one long CUBIC stream, which leaves", s(120), scale.path(&[(0, 2000)])),
        scale.case("5.7", "two flows against ten streams of short files", s(200), scale.path(&[(0, 2000)])),
        scale.case("5.8", "three flows, one of which pauses", s(120), scale.path(&[(0, 3500)])),
    ];
    cases[1].flows = vec![flow(0, s(125)), flow(0, s(125))];
    cases[2].backward = back;
    cases[2].flows.push(Flow { backward: true, ..flow(0, s(100)) });
    let end = cases[3].seconds;
    cases[3].flows = (0..3).map(|index| flow(index * joins, end)).collect();
    let end = cases[4].seconds;
    cases[4].forward.one_way_us = 0;
    cases[4].backward.one_way_us = 0;
    cases[4].flows = [10_000, 25_000, 50_000, 100_000, 150_000]
        .into_iter()
        .zip(0..)
        .map(|(tail_us, index)| Flow { tail_us, ..flow(index * 10, end) })
        .collect();
    cases[5].cross = vec![Cross::Long(Algorithm::Cubic, s(10) * 1000, s(90) * 1000)];
    cases[5].undecided = Some("the queue is the stream's, and the rate is to be shared");
    cases[6].flows = vec![flow(0, s(200)), flow(0, s(200))];
    cases[6].cross = vec![Cross::Short(Algorithm::Cubic, 10, 10_000)];
    let end = cases[7].seconds;
    let paused = Flow { spans: vec![(0, s(40) * 1000), (s(60) * 1000, end * 1000)], ..flow(0, end) };
    cases[7].flows = vec![flow(0, end), paused, flow(0, end)];
    cases
}

fn twenty() -> Vec<Case> {
    let mut cases = rfc8867(TWENTY);
    let goals = [
        goal(95.0, 15.0, 25.0).map(|goal| Goal { recovery: 0.7, ramp: 2.5, picture_p95: 27.0, ..goal }),
        goal(96.0, 15.0, 30.0).map(|goal| Goal { jain: 0.98, ..goal }),
        goal(96.0, 12.0, 30.0),
        goal(96.0, 15.0, 22.0).map(|goal| Goal { jain: 0.97, ..goal }),
        goal(96.0, 20.0, 25.0).map(|goal| Goal { jain: 0.95, ..goal }),
        Some(Goal { utilisation: 30.0, utilisation_most: 60.0, recovery: 5.0, ..GOAL }),
        goal(95.0, 18.0, 26.0),
        goal(96.0, 15.0, 22.0).map(|goal| Goal { jain: 0.97, ..goal }),
    ];
    for (case, goal) in cases.iter_mut().zip(goals) {
        case.goal = goal;
    }
    let reno = |name: &str, algorithm, about| {
        let mut case = cases[5].clone();
        name.clone_into(&mut case.name);
        case.about = about;
        case.goal = None;
        case.cross = vec![Cross::Long(algorithm, 10_000, 90_000)];
        case
    };
    let others = [
        reno("5.6rx20", Algorithm::NewReno, "against one long NewReno stream, which leaves"),
        reno("5.6bx20", Algorithm::Bbr, "against one long BBR stream, which leaves"),
    ];
    cases.extend(others);
    cases
}

fn variants(first: &Case) -> Vec<Case> {
    let with = |name: &str, about, change: &dyn Fn(&mut Case)| {
        let mut case = first.clone();
        name.clone_into(&mut case.name);
        (case.about, case.goal) = (about, None);
        change(&mut case);
        case
    };
    vec![
        with("5.1jx20", "5.1x20 with jitter of 5 ms deviation, no reordering", &|case| {
            case.forward.jitter_us = 5_000;
            case.goal = goal(92.0, 10.0, 20.0);
        }),
        with("5.1dx20", "5.1x20 over 100 ms one way", &|case| {
            case.forward.one_way_us = 100_000;
            case.backward.one_way_us = 100_000;
        }),
        with("codel", "5.1x20 behind CoDel (RFC 8289)", &|case| {
            case.forward.discipline =
                Discipline::CoDel { target: Duration::from_millis(5), interval: Duration::from_millis(100) };
        }),
    ]
}

fn marked(cases: &[Case]) -> Vec<Case> {
    let of_rfc = |case: &&Case| case.name.len() == 6;
    let mark = |case: &Case| {
        let mut case = case.clone();
        case.name = format!("l4s-{}", case.name);
        case.forward.discipline = DUAL;
        if case.backward.shape != Shape::Unlimited {
            case.backward.discipline = DUAL;
        }
        case.goal = goal(88.0, 2.5, 4.0).map(|goal| Goal { jain: 0.98, ..goal });
        case.undecided = None;
        if matches!(case.cross.first(), Some(Cross::Long(..))) {
            case.goal = None;
            case.undecided = Some("the rate is to be shared with a classic stream");
        }
        case
    };
    cases.iter().filter(of_rfc).map(mark).collect()
}

/// Every case, in the order of the table.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = rfc8867(ONE);
    cases[0].goal = goal(95.0, 38.0, 60.0).map(|goal| Goal { recovery: 0.75, ..goal });
    let twenty = twenty();
    let (variants, marked) = (variants(&twenty[0]), marked(&twenty));
    cases.extend(twenty);
    cases.extend(variants);
    let constant = |bps, one_way_us| path(&[(0, bps)], one_way_us);
    let mut drop = game(
        "drop",
        "30, 6, 30 Mbit/s, 10 ms one way",
        40,
        path(&[(0, 30_000_000), (12_000, 6_000_000), (24_000, 30_000_000)], 10_000),
    );
    drop.goal = goal(93.0, 12.0, 20.0).map(|goal| Goal { recovery: 0.35, ..goal });
    let mut lan = game("lan", "40 Mbit/s, 2 ms one way, queue of 100 ms", 30, constant(40_000_000, 2_000));
    lan.forward.queue_ms = 100;
    lan.goal = goal(95.0, 8.0, 12.0);
    cases.extend([drop, lan]);
    let lossy = |name: &str, about, loss| {
        let mut case = game(name, about, 30, constant(20_000_000, 20_000));
        case.forward.loss = loss;
        case
    };
    let mut loss2 = lossy("loss2", "2 % of packets lost at random", Loss::Random(0.02));
    loss2.goal = goal(92.0, 15.0, 22.0);
    cases.push(loss2);
    let bursts = |ratio, burst| Loss::GilbertElliott(GilbertElliott::bursts(ratio, burst));
    cases.push(lossy("ge", "0.8 % lost in bursts of 4", bursts(0.008, 4.0)));
    cases.push(lossy("ge-bursty", "1.4 % lost in bursts of 8", bursts(0.014, 8.0)));
    cases.extend(marked);
    let mut cell = game("cell", "a cellular path: a random walk with outages", 60, free(25_000));
    cell.forward.shape = Shape::Cellular;
    let mut wifi = game("wifi", "30 Mbit/s in bursts, with gaps of 100 ms", 40, free(8_000));
    wifi.forward.shape = Shape::Wifi(30_000_000);
    cases.extend([cell, wifi]);
    cases
}

impl Shape {
    /// The rate over time, drawn from `random` where it is left to chance.
    #[must_use]
    pub fn rate(&self, seconds: u64, random: &mut Random) -> Rate {
        match self {
            Self::Unlimited => Rate::Unlimited,
            Self::Steps(steps) => {
                Rate::Schedule(steps.iter().map(|&(ms, bps)| (Time::from_millis(ms), bps)).collect())
            }
            Self::Cellular => Rate::Schedule(walk(seconds, random)),
            Self::Wifi(bps) => {
                let gaps = (1..).map(|count| count * 5_000).take_while(|at| *at < seconds * 1000);
                let steps = gaps.flat_map(|at| [(at, 0), (at + 100, *bps)]);
                let steps = core::iter::once((0, *bps)).chain(steps);
                Rate::Schedule(steps.map(|(ms, bps)| (Time::from_millis(ms), bps)).collect())
            }
        }
    }

    /// The largest rate it can have, in bit/s; 0 when unlimited.
    #[must_use]
    pub fn largest(&self) -> u64 {
        match self {
            Self::Unlimited => 0,
            Self::Steps(steps) => steps.iter().map(|step| step.1).max().unwrap_or(0),
            Self::Cellular => 40_000_000,
            Self::Wifi(bps) => *bps,
        }
    }

    /// What it is most of the time, in bit/s: what somebody would measure before a session.
    #[must_use]
    pub fn usual(&self) -> u64 {
        match self {
            Self::Unlimited => 0,
            Self::Steps(steps) => steps.first().map_or(0, |step| step.1),
            Self::Cellular => 15_000_000,
            Self::Wifi(bps) => *bps,
        }
    }
}

/// The logarithm walks in steps of about 8 %; `√` and multiplication stand in for it.
fn walk(seconds: u64, random: &mut Random) -> Vec<(Time, u64)> {
    let mut steps = Vec::new();
    let mut rate = 15e6_f64;
    let mut outage_until = 0;
    for at in (0..seconds * 1000).step_by(50) {
        if at % 100 == 0 {
            rate *= 1.0 + 0.08 * random.gaussian() + 0.02 * (15e6 - rate) / rate.max(15e6);
            rate = rate.clamp(3e6, 40e6);
            if at >= 3_000 && random.chance(100.0 / 8_000.0) {
                outage_until = at + 50 + random.below(5) * 50;
            }
        }
        steps.push((Time::from_millis(at), if at < outage_until { 0 } else { rate as u64 }));
    }
    steps
}

impl Path {
    /// The link of this direction.
    #[must_use]
    pub fn link(&self, seconds: u64, random: &mut Random) -> LinkConfig {
        let jitter = (self.jitter_us > 0)
            .then(|| Jitter { deviation: Duration::from_micros(self.jitter_us), reorders: false });
        let aggregate = matches!(self.shape, Shape::Wifi(_)).then(|| Duration::from_millis(4));
        LinkConfig {
            rate: self.shape.rate(seconds, random),
            queue: QueueLimit::Time(Duration::from_millis(self.queue_ms)),
            discipline: self.discipline,
            delay: Duration::from_micros(self.one_way_us),
            jitter,
            loss: self.loss,
            aggregate,
            record_passages: self.shape != Shape::Unlimited,
            ..LinkConfig::default()
        }
    }
}
