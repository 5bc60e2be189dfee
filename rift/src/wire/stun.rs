//! Binding of STUN (RFC 8489): what is my address, seen from there? Requests, and both kinds of answer; nothing else of it.
//!
//! ```text
//!  0      2        4              8                20
//! +------+--------+--------------+----------------+------------
//! | type | length | 0x2112a442   | transaction id | attributes: type (2), length (2), value, zeros to 4 bytes
//! +------+--------+--------------+----------------+------------
//! type: 0x0001 request, 0x0101 success, 0x0111 error; length: of the attributes
//! ```
//!
//! An answer never needs more than a walk over [`LEN_MAX`] bytes.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Reader, Writer};

/// The longest message that is read, but for requests that one padding makes longer ([`write_padded_request`]): RFC 8489 §6.1
/// recommends 548 bytes at most where nothing is known of the path.
pub const LEN_MAX: usize = 548;
/// Bytes of a request of [`write_request`].
pub const REQUEST_LEN: usize = HEADER_LEN + 4 + SOFTWARE.len() + FINGERPRINT_LEN;
/// Bytes of the longest answer of [`answer`].
pub const ANSWER_LEN_MAX: usize = 52;

const HEADER_LEN: usize = 20;
const COOKIE: u32 = 0x2112_a442;
const REQUEST: u16 = 0x0001;
const SUCCESS: u16 = 0x0101;
const ERROR: u16 = 0x0111;
const MAPPED_ADDRESS: u16 = 0x0001;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const SOFTWARE_TYPE: u16 = 0x8022;
const FINGERPRINT: u16 = 0x8028;
const FINGERPRINT_LEN: usize = 8;
const FINGERPRINT_XOR: u32 = 0x5354_554e;
/// What fills a request: of a type that whoever does not know it passes over (RFC 8489 §14) and that nobody else has taken. Not
/// PADDING of RFC 5780: servers that know that one answer with as long a datagram.
const FILLER: u16 = 0xffd7;
/// Bytes of an attribute before its value.
const ATTRIBUTE_LEN: usize = 4;
/// Attributes below this must be understood (RFC 8489 §14).
const OPTIONAL: u16 = 0x8000;
/// USERNAME, MESSAGE-INTEGRITY, REALM, NONCE, MESSAGE-INTEGRITY-SHA256, PASSWORD-ALGORITHM, USERHASH: understood, and
/// of no use where nobody is asked who they are (RFC 8489 §9).
const CREDENTIALS: [u16; 7] = [0x0006, 0x0008, 0x0014, 0x0015, 0x001c, 0x001d, 0x001e];
/// As long as makes a request no shorter than its answer, whatever the address.
const SOFTWARE: &[u8; 20] = b"wavry               ";
/// Unknown attributes that an error names.
const UNKNOWN_MAX: usize = 4;

const _: () = assert!(REQUEST_LEN >= ANSWER_LEN_MAX, "who asks as we do is sent no more than they sent");

/// Tells an answer from others; of 96 bits that nobody can guess.
pub type TransactionId = [u8; 12];

/// Writes a Binding request, as long as the longest answer; `None` when `out` is shorter than [`REQUEST_LEN`].
pub fn write_request(id: &TransactionId, out: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(out);
    put_header(&mut writer, REQUEST, id)?;
    writer.u16(SOFTWARE_TYPE)?;
    writer.u16(u16::try_from(SOFTWARE.len()).ok()?)?;
    writer.bytes(SOFTWARE)?;
    let len = writer.len();
    finish(out, len, true)
}

/// Fills `out` with one Binding request (SPEC §18.2): if it is answered, it was not too long for the way, whatever routers say or
/// keep to themselves (RFC 8899). `None` when there is none of that length: it is a multiple of 4, from 24 to 65 532.
pub fn write_padded_request(id: &TransactionId, out: &mut [u8]) -> Option<()> {
    let end = out.len();
    let filler = u16::try_from(end.checked_sub(HEADER_LEN)?.checked_sub(ATTRIBUTE_LEN)?).ok()?;
    if !end.is_multiple_of(4) {
        return None;
    }
    out.fill(0);
    let mut writer = Writer::new(out);
    put_header(&mut writer, REQUEST, id)?;
    writer.u16(FILLER)?;
    writer.u16(filler)?;
    finish(out, end, false).map(|_| ())
}

