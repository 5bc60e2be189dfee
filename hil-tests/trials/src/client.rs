//! A client's program: calls, and calls again when its session is over; somebody types, writes and sends a file.

use core::fmt::Write as _;

use rift::{
    AddressToken, Callee, Channel, CloseReason, Config, Identity, InputEvent, Instant, PathId, PublicKey,
};
use rift_sim::peer::{ClientPeer, Parcel, Repertoire, Shown, Typist};
use rift_sim::picture::DecodeError;
use rift_sim::{Host, NodeId, Packet, Random};

/// Before it calls again when its session fell silent.
const PAUSE_US: u64 = 250_000;
/// Before it calls again when it was told to stay out.
const REFUSED_PAUSE_US: u64 = 1_000_000;
/// It says something this often.
const SAY_US: u64 = 200_000;

/// What somebody at a client does.
#[derive(Clone, Debug)]
pub struct Habits {
    /// What is typed.
    pub repertoire: Repertoire,
    /// How often, in microseconds.
    pub period_us: u64,
    /// Until when.
    pub until: Instant,
    /// A file that is sent in each session.
    pub file: Vec<u8>,
}

/// What became of one session.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// Input the session took.
    pub sent: Vec<InputEvent>,
    /// Bytes the session took for the control stream.
    pub written: Vec<u8>,
    /// Bytes of the control stream that came.
    pub heard: Vec<u8>,
    /// Pictures shown.
    pub shown: Vec<Shown>,
    /// Pictures the decoder refused.
    pub refused: Vec<DecodeError>,
    /// Whether the host ever let it in.
    pub was_admitted: bool,
    /// Why it ended, if it did.
    pub closed: Option<CloseReason>,
    /// Events not acknowledged at its end.
    pub input_backlog: usize,
}

/// See the module.
#[derive(Debug)]
pub struct ClientProgram {
    config: Config,
    identity: Identity,
    host: PublicKey,
    node: NodeId,
    random: Random,
    habits: Habits,
    peer: Option<Box<ClientPeer>>,
    /// The newest call's counter; 0 = it has never called, and begins with an initiation.
    counter: u64,
    token: Option<AddressToken>,
    begin_at: Option<Instant>,
    say_at: Instant,
    said: u32,
    written: Vec<u8>,
    paths: u8,
    /// Sessions that are over.
    pub lives: Vec<Life>,
}

impl ClientProgram {
    /// A program that begins at `now`. `calls`: it knows how to call, as one that was here before.
    #[must_use]
    pub const fn new(
        config: Config,
        identity: Identity,
        host: (PublicKey, NodeId),
        random: Random,
        habits: Habits,
        calls: bool,
        now: Instant,
    ) -> Self {
        Self {
            config,
            identity,
            host: host.0,
            node: host.1,
            random,
            habits,
            peer: None,
            counter: calls as u64,
            token: None,
            begin_at: Some(now),
            say_at: now,
            said: 0,
            written: Vec::new(),
            paths: 0,
            lives: Vec::new(),
        }
    }

    /// Its session, if there is one.
    #[must_use]
    pub fn peer(&self) -> Option<&ClientPeer> {
        self.peer.as_deref()
    }

    /// The program ends without a word and is started again at `at`. It remembers what a program keeps in files.
    pub fn restart(&mut self, at: Instant) {
        self.harvest();
        self.begin_at = Some(at);
    }

    /// Goes on from another address, and says so. Returns whether there was a session to go on with.
    pub fn move_to(&mut self, now: Instant, address: NodeId) -> bool {
        let Some(peer) = &mut self.peer else { return false };
        self.paths = self.paths.checked_add(1).unwrap_or(1);
        let path = PathId(self.paths);
        peer.open_path(now, path, address).is_ok() && peer.session_mut().move_to(now, path).is_ok()
    }

    /// A NAT has changed its address, and it does not know.
    pub fn rebind(&mut self, before: NodeId, after: NodeId) {
        if let Some(peer) = &mut self.peer {
            peer.rebind(before, after);
        }
    }

    /// Ends the log of the session in use and gives all of them.
    pub fn finish(&mut self) -> &[Life] {
        self.harvest();
        &self.lives
    }

