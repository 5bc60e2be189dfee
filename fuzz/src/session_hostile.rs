//! Datagrams of strangers to a live session: each is discarded, and a session that is attacked sends the same bytes at
//! the same times as one that is not (SPEC §4.6, §5.2).

use std::collections::{BTreeSet, VecDeque};
use std::sync::OnceLock;

use rift::crypto::Side;
use rift::{
    Channel, Codec, Config, CursorPosition, Discard, Ecn, Event, InputEvent, Instant, NoPictures, Opening,
    PathId, Permissions, PictureId, PictureInfo, Pictures, Rectangle, RectangleData, Route, Scancode,
    SessionIndex, Stats, StreamParameters,
};

use crate::bytes::{Bytes, Noise};
use crate::known::Known;
use crate::pair::{self, ADDRESS, Client, Host, PATH, START};

/// How long a datagram is on its way.
const DELAY_US: u64 = 4_000;
/// How long the session lasts.
const LENGTH_US: u64 = 120_000;

/// What an observer and the two applications have seen of a session.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    datagrams: Vec<(Instant, bool, Vec<u8>)>,
    events: Vec<(Instant, bool, Event)>,
    stats: Vec<Stats>,
    text: Vec<u8>,
}

/// Attacks a session with what the bytes say; see the module.
pub fn run(data: &[u8]) {
    static UNDISTURBED: OnceLock<(Seen, BTreeSet<Vec<u8>>)> = OnceLock::new();
    let (undisturbed, honest) = UNDISTURBED.get_or_init(|| {
        let seen = Session::new(BTreeSet::new()).run(&mut Bytes::new(&[]));
        let honest = seen.datagrams.iter().map(|(_, _, datagram)| datagram.clone()).collect();
        (seen, honest)
    });
    let seen = Session::new(honest.clone()).run(&mut Bytes::new(data));
    assert_eq!(undisturbed.events, seen.events, "an attack shows in the events");
    assert_eq!(undisturbed.stats, seen.stats, "an attack shows in the counters");
    assert_eq!(undisturbed.text, seen.text, "an attack shows in a stream");
    assert!(undisturbed.datagrams == seen.datagrams, "an attack shows in what is sent");
}

/// Every datagram of an undisturbed session and whether it went to the host, in the order of sending: real traffic to
/// grow inputs from.
#[must_use]
pub fn traffic() -> Vec<(bool, Vec<u8>)> {
    let seen = Session::new(BTreeSet::new()).run(&mut Bytes::new(&[]));
    seen.datagrams.into_iter().map(|(_, to_host, bytes)| (to_host, bytes)).collect()
}

struct Session {
    /// What an honest session sends, and an attacker without keys cannot have before it was sent.
    honest: BTreeSet<Vec<u8>>,
    client: Client,
    host: Option<Host>,
    pictures: Pictures<Vec<u8>, 2>,
    now: Instant,
    /// To the host (`true`) or to the client, with the time of arrival.
    on_way: VecDeque<(Instant, bool, Vec<u8>)>,
    done: Vec<Vec<u8>>,
    steps: usize,
    seen: Seen,
}

impl Session {
    fn new(honest: BTreeSet<Vec<u8>>) -> Self {
        Self {
            honest,
            client: pair::client(&Config::default(), START),
            host: None,
            pictures: Pictures::new([vec![0; 8192], vec![0; 8192]]),
            now: START,
            on_way: VecDeque::new(),
            done: Vec::new(),
            steps: 0,
            seen: Seen::default(),
        }
    }

