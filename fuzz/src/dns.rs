//! Answers of DNS to a board that looks for hosts (SPEC §4.18): whatever comes is read to an end and tells of no more than
//! there is room for; what an honest host answers is read as it was written.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rift::PublicKey;
use rift::crypto::DiscoveryTag;
use rift_dns::{ADDRESSES_MAX, Announced, HOSTS_MAX, QUESTION_LEN, question, read};

use crate::bytes::{Bytes, Noise, Script};
use crate::seeds::Seed;

const ID: u16 = 0x1234;
const ANSWER: [u8; 2] = [0x84, 0];
/// Where the service's name lies: behind the header, in the question that is repeated.
const SERVICE_AT: usize = 12;
const A: u8 = 1;
const PTR: u8 = 12;
const TXT: u8 = 16;
const AAAA: u8 = 28;
const SRV: u8 = 33;
/// Records that one message is made of at most.
const RECORDS_MAX: usize = 60;

/// Messages of one input: bounds its time.
const MESSAGES_MAX: usize = 16;

/// Reads what the bytes make; see the module.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    for _ in 0..MESSAGES_MAX {
        let kind = bytes.u8();
        let mut message = Bytes::new(bytes.run(2000));
        match kind % 4 {
            0 => must_end(message.rest()),
            // Mostly an answer to the question.
            1 => must_end(&[&ID.to_be_bytes(), &ANSWER, message.rest()].concat()),
            2 => must_end(&strange(&mut message)),
            _ => honest(&mut message),
        }
        if bytes.is_empty() {
            return;
        }
    }
}

fn must_end(message: &[u8]) {
    let hosts = read(message, ID);
    assert_eq!(hosts, read(message, ID), "the same message");
    assert!(hosts.len() <= HOSTS_MAX, "no more hosts than there is room for");
    for host in &hosts {
        assert!(host.port != 0 && host.addresses.len() <= ADDRESSES_MAX, "{host:?}");
        assert!(host.addresses.iter().all(may_be_called), "{host:?}");
    }
    assert!(read(message, !ID).is_empty() || message[..2] != ID.to_be_bytes(), "answers another question");
    if let Some(flags) = message.get(2) {
        let mut asked = message.to_vec();
        asked[2] = flags & 0x7f;
        assert!(read(&asked, ID).is_empty(), "a question tells nothing");
    }
}

/// Whether a board may call there: neither itself nor many, and no place that needs a link's name.
fn may_be_called(address: &IpAddr) -> bool {
    let is_of_a_link = matches!(address, IpAddr::V6(address) if address.segments()[0] & 0xffc0 == 0xfe80);
    !(is_of_a_link || address.is_loopback() || address.is_multicast() || address.is_unspecified())
}

/// A message as it is written.
struct Message {
    bytes: Vec<u8>,
    records: u16,
}

impl Message {
    fn new() -> Self {
        let mut bytes = question(ID).to_vec();
        bytes[2..4].copy_from_slice(&ANSWER);
        Self { bytes, records: 0 }
    }

    /// A record; gives where its data lie.
    fn record(&mut self, name: &[u8], kind: u8, data: &[u8]) -> usize {
        let len = u16::try_from(data.len()).expect("data are short").to_be_bytes();
        // The Internet's class, nobody else's record of the name, ten seconds.
        let parts = [name, &[0, kind, 0x80, 1, 0, 0, 0, 10], &len, data];
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.records += 1;
        self.bytes[6..8].copy_from_slice(&self.records.to_be_bytes());
        self.bytes.len() - data.len()
    }
}

/// A reference to a name that lies there.
fn pointer(at: usize) -> [u8; 2] {
    (0xc000 | u16::try_from(at).expect("messages are short")).to_be_bytes()
}

/// Records of the right kinds whose names and data are the bytes' own, or lead somewhere in the message.
fn strange(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let mut message = Message::new();
    for _ in 0..RECORDS_MAX {
        if bytes.is_empty() {
            break;
        }
        let name = name(bytes, message.bytes.len());
        let kind = [PTR, SRV, TXT, A, AAAA, bytes.u8()][bytes.below(6)];
        let data = match kind {
            PTR => self::name(bytes, message.bytes.len()),
            SRV => [bytes.run(6), &self::name(bytes, message.bytes.len())].concat(),
            _ => bytes.run(300).to_vec(),
        };
        message.record(&name, kind, &data);
    }
    if bytes.flag() {
        let at = bytes.below(QUESTION_LEN);
        message.bytes[at] = bytes.u8();
    }
    message.bytes
}

