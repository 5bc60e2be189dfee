//! A host and a client over memory, their handshake done, and an attacker with the keys of either.

use core::net::SocketAddr;

use rift::crypto::{PacketKey, Side, packet_number};
use rift::wire::DataHeader;
use rift::{
    ChaChaPoly, Config, Endpoint, Established, Instant, Memory, NoPictures, Opening, PathId, Pattern, Route,
    Session, SessionIndex, SignalStorage, Storage,
};

use crate::known::{CLIENT_KEY, HOST, HOST_KEY, Known};

/// Memory of a client: four pictures.
pub type ClientMemory = Storage<Vec<u8>, 256, 256, PICTURES, STREAM, STREAM, 64>;
/// Memory of a host.
pub type HostMemory = Storage<Vec<u8>, 256, 256, 0, STREAM, STREAM, 64>;
/// A client's session.
pub type Client = Session<Box<ClientMemory>, Known>;
/// A host's session.
pub type Host = Session<Box<HostMemory>, Known>;
/// A session of either side that carries signalling alone.
pub type Signaller = Session<Box<SignalStorage>, Known>;

/// Pictures a client reassembles at once.
pub const PICTURES: usize = 4;
/// Bytes of a picture with its parity: seven shards of data and all the parity a block can have.
pub const PICTURE_LEN_MAX: usize = 48 * 1024;
/// Bytes of a stream's window.
pub const STREAM: usize = 512;
/// When everything begins.
pub const START: Instant = Instant::from_micros(1_000_000);
/// Where the client is.
pub const ADDRESS: SocketAddr =
    SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 2)), 4747);
/// The path of every session here.
pub const PATH: PathId = PathId(0);

const CLIENT_CONNECTION: u32 = 0x1234_5678;
const DATAGRAM_MAX: usize = 9000;

/// A client that has said nothing yet.
#[must_use]
pub fn client(config: &Config, now: Instant) -> Client {
    Session::connect(config, initiator(), HOST, CLIENT_CONNECTION, client_memory(), PATH, now)
}

const fn initiator() -> Known {
    Known::new(Side::Initiator, Pattern::Xx)
}

fn client_memory() -> Box<ClientMemory> {
    let mut memory = Box::new(ClientMemory::new());
    for index in 0..PICTURES {
        memory.lend(index, vec![0; PICTURE_LEN_MAX]);
    }
    memory
}

/// An endpoint of the host.
#[must_use]
pub fn endpoint() -> Endpoint<Known> {
    Endpoint::new(&HOST, [0x46; 32])
}

/// A client and a host that have just shaken hands. No packet was sent yet.
#[must_use]
pub fn connected(config: &Config) -> (Client, Host) {
    shake_hands(config, client(config, START), endpoint())
}

/// A client and a host that have just met through the host's pairing window.
#[must_use]
pub fn strangers(config: &Config) -> (Client, Host) {
    let client = Session::approach(config, initiator(), CLIENT_CONNECTION, client_memory(), PATH, START);
    let mut endpoint = endpoint();
    endpoint.set_pairing_window(true);
    shake_hands(config, client, endpoint)
}

/// A device and its gateway, whose sessions carry signalling and nothing else.
#[must_use]
pub fn signalling(config: &Config) -> (Signaller, Signaller) {
    let memory = || Box::new(SignalStorage::new());
    let client = Session::connect(config, initiator(), HOST, CLIENT_CONNECTION, memory(), PATH, START);
    let (client, established) = establish(client, endpoint());
    let host = Session::from_established(config, established, memory(), PATH, START);
    (client, host)
}

fn shake_hands(config: &Config, client: Client, endpoint: Endpoint<Known>) -> (Client, Host) {
    let (client, established) = establish(client, endpoint);
    let host = Session::from_established(config, established, Box::new(HostMemory::new()), PATH, START);
    (client, host)
}

