//! Messages between a device and its gateway, in the control stream of their session (SPEC §18.3).
//!
//! ```text
//!  0      1        3
//! +------+--------+----------
//! | kind | length | body
//! +------+--------+----------
//! key: 32 bytes; address: family (4 or 6), IP (4 or 16), port (2); candidates: number (1), then kind and address of each
//! ```

use core::net::SocketAddr;

use super::fleet::{self, Beat, GrantPage, LeaseKeys, RelayPlaces, RelayTimes, Way};
use super::parts::{parse_address, parse_flag, parse_key, put_address};
use super::relay::LEASE_TAG_LEN;
use super::text::is_plain;
use super::{Reader, Writer};
use crate::crypto::PublicKey;
use crate::limits::{DEVICE_NAME_MAX, LEASE_TOKEN_MAX, SIGNAL_LEN_MAX};
use crate::paths::relay::Lease;
use crate::paths::{CandidateKind, Candidates, MeetingSecret};

/// Bytes of what stands before a body.
pub const SIGNAL_HEAD_LEN: usize = 3;

/// With this a device enrols, once: drawn by the gateway, and carried to the device by a person.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EnrolmentToken(pub [u8; Self::LEN]);

impl EnrolmentToken {
    /// Bytes of a token.
    pub const LEN: usize = 16;
    /// Characters of its text.
    pub const TEXT_LEN: usize = 32;

    /// Lower-case hexadecimal digits, for the person who carries it.
    #[must_use]
    pub fn to_text(self) -> heapless::String<{ Self::TEXT_LEN }> {
        let digits = self.0.iter().flat_map(|&byte| [byte >> 4, byte & 15]);
        digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
    }

    /// Reads the text, in either case; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let mut token = [0; Self::LEN];
        if pairs.len() != Self::LEN || !rest.is_empty() {
            return None;
        }
        for (byte, pair) in token.iter_mut().zip(pairs) {
            let [high, low] =
                pair.map(|digit| char::from(digit).to_digit(16).and_then(|half| u8::try_from(half).ok()));
            *byte = high? << 4 | low?;
        }
        Some(Self(token))
    }
}

impl core::fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("EnrolmentToken")
    }
}

/// Why a gateway does not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalReason {
    /// `0`: the device has not enrolled, or its right was withdrawn.
    NotEnrolled,
    /// `1`: the token is none, or was used before, or has run out.
    Token,
    /// `2`: nobody of that key is there for this device: unknown, not present, or not to be met by it.
    NotFound,
    /// `3`: asked too often.
    TooOften,
    /// `4`: there is no room.
    Full,
    /// Another, of a later version.
    Other(u8),
}

impl SignalReason {
    /// The byte that stands for it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::NotEnrolled => 0,
            Self::Token => 1,
            Self::NotFound => 2,
            Self::TooOften => 3,
            Self::Full => 4,
            Self::Other(code) => code,
        }
    }

    /// The reason a byte stands for.
    #[must_use]
    pub const fn of(code: u8) -> Self {
        match code {
            0 => Self::NotEnrolled,
            1 => Self::Token,
            2 => Self::NotFound,
            3 => Self::TooOften,
            4 => Self::Full,
            other => Self::Other(other),
        }
    }
}

/// The name by which a person knows a device: printable, without line breaks.
pub type DeviceName = heapless::String<DEVICE_NAME_MAX>;

/// Both peers of an introduction learn this of the other.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// The number of the request that this answers; 0 for who is called.
    pub request: u16,
    /// Whether this device is to call; else it is called.
    pub calls: bool,
    /// Who the other claims to be. The handshake proves it.
    pub peer: PublicKey,
    /// Tells the checks of this introduction.
    pub secret: MeetingSecret,
    /// Where the other may be.
    pub candidates: Candidates,
    /// Whether leases of a relay follow.
    pub has_lease: bool,
}

