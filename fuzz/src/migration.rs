//! Two honest sessions, the client of which has several addresses and changes them, over a network that loses, repeats,
//! reorders and is copied from by somebody elsewhere (SPEC §16): no address is sent much before it is proven, no packet
//! number is used twice, no path shares an id with another, nobody is kept awake, and when all is well again input and
//! pictures are as they should be.

use std::collections::{BTreeMap, BTreeSet};

use rift::wire::DataHeader;
use rift::{
    Codec, Config, Ecn, Endpoint, Event, InputEvent, Instant, NoPictures, PathId, Permissions, PictureId,
    PictureInfo, Pictures, Rectangle, RectangleData, SessionIndex, StreamParameters,
};

use crate::bytes::{Bytes, Noise};
use crate::known::Known;
use crate::pair::{self, Client, Host, START};

const STEPS_MAX: usize = 300;
/// Datagrams on the way at most; beyond that the oldest is lost.
const ON_WAY_MAX: usize = 48;
/// Rounds after which everything due at an instant must be done.
const STALLS_MAX: usize = 16;
/// How long the network is well in the end.
const RECOVERY_US: u64 = 9_000_000;
/// Where somebody is who only copies.
const THIEF: Address = 9;
/// What the host may send to an address for each byte from there, before it is proven.
const AMPLIFICATION: u64 = 3;

type Address = u8;

/// Plays it; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let key_us = if bytes.flag() { 700_000 } else { 300_000_000 };
    let (client, mut host) = pair::connected(&Config { idle_us: u32::MAX, key_us, ..Config::default() });
    host.admit(START, Permissions::default_control());
    let parameters = StreamParameters { width: 64, height: 48, rate_millihertz: 60_000, codec: Codec::H264 };
    host.set_stream(PictureId(1), parameters).expect("established");
    let mut play = Play::new(client, host);
    play.settle();
    for _ in 0..STEPS_MAX {
        if bytes.is_empty() {
            break;
        }
        play.step(&mut bytes);
        play.settle();
    }
    play.recover();
}

/// A datagram under way, from or to one of the client's addresses.
#[derive(Clone)]
struct OnWay {
    to_host: bool,
    address: Address,
    bytes: Vec<u8>,
}

struct Play {
    client: Client,
    host: Host,
    endpoint: Endpoint<Known>,
    pictures: Pictures<Vec<u8>, 4>,
    entropy: Noise,
    now: Instant,
    on_way: Vec<OnWay>,
    /// Where the client's paths leave from.
    places: BTreeMap<PathId, Address>,
    /// What the host calls the addresses it hears from, by name.
    names: Vec<Address>,
    /// Addresses nothing passes from or to.
    dark: BTreeSet<Address>,
    next_path: u8,
    /// Heads of all packets, by direction, and the client's address for each of its ids.
    heads: BTreeSet<(bool, [u8; DataHeader::LEN])>,
    ids: BTreeMap<u32, PathId>,
    /// Bytes from and to the thief.
    stolen: (u64, u64),
    typed: Vec<char>,
    taken: Vec<char>,
    newest: PictureId,
    wants_key: bool,
    shown: PictureId,
}

impl Play {
    fn new(client: Client, host: Host) -> Self {
        let mut endpoint = pair::endpoint();
        assert!(endpoint.adopt(host.connection(), SessionIndex(0)), "there is room");
        Self {
            client,
            host,
            endpoint,
            pictures: Pictures::new([0; 4].map(|_: u8| vec![0; 6000])),
            entropy: Noise::new(7),
            now: START,
            on_way: Vec::new(),
            places: BTreeMap::from([(PathId(0), 0)]),
            names: vec![0],
            dark: BTreeSet::new(),
            next_path: 1,
            heads: BTreeSet::new(),
            ids: BTreeMap::new(),
            stolen: (0, 0),
            typed: Vec::new(),
            taken: Vec::new(),
            newest: PictureId(0),
            wants_key: true,
            shown: PictureId(0),
        }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.below(16) {
            0..=3 => self.deliver(usize::from(bytes.u8()), false, None),
            4 => self.deliver(0, false, None),
            5 => self.deliver(usize::from(bytes.u8()), true, None),
            6 => self.deliver(usize::from(bytes.u8()), true, Some(THIEF)),
            7 if !self.on_way.is_empty() => {
                let index = usize::from(bytes.u8()) % self.on_way.len();
                self.on_way.remove(index);
            }
            7 | 8 => self.pass(u64::from(bytes.u8()) * 200),
            9 => self.open(bytes.u8() % 4),
            10 => {
                let path = self.path(bytes.u8());
                let _ = self.client.use_path(self.now, path);
            }
            11 => {
                let path = self.path(bytes.u8());
                let _ = self.client.move_to(self.now, path);
            }
            12 => {
                let path = self.path(bytes.u8());
                if path != self.client.path() {
                    self.client.close_path(path);
                }
            }
            13 => self.rebind(bytes.u8() % 4),
            14 => {
                let address = bytes.u8() % 4;
                if !self.dark.remove(&address) {
                    self.dark.insert(address);
                }
            }
            _ if bytes.flag() => self.show(usize::from(bytes.u16()) % 5000),
            _ => self.type_one(),
        }
    }

