//! Questions and answers of DNS (RFC 1035), as far as looking for hosts needs them (RFC 6762 §5.1, RFC 6763 §4).
//!
//! Everything that comes is a stranger's. Whatever it is, reading it ends: a name is at most 255 bytes and a reference in it
//! leads towards the beginning of the message, a message has at most 64 records that count and
//! [`HOSTS_MAX`] hosts. What is cut short or makes no sense is left out. Nothing is allocated.

#![no_std]
#![forbid(unsafe_code)]

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use heapless::Vec;
use rift::crypto::DiscoveryTag;

/// Hosts read from one message.
pub const HOSTS_MAX: usize = 8;
/// Addresses kept of each.
pub const ADDRESSES_MAX: usize = 4;
/// Records looked at: an answer has four for each host and address.
const RECORDS_MAX: usize = 64;
/// Bytes of a name (RFC 1035 §2.3.4).
const NAME_LEN_MAX: usize = 255;
/// References followed in one name; writers need one or two.
const JUMPS_MAX: usize = 16;
/// Strings of a TXT record that are looked at.
const STRINGS_MAX: usize = 16;

const HEADER_LEN: usize = 12;
const IS_ANSWER: u8 = 0x80;
/// Everything in the flags that must be 0: the kind of question, and what went wrong.
const ODD: [u8; 2] = [0x78, 0x0f];
const A: u16 = 1;
const PTR: u16 = 12;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const SRV: u16 = 33;
const INTERNET: u16 = 1;

/// The service's name as DNS writes it.
const SERVICE: &[u8] = b"\x06_wavry\x04_udp\x05local\0";
/// Bytes of a [`question`].
pub const QUESTION_LEN: usize = HEADER_LEN + SERVICE.len() + 4;

/// Who offers the service? Asked from any port but mDNS's own, it is answered to that port alone (RFC 6762 §6.7).
///
/// ```text
/// id (2) · flags 0 (2) · questions 1, answers 0, authorities 0, additional 0 (2 each) · name · PTR (2) · IN (2)
/// ```
#[must_use]
pub fn question(id: u16) -> [u8; QUESTION_LEN] {
    let mut bytes = [0; QUESTION_LEN];
    bytes[..2].copy_from_slice(&id.to_be_bytes());
    bytes[5] = 1;
    bytes[HEADER_LEN..][..SERVICE.len()].copy_from_slice(SERVICE);
    bytes[QUESTION_LEN - 4..][..2].copy_from_slice(&PTR.to_be_bytes());
    bytes[QUESTION_LEN - 2..].copy_from_slice(&INTERNET.to_be_bytes());
    bytes
}

/// A host as an answer tells it. Nothing of it is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Its UDP port, not 0.
    pub port: u16,
    /// Where a host can be; may be none.
    pub addresses: Vec<IpAddr, ADDRESSES_MAX>,
    /// The newest version it speaks, if it says so.
    pub version: Option<u8>,
    /// Who it is, for those who know it.
    pub tag: Option<DiscoveryTag>,
}

/// The hosts in the answer to question `id`; none when it is no such answer.
#[must_use]
pub fn read(message: &[u8], id: u16) -> Vec<Announced, HOSTS_MAX> {
    let mut hosts = Vec::new();
    let Some(records) = Records::of(message, id) else { return hosts };
    let offers = records.clone().filter(|record| record.kind == PTR && record.name.is(SERVICE));
    for offer in offers.take(HOSTS_MAX) {
        let instance = Name { message, at: offer.data };
        if let Some(host) = host(message, &records, instance) {
            // No more than there is room for are taken.
            let _ = hosts.push(host);
        }
    }
    hosts
}