fn establish<M: Memory>(
    mut client: Session<M, Known>,
    mut endpoint: Endpoint<Known>,
) -> (Session<M, Known>, Established) {
    let (mut out, mut reply) = ([0; DATAGRAM_MAX], [0; 256]);
    let responder = |opening: Opening| Known::new(Side::Responder, opening.pattern);
    let sent = client.poll_transmit(START, &NoPictures, &mut out).expect("a first flight");
    let route = endpoint.handle_datagram(START, ADDRESS, &out[..sent.len], responder, &mut reply);
    let Ok(Route::Reply(len)) = route else { panic!("a response, not {route:?}") };
    let taken = client.handle_datagram(START, PATH, START, rift::Ecn::NotEct, &mut reply[..len]);
    assert_eq!(taken, Ok(()), "a response is taken");
    let sent = client.poll_transmit(START, &NoPictures, &mut out).expect("a confirmation");
    let route = endpoint.handle_datagram(START, ADDRESS, &out[..sent.len], responder, &mut reply);
    let Ok(Route::Established(established)) = route else { panic!("established, not {route:?}") };
    assert!(endpoint.adopt(established.connection(), SessionIndex(0)), "there is room");
    (client, established)
}

/// Whether a packet early on the first path was sealed with a session's keys, whatever it says.
#[must_use]
pub fn is_sealed(datagram: &[u8]) -> bool {
    let Some(header) = DataHeader::parse(datagram) else { return false };
    let Some((rest, tag)) = datagram.split_last_chunk() else { return false };
    let Some((head, text)) = rest.split_at_checked(DataHeader::LEN) else { return false };
    [CLIENT_KEY, HOST_KEY].into_iter().any(|key| {
        PacketKey::<ChaChaPoly>::new(key).open(0, header.packet_number.into(), head, &mut text.to_vec(), tag)
    })
}

/// A peer that has the keys and respects nothing.
#[derive(Debug)]
pub struct Attacker {
    send: PacketKey,
    receive: PacketKey,
    victim: u32,
    /// The packet number that an honest peer would use next.
    pub next: u64,
    /// The packet number expected next from the victim.
    expected: u64,
}

impl Attacker {
    /// Attacks the session of `side` that is known by `connection`.
    #[must_use]
    pub const fn of(side: Side, connection: u32) -> Self {
        let (send, receive) = match side {
            Side::Responder => (CLIENT_KEY, HOST_KEY),
            Side::Initiator => (HOST_KEY, CLIENT_KEY),
        };
        Self {
            send: PacketKey::new(send),
            receive: PacketKey::new(receive),
            victim: connection,
            next: 0,
            expected: 0,
        }
    }

    /// Seals frames under packet number `number`.
    #[must_use]
    pub fn seal(&self, number: u64, frames: &[u8]) -> Vec<u8> {
        let packet_number = packet_number::truncate(number);
        let mut datagram =
            DataHeader { phase: false, connection: self.victim, packet_number }.to_bytes().to_vec();
        datagram.extend_from_slice(frames);
        let (head, text) = datagram.split_at_mut(DataHeader::LEN);
        let tag = self.send.seal(0, number, head, text);
        datagram.extend_from_slice(&tag);
        datagram
    }

    /// Opens what the victim sent, its packets in order; gives its frames.
    ///
    /// # Panics
    /// When it does not open: the victim sealed it wrongly.
    pub fn open<'d>(&mut self, datagram: &'d mut [u8]) -> &'d [u8] {
        let header = DataHeader::parse(datagram).expect("a session sends packets");
        let number = packet_number::expand(header.packet_number, self.expected);
        assert_eq!(number, self.expected, "packet numbers grow by one");
        self.expected += 1;
        let text_len = datagram.len() - DataHeader::LEN - 16;
        let (head, sealed) = datagram.split_at_mut(DataHeader::LEN);
        let (text, tag) = sealed.split_at_mut(text_len);
        let tag: [u8; 16] = (&*tag).try_into().expect("a tag is 16 bytes");
        assert!(self.receive.open(0, number, head, text, &tag), "packet {number} opens");
        text
    }
}