    fn type_one(&mut self) {
        let letter = char::from(b'a' + u8::try_from(self.typed.len() % 26).unwrap_or(0));
        if self.client.send_input(self.now, InputEvent::Text(letter)).is_ok() {
            self.typed.push(letter);
        }
    }

    /// One of the client's paths.
    fn path(&self, which: u8) -> PathId {
        let index = usize::from(which) % self.places.len();
        self.places.keys().nth(index).copied().unwrap_or(PathId(0))
    }

    fn open(&mut self, address: Address) {
        let id = PathId(self.next_path);
        if self.client.open_path(self.now, id, fresh(&mut self.entropy)).is_ok() {
            self.next_path += 1;
            self.places.insert(id, address);
        }
    }

    /// A NAT gives the path in use another address.
    fn rebind(&mut self, address: Address) {
        self.places.insert(self.client.path(), address);
    }

    fn pass(&mut self, micros: u64) {
        self.now = self.now.plus_micros(micros);
        self.client.handle_timeout(self.now);
        self.host.handle_timeout(self.now);
    }

    /// A datagram arrives, perhaps to arrive again, perhaps as somebody's copy.
    fn deliver(&mut self, index: usize, again: bool, copied_to: Option<Address>) {
        if self.on_way.is_empty() {
            return;
        }
        let index = index % self.on_way.len();
        let mut one = if again { self.on_way[index].clone() } else { self.on_way.remove(index) };
        if self.dark.contains(&one.address) {
            return;
        }
        let result = if one.to_host {
            let from = copied_to.unwrap_or(one.address);
            if from == THIEF {
                self.stolen.0 += one.bytes.len() as u64;
            }
            let path = self.name(from);
            self.host.handle_datagram(self.now, path, self.now, Ecn::Ect1, &mut one.bytes)
        } else {
            let place =
                self.places.iter().find(|(id, place)| **place == one.address && self.client.uses_path(**id));
            let Some((&path, _)) = place.filter(|_| one.address != THIEF) else { return };
            self.client.handle_datagram(self.now, path, self.now, Ecn::Ect1, &mut one.bytes)
        };
        let is_fine = !matches!(result, Err(rift::Discard::Malformed | rift::Discard::Authentication));
        assert!(is_fine, "an honest datagram is {result:?}");
    }

    /// The host's name for an address: one in use, or a name that is free.
    fn name(&mut self, address: Address) -> PathId {
        let names = (0..=u8::MAX).map(PathId).zip(&self.names);
        let known = names.clone().find(|&(id, &known)| known == address && self.host.uses_path(id));
        let free = names.clone().find(|&(id, _)| !self.host.uses_path(id));
        if let Some((id, _)) = known {
            return id;
        }
        let id = free.map_or(PathId(u8::try_from(self.names.len()).expect("few paths")), |(id, _)| id);
        self.names.resize(self.names.len().max(usize::from(id.0) + 1), address);
        self.names[usize::from(id.0)] = address;
        id
    }

    fn show(&mut self, len: usize) {
        let id = PictureId(self.newest.0 + 1);
        let reference = (!self.wants_key && self.newest.0 > 0).then_some(self.newest);
        let content = Noise::new(id.0.into()).bytes(len);
        let rectangle =
            RectangleData { place: Rectangle::sized(64, 48), codec: Codec::H264, parts: &[&content] };
        let info = PictureInfo { id, reference, captured_at: self.now, encoded_at: self.now };
        let picture = self.pictures.push(&info, &[rectangle]).expect("it fits");
        self.newest = id;
        self.wants_key = self.host.send_picture(self.now, picture).is_err();
    }

