//! A peer with valid keys that respects nothing: whatever frames it seals, the other side neither panics nor loops
//! nor believes the impossible, and it gets no channel it has no right to (SPEC §7, §8; invariants 3 and 8).

use core::net::SocketAddr;

use rift::crypto::{Mac1Key, PacketKey};
use rift::wire::handshake::{FirstFlight, Reply, connection_of};
use rift::wire::{DataHeader, FrameType, Frames, Kind};
use rift::{
    ChaChaPoly, Channel, Codec, Config, Discard, Ecn, Endpoint, Event, Handshake, Identity, InputEvent,
    Instant, NoPictures, Noise, Opening, PathId, Permissions, PictureId, Route, Scancode, Secrets, SendError,
    Session, Storage, StreamParameters,
};
use rift_sim::Random;

type Memory = Storage<Vec<u8>, 128, 128, 4, 1024>;
type Victim = Session<Box<Memory>, Noise>;

const SEEDS: core::ops::Range<u64> = 1..7;
const DATAGRAMS: usize = 20_000;
const START: Instant = Instant::from_millis(5000);
const PICTURE_LEN_MAX: usize = 64 * 1024;
/// What one call may lead to: far more than any honest session needs.
const OUTPUTS_MAX: usize = 2000;

/// Seals what it likes.
struct Rogue {
    key: PacketKey<ChaChaPoly>,
    ear: PacketKey<ChaChaPoly>,
    connection: u32,
    next: u64,
    random: Random,
}

fn memory() -> Box<Memory> {
    let mut memory = Box::new(Memory::new());
    for index in 0..4 {
        memory.lend(index, vec![0; PICTURE_LEN_MAX]);
    }
    memory
}

fn identities() -> (Identity, Identity) {
    (Identity::from_secret([1; 32]), Identity::from_secret([2; 32]))
}

/// A client's session with a rogue host.
fn client_and_rogue(seed: u64) -> (Victim, Rogue) {
    let (client, host) = identities();
    let handshake = Noise::initiator(&client, [3; 32], Opening::XX);
    let mut session =
        Session::connect(&Config::default(), handshake, host.public(), 77, memory(), PathId(0), START);
    let mut out = [0; 2000];
    let len = session.poll_transmit(START, &NoPictures, &mut out).expect("a first flight").len;
    let initiation = FirstFlight::parse(&out[..len]).expect("a first flight");
    let mut responder = Noise::responder(&host, [4; 32], Opening::XX);
    let mut payload = [0; 64];
    responder.read_message(initiation.noise, &mut payload).expect("the client's");
    let connection = connection_of(&payload).expect("its connection");
    let mut reply = [0; 256];
    Reply::emit_head(&mut reply, Kind::Response, connection).expect("room");
    let len = responder.write_message(&9u32.to_be_bytes(), &mut reply[Reply::HEAD_LEN..]).expect("its turn");
    let reply = &mut reply[..Reply::HEAD_LEN + len];
    session.handle_datagram(START, PathId(0), START, Ecn::NotEct, reply).expect("the answer");
    let len = session.poll_transmit(START, &NoPictures, &mut out).expect("a third message").len;
    let noise = Reply::parse(&out[..len]).expect("a third message").noise;
    responder.read_message(noise, &mut payload).expect("the client's");
    (session, Rogue::new(&responder.finish().expect("it is over"), connection, seed))
}

/// A host's session with a rogue client that waits to be let in.
fn host_and_rogue(seed: u64) -> (Victim, Rogue) {
    let (client, host) = identities();
    let from = SocketAddr::from(([10, 0, 0, 9], 4433));
    let mut initiator = Noise::initiator(&client, [3; 32], Opening::XX);
    let mut endpoint = Endpoint::new(&host.public(), [5; 32]);
    let (mut noise, mut datagram, mut reply) = ([0; 256], [0; 256], [0; 256]);
    let mut payload = [0; 64];
    let len = initiator.write_message(&payload[..4], &mut noise).expect("its turn");
    let key = Mac1Key::new(&host.public());
    let len =
        FirstFlight::emit(&mut datagram, Opening::XX, &noise[..len], |bytes| key.mac1(bytes)).expect("room");
    let responder = |opening| Noise::responder(&host, [4; 32], opening);
    let route = endpoint.handle_datagram(START, from, &datagram[..len], responder, &mut reply);
    let Ok(Route::Reply(len)) = route else { panic!("a response: {route:?}") };
    let message = Reply::parse(&reply[..len]).expect("a response").noise;
    let len = initiator.read_message(message, &mut payload).expect("the host's");
    let connection = connection_of(&payload[..len]).expect("its connection");
    Reply::emit_head(&mut datagram, Kind::Confirmation, connection).expect("room");
    let len = initiator.write_message(&[], &mut datagram[Reply::HEAD_LEN..]).expect("its turn");
    let responder = |_| unreachable!("the handshake goes on");
    let confirmation = &datagram[..Reply::HEAD_LEN + len];
    let route = endpoint.handle_datagram(START, from, confirmation, responder, &mut reply);
    let Ok(Route::Established(established)) = route else { panic!("established: {route:?}") };
    let session = Session::from_established(&Config::default(), established, memory(), PathId(0), START);
    (session, Rogue::new(&initiator.finish().expect("it is over"), connection, seed))
}

