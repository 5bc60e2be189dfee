//! A sealed payload is a sequence of typed frames (SPEC §7).
//!
//! ```text
//! +------+---------+--------...   type < 0x80: the body's length follows, 1 byte (0–191) or 2 bytes
//! | type | length  | body         type ≥ 0x80: the same type less 0x80, and the body ends with the payload
//! +------+---------+--------...
//! length: 0xxxxxxx–0xbf = 0–191; 11xxxxxx xxxxxxxx = 192–16575 (value less 192 in 14 bits)
//! ```

use super::{Reader, Writer};

/// The registry of frame types (SPEC §7.2). Bit 6 (`0x40`) marks a critical frame: who does not know it must
/// not act on the rest of the datagram. Others are skipped by their length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrameType {
    /// `0x00`: bytes of no meaning.
    Padding,
    /// `0x01`: asks for the peer's clock.
    ClockRequest,
    /// `0x02`: the answer.
    ClockReply,
    /// `0x03`: arrival of packets.
    Feedback,
    /// `0x04`: the session is over.
    Close,
    /// `0x05`: the host lets the client in, and with which permissions.
    Admitted,
    /// `0x06`: a message of a pairing.
    Pairing,
    /// `0x07`: a token for the next call.
    AddressToken,
    /// `0x2e`: the host vouches for its next key.
    Successor,
    /// `0x08`: input events and state.
    Input,
    /// `0x09`: input taken.
    InputAcknowledged,
    /// `0x0a`: what the gamepads' motors should do.
    Rumble,
    /// `0x0b`: which input a picture shows first.
    InputShown,
    /// `0x0c`: cursor position and shape id.
    Cursor,
    /// `0x10`: what the pictures are.
    StreamParameters,
    /// `0x11`: the viewer cannot show pictures until one that refers to what it has.
    Repair,
    /// `0x12`: the newest picture that has left.
    VideoPosition,
    /// `0x13`: what the host's capture is doing.
    CaptureState,
    /// `0x15`: what the viewer can show.
    Capabilities,
    /// `0x16`: parts of the screen that the viewer found to be wrong.
    TileReport,
    /// `0x14`: a shard of a picture.
    Shard,
    /// `0x17`: parity that the viewer still needs.
    MoreParity,
    /// `0x30`: a parity shard over several pictures.
    WindowShard,
    /// `0x31`: over how many pictures parity may go for this viewer.
    Window,
    /// `0x20`: sound.
    Audio,
    /// `0x18`: a part of a reliable stream.
    Stream,
    /// `0x19`: stream bytes taken, and credit.
    StreamAcknowledged,
    /// `0x24`: asks whether the peer is there.
    PathChallenge,
    /// `0x25`: the answer.
    PathResponse,
    /// `0x26`: a connection id to send to.
    NewConnection,
    /// `0x27`: which paths the client uses.
    PathsInUse,
    /// `0x28`: the longest datagram that is taken.
    DatagramLimit,
    /// `0x29`: a packet as long as the path may carry.
    MtuProbe,
    /// `0x2c`: the client asks for fresh keys.
    KeyRequest,
    /// `0x2d`: the host's half of them.
    KeyReply,
    /// `0x2f`: what the client would like to do; in its handshake only.
    Request,
}

impl FrameType {
    const NO_LENGTH: u8 = 0x80;
    const CRITICAL: u8 = 0x40;

    /// The byte that stands for it.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Padding => 0x00,
            Self::ClockRequest => 0x01,
            Self::ClockReply => 0x02,
            Self::Feedback => 0x03,
            Self::Close => 0x04,
            Self::Admitted => 0x05,
            Self::Pairing => 0x06,
            Self::AddressToken => 0x07,
            Self::Successor => 0x2e,
            Self::Input => 0x08,
            Self::InputAcknowledged => 0x09,
            Self::Rumble => 0x0a,
            Self::InputShown => 0x0b,
            Self::Cursor => 0x0c,
            Self::StreamParameters => 0x10,
            Self::Repair => 0x11,
            Self::VideoPosition => 0x12,
            Self::CaptureState => 0x13,
            Self::Shard => 0x14,
            Self::Capabilities => 0x15,
            Self::TileReport => 0x16,
            Self::MoreParity => 0x17,
            Self::WindowShard => 0x30,
            Self::Window => 0x31,
            Self::Audio => 0x20,
            Self::Stream => 0x18,
            Self::StreamAcknowledged => 0x19,
            Self::PathChallenge => 0x24,
            Self::PathResponse => 0x25,
            Self::NewConnection => 0x26,
            Self::PathsInUse => 0x27,
            Self::DatagramLimit => 0x28,
            Self::MtuProbe => 0x29,
            Self::KeyRequest => 0x2c,
            Self::KeyReply => 0x2d,
            Self::Request => 0x2f,
        }
    }

    /// The type a byte stands for, without its length bit.
    #[must_use]
    pub const fn of(code: u8) -> Option<Self> {
        Some(match code {
            0x00 => Self::Padding,
            0x01 => Self::ClockRequest,
            0x02 => Self::ClockReply,
            0x03 => Self::Feedback,
            0x04 => Self::Close,
            0x05 => Self::Admitted,
            0x06 => Self::Pairing,
            0x07 => Self::AddressToken,
            0x2e => Self::Successor,
            0x08 => Self::Input,
            0x09 => Self::InputAcknowledged,
            0x0a => Self::Rumble,
            0x0b => Self::InputShown,
            0x0c => Self::Cursor,
            0x10 => Self::StreamParameters,
            0x11 => Self::Repair,
            0x12 => Self::VideoPosition,
            0x13 => Self::CaptureState,
            0x14 => Self::Shard,
            0x15 => Self::Capabilities,
            0x16 => Self::TileReport,
            0x17 => Self::MoreParity,
            0x30 => Self::WindowShard,
            0x31 => Self::Window,
            0x20 => Self::Audio,
            0x18 => Self::Stream,
            0x19 => Self::StreamAcknowledged,
            0x24 => Self::PathChallenge,
            0x25 => Self::PathResponse,
            0x26 => Self::NewConnection,
            0x27 => Self::PathsInUse,
            0x28 => Self::DatagramLimit,
            0x29 => Self::MtuProbe,
            0x2c => Self::KeyRequest,
            0x2d => Self::KeyReply,
            0x2f => Self::Request,
            _ => return None,
        })
    }
}