/// What a server said to the request `id`: the address it came from, or the code of an error. `None` when this is no
/// answer to it.
#[must_use]
pub fn parse_answer(datagram: &[u8], id: &TransactionId) -> Option<Result<SocketAddr, u16>> {
    let message = Message::parse(datagram)?;
    if message.id != *id {
        return None;
    }
    let mut mapped = None;
    for (kind, value) in message.attributes() {
        match kind {
            ERROR_CODE if message.kind == ERROR => {
                let mut reader = Reader::new(value);
                let (_, class, number) = (reader.u16()?, reader.u8()?, reader.u8()?);
                return Some(Err(u16::from(class & 7).saturating_mul(100).saturating_add(number.into())));
            }
            XOR_MAPPED_ADDRESS if message.kind == SUCCESS => return parse_address(value, Some(id)).map(Ok),
            // Of a server of RFC 3489; the one that is not rewritten on the way counts more.
            MAPPED_ADDRESS if message.kind == SUCCESS => mapped = parse_address(value, None),
            _ => {}
        }
    }
    mapped.map(Ok)
}

/// A server's answer to a datagram that came from `from`; its length. `None` when it is no Binding request that is to be
/// answered, or `out` is shorter than [`ANSWER_LEN_MAX`]. Nothing is remembered, nobody is asked who they are.
///
/// The answer to a request without a single attribute may be longer than it, by 12 bytes (IPv6: 24), as RFC 8489 has it:
/// see [`is_longer`].
pub fn answer(datagram: &[u8], from: SocketAddr, out: &mut [u8]) -> Option<usize> {
    let bare = without_filler(datagram);
    let datagram = bare.as_ref().map_or(datagram, |bare| &bare[..]);
    let request = Message::parse(datagram).filter(|message| message.kind == REQUEST)?;
    let mut unknown: heapless::Vec<u16, UNKNOWN_MAX> = heapless::Vec::new();
    for (kind, _) in request.attributes() {
        if kind < OPTIONAL && !CREDENTIALS.contains(&kind) && !unknown.contains(&kind) {
            // Those beyond are named to who asks again without these.
            let _ = unknown.push(kind);
        }
    }
    let mut writer = Writer::new(out);
    if unknown.is_empty() {
        put_header(&mut writer, SUCCESS, &request.id)?;
        put_address(&mut writer, from, &request.id)?;
    } else {
        put_header(&mut writer, ERROR, &request.id)?;
        writer.u16(ERROR_CODE)?;
        writer.u16(4)?;
        // 420: unknown attribute. The reason, for people, is left out.
        writer.u32(0x0414)?;
        writer.u16(UNKNOWN_ATTRIBUTES)?;
        writer.u16(u16::try_from(unknown.len()).ok()?.checked_mul(2)?)?;
        for &kind in &unknown {
            writer.u16(kind)?;
        }
        if unknown.len() % 2 == 1 {
            writer.u16(0)?;
        }
    }
    let len = writer.len();
    finish(out, len, request.has_fingerprint)
}

/// Whether an answer is longer than its request, so that who sends with another's address makes more reach that other
/// than they sent: to be given sparingly.
#[must_use]
pub const fn is_longer(request: &[u8], answer_len: usize) -> bool {
    answer_len > request.len()
}

/// A message whose one attribute fills it, without that: longer than [`LEN_MAX`], but read at a glance.
fn without_filler(datagram: &[u8]) -> Option<[u8; HEADER_LEN]> {
    let (&(mut head), attributes) = datagram.split_first_chunk::<HEADER_LEN>()?;
    let mut reader = Reader::new(attributes);
    let is_filler = reader.u16()? == FILLER && usize::from(reader.u16()?) == reader.rest().len();
    let length = head.get_mut(2..4)?;
    let is_whole = *length == u16::try_from(attributes.len()).ok()?.to_be_bytes();
    length.fill(0);
    (is_filler && is_whole).then_some(head)
}