    /// Lets both sides send and say what is due now.
    fn settle(&mut self) {
        if self.client.wants_entropy() {
            self.client.add_entropy(self.now, fresh(&mut self.entropy));
        }
        if self.host.wants_entropy() {
            self.host.add_entropy(self.now, fresh(&mut self.entropy));
        }
        if self.host.wants_connections() {
            self.endpoint.tend(SessionIndex(0), &mut self.host);
        }
        let mut out = [0; 8192];
        while let Some(sent) = self.client.poll_transmit(self.now, &NoPictures, &mut out) {
            let address = self.places[&sent.path];
            self.leaves(true, address, sent.path, &out[..sent.len]);
        }
        while let Some(sent) = self.host.poll_transmit(self.now, &self.pictures, &mut out) {
            let address = self.names[usize::from(sent.path.0)];
            let segment = sent.segment.map_or(sent.len, usize::from);
            for one in out[..sent.len].chunks(segment) {
                self.leaves(false, address, sent.path, one);
            }
        }
        let (from, to) = self.stolen;
        assert!(to <= AMPLIFICATION * from, "{to} bytes to an address that had sent {from}");
        let excess = self.on_way.len().saturating_sub(ON_WAY_MAX);
        self.on_way.drain(..excess);
        self.hear();
    }

    fn leaves(&mut self, to_host: bool, address: Address, path: PathId, datagram: &[u8]) {
        let Some(header) = DataHeader::parse(datagram) else {
            // The handshake's last message, until something sealed has come.
            self.on_way.push(OnWay { to_host, address, bytes: datagram.to_vec() });
            return;
        };
        let head = datagram.first_chunk().copied().unwrap_or_default();
        assert!(self.heads.insert((to_host, head)), "a packet number is used twice (SPEC §3.2): {head:02x?}");
        if to_host {
            let known = *self.ids.entry(header.connection).or_insert(path);
            assert_eq!(known, path, "two paths share an id (SPEC §16.1)");
        } else if address == THIEF {
            self.stolen.1 += datagram.len() as u64;
        }
        self.on_way.push(OnWay { to_host, address, bytes: datagram.to_vec() });
    }

    fn hear(&mut self) {
        while let Some(event) = self.host.poll_event() {
            if let Event::Input(InputEvent::Text(letter)) = event {
                self.taken.push(letter);
            } else if let Event::RepairWanted { .. } = event {
                self.wants_key = true;
            } else {
                assert!(!matches!(event, Event::Closed(_)), "nobody closed it");
            }
        }
        assert!(self.typed.starts_with(&self.taken), "text comes once and in order");
        while let Some(event) = self.client.poll_event() {
            if let Event::Picture(id) = event {
                assert!(id > self.shown && id <= self.newest, "pictures come in order");
                self.shown = id;
                let media = self.client.media(id).expect("an announced picture is lent");
                let content = Noise::new(id.0.into()).bytes(media.payload.len());
                assert!(media.payload == content, "a picture arrives as it was sent");
                self.client.release_media(id);
            } else {
                assert!(!matches!(event, Event::Closed(_)), "nobody closed it");
            }
        }
    }

    /// Every address is alive: everything arrives in order after a millisecond.
    fn recover(&mut self) {
        self.dark.clear();
        let end = self.now.plus_micros(RECOVERY_US);
        let (mut has_shown, mut stalls) = (false, 0);
        self.type_one();
        while self.now < end {
            self.settle();
            if !self.on_way.is_empty() {
                self.pass(1000);
                for one in core::mem::take(&mut self.on_way) {
                    self.on_way.insert(0, one);
                    self.deliver(0, false, None);
                }
                continue;
            }
            let timers = [self.client.poll_timeout(), self.host.poll_timeout()];
            let due = timers.into_iter().flatten().map(|(due, _)| due).min().expect("sessions live");
            if !has_shown && self.now.plus_micros(RECOVERY_US / 2) >= end {
                has_shown = true;
                self.wants_key = true;
                self.show(2000);
            }
            stalls = if due > self.now { 0 } else { stalls + 1 };
            assert!(stalls < STALLS_MAX, "{timers:?} is due for ever");
            let least = u64::from(self.host.video_backlog_bytes() > 0);
            self.pass(due.micros_since(self.now).max(least));
        }
        assert_eq!(self.typed, self.taken, "all input was taken");
        assert_eq!(self.client.input_backlog(), 0, "input is acknowledged");
        assert_eq!(self.shown, self.newest, "the last picture is shown");
    }
}

fn fresh(noise: &mut Noise) -> [u8; 32] {
    core::array::from_fn(|_| noise.u64().to_be_bytes()[3])
}
