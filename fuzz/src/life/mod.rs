//! Whole lives of sessions between two honest peers that know each other: called, refused, established, in use by every
//! channel there is, moved onto narrower paths, renewed, lost by a host that starts again, and called anew, while
//! strangers press and somebody on the way says what he likes (SPEC §4–§16).
//!
//! What was sent arrives as it was, in order and once, or is told to be missing; stages of traces sum to their totals;
//! nothing is sent much before somebody is known to be there; congestion control decides by its record alone; and when
//! all is well again a known client is let in.

mod apps;
mod seeds;
mod strangers;

use core::cell::RefCell;
use std::rc::Rc;

use rift::crypto::Side;
use rift::flight::{FlightEntry, FlightSink, Recorded};
use rift::wire::handshake::{FirstFlight, Fragment};
use rift::{
    AddressToken, Callee, CloseReason, Config, Discard, Ecn, Endpoint, Established, NoPictures, Opening,
    PathId, Permissions, Pictures, Route, Session, SessionIndex, Storage, Suite,
};
use rift::{Instant, limits};

use crate::bytes::{Bytes, Noise};
use crate::known::{CLIENT, HOST, Known};
use crate::pair::{ADDRESS, PATH, START};
use apps::Apps;
pub use seeds::seeds;

type ClientMemory = Storage<Vec<u8>, 256, 256, 4, 1024, 2048, 400>;
type HostMemory = Storage<Vec<u8>, 256, 256, 0, 1024, 2048, 400>;
type Client = Session<Box<ClientMemory>, Known>;
type Host = Session<Recorded<Box<HostMemory>, Record>, Known>;

const STEPS_MAX: usize = 250;
/// Datagrams on the way at most; beyond that the oldest is lost.
const ON_WAY_MAX: usize = 96;
/// Rounds after which everything due at an instant must be done.
const STALLS_MAX: usize = 16;
/// How long a datagram takes where all is well.
const WAY_US: u64 = 4_000;
/// Virtual time of a story in which all is well, but for its end.
const CALM_US_MAX: u64 = 4_000_000;
/// Bytes of a picture at most, with its parity.
const PICTURE_MAX: usize = 48 * 1024;
/// So much later the host believes to be with each start.
const EPOCH_US: u64 = 60_000_000;
/// A hybrid handshake computes nothing here, and yet its messages are long.
const CALLS_MAX: u64 = 12;

/// Where a host's flight is recorded.
#[derive(Clone, Debug, Default)]
struct Record(Rc<RefCell<Vec<FlightEntry>>>);

impl FlightSink for Record {
    fn record(&mut self, entry: &FlightEntry) {
        self.0.borrow_mut().push(*entry);
    }
}

/// Plays it; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let shape = bytes.u8();
    let len = [1200, 1452, 4000, 8952][usize::from(shape & 3)];
    let config = Config {
        datagram_len_max: len,
        datagram_len_taken: if shape & 4 == 0 { len } else { 1452 },
        key_us: if shape & 8 == 0 { 300_000_000 } else { 1_500_000 },
        idle_us: 3_000_000,
        handshake_us: 2_000_000,
        bitrate_bps_start: 20_000_000,
        ..Config::default()
    };
    let opening = if shape & 16 == 0 { Opening::XX } else { Opening::IK };
    let suite = if shape & 32 == 0 { Suite::Classical } else { Suite::Hybrid };
    let mut world = World::new(config, opening.with_suite(suite));
    world.settle();
    for _ in 0..STEPS_MAX {
        if bytes.is_empty() {
            break;
        }
        world.step(&mut bytes);
        world.settle();
    }
    world.recover();
    let text = format!("{:?} {:?}", world.client, world.endpoint);
    assert!(text.contains("Session {") && !text.contains("keys"), "{text} tells too much");
    world.end_of_host();
}

/// A datagram under way.
#[derive(Clone)]
struct OnWay {
    to_host: bool,
    bytes: Vec<u8>,
}

/// A host's session and what it was allowed to send before its client was known to be there.
struct Guest {
    session: Host,
    record: Record,
    received: usize,
    sent: usize,
    is_proven: bool,
    /// Whether its client still has its half of it.
    is_current: bool,
}

struct World {
    config: Config,
    opening: Opening,
    now: Instant,
    endpoint: Endpoint<Known>,
    starts: u64,
    client: Client,
    guest: Option<Guest>,
    counter: u64,
    token: Option<AddressToken>,
    on_way: Vec<OnWay>,
    /// The longest datagram that passes, and whether the client's system says so.
    width: usize,
    is_told: bool,
    /// Whether routers mark what passes.
    marks: bool,
    /// Whether the next to come are turned away.
    refuses: Option<CloseReason>,
    /// The newest first flight, to be copied from.
    flight: Vec<u8>,
    pictures: Pictures<Vec<u8>, 4>,
    apps: Apps,
    entropy: Noise,
    calm_us: u64,
    /// What sessions write to: several datagrams.
    out: Vec<u8>,
}