/// A name: of labels, of a reference, or neither.
fn name(bytes: &mut Bytes<'_>, len: usize) -> Vec<u8> {
    let mut name = Vec::new();
    for _ in 0..bytes.below(4) {
        let label = bytes.run(63);
        name.extend([&[u8::try_from(label.len()).expect("at most 63")], label].concat());
    }
    match bytes.u8() % 8 {
        0 => name.push(0),
        1 => name.extend(bytes.run(8)),
        2..=4 => name.extend(pointer(SERVICE_AT)),
        _ => name.extend(pointer(usize::from(bytes.u16()) % len)),
    }
    name
}

/// What honest hosts answer, and what is read of it.
fn honest(bytes: &mut Bytes<'_>) {
    let mut message = Message::new();
    let mut hosts: Vec<Announced> = Vec::new();
    for index in 0..=bytes.below(HOSTS_MAX) {
        hosts.push(announce(&mut message, u8::try_from(index).expect("few"), bytes));
    }
    let found = read(&message.bytes, ID);
    assert_eq!(found.as_slice(), hosts, "as they were written");
    let flipped: Vec<u8> = message.bytes.iter().map(u8::to_ascii_uppercase).collect();
    // Upper-case letters change data too, but never whether it ends.
    must_end(&flipped);
    must_end(&message.bytes[..message.bytes.len() - bytes.below(message.bytes.len().min(256))]);
}

/// Writes the records of one host; gives what they tell.
fn announce(message: &mut Message, index: u8, bytes: &mut Bytes<'_>) -> Announced {
    let label = [&[b'a' + index], bytes.run(40)].concat();
    let label = [&[u8::try_from(label.len()).expect("at most 41")], label.as_slice()].concat();
    let instance =
        message.record(&pointer(SERVICE_AT), PTR, &[label.as_slice(), &pointer(SERVICE_AT)].concat());
    let port = bytes.u16().max(1);
    let target = [&[2, b'h', b'0' + index][..], b"\x05local\0"].concat();
    let head = [&[0; 4][..], &port.to_be_bytes()].concat();
    // The instance's name by reference, or written out in capitals.
    let capitals = [label.to_ascii_uppercase().as_slice(), b"\x06_WAVRY\x04_UDP\x05LOCAL\0"].concat();
    let is_short = bytes.flag();
    let name = if is_short { pointer(instance).to_vec() } else { capitals };
    let target_at = message.record(&name, SRV, &[head, target].concat()) + 6;
    let (version, tag) = text(message, &pointer(instance), bytes);
    let mut addresses: [Vec<IpAddr>; 2] = Default::default();
    for _ in 0..bytes.below(4) {
        if bytes.flag() {
            let octets: [u8; 16] = core::array::from_fn(|_| bytes.u8());
            message.record(&pointer(target_at), AAAA, &octets);
            addresses[1].push(Ipv6Addr::from(octets).into());
        } else {
            let octets: [u8; 4] = core::array::from_fn(|_| bytes.u8());
            message.record(&pointer(target_at), A, &octets);
            addresses[0].push(Ipv4Addr::from(octets).into());
        }
    }
    let addresses = addresses.concat().into_iter().filter(may_be_called).collect();
    Announced { port, addresses, version, tag }
}

/// Writes a TXT record; gives its version and tag.
fn text(message: &mut Message, name: &[u8], bytes: &mut Bytes<'_>) -> (Option<u8>, Option<DiscoveryTag>) {
    let version = bytes.flag().then(|| bytes.u8());
    let tag = bytes.flag().then(|| {
        let nonce = bytes.u64().to_be_bytes();
        DiscoveryTag::new(&PublicKey::from_bytes([bytes.u8(); 32]), nonce)
    });
    let version_text = version.map(|version| format!("V={version}"));
    let tag_text = tag.as_ref().map(|tag| format!("tag={}", tag.to_text()));
    let mut strings = vec![String::from("other"), "name=of a host".into()];
    strings.extend(version_text.into_iter().chain(tag_text));
    let string = |text: &String| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    let data: Vec<u8> = strings.iter().flat_map(string).collect();
    message.record(name, TXT, &data);
    (version, tag)
}

/// Inputs for a fuzzer to start from.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let filler = Noise::new(11).bytes(400);
    let mut message = Message::new();
    announce(&mut message, 0, &mut Bytes::new(&filler));
    // To itself, and to and fro.
    let round = [0, 6, 0, 33, 0, 0, 0, 6, 0, 33];
    let script = Script::default().u8(0).run(&message.bytes).u8(1).run(&filler).u8(2).run(&round);
    let script = script.u8(2).run(&filler).u8(3).run(&filler).u8(3).run(&filler[100..]);
    vec![("dns", "messages".into(), script.into_bytes())]
}