    fn begin(&mut self, now: Instant) {
        self.begin_at = None;
        let mut random = self.random.fork(self.lives.len() as u64);
        let mut peer = if self.counter == 0 {
            ClientPeer::new(&self.config, &self.identity, self.host, self.node, &mut random, now)
        } else {
            self.counter += 1;
            let callee = Callee { host: self.host, counter: self.counter, token: self.token.take() };
            ClientPeer::calling(&self.config, &self.identity, &callee, self.node, &mut random, now)
        };
        self.counter = self.counter.max(1);
        let habits = &self.habits;
        let count = habits.until.micros_since(now) / habits.period_us;
        if count > 0 {
            let random = random.fork(1);
            peer.typist = Some(Typist::new(random, habits.repertoire, count, habits.period_us, now));
        }
        if !habits.file.is_empty() {
            peer.parcel = Some(Parcel::new(Channel::File, habits.file.clone()));
        }
        self.paths = 0;
        self.peer = Some(Box::new(peer));
    }

    /// Keeps what is to be known of a session that is over, and lets it go.
    fn harvest(&mut self) {
        let Some(peer) = self.peer.take() else { return };
        self.token = peer.token.or(self.token.take());
        let was_admitted = peer.session().permissions().is_some();
        self.lives.push(Life {
            sent: peer.typist.as_ref().map(|typist| typist.sent().to_vec()).unwrap_or_default(),
            written: core::mem::take(&mut self.written),
            heard: peer.control.clone(),
            shown: peer.shown.clone(),
            refused: peer.refused.clone(),
            was_admitted,
            closed: peer.closed(),
            input_backlog: peer.session().input_backlog(),
        });
    }

    /// Calls again some time after its session has ended.
    fn look(&mut self, now: Instant) {
        let Some(peer) = self.peer.as_deref().filter(|peer| peer.session().is_closed()) else { return };
        let pause_us = match peer.closed() {
            // Who says that it was restarted is there, and who waited for an answer has waited.
            Some(CloseReason::Reset | CloseReason::Unanswered) => 0,
            Some(CloseReason::Refused) => REFUSED_PAUSE_US,
            _ => PAUSE_US,
        };
        self.harvest();
        self.begin_at = Some(now.plus_micros(pause_us));
    }

    /// Nobody types for ever.
    fn rest(&mut self, now: Instant) {
        let typist = self.peer.as_mut().and_then(|peer| peer.typist.as_mut());
        if let Some(typist) = typist.filter(|_| self.habits.until <= now) {
            typist.stop();
        }
    }

    fn say(&mut self, now: Instant) {
        if self.say_at > now {
            return;
        }
        self.say_at = now.plus_micros(SAY_US);
        let Some(peer) = &mut self.peer else { return };
        let mut line = String::new();
        self.said += 1;
        writeln!(line, "client says {} in session {}", self.said, self.lives.len()).expect("strings grow");
        let taken = peer.session_mut().write(now, Channel::Control, line.as_bytes()).unwrap_or(0);
        self.written.extend_from_slice(&line.as_bytes()[..taken]);
    }
}

impl Host for ClientProgram {
    fn handle_packet(&mut self, now: Instant, packet: &mut Packet) {
        if let Some(peer) = &mut self.peer {
            peer.handle_packet(now, packet);
        }
    }

    fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool {
        let has_packet = self.peer.as_mut().is_some_and(|peer| peer.poll_packet(now, packet));
        if !has_packet {
            self.look(now);
        }
        has_packet
    }

    fn next_wake(&mut self) -> Option<Instant> {
        let peer = self.peer.as_mut().and_then(|peer| peer.next_wake());
        let say = self.peer.is_some().then_some(self.say_at);
        [peer, say, self.begin_at].into_iter().flatten().min()
    }

    fn handle_wake(&mut self, now: Instant) {
        if self.begin_at.is_some_and(|at| at <= now) {
            self.begin(now);
        }
        self.say(now);
        self.rest(now);
        if let Some(peer) = &mut self.peer {
            peer.handle_wake(now);
        }
    }
}