    fn run(mut self, attacks: &mut Bytes<'_>) -> Seen {
        let mut endpoint = pair::endpoint();
        let end = START.plus_micros(LENGTH_US);
        while self.now < end {
            self.send();
            self.attack(attacks);
            if let Some((_, to_host, mut datagram)) = self.on_way.pop_front_if(|(at, ..)| *at <= self.now) {
                self.done.push(datagram.clone());
                if to_host && self.host.is_none() {
                    self.shake(&mut endpoint, &datagram);
                } else {
                    let result = self.put(to_host, PATH, &mut datagram);
                    assert!(result.is_ok(), "an honest datagram is taken: {result:?}");
                }
                continue;
            }
            let timer = self.client.poll_timeout().map(|(at, _)| at);
            let timers = [timer, self.host.as_ref().and_then(|host| host.poll_timeout()).map(|(at, _)| at)];
            let arrival = self.on_way.front().map(|(at, ..)| *at);
            let act = START.plus_micros(ACTS_US.get(self.steps).copied().unwrap_or(LENGTH_US));
            let next = timers.into_iter().flatten().chain(arrival).fold(act, Instant::min);
            self.now = self.now.max(next);
            self.client.handle_timeout(self.now);
            if let Some(host) = &mut self.host {
                host.handle_timeout(self.now);
            }
            if act <= self.now && self.steps < ACTS_US.len() {
                self.act();
            }
        }
        let host = self.host.expect("the handshake was long over");
        self.seen.stats = vec![without_discards(self.client.stats(end)), without_discards(host.stats(end))];
        self.seen
    }

    fn shake(&mut self, endpoint: &mut rift::Endpoint<Known>, datagram: &[u8]) {
        let mut reply = [0; 256];
        let responder = |opening: Opening| Known::new(Side::Responder, opening.pattern);
        match endpoint.handle_datagram(self.now, ADDRESS, datagram, responder, &mut reply) {
            Ok(Route::Reply(len)) => self.post(false, &reply[..len]),
            Ok(Route::Established(established)) => {
                assert!(endpoint.adopt(established.connection(), SessionIndex(0)), "there is room");
                let memory = Box::new(pair::HostMemory::new());
                let config = Config::default();
                let mut host = Host::from_established(&config, established, memory, PATH, self.now);
                host.admit(self.now, Permissions::default_control());
                let parameters =
                    StreamParameters { width: 64, height: 48, rate_millihertz: 60_000, codec: Codec::H264 };
                host.set_stream(PictureId(1), parameters).expect("the session is established");
                self.host = Some(host);
            }
            other => panic!("an honest handshake ends as {other:?}"),
        }
    }

    fn post(&mut self, to_host: bool, datagram: &[u8]) {
        self.seen.datagrams.push((self.now, to_host, datagram.to_vec()));
        self.on_way.push_back((self.now.plus_micros(DELAY_US), to_host, datagram.to_vec()));
    }

    fn send(&mut self) {
        let mut out = [0; 4096];
        while let Some(sent) = self.client.poll_transmit(self.now, &NoPictures, &mut out) {
            self.post(true, &out[..sent.len]);
        }
        while let Some(event) = self.client.poll_event() {
            if let Event::Picture(id) = event {
                self.client.release_media(id);
            }
            self.seen.events.push((self.now, false, event));
        }
        while let Some(sent) =
            self.host.as_mut().and_then(|host| host.poll_transmit(self.now, &self.pictures, &mut out))
        {
            let segment = sent.segment.map_or(sent.len, usize::from);
            for datagram in out[..sent.len].chunks(segment) {
                self.post(false, datagram);
            }
        }
        while let Some(event) = self.host.as_mut().and_then(Host::poll_event) {
            self.seen.events.push((self.now, true, event));
        }
    }

    /// What the applications do, one thing at each of [`ACTS_US`].
    fn act(&mut self) {
        let (now, step) = (self.now, self.steps);
        self.steps += 1;
        let Some(host) = &mut self.host else { return };
        let key = Scancode::new(30).expect("KEY_A");
        if step < 3 {
            let id = PictureId(u32::try_from(step).expect("below 3") + 1);
            let bytes = Noise::new(7).bytes(3000);
            let rectangle =
                RectangleData { place: Rectangle::sized(64, 48), codec: Codec::H264, parts: &[&bytes] };
            let reference = id.0.checked_sub(1).filter(|&id| id > 0).map(PictureId);
            let info = PictureInfo { id, reference, captured_at: now, encoded_at: now };
            let picture = self.pictures.push(&info, &[rectangle]).expect("it fits");
            host.send_picture(now, picture).expect("there is room");
            let cursor = CursorPosition { x: 9, y: u16::from(step == 1), visible: true, shape: 1 };
            host.send_cursor(now, cursor).expect("the session is established");
            let _ = host.write(now, Channel::Cursor, &bytes[..100]).expect("the client is admitted");
        }
        // The client was told so before the first act.
        self.client.send_input(now, InputEvent::Key { key, pressed: step % 2 == 0 }).expect("permitted");
        self.client.send_input(now, InputEvent::PointerAbsolute { x: 1, y: 2 }).expect("permitted");
        let _ = self.client.write(now, Channel::Control, b"a word to the host").expect("permitted");
        let mut text = [0; 512];
        for channel in Channel::ALL {
            let count = host.read(channel, &mut text);
            self.seen.text.extend_from_slice(&text[..count]);
            let count = self.client.read(channel, &mut text);
            self.seen.text.extend_from_slice(&text[..count]);
        }
    }

