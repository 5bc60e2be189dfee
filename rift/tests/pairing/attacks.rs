//! Attackers with keys of their own: in the middle, with mirrors, with more tries than they have.

use core::net::SocketAddr;

use rift::crypto::{Mac1Key, PacketKey};
use rift::wire::handshake::{FirstFlight, Reply, connection_of};
use rift::wire::pairing::PairingMessage;
use rift::wire::{DataHeader, FrameType, Frames, Kind};
use rift::{
    Capabilities, ChaChaPoly, CloseReason, Codec, Config, Discard, Ecn, Endpoint, Event, Handshake, Identity,
    Instant, NoPictures, Noise, Opening, PairingWindow, PathId, Route, Secrets, Session,
};

use crate::parties::{Memory, Peer, pin};

const PIN: &str = "271828";
const START: Instant = Instant::from_millis(9_000);

/// A peer that seals what it likes and reads what it gets.
struct Attacker {
    key: PacketKey<ChaChaPoly>,
    ear: PacketKey<ChaChaPoly>,
    connection: u32,
    next: u32,
}

impl Attacker {
    fn new(secrets: &Secrets, connection: u32) -> Self {
        let (key, ear) = (PacketKey::new(secrets.send), PacketKey::new(secrets.receive));
        Self { key, ear, connection, next: 0 }
    }

    fn say(&mut self, victim: &mut Peer, message: PairingMessage) -> Result<(), Discard> {
        let (step, value) = match message {
            PairingMessage::Share(value) => (0, value),
            PairingMessage::Confirmation(value) => (1, value),
        };
        self.seal(victim, FrameType::Pairing, &[&[step], &value[..]].concat())
    }

    fn seal(&mut self, victim: &mut Peer, frame: FrameType, body: &[u8]) -> Result<(), Discard> {
        let header = DataHeader { phase: false, connection: self.connection, packet_number: self.next };
        let mut datagram = header.to_bytes().to_vec();
        datagram.push(0x80 | frame.code());
        datagram.extend_from_slice(body);
        let (head, text) = datagram.split_at_mut(DataHeader::LEN);
        let tag = self.key.seal(0, self.next.into(), head, text);
        datagram.extend_from_slice(&tag);
        self.next += 1;
        victim.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut datagram)
    }

    /// The pairing messages of everything the victim sends now; of all else it may say nothing but what every session does.
    fn hear(&self, victim: &mut Peer) -> Vec<PairingMessage> {
        let (mut found, mut out) = (Vec::new(), [0; 2000]);
        while let Some(transmit) = victim.poll_transmit(START, &NoPictures, &mut out) {
            if out[0] < 0x40 {
                continue;
            }
            let (head, sealed) = out[..transmit.len].split_at_mut(DataHeader::LEN);
            let number = u64::from(DataHeader::parse(head).expect("sealed data").packet_number);
            let (text, tag) = sealed.split_at_mut(transmit.len - DataHeader::LEN - 16);
            let tag: [u8; 16] = (&*tag).try_into().expect("16 bytes");
            assert!(self.ear.open(0, number, head, text, &tag));
            let is_pairing = |kind| {
                let every =
                    [FrameType::Padding, FrameType::ClockRequest, FrameType::ClockReply, FrameType::Feedback];
                assert!(
                    kind == FrameType::Pairing || kind == FrameType::Close || every.contains(&kind),
                    "{kind:?}"
                );
                kind == FrameType::Pairing
            };
            let frames = Frames::new(text).filter(|frame| is_pairing(frame.frame_type));
            found.extend(frames.filter_map(|frame| PairingMessage::parse(frame.body)));
        }
        found
    }
}

fn identity(seed: u8) -> Identity {
    Identity::from_secret([seed; 32])
}

/// A client that pairs, whose flights end at an attacker.
fn client() -> (Peer, Attacker) {
    let handshake = Noise::initiator(&identity(1), [3; 32], Opening::XX);
    let memory = Box::new(Memory::new());
    let mut session = Session::approach(&Config::default(), handshake, 77, memory, PathId(0), START);
    let mut out = [0; 2000];
    let len = session.poll_transmit(START, &NoPictures, &mut out).expect("a first flight").len;
    let initiation = FirstFlight::parse(&out[..len]).expect("a first flight");
    let mut responder = Noise::responder(&identity(66), [4; 32], Opening::XX);
    let mut payload = [0; 64];
    responder.read_message(initiation.noise, &mut payload).expect("the client's");
    let mut reply = [0; 256];
    Reply::emit_head(&mut reply, Kind::Response, 77).expect("room");
    let len = responder.write_message(&9u32.to_be_bytes(), &mut reply[Reply::HEAD_LEN..]).expect("its turn");
    let reply = &mut reply[..Reply::HEAD_LEN + len];
    session.handle_datagram(START, PathId(0), START, Ecn::NotEct, reply).expect("the answer");
    let len = session.poll_transmit(START, &NoPictures, &mut out).expect("a third message").len;
    let noise = Reply::parse(&out[..len]).expect("a third message").noise;
    responder.read_message(noise, &mut payload).expect("the client's");
    let attacker = Attacker::new(&responder.finish().expect("it is over"), 77);
    while session.poll_event().is_some() {}
    (session, attacker)
}