/// What the records tell of one host; `None`: not where it is.
fn host<'m>(message: &'m [u8], records: &Records<'m>, instance: Name<'m>) -> Option<Announced> {
    let of = |kind, name: Name<'m>| {
        records.clone().filter(move |record| record.kind == kind && record.name.same(&name))
    };
    let service = of(SRV, instance).next()?;
    // Priority and weight: a host has one place.
    let port = word(message, service.data + 4).filter(|&port| port != 0)?;
    let target = Name { message, at: service.data + 6 };
    let mut found = Announced { port, addresses: Vec::new(), version: None, tag: None };
    let v4 = of(A, target).filter_map(|record| {
        let octets: [u8; 4] = record.bytes(message)?.try_into().ok()?;
        Some(IpAddr::V4(Ipv4Addr::from(octets)))
    });
    let v6 = of(AAAA, target).filter_map(|record| {
        let octets: [u8; 16] = record.bytes(message)?.try_into().ok()?;
        Some(IpAddr::V6(Ipv6Addr::from(octets)))
    });
    for address in v4.chain(v6).filter(can_be_a_host) {
        if found.addresses.push(address).is_err() {
            break;
        }
    }
    let text = of(TXT, instance).next().and_then(|record| record.bytes(message));
    for (key, value) in properties(text.unwrap_or_default()) {
        if key.eq_ignore_ascii_case(DiscoveryTag::VERSION_KEY.as_bytes()) && found.version.is_none() {
            found.version = value.parse().ok();
        } else if key.eq_ignore_ascii_case(DiscoveryTag::TAG_KEY.as_bytes()) && found.tag.is_none() {
            found.tag = DiscoveryTag::parse(value);
        }
    }
    Some(found)
}

fn can_be_a_host(address: &IpAddr) -> bool {
    // One of a single link means nothing without the link, and a board does not say which it has.
    let is_of_a_link = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_of_a_link)
}

/// The pairs in a TXT record (RFC 6763 §6.4).
fn properties(mut text: &[u8]) -> impl Iterator<Item = (&[u8], &str)> {
    core::iter::from_fn(move || {
        let (&len, rest) = text.split_first()?;
        let (string, rest) = rest.split_at_checked(len.into())?;
        text = rest;
        Some(string)
    })
    .take(STRINGS_MAX)
    .filter_map(|string| {
        let at = string.iter().position(|&byte| byte == b'=')?;
        Some((&string[..at], core::str::from_utf8(&string[at + 1..]).ok()?))
    })
}

/// A name somewhere in a message.
#[derive(Clone, Copy, Debug)]
struct Name<'a> {
    message: &'a [u8],
    at: usize,
}

/// The labels of a name; `Err` once it makes no sense.
#[derive(Clone, Debug)]
struct Labels<'a> {
    message: &'a [u8],
    at: usize,
    /// References lead before this place: so none leads round.
    floor: usize,
    jumps: usize,
    len: usize,
    is_over: bool,
}

impl<'a> Iterator for Labels<'a> {
    type Item = Result<&'a [u8], ()>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let label = self.step();
        self.is_over = !matches!(label, Some(Ok(_)));
        label
    }
}

impl<'a> Labels<'a> {
    fn step(&mut self) -> Option<Result<&'a [u8], ()>> {
        loop {
            let Some(&len) = self.message.get(self.at) else { return Some(Err(())) };
            match len {
                0 => return None,
                1..=63 => {
                    self.len += 1 + usize::from(len);
                    let label = self.message.get(self.at + 1..self.at + 1 + usize::from(len));
                    self.at += 1 + usize::from(len);
                    return Some(label.filter(|_| self.len < NAME_LEN_MAX).ok_or(()));
                }
                0xc0.. => {
                    let to = word(self.message, self.at).map(|word| usize::from(word & 0x3fff));
                    self.jumps += 1;
                    match to.filter(|&to| to < self.floor && self.jumps <= JUMPS_MAX) {
                        Some(to) => (self.at, self.floor) = (to, to),
                        None => return Some(Err(())),
                    }
                }
                64..=191 => return Some(Err(())),
            }
        }
    }
}

impl<'a> Name<'a> {
    fn labels(&self) -> Labels<'a> {
        let Self { message, at } = *self;
        Labels { message, at, floor: at, jumps: 0, len: 0, is_over: false }
    }

    /// Whether both make sense and are the same; upper and lower case are (RFC 6762 §16).
    fn same(&self, other: &Name<'_>) -> bool {
        let (mut own, mut theirs) = (self.labels(), other.labels());
        loop {
            match (own.next(), theirs.next()) {
                (None, None) => return true,
                (Some(Ok(one)), Some(Ok(other))) if one.eq_ignore_ascii_case(other) => {}
                _ => return false,
            }
        }
    }

    /// Whether it is the name that is written so.
    fn is(&self, written: &[u8]) -> bool {
        self.same(&Name { message: written, at: 0 })
    }

    /// Where what follows it begins.
    fn end(&self) -> Option<usize> {
        let mut at = self.at;
        while at - self.at < NAME_LEN_MAX {
            match *self.message.get(at)? {
                0 => return Some(at + 1),
                len @ 1..=63 => at += 1 + usize::from(len),
                0xc0.. => return Some(at + 2),
                64..=191 => return None,
            }
        }
        None
    }
}

