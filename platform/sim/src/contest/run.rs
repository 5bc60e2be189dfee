//! A run: one case, one seed, one controller in every flow.

use core::time::Duration;

use rift::Instant;

use super::case::{Case, Cross, Shape};
use super::controller::{Brief, Controller};
use super::media::{ENCODE_US, Receiver, Sender, Timetable};
use super::stream::{StreamReceiver, StreamSender, Supply};
use super::wire::{self, Kind};
use crate::clock::Clock;
use crate::link::{LinkConfig, LinkId, Passage, Rate};
use crate::network::{Host, Network};
use crate::packet::{NodeId, Packet};
use crate::random::Random;
use crate::time::Time;

/// Makes a fresh controller.
pub type Maker<'a> = &'a dyn Fn(&Brief) -> Box<dyn Controller>;

/// What came of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// When it was captured.
    pub captured: Time,
    /// When enough of it had arrived; `None` when that never happened, or it was skipped.
    pub complete: Option<Time>,
}

/// What a flow in the measured direction did.
#[derive(Clone, Debug)]
pub struct FlowTrace {
    /// Who sent it.
    pub node: NodeId,
    /// Its pictures, in order.
    pub pictures: Vec<Picture>,
    /// Packets sent and received.
    pub packets: (u64, u64),
    /// Grant over time, and what the controller thought.
    pub grants: Vec<(Time, u64, String)>,
    /// Propagation from end to end.
    pub one_way: Duration,
}

/// Everything that is scored.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Every packet that left the bottleneck in the measured direction.
    pub passages: Vec<Passage>,
    /// The bottleneck's rate.
    pub rate: Rate,
    /// Flows in the measured direction, in the case's order.
    pub flows: Vec<FlowTrace>,
}

enum Party {
    Sender(Box<Sender>),
    Receiver(Receiver),
    StreamSender(Box<StreamSender>),
    StreamReceiver(StreamReceiver),
}

/// A party and when it last woke: senders ask the pacer by the present.
struct Node {
    party: Party,
    now: Instant,
}

impl Host for Node {
    fn handle_packet(&mut self, now: Instant, packet: &mut Packet) {
        self.now = now;
        match (&mut self.party, wire::kind(&packet.bytes)) {
            (Party::Sender(sender), Some(Kind::Feedback)) => sender.handle_feedback(now, &packet.bytes),
            (Party::Receiver(receiver), Some(Kind::Shard)) => receiver.handle_shard(now, packet),
            (Party::StreamSender(sender), Some(Kind::Acknowledgement)) => {
                if let Some(number) = wire::read_segment(&packet.bytes) {
                    sender.handle_acknowledgement(now, number);
                }
            }
            (Party::StreamReceiver(receiver), Some(Kind::Segment)) => receiver.handle_segment(packet),
            (
                Party::Sender(_) | Party::Receiver(_) | Party::StreamSender(_) | Party::StreamReceiver(_),
                _,
            ) => {}
        }
    }

    fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool {
        self.now = now;
        match &mut self.party {
            Party::Sender(sender) => sender.poll_packet(now, packet),
            Party::Receiver(receiver) => receiver.poll_packet(packet),
            Party::StreamSender(sender) => sender.poll_packet(now, packet),
            Party::StreamReceiver(receiver) => receiver.poll_packet(packet),
        }
    }

    fn next_wake(&mut self) -> Option<Instant> {
        match &mut self.party {
            Party::Sender(sender) => sender.next_wake(self.now),
            Party::Receiver(receiver) => receiver.next_wake(),
            Party::StreamSender(sender) => sender.next_wake(self.now),
            Party::StreamReceiver(_) => None,
        }
    }

    fn handle_wake(&mut self, now: Instant) {
        self.now = now;
        match &mut self.party {
            Party::Sender(sender) => sender.handle_wake(now),
            Party::Receiver(receiver) => receiver.handle_wake(now),
            Party::StreamSender(sender) => sender.handle_wake(now),
            Party::StreamReceiver(_) => {}
        }
    }
}

/// Runs a case.
#[must_use]
pub fn run(case: &Case, seed: u64, make: Maker<'_>, describes: bool) -> Trace {
    let mut stage = Stage::new(case, seed);
    let brief = brief(case);
    let mut ends = Vec::new();
    for (flow, label) in case.flows.iter().zip(100..) {
        // The clocks disagree by up to 1000 s and drift apart by up to 40 ppm, as quartzes do.
        let (here, there) = (stage.clock(2 * label), stage.clock(2 * label + 1));
        let spans = flow.spans.iter().map(|&(from, until)| {
            let at = |ms| here.local(Time::from_millis(ms)).as_micros();
            (at(from), at(until))
        });
        let timetable = Timetable { spans: spans.collect() };
        let random = stage.random.fork(1000 + label);
        let sender = Sender::new(make(&brief), &brief, timetable, random, describes);
        let receiver = Party::Receiver(Receiver::default());
        let pair = stage.pair((Party::Sender(Box::new(sender)), here), (receiver, there));
        stage.join(pair, flow.backward, Duration::from_micros(flow.tail_us));
        ends.push((pair, here, there));
    }
    for (cross, label) in case.cross.iter().zip(0..) {
        stage.add_cross(case, cross, label);
    }
    let end = Time::from_secs(case.seconds);
    stage.network.run_until(end);
    let flows = case.flows.iter().zip(&ends).filter(|(flow, _)| !flow.backward);
    let flows = flows.map(|(flow, end)| {
        let tail = Duration::from_micros(case.forward.one_way_us + flow.tail_us);
        stage.trace(*end, tail)
    });
    Trace {
        flows: flows.collect(),
        passages: core::mem::take(&mut stage.network.link_stats_mut(stage.forward).passages),
        rate: stage.network.link_mut(stage.forward).rate.clone(),
    }
}