impl World {
    fn new(config: Config, opening: Opening) -> Self {
        Self {
            client: call(&config, opening, 1, None, START),
            config,
            opening,
            now: START,
            endpoint: endpoint(0),
            starts: 0,
            guest: None,
            counter: 1,
            token: None,
            on_way: Vec::new(),
            width: limits::DATAGRAM_MAX,
            is_told: false,
            marks: false,
            refuses: None,
            flight: Vec::new(),
            pictures: Pictures::new([0; 4].map(|_: u8| vec![0; 12_000])),
            apps: Apps::default(),
            entropy: Noise::new(11),
            calm_us: 0,
            out: vec![0; 65_536],
        }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.below(20) {
            0 | 1 => self.deliver(usize::from(bytes.u8()), false),
            2 => (0..bytes.below(16)).for_each(|_| self.deliver(0, false)),
            3 => self.deliver(usize::from(bytes.u8()), true),
            4 if !self.on_way.is_empty() => {
                let index = usize::from(bytes.u8()) % self.on_way.len();
                self.on_way.remove(index);
            }
            4 | 5 => self.pass(u64::from(bytes.u8()) * 200),
            6 => self.pass(u64::from(bytes.u8()) * 20_000),
            7 => {
                let micros = (u64::from(bytes.u8()) * 10_000).min(CALM_US_MAX - self.calm_us);
                self.calm_us += micros;
                self.calm(micros, bytes.u8());
            }
            8 => self.change_path(bytes),
            9 => self.start_again(),
            10 if self.counter < CALLS_MAX => self.call_again(bytes.flag()),
            10 => {}
            11 => self.strangers(bytes),
            12 => self.mislead(bytes),
            13 => {
                let reasons = [CloseReason::Refused, CloseReason::Busy, CloseReason::Revoked];
                self.refuses = reasons.get(bytes.below(4)).copied();
            }
            14..=16 => self.apps.client(self.now, &mut self.client, bytes),
            _ => {
                if let Some(guest) = self.guest.as_mut().filter(|guest| guest.is_current) {
                    let token = self.endpoint.make_token(self.now, &CLIENT, ADDRESS);
                    self.apps.host(self.now, &mut guest.session, &mut self.pictures, token, bytes);
                }
            }
        }
    }

    fn pass(&mut self, micros: u64) {
        self.now = self.now.plus_micros(micros);
        self.client.handle_timeout(self.now);
        if let Some(guest) = &mut self.guest {
            guest.session.handle_timeout(self.now);
        }
    }

    /// The path becomes another one in width or manners.
    fn change_path(&mut self, bytes: &mut Bytes<'_>) {
        let shape = bytes.u8();
        self.width = [8952, 1500, 1452, 1300, 1200, 4000, 1472, 1280][usize::from(shape & 7)];
        self.is_told = shape & 8 != 0;
        self.marks = shape & 16 != 0;
    }

    /// The host's program starts again: it has its keys, and nothing else.
    fn start_again(&mut self) {
        self.end_of_host();
        self.starts += 1;
        self.endpoint = endpoint(self.starts);
    }

    /// What a session decided follows from what it recorded.
    fn end_of_host(&mut self) {
        let Some(guest) = self.guest.take() else { return };
        let record = guest.record.0.borrow();
        let again = rift_sim::flight::replay(&self.config, &record);
        assert_eq!(again.diverged_at, None, "a record decides the same: {} entries", record.len());
        let _ = guest.session.into_memory();
    }

    /// The client's program begins anew; what was under way of the old session is gone.
    fn call_again(&mut self, with_token: bool) {
        self.counter += 1;
        self.on_way.clear();
        if let Some(guest) = &mut self.guest {
            guest.is_current = false;
        }
        let token = if with_token { self.token.take() } else { None };
        self.client = call(&self.config, self.opening, self.counter, token, self.now);
        self.apps = Apps::default();
    }

    /// A datagram arrives, perhaps to arrive again.
    fn deliver(&mut self, index: usize, again: bool) {
        if self.on_way.is_empty() {
            return;
        }
        let index = index % self.on_way.len();
        let mut one = if again { self.on_way[index].clone() } else { self.on_way.remove(index) };
        let ecn = if self.marks { Ecn::Ce } else { Ecn::Ect1 };
        if one.to_host {
            return self.arrive(&one.bytes, ecn);
        }
        let result = self.client.handle_datagram(self.now, PATH, self.now, ecn, &mut one.bytes);
        let is_fine = !matches!(result, Err(Discard::Malformed | Discard::Authentication));
        assert!(is_fine || one.bytes[0] != 0x80, "an honest packet is {result:?}");
    }