/// A host's session with a rogue client that was let in and shown a stream.
fn admitted_and_rogue(seed: u64) -> (Victim, Rogue) {
    let (mut session, rogue) = host_and_rogue(seed);
    session.admit(START, Permissions::default_control());
    let parameters =
        StreamParameters { width: 640, height: 480, rate_millihertz: 60_000, codec: Codec::H264 };
    session.set_stream(PictureId(1), parameters).expect("it is established");
    (session, rogue)
}

impl Rogue {
    fn new(secrets: &Secrets, connection: u32, seed: u64) -> Self {
        let (key, ear) = (PacketKey::new(secrets.send), PacketKey::new(secrets.receive));
        Self { key, ear, connection, next: 0, random: Random::new(seed) }
    }

    /// Seals one frame, its length left out.
    fn seal_frame(&mut self, frame: FrameType, body: &[u8]) -> Vec<u8> {
        self.seal(&[&[0x80 | frame.code()], body].concat())
    }

    /// The frame types of everything the session sends until it is silent.
    fn listen(&self, session: &mut Victim) -> Vec<FrameType> {
        let (mut found, mut out) = (Vec::new(), [0; 2000]);
        while let Some(transmit) = session.poll_transmit(START, &NoPictures, &mut out) {
            let (head, sealed) = out[..transmit.len].split_at_mut(DataHeader::LEN);
            let number = u64::from(DataHeader::parse(head).expect("sealed data").packet_number);
            let (text, tag) = sealed.split_at_mut(transmit.len - DataHeader::LEN - 16);
            let tag: [u8; 16] = (&*tag).try_into().expect("16 bytes");
            assert!(self.ear.open(0, number, head, text, &tag));
            found.extend(Frames::new(text).map(|frame| frame.frame_type));
        }
        found
    }

    fn below(&mut self, bound: u64) -> usize {
        usize::try_from(self.random.below(bound)).expect("small")
    }

    /// Seals a payload under the next number, or a later one.
    fn seal(&mut self, payload: &[u8]) -> Vec<u8> {
        let number = self.next;
        self.next += 1 + if self.random.chance(0.02) { self.random.below(3000) } else { 0 };
        let packet_number = (number & 0x00ff_ffff) as u32;
        let header = DataHeader { phase: false, connection: self.connection, packet_number };
        let mut datagram = header.to_bytes().to_vec();
        datagram.extend_from_slice(payload);
        let (head, text) = datagram.split_at_mut(DataHeader::LEN);
        let tag = self.key.seal(0, number, head, text);
        datagram.extend_from_slice(&tag);
        datagram
    }

