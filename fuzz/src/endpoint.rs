//! Datagrams from strangers to an endpoint: who does not know the host's key hears nothing, nobody is sent three times
//! what they sent, no call is let in twice, and what is kept is bounded (SPEC §4.3, §4.4, §4.8, §4.12).

use core::net::SocketAddr;
use std::collections::BTreeSet;

use rift::crypto::{Mac1Key, Side, verify_mac1};
use rift::limits::PENDING_HANDSHAKES;
use rift::wire::handshake::{CALL_LEN, CallPayload, FirstFlight, Reply, connection_of};
use rift::wire::{DataHeader, Kind};
use rift::{Endpoint, Handshake, Identity, Instant, Noise, Opening, PublicKey, Route, SessionIndex};

use crate::bytes::Bytes;
use crate::known::{HOST, Known};
use crate::pair::START;

/// Real handshakes cost a millisecond each under a fuzzer.
const REAL_HANDSHAKES_MAX: usize = 6;

/// Plays strangers against a fresh endpoint; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    if bytes.flag() {
        let identity = Identity::from_secret([1; 32]);
        let stranger = Identity::from_secret([2; 32]);
        let key = identity.public();
        let responder = |opening| Noise::responder(&identity, [3; 32], opening);
        let initiator = |opening| Noise::initiator(&stranger, [4; 32], opening);
        Play::new(key, responder, initiator, Some(REAL_HANDSHAKES_MAX)).run(&mut bytes);
    } else {
        let responder = |opening: Opening| Known::new(Side::Responder, opening.pattern);
        let initiator = |opening: Opening| Known::new(Side::Initiator, opening.pattern);
        Play::new(HOST, responder, initiator, None).run(&mut bytes);
    }
}

/// An honest client, as far as its handshake has come.
struct Caller<H> {
    handshake: H,
    first: Vec<u8>,
    third: Option<Vec<u8>>,
    /// Of a call.
    counter: Option<u64>,
}

struct Play<H, R, I> {
    key: PublicKey,
    endpoint: Endpoint<H>,
    responder: R,
    initiator: I,
    now: Instant,
    /// Handshakes that may still be begun; `None` = any number, because they are not real.
    patience: Option<usize>,
    callers: Vec<Caller<H>>,
    /// Replies that were sent, newest last.
    replies: Vec<Vec<u8>>,
    adopted: BTreeSet<(u32, u16)>,
    /// The largest counter of a call that was let in.
    counter: Option<u64>,
}

impl<H: Handshake, R: Fn(Opening) -> H, I: Fn(Opening) -> H> Play<H, R, I> {
    fn new(key: PublicKey, responder: R, initiator: I, patience: Option<usize>) -> Self {
        Self {
            key,
            endpoint: Endpoint::new(&key, [5; 32]),
            responder,
            initiator,
            now: START,
            patience,
            callers: Vec::new(),
            replies: Vec::new(),
            adopted: BTreeSet::new(),
            counter: None,
        }
    }

    fn run(&mut self, bytes: &mut Bytes<'_>) {
        while !bytes.is_empty() {
            match bytes.below(11) {
                0 => {
                    let datagram = bytes.run(2048).to_vec();
                    self.put(address(bytes), &datagram);
                }
                1 => self.now = self.now.plus_micros(u64::from(bytes.u16()) * 1000),
                2 => self.flight_of_any_content(bytes),
                3 => self.call(bytes),
                4 => self.repeat(bytes, false),
                5 => self.repeat(bytes, true),
                6 => self.confirm_with_anything(bytes),
                7 => self.send_data(bytes),
                8 => self.release(bytes),
                9 => self.call_pinned(bytes),
                _ => self.endpoint.set_pairing_window(false),
            }
        }
    }

    /// A first flight by somebody who knows the host's key and writes what he likes.
    fn flight_of_any_content(&mut self, bytes: &mut Bytes<'_>) {
        let opening = if bytes.flag() { Opening::IK } else { Opening::XX };
        let noise = bytes.run(CALL_LEN);
        let mut datagram = [0; 2 * CALL_LEN];
        let key = Mac1Key::new(&self.key);
        let len = FirstFlight::emit(&mut datagram, opening, noise, |bytes| key.mac1(bytes));
        // A message that no first flight has room for is never sent.
        let Some(len) = len else { return };
        self.put(address(bytes), &datagram[..len]);
    }