fn put_header(writer: &mut Writer<'_>, kind: u16, id: &TransactionId) -> Option<()> {
    writer.u16(kind)?;
    writer.u16(0)?;
    writer.u32(COOKIE)?;
    writer.bytes(id)
}

/// Writes the length into the message of `len` bytes, and the fingerprint if there is to be one; tells how long it is.
fn finish(out: &mut [u8], len: usize, has_fingerprint: bool) -> Option<usize> {
    let end = if has_fingerprint { len.checked_add(FINGERPRINT_LEN)? } else { len };
    let length = u16::try_from(end.checked_sub(HEADER_LEN)?).ok()?;
    out.get_mut(2..4)?.copy_from_slice(&length.to_be_bytes());
    if has_fingerprint {
        let (message, rest) = out.get_mut(..end)?.split_at_mut_checked(len)?;
        let mut writer = Writer::new(rest);
        writer.u16(FINGERPRINT)?;
        writer.u16(4)?;
        writer.u32(crc32(message) ^ FINGERPRINT_XOR)?;
    }
    Some(end)
}

/// CRC-32 of ISO 3309, as in ITU-T V.42 (RFC 8489 §14.7), half a byte at a time.
fn crc32(bytes: &[u8]) -> u32 {
    let halves = bytes.iter().flat_map(|&byte| [byte & 15, byte >> 4]);
    let mut crc = u32::MAX;
    for half in halves {
        crc ^= u32::from(half);
        for _ in 0..4 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

/// A message whose form is right as far as its header, its length and its fingerprint go.
struct Message<'a> {
    kind: u16,
    id: TransactionId,
    attributes: &'a [u8],
    has_fingerprint: bool,
}

impl<'a> Message<'a> {
    fn parse(datagram: &'a [u8]) -> Option<Self> {
        if datagram.len() > LEN_MAX {
            return None;
        }
        let mut reader = Reader::new(datagram);
        let (kind, length, cookie) = (reader.u16()?, reader.u16()?, reader.u32()?);
        let id = reader.bytes(12)?.try_into().ok()?;
        let attributes = reader.rest();
        if cookie != COOKIE || usize::from(length) != attributes.len() || length % 4 != 0 {
            return None;
        }
        let mut message = Self { kind, id, attributes, has_fingerprint: false };
        let mut walk = message.attributes();
        for (kind, value) in walk.by_ref() {
            if kind != FINGERPRINT {
                continue;
            }
            // It is the last, over everything before it.
            let before = datagram.get(..datagram.len().checked_sub(FINGERPRINT_LEN)?)?;
            let expected = crc32(before) ^ FINGERPRINT_XOR;
            if attributes.len() < FINGERPRINT_LEN || value != expected.to_be_bytes() {
                return None;
            }
            message.has_fingerprint = true;
        }
        walk.is_whole().then_some(message)
    }

    const fn attributes(&self) -> Attributes<'a> {
        Attributes { reader: Reader::new(self.attributes), is_broken: false }
    }
}

/// Walks attributes, as long as they are whole.
struct Attributes<'a> {
    reader: Reader<'a>,
    is_broken: bool,
}

impl Attributes<'_> {
    const fn is_whole(&self) -> bool {
        !self.is_broken
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        if self.reader.is_empty() || self.is_broken {
            return None;
        }
        let mut read = || {
            let (kind, len) = (self.reader.u16()?, usize::from(self.reader.u16()?));
            let value = self.reader.bytes(len)?;
            self.reader.bytes(len.wrapping_neg() & 3)?;
            Some((kind, value))
        };
        let item = read();
        self.is_broken = item.is_none();
        item
    }
}