    fn put(&mut self, to_host: bool, path: PathId, datagram: &mut [u8]) -> Result<(), Discard> {
        match &mut self.host {
            Some(host) if to_host => host.handle_datagram(self.now, path, self.now, Ecn::Ect1, datagram),
            _ => self.client.handle_datagram(self.now, path, self.now, Ecn::Ect1, datagram),
        }
    }

    /// Up to three datagrams of an attacker who sees everything and holds no key.
    fn attack(&mut self, bytes: &mut Bytes<'_>) {
        for _ in 0..3 {
            if bytes.is_empty() || !bytes.flag() {
                return;
            }
            let to_host = bytes.flag() && self.host.is_some();
            let mut path = PATH;
            let mut datagram = match bytes.below(5) {
                0 => bytes.run(2048).to_vec(),
                1 => self.done.get(usize::from(bytes.u8())).cloned().unwrap_or_default(),
                2 => self.damaged(bytes),
                3 => self.cut(bytes),
                _ => {
                    path = PathId(1 + bytes.u8() % 255);
                    self.picked(bytes)
                }
            };
            // A packet that has not arrived yet and comes early is no attack, nor is a response from elsewhere; the
            // client may be anywhere.
            let is_response = datagram.first() == Some(&0x11);
            let is_honest = self.honest.contains(&datagram)
                && !self.done.contains(&datagram)
                && (path == PATH || is_response || to_host);
            // The keys are the same in every session here, and what others sealed lies in the corpus.
            let is_sent = || self.seen.datagrams.iter().any(|(_, _, sent)| *sent == datagram);
            let is_possible = !pair::is_sealed(&datagram) || is_sent();
            if is_possible && !is_honest {
                let original = datagram.clone();
                let result = self.put(to_host, path, &mut datagram);
                assert!(result.is_err(), "an attack was taken: {original:02x?}");
            }
        }
    }

    /// Any datagram so far, on its way or not.
    fn picked(&self, bytes: &mut Bytes<'_>) -> Vec<u8> {
        let index = usize::from(bytes.u8()) % self.seen.datagrams.len().max(1);
        self.seen.datagrams.get(index).map(|(_, _, datagram)| datagram.clone()).unwrap_or_default()
    }

    fn damaged(&self, bytes: &mut Bytes<'_>) -> Vec<u8> {
        let mut datagram = self.picked(bytes);
        for _ in 0..=bytes.below(4) {
            let at = usize::from(bytes.u16()) % datagram.len().max(1);
            if let Some(byte) = datagram.get_mut(at) {
                *byte ^= bytes.u8();
            }
        }
        datagram
    }

    fn cut(&self, bytes: &mut Bytes<'_>) -> Vec<u8> {
        let mut datagram = self.picked(bytes);
        if bytes.flag() {
            datagram.truncate(usize::from(bytes.u16()) % datagram.len().max(1));
        } else {
            datagram.extend_from_slice(bytes.run(64));
        }
        datagram
    }
}

const ACTS_US: [u64; 6] = [30_000, 45_000, 60_000, 70_000, 80_000, 90_000];

const fn without_discards(stats: Stats) -> Stats {
    Stats {
        discarded_malformed: 0,
        discarded_authentication: 0,
        discarded_replay: 0,
        discarded_no_room: 0,
        ..stats
    }
}