    /// An honest client writes its first flight.
    fn first_flight(&self, opening: Opening, payload: &[u8]) -> (H, Vec<u8>) {
        let mut handshake = (self.initiator)(opening);
        handshake.expect_peer(self.key);
        let mut noise = [0; 256];
        let len = handshake.write_message(payload, &mut noise).expect("its turn");
        let mut first = vec![0; CALL_LEN];
        let key = Mac1Key::new(&self.key);
        let len = FirstFlight::emit(&mut first, opening, &noise[..len], |bytes| key.mac1(bytes));
        first.truncate(len.expect("there is room"));
        (handshake, first)
    }

    /// An honest client begins.
    fn call(&mut self, bytes: &mut Bytes<'_>) {
        let connection = bytes.u32();
        if self.patience == Some(0) {
            return;
        }
        let (handshake, first) = self.first_flight(Opening::XX, &connection.to_be_bytes());
        self.callers.push(Caller { handshake, first: first.clone(), third: None, counter: None });
        let replies = self.replies.len();
        self.put(address(bytes), &first);
        let Some(reply) = self.replies.get(replies) else { return };
        if Kind::of(reply[0]) == Some(Kind::Cookie) {
            return;
        }
        let message = Reply::parse(reply).expect("a reply is a response");
        assert_eq!(message.connection, connection, "the reply is addressed to who asked");
        let caller = self.callers.last_mut().expect("just pushed");
        let mut payload = [0; 64];
        let len = caller.handshake.read_message(message.noise, &mut payload).expect("the host's own message");
        let host = connection_of(&payload[..len]).expect("the host's connection id");
        let mut third = vec![0; 256];
        Reply::emit_head(&mut third, Kind::Confirmation, host).expect("there is room");
        let len = caller.handshake.write_message(&[], &mut third[Reply::HEAD_LEN..]).expect("its turn");
        third.truncate(Reply::HEAD_LEN + len);
        caller.third = Some(third);
    }

    /// A client that pinned the host calls, with a counter of any size.
    fn call_pinned(&mut self, bytes: &mut Bytes<'_>) {
        if self.patience == Some(0) {
            return;
        }
        let counter = u64::from(bytes.near(100));
        let frames = bytes.run(40).to_vec();
        let call = CallPayload { counter, connection: bytes.u32(), token: [bytes.u8(); 24], frames: &frames };
        let mut payload = [0; 256];
        let len = call.emit(&mut payload).expect("there is room");
        let (handshake, first) = self.first_flight(Opening::IK, &payload[..len]);
        self.callers.push(Caller { handshake, first: first.clone(), third: None, counter: Some(counter) });
        self.put(address(bytes), &first);
    }

    /// A message of an earlier client, perhaps changed, perhaps from elsewhere.
    fn repeat(&mut self, bytes: &mut Bytes<'_>, is_third: bool) {
        let index = bytes.below(self.callers.len());
        let Some(caller) = self.callers.get(index) else { return };
        let Some(mut datagram) = (if is_third { caller.third.clone() } else { Some(caller.first.clone()) })
        else {
            return;
        };
        if bytes.flag() {
            let at = usize::from(bytes.u8()) % datagram.len();
            datagram[at] ^= bytes.u8();
        }
        self.put(address(bytes), &datagram);
    }

    /// A third message of any content for a handshake that is pending.
    fn confirm_with_anything(&mut self, bytes: &mut Bytes<'_>) {
        let index = bytes.below(self.callers.len());
        let Some(third) = self.callers.get(index).and_then(|caller| caller.third.as_ref()) else { return };
        let mut datagram = third[..Reply::HEAD_LEN].to_vec();
        datagram.extend_from_slice(bytes.run(1500));
        self.put(address(bytes), &datagram);
    }