    /// Bytes that are often zeros, ones, small or all set: where limits are.
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let style = self.below(5);
        (0..len)
            .map(|_| {
                let any = (self.random.next_u64() >> 56) as u8;
                match style {
                    0 => 0,
                    1 => 0xff,
                    2 => any & 3,
                    3 if any < 128 => 0,
                    _ => any,
                }
            })
            .collect()
    }

    /// One to four frames, of known and unknown types, with bodies of the usual lengths and others.
    fn frames(&mut self) -> Vec<u8> {
        const TYPES: [(u8, u64); 20] = [
            (0x00, 8),
            (0x01, 4),
            (0x02, 16),
            (0x03, 60),
            (0x05, 4),
            (0x08, 40),
            (0x09, 4),
            (0x0a, 8),
            (0x0b, 16),
            (0x0c, 9),
            (0x10, 13),
            (0x11, 8),
            (0x12, 4),
            (0x13, 20),
            (0x14, 40),
            (0x18, 60),
            (0x20, 40),
            (0x19, 9),
            (0x2a, 9),
            (0x6a, 9),
        ];
        let mut payload = Vec::new();
        for _ in 0..=self.below(4) {
            let (code, usual) = TYPES[self.below(20)];
            let len = if self.random.chance(0.7) { usual } else { self.random.below(100) };
            let len = usize::try_from(len).expect("small");
            let body = match code {
                0x14 => self.shard(),
                0x03 if len == 60 => self.feedback(),
                0x08 if len == 40 => self.input(),
                _ => self.bytes(len),
            };
            if code == 0x14 || self.random.chance(0.1) {
                payload.push(code | 0x80);
                payload.extend(body);
                break;
            }
            if body.len() > 191 {
                payload.push(code | 0x80);
                payload.extend(body);
                break;
            }
            payload.extend([code, body.len() as u8]);
            payload.extend(body);
        }
        payload.truncate(1100);
        payload
    }

    /// Input that is well formed, of events near those the host expects.
    fn input(&mut self) -> Vec<u8> {
        let mut body = (self.random.below(8) as u32).wrapping_add(self.next as u32).to_be_bytes().to_vec();
        if self.random.chance(0.8) {
            body = vec![0, 0, 0, 0];
        }
        let keys = self.below(4);
        body.extend([(self.random.next_u64() >> 56) as u8, keys as u8]);
        for key in 0..keys {
            body.extend([0, (key * 40 + 1 + self.below(39)) as u8]);
        }
        let devices = self.below(4) * self.below(8);
        body.push(devices as u8);
        for _ in 0..(devices & 15).count_ones() {
            body.extend([&[0, 1][..], &self.bytes(14)].concat());
        }
        if devices & 16 != 0 {
            body.extend([&[2, 1][..], &self.bytes(8)].concat());
        }
        for _ in 0..self.below(20) {
            let event = match self.below(6) {
                0 => vec![1 + self.below(2) as u8, 0, 1 + self.below(200) as u8],
                1 => vec![3, 0, 0, 0, 1 + self.below(120) as u8],
                2 => vec![4 + self.below(2) as u8, self.below(8) as u8],
                3 => vec![11 + self.below(2) as u8, self.below(5) as u8, self.below(20) as u8],
                4 => [&[14 + self.below(2) as u8, self.below(11) as u8][..], &self.bytes(4)].concat(),
                _ => [&[6 + self.below(3) as u8][..], &self.bytes(4)].concat(),
            };
            body.extend(event);
        }
        body
    }

    /// Feedback that is well formed, on packets that may have been sent, at times that may have been.
    fn feedback(&mut self) -> Vec<u8> {
        let mut body = (self.random.below(self.next + 10) as u32).to_be_bytes().to_vec();
        let reference =
            if self.random.chance(0.8) { self.next as u32 * 1500 } else { self.random.next_u64() as u32 };
        body.extend(reference.to_be_bytes());
        let count = 1 + self.below(100);
        body.extend((count as u16).to_be_bytes());
        body.extend(self.bytes(count * 2));
        body
    }

    /// A shard that often fits into a picture with others.
    fn shard(&mut self) -> Vec<u8> {
        let picture = self.next as u16 / 24 + self.random.below(4) as u16;
        let (k, m) = [(3u16, 2u8), (1, 0), (1, 1), (600, 200), (0xffff, 0xff), (8, 8)][self.below(6)];
        let shard_len = [16u16, 1, 0, 100, 0xffff][self.below(5)];
        let shard = if self.random.chance(0.9) {
            self.random.below(u64::from(k) + u64::from(m)) as u16
        } else {
            self.random.next_u64() as u16
        };
        let len = if self.random.chance(0.9) { usize::from(shard_len).min(900) } else { self.below(200) };
        let mut body = [picture.to_be_bytes(), shard.to_be_bytes(), k.to_be_bytes()].concat();
        body.push(m);
        body.extend(shard_len.to_be_bytes());
        body.extend(self.bytes(len));
        body
    }
}