/// What controllers are told of a case.
#[must_use]
pub fn brief(case: &Case) -> Brief {
    let flows = case.flows.iter().filter(|flow| !flow.backward).count().max(1) as u64;
    Brief {
        limits: case.limits,
        path_bps_max: case.forward.shape.largest().max(case.backward.shape.largest()),
        fixed_bps: case.forward.shape.usual() * 3 / 4 / flows,
        picture_millihertz: case.picture_millihertz,
        l4s: matches!(case.forward.discipline, crate::queue::Discipline::DualQueue { .. }),
    }
}

struct Stage {
    network: Network<Node>,
    random: Random,
    forward: LinkId,
    backward: LinkId,
}

type Ends = ((NodeId, NodeId), Clock, Clock);

impl Stage {
    fn new(case: &Case, seed: u64) -> Self {
        let random = Random::new(seed ^ 0x5eed_de17_a000_0000);
        let mut network = Network::new(seed);
        network.stop_tracing();
        let forward = network.add_link(case.forward.link(case.seconds, &mut random.fork(1)));
        let mut back = case.backward.link(case.seconds, &mut random.fork(2));
        back.record_passages &= case.backward.shape != Shape::Unlimited;
        let backward = network.add_link(back);
        Self { network, random, forward, backward }
    }

    fn clock(&self, label: u64) -> Clock {
        let mut random = self.random.fork(label);
        let drift_ppb = i32::try_from(random.below(40_001)).unwrap_or(0) - 20_000;
        Clock { offset_us: random.below(1_000_000_000), drift_ppb }
    }

    fn pair(&mut self, here: (Party, Clock), there: (Party, Clock)) -> (NodeId, NodeId) {
        let now = Instant::ZERO;
        let from = self.network.add_host(Node { party: here.0, now: here.1.local(Time::ZERO) }, here.1);
        let to = self.network.add_host(Node { party: there.0, now }, there.1);
        for (node, peer) in [(from, to), (to, from)] {
            match &mut self.network.host_mut(node).party {
                Party::Sender(sender) => sender.to = peer,
                Party::Receiver(receiver) => receiver.to = peer,
                Party::StreamSender(sender) => sender.to = peer,
                Party::StreamReceiver(receiver) => receiver.to = peer,
            }
        }
        (from, to)
    }

    fn join(&mut self, (from, to): (NodeId, NodeId), against: bool, tail: Duration) {
        let (there, back) =
            if against { (self.backward, self.forward) } else { (self.forward, self.backward) };
        let mut routes = (vec![there], vec![back]);
        if !tail.is_zero() {
            let config = LinkConfig { delay: tail, ..LinkConfig::default() };
            routes.0.push(self.network.add_link(config.clone()));
            routes.1.push(self.network.add_link(config));
        }
        self.network.route(from, to, &routes.0);
        self.network.route(to, from, &routes.1);
    }

    fn add_cross(&mut self, case: &Case, cross: &Cross, label: u64) {
        let mut random = self.random.fork(5000 + label);
        let streams: Vec<_> = match *cross {
            Cross::Long(algorithm, from, until) => {
                vec![(algorithm, Supply::Bulk(from * 1000, until * 1000))]
            }
            Cross::Short(algorithm, count, pause_ms) => (0..count)
                .map(|_| {
                    let supply = Supply::Files {
                        left: 0,
                        next_us: random.below(10_000_000),
                        until_us: case.seconds * 1_000_000,
                        pause_us: pause_ms * 1000,
                    };
                    (algorithm, supply)
                })
                .collect(),
        };
        for ((algorithm, supply), index) in streams.into_iter().zip(0..) {
            let sender = StreamSender::new(algorithm, supply, random.fork(index));
            let clock = Clock::default();
            let receiver = Party::StreamReceiver(StreamReceiver::default());
            let pair = self.pair((Party::StreamSender(Box::new(sender)), clock), (receiver, clock));
            self.join(pair, false, Duration::ZERO);
        }
    }

    fn trace(&self, ((from, to), here, there): Ends, one_way: Duration) -> FlowTrace {
        let (Party::Sender(sender), Party::Receiver(receiver)) =
            (&self.network.host(from).party, &self.network.host(to).party)
        else {
            unreachable!("flows are made of a sender and a receiver")
        };
        let complete = |index: usize| receiver.pictures.get(index).and_then(|picture| picture.1);
        let pictures = sender.pictures.iter().enumerate().map(|(index, sent)| Picture {
            captured: here.global(sent.captured),
            complete: complete(index).map(|at| there.global(at)),
        });
        FlowTrace {
            node: from,
            pictures: pictures.collect(),
            packets: (self.network.node_stats(from).sent, receiver.received),
            grants: sender
                .samples
                .iter()
                .map(|sample| (here.global(sample.at), sample.grant_bps, sample.about.clone()))
                .collect(),
            one_way: one_way + Duration::from_micros(ENCODE_US),
        }
    }
}
