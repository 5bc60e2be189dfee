//! What fuzzing has found, each by its name; the inputs that found it are in the corpus as well.

use rift::crypto::Side;
use rift::{
    Channel, Codec, Config, CursorPosition, Ecn, Event, Handshake, InputEvent, Instant, Memory, NoPictures,
    Permissions, PictureId, PictureInfo, Pictures, Rectangle, RectangleData, Session, StreamParameters,
};
use wavry_fuzz::known::Known;
use wavry_fuzz::messages::{self, Body};
use wavry_fuzz::pair::{self, Attacker, PATH, START};

const PARAMETERS: StreamParameters =
    StreamParameters { width: 64, height: 48, rate_millihertz: 60_000, codec: Codec::H264 };

/// Delivers frames under packet number `number`; what comes of it is not looked at.
fn put<M: Memory>(session: &mut Session<M, Known>, attacker: &Attacker, number: u64, frames: &[(u8, Body)]) {
    let mut text = Vec::new();
    for (code, body) in frames {
        messages::frame(&mut text, *code, &body.0);
    }
    let mut datagram = attacker.seal(number, &text);
    let _ = session.handle_datagram(START, PATH, START, Ecn::NotEct, &mut datagram);
}

/// Lets everything leave that is due at `now`; returns how many datagrams.
fn drain<M: Memory>(session: &mut Session<M, Known>, now: Instant) -> usize {
    let mut out = [0; 65_536];
    core::iter::from_fn(|| session.poll_transmit(now, &NoPictures, &mut out)).count()
}

fn presses(first: u32, keys: core::ops::Range<u16>) -> (u8, Body) {
    let body = Body::default().u32(first).u8(0).u8(0).u8(0);
    (0x08, keys.fold(body, |body, key| body.u8(1).u16(key)))
}

#[test]
fn host_of_a_guest_who_may_not_view_is_not_kept_awake() {
    let (_, mut host) = pair::connected(&Config::default());
    host.set_stream(PictureId(1), PARAMETERS).expect("established");
    host.send_cursor(START, CursorPosition { x: 1, ..CursorPosition::default() }).expect("established");
    host.admit(START, Permissions::POINTER);
    drain(&mut host, START);
    let (due, timer) = host.poll_timeout().expect("the session lives");
    assert!(due > START, "{timer:?} is due at once, and nothing can be done about it");
}

#[test]
fn queued_picture_does_not_leave_once_view_is_withdrawn() {
    let (_, mut host) = pair::connected(&Config::default());
    let mut pictures = Pictures::new([vec![0; 5000]]);
    host.admit(START, Permissions::default_control());
    host.set_stream(PictureId(1), PARAMETERS).expect("established");
    let info = PictureInfo { id: PictureId(1), reference: None, captured_at: START, encoded_at: START };
    let rectangle =
        RectangleData { place: Rectangle::sized(64, 48), codec: Codec::H264, parts: &[&[7; 4000]] };
    let picture = pictures.push(&info, &[rectangle]).expect("it fits");
    host.send_picture(START, picture).expect("there is room");
    host.admit(START, Permissions::POINTER);
    assert_eq!(host.video_backlog_bytes(), 0, "nothing of it waits any more");
    let mut out = [0; 65_536];
    while let Some(sent) = host.poll_transmit(START, &pictures, &mut out) {
        assert_eq!(sent.class, rift::Class::Realtime, "no shard leaves");
    }
    // When it may view again it is led back into the stream.
    while host.poll_event().is_some() {}
    host.admit(START, Permissions::default_control());
    assert_eq!(host.poll_event(), Some(Event::RepairWanted { after: None }));
}

#[test]
fn everything_is_released_at_the_end_however_much_waits() {
    let (_, mut host) = pair::connected(&Config::default());
    let attacker = Attacker::of(Side::Responder, host.connection());
    host.admit(START, Permissions::default_control());
    // In one datagram: 30 keys go down, motion fills the queue, the session ends.
    let motion = |first: u32, count: u32| {
        let body = Body::default().u32(first).u8(0).u8(0).u8(0);
        (0x08, (0..count).fold(body, |body, _| body.u8(7).u16(1).u16(1)))
    };
    put(&mut host, &attacker, 0, &[presses(0, 1..31), motion(30, 64), motion(94, 64)]);
    put(&mut host, &attacker, 1, &[motion(158, 64), motion(222, 64), (0x04, Body::default().u16(0))]);
    let mut down = 0;
    while let Some(event) = host.poll_event() {
        if let Event::Input(InputEvent::Key { pressed, .. }) = event {
            down += if pressed { 1 } else { -1 };
        }
    }
    assert_eq!(down, 0, "keys stay down");
}

