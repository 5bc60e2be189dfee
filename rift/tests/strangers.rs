//! What an endpoint does with first flights: load and cookies, versions, tokens, counters, a restart (SPEC §4.11–§4.17).

use core::net::SocketAddr;

use rift::crypto::{CookieKey, Mac1Key, mac2};
use rift::wire::handshake::{
    ANSWER_LEN, CALL_LEN, CallPayload, CookieReply, FirstFlight, Reply, Versions, connection_of,
};
use rift::wire::request;
use rift::wire::{DataHeader, Kind};
use rift::{
    AddressToken, Callee, CloseReason, Config, Discard, Ecn, Endpoint, Established, Event, Handshake,
    Identity, Instant, NoPictures, Noise, Opening, PathId, Permissions, PublicKey, Route, Session,
    SessionIndex, Storage,
};

type Memory = Storage<Vec<u8>, 64, 64, 0, 64>;
type Client = Session<Box<Memory>, Noise>;

const SECRET: [u8; 32] = [9; 32];
const START: Instant = Instant::from_micros(1_000_000);
const SECOND_US: u64 = 1_000_000;

fn host() -> Identity {
    Identity::from_secret([2; 32])
}

fn client(number: u8) -> Identity {
    Identity::from_secret([100 + number; 32])
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 4000))
}

/// An endpoint, and how many handshakes it computed.
struct Host {
    endpoint: Endpoint<Noise>,
    handshakes: u8,
    reply: [u8; 200],
    sessions: u16,
}

impl Host {
    fn new() -> Self {
        Self::started(0)
    }

    /// As it starts at this Unix time, in microseconds.
    fn started(epoch_us: u64) -> Self {
        let endpoint = Endpoint::new(&host().public(), SECRET).with_epoch(epoch_us);
        Self { endpoint, handshakes: 0, reply: [0; 200], sessions: 0 }
    }