/// A message; what each is for stands in SPEC §18.3.
#[derive(Clone, Debug)]
pub enum Signal {
    /// `01`, device: makes it known to the gateway, once.
    Enrol {
        /// Told to the person who operates the gateway.
        token: EnrolmentToken,
        /// How people are to know the device.
        name: DeviceName,
    },
    /// `02`, device: it is there, and where it may be reached. Every such message takes the place of the one before.
    Present {
        /// Whether it may be called.
        is_host: bool,
        /// Where it may be reached.
        candidates: Candidates,
    },
    /// `03`, device: is this one there?
    LookUp {
        /// Its key.
        peer: PublicKey,
    },
    /// `04`, device: it wants to call this one.
    Introduce {
        /// Tells answers apart; not 0.
        request: u16,
        /// Whom.
        peer: PublicKey,
        /// Where the device itself may be reached.
        candidates: Candidates,
    },
    /// `05`, device: which one key it lets be introduced to it, or does so no more. A host's own list stays the one
    /// that counts.
    Grant {
        /// Whose.
        peer: PublicKey,
        /// Whether it may.
        may: bool,
    },
    /// `06`, device: by which way it is connected with that one now, for its operator's eyes.
    Path {
        /// With whom.
        peer: PublicKey,
        /// How.
        way: Way,
    },
    /// `07`, device: how near the relays are of which it was told.
    Measured(RelayTimes),
    /// `08`, relay: how it is.
    Beat(Beat),
    /// `09`, device: all whom it lets be introduced, instead of what it granted before.
    Grants(GrantPage),
    /// `81`, gateway: first of all, and when something of it changes.
    Welcome {
        /// Whether the device has enrolled.
        is_enrolled: bool,
        /// Where the gateway sees it.
        seen: SocketAddr,
    },
    /// `82`, gateway: the answer to a look-up.
    Found {
        /// Who was asked for.
        peer: PublicKey,
        /// Whether it is there, for this device.
        is_present: bool,
    },
    /// `83`, gateway: two are to meet.
    Introduction(Introduction),
    /// `84`, gateway: after an introduction, this device's share of a lease.
    Lease(Lease),
    /// `85`, gateway: no.
    Refused {
        /// The number of the request; 0 when it had none.
        request: u16,
        /// Why not.
        reason: SignalReason,
    },
    /// `86`, gateway: relays that there are, to be measured.
    Relays(RelayPlaces),
    /// `87`, gateway to a relay: who signs leases.
    LeaseKeys(LeaseKeys),
}

impl Signal {
    /// Reads a message of this kind; `None` when its body is none, or for a kind that this version does not know.
    #[must_use]
    pub fn parse(kind: u8, body: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let signal = match kind {
            0x01 => Self::Enrol {
                token: EnrolmentToken(reader.bytes(EnrolmentToken::LEN)?.try_into().ok()?),
                name: parse_name(&mut reader)?,
            },
            0x02 => {
                let is_host = parse_flag(&mut reader)?;
                Self::Present { is_host, candidates: parse_candidates(&mut reader)? }
            }
            0x03 => Self::LookUp { peer: parse_key(&mut reader)? },
            0x04 => {
                let (request, peer) =
                    (reader.u16().filter(|&request| request != 0)?, parse_key(&mut reader)?);
                Self::Introduce { request, peer, candidates: parse_candidates(&mut reader)? }
            }
            0x05 => Self::Grant { peer: parse_key(&mut reader)?, may: parse_flag(&mut reader)? },
            0x06 => Self::Path { peer: parse_key(&mut reader)?, way: fleet::parse_way(&mut reader)? },
            0x07 => Self::Measured(fleet::parse_times(&mut reader)?),
            0x08 => Self::Beat(fleet::parse_beat(&mut reader)?),
            0x09 => Self::Grants(fleet::parse_grants(&mut reader)?),
            0x81 => {
                Self::Welcome { is_enrolled: parse_flag(&mut reader)?, seen: parse_address(&mut reader)? }
            }
            0x82 => Self::Found { peer: parse_key(&mut reader)?, is_present: parse_flag(&mut reader)? },
            0x83 => Self::Introduction(parse_introduction(&mut reader)?),
            0x84 => Self::Lease(parse_lease(&mut reader)?),
            0x85 => Self::Refused { request: reader.u16()?, reason: SignalReason::of(reader.u8()?) },
            0x86 => Self::Relays(fleet::parse_places(&mut reader)?),
            0x87 => Self::LeaseKeys(fleet::parse_lease_keys(&mut reader)?),
            _ => return None,
        };
        reader.is_empty().then_some(signal)
    }