/// A record: what of whom.
#[derive(Clone, Debug)]
struct Record<'a> {
    name: Name<'a>,
    kind: u16,
    /// Where its data begin, and how many bytes there are.
    data: usize,
    len: usize,
}

impl Record<'_> {
    fn bytes<'m>(&self, message: &'m [u8]) -> Option<&'m [u8]> {
        message.get(self.data..self.data + self.len)
    }
}

/// The records of an answer that are of the Internet's class.
#[derive(Clone, Debug)]
struct Records<'a> {
    message: &'a [u8],
    at: usize,
    left: usize,
}

impl<'a> Records<'a> {
    /// `None`: it is no answer to question `id`.
    fn of(message: &'a [u8], id: u16) -> Option<Self> {
        let flags = [*message.get(2)?, *message.get(3)?];
        let is_sound = flags[0] & IS_ANSWER != 0 && flags[0] & ODD[0] == 0 && flags[1] & ODD[1] == 0;
        if word(message, 0)? != id || !is_sound {
            return None;
        }
        let mut at = HEADER_LEN;
        let questions = word(message, 4)?;
        // An answer repeats the one question.
        for _ in 0..questions.min(2) {
            at = Name { message, at }.end()? + 4;
        }
        let count = |at| word(message, at).map(usize::from);
        let records = count(6)? + count(8)? + count(10)?;
        (questions <= 2).then_some(Self { message, at, left: records.min(RECORDS_MAX) })
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        while self.left > 0 {
            self.left -= 1;
            let name = Name { message: self.message, at: self.at };
            // Name, kind, class, time to live, length, data.
            let Some(head) = name.end() else { break };
            let (Some(kind), Some(class), Some(len)) =
                (word(self.message, head), word(self.message, head + 2), word(self.message, head + 8))
            else {
                break;
            };
            let record = Record { name, kind, data: head + 10, len: len.into() };
            self.at = record.data + record.len;
            if record.bytes(self.message).is_none() {
                break;
            }
            // The highest bit says that no other record of the name counts (RFC 6762 §10.2).
            if class & 0x7fff == INTERNET {
                return Some(record);
            }
        }
        self.left = 0;
        None
    }
}