    fn take(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Result<Route, Discard> {
        let handshakes = &mut self.handshakes;
        let responder = |opening| {
            *handshakes = handshakes.wrapping_add(1);
            Noise::responder(&host(), [*handshakes; 32], opening)
        };
        self.endpoint.handle_datagram(now, from, datagram, responder, &mut self.reply)
    }

    /// What it says to a datagram.
    fn says(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) -> Vec<u8> {
        match self.take(now, from, datagram) {
            Ok(Route::Reply(len)) => self.reply[..len].to_vec(),
            other => panic!("a reply: {other:?}"),
        }
    }

    /// Lets a caller in; `None` when the call starts nothing.
    fn lets_in(&mut self, now: Instant, from: SocketAddr, call: &[u8]) -> Option<Established> {
        let Ok(Route::Established(established)) = self.take(now, from, call) else { return None };
        self.sessions += 1;
        assert!(self.endpoint.adopt(established.connection(), SessionIndex(self.sessions % 60)));
        Some(established)
    }
}

/// A call as a client of this number makes it.
fn call(number: u8, counter: u64, token: Option<AddressToken>) -> Vec<u8> {
    let seed = counter.to_be_bytes()[7] ^ number;
    let mut handshake = Noise::initiator(&client(number), [seed; 32], Opening::IK);
    handshake.expect_peer(host().public());
    let token = token.map_or([0; 24], |token| *token.as_bytes());
    let payload = CallPayload { counter, connection: 77, token, frames: &[] };
    let (mut bytes, mut noise, mut datagram) = ([0; 200], [0; 300], vec![0; CALL_LEN]);
    let len = payload.emit(&mut bytes).expect("room");
    let len = handshake.write_message(&bytes[..len], &mut noise).expect("its turn");
    let key = Mac1Key::new(&host().public());
    FirstFlight::emit(&mut datagram, Opening::IK, &noise[..len], |text| key.mac1(text)).expect("room");
    datagram
}

/// First flights of people who know the host's key and nothing else: curves cost them nothing.
fn bogus(number: u32, opening: Opening) -> Vec<u8> {
    let mut noise = [7; 150];
    noise[..4].copy_from_slice(&number.to_be_bytes());
    let noise = &noise[..if opening == Opening::IK { 150 } else { 36 }];
    let (mut datagram, key) = (vec![0; CALL_LEN], Mac1Key::new(&host().public()));
    let len = FirstFlight::emit(&mut datagram, opening, noise, |text| key.mac1(text)).expect("room");
    datagram.truncate(len);
    datagram
}

/// The flight with the proof of a cookie.
fn with_cookie(flight: &[u8], reply: &[u8]) -> Vec<u8> {
    let parsed = FirstFlight::parse(flight).expect("a first flight");
    let sealed = CookieReply::parse(reply).expect("a cookie").sealed;
    let cookie = CookieKey::new(&host().public()).open(&parsed.mac1, &sealed).expect("for this flight");
    let (at, mac) = (parsed.with_mac1.len(), mac2(&cookie, parsed.with_mac1));
    let mut flight = flight.to_vec();
    flight[at..at + mac.len()].copy_from_slice(&mac);
    flight
}

#[test]
fn flood_of_bogus_flights_is_answered_with_cookies_and_costs_few_handshakes() {
    // Half of the places are taken and stay so for 10 s; or 32 at once and 100 a second.
    for (opening, computed_max) in [(Opening::XX, 33), (Opening::IK, 134)] {
        let mut host = Host::new();
        let (mut cookies, mut now) = (0, START);
        for number in 0..10_000 {
            now = now.plus_micros(100);
            let flight = bogus(number, opening);
            let route = host.take(now, address(u8::try_from(number % 200).expect("small")), &flight);
            if let Ok(Route::Reply(len)) = route
                && Kind::of(host.reply[0]) == Some(Kind::Cookie)
            {
                assert!(len < flight.len(), "{len} bytes");
                cookies += 1;
            }
        }
        let computed = 10_000 - cookies;
        assert!((computed_max - 4..=computed_max).contains(&computed), "{opening:?}: {computed} handshakes");
        assert!(host.endpoint.pending() <= rift::limits::PENDING_HANDSHAKES);
        // Who hears what is sent to him gets in.
        let flight = call(1, 5, None);
        let reply = host.says(now, address(201), &flight);
        let computed = host.handshakes;
        assert!(host.take(now, address(202), &with_cookie(&flight, &reply)).is_err(), "another's cookie");
        assert_eq!(host.handshakes, computed, "costs nothing");
        assert!(host.lets_in(now, address(201), &with_cookie(&flight, &reply)).is_some());
    }
}

#[test]
fn who_has_cookies_keeps_the_host_busy_within_bounds() {
    let mut host = Host::new();
    let mut computed = 0u32;
    for number in 0..2_000 {
        let now = START.plus_micros(u64::from(number) * 500);
        let from = address(u8::try_from(number % 200).expect("small"));
        let flight = bogus(number, Opening::IK);
        let before = host.handshakes;
        if let Ok(Route::Reply(len)) = host.take(now, from, &flight) {
            let reply = host.reply[..len].to_vec();
            let refused = host.take(now, from, &with_cookie(&flight, &reply)).expect_err("it is bogus");
            assert!(matches!(refused, Discard::NoRoom | Discard::Authentication), "{refused:?}");
        }
        computed += u32::from(host.handshakes.wrapping_sub(before));
    }
    // A second of both kinds: 32 + 100 and 64 + 400.
    assert!((400..600).contains(&computed), "{computed} handshakes");
}

#[test]
fn client_comes_back_with_a_cookie_at_once() {
    let mut host = Host::new();
    for number in 0..40 {
        let _ = host.take(START, address(3), &bogus(number, Opening::IK));
    }
    let mut client = caller(1, 5, Permissions::VIEW);
    let mut out = [0; 1500];
    let len = client.poll_transmit(START, &NoPictures, &mut out).expect("a call").len;
    let mut reply = host.says(START, address(1), &out[..len]);
    let mut forged = reply.clone();
    forged[20] ^= 1;
    for (bytes, taken) in [(&mut forged, Err(Discard::Authentication)), (&mut reply, Ok(()))] {
        assert_eq!(client.handle_datagram(START, PathId(0), START, Ecn::NotEct, bytes), taken);
    }
    let len = client.poll_transmit(START, &NoPictures, &mut out).expect("the call again").len;
    let established = host.lets_in(START, address(1), &out[..len]).expect("let in");
    assert_eq!(established.wanted(), Permissions::VIEW);
    assert_eq!(client.poll_transmit(START, &NoPictures, &mut out), None, "and not a third time");
    // Cookies cannot make it speak more than its timer does.
    assert_eq!(client.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut reply), Ok(()));
    assert_eq!(client.poll_transmit(START, &NoPictures, &mut out), None);
}