    /// A datagram at the host's socket.
    fn arrive(&mut self, datagram: &[u8], ecn: Ecn) {
        let mut reply = [0; limits::REPLY_MAX];
        let responder = |opening: Opening| Known::of(Side::Responder, opening);
        match self.endpoint.handle_datagram(self.now, ADDRESS, datagram, responder, &mut reply) {
            Ok(Route::Reply(len)) => self.on_way.push(OnWay { to_host: false, bytes: reply[..len].to_vec() }),
            Ok(Route::Established(established)) => {
                // A hybrid flight came in two fragments, each with a good cookie (SPEC §4.20).
                let fragments = if established.suite() == Suite::Hybrid { 2 } else { 1 };
                self.admit(established, fragments * datagram.len());
            }
            Ok(Route::Session(_)) => {
                let Some(guest) = &mut self.guest else { return };
                let mut datagram = datagram.to_vec();
                guest.received += datagram.len();
                let result = guest.session.handle_datagram(self.now, PATH, self.now, ecn, &mut datagram);
                let is_fine = !matches!(result, Err(Discard::Malformed | Discard::Authentication));
                assert!(is_fine, "an honest packet is {result:?}");
            }
            Err(_) => {}
        }
    }

    /// Somebody has proven who he is: the client, or what is left of it.
    fn admit(&mut self, established: Established, received: usize) {
        assert_eq!((established.peer(), established.from()), (CLIENT, ADDRESS), "who it is, and where");
        assert_eq!((established.suite(), established.is_stranger()), (self.opening.suite, false));
        assert_eq!(established.wanted(), self.config.wanted, "what it wants");
        assert!(format!("{established:?}").contains(".."), "no secret is printed");
        if let Some(reason) = self.refuses {
            let mut reply = [0; 2 * limits::REPLY_MAX];
            let len = self.endpoint.refuse(established, reason, &mut reply);
            assert!(0 < len && len <= 3 * received, "{len} bytes of refusal");
            return self.on_way.push(OnWay { to_host: false, bytes: reply[..len].to_vec() });
        }
        self.end_of_host();
        if !self.endpoint.adopt(established.connection(), SessionIndex(0)) {
            return;
        }
        let is_proven = established.is_address_proven();
        let record = Record::default();
        let memory = Recorded { memory: Box::new(HostMemory::new()), sink: record.clone() };
        let session = Host::from_established(&self.config, established, memory, PATH, self.now);
        let mut guest = Guest { session, record, received, sent: 0, is_proven, is_current: true };
        self.apps.begin(self.now, &mut guest.session);
        self.guest = Some(guest);
    }

    /// Lets both sides send and say what is due now.
    fn settle(&mut self) {
        self.tend();
        let mut out = core::mem::take(&mut self.out);
        while let Some(sent) = self.client.poll_transmit(self.now, &NoPictures, &mut out) {
            self.leave(true, sent.path, &out[..sent.len], sent.segment);
        }
        while let Some(guest) = &mut self.guest
            && let Some(sent) = guest.session.poll_transmit(self.now, &self.pictures, &mut out)
        {
            guest.sent += sent.len;
            let is_within = guest.is_proven || guest.session.is_live() || guest.sent <= 3 * guest.received;
            assert!(is_within, "{} bytes to nobody in particular (SPEC §4.13)", guest.sent);
            self.leave(false, sent.path, &out[..sent.len], sent.segment);
        }
        self.out = out;
        let excess = self.on_way.len().saturating_sub(ON_WAY_MAX);
        self.on_way.drain(..excess);
        if let Some(token) = self.apps.hear_client(self.now, &mut self.client) {
            self.token = Some(token);
        }
        let Some(guest) = &mut self.guest else { return };
        if guest.is_current {
            self.apps.hear_host(self.now, &mut guest.session);
        } else {
            while guest.session.poll_event().is_some() {}
        }
        if guest.session.is_closed() {
            self.end_of_host();
            self.endpoint.release(SessionIndex(0));
        }
    }

    fn tend(&mut self) {
        let fresh = core::array::from_fn(|_| self.entropy.u64().to_be_bytes()[3]);
        if self.client.wants_entropy() {
            self.client.add_entropy(self.now, fresh);
        }
        if let Some(guest) = &mut self.guest {
            if guest.session.wants_entropy() {
                guest.session.add_entropy(self.now, fresh);
            }
            if guest.session.wants_connections() {
                self.endpoint.tend(SessionIndex(0), &mut guest.session);
            }
        }
    }

