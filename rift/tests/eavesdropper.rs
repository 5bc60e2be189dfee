//! An eavesdropper holds every datagram of a handshake and a session, and every public value, and learns nothing
//! (SPEC §4, §5; invariant 6).

use std::collections::{BTreeSet, HashSet};

use core::time::Duration;

use blake2::{Blake2s256, Digest};
use hmac::{Mac, SimpleHmac};
use rift::crypto::{PacketKey, packet_number};
use rift::wire::{DataHeader, Kind};
use rift::{
    ChaChaPoly, Channel, Config, CursorPosition, Handshake, HandshakeError, Identity, InputEvent, Instant,
    Noise, Opening, PublicKey, Secrets,
};
use rift_sim::peer::{Camera, ClientPeer, HostPeer};
use rift_sim::{Captured, Clock, Host, LinkConfig, Network, NodeId, Packet, Random, Time};

const WORDS_UP: &[u8] = b"The client says what nobody else may read, in a message of its own.";
const WORDS_DOWN: &[u8] = b"And the host answers in another one that is as secret as the first.";
const TYPED: &str = "correct horse battery staple, Grüße";

/// A handshake that gives a copy of its outcome away: the test checks its own tools with it.
struct Leaky(Noise, std::rc::Rc<core::cell::RefCell<Option<Secrets>>>);

impl Handshake for Leaky {
    type Aead = ChaChaPoly;

    fn pattern(&self) -> rift::Pattern {
        self.0.pattern()
    }

    fn write_message(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, HandshakeError> {
        self.0.write_message(payload, out)
    }

    fn read_message(&mut self, message: &[u8], payload: &mut [u8]) -> Result<usize, HandshakeError> {
        self.0.read_message(message, payload)
    }

    fn expect_peer(&mut self, peer: PublicKey) {
        self.0.expect_peer(peer);
    }

    fn peer(&self) -> Option<PublicKey> {
        self.0.peer()
    }

    fn finish(&mut self) -> Option<Secrets> {
        let secrets = self.0.finish();
        self.1.replace(secrets.clone());
        secrets
    }
}

enum Party {
    Client(Box<ClientPeer<Leaky>>),
    Host(Box<HostPeer>),
}

impl Party {
    fn client(&mut self) -> &mut ClientPeer<Leaky> {
        match self {
            Self::Client(client) => client,
            Self::Host(_) => panic!("this is the host"),
        }
    }

    fn host(&mut self) -> &mut HostPeer {
        match self {
            Self::Host(host) => host,
            Self::Client(_) => panic!("this is the client"),
        }
    }
}

impl Host for Party {
    fn handle_packet(&mut self, now: Instant, packet: &mut Packet) {
        match self {
            Self::Client(client) => client.handle_packet(now, packet),
            Self::Host(host) => host.handle_packet(now, packet),
        }
    }

    fn poll_packet(&mut self, now: Instant, packet: &mut Packet) -> bool {
        match self {
            Self::Client(client) => client.poll_packet(now, packet),
            Self::Host(host) => host.poll_packet(now, packet),
        }
    }

    fn next_wake(&mut self) -> Option<Instant> {
        match self {
            Self::Client(client) => client.next_wake(),
            Self::Host(host) => host.next_wake(),
        }
    }