fn caller(number: u8, counter: u64, wanted: Permissions) -> Client {
    let config = Config { wanted, ..Config::default() };
    let handshake = Noise::initiator(&client(number), [33; 32], Opening::IK);
    let callee = Callee { host: host().public(), counter, token: None };
    Session::call(&config, handshake, &callee, 77, Box::new(Memory::new()), PathId(0), START)
}

/// SPEC §4.17/1.
#[test]
fn flight_of_another_version_is_told_what_is_spoken_and_ends_nothing() {
    let mut host = Host::new();
    let mut newer = bogus(1, Opening::XX);
    let resign = |flight: &mut [u8], key: &PublicKey| {
        let parsed = FirstFlight::parse(flight).expect("a first flight");
        let (at, mac) = (parsed.authenticated.len(), Mac1Key::new(key).mac1(parsed.authenticated));
        flight[at..at + 16].copy_from_slice(&mac);
        mac
    };
    newer[1..3].copy_from_slice(&[7, 9]);
    let mac = resign(&mut newer, &Identity::from_secret([1; 32]).public());
    assert_eq!(host.take(START, address(1), &newer).err(), Some(Discard::Authentication), "silence");
    let mac1 = resign(&mut newer, &self::host().public());
    assert_ne!(mac, mac1);
    let reply = host.says(START, address(1), &newer);
    assert_eq!(Versions::parse(&reply), Some(Versions { mac1, spoken: &[1] }));
    assert!(reply.len() < newer.len());
    assert_eq!((host.handshakes, host.endpoint.pending()), (0, 0));

    // Anybody can say so: the client goes on, and only says in the end that this may have been why.
    let mut client = caller(1, 5, Permissions::all());
    let mut out = [0; 1500];
    let len = client.poll_transmit(START, &NoPictures, &mut out).expect("a call").len;
    let mac1 = FirstFlight::parse(&out[..len]).expect("a call").mac1;
    let mut foreign = Versions::to_bytes(&[1; 16]);
    let mut told = Versions::to_bytes(&mac1);
    let discarded = client.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut foreign);
    assert_eq!(discarded, Err(Discard::UnknownConnection));
    assert_eq!(client.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut told), Ok(()));
    assert_eq!(client.poll_event(), None);
    let mut now = START;
    while let Some((due, _)) = client.poll_timeout() {
        now = due;
        client.handle_timeout(now);
        let _ = client.poll_transmit(now, &NoPictures, &mut out);
    }
    assert_eq!(client.poll_event(), Some(Event::Closed(CloseReason::Version)));
    assert_eq!(now, START.plus_micros(10 * SECOND_US));
}

/// SPEC §4.17/2.
#[test]
fn older_version_is_not_talked_into() {
    // A flight whose head was altered to say that its sender speaks nothing newer: both bytes are in the prologue.
    let mut host = Host::new();
    let opening = Opening { newest: 3, ..Opening::IK };
    let mut handshake = Noise::initiator(&client(1), [1; 32], opening);
    handshake.expect_peer(self::host().public());
    let (mut noise, mut datagram) = ([0; 300], vec![0; CALL_LEN]);
    let payload = CallPayload { counter: 1, connection: 77, token: [0; 24], frames: &[] };
    let mut bytes = [0; 100];
    let len = payload.emit(&mut bytes).expect("room");
    let len = handshake.write_message(&bytes[..len], &mut noise).expect("its turn");
    let key = Mac1Key::new(&self::host().public());
    let altered = Opening::IK;
    FirstFlight::emit(&mut datagram, altered, &noise[..len], |text| key.mac1(text)).expect("room");
    assert_eq!(host.take(START, address(1), &datagram).err(), Some(Discard::Authentication));
    FirstFlight::emit(&mut datagram, opening, &noise[..len], |text| key.mac1(text)).expect("room");
    assert!(host.lets_in(START, address(1), &datagram).is_some(), "as it was meant");
}

