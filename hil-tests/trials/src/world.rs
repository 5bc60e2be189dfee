//! Plays a scenario: the programs, the network between them, what goes wrong, and looks while it goes on.

use core::time::Duration;
use std::collections::VecDeque;

use rift::{Identity, Instant};
use rift_sim::{Clock, LinkConfig, LinkId, Network, NodeId, Random, Time};

use crate::check;
use crate::client::{ClientProgram, Habits};
use crate::host::HostProgram;
use crate::injector::Injector;
use crate::node::{Node, Program};
use crate::scenario::{Break, CALM_AT, END, Fault, RETURN, Scenario};
use crate::totals::Totals;

/// How often it is looked what goes wrong now.
const TICK: Duration = Duration::from_millis(10);
/// How often it is looked whether anything grows.
const LOOK: Duration = Duration::from_secs(1);
/// Nobody types after this.
const TYPING_ENDS: Time = Time::from_millis(24_500);

/// A scenario under way.
#[derive(Debug)]
pub struct World {
    /// What happens.
    pub scenario: Scenario,
    /// Everybody.
    pub network: Network<Node>,
    /// Where the host runs.
    pub host: NodeId,
    /// Where the client runs.
    pub client: NodeId,
    /// Where somebody runs a client whom the host does not know.
    pub stranger: NodeId,
    /// Where the attacker has a machine.
    pub attacker: NodeId,
    /// The client's identity, the host's and the stranger's.
    pub identities: [Identity; 3],
    /// What the attacker does.
    pub injector: Injector,
    /// The file that is sent.
    pub file: Vec<u8>,
    links: [LinkId; 2],
    /// What was found wrong on the way.
    pub violations: Vec<String>,
    /// Datagrams recorded at the last look.
    looked_at: usize,
    totals: Totals,
}

