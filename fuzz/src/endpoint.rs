//! Datagrams from strangers to an endpoint: who does not know the host's key hears nothing, nobody is sent three times
//! what they sent, and what is kept is bounded (SPEC §4.3, §4.4, §4.8).

use core::net::SocketAddr;
use std::collections::BTreeSet;

use rift::crypto::{Mac1Key, Side, verify_mac1};
use rift::limits::PENDING_HANDSHAKES;
use rift::wire::handshake::{INITIATION_LEN, INITIATION_NOISE_LEN, Initiation, Reply, connection_of};
use rift::wire::{DataHeader, Kind};
use rift::{Endpoint, Handshake, Identity, Instant, Noise, Opening, Pattern, PublicKey, Route, SessionIndex};

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
        let initiator = || Noise::initiator(&stranger, [4; 32], Opening::XX);
        Play::new(key, responder, initiator, Some(REAL_HANDSHAKES_MAX)).run(&mut bytes);
    } else {
        let responder = |opening: Opening| Known::new(Side::Responder, opening.pattern);
        let initiator = || Known::new(Side::Initiator, Pattern::Xx);
        Play::new(HOST, responder, initiator, None).run(&mut bytes);
    }
}

/// An honest client, as far as its handshake has come.
struct Caller<H> {
    handshake: H,
    first: Vec<u8>,
    third: Option<Vec<u8>>,
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
}

impl<H: Handshake, R: Fn(Opening) -> H, I: Fn() -> H> Play<H, R, I> {
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
        }
    }

    fn run(&mut self, bytes: &mut Bytes<'_>) {
        while !bytes.is_empty() {
            match bytes.below(9) {
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
                _ => self.release(bytes),
            }
        }
    }

    /// An initiation by somebody who knows the host's key and writes what he likes.
    fn flight_of_any_content(&mut self, bytes: &mut Bytes<'_>) {
        let mut noise = [0; INITIATION_NOISE_LEN];
        let chosen = bytes.run(INITIATION_NOISE_LEN);
        noise[..chosen.len()].copy_from_slice(chosen);
        let mut datagram = [0; INITIATION_LEN];
        let key = Mac1Key::new(&self.key);
        Initiation::emit(&mut datagram, &noise, |bytes| key.mac1(bytes)).expect("the length is right");
        self.put(address(bytes), &datagram);
    }

    /// An honest client begins.
    fn call(&mut self, bytes: &mut Bytes<'_>) {
        let connection = bytes.u32();
        if self.patience == Some(0) {
            return;
        }
        let mut handshake = (self.initiator)();
        let mut payload = [0; INITIATION_NOISE_LEN - 32];
        payload[..4].copy_from_slice(&connection.to_be_bytes());
        let mut noise = [0; INITIATION_NOISE_LEN];
        handshake.write_message(&payload, &mut noise).expect("its turn");
        let mut first = vec![0; INITIATION_LEN];
        let key = Mac1Key::new(&self.key);
        Initiation::emit(&mut first, &noise, |bytes| key.mac1(bytes)).expect("the length is right");
        self.callers.push(Caller { handshake, first: first.clone(), third: None });
        let replies = self.replies.len();
        self.put(address(bytes), &first);
        let Some(reply) = self.replies.get(replies) else { return };
        let message = Reply::parse(reply).expect("a reply is a response");
        assert_eq!(message.connection, connection, "the reply is addressed to who asked");
        let caller = self.callers.last_mut().expect("just pushed");
        let mut payload = [0; 64];
        let len = caller.handshake.read_message(message.noise, &mut payload).expect("the host's own message");
        let host = connection_of(&payload[..len]).expect("the host's connection id");
        let mut third = vec![0; 256];
        Reply::emit_head(&mut third, true, host).expect("there is room");
        let len = caller.handshake.write_message(&[], &mut third[Reply::HEAD_LEN..]).expect("its turn");
        third.truncate(Reply::HEAD_LEN + len);
        caller.third = Some(third);
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
        if kind == Some(Kind::Initiation) && patience == Some(0) {
            return;
        }
        let route = self.endpoint.handle_datagram(self.now, from, datagram, responder, &mut reply);
        self.patience = patience.map(|patience| patience.saturating_sub(begun));
        assert!(self.endpoint.pending() <= PENDING_HANDSHAKES, "what is pending is bounded");
        let knows_key = datagram.len() == INITIATION_LEN && {
            let (authenticated, mac) = datagram.split_at(INITIATION_LEN - 16);
            verify_mac1(&self.key, authenticated, mac.try_into().expect("16 bytes"))
        };
        assert!(begun == 0 || knows_key, "only who knows the key costs a handshake");
        match route {
            Ok(Route::Reply(len)) => {
                assert!(knows_key, "who does not know the key hears nothing");
                assert!(len <= 3 * datagram.len(), "a reply of {len} bytes to {}", datagram.len());
                assert!(reply[len..].iter().all(|&byte| byte == 0xa5), "only the reply is written");
                self.replies.push(reply[..len].to_vec());
            }
            Ok(Route::Session(index)) => {
                let header = DataHeader::parse(datagram).expect("only packets belong to sessions");
                assert!(self.adopted.contains(&(header.connection, index.0)), "a session that was adopted");
            }
            Ok(Route::Established(established)) => {
                let is_true = self.callers.iter().any(|caller| caller.third.as_deref() == Some(datagram));
                assert!(patience.is_none() || is_true, "only a true third message establishes");
                let connection = established.connection();
                let taken = |known: u32| self.adopted.iter().any(|&(connection, _)| connection == known);
                assert!(!taken(connection), "connection ids of live sessions are not given again");
                let index = u16::try_from(self.adopted.len()).unwrap_or(u16::MAX);
                if self.adopted.iter().all(|&(_, known)| known != index)
                    && self.endpoint.adopt(connection, SessionIndex(index))
                {
                    self.adopted.insert((connection, index));
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