#[test]
fn token_is_good_once_for_its_client_from_its_network() {
    let day_us = 24 * 3600 * SECOND_US;
    let mut host = Host::started(1_700_000_000 * SECOND_US);
    let peer = client(1).public();
    let mut counter = 0;
    let mut is_proven = |host: &mut Host, now, from, number, token| {
        counter += 1;
        let established = host.lets_in(now, from, &call(number, counter, token)).expect("let in");
        established.is_address_proven()
    };
    assert!(!is_proven(&mut host, START, address(1), 1, None));
    let mut token = || Some(host.endpoint.make_token(START, &peer, address(1)));
    let (first, second, third, fourth) = (token(), token(), token(), token());
    assert!(first != second && second != third);
    assert!(!is_proven(&mut host, START, address(1), 2, second), "somebody else's");
    assert!(!is_proven(&mut host, START, SocketAddr::from(([192, 0, 3, 1], 1)), 1, second), "from elsewhere");
    assert!(is_proven(&mut host, START, address(200), 1, second), "from next door");
    assert!(!is_proven(&mut host, START, address(1), 1, second), "used");
    assert!(!is_proven(&mut host, START, address(1), 1, first), "older than one that was used");
    let week = START.plus_micros(7 * day_us);
    assert!(is_proven(&mut host, week.minus_micros(1), address(1), 1, third));
    assert!(!is_proven(&mut host, week.plus_micros(SECOND_US), address(1), 1, fourth), "too old");
}

#[test]
fn restarted_host_knows_its_tokens_but_not_who_called() {
    let epoch_us = 1_700_000_000 * SECOND_US;
    let mut before = Host::started(epoch_us);
    let recorded = call(1, 100, None);
    let first = before.lets_in(START, address(1), &recorded).expect("let in");
    let token = before.endpoint.make_token(START, &client(1).public(), address(1));
    assert_eq!(before.says(START, address(1), &recorded).len(), ANSWER_LEN, "the same answer");
    drop(before);

    let mut after = Host::started(epoch_us + 3600 * SECOND_US);
    let established = after.lets_in(START, address(1), &call(1, 101, Some(token))).expect("let in");
    assert!(established.is_address_proven(), "one round trip, as if nothing had happened");
    assert_ne!(established.connection(), first.connection(), "ids do not come again");
    // What was recorded before is older than what came since.
    assert_eq!(after.take(START, address(1), &recorded).err(), Some(Discard::Replay));
    assert!(!established.is_stranger());

    // Nothing came since: then it goes on trial once, proves nothing, and is bounded.
    let mut after = Host::started(epoch_us + 3600 * SECOND_US);
    let trial = after.lets_in(START, address(1), &recorded).expect("nobody knows better");
    assert!(!trial.is_address_proven());
    let mut session: Session<Box<Memory>, Noise> =
        Session::from_established(&Config::default(), trial, Box::new(Memory::new()), PathId(0), START);
    session.admit(START, Permissions::all());
    let (mut sent, mut now, mut out) = (0, START, [0; 1500]);
    while let Some((due, _)) = session.poll_timeout() {
        while let Some(transmit) = session.poll_transmit(now, &NoPictures, &mut out) {
            sent += transmit.len;
        }
        now = due.max(now.plus_micros(1));
        session.handle_timeout(now);
    }
    assert!(sent <= 3 * CALL_LEN && !session.is_live(), "{sent} bytes");
    assert!(session.is_closed() && now <= START.plus_micros(5 * SECOND_US + 1));
}