impl World {
    /// Sets a scenario up.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        let mut random = Random::new(scenario.seed).fork(0x3071);
        let identities = [0; 3].map(|_| Identity::from_secret(random.bytes32()));
        let [client_clock, host_clock] = scenario.clocks;
        let mut file = vec![0; scenario.file_len];
        random.fork(1).fill(&mut file);
        let mut network = Network::new(scenario.seed);
        let known = identities[0].public();
        let host = HostProgram::new(
            &scenario.session,
            &identities[1],
            known,
            scenario.pictures_per_second,
            random.fork(2),
            host_clock.local(Time::ZERO),
        );
        let host = network.add_host(Node::new(Program::Host(Box::new(host))), host_clock);
        let program = |identity: &Identity, label: u64, calls: bool, file: &[u8], clock: Clock| {
            let habits = Habits {
                repertoire: scenario.repertoire,
                period_us: scenario.input_period_us,
                until: clock.local(TYPING_ENDS),
                file: file.to_vec(),
            };
            let (random, now) = (random.fork(label), clock.local(Time::ZERO));
            let whom = (identities[1].public(), host);
            ClientProgram::new(scenario.session, identity.clone(), whom, random, habits, calls, now)
        };
        let client = program(&identities[0], 3, scenario.calls, &file, client_clock);
        let client = network.add_host(Node::new(Program::Client(Box::new(client))), client_clock);
        let stranger = program(&identities[2], 4, !scenario.calls, &[], client_clock);
        let stranger = network.add_host(Node::new(Program::Client(Box::new(stranger))), client_clock);
        let attacker = network.add_host(Node::new(Program::Listener), Clock::default());
        let links =
            network.connect(client, host, scenario.link_at(Time::ZERO, 0), scenario.link_at(Time::ZERO, 1));
        let near = LinkConfig { delay: Duration::from_millis(3), ..LinkConfig::default() };
        network.connect(stranger, host, near.clone(), near);
        network.route(host, attacker, &[]);
        network.route(client, attacker, &[]);
        network.record();
        Self {
            injector: Injector::new(random.fork(5), attacker),
            network,
            host,
            client,
            stranger,
            attacker,
            identities,
            file,
            links: links.into(),
            violations: Vec::new(),
            looked_at: 0,
            totals: Totals { scenarios: 1, simulated: END - Time::ZERO, ..Totals::default() },
            scenario,
        }
    }

    /// Plays it to the end. Returns what it came to, and every sentence about what did not hold.
    #[must_use]
    pub fn play(mut self) -> (Totals, Vec<String>) {
        let breaks = self.scenario.breaks.clone();
        let mut coming = breaks.iter().peekable();
        // Every break, and the last calm, is looked back at when the session must be there again.
        let ends =
            breaks.iter().map(|one| (one.during.end, one.fault.word())).chain([(CALM_AT, "the weather")]);
        let mut returns: VecDeque<(Time, &str)> = ends.collect();
        let mut look_at = Time::ZERO + LOOK;
        let mut now = Time::ZERO;
        while now < END {
            self.set_weather(now);
            if let Some(one) = coming.next_if(|one| one.during.start <= now) {
                self.begin(one);
            }
            if self.scenario.weather_at(now).any(|weather| weather.fault == Fault::Injector) {
                let at = self.network.address(self.client);
                self.injector.act(&mut self.network, self.host, at, TICK);
            }
            now = (now + TICK).min(END);
            self.network.run_until(now);
            if let Some((since, after)) = returns.pop_front_if(|(since, _)| *since + RETURN <= now) {
                self.look_back(since, after);
            }
            if look_at <= now {
                look_at = now + LOOK;
                let found = check::growth(&self, self.looked_at);
                found.into_iter().for_each(|found| self.complain(found));
                self.looked_at = self.network.captured().len();
            }
        }
        check::ends(&mut self);
        self.count();
        (self.totals, self.violations)
    }

    /// Notes what does not hold.
    pub fn complain(&mut self, what: String) {
        let at = self.network.now().as_secs_f64();
        self.violations.push(format!("{at:.2} s: {what}"));
    }

    /// What `node`'s clock showed at `time`.
    #[must_use]
    pub fn local(&self, node: NodeId, time: Time) -> Instant {
        let [client, host] = self.scenario.clocks;
        if node == self.host { host.local(time) } else { client.local(time) }
    }

    fn set_weather(&mut self, now: Time) {
        for (way, link) in self.links.into_iter().enumerate() {
            *self.network.link_mut(link) = self.scenario.link_at(now, way);
        }
    }

    fn begin(&mut self, one: &Break) {
        let end = one.during.end;
        let (at_client, at_host) = (self.local(self.client, end), self.local(self.host, end));
        match one.fault {
            Fault::Rebind => {
                let before = self.network.address(self.client);
                let after = self.network.rebind(self.client);
                self.network.act(self.client, |node, _| node.client_mut().rebind(before, after));
            }
            Fault::Move => self.move_client(),
            Fault::ClientPause => self.network.act(self.client, |node, _| node.stop_until(at_client)),
            Fault::HostPause => self.network.act(self.host, |node, _| node.stop_until(at_host)),
            Fault::ClientRestart => self.network.act(self.client, |node, _| {
                node.clear_socket();
                node.client_mut().restart(at_client);
            }),
            Fault::HostRestart => self.network.act(self.host, |node, _| {
                node.clear_socket();
                node.host_mut().restart(at_host);
            }),
            // In the links already.
            Fault::Outage => {}
            Fault::Loss
            | Fault::Bursts
            | Fault::Reorder
            | Fault::Duplicate
            | Fault::Corrupt
            | Fault::Truncate
            | Fault::Jitter
            | Fault::Narrow
            | Fault::Mtu
            | Fault::Drift
            | Fault::Injector => unreachable!("{:?} is weather", one.fault),
        }
        *self.totals.faults.entry(one.fault).or_default() += 1;
    }

    /// From one network to another: the old address is gone at once, and the program knows.
    fn move_client(&mut self) {
        let before = self.network.address(self.client);
        let address = self.network.add_address(self.client);
        self.network.act(self.client, |node, now| node.client_mut().move_to(now, address));
        self.network.kill_address(before);
        self.network.set_address(self.client, address);
    }

    /// The network has been good since `since`: pictures come and input arrives.
    fn look_back(&mut self, since: Time, after: &str) {
        let from = self.local(self.client, since);
        let peer = self.network.host(self.client).client().peer();
        let shown = peer.and_then(|peer| peer.shown.iter().find(|shown| shown.at >= from));
        let what = match shown {
            Some(shown) => {
                let took = shown.at.since(from);
                self.totals.returns += 1;
                self.totals.return_sum += took;
                self.totals.return_max = self.totals.return_max.max(took);
                None
            }
            None => Some(format!("no picture in the {} s after {after} had ended", RETURN.as_secs())),
        };
        what.into_iter().for_each(|what| self.complain(what));
        let from = self.local(self.host, since);
        if self.network.host(self.host).host().input_at().is_none_or(|at| at < from) {
            self.complain(format!("no input in the {} s after {after} had ended", RETURN.as_secs()));
        }
    }

    fn count(&mut self) {
        for link in self.links {
            let stats = self.network.link_stats(link).clone();
            for (fault, count) in [
                (Fault::Loss, stats.lost),
                (Fault::Reorder, stats.reordered),
                (Fault::Duplicate, stats.duplicated),
                (Fault::Corrupt, stats.corrupted),
                (Fault::Truncate, stats.truncated),
                (Fault::Narrow, stats.dropped_queue),
                (Fault::Mtu, stats.dropped_size),
            ] {
                *self.totals.faults.entry(fault).or_default() += count;
            }
        }
        *self.totals.faults.entry(Fault::Injector).or_default() += self.injector.injected.total();
        for node in [self.client, self.host, self.stranger] {
            let stats = self.network.node_stats(node);
            self.totals.datagrams += stats.sent;
            self.totals.bytes += stats.sent_bytes;
        }
        self.totals.trace = self.network.trace_hash();
    }

    /// What the sessions came to, once they are over.
    pub(crate) const fn totals_mut(&mut self) -> &mut Totals {
        &mut self.totals
    }
}