/// Does what a program does after each call, and insists that it ends.
fn drive(session: &mut Victim, now: Instant, what: &str) -> Vec<Event> {
    let mut out = [0; 4000];
    let mut events = Vec::new();
    for round in 0.. {
        assert!(round < OUTPUTS_MAX, "{what}: transmits without end");
        if session.poll_transmit(now, &NoPictures, &mut out).is_none() {
            break;
        }
    }
    while let Some(event) = session.poll_event() {
        events.push(event);
        assert!(events.len() < OUTPUTS_MAX, "{what}: events without end");
    }
    for &event in &events {
        if let Event::Picture(id) = event {
            let media = session.media(id).expect("an announced picture is lent");
            let sum: usize = media.head.rectangles.iter().map(|rectangle| rectangle.len as usize).sum();
            assert_eq!(sum, media.payload.len(), "{what}: rectangles fill a picture");
            assert!(media.head.rectangles.iter().all(|rectangle| !rectangle.place.is_empty()), "{what}");
            session.release_media(id);
        } else if let Event::Readable(channel) = event {
            let mut bytes = [0; 2048];
            assert!(session.read(channel, &mut bytes) <= 1024, "{what}: no more than the ring holds");
        }
    }
    // A timeout that is due must lead to something or move on: a program would spin.
    for round in 0.. {
        let Some((due, timer)) = session.poll_timeout() else { break };
        if due > now {
            break;
        }
        assert!(round < 20, "{what}: {timer:?} stays due");
        session.handle_timeout(now);
        while session.poll_transmit(now, &NoPictures, &mut out).is_some() {}
        while let Some(event) = session.poll_event() {
            events.push(event);
        }
    }
    events
}

fn run(seed: u64, session: &mut Victim, rogue: &mut Rogue) -> Vec<Event> {
    let (mut now, mut events) = (START, Vec::new());
    for index in 0..DATAGRAMS {
        now = now.plus_micros(rogue.random.below(3000));
        let payload = rogue.frames();
        let mut datagram = rogue.seal(&payload);
        let what = format!("seed {seed}, datagram {index} {payload:02x?}");
        let ecn = Ecn::from_bits(rogue.random.below(4) as u8);
        let _ = session.handle_datagram(now, PathId(0), now, ecn, &mut datagram);
        events.extend(drive(session, now, &what));
        // The application keeps working meanwhile.
        let _ = session.write(now, Channel::Control, b"still here");
        assert!(!session.is_closed(), "{what}: no frame but a close ends a session");
    }
    let stats = session.stats(now);
    assert!(stats.packets_received > DATAGRAMS as u64 / 2, "seed {seed}: {stats:?}");
    events
}

#[test]
fn client_survives_a_host_that_sends_anything() {
    for seed in SEEDS {
        let (mut session, mut rogue) = client_and_rogue(seed);
        let events = run(seed, &mut session, &mut rogue);
        assert!(events.iter().any(|event| matches!(event, Event::StreamParameters(_))), "seed {seed}");
        let wrong = events.iter().find(|event| matches!(event, Event::Input(_) | Event::RepairWanted { .. }));
        assert_eq!(wrong, None, "seed {seed}: a host steers nothing");
    }
}

#[test]
fn host_survives_a_client_that_sends_anything() {
    for seed in SEEDS {
        let (mut session, mut rogue) = admitted_and_rogue(seed);
        let events = run(seed, &mut session, &mut rogue);
        assert!(events.iter().any(|event| matches!(event, Event::Input(_))), "seed {seed}");
        assert!(events.iter().any(|event| matches!(event, Event::RepairWanted { .. })), "seed {seed}");
        let wrong = events.iter().find(|event| {
            matches!(
                event,
                Event::Picture(_) | Event::Admitted(_) | Event::Cursor(_) | Event::StreamParameters(_)
            )
        });
        assert_eq!(wrong, None, "seed {seed}: a client shows nothing");
        assert_eq!(session.permissions(), Some(Permissions::default_control()), "seed {seed}");
        let grant = session.budget().bitrate_bps;
        assert!(grant <= Config::default().bitrate_bps_max, "seed {seed}: {grant}");
    }
}