/// One frame: its type and its body, still bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the body is.
    pub frame_type: FrameType,
    /// The body.
    pub body: &'a [u8],
}

/// Walks the frames of a payload. Ends early, with [`Frames::is_malformed`], at the first that is broken or
/// critical and unknown; unknown others are passed over.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    reader: Reader<'a>,
    malformed: bool,
}

impl<'a> Frames<'a> {
    /// The frames of `payload`.
    #[must_use]
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { reader: Reader::new(payload), malformed: false }
    }

    /// Whether the walk ended at a broken or critical unknown frame.
    #[must_use]
    pub const fn is_malformed(&self) -> bool {
        self.malformed
    }

    fn read(&mut self) -> Option<Option<Frame<'a>>> {
        let code = self.reader.u8()?;
        let body = if code & FrameType::NO_LENGTH != 0 {
            let rest = self.reader.rest();
            self.reader = Reader::new(&[]);
            rest
        } else {
            let len = read_len(&mut self.reader)?;
            self.reader.bytes(len)?
        };
        let code = code & !FrameType::NO_LENGTH;
        match FrameType::of(code) {
            Some(frame_type) => Some(Some(Frame { frame_type, body })),
            None if code & FrameType::CRITICAL != 0 => None,
            None => Some(None),
        }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        while !self.reader.is_empty() {
            match self.read() {
                Some(Some(frame)) => return Some(frame),
                Some(None) => {}
                None => {
                    self.malformed = true;
                    self.reader = Reader::new(&[]);
                }
            }
        }
        None
    }
}

const SHORT_MAX: u16 = 191;
const LONG_FLAG: u16 = 0xc000;
/// The longest body a frame with a length can have.
pub(crate) const BODY_MAX: usize = 192 + 0x3fff;

fn read_len(reader: &mut Reader<'_>) -> Option<usize> {
    let first = reader.u8()?;
    if u16::from(first) <= SHORT_MAX {
        return Some(usize::from(first));
    }
    let second = reader.u8()?;
    let value = u16::from_be_bytes([first, second]) & !LONG_FLAG;
    Some(usize::from(value).saturating_add(192))
}

/// Appends a frame with its length: the head, then what `body` writes. Nothing is written when it does not fit.
pub(crate) fn emit(
    writer: &mut Writer<'_>,
    frame_type: FrameType,
    body: impl FnOnce(&mut Writer<'_>) -> Option<()>,
) -> Option<()> {
    let mark = writer.len();
    let result = emit_inner(writer, frame_type, body);
    if result.is_none() {
        writer.truncate(mark);
    }
    result
}

fn emit_inner(
    writer: &mut Writer<'_>,
    frame_type: FrameType,
    body: impl FnOnce(&mut Writer<'_>) -> Option<()>,
) -> Option<()> {
    writer.u8(frame_type.code())?;
    // Room for the long form; a short body moves one byte forward once its length is known.
    let at = writer.len();
    writer.u16(0)?;
    let start = writer.len();
    body(writer)?;
    let len = writer.len().checked_sub(start)?;
    if len > BODY_MAX {
        return None;
    }
    match u16::try_from(len).ok()?.checked_sub(192) {
        Some(long) => writer.patch_u16(at, LONG_FLAG | long),
        None => writer.close_gap(at, u8::try_from(len).ok()?),
    }
}

/// Appends the last frame of a payload, which needs no length.
pub(crate) fn emit_last(writer: &mut Writer<'_>, frame_type: FrameType) -> Option<()> {
    writer.u8(frame_type.code() | FrameType::NO_LENGTH)
}