    fn handle_wake(&mut self, now: Instant) {
        match self {
            Self::Client(client) => client.handle_wake(now),
            Self::Host(host) => host.handle_wake(now),
        }
    }
}

/// A recorded session, and what only its parties know.
struct Recording {
    captured: Vec<Captured>,
    client: NodeId,
    client_identity: Identity,
    host_identity: Identity,
    /// The client's ephemeral secret.
    ephemeral: [u8; 32],
    /// The client's outcome of the handshake.
    secrets: Secrets,
    /// What went through each channel.
    plaintexts: Vec<(&'static str, Vec<u8>)>,
}

/// How a text stands in input frames: code 3 and a scalar value for each character (SPEC §10.2).
fn typed_frames() -> Vec<u8> {
    TYPED.chars().flat_map(|typed| [&[3][..], &u32::from(typed).to_be_bytes()].concat()).collect()
}

fn record(seed: u64) -> Recording {
    let mut random = Random::new(seed);
    let client_identity = Identity::from_secret(random.bytes32());
    let host_identity = Identity::from_secret(random.bytes32());
    let ephemeral = random.bytes32();
    let outcome = std::rc::Rc::default();
    let config = Config { bitrate_bps_start: 1_000_000, bitrate_bps_max: 2_000_000, ..Config::default() };
    let mut network = Network::new(seed);
    let mut host = HostPeer::new(&config, &host_identity, random.fork(1));
    host.allow(client_identity.public(), rift::Permissions::default_control());
    let mut camera = Camera::new(&random.fork(2), 30, Instant::ZERO);
    camera.kept = Some(Vec::new());
    host.camera = Some(camera);
    let host = network.add_host(Party::Host(Box::new(host)), Clock::default());
    let noise = Noise::initiator(&client_identity, ephemeral, Opening::XX);
    let handshake = Leaky(noise, std::rc::Rc::clone(&outcome));
    let key = host_identity.public();
    let client = ClientPeer::with_handshake(&config, handshake, key, host, &mut random, Instant::ZERO);
    let client = network.add_host(Party::Client(Box::new(client)), Clock::default());
    let link = LinkConfig { delay: Duration::from_millis(10), ..LinkConfig::default() };
    network.connect(client, host, link.clone(), link);
    network.record();
    network.run_until(Time::from_millis(100));
    network.act(client, |party, now| {
        let session = party.client().session_mut();
        session.write(now, Channel::Control, WORDS_UP).expect("connected");
        for typed in TYPED.chars() {
            session.send_input(now, InputEvent::Text(typed)).expect("permitted");
        }
    });
    let mut shape = vec![0; 1024];
    random.fill(&mut shape);
    let cursor = CursorPosition { x: 0x1234, y: 0x5678, visible: true, shape: 0x9abc_def0 };
    network.act(host, |party, now| {
        let session = party.host().session_mut(0);
        session.write(now, Channel::Control, WORDS_DOWN).expect("connected");
        assert_eq!(session.write(now, Channel::Cursor, &shape), Ok(shape.len()));
        session.send_cursor(now, cursor).expect("connected");
    });
    network.run_until(Time::from_secs(2));
    let video =
        network.act(host, |party, _| party.host().camera.as_mut().and_then(|camera| camera.kept.take()));
    network.act(client, |party, _| {
        let client = party.client();
        assert!(client.shown.len() > 30 && client.refused.is_empty());
        assert_eq!((&*client.control, &*client.cursors), (WORDS_DOWN, &*shape));
    });
    let cursor_frame = [0x12, 0x34, 0x56, 0x78, 1, 0x9a, 0xbc, 0xde, 0xf0].to_vec();
    let plaintexts = vec![
        ("video", video.expect("it was kept")),
        ("control, upwards", WORDS_UP.to_vec()),
        ("control, downwards", WORDS_DOWN.to_vec()),
        ("text", typed_frames()),
        ("cursor", cursor_frame),
        ("cursor shape", shape),
    ];
    let secrets = outcome.borrow().clone().expect("the handshake is over");
    let captured = network.captured().to_vec();
    Recording { captured, client, client_identity, host_identity, ephemeral, secrets, plaintexts }
}

const WINDOW: usize = 8;

/// Every window of the text that does not occur by itself, such as zeros.
fn windows(text: &[u8]) -> impl Iterator<Item = u64> {
    let telling = |window: &&[u8]| window.iter().collect::<BTreeSet<_>>().len() >= 3;
    text.windows(WINDOW).filter(telling).map(|window| u64::from_be_bytes(window.try_into().expect("8 bytes")))
}

impl Recording {
    fn sealed(&self) -> impl Iterator<Item = (&Captured, DataHeader)> {
        self.captured.iter().filter_map(|sent| DataHeader::parse(&sent.bytes).map(|header| (sent, header)))
    }