#[test]
fn key_beyond_the_32_that_can_be_released_is_not_pressed() {
    let (_, mut host) = pair::connected(&Config::default());
    let attacker = Attacker::of(Side::Responder, host.connection());
    host.admit(START, Permissions::default_control());
    put(&mut host, &attacker, 0, &[presses(0, 1..41)]);
    put(&mut host, &attacker, 1, &[(0x04, Body::default().u16(0))]);
    let (mut pressed, mut released) = (0, 0);
    while let Some(event) = host.poll_event() {
        if let Event::Input(InputEvent::Key { pressed: is_down, .. }) = event {
            pressed += u32::from(is_down);
            released += u32::from(!is_down);
        }
    }
    assert_eq!((pressed, released), (32, 32));
}

#[test]
fn overtaken_state_does_not_replace_a_newer_one() {
    let (mut client, _) = pair::connected(&Config::default());
    let attacker = Attacker::of(Side::Initiator, client.connection());
    let at = |x: u16| (0x0c, Body::default().u16(x).u16(0).u8(1).u32(1));
    let may = |bits: u32| (0x05, Body::default().u32(bits));
    put(&mut client, &attacker, 1, &[may(0b11), at(200)]);
    put(&mut client, &attacker, 0, &[may(0b111), at(100)]);
    assert_eq!(client.permissions(), Permissions::from_bits(0b11));
    let mut cursor = None;
    while let Some(event) = client.poll_event() {
        if let Event::Cursor(place) = event {
            cursor = Some(place.x);
        }
    }
    assert_eq!(cursor, Some(200));
}

#[test]
fn clock_that_shows_the_end_of_time_is_not_believed() {
    let (mut client, _) = pair::connected(&Config::default());
    let attacker = Attacker::of(Side::Initiator, client.connection());
    let now = u32::try_from(START.as_micros()).expect("early");
    for (number, arrived) in [i64::MAX.unsigned_abs(), u64::MAX, 1 << 61].into_iter().enumerate() {
        let reply = Body::default().u32(now.wrapping_sub(50_000_000)).u64(arrived).u32(0);
        put(&mut client, &attacker, number as u64, &[(0x02, reply)]);
    }
    assert_eq!(client.clock_relation(START), None);
    assert_eq!(client.peer_time(7, START), None);
}

#[test]
fn proven_peer_is_not_replaced_by_an_expected_one() {
    let identities = [rift::Identity::from_secret([1; 32]), rift::Identity::from_secret([2; 32])];
    let mut initiator = rift::Noise::initiator(&identities[0], [3; 32], rift::Opening::XX);
    let mut responder = rift::Noise::responder(&identities[1], [4; 32], rift::Opening::XX);
    let (mut message, mut payload) = ([0; 256], [0; 256]);
    let len = initiator.write_message(&[], &mut message).expect("its turn");
    responder.read_message(&message[..len], &mut payload).expect("true");
    let len = responder.write_message(&[], &mut message).expect("its turn");
    initiator.read_message(&message[..len], &mut payload).expect("true");
    initiator.expect_peer(identities[0].public());
    assert_eq!(initiator.peer(), Some(identities[1].public()));
    let len = initiator.write_message(&[], &mut message).expect("its turn");
    responder.read_message(&message[..len], &mut payload).expect("still the same handshake");
}

/// What is said again for want of an answer is not said again the more often for that (SPEC §7.3): a session that remembers
/// few packets forgets repetitions of what it still repeats.
#[test]
fn silent_peer_is_told_little_however_few_packets_are_remembered() {
    let (_, mut gateway) = pair::signalling(&Config::default());
    gateway.admit(START, Permissions::empty());
    gateway.announce_successor(rift::Identity::from_secret([7; 32]).public()).expect("it was let in");
    gateway.write(START, Channel::Control, &[7; 60]).expect("there is room");
    // It is there, a millisecond away, and then it is not.
    let device = Attacker::of(Side::Responder, gateway.connection());
    put(&mut gateway, &device, 0, &[(0x01, Body::default().u32(1))]);
    drain(&mut gateway, START);
    let asked_us = u32::try_from(START.as_micros()).expect("early");
    let mut text = Vec::new();
    messages::frame(&mut text, 0x02, &Body::default().u32(asked_us).u64(77).u32(0).0);
    let at = START.plus_micros(1_000);
    gateway.handle_datagram(at, PATH, at, Ecn::NotEct, &mut device.seal(1, &text)).expect("an answer");
    assert_eq!(gateway.stats(at).round_trip_us, 1_000);
    let mut sent = 0;
    for step_ms in 1..u64::from(Config::default().idle_us / 1000) {
        let now = START.plus_micros(step_ms * 1000);
        gateway.handle_timeout(now);
        let mut out = [0; 65_536];
        let here =
            core::iter::from_fn(|| gateway.poll_transmit(now, &NoPictures, &mut out)).take(100).count();
        assert!(here <= 4, "{here} datagrams in one millisecond, the {step_ms}th");
        sent += here;
    }
    assert!((10..300).contains(&sent), "{sent} datagrams");
}