    fn send_data(&mut self, bytes: &mut Bytes<'_>) {
        let adopted = self.adopted.iter().nth(bytes.below(self.adopted.len())).copied();
        let connection = adopted.map_or(0, |(connection, _)| connection);
        let header = DataHeader { phase: false, connection, packet_number: bytes.u16().into() };
        let mut datagram = header.to_bytes().to_vec();
        datagram.extend_from_slice(bytes.run(64));
        self.put(address(bytes), &datagram);
    }

    fn release(&mut self, bytes: &mut Bytes<'_>) {
        let index = u16::from(bytes.u8() % 80);
        self.endpoint.release(SessionIndex(index));
        self.adopted.retain(|&(_, known)| known != index);
    }

    fn put(&mut self, from: SocketAddr, datagram: &[u8]) {
        let mut reply = [0xa5; 200];
        let patience = self.patience;
        let mut begun = 0;
        let responder = |opening| {
            begun += 1;
            (self.responder)(opening)
        };
        // A flight that would cost more than the fuzzer has time for is left out.
        let kind = datagram.first().and_then(|&first| Kind::of(first));
        if matches!(kind, Some(Kind::Initiation | Kind::Call)) && patience == Some(0) {
            return;
        }
        let route = self.endpoint.handle_datagram(self.now, from, datagram, responder, &mut reply);
        self.patience = patience.map(|patience| patience.saturating_sub(begun));
        assert!(self.endpoint.pending() <= PENDING_HANDSHAKES, "what is pending is bounded");
        let flight = FirstFlight::parse(datagram);
        let knows_key =
            flight.is_some_and(|flight| verify_mac1(&self.key, flight.authenticated, &flight.mac1));
        assert!(begun == 0 || knows_key, "only who knows the key costs a handshake");
        match route {
            Ok(Route::Reply(len)) => {
                let is_reset = kind == Some(Kind::Data) && reply[0] == 0x20 && len < datagram.len();
                assert!(
                    knows_key || is_reset,
                    "who does not know the key hears nothing but a reset (SPEC §6.6)"
                );
                assert!(len <= 3 * datagram.len(), "a reply of {len} bytes to {}", datagram.len());
                assert!(reply[len..].iter().all(|&byte| byte == 0xa5), "only the reply is written");
                self.replies.push(reply[..len].to_vec());
            }
            Ok(Route::Session(index)) => {
                let header = DataHeader::parse(datagram).expect("only packets belong to sessions");
                assert!(self.adopted.contains(&(header.connection, index.0)), "a session that was adopted");
            }
            Ok(Route::Established(established)) => {
                // Padding and a MAC that nobody asked for mean nothing.
                let of_call = flight.map(|flight| flight.with_mac1);
                let caller = self.callers.iter().find(|caller| {
                    let called = FirstFlight::parse(&caller.first).map(|flight| flight.with_mac1);
                    caller.third.as_deref() == Some(datagram) || (of_call.is_some() && called == of_call)
                });
                assert!(patience.is_none() || caller.is_some(), "only a true message establishes");
                let counter = caller.and_then(|caller| caller.counter);
                assert!(counter.is_none() || self.counter < counter, "no call is let in twice (SPEC §4.12)");
                let connection = established.connection();
                let taken = |known: u32| self.adopted.iter().any(|&(connection, _)| connection == known);
                assert!(!taken(connection), "connection ids of live sessions are not given again");
                let index = u16::try_from(self.adopted.len()).unwrap_or(u16::MAX);
                if self.adopted.iter().all(|&(_, known)| known != index)
                    && self.endpoint.adopt(connection, SessionIndex(index))
                {
                    self.adopted.insert((connection, index));
                    self.counter = self.counter.max(counter);
                }
            }
            Err(_) => assert!(reply.iter().all(|&byte| byte == 0xa5), "nothing is written for nothing"),
        }
    }
}

/// One of a few addresses: repetitions from the same and from another one differ.
fn address(bytes: &mut Bytes<'_>) -> SocketAddr {
    let host = bytes.u8();
    SocketAddr::from(([192, 0, 2, host % 4], 4000 + u16::from(host / 4)))
}