    fn leave(&mut self, to_host: bool, path: PathId, datagrams: &[u8], segment: Option<u16>) {
        let segment = segment.map_or(datagrams.len(), usize::from);
        for datagram in datagrams.chunks(segment) {
            let most = usize::from(self.config.datagram_len_max).max(limits::REPLY_MAX);
            assert!(datagram.len() <= most, "{} bytes in a datagram", datagram.len());
            if to_host && (FirstFlight::parse(datagram).is_some() || Fragment::parse(datagram).is_some()) {
                self.flight = datagram.to_vec();
            }
            if datagram.len() <= self.width.max(limits::REPLY_MAX) {
                self.on_way.push(OnWay { to_host, bytes: datagram.to_vec() });
            } else if self.is_told {
                let len = u16::try_from(datagram.len()).expect("a datagram");
                if to_host {
                    self.client.handle_too_long(self.now, path, len);
                } else if let Some(guest) = &mut self.guest {
                    guest.session.handle_too_long(self.now, path, len);
                }
            }
        }
    }

    /// All is well for a while: everything arrives in order, and applications do what they do all the time.
    fn calm(&mut self, micros: u64, busy: u8) {
        let end = self.now.plus_micros(micros);
        let (mut stalls, mut round) = (0, 0u32);
        while self.now < end {
            self.settle();
            if let Some(guest) = self.guest.as_mut().filter(|guest| guest.is_current) {
                self.apps.work(self.now, busy, &mut self.client, &mut guest.session, &mut self.pictures);
                self.apps.read(&mut self.client, &mut guest.session, 700);
            }
            self.settle();
            if !self.on_way.is_empty() {
                self.pass(WAY_US);
                for one in core::mem::take(&mut self.on_way) {
                    self.on_way.insert(0, one);
                    // A lossy calm loses every ninth, and many in a row now and then.
                    round = round.wrapping_add(1);
                    if busy & 64 != 0 && (round.is_multiple_of(9) || round % 256 < 40) {
                        self.on_way.remove(0);
                    } else {
                        self.deliver(0, false);
                    }
                }
                continue;
            }
            let guest = self.guest.as_ref().and_then(|guest| guest.session.poll_timeout());
            let timers = [self.client.poll_timeout(), guest];
            let due = timers.into_iter().flatten().map(|(due, _)| due).min().unwrap_or(end);
            stalls = if due > self.now { 0 } else { stalls + 1 };
            assert!(stalls < STALLS_MAX, "{timers:?} is due for ever");
            let waits = self.guest.as_ref().is_some_and(|guest| guest.session.video_backlog_bytes() > 0);
            let step = due.micros_since(self.now).max(u64::from(waits));
            self.pass(step.min(end.micros_since(self.now).max(1)).min(20_000));
        }
    }

    /// The network is well, nobody is turned away: a known client comes in and what it types arrives.
    fn recover(&mut self) {
        (self.width, self.marks, self.refuses) = (8952, false, None);
        self.calm(4_000_000, 0);
        if !self.is_together() {
            self.call_again(true);
            self.calm(2_500_000, 0);
        }
        assert!(self.is_together(), "a known client is let in: {:?}", self.apps.closed());
        if let Some(guest) = &mut self.guest {
            self.apps.permit(self.now, &mut guest.session, Permissions::all());
        }
        self.calm(500_000, 0);
        self.apps.type_one(self.now, &mut self.client);
        self.calm(1_500_000, 0);
        self.apps.must_have_arrived();
    }

    fn is_together(&self) -> bool {
        let guest = self.guest.as_ref().is_some_and(|guest| guest.session.is_established());
        guest && self.client.is_established() && self.client.permissions().is_some()
    }
}

fn endpoint(starts: u64) -> Endpoint<Known> {
    Endpoint::new(&HOST, [0x46; 32]).with_epoch(starts * EPOCH_US)
}

fn call(
    config: &Config,
    opening: Opening,
    counter: u64,
    token: Option<AddressToken>,
    now: Instant,
) -> Client {
    let mut memory = Box::new(ClientMemory::new());
    for index in 0..4 {
        memory.lend(index, vec![0; PICTURE_MAX]);
    }
    let handshake = Known::of(Side::Initiator, opening);
    let connection = u32::try_from(counter).expect("few calls") << 8 | 0x7000_0000;
    if opening.pattern == Opening::IK.pattern {
        let callee = Callee { host: HOST, counter, token };
        return Session::call(config, handshake, &callee, connection, memory, PATH, now);
    }
    Session::connect(config, handshake, HOST, connection, memory, PATH, now)
}