    /// Writes it, with its head, to the front of `out`; tells its length. `None` when that is too short:
    /// [`SIGNAL_LEN_MAX`] always suffices.
    #[must_use]
    pub fn emit(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out);
        writer.u8(self.kind())?;
        writer.u16(0)?;
        self.emit_body(&mut writer)?;
        let len = writer.len();
        writer.patch_u16(1, u16::try_from(len.checked_sub(SIGNAL_HEAD_LEN)?).ok()?)?;
        Some(len)
    }

    const fn kind(&self) -> u8 {
        match self {
            Self::Enrol { .. } => 0x01,
            Self::Present { .. } => 0x02,
            Self::LookUp { .. } => 0x03,
            Self::Introduce { .. } => 0x04,
            Self::Grant { .. } => 0x05,
            Self::Path { .. } => 0x06,
            Self::Measured(_) => 0x07,
            Self::Beat(_) => 0x08,
            Self::Grants(_) => 0x09,
            Self::Welcome { .. } => 0x81,
            Self::Found { .. } => 0x82,
            Self::Introduction(_) => 0x83,
            Self::Lease(_) => 0x84,
            Self::Refused { .. } => 0x85,
            Self::Relays(_) => 0x86,
            Self::LeaseKeys(_) => 0x87,
        }
    }

    fn emit_body(&self, writer: &mut Writer<'_>) -> Option<()> {
        match self {
            Self::Enrol { token, name } => {
                writer.bytes(&token.0)?;
                writer.u8(u8::try_from(name.len()).ok()?)?;
                writer.bytes(name.as_bytes())
            }
            Self::Present { is_host, candidates } => {
                writer.u8(u8::from(*is_host))?;
                put_candidates(writer, candidates)
            }
            Self::LookUp { peer } => writer.bytes(peer.as_bytes()),
            Self::Introduce { request, peer, candidates } => {
                writer.u16(*request)?;
                writer.bytes(peer.as_bytes())?;
                put_candidates(writer, candidates)
            }
            Self::Grant { peer, may } => {
                writer.bytes(peer.as_bytes())?;
                writer.u8(u8::from(*may))
            }
            Self::Path { peer, way } => {
                writer.bytes(peer.as_bytes())?;
                writer.u8(way.code())
            }
            Self::Measured(times) => fleet::put_times(writer, times),
            Self::Beat(beat) => fleet::put_beat(writer, beat),
            Self::Grants(page) => fleet::put_grants(writer, page),
            Self::Welcome { is_enrolled, seen } => {
                writer.u8(u8::from(*is_enrolled))?;
                put_address(writer, *seen)
            }
            Self::Found { peer, is_present } => {
                writer.bytes(peer.as_bytes())?;
                writer.u8(u8::from(*is_present))
            }
            Self::Introduction(introduction) => {
                writer.u16(introduction.request)?;
                writer.u8(u8::from(introduction.calls) | u8::from(introduction.has_lease) << 1)?;
                writer.bytes(introduction.peer.as_bytes())?;
                writer.bytes(introduction.secret.as_bytes())?;
                put_candidates(writer, &introduction.candidates)
            }
            Self::Lease(lease) => {
                put_address(writer, lease.relay)?;
                writer.bytes(lease.relay_key.as_bytes())?;
                writer.bytes(&lease.tag)?;
                writer.bytes(&lease.secret)?;
                writer.u64(lease.expires_s)?;
                writer.u16(u16::try_from(lease.token.len()).ok()?)?;
                writer.bytes(&lease.token)
            }
            Self::Refused { request, reason } => {
                writer.u16(*request)?;
                writer.u8(reason.code())
            }
            Self::Relays(places) => fleet::put_places(writer, places),
            Self::LeaseKeys(keys) => fleet::put_lease_keys(writer, keys),
        }
    }
}

fn parse_name(reader: &mut Reader<'_>) -> Option<DeviceName> {
    let len = usize::from(reader.u8()?);
    let name = core::str::from_utf8(reader.bytes(len)?).ok()?;
    if !is_plain(name) {
        return None;
    }
    DeviceName::try_from(name).ok()
}