    fn handshake(&self) -> impl Iterator<Item = &Captured> {
        self.captured.iter().filter(|sent| {
            let kind = sent.bytes.first().and_then(|&first| Kind::of(first));
            matches!(kind, Some(Kind::Initiation | Kind::Response | Kind::Confirmation))
        })
    }
}

/// Opens a datagram with a key, if it is the right one.
fn open(key: &[u8; 32], sent: &Captured, header: DataHeader, expected: u64) -> Option<Vec<u8>> {
    let mut bytes = sent.bytes.clone();
    let (head, sealed) = bytes.split_at_mut(DataHeader::LEN);
    let (text, tag) = sealed.split_at_mut(sealed.len() - 16);
    let tag: [u8; 16] = (&*tag).try_into().expect("16 bytes");
    let number = packet_number::expand(header.packet_number, expected);
    PacketKey::<ChaChaPoly>::new(*key).open(0, number, head, text, &tag).then(|| text.to_vec())
}

#[test]
fn no_plaintext_of_any_channel_is_in_the_capture() {
    for seed in 1..4 {
        let recording = record(seed);
        let seen: HashSet<u64> = recording.captured.iter().flat_map(|sent| windows(&sent.bytes)).collect();
        // What the parties themselves see, to know that these are the bytes to look for.
        let mut opened = HashSet::new();
        for (sent, header) in recording.sealed() {
            let secrets = &recording.secrets;
            let key = if sent.from == recording.client { &secrets.send } else { &secrets.receive };
            let text = open(key, sent, header, header.packet_number.into()).expect("sealed by its sender");
            opened.extend(windows(&text));
        }
        for (channel, plaintext) in &recording.plaintexts {
            let (mut count, mut understood) = (0, 0);
            for window in windows(plaintext) {
                assert!(!seen.contains(&window), "seed {seed}: {channel} is in the capture");
                count += 1;
                understood += usize::from(opened.contains(&window));
            }
            assert!(
                count > 0 && understood * 10 >= count * 9,
                "seed {seed}: {channel}: {understood} of {count}"
            );
        }
    }
}

#[test]
fn identities_are_hidden_from_who_only_listens() {
    for seed in 1..4 {
        let recording = record(seed);
        for key in [recording.client_identity.public(), recording.host_identity.public()] {
            let bytes = key.as_bytes();
            let found =
                recording.captured.iter().any(|sent| sent.bytes.windows(32).any(|window| window == bytes));
            assert!(!found, "seed {seed}: {key}");
        }
    }
}

/// SPEC §3.2.
#[test]
fn no_key_meets_a_nonce_twice() {
    for seed in 1..4 {
        let recording = record(seed);
        let mut used = HashSet::new();
        for (sent, header) in recording.sealed() {
            // Each direction has its own key; fewer than 2²⁴ packets make the truncated number the whole one.
            assert!(
                used.insert((sent.from, header.packet_number)),
                "seed {seed}: {header:?} at {:?}",
                sent.at
            );
        }
        assert!(used.len() > 200, "seed {seed}: {}", used.len());
        let ids: BTreeSet<(NodeId, u32)> =
            recording.sealed().map(|(sent, header)| (sent.from, header.connection)).collect();
        assert_eq!(ids.len(), 2, "seed {seed}: one connection id each way");
    }
}

#[test]
fn two_sessions_of_the_same_peers_share_no_key_and_no_bytes() {
    let (one, other) = (record(1), record(2));
    assert_ne!(one.secrets.send, other.secrets.send);
    assert_ne!(one.secrets.send, one.secrets.receive);
    let bytes: HashSet<&[u8]> = one.captured.iter().map(|sent| &*sent.bytes).collect();
    assert!(other.captured.iter().all(|sent| !bytes.contains(&*sent.bytes)));
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Blake2s256::digest(bytes).into()
}

fn mac(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    let mut mac = <SimpleHmac<Blake2s256> as Mac>::new_from_slice(key).expect("a key of any length");
    message.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Noise's HKDF with two outputs (revision 34, §4.3).
fn hkdf(chaining: &[u8; 32], input: &[u8]) -> [[u8; 32]; 2] {
    let temporary = mac(chaining, &[input]);
    let first = mac(&temporary, &[&[1]]);
    [first, mac(&temporary, &[&first, &[2]])]
}

/// The keys that Noise XX splits into if these were the shared secrets of `ee`, `es` and `se`.
fn split(shared: [&[u8; 32]; 3]) -> [[u8; 32]; 2] {
    let name = b"Noise_XX_25519_ChaChaPoly_BLAKE2s";
    let chaining = shared.iter().fold(hash(name), |chaining, secret| hkdf(&chaining, *secret)[0]);
    hkdf(&chaining, &[])
}

fn exchange(secret: [u8; 32], public: [u8; 32]) -> [u8; 32] {
    let secret = x25519_dalek::StaticSecret::from(secret);
    *secret.diffie_hellman(&x25519_dalek::PublicKey::from(public)).as_bytes()
}

/// The ephemeral public keys, as they stand in the first two messages.
fn ephemerals(recording: &Recording) -> [[u8; 32]; 2] {
    let mut messages = recording.handshake();
    let first = messages.next().expect("an initiation").bytes[2..34].try_into().expect("32 bytes");
    let second = messages.next().expect("a response").bytes[5..37].try_into().expect("32 bytes");
    [first, second]
}

#[test]
fn key_schedule_of_this_test_is_the_real_one() {
    // With one secret more than is public, the keys come out: so the next test looks in the right place.
    for seed in 1..4 {
        let recording = record(seed);
        let [_, host_ephemeral] = ephemerals(&recording);
        let ee = exchange(recording.ephemeral, host_ephemeral);
        let es = exchange(recording.ephemeral, *recording.host_identity.public().as_bytes());
        let se = exchange(*recording.client_identity.secret_bytes(), host_ephemeral);
        let keys = split([&ee, &es, &se]);
        assert!(keys == [recording.secrets.send, recording.secrets.receive], "seed {seed}");
    }
}

/// Everything an eavesdropper can read or compute, as 32-byte values.
fn public_values(recording: &Recording) -> Vec<[u8; 32]> {
    let mut values = vec![[0; 32], [0xff; 32], core::array::from_fn(|index| u8::from(index == 0))];
    for key in [recording.client_identity.public(), recording.host_identity.public()] {
        values.push(*key.as_bytes());
        values.push(hash(&[b"rift mac1", &key.as_bytes()[..]].concat()));
    }
    let mut transcript = hash(b"Noise_XX_25519_ChaChaPoly_BLAKE2s");
    values.push(transcript);
    transcript = hash(&[&transcript[..], &Opening::XX.prologue()].concat());
    values.push(transcript);
    for sent in recording.handshake() {
        values.extend(sent.bytes.windows(32).map(|window| <[u8; 32]>::try_from(window).expect("32 bytes")));
        for end in 1..=sent.bytes.len() {
            transcript = hash(&[&transcript[..], &sent.bytes[end - 1..end]].concat());
            values.push(hash(&sent.bytes[..end]));
        }
        values.push(transcript);
    }
    for (_, header) in recording.sealed().take(4) {
        let mut padded = [0; 32];
        padded[..4].copy_from_slice(&header.connection.to_be_bytes());
        values.push(padded);
        values.push(hash(&header.connection.to_be_bytes()));
    }
    values
}

/// Keys made of public values: as they are, hashed, and through Noise's schedule as if they were shared secrets.
fn guesses(recording: &Recording) -> Vec<[u8; 32]> {
    let values = public_values(recording);
    let mut keys = values.clone();
    for value in &values {
        keys.push(hash(value));
        keys.extend(split([value; 3]));
        keys.extend(hkdf(value, &[]));
    }
    let [client_ephemeral, host_ephemeral] = ephemerals(recording);
    let publics = [
        client_ephemeral,
        host_ephemeral,
        *recording.client_identity.public().as_bytes(),
        *recording.host_identity.public().as_bytes(),
    ];
    // Public keys taken for secrets, and their exchanges with each other.
    let mut shared = vec![[0; 32]];
    shared.extend(publics);
    for one in publics {
        shared.extend(publics.map(|other| exchange(one, other)));
    }
    for ee in &shared {
        for es in &shared {
            for se in &shared {
                keys.extend(split([ee, es, se]));
            }
        }
    }
    keys
}

#[test]
fn keys_derived_from_public_values_open_nothing() {
    let recording = record(1);
    let keys = guesses(&recording);
    assert!(keys.len() > 10_000, "{}", keys.len());
    // The shortest ones each way: one that opens none of these opens nothing that was sealed under its key.
    for from_client in [true, false] {
        let of_side = |sent: &Captured| (sent.from == recording.client) == from_client;
        let mut sealed: Vec<_> = recording.sealed().filter(|(sent, _)| of_side(sent)).collect();
        sealed.sort_by_key(|(sent, _)| sent.bytes.len());
        for &(sent, header) in sealed.iter().take(3) {
            let number = header.packet_number.into();
            assert!(
                keys.iter().all(|key| open(key, sent, header, number).is_none()),
                "{header:?} was opened"
            );
        }
    }
}