/// SPEC §6.1/1.
#[test]
fn frames_before_admission_reach_no_channel() {
    let (mut session, mut rogue) = host_and_rogue(1);
    let peer = identities().0.public();
    assert_eq!(session.poll_event(), Some(Event::Authenticated(peer)));
    assert_eq!(session.poll_event(), Some(Event::Live));
    let frames: [(FrameType, &[u8]); 5] = [
        (FrameType::Input, &[0, 0, 0, 0, 0, 1, 0, 30, 0, 1, 0, 30]),
        (FrameType::Repair, &[0, 0, 0, 0, 0, 0, 0, 1]),
        (FrameType::Stream, b"\0\0\0\0\0a word"),
        (FrameType::Admitted, &[0xff, 0xff, 0xff, 0xff]),
        (FrameType::Cursor, &[0, 1, 0, 1, 1, 0, 0, 0, 1]),
    ];
    for (frame, body) in frames {
        let mut datagram = rogue.seal_frame(frame, body);
        let result = session.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut datagram);
        assert_eq!(result, Err(Discard::Unexpected), "{frame:?}");
    }
    assert_eq!(session.stats(START).discarded_malformed, frames.len() as u64);
    assert_eq!(session.poll_event(), None);
    assert_eq!((session.permissions(), session.readable(Channel::Control)), (None, 0));
    assert_eq!(session.write(START, Channel::Control, b"x"), Err(SendError::NotPermitted));
    let told = rogue.listen(&mut session);
    let secret = [FrameType::Admitted, FrameType::StreamParameters, FrameType::Shard, FrameType::Cursor];
    assert!(told.iter().all(|frame| !secret.contains(frame)), "{told:?}");
}

/// SPEC §8.2.
#[test]
fn rights_that_were_not_granted_are_not_had() {
    let (mut session, mut rogue) = host_and_rogue(1);
    session.admit(START, Permissions::POINTER);
    while session.poll_event().is_some() {}
    // Key A down, text, then the pointer moves.
    let body = [0, 0, 0, 0, 0, 1, 0, 30, 0, 1, 0, 30, 3, 0, 0, 0, 65, 7, 0, 5, 0, 6];
    let mut datagram = rogue.seal_frame(FrameType::Input, &body);
    assert_eq!(session.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut datagram), Ok(()));
    assert_eq!(session.poll_event(), Some(Event::Input(InputEvent::PointerRelative { dx: 5, dy: 6 })));
    assert_eq!(session.poll_event(), None, "neither the key nor the text");
    let mut datagram = rogue.seal_frame(FrameType::Repair, &[0; 8]);
    assert_eq!(session.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut datagram), Ok(()));
    assert_eq!(session.poll_event(), None, "who may not view wants no pictures");

    // SysRq needs a right of its own.
    session.admit(START, Permissions::default_control());
    while session.poll_event().is_some() {}
    let mut datagram =
        rogue.seal_frame(FrameType::Input, &[0, 0, 0, 3, 0, 2, 0, 99, 0, 30, 0, 1, 0, 99, 1, 0, 30]);
    assert_eq!(session.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut datagram), Ok(()));
    let key = Scancode::new(30).expect("KEY_A");
    let mut events = Vec::new();
    while let Some(event) = session.poll_event() {
        events.push(event);
    }
    assert_eq!(events, [Event::Input(InputEvent::Key { key, pressed: true })]);
}

/// The keys that the session tells of, and whether they went down.
fn keys(session: &mut Victim) -> Vec<(u16, bool)> {
    let events = core::iter::from_fn(|| session.poll_event());
    let key = |event| {
        let Event::Input(InputEvent::Key { key, pressed }) = event else { return None };
        Some((key.code(), pressed))
    };
    events.filter_map(key).collect()
}

#[test]
fn chord_that_leaves_the_session_needs_system_keys_also_as_mere_state() {
    let (mut session, mut rogue) = host_and_rogue(1);
    let (control, alt, f2) = (29, 56, 60);
    let held = [0, 3, 0, control, 0, alt, 0, f2, 0];
    let mut say = |session: &mut Victim, first: u8, events: &[u8]| {
        let body = [&[0, 0, 0, first], &held[..], events].concat();
        let mut datagram = rogue.seal_frame(FrameType::Input, &body);
        assert_eq!(session.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut datagram), Ok(()));
        keys(session)
    };
    session.admit(START, Permissions::default_control());
    while session.poll_event().is_some() {}
    let presses = [1, 0, control, 1, 0, alt, 1, 0, f2];
    assert_eq!(say(&mut session, 0, &presses), [(29, true), (56, true)], "the terminal is not switched");
    assert_eq!(say(&mut session, 3, &[]), [], "not by claiming that the key is held either");
    session.admit(START, Permissions::default_control() | Permissions::SYSTEM_KEYS);
    assert_eq!(say(&mut session, 3, &[]), [(60, true)]);
    session.admit(START, Permissions::default_control());
    let mut released = keys(&mut session);
    released.sort_unstable();
    assert_eq!(released, [(29, false), (56, false), (60, false)], "what was held is let go");
}