fn word(message: &[u8], at: usize) -> Option<u16> {
    message.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec;
    use std::vec::Vec as List;

    use rift::PublicKey;

    use super::*;

    const ID: u16 = 0x1234;
    /// Where the first name after the header lies: the service's, which others refer to.
    const SERVICE_AT: u16 = HEADER_LEN as u16;

    fn tag() -> DiscoveryTag {
        DiscoveryTag::new(&PublicKey::from_bytes([7; 32]), [3; 8])
    }

    fn record(name: &[u8], kind: u16, data: &[u8]) -> List<u8> {
        let len = u16::try_from(data.len()).expect("it is short").to_be_bytes();
        [name, &kind.to_be_bytes(), &[0x80, 1, 0, 0, 0, 10], &len, data].concat()
    }

    fn strings(strings: &[&str]) -> List<u8> {
        strings.iter().flat_map(|text| [&[text.len() as u8], text.as_bytes()].concat()).collect()
    }

    /// An answer as a host gives it: the question again, then PTR, SRV, TXT and A, names by reference.
    fn answer(text: &[&str], addresses: &[[u8; 4]]) -> List<u8> {
        let mut message = question(ID).to_vec();
        message[2] = 0x84;
        message[7] = 1;
        message[11] = 2 + addresses.len() as u8;
        let pointer = |at: u16| (0xc000 | at).to_be_bytes();
        // The instance's own label, then the service's name.
        let instance = [b"\x05study".as_slice(), &pointer(SERVICE_AT)].concat();
        let instance_at = message.len() as u16 + 12;
        message.extend(record(&pointer(SERVICE_AT), PTR, &instance));
        let target_at = message.len() as u16 + 12 + 6;
        let service = [&[0, 0, 0, 0, 0x12, 0x8b], b"\x02pc\x05local\0".as_slice()].concat();
        message.extend(record(&pointer(instance_at), SRV, &service));
        message.extend(record(&pointer(instance_at), TXT, &strings(text)));
        for address in addresses {
            message.extend(record(&pointer(target_at), A, address));
        }
        message
    }

    fn usual() -> List<u8> {
        let text = std::format!("tag={}", tag().to_text());
        answer(&["V=3", "other", &text, "v=9"], &[[127, 0, 0, 1], [192, 168, 1, 7]])
    }

    #[test]
    fn host_is_read_with_all_that_it_tells() {
        let hosts = read(&usual(), ID);
        let address = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 7));
        assert_eq!(hosts.len(), 1);
        assert_eq!(hosts[0].port, 4747);
        assert_eq!(hosts[0].addresses, [address]);
        assert_eq!(hosts[0].version, Some(3));
        assert!(hosts[0].tag.is_some_and(|tag| tag.is_of(&PublicKey::from_bytes([7; 32]))));
    }

    #[test]
    fn answers_to_others_and_what_is_no_answer_tell_nothing() {
        assert!(read(&usual(), ID + 1).is_empty());
        assert!(read(&question(ID), ID).is_empty());
        for (at, bit) in [(2, 0x08), (3, 0x03), (14, 0x20)] {
            let mut message = usual();
            message[at] ^= bit;
            let is_same = at == 14;
            assert_eq!(!read(&message, ID).is_empty(), is_same, "upper and lower case are the same: {at}");
        }
        let mut other = usual();
        other[14] = b'x';
        assert!(read(&other, ID).is_empty(), "another service");
        let mut no_port = usual();
        let at = no_port.windows(2).position(|pair| pair == [0x12, 0x8b]).expect("the port");
        no_port[at..at + 2].fill(0);
        assert!(read(&no_port, ID).is_empty());
    }

    /// Every answer cut short anywhere, and with any one byte another, is read to an end and tells nothing that cannot be.
    #[test]
    fn whatever_comes_is_read_to_an_end() {
        let message = usual();
        for len in 0..message.len() {
            check(&message[..len]);
        }
        for at in 0..message.len() {
            for byte in 0..=u8::MAX {
                let mut other = message.clone();
                other[at] = byte;
                check(&other);
            }
        }
        // xorshift64 (G. Marsaglia, "Xorshift RNGs", 2003).
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            let mut other = message.clone();
            for _ in 0..8 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let at = (state >> 16) as usize % other.len();
                other[at] = state as u8;
            }
            check(&other);
        }
    }

    fn check(message: &[u8]) {
        for host in &read(message, ID) {
            assert!(host.port != 0 && host.addresses.iter().all(can_be_a_host), "{message:?}");
        }
    }

    #[test]
    fn names_that_lead_round_or_on_and_on_are_none() {
        let name = |message: &[u8]| Name { message, at: message.len() - 2 }.is(b"\x01a\0");
        assert!(name(b"\x01a\0\xc0\x00"));
        // To itself, forward, and to and fro.
        assert!(!name(b"\xc0\x00") && !name(b"\xc0\x7f") && !name(b"\xc0\x02\xc0\x00"));
        // From reference to reference, each before the last.
        let mut long = vec![0x01, b'a', 0];
        for jump in 0..=JUMPS_MAX as u8 {
            long.extend([0xc0, if jump == 0 { 0 } else { 1 + 2 * jump }]);
            assert_eq!(name(&long), usize::from(jump) < JUMPS_MAX, "{jump}");
        }
        // Longer than a name may be.
        let labels: List<u8> = (0..4).flat_map(|_| [&[63][..], &[b'x'; 63]].concat()).chain([0]).collect();
        let own = Name { message: &labels, at: 0 };
        assert!(!own.same(&own));
    }

    #[test]
    fn no_more_hosts_and_records_are_taken_than_there_is_room_for() {
        let mut message = question(ID).to_vec();
        message[2] = 0x84;
        message[6..8].copy_from_slice(&u16::MAX.to_be_bytes());
        let name = (0xc000 | SERVICE_AT).to_be_bytes();
        // Each is an instance of its own, whose name is the service's: all have one place.
        for _ in 0..100 {
            message.extend(record(&name, PTR, &name));
        }
        assert!(read(&message, ID).is_empty());
        let mut ahead = message[..QUESTION_LEN].to_vec();
        ahead.extend(record(&name, SRV, &[[0, 0, 0, 0, 0, 9].as_slice(), &name].concat()));
        (0..100).for_each(|last| ahead.extend(record(&name, A, &[10, 0, 0, last])));
        let behind = message[QUESTION_LEN..].to_vec();
        ahead.splice(QUESTION_LEN..QUESTION_LEN, behind[..20 * 14].iter().copied());
        let hosts = read(&ahead, ID);
        assert_eq!((hosts.len(), hosts[0].addresses.len()), (HOSTS_MAX, ADDRESSES_MAX));
    }
}
