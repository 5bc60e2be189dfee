//! What devices, relays and their gateway tell each other of relays (SPEC §18.9): bodies of signals.

use core::net::SocketAddr;

use super::parts::{parse_address, parse_flag, parse_key, put_address};
use super::text::is_plain;
use super::{Reader, Writer};
use crate::crypto::PublicKey;
use crate::limits::{GRANTS_TOLD_MAX, LEASE_KEYS_MAX, RELAY_TEXT_MAX, RELAYS_TOLD_MAX};
use crate::paths::relay::RELAY_ID_LEN;

/// By which way two devices are connected now, as one of them says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `0`: they are not, any more.
    None,
    /// `1`: directly.
    Direct,
    /// `2`: through a relay.
    Relay,
    /// `3`: through a stream, because UDP does not pass.
    Stream,
}

impl Way {
    /// The byte that stands for it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Direct => 1,
            Self::Relay => 2,
            Self::Stream => 3,
        }
    }

    const fn of(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::Direct),
            2 => Some(Self::Relay),
            3 => Some(Self::Stream),
            _ => None,
        }
    }
}

/// Where a relay is and which key it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayPlace {
    /// Its static key.
    pub key: PublicKey,
    /// Its address, as peers reach it.
    pub address: SocketAddr,
}

/// How long a relay takes to answer a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayTime {
    /// Which relay, see [`relay_id`](crate::paths::relay::relay_id).
    pub relay: [u8; RELAY_ID_LEN],
    /// The shortest round trip, in units of 0.1 ms; `u16::MAX` = it did not answer.
    pub rtt: u16,
}

/// What a relay says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Leases that it has.
    pub leases: u32,
    /// Leases that it takes at most.
    pub leases_max: u32,
    /// How much of what it may forward it forwards, in thousandths.
    pub load_permille: u16,
    /// It takes no new leases.
    pub is_draining: bool,
    /// Where peers reach it; unspecified = where the gateway expects it.
    pub address: SocketAddr,
    /// In which part of the world it is, as its operator calls that.
    pub region: RelayText,
    /// Its version.
    pub version: RelayText,
}

/// Some of those whom a device lets be introduced to it. The pages of a list follow each other; the last one makes it count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantPage {
    /// A list begins with it.
    pub is_first: bool,
    /// The list is whole with it.
    pub is_last: bool,
    /// Their keys.
    pub keys: heapless::Vec<PublicKey, GRANTS_TOLD_MAX>,
}

/// A short text for people: printable, without line breaks.
pub type RelayText = heapless::String<RELAY_TEXT_MAX>;
/// Relays that a device is told of.
pub type RelayPlaces = heapless::Vec<RelayPlace, RELAYS_TOLD_MAX>;
/// What a device has measured.
pub type RelayTimes = heapless::Vec<RelayTime, RELAYS_TOLD_MAX>;
/// Ed25519 keys by which leases are signed: now, before and soon.
pub type LeaseKeys = heapless::Vec<[u8; 32], LEASE_KEYS_MAX>;

pub(super) fn parse_way(reader: &mut Reader<'_>) -> Option<Way> {
    Way::of(reader.u8()?)
}

pub(super) fn parse_times(reader: &mut Reader<'_>) -> Option<RelayTimes> {
    let mut times = RelayTimes::new();
    for _ in 0..reader.u8()? {
        let relay = reader.bytes(RELAY_ID_LEN)?.try_into().ok()?;
        times.push(RelayTime { relay, rtt: reader.u16()? }).ok()?;
    }
    Some(times)
}

pub(super) fn put_times(writer: &mut Writer<'_>, times: &RelayTimes) -> Option<()> {
    writer.u8(u8::try_from(times.len()).ok()?)?;
    for time in times {
        writer.bytes(&time.relay)?;
        writer.u16(time.rtt)?;
    }
    Some(())
}

pub(super) fn parse_places(reader: &mut Reader<'_>) -> Option<RelayPlaces> {
    let mut places = RelayPlaces::new();
    for _ in 0..reader.u8()? {
        let address = parse_address(reader)?;
        places.push(RelayPlace { address, key: parse_key(reader)? }).ok()?;
    }
    Some(places)
}

pub(super) fn put_places(writer: &mut Writer<'_>, places: &RelayPlaces) -> Option<()> {
    writer.u8(u8::try_from(places.len()).ok()?)?;
    for place in places {
        put_address(writer, place.address)?;
        writer.bytes(place.key.as_bytes())?;
    }
    Some(())
}

pub(super) fn parse_grants(reader: &mut Reader<'_>) -> Option<GrantPage> {
    let (is_first, is_last) = (parse_flag(reader)?, parse_flag(reader)?);
    let mut keys = heapless::Vec::new();
    for _ in 0..reader.u8()? {
        keys.push(parse_key(reader)?).ok()?;
    }
    Some(GrantPage { is_first, is_last, keys })
}

pub(super) fn put_grants(writer: &mut Writer<'_>, page: &GrantPage) -> Option<()> {
    writer.u8(u8::from(page.is_first))?;
    writer.u8(u8::from(page.is_last))?;
    writer.u8(u8::try_from(page.keys.len()).ok()?)?;
    page.keys.iter().try_for_each(|key| writer.bytes(key.as_bytes()))
}

pub(super) fn parse_lease_keys(reader: &mut Reader<'_>) -> Option<LeaseKeys> {
    let mut keys = LeaseKeys::new();
    for _ in 0..reader.u8()? {
        keys.push(reader.bytes(32)?.try_into().ok()?).ok()?;
    }
    Some(keys)
}

pub(super) fn put_lease_keys(writer: &mut Writer<'_>, keys: &LeaseKeys) -> Option<()> {
    writer.u8(u8::try_from(keys.len()).ok()?)?;
    keys.iter().try_for_each(|key| writer.bytes(key))
}

pub(super) fn parse_beat(reader: &mut Reader<'_>) -> Option<Beat> {
    Some(Beat {
        leases: reader.u32()?,
        leases_max: reader.u32()?,
        load_permille: reader.u16()?,
        is_draining: parse_flag(reader)?,
        address: parse_address(reader)?,
        region: parse_text(reader)?,
        version: parse_text(reader)?,
    })
}

pub(super) fn put_beat(writer: &mut Writer<'_>, beat: &Beat) -> Option<()> {
    writer.u32(beat.leases)?;
    writer.u32(beat.leases_max)?;
    writer.u16(beat.load_permille)?;
    writer.u8(u8::from(beat.is_draining))?;
    put_address(writer, beat.address)?;
    put_text(writer, &beat.region)?;
    put_text(writer, &beat.version)
}

fn parse_text(reader: &mut Reader<'_>) -> Option<RelayText> {
    let len = usize::from(reader.u8()?);
    let text = core::str::from_utf8(reader.bytes(len)?).ok()?;
    if !is_plain(text) {
        return None;
    }
    RelayText::try_from(text).ok()
}

fn put_text(writer: &mut Writer<'_>, text: &RelayText) -> Option<()> {
    writer.u8(u8::try_from(text.len()).ok()?)?;
    writer.bytes(text.as_bytes())
}