fn put_address(writer: &mut Writer<'_>, address: SocketAddr, id: &TransactionId) -> Option<()> {
    let (cookie_high, _) = split(COOKIE);
    writer.u16(XOR_MAPPED_ADDRESS)?;
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            writer.u16(8)?;
            writer.u16(1)?;
            writer.u16(address.port() ^ cookie_high)?;
            writer.u32(ip.to_bits() ^ COOKIE)
        }
        IpAddr::V6(ip) => {
            writer.u16(20)?;
            writer.u16(2)?;
            writer.u16(address.port() ^ cookie_high)?;
            writer.bytes(&(ip.to_bits() ^ mask(id)).to_be_bytes())
        }
    }
}

fn parse_address(value: &[u8], xored: Option<&TransactionId>) -> Option<SocketAddr> {
    let mut reader = Reader::new(value);
    let (_, family, port) = (reader.u8()?, reader.u8()?, reader.u16()?);
    let (port, cookie, mask) = match xored {
        Some(id) => (port ^ split(COOKIE).0, COOKIE, mask(id)),
        None => (port, 0, 0),
    };
    let ip = match family {
        1 => IpAddr::V4(Ipv4Addr::from_bits(reader.u32()? ^ cookie)),
        2 => {
            let (high, low) = (u128::from(reader.u64()?), u128::from(reader.u64()?));
            IpAddr::V6(Ipv6Addr::from_bits((high << 64 | low) ^ mask))
        }
        _ => return None,
    };
    reader.is_empty().then_some(SocketAddr::new(ip, port))
}

/// What an IPv6 address is xored with: cookie, then transaction id.
fn mask(id: &TransactionId) -> u128 {
    id.iter().fold(u128::from(COOKIE), |mask, &byte| mask << 8 | u128::from(byte))
}

const fn split(word: u32) -> (u16, u16) {
    let [a, b, c, d] = word.to_be_bytes();
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    reason = "a test that panics has found something"
)]
mod tests {
    use super::*;

    const ID: TransactionId = *b"twelve bytes";

    fn round(from: &str) -> Option<Result<SocketAddr, u16>> {
        let (mut request, mut reply) = ([0; REQUEST_LEN], [0; ANSWER_LEN_MAX]);
        let len = write_request(&ID, &mut request).unwrap();
        let answer_len = answer(&request[..len], from.parse().unwrap(), &mut reply).unwrap();
        assert!(!is_longer(&request[..len], answer_len));
        parse_answer(&reply[..answer_len], &ID)
    }

    #[test]
    fn answer_tells_the_address_it_went_to() {
        for address in ["192.0.2.1:32853", "[2001:db8:1234:5678:11:2233:4455:6677]:32853"] {
            assert_eq!(round(address), Some(Ok(address.parse().unwrap())));
        }
        assert_eq!(round("[::ffff:192.0.2.1]:7"), Some(Ok("192.0.2.1:7".parse().unwrap())));
    }

    #[test]
    fn responses_of_rfc_5769_are_read() {
        // RFC 5769 §2.2: sample IPv4 response, with SOFTWARE, XOR-MAPPED-ADDRESS, MESSAGE-INTEGRITY, FINGERPRINT.
        let sample = b"\x01\x01\x00\x3c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
            \x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20\x00\x20\x00\x08\x00\x01\xa1\x47\
            \xe1\x12\xa6\x43\x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\x2a\xf9\xba\x53\
            \xf0\x6b\xe7\xd7\x80\x28\x00\x04\xc0\x7d\x4c\x96";
        let id = b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";
        assert_eq!(parse_answer(sample, id), Some(Ok("192.0.2.1:32853".parse().unwrap())));
        // What changes a length may hide the fingerprint itself.
        let is_head = |byte: usize| [20, 36, 48, 72].iter().any(|&head| (head..head + 4).contains(&byte));
        for at in (0..sample.len() * 8).filter(|at| !is_head(at / 8)) {
            let mut damaged = *sample;
            damaged[at / 8] ^= 1 << (at % 8);
            assert_eq!(parse_answer(&damaged, id), None, "bit {at}: the fingerprint tells");
        }
    }