/// Candidates that cannot be any are left out; more than there may be are none at all.
fn parse_candidates(reader: &mut Reader<'_>) -> Option<Candidates> {
    let mut candidates = Candidates::new();
    let number = usize::from(reader.u8()?);
    if number > crate::limits::CANDIDATES_MAX {
        return None;
    }
    for _ in 0..number {
        let (kind, address) = (reader.u8()?, parse_address(reader)?);
        if let Some(kind) = CandidateKind::of(kind) {
            // A kind of a later version and a useless address are passed over alike.
            let _ = candidates.push(kind, address);
        }
    }
    Some(candidates)
}

fn parse_introduction(reader: &mut Reader<'_>) -> Option<Introduction> {
    let request = reader.u16()?;
    let flags = reader.u8().filter(|&flags| flags < 4)?;
    Some(Introduction {
        request,
        calls: flags & 1 != 0,
        has_lease: flags & 2 != 0,
        peer: parse_key(reader)?,
        secret: MeetingSecret::from_bytes(reader.bytes(MeetingSecret::LEN)?.try_into().ok()?),
        candidates: parse_candidates(reader)?,
    })
}

fn parse_lease(reader: &mut Reader<'_>) -> Option<Lease> {
    let (relay, relay_key) = (parse_address(reader)?, parse_key(reader)?);
    let tag = reader.bytes(LEASE_TAG_LEN)?.try_into().ok()?;
    let secret = reader.bytes(32)?.try_into().ok()?;
    let (expires_s, token_len) = (reader.u64()?, usize::from(reader.u16()?));
    let token = heapless::Vec::from_slice(reader.bytes(token_len.min(LEASE_TOKEN_MAX.saturating_add(1)))?);
    Some(Lease { relay, relay_key, tag, secret, expires_s, token: token.ok()? })
}

/// Those that only checks showed are kept back.
fn put_candidates(writer: &mut Writer<'_>, candidates: &Candidates) -> Option<()> {
    let told = || candidates.iter().filter_map(|candidate| Some((candidate.kind.code()?, candidate.address)));
    writer.u8(u8::try_from(told().count()).ok()?)?;
    for (kind, address) in told() {
        writer.u8(kind)?;
        put_address(writer, address)?;
    }
    Some(())
}

/// Puts messages together from the bytes of a control stream. A message that is too long, or breaks its format, breaks
/// the stream: nothing more is read, and the session is to be closed.
#[derive(Debug)]
pub struct SignalReader {
    bytes: heapless::Vec<u8, SIGNAL_LEN_MAX>,
    is_broken: bool,
}

impl SignalReader {
    /// At the start of a stream.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: heapless::Vec::new(), is_broken: false }
    }

    /// How many bytes may be given now; 0 = first take messages.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.is_broken { 0 } else { SIGNAL_LEN_MAX.saturating_sub(self.bytes.len()) }
    }

    /// Whether the peer has broken the format.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Adds what the stream gave. Bytes beyond [`Self::room`] break it.
    pub fn push(&mut self, bytes: &[u8]) {
        self.is_broken |= self.bytes.extend_from_slice(bytes).is_err();
    }

    /// Takes the next whole message. Kinds that this version does not know are passed over.
    pub fn take(&mut self) -> Option<Signal> {
        while !self.is_broken {
            let mut reader = Reader::new(&self.bytes);
            let (kind, len) = (reader.u8()?, usize::from(reader.u16()?));
            let end = SIGNAL_HEAD_LEN.saturating_add(len);
            if end > SIGNAL_LEN_MAX {
                self.is_broken = true;
                return None;
            }
            let signal = Signal::parse(kind, reader.bytes(len)?);
            let rest = self.bytes.len().saturating_sub(end);
            self.bytes.copy_within(end.., 0);
            self.bytes.truncate(rest);
            if signal.is_some() {
                return signal;
            }
            // A known kind with a broken body is no message of a later version.
            self.is_broken = matches!(kind, 0x01..=0x09 | 0x81..=0x87);
        }
        None
    }
}

impl Default for SignalReader {
    fn default() -> Self {
        Self::new()
    }
}