/// A host with an open window, and an attacker who came through it.
fn host() -> (Peer, Attacker) {
    let from = SocketAddr::from(([10, 0, 0, 9], 4433));
    let mut initiator = Noise::initiator(&identity(66), [3; 32], Opening::XX);
    let mut endpoint = Endpoint::new(&identity(2).public(), [5; 32]);
    endpoint.set_pairing_window(true);
    let (mut noise, mut datagram, mut reply) = ([0; 256], [0; 256], [0; 256]);
    let mut payload = [0; 64];
    let len = initiator.write_message(&payload[..4], &mut noise).expect("its turn");
    let key = Mac1Key::stranger();
    let len =
        FirstFlight::emit(&mut datagram, Opening::XX, &noise[..len], |bytes| key.mac1(bytes)).expect("room");
    let responder = |opening| Noise::responder(&identity(2), [4; 32], opening);
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
    let memory = Box::new(Memory::new());
    let mut session = Session::from_established(&Config::default(), established, memory, PathId(0), START);
    while session.poll_event().is_some() {}
    (session, Attacker::new(&initiator.finish().expect("it is over"), connection))
}

/// This side tries the PIN that the person knows.
fn pair(session: &mut Peer, own: u8, entropy: u8) {
    let mut window = PairingWindow::new();
    window.open(START, pin(PIN)).expect("nothing was wrong");
    let guess = window.guess(START).expect("it is open");
    session.pair(START, &identity(own).public(), guess, [entropy; 32]).expect("its turn");
}

fn events(session: &mut Peer) -> Vec<Event> {
    core::iter::from_fn(|| session.poll_event()).collect()
}

#[test]
fn man_in_the_middle_who_relays_every_message_convinces_nobody() {
    let ((mut client, mut as_host), (mut host, mut as_client)) = (client(), host());
    pair(&mut client, 1, 11);
    let [share] = as_host.hear(&mut client)[..] else { panic!("the client's share") };
    as_client.say(&mut host, share).expect("it is a share");
    assert_eq!(events(&mut host), [Event::PairingRequested]);
    pair(&mut host, 2, 12);
    let [share] = as_client.hear(&mut host)[..] else { panic!("the host's share") };
    as_host.say(&mut client, share).expect("it is a share");
    let [confirmation] = as_host.hear(&mut client)[..] else { panic!("the client's confirmation") };
    as_client.say(&mut host, confirmation).expect("it is a confirmation");
    assert_eq!(events(&mut host), [Event::Closed(CloseReason::WrongPin)]);
    assert_eq!(events(&mut client), []);
    assert!(as_client.hear(&mut host).is_empty(), "and nothing is left to relay");
}

#[test]
fn everything_sent_back_to_its_sender_convinces_nobody() {
    let (mut client, mut mirror) = client();
    pair(&mut client, 1, 11);
    let [share] = mirror.hear(&mut client)[..] else { panic!("the client's share") };
    mirror.say(&mut client, share).expect("it is a share");
    let [confirmation] = mirror.hear(&mut client)[..] else { panic!("the client's confirmation") };
    mirror.say(&mut client, confirmation).expect("it is a confirmation");
    assert_eq!(events(&mut client), [Event::Closed(CloseReason::WrongPin)]);

    let (mut host, mut mirror) = host();
    mirror.say(&mut host, PairingMessage::Share(share_of(&mut host_share()))).expect("it is a share");
    pair(&mut host, 2, 12);
    let [PairingMessage::Share(own)] = mirror.hear(&mut host)[..] else { panic!("the host's share") };
    mirror.say(&mut host, PairingMessage::Confirmation(own)).expect("it is a confirmation");
    assert!(matches!(events(&mut host)[..], [.., Event::Closed(CloseReason::WrongPin)]));
}

/// A client whose share is a valid one, whatever PIN it belongs to.
fn host_share() -> Peer {
    let (mut client, _) = client();
    pair(&mut client, 1, 13);
    client
}

fn share_of(session: &mut Peer) -> [u8; 32] {
    let (_, ear) = client();
    let [PairingMessage::Share(share)] = ear.hear(session)[..] else { panic!("a share") };
    share
}