    #[test]
    fn bare_request_of_twenty_bytes_is_answered_without_a_fingerprint() {
        let (mut request, mut reply) = ([0; 20], [0; ANSWER_LEN_MAX]);
        request[1] = 1;
        request[4..8].copy_from_slice(&COOKIE.to_be_bytes());
        let len = answer(&request, "192.0.2.1:5".parse().unwrap(), &mut reply).unwrap();
        assert_eq!(len, 32);
        assert!(is_longer(&request, len));
        assert_eq!(parse_answer(&reply[..len], &[0; 12]), Some(Ok("192.0.2.1:5".parse().unwrap())));
    }

    #[test]
    fn request_with_what_must_be_understood_is_told_what_was_not() {
        // CHANGE-REQUEST (RFC 5780) and 0x7fff.
        let mut request = [0; 32];
        request[1] = 1;
        request[3] = 12;
        request[4..8].copy_from_slice(&COOKIE.to_be_bytes());
        request[20..28].copy_from_slice(&[0x00, 0x03, 0, 4, 0, 0, 0, 6]);
        request[28..30].copy_from_slice(&[0x7f, 0xff]);
        let mut reply = [0; ANSWER_LEN_MAX];
        let len = answer(&request, "192.0.2.1:5".parse().unwrap(), &mut reply).unwrap();
        assert_eq!(parse_answer(&reply[..len], &[0; 12]), Some(Err(420)));
        assert_eq!(reply[28..36], [0x00, 0x0a, 0, 4, 0x00, 0x03, 0x7f, 0xff]);
    }

    fn padded(len: usize) -> Option<[u8; 65_532]> {
        let mut request = [0xff; 65_532];
        write_padded_request(&ID, &mut request[..len])?;
        Some(request)
    }

    fn answered(request: &[u8]) -> Option<SocketAddr> {
        let (me, mut reply) = ("198.51.100.7:40000".parse().unwrap(), [0; ANSWER_LEN_MAX]);
        let len = answer(request, me, &mut reply)?;
        assert!(!is_longer(request, len), "no more is sent than came");
        assert_eq!(parse_answer(&reply[..len], &ID), Some(Ok(me)));
        Some(me)
    }

    #[test]
    fn requests_of_every_length_are_answered() {
        for len in [32, 100, 548, 552, 1200, 1472, 8972, 65_532] {
            assert!(answered(&padded(len).unwrap()[..len]).is_some(), "{len}");
        }
        for len in [0, 20, 23, 27, 1201] {
            assert!(padded(len).is_none(), "{len}");
        }
    }

    #[test]
    fn what_else_is_long_or_was_cut_short_is_not_answered() {
        let request = padded(1200).unwrap();
        assert_eq!(answered(&request[..1100]), None, "cut short");
        for (at, what) in [
            (0, "no request"),
            (5, "no STUN"),
            (3, "of another length"),
            (21, "another attribute"),
            (23, "one more"),
        ] {
            let mut other = request;
            other[at] ^= 4;
            assert_eq!(answered(&other[..1200]), None, "{what}");
        }
    }

    #[test]
    fn what_is_no_request_is_not_answered() {
        let mut request = [0; REQUEST_LEN];
        write_request(&ID, &mut request).unwrap();
        let mut reply = [0; ANSWER_LEN_MAX];
        let from = "192.0.2.1:5".parse().unwrap();
        let len = answer(&request, from, &mut reply).unwrap();
        assert_eq!(answer(&reply[..len], from, &mut [0; 99]), None, "an answer is not answered");
        let is_head = |byte: usize| (20..24).contains(&byte) || (44..48).contains(&byte);
        for bit in (0..REQUEST_LEN * 8).filter(|bit| !is_head(bit / 8)) {
            let mut damaged = request;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(answer(&damaged, from, &mut reply), None, "bit {bit}");
        }
        for short in 0..REQUEST_LEN {
            assert_eq!(answer(&request[..short], from, &mut reply), None, "{short} bytes");
        }
        assert_eq!(parse_answer(&reply[..len], b"another one "), None, "an answer to something else");
    }
}
