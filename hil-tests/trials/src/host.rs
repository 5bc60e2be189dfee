//! A host's program: shares a screen with those it knows, writes to them, is started again now and then.

use core::fmt::Write as _;

use rift::{Channel, Config, Identity, InputEvent, Instant, Permissions, PublicKey};
use rift_sim::peer::{Camera, Guest, HostPeer};
use rift_sim::{Host, Packet, Random};

/// It says something this often.
const SAY_US: u64 = 250_000;

/// What became of one session.
#[derive(Clone, Debug, Default)]
pub struct Visit {
    /// Whose it was.
    pub peer: Option<PublicKey>,
    /// Whether the client ever showed that it was there.
    pub was_live: bool,
    /// Whether it had ended by itself.
    pub is_over: bool,
    /// What the client did.
    pub input: Vec<(Instant, InputEvent)>,
    /// Bytes the session took for the control stream.
    pub written: Vec<u8>,
    /// Bytes of the control stream that came.
    pub heard: Vec<u8>,
    /// Bytes of the file that came.
    pub file: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub struct HostProgram {
    /// Its sessions.
    pub peer: HostPeer,
    down_until: Option<Instant>,
    say_at: Instant,
    said: u32,
    written: Vec<Vec<u8>>,
    /// Sessions of its earlier lives.
    pub visits: Vec<Visit>,
}

impl HostProgram {
    /// A host that lets `client` in and shares a screen.
    #[must_use]
    pub fn new(
        config: &Config,
        identity: &Identity,
        client: PublicKey,
        pictures_per_second: u32,
        mut random: Random,
        now: Instant,
    ) -> Self {
        let secret = random.bytes32();
        let mut peer = HostPeer::with_secret(config, identity, secret, 1 << 50, random.fork(1));
        peer.allow(client, Permissions::all());
        peer.camera = Some(Camera::new(&random.fork(2), pictures_per_second, now));
        Self { peer, down_until: None, say_at: now, said: 0, written: Vec::new(), visits: Vec::new() }
    }

    /// The program ends without a word and is started again at `at`, with its key and its secret.
    pub fn restart(&mut self, at: Instant) {
        self.harvest();
        self.peer.restart();
        self.down_until = Some(at);
    }

    /// Ends the logs of the sessions there are and gives all of them.
    pub fn finish(&mut self) -> &[Visit] {
        self.harvest();
        &self.visits
    }

    /// When input of a client that is there came last.
    #[must_use]
    pub fn input_at(&self) -> Option<Instant> {
        let live = self.peer.guests.iter().filter(|guest| guest.session.is_live());
        live.filter_map(|guest| guest.input.last()).map(|&(at, _)| at).max()
    }

    fn harvest(&mut self) {
        let written = core::mem::take(&mut self.written).into_iter().chain(core::iter::repeat(Vec::new()));
        for (guest, written) in self.peer.guests.iter_mut().zip(written) {
            self.visits.push(Visit {
                peer: guest.session.peer(),
                was_live: guest.session.is_live(),
                is_over: guest.session.is_closed(),
                input: core::mem::take(&mut guest.input),
                written,
                heard: core::mem::take(&mut guest.control),
                file: core::mem::take(&mut guest.bulk[1]),
            });
        }
        self.peer.guests.clear();
    }

    fn say(&mut self, now: Instant) {
        if self.say_at > now {
            return;
        }
        self.say_at = now.plus_micros(SAY_US);
        self.said += 1;
        self.written.resize(self.peer.guests.len(), Vec::new());
        let is_there = |guest: &Guest| guest.session.is_live() && guest.session.is_established();
        let before = self.visits.len();
        let guests = self.peer.guests.iter_mut().zip(&mut self.written).enumerate();
        for (index, (guest, written)) in guests.filter(|(_, (guest, _))| is_there(guest)) {
            let mut line = String::new();
            writeln!(line, "host says {} to guest {}", self.said, before + index).expect("strings grow");
            let taken = guest.session.write(now, Channel::Control, line.as_bytes()).unwrap_or(0);
            written.extend_from_slice(&line.as_bytes()[..taken]);
        }
    }
}

impl Host for HostProgram {
    fn handle_packet(&mut self, now: Instant, packet: &mut Packet) {
        if self.down_until.is_none() {
            self.peer.handle_packet(now, packet);
        }
    }

    fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool {
        self.down_until.is_none() && self.peer.poll_packet(now, packet)
    }

    fn next_wake(&mut self) -> Option<Instant> {
        if self.down_until.is_some() {
            return self.down_until;
        }
        Some(self.peer.next_wake().map_or(self.say_at, |at| at.min(self.say_at)))
    }

    fn handle_wake(&mut self, now: Instant) {
        if self.down_until.is_some_and(|until| now < until) {
            return;
        }
        self.down_until = None;
        self.say(now);
        self.peer.handle_wake(now);
    }
}