/// SPEC §4.12/2.
#[test]
fn call_with_a_counter_that_is_not_larger_starts_nothing() {
    let mut host = Host::new();
    assert!(host.lets_in(START, address(1), &call(1, 100, None)).is_some());
    for counter in [0, 1, 99] {
        let refused = host.take(START, address(1), &call(1, counter, None)).err();
        assert_eq!(refused, Some(Discard::Replay), "{counter}");
    }
    assert!(
        host.lets_in(START, address(1), &call(2, 1, None)).is_some(),
        "another client's counter is its own"
    );
    assert!(host.lets_in(START, address(1), &call(1, 101, None)).is_some());
    // Who was not let in uses nothing up.
    let Ok(Route::Established(established)) = host.take(START, address(1), &call(3, 9, None)) else {
        panic!("it has proven its key")
    };
    let mut out = [0; 200];
    let len = host.endpoint.refuse(established, CloseReason::Refused, &mut out);
    assert!(len > ANSWER_LEN && out[0] == 0x14);
    let again = host.says(START, address(1), &call(3, 9, None));
    assert_eq!(again, out[..len], "the same refusal");
    assert!(host.lets_in(START, address(1), &call(3, 8, None)).is_some());
}

#[test]
fn counters_of_more_clients_than_are_remembered_do_not_come_again() {
    let mut host = Host::new();
    let clients = u8::try_from(rift::limits::CLIENTS_REMEMBERED).expect("few");
    let mut now = START;
    for number in 0..clients + 5 {
        now = now.plus_micros(20_000);
        assert!(host.lets_in(now, address(1), &call(number, 1_000 + u64::from(number), None)).is_some());
    }
    for number in [0, 1, 4] {
        now = now.plus_micros(20_000);
        let replayed = host.take(now, address(1), &call(number, 1_000 + u64::from(number), None)).err();
        assert_eq!(replayed, Some(Discard::Replay), "client {number} was forgotten, its calls are not");
    }
    now = now.plus_micros(20_000);
    assert!(host.lets_in(now, address(1), &call(0, 1_100, None)).is_some(), "it comes back");
}

#[test]
fn request_travels_with_the_last_message_of_either_handshake() {
    let mut host = Host::new();
    let mut frames = [0; 16];
    assert_eq!(request::emit(Permissions::VIEW, &mut frames), Some(6));
    // XX: with the confirmation.
    let config = Config { wanted: Permissions::view_only(), ..Config::default() };
    let handshake = Noise::initiator(&client(1), [33; 32], Opening::XX);
    let key = self::host().public();
    let mut client: Client =
        Session::connect(&config, handshake, key, 77, Box::new(Memory::new()), PathId(0), START);
    let mut out = [0; 1500];
    let len = client.poll_transmit(START, &NoPictures, &mut out).expect("an initiation").len;
    let mut response = host.says(START, address(1), &out[..len]);
    assert_eq!(Reply::parse(&response).map(|reply| reply.connection), Some(77));
    client.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut response).expect("the response");
    let len = client.poll_transmit(START, &NoPictures, &mut out).expect("a confirmation").len;
    let established = host.lets_in(START, address(1), &out[..len]).expect("let in");
    assert_eq!(established.wanted(), Permissions::view_only());
    assert_eq!(connection_of(&out[1..5]), Some(established.connection()));
}

/// SPEC §6.6.
#[test]
fn who_is_half_way_in_or_was_told_to_stay_out_hears_of_no_lost_session() {
    let mut host = Host::new();
    let says = |host: &mut Host, connection| {
        let mut packet = DataHeader { phase: false, connection, packet_number: 1 }.to_bytes().to_vec();
        packet.resize(60, 0x5a);
        match host.take(START, address(1), &packet) {
            Ok(Route::Reply(len)) => Some(host.reply[..len].to_vec()),
            Err(Discard::UnknownConnection) => None,
            other => panic!("{other:?}"),
        }
    };
    let handshake = Noise::initiator(&client(1), [33; 32], Opening::XX);
    let (key, memory) = (self::host().public(), Box::new(Memory::new()));
    let mut client: Client =
        Session::connect(&Config::default(), handshake, key, 77, memory, PathId(0), START);
    let mut out = [0; 1500];
    let len = client.poll_transmit(START, &NoPictures, &mut out).expect("an initiation").len;
    let mut response = host.says(START, address(1), &out[..len]);
    client.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut response).expect("the response");
    let len = client.poll_transmit(START, &NoPictures, &mut out).expect("a confirmation").len;
    let connection = connection_of(&out[1..5]).expect("the host's id");
    assert_eq!(host.endpoint.pending(), 1);
    assert_eq!(says(&mut host, connection), None, "half way in");
    let route = host.take(START, address(1), &out[..len]);
    let Ok(Route::Established(established)) = route else { panic!("{route:?}") };
    let mut refusal = [0; 200];
    assert!(host.endpoint.refuse(established, CloseReason::Refused, &mut refusal) > 0);
    assert_eq!(says(&mut host, connection), None, "told to stay out");
    let reset = says(&mut host, connection ^ 1).expect("an id that is nobody's");
    assert_eq!(Kind::of(reset[0]), Some(Kind::Reset));
}