/// SPEC §8.6.
#[test]
fn second_confirmation_or_another_share_is_no_second_try() {
    let (mut host, mut attacker) = host();
    let share = share_of(&mut host_share());
    attacker.say(&mut host, PairingMessage::Share(share)).expect("it is a share");
    let mut other = share;
    other[0] ^= 2;
    let again = attacker.say(&mut host, PairingMessage::Share(other));
    assert_eq!(again, Err(Discard::Unexpected), "before the host answered");
    let early = attacker.say(&mut host, PairingMessage::Confirmation([1; 32]));
    assert_eq!(early, Err(Discard::Unexpected));
    pair(&mut host, 2, 12);
    let again = attacker.say(&mut host, PairingMessage::Share(other));
    assert_eq!(again, Err(Discard::Unexpected), "and after it");
    attacker.say(&mut host, PairingMessage::Confirmation([1; 32])).expect("it is taken, and wrong");
    assert!(attacker.say(&mut host, PairingMessage::Confirmation([2; 32])).is_err(), "that was the only one");
    assert_eq!(events(&mut host), [Event::PairingRequested, Event::Closed(CloseReason::WrongPin)]);
}

/// SPEC §8.6.
#[test]
fn shares_that_are_none_end_the_attempt() {
    // The neutral element, and bytes that are no element (draft B.3.11).
    let mut undecodable = [0xff; 32];
    undecodable[31] = 0x7f;
    for share in [[0; 32], undecodable] {
        let (mut host, mut attacker) = host();
        attacker.say(&mut host, PairingMessage::Share(share)).expect("it has a share's form");
        pair(&mut host, 2, 12);
        let told = events(&mut host);
        assert_eq!(told, [Event::PairingRequested, Event::Closed(CloseReason::WrongPin)]);
        let (mut client, mut attacker) = client();
        pair(&mut client, 1, 11);
        attacker.say(&mut client, PairingMessage::Share(share)).expect("it has a share's form");
        assert_eq!(events(&mut client), [Event::Closed(CloseReason::WrongPin)]);
    }
}

/// SPEC §8.5.
#[test]
fn host_that_was_not_paired_with_can_show_nothing() {
    let (mut client, mut attacker) = client();
    let admitted = attacker.seal(&mut client, FrameType::Admitted, &[0, 0, 0x7f, 0xff]);
    assert_eq!(admitted, Err(Discard::Unexpected));
    let successor = attacker.seal(&mut client, FrameType::Successor, &[9; 32]);
    assert_eq!(successor, Err(Discard::Unexpected));
    let parameters = [0, 0, 0, 1, 0, 64, 0, 64, 0, 0, 0xea, 0x60, 1];
    assert!(attacker.seal(&mut client, FrameType::StreamParameters, &parameters).is_err());
    assert!(attacker.seal(&mut client, FrameType::Stream, &[0, 0, 0, 0, 0, b'x']).is_err());
    assert_eq!((client.permissions(), events(&mut client)), (None, vec![]));
    // Nor does the client show what it is.
    client.set_capabilities(Capabilities::of(&[Codec::Tiles])).expect("a client");
    assert_eq!(attacker.hear(&mut client), []);
}

/// SPEC §4.10/2, §8.5.
#[test]
fn who_came_to_pair_may_do_nothing_else_and_not_for_long() {
    let (mut host, mut attacker) = host();
    assert!(attacker.seal(&mut host, FrameType::Input, &[0; 16]).is_err());
    assert!(attacker.seal(&mut host, FrameType::Stream, &[0, 0, 0, 0, 0, b'x']).is_err());
    let mut now = START;
    while let Some((due, _)) = host.poll_timeout() {
        now = due;
        // It keeps talking, so the session is not idle.
        let _ = attacker.seal(&mut host, FrameType::Padding, &[]);
        host.handle_timeout(now);
        let mut out = [0; 2000];
        while host.poll_transmit(now, &NoPictures, &mut out).is_some() {}
        if host.is_closed() {
            break;
        }
    }
    assert!(now.micros_since(START) <= rift::limits::PAIRING_US + 200_000, "{now:?}");
    assert!(events(&mut host).iter().any(|event| matches!(event, Event::Closed(_))));
}

/// SPEC §8.5.
#[test]
fn known_hosts_and_clients_take_no_pairing_messages() {
    let (mut client, mut attacker) = client();
    let answer = attacker.say(&mut client, PairingMessage::Share([9; 32]));
    assert_eq!(answer, Err(Discard::Unexpected), "nobody here has tried");
    let answer = attacker.say(&mut client, PairingMessage::Confirmation([9; 32]));
    assert_eq!(answer, Err(Discard::Unexpected));
}