/// SPEC §4.10.
#[test]
fn window_that_closes_takes_with_it_who_came_through_it_half_way() {
    let mut host = Host::new();
    host.endpoint.set_pairing_window(true);
    let (config, mut out) = (Config::default(), [0; 1500]);
    let noise = |number| Noise::initiator(&client(number), [number; 32], Opening::XX);
    let memory = || Box::new(Memory::new());
    let mut stranger: Client = Session::approach(&config, noise(1), 77, memory(), PathId(0), START);
    let key = self::host().public();
    let mut known: Client = Session::connect(&config, noise(2), key, 78, memory(), PathId(0), START);
    for (at, client) in [&mut stranger, &mut known].into_iter().enumerate() {
        let len = client.poll_transmit(START, &NoPictures, &mut out).expect("an initiation").len;
        let from = address(u8::try_from(at).expect("two"));
        let mut response = host.says(START, from, &out[..len]);
        client.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut response).expect("the response");
    }
    host.endpoint.set_pairing_window(true);
    assert_eq!(host.endpoint.pending(), 2, "opened again, it is as it was");
    host.endpoint.set_pairing_window(false);
    assert_eq!(host.endpoint.pending(), 1);
    let len = stranger.poll_transmit(START, &NoPictures, &mut out).expect("a confirmation").len;
    assert!(host.lets_in(START, address(0), &out[..len]).is_none(), "too late");
    let len = known.poll_transmit(START, &NoPictures, &mut out).expect("a confirmation").len;
    assert!(host.lets_in(START, address(1), &out[..len]).is_some(), "it knew whom it called");
}

/// SPEC §4.4.
#[test]
fn confirmation_counts_for_its_connection_and_from_its_address() {
    let (mut host, mut out) = (Host::new(), [0; 1500]);
    let mut confirmations = Vec::new();
    for number in 1..=2 {
        let handshake = Noise::initiator(&client(number), [number; 32], Opening::XX);
        let (key, memory) = (self::host().public(), Box::new(Memory::new()));
        let mut client: Client =
            Session::connect(&Config::default(), handshake, key, 77, memory, PathId(0), START);
        let len = client.poll_transmit(START, &NoPictures, &mut out).expect("an initiation").len;
        let mut response = host.says(START, address(number), &out[..len]);
        client.handle_datagram(START, PathId(0), START, Ecn::NotEct, &mut response).expect("the response");
        let len = client.poll_transmit(START, &NoPictures, &mut out).expect("a confirmation").len;
        confirmations.push(out[..len].to_vec());
    }
    for (from, confirmation) in [(2, &confirmations[0]), (1, &confirmations[1]), (3, &confirmations[0])] {
        let route = host.take(START, address(from), confirmation);
        assert!(matches!(route, Err(Discard::UnknownConnection)), "{route:?}");
    }
    let last = START.plus_micros(10 * SECOND_US - 1);
    assert!(host.lets_in(last, address(1), &confirmations[0]).is_some(), "nothing was lost by that");
    let late = host.take(last.plus_micros(1), address(2), &confirmations[1]);
    assert!(matches!(late, Err(Discard::UnknownConnection)), "{late:?}");
}
